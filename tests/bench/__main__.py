"""The benchmark: `python -m tests.bench` from the project's root folder. README.md here says what it measures and how."""

from __future__ import annotations

import argparse
import resource
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.bench import measure, report, start, streams, wrk
from tests.bench.children import ChildFailed
from tests.bench.loads import INTERVAL_MS, LOADS
from tests.bench.servers import BARE, BARE_SHA256, KINDS, BenchError, Servers, installed_jackfield, verify_pin

_Number = TypeVar("_Number", int, float)


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


def _positive(kind: type[_Number]) -> Callable[[str], _Number]:
    def number(text: str) -> _Number:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not more than 0")
        return value

    return number


def _options() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    own.add_argument("--runs", type=_positive(int), default=5, help="of each load on each server (default: %(default)s)")
    own.add_argument("--seconds", type=_positive(float), default=3.0, help="of one run (default: %(default)s)")
    own.add_argument("--loads", type=_names(tuple(LOADS)), default=tuple(LOADS), metavar="A,B", help=f"of {', '.join(LOADS)}; default: all")
    own.add_argument("--servers", type=_names(KINDS), default=KINDS, metavar="A,B", help=f"of {', '.join(KINDS)}; default: all")
    own.add_argument("--generator", choices=("auto", "wrk", "own"), default="auto", help="of the load (auto: wrk where installed)")
    own.add_argument("--streams", action="store_true", help="in place of the loads: many streams at once, and how late their events come")
    own.add_argument("--stream-count", type=_positive(int), default=1000, help="streams at once (default: %(default)s)")
    own.add_argument("--interval-ms", type=_positive(int), default=INTERVAL_MS, help="between their events (default: %(default)s)")
    own.add_argument("--start", action="store_true", help="in place of the loads: time to start, idle memory, imports of --help")
    own.add_argument("--jackfield", metavar="COMMAND", help="that runs Jackfield (default: the one installed beside this Python)")
    own.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    own.add_argument("--check", action="store_true", help="end with code 1 when a bar is broken")
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit code: 1 for a broken bar (with `--check`), 2 when nothing could be measured."""
    said = _options().parse_args(arguments)
    try:
        found = _run(said)
    except (BenchError, ChildFailed) as fault:
        print(fault, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(report.text(found))
    if said.json:
        said.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    return 1 if said.check and not all(bar.holds for bar in found.bars) else 0


def _run(said: argparse.Namespace) -> report.Report:
    verify_pin(BARE, BARE_SHA256)
    found = report.Report(machine=report.machine())
    needs_jackfield = said.streams or said.start or any(kind.startswith("jackfield") for kind in said.servers)
    jackfield = shlex.split(said.jackfield) if said.jackfield else installed_jackfield() if needs_jackfield else []
    with tempfile.TemporaryDirectory(prefix="jackfield-bench-") as folder:
        servers = Servers(Path(folder), jackfield)
        if said.streams:
            found.streams = streams.measure(servers, said.stream_count, said.interval_ms, said.runs, said.seconds, _tell)
        if said.start:
            found.start = start.measure(servers, said.runs, _tell)
        if not said.streams and not said.start:
            found.samples = measure.measure(servers, _plan(said), _tell)
            found.rows = measure.summarize(found.samples)
    return found


def _plan(said: argparse.Namespace) -> measure.Plan:
    if said.generator == "wrk" and not wrk.installed():
        raise BenchError("wrk is not installed")
    use_wrk = said.generator == "wrk" or (said.generator == "auto" and wrk.installed())
    return measure.Plan(loads=said.loads, servers=said.servers, runs=said.runs, seconds=said.seconds, use_wrk=use_wrk)


def _tell(progress: str) -> None:
    print(f"  {progress}", file=sys.stderr, flush=True)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _prepare_process() -> None:
    """Let a signal end everything as ctrl-C does, and let the children hold many connections: a proxy needs two a stream."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    _prepare_process()
    sys.exit(main())
