"""What goes over the wires when OpenAI's SDK calls: what the upstream gets, what comes back, and what happens when somebody leaves."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from typing import Any

import msgspec
import openai
import pytest

from jackfield.api.testing import Received, Script, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import ACME_KEY, HELLO, WAIT, House, MakeHouse

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
SHOWN = {
    "x-request-id": "r-1",
    "openai-processing-ms": "12",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "99",
    "x-ratelimit-reset-requests": "6m0s",
    "x-ratelimit-limit-tokens": "1000",
    "x-ratelimit-remaining-tokens": "999",
    "x-ratelimit-reset-tokens": "1s",
    "retry-after": "3",
}
HIDDEN = {"set-cookie": "a=b", "openai-organization": "org-of-acme", "server": "acme", "via": "1.1 x", "alt-svc": "h3", "x-secret": "s"}


def chunk(text: str, finish: str | None = None) -> bytes:
    said = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return (
        b"data: " + msgspec.json.encode({**said, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}) + b"\n\n"
    )


DONE = b"data: [DONE]\n\n"


# --------------------------------------------------------------------------------------- to the upstream


async def test_the_upstream_gets_the_body_and_nothing_of_the_client(house: MakeHouse, manner: str) -> None:
    async with house(json_answer(ANSWER)) as h:
        headers = {
            "Idempotency-Key": "i-1",
            "OpenAI-Beta": "assistants=v2",
            "X-Client-Request-Id": "mine",
            "OpenAI-Organization": "org-of-the-client",
            "OpenAI-Project": "proj-of-the-client",
            "Cookie": "session=1",
            "X-Api-Key": "jf-another-key",
            "X-Custom": "whatever",
            "Accept-Language": "de",
        }
        await h.sdk(manner, api_key="jf-key-of-the-client").chat(
            "m", extra_headers=headers, temperature=1.10, extra_query={"tracking": "1"}
        )
        (sent,) = h.upstream.requests
        assert (sent.method, sent.target) == ("POST", "/v1/chat/completions")
        assert {name.lower() for name, _ in sent.headers} == {
            "host", "user-agent", "accept", "accept-encoding", "authorization", "content-type", "content-length",
            "idempotency-key", "openai-beta", "x-client-request-id",
        }  # fmt: skip
        assert sent.headers["authorization"] == f"Bearer {ACME_KEY}"
        assert sent.headers["content-type"] == "application/json"
        assert sent.headers["user-agent"].startswith("jackfield/")
        assert (sent.headers["idempotency-key"], sent.headers["x-client-request-id"]) == ("i-1", "mine")
        assert sent.json == {"model": "m", "messages": HELLO, "temperature": 1.1}


ODD_BODIES = [
    b'{"model":"m","messages":[{"role":"user","content":"\\u00e9\\/\xc3\xa9"}],"temperature":1.10,"seed":1e2}',
    b' {\n "stream" : false ,\t"messages":[] , "model" : "m" }\r\n',
    b'{"model":"m","big":123456789012345678901234567890,"tiny":1e-400,"messages":[],"x":{"model":"other","stream":true}}',
    b'{"messages":[{"role":"user","content":"' + b"a" * 300_000 + b'"}],"model":"m"}',
]


@pytest.mark.parametrize("body", ODD_BODIES, ids=["escapes", "spaces", "numbers", "large"])
async def test_a_body_reaches_the_upstream_byte_for_byte(house: MakeHouse, body: bytes) -> None:
    async with house(json_answer(ANSWER)) as h:
        assert (await h.host.post("/v1/chat/completions", body)).status == 200
        assert h.upstream.requests[0].body == body
        assert (await h.outcome()).fidelity == "bytes"


@pytest.mark.parametrize("body", ODD_BODIES, ids=["escapes", "spaces", "numbers", "large"])
async def test_a_renamed_model_changes_its_name_alone(house: MakeHouse, body: bytes) -> None:
    async with house(json_answer(ANSWER), config={"models": {"aliases": {"alias": "acme://m"}}}) as h:
        named = body.replace(b'"model":"m"', b'"model":"alias"').replace(b'"model" : "m"', b'"model" : "alias"')
        answer = await h.host.post("/v1/chat/completions", named)
        assert h.upstream.requests[0].body == body
        assert answer.json == {**ANSWER, "model": "alias"}
        assert (await h.outcome()).fidelity == "edited"


# ------------------------------------------------------------------------------------- from the upstream


def in_chunks(body: bytes, size: int, headers: dict[str, str]) -> Script:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return sse_answer(pieces, headers={**headers, "Content-Type": "application/json"})


WHOLE = json.dumps({**ANSWER, "cost": 1.10, "note": "\u00e9"}, indent=2, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    "script",
    [json_answer(WHOLE), in_chunks(WHOLE, 7, {}), json_answer(gzip.compress(WHOLE), headers={"Content-Encoding": "gzip"})],
    ids=["sized", "chunked", "packed"],
)
async def test_a_whole_answer_comes_back_byte_for_byte(house: MakeHouse, script: Script) -> None:
    async with house(script) as h:
        answer = await h.host.post("/v1/chat/completions", {"model": "m", "messages": []})
        assert answer.body == WHOLE
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers.get("content-encoding") is None


STREAM = b"".join(
    (
        b": a comment\n\n",
        chunk("Hi"),
        b'id: 7\nevent: message\ndata:{"choices":[{"index":0,"delta":{"content":" 1.10"}}],"x":1.10}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n',
        chunk("", "stop"),
        DONE,
    )
)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
async def test_a_stream_comes_back_byte_for_byte(house: MakeHouse, size: int, ends: bytes) -> None:
    stream = STREAM.replace(b"\n", ends)
    async with house(sse_answer([stream[at : at + size] for at in range(0, len(stream), size)])) as h:
        answer = await h.host.post("/v1/chat/completions", {"model": "m", "messages": [], "stream": True})
        assert answer.body == stream
        assert answer.headers["content-type"].startswith("text/event-stream")
        usage = (await h.outcome()).usage
        assert usage is not None
        assert (usage.input, usage.output) == (3, 2)


@pytest.mark.parametrize("usage", [False, True])
async def test_a_whole_answer_to_a_call_for_a_stream_is_streamed(house: MakeHouse, manner: str, usage: bool) -> None:
    call = {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.10}'}}
    message = {"role": "assistant", "content": "Hi", "tool_calls": [call, {**call, "id": "t-2"}]}
    answer = {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    async with house(json_answer(answer)) as h:
        chunks = await h.sdk(manner).chunks(model="m", **({"stream_options": {"include_usage": True}} if usage else {}))
        deltas = [choice.delta for one in chunks for choice in one.choices]
        assert "".join(delta.content or "" for delta in deltas) == "Hi"
        called = [tool for delta in deltas for tool in delta.tool_calls or ()]
        assert [tool.id for tool in called if tool.id] == ["t-1", "t-2"]
        assert "".join(tool.function.arguments or "" for tool in called if tool.index == 1) == '{"a": 1.10}'
        assert [c.finish_reason for one in chunks for c in one.choices][-1] == "tool_calls"
        assert [one.usage.total_tokens for one in chunks if one.usage] == ([4] if usage else [])
        assert {one.id for one in chunks} == {"chatcmpl-1"}


async def test_a_stream_to_a_call_for_a_whole_answer_is_put_together(house: MakeHouse, manner: str) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    async with house(sse_answer([chunk("Hi"), chunk(" there", "stop"), usage, DONE])) as h:
        said = await h.sdk(manner).chat("m")
        assert (said.id, said.object, said.model) == ("c-1", "chat.completion", "m")
        assert (said.choices[0].message.content, said.choices[0].finish_reason) == ("Hi there", "stop")
        assert said.usage.total_tokens == 5
        outcome = await h.outcome()
        assert (outcome.status, outcome.usage and outcome.usage.output) == ("succeeded", 2)
    async with house(sse_answer([chunk("Hi")])) as h:
        with pytest.raises(openai.InternalServerError, match="broke off"):
            await h.sdk(manner).chat("m")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_headers_that_programs_read_come_through(house: MakeHouse, manner: str, stream: bool) -> None:
    told = {**SHOWN, **HIDDEN}
    script = sse_answer([chunk("Hi", "stop"), DONE], headers=told) if stream else json_answer(ANSWER, headers=told)
    async with house(script) as h:
        raw = await h.sdk(manner).ask("chat.completions.with_raw_response.create", model="m", messages=HELLO, stream=stream)
        assert {name: raw.headers.get(name) for name in SHOWN} == SHOWN
        assert {name for name in HIDDEN if raw.headers.get(name) == HIDDEN[name]} == set()
        parsed = raw.parse()
        if not stream:
            assert parsed._request_id == "r-1"
        elif manner == "async":
            assert [c.choices[0].delta.content async for c in parsed] == ["Hi"]
        else:
            assert [c.choices[0].delta.content for c in await asyncio.to_thread(list, parsed)] == ["Hi"]


async def test_embeddings_pass_as_they_are(house: MakeHouse, manner: str) -> None:
    packed = "AACAPwAAAEAAAEBA"  # 1.0, 2.0, 3.0
    said = {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": packed}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    async with house(json_answer(said)) as h:
        answer = await h.sdk(manner).ask("embeddings.create", model="m", input=["one"], dimensions=3)
        assert answer.data[0].embedding == [1.0, 2.0, 3.0]
        assert h.upstream.requests[0].target == "/v1/embeddings"
        outcome = await h.outcome()
        assert outcome.usage is not None
        assert (outcome.usage.input, outcome.fidelity) == (2, "bytes")


async def test_a_stream_of_a_renamed_model_differs_in_its_name_alone(house: MakeHouse) -> None:
    said = (
        b": a comment\n\n",
        b'data: {"choices":[],"model":"","prompt_filter_results":[]}\n\n',
        b'id: 7\ndata:{"id":"c","model" : "m","choices":[{"index":0,"delta":{"content":"a \\"model\\":\\"m\\""}}],"cost":1.10}\r\n\r\n',
        *2 * (b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"twice"}}]}\n\n',),
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"model":"m-dated","x":{"model":"m"},"y":[{"model":"m"}]}\n\n',
        DONE,
    )
    heard = b"".join(said).replace(b'"model":""', b'"model":"alias"').replace(b'"model" : "m"', b'"model" : "alias"')
    heard = heard.replace(b'{"model":"m","choices"', b'{"model":"alias","choices"').replace(b'"m-dated"', b'"alias"')
    async with house(sse_answer(said), config={"models": {"aliases": {"alias": "acme://m"}}}) as h:
        assert (await h.host.post("/v1/chat/completions", {"model": "alias", "messages": [], "stream": True})).body == heard


# ------------------------------------------------------------------------------------------- in between


async def test_events_arrive_as_they_are_sent(house: MakeHouse) -> None:
    more = asyncio.Event()

    async def pieces() -> Any:
        yield chunk("one")
        await asyncio.wait_for(more.wait(), WAIT)
        yield chunk("two", "stop") + DONE

    async with house(sse_answer(pieces())) as h:
        stream = await h.sdk().chat("m", stream=True)
        heard = []
        async for said in stream:
            heard.append(said.choices[0].delta.content)
            more.set()  # only now does the second event exist
        assert heard == ["one", "two"]


async def until_gone(received: Received, wire: Wire) -> None:
    await wire.gone.wait()


def starting(*pieces: bytes) -> Script:
    """Begin a stream and wait for the client to leave."""

    async def script(received: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await wire.gone.wait()

    return script


async def assert_canceled(h: House, status: int) -> None:
    await h.until(lambda: h.upstream.open == 0)
    outcome = await h.outcome()
    assert (outcome.status, outcome.http_status) == ("canceled", status)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_time_out_of_the_client_ends_the_call_upstream(house: MakeHouse, manner: str, stream: bool) -> None:
    async with house(until_gone) as h:
        with pytest.raises(openai.APITimeoutError):
            await h.sdk(manner, timeout=0.3).chat("m", stream=stream)
        await assert_canceled(h, 0)
        assert len(h.upstream.requests) == 1


async def test_a_call_that_is_cancelled_ends_upstream(house: MakeHouse) -> None:
    async with house(until_gone) as h:
        task = asyncio.create_task(h.sdk().chat("m"))
        await h.until(lambda: len(h.upstream.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await assert_canceled(h, 0)


async def test_a_stream_that_is_left_ends_upstream(house: MakeHouse) -> None:
    async with house(starting(chunk("one"), chunk("two"))) as h:
        stream = await h.sdk().chat("m", stream=True)
        assert (await anext(aiter(stream))).choices[0].delta.content == "one"
        await stream.close()
        await assert_canceled(h, 200)


async def test_a_stream_that_is_left_in_a_thread_ends_upstream(house: MakeHouse) -> None:
    async with house(starting(chunk("one"))) as h:
        sdk = h.sdk("sync")

        def read_one() -> str | None:
            with sdk.client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
                return next(iter(stream)).choices[0].delta.content  # type: ignore[no-any-return]

        assert await asyncio.to_thread(read_one) == "one"
        await assert_canceled(h, 200)


async def test_a_client_that_waits_too_long_for_the_next_event_ends_the_call_upstream(house: MakeHouse, manner: str) -> None:
    async with house(starting(chunk("one"))) as h:
        with pytest.raises(openai.APITimeoutError):
            await h.sdk(manner, timeout=0.3).chunks(model="m")
        await assert_canceled(h, 200)


async def test_a_quiet_upstream_is_given_up_in_the_middle_of_a_stream(house: MakeHouse) -> None:
    async with house(starting(chunk("one")), server={"timeouts": {"idle": 0.2}}) as h:
        with pytest.raises(openai.APIError, match="idle"):
            await h.sdk().chunks(model="m")
        await h.until(lambda: h.upstream.open == 0)
        assert (await h.outcome()).status == "failed"


async def test_many_clients_at_once_get_each_their_own(house: MakeHouse) -> None:
    async def repeat(received: Received, wire: Wire) -> None:
        text = received.json["messages"][0]["content"]
        script = sse_answer([chunk(text), chunk("", "stop") + DONE]) if received.json.get("stream") else json_answer({**ANSWER, "id": text})
        await script(received, wire)

    async with house(repeat) as h:
        sdk, heard = h.sdk(), {}

        async def ask(number: int) -> None:
            messages = [{"role": "user", "content": f"word {number}"}]
            if number % 2:
                heard[number] = (await sdk.chunks(model="m", messages=messages))[0].choices[0].delta.content
            else:
                heard[number] = (await sdk.chat("m", messages=messages)).id

        await asyncio.gather(*map(ask, range(60)))
        assert heard == {number: f"word {number}" for number in range(60)}


async def test_both_clients_share_the_host(house: MakeHouse) -> None:
    async with house() as h:
        blocking, ready = h.sdk("sync"), threading.Barrier(4)

        def ask() -> str | None:
            ready.wait(WAIT)
            return blocking.client.chat.completions.create(model="sim/echo", messages=HELLO).choices[0].message.content  # type: ignore[no-any-return]

        others = [asyncio.to_thread(ask) for _ in range(4)]
        assert set(await asyncio.gather(*others)) == {"Hello, big world"}
