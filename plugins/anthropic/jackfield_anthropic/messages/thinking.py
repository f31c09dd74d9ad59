"""How much to think: `thinking` and `output_config.effort`.

Source: Anthropic's guides "Extended thinking" (a budget of at least 1,024 tokens, less than `max_tokens`; temperature 1 and
no top_k; no forced tools), "Adaptive thinking" and "Effort". Models since Claude Opus 4.6 think by effort, those before
it by budget; the request says it in the form that its model takes.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from jackfield.api.canonical import ThinkingConfig, budget_of, effort_of
from jackfield.api.canonical.codec import Fields, missing
from jackfield_anthropic.messages.abilities import Abilities
from jackfield_anthropic.messages.losses import Losses, changed, dropped

LEAST: Final = 1024
"""Tokens of the smallest budget."""
_USUAL: Final = 8192
"""Tokens of thought where nobody said how many."""

_ALONE: Final = "=effort"
"""The key under which a request keeps that it names an effort and says nothing of thinking."""
_OVER: Final = "=over"
"""The key under which it keeps that its budget reaches over several answers: thinking between tools may exceed the limit of one."""

_MODES: Final[dict[str, Literal["on", "off", "auto"]]] = {"enabled": "on", "disabled": "off", "adaptive": "auto"}
_SHOWN: Final = {"summarized": "auto", "omitted": "none"}
_DISPLAYS: Final = {"auto": "summarized", "concise": "summarized", "detailed": "summarized", "none": "omitted"}
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


# ---------------------------------------------------------------------------------------------- reading


def decode_thinking(fields: Fields, effort: str | None, limit: int | None) -> ThinkingConfig:
    """Take how much to think; `effort` is what `output_config` says, `limit` the most tokens of the answer."""
    value = fields.object("thinking")
    if value is None:
        if effort is not None:
            fields.rest[_ALONE] = True
        return ThinkingConfig(effort=effort)
    inner = Fields(value, "thinking")
    kind, budget = inner.needed_text("type"), inner.integer("budget_tokens")
    if kind == "enabled" and budget is None:
        raise missing("thinking.budget_tokens")
    display = inner.rest.get("display")
    summary = _SHOWN.get(display) if isinstance(display, str) else None
    if summary is not None:
        del inner.rest["display"]
    if kind not in _MODES:
        inner.rest["type"] = kind
    if inner.rest:
        fields.rest["thinking"] = inner.rest
    if budget is not None and limit is not None and budget >= limit:
        fields.rest[_OVER] = True
    return ThinkingConfig(mode=_MODES.get(kind, "auto"), effort=effort, budget=budget, summary=summary)


# ---------------------------------------------------------------------------------------------- writing


def write_thinking(body: dict[str, Any], asked: ThinkingConfig, rest: dict[str, Any], able: Abilities, losses: Losses) -> None:
    """Write how much to think; what is used of `rest` is taken out of it. The limit on tokens must be written by then."""
    alone, over, beside = rest.pop(_ALONE, False), rest.pop(_OVER, False), rest.pop("thinking", {})
    said = asked if alone else _fitted(asked, able, losses)
    if said.effort is not None and said.mode != "off":
        body.setdefault("output_config", {})["effort"] = _effort(said.effort, losses)
    thinking = _encode(said, bool(alone), losses)
    if thinking is None:
        if said.summary not in (None, "none"):
            dropped(losses, "thinking.summary", "no thoughts are asked for that could be shown")
        return
    if "budget_tokens" in thinking:
        thinking = _fit_budget(thinking, body.get("max_tokens"), bool(over), losses)
    if thinking["type"] != "disabled" and said.summary is not None:
        thinking["display"] = _DISPLAYS.get(said.summary, "summarized")
    body["thinking"] = {**thinking, **beside}


def _fitted(said: ThinkingConfig, able: Abilities, losses: Losses) -> ThinkingConfig:
    """Return how much to think in the form that the model takes: budgets and efforts stand for each other by one table."""
    if said.mode == "off" or said.effort == "none" or (said.budget is not None and said.budget <= 0):
        return ThinkingConfig(mode=None if able.thinking == "none" else "off")
    thinks = said.mode is not None or said.effort is not None or said.budget is not None
    if not thinks or able.thinking == "any":
        return said
    if able.thinking == "none":
        dropped(losses, "thinking", "the model does not think")
        return ThinkingConfig()
    if able.thinking == "budget" and said.budget is None:
        return ThinkingConfig(mode="on", budget=budget_of(said.effort or "medium") or _USUAL, summary=said.summary)
    if able.thinking == "adaptive" and said.budget is not None:
        return ThinkingConfig(mode="auto", effort=said.effort or effort_of(said.budget), summary=said.summary)
    return said


def _encode(said: ThinkingConfig, alone: bool, losses: Losses) -> dict[str, Any] | None:
    if said.mode == "off":
        return {"type": "disabled"}
    if said.budget is not None and said.mode != "auto":
        if said.budget <= 0:
            return {"type": "disabled"}
        return {"type": "enabled", "budget_tokens": said.budget}
    if said.budget is not None:
        dropped(
            losses, "thinking.budget", f"a model that decides by itself has no budget; the effort is {effort_of(said.budget)!r} or its own"
        )
    if said.mode is None and (said.effort is None or alone):
        return None
    return {"type": "adaptive"}


def _effort(effort: str, losses: Losses) -> str:
    if effort == "minimal":
        changed(losses, "thinking.effort", "the least effort is 'low'")
        return "low"
    return effort


def _fit_budget(thinking: dict[str, Any], limit: Any, over: bool, losses: Losses) -> dict[str, Any]:
    budget = thinking["budget_tokens"]
    fitted = max(budget, LEAST)
    if isinstance(limit, int) and fitted >= limit and not over:
        fitted = limit - 1
    if fitted < LEAST:
        dropped(
            losses, "thinking.budget", f"an answer of {limit} tokens leaves no room for the {LEAST} tokens that thinking needs at least"
        )
        return {"type": "disabled"}
    if fitted != budget:
        changed(losses, "thinking.budget", f"a budget is at least {LEAST} and less than the limit of the answer: {fitted}")
    return {"type": "enabled", "budget_tokens": fitted}
