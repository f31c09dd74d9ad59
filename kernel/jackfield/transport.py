"""Send requests to upstreams: connection pools, time limits, origins, and faults told in plain words.

All of aiohttp's client side is here. Providers and plugins see `HttpRequest` and `HttpResponse` alone.
"""

import asyncio
import contextlib
import contextvars
import math
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, Final

import aiohttp
from aiohttp.abc import ResolveResult
from multidict import CIMultiDict
from yarl import URL

from jackfield import __version__
from jackfield.addresses import ip_of, is_public, origin_of
from jackfield.api import CallError, Headers, HttpRequest, failure
from jackfield.credentials import Account
from jackfield.settings import Config, Limit
from jackfield.sweeper import Sweeper, Watch, end_all

_PIECE: Final = 256 << 10
"""Bytes of a large body written at once: enough to keep a socket busy, few enough to keep memory flat."""
LARGE: Final = 1 << 20
"""Bytes from which a body is sent piece by piece; smaller ones lie in memory."""
_MAX_URLS: Final = 4096
_HEADER_LIMIT: Final = 64 << 10
_LAST_MOMENT: Final = 1.0
"""Seconds that an upstream gets to end an answer whose terminal event has come, so that its connection can be used again."""
_FIXED: Final = (("User-Agent", f"jackfield/{__version__}"), ("Accept-Encoding", "identity"))
_JSON: Final = ("Content-Type", "application/json")
_SLEPT: Final = 5.0
"""Seconds by which the clock on the wall gets ahead of the one that counts up, while the machine sleeps: connections die meanwhile."""
_FAULTS: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Response:
    """An upstream's answer."""

    def __init__(self, transport: "Transport", inner: aiohttp.ClientResponse, watch: Watch, idle: Limit) -> None:
        self._transport, self._inner, self._watch, self._idle, self._open = transport, inner, watch, idle, True
        self.status, self.headers = inner.status, Headers(inner.headers.items(), inner.headers)

    async def read(self) -> bytes:
        """Return the whole body. Raises `CallError` when it breaks off, takes too long or is too large."""
        content, limit = self._inner.content, self._transport.limits.answer
        if content.is_eof() and content.exception() is None and content.total_bytes <= limit:  # nothing to wait for
            whole = content.read_nowait(-1)
            self._let_go(self._inner.close)
            return whole
        pieces, size = list[bytes](), 0
        async for piece in self:
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                await self.aclose()
                raise CallError(
                    failure(
                        "upstream", f"the provider's answer is over the limit of {limit} bytes (limits.answer)", code="answer_too_large"
                    )
                )
        return b"".join(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._watch.arm(self._idle, "idle")
        self._watch.since = None
        return self

    async def __anext__(self) -> bytes:
        if not self._open:
            raise StopAsyncIteration
        watch = self._watch
        watch.since = 0.0
        try:
            piece = await _next_piece(self._inner.content)
        except asyncio.CancelledError:
            await self.aclose()
            watch.settle()
            raise
        except _FAULTS as fault:
            await self.aclose()
            raise CallError(failure("network", "the provider's answer broke off", code="broken_off", detail=repr(fault))) from fault
        watch.since = None
        if not piece:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Let go of the connection: back to the pool when the answer was read to its end, else closed."""
        self._let_go(self._inner.close)

    def finish(self) -> None:
        """Give an answer of which nothing more is wanted a moment to end by itself, then let go of the connection."""
        self._let_go(lambda: self._transport.let_end(self._inner))

    def _let_go(self, unread: Any) -> None:
        if self._open:
            self._open = False
            self._watch.close()
            (self._inner.release if self._inner.content.at_eof() else unread)()


_Way = tuple[aiohttp.ClientSession, URL | None, aiohttp.BasicAuth | None]
"""How requests leave: over which connections, and through which proxy, where aiohttp has to be told of it."""


class Transport:
    """Connection pools for the life of the host. `accounts` are those that requests may name, by their credentials' ids."""

    def __init__(self, config: Config, sweeper: Sweeper, accounts: Mapping[str, Account]) -> None:
        self._sweeper, self._accounts, self._ahead = sweeper, accounts, math.inf
        self._ways, self._urls, self._ending = dict[str, _Way](), dict[str, URL](), set[asyncio.Task[None]]()
        self.adopt(config, frozenset())

    def adopt(self, config: Config, private: frozenset[str]) -> None:
        """Go by this configuration from now on. `private` are origins that may be private addresses: it names them."""
        self.limits, self.private, self._proxy, said = config.limits, private, config.proxies, config.timeouts
        self.waits = lru_cache(_MAX_URLS)(said.of)
        """Returns how long a request may take; see `Timeouts.of`."""
        self._urls.clear()
        every = [s for one in (said, *said.providers.values(), *said.models.values()) for s in (one.first_byte, one.idle, one.total)]
        others = (said.client_body, config.server.keepalive, config.server.nonstream_keepalive)
        self._sweeper.shortest = min(filter(None, (*every, *others)), default=math.inf)

    async def close(self) -> None:
        """Close all connections."""
        await end_all(*self._ending)
        for session, _, _ in self._ways.values():
            await session.close()

    async def request(
        self, request: HttpRequest, account: Account | None = None, limits: dict[str, Limit] | None = None, again: bool = True
    ) -> Response:
        """Send a request, with an account's credential where one is given; once more over a connection that proves stale.

        `limits` say how long it may take where it belongs to an attempt.

        Raises `CallError` for everything that is not an answer.
        """
        body, provider = request.body, account.provider if account is not None else None
        limits = limits or self.waits(provider.key if provider is not None else "", own=provider.timeouts if provider is not None else None)
        if (own := request.timeouts) is not None:
            said = {what: (s or math.inf, f"HttpRequest.timeouts.{what}") for what in limits if (s := getattr(own, what)) is not None}
            limits = {**limits, **said}
        url, (session, proxy, auth) = self._url(request.url, account), self._way(request, account)
        ahead = time.time() - time.monotonic()
        if ahead > self._ahead + _SLEPT:
            self._hang_up()
        self._ahead = ahead
        watch = Watch(self._sweeper, limits["total"])
        watch.arm(limits["first_byte"], "first_byte")
        try:
            outgoing = aiohttp.ClientRequest(
                request.method,
                url,
                headers=_headers(request, account),
                data=body if body is None or len(body) < LARGE else _pieces(body if isinstance(body, bytes) else body.view()),
                loop=asyncio.get_running_loop(),
                session=session,
                proxy=proxy,
                proxy_auth=auth,
            )
            inner = await _ask(session, outgoing, _connecting(limits["connect"][0]))
            watch.since = None
            return Response(self, inner, watch, limits["idle"])
        except asyncio.CancelledError:
            watch.close()
            watch.settle()
            raise
        except _FAULTS as fault:
            watch.close()
            if (
                again
                and isinstance(fault, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError)
                and watch.task not in _makers
            ):
                # The upstream had closed a pooled connection while it lay idle: it has seen nothing yet. Others may be no better.
                self._hang_up(outgoing.connection_key)
                return await self.request(request, account, limits, again=False)
            raise CallError(_explained(fault, request.url, limits["connect"][1])) from fault
        finally:
            _makers.discard(watch.task)

    def _hang_up(self, kind: object = None) -> None:
        """Close the connections that lie idle: those to one place, or all."""
        for session, _, _ in self._ways.values():
            idle: Any = session.connector._conns  # type: ignore[union-attr]  # aiohttp has no other word for it
            for protocol in [one for key, held in idle.items() if kind in (None, key) for one, _ in held]:
                protocol.close()

    def _way(self, request: HttpRequest, account: Account | None) -> _Way:
        """Return how a request leaves: as its credential's traffic does, or that of the credential on whose behalf it is."""
        held = account.credential if account is not None else request.credential
        if isinstance(held, str):
            if held not in self._accounts:
                raise CallError(failure("plugin", f"there is no credential {held!r}", code="unknown_credential"))
            held = self._accounts[held].credential
        if (way := self._ways.get(proxy := self._proxy.of(held))) is None:
            # Where there is a proxy, its own name is all that is resolved here, and the operator has named it.
            maker = _socks(proxy) if (socks := proxy.startswith("socks")) else _Maker(limit=0, resolver=None if proxy else _Resolver(self))
            maker.proxy = URL(proxy).with_user(None) if proxy else None
            way = self._ways[proxy] = (
                aiohttp.ClientSession(connector=maker, cookie_jar=aiohttp.DummyCookieJar()),
                None if socks else maker.proxy,
                None if socks else aiohttp.BasicAuth.from_url(URL(proxy), encoding="utf-8"),
            )
        return way

    def _url(self, text: str, account: Account | None) -> URL:
        """Return the parsed URL once it is certain that the request may go there."""
        if (url := self._urls.get(text)) is None:
            origin = origin_of(text)
            if origin is None or not text.startswith(("http://", "https://")):
                raise CallError(failure("plugin", f"not a URL that can be called: {text!r}"))
            url = URL(text, encoded=True)
            if ip_of(url.host or "") is not None and not is_public(url.host or "") and origin not in self.private:
                raise CallError(_explained(_PrivateAddress(), text))
            if len(self._urls) >= _MAX_URLS:
                self._urls.clear()
            self._urls[text] = url
        if account is not None and url not in account.prepared:
            if account.credential.key is not None and origin_of(text) not in account.origins:
                raise CallError(failure("plugin", f"a credential of {account.provider.key!r} may not be sent to {origin_of(text)}"))
            account.prepared[url] = True
        return url

    def let_end(self, inner: aiohttp.ClientResponse) -> None:
        """Read an answer to its end for a moment at most, then let go of its connection."""
        task = asyncio.get_running_loop().create_task(_drain(inner))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _drain(inner: aiohttp.ClientResponse) -> None:
    try:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_MOMENT):
                while await inner.content.readany():
                    pass
    finally:
        (inner.release if inner.content.at_eof() else inner.close)()


