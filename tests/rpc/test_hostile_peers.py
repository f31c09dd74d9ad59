"""Plugins out of process that do everything wrong: each is contained, with one clear line, and no other call notices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jackfield.api.testing import Harness
from jackfield.rpc import process, supervisor
from tests.kernel.conftest import Toy, talk
from tests.kernel.pipeline_kit import Made

PEERS = Path(__file__).parent / "peers" / "hostile"
PATIENCE = 15.0
TRIES = 3
"""Of which one has to keep to the lag: what else runs on the machine can only add to it."""
MOST_LAG = 0.05
MOST_GROWN = 200 << 20


class Peer(NamedTuple):
    """What is to be seen of a peer."""

    says: str
    """What is found in the log, or among the host's problems."""
    lines: int = 1
    """How often the log may say it while it is looked at."""
    loads: bool = True


REFUSED = Peer("it did not answer plugin.register within 0.4 s", loads=False)
SILENT = Peer(r"it has not answered scheduler\.pick within 0\.3 s of its cancellation, and was ended; it is started again")
FLOOD = Peer("it floods its output with what nobody asked for, and was ended; it is started again")
PASSED_OVER = "pick_credential raised"
BY_NAME = {
    "answers_twice": Peer(r'stdout: \{"jsonrpc": "2.0", "id": \d+, "result": \{"deny": "second thoughts"\}\}', lines=9),
    "asks_thousands": Peer(""),
    "banner": Peer(r"stdout: \*\* scheduler 1.0 \*\*"),
    "beyond_credit": Peer("sent more than it had credit for on a stream", lines=9),
    "busy_loop": SILENT,
    "closes_stdin": Peer("it (closed its stdin|has not answered .*), and was ended; it is started again"),
    "closes_stdout": Peer("it (closed its stdout|has not answered .*), and was ended; it is started again"),
    "credit_from_nowhere": Peer("sent what is no item", lines=9),
    "deep_json": SILENT,
    "drip": Peer(""),
    "error_of_the_wrong_kind": Peer(PASSED_OVER, lines=9),
    "every_second": Peer("it is started again", lines=9),
    "exits_after_register": Peer("its process ended with status 3; it is started again", lines=9),
    "exits_at_once": Peer(r"ended with status 1 \(the file of models is missing\), before it had answered", loads=False),
    "exits_mid_request": Peer("its process ended with status 7; it is started again", lines=9),
    "floods_blank_lines": FLOOD,
    "floods_items": FLOOD,
    "floods_lines": FLOOD,
    "floods_logs": Peer(r"more than 100 lines a second are not logged", lines=9),
    "floods_requests": Peer("floods its output|asked for more and more without reading|has read nothing of what it was sent"),
    "floods_stderr": FLOOD,
    "floods_without_newline": Peer("it sent a line of over 16777216 bytes, and was ended", lines=9),
    "garbage": REFUSED,
    "grandchild": Peer("its process ended with status 0; it is started again", lines=9),
    "hangs": SILENT,
    "ignores_cancel": SILENT,
    "ignores_sigterm": Peer(""),
    "invalid_utf8": Peer(PASSED_OVER, lines=9),
    "items_before_head": Peer("ended a stream before it answered the request for it", lines=9),
    "long_line": Peer("it (sent a line of over 16777216 bytes|has not answered .*), and was ended; it is started again", lines=9),
    "never_ends_stream": Peer("it has not ended the stream of executor.execute_stream within 0.3 s of its cancellation, and was ended"),
    "never_reads": SILENT,
    "newer": Peer("it was written for version 2 of the protocol; this host speaks 1", loads=False),
    "no_registration": Peer("its answer to plugin.register is none: Expected `object`, got `array`", loads=False),
    "odd_error": Peer(PASSED_OVER, lines=9),
    "silent": REFUSED,
    "unknown_ids": Peer(r'stdout: \{"jsonrpc": "2.0", "id": 0, "result"', lines=9),
    "unknown_methods": Peer("host.applaud", lines=9),
    "wrong_id": REFUSED,
    "wrong_types": Peer(PASSED_OVER, lines=9),
}


