"""`jackfield serve --workers N`: one process that starts others and watches over them; they share the port.

It serves nothing itself, so that nothing can happen to it: what is asked of the host over the control socket it asks of each.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jackfield.cli.control import SUPPORTED, Control, NotRunning, ask, socket_path, worker_path
from jackfield.cli.inheritance import Started
from jackfield.cli.notifying import keep_alive, notify
from jackfield.cli.operating import Refusal
from jackfield.settings import Config

log = logging.getLogger("jackfield")

_BACKLOG: Final = 1024
_READY: Final = 120.0
"""Seconds in which a worker must serve: plugins may take their time to start."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
"""Seconds until a worker that died is started again, doubled with each that dies young."""
_GREW_UP: Final = 20.0
"""Seconds after which a worker that dies was no failed start."""
_LATE: Final = 10.0
"""Seconds beyond `server.grace` that a worker may take to stop."""
_DRAIN: Final = 3600.0
"""Seconds that the calls of a worker which was replaced may take."""


class CannotServe(Exception):
    """The workers cannot be started; the message says why."""


def listen(config: Config, count: int) -> list[list[socket.socket]]:
    """Return sockets of the configured address for so many workers, listening. Raises `CannotServe`.

    The system shares connections out among them. Whoever has the port already is found out before: such sockets would join it.
    """
    server, made, port = config.server, [list[socket.socket]() for _ in range(count)], config.server.port
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            with _bound(family, (address[0], port, *address[2:]), shared=False) as free:
                port = free.getsockname()[1]
            for slot in made:
                slot.append(held := _bound(family, (address[0], port, *address[2:]), shared=True))
                held.listen(_BACKLOG)
    except OSError as fault:
        for held in (held for slot in made for held in slot):
            held.close()
        raise CannotServe(f"cannot listen on {server.host}:{server.port}: {fault.strerror or fault} (server.port)") from None
    return made


