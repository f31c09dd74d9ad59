"""The upstream of the benchmark: a small HTTP/1.1 server with prebuilt answers, so that it costs little beside what is measured.

`python -m tests.bench.upstream --port 9000` answers every GET with a short JSON, and every POST with what its
body orders (`traffic.order`): a whole answer, a stream sent at once, or a stream paced by a timer.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from typing import Final, cast

from tests.bench import event_loop, traffic

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_OK: Final = b'{"status":"ok"}'
_GREETING: Final = traffic.head("application/json", len(_OK)) + _OK
_PLAIN: Final = traffic.head("application/json", len(traffic.plain_answer())) + traffic.plain_answer()
_NO_LENGTH: Final = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection. Requests come one after the other, each with a Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._head = b""
        self._opening = b""
        self._missing = 0
        self._paced: PacedStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none of asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the stream that nobody reads any more."""
        if self._paced is not None:
            self._paced.cancel()

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request; answer when it is whole."""
        if self._missing:
            self._opening += data[: traffic.ORDER_WITHIN - len(self._opening)]
            self._missing -= len(data)
            if not self._missing:
                self._answer(*traffic.order(self._opening))
            return
        self._head += data
        head, whole, body = self._head.partition(b"\r\n\r\n")
        if not whole:
            return
        self._head = b""
        if head.startswith(b"GET "):
            self._transport.write(_GREETING)
            return
        length = _LENGTH.search(head)
        if length is None:
            self._transport.write(_NO_LENGTH)
            self._transport.close()
            return
        self._opening = body[: traffic.ORDER_WITHIN]
        self._missing = int(length[1]) - len(body)
        if not self._missing:
            self._answer(*traffic.order(self._opening))

    def _answer(self, events: int, interval_ms: int) -> None:
        if not events:
            self._transport.write(_PLAIN)
        elif not interval_ms:
            self._transport.write(traffic.burst(events))
        else:
            self._paced = PacedStream(self._transport, events, interval_ms / 1000)


class PacedStream:
    """A stream whose events leave one by one, each stamped with the moment it is written.

    The first leaves at once. Each has its moment on a fixed schedule, so a late one does not delay those after it.
    """

    def __init__(self, transport: asyncio.Transport, events: int, interval: float) -> None:
        self._transport = transport
        self._events = events
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._sent = 0
        transport.write(traffic.head("text/event-stream; charset=utf-8", None))
        self._timer = self._loop.call_soon(self._send)

    def cancel(self) -> None:
        """Send nothing more."""
        self._timer.cancel()

    def _send(self) -> None:
        if self._sent == self._events:
            self._transport.write(b"".join(map(traffic.chunk, traffic.ENDING)) + traffic.LAST_CHUNK)
            return
        last = self._sent == self._events - 1
        self._transport.write(traffic.chunk(traffic.stamped(self._sent, last, time.monotonic_ns() // 1000)))
        self._sent += 1
        self._timer = self._loop.call_at(self._start + self._sent * self._interval, self._send)


async def serve(port: int) -> asyncio.Server:
    """Listen on the loopback; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=2048)


async def _main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    server = await serve(options.parse_args().port)
    await server.serve_forever()


if __name__ == "__main__":
    event_loop.run(_main())
