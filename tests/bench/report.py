"""What the benchmark prints and writes: the machine, the figures, and which bars hold."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench.loads import LOADS
from tests.bench.measure import Row, Sample
from tests.bench.servers import BARE_PROXY, BARE_SHA256, JACKFIELD, WITH_PLUGINS
from tests.bench.start import READY_LIMIT, RSS_LIMIT_MB, Start
from tests.bench.streams import MEMORY_LIMIT_MB, SHARE, Streams

LATE_FACTOR = 1.5
LATE_EXTRA_MS = 10.0


class Machine(msgspec.Struct, kw_only=True):
    """Where and when figures were measured."""

    cpu: str
    cores: int
    load_before: float
    """The system's load average of the last minute, before the benchmark: whether somebody else was at work."""
    system: str
    python: str
    aiohttp: str
    uvloop: str
    jackfield: str
    date: str
    bare_sha256: str = BARE_SHA256


class Bar(msgspec.Struct, kw_only=True):
    """A figure and the most that it may be."""

    name: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the figure is within its limit."""
        return self.value <= self.limit


class Report(msgspec.Struct, kw_only=True):
    """All that one run of the benchmark found."""

    machine: Machine
    rows: list[Row] = []
    samples: list[Sample] = []
    streams: Streams | None = None
    start: Start | None = None

    @property
    def bars(self) -> list[Bar]:
        """The bars of everything that was measured."""
        bars = load_bars(self.rows)
        bars += stream_bars(self.streams) if self.streams else []
        bars += start_bars(self.start) if self.start else []
        return bars


def machine() -> Machine:
    """Describe this machine and what is installed on it."""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 0,
        load_before=os.getloadavg()[0],
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        aiohttp=_version("aiohttp"),
        uvloop=_version("uvloop"),
        jackfield=_version("jackfield"),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "unknown")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


# --------------------------------------------------------------------------------------------------- bars


def load_bars(rows: Sequence[Row]) -> list[Bar]:
    """Return the bars of the loads, as far as what they compare was measured."""
    bars = []
    for row in rows:
        load = LOADS[row.load]
        if row.server == JACKFIELD and row.ratio is not None and load.most is not None:
            bars.append(Bar(name=f"{row.load}: CPU, times bare", value=row.ratio, limit=load.most))
        if row.server == WITH_PLUGINS and row.ratio_to_plain is not None and load.most_for_plugins is not None:
            bars.append(Bar(name=f"{row.load}: CPU with plugins, times without", value=row.ratio_to_plain, limit=load.most_for_plugins))
    return bars


def stream_bars(streams: Streams) -> list[Bar]:
    """Return the bars of the mode `--streams`."""
    bars = []
    for one in streams.endurance:
        if one.server == JACKFIELD:
            bars += [
                Bar(name=f"{one.streams} streams: not at once", value=one.streams - one.most_at_once, limit=0),
                Bar(name=f"{one.streams} streams: not whole or out of order", value=one.lost, limit=0),
                Bar(name=f"{one.streams} streams: events lost", value=abs(one.events_sent - one.events), limit=0),
                Bar(name=f"{one.streams} streams: memory that did not come back, MB", value=one.growth_mb, limit=MEMORY_LIMIT_MB),
            ]
    late = {one.server: one for one in streams.lateness}
    if late.keys() >= {BARE_PROXY, JACKFIELD}:
        limit = late[BARE_PROXY].late_p99_ms * LATE_FACTOR + LATE_EXTRA_MS
        bars.append(Bar(name=f"{late[JACKFIELD].streams} streams: p99 lateness, ms", value=late[JACKFIELD].late_p99_ms, limit=limit))
    return bars


def start_bars(start: Start) -> list[Bar]:
    """Return the bars of the mode `--start`."""
    return [
        Bar(name="start: until ready, times the import of aiohttp.web", value=start.ratio, limit=READY_LIMIT),
        Bar(name="start: idle RSS, MB", value=start.idle_rss_mb, limit=RSS_LIMIT_MB),
        Bar(name="start: modules of aiohttp and plugins that --help imports", value=len(start.help_imports), limit=0),
    ]


# --------------------------------------------------------------------------------------------------- text


def text(report: Report) -> str:
    """Return the report as it is read."""
    parts = [_machine_text(report.machine)]
    if report.rows:
        parts.append(_loads_text(report.rows))
    if report.streams:
        parts.append(_streams_text(report.streams))
    if report.start:
        parts.append(_start_text(report.start))
    if report.bars:
        parts.append(_bars_text(report.bars))
    return "\n\n".join(parts)


def _machine_text(m: Machine) -> str:
    return (
        f"{m.cpu}, {m.cores} cores (load {m.load_before:.2f} before), {m.system}\n"
        f"{m.python}, aiohttp {m.aiohttp}, uvloop {m.uvloop}, jackfield {m.jackfield}, {m.date}"
    )


_ROW_HEADINGS = (
    "load", "server", "CPU us", "noise", "x bare", "x own", "cores", "req/s", "p50 ms", "p99 ms", "late p99",
    "RSS MB", "PSS MB", "requests", "by",
)  # fmt: skip
_LEGEND = "CPU us: of the process tree, a request. noise: half the range of the runs. x own: to Jackfield without plugins."


def _loads_text(rows: Sequence[Row]) -> str:
    loads = [LOADS[name] for name in dict.fromkeys(row.load for row in rows)]
    about = "\n".join(f"  {load.name}: {load.about}; connections: {load.connections}" for load in loads)
    table = columns([_ROW_HEADINGS, *map(_row_cells, rows)])
    return f"Medians of {max(row.runs for row in rows)} interleaved runs.\n{about}\n{_LEGEND}\n\n{table}"


def _row_cells(row: Row) -> tuple[str, ...]:
    return (
        row.load,
        row.server,
        _number(row.cpu_us, 0),
        f"{row.spread:.1%}",
        _number(row.ratio, 3),
        _number(row.ratio_to_plain, 3),
        _number(row.cores, 2),
        _number(row.rate, 0),
        _number(row.p50_ms, 2),
        _number(row.p99_ms, 2),
        _number(row.late_p99_ms, 2),
        _number(row.rss_mb, 1),
        _number(row.pss_mb, 1),
        str(row.requests),
        row.tool,
    )


def _streams_text(streams: Streams) -> str:
    held = [("streams", "server", "at once", "whole", "events", "of", "seconds", "late p99 ms", "RSS idle", "peak", "after", "again")]
    held += [
        (
            str(e.streams), e.server, str(e.most_at_once), str(e.whole), str(e.events), str(e.events_sent), f"{e.seconds:.1f}",
            _number(e.late_p99_ms, 1), f"{e.idle_mb:.1f}", f"{e.peak_mb:.1f}", f"{e.after_mb:.1f}", f"{e.again_mb:.1f}",
        )
        for e in streams.endurance
    ]  # fmt: skip
    late = [("streams", "server", "cores", "late p50 ms", "late p99 ms")]
    late += [(str(x.streams), x.server, f"{x.cores:.2f}", f"{x.late_p50_ms:.2f}", f"{x.late_p99_ms:.2f}") for x in streams.lateness]
    problems = "".join(f"\n  {e.server}: {problem}" for e in streams.endurance for problem in e.problems)
    return f"{columns(held)}{problems}\n\nLateness where bare uses {SHARE:.0%} of a core:\n{columns(late)}"


def _start_text(s: Start) -> str:
    imports = ", ".join(s.help_imports) or "nothing of it"
    return (
        f"Start, medians of {s.runs} runs: ready after {s.ready * 1000:.0f} ms; import of aiohttp.web {s.imported * 1000:.0f} ms; "
        f"ratio {s.ratio:.2f}\nIdle: RSS {s.idle_rss_mb:.1f} MB, PSS {_number(s.idle_pss_mb, 1)} MB\n"
        f"`jackfield --help` imports of aiohttp and plugins: {imports}"
    )


def _bars_text(bars: Sequence[Bar]) -> str:
    rows = [("ok" if bar.holds else "OVER", bar.name, f"{bar.value:.3g}", f"{bar.limit:.3g}") for bar in bars]
    return columns([("", "bar", "is", "at most"), *rows])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def columns(table: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as aligned text; what is not a number stands on the left."""
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return "\n".join("  ".join(_cell(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def _cell(text: str, width: int) -> str:
    return text.rjust(width) if text[:1].isdigit() or text[:1] == "-" else text.ljust(width)
