"""The HTTP side towards clients: connections, limits, health checks, and the way a call's answer is written.

All of aiohttp's server side is here. The pipeline sees a `Downstream` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from jackfield import answers, pipeline
from jackfield.api import Headers, Pairs
from jackfield.exchange import Gone, Refused
from jackfield.settings import Limits
from jackfield.shared import Shared

log = logging.getLogger("jackfield")

_HEALTH: Final = frozenset({"/healthz", "/readyz"})
_MANY_HEADERS: Final = 16
"""Fewer headers are not added up: the parser bounds each one."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SERVER: Final = ("Server", "jackfield")


class Spool:
    """A large body in a file that has no name: it is gone when nobody holds it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="jackfield-")  # noqa: SIM115 (closed with the last holder)
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Append to the file."""
        self._file.write(piece)
        self._size += len(piece)

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """Return all of it, in memory."""
        self._file.flush()
        self._file.seek(0)
        return self._file.read()

    def view(self) -> mmap.mmap:
        """Return the bytes as they lie in the file, without reading them into memory."""
        self._file.flush()
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Iterate over the bytes."""
        self._file.flush()
        self._file.seek(0)
        while piece := self._file.read(size):
            yield piece


class HttpDownstream:
    """One request of an HTTP client, and the way its answer takes."""

    __slots__ = ("_held", "_limits", "_request", "_response", "_shared", "begun", "complete", "headers", "method", "path", "peer", "query")

    def __init__(self, shared: Shared, limits: Limits, request: web.BaseRequest) -> None:
        self._shared = shared
        self._limits = limits
        self._request = request
        self._response: web.StreamResponse | None = None
        self._held = 0
        self.begun = False
        self.complete = False
        """The answer's last byte was written."""
        self.method = request.method
        url = request.rel_url
        self.path = url.raw_path
        self.query = Pairs(url.query.items()) if url.raw_query_string else _NO_PAIRS
        self.headers = Headers(request.headers.items())
        self.peer: str | None = request.remote or None

    # ------------------------------------------------------------------------------------------- reading

    async def read(self) -> bytes | Any:
        """Return the request's body, unpacked. Raises `Refused` for what is over a limit, broken or too slow."""
        size = self._announced()
        self._hold(size)
        unpack = _unpacker(self.headers.get("content-encoding"), self._limits.body)
        if (self.headers.get("expect") or "").lower() == "100-continue":
            await self._request._payload_writer.write(_CONTINUE)
            self._request._payload_writer.output_size = 0
        content = self._request.content
        if content.is_eof() and unpack is bytes and content.exception() is None:  # all of it came with the headers
            return self._all_of(content.read_nowait(-1))
        watch = self._shared.sweeper.watch()
        try:
            return await self._read(watch, unpack)
        except asyncio.CancelledError:
            watch.settle()
            raise
        finally:
            watch.close()

    def _announced(self) -> int:
        text = self.headers.get("content-length") or "0"
        size = int(text) if text.isdigit() else 0
        if size > self._limits.body:
            raise _too_large(self._limits.body)
        return size

    def _hold(self, size: int) -> None:
        """Count bytes of the body that are held in memory or on disk."""
        if self._shared.bytes_in_flight + size > self._limits.in_flight:
            message = f"too many request bytes are being held at once: the limit is {self._limits.in_flight} (limits.in_flight)"
            raise Refused(503, message, code="too_busy")
        self._shared.bytes_in_flight += size
        self._held += size

    def _all_of(self, body: bytes) -> bytes | Spool:
        if len(body) > self._limits.body:
            raise _too_large(self._limits.body)
        if len(body) <= self._limits.json:
            return body
        spool = Spool()
        spool.write(body)
        return spool

    async def _read(self, watch: Any, unpack: Callable[[bytes], bytes]) -> bytes | Spool:
        idle = self._shared.transport.timeouts.client_body
        content = self._request.content
        pieces: list[bytes] = []
        spool: Spool | None = None
        size = 0
        while True:
            watch.arm(idle, "client_body")
            try:
                piece = await content.readany()
            except (web.RequestPayloadError, ConnectionError) as fault:
                raise Refused(400, "the request body broke off", code="incomplete_body") from fault
            watch.disarm()
            plain = unpack(piece)
            size += len(plain)
            if size > self._limits.body:
                raise _too_large(self._limits.body)
            if size > self._held:
                self._hold(size - self._held)
            if spool is None and size > self._limits.json:
                spool = Spool()
                for earlier in pieces:
                    spool.write(earlier)
                pieces.clear()
            if spool is not None:
                spool.write(plain)
            elif plain:
                pieces.append(plain)
            if not piece:
                break
        if spool is not None:
            return spool
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """The request's body is not held any more."""
        self._shared.bytes_in_flight -= self._held
        self._held = 0

    # ------------------------------------------------------------------------------------------- writing

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer. Raises `Gone` when the client has left."""
        self.begun = True
        response = web.Response(status=status, headers=CIMultiDict((_SERVER, *headers)), body=body)
        self._response = response
        try:
            await response.prepare(self._request)
            await response.write_eof()
            self.complete = True
        except ConnectionError as fault:
            raise Gone from fault

    async def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Begin a streamed answer."""
        self.begun = True
        self._response = web.StreamResponse(status=status, headers=CIMultiDict((_SERVER, *headers)))
        try:
            await self._response.prepare(self._request)
        except ConnectionError as fault:
            raise Gone from fault

    async def write(self, data: bytes) -> None:
        """Send whole events; waits while the client reads slowly."""
        try:
            await self._streaming().write(data)
        except ConnectionError as fault:
            raise Gone from fault

    def write_now(self, data: bytes) -> None:
        """Send what keeps the connection alive, unless the client is so slow that it has enough to read."""
        transport = self._request.transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return
        writer: Any = self._request._payload_writer
        with contextlib.suppress(StopIteration, ConnectionError):
            writer.write(data, drain=False).send(None)  # without waiting it never suspends

    async def finish(self) -> None:
        """End a streamed answer."""
        try:
            await self._streaming().write_eof()
            self.complete = True
        except ConnectionError as fault:
            raise Gone from fault

    def _streaming(self) -> web.StreamResponse:
        assert self._response is not None
        return self._response

    @property
    def response(self) -> web.StreamResponse | None:
        """What was sent."""
        return self._response


