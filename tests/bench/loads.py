"""The loads of the benchmark, and how much Jackfield may cost under each."""

from __future__ import annotations

from typing import Final

import msgspec

from tests.bench import traffic

EVENTS: Final = 100
INTERVAL_MS: Final = 20


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of traffic: the same request over and over on a number of connections."""

    name: str
    about: str
    connections: int
    events: int = 0
    """Of the stream that is asked for; 0: a whole answer."""
    interval_ms: int = 0
    """Between two events; 0: all at once."""
    agent: bool = False
    """The long request of an agent in place of a short one."""
    translated: bool = False
    """The client speaks another dialect than the upstream. To servers that translate nothing it speaks the upstream's."""
    most: float | None = None
    """How many times bare's CPU a request may cost."""
    most_for_plugins: float | None = None
    """How many times Jackfield's own CPU a request may cost with plugins on every stage."""

    @property
    def body(self) -> bytes:
        """The request's body."""
        said = traffic.agent_request() if self.agent else traffic.small_request(self.events, self.interval_ms)
        return traffic.as_messages(said) if self.translated else said

    @property
    def path(self) -> str:
        """Where it is sent."""
        return traffic.MESSAGES_PATH if self.translated else traffic.PATH

    @property
    def paced(self) -> bool:
        """Whether the stream takes its time."""
        return self.interval_ms > 0


_ALL: Final = (
    Load(name="plain", about="small chat request, 1 KB answer", connections=16, most=1.25, most_for_plugins=1.10),
    Load(name="burst", about="stream of 100 events sent at once", connections=16, events=EVENTS, most=1.5, most_for_plugins=1.15),
    Load(
        name="paced",
        about="stream of 100 events, one each 20 ms",
        connections=200,
        events=EVENTS,
        interval_ms=INTERVAL_MS,
        most=1.25,
        most_for_plugins=1.05,
    ),
    Load(name="agent", about="300 messages, 25 tools, 200 KB; 1 KB answer", connections=16, agent=True, most=1.4),
    Load(name="translated-plain", about="plain, from a client of another dialect", connections=16, translated=True),
    Load(name="translated-burst", about="burst, to a client of another dialect", connections=16, events=EVENTS, translated=True, most=4.0),
    Load(
        name="translated-paced",
        about="paced, to a client of another dialect",
        connections=200,
        events=EVENTS,
        interval_ms=INTERVAL_MS,
        translated=True,
        most=1.6,
    ),
    Load(name="translated-agent", about="agent, from a client of another dialect", connections=16, agent=True, translated=True, most=4.0),
    Load(name="single", about="plain over one connection", connections=1),
)
LOADS: Final = {load.name: load for load in _ALL}
