"""OpenAI's Responses.

Sources: the request types of the SDK `openai`; https://platform.openai.com/docs/api-reference/responses and
`/responses-streaming` (events and their order: each item and each part of it is added, filled, done; sequence numbers from
0); the guides on reasoning (reasoning items come back with what followed them, encrypted where nothing is stored), function
calling and conversation state. The rules stand in `responses_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types.responses import input_token_count_params, response_create_params

from tests.upstreams import responses_rules
from tests.upstreams.chat import OpenAI
from tests.upstreams.declared import check
from tests.upstreams.provider import CREATED, Asked, Json, compact, halves, in_stream, thoughts
from tests.upstreams.refusal import Refused
from tests.upstreams.scenario import Scenario, ToolCall, words

ALSO = {
    # what OpenAI's own client Codex sends
    "ResponseCreateParamsStreaming": frozenset({"client_metadata"}),
    "ResponseCreateParamsNonStreaming": frozenset({"client_metadata"}),
    "EasyInputMessageParam": frozenset({"id", "status"}),
    "ResponseCustomToolCallParam": frozenset({"status"}),
    "WebSearchToolParam": frozenset({"search_content_types", "external_web_access"}),
    "Message": frozenset({"id"}),
    # what the API fills in, or takes without
    "ResponseInputImageParam": frozenset({"!detail"}),
    "ResponseOutputMessageParam": frozenset({"!id", "!status"}),
    "ResponseOutputTextParam": frozenset({"!annotations"}),
    "FunctionToolParam": frozenset({"!strict", "!parameters"}),
    "ResponseReasoningItemParam": frozenset({"!id"}),
}


class Responses(OpenAI):
    """Responses. What is not sent with `store: false` is kept, to be asked for and to be gone on with."""

    routes = (
        ("POST", "/v1/responses", "generate"),
        ("POST", "/v1/responses/input_tokens", "count"),
        ("GET", "/v1/responses/(?P<id>[^/]+)", "fetch"),
        ("DELETE", "/v1/responses/(?P<id>[^/]+)", "delete"),
        ("GET", "/v1/responses/(?P<id>[^/]+)/input_items", "inputs"),
        ("POST", "/v1/embeddings", "embed"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/(?P<model>.+)", "model"),
    )

    def __init__(self, mint: Any) -> None:
        super().__init__(mint)
        self.stored: dict[str, Json] = {}
        self.histories: dict[str, list[Json]] = {}

    def check(self, asked: Asked) -> None:
        """Refuse a request that breaks a rule."""
        kind = (
            response_create_params.ResponseCreateParamsStreaming
            if asked.stream
            else response_create_params.ResponseCreateParamsNonStreaming
        )
        check(_plain(asked.body), kind, (), ALSO)
        responses_rules.check(asked.body, self.history(asked.body), self.mint, self.stored_items())

    def history(self, body: Json) -> list[Json]:
        """Return the items that stand before those of the request."""
        previous = body.get("previous_response_id")
        if previous is None:
            return []
        if previous not in self.stored:
            message = f"Previous response with id '{previous}' not found."
            raise Refused(("previous_response_id",), message, code="previous_response_not_found")
        return self.histories[previous]

    def stored_items(self) -> set[str]:
        """Return the ids of all items that are kept."""
        return {item["id"] for response in self.stored.values() for item in response["output"]}

    def side(self, asked: Asked) -> Json:
        """Answer requests for counts, stored responses, models and embeddings."""
        if asked.name == "count":
            check(asked.body, input_token_count_params.InputTokenCountParams, (), ALSO)
            responses_rules.check_items(responses_rules.items(asked.body), self.mint, self.stored_items())
            return {"object": "response.input_tokens", "input_tokens": len(compact(asked.body)) // 4}
        if asked.name not in ("fetch", "delete", "inputs"):
            return super().side(asked)
        name = asked.variables["id"]
        if name not in self.stored:
            raise Refused((), f"Response with id '{name}' not found.", status=404)
        if asked.name == "inputs":
            data = [{**item, "id": item.get("id", f"msg_{n}")} for n, item in enumerate(self.histories[name])]
            return {"object": "list", "data": data, "has_more": False, "first_id": None, "last_id": None}
        if asked.name == "delete":
            del self.stored[name]
            return {"id": name, "object": "response.deleted", "deleted": True}
        return self.stored[name]

    # ------------------------------------------------------------------------------------------------ answers

    def plain(self, scenario: Scenario, asked: Asked) -> Json:
        """Return a whole answer."""
        return self._finish(self._head(scenario, asked), scenario, asked, self._items(scenario, asked))

    def _head(self, scenario: Scenario, asked: Asked) -> Json:
        body = asked.body
        defaults: Json = {
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "max_tool_calls": None,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "safety_identifier": None,
            "store": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "user": None,
            "metadata": {},
        }
        echoed = {name: body.get(name) if body.get(name) is not None else default for name, default in defaults.items()}
        reasoning = {"effort": None, "summary": None, **(body.get("reasoning") or {})}
        return {
            "id": self.id("resp_0", 48),
            "object": "response",
            "created_at": CREATED,
            "status": "in_progress",
            **echoed,
            "model": scenario.model or asked.model,
            "output": [],
            "reasoning": reasoning,
            "service_tier": "default",
            "text": {"format": {"type": "text"}, "verbosity": "medium", **(body.get("text") or {})},
            "tools": _echo(body.get("tools") or []),
            "usage": None,
        }

    def _finish(self, head: Json, scenario: Scenario, asked: Asked, output: list[Json]) -> Json:
        reason = {"length": "max_output_tokens", "filter": "content_filter"}.get(scenario.reason)
        status = "incomplete" if reason else "completed"
        end: Json = {
            "status": status,
            "incomplete_details": {"reason": reason} if reason else None,
            "completed_at": None if reason else CREATED + 1,
        }
        done = {**head, **end, "output": output, "usage": _usage(scenario)}
        if asked.body.get("store") is not False:
            self.stored[done["id"]] = done
            self.histories[done["id"]] = [*self.history(asked.body), *responses_rules.items(asked.body), *output]
        return done

    def _items(self, scenario: Scenario, asked: Asked) -> list[Json]:
        items = []
        if scenario.thought:
            items.append(self._reasoning(scenario, asked.body))
        if scenario.searched:
            action = {"type": "search", "query": scenario.searched, "sources": None}
            items.append({"id": self.id("ws_0", 48), "type": "web_search_call", "status": "completed", "action": action})
        status = "incomplete" if scenario.reason in ("length", "filter") else "completed"
        if scenario.whole or scenario.refusal:
            items.append(
                {"id": self.id("msg_0", 48), "type": "message", "status": status, "role": "assistant", "content": _content(scenario)}
            )
        return [*items, *map(self._call, scenario.tool_calls)]

    def _reasoning(self, scenario: Scenario, body: Json) -> Json:
        shown = bool((body.get("reasoning") or {}).get("summary")) and not scenario.hidden
        summary = [{"type": "summary_text", "text": scenario.thinking}] if shown else []
        item: Json = {"id": self.id("rs_0", 48), "type": "reasoning", "summary": summary}
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            item["encrypted_content"] = self.mint.make(scenario.thinking, size=210, urlsafe=True, prefix="gAAAAAB")
        return item

    def _call(self, call: ToolCall) -> Json:
        space = {"namespace": call.namespace} if call.namespace else {}
        head = {"status": "completed", "call_id": call.id or self.id("call_", 24), "name": call.name, **space}
        if call.custom:
            return {"id": self.id("ctc_0", 48), "type": "custom_tool_call", **head, "input": call.said}
        return {"id": self.id("fc_0", 48), "type": "function_call", **head, "arguments": call.said}

    # ------------------------------------------------------------------------------------------------ streams

    def events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        """Return the events of a stream."""
        head = self._head(scenario, asked)
        return in_stream(_numbered(self._events(scenario, asked, head)), scenario, self._failed(scenario, head))

    def _failed(self, scenario: Scenario, head: Json) -> bytes:
        failure = scenario.error_in_stream
        if failure is None:
            return b""
        code = failure.code or ("rate_limit_exceeded" if failure.status == 429 else "server_error")
        error = {"type": "error", "sequence_number": scenario.after, "code": code, "message": failure.message, "param": None}
        failed = {**head, "status": "failed", "error": {"code": code, "message": failure.message}}
        return _event(error) + _event({"type": "response.failed", "sequence_number": scenario.after + 1, "response": failed})

    def _events(self, scenario: Scenario, asked: Asked, head: Json) -> Iterator[Json]:
        yield {"type": "response.created", "response": head}
        yield {"type": "response.in_progress", "response": head}
        items = self._items(scenario, asked)
        for index, item in enumerate(items):
            yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
            for event in _filling(item, scenario):
                yield {**event, "item_id": item["id"], "output_index": index}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        done = self._finish(head, scenario, asked, items)
        yield {"type": f"response.{done['status']}", "response": done}


def _plain(body: Json) -> Json:
    """Return a request as the SDK declares it: all items with a type, and without what Codex says of each to OpenAI alone."""
    if not isinstance(body.get("input"), list):
        return body
    items = [dict(item) if isinstance(item, dict) else item for item in responses_rules.items(body)]
    for item in items:
        if isinstance(item, dict):
            item.pop("internal_chat_message_metadata_passthrough", None)
    return {**body, "input": items}


def _echo(tools: list[Json]) -> list[Json]:
    """Return tools as they are echoed: functions get the members that they were not given."""
    return [{"description": None, "strict": True, **tool} if tool["type"] == "function" else tool for tool in tools]


def _content(scenario: Scenario) -> list[Json]:
    if scenario.refusal:
        return [{"type": "refusal", "refusal": scenario.refusal}]
    cited = [
        {"type": "url_citation", "url": c.url, "title": c.title, "start_index": c.start, "end_index": c.end} for c in scenario.citations
    ]
    return [{"type": "output_text", "text": scenario.whole, "annotations": cited, "logprobs": _logprobs(scenario, scenario.whole)}]


def _logprobs(scenario: Scenario, text: str) -> list[Json]:
    if not scenario.logprobs:
        return []
    return [{"token": t, "logprob": -0.25, "bytes": list(t.encode()), "top_logprobs": []} for t in words(text)]


def _begun(item: Json) -> Json:
    """Return an item as it is when it is added: nothing in it yet."""
    empty: dict[str, Json] = {
        "message": {"content": [], "status": "in_progress"},
        "reasoning": {"summary": []},
        "function_call": {"arguments": "", "status": "in_progress"},
        "custom_tool_call": {"input": "", "status": "in_progress"},
        "web_search_call": {"status": "in_progress"},
    }
    begun = {**item, **empty[item["type"]]}
    if item["type"] == "web_search_call":
        del begun["action"]
    if "encrypted_content" in item:  # that of the beginning differs from the one that counts
        begun["encrypted_content"] = item["encrypted_content"][:64]
    return begun


def _filling(item: Json, scenario: Scenario) -> Iterator[Json]:
    """Return the events between an item's addition and its end."""
    kind = item["type"]
    if kind == "message":
        yield from _part(item["content"][0], scenario)
    elif kind == "reasoning":
        for index, part in enumerate(item["summary"]):
            yield from ({**event, "summary_index": index} for event in _summary(part))
    elif kind == "web_search_call":
        yield from ({"type": f"response.web_search_call.{step}"} for step in ("in_progress", "searching", "completed"))
    else:
        name, member = ("function_call_arguments", "arguments") if kind == "function_call" else ("custom_tool_call_input", "input")
        for piece in halves(item[member]):
            yield _padded({"type": f"response.{name}.delta", "delta": piece})
        named = {"name": item["name"]} if kind == "function_call" else {}
        yield {"type": f"response.{name}.done", member: item[member], **named}