_NO_PAIRS: Final = Pairs()
_NO_LOG: Final[Any] = None
"""aiohttp takes None for no access log, though its annotation does not say so."""


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the request body is over the limit of {limit} bytes (limits.body)", code="body_too_large")


def _headers_too_large(limit: int) -> Refused:
    return Refused(431, f"the request's headers are over the limit of {limit} bytes (limits.headers)", code="headers_too_large")


def _size(request: web.BaseRequest) -> int:
    return sum(len(name) + len(value) for name, value in request.raw_headers)


def _unpacker(encoding: str | None, limit: int) -> Callable[[bytes], bytes]:
    """Return a function that unpacks a body piece by piece and stops at the limit."""
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return bytes
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Refused(415, f"the content encoding {name!r} is not supported; send gzip, deflate or none", code="unsupported_encoding")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | (16 if name != "deflate" else 0))
    total = 0

    def unpack(piece: bytes) -> bytes:
        nonlocal total
        try:
            plain = inflater.decompress(piece, limit - total + 1) if piece else inflater.flush()
        except zlib.error as fault:
            raise Refused(400, f"the body is not valid {name}: {fault}", code="bad_encoding") from None
        total += len(plain)
        if total > limit:
            raise _too_large(limit)
        if not piece and not inflater.eof:
            raise Refused(400, f"the {name} body ends too early", code="bad_encoding")
        return plain

    return unpack


class _Connection(web.RequestHandler):
    """aiohttp's connection handler, with errors of HTTP itself told in JSON."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        self.log_debug("request refused", exc_info=exc)
        if status >= 500:
            log.error("a request failed inside the host", exc_info=exc)
        said = message or getattr(exc, "message", None) or str(exc or "")
        if "Got more than" in said or "too long" in said.lower():
            status, said = 431, f"the request's headers are over the limit of {self.max_field_size} bytes (limits.headers)"
        body = msgspec.json.encode({"error": {"message": said.splitlines()[0] if said else "the request failed", "type": "invalid_request_error"}})
        self.force_close()
        return web.Response(status=status, body=body, headers={"Content-Type": "application/json", "Server": "jackfield"})


class Server:
    """Listens, and takes each request to the pipeline."""

    def __init__(self, shared: Shared, limits: Limits) -> None:
        self._shared = shared
        self._limits = limits
        self._stopping = False
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises `OSError` when the address cannot be had."""
        self._server = _Factory(self._handle, self._limits.headers)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._server, host, port, backlog=1024, reuse_address=True)
        return int(self._listening.sockets[0].getsockname()[1])

    async def stop_accepting(self) -> None:
        """Take no new connections, and no new requests on those that are open."""
        self._stopping = True
        if self._listening is not None:
            self._listening.close()
        if self._server is not None:
            self._server.pre_shutdown()

    async def stop(self) -> None:
        """Close all connections."""
        if self._server is not None:
            await self._server.shutdown(1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in _HEALTH:
            return self._health(request.path)
        downstream = HttpDownstream(self._shared, self._limits, request)
        generation = self._shared.generation
        assert generation is not None
        try:
            if len(request.raw_headers) > _MANY_HEADERS and _size(request) > self._limits.headers:
                await answers.refuse_unmatched(generation, downstream, _headers_too_large(self._limits.headers))
            else:
                await pipeline.serve(self._shared, generation, downstream)
        finally:
            downstream.release()
        if not downstream.complete and request.transport is not None:
            # An answer that broke off must not look like one that ended: the client has to see a broken connection.
            request.transport.abort()
        return downstream.response or web.Response()

    def _health(self, path: str) -> web.Response:
        reason = None if path == "/healthz" else "the host is stopping" if self._stopping else self._not_ready()
        body = {"status": "ok"} if reason is None else {"status": "unavailable", "reason": reason}
        return web.Response(status=200 if reason is None else 503, body=msgspec.json.encode(body), content_type="application/json")


    def _not_ready(self) -> str | None:
        """Return why the host cannot serve calls, or None when it can."""
        generation = self._shared.generation
        if generation is None or len(generation.dialects) < 2:  # noqa: PLR2004 (one is always there: the canonical one)
            return "nothing is plugged in: no plugin has a dialect"
        return None if generation.accounts else "nothing is plugged in: no provider has a credential"


class _Factory(web.Server):
    """Makes a connection handler for each connection."""

    def __init__(self, handler: Any, header_limit: int) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._header_limit = header_limit

    def __call__(self) -> _Connection:
        limit = self._header_limit
        return _Connection(
            self, loop=self._loop, access_log=_NO_LOG, auto_decompress=False, max_line_size=limit, max_field_size=limit, tcp_keepalive=True
        )