async def _ask(session: Any, request: aiohttp.ClientRequest, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
    """Send a request and wait for the answer's head.

    What `ClientSession.request` does, but for redirects, cookies, traces and authentication, none of which a proxy has
    a use for: they are a third of what a small request costs.
    """
    connection: Any = await session.connector.connect(request, traces=[], timeout=limits)
    held = connection
    try:
        connection.protocol.set_response_params(
            skip_payload=request.method == "HEAD", read_until_eof=True, max_line_size=_HEADER_LIMIT, max_field_size=_HEADER_LIMIT
        )
        answer = held = await request.send(connection)
        await answer.start(connection)
        if answer.status == 407 and request.proxy is not None:
            raise _ProxyFault(f"the proxy {request.proxy.origin()} answered 407 {answer.reason}")
    except BaseException:
        held.close()  # the answer closes its connection
        raise
    return answer


_KNOWN_INSIDE: Final = set(dir(aiohttp.StreamReader)).issuperset(
    {"_buffer", "_buffer_offset", "_cursor", "_http_chunk_splits", "_protocol", "_size", "_wait"}
)


async def _next_piece(content: Any) -> bytes:
    """Return all that has come, b"" at the end: `StreamReader.readany`, in one step.

    aiohttp hands out one HTTP chunk after the other and resumes its parser after each. In a stream each event is a
    chunk: that would be the dearest part of all. Where a version of aiohttp looks otherwise inside, it does the work.
    """
    if not _KNOWN_INSIDE or type(content) is not aiohttp.StreamReader or content.exception() is not None or content._buffer_offset:
        return await content.readany()  # type: ignore[no-any-return]
    pieces, protocol = content._buffer, content._protocol
    while not pieces and not content.is_eof():
        await content._wait("readany")
    piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    pieces.clear()
    content._size, content._cursor = 0, content._cursor + len(piece)
    if content._http_chunk_splits:
        content._http_chunk_splits.clear()
    if protocol._reading_paused:
        protocol.resume_reading()
    return piece


def _headers(request: HttpRequest, account: Account | None) -> CIMultiDict[str]:
    """Return the headers to send: the host's own, the credential's, and the request's."""
    body, prepared = request.body, account.prepared if account is not None else {}
    if (fixed := prepared.get(body is None)) is None:
        fixed = prepared[body is None] = _fixed(body is None, account)
    large = body is not None and len(body) >= LARGE
    if not request.headers and not large:
        return fixed
    merged = CIMultiDict(request.headers)
    kind = merged.get("Content-Type")
    merged.update(fixed)  # what carries the credential wins over what anybody else set
    merged.update({"Content-Type": kind} if kind is not None else {})
    merged.update({"Content-Length": str(len(body))} if body is not None and large else {})
    return merged


def _fixed(bodiless: bool, account: Account | None) -> CIMultiDict[str]:
    """Return the headers that are the same for all requests with an account's credential."""
    made = CIMultiDict(_FIXED if bodiless else (*_FIXED, _JSON))
    if account is not None:
        auth, key = account.provider.auth, account.credential.key
        made.update({name: value for name, value in account.credential.headers.items() if not value.startswith("$")})
        made.update(auth.headers(key) if auth is not None and key is not None else ())
    return made


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    """Yield a large body piece by piece, so that it is never copied whole and the loop is never held long."""
    for at in range(0, len(body), _PIECE):
        yield body[at : at + _PIECE]


@lru_cache
def _connecting(seconds: float) -> aiohttp.ClientTimeout:
    """Return the one limit that aiohttp looks after; the others are the sweeper's."""
    return aiohttp.ClientTimeout(total=None, sock_connect=seconds if seconds < math.inf else None)


_makers: Final = set[asyncio.Task[Any] | None]()
"""Tasks that ask over a connection which was made for them."""
_TLS: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError)


