"""A client of chat completions whose conversation goes to providers of several dialects in turn.

What one provider signed stands in the client's history; the others, as strict as their originals, would refuse it.
"""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, configured, merged
from tests.upstreams.scenario import Scenario, ToolCall
from tests.upstreams.server import upstream

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
WEATHER = Scenario(thinking="Look it up.", text="Let me see.", tool_calls=[ToolCall(name="get_weather", arguments={"city": "Oslo"})])


class Client:
    """OpenAI's own client, which sends answers back as they came."""

    def __init__(self, sdk: openai.AsyncOpenAI, stream: bool) -> None:
        self.sdk = sdk
        self.stream, self.turns = stream, list[Any]()

    async def ask(self, model: str, *said: dict[str, Any]) -> Any:
        self.turns += said
        asked: dict[str, Any] = {"model": model, "messages": self.turns, "tools": TOOLS, "reasoning_effort": "high"}
        if self.stream:
            async with self.sdk.chat.completions.stream(**asked) as events:
                answer = await events.get_final_completion()
        else:
            answer = await self.sdk.chat.completions.create(**asked)
        message = answer.choices[0].message.model_dump(exclude_none=True)
        for call in message.get("tool_calls", ()):
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        message.pop("parsed", None)
        self.turns.append(message)
        return message


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("first", ["anthropic.messages", "gemini.generate", "openai.responses"])
async def test_what_a_provider_signed_goes_back_to_it_and_to_no_other(first: str, stream: bool) -> None:
    signing, other = UPSTREAMS[first], "acme-small"
    # Gemini signs no thoughts: their words alone are for whoever takes such back.
    taken = {"reasoning": "reasoning_content"} if first == "gemini.generate" else {}
    async with (
        upstream(first, WEATHER, Scenario(text="Rain again.")) as signer,
        upstream("openai.chat", Scenario(text="Rain."), **taken) as plain,
        Harness(config=merged(configured(first, signer.url, signing, signing, "openai.chat"), beside(plain.url, other))) as host,
        openai.AsyncOpenAI(base_url=f"{host.url}/v1", api_key="k", max_retries=0) as sdk,
    ):
        client = Client(sdk, stream)
        message = await client.ask(signing, {"role": "user", "content": "How is the weather?"})
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]]
        assert (await client.ask(other, *results))["content"] == "Rain."
        assert plain.refusals == []
        assert (await client.ask(signing, {"role": "user", "content": "And now?"}))["content"] == "Rain again."
        assert signer.refusals == []
        told = json.dumps(plain.generated[0].body)
        assert "jf1." not in told
        back = json.dumps(signer.generated[1].body)
        assert "jf1." not in back
        given = signer.mint.known
        assert given
        assert not any(signature in told for signature in given)
        assert any(signature in back for signature in given)


def beside(url: str, model: str) -> dict[str, Any]:
    """Return the configuration of one more provider, which speaks chat completions."""
    plain = {"base_url": f"{url}/v1", "models": [model], "dialects": ["openai.chat"]}
    return {"plugins": {"openai": {"providers": {"plain": plain}}}, "credentials": [{"provider": "plain", "key": "k"}]}
