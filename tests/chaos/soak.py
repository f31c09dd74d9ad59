"""The long run: `python -m tests.chaos.soak --hours 24` from the project's root folder.

A real host, in a process of its own and in real time, is called without a pause and then left alone for a while, over and
over, while its providers fail as the chaos test's do. Told of it now and then: what its process holds, and what went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from tests.bench.children import Child, free_port
from tests.bench.servers import installed_jackfield
from tests.chaos.run import MOST, Callers, Report
from tests.chaos.world import World

GROWTH_MB = 32.0
"""Megabytes that the process may hold more at the end of a soak than when it had warmed up: arenas, not leaks."""
SOCKETS = 12
"""Most sockets of a host that has nothing to do."""
SETTLES = 40.0
"""Seconds in which it lets go of what calls needed: connections lie in a pool for a while."""


class Held(msgspec.Struct):
    """What a process holds."""

    rss_mb: float
    sockets: int
    threads: int
    cpu: float
    """Seconds."""

    def __str__(self) -> str:
        return f"{self.rss_mb:.1f} MB, {self.sockets} sockets, {self.threads} threads, {self.cpu:.1f} s of CPU"


def held_by(pid: int) -> Held:
    """Look at a process (Linux)."""
    proc = Path(f"/proc/{pid}")
    said = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    links = []
    for descriptor in (proc / "fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:  # closed meanwhile
            continue
    ticks = (proc / "stat").read_text().rpartition(")")[2].split()
    return Held(
        rss_mb=int(said["VmRSS"].split()[0]) / 1024,
        sockets=sum(link.startswith("socket:") for link in links),
        threads=int(said["Threads"]),
        cpu=(int(ticks[11]) + int(ticks[12])) / 100,
    )


class Soak:
    """One soak: rounds of calls, each followed by a gap in which nobody calls."""

    def __init__(self, seed: int, seconds: float, busy: float, gap: float, callers: int) -> None:
        self._seconds, self._busy, self._gap, self._workers = seconds, busy, gap, callers
        self.report, self._numbers = Report(seed=seed, scheduler="round_robin"), count(1)
        self.warm: Held | None = None
        """What was held after the first round."""
        self.last: Held | None = None
        self.unaccepted = 0
        """Times that the host took no connection after a gap."""

    async def run(self, folder: Path) -> None:
        """Start a host, and call it for as long as is asked."""
        port, ends = free_port(), time.monotonic() + self._seconds
        async with World(self.report.seed) as world, aiohttp.ClientSession() as client:
            file = folder / "jackfield.yaml"
            file.write_text(yaml.safe_dump({**world.config(), "server": {"port": port}, "attempts": {"budget": MOST}}))
            with Child("jackfield", [*installed_jackfield(), "serve", "-c", str(file)], folder / "log") as child:
                await asyncio.to_thread(child.wait_ready, port)
                callers = Callers(world, client, f"http://127.0.0.1:{port}", self.report)
                while (left := ends - time.monotonic()) > 0:
                    await self._round(callers, min(self._busy, left))
                    over = time.monotonic() + self._gap > ends
                    await asyncio.sleep(SETTLES if over else self._gap)
                    self._look(child, world)
                    await self._accepts(client, port)
                    if over:
                        break
        self.report.seconds, self.report.met = world.time(), world.met

    async def _round(self, callers: Callers, seconds: float) -> None:
        ends = time.monotonic() + seconds

        async def work() -> None:
            while time.monotonic() < ends:
                await asyncio.sleep(random.random())
                self.report.calls += 1
                await callers.call(next(self._numbers))

        await asyncio.gather(*(work() for _ in range(self._workers)))

    def _look(self, child: Child, world: World) -> None:
        child.check()
        self.last = held_by(child.pid)
        self.warm = self.warm or self.last
        for upstream in world.upstreams.values():
            upstream.requests.clear()
        now, failed = time.strftime("%H:%M:%S"), sum(n for status, n in self.report.statuses.items() if status not in (200, 400))
        wrong = len(self.report.violations)
        print(f"{now} {self.last}; {self.report.calls} calls, {failed} failed, {wrong} of them or of others wrongly", flush=True)

    async def _accepts(self, client: aiohttp.ClientSession, port: int) -> None:
        """See whether a new connection is taken."""
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 5)
            writer.close()
            async with client.get(f"http://127.0.0.1:{port}/healthz", headers={"Connection": "close"}) as answer:
                self.unaccepted += answer.status != 200
        except (OSError, aiohttp.ClientError, TimeoutError):
            self.unaccepted += 1

    def verdict(self) -> list[str]:
        """Return what did not hold."""
        found = [*self.report.violations[:20]]
        if self.unaccepted:
            found.append(f"{self.unaccepted} times no connection was taken after a gap")
        if self.warm is None or self.last is None:
            return [*found, "it was too short: nothing was measured"]
        if self.last.rss_mb - self.warm.rss_mb > GROWTH_MB:
            found.append(f"it holds {self.last.rss_mb - self.warm.rss_mb:.1f} MB more than after the first round")
        if self.last.sockets > SOCKETS:
            found.append(f"it holds {self.last.sockets} sockets, although nobody has called for {SETTLES:g} s")
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak; return 1 where something did not hold."""
    own = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    own.add_argument("--hours", type=float, default=24.0, help="(default: %(default)s)")
    own.add_argument("--busy", type=float, help="seconds of calls in a row (default: a tenth of it all, at most 600)")
    own.add_argument("--gap", type=float, help="seconds without any (default: a tenth of it all, at most 3600)")
    own.add_argument("--callers", type=int, default=16, help="clients that call at once (default: %(default)s)")
    own.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    said = own.parse_args(arguments)
    seconds = said.hours * 3600
    soak = Soak(said.seed, seconds, said.busy or min(600, seconds / 10), said.gap or min(3600, seconds / 10), said.callers)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(soak.run(Path(folder)))
    wrong: Any = soak.verdict()
    print(soak.report, *(["did not hold:", *wrong] if wrong else ["all held"]), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
