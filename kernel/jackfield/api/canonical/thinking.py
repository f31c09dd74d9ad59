"""How much a model thinks: levels and budgets, by one table for all dialects."""

import re
from typing import Final

from jackfield.api.canonical.models import ThinkingSupport
from jackfield.api.canonical.request import ThinkingConfig
from jackfield.api.dialect import Loss

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
    """Return what is asked of a model in exactly the form that it takes.

    A model of levels gets an effort, one of budgets a budget, one of both what was given; one that does not think gets
    nothing, and one of which nothing is known all of it. What a model does not take is brought to what is nearest, the
    lower of two, and listed; `strict` raises `ValueError` instead for a level or a budget that the caller named. How
    thoughts are shown is another matter and stays, unless there are none.
    """
    if support is None or config == ThinkingConfig():
        return config
    if not support.levels and support.min is None and support.max is None:
        if not _is_off(config, support) and config != ThinkingConfig(summary="none"):
            losses.append(Loss("thinking", "dropped", "the model does not think"))
        return ThinkingConfig()
    if config == ThinkingConfig(summary=config.summary):
        return config
    fit = _Fit(support, strict, losses)
    if _is_off(config, support):
        return fit.off(config.summary)
    budget = None if config.budget is None or config.budget < 0 else config.budget
    effort = None if config.effort == "auto" else config.effort
    if budget is None and effort is None:
        return fit.by_itself(config)
    return fit.amount(config, effort, budget)


def thinks(config: ThinkingConfig | None, support: ThinkingSupport | None) -> bool:
    """Tell whether a model is known to think before it answers: it is told to, or cannot be told not to."""
    if config is None or config == ThinkingConfig(summary=config.summary):
        return support is not None and not support.off and bool(support.levels or support.max)
    return config.mode != "off" and config.effort != "none" and config.budget != 0


def _is_off(config: ThinkingConfig, support: ThinkingSupport) -> bool:
    named = config.effort not in (None, "auto") and bool(support.levels)
    return config.mode == "off" or config.effort == "none" or (config.budget == 0 and not named)


class _Fit:
    """One model, and what is lost on it."""

    def __init__(self, support: ThinkingSupport, strict: bool, losses: list[Loss]) -> None:
        self._support = support
        self._strict = strict
        self._losses = losses
        self._levels = sorted((level for level in support.levels if level in BUDGETS), key=LEVELS.index)
        self._least = support.min or 0
        self._most = support.max

    @property
    def _takes_budget(self) -> bool:
        return self._support.min is not None or self._most is not None

    def off(self, summary: str | None) -> ThinkingConfig:
        """Return the least that the model can think."""
        if self._support.off:
            return ThinkingConfig(mode="off")
        if self._levels:
            return self._instead("mode", ThinkingConfig(mode="on", effort=self._levels[0], summary=summary))
        if self._takes_budget:
            return self._instead("mode", ThinkingConfig(mode="on", budget=max(self._least, 1), summary=summary))
        return self._instead("mode", ThinkingConfig(summary=summary))

    def by_itself(self, config: ThinkingConfig) -> ThinkingConfig:
        """Return what lets the model decide, or a middling amount where it must be told one."""
        if self._support.dynamic:
            return ThinkingConfig(mode="auto", summary=config.summary)
        if self._levels:
            level, _ = self._nearest("medium")
            return self._instead("mode", ThinkingConfig(mode="on", effort=level, summary=config.summary))
        if not self._takes_budget:
            return ThinkingConfig(mode=config.mode, summary=config.summary)
        middle = self._least if self._most is None else (self._least + self._most) // 2
        return self._instead("mode", ThinkingConfig(mode="on", budget=max(middle, 1), summary=config.summary))

    def amount(self, config: ThinkingConfig, effort: str | None, budget: int | None) -> ThinkingConfig:
        """Return an amount by name, by number or both in the form that the model takes."""
        levels, budgets = bool(self._support.levels), self._takes_budget
        if not budgets and effort is None and budget is not None:
            effort = effort_of(budget)
            self._changed("budget", f"the model takes levels, not {budget} tokens: {effort!r}")
            effort, _ = self._nearest(effort)
        elif effort is not None and levels:
            effort = self._level(effort)
        elif effort is not None and budget is None:
            budget = budget_of(effort)
            if budget is None:
                self._changed("effort", f"{effort!r} is no level")
                return self.by_itself(config)
            budget = self._within(budget)
            self._changed("effort", f"the model takes a budget, not {effort!r}: {budget} tokens")
            return self._on(config, None, budget)
        return self._on(config, effort if levels else None, self._budget(budget) if budgets and budget is not None else None)

    def _on(self, config: ThinkingConfig, effort: str | None, budget: int | None) -> ThinkingConfig:
        mode = config.mode
        if (mode == "auto" and (effort is None or not self._support.dynamic)) or (mode is None and budget is not None):
            mode = "on"
        return ThinkingConfig(mode=mode, effort=effort, budget=budget, summary=config.summary)

    def _level(self, effort: str) -> str:
        if effort in self._support.levels:
            return effort
        if self._strict:
            raise ValueError(f'level "{effort}" not supported, valid levels: {", ".join(self._support.levels)}')
        level, known = self._nearest(effort)
        self._changed("effort", f"the model has no level {effort!r}: {level!r}" if known else f"{effort!r} is no level: {level!r}")
        return level

    def _nearest(self, effort: str) -> tuple[str, bool]:
        """Return the level nearest to one, the lower of two; and whether that one is a level at all."""
        known = effort in LEVELS
        rank = LEVELS.index(effort if known else "medium")
        if not self._levels:
            return self._support.levels[0], known
        return min(self._levels, key=lambda level: abs(LEVELS.index(level) - rank)), known

    def _within(self, budget: int) -> int:
        return max(budget, self._least) if self._most is None else min(max(budget, self._least), self._most)

    def _budget(self, budget: int) -> int:
        fitted = self._within(budget)
        if fitted != budget:
            if self._strict:
                raise ValueError(f"budget {budget} out of range [{self._least},{'' if self._most is None else self._most}]")
            self._changed("budget", f"the model takes from {self._least} to {self._most} tokens: {fitted}")
        return fitted

    def _changed(self, field: str, why: str) -> None:
        self._losses.append(Loss(f"thinking.{field}", "changed", why))

    def _instead(self, field: str, config: ThinkingConfig) -> ThinkingConfig:
        amount = config.effort or (f"{config.budget} tokens" if config.budget else "as much as it does")
        self._changed(field, f"the model cannot be told so; it thinks {amount}")
        return config
