"""The control socket of a host that runs: who may open it may ask for reloads and the like.

Each line is a request, a JSON object with `do` and what belongs to it; each is answered by one line, with `result` or `error`.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from jackfield.cli.operating import Refusal
from jackfield.settings import Config

log = logging.getLogger("jackfield")

_LONGEST: Final = 1 << 20
"""Bytes of a request."""
_PATIENCE: Final = 150.0
"""Seconds that an answer may take: plugins may take their time to start, one after the other."""
SUPPORTED: Final = hasattr(socket, "AF_UNIX") and hasattr(asyncio, "start_unix_server")
"""Whether the system has such sockets."""


class NotRunning(Exception):
    """There is no host to ask; the message says where it was looked for."""


def socket_path(config: Config, port: int) -> Path | None:
    """Return where the control socket of a host that listens on a port is; None where the configuration wants none."""
    said = config.server.control
    if said is not None:
        return Path(said).expanduser() if said else None
    return runtime_folder() / f"{port}.sock"


def worker_path(config: Config, port: int, worker: int) -> Path | None:
    """Return where the control socket of one of several workers is."""
    path = socket_path(config, port)
    return None if path is None else path.with_name(f"{path.name}.{worker}")


def runtime_folder() -> Path:
    """Return the folder of control sockets: the one that the system has for such things, else one beside what is kept."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "jackfield"
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "jackfield" / "run"
    except RuntimeError:  # a user without a name or a home, as in some containers
        return Path(tempfile.gettempdir()) / f"jackfield-{os.getuid()}"


# ------------------------------------------------------------------------------------------------ serving


class Asked(Protocol):
    """Who answers what is asked over the socket."""

    def asked(self, what: str, said: Mapping[str, Any]) -> Awaitable[Any]:
        """Return the answer to a request by its name. Raises `Refusal` for one that there is not."""


class Control:
    """Serves the control socket of one host."""

    def __init__(self, operator: Asked, path: Path, *, chosen: bool, takes_over: bool = False) -> None:
        """`chosen` says that the operator chose the path; `takes_over` that who is there is about to leave."""
        self._operator, self._path, self._chosen, self._takes_over = operator, path, chosen, takes_over
        self._server: asyncio.Server | None = None
        self._mine: os.stat_result | None = None

    async def start(self) -> bool:
        """Listen; tell whether that could be done. Why not is said in the log: the host serves all the same."""
        try:
            held = self._bound()
            self._server = await asyncio.start_unix_server(self._serve, sock=held, limit=_LONGEST)
            self._mine = self._path.stat()
        except OSError as fault:
            log.warning(
                "no control socket at %s: %s; `jackfield reload` and the like cannot reach this host (server.control)",
                self._path,
                fault.strerror or fault,
            )
            return False
        return True

    async def stop(self) -> None:
        """Listen no more, and take the socket away if it is still this host's."""
        if self._server is not None and self._mine is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                if os.path.samestat(self._path.stat(), self._mine):
                    self._path.unlink()

    def _bound(self) -> socket.socket:
        """Return a socket that is bound to the path, readable for the owner alone."""
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._chosen:
            if folder.stat().st_uid != os.getuid():
                raise OSError(f"{folder} is another user's")
            folder.chmod(0o700)
        if not self._takes_over and alive(self._path):
            raise OSError("another host's is there")
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise OSError("a file that is no socket is there")
            self._path.unlink()
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # from the first moment on
        try:
            held.bind(str(self._path))
        except BaseException:
            held.close()
            raise
        finally:
            os.umask(before)
        return held

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # gone; or a line that is too long
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            said = json.loads(line)
            return {"result": await self._operator.asked(str(said.pop("do")), said)}
        except Refusal as refusal:
            return {"error": str(refusal)}
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            return {"error": f"not a request: {type(fault).__name__}: {fault}"}


# ------------------------------------------------------------------------------------------------- asking


def alive(path: Path) -> bool:
    """Tell whether somebody serves a control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(str(path))
        except OSError:
            return False
        return True


def ask(path: Path, what: str, **said: Any) -> Any:
    """Ask the host that serves a control socket. Raises `NotRunning` where there is none, `Refusal` with what the host says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(_PATIENCE)
        try:
            asked.connect(str(path))
        except OSError as fault:
            what = "no control socket" if isinstance(fault, FileNotFoundError | ConnectionRefusedError) else f"{fault.strerror or fault}:"
            raise NotRunning(f"no host is running ({what} at {path}){_others(path)}") from None
        try:
            asked.sendall(json.dumps({"do": what, **said}).encode() + b"\n")
            line = asked.makefile("rb").readline()
        except OSError as fault:
            raise Refusal(f"the host does not answer ({fault.strerror or fault})") from None
    if not line:
        raise Refusal("the host has ended without an answer")
    answer = json.loads(line)
    if "error" in answer:
        raise Refusal(str(answer["error"]))
    return answer["result"]


def _others(path: Path) -> str:
    """Say which other hosts run."""
    found = sorted(other.stem for other in runtime_folder().glob("*.sock") if other != path and alive(other))
    return f"; there is one on port {', '.join(found)} (--port)" if found else ""
