"""Drives the simulator as the host does: with attempts made by hand, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from jackfield.api import Attempt, Body, Call, Endpoint, Headers, Operation, Pairs, Reply, Request, Response
from jackfield.api.canonical import Delta, Message, Text
from jackfield.canonical_dialect import CanonicalDialect
from jackfield_simulator.provider import Simulator


class Seat:
    """A candidate, of which a provider reads the model alone."""

    def __init__(self, model: str) -> None:
        self.model = model


class Caller:
    """Asks one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def attempt(
        self, model: str, request: Request, *, stream: bool = False, operation: Operation = "generate", body: bytes = b""
    ) -> Attempt:
        dialect = CanonicalDialect()
        dialect.name = self.simulator.dialects_of(model)[0]
        call = Call("c-1", dialect, Endpoint(path="/", operation=operation), Headers(), Pairs())
        call.body = Body(body, canonical=request)
        call.model, call.stream = model, stream
        return Attempt(call, self.simulator, Seat(model), dialect)

    async def reply(self, model: str, said: Request | str = "Hello, big world", *, stream: bool = False) -> Reply:
        return await self.simulator.execute(self.attempt(model, user(said), stream=stream))

    async def whole(self, model: str, said: Request | str = "Hello, big world") -> Response:
        response = (await self.reply(model, said)).response
        assert response is not None
        return response

    async def stream(self, model: str, said: Request | str = "Hello, big world") -> list[Delta]:
        return [delta async for delta in await self.events(model, said)]

    async def events(self, model: str, said: Request | str = "Hello, big world") -> AsyncIterator[Any]:
        stream = (await self.reply(model, said, stream=True)).stream
        assert stream is not None
        return stream


def user(said: Request | str) -> Request:
    if isinstance(said, Request):
        return said
    return Request(messages=(Message(role="user", parts=(Text(text=said),)),))


@pytest.fixture
def sim() -> Caller:
    return Caller(Simulator(texts={"default": "The default text.", "steps": ("one", "two")}))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets no time pass; what would have been waited is listed."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    return waited
