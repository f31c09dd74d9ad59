"""An upstream for tests: an HTTP/1.1 server that says byte for byte what a script tells it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any, Self

import msgspec

from jackfield.api.headers import Headers


class Received(msgspec.Struct, kw_only=True):
    """One request as it came in."""

    method: str
    target: str
    """Path and query."""
    headers: Headers
    body: bytes
    connection: int
    """Which connection it came on, counted from 1."""

    @property
    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


Script = Callable[["Received", "Wire"], Awaitable[None]]
"""Answers one request by writing to the wire."""


class Wire:
    """The way back to the client: raw bytes, and nothing that helps."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.gone = asyncio.Event()
        """Set once the other side has closed the connection."""

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    def abort(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()


class ScriptedUpstream:
    """Serves each request with the next script; the last one serves all further requests.

    `requests` has what came in, `open` counts the connections that are open now. With `tls` it speaks HTTPS.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts, self._tls = list(scripts), tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Received] = []
        self.open = 0
        self.connections = 0
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, or `https`."""
        assert self._server is not None
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something about this upstream is so; looked at whenever a request or connection comes or goes."""
        async with self._changed:
            await self._changed.wait_for(true)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        self.connections += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            self.open -= 1
            writer.close()
            await self._note()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while (received := await _read(reader, number)) is not None:
            self.requests.append(received)
            await self._note()
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            wire = Wire(writer)
            watching = asyncio.create_task(_watch(reader, wire))
            try:
                await script(received, wire)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            if writer.is_closing() or wire.gone.is_set():
                return


async def _watch(reader: asyncio.StreamReader, wire: Wire) -> None:
    """Notice that the client goes away while a script is at work."""
    while not reader.at_eof():
        if reader._buffer:  # type: ignore[attr-defined]  # a further request is waiting; it will be read in turn
            return
        await reader._wait_for_data("watch")  # type: ignore[attr-defined]
    wire.gone.set()


async def _read(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = Headers(tuple(line.split(": ", 1)) for line in lines if line)  # type: ignore[misc]
    body = b""
    if (headers.get("transfer-encoding") or "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif length := int(headers.get("content-length") or 0):
        body = await reader.readexactly(length)
    return Received(method=method, target=target, headers=headers, body=body, connection=connection)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    return f"HTTP/1.1 {status} Status\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"


def json_answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Script:
    """Return a script that answers with a whole body: bytes as they are, or anything that encodes as JSON."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def _script(received: Received, wire: Wire) -> None:
        named = {"Content-Type": "application/json", **(headers or {}), "Content-Length": str(len(raw))}
        await wire.send(_head(status, named) + raw)

    return _script


def sse_answer(
    pieces: Iterable[bytes] | AsyncIterable[bytes], *, status: int = 200, headers: Mapping[str, str] | None = None, end: bool = True
) -> Script:
    """Return a script that streams pieces, each as one chunk; without `end` the connection breaks after the last."""

    async def _script(received: Received, wire: Wire) -> None:
        named = {"Content-Type": "text/event-stream", **(headers or {}), "Transfer-Encoding": "chunked"}
        await wire.send(_head(status, named))
        if isinstance(pieces, AsyncIterable):
            async for piece in pieces:
                await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            for piece in pieces:
                await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        if end:
            await wire.send(b"0\r\n\r\n")
        else:
            wire.abort()

    return _script
