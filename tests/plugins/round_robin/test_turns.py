"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from jackfield.api import Candidate, Credential, Pool, Provider, Reply
from jackfield.api.testing import Harness
from jackfield.credentials import Account
from jackfield_round_robin import MOST_CANDIDATES, Plugin
from tests.kernel.conftest import Toy, ToyProvider, talk

NO_CALL: Any = None


def pool(*labels: str, model: str = "m", tiers: dict[str, int] | None = None) -> Pool:
    provider = Provider()
    held = [Credential(provider="toy", id=label, label=label, priority=(tiers or {}).get(label, 0)) for label in labels]
    return Pool(model, [Candidate(Account(one, provider), model) for one in held])


def picks(plugin: Plugin, many: int, among: Pool) -> list[str]:
    picked = [plugin.pick_credential(NO_CALL, among) for _ in range(many)]
    return [one.label if one is not None else "" for one in picked]


def test_candidates_take_turns() -> None:
    assert picks(Plugin(), 7, pool("a", "b", "c")) == ["a", "b", "c", "a", "b", "c", "a"]


def test_nobody_is_picked_where_nobody_is_eligible() -> None:
    assert Plugin().pick_credential(NO_CALL, pool()) is None


def test_each_model_has_turns_of_its_own() -> None:
    plugin, one, other = Plugin(), pool("a", "b", model="m"), pool("a", "b", model="n")
    assert [*picks(plugin, 1, one), *picks(plugin, 2, other), *picks(plugin, 1, one)] == ["a", "a", "b", "b"]


def test_a_lower_tier_is_left_alone() -> None:
    assert set(picks(Plugin(), 6, pool("a", "b", "c", tiers={"a": 1, "b": 1}))) == {"a", "b"}


def test_the_next_tier_takes_over_when_the_first_was_tried() -> None:
    both = pool("a", "b", "c", tiers={"a": 1})
    assert picks(Plugin(), 4, both.without(frozenset({"a/m"}))) == ["b", "c", "b", "c"]


def test_the_others_share_evenly_what_one_cannot_serve() -> None:
    plugin, everybody, answered = Plugin(), pool("a", "b", "c"), Counter[str]()
    for _ in range(60):
        (picked,) = picks(plugin, 1, everybody)
        if picked == "a":  # fails each time: another has to step in
            (picked,) = picks(plugin, 1, everybody.without(frozenset({"a/m"})))
        answered[picked] += 1
    assert answered == {"b": 30, "c": 30}


def test_one_that_comes_later_does_not_catch_up() -> None:
    plugin = Plugin()
    picks(plugin, 10, pool("a", "b"))
    assert Counter(picks(plugin, 9, pool("a", "b", "c"))) == {"a": 3, "b": 3, "c": 3}


def test_made_up_names_of_models_do_not_fill_the_memory() -> None:
    plugin = Plugin()
    for number in range(MOST_CANDIDATES + 10):
        plugin.pick_credential(NO_CALL, pool("a", model=f"m{number}"))
    assert len(plugin._latest) <= MOST_CANDIDATES


def test_two_hosts_do_not_share_turns() -> None:
    assert picks(Plugin(), 1, pool("a", "b")) == picks(Plugin(), 1, pool("a", "b")) == ["a"]


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
