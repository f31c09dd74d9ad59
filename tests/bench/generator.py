"""The benchmark's own load generator: an asyncio client that checks every answer and measures every request.

It is used where wrk is not installed, always for paced streams (whose length wrk takes for a time-out), and to
check before each measurement that what is measured answers rightly. `python -m tests.bench.generator` prints one JSON
object, a `Figures`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from typing import Final, cast

import msgspec

from tests.bench import event_loop, traffic
from tests.bench.loads import LOADS, Load

_PATIENCE: Final = 30.0
"""Seconds that requests begun in time may take to finish after the load's end, beyond the length of their stream."""
_SHOWN: Final = 5
"""Problems that are told."""
_GOLDEN: Final = (5**0.5 - 1) / 2
_TEXT_DELTA: Final = re.compile(rb'"type":"text_delta","text":"((?:[^"\\]|\\.)*)"')
_ENDING: Final = b"".join(traffic.ENDING)


class Figures(msgspec.Struct, kw_only=True):
    """What a load showed."""

    requests: int
    """That were answered wholly and rightly."""
    seconds: float
    rate: float
    """Requests a second."""
    p50_ms: float
    """Of the time from a request's first byte to its answer's last."""
    p99_ms: float
    events: int = 0
    """That arrived, in order."""
    late_p50_ms: float | None = None
    """Of the time from an event's sending by the upstream to its arrival; None where events are not stamped."""
    late_p99_ms: float | None = None
    most_at_once: int = 0
    """Requests that were under way at one moment."""
    failed: int = 0
    problems: list[str] = []
    """What was wrong with the first few that failed."""
    tool: str = "own"


class Tally:
    """What the connections of one load have seen so far. Times in microseconds."""

    def __init__(self) -> None:
        self.latencies: list[int] = []
        self.lateness: list[int] = []
        self.events = 0
        self.active = 0
        self.most_at_once = 0
        self.failed = 0
        self.problems: list[str] = []
        self.start = self.end = now_us()

    def begin(self) -> None:
        """A request leaves."""
        self.active += 1
        self.most_at_once = max(self.most_at_once, self.active)

    def finish(self, began: int) -> None:
        """A request was answered."""
        self.active -= 1
        self.end = now_us()
        self.latencies.append(self.end - began)

    def fail(self, problem: str) -> None:
        """A request was not answered, or not rightly."""
        self.active -= 1
        self.failed += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(problem)

    def figures(self) -> Figures:
        """Sum up."""
        seconds = max((self.end - self.start) / 1e6, 1e-6)
        stamped = bool(self.lateness)
        return Figures(
            requests=len(self.latencies),
            seconds=seconds,
            rate=len(self.latencies) / seconds,
            p50_ms=percentile(self.latencies, 0.50) / 1000,
            p99_ms=percentile(self.latencies, 0.99) / 1000,
            events=self.events,
            late_p50_ms=percentile(self.lateness, 0.50) / 1000 if stamped else None,
            late_p99_ms=percentile(self.lateness, 0.99) / 1000 if stamped else None,
            most_at_once=self.most_at_once,
            failed=self.failed,
            problems=self.problems,
        )


class Reader:
    """Reads one answer: its status, and its body freed of HTTP's framing. Raises `ValueError` for what is not HTTP/1.1."""

    def __init__(self) -> None:
        self.status = 0
        self.done = False
        self._rest = b""
        self._missing = 0
        self._chunked = False

    def feed(self, data: bytes) -> bytes:
        """Take in what came; return what it adds to the body: of a chunked one, whole chunks."""
        if not self.status:
            self._rest += data
            head, whole, data = self._rest.partition(b"\r\n\r\n")
            if not whole:
                return b""
            self._rest = b""
            self._read_head(head)
        return self._chunks(data) if self._chunked else self._plain(data)

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        if not first.startswith(b"HTTP/1.1 "):
            raise ValueError(f"it begins with {first[:40]!r}")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self.status = int(first[9:12])
        self._chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
        self._missing = int(fields.get(b"content-length", b"0"))

    def _plain(self, data: bytes) -> bytes:
        self._missing -= len(data)
        if self._missing < 0:
            raise ValueError(f"{-self._missing} bytes more than Content-Length says")
        self.done = self._missing == 0
        return data

    def _chunks(self, data: bytes) -> bytes:
        data = self._rest + data if self._rest else data
        pieces = []
        at = 0
        while not self.done:
            line = data.find(b"\r\n", at)
            if line < 0:
                break
            size = int(data[at:line], 16)
            end = line + 2 + size
            if len(data) < end + 2:
                break
            pieces.append(data[line + 2 : end])
            at = end + 2
            self.done = size == 0
        self._rest = data[at:]
        if self.done and self._rest:
            raise ValueError("bytes after the last chunk")
        return b"".join(pieces)


