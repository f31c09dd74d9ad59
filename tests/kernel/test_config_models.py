"""What the configuration says of models: who serves which name, and which upstream model that is."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api import Allow, Bearer, HttpProvider, ModelInfo, Principal
from jackfield.calls import EVERYTHING
from jackfield.generation import Generation
from tests.kernel.conftest import Toy, http_toy


def provider(key: str, *models: Any, patterns: tuple[str, ...] = ()) -> HttpProvider:
    return http_toy("http://127.0.0.1:9", key, models=models, patterns=patterns, auth=Bearer())


PROVIDERS = (provider("aa", "small", "large", ModelInfo(id="nick", upstream="nick-2025")), provider("bb", "large", patterns=("b-*",)))


async def generation(*credentials: dict[str, Any], aliases: dict[str, Any] | None = None) -> Generation:
    """Return what a host makes of these credentials."""
    config = {"plugins": {"autoload": False}, "models": {"aliases": aliases or {}}, "credentials": list(credentials)}
    host = Jackfield(config, plugins=[Toy(*PROVIDERS)], listen=False, defaults=False)
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


async def test_listings_and_near_names_show_only_what_a_principal_may_call() -> None:
    made, some = await generation(A, B), Principal(name="p", allow=Allow(models=("l*",)))
    assert [info.id for info in made.models.listing(some)] == ["large"]
    assert made.models.near("smal", EVERYTHING) == ["small"]
    assert made.models.near("smal", some) == []
