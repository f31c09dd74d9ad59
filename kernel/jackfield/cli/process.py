"""A process that does nothing but run a host: its event loop, its signals, its garbage collector."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable
from typing import Final

from jackfield.host import Jackfield

log = logging.getLogger("jackfield")

_OPEN_FILES: Final = 65_536
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

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


def run_until_signal(host: Jackfield, ready: Callable[[Jackfield], None] = lambda _: None) -> None:
    """Run a host in an event loop of its own until it is told to stop; `ready` is called once it listens."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop_once() -> None:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
            stop.set()

        for number in _SIGNALS:
            try:
                loop.add_signal_handler(number, stop_once)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        gc.set_threshold(*_RARE_COLLECTIONS)
        _allow_many_connections()
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
            ready(host)
            await told
        finally:
            told.cancel()
        log.info("stopping: calls in flight have %g s to finish", host.config.server.grace)
        await host.stop()

    try:
        import uvloop  # noqa: PLC0415 (absent on some platforms)
    except ImportError:
        asyncio.run(main())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
