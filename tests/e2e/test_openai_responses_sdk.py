"""OpenAI's SDK speaks Responses through the host: to an upstream of Responses, and to one of chat completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import openai
import pydantic
import pytest

from jackfield.api import Event
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Delta,
    Done,
    Error,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    SignatureDelta,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Usage,
    UsageDelta,
)
from jackfield.api.testing import Received, Script, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from jackfield_openai.chat import ChatDialect
from tests.e2e.conftest import MakeHouse, Sdk
from tests.plugins.openai_responses.responses_wire import answer, encoded

OWN = {"dialects": ["openai.responses"]}
USAGE = Usage(input=3, output=5)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
}
EXEC = {"type": "custom", "name": "exec", "description": "Runs a program."}


def message(text: str, item_id: str = "msg_1") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def chat_answer(message_: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message_}, "finish_reason": finish}
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], "usage": usage}


def own_stream(*deltas: Delta) -> Script:
    return sse_answer([event.raw for event in encoded(deltas)])


def chat_stream(*deltas: Delta) -> Script:
    encoder = ChatDialect().encode_stream(Asked, [])
    return sse_answer([event.raw for delta in deltas for event in encoder.feed([delta])])


class _Asked:
    stream_usage = True


Asked: Any = _Asked


def said(*words: str) -> list[Delta]:
    steps: list[Delta] = [TextDelta(index=0, text=word) for word in words]
    end: list[Delta] = [PartEnd(index=0), Finish(reason="stop"), UsageDelta(usage=USAGE), Done()]
    return [Begin(id="resp_1", model="m", created=7), PartStart(index=0, part=Text(text="")), *steps, *end]


async def events_of(sdk: Sdk, **asked: Any) -> list[Any]:
    stream = await sdk.ask("responses.create", **{"model": "m", "input": "Hello", **asked}, stream=True)
    if isinstance(sdk.client, openai.AsyncOpenAI):
        return [event async for event in stream]
    return await asyncio.to_thread(list, stream)


async def helped(sdk: Sdk, **asked: Any) -> tuple[list[Any], Any]:
    """Ask by the SDK's streaming helper; return its events and the final answer."""
    given = {"model": "m", "input": "Hello", **asked}
    if isinstance(sdk.client, openai.AsyncOpenAI):
        async with sdk.client.responses.stream(**given) as stream:
            return [event async for event in stream], await stream.get_final_response()

    def work() -> tuple[list[Any], Any]:
        with sdk.client.responses.stream(**given) as stream:
            return list(stream), stream.get_final_response()

    return await asyncio.to_thread(work)


@pytest.fixture(params=["responses", "chat"])
def upstream(request: pytest.FixtureRequest) -> str:
    """Which dialect the upstream speaks."""
    return str(request.param)


def server_of(upstream: str) -> dict[str, Any]:
    return OWN if upstream == "responses" else {}


# ------------------------------------------------------------------------------------------------- answers


async def test_an_answer(house: MakeHouse, manner: str, upstream: str) -> None:
    body = answer(message("Hello, you")) if upstream == "responses" else chat_answer({"content": "Hello, you"})
    async with house(json_answer(body), server=server_of(upstream)) as h:
        found = await h.sdk(manner).ask("responses.create", model="m", input="Hello", instructions="Be kind.")
        assert (found.output_text, found.status, found.model, found.object) == ("Hello, you", "completed", "m", "response")
        assert (found.usage.input_tokens, found.usage.total_tokens) == (3, 5 if upstream == "responses" else 8)
        assert found.id.startswith("resp_" if upstream == "responses" else "chatcmpl-")
        (sent,) = h.upstream.requests
        if upstream == "responses":
            assert sent.target == "/v1/responses"
            assert sent.json == {"model": "m", "input": "Hello", "instructions": "Be kind."}
        else:
            assert sent.target == "/v1/chat/completions"
            assert [(m["role"], m["content"]) for m in sent.json["messages"]] == [("system", "Be kind."), ("user", "Hello")]
        assert (await h.outcome()).status == "succeeded"


async def test_a_stream(house: MakeHouse, manner: str, upstream: str) -> None:
    script = own_stream(*said("Hel", "lo")) if upstream == "responses" else chat_stream(*said("Hel", "lo"))
    async with house(script, server=server_of(upstream)) as h:
        events = await events_of(h.sdk(manner))
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "Hello"
        assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
        assert [e.sequence_number for e in events] == list(range(len(events)))
        assert events[-1].response.output_text == "Hello"
        assert events[-1].response.usage.total_tokens == 8
        assert (await h.outcome()).usage is not None


