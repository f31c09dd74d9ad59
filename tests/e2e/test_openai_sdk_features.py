"""What OpenAI's SDK can ask for, asked through the host, of the simulator: both clients, whole and streamed."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import openai
import pydantic
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamManager

from tests.e2e.conftest import HELLO, MakeHouse

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}}}
DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Step(pydantic.BaseModel):
    explanation: str
    output: int


class Solution(pydantic.BaseModel):
    steps: list[Step]
    answer: str


async def test_a_chat_is_answered(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        said = await h.sdk(manner).chat("sim/echo")
        assert said.choices[0].message.content == "Hello, big world"
        assert (said.object, said.model, said.choices[0].finish_reason) == ("chat.completion", "sim/echo", "stop")
        assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens > 0
        assert (await h.outcome()).status == "succeeded"


async def test_a_chat_is_streamed(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        chunks = await h.sdk(manner).chunks(model="sim/echo")
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello, big world"
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
        assert {(c.id, c.model, c.object) for c in chunks} == {(chunks[0].id, "sim/echo", "chat.completion.chunk")}
        assert all(c.usage is None for c in chunks), "usage came though nobody asked for it"
        assert (await h.outcome()).usage is not None


async def test_a_stream_has_its_usage_in_a_last_chunk_of_its_own(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        *others, last = await sdk.chunks(model="sim/echo", stream_options={"include_usage": True})
        assert last.choices == []
        assert all(c.usage is None and c.choices for c in others)
        whole = await sdk.chat("sim/echo")
        assert last.usage.model_dump() == whole.usage.model_dump()


async def test_several_answers_keep_apart(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        whole = await sdk.chat("sim/echo", n=3)
        texts = dict.fromkeys(range(3), "")
        for chunk in await sdk.chunks(model="sim/echo", n=3):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == {choice.index: choice.message.content for choice in whole.choices}
        assert len(set(texts.values())) == 3


@pytest.mark.parametrize(("model", "names"), [("sim/tools", ["get_weather"]), ("sim/parallel-tools", ["get_weather", "get_time"])])
async def test_tools_are_called_and_their_results_taken(house: MakeHouse, manner: str, model: str, names: list[str]) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        choice = (await sdk.chat(model, tools=[WEATHER, CLOCK])).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert [call.function.name for call in choice.message.tool_calls] == names
        assert json.loads(choice.message.tool_calls[0].function.arguments)["city"]
        assert len({call.id for call in choice.message.tool_calls}) == len(names)
        results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in choice.message.tool_calls]
        after = await sdk.chat(model, messages=[*HELLO, choice.message, *results], tools=[WEATHER, CLOCK])
        assert after.choices[0].finish_reason == "stop"
        assert "sunny" in after.choices[0].message.content


@pytest.mark.parametrize("model", ["sim/tools", "sim/parallel-tools"])
async def test_tools_are_streamed_as_they_would_have_been_answered(house: MakeHouse, manner: str, model: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        calls: dict[int, dict[str, str]] = {}
        chunks = await sdk.chunks(model=model, tools=[WEATHER, CLOCK])
        for delta in (tool for chunk in chunks for choice in chunk.choices for tool in choice.delta.tool_calls or ()):
            call = calls.setdefault(delta.index, {"id": delta.id, "name": delta.function.name, "arguments": ""})
            call["arguments"] += delta.function.arguments or ""
        whole = (await sdk.chat(model, tools=[WEATHER, CLOCK])).choices[0].message.tool_calls
        assert [calls[at] for at in sorted(calls)] == [{"id": c.id, **c.function.model_dump()} for c in whole]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_streaming_helper_of_the_sdk_follows_a_stream(house: MakeHouse) -> None:
    async with house() as h:
        told: list[str] = []
        async with h.sdk().client.chat.completions.stream(
            model="sim/parallel-tools", messages=HELLO, tools=[WEATHER, CLOCK], stream_options={"include_usage": True}
        ) as stream:
            async for event in stream:
                told.append(event.type)
            said = await stream.get_final_completion()
        assert {"chunk", "content.delta", "content.done", "tool_calls.function.arguments.done"} <= set(told)
        assert [call.function.name for call in said.choices[0].message.tool_calls] == ["get_weather", "get_time"]
        assert said.usage is not None


def read_to_its_end(manager: ChatCompletionStreamManager[Any]) -> Any:
    with manager as stream:
        return stream.get_final_completion()


@pytest.mark.parametrize("streamed", [False, True])
async def test_json_output_is_parsed_into_a_model(house: MakeHouse, manner: str, streamed: bool) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        said: dict[str, Any] = {"model": "sim/json", "messages": HELLO, "response_format": Solution}
        if not streamed:
            answer = await sdk.ask("chat.completions.parse", **said)
        elif manner == "async":
            async with sdk.client.chat.completions.stream(**said) as stream:
                answer = await stream.get_final_completion()
        else:
            answer = await asyncio.to_thread(read_to_its_end, sdk.client.chat.completions.stream(**said))
        parsed = answer.choices[0].message.parsed
        assert isinstance(parsed, Solution)
        assert parsed.answer


async def test_what_is_cut_in_the_midst_of_json_is_told_as_such(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        with pytest.raises(openai.LengthFinishReasonError):
            await h.sdk(manner).ask("chat.completions.parse", model="sim/length", messages=HELLO, response_format=Solution)


async def test_a_refusal_arrives_as_one(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        message = (await sdk.chat("sim/refusal")).choices[0].message
        assert message.refusal
        assert not message.content
        chunks = await sdk.chunks(model="sim/refusal")
        assert "".join(c.choices[0].delta.refusal or "" for c in chunks if c.choices) == message.refusal


async def test_images_reach_the_model(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": DOT, "detail": "low"}}]
        said = await h.sdk(manner).chat("sim/describe", messages=[{"role": "user", "content": parts}])
        assert "1 image" in said.choices[0].message.content
        assert "image/png" in said.choices[0].message.content


async def test_logprobs_are_there_when_they_were_asked_for(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        whole = (await sdk.chat("sim/echo", logprobs=True, top_logprobs=2)).choices[0].logprobs.content
        chunks = await sdk.chunks(model="sim/echo", logprobs=True, top_logprobs=2)
        streamed = [t for c in chunks for choice in c.choices if choice.logprobs for t in choice.logprobs.content or ()]
        assert [t.model_dump() for t in streamed] == [t.model_dump() for t in whole]
        assert "".join(t.token for t in whole) == "Hello, big world"


async def test_embeddings_are_the_same_in_either_encoding(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        plain = await sdk.ask("embeddings.create", model="sim/embed", input=["one", "two"], encoding_format="float")
        packed = await sdk.ask("embeddings.create", model="sim/embed", input=["one", "two"], encoding_format="base64")
        default = await sdk.ask("embeddings.create", model="sim/embed", input=["one", "two"], dimensions=8)
        assert isinstance(packed.data[0].embedding, str)
        assert len(base64.b64decode(packed.data[0].embedding)) == 4 * len(plain.data[0].embedding)
        assert [len(one.embedding) for one in default.data] == [8, 8]
        assert plain.data[0].embedding != plain.data[1].embedding
        assert (await h.outcome()).usage.input > 0


async def test_models_are_listed_and_looked_up(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        sdk = h.sdk(manner)
        names = [model.id for model in (await sdk.ask("models.list")).data]
        assert {"m", "n", "sim/echo"} <= set(names)
        assert len(names) == len(set(names))
        for name in ("m", "sim/echo"):
            assert (await sdk.ask("models.retrieve", name)).id == name
        with pytest.raises(openai.NotFoundError, match="sim/echo") as caught:
            await sdk.ask("models.retrieve", "sim-echo")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_iterating_over_the_models_comes_to_an_end(house: MakeHouse) -> None:
    async with house() as h:
        assert "m" in [model.id async for model in h.sdk().client.models.list()]
