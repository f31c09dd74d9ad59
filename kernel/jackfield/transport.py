"""Send requests to upstreams: connection pools, time limits, origins, and faults told in plain words.

All of aiohttp's client side is here. Providers and plugins see `HttpRequest` and `HttpResponse` alone.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from jackfield import __version__
from jackfield.addresses import is_ip, is_public, origin_of
from jackfield.api import CallError, Headers, HttpRequest, Spooled, failure
from jackfield.credentials import Account
from jackfield.settings import Limits, Timeouts
from jackfield.sweeper import Sweeper, Watch

PIECE: Final = 256 << 10
"""Bytes of a large body written at once: enough to keep a socket busy, few enough to keep memory flat."""
_LARGE: Final = 1 << 20
_MAX_URLS: Final = 4096
_HEADER_LIMIT: Final = 64 << 10
_LAST_MOMENT: Final = 1.0
"""Seconds that an upstream gets to end an answer whose terminal event has come, so that its connection can be used again."""
_FIXED: Final = (("User-Agent", f"jackfield/{__version__}"), ("Accept-Encoding", "identity"))


class Response:
    """An upstream's answer."""

    __slots__ = ("_idle", "_inner", "_open", "_transport", "_watch", "headers", "status")

    def __init__(self, transport: Transport, inner: aiohttp.ClientResponse, watch: Watch, idle: float) -> None:
        self._transport = transport
        self._inner = inner
        self._watch = watch
        self._idle = idle
        self._open = True
        self.status = inner.status
        self.headers = Headers(inner.headers.items())

    async def read(self) -> bytes:
        """Return the whole body. Raises `CallError` when it breaks off, takes too long or is too large."""
        if self._inner.content.is_eof() and self._inner.content.total_bytes < PIECE:  # all of it came with the headers
            body = self._inner.content.read_nowait(-1)
            await self.aclose()
            return body
        pieces, size, limit = [], 0, self._transport.limits.answer
        async for piece in self:
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                await self.aclose()
                message = f"the provider's answer is over the limit of {limit} bytes (limits.answer)"
                raise CallError(failure("upstream", message, code="answer_too_large"))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._watch.arm(self._idle, "idle")
        try:
            piece = await self._inner.content.readany()
        except asyncio.CancelledError:
            await self.aclose()
            self._watch.settle()
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            await self.aclose()
            raise CallError(failure("network", "the provider's answer broke off", code="broken_off", detail=repr(fault))) from fault
        self._watch.disarm()
        if not piece:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Let go of the connection: back to the pool when the answer was read to its end, else closed."""
        if self._open:
            self._open = False
            self._watch.close()
            if self._inner.content.at_eof():
                self._inner.release()
            else:
                self._inner.close()

    def finish(self) -> None:
        """Give an answer of which nothing more is wanted a moment to end by itself, then let go of the connection."""
        if self._open:
            self._open = False
            self._watch.close()
            if self._inner.content.at_eof():
                self._inner.release()
            else:
                self._transport.let_end(self._inner)


class Transport:
    """Connection pools for the life of the host."""

    def __init__(self, timeouts: Timeouts, limits: Limits, sweeper: Sweeper) -> None:
        self.limits = limits
        self.timeouts = timeouts
        self.private: frozenset[str] = frozenset()
        """Origins that may be private addresses: the configuration names them."""
        self._sweeper = sweeper
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._urls: dict[str, URL] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close all connections."""
        for task in list(self._ending):
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()

    async def send(self, request: HttpRequest, account: Account | None = None) -> Response:
        """Send a request, with an account's credential where one is given.

        Raises `CallError` for everything that is not an answer.
        """
        url = self._url(request.url, account)
        limits = request.timeouts
        proxy = account.credential.proxy if account else None
        watch = self._sweeper.watch(limits.total if limits else None)
        watch.arm((limits and limits.first_byte) or self.timeouts.first_byte, "first_byte")
        try:
            inner = await self._session(proxy).request(
                request.method,
                url,
                headers=_headers(request, account),
                data=_payload(request.body),
                allow_redirects=False,
                proxy=proxy if proxy and proxy.startswith("http") else None,
            )
        except asyncio.CancelledError:
            watch.close()
            watch.settle()
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            watch.close()
            raise CallError(_explained(fault, request.url)) from fault
        watch.disarm()
        return Response(self, inner, watch, (limits and limits.idle) or self.timeouts.idle)

    def _session(self, proxy: str | None) -> aiohttp.ClientSession:
        kind = proxy if proxy and proxy.startswith("socks") else ""
        found = self._sessions.get(kind)
        if found is None:
            found = self._sessions[kind] = aiohttp.ClientSession(
                connector=_socks(kind) if kind else aiohttp.TCPConnector(limit=0, resolver=_Resolver(self)),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect),
                max_line_size=_HEADER_LIMIT,
                max_field_size=_HEADER_LIMIT,
            )
        return found

    def _url(self, text: str, account: Account | None) -> URL:
        """Return the parsed URL once it is certain that the request may go there."""
        url = self._urls.get(text)
        if url is None:
            origin = origin_of(text)
            if origin is None or not text.startswith(("http://", "https://")):
                raise CallError(failure("plugin", f"not a URL that can be called: {text!r}"))
            url = URL(text, encoded=True)
            host = url.host or ""
            if is_ip(host) and not is_public(host) and origin not in self.private:
                raise CallError(failure("plugin", f"{origin} is a private address; name it in the configuration to allow it"))
            if len(self._urls) >= _MAX_URLS:
                self._urls.clear()
            self._urls[text] = url
        if account is not None and url not in account.prepared:
            _check_origin(text, account)
            account.prepared[url] = True
        return url

    def let_end(self, inner: aiohttp.ClientResponse) -> None:
        """Read an answer to its end for a moment at most, then let go of its connection."""
        task = asyncio.get_running_loop().create_task(_drain(inner))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _drain(inner: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(_LAST_MOMENT):
            while await inner.content.readany():
                pass
        inner.release()
    except (aiohttp.ClientError, OSError, TimeoutError):
        inner.close()
    except asyncio.CancelledError:
        inner.close()
        raise


def origins_of(account: Account) -> set[str]:
    """Return the origins to which a credential may be sent: those of its own base URL and of its provider's."""
    bases = (account.credential.base_url, getattr(account.provider, "base_url", None))
    return {origin for base in bases if base and (origin := origin_of(base))}


def _check_origin(url: str, account: Account) -> None:
    if account.credential.secret is not None and origin_of(url) not in origins_of(account):
        raise CallError(failure("plugin", f"a credential of {account.provider.key!r} may not be sent to {origin_of(url)}"))


def _headers(request: HttpRequest, account: Account | None) -> CIMultiDict[str]:
    """Return the headers to send: the host's own, the credential's, and the request's."""
    if account is None:
        return CIMultiDict((*_FIXED, *request.headers))
    base: CIMultiDict[str] | None = account.prepared.get("headers")
    if base is None:
        base = CIMultiDict(_FIXED)
        base.update(account.credential.headers)
        auth, secret = account.provider.auth, account.credential.secret
        if auth is not None and secret is not None:
            base.update(auth.headers(secret))
        account.prepared["headers"] = base
    if not request.headers:
        return base
    merged = CIMultiDict(request.headers)
    merged.update(base)  # what carries the credential wins over what anybody else set
    return merged


def _payload(body: bytes | Spooled | None) -> Any:
    if body is None or (isinstance(body, bytes) and len(body) < _LARGE):
        return body
    return _Pieces(body)


class _Pieces(aiohttp.Payload):
    """A large body, written piece by piece so that it is never copied whole and the loop is never held long."""

    _autoclose = True

    def __init__(self, body: bytes | Spooled) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a large body is not decoded")

    async def write(self, writer: Any) -> None:
        for piece in _pieces(self._value):
            await writer.write(piece)


def _pieces(body: bytes | Any) -> Iterable[bytes]:
    if isinstance(body, bytes):
        return (body[at : at + PIECE] for at in range(0, len(body), PIECE))
    return body.pieces(PIECE)  # type: ignore[no-any-return]


class _Resolver(AbstractResolver):
    """Resolves names as the system does, and refuses private addresses that the configuration does not name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        private = self._transport.private
        if f"http://{host}:{port}" in private or f"https://{host}:{port}" in private:
            return found
        public = [address for address in found if is_public(address["host"])]
        if found and not public:
            raise OSError(None, f"{host} is a private address; name it in the configuration to allow it")
        return public

    async def close(self) -> None:
        await self._system.close()


def _socks(proxy: str) -> aiohttp.BaseConnector:
    try:
        from aiohttp_socks import ProxyConnector  # noqa: PLC0415 (an extra)
    except ImportError:
        message = f"the proxy {origin_of(proxy) or proxy!r} needs the extra 'socks': pip install 'jackfield[socks]'"
        raise CallError(failure("plugin", message)) from None
    return ProxyConnector.from_url(proxy, limit=0, rdns=True)  # type: ignore[no-any-return]


def _explained(fault: BaseException, url: str) -> Any:
    """Say in plain words why there is no answer."""
    origin = origin_of(url)
    detail = f"{type(fault).__name__}: {fault}"
    match fault:
        case aiohttp.ClientConnectorCertificateError():
            return failure("network", f"the certificate of {origin} is not valid", code="bad_certificate", detail=detail)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            plain = "WRONG_VERSION_NUMBER" in detail or "record layer" in detail or "RECORD_LAYER" in detail
            says = f"base_url says https, but {origin} speaks plain http" if plain else f"no TLS connection to {origin}"
            return failure("network", says, code="tls_failed", detail=detail)
        case aiohttp.ClientConnectorDNSError():
            return failure("network", f"the host name of {origin} cannot be resolved", code="unknown_host", detail=detail)
        case aiohttp.ConnectionTimeoutError() | TimeoutError():
            return failure("network", f"no connection to {origin} in time (timeouts.connect)", code="connect_timeout", detail=detail)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return failure("network", f"the proxy for {origin} refused", code="proxy_failed", detail=detail)
        case aiohttp.ClientConnectorError() | aiohttp.ServerDisconnectedError() | ConnectionError():
            refused = isinstance(fault, aiohttp.ClientConnectorError)
            says = f"no connection to {origin}" if refused else f"{origin} closed the connection without an answer"
            return failure("network", says, code="no_connection" if refused else "no_answer", detail=detail)
        case aiohttp.ClientResponseError():
            tls = url.startswith("http://") and ("\\x15\\x03" in detail or "\\x16\\x03" in detail)
            says = f"base_url says http, but {origin} speaks https" if tls else f"{origin} does not answer in HTTP"
            return failure("network", says, code="not_http", detail=detail)
    return failure("network", f"the request to {origin} failed", code="request_failed", detail=detail)
