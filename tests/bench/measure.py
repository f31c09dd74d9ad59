"""Measures: one load on one server, and all of them in turn, over and over."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tests.bench import wrk
from tests.bench.children import ROOT
from tests.bench.generator import Figures
from tests.bench.loads import LOADS, Load
from tests.bench.servers import BARE_PROXY, DIRECT, JACKFIELD, WITH_PLUGINS, BenchError, Server, Servers

_WARM_UP = 0.5
_SETTLE = 0.15
"""Seconds in which a server may finish what it does after an answer's last byte: that belongs to the request's cost."""


class Sample(msgspec.Struct, kw_only=True):
    """One run of one load on one server."""

    load: str
    server: str
    cpu_us: float
    """CPU time of the server's process tree a request, in microseconds."""
    cores: float
    """CPU time of the server's process tree a second of the load."""
    figures: Figures
    rss_mb: float
    pss_mb: float | None


class Row(msgspec.Struct, kw_only=True):
    """One server under one load: medians of its runs."""

    load: str
    server: str
    runs: int
    requests: int
    """Of all runs together."""
    cpu_us: float
    spread: float
    """Half the distance between the dearest and the cheapest run, as a share of the median: how noisy the machine was."""
    ratio: float | None
    """Of `cpu_us` to the bare proxy's; None where that was not measured."""
    ratio_to_plain: float | None
    """Of `cpu_us` to Jackfield's without plugins; only for Jackfield with plugins."""
    cores: float
    rate: float
    p50_ms: float
    p99_ms: float
    late_p99_ms: float | None
    rss_mb: float
    pss_mb: float | None
    tool: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure, and for how long."""

    loads: tuple[str, ...]
    servers: tuple[str, ...]
    runs: int
    seconds: float
    """Of one run, after its warm-up."""
    use_wrk: bool


def measure(servers: Servers, plan: Plan, tell: Callable[[str], None]) -> list[Sample]:
    """Run every load on every server in turn, `plan.runs` times: what slows the machine for a while then slows all alike."""
    samples = []
    with servers.upstream() as upstream:
        if WITH_PLUGINS in plan.servers:
            servers.verify_observers()
        for name in plan.loads:
            for run in range(plan.runs):
                for kind in plan.servers:
                    if kind == DIRECT and run:
                        continue  # it only shows that the upstream is no bottleneck
                    tell(f"{name}, run {run + 1} of {plan.runs}: {kind}")
                    samples.append(_run(servers, upstream, kind, LOADS[name], plan))
    return samples


def _run(servers: Servers, upstream: Server, kind: str, load: Load, plan: Plan) -> Sample:
    load = load if kind in (JACKFIELD, WITH_PLUGINS) else msgspec.structs.replace(load, translated=False)
    if kind == DIRECT:
        return sample(kind, upstream, load, plan, servers)
    with servers.start(kind) as server:
        return sample(kind, server, load, plan, servers)


def sample(kind: str, server: Server, load: Load, plan: Plan, servers: Servers) -> Sample:
    """Warm a fresh server up, checking its answers; then put the load on it and count what that costs."""
    warm = msgspec.structs.replace(load, interval_ms=0, connections=min(load.connections, 16))
    own_generator(server, warm, _WARM_UP)
    before = server.cpu_seconds()
    if plan.use_wrk and not load.paced:
        figures = checked(wrk.generate(server.port, load, plan.seconds, servers.folder), server)
    else:
        figures = own_generator(server, load, plan.seconds, ramp=0.5 if load.paced else 0)
    time.sleep(_SETTLE)
    used = server.cpu_seconds() - before
    memory = server.memory()
    return Sample(
        load=load.name,
        server=kind,
        cpu_us=used * 1e6 / figures.requests,
        cores=used / figures.seconds,
        figures=figures,
        rss_mb=memory.rss,
        pss_mb=memory.pss,
    )


def generator_command(port: int, load: Load, seconds: float, ramp: float) -> list[str]:
    """Return the command that runs the own load generator in a process of its own."""
    said = {"port": port, "load": load.name, "seconds": seconds, "ramp": ramp}
    said |= {"connections": load.connections, "events": load.events, "interval-ms": load.interval_ms, "translated": int(load.translated)}
    return [sys.executable, "-m", "tests.bench.generator", *(part for key, value in said.items() for part in (f"--{key}", str(value)))]


def own_generator(server: Server, load: Load, seconds: float, ramp: float = 0) -> Figures:
    """Put a load on a server with the own generator. Raises `BenchError` when an answer was not right."""
    command = generator_command(server.port, load, seconds, ramp)
    return checked(figures_of(subprocess.run(command, cwd=ROOT, capture_output=True, check=False)), server)


def figures_of(done: subprocess.CompletedProcess[bytes]) -> Figures:
    """Read what the own generator printed. Raises `BenchError` when it failed itself."""
    if done.returncode:
        raise BenchError(f"the load generator failed:\n{done.stderr.decode(errors='replace').strip()}")
    return msgspec.json.decode(done.stdout, type=Figures)


def checked(figures: Figures, server: Server) -> Figures:
    """Return figures that can be used. Raises `BenchError` with what was wrong when anything failed."""
    server.child.check()
    if figures.failed or not figures.requests:
        told = "\n".join(figures.problems) or "no request was answered"
        raise BenchError(f"{server.child.name}: {figures.failed} requests failed:\n{told}\nits log:\n{server.child.said()}")
    return figures


def summarize(samples: Sequence[Sample]) -> list[Row]:
    """Return the medians of all runs, for each load and server in the order of their first run."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for one in samples:
        groups.setdefault((one.load, one.server), []).append(one)
    costs = {key: statistics.median(s.cpu_us for s in group) for key, group in groups.items()}
    return [_row(load, server, group, costs) for (load, server), group in groups.items()]


def _row(load: str, server: str, group: Sequence[Sample], costs: dict[tuple[str, str], float]) -> Row:
    cost = costs[load, server]
    dearest, cheapest = max(s.cpu_us for s in group), min(s.cpu_us for s in group)
    bare = costs.get((load, BARE_PROXY)) if server != DIRECT else None
    own = costs.get((load, JACKFIELD)) if server == WITH_PLUGINS else None
    return Row(
        load=load,
        server=server,
        runs=len(group),
        requests=sum(s.figures.requests for s in group),
        cpu_us=cost,
        spread=(dearest - cheapest) / 2 / cost,
        ratio=cost / bare if bare else None,
        ratio_to_plain=cost / own if own else None,
        cores=statistics.median(s.cores for s in group),
        rate=statistics.median(s.figures.rate for s in group),
        p50_ms=statistics.median(s.figures.p50_ms for s in group),
        p99_ms=statistics.median(s.figures.p99_ms for s in group),
        late_p99_ms=_median(s.figures.late_p99_ms for s in group),
        rss_mb=statistics.median(s.rss_mb for s in group),
        pss_mb=_median(s.pss_mb for s in group),
        tool=group[0].figures.tool,
    )


def _median(values: Iterable[float | None]) -> float | None:
    """Return the median of the known values."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
