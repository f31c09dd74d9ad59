"""The dialect `openai.chat`: its data, and the codec's functions under the names of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jackfield.api import (
    SSE,
    Dialect,
    Endpoint,
    Error,
    Event,
    Follower,
    Glance,
    Headers,
    Loss,
    ModelInfo,
    Needles,
    Operation,
    Path,
    Request,
    Response,
    SessionSignals,
    StreamDecoder,
    StreamEncoder,
)
from jackfield.api.canonical import Delta, Usage
from jackfield_openai import errors, lists
from jackfield_openai.chat import reading, requests, responses
from jackfield_openai.chat.encoding import ChatStreamEncoder
from jackfield_openai.chat.extras import NAME
from jackfield_openai.chat.follower import ChatFollower
from jackfield_openai.chat.streams import OBJECT, ChatStreamDecoder, is_done


class ChatDialect(Dialect):
    """OpenAI's chat completions and embeddings, as OpenAI and the many who speak its protocol write them."""

    name = NAME
    endpoints = (
        Endpoint(path="/v1/chat/completions", operation="generate", upstream="/chat/completions", stream=("stream",)),
        Endpoint(path="/v1/embeddings", operation="embed", upstream="/embeddings"),
        Endpoint(method="GET", path="/v1/models", operation="models", upstream="/models", model=None),
        Endpoint(method="GET", path="/v1/models/{model}", operation="model", model=None),
    )
    framing = SSE
    needles = Needles(
        terminal=(b"[DONE]",),
        usage=(b'"usage":{', b'"usage": {'),
        error=(b'"error":', b'"message":', b'"detail":', b"event: error", b"event:error"),
        model=(("model",),),
    )
    # Comment lines harm no client of this dialect that was tried; an event with empty data harms nearly all.
    keepalive = b": keep-alive\n\n"
    # API reference, "Debugging requests". Organization and project are left out: they belong to the client's own account.
    request_headers = frozenset({"openai-beta", "idempotency-key", "x-client-request-id"})
    response_headers = frozenset(
        {
            "x-request-id", "openai-processing-ms", "openai-version", "retry-after", "retry-after-ms", "x-should-retry",
            "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
            "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
        }
    )  # fmt: skip
    # OpenAI's own SDKs send their key in `authorization` alone; programs that speak to several providers, and to Azure, in these.
    key_headers = ("x-api-key", "x-goog-api-key", "api-key")
    # `prompt_cache_key` is what OpenAI itself routes by to reach a warm cache (guide "Prompt caching"); `session_id` is
    # OpenRouter's, with the first header (guide "Prompt caching", sticky routing); the other is opencode's. `user` is no session.
    session = SessionSignals(headers=("x-session-id", "x-session-affinity"), body=(("session_id",),), cache=(("prompt_cache_key",),))

    # Which of several names or forms stood there; what they say is canonical.
    notes = frozenset(
        {"max_tokens", "max_completion_tokens", "reasoning", "thinking", "enable_thinking", "reasoning_format", "top_k", "usage.include"}
    )

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

    def glance(self, raw: bytes) -> Glance:
        """Look at a whole answer, a completion or embeddings. Raises `ValueError` when it is neither and no error."""
        return reading.glance(raw)

    def usage_of(self, event: Event) -> Usage | None:
        """Return the token counts of a chunk without decoding the rest of it."""
        return reading.usage_of(event)

    def decode_stream(self) -> StreamDecoder:
        """Return a decoder for a new stream."""
        return ChatStreamDecoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        """Return an encoder for a new stream that answers `request`."""
        return ChatStreamEncoder(request, losses, self.event)

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
        return ChatFollower(self.event)

    def terminal(self, event: Event) -> bool:
        """Tell whether this is the end marker."""
        return b"[DONE]" in event.frame and is_done(event.data)

    def ends(self, event: Event) -> bool:
        """Tell whether the answer's ending begins here: the end marker, a finish reason, an error."""
        frame = event.frame
        if frame.count(b'"finish_reason"') == frame.count(b'"finish_reason":null') > 0 and b'"error"' not in frame:
            return False
        return self.terminal(event) or event.finish is not None or event.error is not None

    def commits(self, event: Event) -> bool:
        """Tell whether this event is output: a chunk that is no error, or the end marker; whatever else comes first is no answer."""
        if not event.data.startswith(b"{"):
            return self.terminal(event)
        return b"error" not in event.frame or event.error is None

    def lifecycle(self, event: Event) -> bool:
        """Tell whether this is a chunk that names the role of an answer, or nothing at all."""
        return reading.is_empty(event)

    def read(self, event: Event) -> Sequence[Delta]:
        """Return what an event says, without knowing those before it."""
        return reading.read(event)

    def text_path(self, event: Event) -> Path | None:
        """Return where the first words stand that an event adds; None when it adds none."""
        return next(iter(reading.text_paths(event)), None)

    def with_text(self, event: Event, text: str) -> Event:
        """Return `event` with its words replaced: those of its first choice by `text`, those of others by nothing."""
        quick = reading.with_words(event, text)
        if quick is not None:
            return quick
        paths = reading.text_paths(event)
        return event.with_changes({path: "" if at else text for at, path in enumerate(paths)}) if paths else event

    def text_event(self, text: str, like: Event | None) -> Event | None:
        """Make a new event that adds words to the first choice, with the ids of `like`."""
        chunk: Any = like.json if like is not None else None
        said = chunk if isinstance(chunk, dict) else {}
        header = {key: said[key] for key in ("id", "created", "model", "system_fingerprint") if said.get(key) is not None}
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        return self.event({"object": OBJECT, **header, "choices": [choice]})
