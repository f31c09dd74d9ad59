"""A whole house for the tests: a host, an upstream behind it that does as it is told, and clients before it.

    async def test_something(house):
        async with house(json_answer(ANSWER)) as h:
            said = await h.sdk().chat("m")
            assert h.upstream.requests[0].json["model"] == "m"
            assert (await h.outcome()).status == "succeeded"

The host is the real one with all first-party plugins, on a free port, made through the public embedding API. The
upstream is the provider `acme`, speaks OpenAI's protocol, serves the models `m` and `n`, and has the key `ACME_KEY`.
A house is entered within the test, so that everything it starts is over before the look for what was left behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from operator import attrgetter
from typing import Any

import openai
import pytest

from jackfield.api import Call, Outcome
from jackfield.api.testing import Harness, Script, ScriptedUpstream, json_answer

ACME_KEY = "sk-acme-0123456789"
HELLO = [{"role": "user", "content": "Hello, big world"}]
WAIT = 10.0
"""Seconds after which something that a test waits for is missing."""


class Outcomes:
    """A plugin that hands over what came of each call."""

    id = "outcomes"

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Outcome] = asyncio.Queue()

    def request_complete(self, call: Call, outcome: Outcome) -> None:
        self.queue.put_nowait(outcome)


class Sdk:
    """OpenAI's SDK for Python. The synchronous one is used in a thread, so that tests need not care which it is."""

    def __init__(self, client: openai.AsyncOpenAI | openai.OpenAI) -> None:
        self.client: Any = client

    async def ask(self, method: str, *args: Any, **said: Any) -> Any:
        """Call a method of the client, named as in `chat.completions.create`."""
        function = attrgetter(method)(self.client)
        if isinstance(self.client, openai.AsyncOpenAI):
            return await function(*args, **said)
        return await asyncio.to_thread(function, *args, **said)

    async def chunks(self, **said: Any) -> list[Any]:
        """Ask for a stream of a chat and return all of its chunks."""
        stream = await self.ask("chat.completions.create", **{"messages": HELLO, **said}, stream=True)
        if isinstance(self.client, openai.AsyncOpenAI):
            return [chunk async for chunk in stream]
        return await asyncio.to_thread(list, stream)

    async def chat(self, model: str, **said: Any) -> Any:
        """Ask for a whole answer of a chat."""
        return await self.ask("chat.completions.create", **{"model": model, "messages": HELLO, **said})


class House:
    """What one test has running."""

    def __init__(self, host: Harness, upstream: ScriptedUpstream, outcomes: Outcomes, parts: AsyncExitStack) -> None:
        self.host, self.upstream = host, upstream
        self._outcomes, self._parts = outcomes, parts

    @property
    def base_url(self) -> str:
        """What a client of OpenAI's is given as `base_url`."""
        return f"{self.host.url}/v1"

    def sdk(self, manner: str = "async", **options: Any) -> Sdk:
        """Return OpenAI's SDK, pointed at the host; it does not try again unless `max_retries` says so."""
        settings = {"base_url": self.base_url, "api_key": "unused", "max_retries": 0, "timeout": WAIT, **options}
        client: openai.AsyncOpenAI | openai.OpenAI
        if manner == "async":
            client = openai.AsyncOpenAI(**settings)
            self._parts.push_async_callback(client.close)
        else:
            client = openai.OpenAI(**settings)
            self._parts.callback(client.close)
        return Sdk(client)

    async def outcome(self) -> Outcome:
        """Return what came of the next call that is complete."""
        return await asyncio.wait_for(self._outcomes.queue.get(), WAIT)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something about the upstream is so."""
        await asyncio.wait_for(self.upstream.until(true), WAIT)


NO_REST = dict.fromkeys(("transient", "rate", "quota", "credential", "account_action", "refused"), 0)
"""Lengths with which one test's failures do not meet its next call."""

MakeHouse = Callable[..., AbstractAsyncContextManager[House]]


@asynccontextmanager
async def _house(
    *scripts: Script,
    server: Mapping[str, Any] | None = None,
    credential: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    plugins: Sequence[object] = (),
    path: str = "/v1",
) -> AsyncIterator[House]:
    """Run a house. `server` and `credential` change how the upstream is configured, `path` stands behind its origin;
    `config` is merged over all of it, in the section `plugins` plugin by plugin."""
    outcomes = Outcomes()
    async with AsyncExitStack() as parts:
        upstream = await parts.enter_async_context(ScriptedUpstream(*(scripts or (json_answer({}, status=404),))))
        acme = {"base_url": upstream.url + path, "models": ["m", "n"], **(server or {})}
        given = dict(config or {})
        given["plugins"] = {"openai": {"providers": {"acme": acme}}, **given.get("plugins", {})}
        given.setdefault("credentials", [{"provider": "acme", "key": ACME_KEY, **(credential or {})}])
        given = {"attempts": {"wait": 0}, "cooldown": NO_REST, **given}
        host = await parts.enter_async_context(Harness([outcomes, *plugins], given))
        yield House(host, upstream, outcomes, await parts.enter_async_context(AsyncExitStack()))


@pytest.fixture
def house() -> MakeHouse:
    """Makes a house; see the head of this file."""
    return _house


@pytest.fixture(params=["async", "sync"])
def manner(request: pytest.FixtureRequest) -> str:
    """Which of the SDK's two clients is used."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps what the environment says of keys, files and addresses out of the tests."""
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name in ("JACKFIELD_CONFIG", "JACKFIELD_GENERATE_KEY") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
