"""Many streams at once: does every event arrive, does memory come back, and how late are events beside the bare proxy's?"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tests.bench.children import ROOT
from tests.bench.generator import Figures
from tests.bench.loads import LOADS, Load
from tests.bench.measure import checked, figures_of, generator_command
from tests.bench.servers import BARE_PROXY, JACKFIELD, Server, Servers

SHARE: Final = 0.6
"""Of a core, that bare uses where lateness is compared: busy, and not yet a queue."""
_FIRST_GUESS: Final = 400
_STEPS: Final = 4
_RAMP: Final = 0.5
_START_UP: Final = 1.0
"""Seconds that the load generator's process takes at most until it sends."""
_MEMORY_PATIENCE: Final = 20.0
"""Seconds in which memory must come back: aiohttp alone keeps idle connections to the upstream for 15."""
MEMORY_LIMIT_MB: Final = 10.0


class Endurance(msgspec.Struct, kw_only=True):
    """What came of many streams at once through one server."""

    server: str
    streams: int
    most_at_once: int
    whole: int
    """Streams that arrived whole and in order; the fewer of two rounds, as with `events`."""
    events_sent: int
    events: int
    """That arrived."""
    problems: list[str]
    late_p99_ms: float | None
    seconds: float
    idle_mb: float
    """RSS once it had answered a first few requests."""
    peak_mb: float
    after_mb: float
    """RSS when all streams were over, once it had come back or for good."""
    again_mb: float
    """RSS after as many streams once more: as much as before where nothing leaks."""

    @property
    def lost(self) -> int:
        """Streams that did not arrive whole."""
        return self.streams - self.whole

    @property
    def growth_mb(self) -> float:
        """What memory did not come back."""
        return self.after_mb - self.idle_mb


class Lateness(msgspec.Struct, kw_only=True):
    """How late events come through one server, at a number of streams at once. Medians."""

    server: str
    streams: int
    cores: float
    late_p50_ms: float
    late_p99_ms: float


class Streams(msgspec.Struct, kw_only=True):
    """What the mode `--streams` found."""

    endurance: list[Endurance]
    lateness: list[Lateness]


def measure(servers: Servers, count: int, interval_ms: int, runs: int, seconds: float, tell: Callable[[str], None]) -> Streams:
    """Send `count` streams through the bare proxy and through Jackfield; then compare lateness where bare uses `SHARE` of a core."""
    with servers.upstream():
        held = []
        for kind in (BARE_PROXY, JACKFIELD):
            tell(f"{count} streams at once: {kind}")
            held.append(endure(servers, kind, count, interval_ms))
        return Streams(endurance=held, lateness=_lateness(servers, runs, seconds, tell))


# ---------------------------------------------------------------------------------------------- endurance


def endure(servers: Servers, kind: str, count: int, interval_ms: int) -> Endurance:
    """Send `count` streams at once through one server, one on each connection."""
    ramp = count / 1000
    events = max(100, int(3 * ramp * 1000 / interval_ms))  # the first is not over before the last has begun
    load = msgspec.structs.replace(LOADS["paced"], connections=count, events=events, interval_ms=interval_ms)
    with servers.start(kind) as server:
        _greet(server)
        idle = server.memory().rss
        figures, peak = _watched(server, load, ramp)
        after = _memory_after(server, idle)
        again = _result(_generator(server, load, 0, ramp))
        return Endurance(
            server=kind,
            streams=count,
            most_at_once=figures.most_at_once,
            whole=min(figures.requests, again.requests),
            events_sent=count * events,
            events=min(figures.events, again.events),
            problems=figures.problems + again.problems,
            late_p99_ms=figures.late_p99_ms,
            seconds=figures.seconds,
            idle_mb=idle,
            peak_mb=peak,
            after_mb=after,
            again_mb=server.memory().rss,
        )


