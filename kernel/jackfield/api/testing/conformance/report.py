"""What came of a check."""

from collections.abc import Sequence
from typing import Literal

import msgspec

State = Literal["ok", "failed", "skipped"]
Carrier = Literal["rpc", "host", "isolated"]
"""`rpc`: asked over its pipes, as a host would; `host`: within a host that runs; `isolated`: the same, in a process of its own."""


class Wrong(Exception):
    """A plugin does not do what the contract asks; the message says what was sent, what came, and what to do."""


class NotAsked(Exception):
    """A check has nothing to look at; the message says why."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one plugin."""

    check: str
    """Its name, and after a space the method that it was about, where there is one for each."""
    carrier: Carrier
    state: State
    message: str = ""
    """One sentence: what is wrong, or why there was nothing to check."""
    milliseconds: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was checked of a plugin."""

    plugin: str
    """What was checked, as it was named."""
    results: Sequence[Result]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> Sequence[Result]:
        """The checks that failed."""
        return [result for result in self.results if result.state == "failed"]

    def __str__(self) -> str:
        if self.passed:
            return f"{self.plugin}: {sum(result.state == 'ok' for result in self.results)} checks passed"
        return "\n".join(f"{self.plugin}: {result.check} ({result.carrier}): {result.message}" for result in self.failures)
