"""What thousands of credentials cost: `python -m tests.bench.credentials` from the project's root folder. README.md says more.

Times to load and memory are those of a host in a process of its own, less those of one with a single credential.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import yaml

from jackfield import attempts
from jackfield.api import Call, Candidate, Headers, Pairs, Pool, failure
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield.exchange import Exchange
from jackfield.routes import Match
from tests.bench import accounting
from tests.bench.children import Child, ChildFailed, free_port
from tests.bench.servers import BenchError, installed_jackfield

MANY: Final = 5000
SCHEDULERS: Final = ("round_robin", "weighted", "least_busy", "fill_first", "fastest", "sticky")
SOURCES: Final = ("config", "folder")
BARS: Final = {"pick": 10.0, "load": 2.0, "memory": 12.0, "rest": 1.0}
"""At most: microseconds a pick, seconds to load, kilobytes a credential, per cent of a core at rest."""
ROUNDS: Final = 3
"""Starts of a host with one credential and of one with all of them, in turn."""
_BARRED: Final = ("round_robin", "weighted", "least_busy")
_ANSWER: Final = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
_QUESTION: Final = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def given(many: int, provider: str = "acme") -> Iterator[dict[str, Any]]:
    """Yield what the configuration says of so many credentials."""
    for n in range(many):
        yield {"provider": provider, "key": f"sk-acme-{n:08d}-0123456789abcdef", "label": f"account {n}", "weight": 1.0 + n % 5}


def configuration(base_url: str, many: int, **more: Any) -> dict[str, Any]:
    """Return a configuration with so many credentials at one server."""
    servers = {"acme": {"base_url": base_url, "models": ["m"]}}
    return {"plugins": {"openai": {"providers": servers}}, "credentials": list(given(many)), **more}


# ------------------------------------------------------------------------------------------------------ picks


class Picks:
    """Asks for picks as the pipeline does: through the hook, with all that goes with it."""

    def __init__(self, host: Harness) -> None:
        generation = host.host.generation
        dialect = generation.dialects["openai.chat"]
        endpoint = dialect.endpoints[0]
        call = Call("1", dialect, endpoint, Headers(), Pairs())
        call.model = "m"
        pool = generation.models.resolve("m", None)
        assert isinstance(pool, Pool)
        self.pool = pool
        self._exchange = Exchange(generation, call, Match(dialect, endpoint, {}), None)  # type: ignore[arg-type]  # nobody is answered

    async def pick(self) -> Candidate:
        """Return one pick."""
        self._exchange.trace.costs.clear()
        return await attempts._pick(self._exchange, self.pool)

    async def microseconds(self, picks: int = 2000, runs: int = 7) -> float:
        """Return what a pick costs in the best of several runs: other processes are at work beside."""
        best = float("inf")
        await self.pick()
        for _ in range(runs):
            began = time.perf_counter()
            for _ in range(picks):
                await self.pick()
            best = min(best, (time.perf_counter() - began) / picks)
        return best * 1e6

    async def after_failures(self, failures: int = 50) -> float:
        """Return the microseconds of a pick before which somebody has failed, so that the pool is another."""
        overload, began = failure("overload", "busy"), time.perf_counter()
        for n in range(failures):
            account = self.pool.all[n * 7 % len(self.pool.all)].account
            account.health.failed(account, "m", overload)
            await self.pick()
        return (time.perf_counter() - began) / failures * 1e6


async def picks(scheduler: str, many: int) -> tuple[float, float]:
    """Return the microseconds of a pick, and of one before which somebody has failed."""
    async with Harness(config=configuration("http://127.0.0.1:9", many, scheduler=scheduler)) as host:
        asked = Picks(host)
        return await asked.microseconds(), await asked.after_failures()


# ------------------------------------------------------------------------------------------------------- hosts


class Host(msgspec.Struct, kw_only=True):
    """What a host with so many credentials needs."""

    source: str
    many: int
    ready: float
    """Seconds from its start until it serves."""
    loaded: float
    """Megabytes when it has started."""
    used: float
    """Megabytes when each credential has served a call."""
    rest: float
    """Per cent of a core at rest."""


async def host(source: str, many: int, folder: Path, rest: float) -> Host:
    """Start a host, and let each of its credentials serve a call."""
    port, place = free_port(), Path(tempfile.mkdtemp(dir=folder))
    (place / "credentials").mkdir(parents=True)
    async with ScriptedUpstream(json_answer(_ANSWER)) as upstream, aiohttp.ClientSession() as client:
        said = configuration(upstream.url, many if source == "config" else 0, server={"port": port})
        said["plugins"]["credential_files"] = {"folder": str(place / "credentials")}
        if source == "folder":
            for n, one in enumerate(given(many)):
                (place / "credentials" / f"{n}.json").write_text(json.dumps(one))
                (place / "credentials" / f"{n}.json").chmod(0o600)
        (place / "jackfield.yaml").write_text(yaml.safe_dump(said))
        with Child(f"{source} of {many}", [*installed_jackfield(), "serve", "-c", str(place / "jackfield.yaml")], place / "log") as child:
            ready = await asyncio.to_thread(child.wait_ready, port, "/readyz", 60.0)
            await asyncio.sleep(1)
            loaded = accounting.memory(child.pid).rss
            began, cpu = time.perf_counter(), accounting.cpu_seconds(child.pid)
            await asyncio.sleep(rest)
            share = (accounting.cpu_seconds(child.pid) - cpu) / (time.perf_counter() - began) if rest else 0.0
            await _call(client, f"http://127.0.0.1:{port}/v1/chat/completions", max(many, MANY))
            keys = {request.headers.get("authorization") for request in upstream.requests}
            if len(keys) != many:
                raise BenchError(f"{len(keys)} of {many} credentials were used")
            return Host(source=source, many=many, ready=ready, loaded=loaded, used=accounting.memory(child.pid).rss, rest=share * 100)


def _median(found: list[Host]) -> Host:
    """Return the median of each figure."""
    names = ("ready", "loaded", "used", "rest")
    return msgspec.structs.replace(found[0], **{name: statistics.median(getattr(one, name) for one in found) for name in names})


async def _call(client: aiohttp.ClientSession, url: str, many: int) -> None:
    left = iter(range(many))

    async def work() -> None:
        for _ in left:
            async with client.post(url, json=_QUESTION) as answer:
                if answer.status != 200:
                    raise BenchError(f"a call was answered with {answer.status}: {await answer.text()}")

    await asyncio.gather(*(work() for _ in range(8)))


# ----------------------------------------------------------------------------------------------------- told


def line(what: str, figure: float, unit: str, bar: float | None) -> tuple[str, bool]:
    """Return a line of the report, and whether its bar holds."""
    holds = bar is None or figure <= bar
    return f"{what:<58}{figure:>9.2f} {unit:<3}" + ("" if bar is None else f"  bar {bar:g}: {'holds' if holds else 'BROKEN'}"), holds


async def measure(many: int, rest: float) -> bool:
    """Measure and print everything; tell whether all bars hold."""
    found: list[tuple[str, bool]] = []

    def tell(what: str, figure: float, unit: str, bar: float | None = None) -> None:
        found.append(line(what, figure, unit, bar))
        print(found[-1][0], flush=True)

    for scheduler in SCHEDULERS:
        plain, failed = await picks(scheduler, many)
        tell(f"{scheduler}: a pick among {many}", plain, "us", BARS["pick"] if scheduler in _BARRED else None)
        tell(f"{scheduler}: a pick after a failure", failed, "us")
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            rounds = [[await host(source, n, Path(folder), seconds) for n, seconds in ((1, 0.0), (many, rest))] for _ in range(ROUNDS)]
            one, all_ = (_median([round_[at] for round_ in rounds]) for at in (0, 1))
            each = (many - 1) / 1024
            tell(f"{source}: to load {many}", all_.ready - one.ready, "s", BARS["load"])
            tell(f"{source}: each, loaded", (all_.loaded - one.loaded) / each, "KB", BARS["memory"])
            tell(f"{source}: each, when each has served", (all_.used - one.used) / each, "KB", BARS["memory"])
            tell(f"{source}: at rest", all_.rest, "%", BARS["rest"])
    return all(holds for _, holds in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 for a broken bar, 2 when nothing could be measured."""
    own = argparse.ArgumentParser(prog="python -m tests.bench.credentials", description=__doc__)
    own.add_argument("--many", type=int, default=MANY, help="credentials (default: %(default)s)")
    own.add_argument("--rest", type=float, default=10.0, help="seconds of rest that are measured (default: %(default)s)")
    said = own.parse_args(arguments)
    try:
        return 0 if asyncio.run(measure(said.many, said.rest)) else 1
    except (BenchError, ChildFailed) as fault:
        print(fault, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
