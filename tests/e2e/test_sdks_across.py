"""Every client's own SDK before providers of every dialect: words, tools, thoughts over turns, schemas, errors, whole and streamed.

The providers are as strict as their originals: what they refuse is a fault of the translation.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, configured
from tests.upstreams.scenario import Failure, Scenario, ToolCall, Usage
from tests.upstreams.server import Script, Upstream, upstream

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # within google-genai

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CITIES = ({"city": "Zürich"}, {"city": "Oslo"})
CALLS = [ToolCall(name="get_weather", arguments=city) for city in CITIES]
THINKING = "Both, then."

BOTH_LOOPS = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
BOTH_FORMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


class Answer:
    """What a client understood."""

    def __init__(self, text: str, calls: list[tuple[str, str, Any]], output: int | None, finish: str | None) -> None:
        self.text, self.calls, self.output, self.finish = text, calls, output, finish


class Client(Protocol):
    """One SDK with one conversation."""

    async def say(self, words: str, *, tools: bool = False, schema: bool = False) -> Answer: ...
    async def give(self, results: list[str]) -> Answer: ...
    async def close(self) -> None: ...


async def called(function: Any, sync: bool, **said: Any) -> Any:
    """Call a method of an SDK, in a thread where it is a synchronous one."""
    return await asyncio.to_thread(lambda: function(**said)) if sync else await function(**said)


async def final(manager: Any, method: str) -> Any:
    """Read a stream to its end with the SDK's own helper."""
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            return await getattr(stream, method)()

    def read() -> Any:
        with manager as stream:
            return getattr(stream, method)()

    return await asyncio.to_thread(read)


async def closed(client: Any) -> None:
    done = client.close()
    if inspect.isawaitable(done):
        await done


