"""Plugins in process with one mistake each."""

from __future__ import annotations

import asyncio
from typing import Any

from jackfield.api import Attempt, Call, Change, Outcome, Provider, Reply, Route


class FailsToStart:
    async def start(self) -> None:
        raise OSError("there is no database")

    def route_model(self, call: Call) -> None:
        return None


class Misspells:
    def route_model(self, call: Call) -> None:
        return None

    def intercept_requests(self, call: Call) -> None:
        return None


class HasNoHook:
    pass


class TripsOverSettings:
    def __init__(self, config: dict[str, Any]) -> None:
        self.limits = {name: {"all": 1}[value] for name, value in config.items()}

    def route_model(self, call: Call) -> None:
        return None


class NeedsMessages:
    def intercept_request(self, call: Call) -> Change | None:
        return Change(set={("messages", 0, "content"): "Hello"}) if call.body.json["messages"] else None


class TakesItsTime:
    async def route_model(self, call: Call) -> None:
        if call.request.tools and call.dialect == "openai.chat":
            await asyncio.sleep(30)


class WorksAlone:
    working = 0

    async def route_model(self, call: Call) -> Route | None:
        self.working += 1
        try:
            await asyncio.sleep(0.01)
            if self.working > 1:
                raise RuntimeError("somebody else is here")
        finally:
            self.working -= 1
        return None


class TripsOverLeaving:
    streamed = False

    def request_complete(self, call: Call, outcome: Outcome) -> None:
        if outcome.status == "canceled" and call.stream is self.streamed:
            raise KeyError("usage")


class TripsOverLeavingStreams(TripsOverLeaving):
    streamed = True


class NeverRecovers:
    left = 0

    def request_complete(self, call: Call, outcome: Outcome) -> None:
        self.left += outcome.status == "canceled"
        if outcome.status != "canceled" and self.left:
            raise RuntimeError("it is closed")


class Unfinished(Provider):
    key, models = "unfinished", ("m",)

    async def execute(self, attempt: Attempt) -> Reply:
        raise TypeError("not written yet")


class HasAnUnfinishedProvider:
    def register_providers(self) -> list[Provider]:
        return [Unfinished()]


class FailsToClose:
    def route_model(self, call: Call) -> None:
        return None

    async def close(self) -> None:
        raise OSError("the disk is full")