def _bound(family: int, address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        held.bind(address)
    except BaseException:
        held.close()
        raise
    return held


class Workers:
    """The workers of one host."""

    def __init__(self, config: Config, sockets: Sequence[Sequence[socket.socket]]) -> None:
        """`sockets` are those of each worker's place."""
        self.config, self._count, self._sockets = config, len(sockets), sockets
        self._port = sockets[0][0].getsockname()[1]
        self._numbers, self._failures, self._serving = 0, 0, False
        self._living: dict[int, Started] = {}
        """By number: those that take calls."""
        self._leaving, self._tried = set[Started](), list[Started]()
        """Those that finish their calls, and those of which is not known yet whether they serve: one that dies is not replaced."""
        self._stopping, self._turn, self._since = asyncio.Event(), asyncio.Lock(), time.time()
        self._tasks = set[asyncio.Task[Any]]()

    async def run(self) -> int:
        """Serve until a signal says to stop; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._hang_up()))
        path = socket_path(self.config, self._port) if SUPPORTED else None
        control = Control(self, path, chosen=self.config.server.control is not None) if path is not None else None
        if control is not None:  # before anybody announces the host
            await control.start()
        try:
            return await self._serve()
        finally:
            if control is not None:
                await control.stop()

    async def _serve(self) -> int:
        if not await self._all_serve([self._start(at, announces=not at) for at in range(self._count)]):
            self._stopping.set()
            await self._end(list(self._living.values()))
            return 1
        self._serving = True
        for _ in range(self._count - len(self._living)):  # one that served and died while others were starting
            self._spawn(self._serves(self._start()))
        log.info("%d workers serve on port %d", self._count, self._port)
        notify("READY=1", f"MAINPID={os.getpid()}")
        self._spawn(keep_alive())
        await self._stopping.wait()
        notify("STOPPING=1")
        for task in self._tasks:
            task.cancel()
        for held in (held for place in self._sockets for held in place):  # or those who come would wait for somebody who serves, in vain
            held.close()
        await self._end([*self._living.values(), *self._leaving])
        return 0

    def _stop(self) -> None:
        if self._stopping.is_set():  # a second time: at once
            self._signal(signal.SIGKILL)
        self._stopping.set()

    def _signal(self, number: int) -> None:
        for started in (*self._living.values(), *self._leaving):
            with contextlib.suppress(ProcessLookupError):
                started.process.send_signal(number)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --------------------------------------------------------------------------------------- processes

    async def _all_serve(self, made: Sequence[Started]) -> bool:
        """Wait until workers serve; False when one of them does not."""
        return all(await asyncio.gather(*(self._serves(one) for one in made)))

    def _start(self, place: int | None = None, *, announces: bool = False) -> Started:
        """Start a worker, at a place that others have least of where it is not said."""
        self._numbers += 1
        if place is None:
            taken = Counter(one.place for one in self._living.values())
            place = min(range(self._count), key=taken.__getitem__)
        fds = [[held.fileno() for held in sockets] for sockets in self._sockets]
        started = Started(
            fds[place], [fd for at, others in enumerate(fds) if at != place for fd in others], worker=self._numbers, announces=announces
        )
        started.place = place
        self._living[self._numbers] = started
        self._spawn(self._watch(started))
        return started

    async def _serves(self, started: Started) -> bool:
        try:
            async with asyncio.timeout(_READY):
                return await started.ready()
        except TimeoutError:
            log.error("worker %d did not serve within %g s", started.worker, _READY)
            return False

    async def _watch(self, started: Started) -> None:
        """Wait for a worker's end, and start another where it was not wanted."""
        born = time.monotonic()
        code = await self._ended(started)
        started.forget()
        self._leaving.discard(started)
        wanted = self._living.pop(started.worker or 0, None) is not None and self._serving and not self._stopping.is_set()
        if not wanted or started in self._tried:
            return
        self._failures = 0 if time.monotonic() - born > _GREW_UP else self._failures + 1
        pause = min(_FIRST_PAUSE * 2 ** max(0, self._failures - 1), _LONGEST_PAUSE)
        reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        log.error("worker %d ended %s; another is started in %.1f s", started.worker, reason, pause)
        await asyncio.sleep(pause)
        self._spawn(self._serves(self._start()))

    @staticmethod
    async def _ended(started: Started) -> int:
        """Wait for a process to end, without keeping this one from doing so; return its exit code."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def tell(code: int) -> None:
            if not done.done():
                done.set_result(code)

        def wait() -> None:
            code = started.process.wait()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, code)

        threading.Thread(target=wait, daemon=True).start()
        return await done

    async def _end(self, those: Sequence[Started]) -> None:
        """Have workers finish, and end those that do not."""
        for started in those:
            started.process.terminate()
        ends = [asyncio.to_thread(started.process.wait) for started in those]
        try:
            async with asyncio.timeout(self.config.server.grace + _LATE):
                await asyncio.gather(*ends)
        except TimeoutError:
            log.warning("workers that do not end are killed")
            for started in those:
                started.process.kill()

    # ------------------------------------------------------------------------------------------ asked

    async def _hang_up(self) -> None:
        with contextlib.suppress(Refusal):
            await self.asked("reload", {})

    def asked(self, what: str, said: Mapping[str, Any]) -> Awaitable[Any]:
        """Return the answer to a request by its name. Raises `Refusal`."""
        own: dict[str, Callable[..., Awaitable[Any]]] = {
            "upgrade": self.upgrade, "status": self._status, "credentials": self._credentials, "remove": self._remove,
        }  # fmt: skip
        return own[what](**said) if what in own else self._each(what, said)

    async def _each(self, what: str, said: Mapping[str, Any]) -> Any:
        """Ask all workers, and return what the first one answers. Raises `Refusal` where one of them refuses."""
        return (await self._all(what, said))[0]

    async def _remove(self, **said: Any) -> Any:
        """Have one of the workers remove a credential; the others may find that it is gone."""
        return (await self._all("remove", said, one_is_enough=True))[0]

    async def _all(self, what: str, said: Mapping[str, Any], *, one_is_enough: bool = False) -> list[Any]:
        asking = [asyncio.to_thread(ask, self._path(number), what, **said) for number in sorted(self._living)]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        refusals = [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, NotRunning)]
        told = [answer for answer in answers if not isinstance(answer, BaseException)]
        if refusals and not (told and one_is_enough):
            raise refusals[0]
        if not told:
            raise Refusal("no worker serves just now; try again")
        return told

    def _path(self, worker: int) -> Path:
        path = worker_path(self.config, self._port, worker)
        if path is None:
            raise Refusal("the workers have no control sockets (server.control is empty)")
        return path

    async def _status(self) -> dict[str, Any]:
        each = await self._all("status", {})
        shown = [{key: told[key] for key in ("pid", "calls", "generation", "since", "version")} for told in each]
        sums = {key: sum(told[key] for told in each) for key in ("calls", "calls_of_former_generations")}
        return {**each[0], **sums, "pid": os.getpid(), "since": self._since, "workers": shown, "leaving": len(self._leaving)}

    async def _credentials(self) -> list[dict[str, Any]]:
        """Return what there is to know of each credential, of all workers together."""
        rows: dict[str, dict[str, Any]] = {}
        for told in await self._all("credentials", {}):
            for row in told:
                known = rows.setdefault(row["id"], row)
                if known is not row:
                    known["in_flight"] += row["in_flight"]
                    known["last_used"] = max(known["last_used"], row["last_used"])
        return list(rows.values())

    async def upgrade(self) -> dict[str, Any]:
        """Let new processes take the calls, with the code that is installed now; those that run finish theirs. Raises `Refusal`."""
        async with self._turn:
            self._tried = made = [self._start(at) for at in range(self._count)]
            serve, self._tried = await self._all_serve(made), []
            if not serve:
                for started in made:
                    self._living.pop(started.worker or 0, None)
                    started.process.terminate()
                raise Refusal("the new workers do not serve, see the log; the old ones go on")
            numbers = sorted(self._living)
            before = sum(number < (made[0].worker or 0) for number in numbers)
            # One that took the place of an old one that died meanwhile has the new code, too, and is one too many.
            old = [self._living.pop(number) for number in numbers[: max(before, len(numbers) - self._count)]]
            for started in old:
                self._leaving.add(started)
                self._spawn(self._replaced(started))
            log.info("%d new workers serve, %d old ones finish their calls", len(made), len(old))
            return {"started": [one.process.pid for one in made], "leaving": [one.process.pid for one in old]}

    async def _replaced(self, started: Started) -> None:
        """Have a worker that was replaced finish its calls, however long they take."""
        try:
            await asyncio.to_thread(ask, self._path(started.worker or 0), "drain")
        except (NotRunning, Refusal):
            started.process.terminate()
        await asyncio.sleep(_DRAIN)
        if started.process.poll() is None:
            started.process.kill()
