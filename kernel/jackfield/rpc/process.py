"""A plugin that is a child process: stdin and stdout carry the messages, stderr is its log.

If the host is killed, its children read the end of their stdin, and are to end by themselves.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
from functools import partial
from typing import Any, Final

from jackfield.api import Program
from jackfield.rpc.channel import Serve
from jackfield.rpc.limits import Gauge, Limits
from jackfield.rpc.line import FLOODS, Line
from jackfield.rpc.noise import Noise, Tap
from jackfield.rpc.supervisor import Refused

INHERITED: Final = ("PATH", "LANG", "TZ", "HOME")
"""What a plugin's program is given of the host's environment."""
TERM: Final = 1.0
"""Seconds that its processes get to act on SIGTERM."""
_LAST_WORDS: Final = 0.3
"""Seconds in which the pipes of a process that has ended are read out."""


class Child(asyncio.SubprocessProtocol):
    """One life of a program."""

    proof = ""

    def __init__(self, serve: Serve, log: logging.Logger, limits: Limits) -> None:
        self._limits, self._why = limits, ""
        self._line = Line(serve, lambda line: log.info("stdout: %s", line), partial(self._pipe, 0), self._reader(1), self.end)
        self.channel = self._line.channel
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._stderr = Noise(lambda line: log.info("%s", line))
        self._tap = Tap(self._stderr.take, self._reader(2))
        self._gauge: Gauge | None = None

    # ------------------------------------------------------------------------------------------ the pipes

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._limits.limit_files(transport.get_pid())
        self._gauge = Gauge(transport.get_pid(), self._limits)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self._line if fd == 1 else self._tap).feed(data)

    def pipe_connection_lost(self, fd: int, fault: Exception | None) -> None:
        if fd != 2 and self._transport.get_returncode() is None and not self._why:  # without a log it can go on
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._deaf, "stdin" if fd == 0 else "stdout")

    def _pipe(self, fd: int) -> Any:
        """Return the transport of a pipe; None when it is closed."""
        pipe = self._transport.get_pipe_transport(fd)
        return None if pipe is None or pipe.is_closing() else pipe

    def _deaf(self, pipe: str) -> None:
        if self._transport.get_returncode() is None:
            self.end(f"closed its {pipe}")

    def _reader(self, fd: int) -> Any:
        def read(on: bool) -> None:
            if (pipe := self._pipe(fd)) is not None:
                (pipe.resume_reading if on else pipe.pause_reading)()

        return read

    def pause_writing(self) -> None:
        self.channel.pause()

    def resume_writing(self) -> None:
        self.channel.resume()

    # ---------------------------------------------------------------------------------------- its conduct

    async def check(self) -> str | None:
        """Say why it cannot go on, if it cannot. To be asked once a second."""
        self._stderr.flush()
        flood, why = self._tap.check(), self._line.check()  # each begins a new second
        if flood or why is not None:
            return why or FLOODS
        return None if self._gauge is None else await self._gauge.over()

    # -------------------------------------------------------------------------------------------- its end

    def process_exited(self) -> None:
        self._signal(signal.SIGKILL)  # what it has left behind
        if (pipe := self._pipe(0)) is not None:  # nobody is there to read what is left in it
            pipe.abort()
        asyncio.get_running_loop().call_later(_LAST_WORDS, self._finish)

    def connection_lost(self, fault: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        """All is read that it had to say."""
        if self.ended.done():
            return
        self._line.close()
        self._tap.close()
        self._stderr.close()
        code = self._transport.get_returncode()
        how = f"its process ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with status {code}"
        why = self._why or how + (f" ({words[:200]})" if code > 0 and (words := self._stderr.last_words) else "")
        self.channel.lose(why)
        self._transport.close()
        self.ended.set_result(why)

    def _signal(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), number)

    def end(self, why: str) -> None:
        """End it at once, for a reason: `floods its output`."""
        if not self.ended.done() and not self._why:
            self._why = f"it {why}, and was ended"
            self.channel.lose(self._why)
            self._signal(signal.SIGKILL)

    async def close(self, grace: float) -> None:
        """Close its stdin; end it where that does not."""
        self._why = self._why or "it was stopped"
        if (pipe := self._pipe(0)) is not None:
            pipe.close()
        for number, patience in ((0, grace), (signal.SIGTERM, TERM), (signal.SIGKILL, None)):
            if number and not self.ended.done():
                self._signal(number)
            await asyncio.wait((self.ended,), timeout=patience)


class ChildCarrier:
    """Starts a program."""

    again = "it is started again"
    most: int | None = 10

    def __init__(self, program: Program, limits: Limits) -> None:
        self._program, self._limits, self._told = program, limits, False

    async def open(self, serve: Serve, log: logging.Logger) -> Child:
        """Start the program. Raises `Refused`."""
        program, limits = self._program, self._limits
        if os.name != "posix":
            raise Refused("programs as plugins need Linux or macOS")
        env = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(program.env)
        if program.folder is not None and not program.folder.is_dir():
            raise Refused(f"cannot start {program.command[0]!r}: there is no folder {program.folder}; correct process.cwd")
        try:
            _, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: Child(serve, log, limits), *program.command, cwd=program.folder, env=env, start_new_session=True
            )
        except OSError as fault:
            raise Refused(f"cannot start {program.command[0]!r}: {_what(fault, program)}") from None
        except ValueError as fault:  # a null byte
            raise Refused(f"cannot start {program.command[0]!r}: {fault}") from None
        if (unsupported := limits.unsupported()) and not self._told:
            self._told = True
            log.warning("this system has no means for process.%s: it is not limited", " and process.".join(unsupported))
        return child


def _what(fault: OSError, program: Program) -> str:
    """Return what went wrong and what to do."""
    where = program.folder if "/" in program.command[0] else "PATH"
    hints = {
        errno.ENOENT: f" in {where}; install it, or correct `command`",
        errno.EACCES: "; make it executable: chmod +x",
        errno.ENOEXEC: "; a script begins with `#!` and its interpreter",
    }
    return (fault.strerror or str(fault)) + hints.get(fault.errno or 0, "")
