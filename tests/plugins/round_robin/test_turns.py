"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from jackfield.api import Reply
from jackfield.api.testing import Harness
from jackfield_round_robin import MOST_POOLS, Plugin
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.plugins.pools import Pooled, candidate, picks, pool


def test_candidates_take_turns() -> None:
    assert picks(Plugin(), 7, pool("a", "b", "c")) == "a b c a b c a"


def test_nobody_is_picked_where_nobody_is_eligible() -> None:
    assert picks(Plugin(), 1, pool()) == "-"


def test_each_model_has_turns_of_its_own() -> None:
    plugin, one, other = Plugin(), pool("a", "b", model="m"), pool("a", "b", model="n")
    assert [picks(plugin, 1, one), picks(plugin, 2, other), picks(plugin, 1, one)] == ["a", "a b", "b"]


def test_a_name_within_one_provider_has_turns_of_its_own() -> None:
    mixed = [candidate("a", provider="x"), candidate("b", provider="x"), candidate("c", provider="y")]
    plugin, everybody, within = Plugin(), Pooled(*mixed), Pooled(*mixed[:2])
    assert [picks(plugin, 2, everybody), picks(plugin, 1, within), picks(plugin, 1, everybody)] == ["a b", "a", "c"]


def test_who_cools_keeps_its_place() -> None:
    plugin, some = Plugin(), pool("a", "b", "c", "d")
    assert picks(plugin, 2, some) == "a b"
    assert picks(plugin, 3, some.cool("b", "c")) == "d a d"
    assert picks(plugin, 4, some.only()) == "a b c d"


def test_others_go_on_where_the_one_picked_last_has_cooled() -> None:
    plugin, some = Plugin(), pool("a", "b", "c", "d")
    assert picks(plugin, 3, some) == "a b c"
    assert picks(plugin, 3, some.cool("c")) == "d a b"


def test_who_comes_later_does_not_catch_up() -> None:
    plugin, some = Plugin(), pool("a", "b")
    picks(plugin, 10, some)
    assert Counter(picks(plugin, 9, some.replace(*some.all, candidate("c"))).split()) == {"a": 3, "b": 3, "c": 3}


def test_turns_go_on_when_everybody_is_another() -> None:
    plugin, some = Plugin(), pool("a", "b", "c")
    picks(plugin, 1, some)
    assert picks(plugin, 3, some.replace(candidate("x"), candidate("y"), candidate("z"))) in ("y z x", "x y z")


def test_the_others_share_evenly_what_one_cannot_serve() -> None:
    plugin, everybody, answered = Plugin(), pool("a", "b", "c"), Counter[str]()
    for _ in range(60):
        picked = picks(plugin, 1, everybody)
        if picked == "a":  # fails each time: another has to step in
            picked = picks(plugin, 1, everybody.without("a"))
        answered[picked] += 1
    assert answered == {"b": 30, "c": 30}


def test_made_up_names_of_models_do_not_fill_the_memory() -> None:
    plugin = Plugin()
    for number in range(MOST_POOLS + 10):
        picks(plugin, 1, pool("a", model=f"m{number}"))
    assert len(plugin._turns) <= MOST_POOLS


def test_two_hosts_do_not_share_turns() -> None:
    some = pool("a", "b")
    assert picks(Plugin(), 1, some) == picks(Plugin(), 1, some) == "a"


class Keyed(ToyProvider):
    """Notes which credential each attempt had; those in `broken` cannot serve."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self.served: list[str] = []
        self.broken: set[str] = set()

    def _count(self, attempt: Any) -> Reply:
        self.served.append(attempt.candidate.label)
        return Reply(
            status=429 if attempt.candidate.label in self.broken else 200, body=b'{"id":"t","model":"m","blocks":[],"stop":"stop"}'
        )


def listed(**labels: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"provider": "toy", "label": label, "key": f"key-of-{label}-0123", **more} for label, more in labels.items()]


@pytest.mark.parametrize("scheduler", [None, "round_robin", {"models": {"m": "round_robin"}}, {"providers": {"toy": "round_robin"}}])
async def test_the_host_spreads_calls_over_the_credentials(scheduler: Any) -> None:
    provider = Keyed()
    config = {"credentials": listed(a={}, b={}, c={"priority": -1}), **({"scheduler": scheduler} if scheduler else {})}
    async with Harness([Toy(provider)], config) as host:
        for _ in range(6):
            assert (await host.post("/toy/v1/talk", talk())).status == 200
        assert Counter(provider.served) == {"a": 3, "b": 3}
        provider.broken = {"a", "b"}
        assert (await host.post("/toy/v1/talk", talk())).status == 200
        assert sorted(provider.served[6:8]) == ["a", "b"]
        assert provider.served[8:] == ["c"]


async def test_a_credential_serves_only_the_models_that_it_may() -> None:
    provider = Keyed()
    config = {"credentials": listed(a={"models": ["m"]}, b={"excluded": ["m*"]}, c={"disabled": True})}
    async with Harness([Toy(provider)], config) as host:
        for model in ("m", "n", "m", "n"):
            assert (await host.post("/toy/v1/talk", talk(model))).status == 200
        assert provider.served == ["a", "b", "a", "b"]
