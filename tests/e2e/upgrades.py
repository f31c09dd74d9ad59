"""The two bars of several processes that take too long for the suite, with figures:

    python -m tests.e2e.upgrades --seconds 300 --every 20 --workers 2     # upgrades under load
    python -m tests.e2e.upgrades --kill 10 --workers 4                    # workers that are killed under load

Ends with 1 where a call failed that should not have, a stream was cut, or memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.e2e.server.conftest import Process, _serve
from tests.e2e.server.test_workers import CONFIG, House, Load, environment

_GROWTH = 1.15
"""How much more memory the last third may take than the second, each when no process finishes its last calls."""


class Streams(Load):
    """Clients whose calls take about five seconds, so that each upgrade meets some in their midst."""

    model = "sim/long-50-slow-100"


def processes(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for line in subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout.splitlines():
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def memory(pids: Iterable[int]) -> float:
    """Return what processes hold, shared pages by their part, in MiB."""
    held = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            held += next(
                int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
            )
    return held / 1024


def connections(pid: int, port: str) -> int:
    """Return how many connections of clients a process holds."""
    inodes = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(one.readlink().name.removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[1].rpartition(":")[2], 16) == int(port) and row[9] in inodes for row in rows)


@asynccontextmanager
async def served(workers: int) -> AsyncIterator[tuple[Process, House]]:
    """Run a host."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--workers", str(workers)) if workers > 1 else ()
        async with _serve(Path(folder), CONFIG, *options, environment=environment(Path(folder))) as process:
            house = House(process, Path(folder))
            assert process.inner.stdout is not None
            reading = asyncio.ensure_future(process.inner.stdout.read())  # else it stands still when the pipe is full
            try:
                yield process, house
            finally:
                pid = (await house.command("status"))["pid"]
                os.kill(pid, signal.SIGTERM)
                await reading


async def upgrades(seconds: float, every: float, workers: int, clients: int) -> int:
    """Upgrade time and again under load."""
    held, times = list[float](), list[float]()
    async with (
        served(workers) as (process, house),
        Load(house.url, clients) as load,
        Streams(house.url, max(2, clients // 4)) as streams,
    ):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            told = await house.command("upgrade")
            times.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))
            root = process.pid if workers > 1 else told["started"][0]
            held.append(memory(processes(root)))
            print(f"{len(times)} upgrades, {load.outcomes} and streams {streams.outcomes}, {held[-1]:.0f} MiB", flush=True)
    third = max(1, len(held) // 3)
    before, after = min(held[third : 2 * third] or held), min(held[-third:])
    failed = sum(n for each in (load, streams) for what, n in each.outcomes.items() if what != "ok")
    print(f"{len(times)} upgrades in {seconds:g} s, each {statistics.median(times):.1f} s (at most {max(times):.1f} s)")
    print(f"calls {load.outcomes['ok']}, long streams {streams.outcomes['ok']}, failed or cut {failed}")
    print(f"memory {held[0]:.0f} MiB at first, {before:.0f} then, {after:.0f} in the end")
    return int(failed > 0 or after > before * _GROWTH)


async def kills(times: int, workers: int, clients: int) -> int:
    """Kill a worker time and again under load."""
    bad = 0
    async with served(workers) as (_, house), Load(house.url, clients) as load:
        for _ in range(times):
            await load.until(clients * 5)
            failed, victim = sum(load.outcomes.values()) - load.outcomes["ok"], (await house.workers(workers))[0]
            own = connections(victim, house.port)
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            async with aiohttp.ClientSession() as client:
                ask = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
                answers = [await client.post(f"{house.url}/v1/chat/completions", json=ask) for _ in range(workers * 2)]
                assert {answer.status for answer in answers} == {200}
            back = time.monotonic() - killed
            while victim in await house.workers(workers):
                await asyncio.sleep(0.02)
            full = time.monotonic() - killed
            await load.until(clients)
            lost = sum(load.outcomes.values()) - load.outcomes["ok"] - failed
            print(f"{own} connections were its own, {lost} of {clients} calls failed; {len(answers)} new ones answered after {back:.2f} s,")
            print(f"  all workers serve after {full:.2f} s", flush=True)
            bad += lost > own or back > 2
    print(f"calls {load.outcomes}")
    return int(bad > 0)


def main() -> None:
    """Measure what the command line says."""
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said.add_argument("--seconds", type=float, default=300)
    said.add_argument("--every", type=float, default=20)
    said.add_argument("--workers", type=int, default=2)
    said.add_argument("--clients", type=int, default=16)
    said.add_argument("--kill", type=int, default=0, help="kill so many workers instead")
    given = said.parse_args()
    work = (
        kills(given.kill, given.workers, given.clients)
        if given.kill
        else upgrades(given.seconds, given.every, given.workers, given.clients)
    )
    sys.exit(asyncio.run(work))


if __name__ == "__main__":
    main()
