"""The catalogue of the models of Google's Gemini API."""

import datetime as dt

import pytest

from jackfield.api import ModelInfo, ThinkingSupport, matches
from jackfield.api.canonical.thinking import LEVELS
from jackfield_gemini.catalogue import CATALOGUE

DIALECTS = {"gemini.generate"}
NAMES = {
    # names on Google's pages of models and prices
    "gemini-4-argon", "gemini-4-hydrogen", "gemini-3.8-flash", "gemini-flash-latest", "gemini-3.7-flash", "gemini-3.6-flash",
    "gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-flash-lite-latest", "gemini-3.1-flash-lite", "gemini-3.1-flash-lite-preview",
    "gemini-3.1-pro-preview", "gemini-3.1-pro-preview-customtools", "gemini-pro-latest", "gemini-3-flash-preview",
    "gemini-3-pro-preview", "gemini-2.5-flash-lite", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash-lite",
    "gemini-2.0-flash-lite-001", "gemini-2.0-flash", "gemini-2.0-flash-001", "gemma-4-31b-it", "gemma-4-26b-a4b-it",
    "gemma-3-27b-it", "gemini-embedding-001",
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
    assert info.owner == "google"
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
    ("name", "thinking"),
    [
        ("gemini-2.0-flash", ThinkingSupport()),
        ("gemini-2.5-pro", ThinkingSupport(min=128, max=32768, off=False)),
        ("gemini-2.5-flash", ThinkingSupport(min=0, max=24576)),
        ("gemini-2.5-flash-lite", ThinkingSupport(min=512, max=24576)),
        ("gemini-3-pro-preview", ThinkingSupport(levels=("low", "high"), off=False)),
        ("gemini-3-flash-preview", ThinkingSupport(levels=("minimal", "low", "medium", "high"), off=False)),
        ("gemini-3.8-flash", ThinkingSupport(levels=("low", "medium", "high"), off=False)),
    ],
)
def test_how_models_are_told_to_think(name: str, thinking: ThinkingSupport) -> None:
    info = known(name)
    assert info is not None
    assert info.thinking == thinking


def test_a_model_of_tomorrow_is_not_known() -> None:
    assert known("gemini-9-neon") is None
