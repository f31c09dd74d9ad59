"""Listens to what a host and its plugins out of process say to each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jackfield.rpc.channel import Channel

HOSTS = ("jackfield.rpc.line",)
"""The modules of what carries the host's side of a connection."""

Message = dict[str, Any]
Heard = Callable[["Connection", str, Message], None]


class Connection:
    """One life of one plugin."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.part = b""


class Tap:
    """Everything that was said since, in order: by whom, on which connection, and what."""

    def __init__(self) -> None:
        self.heard: list[tuple[Connection, str, Message]] = []
        self.connections: list[Connection] = []
        self._more = asyncio.Event()

    def hear(self, connection: Connection, sender: str, message: Message) -> None:
        self.heard.append((connection, sender, message))
        self._more.set()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for something to be said."""
        async with asyncio.timeout(20):
            while not done():
                self._more.clear()
                await self._more.wait()

    async def settled(self) -> None:
        """Wait until every request is answered."""
        await self.until(lambda: not self.open)

    @property
    def open(self) -> set[tuple[int, str, Any]]:
        """The requests that are not answered yet."""
        asked: set[tuple[int, str, Any]] = set()
        for connection, sender, message in self.heard:
            if "method" in message and "id" in message:
                asked.add((connection.number, sender, message["id"]))
            elif "method" not in message:
                asked.discard((connection.number, "host" if sender == "plugin" else "plugin", message.get("id")))
        return asked

    def count(self, method: str) -> int:
        """Return how often a method was sent."""
        return sum(message.get("method") == method for _, _, message in self.heard)


@contextmanager
def listening(hear: Heard, connected: Callable[[Connection], object] = lambda connection: None) -> Iterator[None]:
    """Hand on every message of the connections that hosts make from now on. Lines that are none are left out."""
    make, feed, connections = Channel.__init__, Channel.feed, dict[Channel, Connection]()

    def made(channel: Channel, write: Callable[[bytes], object], *rest: Any, **options: Any) -> None:
        owner = getattr(write, "__self__", None)
        if type(owner).__module__ not in HOSTS:
            make(channel, write, *rest, **options)
            return
        connections[channel] = connection = Connection(len(connections) + 1)
        connected(connection)

        def written(data: bytes) -> object:
            hear(connection, "host", json.loads(data))
            return write(data)

        written.__self__ = owner  # type: ignore[attr-defined]  # somebody else may listen, too
        make(channel, written, *rest, **options)

    def fed(channel: Channel, data: bytes) -> Any:
        if (connection := connections.get(channel)) is not None:
            _lines(connection, data, hear)
        return feed(channel, data)

    Channel.__init__, Channel.feed = made, fed  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Channel.__init__, Channel.feed = make, feed  # type: ignore[method-assign]


def _lines(connection: Connection, data: bytes, hear: Heard) -> None:
    *lines, connection.part = (connection.part + data).split(b"\n")
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict):
            hear(connection, "plugin", message)


@contextmanager
def tapped() -> Iterator[Tap]:
    """Keep all that is said."""
    tap = Tap()
    with listening(tap.hear, tap.connections.append):
        yield tap
