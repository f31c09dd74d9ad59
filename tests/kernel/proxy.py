"""Proxies for tests: one of HTTP and one of SOCKS5. They note what passes, and they alone know the names of the servers behind them."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

REFUSED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


class Proxy:
    """What both kinds share. `names` leads from host names, which nobody else can resolve, to servers of the test's.

    `targets` has what connections were asked for, as `host:port`; `opened` counts those that came about; `logins` has what
    user and password clients gave.
    """

    scheme = "http"

    def __init__(self, names: Mapping[str, str] | None = None, *, login: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._names, self.login, self._tls = {name: urlsplit(url) for name, url in (names or {}).items()}, login, tls
        self.targets: list[str] = []
        self.logins: list[str] = []
        self.opened = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"{self.scheme}{'s' if self._tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _open(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to where a target leads. Raises `OSError` when it cannot."""
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        known = self._names.get(host)
        pair = await asyncio.open_connection(known.hostname if known else host, known.port if known else int(port))
        self.opened += 1
        return pair


async def _join(one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Pass bytes on in both directions until both sides are done."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()

    await asyncio.gather(carry(one[0], other[1]), carry(other[0], one[1]), return_exceptions=True)


class HttpProxy(Proxy):
    """Takes CONNECT, and requests whose target is a whole URL."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if given := headers.get("proxy-authorization", "").removeprefix("Basic "):
            self.logins.append(base64.b64decode(given).decode())
        if self.login and self.login not in self.logins:
            writer.write(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return
        url = urlsplit(target)
        try:
            up = await self._open(target if method == "CONNECT" else f"{url.hostname}:{url.port or 80}")
        except OSError:
            writer.write(REFUSED)
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Established\r\n\r\n")
        else:
            kept = [line for line in lines if line and not line.lower().startswith("proxy-")]
            up[1].write("\r\n".join([f"{method} {url.path} HTTP/1.1", *kept, "", ""]).encode("latin-1"))
        await _join((reader, writer), up)


class SocksProxy(Proxy):
    """SOCKS5 (RFC 1928), with user and password where it is told some (RFC 1929)."""

    scheme = "socks5"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login:
            await reader.readexactly(1)
            user, password = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
            self.logins.append(f"{user}:{password}")
            writer.write(b"\x01\x00" if self.logins[-1] == self.login else b"\x01\x01")
        _, _, _, kind = await reader.readexactly(4)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        raw = await reader.readexactly(size)
        host = raw.decode() if kind == 3 else ".".join(map(str, raw))
        port = int.from_bytes(await reader.readexactly(2))
        try:
            up = await self._open(f"{host}:{port}")
        except OSError:
            writer.write(b"\x05\x04\x00\x01" + bytes(6))
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await _join((reader, writer), up)


class SilentProxy(Proxy):
    """Takes connections and says nothing, until whoever asked has gone."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.targets.append("?")
        await reader.read()
