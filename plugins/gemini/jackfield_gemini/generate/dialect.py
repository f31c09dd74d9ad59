"""The dialect `gemini.generate`: its data, and the codec's functions under the names of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import structs

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
from jackfield_gemini.generate import errors, lists, reading, requests, responses
from jackfield_gemini.generate.encoding import GenerateStreamEncoder
from jackfield_gemini.generate.extras import NAME
from jackfield_gemini.generate.follower import GenerateFollower
from jackfield_gemini.generate.framing import JSON_ARRAY
from jackfield_gemini.generate.signing import TAGGED
from jackfield_gemini.generate.streams import GenerateStreamDecoder

_VERSIONS: Final = ("v1beta", "v1")
"""Google's own SDK calls the second since its version 3, the first before; only the first is called upstream, for the
second has no `parametersJsonSchema`."""
_CALLS: Final[tuple[tuple[str, Operation], ...]] = (
    ("generateContent", "generate"), ("countTokens", "count"), ("embedContent", "embed"), ("batchEmbedContents", "embed"),
)  # fmt: skip
_STREAM: Final = "streamGenerateContent"


def _endpoints() -> Iterator[Endpoint]:
    for version in _VERSIONS:
        for method, operation in _CALLS:
            path = f"/models/{{model}}:{method}"
            yield Endpoint(path=f"/{version}{path}", operation=operation, upstream=path, model=None)
        path, sse = f"/models/{{model}}:{_STREAM}", ("alt", "sse")
        streamed = Endpoint(path=f"/{version}{path}", operation="generate", upstream=f"{path}?alt=sse", model=None, stream=True)
        yield structs.replace(streamed, when_query=sse)
        yield structs.replace(streamed, framing=JSON_ARRAY)
        # Other dialects have lists under /v1, too: there the header tells whose client asks.
        header, listed = (None, "/models?pageSize=1000") if version == _VERSIONS[0] else ("x-goog-api-key", None)
        yield Endpoint(method="GET", path=f"/{version}/models", operation="models", upstream=listed, model=None, when_header=header)
        yield Endpoint(method="GET", path=f"/{version}/models/{{model}}", operation="model", model=None, when_header=header)


class GenerateDialect(Dialect):
    """Google's `generateContent`, as the Gemini API and its clients write it."""

    name = NAME
    endpoints = tuple(_endpoints())
    framing = SSE
    # A stream has no end marker, and several candidates may end one after the other: only an error is the last word for sure.
    needles = Needles(
        terminal=(b'"error"',),
        usage=(b'"usageMetadata"',),
        error=(b'"error"',),
        model=(("modelVersion",),),
        tagged=(b"jf1.", TAGGED),
    )
    # Comments are fatal to Google's own SDK, its command line and most others.
    keepalive = None
    # How long a client waits for the server; who the client is (`x-goog-api-client`) is its own matter.
    request_headers = frozenset({"x-server-timeout"})
    response_headers = frozenset({"retry-after", "server-timing"})
    key_headers = ("x-goog-api-key",)
    key_query = ("key",)
    # A context that was cached belongs to one account. Google's own command line names no session; the headers are those of
    # agents that speak several protocols.
    session = SessionSignals(headers=("x-session-id", "x-session-affinity"), cache=(("cachedContent",), ("cached_content",)))
    stored = frozenset({"cachedContent"})
    # API reference, `FunctionDeclaration.name`. It allows 128 characters by now; older models' references say 64.
    tool_name = r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"

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
        """Write a count of tokens."""
        return lists.encode_count(usage)

    def decode_count(self, raw: bytes) -> Usage:
        """Read an upstream's count of tokens. Raises `ValueError`."""
        return lists.decode_count(raw)

    def refuses_signature(self, error: Error) -> bool:
        """Tell whether an error says that a thought signature is not valid; one that is missing cannot be helped by taking out more."""
        said = error.message.lower().replace("_", " ")
        return error.status == 400 and "thought signature" in said and "missing" not in said

    def glance(self, raw: bytes) -> Glance:
        """Look at a whole answer. Raises `ValueError` when it is none; an answer that failed, or is empty, is an error."""
        return reading.glance(raw)

    def usage_of(self, event: Event) -> Usage | None:
        """Return the token counts of a chunk without reading the rest of it."""
        return reading.usage_of(event)

    def decode_stream(self) -> StreamDecoder:
        """Return a decoder for a new stream."""
        return GenerateStreamDecoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        """Return an encoder for a new stream that answers `request`."""
        return GenerateStreamEncoder(request, losses, self.event)

    def decode_error(self, status: int, headers: Headers, raw: bytes) -> Error:
        """Read an upstream's error answer, whatever it is; also an answer of status 200 that failed."""
        return reading.failure(raw) or errors.decode_error(status, headers, raw)

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
        return GenerateFollower(self.event)

    def terminal(self, event: Event) -> bool:
        """Tell whether this is an error: nothing follows one. A stream that went well is over when its connection is."""
        return b'"error"' in event.frame and errors.read_error(event.json) is not None

    def ends(self, event: Event) -> bool:
        """Tell whether the answer's ending begins here: a finish reason, a refused prompt or an error."""
        frame = event.frame
        if b"inish" not in frame and b'"error"' not in frame and b"eedback" not in frame:
            return False
        return self.terminal(event) or event.finish is not None

    def commits(self, event: Event) -> bool:
        """Tell whether this event is output: no error, and no answer that failed or ended without a word."""
        return reading.commits(event)

    def lifecycle(self, event: Event) -> bool:
        """Tell whether this is a chunk without any words: counts, ids, an empty part."""
        return reading.is_empty(event)

    def read(self, event: Event) -> Sequence[Delta]:
        """Return what an event says, without knowing those before it."""
        return reading.read(event)

    def text_path(self, event: Event) -> Path | None:
        """Return where the first words stand that an event adds; None when it adds none."""
        return next(iter(reading.text_paths(event)), None)

    def with_text(self, event: Event, text: str) -> Event:
        """Return `event` with its words replaced: the first by `text`, others by nothing."""
        quick = reading.with_words(event, text)
        if quick is not None:
            return quick
        paths = reading.text_paths(event)
        return event.with_changes({path: "" if at else text for at, path in enumerate(paths)}) if paths else event

    def text_event(self, text: str, like: Event | None) -> Event | None:
        """Make a new event that adds words to the first candidate, with the ids of `like`."""
        chunk: Any = like.json if like is not None else None
        said = chunk if isinstance(chunk, dict) else {}
        head = {key: said[key] for key in ("modelVersion", "responseId") if isinstance(said.get(key), str)}
        return self.event({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}], **head})
