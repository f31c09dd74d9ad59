"""The catalogue of Anthropic's models."""

import datetime as dt
from typing import get_args

import pytest
from anthropic.types import ModelParam

from jackfield.api import ModelInfo, ThinkingSupport, matches
from jackfield.api.canonical.thinking import LEVELS
from jackfield_anthropic.catalogue import CATALOGUE

DIALECTS = {"anthropic.messages"}
NAMES = {
    *(name for part in get_args(ModelParam) for name in get_args(part)),
    # dated names, and older ones that Anthropic's page of models lists
    "claude-opus-4-7-20260416", "claude-opus-4-6-20260205", "claude-sonnet-4-6-20260217", "claude-opus-4-1", "claude-opus-4-1-20250805",
    "claude-opus-4-0", "claude-opus-4-20250514", "claude-sonnet-4-0", "claude-sonnet-4-20250514", "claude-3-7-sonnet",
    "claude-3-7-sonnet-20250219", "claude-3-5-haiku-20241022", "claude-3-5-sonnet-20241022", "claude-3-opus-20240229",
    "claude-3-haiku-20240307",
}  # fmt: skip


def known(name: str) -> ModelInfo | None:
    """What the catalogue says of a name: what stands first counts."""
    return next((info for info in CATALOGUE if matches(name, info.id)), None)


def test_it_says_of_what_day_it_is_and_where_from() -> None:
    assert dt.date.fromisoformat(CATALOGUE.as_of) > dt.date(2026, 1, 1)
    assert len(CATALOGUE.sources) >= 3


def test_each_entry_is_of_a_real_model_and_none_hides_another() -> None:
    ids = [info.id for info in CATALOGUE]
    assert len(ids) == len(set(ids))
    for index, info in enumerate(CATALOGUE):
        fitting = [name for name in NAMES if matches(name, info.id)]
        assert fitting, f"no model is named like {info.id}"
        earlier = [other for other in ids[:index] if all(matches(name, other) for name in fitting)]
        assert not earlier, f"{info.id} is hidden by {earlier}"


@pytest.mark.parametrize("info", CATALOGUE, ids=lambda info: info.id)
def test_the_facts_are_sane(info: ModelInfo) -> None:
    assert info.owner == "anthropic"
    assert info.display_name
    assert info.created is None or 1_670_000_000 < info.created < 1_800_000_000
    assert info.max_output is None or info.context is None or 1_000 < info.max_output <= info.context
    assert set(info.prices) <= {"input", "output", "cache_read", "cache_write"}
    assert "input" in info.prices
    assert all(0 <= price <= 600 for price in info.prices.values())
    assert info.prices["input"] <= info.prices.get("output", info.prices["input"])
    assert info.prices.get("cache_read", 0) <= info.prices["input"]
    assert "text" in info.input_modalities
    assert set(info.dialects) <= DIALECTS
    if info.thinking is not None:
        levels = [LEVELS.index(level) for level in info.thinking.levels]
        assert levels == sorted(levels)
        assert "none" not in info.thinking.levels
        assert (info.thinking.min is None) == (info.thinking.max is None)
        assert info.thinking.max is None or (info.thinking.min or 0) < info.thinking.max < (info.max_output or 10**9)


@pytest.mark.parametrize(
    ("name", "levels", "budget", "off", "dynamic"),
    [
        ("claude-3-5-haiku-latest", (), None, True, True),
        ("claude-3-7-sonnet-20250219", (), (1024, 63999), True, False),
        ("claude-sonnet-4-20250514", (), (1024, 63999), True, False),
        ("claude-opus-4-20250514", (), (1024, 31999), True, False),
        ("claude-haiku-4-5-20251001", (), (1024, 63999), True, False),
        ("claude-opus-4-6", ("low", "medium", "high", "max"), (1024, 127999), True, True),
        ("claude-opus-4-8", ("low", "medium", "high", "xhigh", "max"), None, True, True),
        ("claude-opus-5-5", ("low", "medium", "high", "xhigh", "max"), None, False, True),
    ],
)
def test_how_models_are_told_to_think(name: str, levels: tuple[str, ...], budget: tuple[int, int] | None, off: bool, dynamic: bool) -> None:
    info = known(name)
    least, most = budget or (None, None)
    assert info is not None
    assert info.thinking == ThinkingSupport(levels=levels, min=least, max=most, off=off, dynamic=dynamic)


def test_a_model_of_tomorrow_is_not_known() -> None:
    assert known("claude-opus-9") is None
