"""The HTTP side towards clients: connections, limits, health checks, and the way a call's answer is written.

All of aiohttp's server side is here. The pipeline sees a `Downstream` alone.
"""

import asyncio
import contextlib
import math
import mmap
import socket
import ssl
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from jackfield import answers, pipeline
from jackfield.access import strangeness
from jackfield.addresses import is_loopback
from jackfield.api import Headers, Pairs
from jackfield.exchange import Refused
from jackfield.settings import Limits
from jackfield.shared import Shared
from jackfield.sweeper import Watch
from jackfield.trace import log
from jackfield.transport import LARGE

_HEALTH: Final = frozenset({"/healthz", "/readyz"})
_MANY_HEADERS: Final = 16
"""Fewer headers are not added up: the parser bounds each one."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SERVER: Final = ("Server", "jackfield")
_JSON: Final = ("Content-Type", "application/json")
_NO_PAIRS: Final = Pairs()
_TLS_TIMES: Final[dict[str, Any]] = {"ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 1.0}
"""Seconds."""
_NO_LOG: Final[Any] = None
"""aiohttp takes None for no access log, though its annotation does not say so."""


class Spool:
    """A large body in a file that has no name: it is gone when nobody holds it."""

    def __init__(self, *pieces: bytes) -> None:
        self._file = tempfile.TemporaryFile(prefix="jackfield-", buffering=0)  # noqa: SIM115 (closed with the last holder)
        self._size = sum(map(self._file.write, pieces))

    def __del__(self) -> None:
        self._file.close()

    def write(self, piece: bytes) -> None:
        """Append to the file."""
        self._size += self._file.write(piece)

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """Return all of it, in memory."""
        return self.view()[:]

    def view(self) -> mmap.mmap:
        """Return the bytes as they lie in the file, without reading them into memory."""
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)


class HttpDownstream:
    """One request of an HTTP client, and the way its answer takes. Writing raises `ConnectionError` when the client has left."""

    def __init__(self, shared: Shared, limits: Limits, request: web.BaseRequest, server: "Server") -> None:
        self._shared, self._limits, self._request, self._server, self._held = shared, limits, request, server, 0
        self.begun = self._committed = self.complete = False
        """An answer has begun, or its status is out with white space; it is complete."""
        self.response: web.StreamResponse
        """The answer, once it has begun."""
        self.write: Callable[[bytes], Coroutine[Any, Any, None]]
        """Sends whole events of a streamed answer that has begun; waits while the client reads slowly."""
        method = "GET" if request.method == "HEAD" else request.method  # its body is left out where it is written
        self.method, self.path, self.peer = method, request.rel_url.raw_path, request.remote or None
        self.query = Pairs(request.rel_url.query.items()) if request.rel_url.raw_query_string else _NO_PAIRS
        self.headers = Headers(request.headers.items(), request.headers)

    # ------------------------------------------------------------------------------------------- reading

    async def read(self) -> bytes | Spool:
        """Return the request's body, unpacked. Raises `Refused` for what is over a limit, broken or too slow."""
        content, encoding = self._request.content, self.headers.get("content-encoding")
        if encoding is None and content.is_eof() and content.exception() is None and content.total_bytes <= self._limits.json:
            self._hold(content.total_bytes)
            return content.read_nowait(-1)  # all of it came with the headers
        self._hold(self._request.content_length or content.total_bytes)
        unpack = _unpacker(encoding, self._limits.body)
        if (self.headers.get("expect") or "").lower() == "100-continue":
            await self._request._payload_writer.write(_CONTINUE)
            self._request._payload_writer.output_size = 0
        pieces: list[bytes] = []
        spool, size, more = None, 0, True
        while more:
            more, plain = bool(piece := await self._next()), unpack(piece)
            size += len(plain)
            self._hold(size)
            if spool is None and size > max(self._limits.json, LARGE):
                spool, pieces = Spool(*pieces), []
            (pieces.append if spool is None else spool.write)(plain)
        return b"".join(pieces) if spool is None else spool

    async def _next(self) -> bytes:
        with contextlib.closing(Watch(self._shared.sweeper)) as watch:
            watch.arm((self._shared.generation.config.timeouts.client_body or math.inf, "timeouts.client_body"), "client_body")
            try:
                return await self._request.content.readany()
            except asyncio.CancelledError:
                watch.settle()
                raise
            except (web.RequestPayloadError, ConnectionError) as fault:
                raise Refused(400, "the request body broke off", code="incomplete_body") from fault

    def _hold(self, size: int) -> None:
        """Count so many bytes of the body as held in memory or on disk, instead of those that were."""
        shared, limits = self._shared, self._limits
        if size <= self._held:
            return
        if size > (limit := limits.body):
            raise Refused(413, f"the request body is over the limit of {limit} bytes (limits.body)", code="body_too_large")
        if shared.bytes_in_flight + size - self._held > (limit := limits.in_flight):
            raise Refused(503, f"too many request bytes are being held: the limit is {limit} (limits.in_flight)", code="too_busy")
        shared.bytes_in_flight += size - self._held
        self._held = size

    def release(self) -> None:
        """The request's body is not held any more."""
        self._shared.bytes_in_flight -= self._held

    # ------------------------------------------------------------------------------------------- writing

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer."""
        if not self._committed:
            self.response = web.Response(status=status, headers=CIMultiDict((_SERVER, *headers)), body=body)
            await self._prepare()
        self.begun = True
        if self._committed:
            await self.response.write(body)
        await self.finish()

    async def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Begin a streamed answer."""
        self.response = web.StreamResponse(status=status, headers=CIMultiDict((_SERVER, *headers)))
        self.write = self.response.write
        await self._prepare()
        self.begun = True

    async def _prepare(self) -> None:
        if self._server.draining:
            self.response.force_close()
        await self.response.prepare(self._request)

    def write_now(self, data: bytes) -> bool:
        """Send what keeps the connection alive, unless the client is so slow that it has enough to read."""
        transport, writer = self._request.transport, self._request._payload_writer
        if transport is not None and not transport.is_closing() and not transport.get_write_buffer_size():
            if not self.begun and not self._committed:
                self._committed, self.response = True, web.StreamResponse(headers=CIMultiDict((_SERVER, _JSON)))
                _at_once(self.response.prepare(self._request))
            _at_once(writer.write(data, drain=False))  # type: ignore[call-arg]
        return self._committed

    async def finish(self) -> None:
        """End the answer."""
        await self.response.write_eof()
        self.complete = True


