"""OpenAI's Chat Completions.

Sources: the request types of the SDK `openai`; https://platform.openai.com/docs/api-reference/chat/create (limits of `n`,
`stop`, `metadata`, `top_logprobs`, `stream_options` with streams alone);
https://platform.openai.com/docs/guides/function-calling (each call is answered by a message of the role `tool` directly
behind it); https://platform.openai.com/docs/guides/reasoning (what reasoning models do not take). The wording of errors, the
order of chunks and where the usage stands are those of recorded traffic.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, ClassVar

from openai.types import embedding_create_params
from openai.types.chat import completion_create_params

from tests.upstreams import chat_rules
from tests.upstreams.declared import check
from tests.upstreams.provider import CREATED, Asked, Json, Provider, compact, halves, in_stream
from tests.upstreams.refusal import Refused, brackets
from tests.upstreams.scenario import Failure, Finish, Scenario, ToolCall, words

FINISH: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tools": "tool_calls",
    "filter": "content_filter",
    "refusal": "stop",
    "stop_sequence": "stop",
}

TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 403: "invalid_request_error", 404: "invalid_request_error"}


class OpenAI(Provider):
    """What all of OpenAI's endpoints share: the shape of errors, the list of models, embeddings."""

    models: ClassVar[tuple[str, ...]] = ("gpt-5.5", "gpt-4o")

    def refusal(self, refused: Refused) -> Json:
        """Word a refusal as OpenAI does: the offending parameter in the message and in `param`."""
        param = brackets(refused.path)
        messages = {
            "unknown": f"Unknown parameter: '{param}'.",
            "missing": f"Missing required parameter: '{param}'.",
            "type": f"Invalid type for '{param}': {refused.message}.",
            "value": f"Invalid '{param}': {refused.message}.",
        }
        codes = {"unknown": "unknown_parameter", "missing": "missing_required_parameter", "type": "invalid_type", "value": "invalid_value"}
        message = messages.get(refused.kind, refused.message) if refused.code is None else refused.message
        code = refused.code or codes.get(refused.kind)
        return {"error": {"message": message, "type": "invalid_request_error", "param": param or None, "code": code}}

    def failure(self, failure: Failure) -> Json:
        """Word an error that a scenario asks for."""
        usual = {429: ("requests", "rate_limit_exceeded"), 503: ("server_error", None)}
        kind, code = usual.get(failure.status, (TYPES.get(failure.status, "server_error"), None))
        return {"error": {"message": failure.message, "type": failure.type or kind, "param": None, "code": failure.code or code}}

    def side(self, asked: Asked) -> Json:
        """Answer requests for models and embeddings."""
        if asked.name == "models":
            return {"object": "list", "data": [self._model(name) for name in self.models]}
        if asked.name == "model":
            return self._model(asked.variables["model"])
        check(asked.body, embedding_create_params.EmbeddingCreateParams)
        given = asked.body["input"]
        texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return {"object": "list", "model": asked.model, "data": [_embedding(n, asked) for n in range(len(texts))], "usage": usage}

    @staticmethod
    def _model(name: str) -> Json:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


