"""When all credentials rest each client is told so in its own words; and what only begins an answer is held back until it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from jackfield.api import Attempt, CallError, Failure, Provider, Reply, failure
from jackfield.api.testing import Answer, Harness, Script, ScriptedUpstream, sse_answer
from tests.virtual_time import Clock, in_virtual_time

HELLO = [{"role": "user", "content": "Hello"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai.chat": ("/v1/chat/completions", {"model": "m", "messages": HELLO}),
    "openai.responses": ("/v1/responses", {"model": "m", "input": "Hello"}),
    "openai.completions": ("/v1/completions", {"model": "m", "prompt": "Hello"}),
    "anthropic.messages": ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": HELLO}),
    "gemini.generate": ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
}
KEYS = [{"provider": "acme", "key": f"key {n}", "id": str(n)} for n in range(3)]


class Limited(Provider):
    """Every attempt fails, by credential."""

    key, models = "acme", ("m",)

    def __init__(self, *failures: Failure) -> None:
        self._failures = failures

    async def execute(self, attempt: Attempt) -> Reply:
        raise CallError(self._failures[int(attempt.candidate.credential)])


class Plugin:
    def __init__(self, provider: Provider) -> None:
        self.register_providers = lambda: [provider]


async def resting(clock: Clock, dialect: str, *failures: Failure, stream: bool = False, **attempts: Any) -> Answer:
    """Return what a client is told when all of its host's credentials rest for these failures."""
    given = {"credentials": KEYS[: len(failures)], "attempts": {"wait": 0, **attempts}}
    async with Harness([Plugin(Limited(*failures))], given) as host:
        path, body = CALLS[dialect]
        await host.post(path, body)
        if stream:
            path, body = path.replace(":generate", ":streamGenerate"), body if ":" in path else {**body, "stream": True}
        return await host.post(path, body)


