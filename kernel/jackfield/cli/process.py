"""A process that does nothing but run a host: its event loop, its signals, its files, its control socket, its garbage collector."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from jackfield.cli.accepting import Door
from jackfield.cli.control import SUPPORTED, Control, socket_path, worker_path
from jackfield.cli.files import First
from jackfield.cli.inheritance import Inheritance, sockets_of, tell_ready
from jackfield.cli.notifying import keep_alive, notify
from jackfield.cli.operating import Operator
from jackfield.cli.remembering import Remembering
from jackfield.host import Jackfield

log = logging.getLogger("jackfield")

_LONGEST_CALL: Final = 3600.0
"""Seconds that calls may still take when another process has taken over: nobody waits for this one."""
_QUIET: Final = 0.5
_QUIET_HANDED_OVER: Final = 5.0
"""Seconds after which a quiet connection is closed by a process that leaves. A proxy or a client that has just got an answer may be
about to use its connection again, and would lose that call; where another process serves already, nobody waits for this one."""
_OPEN_FILES: Final = 65_536
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_HANG_UP: Final = getattr(signal, "SIGHUP", None)
"""The signal to reload; Windows has none."""

_RARE_COLLECTIONS: Final = (50_000, 20, 50)
"""Thresholds of the garbage collector for a process that does nothing but serve. A call leaves no cycles behind, so that
the default of 700 would have it look for some every few calls, at 7 % of the processor (measured with `make bench`)."""


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, 1,024 on many systems: each call in flight holds two connections."""
    try:
        import resource  # noqa: PLC0415 (absent on Windows)
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_until_signal(
    host: Jackfield,
    ready: Callable[[Jackfield], None] = lambda _: None,
    watched: First | None = None,
    said: Inheritance | None = None,
) -> None:
    """Run a host in an event loop of its own until it is told to stop; `ready` is called once it listens.

    It reloads when its files change where it is told how they looked before it was made (`watched`). `said` is what it was told
    by the process that started it.
    """
    said = said or Inheritance(announces=True)
    if said.sockets:
        own, others = sockets_of(said.sockets), sockets_of(said.others)
        host.doors = lambda let_in: [Door(held, let_in, own=held in own) for held in (*own, *others)]

    async def main() -> None:
        stop = asyncio.Event()
        _on_signals(stop)
        gc.set_threshold(*_RARE_COLLECTIONS)
        _allow_many_connections()
        remembering = Remembering(host)
        host.before_open.append(lambda _: remembering.recall())
        starting, told = asyncio.ensure_future(host.start()), asyncio.ensure_future(stop.wait())
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # told to stop before it has started
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        try:
            await starting  # raises what kept the host from starting
            gc.collect()
            gc.freeze()  # what is there now lasts: no collection need look at it
            keeping = asyncio.ensure_future(remembering.run())
            async with _operated(host, remembering, stop, watched, said) as left:
                if said.announces:
                    ready(host)
                if said.worker is None:  # before its predecessor may end
                    notify("READY=1", f"MAINPID={os.getpid()}")
                tell_ready(said)
                await told
            handed_over = left.is_set()
            if said.worker is None and not handed_over:
                notify("STOPPING=1")
            log.info(
                "stopping: %s",
                "another process serves" if handed_over else f"calls in flight have {host.config.server.grace:g} s to finish",
            )
            await remembering.save()
        finally:
            told.cancel()
        grace, quiet = (_LONGEST_CALL, _QUIET_HANDED_OVER) if handed_over else (None, _QUIET)
        await host.stop(grace, quiet=quiet, handed_over=handed_over)
        keeping.cancel()

    try:
        import uvloop  # noqa: PLC0415 (absent on some platforms)
    except ImportError:
        asyncio.run(main())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


def _on_signals(stop: asyncio.Event) -> None:
    """Stop on the first signal to, and end at once on a second one."""
    loop = asyncio.get_running_loop()

    def stop_once() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, stop_once)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


@asynccontextmanager
async def _operated(
    host: Jackfield, remembering: Remembering, stop: asyncio.Event, watched: First | None, said: Inheritance
) -> AsyncIterator[asyncio.Event]:
    """Do what operators ask of a host that has started. What is handed out says whether another process takes its place."""
    operator, attached = Operator(host), sys.stderr.isatty()
    operator.saved = remembering.save
    left = asyncio.Event()

    def leave() -> None:
        left.set()
        stop.set()

    operator.left = leave

    def hang_up() -> None:
        if attached and not sys.stderr.isatty():  # the terminal was closed that the host was started from
            stop.set()
        else:
            operator.spawn(operator.hang_up())

    if _HANG_UP is not None:
        asyncio.get_running_loop().add_signal_handler(_HANG_UP, hang_up)
    path = None
    if SUPPORTED and host.port:
        own = said.worker is not None
        path = worker_path(host.config, host.port, said.worker or 0) if own else socket_path(host.config, host.port)
    chosen = host.config.server.control is not None
    control = Control(operator, path, chosen=chosen, takes_over=said.succeeds) if path is not None else None
    if control is not None:
        await control.start()
    if said.lives is not None:
        asyncio.get_running_loop().add_reader(said.lives, stop.set)
    if said.worker is None:
        operator.spawn(keep_alive())
    if watched is not None:
        from jackfield.cli.watching import Watching  # noqa: PLC0415 (the host serves already: nobody waits for this)

        operator.spawn(Watching(operator, watched).run())
    try:
        yield left
    finally:
        if said.lives is not None:
            asyncio.get_running_loop().remove_reader(said.lives)
        if control is not None:
            await control.stop()
        await operator.close()
