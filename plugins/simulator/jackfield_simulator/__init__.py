"""A provider that answers by itself: without a key, without a network, the same each time.

For a first look at Jackfield, and for tests of plugins and clients. What it answers, or how it fails, stands in the
name of the model: `sim/echo`, `sim/tools`, `sim/error-429-after-7`, `sim/cut`. The README lists all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from jackfield.api import Provider, Seconds
from jackfield_simulator.provider import Simulator


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the plugin's section in the configuration may say."""

    texts: dict[str, str | tuple[str, ...]] = {}
    """What `sim/text-{name}` says, by name: one text, or a list of texts, one for each turn of the assistant, of which
    the last is repeated. `default` is also said by `sim/text`, where the request has no system message."""
    pace: Seconds = Seconds(0)
    """Time before the first event of an answer and between two, for all models whose names do not say another."""

    def __post_init__(self) -> None:
        for name, text in self.texts.items():
            if not name or not text:
                raise ValueError(f"texts: the text {name!r} needs a name and at least one text")


class Plugin:
    """Registers the simulator."""

    def __init__(self, config: Config) -> None:
        self._provider = Simulator(config.texts, config.pace)

    def register_providers(self) -> Sequence[Provider]:
        """Return the one provider, whose key is `sim`."""
        return [self._provider]
