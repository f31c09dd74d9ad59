"""Anthropic's SDK for Python, both its clients, through a running host to a server that speaks Anthropic's protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from operator import attrgetter
from typing import Any

import anthropic
import pytest
from anthropic.types import ToolUseBlock
from pydantic import BaseModel

from jackfield.api.testing import Harness, Script, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Received, Wire
from tests.e2e.conftest import WAIT, Outcomes

KEY = "sk-ant-acme-0123456789"
HELLO: Any = [{"role": "user", "content": "Hello, big world"}]


def answer(*content: Any, stop_reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    """Make a whole answer."""
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content), "stop_reason": stop_reason}
    usage = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 5}
    return {**whole, "stop_sequence": None, "usage": usage, **more}


def frame(kind: str, **members: Any) -> bytes:
    """Make one event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def streamed(*blocks: Any, stop_reason: str = "end_turn") -> list[bytes]:
    """Make the events of an answer."""
    message = answer(stop_reason=None)
    frames = [frame("message_start", message=message), frame("ping")]
    for index, block in enumerate(blocks):
        pieces = deltas_of(block)
        begun = {
            **block,
            **{key: "" for key in ("text", "thinking", "signature") if key in block},
            **({"input": {}} if "input" in block else {}),
        }
        frames.append(frame("content_block_start", index=index, content_block=begun))
        frames += [frame("content_block_delta", index=index, delta=piece) for piece in pieces]
        frames.append(frame("content_block_stop", index=index))
    frames.append(frame("message_delta", delta={"stop_reason": stop_reason, "stop_sequence": None}, usage={"output_tokens": 17}))
    return [*frames, frame("message_stop")]


