"""Streams of OpenAI's chat protocol for the tests, and what can be done to their bytes on the way."""

from __future__ import annotations

import json
from typing import Any

import msgspec

WORDS = ("Grüße", " aus", " 東京", " 👋", "!")
"""Words with characters of two, three and four bytes."""


def chunk_of(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one chunk of a completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1735689600, "model": "m", "choices": [choice], **more}


def event(said: object) -> bytes:
    """Return an event as OpenAI writes it."""
    return b"data: " + (said if isinstance(said, bytes) else msgspec.json.encode(said)) + b"\n\n"


OPENING = event(chunk_of({"role": "assistant", "content": ""}))
SPOKEN = [event(chunk_of({"content": word})) for word in WORDS]
FINISH = event(chunk_of({}, "stop"))
DONE = event(b"[DONE]")
EVENTS = [OPENING, *SPOKEN, FINISH, DONE]
STREAM = b"".join(EVENTS)


def said_in(body: bytes) -> list[Any]:
    """Return what the events of a stream say, read as strictly as the usual clients do it; `[DONE]` as text."""
    text = body.decode()
    assert text.endswith("\n\n"), "a stream ends with a whole event"
    found = []
    for frame in text[:-2].split("\n\n"):
        lines = [line for line in frame.split("\n") if not line.startswith(":")]
        if not lines:
            continue
        assert len(lines) == 1, frame
        assert lines[0].startswith("data: "), frame
        data = lines[0].removeprefix("data: ")
        found.append(data if data == "[DONE]" else json.loads(data))
    return found


def words_in(body: bytes) -> str:
    """Return the words of a stream."""
    return "".join(c["delta"].get("content") or "" for said in said_in(body) if said != "[DONE]" for c in said.get("choices", ()))
