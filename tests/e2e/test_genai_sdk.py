"""Google's SDK for Python, sync and async, through a running host: to an upstream of its own dialect, and to others."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from jackfield.api.testing import Harness
from tests.upstreams.scenario import Citation, Failure, Scenario, ToolCall, Usage
from tests.upstreams.server import Script, Upstream, upstream

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # within google-genai

NEW, OLD = "gemini-3.8-flash", "gemini-2.5-flash"
COUNT = Usage(input=30, output=12, cached=8, thinking=5)
WEATHER = ToolCall(name="get_weather", arguments={"city": "Zürich"})
CLOCK = ToolCall(name="get_time", arguments={"city": "Oslo"})
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name=name, description="Tells it.", parameters_json_schema=SCHEMA) for name in ("get_weather", "get_time")
    ]
)
MANUAL = types.AutomaticFunctionCallingConfig(disable=True)
SIMULATOR_OFF = {"simulator": {"enabled": False}}
BASES = {"gemini.generate": "/v1beta", "openai.chat": "/v1", "openai.responses": "/v1", "anthropic.messages": ""}
OWNERS = {"gemini.generate": "gemini", "openai.chat": "openai", "openai.responses": "openai", "anthropic.messages": "anthropic"}


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GEMINI_", "GOOGLE_", "OPENAI_", "ANTHROPIC_", "JACKFIELD_")) and name != "JACKFIELD_RECORDINGS":
            monkeypatch.delenv(name)


@pytest.fixture(params=["async", "sync"])
def manner(request: pytest.FixtureRequest) -> str:
    """Which of the SDK's two clients is used."""
    return str(request.param)


@pytest.fixture(params=["v1beta", "v1"])
def version(request: pytest.FixtureRequest) -> str:
    """Which version of the API is called."""
    return str(request.param)


class Sdk:
    """Google's SDK, one of its two clients. The synchronous one is used in a thread, so that tests need not care which it is."""

    def __init__(self, url: str, manner: str, version: str) -> None:
        options = types.HttpOptions(base_url=url, api_version=version, timeout=10_000)
        self.client, self.manner = genai.Client(api_key="unused", http_options=options), manner

    async def ask(self, method: str, **said: Any) -> Any:
        """Call a method of `models`."""
        if self.manner == "async":
            return await getattr(self.client.aio.models, method)(**said)
        return await asyncio.to_thread(getattr(self.client.models, method), **said)

    async def generate(self, contents: Any, model: str = NEW, **config: Any) -> types.GenerateContentResponse:
        """Ask for a whole answer."""
        found: types.GenerateContentResponse = await self.ask(
            "generate_content", model=model, contents=contents, config=types.GenerateContentConfig(**config)
        )
        return found

    async def stream(self, contents: Any, model: str = NEW, **config: Any) -> list[types.GenerateContentResponse]:
        """Ask for a stream and return all of its chunks."""
        said: dict[str, Any] = {"model": model, "contents": contents, "config": types.GenerateContentConfig(**config)}
        if self.manner == "async":
            return [one async for one in await self.client.aio.models.generate_content_stream(**said)]
        return await asyncio.to_thread(lambda: list(self.client.models.generate_content_stream(**said)))

    async def close(self) -> None:
        """Let go of all connections."""
        await self.client.aio.aclose()
        self.client.close()


class House:
    """What one test has running."""

    def __init__(self, host: Harness, up: Upstream, sdk: Sdk) -> None:
        self.host, self.up, self.sdk = host, up, sdk


@asynccontextmanager
async def house(
    *scripts: Script, manner: str = "async", version: str = "v1beta", dialect: str = "gemini.generate", models: Any = (NEW, OLD)
) -> AsyncIterator[House]:
    """Run a host before an upstream, and a client before it."""
    async with upstream(dialect, *scripts) as up:
        server = {"base_url": up.url + BASES[dialect], "models": models}
        plugins = {OWNERS[dialect]: {"providers": {"acme": server}}, **SIMULATOR_OFF}
        config = {"plugins": plugins, "credentials": [{"provider": "acme", "key": "k-acme"}]}
        async with Harness([], config) as host:
            sdk = Sdk(host.url, manner, version)
            try:
                yield House(host, up, sdk)
            finally:
                await sdk.close()


# ------------------------------------------------------------------------------------------------- words


