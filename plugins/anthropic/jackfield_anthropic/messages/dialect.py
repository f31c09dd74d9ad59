"""The dialect `anthropic.messages`: its data, and the codec's functions under the names of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    Request,
    Response,
    SessionSignals,
    StreamDecoder,
    StreamEncoder,
    Usage,
)
from jackfield.api.canonical import Delta
from jackfield.api.canonical.codec import to_json
from jackfield_anthropic import errors, lists
from jackfield_anthropic.messages import containers, reading, requests, responses
from jackfield_anthropic.messages.encoding import MessagesStreamEncoder
from jackfield_anthropic.messages.extras import NAME
from jackfield_anthropic.messages.follower import MessagesFollower
from jackfield_anthropic.messages.streams import MessagesStreamDecoder

_VERSION = "anthropic-version"
_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens")


class MessagesDialect(Dialect):
    """Anthropic's Messages API, as Anthropic and those who speak its protocol write it."""

    name = NAME
    endpoints = (
        Endpoint(path="/v1/messages", operation="generate", upstream="/v1/messages", stream=("stream",)),
        Endpoint(path="/v1/messages/count_tokens", operation="count", upstream="/v1/messages/count_tokens"),
        Endpoint(method="GET", path="/v1/models", operation="models", upstream="/v1/models?limit=1000", model=None, when_header=_VERSION),
        Endpoint(method="GET", path="/v1/models/{model}", operation="model", model=None, when_header=_VERSION),
        # Claude Code asks at its start, by HEAD, whether anybody is there.
        Endpoint(method="GET", path="/api/hello", operation="ping", model=None),
    )
    framing = SSE
    needles = Needles(
        terminal=(b"message_stop", b"event: error", b"event:error", b'"type":"error"', b'"type": "error"'),
        usage=(b'"usage":{', b'"usage": {'),
        error=(b"event: error", b"event:error", b'"type":"error"', b'"type": "error"'),
        model=(("model",), ("message", "model")),
        minted=(containers.NEEDLE,),
    )
    # The protocol has an event for this purpose, and every client takes it; comments are lost on those that count events.
    keepalive = b'event: ping\ndata: {"type": "ping"}\n\n'
    # API reference, "Versions" and "Beta headers". The session's id is Claude Code's own.
    request_headers = frozenset({_VERSION, "anthropic-beta", "x-claude-code-session-id", "x-client-request-id"})
    request_query = frozenset({"beta"})
    # API reference, "Response headers" of rate limits, and what the SDKs go by when they try again.
    response_headers = frozenset(
        {
            "request-id", "retry-after", "retry-after-ms", "x-should-retry",
            *(f"anthropic-ratelimit-{kind}-{what}" for kind in _LIMITS for what in ("limit", "remaining", "reset")),
            *(f"anthropic-priority-{kind}-{what}" for kind in _LIMITS[2:] for what in ("limit", "remaining", "reset")),
        }
    )  # fmt: skip
    key_headers = ("x-api-key",)
    # Claude Code says in its user's id which session it is: as JSON in a text, or at the text's end before it was that. What
    # others write there is a person and no session. The other headers are those of agents that speak several protocols.
    session = SessionSignals(
        headers=("x-claude-code-session-id", "x-session-id", "x-session-affinity"),
        body=(("metadata", "user_id"),),
        part=r'(?:"session_id"\s*:\s*"|_session_)([\w-]+)',
    )
    stateful = True
    stored = frozenset({"container"})
    usage_at_start = True
    # What the API says of names that it refuses: "String should match pattern".
    tool_name = r"[a-zA-Z0-9_-]{1,128}"
    tool_id = r"[a-zA-Z0-9_-]+"

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
        """Write the answer to a request that asked for a count of tokens."""
        return to_json({"input_tokens": usage.input})

    def decode_count(self, raw: bytes) -> Usage:
        """Read an upstream's count of tokens. Raises `ValueError`."""
        usage = reading.glance(raw).usage
        if usage is None:
            raise ValueError("the answer is no count of tokens")
        return usage

    def refuses_signature(self, error: Error) -> bool:
        """Tell whether an error says that a signature in the request is not valid."""
        return errors.refuses_signature(error)

    def glance(self, raw: bytes) -> Glance:
        """Look at a whole answer. Raises `ValueError` when it is neither an answer nor an error."""
        return reading.glance(raw)

    def minted(self, raw: bytes) -> Ids:
        """Return the container in which the code of an answer ran. Signatures can be read by every account."""
        return containers.minted(raw)

    def named(self, raw: bytes, params: Mapping[str, str]) -> Ids:
        """Return the container that a request names."""
        return containers.named(raw)

    def usage_of(self, event: Event) -> Usage | None:
        """Return the token counts of an event without decoding the rest of it."""
        return reading.usage_of(event)

    def decode_stream(self) -> StreamDecoder:
        """Return a decoder for a new stream."""
        return MessagesStreamDecoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        """Return an encoder for a new stream that answers `request`."""
        return MessagesStreamEncoder(losses, self.event, self.event_type)

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
        return MessagesFollower(self.event)

    def terminal(self, event: Event) -> bool:
        """Tell whether this is the end of the stream: `message_stop`, or an error."""
        return reading.type_of(event) in ("message_stop", "error")

    def ends(self, event: Event) -> bool:
        """Tell whether the answer's ending begins here: why it ended, its stop, an error."""
        return reading.type_of(event) in ("message_delta", "message_stop", "error")

    def commits(self, event: Event) -> bool:
        """Tell whether this event is output: one of the dialect's own that is no error; whatever else comes first is no answer."""
        return event.data.startswith(b"{") and reading.type_of(event) not in ("", "error")

    def lifecycle(self, event: Event) -> bool:
        """Tell whether this is a ping, or the beginning of a message that holds nothing yet."""
        return reading.is_empty(event)

    def read(self, event: Event) -> Sequence[Delta]:
        """Return what an event says, without knowing those before it."""
        return reading.read(event)

    def text_path(self, event: Event) -> Path | None:
        """Return where the words stand that an event adds; None when it adds none."""
        return reading.text_path(event)

    def with_text(self, event: Event, text: str) -> Event:
        """Return `event` with its words replaced."""
        quick = reading.with_words(event, text)
        return quick if quick is not None else super().with_text(event, text)
