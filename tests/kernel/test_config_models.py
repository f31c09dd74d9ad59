"""What the configuration says of models: who serves which name, and which upstream model that is."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api import Allow, Bearer, HttpProvider, ModelInfo, Principal, Provider, ThinkingSupport
from jackfield.calls import EVERYTHING
from jackfield.generation import Generation
from tests.kernel.conftest import Toy, http_toy


def provider(key: str, *models: Any, patterns: tuple[str, ...] = ()) -> HttpProvider:
    return http_toy("http://127.0.0.1:9", key, models=models, patterns=patterns, auth=Bearer())


PROVIDERS = (provider("aa", "small", "large", ModelInfo(id="nick", upstream="nick-2025")), provider("bb", "large", patterns=("b-*",)))


async def generation(*credentials: dict[str, Any], providers: tuple[Provider, ...] = PROVIDERS, **models: Any) -> Generation:
    """Return what a host makes of these credentials, and of what the configuration says of models."""
    config = {"plugins": {"autoload": False}, "models": models, "credentials": list(credentials)}
    host = Jackfield(config, plugins=[Toy(*providers)], listen=False, defaults=False)
    try:
        return await host.load()
    finally:
        await host.stop(grace=0)


def served(made: Generation, name: str, within: str | None = None) -> list[str]:
    """Return who serves a name, as `label:upstream model`."""
    pool = made.models.resolve(name, within)
    return [f"{candidate.label}:{candidate.model}" for candidate in pool.all] if pool is not None else []


A = {"provider": "aa", "key": "sk-a1", "label": "a"}
B = {"provider": "bb", "key": "sk-b1", "label": "b"}


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("small", ["a:small"]), ("large", ["a:large", "b:large"]), ("nick", ["a:nick-2025"]), ("nick-2025", []), ("gone", []), ("", []),
        ("aa/large", ["a:large"]), ("bb/large", ["b:large"]), ("bb/anything/at-all", ["b:anything/at-all"]), ("aa/", []), ("cc/large", []),
        ("aa://large", ["a:large"]), ("aa://anything", ["a:anything"]), ("aa://", []), ("cc://large", []), ("b-9", ["b:b-9"]),
        ("aa/b-9", ["a:b-9"]), ("SMALL", []),
    ],
)  # fmt: skip
async def test_a_name_is_listed_or_names_its_provider_or_fits_a_pattern(name: str, who: list[str]) -> None:
    assert served(await generation(A, B), name) == who


async def test_within_a_provider_only_that_provider_serves() -> None:
    made = await generation(A, B)
    assert served(made, "large", "bb") == ["b:large"]
    assert served(made, "anything", "bb") == ["b:anything"]
    assert served(made, "aa://large", "bb") == []


@pytest.mark.parametrize(
    ("aliases", "name", "who"),
    [
        ({"fast": "small"}, "fast", ["a:small"]),
        ({"fast": "small"}, "small", ["a:small"]),
        ({"both": ["small", "large"]}, "both", ["a:small", "a:large", "b:large"]),
        ({"one": "two", "two": "small"}, "one", ["a:small"]),
        ({"large": "bb/large"}, "large", ["b:large"]),
        ({"large": ["large", "small"]}, "large", ["a:large", "b:large", "a:small"]),
        ({"one": "two", "two": "one"}, "one", []),
        ({"x": "x"}, "x", []),
        ({"x": "gone"}, "x", []),
        ({"x": []}, "x", []),
        ({"x": ["gone", "small"]}, "x", ["a:small"]),
        ({"any": "bb://made-up"}, "any", ["b:made-up"]),
    ],
)
async def test_an_alias_is_another_name_for_a_model_or_several(aliases: dict[str, Any], name: str, who: list[str]) -> None:
    made = await generation(A, B, aliases=aliases)
    assert served(made, name) == who
    assert (name in {info.id for info in made.models.listing(EVERYTHING)}) == bool(who)


async def test_a_credential_may_be_limited_to_models_and_kept_from_others() -> None:
    made = await generation({**A, "models": ["small", "n*", "extra"]}, {**A, "key": "sk-a2", "label": "a2", "excluded": ["small"]}, B)
    assert served(made, "small") == ["a:small"]
    assert served(made, "large") == ["a2:large", "b:large"]
    assert served(made, "nick") == ["a:nick-2025", "a2:nick-2025"]
    assert served(made, "extra") == ["a:extra"]
    assert served(made, "aa://small") == ["a:small"]
    assert served(made, "aa/made-up") == ["a2:made-up"]


async def test_a_credential_may_have_a_prefix_and_names_of_its_own() -> None:
    made = await generation({**A, "prefix": "team", "aliases": {"quick": "small", "all": ["small", "large"]}}, B)
    assert served(made, "team/large") == ["a:large"]
    assert served(made, "team/made-up") == ["a:made-up"]
    assert served(made, "quick") == served(made, "team/quick") == ["a:small"]
    assert served(made, "all") == ["a:small", "a:large"]
    assert {"quick", "team/quick", "team/large", "large"} <= {info.id for info in made.models.listing(EVERYTHING)}


async def test_priority_makes_tiers_and_a_disabled_credential_serves_nothing() -> None:
    made = await generation(A, {**B, "priority": 5}, {**A, "key": "sk-a2", "disabled": True})
    pool = made.models.resolve("large", None)
    assert pool is not None
    assert [c.label for c in pool.all] == ["a", "b"]
    assert [c.label for c in pool.eligible] == ["b"]


async def test_the_same_key_twice_is_one_credential() -> None:
    assert served(await generation(A, {**A, "label": "again"}), "small") == ["a:small"]


def listed(made: Generation) -> dict[str, ModelInfo]:
    return {info.id: info for info in made.models.listing(EVERYTHING)}


OTHERS = (provider("aa", "m", "aa/n"), provider("bb", "aa/m", "aa/o", "aa/n"))


@pytest.mark.parametrize(("name", "who"), [("aa/m", ["a:m"]), ("aa/o", ["b:aa/o"]), ("aa/n", ["a:aa/n", "b:aa/n"]), ("aa/p", ["a:p"])])
async def test_the_provider_that_is_named_goes_before_one_that_lists_such_a_name_if_it_has_the_model(name: str, who: list[str]) -> None:
    assert served(await generation(A, B, providers=OTHERS), name) == who


@pytest.mark.parametrize(
    ("own", "everywhere", "name", "who"),
    [
        ("small", "bb/large", "fast", ["a:small", "b:large"]),
        ("small", "large", "fast", ["a:small", "b:large"]),
        ("nick", None, "fast", ["a:nick-2025"]),
        (["small", "nick"], None, "fast", ["a:small", "a:nick-2025"]),
        ("unlisted", None, "fast", ["a:unlisted"]),
        ("small", None, "aa/fast", ["a:small"]),
        ("small", None, "aa://fast", ["a:small"]),
    ],
)
async def test_a_credentials_own_alias_goes_before_that_of_all(own: Any, everywhere: Any, name: str, who: list[str]) -> None:
    aliases = {} if everywhere is None else {"fast": everywhere}
    assert served(await generation({**A, "aliases": {"fast": own}}, B, aliases=aliases), name) == who


async def test_an_own_alias_goes_before_the_listed_model_of_that_name_and_may_say_how_much_to_think() -> None:
    made = await generation({**A, "aliases": {"large": "small", "deep": "small(high)"}}, B)
    assert served(made, "large") == ["a:small", "b:large"]
    deep = made.models.resolve("deep")
    assert deep is not None
    assert [(c.model, c.thinking and c.thinking.effort) for c in deep.all] == [("small", "high")]


async def test_an_alias_may_replace_the_names_that_it_leads_to() -> None:
    made = await generation(A, B, aliases={"fast": {"model": ["small", "nick"], "fork": False}, "big": {"model": "large"}})
    assert served(made, "fast") == ["a:small", "a:nick-2025"]
    assert [served(made, name) for name in ("small", "small(high)", "nick")] == [[], [], []]
    assert served(made, "aa://small") == ["a:small"]
    assert listed(made).keys() == {"fast", "big", "large"}


async def test_an_own_alias_may_replace_a_name_for_its_credential_alone() -> None:
    made = await generation({**A, "aliases": {"one": {"model": "large", "fork": False}}}, B)
    assert served(made, "large") == ["b:large"]
    assert served(made, "one") == ["a:large"]


async def test_an_alias_has_a_display_name_of_its_own() -> None:
    providers = (provider("aa", ModelInfo(id="m", display_name="The Model", context=9)),)
    own = {**A, "aliases": {"mine": {"model": "m", "display_name": "My Own"}}}
    made = await generation(own, providers=providers, aliases={"a": "m", "b": {"model": "m", "display_name": "Model B"}})
    assert {name: (info.display_name, info.context) for name, info in listed(made).items()} == {
        "m": ("The Model", 9), "a": ("The Model", 9), "b": ("Model B", 9), "mine": ("My Own", 9),
    }  # fmt: skip


TEAM = {**A, "prefix": "team", "aliases": {"quick": "small"}}


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("large", ["b:large"]), ("small", []), ("quick", []), ("team/large", ["a:large"]), ("team/quick", ["a:small"]),
        ("team/made-up", ["a:made-up"]), ("aa/large", []), ("aa://small", []), ("aa://team/small", ["a:small"]),
        ("aa/team/nick", ["a:nick-2025"]),
        ("aa://team/made-up", ["a:made-up"]), ("aa/made-up", []), ("bb/large", ["b:large"]), ("team/small(low)", ["a:small"]),
    ],
)  # fmt: skip
async def test_where_prefixes_are_forced_other_names_do_not_reach_who_has_one(name: str, who: list[str]) -> None:
    made = await generation(TEAM, B, force_prefix=True)
    assert served(made, name) == who
    assert "small" not in listed(made)
    assert {"team/small", "team/quick", "large"} <= listed(made).keys()


async def test_models_may_be_excluded_for_all_with_or_without_their_provider() -> None:
    made = await generation(A, B, excluded=["aa/l*", "nick", "b-bad*"])
    assert served(made, "large") == ["b:large"]
    assert served(made, "nick") == served(made, "aa/large") == served(made, "aa://large") == served(made, "b-bad-1") == []
    assert served(made, "b-good") == ["b:b-good"]


async def test_a_model_is_served_by_all_of_its_providers_whose_accounts_can_be_used() -> None:
    broken = [{"provider": "gone", "key": "sk-g"}, {"provider": "bb", "key": ""}, {"provider": "bb", "key": "sk-x", "disabled": True}]
    made = await generation({**B, "priority": 3}, *broken, A, {**A, "key": "sk-a2", "label": "a2", "priority": 3})
    pool = made.models.resolve("large")
    assert pool is not None
    assert [(c.label, c.provider, c.tier) for c in pool.all] == [("b", "bb", 3), ("a", "aa", 0), ("a2", "aa", 3)]
    assert [c.label for c in pool.eligible] == ["b", "a2"]


# --------------------------------------------------------------------------------------------------- auto


Aged = tuple[str, int | None, str]
"""A name, when it was created, and what it is known to answer with."""


def aged(*rows: Aged) -> tuple[ModelInfo, ...]:
    return tuple(ModelInfo(id=name, created=created, output_modalities=(says,) if says else ()) for name, created, says in rows)


async def newest(
    *of_a: tuple[str, int | None, str], b: tuple[tuple[str, int | None, str], ...] = (), name: str = "auto", **models: Any
) -> list[str]:
    made = await generation(A, B, providers=(provider("aa", *aged(*of_a)), provider("bb", *aged(*b))), **models)
    return served(made, name)


async def test_auto_is_the_newest_model_that_writes_text() -> None:
    assert await newest(("old", 5, ""), ("new", 9, ""), ("mid", 7, "")) == ["a:new"]
    assert await newest(("old", 5, "text"), ("paints", 9, "image"), ("unknown", 9, "")) == ["a:old"]
    assert await newest(("old", 5, "text"), b=(("new", 8, ""), ("undated", None, ""))) == ["b:new"]
    assert await newest(("old", 5, ""), b=(("old", 5, ""),)) == ["a:old", "b:old"]
    assert await newest(("only", None, "")) == ["a:only"]
    assert await newest() == []


async def test_auto_may_say_how_much_to_think_and_be_excluded_or_given_to_something_else() -> None:
    rows = (("old", 5, ""), ("new", 9, ""))
    made = await generation(A, providers=(provider("aa", *aged(*rows)),))
    pool = made.models.resolve("auto(high)")
    assert pool is not None
    assert [(c.model, c.thinking and c.thinking.effort) for c in pool.all] == [("new", "high")]
    assert await newest(*rows, excluded=["new"]) == ["a:old"]
    assert await newest(*rows, aliases={"auto": "old"}) == ["a:old"]
    assert await newest(*rows, aliases={"best": "auto"}, name="best") == ["a:new"]
    assert await newest(*rows, aliases={"x": {"model": "new", "fork": False}}) == ["a:old"]
    assert await newest(*rows, ("auto", 1, "")) == ["a:auto"]


async def test_auto_passes_over_accounts_that_are_off() -> None:
    made = await generation(A, B, providers=(provider("aa", *aged(("new", 9, ""))), provider("bb", *aged(("old", 5, "")))))
    switch(made, "a", on=False)
    assert served(made, "auto") == ["b:old"]
    switch(made, "a", on=True)
    assert served(made, "auto") == ["a:new"]


def switch(made: Generation, label: str, *, on: bool) -> None:
    [account] = [account for account in made.accounts if account.credential.label == label]
    account.health.switch(account.credential.id, on)


# ------------------------------------------------------------------------------------------------- listed


async def test_what_only_accounts_serve_that_are_off_is_not_listed() -> None:
    made = await generation(A, B, aliases={"fast": "small"})
    switch(made, "a", on=False)
    assert listed(made).keys() == {"large"}
    assert listed(made)["large"].owner == "bb"


async def test_models_are_listed_once_more_for_levels_at_which_they_are_known_to_think() -> None:
    infos = [
        ModelInfo(id="levels", thinking=ThinkingSupport(levels=("low", "high"), off=False), display_name="Levels"),
        ModelInfo(id="budget", thinking=ThinkingSupport(min=0, max=9)),
        ModelInfo(id="never", thinking=ThinkingSupport()),
        ModelInfo(id="unknown"),
    ]
    made = await generation(A, providers=(provider("aa", *infos),), list_variants=["none", "high", "max"])
    shown = listed(made)
    assert [name for name in shown if "(" in name] == ["levels(high)", "budget(none)", "budget(high)", "budget(max)"]
    assert shown["levels(high)"].display_name == "Levels (high)"
    assert served(made, "levels(high)") == ["a:levels"]


async def test_listings_and_near_names_show_only_what_a_principal_may_call() -> None:
    made, some = await generation(A, B), Principal(name="p", allow=Allow(models=("l*",)))
    assert [info.id for info in made.models.listing(some)] == ["large"]
    assert made.models.near("smal", EVERYTHING) == ["small"]
    assert made.models.near("smal", some) == []