async def test_a_whole_answer_and_its_stream_say_the_same(manner: str, version: str) -> None:
    scenario = Scenario(text="Grüße aus 東京,\u2028 you!", usage=COUNT)
    async with house(scenario, manner=manner, version=version) as h:
        whole = await h.sdk.generate("Hi", system_instruction="Be brief.", temperature=0.5)
        chunks = await h.sdk.stream("Hi", system_instruction="Be brief.", temperature=0.5)
        assert whole.text == "".join(one.text or "" for one in chunks) == scenario.text
        assert len(chunks) > 2
        assert whole.usage_metadata == chunks[-1].usage_metadata
        assert whole.usage_metadata is not None
        assert (whole.usage_metadata.prompt_token_count, whole.usage_metadata.thoughts_token_count) == (30, 5)
        for last in (whole, chunks[-1]):
            assert last.candidates is not None
            assert last.candidates[0].finish_reason is types.FinishReason.STOP
            assert last.model_version == NEW
        one, two = h.up.generated
        assert one.body == two.body
        assert [one.path, two.path] == [f"/v1beta/models/{NEW}:generateContent", f"/v1beta/models/{NEW}:streamGenerateContent"]
        assert (one.headers["x-goog-api-key"], dict(two.query)) == ("k-acme", {"alt": "sse"})
        assert not h.up.refusals


async def test_what_the_client_says_of_itself_stays_here() -> None:
    async with house(Scenario(text="x")) as h:
        await h.sdk.generate("Hi")
        names = {name.lower() for name in h.up.generated[0].headers}
        assert "x-goog-api-client" not in names
        assert names <= {
            "host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "x-goog-api-key", "x-server-timeout",
        }  # fmt: skip


@pytest.mark.parametrize("version", ["v1beta", "v1"])
async def test_a_stream_without_sse_is_one_json_array(version: str) -> None:
    async with house(Scenario(text="Hello, big world", usage=COUNT)) as h:
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
        answer = await h.host.post(f"/{version}/models/{NEW}:streamGenerateContent", body)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
        chunks = answer.json
        words = [part["text"] for one in chunks for part in one["candidates"][0]["content"]["parts"]]
        assert "".join(words) == "Hello, big world"
        assert len(words) > 2
        assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
        assert dict(h.up.generated[0].query) == {"alt": "sse"}


async def test_a_json_array_breaks_off_with_an_error_in_it() -> None:
    async with house(Scenario(text="one two three four", error_in_stream=Failure(status=503, message="overloaded"))) as h:
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
        *chunks, last = (await h.host.post(f"/v1beta/models/{NEW}:streamGenerateContent", body)).json
        assert chunks
        assert last["error"]["code"] == 503


# ------------------------------------------------------------------------------------------------- tools


def answered(said: types.GenerateContentResponse) -> list[types.Content]:
    """Return the model's turn as it came, and the results of all its calls."""
    assert said.candidates is not None
    turn = said.candidates[0].content
    assert turn is not None
    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": f"{call.name}: fine"}))
        for call in said.function_calls or ()
    ]
    return [turn, types.Content(role="user", parts=results)]


@pytest.mark.parametrize("model", [NEW, OLD])
async def test_calls_and_thoughts_come_back_over_two_turns(manner: str, version: str, model: str) -> None:
    script = [
        Scenario(thinking="I need the weather.", tool_calls=[WEATHER, CLOCK], usage=COUNT),
        Scenario(thinking="And the time.", tool_calls=[CLOCK]),
        Scenario(text="Rain."),
    ]
    async with house(*script, manner=manner, version=version) as h:
        config: dict[str, Any] = {"tools": [TOOLS], "automatic_function_calling": MANUAL}
        config["thinking_config"] = types.ThinkingConfig(include_thoughts=True)
        contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="Weather?")])]
        first = await h.sdk.generate(contents, model, **config)
        assert [(call.name, call.args) for call in first.function_calls or ()] == [(c.name, c.arguments) for c in (WEATHER, CLOCK)]
        contents += answered(first)
        second = await h.sdk.generate(contents, model, **config)
        contents += answered(second)
        assert (await h.sdk.generate(contents, model, **config)).text == "Rain."
        assert not h.up.refusals


async def test_a_streamed_call_comes_back_with_its_signature(manner: str) -> None:
    async with house(Scenario(thinking="Hm.", tool_calls=[WEATHER]), Scenario(text="Rain."), manner=manner) as h:
        config: dict[str, Any] = {"tools": [TOOLS], "automatic_function_calling": MANUAL}
        chunks = await h.sdk.stream("Weather?", **config)
        parts = [part for one in chunks for part in (one.candidates or [])[0].content.parts or ()]  # type: ignore[union-attr]
        (call,) = [part for part in parts if part.function_call]
        assert call.thought_signature
        assert call.function_call is not None
        result = types.Part.from_function_response(name="get_weather", response={"result": "wet"})
        result.function_response.id = call.function_call.id  # type: ignore[union-attr]
        again = [types.Content(role="user", parts=[types.Part(text="Weather?")]), types.Content(role="model", parts=parts)]
        assert (await h.sdk.generate([*again, types.Content(role="user", parts=[result])], **config)).text == "Rain."
        assert not h.up.refusals


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"wet in {city}"