class _ProxyFault(aiohttp.ClientError):
    """What a proxy did not do, in plain words."""


class _Maker(aiohttp.TCPConnector):
    """Notes which tasks had to make a new connection, so that one taken from the pool can be told from it."""

    proxy: URL | None = None
    """Through which all of them go, without user and password."""

    async def _create_connection(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Any:
        _makers.add(asyncio.current_task())
        # A connection keeps the context in which it is made: that of a call would hold the call as long as the connection lives.
        making = asyncio.get_running_loop().create_task(super()._create_connection(req, traces, timeout), context=contextvars.Context())
        try:
            async with asyncio.timeout(timeout.sock_connect):  # all of it: the name, the proxy, TLS
                return await making
        except Exception as fault:
            if self.proxy is None or (isinstance(fault, _TLS) and getattr(fault, "host", "") != self.proxy.host):
                raise
            status = f": it answered {fault.status} {fault.message}" if isinstance(fault, aiohttp.ClientHttpProxyError) else ""
            why = " in time" if isinstance(fault, TimeoutError) else status
            raise _ProxyFault(f"the proxy {self.proxy.origin()} made no connection to {req.url.origin()}{why}") from fault


class _PrivateAddress(ValueError):
    """The configuration does not name it. No `OSError`: aiohttp would take that for a name that cannot be resolved."""


class _Resolver(aiohttp.ThreadedResolver):
    """Resolves names as the system does, and refuses private addresses that the configuration does not name."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        named = {f"http://{host}:{port}", f"https://{host}:{port}"} & self._transport.private
        fit = [address for address in found if named or is_public(address["host"])]
        if found and not fit:
            raise _PrivateAddress(host)
        return fit


def _socks(proxy: str) -> Any:
    try:
        from aiohttp_socks import ProxyConnector  # noqa: PLC0415 (an extra)
    except ImportError:
        says = "a proxy of SOCKS needs the extra 'socks': pip install 'jackfield[socks]'"
        raise CallError(failure("network", says, code="proxy_failed", blame="credential")) from None
    maker: Any = type("_SocksMaker", (ProxyConnector, _Maker), {})
    return maker.from_url(proxy.replace("socks5h:", "socks5:"), limit=0, rdns=True)


_EXPLAINED: Final[tuple[tuple[tuple[type[BaseException], ...], str, str], ...]] = (
    ((_ProxyFault,), "proxy_failed", "{1}"),
    ((_PrivateAddress,), "private_address", "{} is a private address; name it in the configuration to allow it"),
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "bad_certificate", "the certificate of {} is not valid"),
    ((aiohttp.ClientSSLError, ssl.SSLError), "tls_failed", "no TLS connection to {}"),
    ((aiohttp.ClientConnectorDNSError,), "unknown_host", "the host name of {} cannot be resolved"),
    ((aiohttp.ConnectionTimeoutError, TimeoutError), "connect_timeout", "no connection to {} in time"),
    ((aiohttp.ClientConnectorError,), "no_connection", "no connection to {}"),
    ((aiohttp.ServerDisconnectedError, ConnectionError), "no_answer", "{} closed the connection without an answer"),
    ((aiohttp.ClientResponseError,), "not_http", "{} does not answer in HTTP"),
    ((Exception,), "request_failed", "the request to {} failed"),
)
"""Why there is no answer, by what was raised; the first row that fits."""


def _explained(fault: BaseException, url: str, limit: str = "") -> Any:
    """Say in plain words why there is no answer."""
    told = (fault.__cause__ or fault) if isinstance(fault, _ProxyFault) else fault
    origin, detail = origin_of(url), f"{type(told).__name__}: {told}"
    code, says = next((code, says) for kinds, code, says in _EXPLAINED if isinstance(fault, kinds))
    if code == "tls_failed" and ("WRONG_VERSION_NUMBER" in detail or "record layer" in detail.lower().replace("_", " ")):
        says = "base_url says https, but {} speaks plain http"
    if code == "not_http" and url.startswith("http://") and ("\\x15" in detail or "\\x16" in detail) and "\\x03" in detail:  # TLS's records
        says = "base_url says http, but {} speaks https"
    blame = "credential" if code == "proxy_failed" else "provider"  # who has the proxy
    says = says.format(origin, fault) + (f" ({limit})" if isinstance(told, TimeoutError) else "")
    return failure("network", says, code=code, detail=detail, blame=blame)