def _at_once(work: Coroutine[Any, Any, Any]) -> None:
    """Do what never has to wait."""
    with contextlib.suppress(StopIteration, ConnectionError):
        work.send(None)


def _unpacker(encoding: str | None, limit: int) -> Callable[[bytes], bytes]:
    """Return a function that unpacks a body piece by piece, and just beyond the limit where there is more."""
    if (name := (encoding or "identity").strip().lower()) == "identity":
        return bytes
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Refused(415, f"the content encoding {name!r} is not supported; send gzip, deflate or none", code="unsupported_encoding")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | (16 if name != "deflate" else 0))

    def unpack(piece: bytes) -> bytes:
        try:
            plain = inflater.decompress(piece, limit + 1) if piece else inflater.flush()
        except zlib.error as fault:
            raise Refused(400, f"the body is not valid {name}: {fault}", code="bad_encoding") from None
        if (not piece and not inflater.eof) or inflater.unused_data:
            raise Refused(400, f"the {name} body {'goes on after its end' if inflater.eof else 'ends too early'}", code="bad_encoding")
        return plain

    return unpack


class _Connection(web.RequestHandler):
    """aiohttp's connection handler, with errors of HTTP itself told in JSON."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500:
            log.error("a request failed inside the host", exc_info=exc)
        said = (message or "the request failed").partition("\n")[0].rstrip(":")
        if "HTTPS traffic" in said:
            log.info("a client speaks HTTPS to a port that serves plain HTTP: it should say http://, or server.tls is missing")
        if "Got more than" in said or "Too many headers" in said:
            status, said = 431, f"the request's headers are too many, or over the limit of {self.max_field_size} bytes (limits.headers)"
        return _json(
            {"error": {"message": said, "type": "invalid_request_error" if status < 500 else "server_error", "param": None, "code": None}},
            status,
        )


def _json(said: object, status: int) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(said), headers=(_JSON, _SERVER))


class Listening(Protocol):
    """Where connections come in."""

    @property
    def sockets(self) -> Sequence[Any]:
        """Those that are listened on."""

    def close(self) -> None:
        """Let nobody in any more."""


Doors = Callable[[Callable[[socket.socket], Awaitable[None]]], Sequence[Listening]]
"""Opens doors of somebody else's making, given what serves a connection that was accepted there."""


