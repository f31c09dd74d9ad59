"""What goes over the wire in a benchmark: requests, answers, and streams whose events are numbered and stamped.

Shapes are those of OpenAI's chat completions (API reference, "Create chat completion" and "Chat completion chunk
object"). Every event of a stream carries a mark in its `obfuscation` field, which real chunks have too: its number
and the moment it was sent. So a reader can tell a lost or swapped event, and how late each one came.
"""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import Any, Final

API_KEY: Final = "sk-bench-0123456789abcdef"
MODEL: Final = "gpt-bench"
PATH: Final = "/v1/chat/completions"

MARK: Final = re.compile(rb'"obfuscation":"e(\d{4})@(\d{16})"')
"""An event's number, and when it was sent: microseconds of the system's monotonic clock, 0 where it was not noted."""
MARK_SIZE: Final = len(b'"obfuscation":"e0000@0000000000000000"')
MOST_EVENTS: Final = 10_000

MESSAGES_PATH: Final = "/v1/messages"
"""Where a client of another dialect calls the host; the upstream is called as ever."""

_ORDER: Final = re.compile(rb'"(?:user":"bench|model":"gpt-bench):(\d+):(\d+)"')
ORDER_WITHIN: Final = 512
"""The order for the upstream stands within this many bytes from the body's start, so that finding it costs the same for all bodies."""

