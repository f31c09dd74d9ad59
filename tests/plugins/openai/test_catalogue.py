"""The catalogue of OpenAI's models."""

import datetime as dt
import json
from pathlib import Path
from typing import get_args

import pytest
from openai.types import AllModels

from jackfield.api import Catalogue, ModelInfo, ThinkingSupport, matches
from jackfield.api.canonical.thinking import LEVELS
from jackfield_openai.catalogue import CATALOGUE

DIALECTS = {"openai.chat", "openai.responses", "openai.completions"}
NAMES = {
    *(name for choice in get_args(AllModels) for part in (choice, *get_args(choice)) for name in get_args(part) if isinstance(name, str)),
    # names on OpenAI's pages of its models that its SDK does not list
    "gpt-5.4-pro", "gpt-5.4-pro-2026-03-05", "gpt-5.5-pro", "gpt-5.5-pro-2026-04-23", "gpt-5.4-2026-03-05", "gpt-5.6", "gpt-5.3-codex",
    "gpt-5.2-codex", "gpt-5.1-codex-mini", "gpt-5-search-api", "gpt-5-search-api-2025-10-14", "gpt-audio", "gpt-audio-1.5",
    "gpt-audio-2025-08-28", "text-embedding-3-large", "text-embedding-3-small", "text-embedding-ada-002",
}  # fmt: skip


def known(name: str) -> ModelInfo | None:
    """What the catalogue says of a name: what stands first counts."""
    return next((info for info in CATALOGUE if matches(name, info.id)), None)


def test_it_says_of_what_day_it_is_and_where_from() -> None:
    assert dt.date.fromisoformat(CATALOGUE.as_of) > dt.date(2026, 1, 1)
    assert len(CATALOGUE.sources) >= 3


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    catalogue = Catalogue(str(tmp_path / "module.py"), owner="somebody")
    said = {"as_of": "2026-11-29", "sources": [], "note": "", "models": [{"ids": ["a", "b-*"], "context": 5}]}
    (tmp_path / "catalogue.json").write_text(json.dumps(said))
    assert [(info.id, info.owner, info.context) for info in catalogue] == [("a", "somebody", 5), ("b-*", "somebody", 5)]


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
    assert info.owner == "openai"
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
        ("gpt-4o-2024-08-06", ThinkingSupport()),
        ("o3-2025-04-16", ThinkingSupport(levels=("low", "medium", "high"), off=False, dynamic=False)),
        ("gpt-5-mini-2025-08-07", ThinkingSupport(levels=("minimal", "low", "medium", "high"), off=False, dynamic=False)),
        ("gpt-5.1", ThinkingSupport(levels=("low", "medium", "high"), dynamic=False)),
        ("gpt-5.4-2026-03-05", ThinkingSupport(levels=("low", "medium", "high", "xhigh"), dynamic=False)),
        ("gpt-6-astra", ThinkingSupport(levels=("low", "medium", "high", "xhigh", "max"), off=False, dynamic=False)),
    ],
)
def test_how_models_are_told_to_think(name: str, thinking: ThinkingSupport) -> None:
    info = known(name)
    assert info is not None
    assert info.thinking == thinking


def test_some_models_have_one_dialect_alone() -> None:
    assert {info.dialects for name in ("gpt-5.3-codex", "gpt-5-pro", "o3-pro-2025-06-10") if (info := known(name))} == {
        ("openai.responses",)
    }
    assert (known("gpt-4o-search-preview-2025-03-11") or ModelInfo(id="")).dialects == ("openai.chat",)


def test_a_model_of_tomorrow_is_not_known() -> None:
    assert known("gpt-9-nova") is None
