"""How often each candidate is picked, and in which order."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise
from typing import Any

import msgspec
import pytest

from jackfield.api import Reply
from jackfield.api.testing import Harness
from jackfield_weighted import MOST_CANDIDATES, Plugin
from jackfield_weighted.turns import FEW, Many
from tests.kernel.conftest import WHOLE, Toy, ToyProvider, talk
from tests.plugins.pools import Pooled, candidate, picks, pool

MANY = 3 * FEW


def counted(plugin: Plugin, many: int, among: Pooled) -> Counter[str]:
    return Counter(picks(plugin, many, among).split())


def crowd(heavy: float = 1.0) -> Pooled:
    """Return a pool that is too large for all of it to be looked at each time; one of it is `heavy`."""
    return Pooled(candidate("heavy", weight=heavy), *(candidate(f"c{at}") for at in range(1, MANY)))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((5, 1, 1), "a a b a c a a"),  # the sequence that nginx is known for
        ((1, 1, 1), "a b c"),
        ((4, 3, 2), "a b c a b a c b a"),
        ((0.5, 0.25, 0.25), "a b c a"),
    ],
)
def test_few_candidates_are_picked_in_the_order_of_smooth_weighted_round_robin(weights: tuple[float, ...], expected: str) -> None:
    many = len(expected.split())
    assert picks(Plugin(), 3 * many, pool("a", "b", "c", weights=weights)) == " ".join([expected] * 3)


def test_nobody_is_picked_where_nobody_is_eligible() -> None:
    assert picks(Plugin(), 1, pool()) == "-"


def test_many_candidates_are_picked_as_often_as_their_weights_say() -> None:
    everybody = Pooled(*(candidate(f"c{at}", weight=1 + at % 7) for at in range(MANY)))
    total = sum(one.weight for one in everybody.all)
    picked = counted(Plugin(), 10 * int(total), everybody)
    assert all(abs(picked[one.label] - 10 * one.weight) <= 1 for one in everybody.all)


def test_a_heavy_one_among_many_comes_evenly() -> None:
    heavy = 10.0
    order = picks(Plugin(), 5 * (MANY + 9), crowd(heavy)).split()
    places = [at for at, label in enumerate(order) if label == "heavy"]
    gaps = [later - earlier for earlier, later in pairwise(places)]
    even = (MANY + 9) / heavy
    assert len(places) == pytest.approx(50, abs=2)
    assert all(even - 2 <= gap <= even + 2 for gap in gaps)


def test_equals_among_many_take_turns() -> None:
    order = picks(Plugin(), 3 * MANY, crowd()).split()
    assert order[:MANY] == order[MANY : 2 * MANY] == order[2 * MANY :]
    assert len(set(order)) == MANY


@pytest.mark.parametrize("make", [lambda: Pooled(candidate("heavy", weight=2), candidate("b"), candidate("c")), lambda: crowd(2)])
@pytest.mark.parametrize("away", [1, 17, 1000])
def test_who_comes_back_is_neither_starved_nor_flooded(make: Any, away: int) -> None:
    plugin, everybody = Plugin(), make()
    round_ = len(everybody.all) + 1
    picks(plugin, 3, everybody)
    everybody.cool("heavy")
    assert counted(plugin, away, everybody)["heavy"] == 0
    everybody.only()
    back = picks(plugin, 10 * round_, everybody).split()
    assert back.count("heavy") == pytest.approx(20, abs=2)
    assert max(len(list(group)) for label, group in groupby(back) if label == "heavy") <= 2
    others = Counter(label for label in back if label != "heavy")
    assert max(others.values()) - min(others.values()) <= 2


def test_many_that_come_back_together_do_not_get_all_calls() -> None:
    plugin, everybody = Plugin(), crowd()
    gone = {f"c{at}" for at in range(1, MANY // 2)}
    picks(plugin, 5, everybody)
    picks(plugin, 1000, everybody.cool(*gone))
    back = picks(plugin, MANY, everybody.only()).split()
    assert sum(label in gone for label in back) == pytest.approx(len(gone), abs=2)
    assert set(Counter(back).values()) <= {1, 2}


@pytest.mark.parametrize("make", [lambda: pool("a", "b", "c", "d"), crowd])
def test_the_others_share_evenly_what_one_cannot_serve(make: Any) -> None:
    plugin, everybody, answered = Plugin(), make(), Counter[str]()
    broken = everybody.all[0].label
    for _ in range(20 * len(everybody.all)):
        picked = picks(plugin, 1, everybody)
        if picked == broken:
            picked = picks(plugin, 1, everybody.without(broken))
        answered[picked] += 1
    assert len(answered) == len(everybody.all) - 1
    assert max(answered.values()) - min(answered.values()) <= 3


@pytest.mark.parametrize("others", [2, MANY])
def test_another_weight_counts_from_then_on(others: int) -> None:
    plugin, everybody = Plugin(), Pooled(candidate("a", weight=1000), *(candidate(f"b{at}") for at in range(others)))
    picks(plugin, 700, everybody)
    everybody.replace(candidate("a"), *everybody.all[1:])
    picked = counted(plugin, 10 * (others + 1), everybody)
    assert all(picked[one.label] == pytest.approx(10, abs=1) for one in everybody.all)


def test_who_left_for_good_is_forgotten() -> None:
    plugin, everybody = Plugin(), crowd()
    for number in range(20):
        everybody.replace(*(candidate(f"{number}-{at}") for at in range(MANY)))
        picks(plugin, MANY, everybody)
    (turns,) = plugin._turns.values()
    assert isinstance(turns, Many)
    assert len(turns._known) <= 3 * MANY
    assert len(turns._due) + len(turns._waiting) <= 3 * MANY


def test_made_up_names_of_models_do_not_fill_the_memory() -> None:
    plugin = Plugin()
    for number in range(MOST_CANDIDATES // FEW + 10):
        picks(plugin, 1, pool("a", model=f"m{number}"))
    assert sum(turns.size for turns in plugin._turns.values()) <= MOST_CANDIDATES


async def test_the_host_obeys_weights() -> None:
    served: list[str] = []

    def answer(attempt: Any) -> Reply:
        served.append(attempt.candidate.label)
        return Reply(body=msgspec.json.encode(WHOLE))

    keys = [{"provider": "toy", "label": label, "key": f"key-{label}-0123", "weight": w} for label, w in (("a", 5), ("b", 1), ("c", 1))]
    async with Harness([Toy(ToyProvider(answer))], {"credentials": keys, "scheduler": "weighted"}) as host:
        for _ in range(14):
            assert (await host.post("/toy/v1/talk", talk())).status == 200
        assert not host.host.problems
    assert " ".join(served) == "a a b a c a a a a b a c a a"
