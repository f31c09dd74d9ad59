"""A plain client of chat completions, which keeps words and calls alone, talks with providers that want their signed thoughts back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import openai
import pytest

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, configured, merged
from tests.upstreams.scenario import Scenario, ToolCall
from tests.upstreams.server import upstream

FAMILIES = ["anthropic.messages", "gemini.generate", "openai.responses"]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
WEATHER = Scenario(thinking="Look it up.", text="Let me see.", tool_calls=[ToolCall(name="get_weather", arguments={"city": "Oslo"})])
REPLAY = {"plugins": {"reasoning_replay": {"enabled": True}}}


class Client:
    """OpenAI's own client, whose program keeps of an answer what the reference says that a message has."""

    def __init__(self, sdk: openai.AsyncOpenAI, stream: bool) -> None:
        self.sdk, self.stream, self.turns = sdk, stream, list[Any]()

    async def ask(self, model: str, *said: dict[str, Any]) -> Any:
        self.turns += said
        asked: dict[str, Any] = {"model": model, "messages": self.turns, "tools": TOOLS, "reasoning_effort": "high"}
        if self.stream:
            async with self.sdk.chat.completions.stream(**asked) as events:
                answer = await events.get_final_completion()
        else:
            answer = await self.sdk.chat.completions.create(**asked)
        message = answer.choices[0].message
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in message.tool_calls or ()
        ]
        self.turns.append({"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})})
        return self.turns[-1]


@asynccontextmanager
async def talking(family: str, stream: bool, *scenarios: Scenario, **config: Any) -> AsyncIterator[tuple[Client, Any, str, Harness]]:
    model = UPSTREAMS[family]
    async with AsyncExitStack() as stack:
        signer = await stack.enter_async_context(upstream(family, *scenarios))
        said = merged(configured(family, signer.url, model, model, "openai.chat"), config or REPLAY)
        host = await stack.enter_async_context(Harness(config=said))
        sdk = await stack.enter_async_context(openai.AsyncOpenAI(base_url=f"{host.url}/v1", api_key="k", max_retries=0))
        yield Client(sdk, stream), signer, model, host


def sent_back(signer: Any, turn: int) -> bool:
    """Tell whether what the provider signed stood in a request."""
    told = json.dumps(signer.generated[turn].body)
    return any(signature in told for signature in signer.mint.known)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_two_turns_with_a_tool(family: str, stream: bool) -> None:
    async with talking(family, stream, WEATHER, Scenario(text="Rain."), Scenario(text="Still.")) as (client, signer, model, _):
        message = await client.ask(model, {"role": "user", "content": "How is the weather?"})
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]]
        assert (await client.ask(model, *results))["content"] == "Rain."
        assert (await client.ask(model, {"role": "user", "content": "And now?"}))["content"] == "Still."
        assert signer.refusals == []
        assert signer.mint.known
        assert sent_back(signer, 1)
        assert "jf1." not in json.dumps(signer.generated[1].body)


@pytest.mark.parametrize("family", FAMILIES)
async def test_without_the_plugin_they_are_lost(family: str) -> None:
    off = {"plugins": {"reasoning_replay": {"enabled": False}}}
    async with talking(family, False, WEATHER, Scenario(text="Rain."), **off) as (client, signer, model, _):
        message = await client.ask(model, {"role": "user", "content": "How is the weather?"})
        await client.ask(model, *({"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]))
        assert not sent_back(signer, 1)


@pytest.mark.parametrize("family", FAMILIES)
async def test_another_conversation_and_another_caller_get_none_of_it(family: str) -> None:
    async with talking(family, False, WEATHER, Scenario(text="Rain."), Scenario(text="Rain.")) as (client, signer, model, host):
        message = await client.ask(model, {"role": "user", "content": "How is the weather?"})
        call = message["tool_calls"][0] | {"id": "call_made_up_1"}
        other = [
            {"role": "user", "content": "Something else"},
            {"role": "assistant", "content": message["content"], "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
        ]
        answer = await host.post("/v1/chat/completions", {"model": model, "messages": other, "tools": TOOLS})
        assert answer.status == 200
        assert not sent_back(signer, 1)


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_the_provider_refuses_is_forgotten_and_the_call_succeeds(family: str) -> None:
    async with talking(family, False, WEATHER, Scenario(text="Rain."), Scenario(text="Rain.")) as (client, signer, model, _):
        message = await client.ask(model, {"role": "user", "content": "How is the weather?"})
        known = set(signer.mint.known)
        signer.mint.known.clear()  # it does not know its own signatures any more
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]]
        assert (await client.ask(model, *results))["content"] == "Rain."
        assert known


async def test_what_is_too_large_is_not_kept() -> None:
    small = {"plugins": {"reasoning_replay": {"enabled": True, "largest": 10}}}
    async with talking("anthropic.messages", False, WEATHER, Scenario(text="Rain."), **small) as (client, signer, model, _):
        message = await client.ask(model, {"role": "user", "content": "How is the weather?"})
        await client.ask(model, *({"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]))
        assert not sent_back(signer, 1)
