"""One life of a plugin's program as the check sees it: what is sent and what comes is kept, and nothing is waited for without end."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from jackfield import __version__
from jackfield.api.program import Program
from jackfield.api.testing.conformance.report import Wrong
from jackfield.api.testing.conformance.scripted import ScriptedHost
from jackfield.rpc import wire
from jackfield.rpc.channel import Channel
from jackfield.rpc.errors import Gone, RpcFault
from jackfield.rpc.noise import telling

HANDSHAKE: Final = 10.0
"""Seconds in which a plugin must have said who it is."""
FRAME: Final = 16 << 20
BODY_FILE: Final = 4 << 20
INHERITED: Final = ("PATH", "LANG", "TZ", "HOME")
_MOST_LINES, _MOST_BYTES = 100_000, 256 << 20
"""What one life of a plugin may write to its stdout."""
_LOOKS: Final = 2000
_SHOWN: Final = 160


class Line(msgspec.Struct, frozen=True):
    """One line that the plugin wrote on its stdout, and what it says; None where it is no JSON object."""

    raw: bytes
    said: dict[str, Any] | None


class Peer(asyncio.SubprocessProtocol):
    """The program, and the connection to it."""

    def __init__(self, program: Program, host: ScriptedHost) -> None:
        self._program, self._host = program, host
        self.channel = Channel(self._write, host.serve, limit=FRAME, broken=lambda reason: self.channel.lose(f"it {reason}"))
        self.lines, self.sent, self.stderr = list[Line](), list[dict[str, Any]](), b""
        self.part = b""
        """What it wrote after the last line end."""
        self.killed = False
        """Whether the check ended it."""
        self.pieces: list[bytes] | None = None
        """Where it is a list, what is to be sent is put there instead."""
        self.code: int | None = None
        self._received = 0
        self._changed = asyncio.Event()
        self._transport: Any = None
        self.ended = asyncio.get_running_loop().create_future()
        self.said: wire.Registration | None = None
        """What it says that it is, once it has registered."""

    # -------------------------------------------------------------------------------------------- its life

    async def start(self) -> None:
        """Start the program. Raises `Wrong`."""
        command, env = self._program.command, {name: os.environ[name] for name in INHERITED if name in os.environ}
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: self, *command, cwd=self._program.folder, env={**env, **self._program.env}, start_new_session=True
            )
        except (OSError, ValueError) as fault:
            says = getattr(fault, "strerror", None) or fault
            raise Wrong(f"{command[0]!r} cannot be started: {says}; see that it is built, and may be executed") from None

    async def register(self, plugin: str, config: object, schema_version: int = wire.SCHEMA_VERSION) -> msgspec.Raw:
        """Shake hands and return what it says it is. Raises `Wrong`, or `RpcFault` where it answers with an error."""
        about = wire.HostAbout(version=__version__, capabilities=["streams", "tables", "body_file"])
        bounds = wire.Bounds(frame=FRAME, body_file=BODY_FILE)
        asked = wire.Register(schema_version=schema_version, host=about, plugin=plugin, config=config, limits=bounds)
        return await self.ask("plugin.register", asked, HANDSHAKE, "")

    def connection_made(self, transport: Any) -> None:
        """Keep what carries the pipes."""
        self._transport = transport

    def process_exited(self) -> None:
        """Tell whoever waits that it has ended."""
        self.code = self._transport.get_returncode()
        self.channel.lose(f"its process ended {self.how_it_ended()}")
        if not self.ended.done():
            self.ended.set_result(None)
        self._changed.set()

    def how_it_ended(self) -> str:
        """Return by what its process ended, and its last words."""
        code = self.code or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        last = telling(self.stderr.strip().splitlines()).decode(errors="replace")
        return f"{how} ({last[:_SHOWN]})" if last else how

    def close_stdin(self) -> None:
        """Let it read an end of file."""
        self._transport.get_pipe_transport(0).close()

    def signal(self, number: int) -> None:
        """Send it a signal, not its children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._transport.get_pid(), number)

    @property
    def started(self) -> bool:
        """Whether it could be started."""
        return self._transport is not None

    @property
    def pid(self) -> int:
        """The number of its process, which is that of its group."""
        return int(self._transport.get_pid())

    def group(self) -> list[int]:
        """Return the processes of its group that have not ended; none where nobody can say."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError):
                state, _, group = entry.read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.pid and state != "Z":
                    found.append(int(entry.parent.name))
        return found

    async def has_ended(self, within: float) -> bool:
        """Wait for its end; tell whether it came."""
        await asyncio.wait((self.ended,), timeout=within)
        return self.ended.done()

    async def close(self) -> None:
        """End it and all that it has started."""
        if self._transport is None:
            return
        self._kill()
        self.channel.lose("it was ended")
        await self.ended
        self._transport.close()
        await self.channel.settle()

    def _kill(self) -> None:
        self.killed = self.killed or self.code is None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    # ------------------------------------------------------------------------------------------- messages

    def _write(self, data: bytes) -> None:
        self.sent.append(msgspec.json.decode(data))
        if self.pieces is not None:
            self.pieces.append(data)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Write bytes to its stdin, where that is open."""
        pipe = self._transport.get_pipe_transport(0)
        if not pipe.is_closing():
            pipe.write(data)

    async def drain(self) -> None:
        """Wait a little until it has read what was written, where the system can tell; else give it time to."""
        try:
            import fcntl  # noqa: PLC0415 (not everywhere)
            import termios  # noqa: PLC0415
        except ImportError:
            await asyncio.sleep(0.001)
            return
        pipe = self._transport.get_pipe_transport(0).get_extra_info("pipe")
        for _ in range(_LOOKS):
            try:
                waiting = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, b"\0" * 4)
            except (OSError, ValueError):
                break
            if not any(waiting):
                return
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    def send(self, message: dict[str, Any]) -> None:
        """Write a message as it is given, past the channel."""
        self.sent.append(message)
        self.write(msgspec.json.encode(message) + b"\n")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what it writes, line by line, and hand it on."""
        if fd != 1:
            self.stderr = (self.stderr + data)[-4096:]
            return
        self._received += len(data)
        if len(self.lines) > _MOST_LINES or self._received > _MOST_BYTES:
            self.channel.lose(f"it wrote {self._received} bytes in {len(self.lines)} lines, far more than was asked for, and was ended")
            self._kill()
            return
        *lines, self.part = (self.part + data).split(b"\n")
        self.lines += [_line(line) for line in lines if line]
        self.channel.feed(data)
        self._changed.set()

    async def until(self, true: Callable[[], bool], within: float) -> bool:
        """Wait until something is so, looked at whenever something came; tell whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not true() and self.code is None:
                    self._changed.clear()
                    await self._changed.wait()
        return true()

    async def ask(self, method: str, params: Any, within: float, about: str) -> msgspec.Raw:
        """Send a request and return its result. Raises `Wrong` where no answer comes, `RpcFault` for an error."""
        what = f"{method} was sent{about}"
        try:
            async with asyncio.timeout(within):
                return await self.channel.request(method, params)
        except TimeoutError:
            why = f"{what}, and no answer came within {within:g} s"
            raise Wrong(f"{why}; answer every request, with a null where there is nothing to say") from None
        except Gone as fault:
            raise Wrong(f"{what}, and {fault}; a plugin ends when its stdin is closed, and not before") from None

    def answers(self, id: int | str) -> Sequence[dict[str, Any]]:
        """Return the answers that came to a request."""
        return [line.said for line in self.lines if line.said is not None and "method" not in line.said and line.said.get("id") == id]

    def told(self, method: str, stream: str) -> list[dict[str, Any]]:
        """Return the params of all notifications of a stream that came."""
        said = [line.said for line in self.lines if line.said is not None and line.said.get("method") == method]
        return [one["params"] for one in said if isinstance(one.get("params"), dict) and one["params"].get("stream") == stream]


def _line(raw: bytes) -> Line:
    try:
        said = msgspec.json.decode(raw)
    except ValueError:
        said = None
    return Line(raw, said if isinstance(said, dict) else None)


def shown(raw: object) -> str:
    """Return what was said, short enough for a sentence."""
    text = bytes(raw).decode(errors="replace") if isinstance(raw, bytes | msgspec.Raw) else msgspec.json.encode(raw).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def said_of(fault: RpcFault) -> str:
    """Return an answered error in a few words."""
    return f"error {fault.code} ({fault.message[:_SHOWN] or 'no message'})"


def plain(params: object) -> Any:
    """Return params as the JSON that they are sent as."""
    return msgspec.json.decode(msgspec.json.encode(params))