def _watched(server: Server, load: Load, ramp: float) -> tuple[Figures, float]:
    """Have each connection of a load bring one stream; return what the client saw, and the most RSS that was seen meanwhile."""
    process = _generator(server, load, 0, ramp)
    peak = 0.0
    try:
        while process.poll() is None:
            peak = max(peak, server.memory().rss)
            time.sleep(0.1)
    finally:
        figures = _result(process)
    return figures, peak


def _greet(server: Server) -> None:
    """Have a few requests of each kind answered: what is imported for the first one is not held against the streams."""
    for name in ("plain", "burst"):
        load = msgspec.structs.replace(LOADS[name], connections=4)
        checked(_result(_generator(server, load, 0, 0)), server)


def _memory_after(server: Server, idle: float) -> float:
    """Return the RSS as soon as it is back, or after a while."""
    deadline = time.monotonic() + _MEMORY_PATIENCE
    while True:
        now = server.memory().rss
        if now - idle <= MEMORY_LIMIT_MB / 2 or time.monotonic() > deadline:
            return now
        time.sleep(0.5)


# ----------------------------------------------------------------------------------------------- lateness


def _lateness(servers: Servers, runs: int, seconds: float, tell: Callable[[str], None]) -> list[Lateness]:
    count = _busy_count(servers, seconds, tell)
    seen: dict[str, list[tuple[float, Figures]]] = {BARE_PROXY: [], JACKFIELD: []}
    for run in range(runs):
        for kind, results in seen.items():
            tell(f"lateness of {count} streams, run {run + 1} of {runs}: {kind}")
            with servers.start(kind) as server:
                _greet(server)
                results.append(steady(server, count, seconds))
    return [
        Lateness(
            server=kind,
            streams=count,
            cores=statistics.median(cores for cores, _ in results),
            late_p50_ms=statistics.median(figures.late_p50_ms or 0 for _, figures in results),
            late_p99_ms=statistics.median(figures.late_p99_ms or 0 for _, figures in results),
        )
        for kind, results in seen.items()
    ]


def _busy_count(servers: Servers, seconds: float, tell: Callable[[str], None]) -> int:
    """Find the number of streams at which the bare proxy uses `SHARE` of a core.

    CPU time is taken to grow with the number of streams; each step corrects the estimate by all that was seen so far.
    """
    seen: list[tuple[int, float]] = []
    count = _FIRST_GUESS
    for _ in range(_STEPS):
        with servers.start(BARE_PROXY) as server:
            _greet(server)
            cores, _ = steady(server, count, seconds)
        tell(f"bare uses {cores:.2f} of a core for {count} streams")
        seen.append((count, cores))
        count = count_for(SHARE, seen)
    return count


def count_for(share: float, seen: Sequence[tuple[int, float]]) -> int:
    """Return the number of streams that needs a share of a core, by the line through the origin that fits what was seen best."""
    slope = sum(n * cores for n, cores in seen) / sum(n * n for n, _ in seen)
    return max(1, round(share / slope))


def steady(server: Server, count: int, seconds: float) -> tuple[float, Figures]:
    """Keep `count` paced streams going; return how much of a core the server uses meanwhile, and what the client saw.

    Raises `BenchError` when a stream was not right.
    """
    load = msgspec.structs.replace(LOADS["paced"], connections=count)
    process = _generator(server, load, _START_UP + seconds, _RAMP)
    try:
        time.sleep(_START_UP + _RAMP)
        began, before = time.perf_counter(), server.cpu_seconds()
        time.sleep(seconds)
        used, passed = server.cpu_seconds() - before, time.perf_counter() - began
    finally:
        figures = _result(process)
    return used / passed, checked(figures, server)


def _generator(server: Server, load: Load, seconds: float, ramp: float) -> subprocess.Popen[bytes]:
    command = generator_command(server.port, load, seconds, ramp)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _result(process: subprocess.Popen[bytes]) -> Figures:
    """Wait for the load generator's figures; end it when one does not want to wait."""
    try:
        output, errors = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return figures_of(subprocess.CompletedProcess(process.args, process.returncode, output, errors))
