"""What happened: the host's log, and the record of one call: who decided what, and what it cost."""

import logging
from typing import Any, Final

log: Final = logging.getLogger("jackfield")
"""The host's own log."""


class Trace:
    """What happened in one call, in order."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.costs: list[list[Any]] = []
        """Pairs of a hook and the nanoseconds that one call of it took, or all calls of one stream's handler so far."""

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