async def test_the_streaming_helper(house: MakeHouse, manner: str, upstream: str) -> None:
    script = own_stream(*said("Hel", "lo")) if upstream == "responses" else chat_stream(*said("Hel", "lo"))
    async with house(script, server=server_of(upstream)) as h:
        events, final = await helped(h.sdk(manner))
        assert [e.snapshot for e in events if e.type == "response.output_text.delta"] == ["Hel", "Hello"]
        assert final.output_text == "Hello"


class City(pydantic.BaseModel):
    name: str
    country: str


async def test_structured_output(house: MakeHouse, manner: str, upstream: str) -> None:
    text = '{"name":"Paris","country":"France"}'
    body = answer(message(text)) if upstream == "responses" else chat_answer({"content": text})
    async with house(json_answer(body), server=server_of(upstream)) as h:
        found = await h.sdk(manner).ask("responses.parse", model="m", input="Hello", text_format=City)
        assert found.output_parsed == City(name="Paris", country="France")
        sent = h.upstream.requests[0].json
        form = sent["text"]["format"] if upstream == "responses" else sent["response_format"]
        assert form["type"] == "json_schema"
        assert "City" in json.dumps(form)


# ---------------------------------------------------------------------------------------------------- tools


async def test_a_round_trip_of_tools(house: MakeHouse, manner: str, upstream: str) -> None:
    call = {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": '{"city":"Paris"}',
    }
    if upstream == "responses":
        scripts = [json_answer(answer(call)), json_answer(answer(message("Sunny.")))]
    else:
        function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
        first = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        scripts = [json_answer(chat_answer(first, "tool_calls")), json_answer(chat_answer({"content": "Sunny."}))]
    async with house(*scripts, server=server_of(upstream)) as h:
        sdk = h.sdk(manner)
        given: list[Any] = [{"role": "user", "content": "Weather?"}]
        first_answer = await sdk.ask("responses.create", model="m", input=given, tools=[WEATHER], tool_choice="required")
        (asked,) = [item for item in first_answer.output if item.type == "function_call"]
        assert (asked.call_id, asked.name, json.loads(asked.arguments)) == ("call_1", "get_weather", {"city": "Paris"})
        given += [item.model_dump(exclude_none=True) for item in first_answer.output]
        given.append({"type": "function_call_output", "call_id": asked.call_id, "output": "sunny"})
        second = await sdk.ask("responses.create", model="m", input=given, tools=[WEATHER])
        assert second.output_text == "Sunny."
        sent = h.upstream.requests[1].json
        if upstream == "responses":
            assert [item.get("type") for item in sent["input"]] == [None, "function_call", "function_call_output"]
        else:
            assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "tool"]
            assert sent["messages"][2]["tool_call_id"] == "call_1"
            assert sent["tools"][0]["function"]["strict"] is True


async def test_a_call_is_streamed(house: MakeHouse, manner: str, upstream: str) -> None:
    start: list[Delta] = [Begin(id="resp_1", model="m", created=7), PartStart(index=0, part=ToolCall(id="call_1", name="get_weather"))]
    words: list[Delta] = [ArgumentsDelta(index=0, text='{"city":'), ArgumentsDelta(index=0, text='"Paris"}'), PartEnd(index=0)]
    deltas = [*start, *words, Finish(reason="tool_calls"), UsageDelta(usage=USAGE), Done()]
    async with house(own_stream(*deltas) if upstream == "responses" else chat_stream(*deltas), server=server_of(upstream)) as h:
        events, final = await helped(h.sdk(manner), tools=[WEATHER])
        assert [e.snapshot for e in events if e.type == "response.function_call_arguments.delta"][-1] == '{"city":"Paris"}'
        (call,) = final.output
        assert (call.call_id, call.parsed_arguments) == ("call_1", {"city": "Paris"})


async def test_a_tool_that_takes_free_text(house: MakeHouse, manner: str, upstream: str) -> None:
    if upstream == "responses":
        call = {"id": "ctc_1", "type": "custom_tool_call", "status": "completed", "call_id": "call_1", "name": "exec", "input": "ls"}
        script = json_answer(answer(call))
    else:
        custom = {"id": "call_1", "type": "custom", "custom": {"name": "exec", "input": "ls"}}
        script = json_answer(chat_answer({"content": None, "tool_calls": [custom]}, "tool_calls"))
    async with house(script, server=server_of(upstream)) as h:
        found = await h.sdk(manner).ask("responses.create", model="m", input="List", tools=[EXEC])
        (call_,) = [item for item in found.output if item.type == "custom_tool_call"]
        assert (call_.call_id, call_.name, call_.input) == ("call_1", "exec", "ls")