@pytest.fixture
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes tenths of them."""
    monkeypatch.setattr(supervisor, "TICK", 0.1)
    monkeypatch.setattr(supervisor, "ANSWER", 0.3)
    monkeypatch.setattr(supervisor, "GRACE", 0.3)
    monkeypatch.setattr(process, "TERM", 0.2)


def crowd(names: list[str], folder: Path) -> Harness:
    """Return a host in which each of these peers schedules the calls for the model of its own name."""
    plugins: dict[str, Any] = {
        name: {
            "command": [sys.executable, "-I", "-S", str(PEERS / f"{name}.py")],
            "process": {"start": "10s" if BY_NAME[name].loads else "0.4s", "cwd": str(folder)},
            "deadline": "0.3s",
        }
        for name in names
    }
    config = {
        "plugins": plugins,
        "models": {"aliases": dict.fromkeys(names, "m")},
        "scheduler": {"default": "plain", "models": {name: name for name in names if BY_NAME[name].loads}},
        "attempts": {"wait": 0},
        "hooks": {"pause": "10ms"},
    }
    return Harness([Toy(), Made("plain", pick_credential=lambda call, pool: None)], config, bare=True)


async def call(host: Harness, model: str, stream: bool = False) -> int:
    return (await host.post("/toy/v1/talk", talk(model, stream=stream))).status


def test_every_peer_is_known() -> None:
    assert sorted(BY_NAME) == sorted(path.stem for path in PEERS.glob("*.py"))


@pytest.mark.usefixtures("_in_haste")
@pytest.mark.parametrize("name", BY_NAME)
async def test_a_peer_is_contained(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jackfield")
    peer = BY_NAME[name]
    async with crowd([name], tmp_path) as host:

        def said() -> list[str]:
            lines = [record.getMessage() for record in caplog.records]
            return [line for line in (*lines, *host.host.problems) if re.search(peer.says, line)]

        others = asyncio.gather(*(call(host, "n") for _ in range(20)))
        served = [await call(host, name) for _ in range(3)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):  # the client leaves
                await call(host, f"{name}-stream", True)
        async with asyncio.timeout(PATIENCE):
            while peer.says and not said():
                await asyncio.sleep(0.02)
        assert set(await others) == {200}
        assert await call(host, "n") == 200
        assert set(served) <= {200, 429, 503}, served
        if peer.says:
            assert len(said()) <= peer.lines, said()


def test_all_of_them_at_once_are_contained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.3)
    monkeypatch.setattr(process, "TERM", 0.2)
    made, lags = pytest.importorskip("uvloop").new_event_loop, list[float]()  # as `jackfield serve` has it
    for at in range(TRIES):
        (folder := tmp_path / str(at)).mkdir()
        with asyncio.Runner(loop_factory=made) as runner:
            seen = runner.run(_all_at_once(folder, 3.0))
        assert set(seen.others) == {200}
        assert seen.bad[200] > seen.bad[503]
        assert seen.grown < MOST_GROWN
        lags.append(seen.lag)
        if seen.starved >= 0.3 or seen.lag < MOST_LAG:  # it is the machine that is late, or nobody is
            return
    pytest.fail(f"the event loop was late in each try: {lags}")


class Seen(NamedTuple):
    """What was seen while all peers did their worst."""

    others: Counter[int]
    """How calls of other routes were answered."""
    bad: Counter[int]
    """Likewise, of the peers' own."""
    lag: float
    """Seconds by which the event loop was late, in one of a hundred cases more."""
    starved: float
    """The part of the time in which the host was ready to run and had no processor."""
    grown: int
    """Bytes of memory that the host took beside what it had."""


async def _all_at_once(folder: Path, seconds: float) -> Seen:
    loop = asyncio.get_running_loop()
    others, bad, late = Counter[int](), Counter[int](), list[float]()
    before = _resident()
    async with crowd(sorted(BY_NAME), folder) as host:
        ends, waited = loop.time() + seconds, _waited()

        async def calling(model: str, told: Counter[int], pause: float) -> None:
            while loop.time() < ends:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        told[await call(host, model)] += 1
                await asyncio.sleep(pause)

        async def looking() -> None:
            while loop.time() < ends:
                then = loop.time()
                await asyncio.sleep(0.005)
                late.append(loop.time() - then - 0.005)

        await asyncio.gather(looking(), *(calling("n", others, 0.02) for _ in range(4)), *(calling(name, bad, 0.2) for name in BY_NAME))
        starved = (_waited() - waited) / seconds
    return Seen(others, bad, sorted(late)[int(len(late) * 0.99)], starved, _resident() - before)


def _waited() -> float:
    """Return for how many seconds this thread was ready to run and had no processor; 0.0 where the system does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _resident() -> int:
    """Return the bytes of memory that this process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
