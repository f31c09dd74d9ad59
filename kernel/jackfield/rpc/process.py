"""A plugin that is a child process: stdin and stdout carry the messages, stderr is its log."""

import asyncio
import contextlib
import logging
import os
import signal
from typing import Any, Final

from jackfield.api import Program
from jackfield.rpc.channel import Channel, Serve
from jackfield.rpc.supervisor import Refused

INHERITED: Final = ("PATH", "LANG", "TZ", "HOME")
"""What a plugin's program is given of the host's environment."""


class Child(asyncio.SubprocessProtocol):
    """One life of a program."""

    def __init__(self, serve: Serve, log: logging.Logger) -> None:
        self._log, self._stderr, self._why = log, b"", ""
        self.channel = Channel(self._write, serve, noise=self._noise, broken=self._broken)
        self._transport: Any = None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def _write(self, data: bytes) -> None:
        self._transport.get_pipe_transport(0).write(data)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.channel.feed(data)
            return
        *lines, self._stderr = (self._stderr + data).split(b"\n")
        for line in lines:
            self._log.info("%s", line.decode(errors="replace"))

    def _noise(self, line: bytes) -> None:
        self._log.info("stdout: %s", line.decode(errors="replace")[:500])

    def pause_writing(self) -> None:
        self.channel.pause()

    def resume_writing(self) -> None:
        self.channel.resume()

    def process_exited(self) -> None:
        code = self._transport.get_returncode()
        how = f"its process ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with status {code}"
        why = self._why or how
        self.channel.lose(why)
        self._signal(signal.SIGKILL)  # what it has left behind
        self._transport.close()
        if not self.ended.done():
            self.ended.set_result(why)

    def _signal(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), number)

    def _broken(self, reason: str) -> None:
        self._why = f"it {reason}"
        self.channel.lose(self._why)
        self.end()

    def end(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def close(self, grace: float) -> None:
        """Close its stdin; end it where that does not."""
        self._transport.get_pipe_transport(0).close()
        for number, patience in ((0, grace), (signal.SIGTERM, 1.0), (signal.SIGKILL, None)):
            if number and not self.ended.done():
                self._signal(number)
            await asyncio.wait((self.ended,), timeout=patience)


class ChildCarrier:
    """Starts a program."""

    again = "it is started again"
    most: int | None = 10

    def __init__(self, program: Program) -> None:
        self._program = program

    async def open(self, serve: Serve, log: logging.Logger) -> Child:
        """Start the program. Raises `Refused`."""
        program = self._program
        env = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(program.env)
        try:
            _, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: Child(serve, log), *program.command, cwd=program.folder, env=env, start_new_session=True
            )
        except OSError as fault:
            raise Refused(f"cannot start {program.command[0]!r}: {fault.strerror or fault}") from None
        return child