_HEADERS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nopenai-processing-ms: 312\r\nx-ratelimit-remaining-requests: 9999\r\n"
    b"x-request-id: req_7d3c0a5be2f14c6c9a1f0b8e64d2c713\r\n%b\r\n\r\n"
)
_ID: Final = "chatcmpl-C9bTqJ0wZr4uVd2LxYk7HsNfEmP1a"
_COMMON: Final = {"id": _ID, "object": "chat.completion.chunk", "created": 1760000000, "model": MODEL}
_TRAITS: Final = {"service_tier": "default", "system_fingerprint": "fp_560af6e559"}
_USAGE: Final = {
    "prompt_tokens": 19,
    "completion_tokens": 100,
    "total_tokens": 119,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_TEXT: Final = (
    "the service reads its settings once and keeps every answer in order because a client that waits for one part "
    "must not be told about another before the file has been written to disk and its caller has seen the result"
)
_WORDS: Final = _TEXT.split()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# ------------------------------------------------------------------------------------------------ answers


def head(content_type: str, length: int | None) -> bytes:
    """Return the head of a 200 answer; without a length the body is chunked."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return _HEADERS % (content_type.encode(), framing)


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


@cache
def plain_answer() -> bytes:
    """Return the body of a whole answer, about 1 KB of JSON."""
    message: dict[str, Any] = {"role": "assistant", "content": _text(random.Random(1), 480), "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE, **_TRAITS})


@cache
def event(index: int, last: bool) -> tuple[bytes, bytes]:
    """Return what stands before and after the stamp in event number `index`; the last one says that the answer is complete."""
    word = _WORDS[index % len(_WORDS)]
    choice = {"index": 0, "delta": {} if last else {"content": f" {word}"}, "logprobs": None, "finish_reason": "stop" if last else None}
    data = _json({**_COMMON, **_TRAITS, "choices": [choice], "usage": None, "obfuscation": f"e{index:04d}@"})
    return b"data: " + data.removesuffix(b'"}'), b'"}\n\n'


def stamped(index: int, last: bool, microseconds: int) -> bytes:
    """Return event number `index`, marked with the moment it is sent."""
    before, after = event(index, last)
    return b"%b%016d%b" % (before, microseconds, after)


ENDING: Final = (
    b"data: " + _json({**_COMMON, **_TRAITS, "choices": [], "usage": _USAGE, "obfuscation": "kq2Zt"}) + b"\n\n",
    b"data: [DONE]\n\n",
)
"""What follows a stream's last event: the usage and the end marker."""


@cache
def stream_size(events: int) -> int:
    """Return the size of a whole stream in bytes, without HTTP's framing."""
    return sum(len(stamped(i, i == events - 1, 0)) for i in range(events)) + sum(map(len, ENDING))


@cache
def burst(events: int) -> bytes:
    """Return a whole stream as it goes over the wire when nothing is held back: each event in a chunk of its own."""
    frames = [*(stamped(i, i == events - 1, 0) for i in range(events)), *ENDING]
    return head("text/event-stream; charset=utf-8", None) + b"".join(map(chunk, frames)) + LAST_CHUNK


# ----------------------------------------------------------------------------------------------- requests


def order(opening: bytes) -> tuple[int, int]:
    """Return what a request body asks the upstream for: number of events (0: a whole answer) and milliseconds between them."""
    found = _ORDER.search(opening)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def small_request(events: int = 0, interval_ms: int = 0) -> bytes:
    """Return the body of a short chat request."""
    messages = [
        {"role": "system", "content": "You are a careful assistant. Answer in one paragraph."},
        {"role": "user", "content": "How does a reverse proxy keep the order of what it passes on?"},
    ]
    return _request({"messages": messages}, events, interval_ms)


def agent_request() -> bytes:
    """Return the body of an agent's request: 300 messages and 25 tools, about 200 KB. The same bytes each time."""
    rng = random.Random(7)
    turns = [message for step in range(100) for message in _turn(rng, step)]
    tools = [_tool(rng, n) for n in range(25)]
    return _request({"messages": [{"role": "system", "content": _text(rng, 6000)}, *turns[:299]], "tools": tools}, 0, 0)


def as_messages(body: bytes) -> bytes:
    """Return a chat request as a client of Anthropic's Messages API would write it (its API reference, "Create a message").

    The order for the upstream is the model's name: it is what stands at the start of the body in every dialect.
    """
    said = json.loads(body)
    system, *turns = said["messages"]
    tools = [
        {"name": f["name"], "description": f["description"], "input_schema": f["parameters"]}
        for f in (tool["function"] for tool in said.get("tools", ()))
    ]
    return _json(
        {
            "model": ordering_model(*order(body)),
            "max_tokens": 1024,
            "stream": said.get("stream", False),
            "system": system["content"],
            "messages": [_message(turn) for turn in turns],
            **({"tools": tools} if tools else {}),
        }
    )


def ordering_model(events: int, interval_ms: int) -> str:
    """Return the name of a model that orders a stream of so many events, 0 for a whole answer."""
    return f"{MODEL}:{events}:{interval_ms}"


def _message(turn: dict[str, Any]) -> dict[str, Any]:
    if turn["role"] == "tool":
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": turn["tool_call_id"], "content": turn["content"]}]}
    if turn.get("tool_calls"):
        calls = [(call["id"], call["function"]) for call in turn["tool_calls"]]
        used = [{"type": "tool_use", "id": i, "name": f["name"], "input": json.loads(f["arguments"])} for i, f in calls]
        return {"role": "assistant", "content": used}
    return {"role": turn["role"], "content": turn["content"]}


def plain_text() -> str:
    """Return the words of the whole answer."""
    return str(json.loads(plain_answer())["choices"][0]["message"]["content"])


def streamed_text(events: int) -> str:
    """Return the words of a stream."""
    return "".join(f" {_WORDS[index % len(_WORDS)]}" for index in range(events - 1))


def _request(said: dict[str, Any], events: int, interval_ms: int) -> bytes:
    if events > MOST_EVENTS:
        raise ValueError(f"at most {MOST_EVENTS} events can be numbered, not {events}")
    stream = {"stream": True, "stream_options": {"include_usage": True}} if events else {}
    return _json({"model": MODEL, "user": f"bench:{events}:{interval_ms}", **stream, **said})


def _turn(rng: random.Random, step: int) -> list[dict[str, Any]]:
    """Return three messages: what a user says, the tool call that answers it, and the tool's result."""
    arguments = json.dumps({"path": f"src/module_{step}.py", "query": _text(rng, 60), "limit": step * 1.5})
    call = {"id": f"call_{step:024d}", "type": "function", "function": {"name": f"tool_{step % 25}", "arguments": arguments}}
    return [
        {"role": "user", "content": _text(rng, 360)},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": f'{{"lines": "{_text(rng, 860)}",\n\t"naïve": "{step}"}}'},
    ]


def _tool(rng: random.Random, n: int) -> dict[str, Any]:
    properties = {f"option_{k}": {"type": "string", "description": _text(rng, 130)} for k in range(4)}
    schema = {"type": "object", "properties": properties, "required": ["option_0"], "additionalProperties": False}
    return {"type": "function", "function": {"name": f"tool_{n}", "description": _text(rng, 260), "parameters": schema, "strict": True}}


def _text(rng: random.Random, size: int) -> str:
    """Return `size` characters or a few more of plain words."""
    words: list[str] = []
    length = 0
    while length < size:
        words.append(rng.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)