async def test_functions_are_called_by_the_sdk_itself(manner: str, version: str) -> None:
    async with house(Scenario(tool_calls=[WEATHER]), Scenario(text="Rain."), manner=manner, version=version) as h:
        said = await h.sdk.generate("Weather?", tools=[get_weather])
        assert said.text == "Rain."
        assert len(h.up.generated) == 2
        assert not h.up.refusals
        (result,) = h.up.generated[1].body["contents"][-1]["parts"]
        assert result["functionResponse"]["response"] == {"result": "wet in Zürich"}


async def test_a_chat_keeps_its_history(manner: str) -> None:
    async with house(Scenario(text="One", thinking="hm"), Scenario(text="Two"), manner=manner) as h:
        if manner == "async":
            chat: Any = h.sdk.client.aio.chats.create(model=NEW)
            assert [(await chat.send_message(word)).text for word in ("a", "b")] == ["One", "Two"]
        else:
            chat = h.sdk.client.chats.create(model=NEW)
            assert [(await asyncio.to_thread(chat.send_message, word)).text for word in ("a", "b")] == ["One", "Two"]
        assert [one["role"] for one in h.up.generated[1].body["contents"]] == ["user", "model", "user"]
        assert not h.up.refusals


# ------------------------------------------------------------------------------------- other features


async def test_an_answer_of_a_certain_form(manner: str) -> None:
    async with house(Scenario(text='{"city":"Oslo"}'), manner=manner) as h:
        said = await h.sdk.generate("Where?", response_mime_type="application/json", response_json_schema=SCHEMA)
        assert json.loads(said.text or "") == {"city": "Oslo"}
        assert not h.up.refusals


async def test_tokens_are_counted(manner: str, version: str) -> None:
    async with house(manner=manner, version=version) as h:
        counted = await h.sdk.ask("count_tokens", model=NEW, contents="How long is this?")
        assert counted.total_tokens > 3
        assert [one.name for one in h.up.requests] == ["count"]


async def test_vectors_pass(manner: str, version: str) -> None:
    async with house(manner=manner, version=version, models=["gemini-embedding-001"]) as h:
        found = await h.sdk.ask("embed_content", model="gemini-embedding-001", contents=["a", "b"])
        assert [one.values[0] for one in found.embeddings or ()] == [0.5, 0.5]
        assert [one.path for one in h.up.requests] == ["/v1beta/models/gemini-embedding-001:batchEmbedContents"]


async def test_models_are_listed_and_told_one_by_one(manner: str, version: str) -> None:
    async with house(manner=manner, version=version) as h:
        if manner == "async":
            listed = [one async for one in await h.sdk.client.aio.models.list()]
        else:
            listed = await asyncio.to_thread(lambda: list(h.sdk.client.models.list()))
        assert {f"models/{NEW}", f"models/{OLD}"} <= {one.name for one in listed}
        one = await h.sdk.ask("get", model=NEW)
        assert one.name == f"models/{NEW}"
        assert "generateContent" in one.supported_actions


async def test_models_are_discovered() -> None:
    async with house(models="discover") as h:
        assert (await h.sdk.ask("get", model=NEW)).display_name == NEW.title()


async def test_sources_are_cited(manner: str) -> None:
    text = "Größe zählt hier."
    cited = Scenario(text=text, searched="q", citations=[Citation(url="https://a", title="A", start=6, end=11)])
    async with house(cited, manner=manner) as h:
        said = await h.sdk.generate("Hi", tools=[types.Tool(google_search=types.GoogleSearch())])
        assert said.candidates is not None
        grounding = said.candidates[0].grounding_metadata
        assert grounding is not None
        assert [chunk.web.uri for chunk in grounding.grounding_chunks or () if chunk.web] == ["https://a"]


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("failure", "error", "code", "status"),
    [
        (Failure(status=400, message="bad"), errors.ClientError, 400, "INVALID_ARGUMENT"),
        (Failure(status=404, message="gone"), errors.ClientError, 404, "NOT_FOUND"),
        (Failure(status=429, message="slow down"), errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        (Failure(status=401, message="who"), errors.ServerError, 503, "UNAVAILABLE"),
        (Failure(status=500, message="broken"), errors.ServerError, 502, "UNAVAILABLE"),
        (Failure(status=503, message="The model is overloaded"), errors.ServerError, 503, "UNAVAILABLE"),
        (Failure(status=502, body=b"<html>"), errors.ServerError, 502, "UNAVAILABLE"),
    ],
    ids=str,
)
async def test_errors_are_googles(manner: str, failure: Failure, error: type[errors.APIError], code: int, status: str) -> None:
    async with house(Scenario(error=failure), manner=manner) as h:
        for ask in (h.sdk.generate, h.sdk.stream):
            with pytest.raises(error) as raised:
                await ask("Hi")
            assert (raised.value.code, raised.value.status) == (code, status)


