"""Anthropic's Messages.

Sources: the request types of the SDK `anthropic` (the beta ones where a beta is asked for); the API reference and guides at
https://platform.claude.com/docs; recorded traffic for the order of events, pings, the empty first piece of a call's input,
the blanks before closing braces, usage that comes again in `message_delta`. The rules stand in `messages_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_params

from tests.upstreams import messages_rules
from tests.upstreams.declared import check
from tests.upstreams.provider import Asked, Json, Provider, compact, halves, in_stream, thoughts
from tests.upstreams.refusal import Refused, dots
from tests.upstreams.scenario import Failure, Finish, Scenario, ToolCall

FINISH: dict[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tools": "tool_use",
    "filter": "refusal",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
}

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

SAMPLING = frozenset({"temperature", "top_p", "top_k"})
"""Taken by the API of 2023-06-01 though the newest SDK, which speaks that of 2026-10-21, no longer declares them."""
LEGACY = frozenset({"output_format"})
"""How structured output was asked for while it was a beta; still taken."""
_REQUESTS = ("MessageCreateParamsStreaming", "MessageCreateParamsNonStreaming", "MessageCountTokensParams")
ALSO: Mapping[str, frozenset[str]] = dict.fromkeys(_REQUESTS, SAMPLING | LEGACY)


class Messages(Provider):
    """Messages."""

    routes = (
        ("POST", "/v1/messages", "generate"),
        ("POST", "/v1/messages/count_tokens", "count"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/(?P<model>.+)", "model"),
    )
    models: ClassVar[tuple[str, ...]] = ("claude-opus-5-5", "claude-sonnet-4-5")

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Want a key in either header, and the version of the API."""
        if not headers.get("x-api-key") and not headers.get("authorization", "").startswith("Bearer "):
            raise Refused((), "x-api-key header is required", status=401)
        if not headers.get("anthropic-version"):
            raise Refused((), "anthropic-version: header is required")

    def check(self, asked: Asked) -> None:
        """Refuse a request that breaks a rule."""
        beta = "anthropic-beta" in asked.headers
        module = beta_params if beta else message_create_params
        check(asked.body, module.MessageCreateParamsStreaming if asked.stream else module.MessageCreateParamsNonStreaming, (), ALSO)
        messages_rules.check(asked.body, asked.headers, self.mint)

    def side(self, asked: Asked) -> Json:
        """Answer requests for models and counts."""
        if asked.name == "models":
            data = [self._model(name) for name in self.models]
            return {"data": data, "has_more": False, "first_id": self.models[0], "last_id": self.models[-1]}
        if asked.name == "model":
            return self._model(asked.variables["model"])
        module: Any = beta_count_params if "anthropic-beta" in asked.headers else message_count_tokens_params
        check(asked.body, module.MessageCountTokensParams, (), ALSO)
        messages_rules.check_dialogue(asked.body, self.mint)
        return {"input_tokens": len(compact(asked.body)) // 4}

    @staticmethod
    def _model(name: str) -> Json:
        return {"type": "model", "id": name, "display_name": name.title(), "created_at": "2026-01-01T00:00:00Z"}

    def refusal(self, refused: Refused) -> Json:
        """Word a refusal as Anthropic does: the path before the message."""
        known = {"unknown": "Extra inputs are not permitted", "missing": "Field required"}
        message = known.get(refused.kind, refused.message)
        return self._error(TYPES[refused.status], f"{dots(refused.path)}: {message}" if refused.path else message)

    def failure(self, failure: Failure) -> Json:
        """Word an error that a scenario asks for."""
        return self._error(failure.type or TYPES.get(failure.status, "api_error"), failure.message)

    def _error(self, kind: str, message: str) -> Json:
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": self.id("req_011", 21)}

    # ------------------------------------------------------------------------------------------------ answers

    def plain(self, scenario: Scenario, asked: Asked) -> Json:
        """Return a whole answer."""
        return {**self._head(scenario, asked), "content": list(self._blocks(scenario, asked)), **_end(scenario), "usage": _usage(scenario)}

    def _head(self, scenario: Scenario, asked: Asked) -> Json:
        return {"model": scenario.model or asked.model, "id": self.id("msg_01", 22), "type": "message", "role": "assistant"}

    def _blocks(self, scenario: Scenario, asked: Asked) -> Iterator[Json]:
        config = asked.body.get("thinking") or {}
        if scenario.thought and config.get("type") in ("enabled", "adaptive", "between_tools"):
            yield self._thought(scenario, config)
        if scenario.searched:
            yield from self._search(scenario)
        if scenario.whole:
            yield {
                "type": "text",
                "text": scenario.whole,
                **({"citations": [*map(self._citation, scenario.citations)]} if scenario.citations else {}),
            }
        if scenario.refusal:
            yield {"type": "text", "text": scenario.refusal}
        for call in scenario.tool_calls:
            yield self._call(call)

    def _thought(self, scenario: Scenario, config: Json) -> Json:
        if scenario.hidden:
            return {"type": "redacted_thinking", "data": self.mint.make("(redacted)", size=192)}
        shown = "" if config.get("display") == "omitted" else scenario.thinking
        return {"type": "thinking", "thinking": shown, "signature": self.mint.make(shown, size=150)}

    def _call(self, call: ToolCall) -> Json:
        assert not call.custom, "Anthropic has no free text tools"
        return {
            "type": "tool_use",
            "id": call.id or self.id("toolu_01", 22),
            "name": call.name,
            "input": call.arguments,
            "caller": {"type": "direct"},
        }

    def _search(self, scenario: Scenario) -> Iterator[Json]:
        name = self.id("srvtoolu_01", 22)
        found = [
            {"type": "web_search_result", "url": c.url, "title": c.title, "encrypted_content": "RXhhbXBsZQ==", "page_age": None}
            for c in scenario.citations
        ]
        yield {
            "type": "server_tool_use",
            "id": name,
            "name": "web_search",
            "input": {"query": scenario.searched},
            "caller": {"type": "direct"},
        }
        yield {"type": "web_search_tool_result", "tool_use_id": name, "content": found, "caller": {"type": "direct"}}

    @staticmethod
    def _citation(citation: Any) -> Json:
        place = {"url": citation.url, "title": citation.title, "cited_text": citation.quote, "encrypted_index": "RWluZGV4"}
        return {"type": "web_search_result_location", **place}

    # ------------------------------------------------------------------------------------------------ streams

    def events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        """Return the events of a stream."""
        error = scenario.error_in_stream and _event("error", self.failure(scenario.error_in_stream))
        return in_stream(self._events(scenario, asked), scenario, error or b"")

    def _events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        start = {**self._head(scenario, asked), "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
        yield _event("message_start", {"message": {**start, "usage": {**_usage(scenario), "output_tokens": 1}}})
        blocks = list(self._blocks(scenario, asked))
        for index, block in enumerate(blocks):
            empty, deltas = _opened(block, scenario)
            yield _event("content_block_start", {"index": index, "content_block": empty})
            if index == 0:
                yield b'event: ping\ndata: {"type": "ping"}\n\n'
            for delta in deltas:
                yield _event("content_block_delta", {"index": index, "delta": delta})
            yield _event("content_block_stop", {"index": index})
        yield _event("message_delta", {"delta": _end(scenario), "usage": _usage(scenario, last=True)})
        yield _event("message_stop", {})


def _opened(block: Json, scenario: Scenario) -> tuple[Json, list[Json]]:
    """Return a block as it begins, and the deltas that fill it. Blocks of server tools and redacted thoughts come whole."""
    kind = block["type"]
    if kind == "text":
        pieces = scenario.pieces if block["text"] == scenario.whole else thoughts(block["text"])
        cited = [{"type": "citations_delta", "citation": c} for c in block.get("citations", ())]
        empty: Json = {"type": "text", "text": "", **({"citations": []} if cited else {})}
        return empty, [*cited, *({"type": "text_delta", "text": piece} for piece in pieces)]
    if kind == "thinking":
        pieces = thoughts(block["thinking"])
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*({"type": "thinking_delta", "thinking": p} for p in pieces), signed]
    if kind in ("tool_use", "server_tool_use"):
        pieces = ["", *(halves(compact(block["input"])) if block["input"] else ())]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def _event(name: str, said: Json) -> bytes:
    """Return an event with blanks before its last brace, as many as its length asks for."""
    data = compact(said if "type" in said else {"type": name, **said})
    return f"event: {name}\ndata: {data[:-1]}{' ' * (len(data) % 5)}}}\n\n".encode()


def _end(scenario: Scenario) -> Json:
    reason = FINISH[scenario.reason]
    details = {"type": "refusal", "category": None, "explanation": scenario.refusal or None} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": scenario.stop_sequence or None, "stop_details": details}


def _usage(scenario: Scenario, last: bool = False) -> Json:
    """Return token counts as Anthropic gives them: those read from and written to the cache are not part of `input_tokens`."""
    count = scenario.usage
    said: Json = {
        "input_tokens": count.input - count.cached - count.written,
        "cache_creation_input_tokens": count.written,
        "cache_read_input_tokens": count.cached,
    }
    if not last:
        said["cache_creation"] = {"ephemeral_5m_input_tokens": count.written, "ephemeral_1h_input_tokens": 0}
    said["output_tokens"] = count.output
    said["output_tokens_details"] = {"thinking_tokens": count.thinking}
    if scenario.searched:
        said["server_tool_use"] = {"web_search_requests": 1, "web_fetch_requests": 0}
    return said if last else {**said, "service_tier": "standard", "inference_geo": "not_available"}