def _part(part: Json, scenario: Scenario) -> Iterator[Json]:
    place = {"content_index": 0}
    if part["type"] == "refusal":
        yield {"type": "response.content_part.added", **place, "part": {"type": "refusal", "refusal": ""}}
        for piece in words(part["refusal"]):
            yield _padded({"type": "response.refusal.delta", **place, "delta": piece})
        yield {"type": "response.refusal.done", **place, "refusal": part["refusal"]}
    else:
        yield {
            "type": "response.content_part.added",
            **place,
            "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
        }
        for piece in scenario.pieces:
            yield _padded({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": _logprobs(scenario, piece)})
        for index, annotation in enumerate(part["annotations"]):
            yield {"type": "response.output_text.annotation.added", **place, "annotation_index": index, "annotation": annotation}
        yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": part["logprobs"]}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary(part: Json) -> Iterator[Json]:
    yield {"type": "response.reasoning_summary_part.added", "part": {"type": "summary_text", "text": ""}}
    for piece in thoughts(part["text"]):
        yield _padded({"type": "response.reasoning_summary_text.delta", "delta": piece})
    yield {"type": "response.reasoning_summary_text.done", "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", "part": part}


def _padded(event: Json) -> Json:
    return {**event, "obfuscation": "x" * (len(event["delta"]) % 16)}


def _numbered(events: Iterator[Json]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        yield _event({**event, "sequence_number": number})


def _event(said: Json) -> bytes:
    return f"event: {said['type']}\ndata: {compact(said)}\n\n".encode()


def _usage(scenario: Scenario) -> Json:
    count = scenario.usage
    return {
        "input_tokens": count.input,
        "input_tokens_details": {"cached_tokens": count.cached, "cache_write_tokens": count.written},
        "output_tokens": count.output,
        "output_tokens_details": {"reasoning_tokens": count.thinking},
        "total_tokens": count.input + count.output,
    }