class Chat:
    def __init__(self, url: str, model: str, *, sync: bool, stream: bool) -> None:
        kind: Any = openai.OpenAI if sync else openai.AsyncOpenAI
        self.client = kind(base_url=f"{url}/v1", api_key="k", max_retries=0)
        self.sync, self.model, self.stream, self.turns, self.more = sync, model, stream, list[Any](), dict[str, Any]()

    async def say(self, words: str, *, tools: bool = False, schema: bool = False) -> Answer:
        self.turns.append({"role": "user", "content": words})
        if tools:
            function = {"name": "get_weather", "parameters": SCHEMA, "strict": True}
            self.more = {"tools": [{"type": "function", "function": function}], "reasoning_effort": "high"}
        if schema:
            self.more = {"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}}
        return await self._ask()

    async def give(self, results: list[str]) -> Answer:
        calls = self.turns[-1]["tool_calls"]
        self.turns += [{"role": "tool", "tool_call_id": c["id"], "content": r} for c, r in zip(calls, results, strict=True)]
        return await self._ask()

    async def _ask(self) -> Answer:
        said = {"model": self.model, "messages": self.turns, **self.more}
        completions = self.client.chat.completions
        if self.stream:
            got = await final(completions.stream(**said, stream_options={"include_usage": True}), "get_final_completion")
        else:
            got = await called(completions.create, self.sync, **said)
        choice = got.choices[0]
        kept = choice.message.model_dump(exclude_none=True, include={"role", "content", "reasoning_content", "reasoning_details"})
        asked = [
            {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
            for c in choice.message.tool_calls or []
        ]
        self.turns.append(kept | ({"tool_calls": asked} if asked else {}))
        calls = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls or []]
        return Answer(choice.message.content or "", calls, got.usage.completion_tokens if got.usage else None, choice.finish_reason)

    async def close(self) -> None:
        await closed(self.client)


class Responses:
    def __init__(self, url: str, model: str, *, sync: bool, stream: bool) -> None:
        kind: Any = openai.OpenAI if sync else openai.AsyncOpenAI
        self.client = kind(base_url=f"{url}/v1", api_key="k", max_retries=0)
        self.sync, self.model, self.stream, self.items, self.more = sync, model, stream, list[Any](), dict[str, Any]()

    async def say(self, words: str, *, tools: bool = False, schema: bool = False) -> Answer:
        self.items.append({"role": "user", "content": words})
        if tools:
            tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}
            self.more = {"tools": [tool], "reasoning": {"effort": "high", "summary": "auto"}}
        if schema:
            self.more = {"text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}}
        return await self._ask()

    async def give(self, results: list[str]) -> Answer:
        calls = [item for item in self.items if getattr(item, "type", "") == "function_call"]
        self.items += [{"type": "function_call_output", "call_id": c.call_id, "output": r} for c, r in zip(calls, results, strict=True)]
        return await self._ask()

    async def _ask(self) -> Answer:
        said = {"model": self.model, "input": self.items, "store": False, "include": ["reasoning.encrypted_content"], **self.more}
        if self.stream:
            got = await final(self.client.responses.stream(**said), "get_final_response")
        else:
            got = await called(self.client.responses.create, self.sync, **said)
        self.items += got.output
        calls = [(i.call_id, i.name, json.loads(i.arguments)) for i in got.output if i.type == "function_call"]
        return Answer(got.output_text, calls, got.usage.output_tokens if got.usage else None, got.status)

    async def close(self) -> None:
        await closed(self.client)


class Messages:
    def __init__(self, url: str, model: str, *, sync: bool, stream: bool) -> None:
        kind: Any = anthropic.Anthropic if sync else anthropic.AsyncAnthropic
        self.client = kind(base_url=url, api_key="k", max_retries=0)
        self.sync, self.model, self.stream, self.turns, self.more = sync, model, stream, list[Any](), dict[str, Any]()

    async def say(self, words: str, *, tools: bool = False, schema: bool = False) -> Answer:
        self.turns.append({"role": "user", "content": words})
        if tools:
            self.more = {
                "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
                "thinking": {"type": "adaptive", "display": "summarized"},
            }
        if schema:
            self.more = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
        return await self._ask()

    async def give(self, results: list[str]) -> Answer:
        calls = [block for block in self.turns[-1]["content"] if block.type == "tool_use"]
        blocks = [{"type": "tool_result", "tool_use_id": c.id, "content": r} for c, r in zip(calls, results, strict=True)]
        self.turns.append({"role": "user", "content": blocks})
        return await self._ask()

    async def _ask(self) -> Answer:
        said = {"model": self.model, "messages": self.turns, "max_tokens": 4096, **self.more}
        if self.stream:
            got = await final(self.client.messages.stream(**said), "get_final_message")
        else:
            got = await called(self.client.messages.create, self.sync, **said)
        self.turns.append({"role": "assistant", "content": got.content})
        text = "".join(block.text for block in got.content if block.type == "text")
        calls = [(block.id, block.name, block.input) for block in got.content if block.type == "tool_use"]
        return Answer(text, calls, got.usage.output_tokens, got.stop_reason)

    async def close(self) -> None:
        await closed(self.client)


class Generate:
    def __init__(self, url: str, model: str, *, sync: bool, stream: bool) -> None:
        self.client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
        self.models: Any = self.client.models if sync else self.client.aio.models
        self.model, self.stream, self.sync, self.turns, self.config = model, stream, sync, list[Any](), dict[str, Any]()

    async def say(self, words: str, *, tools: bool = False, schema: bool = False) -> Answer:
        self.turns.append(types.Content(role="user", parts=[types.Part(text=words)]))
        if tools:
            declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
            self.config = {
                "tools": [types.Tool(function_declarations=[declared])],
                "thinking_config": types.ThinkingConfig(include_thoughts=True),
                "automatic_function_calling": types.AutomaticFunctionCallingConfig(disable=True),
            }
        if schema:
            self.config = {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
        return await self._ask()

    async def give(self, results: list[str]) -> Answer:
        calls = [part.function_call for part in self.turns[-1].parts if part.function_call]
        parts = [
            types.Part(function_response=types.FunctionResponse(id=c.id, name=c.name, response={"output": r}))
            for c, r in zip(calls, results, strict=True)
        ]
        self.turns.append(types.Content(role="user", parts=parts))
        return await self._ask()

    async def _ask(self) -> Answer:
        said: dict[str, Any] = {"model": self.model, "contents": self.turns, "config": self.config}
        chunks = await self._chunks(said) if self.stream else [await called(self.models.generate_content, self.sync, **said)]
        parts = [part for chunk in chunks for c in chunk.candidates or [] for part in (c.content.parts if c.content else None) or []]
        self.turns.append(types.Content(role="model", parts=parts))
        text = "".join(part.text for part in parts if part.text and not part.thought)
        calls = [(part.function_call.id, part.function_call.name, part.function_call.args) for part in parts if part.function_call]
        usage = chunks[-1].usage_metadata
        reasons = [c.finish_reason for chunk in chunks for c in chunk.candidates or [] if c.finish_reason]
        output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0) if usage else None
        return Answer(text, calls, output, reasons[-1].value if reasons else None)

    async def _chunks(self, said: dict[str, Any]) -> list[Any]:
        if self.sync:
            return await asyncio.to_thread(lambda: list(self.models.generate_content_stream(**said)))
        return [chunk async for chunk in await self.models.generate_content_stream(**said)]

    async def close(self) -> None:
        await self.client.aio.aclose()
        self.client.close()


CLIENTS: dict[str, Any] = {"openai.chat": Chat, "openai.responses": Responses, "anthropic.messages": Messages, "gemini.generate": Generate}
ALL_CLIENTS = pytest.mark.parametrize("client", CLIENTS)
ALL_UPSTREAMS = pytest.mark.parametrize("dialect", UPSTREAMS)


@asynccontextmanager
async def between(
    client: str, dialect: str, *scripts: Script, sync: bool = False, stream: bool = False
) -> AsyncIterator[tuple[Any, Upstream]]:
    """Run a provider of a dialect, a host before it, and a client of another before that."""
    options = {"reasoning": "reasoning_content"} if dialect == "openai.chat" else {}
    model = UPSTREAMS[client]
    async with (
        upstream(dialect, *scripts, **options) as provider,
        Harness(config=configured(dialect, provider.url, model, UPSTREAMS[dialect], client)) as host,
    ):
        asker = CLIENTS[client](host.url, model, sync=sync, stream=stream)
        try:
            yield asker, provider
        finally:
            await asker.close()


@BOTH_LOOPS
@BOTH_FORMS
@ALL_UPSTREAMS
@ALL_CLIENTS
async def test_words_cross_with_their_token_counts(client: str, dialect: str, stream: bool, sync: bool) -> None:
    script = Scenario(text="Grüße aus 東京!", usage=Usage(input=30, output=12))
    async with between(client, dialect, script, sync=sync, stream=stream) as (asker, provider):
        answer = await asker.say("Hello")
        assert provider.refusals == []
        assert (answer.text, answer.output, answer.calls) == ("Grüße aus 東京!", 12, [])
        assert len(provider.generated) == 1


@BOTH_LOOPS
@BOTH_FORMS
@ALL_UPSTREAMS
@ALL_CLIENTS
async def test_parallel_tools_after_a_thought_and_a_second_turn(client: str, dialect: str, stream: bool, sync: bool) -> None:
    script = [Scenario(thinking=THINKING, text="Let me see.", tool_calls=CALLS), Scenario(text="Rain in both.")]
    async with between(client, dialect, *script, sync=sync, stream=stream) as (asker, provider):
        asked = await asker.say("How is the weather?", tools=True)
        assert provider.refusals == []
        assert [(name, arguments) for _, name, arguments in asked.calls] == [("get_weather", city) for city in CITIES]
        assert len({call_id for call_id, _, _ in asked.calls}) == 2
        answer = await asker.give(["rain", "more rain"])
        assert provider.refusals == []
        assert answer.text == "Rain in both."
        assert len(provider.generated) == 2
        assert "more rain" in json.dumps(provider.generated[1].body)


@BOTH_FORMS
@ALL_UPSTREAMS
@ALL_CLIENTS
async def test_an_answer_follows_a_schema(client: str, dialect: str, stream: bool) -> None:
    async with between(client, dialect, Scenario(text='{"city":"Oslo"}'), stream=stream) as (asker, provider):
        answer = await asker.say("Where?", schema=True)
        assert provider.refusals == []
        assert json.loads(answer.text) == {"city": "Oslo"}
        assert "additionalProperties" in json.dumps(provider.generated[0].body) or dialect == "gemini.generate"
        assert '"city"' in json.dumps(provider.generated[0].body)


RAISED: dict[str, dict[int, Any]] = {
    "openai.chat": {
        400: openai.BadRequestError,
        401: openai.InternalServerError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
    },
    "anthropic.messages": {
        400: anthropic.BadRequestError,
        401: anthropic.InternalServerError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
    },
    "gemini.generate": {400: errors.ClientError, 401: errors.ServerError, 429: errors.ClientError, 500: errors.ServerError},
}
RAISED["openai.responses"] = RAISED["openai.chat"]


@BOTH_FORMS
@pytest.mark.parametrize("status", [400, 401, 429, 500])
@ALL_UPSTREAMS
@ALL_CLIENTS
async def test_errors_are_raised_as_the_clients_own(client: str, dialect: str, status: int, stream: bool) -> None:
    async with between(client, dialect, Scenario(error=Failure(status=status, message="It is so")), stream=stream) as (asker, _):
        with pytest.raises(RAISED[client][status]) as raised:
            await asker.say("Hello")
        assert ("It is so" in str(raised.value)) == (status == 400), "a provider's own trouble is not the client's to read"


@pytest.mark.parametrize("status", [400, 401, 429, 500])
@ALL_UPSTREAMS
@ALL_CLIENTS
async def test_an_error_in_the_middle_of_a_stream_is_raised(client: str, dialect: str, status: int) -> None:
    script = Scenario(
        text="one two three four five six seven eight nine ten eleven twelve",
        error_in_stream=Failure(status=status, message="Something broke", code="invalid_api_key" if status == 401 else None),
        after=6,
    )
    async with between(client, dialect, script, stream=True) as (asker, provider):
        with pytest.raises((openai.APIError, anthropic.APIError, errors.APIError, RuntimeError)) as raised:
            await asker.say("Hello")
        theirs = status == 400 and dialect != "openai.responses"  # which says that it is its own fault, whatever it is
        assert ("Something broke" in str(raised.value)) == theirs, "a provider's own trouble is not the client's to read"
        assert len(provider.generated) == 1
