"""The page about thinking says what the code does."""

from __future__ import annotations

from jackfield.api import ThinkingSupport
from jackfield.api.canonical import ThinkingConfig, fit_thinking, parse_suffix
from jackfield.api.canonical.thinking import BUDGETS
from tests.docs.markdown import document

PAGE = document("docs/explanation/thinking.md")
LEVELS = ("low", "medium", "high")
KINDS = (
    ThinkingSupport(levels=LEVELS, off=False, dynamic=False),
    ThinkingSupport(min=1024, max=32000, off=False, dynamic=False),
    ThinkingSupport(levels=LEVELS, min=1024, max=32000, off=False, dynamic=False),
)
ASKED = ("minimal", "low", "high", "max", "500", "8192", "100000", "none", "auto")

ROWS_LEVELS = [["`none`", "0"], *([f"`{level}`", f"{tokens:,}"] for level, tokens in BUDGETS.items())]


def fitted_rows() -> list[list[str]]:
    """What each kind of model gets of what is asked in the name's parentheses."""
    return [[f"`({asked})`", *(_fitted(asked, kind) for kind in KINDS)] for asked in ASKED]


def _fitted(asked: str, kind: ThinkingSupport) -> str:
    _, config = parse_suffix(f"m({asked})")
    assert config is not None
    fitted = fit_thinking(config, kind, strict=False, losses=[])
    assert fitted == ThinkingConfig(mode="on", effort=fitted.effort, budget=fitted.budget)
    return f"`{fitted.effort}`" if fitted.effort else f"{fitted.budget:,}"


def test_the_table_of_levels_is_the_one_of_the_code() -> None:
    assert PAGE.table("Levels and budgets") == ROWS_LEVELS


def test_the_table_of_models_is_what_they_get() -> None:
    assert PAGE.table("What a model gets") == fitted_rows()


def test_the_names_are_read_as_the_page_says() -> None:
    items = [line for line in PAGE.section("How it is asked").splitlines() if line.startswith("- `")]
    names = [part for line in items for part in line.split("`")[1::2]]
    assert len(names) == 6
    assert all(parse_suffix(name)[1] is not None for name in names)
