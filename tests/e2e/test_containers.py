"""Containers in which Anthropic ran code: a request that names one goes to the account that has it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jackfield.api.testing import Harness, Received, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import NO_REST

ASK = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}


def stream_of(box: dict[str, Any]) -> list[bytes]:
    usage = {"input_tokens": 3, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None, "container": box}, "usage": usage},
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n" for event in events]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_a_container_is_used_again_by_the_account_that_has_it(stream: bool) -> None:
    asked: list[str] = []

    async def upstream(received: Received, wire: Wire) -> None:
        who = received.headers.get("x-api-key") or ""
        asked.append(who)
        box = {"id": f"container_{who}", "expires_at": "2026-01-01T00:00:00Z"}
        if received.json.get("container", box["id"]) != box["id"]:
            error = {"type": "error", "error": {"type": "not_found_error", "message": "no such container"}}
            await json_answer(error, status=404)(received, wire)
        elif stream:
            await sse_answer(stream_of(box))(received, wire)
        else:
            answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "container": box}
            usage = {"input_tokens": 3, "output_tokens": 1}
            await json_answer({**answer, "content": [{"type": "text", "text": "Hi"}], "usage": usage})(received, wire)

    async with ScriptedUpstream(upstream) as there:
        keys = [{"provider": "anthropic", "key": key, "base_url": there.url} for key in ("key-one", "key-two")]
        async with Harness([], {"credentials": keys, "cooldown": NO_REST}) as host:
            for _ in range(4):
                first = await host.post("/v1/messages", {**ASK, "stream": stream})
                assert first.status == 200
                again = await host.post("/v1/messages", {**ASK, "stream": stream, "container": f"container_{asked[-1]}"})
                assert again.status == 200
                assert asked[-1] == asked[-2]
    assert set(asked) == {"key-one", "key-two"}
