"""The better of two."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

import jackfield_fastest
from jackfield.api import Candidate, Reply
from jackfield.api.testing import Harness
from jackfield_fastest import FORGOTTEN, HALF_LIFE, MOST_CANDIDATES, Plugin
from tests.clock import Clock
from tests.kernel.conftest import WHOLE, Toy, ToyProvider, talk
from tests.plugins.pools import Pooled, call, candidate, picks, pool


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(jackfield_fastest.time, "time", made)
    return made


def known(label: str, latency: float | None, *, busy: int = 0, used: float = 1000.0) -> Candidate:
    made = candidate(label)
    made.account.latency, made.account.in_flight, made.account.last_used = latency, busy, used
    return made


def test_the_faster_of_two_is_picked(clock: Clock) -> None:
    assert picks(Plugin(), 2, Pooled(known("slow", 2.0), known("fast", 0.2))) == "fast fast"


def test_the_only_one_is_picked_and_nobody_where_there_is_none(clock: Clock) -> None:
    assert picks(Plugin(), 1, pool("a")) == "a"
    assert picks(Plugin(), 1, pool()) == "-"


def test_one_that_nobody_has_tried_is_tried_but_not_by_everybody_at_once(clock: Clock) -> None:
    assert picks(Plugin(), 1, Pooled(known("fast", 0.1), known("new", None))) == "new"
    assert picks(Plugin(), 1, Pooled(known("fast", 0.1), known("new", None, busy=2))) == "fast"


def test_a_busy_one_does_not_win_by_its_figure(clock: Clock) -> None:
    assert picks(Plugin(), 1, Pooled(known("fast", 0.2, busy=9), known("slow", 1.0))) == "slow"
    assert picks(Plugin(), 1, Pooled(known("fast", 0.2, busy=3), known("slow", 1.0))) == "fast"


def test_one_that_failed_does_not_win_by_its_figure_until_that_is_forgotten(clock: Clock) -> None:
    plugin, both = Plugin(), Pooled(known("fast", 0.3), known("slow", 1.0))
    one = call()
    assert plugin.pick_credential(one, both).label == "fast"  # type: ignore[arg-type, union-attr]
    assert plugin.pick_credential(one, both.without("fast")).label == "slow"  # type: ignore[arg-type, union-attr]
    assert picks(plugin, 1, both) == "slow"
    clock.now += 3 * FORGOTTEN
    for candidate_ in both.all:
        candidate_.account.last_used = clock.now
    assert picks(plugin, 1, both) == "fast"


def test_one_that_never_answered_is_not_tried_again_and_again(clock: Clock) -> None:
    plugin, both = Plugin(), Pooled(known("broken", None), known("slow", 1.0))
    one = call()
    assert plugin.pick_credential(one, both).label == "broken"  # type: ignore[arg-type, union-attr]
    plugin.pick_credential(one, both.without("broken"))  # type: ignore[arg-type]
    assert picks(plugin, 3, both) == "slow slow slow"


def test_a_slow_one_is_tried_again_after_a_while(clock: Clock) -> None:
    slow, fast = known("slow", 1.0), known("fast", 0.4)
    clock.now += 2 * HALF_LIFE
    fast.account.last_used = clock.now
    assert picks(Plugin(), 1, Pooled(slow, fast)) == "slow"


def test_a_clock_that_was_set_back_does_no_harm(clock: Clock) -> None:
    clock.now = 5.0
    assert picks(Plugin(), 1, Pooled(known("slow", 2.0, used=1e9), known("fast", 0.2, used=1e9))) == "fast"


def test_failures_of_made_up_models_do_not_fill_the_memory() -> None:
    plugin = Plugin()
    for number in range(MOST_CANDIDATES + 10):
        plugin._note(f"c{number}")
    assert len(plugin._failures) <= MOST_CANDIDATES


async def test_the_host_prefers_who_answers_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[str] = []
    slept = {"slow": 0.5, "fast": 0.1}
    started = time.perf_counter()

    def answer(attempt: Any) -> Reply:
        nonlocal started
        served.append(attempt.candidate.label)
        started += slept[attempt.candidate.label]  # what a slow upstream does to the clock
        return Reply(body=msgspec.json.encode(WHOLE))

    monkeypatch.setattr("jackfield.attempts.time.perf_counter", lambda: started)
    keys = [{"provider": "toy", "label": label, "key": f"key-{label}-0123"} for label in slept]
    async with Harness([Toy(ToyProvider(answer))], {"credentials": keys, "scheduler": "fastest"}) as host:
        for _ in range(8):
            assert (await host.post("/toy/v1/talk", talk())).status == 200
    assert sorted(served[:2]) == ["fast", "slow"]
    assert set(served[2:]) == {"fast"}