# ------------------------------------------------------------------------------------------------- thoughts


async def test_encrypted_thoughts_over_two_turns(house: MakeHouse, manner: str) -> None:
    thought = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"}
    async with house(json_answer(answer(thought, message("So."))), server=OWN) as h:
        sdk = h.sdk(manner)
        asked: dict[str, Any] = {"model": "m", "store": False, "include": ["reasoning.encrypted_content"]}
        first = await sdk.ask("responses.create", input="Hello", **asked)
        again = [*(item.model_dump(exclude_none=True) for item in first.output), {"role": "user", "content": "And?"}]
        await sdk.ask("responses.create", input=again, **asked)
        assert h.upstream.requests[1].json["input"][0] == thought


async def test_thoughts_of_another_dialect_over_two_turns(house: MakeHouse, manner: str) -> None:
    body = chat_answer({"reasoning_content": "Hm.", "content": "So."})
    async with house(json_answer(body)) as h:
        sdk = h.sdk(manner)
        first = await sdk.ask("responses.create", model="m", input="Hello")
        thought, words = first.output
        assert [part.text for part in thought.summary] == ["Hm."]
        assert words.content[0].text == "So."
        again = [*(item.model_dump(exclude_none=True) for item in first.output), {"role": "user", "content": "And?"}]
        await sdk.ask("responses.create", model="m", input=again)
        sent = h.upstream.requests[1].json["messages"][0]
        assert (sent["reasoning_content"], sent["content"]) == ("Hm.", "So.")


async def test_thoughts_are_streamed_as_a_summary(house: MakeHouse, manner: str) -> None:
    deltas: list[Delta] = [
        Begin(id="r", model="m", created=7), PartStart(index=0, part=Thinking()), ThinkingDelta(index=0, text="Hm."),
        SignatureDelta(index=0, signature=Signature(value="SIG", family="anthropic")), PartEnd(index=0),
        PartStart(index=1, part=Text(text="")), TextDelta(index=1, text="So."), PartEnd(index=1), Finish(reason="stop"), Done(),
    ]  # fmt: skip
    async with house(chat_stream(*deltas)) as h:
        events, final = await helped(h.sdk(manner))
        assert "".join(e.delta for e in events if e.type == "response.reasoning_summary_text.delta") == "Hm."
        assert final.output[0].encrypted_content == "jf1.anthropic.SIG"


