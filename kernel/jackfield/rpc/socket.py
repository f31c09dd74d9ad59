"""A plugin that runs by itself and listens on a unix socket: who may be at its other end, and the connection to it."""

import asyncio
import hmac
import logging
import os
import secrets
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Secret
from jackfield.rpc import wire
from jackfield.rpc.channel import Asked, Serve
from jackfield.rpc.errors import NOT_GRANTED, Gone, RpcFault
from jackfield.rpc.line import Line
from jackfield.rpc.supervisor import Refused

_proof = msgspec.json.Decoder(wire.Proof).decode


class Socket(msgspec.Struct, frozen=True):
    """Where a plugin listens, and the secret that both sides prove, where there is one."""

    path: Path
    secret: Secret | None = None


def socket_of(said: Any, folder: Path) -> Socket:
    """Return what `plugins.<id>.socket` says: a path, relative to a folder, or a path and a secret."""
    path, secret = (said, None) if isinstance(said, str) else (said.path, said.secret)
    return Socket(path=folder.absolute() / Path(path).expanduser(), secret=secret)


class Connection(asyncio.Protocol):
    """One connection to a plugin. As long as it is not trusted, nothing is answered that it asks."""

    def __init__(self, serve: Serve, log: logging.Logger) -> None:
        self._ask, self._why, self.proof, self.trusted = serve, "", "", False
        self._line = Line(self._serve, lambda line: log.info("no message: %s", line), self._out, self._read, self.end)
        self.channel = self._line.channel
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._line.feed(data)

    def _out(self) -> Any:
        return None if self._transport.is_closing() else self._transport

    def _read(self, on: bool) -> None:
        if (transport := self._out()) is not None:
            (transport.resume_reading if on else transport.pause_reading)()

    def pause_writing(self) -> None:
        self.channel.pause()

    def resume_writing(self) -> None:
        self.channel.resume()

    async def _serve(self, method: str, params: msgspec.Raw, asked: Asked | None) -> Any:
        if not self.trusted:
            raise RpcFault(NOT_GRANTED, "prove first that you know the secret")
        return await self._ask(method, params, asked)

    async def check(self) -> str | None:
        """Say why it cannot go on, if it cannot. To be asked once a second."""
        return self._line.check()

    def connection_lost(self, fault: Exception | None) -> None:
        self._line.close()
        why = self._why or "its connection was closed"
        self.channel.lose(why)
        self.ended.set_result(why)

    def end(self, why: str) -> None:
        """Cut the connection, for a reason: `floods its connection`."""
        if not self.ended.done() and not self._why:
            self._why = f"it {why}, and was cut off"
            self.channel.lose(self._why)
            self._transport.abort()

    async def close(self, grace: float) -> None:
        """Close the connection, when what was written is sent."""
        self._why = self._why or "its connection was closed"
        self._transport.close()
        await asyncio.wait((self.ended,), timeout=grace)
        self._transport.abort()
        await asyncio.wait((self.ended,))


class SocketCarrier:
    """Connects to a plugin that runs by itself, as often as that is lost."""

    again = "it is reached again as soon as it is there"
    most: int | None = None

    def __init__(self, plugin: str, where: Socket, patience: float) -> None:
        self._plugin, self._where, self._patience, self._told = plugin, where, patience, False

    async def open(self, serve: Serve, log: logging.Logger) -> Connection:
        """Connect, and see who is there. Raises `Refused`."""
        if not hasattr(socket, "AF_UNIX"):
            raise Refused("plugins behind a unix socket need Linux or macOS")
        path, loop = self._where.path, asyncio.get_running_loop()
        end = socket.socket(socket.AF_UNIX)
        end.setblocking(False)
        try:
            _check_file(path)
            await loop.sock_connect(end, str(path))
            self._check_peer(end, log)
            _, connection = await loop.create_unix_connection(lambda: Connection(serve, log), sock=end)
        except OSError as fault:
            end.close()
            missing = isinstance(fault, FileNotFoundError | ConnectionRefusedError)
            why = "nobody listens there; start the plugin" if missing else fault.strerror or str(fault)
            raise Refused(f"cannot connect to {path}: {why}") from None
        except BaseException:
            end.close()
            raise
        try:
            if self._where.secret is not None:
                await self._prove(connection, self._where.secret.reveal().encode())
        except BaseException:
            connection.end("is not used")
            await asyncio.shield(connection.ended)
            raise
        connection.trusted = True
        return connection

    def _check_peer(self, end: socket.socket, log: logging.Logger) -> None:
        user = _user_at(end)
        if user is None and not self._told:
            self._told = True
            log.warning("this system does not tell who listens on %s: that its file is nobody else's has to be enough", self._where.path)
        if user not in (None, 0, os.getuid()):
            raise Refused(f"another user (uid {user}) listens on {self._where.path}; run the plugin as the host's user")

    async def _prove(self, connection: Connection, secret: bytes) -> None:
        """Have the plugin prove that it knows the secret, and make the proof that it asks for in turn."""
        mine = secrets.token_hex(32)
        try:
            async with asyncio.timeout(self._patience):
                said = _proof(await connection.channel.request("plugin.challenge", wire.Challenge(plugin=self._plugin, challenge=mine)))
        except (TimeoutError, RpcFault, Gone, ValueError) as fault:
            why = f"nothing within {self._patience:g} s" if isinstance(fault, TimeoutError) else fault
            raise Refused(f"it could not prove that it knows the secret: {why}") from None
        if not hmac.compare_digest(said.proof.encode(), proof(secret, "plugin", mine).encode()):
            raise Refused(f"it does not know the secret of plugins.{self._plugin}.socket.secret")
        connection.proof = proof(secret, "host", said.challenge) if said.challenge else ""


def proof(secret: bytes, who: str, challenge: str) -> str:
    """Return what proves that somebody (`host` or `plugin`) knows a secret (RFC 2104)."""
    return hmac.digest(secret, f"{who}:{challenge}".encode(), "sha256").hex()


def _check_file(path: Path) -> None:
    """See that nobody but the user and root can listen on a socket's file, or connect to it. Raises `Refused`, `OSError`."""
    status = path.stat()
    if not stat.S_ISSOCK(status.st_mode):
        raise Refused(f"{path} is no socket")
    if status.st_uid not in (0, os.getuid()):
        raise Refused(f"{path} belongs to another user (uid {status.st_uid}); run the plugin as the host's user")
    if status.st_mode & 0o077:
        raise Refused(f"others may connect to {path}: chmod 600 {path}")


def _user_at(end: socket.socket) -> int | None:
    """Return the user at a socket's other end, where the system tells."""
    if hasattr(socket, "SO_PEERCRED"):
        _, user, _ = struct.unpack("iII", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(user)
    if sys.platform == "darwin":
        _, user = struct.unpack_from("II", end.getsockopt(0, 1, 76))  # SOL_LOCAL, LOCAL_PEERCRED: a struct xucred
        return int(user)
    return None
