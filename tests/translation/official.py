"""What the providers' own SDKs say to a body: whether their types take it, and which of its fields they do not know.

Unions are resolved by their tag: every member names its own in a `Literal`, so that a body with a wrong or unknown tag fits none.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from google.genai import types as google
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming

from jackfield.api import Event
from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES

SAID_BY_OTHERS: dict[str, frozenset[str]] = {
    CHAT: frozenset(
        {
            "reasoning",
            "reasoning_content",
            "reasoning_details",
            "extra_content",
            "images",
            "annotations",
            "cache_control",
            "content",
            "name",
        }
    ),
    RESPONSES: frozenset({"store", "status", "bytes"}),
    MESSAGES: frozenset({"temperature", "top_p", "top_k"}),
    GENERATE: frozenset({"serviceTier"}),
}
"""Fields that are written although the SDK has no type for them in that place.

Other speakers of chat completions have them (`name` of a tool's message, `content` of a citation). Older models take the
settings of messages. OpenAI and Google themselves send the rest.
"""

Verdict = tuple[list[str], list[str]]
"""What is wrong with a body, and which fields are unknown."""


@functools.cache
def adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    """Return pydantic's view of a type; made once, for that takes long."""
    return pydantic.TypeAdapter(kind)


# -------------------------------------------------------------------------------------------------- answers

ANSWERS: dict[str, Any] = {CHAT: ChatCompletion, RESPONSES: Response, MESSAGES: Message, GENERATE: google.GenerateContentResponse}
EVENTS: dict[str, Any] = {
    CHAT: ChatCompletionChunk,
    RESPONSES: ResponseStreamEvent,
    MESSAGES: RawMessageStreamEvent,
    GENERATE: google.GenerateContentResponse,
}


def answer(dialect: str, raw: bytes) -> Verdict:
    """Judge a whole answer."""
    return judged(ANSWERS[dialect], raw, strict=dialect != GENERATE)


def event(dialect: str, one: Event) -> Verdict:
    """Judge one event of a stream; end markers and those that keep a connection alive are not in the SDKs' types."""
    if one.data == b"[DONE]" or (dialect == MESSAGES and one.name == "ping"):
        return [], []
    return judged(EVENTS[dialect], one.data, strict=dialect != GENERATE)


def judged(kind: Any, raw: bytes, *, strict: bool) -> Verdict:
    """Judge JSON by a type of an SDK."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            read = adapter(kind).validate_json(raw, strict=strict)
        except pydantic.ValidationError as fault:
            found = fault.errors(include_url=False, include_input=False)
            unknown = [path_of(one) for one in found if one["type"] == "extra_forbidden"]
            return problems(fault) if len(unknown) < len(found) else [], unknown
    return [str(one.message) for one in said], list(extras(read, ""))


def problems(fault: pydantic.ValidationError) -> list[str]:
    """Return what pydantic says in short lines, without the members of unions that have another tag."""
    found = fault.errors(include_url=False, include_input=False)
    others = {one["loc"][:-1] for one in found if one["type"] == "literal_error" and one["loc"][-1] in ("type", "role")}
    kept = [one for one in found if not any(one["loc"][: len(other)] == other for other in others if other)]
    deepest = max((len(one["loc"]) for one in kept or found), default=0)
    return [f"{short(one['loc'])}: {one['msg']}" for one in kept or found if len(one["loc"]) > deepest - 2]


def short(steps: tuple[Any, ...]) -> str:
    """Return a place in words, without the lists of what a union might have been."""
    return ".".join(str(step) for step in steps if "[" not in str(step))


def path_of(error: Any) -> str:
    """Return where an error is, with `[]` for every index."""
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in error["loc"])


def extras(value: Any, path: str) -> Iterator[str]:
    """Yield the fields that a model does not know."""
    if isinstance(value, pydantic.BaseModel):
        for key in value.model_extra or {}:
            yield f"{path}.{key}"
        for key in type(value).model_fields:
            yield from extras(getattr(value, key), f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from extras(item, f"{path}[]")


# ------------------------------------------------------------------------------------------------- requests

PARAMS: dict[tuple[str, bool], Any] = {
    (CHAT, False): CompletionCreateParamsNonStreaming,
    (CHAT, True): CompletionCreateParamsStreaming,
    (RESPONSES, False): ResponseCreateParamsNonStreaming,
    (RESPONSES, True): ResponseCreateParamsStreaming,
    (MESSAGES, False): MessageCreateParamsNonStreaming,
    (MESSAGES, True): MessageCreateParamsStreaming,
}
PIECES: dict[str, Any] = {
    "contents": list[google.Content],
    "systemInstruction": google.Content,
    "tools": list[google.Tool],
    "toolConfig": google.ToolConfig,
    "generationConfig": google.GenerationConfig,
    "safetySettings": list[google.SafetySetting],
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": google.ServiceTier,
    "model": str,
    "store": bool,
}
"""Members of a body of generateContent; the SDK has no type for the whole."""


def request(dialect: str, raw: bytes) -> Verdict:
    """Judge a request."""
    body = json.loads(raw)
    if dialect == GENERATE:
        return _pieces(body)
    kind = PARAMS[dialect, bool(body.get("stream"))]
    return _looked_through(lambda: adapter(kind).validate_python(body), body)


def _pieces(body: dict[str, Any]) -> Verdict:
    wrong: list[str] = []
    for key, value in body.items():
        if key in PIECES:
            said, _ = judged(PIECES[key], json.dumps(value).encode(), strict=False)
            wrong += [f"{key}.{line}" for line in said]
    return wrong, [key for key in body if key not in PIECES]


def _looked_through(validate: Callable[[], Any], body: Any) -> Verdict:
    unknown: list[str] = []
    try:
        _look(validate(), body, "", unknown)
    except pydantic.ValidationError as fault:
        return problems(fault), []
    return [], unknown


def _look(read: Any, body: Any, path: str, unknown: list[str]) -> None:
    """Go through everything that pydantic checks only when it is looked at, and note what it left out."""
    if isinstance(body, dict) and isinstance(read, dict):
        unknown += [f"{path}.{key}" for key in body if key not in read]
        for key, item in read.items():
            _look(item, body[key], f"{path}.{key}", unknown)
    elif isinstance(body, list) and not isinstance(read, str | bytes) and hasattr(read, "__iter__"):
        for item, before in zip(list(read), body, strict=True):
            _look(item, before, f"{path}[]", unknown)
