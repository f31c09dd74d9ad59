"""An HTTP client without manners: it sends the bytes it is given, and shows what came back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from jackfield.api import Headers

WAIT = 10.0
"""Seconds after which an answer is missing."""
CHAT = "/v1/chat/completions"
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1735689600,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class RawAnswer(msgspec.Struct, kw_only=True):
    """One answer as it came."""

    status: int
    headers: Headers
    body: bytes
    whole: bool = True
    """The body came to its end as its framing says, not by a broken connection."""

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """What stands under `error`."""
        return self.json["error"]


def head(method: str = "POST", target: str = CHAT, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a request's head. A header given replaces the usual one of that name; None would be no text, so '' stays."""
    usual = {"Host": "localhost", "Content-Type": "application/json"} if method == "POST" else {"Host": "localhost"}
    lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in (usual | dict(headers or {})).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(body: object = QUESTION, method: str = "POST", target: str = CHAT, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a whole request; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(method, target, {"Content-Length": str(len(raw)), **(headers or {})}) + raw


def get(target: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a GET."""
    return head("GET", target, headers)


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class RawClient:
    """One connection to a host."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        async with asyncio.timeout(WAIT):
            await self.writer.drain()

    async def answer(self) -> RawAnswer:
        """Read one answer."""
        async with asyncio.timeout(WAIT):
            status, headers = await self.head()
            if (headers.get("transfer-encoding") or "").lower() == "chunked":
                pieces = []
                try:
                    while piece := await self.chunk():
                        pieces.append(piece)
                except asyncio.IncompleteReadError:
                    return RawAnswer(status=status, headers=headers, body=b"".join(pieces), whole=False)
                return RawAnswer(status=status, headers=headers, body=b"".join(pieces))
            size = headers.get("content-length")
            body = await (self.reader.readexactly(int(size)) if size is not None else self.reader.read())
            return RawAnswer(status=status, headers=headers, body=body)

    async def head(self) -> tuple[int, Headers]:
        """Read an answer's head."""
        async with asyncio.timeout(WAIT):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [tuple(line.split(": ", 1)) for line in lines if line]
        return int(first.split(" ", 2)[1]), Headers(pairs)  # type: ignore[arg-type]

    async def chunk(self) -> bytes:
        """Read one chunk of an answer; b'' is the last one."""
        async with asyncio.timeout(WAIT):
            size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def closed(self) -> bool:
        """Wait until the other side has closed the connection, without another byte."""
        async with asyncio.timeout(WAIT):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def exchange(self, data: bytes) -> RawAnswer:
        """Send a request and read its answer."""
        await self.send(data)
        return await self.answer()


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[RawClient]:
    """Open a connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


async def exchange(url: str, data: bytes) -> RawAnswer:
    """Send a request over a connection of its own and read the answer."""
    async with connect(url) as client:
        return await client.exchange(data)