async def test_tagged_thoughts_never_reach_an_upstream_of_the_same_dialect(house: MakeHouse, manner: str) -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_x",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "jf1.anthropic.SIG",
    }
    given = [{"role": "user", "content": "Hello"}, thought, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
    async with house(json_answer(answer(message("Hi"))), server=OWN) as h:
        assert (await h.sdk(manner).ask("responses.create", model="m", input=given)).output_text == "Hi"
        assert h.upstream.requests[0].json["input"] == [given[0], *given[2:]]


async def test_a_refused_signature_is_asked_for_once_more_without_it(house: MakeHouse, manner: str) -> None:
    thought = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "gAAA"}
    given = [{"role": "user", "content": "Hello"}, thought, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
    words = "The encrypted content gAAA could not be verified."
    refusal = json_answer({"error": {"message": words, "type": "invalid_request_error", "code": "invalid_encrypted_content"}}, status=400)
    async with house(refusal, json_answer(answer(message("Hi"))), server=OWN) as h:
        assert (await h.sdk(manner).ask("responses.create", model="m", input=given)).output_text == "Hi"
        assert [len(r.json["input"]) for r in h.upstream.requests] == [4, 3]


class Shouter:
    """A plugin that changes the words of every stream."""

    id = "shouter"

    def intercept_stream(self, call: Any, head: Any) -> Any:
        return lambda event: event.with_text(event.text.upper()) if event.text else None


async def test_words_that_a_plugin_changed_are_repeated_in_their_new_form(house: MakeHouse, manner: str, upstream: str) -> None:
    script = own_stream(*said("Hel", "lo")) if upstream == "responses" else chat_stream(*said("Hel", "lo"))
    async with house(script, server=server_of(upstream), plugins=[Shouter()]) as h:
        events, final = await helped(h.sdk(manner))
        assert final.output_text == "HELLO"
        assert [e.text for e in events if e.type == "response.output_text.done"] == ["HELLO"]


# ----------------------------------------------------------------------------- what an upstream keeps, and counts


async def test_stored_answers_are_fetched_listed_cancelled_and_deleted(house: MakeHouse, manner: str) -> None:
    items = {"object": "list", "data": [{"id": "msg_0", "type": "message", "role": "user", "status": "completed", "content": []}],
             "first_id": "msg_0", "last_id": "msg_0", "has_more": False}  # fmt: skip
    gone = {"id": "resp_1", "object": "response.deleted", "deleted": True}
    scripts = [json_answer(answer(message("Hi"))), json_answer(answer(message("Hi"))), json_answer(items)]
    scripts += [json_answer(answer(status="cancelled")), json_answer(gone)]
    server = {**OWN, "models": ["m"]}
    async with house(*scripts, server=server) as h:
        sdk = h.sdk(manner)
        made = await sdk.ask("responses.create", model="m", input="Hello", store=True)
        assert (await sdk.ask("responses.retrieve", made.id)).output_text == "Hi"
        page = await sdk.ask("responses.input_items.list", made.id, limit=5)
        assert page.data[0].id == "msg_0"
        assert (await sdk.ask("responses.cancel", made.id)).status == "cancelled"
        await sdk.ask("responses.delete", made.id)
        assert [(r.method, r.target) for r in h.upstream.requests[1:]] == [
            ("GET", "/v1/responses/resp_1"), ("GET", "/v1/responses/resp_1/input_items?limit=5"),
            ("POST", "/v1/responses/resp_1/cancel"), ("DELETE", "/v1/responses/resp_1"),
        ]  # fmt: skip


async def test_an_answer_goes_on_from_a_stored_one(house: MakeHouse, manner: str) -> None:
    async with house(json_answer(answer(message("Hi"), previous_response_id="resp_0")), server=OWN) as h:
        found = await h.sdk(manner).ask("responses.create", model="m", input="And?", previous_response_id="resp_0")
        assert found.previous_response_id == "resp_0"
        assert h.upstream.requests[0].json["previous_response_id"] == "resp_0"


async def test_a_stored_answer_is_never_ignored_where_the_upstream_has_no_such_store(house: MakeHouse, manner: str) -> None:
    async with house(json_answer(chat_answer({"content": "x"}))) as h:
        with pytest.raises(openai.BadRequestError) as fault:
            await h.sdk(manner).ask("responses.create", model="m", input="And?", previous_response_id="resp_0")
        assert fault.value.code == "previous_response_not_stored"
        assert not h.upstream.requests


async def test_tokens_are_counted(house: MakeHouse, manner: str) -> None:
    async with house(json_answer({"object": "response.input_tokens", "input_tokens": 42}), server=OWN) as h:
        found = await h.sdk(manner).ask("responses.input_tokens.count", model="m", input="Hello")
        assert (found.input_tokens, found.object) == (42, "response.input_tokens")
        assert h.upstream.requests[0].target == "/v1/responses/input_tokens"


async def test_a_conversation_is_compacted(house: MakeHouse, manner: str) -> None:
    body = {"id": "resp_c", "object": "response.compaction", "created_at": 7, "usage": answer()["usage"],
            "output": [{"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAA"}]}  # fmt: skip
    async with house(json_answer(body), server=OWN) as h:
        found = await h.sdk(manner).ask("responses.compact", model="m", input="Hello")
        assert found.output[0].encrypted_content == "gAAA"
        assert h.upstream.requests[0].target == "/v1/responses/compact"


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (404, openai.NotFoundError), (422, openai.UnprocessableEntityError), (429, openai.RateLimitError)],
)
async def test_errors_are_of_the_right_class(
    house: MakeHouse, manner: str, upstream: str, status: int, kind: type[openai.APIStatusError]
) -> None:
    body = {"error": {"message": "words of the upstream", "type": "invalid_request_error", "param": "x", "code": "c"}}
    async with house(json_answer(body, status=status), server=server_of(upstream)) as h:
        with pytest.raises(kind) as fault:
            await h.sdk(manner).ask("responses.create", model="m", input="Hello")
        assert fault.value.status_code == status


@pytest.mark.parametrize(("asked", "param"), [({"input": [{"role": "owner", "content": "x"}]}, "input[0].role"), ({"input": 5}, "input")])
async def test_a_bad_field_is_named(house: MakeHouse, manner: str, asked: dict[str, Any], param: str) -> None:
    async with house(json_answer(chat_answer({"content": "x"}))) as h:
        with pytest.raises(openai.BadRequestError) as fault:
            await h.sdk(manner).ask("responses.create", **{"model": "m", **asked})
        assert fault.value.param == param
        assert not h.upstream.requests


