"""Who a credential is: what counts once, what counts twice, and what stays when it is edited."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from jackfield.api import Credential, Provider, Secret
from jackfield.api.testing import Harness
from jackfield.credentials import Account, accounts
from tests.kernel.conftest import ToyProvider
from tests.kernel.pipeline_kit import Made, ask, toy_host

PROVIDERS: dict[str, Provider] = {"toy": ToyProvider()}


def account(**said: Any) -> Credential:
    return Credential(**{"provider": "toy", "kind": "oauth", "origin": "a file", **said})


def taken(*credentials: Credential, known: Sequence[Account] = ()) -> tuple[list[Account], list[str]]:
    problems: list[str] = []
    return accounts(credentials, PROVIDERS, {one.credential.id: one for one in known}, problems), problems


class Source:
    """A source whose credentials do not say where they are from."""

    name = "given"

    def __init__(self, *credentials: Any, problems: Sequence[str] = ()) -> None:
        self._credentials, self.problems = credentials, problems

    async def load(self) -> Sequence[Any]:
        return self._credentials


def giving(*credentials: Any, **more: Any) -> Made:
    return Made("giver", register_credential_sources=lambda: [Source(*credentials, **more)])


ALIKE = [
    account(subject="u-1", workspace="w-1", label="ann@example.com"),
    account(subject="u-1", workspace="w-2", label="ann@example.com"),
    account(subject="u-2", workspace="w-1", label="ann@example.com"),
    account(subject="", workspace="w-1", label="ann@example.com"),
    account(subject="u-1:w-1", workspace="", label=""),
]


def test_five_accounts_that_look_alike_are_five() -> None:
    made, problems = taken(*ALIKE)
    assert len({one.credential.id for one in made}) == 5
    assert problems == []


@pytest.mark.parametrize("before", ALIKE, ids=lambda one: one.identity)
def test_another_login_of_an_account_is_the_same_account(before: Credential) -> None:
    now = Credential(
        provider="toy",
        kind="oauth",
        subject=before.subject,
        workspace=before.workspace,
        label=before.label,
        key=Secret("new"),
        notes="again",
    )
    assert now.identity == before.identity


def test_a_key_is_known_by_its_fingerprint_and_shows_nothing_of_itself() -> None:
    one, two = (Credential(provider="toy", key=Secret(f"sk-very-secret-{n}"), label="l") for n in (1, 2))
    assert one.identity != two.identity
    assert "secret" not in one.identity
    elsewhere = Credential(provider="toy", key=one.key, base_url="http://127.0.0.1:1")
    assert elsewhere.identity == f"{one.identity}:http://127.0.0.1:1"


def test_an_id_that_is_given_stays_whatever_else_changes() -> None:
    before, _ = taken(account(id="mine", subject="u-1", key=Secret("old")))
    before[0].in_flight = 3
    after, _ = taken(account(id="mine", subject="u-2", key=Secret("new")), known=before)
    assert after == before
    assert (after[0].in_flight, after[0].credential.subject) == (3, "u-2")


def test_what_was_made_of_a_credential_is_kept_until_it_is_edited() -> None:
    before, _ = taken(account(subject="u-1", notes="a"))
    before[0].prepared["url"] = True
    same, _ = taken(account(subject="u-1", notes="a"), known=before)
    assert same[0].prepared == {"url": True}
    edited, _ = taken(account(subject="u-1", notes="b"), known=before)
    assert edited[0].prepared == {}
    assert edited == before


def test_of_two_places_with_one_id_the_first_counts_and_both_are_named() -> None:
    made, problems = taken(account(id="x", origin="a.json", label="first"), account(id="x", origin="b.json", label="second"))
    assert [one.credential.label for one in made] == ["first"]
    assert len(problems) == 1
    for named in ("a.json", "b.json", "'x'"):
        assert named in problems[0]


async def test_a_key_that_stands_twice_is_a_problem_unless_the_environment_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-in-two-places-1")
    once = {"provider": "openai", "key": "sk-in-two-places-1"}
    async with Harness([], {"credentials": [once]}) as house:
        assert house.host.problems == []
        assert len([one for one in house.host.generation.accounts if one.provider.key == "openai"]) == 1
    async with Harness([], {"credentials": [once, once]}) as house:
        assert ["credentials[0]" in problem and "credentials[1]" in problem for problem in house.host.problems] == [True]


async def test_each_credential_of_a_source_counts_whether_or_not_it_says_where_it_is_from() -> None:
    source = giving(Credential(provider="toy", label="a"), Credential(provider="toy", label="b"), problems=["c: is broken"])
    async with toy_host(source) as house:
        assert [one.credential.label for one in house.host.generation.accounts] == ["a", "b"]
        assert house.host.problems == ["c: is broken"]


@pytest.mark.parametrize("given", ["a text", None, {"provider": "toy"}], ids=repr)
async def test_a_source_that_answers_something_else_is_a_problem_of_its_plugin(given: Any) -> None:
    async with toy_host(giving(given)) as house:
        assert (await ask(house)).status == 200  # by the one that needs no key
        assert [problem.startswith("plugin 'giver': credential source 'given': ") for problem in house.host.problems] == [True]


def test_thousands_are_taken_anew_in_no_time() -> None:
    many = [account(subject=f"u-{n}", id=f"toy:u-{n}", origin=f"/somewhere/{n}.json") for n in range(5000)]
    before, _ = taken(*many)
    begun = time.process_time()
    after, _ = taken(*many[:-1], account(subject="u-4999", id="toy:u-4999", notes="edited"), known=before)
    assert time.process_time() - begun < 0.1
    assert all(one is other for one, other in zip(before, after, strict=True))
