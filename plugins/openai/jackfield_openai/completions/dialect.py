"""The dialect `openai.completions`: its data, and the codec's functions under the names of the contract."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

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
    StreamDecoder,
    StreamEncoder,
)
from jackfield.api.canonical import Begin, Delta, PartEnd, PartStart, Usage
from jackfield_openai import errors, lists
from jackfield_openai.chat import ChatDialect
from jackfield_openai.chat.reading import is_empty
from jackfield_openai.chat.streams import is_done
from jackfield_openai.chat.usage import decode_usage
from jackfield_openai.completions import requests, responses
from jackfield_openai.completions.extras import NAME
from jackfield_openai.completions.follower import CompletionsFollower
from jackfield_openai.completions.streams import CompletionsStreamDecoder, CompletionsStreamEncoder


class CompletionsDialect(Dialect):
    """OpenAI's completions, which newer models do not have any more and many servers of open models still do."""

    name = NAME
    endpoints = (
        Endpoint(path="/v1/completions", operation="generate", upstream="/completions", stream=("stream",)),
        Endpoint(method="GET", path="/v1/models", operation="models", upstream="/models", model=None),
    )
    framing = SSE
    needles = Needles(
        terminal=(b"[DONE]",),
        usage=(b'"usage":{', b'"usage": {'),
        error=(b'"error":', b'"message":', b'"detail":', b"event: error", b"event:error"),
        model=(("model",),),
    )
    keepalive = ChatDialect.keepalive
    request_headers = ChatDialect.request_headers
    response_headers = ChatDialect.response_headers
    key_headers = ChatDialect.key_headers
    session = ChatDialect.session

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
        """Look at a whole answer. Raises `ValueError` when it is none and no error."""
        value = msgspec.json.decode(raw)
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            usage = value.get("usage")
            return Glance(usage=decode_usage(usage) if isinstance(usage, dict) else None)
        error = errors.read_error(value)
        if error is None:
            raise ValueError("the answer has no choices")
        return Glance(error=errors.with_status(error, 500))

    def decode_stream(self) -> StreamDecoder:
        """Return a decoder for a new stream."""
        return CompletionsStreamDecoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        """Return an encoder for a new stream that answers `request`."""
        return CompletionsStreamEncoder(request, losses, self.event)

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
        return CompletionsFollower(self.event)

    def terminal(self, event: Event) -> bool:
        """Tell whether this is the end marker."""
        return b"[DONE]" in event.frame and is_done(event.data)

    def ends(self, event: Event) -> bool:
        """Tell whether the answer's ending begins here: the end marker, a finish reason, an error."""
        return self.terminal(event) or event.finish is not None or event.error is not None

    def lifecycle(self, event: Event) -> bool:
        """Tell whether this is a chunk without any words."""
        return is_empty(event)

    def read(self, event: Event) -> Sequence[Delta]:
        """Return what an event says, without what a decoder invents for want of a past."""
        return [d for d in CompletionsStreamDecoder().feed(event) if not isinstance(d, Begin | PartStart | PartEnd)]

    def usage_of(self, event: Event) -> Usage | None:
        """Return the token counts that a chunk reports."""
        usage = event.json.get("usage") if isinstance(event.json, dict) else None
        return decode_usage(usage) if isinstance(usage, dict) else None

    def text_path(self, event: Event) -> Path | None:
        """Return where the words of the first choice stand that has any; None when none has."""
        chunk = event.json
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict) and isinstance(choice.get("text"), str) and choice["text"]:
                return ("choices", at, "text")
        return None
