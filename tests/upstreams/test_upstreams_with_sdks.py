"""The scripted providers before their own SDKs: they are understood, they remember what they said, and they refuse bad requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.upstreams.scenario import Citation, Failure, Scenario, ToolCall, Usage
from tests.upstreams.server import Script, Upstream, upstream

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # within google-genai

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
LIST = {"type": "array"}
WEATHER = ToolCall(name="get_weather", arguments={"city": "Zürich"})
CLOCK = ToolCall(name="get_weather", arguments={"city": "Oslo"})
COUNT = Usage(input=30, output=12, cached=8, thinking=5)
TEXT = Scenario(text="Grüße aus 東京!", usage=COUNT)
THINKTOOL = Scenario(thinking="I need the weather.", tool_calls=[WEATHER, CLOCK], usage=COUNT)

OPENAI_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA, "strict": True}}
CLAUDE_TOOL: Any = {"name": "get_weather", "input_schema": SCHEMA}


@asynccontextmanager
async def an_openai(dialect: str, *scripts: Script, **options: Any) -> AsyncIterator[tuple[Upstream, openai.AsyncOpenAI]]:
    async with (
        upstream(dialect, *scripts, **options) as up,
        openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="k", max_retries=0) as client,
    ):
        yield up, client


@asynccontextmanager
async def an_anthropic(*scripts: Script) -> AsyncIterator[tuple[Upstream, anthropic.AsyncAnthropic]]:
    async with (
        upstream("anthropic.messages", *scripts) as up,
        anthropic.AsyncAnthropic(base_url=up.url, api_key="k", max_retries=0) as client,
    ):
        yield up, client


@asynccontextmanager
async def a_gemini(*scripts: Script) -> AsyncIterator[tuple[Upstream, Any]]:
    async with upstream("gemini.generate", *scripts) as up:
        client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=up.url))
        try:
            yield up, client.aio.models
        finally:
            await client.aio.aclose()
            client.close()


# ---------------------------------------------------------------------------------------------------- chat


async def test_chat_whole_and_streamed_are_the_same() -> None:
    async with an_openai("openai.chat", TEXT) as (up, client):
        asked: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
        whole = await client.chat.completions.create(**asked)
        assert whole.choices[0].message.content == TEXT.text
        assert whole.usage is not None
        assert whole.usage.prompt_tokens_details is not None
        assert (whole.usage.prompt_tokens, whole.usage.prompt_tokens_details.cached_tokens) == (30, 8)
        async with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == TEXT.text
        assert final.usage == whole.usage
        assert up.refusals == []


async def test_chat_calls_come_back_with_their_answers() -> None:
    script = (Scenario(tool_calls=[WEATHER, CLOCK]), Scenario(text="Rain."))
    async with an_openai("openai.chat", *script) as (up, client):
        messages: list[Any] = [{"role": "user", "content": "Weather?"}]
        async with client.chat.completions.stream(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]) as stream:
            said = (await stream.get_final_completion()).choices[0]
        assert said.finish_reason == "tool_calls"
        assert [c.function.parsed_arguments for c in said.message.tool_calls or ()] == [WEATHER.arguments, CLOCK.arguments]
        calls = [c.model_dump(include={"id": True, "type": True, "function": {"name", "arguments"}}) for c in said.message.tool_calls or ()]
        messages.append({"role": "assistant", "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "wet"} for call in calls]
        again = await client.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL])
        assert again.choices[0].message.content == "Rain."
        with pytest.raises(openai.BadRequestError, match="did not have response messages"):
            await client.chat.completions.create(model="gpt-4o", messages=messages[:-1], tools=[CHAT_TOOL])
        assert len(up.generated) == 3
        assert len(up.refusals) == 1


async def test_chat_shows_thoughts_only_as_a_compatible_server() -> None:
    async with an_openai("openai.chat", Scenario(thinking="Hm.", text="So."), reasoning="reasoning_content") as (up, client):
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        message = (await client.chat.completions.create(**asked)).choices[0].message
        assert (message.content, getattr(message, "reasoning_content", None)) == ("So.", "Hm.")
        back = {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}
        await client.chat.completions.create(model="m", messages=[*asked["messages"], back, *asked["messages"]])
        assert up.refusals == []
    async with an_openai("openai.chat") as (up, client):
        with pytest.raises(openai.BadRequestError, match=r"Unknown parameter: 'messages\[0\].reasoning_content'"):
            await client.chat.completions.create(model="m", messages=[back])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"top_k": 3}, "top_k"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}, "messages[0].role"),
        ({"messages": []}, "messages"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}]}, "tools[0].function.parameters"),
        ({"tools": [{**CHAT_TOOL, "function": {**CHAT_TOOL["function"], "parameters": {"type": "object", "properties": {"a": {}}}}}]},
         "tools[0].function.parameters"),
        ({"model": "o3", "max_tokens": 5}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)  # fmt: skip
async def test_chat_refuses(change: dict[str, Any], param: str) -> None:
    async with an_openai("openai.chat") as (up, client):
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **change}
        with pytest.raises(openai.BadRequestError) as refused:
            await client.post("/chat/completions", body=body, cast_to=dict)
        assert refused.value.param == param
        assert len(up.refusals) == 1


# ------------------------------------------------------------------------------------------------ responses


async def test_responses_whole_and_streamed_are_the_same() -> None:
    scenario = Scenario(
        thinking="Hm, well.", text="Grüße!", searched="x", citations=[Citation(url="http://x.example", start=0, end=5)], usage=COUNT
    )
    async with an_openai("openai.responses", scenario) as (up, client):
        asked: Any = {"model": "gpt-5.5", "input": "Hi", "reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
        whole = await client.responses.create(**asked)
        async with client.responses.stream(**asked) as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert [e.sequence_number for e in events] == list(range(len(events)))
        assert whole.output_text == final.output_text == "Grüße!"
        assert [item.type for item in final.output] == [item.type for item in whole.output] == ["reasoning", "web_search_call", "message"]
        assert whole.usage == final.usage
        assert (await client.responses.retrieve(whole.id)).output == whole.output
        counted = await client.responses.input_tokens.count(model="gpt-5.5", input="Hi")
        assert counted.input_tokens > 0
        await client.responses.delete(whole.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(whole.id)
        assert len(up.refusals) == 1


async def test_responses_take_back_what_they_said_and_no_less() -> None:
    async with an_openai("openai.responses", THINKTOOL, Scenario(text="Rain.")) as (up, client):
        asked: Any = {"model": "gpt-5.5", "tools": [OPENAI_TOOL], "store": False, "include": ["reasoning.encrypted_content"]}
        given: list[Any] = [{"role": "user", "content": "Weather?"}]
        async with client.responses.stream(**asked, input=given) as stream:
            output = [item.model_dump(exclude_unset=True) for item in (await stream.get_final_response()).output]
        for item in output:
            item.pop("parsed_arguments", None)
        assert [item["type"] for item in output] == ["reasoning", "function_call", "function_call"]
        results = [{"type": "function_call_output", "call_id": item["call_id"], "output": "wet"} for item in output[1:]]
        again = await client.responses.create(**asked, input=[*given, *output, *results])
        assert again.output_text == "Rain."
        refused = {
            "provided without its required following item": [*given, *output[:1], *given],
            "could not be verified": [*given, {**output[0], "encrypted_content": "gAAAAAforged"}, *output[1:], *results],
            "No tool output found for function call": [*given, *output, results[0]],
            "No tool call found for function call output": [*given, *results],
            "not persisted when `store` is set to false": [*given, {**output[0], "encrypted_content": None}, *output[1:], *results],
            "maximum length 0": [*given, {**output[0], "content": [{"type": "reasoning_text", "text": "Hm."}]}, *output[1:], *results],
            "Expected an ID that begins with 'fc'": [*given, {**output[1], "id": "toolu_1"}, results[0]],
        }
        for message, items in refused.items():
            with pytest.raises(openai.APIStatusError, match=message):
                await client.responses.create(**asked, input=items)
        assert len(up.refusals) == len(refused)


async def test_responses_go_on_with_a_stored_answer() -> None:
    async with an_openai("openai.responses", THINKTOOL, Scenario(text="Rain.")) as (_, client):
        first = await client.responses.create(model="gpt-5.5", input="Weather?", tools=[OPENAI_TOOL])
        results: list[Any] = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "wet"}
            for item in first.output
            if item.type == "function_call"
        ]
        second = await client.responses.create(model="gpt-5.5", input=results, previous_response_id=first.id, tools=[OPENAI_TOOL])
        assert second.output_text == "Rain."
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="gpt-5.5", input="x", previous_response_id="resp_unknown")
        assert refused.value.code == "previous_response_not_found"


async def test_responses_have_free_text_tools_and_namespaces() -> None:
    tools: Any = [{"type": "namespace", "name": "functions", "description": "x", "tools": [{"type": "custom", "name": "exec"}]}]
    async with an_openai("openai.responses", Scenario(tool_calls=[ToolCall(name="exec", arguments="1 + 1", namespace="functions")])) as (
        _,
        client,
    ):
        async with client.responses.stream(model="gpt-5.5", input="Hi", tools=tools) as stream:
            call = (await stream.get_final_response()).output[0]
        assert call.type == "custom_tool_call"
        assert (call.name, call.input, call.namespace) == ("exec", "1 + 1", "functions")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "a b", "arguments": "{}"}]}, None),
        ({"input": [{"type": "tool_use", "id": "c"}]}, "input[0].type"),
        ({"max_output_tokens": 3}, "max_output_tokens"),
        ({"tools": [CHAT_TOOL]}, None),
    ],
)  # fmt: skip
async def test_responses_refuse(change: dict[str, Any], param: str | None) -> None:
    async with an_openai("openai.responses") as (_, client):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.post("/responses", body={"model": "gpt-5.5", "input": "Hi", **change}, cast_to=dict)
        assert param is None or refused.value.param == param


# ------------------------------------------------------------------------------------------------ anthropic


async def test_messages_whole_and_streamed_are_the_same() -> None:
    cited = Citation(url="http://x.example", title="X", quote="q")
    async with an_anthropic(Scenario(thinking="Hm, well.", searched="x", text="Grüße!", citations=[cited], usage=COUNT)) as (up, client):
        asked: Any = {"model": "claude-next", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]}
        asked |= {"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            final = await stream.get_final_message()
        assert [b.type for b in whole.content] == ["thinking", "server_tool_use", "web_search_tool_result", "text"]
        same = {"signature", "id", "tool_use_id"}
        assert [b.model_dump(exclude=same, exclude_none=True) for b in final.content] == [
            b.model_dump(exclude=same, exclude_none=True) for b in whole.content
        ]
        assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (22, 8, 12)
        assert whole.stop_reason == final.stop_reason == "end_turn"
        back = [b.model_dump(exclude_none=True) for b in final.content]
        await client.messages.create(
            **{**asked, "messages": [*asked["messages"], {"role": "assistant", "content": back}, *asked["messages"]]}
        )
        assert (await client.messages.count_tokens(model="claude-next", messages=asked["messages"])).input_tokens > 0
        assert [m.id async for m in client.models.list()] == list(up.provider.models)
        assert up.refusals == []


async def test_messages_take_back_what_they_said_and_no_less() -> None:
    async with an_anthropic(THINKTOOL, Scenario(text="Rain.")) as (up, client):
        asked: Any = {
            "model": "claude-next",
            "max_tokens": 4096,
            "tools": [CLAUDE_TOOL],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }
        question = {"role": "user", "content": "Weather?"}
        async with client.messages.stream(**asked, messages=[question]) as stream:
            said = [b.model_dump(exclude_none=True, exclude={"caller"}) for b in (await stream.get_final_message()).content]
        assert [b["type"] for b in said] == ["thinking", "tool_use", "tool_use"]
        assert said[1]["input"] == WEATHER.arguments
        results: list[Any] = [{"type": "tool_result", "tool_use_id": b["id"], "content": "wet"} for b in said[1:]]

        async def ask(assistant: list[Any], user: list[Any], **more: Any) -> str:
            messages: Any = [question, {"role": "assistant", "content": assistant}, {"role": "user", "content": user}]
            return (await client.messages.create(**{**asked, **more}, messages=messages)).content[0].text  # type: ignore[union-attr]

        assert await ask(said, results) == "Rain."
        forged, altered = {**said[0], "signature": "Zm9yZ2Vk"}, {**said[0], "thinking": "No."}
        refused: dict[str, tuple[list[Any], list[Any]]] = {
            "Invalid `signature`": ([forged, *said[1:]], results),
            "cannot be modified": ([altered, *said[1:]], results),
            "Expected `thinking`": (said[1:], results),
            "without `tool_result` blocks immediately after": (said, results[:1]),
            "unexpected `tool_use_id`": (said[:2], results),
            "must come before": (said, [{"type": "text", "text": "x"}, *results]),
        }
        for message, (assistant, user) in refused.items():
            with pytest.raises(anthropic.BadRequestError, match=message):
                await ask(assistant, user)
        assert len(up.refusals) == len(refused)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"frequency_penalty": 1}, "frequency_penalty: Extra inputs are not permitted"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "must be non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "annotations": []}]}]}, "Extra inputs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content.0.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "must be greater than"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0.5}, "may only be set to 1"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [CLAUDE_TOOL], "tool_choice": {"type": "any"}}, "forces tool"),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"name": "a.b", "input_schema": SCHEMA}]}, "does not match"),
        ({"tools": [{"name": "a", "input_schema": {"properties": {}}}]}, "input_schema.type: Field required"),
        ({"tools": [{"name": "a", "input_schema": {"type": "object", "oneOf": []}}]}, "top level"),
        ({"tools": [CLAUDE_TOOL, CLAUDE_TOOL]}, "unique"),
        ({"tool_choice": {"type": "auto"}}, "while providing tools"),
        ({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5}, "maximum of 4"),
    ],
)
async def test_messages_refuse(change: dict[str, Any], message: str) -> None:
    async with an_anthropic() as (_, client):
        body = {"model": "claude-next", "max_tokens": 2048, "messages": [{"role": "user", "content": "Hi"}], **change}
        body = {name: value for name, value in body.items() if value is not None}
        with pytest.raises(anthropic.BadRequestError, match=message):
            await client.post("/v1/messages", body=body, cast_to=object)


# -------------------------------------------------------------------------------------------------- gemini


async def test_gemini_whole_and_streamed_are_the_same() -> None:
    cited = Citation(url="http://x.example", title="X", start=0, end=5)
    scenario = Scenario(thinking="Hm, well.", text="Grüße aus Rom", searched="x", citations=[cited], usage=COUNT)
    async with a_gemini(scenario) as (up, models):
        config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=500))
        asked: Any = {"model": "gemini-3.8-flash", "contents": "Hi", "config": config}
        whole = await models.generate_content(**asked)
        chunks = [chunk async for chunk in await models.generate_content_stream(**asked)]
        assert whole.text == "".join(chunk.text or "" for chunk in chunks) == "Grüße aus Rom"
        thoughts = [part.text for chunk in chunks for part in chunk.candidates[0].content.parts if part.thought]
        assert "".join(thoughts) == "Hm, well."
        assert [chunk.candidates[0].finish_reason for chunk in chunks][-1] == types.FinishReason.STOP
        assert whole.usage_metadata.candidates_token_count == 7
        assert whole.usage_metadata.thoughts_token_count == 5
        assert whole.candidates[0].grounding_metadata.grounding_supports[0].segment.text == "Grüße"
        assert (await models.count_tokens(model="gemini-3.8-flash", contents="Hi")).total_tokens > 0
        assert (await models.embed_content(model="e", contents="Hi")).embeddings[0].values[0] == 0.5
        assert [m.name async for m in await models.list()] == [f"models/{m}" for m in up.provider.models]
        assert up.refusals == []


async def test_gemini_takes_back_what_it_said_and_no_less() -> None:
    async with a_gemini(THINKTOOL, Scenario(text="Rain.")) as (up, models):
        declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declared])],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        question = types.UserContent("Weather?")
        chunks = [c async for c in await models.generate_content_stream(model="gemini-3.8-flash", contents=[question], config=config)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
        assert [part.function_call.args for part in parts] == [WEATHER.arguments, CLOCK.arguments]
        answers = [
            types.Part(function_response=types.FunctionResponse(id=p.function_call.id, name="get_weather", response={"output": "wet"}))
            for p in parts
        ]

        async def ask(called: list[types.Part], given: list[types.Part]) -> str:
            contents = [question, types.ModelContent(called), types.UserContent(given)]
            return str((await models.generate_content(model="gemini-3.8-flash", contents=contents, config=config)).text)

        assert await ask(parts, answers) == "Rain."
        bare = [part.model_copy(update={"thought_signature": None}) for part in parts]
        forged = [part.model_copy(update={"thought_signature": b"forged"}) for part in parts]
        refused = {
            "missing a thought_signature": (bare, answers),
            "Thought signature is not valid": (forged, answers),
            "number of function response parts": (parts, answers[:1]),
        }
        for message, (called, given) in refused.items():
            with pytest.raises(errors.ClientError, match=message):
                await ask(called, given)
        assert len(up.refusals) == len(refused)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, 'Unknown name "messages"'),
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
        ({"contents": [{"parts": [{"functionResponse": {"name": "a", "response": {}}}]}]}, "immediately after a function call"),
        ({"generationConfig": {"max_tokens": 3}}, 'Unknown name "max_tokens" at \'generation_config\''),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}}, "only set only one"),
        ({"tools": [{"functionDeclarations": [{"name": "a", "parameters": SCHEMA}]}]}, 'Unknown name "additionalProperties"'),
        ({"tools": [{"functionDeclarations": [{"name": "1a"}]}]}, "Invalid function name"),
        ({"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"type": "object", "properties": {"b": LIST}}}]}]}, "items"),
        ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "mime type"),
    ],
)  # fmt: skip
async def test_gemini_refuses(change: dict[str, Any], message: str) -> None:
    async with a_gemini() as (up, _):
        import aiohttp

        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **change}
        url = f"{up.url}/v1beta/models/gemini-3.8-flash:generateContent"
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers={"x-goog-api-key": "k"}) as answer:
            error = (await answer.json())["error"]
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
        assert message in error["message"]


async def test_gemini_streams_an_array_without_alt_sse() -> None:
    import aiohttp

    async with a_gemini(TEXT) as (up, _), aiohttp.ClientSession() as session:
        url = f"{up.url}/v1beta/models/gemini-3.8-flash:streamGenerateContent?key=k"
        async with session.post(url, json={"contents": [{"parts": [{"text": "Hi"}]}]}) as answer:
            chunks = await answer.json()
        assert "".join(p["text"] for c in chunks for p in c["candidates"][0]["content"]["parts"]) == TEXT.text


# ----------------------------------------------------------------------------------------- errors and breaks


async def test_errors_are_those_of_the_provider() -> None:
    busy = Scenario(error=Failure(status=429, message="Slow down", headers={"retry-after": "7"}))
    async with an_openai("openai.chat", busy) as (_, client):
        with pytest.raises(openai.RateLimitError, match="Slow down") as limited:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
        assert limited.value.response.headers["retry-after"] == "7"
    async with an_anthropic(Scenario(error=Failure(status=529, message="Overloaded"))) as (_, claude):
        with pytest.raises(anthropic.InternalServerError) as overloaded:
            await claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
        assert overloaded.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]
    async with a_gemini(Scenario(error=Failure(status=503, message="Busy"))) as (_, models):
        with pytest.raises(errors.ServerError, match="UNAVAILABLE"):
            await models.generate_content(model="m", contents="Hi")


async def test_errors_in_a_stream_are_those_of_the_provider() -> None:
    broken = Scenario(text="One two three four", error_in_stream=Failure(message="It broke"))
    async with an_openai("openai.chat", broken) as (_, client):
        with pytest.raises(openai.APIError, match="It broke"):
            async for _ in await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True):
                pass
    async with an_openai("openai.responses", broken) as (_, client):
        events = [event async for event in await client.responses.create(model="m", input="Hi", stream=True)]
        error, failed = events[-2:]
        assert (error.type, failed.type) == ("error", "response.failed")
        assert error.message == "It broke"
        assert failed.response.error is not None
    async with an_anthropic(broken) as (_, claude):
        with pytest.raises(anthropic.APIStatusError, match="It broke"):
            async for _ in await claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}], stream=True):
                pass
    async with a_gemini(broken) as (_, models):
        with pytest.raises(errors.ServerError, match="It broke"):
            async for _ in await models.generate_content_stream(model="m", contents="Hi"):
                pass


async def test_a_stream_breaks_off_or_stalls_until_its_reader_leaves() -> None:
    cut, stalled = Scenario(text="One two three", cut_after=3), Scenario(text="One two three", stall_after=3)
    async with an_anthropic(cut, stalled) as (up, claude):
        asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        with pytest.raises(Exception, match=r"peer closed|incomplete|terminated|[Cc]onnection"):
            async for _ in await claude.messages.create(**asked, stream=True):
                pass
        stream = await claude.messages.create(**asked, stream=True)
        await anext(aiter(stream))
        await stream.close()
        await up.until(lambda: up.aborted == 1)
        assert up.done == 0


async def test_models_have_scripts_of_their_own() -> None:
    async with upstream("openai.chat", Scenario(text="any"), models={"a": [Scenario(text="first"), Scenario(text="then")]}) as up:
        async with openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="k", max_retries=0) as client:
            said = []
            for model in ("a", "b", "a", "a"):
                answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
                said.append(answer.choices[0].message.content)
        assert said == ["first", "any", "then", "then"]


async def test_a_key_must_be_there() -> None:
    import aiohttp

    for dialect, path, status in (
        ("openai.chat", "/v1/chat/completions", 401),
        ("openai.responses", "/v1/responses", 401),
        ("anthropic.messages", "/v1/messages", 401),
        ("gemini.generate", "/v1beta/models/m:generateContent", 403),
    ):
        async with upstream(dialect) as up, aiohttp.ClientSession() as session, session.post(up.url + path, json={}) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["message"]
