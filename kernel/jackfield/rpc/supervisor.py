"""Keeps a plugin's program running: starts it, shakes hands, starts it anew when it ends, stops it."""

import asyncio
import contextlib
import logging
import os
import random
import signal
from collections.abc import Callable
from typing import Any, Final

import msgspec

from jackfield.api import Program
from jackfield.rpc import wire
from jackfield.rpc.channel import Channel, Gone, RpcFault, Serve

HANDSHAKE: Final = 10.0
"""Seconds in which a plugin must have said who it is."""
GRACE: Final = 5.0
"""Seconds that it gets to end by itself."""
_FIRST_PAUSE, _LONGEST_PAUSE, _GIVE_UP = 0.1, 30.0, 10
_registration = msgspec.json.Decoder(wire.Registration).decode
INHERITED: Final = ("PATH", "LANG", "TZ", "HOME")
"""What a plugin's program is given of the host's environment."""


class Refused(Exception):
    """The plugin cannot be used; the message says why."""


class Child(asyncio.SubprocessProtocol):
    """One life of a program."""

    def __init__(self, serve: Serve, log: logging.Logger, lost: Callable[["Child", str], None]) -> None:
        self._log, self._lost, self._stderr = log, lost, b""
        self.channel = Channel(self._write, serve, noise=self._noise, broken=self.kill)
        self.transport: Any = None
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def _write(self, data: bytes) -> None:
        self.transport.get_pipe_transport(0).write(data)

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
        code = self.transport.get_returncode()
        reason = f"its process ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with status {code}"
        self.channel.lose(reason)
        if not self.ended.done():
            self.ended.set_result(None)
        self._lost(self, reason)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.transport.get_pid(), number)

    def kill(self, reason: str) -> None:
        """End it at once."""
        self._log.error("it %s, and is ended", reason)
        self.channel.lose(reason)
        self.signal_group(signal.SIGKILL)


class Supervisor:
    """One plugin's program, through all its lives."""

    def __init__(self, plugin: str, program: Program, register: wire.Register, serve: Serve, log: logging.Logger) -> None:
        self._plugin, self._program, self._register, self._serve, self._log = plugin, program, register, serve, log
        self._child: Child | None = None
        self._away, self._closing, self._failures = "it has not started", False, 0
        self._restarting: asyncio.Task[None] | None = None

    def channel(self) -> Channel:
        """Return the connection as it is now. Raises `Gone` where there is none."""
        if self._child is None:
            raise Gone(self._away)
        return self._child.channel

    async def start(self) -> wire.Registration:
        """Start the program and have it say what it is. Raises `Refused`."""
        program = self._program
        env = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(program.env)
        try:
            _, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: Child(self._serve, self._log, self._lost), *program.command, cwd=program.folder, env=env, start_new_session=True
            )
        except OSError as fault:
            raise Refused(f"cannot start {program.command[0]!r}: {fault.strerror or fault}") from None
        try:
            async with asyncio.timeout(HANDSHAKE):
                said = _registration(await child.channel.request("plugin.register", self._register))
            if said.schema_version > wire.SCHEMA_VERSION:
                raise Refused(f"it was written for version {said.schema_version} of the protocol; this host speaks {wire.SCHEMA_VERSION}")
        except (TimeoutError, RpcFault, Gone, msgspec.ValidationError, Refused) as fault:
            child.signal_group(signal.SIGKILL)
            await child.ended
            child.transport.close()
            raise Refused(str(fault) or f"it did not answer plugin.register within {HANDSHAKE:g} s") from None
        self._child = child
        return said

    def _lost(self, child: Child, reason: str) -> None:
        child.signal_group(signal.SIGKILL)  # what it has left behind
        child.transport.close()
        if child is self._child and not self._closing:
            self._child, self._away = None, reason
            self._log.error("%s; it is started again", reason)
            self._restarting = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        while not self._closing:
            pause = min(_FIRST_PAUSE * 2**self._failures, _LONGEST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            try:
                await self.start()
                self._log.info("it runs again")
                return
            except Refused as fault:
                self._failures += 1
                self._away = str(fault)
                if self._failures >= _GIVE_UP:
                    self._log.error("given up after %d attempts: %s", self._failures, fault)
                    return

    async def close(self) -> None:
        """Let it finish, and stop it."""
        self._closing = True
        if self._restarting is not None:
            self._restarting.cancel()
        if (child := self._child) is None:
            return
        try:
            async with asyncio.timeout(GRACE):
                await child.channel.request("plugin.shutdown", wire.Shutdown(grace=GRACE))
                child.transport.get_pipe_transport(0).close()
                await child.ended
        except (TimeoutError, RpcFault, Gone):
            for number in (signal.SIGTERM, signal.SIGKILL):
                child.signal_group(number)
                await asyncio.wait((child.ended,), timeout=1)
        await child.channel.settle()