class Chat(OpenAI):
    """Chat Completions.

    `reasoning`: the member that shows a thought (`reasoning_content` as DeepSeek, or `reasoning` as OpenRouter), which then is also
    taken back in the messages of the assistant. None, the default, is OpenAI itself: it shows no thought and refuses both.
    """

    routes = (
        ("POST", "/v1/chat/completions", "generate"),
        ("POST", "/v1/embeddings", "embed"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/(?P<model>.+)", "model"),
    )

    def __init__(self, mint: Any, reasoning: str | None = None) -> None:
        super().__init__(mint)
        self.reasoning = reasoning

    def check(self, asked: Asked) -> None:
        """Refuse a request that breaks a rule."""
        kind = (
            completion_create_params.CompletionCreateParamsStreaming
            if asked.stream
            else completion_create_params.CompletionCreateParamsNonStreaming
        )
        assistant = frozenset({"annotations", *([self.reasoning] if self.reasoning else [])})
        check(
            asked.body, kind, (), {"ChatCompletionAssistantMessageParam": assistant, "ChatCompletionToolMessageParam": frozenset({"name"})}
        )
        chat_rules.check(asked.body)

    # ------------------------------------------------------------------------------------------------ answers

    def plain(self, scenario: Scenario, asked: Asked) -> Json:
        """Return a whole answer."""
        choices = [
            {"index": n, "message": self._message(s), "logprobs": _logprobs(s, s.whole), "finish_reason": FINISH[s.reason]}
            for n, s in enumerate(scenario.choices(asked.body.get("n") or 1))
        ]
        return {**self._head(scenario, asked, "chat.completion"), "choices": choices, "usage": usage(scenario), **_TAIL}

    def _head(self, scenario: Scenario, asked: Asked, kind: str) -> Json:
        return {"id": self.id("chatcmpl-", 29), "object": kind, "created": CREATED, "model": scenario.model or asked.model}

    def _message(self, scenario: Scenario) -> Json:
        message: Json = {"role": "assistant", "content": scenario.whole or None}
        if scenario.thinking and self.reasoning:
            message[self.reasoning] = scenario.thinking
        if scenario.tool_calls:
            message["tool_calls"] = [self._call(call) for call in scenario.tool_calls]
        message["refusal"] = scenario.refusal or None
        message["annotations"] = [_annotation(c) for c in scenario.citations]
        return message

    def _call(self, call: ToolCall) -> Json:
        head = {"id": call.id or self.id("call_", 24)}
        if call.custom:
            return {**head, "type": "custom", "custom": {"name": call.name, "input": call.said}}
        return {**head, "type": "function", "function": {"name": call.name, "arguments": call.said}}

    # ------------------------------------------------------------------------------------------------ streams

    def events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        """Return the chunks of a stream, and `[DONE]`."""
        error = scenario.error_in_stream and _event(self.failure(scenario.error_in_stream))
        return in_stream(self._events(scenario, asked), scenario, error or b"")

    def _events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        head = {**self._head(scenario, asked, "chat.completion.chunk"), **_TAIL}
        with_usage = bool((asked.body.get("stream_options") or {}).get("include_usage"))
        nothing: Json = {"usage": None} if with_usage else {}
        for index, answer in enumerate(scenario.choices(asked.body.get("n") or 1)):
            for number, (delta, finish, logprobs) in enumerate(self._deltas(answer)):
                choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
                yield _event({**head, "choices": [choice], **nothing, "obfuscation": "x" * (number % 7)})
        if with_usage:
            yield _event({**head, "choices": [], "usage": usage(scenario), "obfuscation": ""})
        yield b"data: [DONE]\n\n"

    def _deltas(self, scenario: Scenario) -> Iterator[tuple[Json, str | None, Any]]:
        yield {"role": "assistant", "content": "" if scenario.whole or not scenario.tool_calls else None, "refusal": None}, None, None
        if scenario.thinking and self.reasoning:
            for piece in words(scenario.thinking):
                yield {self.reasoning: piece}, None, None
        for piece in scenario.pieces:
            yield {"content": piece}, None, _logprobs(scenario, piece)
        for piece in words(scenario.refusal):
            yield {"refusal": piece}, None, None
        if scenario.citations:
            yield {"annotations": [_annotation(c) for c in scenario.citations]}, None, None
        for index, call in enumerate(scenario.tool_calls):
            yield from ((delta, None, None) for delta in self._call_deltas(index, call))
        yield {}, FINISH[scenario.reason], None

    def _call_deltas(self, index: int, call: ToolCall) -> Iterator[Json]:
        whole = self._call(call)
        kind, member = ("custom", "input") if call.custom else ("function", "arguments")
        yield {"tool_calls": [{"index": index, **whole, kind: {"name": call.name, member: ""}}]}
        for piece in halves(call.said):
            yield {"tool_calls": [{"index": index, kind: {member: piece}}]}


_TAIL = {"service_tier": "default", "system_fingerprint": "fp_0123456789"}


def _event(said: Json) -> bytes:
    return f"data: {compact(said)}\n\n".encode()


def usage(scenario: Scenario) -> Json:
    """Return token counts as OpenAI gives them: those of thinking and of the cache are parts of the others."""
    count = scenario.usage
    return {
        "prompt_tokens": count.input,
        "completion_tokens": count.output,
        "total_tokens": count.input + count.output,
        "prompt_tokens_details": {"cached_tokens": count.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": count.thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _annotation(citation: Any) -> Json:
    place = {"start_index": citation.start, "end_index": citation.end, "title": citation.title, "url": citation.url}
    return {"type": "url_citation", "url_citation": place}


def _logprobs(scenario: Scenario, text: str) -> Json | None:
    if not scenario.logprobs:
        return None
    found = [{"token": t, "logprob": -0.25, "bytes": list(t.encode()), "top_logprobs": []} for t in words(text)]
    return {"content": found, "refusal": None}


def _embedding(index: int, asked: Asked) -> Json:
    vector: Any = [0.5, -0.25, float(index)]
    if asked.body.get("encoding_format") == "base64":
        import struct

        vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
    return {"object": "embedding", "index": index, "embedding": vector}
