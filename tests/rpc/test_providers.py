"""Providers of plugins out of process, in the real host: answers, errors, cancellation, fail-over, as of any provider."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Harness

PEER = str(Path(__file__).parent / "peers" / "executor.py")
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
TERMINAL = {"chat": b"data: [DONE]\n\n", "messages": b'{"type":"message_stop"}\n\n', "responses": b'"type":"response.completed"'}


def host(settings: Mapping[str, Any] | None = None, **config: Any) -> Harness:
    plugins = {"p": {"command": [sys.executable, PEER], **(settings or {})}, **config.pop("plugins", {})}
    return Harness(config={"plugins": plugins, **config})


def body(dialect: str, model: str, stream: bool = False) -> Any:
    said = {"input": "hi"} if dialect == "responses" else {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
    return {"model": model, "stream": stream, **said}


def words(dialect: str, said: Any) -> str:
    if dialect == "chat":
        return said["choices"][0]["message"]["content"]
    return said["content"][0]["text"] if dialect == "messages" else said["output"][0]["content"][0]["text"]


# -------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("provider", ["peer", "chat"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_whole_answer_reaches_every_client(dialect: str, provider: str) -> None:
    async with host() as jackfield:
        for model in ("whole", "text"):
            answer = await jackfield.post(PATHS[dialect], body(dialect, f"{provider}/{model}"))
            assert answer.status == 200
            assert words(dialect, answer.json) == '"whole answer"'


@pytest.mark.parametrize("provider", ["peer", "chat"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_streamed_answer_reaches_every_client(dialect: str, provider: str) -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS[dialect], body(dialect, f"{provider}/stream", stream=True))
        assert answer.status == 200
        assert b"one " in answer.body
        assert b"two" in answer.body
        assert answer.body.count(TERMINAL[dialect]) == 1
        whole = await jackfield.post(PATHS[dialect], body(dialect, f"{provider}/whole", stream=True))
        assert b"whole answer" in whole.body  # the plugin answered whole although it was asked for a stream: it is played
        assert whole.body.count(TERMINAL[dialect]) == 1


async def test_bytes_of_a_stream_leave_as_they_came() -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS["chat"], body("chat", "raw", stream=True))
        assert answer.body.count(b"\r\n\r\n") == 3
        assert answer.body.endswith(b"data: [DONE]\r\n\r\n")


async def test_a_stream_that_lacks_its_terminal_event_is_given_one() -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS["chat"], body("chat", "chat/unended", stream=True))
        assert answer.body.endswith(TERMINAL["chat"])
