"""The record of one call: who decided what, and what it cost. Cheap to keep, made readable on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jackfield.dispatch import Hook


class Trace:
    """What happened in one call, in order."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.costs: list[tuple[Hook, int]] = []
        """What each call of a hook cost, in nanoseconds."""

    def note(self, stage: str, who: str, what: str) -> None:
        """Take down that somebody decided something at a stage."""
        self.notes.append((stage, who, what))

    def explain(self) -> dict[str, Any]:
        """Return the record as plain data."""
        costs: dict[str, float] = {}
        for hook, nanoseconds in self.costs:
            name = f"{hook.plugin}.{hook.name}"
            costs[name] = costs.get(name, 0.0) + nanoseconds / 1e6
        return {
            "decisions": [{"stage": stage, "by": who, "what": what} for stage, who, what in self.notes],
            "plugin_ms": {name: round(ms, 3) for name, ms in costs.items()},
        }