def deltas_of(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    match block:
        case {"type": "text", "text": text}:
            return [{"type": "text_delta", "text": piece} for piece in (text[:3], text[3:])]
        case {"type": "thinking", "thinking": text, "signature": signature}:
            return [{"type": "thinking_delta", "thinking": text}, {"type": "signature_delta", "signature": signature}]
        case {"type": "tool_use", "input": said}:
            written = json.dumps(said)
            return [{"type": "input_json_delta", "partial_json": piece} for piece in ("", written[:4], written[4:])]
    return []


class Client:
    """The SDK. The synchronous one is used in a thread, so that tests need not care which it is."""

    def __init__(self, client: anthropic.AsyncAnthropic | anthropic.Anthropic) -> None:
        self.client: Any = client
        self.is_async = isinstance(client, anthropic.AsyncAnthropic)

    async def ask(self, method: str, *args: Any, **said: Any) -> Any:
        """Call a method of the client, named as in `messages.create`."""
        function = attrgetter(method)(self.client)
        return await function(*args, **said) if self.is_async else await asyncio.to_thread(function, *args, **said)

    async def create(self, **said: Any) -> Any:
        """Ask for an answer."""
        return await self.ask("messages.create", **{"model": "m", "max_tokens": 100, "messages": HELLO, **said})

    async def events(self, **said: Any) -> list[Any]:
        """Ask for a stream and return all of its events."""
        stream = await self.create(**said, stream=True)
        return [one async for one in stream] if self.is_async else await asyncio.to_thread(list, stream)

    async def final(self, **said: Any) -> tuple[str, Any]:
        """Ask through the helper for streams; return its words, and the message that it put together."""
        asked = {"model": "m", "max_tokens": 100, "messages": HELLO, **said}
        if self.is_async:
            async with self.client.messages.stream(**asked) as stream:
                return "".join([text async for text in stream.text_stream]), await stream.get_final_message()

        def _read() -> tuple[str, Any]:
            with self.client.messages.stream(**asked) as stream:
                return "".join(stream.text_stream), stream.get_final_message()

        return await asyncio.to_thread(_read)


class Home:
    """What one test has running."""

    def __init__(self, host: Harness, upstream: ScriptedUpstream, outcomes: Outcomes, parts: AsyncExitStack) -> None:
        self.host, self.upstream, self._outcomes, self._parts = host, upstream, outcomes, parts

    def sdk(self, manner: str = "async", **options: Any) -> Client:
        """Return the SDK, pointed at the host; it does not try again unless `max_retries` says so."""
        settings = {"base_url": self.host.url, "api_key": "unused", "max_retries": 0, "timeout": WAIT, **options}
        client: anthropic.AsyncAnthropic | anthropic.Anthropic
        if manner == "async":
            client = anthropic.AsyncAnthropic(**settings)
            self._parts.push_async_callback(client.close)
        else:
            client = anthropic.Anthropic(**settings)
            self._parts.callback(client.close)
        return Client(client)

    async def outcome(self) -> Any:
        """Return what came of the next call that is complete."""
        return await asyncio.wait_for(self._outcomes.queue.get(), WAIT)


MakeHome = Callable[..., AbstractAsyncContextManager[Home]]


@asynccontextmanager
async def _home(*scripts: Script, keys: Sequence[str] = (KEY,)) -> AsyncIterator[Home]:
    outcomes = Outcomes()
    async with AsyncExitStack() as parts:
        upstream = await parts.enter_async_context(ScriptedUpstream(*scripts))
        config = {
            "plugins": {"anthropic": {"providers": {"acme": {"base_url": upstream.url, "models": ["m", "n"]}}}},
            "credentials": [{"provider": "acme", "key": key} for key in keys],
        }
        host = await parts.enter_async_context(Harness([outcomes], config))
        yield Home(host, upstream, outcomes, await parts.enter_async_context(AsyncExitStack()))


@pytest.fixture
def home() -> MakeHome:
    """Makes a host with the scripted upstream `acme` behind it; entered within the test."""
    return _home


TEXT = {"type": "text", "text": "Hello, world"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "EqQBCkYIBRgCKkA="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Zürich"}}
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def test_a_whole_answer(home: MakeHome, manner: str) -> None:
    async with home(json_answer(answer(TEXT), headers={"request-id": "req_1"})) as h:
        message = await h.sdk(manner).create(system="Be brief.", metadata={"user_id": "u"})
        assert (message.content[0].text, message.stop_reason) == ("Hello, world", "end_turn")
        assert message.usage.cache_read_input_tokens == 4
        assert message._request_id == "req_1"
        (got,) = h.upstream.requests
        assert got.target == "/v1/messages"
        assert got.json == {"max_tokens": 100, "messages": HELLO, "model": "m", "system": "Be brief.", "metadata": {"user_id": "u"}}
        assert got.headers.get("x-api-key") == KEY
        outcome = await h.outcome()
        assert outcome.status == "succeeded"
        assert (outcome.usage.input, outcome.usage.output) == (16, 5)


async def test_a_stream(home: MakeHome, manner: str) -> None:
    async with home(sse_answer(streamed(TEXT))) as h:
        events = await h.sdk(manner).events()
        assert [one.type for one in events] == [
            "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta",
            "message_stop",
        ]  # fmt: skip
        assert "".join(one.delta.text for one in events if one.type == "content_block_delta") == "Hello, world"
        assert h.upstream.requests[0].json["stream"] is True
        assert (await h.outcome()).usage.output == 17


async def test_the_helper_for_streams(home: MakeHome, manner: str) -> None:
    async with home(sse_answer(streamed(THOUGHT, TEXT, CALL, stop_reason="tool_use"))) as h:
        text, message = await h.sdk(manner).final(tools=[TOOL])
        assert text == "Hello, world"
        assert [part.type for part in message.content] == ["thinking", "text", "tool_use"]
        assert message.content[0].signature == THOUGHT["signature"]
        assert message.content[2].input == CALL["input"]
        assert (message.stop_reason, message.usage.output_tokens, message.usage.cache_read_input_tokens) == ("tool_use", 17, 4)


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_and_thoughts_over_two_turns(home: MakeHome, manner: str, stream: bool) -> None:
    first = (
        sse_answer(streamed(THOUGHT, CALL, stop_reason="tool_use"))
        if stream
        else json_answer(answer(THOUGHT, CALL, stop_reason="tool_use"))
    )
    second = sse_answer(streamed(TEXT)) if stream else json_answer(answer(TEXT))
    async with home(first, second) as h:
        sdk = h.sdk(manner)

        async def ask(messages: Any) -> Any:
            asked: dict[str, Any] = {"messages": messages, "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 1024}}
            asked["max_tokens"] = 2000
            return (await sdk.final(**asked))[1] if stream else await sdk.create(**asked)

        said = await ask(HELLO)
        (call,) = [part for part in said.content if isinstance(part, ToolUseBlock)]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        history = [*HELLO, {"role": "assistant", "content": said.content}, {"role": "user", "content": [result]}]
        assert (await ask(history)).content[0].text == "Hello, world"
        sent = h.upstream.requests[1].json["messages"]
        assert sent[1]["content"][0] == THOUGHT
        assert {key: sent[1]["content"][1][key] for key in CALL} == CALL
        assert sent[2]["content"] == [result]
        assert len(h.upstream.requests) == 2


class City(BaseModel):
    """What is asked for."""

    name: str
    people: int


async def test_an_answer_in_the_form_of_a_schema(home: MakeHome, manner: str) -> None:
    async with home(json_answer(answer({"type": "text", "text": '{"name": "Bern", "people": 134000}'}))) as h:
        message = await h.sdk(manner).ask("messages.parse", model="m", max_tokens=100, messages=HELLO, output_format=City)
        assert message.parsed_output == City(name="Bern", people=134000)
        form = h.upstream.requests[0].json["output_config"]["format"]
        assert form["type"] == "json_schema"
        assert form["schema"]["properties"].keys() == {"name", "people"}


async def test_counting_tokens(home: MakeHome, manner: str) -> None:
    async with home(json_answer({"input_tokens": 42})) as h:
        counted = await h.sdk(manner).ask("messages.count_tokens", model="m", messages=HELLO, system="s")
        assert counted.input_tokens == 42
        assert h.upstream.requests[0].target == "/v1/messages/count_tokens"
        assert (await h.outcome()).status == "succeeded"


async def test_beta_features_pass(home: MakeHome, manner: str) -> None:
    async with home(json_answer(answer(TEXT))) as h:
        edits: Any = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
        asked = {"model": "m", "max_tokens": 9, "messages": HELLO, "betas": ["context-management-2025-06-27"], "context_management": edits}
        message = await h.sdk(manner).ask("beta.messages.create", **asked)
        assert message.content[0].text == "Hello, world"
        (got,) = h.upstream.requests
        assert got.headers.get("anthropic-beta") == "context-management-2025-06-27"
        assert got.json["context_management"] == edits


async def test_lists_of_models(home: MakeHome, manner: str) -> None:
    async with home(json_answer({})) as h:
        sdk = h.sdk(manner)
        page = await sdk.ask("models.list", limit=1000)
        assert {"m", "n"} <= {model.id for model in page.data}
        assert (await sdk.ask("models.retrieve", "m")).id == "m"
        with pytest.raises(anthropic.NotFoundError):
            await sdk.ask("models.retrieve", "nobody-has-this")


async def test_somebody_is_there(home: MakeHome) -> None:
    async with home(json_answer({})) as h:
        assert (await h.host.request("HEAD", "/api/hello")).status == 200


def error(type_: str = "invalid_request_error", message: str = "upstream words") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_9"}


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (400, anthropic.BadRequestError, error()),
        (400, anthropic.BadRequestError, error(message="prompt is too long: 210000 tokens > 200000 maximum")),
        (404, anthropic.NotFoundError, error("not_found_error", "model: m")),
        (409, anthropic.ConflictError, error("conflict_error")),
        (413, anthropic.APIStatusError, error("request_too_large")),
        (422, anthropic.UnprocessableEntityError, error()),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_callers_errors_are_raised_as_the_upstream_wrote_them(
    home: MakeHome, manner: str, status: int, kind: type[anthropic.APIStatusError], body: dict[str, Any], stream: bool
) -> None:
    async with home(json_answer(body, status=status, headers={"request-id": "req_9", "x-should-retry": "false"})) as h:
        with pytest.raises(kind) as caught:
            await h.sdk(manner, max_retries=3).create(stream=stream)
        assert caught.value.status_code == status
        assert caught.value.body == body
        assert caught.value.request_id == "req_9"
        assert len(h.upstream.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown", "type_"),
    [
        (401, error("authentication_error"), anthropic.InternalServerError, 503, "overloaded_error"),
        (403, error("permission_error"), anthropic.InternalServerError, 503, "overloaded_error"),
        (402, error("billing_error"), anthropic.RateLimitError, 429, "rate_limit_error"),
        (
            400,
            error(message="Your credit balance is too low to access the Anthropic API."),
            anthropic.RateLimitError,
            429,
            "rate_limit_error",
        ),
        (429, error("rate_limit_error"), anthropic.RateLimitError, 429, "rate_limit_error"),
        (500, error("api_error"), anthropic.InternalServerError, 502, "api_error"),
        (529, error("overloaded_error"), anthropic.InternalServerError, 503, "overloaded_error"),
        (502, {}, anthropic.InternalServerError, 502, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_other_errors_are_told_in_the_hosts_words(
    home: MakeHome, status: int, body: dict[str, Any], kind: type[anthropic.APIStatusError], shown: int, type_: str, stream: bool
) -> None:
    async with home(json_answer(body, status=status)) as h:
        with pytest.raises(kind) as caught:
            await h.sdk().create(stream=stream)
        said = caught.value
        assert (said.status_code, said.type) == (shown, type_)
        assert isinstance(said.body, dict)
        assert said.body["type"] == "error"
        assert "upstream words" not in said.response.text
        assert "credit balance" not in said.response.text


async def test_another_account_takes_over_from_an_overloaded_one(home: MakeHome, manner: str) -> None:
    overloaded = sse_answer([frame("error", error={"type": "overloaded_error", "message": "Overloaded"})])
    async with home(overloaded, sse_answer(streamed(TEXT)), keys=(KEY, KEY + "-2")) as h:
        assert (await h.sdk(manner).final())[0] == "Hello, world"
        assert len({got.headers.get("x-api-key") for got in h.upstream.requests}) == 2


async def test_an_error_within_a_stream_is_raised(home: MakeHome, manner: str) -> None:
    broken = [*streamed(TEXT)[:4], frame("error", error={"type": "overloaded_error", "message": "Overloaded"})]
    async with home(sse_answer(broken)) as h:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await h.sdk(manner).events()
        assert caught.value.type == "overloaded_error"
        assert (await h.outcome()).status == "failed"


async def test_a_stream_that_breaks_off_is_raised(home: MakeHome, manner: str) -> None:
    async with home(sse_answer(streamed(TEXT)[:4], end=False)) as h:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await h.sdk(manner).events()
        assert caught.value.type == "api_error"
        assert (await h.outcome()).status == "failed"


async def test_what_is_wrong_with_a_request_is_told_with_its_place(home: MakeHome) -> None:
    async with home(json_answer(answer(TEXT))) as h:
        for body in ({"messages": []}, {"model": 3, "messages": HELLO}):
            said = await h.host.post("/v1/messages", body)
            assert said.status in (400, 404)
            assert said.json["type"] == "error"
            assert said.json["error"]["type"] in ("invalid_request_error", "not_found_error")
        assert h.upstream.requests == []


async def test_a_client_that_leaves_takes_the_upstream_along(home: MakeHome) -> None:
    gone = asyncio.Event()

    async def endless(received: Received, wire: Wire) -> None:
        await sse_answer([*streamed(TEXT)[:4]], end=False)(received, Held(wire))
        await wire.gone.wait()
        gone.set()

    async with home(endless) as h:
        stream = await h.sdk().create(stream=True)
        async for one in stream:
            if one.type == "content_block_delta":
                break
        await stream.close()
        await asyncio.wait_for(gone.wait(), WAIT)
        assert (await h.outcome()).status == "canceled"
        assert len(h.upstream.requests) == 1


class Held(Wire):
    """A wire that its script cannot break."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        await self._wire.send(data)

    def abort(self) -> None:
        """Leave the connection open."""


async def test_bytes_pass_as_they_came(home: MakeHome) -> None:
    asked = b'{ "model":"m" , "max_tokens":1.0,"messages":[{"role":"user","content":"x"}], "odd": 1.10 }'
    odd = b'{"id":"msg_1", "type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":2}, "odd":1.10}'
    async with home(json_answer(odd)) as h:
        said = await h.host.post("/v1/messages", asked)
        assert said.body == odd
        assert h.upstream.requests[0].body == asked
