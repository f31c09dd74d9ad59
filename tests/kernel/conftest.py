"""Plugins and providers of the kernel's tests: all of them speak the toy dialect, so that no vendor is in sight."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from jackfield.api import Attempt, Headers, HttpProvider, Provider, Reply
from tests.kernel.toy import ToyDialect, stream_of

WHOLE: dict[str, Any] = {"id": "t-1", "model": "m", "blocks": [{"text": "Hello"}], "stop": "stop", "cost": {"in": 3, "out": 5}}


class ToyProvider(Provider):
    """Answers every attempt in the toy dialect, from memory."""

    key = "toy"
    dialects = ("toy.talk",)
    models = ("m", "n")

    def __init__(self, answer: Callable[[Attempt], Reply] | None = None, blocks: Sequence[Sequence[str]] = (["Hello"],)) -> None:
        self._answer = answer
        self._blocks = blocks
        self.attempts: list[Attempt] = []

    async def execute(self, attempt: Attempt) -> Reply:
        self.attempts.append(attempt)
        if self._answer is not None:
            return self._answer(attempt)
        if attempt.stream:
            return Reply(stream=pieces(stream_of(*self._blocks), 23))
        return Reply(body=msgspec.json.encode(WHOLE), headers=Headers([("Toy-Request-Id", "r-1")]))


async def pieces(raw: bytes, size: int) -> AsyncIterator[bytes]:
    """Cut bytes into pieces of one size, as a network might."""
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


class Toy:
    """The plugin with the toy dialect, and providers."""

    id = "toy"

    def __init__(self, *providers: Provider) -> None:
        self.providers = providers or (ToyProvider(),)

    def register_dialects(self) -> list[ToyDialect]:
        return [ToyDialect()]

    def register_providers(self) -> Sequence[Provider]:
        return self.providers


def http_toy(url: str, key: str = "toy", **options: Any) -> HttpProvider:
    """Return a provider that asks an upstream of the test's over HTTP."""
    return HttpProvider(key=key, dialects=["toy.talk"], base_url=url, models=options.pop("models", ("m", "n")), **options)


def talk(model: str = "m", *, stream: bool = False, words: str = "hi", **more: Any) -> dict[str, Any]:
    """Return a request body of the toy dialect."""
    return {"model": model, "stream": stream, "say": [{"who": "user", "words": words}], **more}