BUSY = [failure("rate", "limited", retry_after=30), failure("rate", "limited", retry_after=30), failure("quota", "spent", retry_after=900)]
FAILING = [failure("overload", "busy", retry_after=30), failure("rate", "limited", retry_after=60)]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("dialect", CALLS)
@in_virtual_time
async def test_limits_are_told_as_a_limit(clock: Clock, dialect: str, stream: bool) -> None:
    answer = await resting(clock, dialect, *BUSY, stream=stream)
    assert (answer.status, answer.headers.get("retry-after")) == (429, "30")
    message, kind = told(dialect, answer)
    assert "all 3 credentials for 'm' are resting: 2 rate-limited until " in message
    assert ", 1 quota used up until " in message
    assert kind in ("rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("dialect", CALLS)
@in_virtual_time
async def test_anything_else_is_told_as_an_overload(clock: Clock, dialect: str) -> None:
    answer = await resting(clock, dialect, *FAILING)
    assert (answer.status, answer.headers.get("retry-after")) == (503, "30")
    message, kind = told(dialect, answer)
    assert "all 2 credentials for 'm' are resting: 1 rate-limited until " in message
    assert ", 1 overloaded until " in message
    assert kind in ("server_error", "overloaded_error", "UNAVAILABLE", "api_error", "service_unavailable_error")


@pytest.mark.parametrize("dialect", CALLS)
@in_virtual_time
async def test_the_operator_chooses_another_status(clock: Clock, dialect: str) -> None:
    answer = await resting(clock, dialect, *FAILING, all_unavailable_status=500)
    assert (answer.status, answer.headers.get("retry-after")) == (500, "30")
    assert "are resting" in told(dialect, answer)[0]


def told(dialect: str, answer: Answer) -> tuple[str, str]:
    """Return an error's message and kind, where the clients of a dialect look for them."""
    said = answer.json
    if dialect.startswith("gemini"):
        said = said[0] if isinstance(said, list) else said
        assert said["error"]["code"] == answer.status
        return said["error"]["message"], said["error"]["status"]
    assert said.get("type") == ("error" if dialect.startswith("anthropic") else None)
    return said["error"]["message"], said["error"]["type"]


# ------------------------------------------------------------------------------------- the beginning of a stream


def chat(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event("", {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def event(name: str, said: Any) -> bytes:
    data = said if isinstance(said, bytes) else msgspec.json.encode(said)
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


def messages(kind: str, **said: Any) -> bytes:
    return event(kind, {"type": kind, **said})


def responses(kind: str, n: int, **said: Any) -> bytes:
    return event(kind, {"type": kind, "sequence_number": n, **said})


def shown(status: str, output: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": list(output), **more}


STARTED = messages(
    "message_start",
    message={
        "id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
)  # fmt: skip
PART = {"type": "output_text", "text": "", "annotations": []}
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
SAID = {**ITEM, "status": "completed", "content": [{**PART, "text": "Hi"}]}

OPENINGS: dict[str, list[bytes]] = {
    "openai.chat": [chat({"role": "assistant", "content": ""})],
    "anthropic.messages": [STARTED, messages("ping")],
    "openai.responses": [
        responses("response.created", 0, response=shown("in_progress")),
        responses("response.in_progress", 1, response=shown("in_progress")),
    ],
}
ERRORS: dict[str, bytes] = {
    "openai.chat": event("", {"error": {"message": "busy", "type": "server_error", "code": 503}}),
    "anthropic.messages": messages("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    "openai.responses": responses(
        "response.failed", 2, response=shown("failed", error={"code": "server_error", "message": "The server is overloaded"})
    ),
}
GOOD: dict[str, list[bytes]] = {
    "openai.chat": [*OPENINGS["openai.chat"], chat({"content": "Hi"}), chat({}, "stop"), event("", b"[DONE]")],
    "anthropic.messages": [
        *OPENINGS["anthropic.messages"],
        messages("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        messages("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
        messages("content_block_stop", index=0),
        messages("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}),
        messages("message_stop"),
    ],
    "openai.responses": [
        *OPENINGS["openai.responses"],
        responses("response.output_item.added", 2, output_index=0, item=ITEM),
        responses("response.content_part.added", 3, item_id="msg_1", output_index=0, content_index=0, part=PART),
        responses("response.output_text.delta", 4, item_id="msg_1", output_index=0, content_index=0, delta="Hi"),
        responses("response.output_text.done", 5, item_id="msg_1", output_index=0, content_index=0, text="Hi"),
        responses("response.content_part.done", 6, item_id="msg_1", output_index=0, content_index=0, part={**PART, "text": "Hi"}),
        responses("response.output_item.done", 7, output_index=0, item=SAID),
        responses("response.completed", 8, response=shown("completed", [SAID])),
    ],
}


class Acme:
    """A provider that speaks one dialect."""

    def __init__(self, url: str, dialect: str) -> None:
        self._url, self._dialect = url, dialect

    def register_providers(self) -> list[Any]:
        from jackfield.api import Bearer, HttpProvider

        return [HttpProvider(key="acme", dialects=[self._dialect], base_url=self._url, auth=Bearer(), models=["m"])]


async def streamed(dialect: str, *scripts: Script, **attempts: Any) -> tuple[Answer, int]:
    """Ask for a stream; return it, and how many requests the upstream got."""
    given = {"credentials": KEYS[:2], "attempts": {"wait": 0, **attempts}}
    path, body = CALLS[dialect]
    async with ScriptedUpstream(*scripts) as upstream, Harness([Acme(upstream.url, dialect)], given) as host:
        answer = await host.post(path, {**body, "stream": True})
        assert {account.in_flight for account in host.host.generation.accounts} == {0}
    return answer, len(upstream.requests)


@pytest.mark.parametrize("dialect", OPENINGS)
@in_virtual_time
async def test_an_error_after_what_only_begins_an_answer_is_met_with_another_credential(clock: Clock, dialect: str) -> None:
    failing = sse_answer([*OPENINGS[dialect], ERRORS[dialect]])
    answer, asked = await streamed(dialect, failing, sse_answer(GOOD[dialect]))
    assert (answer.status, asked) == (200, 2)
    assert answer.body == b"".join(GOOD[dialect])


@pytest.mark.parametrize("opened", [0, 1])
@pytest.mark.parametrize("dialect", OPENINGS)
@in_virtual_time
async def test_so_is_a_stream_that_ends_before_it_said_anything(clock: Clock, dialect: str, opened: int) -> None:
    answer, asked = await streamed(dialect, sse_answer(OPENINGS[dialect][:opened]), sse_answer(GOOD[dialect]))
    assert (answer.status, asked, answer.body) == (200, 2, b"".join(GOOD[dialect]))


@pytest.mark.parametrize("dialect", OPENINGS)
@in_virtual_time
async def test_and_one_that_breaks_off_there(clock: Clock, dialect: str) -> None:
    answer, asked = await streamed(dialect, sse_answer(OPENINGS[dialect], end=False), sse_answer(GOOD[dialect]))
    assert (answer.status, asked, answer.body) == (200, 2, b"".join(GOOD[dialect]))


@pytest.mark.parametrize("dialect", OPENINGS)
@in_virtual_time
async def test_it_is_held_back_no_longer_than_is_set(clock: Clock, dialect: str) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for piece in OPENINGS[dialect]:
            yield piece
        await asyncio.sleep(60)
        yield ERRORS[dialect]

    path, body = CALLS[dialect]
    given = {"credentials": KEYS[:2], "attempts": {"wait": 0, "hold": "2s"}}
    async with ScriptedUpstream(sse_answer(slow())) as upstream, Harness([Acme(upstream.url, dialect)], given) as host:
        began = clock.steady
        async with host.open("POST", path, {**body, "stream": True}) as response:
            opening = await response.content.readany()
            assert clock.steady - began == pytest.approx(2, abs=0.1)
            whole = opening + await response.content.read()
    assert len(upstream.requests) == 1
    assert whole.startswith(b"".join(OPENINGS[dialect]))
    assert any(word in whole for word in (b'"error"', b"response.failed"))
