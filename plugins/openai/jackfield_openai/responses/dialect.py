"""The dialect `openai.responses`: its data, and the codec's functions under the names of the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from jackfield.api import (
    SSE,
    Dialect,
    Endpoint,
    Error,
    Event,
    Follower,
    Glance,
    Headers,
    Ids,
    Loss,
    ModelInfo,
    Needles,
    Operation,
    Path,
    Repeat,
    Request,
    Response,
    SessionSignals,
    StreamDecoder,
    StreamEncoder,
)
from jackfield.api.canonical import Delta, Usage
from jackfield.api.canonical.codec import to_json
from jackfield_openai import errors, lists
from jackfield_openai.responses import events, minted, reading, requests, responses
from jackfield_openai.responses.encoding import ResponsesStreamEncoder
from jackfield_openai.responses.extras import NAME
from jackfield_openai.responses.follower import ResponsesFollower
from jackfield_openai.responses.streams import ResponsesStreamDecoder

_ONE: Final = "/v1/responses/{id}"
_UPSTREAM: Final = "/responses/{id}"

_NO_SIGNATURE: Final = re.compile(
    r"encrypted[ _]content.*(?:could not be|not be verified|invalid)|invalid_encrypted_content", re.IGNORECASE
)


def _resource(method: str, below: str = "", *, stream: bool = False) -> Endpoint:
    return Endpoint(
        method=method,
        path=_ONE + below,
        operation="resource",
        upstream=_UPSTREAM + below,
        model=None,
        stream=stream,
        when_query=("stream", "true") if stream else None,
    )


class ResponsesDialect(Dialect):
    """OpenAI's Responses API, as OpenAI and those who speak its protocol write it."""

    name = NAME
    endpoints = (
        Endpoint(path="/v1/responses", operation="generate", upstream="/responses", stream=("stream",)),
        Endpoint(path="/v1/responses/compact", operation="compact", upstream="/responses/compact"),
        Endpoint(path="/v1/responses/input_tokens", operation="count", upstream="/responses/input_tokens"),
        _resource("GET", stream=True),
        _resource("GET"),
        _resource("DELETE"),
        _resource("POST", "/cancel"),
        _resource("GET", "/input_items"),
        Endpoint(method="GET", path="/v1/models", operation="models", upstream="/models", model=None),
    )
    framing = SSE
    needles = Needles(
        terminal=tuple(name.encode() for name in events.ENDINGS),
        usage=(b'"usage":{', b'"usage": {'),
        error=(b'"type":"error"', b'"type": "error"', b"event: error", b"event:error", b"response.failed", b'"error":{', b'"error": {'),
        model=(("response", "model"), ("model",)),
        minted=minted.NEEDLES,
    )
    # Comment lines harm no client that was tried; OpenAI's own Node helper throws at event types that it does not know.
    keepalive = b": keep-alive\n\n"
    # API reference, "Debugging requests", and what OpenAI's Codex names its sessions and turns with.
    request_headers = frozenset(
        {"openai-beta", "idempotency-key", "x-client-request-id", "session-id", "thread-id", "x-codex-beta-features"}
    )
    request_query = frozenset({"include", "stream", "starting_after", "include_obfuscation", "after", "before", "limit", "order"})
    response_headers = frozenset(
        {
            "x-request-id", "openai-processing-ms", "openai-version", "retry-after", "retry-after-ms", "x-should-retry",
            "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
            "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
        }
    )  # fmt: skip
    key_headers = ("x-api-key", "x-goog-api-key", "api-key")
    # Codex names its session in the first header, before in `session_id` and `conversation_id` (codex-rs, requests/headers.rs),
    # and the thread in another. A conversation is what goes on from one request to the next; `previous_response_id` differs in each.
    session = SessionSignals(
        headers=("session-id", "session_id", "thread-id", "conversation_id", "x-session-id", "x-session-affinity"),
        body=(("session_id",), ("conversation",), ("conversation", "id")),
        cache=(("prompt_cache_key",),),
    )
    stateful = True
    stored = frozenset({"conversation", "prompt"})
    # API reference, "Create a response": names of functions, and at most 64 characters of a call's id.
    tool_name = r"[a-zA-Z0-9_-]{1,64}"
    tool_id = r"[\x21-\x7e]{1,64}"
    custom_tools = True
    namespaces = True

    def decode_request(self, raw: bytes, operation: Operation) -> Request:
        """Read a client's body. Raises `BadRequest` with the path of what is wrong."""
        return requests.decode_request(raw, operation)

    def encode_request(self, request: Request, operation: Operation, losses: list[Loss]) -> bytes:
        """Write a body for an upstream."""
        return requests.encode_request(request, operation, losses)

    def decode_response(self, raw: bytes) -> Response:
        """Read an upstream's whole answer. Raises `ValueError`."""
        return responses.decode_response(raw)

    def encode_response(self, response: Response, losses: list[Loss]) -> bytes:
        """Write a whole answer for a client."""
        return responses.encode_response(response, losses)

    def encode_count(self, usage: Usage) -> bytes:
        """Write a count of tokens (API reference, "Get input token counts")."""
        return to_json({"object": "response.input_tokens", "input_tokens": usage.input})

    def decode_count(self, raw: bytes) -> Usage:
        """Read an upstream's count of tokens. Raises `ValueError`."""
        return reading.decode_count(raw)

    def refuses_signature(self, error: Error) -> bool:
        """Tell whether encrypted thoughts were refused, which another organization or model made."""
        return error.status == 400 and (_NO_SIGNATURE.search(f"{error.code or ''} {error.message}") is not None)

    def glance(self, raw: bytes) -> Glance:
        """Look at a whole answer of any operation. Raises `ValueError` when it is none and no error."""
        return reading.glance(raw)

    def minted(self, raw: bytes) -> Ids:
        """Return what a whole answer mints, or what an event carries."""
        return minted.minted(raw)

    def named(self, raw: bytes, params: Mapping[str, str]) -> Ids:
        """Return the ids and the encrypted reasoning that a request names."""
        return minted.named(raw, params)

    def usage_of(self, event: Event) -> Usage | None:
        """Return the token counts of an event without decoding the rest of it."""
        return reading.usage_of(event)

    def decode_stream(self) -> StreamDecoder:
        """Return a decoder for a new stream."""
        return ResponsesStreamDecoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        """Return an encoder for a new stream that answers `request`."""
        return ResponsesStreamEncoder(request, losses, self.event)

    def decode_error(self, status: int, headers: Headers, raw: bytes) -> Error:
        """Read an upstream's error answer, whatever it is."""
        return errors.decode_error(status, headers, raw)

    def encode_error(self, error: Error) -> bytes:
        """Write an error answer's body."""
        return errors.encode_error(error)

    def encode_models(self, models: Sequence[ModelInfo]) -> bytes:
        """Write the list of models."""
        return lists.encode_models(models)

    def encode_model(self, model: ModelInfo) -> bytes:
        """Write what is said of one model."""
        return lists.encode_model(model)

    def decode_models(self, raw: bytes) -> list[ModelInfo]:
        """Read an upstream's list of models."""
        return lists.decode_models(raw)

    def follow(self) -> Follower:
        """Return a follower for a new stream."""
        return ResponsesFollower(self.event)

    def terminal(self, event: Event) -> bool:
        """Tell whether the answer ends with this event. An `error` event alone does not: OpenAI sends `response.failed` after it."""
        return reading.type_of(event) in events.ENDINGS

    def ends(self, event: Event) -> bool:
        """Tell whether the answer's ending begins here."""
        return reading.type_of(event) in (*events.ENDINGS, events.ERROR)

    def commits(self, event: Event) -> bool:
        """Tell whether this event is output: anything but an error."""
        return event.error is None

    def lifecycle(self, event: Event) -> bool:
        """Tell whether this event only says that a response was made, waits or is being written."""
        return reading.type_of(event) in events.BEGINNINGS

    def read(self, event: Event) -> Sequence[Delta]:
        """Return what an event says, without knowing those before it."""
        return reading.read(event)

    def text_path(self, event: Event) -> Path | None:
        """Return where the words stand that an event adds; None when it adds none."""
        return ("delta",) if reading.type_of(event) in (events.TEXT_DELTA, events.REFUSAL_DELTA) else None

    def repeats(self, event: Event) -> Sequence[Repeat]:
        """Return the places in an event that repeat what increments said."""
        return reading.repeats(event)
