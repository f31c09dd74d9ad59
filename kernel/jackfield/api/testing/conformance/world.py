"""What is around a plugin that is checked within a host: providers that answer, fail or wait, a client, and an ear for complaints."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from jackfield.api import Attempt, Call, CallError, Dialect, Outcome, Principal, Provider, Reply, failure
from jackfield.api.canonical import Begin, Choice, Message, Response, Text, ToolCall, Usage, play

ANSWERS, FAILS, WAITS = "check-answers", "check-fails", "check-waits"
"""Models: one answers, one is always overloaded, one begins and then never goes on."""
ID: Final = "conformance_check"


def _response(attempt: Attempt) -> Response:
    parts: list[Any] = [Text(text="Hello "), Text(text="there")]
    if attempt.request.tools:
        parts = [Text(text="Hello"), ToolCall(id="call_2", name=attempt.request.tools[0].name, arguments='{"place":"Bern"}')]
    choices = (Choice(message=Message(role="assistant", parts=tuple(parts)), finish="tool_calls" if attempt.request.tools else "stop"),)
    return Response(id="answer-1", model=attempt.model, created=1_700_000_000, choices=choices, usage=Usage(input=10, output=5))


class Foreign(Provider):
    """Answers in the canonical model; serves whatever nobody else does, so that every route leads somewhere."""

    key, models, patterns, fallback = "check", (ANSWERS, FAILS, WAITS), ("*",), True

    def __init__(self) -> None:
        self.waiting, self.dropped = asyncio.Event(), asyncio.Event()
        """Set once somebody waits, and once nobody waits any more."""

    async def execute(self, attempt: Attempt) -> Reply:
        """Answer as the model's name says."""
        if attempt.model == FAILS:
            raise CallError(failure("overload", "the check's provider is overloaded", status=529, retry_after=1.0))
        if attempt.model == WAITS:
            return Reply(stream=self._forever()) if attempt.stream else Reply(response=await self._never())
        said = _response(attempt)
        return Reply(stream=each(play(said))) if attempt.stream else Reply(response=said)

    async def _forever(self) -> AsyncIterator[Any]:
        yield Begin(id="answer-1", model=WAITS)
        for delta in list(play(Response(choices=(Choice(message=Message(role="assistant", parts=(Text(text="Hello"),))),))))[1:3]:
            yield delta
        await self._never()

    async def _never(self) -> Any:
        self.dropped.clear()
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting.clear()
            self.dropped.set()


class Native(Provider):
    """Answers in one dialect."""

    def __init__(self, dialect: Dialect, number: int) -> None:
        self.key, self.models, self.dialects, self._dialect = f"check-{number}", (f"check-native-{number}",), (dialect.name,), dialect

    async def execute(self, attempt: Attempt) -> Reply:
        """Answer."""
        said = _response(attempt)
        if not attempt.stream:
            return Reply(body=self._dialect.encode_response(said, []))
        return Reply(stream=each(self._dialect.encode_stream(attempt.request, []).feed(list(play(said)))))


async def each(things: Any) -> AsyncIterator[Any]:
    """Yield one thing after another."""
    for thing in things:
        yield thing


class World:
    """The plugin beside the one that is checked: it admits every client, has the providers, and hears of every outcome."""

    id, priority = ID, -1_000_000

    def __init__(self, dialects: Mapping[str, Dialect]) -> None:
        self.foreign = Foreign()
        self.natives = {name: Native(dialect, number) for number, (name, dialect) in enumerate(sorted(dialects.items()))}
        self.outcomes: list[Outcome] = []
        self._changed = asyncio.Event()

    def authenticate(self, call: Call) -> Principal:
        """Admit everybody."""
        return Principal(name="check")

    def register_providers(self) -> Sequence[Provider]:
        """Return the providers."""
        return [self.foreign, *self.natives.values()]

    def request_complete(self, call: Call, outcome: Outcome) -> None:
        """Keep what came of a call."""
        self.outcomes.append(outcome)
        self._changed.set()

    async def heard(self, many: int) -> None:
        """Wait until so many calls are over."""
        while len(self.outcomes) < many:
            self._changed.clear()
            await self._changed.wait()


class Ear(logging.Handler):
    """Keeps what the host says of one plugin, and during what it said so."""

    def __init__(self, plugin: str) -> None:
        super().__init__(logging.WARNING)
        self._start = f"plugin {plugin!r}: "
        self.heard: list[tuple[str, str]] = []
        self.now = ""
        """What is being done."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record that is about the plugin."""
        said = record.getMessage()
        if said.startswith(self._start):
            self.heard.append((self.now, said.removeprefix(self._start).splitlines()[0]))

    def about(self, *names: str) -> list[tuple[str, str]]:
        """Return what was said of hooks or parts, by their names."""
        return [(now, said) for now, said in self.heard if said.split(" ", 1)[0].rstrip(":") in names]
