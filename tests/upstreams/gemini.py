"""Google's Gemini API.

Sources: `gemini_fields`; https://ai.google.dev/gemini-api/docs (function calling, thinking, thought signatures, structured
output, error codes); recorded traffic for chunks, line ends (CRLF), where usage, signatures and the reason of the end stand.
The rules stand in `gemini_rules`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tests.upstreams import gemini_rules
from tests.upstreams.gemini_fields import read
from tests.upstreams.provider import Asked, Json, Provider, in_stream, thoughts
from tests.upstreams.refusal import Refused
from tests.upstreams.scenario import Failure, Finish, Scenario, ToolCall, words

FINISH: dict[Finish, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tools": "STOP",
    "filter": "SAFETY",
    "refusal": "STOP",
    "stop_sequence": "STOP",
}

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_PATH = "/v1(beta)?/models/(?P<model>[^:/]+)"


class Gemini(Provider):
    """The Gemini API, in the versions v1 and v1beta."""

    routes = (
        ("POST", f"{_PATH}:(?P<method>generateContent|streamGenerateContent)", "generate"),
        ("POST", f"{_PATH}:countTokens", "count"),
        ("POST", f"{_PATH}:(?P<method>embedContent|batchEmbedContents)", "embed"),
        ("GET", "/v1(beta)?/models", "models"),
        ("GET", f"{_PATH}", "model"),
    )
    models: ClassVar[tuple[str, ...]] = ("gemini-3.8-flash", "gemini-2.5-flash")

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Want a key in Google's header or in the query."""
        if not headers.get("x-goog-api-key") and not query.get("key"):
            raise Refused((), "Method doesn't allow unregistered callers (callers without established identity).", status=403)

    def read(self, asked: Asked) -> None:
        """Find the model and whether the answer is streamed: the path says both."""
        asked.model = asked.variables.get("model", "")
        asked.stream = asked.variables.get("method") == "streamGenerateContent"

    def check(self, asked: Asked) -> None:
        """Refuse a request that breaks a rule; what is left of it is in camel case."""
        asked.body = read(asked.body, "GenerateContentRequest")
        gemini_rules.check(asked.body, asked.model, self.mint)

    def side(self, asked: Asked) -> Json:
        """Answer requests for models, counts and embeddings."""
        if asked.name == "models":
            return {"models": [self._model(name) for name in self.models]}
        if asked.name == "model":
            return self._model(asked.model)
        if asked.name == "count":
            body = read(asked.body, "CountTokensRequest")
            if "contents" in body and "generateContentRequest" in body:
                raise Refused((), "contents and generateContentRequest cannot both be given", "value")
            total = len(json.dumps(asked.body)) // 4
            return {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
        if asked.variables["method"] == "embedContent":
            read(asked.body, "EmbedContentRequest")
            return {"embedding": {"values": [0.5, -0.25, 0.0]}}
        given = read(asked.body, "BatchEmbedContentsRequest")["requests"]
        return {"embeddings": [{"values": [0.5, -0.25, float(number)]} for number in range(len(given))]}

    @staticmethod
    def _model(name: str) -> Json:
        methods = ["generateContent", "countTokens", "batchGenerateContent"]
        return {"name": f"models/{name}", "displayName": name.title(), "version": "001", "supportedGenerationMethods": methods}

    def refusal(self, refused: Refused) -> Json:
        """Word a refusal as Google does."""
        path = ".".join(re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), str(step)) for step in refused.path[:-1])
        path = re.sub(r"\.(\d+)", r"[\1]", path)
        message = refused.message
        if refused.kind == "unknown":
            message = f"Invalid JSON payload received. Unknown name \"{refused.path[-1]}\" at '{path}': Cannot find field."
        elif refused.path:
            message = f"* GenerateContentRequest.{path}: {refused.message}\n"
        return {"error": {"code": refused.status, "message": message, "status": STATUS[refused.status]}}

    def failure(self, failure: Failure) -> Json:
        """Word an error that a scenario asks for."""
        status = failure.type or STATUS.get(failure.status, "INTERNAL")
        return {"error": {"code": failure.status, "message": failure.message, "status": status}}

    def media(self, asked: Asked) -> str:
        """Return the content type of a stream: events for `alt=sse`, else one JSON array."""
        return "text/event-stream" if asked.query.get("alt") == "sse" else "application/json; charset=UTF-8"

    # ------------------------------------------------------------------------------------------------ answers

    def plain(self, scenario: Scenario, asked: Asked) -> Json:
        """Return a whole answer."""
        count = (asked.body.get("generationConfig") or {}).get("candidateCount") or 1
        candidates = [_candidate(list(self._parts(s, asked, whole=True)), n, s) for n, s in enumerate(scenario.choices(int(count)))]
        return {"candidates": candidates, "usageMetadata": _usage(scenario), **self._tail(scenario, asked)}

    def _tail(self, scenario: Scenario, asked: Asked) -> Json:
        return {"modelVersion": scenario.model or asked.model, "responseId": self.id("", 22)}

    def _parts(self, scenario: Scenario, asked: Asked, whole: bool = False) -> Iterator[Json]:
        """Return the parts: in a whole answer one each for thought and text, else piece by piece.

        The signature stands on the first call, else on the last text (in a stream: on an empty text of its own).
        """
        config = (asked.body.get("generationConfig") or {}).get("thinkingConfig") or {}
        if scenario.thinking and not scenario.hidden and config.get("includeThoughts"):
            yield from ({"text": piece, "thought": True} for piece in ([scenario.thinking] if whole else thoughts(scenario.thinking)))
        signature = self.mint.make(scenario.thinking, size=180) if scenario.thought or (new(asked.model) and scenario.tool_calls) else ""
        signed = {"thoughtSignature": signature} if signature else {}
        text = scenario.whole or scenario.refusal
        if whole and text:
            yield {"text": text, **({} if scenario.tool_calls else signed)}
        elif text:
            yield from ({"text": piece} for piece in (scenario.pieces or words(text)))
            if signed and not scenario.tool_calls:
                yield {"text": "", **signed}
        for number, call in enumerate(scenario.tool_calls):
            yield {"functionCall": self._call(call, new(asked.model)), **(signed if number == 0 else {})}

    def _call(self, call: ToolCall, with_id: bool) -> Json:
        assert not call.custom, "Gemini has no free text tools"
        name = call.id or (self.id("fc", 6) if with_id else "")
        return {"name": call.name, "args": call.arguments, **({"id": name} if name else {})}

    # ------------------------------------------------------------------------------------------------ streams

    def events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        """Return the chunks of a stream, as events or as the members of an array."""
        sse = asked.query.get("alt") == "sse"
        error = scenario.error_in_stream and self.failure(scenario.error_in_stream)
        chunks = self._chunks(scenario, asked)
        if sse:
            return in_stream(map(_event, chunks), scenario, _event(error) if error else b"")
        members = ((b"[" if number == 0 else b",\r\n") + json.dumps(chunk).encode() for number, chunk in enumerate(chunks))
        return in_stream(_closed(members), scenario, b",\r\n" + json.dumps(error).encode() + b"]")

    def _chunks(self, scenario: Scenario, asked: Asked) -> Iterator[Json]:
        tail = self._tail(scenario, asked)
        parts = list(self._parts(scenario, asked))
        for number, part in enumerate(parts or [None]):
            last = number >= len(parts) - 1
            candidate = _candidate([part] if part else [], 0, scenario if last else None)
            yield {"candidates": [candidate], "usageMetadata": _usage(scenario), **tail}