async def test_an_error_within_the_stream_is_raised(house: MakeHouse, manner: str, upstream: str) -> None:
    error = StreamError(error=Error(status=429, message="slow down", code="rate_limit_exceeded"))
    deltas: list[Delta] = [*said("Hel")[:3], error]
    async with house(own_stream(*deltas) if upstream == "responses" else chat_stream(*deltas), server=server_of(upstream)) as h:
        with pytest.raises(openai.APIError, match=r"the provider's stream ended with an error \(rate\)"):
            await events_of(h.sdk(manner))
        outcome = await h.outcome()
        assert (outcome.status, outcome.cause) == ("failed", "rate")
        assert "slow down" in str(outcome.explain()["attempts"])


async def test_a_stream_that_breaks_off_is_an_error(house: MakeHouse, manner: str, upstream: str) -> None:
    events: Sequence[Event]
    if upstream == "responses":
        events = encoded(said("Hel", "lo"))[:5]
    else:
        encoder = ChatDialect().encode_stream(Asked, [])
        events = [event for delta in said("Hel", "lo")[:4] for event in encoder.feed([delta])]
    async with house(sse_answer([event.raw for event in events], end=False), server=server_of(upstream)) as h:
        with pytest.raises(openai.APIError):
            await events_of(h.sdk(manner))
        assert (await h.outcome()).status == "failed"


async def test_a_client_that_leaves_ends_the_upstreams_work(house: MakeHouse) -> None:
    left = asyncio.Event()

    async def endless(received: Received, wire: Wire) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for event in encoded(said("Hello"))[:5]:
                yield event.raw
            await wire.gone.wait()
            left.set()

        await sse_answer(pieces(), end=False)(received, wire)

    async with house(endless, server=OWN) as h:
        stream = await h.sdk().ask("responses.create", model="m", input="Hello", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        await asyncio.wait_for(left.wait(), 10)
        assert (await h.outcome()).status == "canceled"


# ----------------------------------------------------------------------------------------- dialects per model


async def test_a_models_dialect_can_be_named(house: MakeHouse, manner: str) -> None:
    server = {"models": ["m", {"name": "n", "dialect": "openai.responses"}]}
    async with house(json_answer(chat_answer({"content": "chat"})), json_answer(answer(message("responses"))), server=server) as h:
        sdk = h.sdk(manner)
        assert (await sdk.chat("m")).choices[0].message.content == "chat"
        assert (await sdk.chat("n")).choices[0].message.content == "responses"
        assert [r.target for r in h.upstream.requests] == ["/v1/chat/completions", "/v1/responses"]
        assert h.upstream.requests[1].json["store"] is False


async def test_models_of_a_server_of_responses_alone_are_discovered(house: MakeHouse, manner: str) -> None:
    listing = {"object": "list", "data": [{"id": "found", "object": "model", "created": 1, "owned_by": "x"}]}
    server = {**OWN, "models": "discover"}
    async with house(json_answer(listing), json_answer(answer(message("Hi"))), server=server) as h:
        sdk = h.sdk(manner)
        names = [model.id for model in (await sdk.ask("models.list")).data]
        assert "found" in names
        assert (await sdk.ask("responses.create", model="found", input="x")).output_text == "Hi"


# ------------------------------------------------------------------------------------- the older completions


async def test_an_older_completion(house: MakeHouse, manner: str) -> None:
    choice = {"text": " world", "index": 0, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m", "choices": [choice]}
    async with house(json_answer(body), server={"dialects": ["openai.completions"]}) as h:
        found = await h.sdk(manner).ask("completions.create", model="m", prompt="Hello,")
        assert (found.choices[0].text, found.object) == (" world", "text_completion")
        assert (h.upstream.requests[0].target, h.upstream.requests[0].json) == ("/v1/completions", {"model": "m", "prompt": "Hello,"})


async def test_an_older_completion_of_a_model_that_only_chats(house: MakeHouse, manner: str) -> None:
    async with house(json_answer(chat_answer({"content": " world"})), chat_stream(*said("Hel", "lo"))) as h:
        sdk = h.sdk(manner)
        found = await sdk.ask("completions.create", model="m", prompt="Hello,")
        assert (found.choices[0].text, found.choices[0].finish_reason) == (" world", "stop")
        assert h.upstream.requests[0].json["messages"] == [{"role": "user", "content": "Hello,"}]
        stream = await sdk.ask("completions.create", model="m", prompt="Hello,", stream=True)
        if isinstance(sdk.client, openai.AsyncOpenAI):
            chunks = [chunk async for chunk in stream]
        else:
            chunks = await asyncio.to_thread(list, stream)
        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Hello"
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