class StreamCheck:
    """Checks that a stream brings every event once and in order, then its ending, and nothing else."""

    def __init__(self, events: int) -> None:
        self.seen = 0
        self.problem: str | None = None
        self._events = events
        self._size = 0
        self._split = b""
        self._end = b""

    def feed(self, text: bytes) -> list[int]:
        """Take in a piece of the stream; return when each event in it was sent, in microseconds, 0 for unknown."""
        self._size += len(text)
        self._end = (self._end + text)[-len(_ENDING) :]
        text = self._split + text
        stamps = []
        for number, stamp in traffic.MARK.findall(text):
            if int(number) != self.seen and self.problem is None:
                self.problem = f"event {int(number)} came where event {self.seen} was due"
            self.seen += 1
            stamps.append(int(stamp))
        self._split = text[1 - traffic.MARK_SIZE :]  # a mark may be split between pieces; a whole one does not fit in here
        return stamps

    def finish(self) -> str | None:
        """The stream is over: return what was wrong with it, or None."""
        if self.problem is None and self.seen != self._events:
            return f"{self.seen} of {self._events} events came"
        if self.problem is None and self._end != _ENDING:
            return "the stream ends without its usage and end marker"
        if self.problem is None and self._size != traffic.stream_size(self._events):
            return f"the stream has {self._size} bytes in place of {traffic.stream_size(self._events)}"
        return self.problem


class TranslatedCheck:
    """Checks that a stream of Anthropic's Messages API says all the words, in order, and ends as it must."""

    def __init__(self, events: int) -> None:
        self.seen = 0
        self._text = traffic.streamed_text(events)
        self._whole = b""

    def feed(self, text: bytes) -> list[int]:
        """Take in a piece of the stream. Its events are not stamped."""
        self._whole += text
        return []

    def finish(self) -> str | None:
        """The stream is over: return what was wrong with it, or None."""
        said = "".join(msgspec.json.decode(b'"%b"' % found) for found in _TEXT_DELTA.findall(self._whole))
        if said != self._text:
            return f"the stream says {said[:200]!r}"
        ended = self._whole.rstrip().endswith(b'data: {"type":"message_stop"}')
        return None if ended else f"the stream ends with {self._whole[-80:]!r}"