class Server:
    """Listens, and takes each request to the pipeline."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._server = web.Server(self._handle, handler_cancellation=True)
        self._tls: ssl.SSLContext | None = None
        self._listening: Sequence[Listening] = ()
        self.draining = False
        """Connections are closed with their next answer: another process takes the calls that come."""

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None, doors: Doors | None = None) -> int:
        """Listen, at the `doors` that are given where there are any; return the port. Raises `OSError` when the address cannot be had."""
        self._tls, loop = tls, asyncio.get_running_loop()
        times: dict[str, Any] = {} if tls is None else _TLS_TIMES
        self._listening = (
            [await loop.create_server(self._connection, host, port, backlog=1024, reuse_address=True, ssl=tls, **times)]
            if doors is None
            else doors(self.let_in)
        )
        return int(self.sockets[0].getsockname()[1])

    @property
    def sockets(self) -> Sequence[Any]:
        """Those that it listens on."""
        return [held for server in self._listening for held in server.sockets]

    def _connection(self) -> _Connection:
        limit = self._shared.generation.config.limits.headers
        return _Connection(
            self._server,
            loop=asyncio.get_running_loop(),
            max_line_size=limit,
            max_field_size=limit,
            auto_decompress=False,
            access_log=_NO_LOG,
        )

    def close_doors(self, *, at_once: bool) -> None:
        """Take no new connections, and end those that are open with their next answers: the quiet ones now, where it is `at_once`."""
        for server in self._listening:
            server.close()
        self.draining = True
        if at_once:
            self._server.pre_shutdown()

    def close_quiet(self, before: float, since: float) -> bool:
        """Close connections whose latest answer ended before a time of the loop, or never since another; tell whether any is open."""
        for one in self._server.connections:
            if one._waiter is not None and max(one._next_keepalive_close_time - one._keepalive_timeout, since) < before:
                one.force_close()
        return bool(self._server.connections)

    async def let_in(self, came: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere."""
        times = {} if self._tls is None else _TLS_TIMES
        await asyncio.get_running_loop().connect_accepted_socket(self._connection, came, ssl=self._tls, **times)

    async def stop(self) -> None:
        """Close all connections."""
        await self._server.shutdown(1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        generation = self._shared.generation
        downstream = HttpDownstream(self._shared, generation.config.limits, request, self)
        if downstream.path in _HEALTH and (generation.doorkeepers() or strangeness(downstream) is None):
            return self._readiness(downstream.peer) if downstream.path == "/readyz" else _json({"status": "ok"}, 200)
        try:
            limit, headers = generation.config.limits.headers, request.raw_headers
            if len(headers) > _MANY_HEADERS and sum(len(name) + len(value) for name, value in headers) > limit:
                message = f"the request's headers are over the limit of {limit} bytes (limits.headers)"
                await answers.refuse_unmatched(generation, downstream, Refused(431, message, code="headers_too_large"))
            else:
                await pipeline.serve(self._shared, generation, downstream)
        finally:
            downstream.release()
            if (downstream.begun or downstream._committed) and not downstream.complete and request.transport is not None:
                # An answer that broke off must not look like one that ended: the client has to see a broken connection.
                request.transport.abort()
        return downstream.response if downstream.begun else web.Response()

    def _readiness(self, peer: str | None) -> web.Response:
        """Tell whether the host can serve calls, and why the latest configuration is not used: in full on this machine alone."""
        generation = self._shared.generation
        spoken = len(generation.dialects) > 1  # the canonical one is always there
        lacks = "" if spoken and generation.accounts else "no provider has a credential" if spoken else "no plugin has a dialect"
        told = {"status": "unavailable", "reason": f"nothing is plugged in: {lacks}"} if lacks else {"status": "ok"}
        why = generation.invalid if is_loopback(peer or "") else generation.invalid and "see the log"
        config = {"config": f"invalid: {why}"} if why else {}
        return _json(told | {"generation": generation.number} | config, 503 if lacks else 200)
