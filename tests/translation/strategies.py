"""Canonical requests and answers for property tests: what any caller might say, and any model answer."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st

from jackfield.api import Request, Response, Usage
from jackfield.api.canonical import (
    Choice,
    Document,
    Image,
    Message,
    Sampling,
    Signature,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

LETTERS = st.sampled_from([*"abcdefgh ,.\n", "ä", "\u2028", "\u0085", "😀", '"', "\\", "{", "}"])
WORDS = st.text(LETTERS, min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
IDS = st.from_regex(r"call_[a-zA-Z0-9]{6}", fullmatch=True)
COUNT = st.integers(1, 100_000)
OPAQUE = st.binary(min_size=3, max_size=12).map(lambda raw: base64.b64encode(raw).decode())
SIMPLE = st.none() | st.booleans() | st.integers(-1000, 1000) | WORDS
ARGUMENTS = st.dictionaries(NAME, SIMPLE, max_size=3).map(lambda said: json.dumps(said, separators=(",", ":")))
SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    NAME, st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "array", "items": {"type": "string"}}]), max_size=3
).map(lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)})


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


TEXTS = st.builds(Text, text=WORDS)
IMAGES = st.builds(Image, source=st.builds(Source, data=OPAQUE, media_type=st.sampled_from(["image/png", "image/jpeg"])))
PDFS = st.builds(Document, source=st.builds(Source, data=OPAQUE, media_type=st.just("application/pdf")), title=st.just("a.pdf"))


@st.composite
def turns(draw: st.DrawFn) -> tuple[Message, ...]:
    """A user's turn and what follows: an answer, or calls with all of their results."""
    asked = Message(role="user", parts=tuple(draw(st.lists(TEXTS | IMAGES | PDFS, min_size=1, max_size=3))))
    if draw(st.booleans()):
        return asked, Message(role="assistant", parts=(draw(TEXTS),))
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    names = [draw(NAME) for _ in ids]
    said = (draw(TEXTS),) if draw(st.booleans()) else ()
    calls = tuple(ToolCall(id=one, name=name, arguments=draw(ARGUMENTS)) for one, name in zip(ids, names, strict=True))
    results = [
        Message(role="tool", parts=(ToolResult(call_id=one, name=name, parts=(draw(TEXTS),)),))
        for one, name in zip(ids, names, strict=True)
    ]
    return asked, Message(role="assistant", parts=(*said, *calls)), *results


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A request with words, images, PDFs, tools, calls, results and settings."""
    rules = (Message(role="system", parts=(draw(TEXTS),)),) if draw(st.booleans()) else ()
    conversation = [message for turn in draw(st.lists(turns(), max_size=2)) for message in turn]
    last = Message(role="user", parts=(draw(TEXTS),))
    tools = draw(
        st.lists(
            st.builds(Tool, name=NAME, description=WORDS, parameters=SCHEMAS), min_size=0, max_size=3, unique_by=lambda tool: tool.name
        )
    )
    choices = st.builds(ToolChoice, mode=st.sampled_from(["auto", "none", "required"]))
    return Request(
        model="some-model",
        messages=(*rules, *conversation, last),
        tools=tuple(tools),
        tool_choice=draw(maybe(choices)) if tools else None,
        sampling=draw(
            st.builds(
                Sampling,
                temperature=maybe(st.sampled_from([0.0, 0.5, 1.0])),
                top_p=maybe(st.sampled_from([0.25, 0.5])),
                top_k=maybe(st.integers(1, 50)),
                max_tokens=maybe(COUNT),
                stop=st.lists(WORDS, max_size=2, unique=True).map(tuple),
                seed=maybe(COUNT),
                n=maybe(st.integers(2, 3)),
            )
        ),
        stream=draw(st.booleans()),
        user=draw(maybe(NAME)),
        metadata=draw(st.dictionaries(NAME, WORDS, max_size=2)),
        parallel_tools=draw(maybe(st.booleans())) if tools else None,
    )


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """An answer as models give them: thoughts, words, calls, in this order."""
    family = draw(st.sampled_from(["openai", "anthropic", "gemini"]))
    signature = Signature(value=draw(OPAQUE), family=family)
    parts: list[Any] = []
    if draw(st.booleans()):
        words = draw(st.lists(WORDS, min_size=1, max_size=2))
        told: dict[str, Any] = {"text": words[0]} if draw(st.booleans()) else {"summary": tuple(words)}
        parts.append(Thinking(**told, signature=draw(maybe(st.just(signature)))))
    if draw(st.booleans()):
        parts.append(draw(TEXTS))
    ids = draw(st.lists(IDS, max_size=3, unique=True))
    parts += [ToolCall(id=one, name=draw(NAME), arguments=draw(ARGUMENTS)) for one in ids]
    finish: Any = "tool_calls" if ids else draw(st.sampled_from(["stop", "length", "content_filter"]))
    cached = draw(st.integers(0, 500))
    thought = draw(st.integers(0, 500))
    usage = Usage(input=draw(COUNT) + cached, output=draw(COUNT) + thought, cache_read=cached, thinking=thought)
    choice = Choice(message=Message(role="assistant", parts=tuple(parts)), finish=finish)
    return Response(id="some-id", model="some-model", created=1700000000, choices=(choice,), usage=usage)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "id", "content", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)
"""What stands where something else should."""


def mutated(value: Any, steps: list[int], junk: Any, way: str) -> Any:
    """Return JSON with one place changed: it is replaced, taken out, doubled or wrapped. `steps` lead to the place."""
    if not steps or not isinstance(value, dict | list) or not value:
        return {"replace": junk, "remove": None, "wrap": [value], "double": [value, value]}[way]
    if isinstance(value, dict):
        keys = sorted(value)
        key = keys[steps[0] % len(keys)]
        if way == "remove" and len(steps) == 1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: mutated(value[key], steps[1:], junk, way)}
    at = steps[0] % len(value)
    return [*value[:at], mutated(value[at], steps[1:], junk, way), *value[at + 1 :]]