def new(model: str) -> bool:
    """Whether a model is of the third generation or later: its calls have ids and signatures."""
    found = re.match(r"gemini-(\d+)", model)
    return found is not None and int(found[1]) >= 3


def _candidate(parts: list[Json], index: int, ended: Scenario | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"}, "index": index}
    if ended is None:
        return candidate
    candidate["finishReason"] = FINISH[ended.reason]
    if ended.tool_calls:
        candidate["finishMessage"] = "Model generated function call(s)."
    if ended.searched:
        candidate["groundingMetadata"] = _grounding(ended)
    if ended.logprobs:
        candidate["avgLogprobs"] = -0.25
    return candidate


def _grounding(scenario: Scenario) -> Json:
    chunks = [{"web": {"uri": c.url, "title": c.title}} for c in scenario.citations]
    supports = [
        {
            "segment": {
                "startIndex": _bytes(scenario, c.start),
                "endIndex": _bytes(scenario, c.end),
                "text": scenario.whole[c.start : c.end],
            },
            "groundingChunkIndices": [number],
        }
        for number, c in enumerate(scenario.citations)
    ]
    return {"webSearchQueries": [scenario.searched], "groundingChunks": chunks, "groundingSupports": supports}


def _bytes(scenario: Scenario, characters: int) -> int:
    """Google counts the segments of a text in bytes."""
    return len(scenario.whole[:characters].encode())


def _event(said: Any) -> bytes:
    return f"data: {json.dumps(said, ensure_ascii=False)}\r\n\r\n".encode()


def _closed(members: Iterator[bytes]) -> Iterator[bytes]:
    """Return the members of an array, the last one with its end."""
    held = b""
    for member in members:
        if held:
            yield held
        held = member
    yield held + b"]"


def _usage(scenario: Scenario) -> Json:
    """Return token counts as Google gives them: thinking is not part of the candidates' count, the cache is part of the prompt's."""
    count = scenario.usage
    said: Json = {
        "promptTokenCount": count.input,
        "candidatesTokenCount": count.output - count.thinking,
        "totalTokenCount": count.input + count.output,
    }
    said["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": count.input}]
    if count.thinking:
        said["thoughtsTokenCount"] = count.thinking
    if count.cached:
        said["cachedContentTokenCount"] = count.cached
    return said
