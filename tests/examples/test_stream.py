"""Addresses that are taken out of streams: what clients of each dialect read, in whatever pieces the upstream speaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, configured
from tests.examples.conftest import Example
from tests.upstreams.scenario import Scenario, ToolCall
from tests.upstreams.server import upstream

Ready = Callable[[str], Example]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "openai.chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "openai.responses": ("/v1/responses", {"input": "hi"}),
    "anthropic.messages": ("/v1/messages", {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}),
    "gemini.generate": ("", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
}


async def stream(host: Harness, dialect: str, **more: Any) -> list[dict[str, Any]]:
    """Return the events that a client of a dialect gets."""
    model = UPSTREAMS[dialect]
    path, body = ASKED[dialect]
    path = path or f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    named = {} if dialect == "gemini.generate" else {"model": model, "stream": True}
    answer = await host.post(path, {**named, **body, **more})
    assert answer.status == 200, answer.body
    lines = [line.removeprefix("data: ") for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def words(event: dict[str, Any]) -> str:
    """Return the words that an event adds, whichever dialect it is of."""
    if "candidates" in event:
        return "".join(part.get("text", "") for part in event["candidates"][0].get("content", {}).get("parts", ()))
    if event.get("type") == "response.output_text.delta":
        return str(event["delta"])
    if event.get("type") == "content_block_delta":
        return str(event["delta"].get("text", ""))
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


def pieces(text: str, size: int) -> Sequence[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("dialect", UPSTREAMS)
@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_addresses_are_taken_out_in_whatever_pieces_they_come(example: Ready, dialect: str, size: int) -> None:
    said = "Write to ann.lee+x@mail.example.com, or to bob@example.org. Not to @carol or d@e. At last: eve@example.net"
    redact = example("stream_go")
    async with upstream(dialect, Scenario(text=pieces(said, size))) as provider:
        config = redact.config(configured(dialect, provider.url, UPSTREAMS[dialect], UPSTREAMS[dialect], dialect))
        async with Harness(config=config) as host:
            events = await stream(host, dialect)
    assert "".join(map(words, events)) == "Write to [address], or to [address]. Not to @carol or d@e. At last: [address]"
    assert "example" not in json.dumps(events).replace("example.com/", ""), "nor where a dialect says it all again"


@pytest.mark.parametrize("dialect", UPSTREAMS)
async def test_what_is_held_back_leaves_before_a_tool_is_called(example: Ready, dialect: str) -> None:
    script = Scenario(text=["I ask ", "bob@exam", "ple.org"], tool_calls=[ToolCall(name="clock", arguments={"zone": "UTC"})])
    tools: dict[str, Any] = {
        "openai.chat": {"tools": [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}]},
        "openai.responses": {"tools": [{"type": "function", "name": "clock", "parameters": {"type": "object"}}]},
        "anthropic.messages": {"tools": [{"name": "clock", "input_schema": {"type": "object"}}]},
        "gemini.generate": {"tools": [{"functionDeclarations": [{"name": "clock", "parameters": {"type": "object"}}]}]},
    }
    redact = example("stream_go")
    async with upstream(dialect, script) as provider:
        config = redact.config(configured(dialect, provider.url, UPSTREAMS[dialect], UPSTREAMS[dialect], dialect))
        async with Harness(config=config) as host:
            events = await stream(host, dialect, **tools[dialect])
    assert "".join(map(words, events)) == "I ask [address]"
    assert "UTC" in json.dumps(events), "and the call is whole"


async def test_while_the_plugin_is_away_no_stream_passes_unread_and_then_it_is_back(example: Ready) -> None:
    redact, dialect = example("stream_go"), "openai.chat"
    model, body = UPSTREAMS[dialect], {"stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with upstream(dialect, Scenario(text="It is eve@example.net")) as provider:
        config = redact.config(configured(dialect, provider.url, model, model, dialect))
        async with Harness(config=config) as host:
            await stream(host, dialect)
            redact.kill()
            answers = [await host.post("/v1/chat/completions", {"model": model, **body})]
            while b"[address]" not in answers[-1].body:
                answers.append(await host.post("/v1/chat/completions", {"model": model, **body}))
    assert b"error" in answers[0].body
    assert not [answer for answer in answers if b"eve@" in answer.body]