class Connection(asyncio.Protocol):
    """One connection: sends a request, checks the answer, and begins anew until `deadline` (of the loop's clock)."""

    def __init__(self, load: Load, request: bytes, tally: Tally, deadline: float) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._request = request
        self._tally = tally
        self._deadline = deadline
        self._waiting = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none of asyncio's
        self._send()

    def _send(self) -> None:
        self._reader = Reader()
        check = TranslatedCheck if self._load.translated else StreamCheck
        self._stream = check(self._load.events) if self._load.events else None
        self._body = b""
        self._waiting = True
        self._began = now_us()
        self._tally.begin()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take in a part of an answer; begin anew when it was the last."""
        if not self._waiting:
            return
        now = now_us()
        try:
            text = self._reader.feed(data)
        except ValueError as fault:
            self._give_up(f"not an answer in HTTP: {fault}")
            return
        if self._stream is None or self._reader.status != 200:
            self._body += text
        else:
            self._note(self._stream.feed(text), now)
        if self._reader.done:
            self._judge()

    def _note(self, stamps: list[int], now: int) -> None:
        self._tally.events += len(stamps)
        if self._load.paced:
            self._tally.lateness += [now - stamp for stamp in stamps]

    def _judge(self) -> None:
        problem = self._problem()
        if problem is not None:
            self._give_up(problem)
            return
        self._waiting = False
        self._tally.finish(self._began)
        if asyncio.get_running_loop().time() < self._deadline:
            self._send()
        else:
            self._transport.close()

    def _problem(self) -> str | None:
        if self._reader.status != 200:
            return f"status {self._reader.status}: {self._body[:300].decode(errors='replace')}"
        if self._stream is not None:
            return self._stream.finish()
        right = self._translated_right() if self._load.translated else self._body == traffic.plain_answer()
        return None if right else f"another answer: {self._body[:300].decode(errors='replace')}"

    def _translated_right(self) -> bool:
        said = msgspec.json.decode(self._body)
        return [said.get("type"), said["content"][0]["text"]] == ["message", traffic.plain_text()]

    def _give_up(self, problem: str) -> None:
        self._waiting = False
        self._tally.fail(problem)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an answer that broke off."""
        if self._waiting:
            self._waiting = False
            self._tally.fail(f"the connection was closed before the answer was whole{f': {exc}' if exc else ''}")
        if not self.closed.done():
            self.closed.set_result(None)

    def refused(self, fault: OSError) -> None:
        """Note that there is no connection."""
        self._tally.begin()
        self._tally.fail(f"no connection: {fault}")
        self.closed.set_result(None)

    def expire(self) -> None:
        """Wait no longer."""
        if self._waiting:
            self._give_up("the answer did not come in time")


def now_us() -> int:
    """Return the system's monotonic clock, which all processes share, in microseconds."""
    return time.monotonic_ns() // 1000


def percentile(values: list[int], share: float) -> float:
    """Return the value that a share of all values does not exceed (nearest rank); 0 of none."""
    ranked = sorted(values)
    return float(ranked[min(int(len(ranked) * share), len(ranked) - 1)]) if ranked else 0.0


def http_request(port: int, body: bytes, path: str = traffic.PATH) -> bytes:
    """Return a request as it goes over the wire."""
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Authorization: Bearer {traffic.API_KEY}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def generate(port: int, load: Load, seconds: float, ramp: float = 0.0) -> Figures:
    """Put a load on a port of the loopback for some seconds; 0: one request a connection.

    The connections open over `ramp` seconds, each request begun is finished.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    begin = loop.time()
    deadline = begin + ramp + seconds if seconds else begin
    request = http_request(port, load.body, load.path)
    open_ones = await asyncio.gather(
        *(_open(port, Connection(load, request, tally, deadline), begin + ramp * moment(n)) for n in range(load.connections))
    )
    last_moment = max(deadline, loop.time()) + load.events * load.interval_ms / 1000 + _PATIENCE
    _, unfinished = await asyncio.wait([one.closed for one in open_ones], timeout=last_moment - loop.time())
    if unfinished:
        for one in open_ones:
            one.expire()
        await asyncio.wait(unfinished)
    return tally.figures()


def moment(n: int) -> float:
    """Return when connection number `n` opens, as a share of the ramp.

    Multiples of the golden ratio spread evenly over every interval, so that paced streams do not tick in step.
    """
    return n * _GOLDEN % 1


async def _open(port: int, connection: Connection, when: float) -> Connection:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(when - loop.time())
    try:
        await loop.create_connection(lambda: connection, "127.0.0.1", port)
    except OSError as fault:
        connection.refused(fault)
    return connection


async def _main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--load", choices=LOADS, required=True)
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--ramp", type=float, default=0.0)
    for name in ("connections", "events", "interval_ms", "translated"):
        options.add_argument(f"--{name.replace('_', '-')}", type=int, help="in place of the load's own")
    said = options.parse_args()
    own = {name: getattr(said, name) for name in ("connections", "events", "interval_ms")}
    own["translated"] = None if said.translated is None else bool(said.translated)
    load = msgspec.structs.replace(LOADS[said.load], **{name: value for name, value in own.items() if value is not None})
    figures = await generate(said.port, load, said.seconds, said.ramp)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    event_loop.run(_main())
