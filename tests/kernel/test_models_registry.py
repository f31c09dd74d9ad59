"""The registry changes in place: what an account that comes, goes or is edited has nothing to do with stays as it was."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from jackfield.api import Bearer, Credential, HttpProvider, ModelInfo, Pool, Secret
from jackfield.calls import EVERYTHING
from jackfield.credentials import Account
from jackfield.health import Health
from jackfield.models import Registry
from jackfield.settings import Models
from tests.kernel.conftest import http_toy


def provider(key: str, *models: str | ModelInfo, **options: Any) -> HttpProvider:
    return http_toy("http://127.0.0.1:9", key, models=models, auth=Bearer(), **options)


AA, BB = provider("aa", "m", "n"), provider("bb", "n", "o", patterns=("b-*",))


HEALTH = Health()


def account(of: HttpProvider, name: str, **said: Any) -> Account:
    return Account(Credential(provider=of.key, id=name, label=name, key=Secret(f"sk-{name}"), **said), of, HEALTH)


def edit(edited: Account, **said: Any) -> None:
    edited.credential = replace(edited.credential, **said)


def pool_of(registry: Registry, name: str) -> Pool:
    pool = registry.resolve(name)
    assert pool is not None
    return pool


def labels(registry: Registry, name: str) -> list[str]:
    pool = registry.resolve(name)
    return [candidate.label for candidate in pool.all] if pool is not None else []


NAMES = ("m", "n", "o", "m(high)", "both", "aa/m", "aa://m", "bb/unlisted", "b-1")
OF_B = {"n", "o", "both", "bb/unlisted", "b-1"}
"""Those that an account of BB has to do with."""


def touched(registry: Registry, change: Callable[[], None]) -> set[str]:
    """Return the names whose pools have another revision after a change. All of them are the same objects still."""
    before = {name: (pool := pool_of(registry, name), pool.revision, pool.all) for name in NAMES}
    change()
    assert [pool_of(registry, name) for name in NAMES] == [pool for pool, _, _ in before.values()]
    same = {name for name, (pool, revision, candidates) in before.items() if pool.revision == revision and pool.all is candidates}
    return set(NAMES) - same


@pytest.fixture
def accounts() -> list[Account]:
    return [account(AA, "a1"), account(BB, "b1"), account(BB, "b2")]


@pytest.fixture
def registry(accounts: list[Account]) -> Registry:
    made = Registry(Models(aliases={"both": ("m", "o")}))
    made.update(accounts)
    return made


def test_only_names_of_an_account_that_goes_comes_or_is_edited_are_touched(registry: Registry, accounts: list[Account]) -> None:
    assert touched(registry, lambda: registry.update(accounts[:2])) == OF_B
    assert labels(registry, "n") == ["a1", "b1"]
    assert touched(registry, lambda: registry.update(accounts)) == OF_B
    assert labels(registry, "n") == ["a1", "b1", "b2"]

    def raised() -> None:
        edit(accounts[1], priority=7)
        registry.update(accounts)

    assert touched(registry, raised) == OF_B
    assert [candidate.tier for candidate in pool_of(registry, "n").all] == [0, 7, 0]


@pytest.mark.parametrize("said", [{"key": Secret("sk-new")}, {"notes": "hi"}, {"headers": {"x": "y"}}, {"proxy": "http://p:1"}])
def test_an_edit_of_what_no_name_depends_on_touches_nothing(registry: Registry, accounts: list[Account], said: dict[str, Any]) -> None:
    def edited() -> None:
        edit(accounts[1], **said)
        registry.update(accounts)

    assert touched(registry, edited) == set()


def test_the_same_accounts_again_touch_nothing(registry: Registry, accounts: list[Account]) -> None:
    def again() -> None:
        for one in accounts:
            edit(one)  # equal, and another object
        registry.update([*accounts])

    assert touched(registry, again) == set()


def test_candidates_stand_in_the_order_of_their_accounts_wherever_one_is_put(registry: Registry, accounts: list[Account]) -> None:
    first = account(BB, "b0")
    registry.update([first, *accounts])
    assert labels(registry, "n") == ["b0", "a1", "b1", "b2"]
    registry.update([*reversed(accounts), first])
    assert labels(registry, "n") == ["b2", "b1", "a1", "b0"]
    edit(accounts[1], models=("o",))
    registry.update([*reversed(accounts), first])
    assert labels(registry, "n") == ["b2", "a1", "b0"]
    edit(accounts[1], models=None)
    registry.update([*reversed(accounts), first])
    assert labels(registry, "n") == ["b2", "b1", "a1", "b0"]


def test_a_name_that_nobody_serves_any_more_is_gone_and_may_come_back(registry: Registry, accounts: list[Account]) -> None:
    registry.update(accounts[1:])
    assert labels(registry, "m") == []
    assert "m" not in {info.id for info in registry.listing(EVERYTHING)}
    assert labels(registry, "both") == ["b1", "b2"]
    registry.update(accounts)
    assert labels(registry, "m") == ["a1"]


# ------------------------------------------------------------------------------------------------- listed


def asked(*names: str) -> tuple[Registry, Sequence[Account]]:
    """Return a registry whose accounts have lists of their own, none of which has come in."""
    of = http_toy("http://127.0.0.1:9", "aa", models="discover", auth=Bearer())
    registry, accounts = Registry(), [account(of, name) for name in names]
    registry.update(accounts)
    return registry, accounts


def test_a_list_touches_the_names_of_its_credential_alone() -> None:
    registry, _ = asked("one", "two")
    registry.discovered("one", [ModelInfo(id="m"), ModelInfo(id="n")])
    kept = pool_of(registry, "n")
    registry.discovered("two", [ModelInfo(id="m"), ModelInfo(id="o")])
    assert pool_of(registry, "n") is kept
    assert [labels(registry, name) for name in "mno"] == [["one", "two"], ["one"], ["two"]]
    registry.discovered("one", [ModelInfo(id="m")])
    assert [labels(registry, name) for name in "mno"] == [["one", "two"], [], ["two"]]


def test_a_list_that_says_the_same_again_touches_nothing() -> None:
    registry, _ = asked("one")
    registry.discovered("one", [ModelInfo(id="m")])
    kept = pool_of(registry, "m")
    candidates = kept.all
    registry.discovered("one", [ModelInfo(id="m")])
    assert pool_of(registry, "m") is kept
    assert kept.all is candidates


def test_what_a_list_says_of_a_model_is_known_at_once() -> None:
    registry, _ = asked("one")
    registry.discovered("one", [ModelInfo(id="m", context=5)])
    assert registry.info("m").context == 5  # type: ignore[union-attr]
    registry.discovered("one", [ModelInfo(id="m", context=6)])
    assert registry.info("m").context == 6  # type: ignore[union-attr]


def test_a_list_for_a_credential_that_has_gone_is_of_no_consequence() -> None:
    registry, _ = asked("one")
    registry.update([])
    registry.discovered("one", [ModelInfo(id="m")])
    assert labels(registry, "m") == []


def test_lists_outlive_a_registry() -> None:
    registry, accounts = asked("one")
    registry.discovered("one", [ModelInfo(id="m", context=5)])
    later = Registry(lists=registry.lists)
    later.update(accounts)
    assert labels(later, "m") == ["one"]
    assert later.info("m").context == 5  # type: ignore[union-attr]


# ----------------------------------------------------------------------------------------------- bounded


def test_names_that_callers_make_up_are_remembered_within_bounds() -> None:
    registry = Registry()
    registry.update([account(provider("bb", "m", patterns=("*",)), "b")])
    kept = pool_of(registry, "m")
    for number in range(20_000):
        registry.resolve(f"made-up-{number}")
        if number % 1000 == 0:
            assert registry.resolve("m") is kept
    assert registry._slots.cache_info().currsize < 10_000


MANY = 5000
MODELS = tuple(f"model-{number}" for number in range(10))


def many() -> list[Account]:
    of = [provider(key, *MODELS) for key in ("aa", "bb", "cc")]
    return [account(of[number % 3], f"account-{number}") for number in range(MANY)]


def took(work: Callable[[], object]) -> float:
    """Return the processor time that something takes, in milliseconds: the least of three, on a machine that has other things to do."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append((time.process_time() - started) * 1e3)
    return min(times)


def test_thousands_of_accounts_are_taken_in_within_a_second_and_one_is_edited_in_milliseconds() -> None:
    accounts, registry = many(), Registry()
    assert took(lambda: Registry().update(accounts)) < 1000
    registry.update(accounts)
    assert [len(pool_of(registry, name).all) for name in MODELS] == [MANY] * 10

    def edited() -> None:
        edit(accounts[2500], weight=accounts[2500].credential.weight + 1)
        registry.update(accounts)

    assert took(edited) < 15  # 3 where nothing else runs
    assert took(lambda: registry.update(accounts)) < 15


def test_an_account_takes_a_few_kilobytes() -> None:
    accounts = many()
    tracemalloc.start()
    try:
        registry = Registry()
        registry.update(accounts)
        pools = [registry.resolve(name) for name in MODELS]
        each = tracemalloc.get_traced_memory()[0] / MANY
    finally:
        tracemalloc.stop()
    assert None not in pools
    assert each < 6000
