"""The record of one call: who decided what, what it cost, what was tried. Cheap to keep, made readable on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jackfield.api import Failure
    from jackfield.dispatch import Hook


class Trace:
    """What happened in one call, in order."""

    __slots__ = ("attempts", "costs", "notes")

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.costs: list[tuple[Hook, int]] = []
        """What each call of a hook cost, in nanoseconds."""
        self.attempts: list[dict[str, Any]] = []

    def note(self, stage: str, who: str, what: str) -> None:
        """Take down that somebody decided something at a stage."""
        self.notes.append((stage, who, what))

    def attempt(self, candidate: str, model: str, failed: Failure | None) -> None:
        """Take down an attempt and how it failed, if it did."""
        entry: dict[str, Any] = {"candidate": candidate, "model": model}
        if failed is not None:
            entry.update(cause=failed.cause, status=failed.status, message=failed.message, detail=failed.detail)
        self.attempts.append(entry)

    def explain(self) -> dict[str, Any]:
        """Return the record as plain data."""
        costs: dict[str, float] = {}
        for hook, nanoseconds in self.costs:
            name = f"{hook.plugin}.{hook.name}"
            costs[name] = costs.get(name, 0.0) + nanoseconds / 1e6
        return {
            "decisions": [{"stage": stage, "by": who, "what": what} for stage, who, what in self.notes],
            "attempts": self.attempts,
            "plugin_ms": {name: round(ms, 3) for name, ms in costs.items()},
        }