async def test_an_error_in_a_stream_is_raised(manner: str) -> None:
    scenario = Scenario(text="one two three four five", error_in_stream=Failure(status=503, message="overloaded"))
    async with house(scenario, manner=manner) as h:
        with pytest.raises(errors.ServerError) as raised:
            await h.sdk.stream("Hi")
        assert raised.value.code == 503


async def test_a_stream_that_breaks_off_is_no_answer(manner: str) -> None:
    async with house(Scenario(text="one two three four five", cut_after=3), manner=manner) as h:
        with pytest.raises(errors.ServerError):
            await h.sdk.stream("Hi")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "contents"),
        ({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"contents": [{"role": "user", "parts": [{"text": 3}]}]}, "contents[0].parts[0].text"),
    ],
    ids=str,
)
async def test_what_is_wrong_with_a_request_is_told_by_its_path(body: Any, field: str) -> None:
    async with house(dialect="openai.chat", models=["m"]) as h:
        answer = await h.host.post("/v1beta/models/m:generateContent", body)
        assert answer.status == 400
        said = answer.json["error"]
        assert (said["code"], said["status"]) == (400, "INVALID_ARGUMENT")
        (violation,) = said["details"][0]["fieldViolations"]
        assert violation["field"] == field
        assert not h.up.requests


async def test_an_unknown_model_is_not_found() -> None:
    async with house() as h:
        with pytest.raises(errors.ClientError) as raised:
            await h.sdk.generate("Hi", "nobody-has-this")
        assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")


# ---------------------------------------------------------------------------------------- to other dialects

OTHERS: dict[str, str] = {"openai.chat": "gpt-4o", "anthropic.messages": "claude-sonnet-4-5"}


@pytest.mark.parametrize("dialect", OTHERS)
async def test_words_and_counts_cross(manner: str, version: str, dialect: str) -> None:
    model = OTHERS[dialect]
    async with house(Scenario(text="Hello, big world"), manner=manner, version=version, dialect=dialect, models=[model]) as h:
        whole = await h.sdk.generate("Hi", model, system_instruction="Be brief.", max_output_tokens=50)
        chunks = await h.sdk.stream("Hi", model, system_instruction="Be brief.", max_output_tokens=50)
        assert whole.text == "".join(one.text or "" for one in chunks) == "Hello, big world"
        for last in (whole, chunks[-1]):
            assert last.candidates is not None
            assert last.candidates[0].finish_reason is types.FinishReason.STOP
            assert last.usage_metadata is not None
            assert (last.usage_metadata.prompt_token_count, last.usage_metadata.candidates_token_count) == (20, 10)
        assert not h.up.refusals


@pytest.mark.parametrize("dialect", OTHERS)
async def test_calls_cross_over_two_turns(manner: str, dialect: str) -> None:
    model = OTHERS[dialect]
    script = [Scenario(thinking="Hm.", tool_calls=[WEATHER, CLOCK]), Scenario(text="Rain.")]
    async with house(*script, manner=manner, dialect=dialect, models=[model]) as h:
        config: dict[str, Any] = {"tools": [TOOLS], "automatic_function_calling": MANUAL, "max_output_tokens": 4000}
        config["thinking_config"] = types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)
        contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="Weather?")])]
        first = await h.sdk.generate(contents, model, **config)
        assert [(call.name, call.args) for call in first.function_calls or ()] == [(c.name, c.arguments) for c in (WEATHER, CLOCK)]
        assert (await h.sdk.generate([*contents, *answered(first)], model, **config)).text == "Rain."
        assert not h.up.refusals


@pytest.mark.parametrize("dialect", OTHERS)
async def test_errors_of_others_are_googles_too(dialect: str) -> None:
    model = OTHERS[dialect]
    async with house(Scenario(error=Failure(status=429, message="slow down")), dialect=dialect, models=[model]) as h:
        with pytest.raises(errors.ClientError) as raised:
            await h.sdk.generate("Hi", model)
        assert (raised.value.code, raised.value.status) == (429, "RESOURCE_EXHAUSTED")
