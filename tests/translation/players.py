"""Plain answers played as streams, as each provider would stream them: written from the references, not with the codecs.

Texts and arguments come in two pieces. Each function returns the bytes of the stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES

Body = dict[str, Any]


def halves(text: str) -> list[str]:
    """Cut a text in two; one of one character or none stays whole."""
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def sse(event: Any, name: str = "", end: str = "\n\n") -> bytes:
    """Write one server-sent event."""
    data = event if isinstance(event, str) else json.dumps(event)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}{end}".encode()


# ------------------------------------------------------------------------------------------------------- chat


def play_chat(body: Body) -> bytes:
    """OpenAI's API reference, "The chat completion chunk object", with `stream_options.include_usage`."""
    head = {key: body[key] for key in ("id", "created", "model", "service_tier") if key in body}
    head["object"] = "chat.completion.chunk"
    chunks = []
    for choice in body["choices"]:
        for delta in _chat_deltas(choice["message"]):
            chunks.append({"index": choice["index"], "delta": delta, "finish_reason": None})
        if choice.get("logprobs"):
            chunks[-1]["logprobs"] = choice["logprobs"]
        chunks.append({"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]})
    whole = [{**head, "choices": [chunk]} for chunk in chunks] + [{**head, "choices": [], "usage": body["usage"]}]
    return b"".join(map(sse, whole)) + sse("[DONE]")


def _chat_deltas(message: Body) -> Iterator[Body]:
    yield {"role": "assistant", "content": ""}
    for key in ("reasoning", "reasoning_content", "content", "refusal"):
        for piece in halves(message.get(key) or ""):
            yield {key: piece}
    for key in ("reasoning_details", "annotations", "images", "audio"):
        if message.get(key):
            yield {key: message[key]}
    for at, call in enumerate(message.get("tool_calls") or ()):
        kind, place = call["type"], "input" if call["type"] == "custom" else "arguments"
        yield {"tool_calls": [{**call, "index": at, kind: {**call[kind], place: ""}}]}
        for piece in halves(call[kind][place]):
            yield {"tool_calls": [{"index": at, kind: {place: piece}}]}


# -------------------------------------------------------------------------------------------------- responses


def play_responses(body: Body) -> bytes:
    """OpenAI's API reference, "Streaming events" of responses."""
    begun = {**body, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None, "error": None}
    ending = {"completed": "response.completed", "incomplete": "response.incomplete", "failed": "response.failed"}[body["status"]]
    events: list[Body] = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    for at, item in enumerate(body["output"]):
        events += _responses_item(item, at)
    events.append({"type": ending, "response": body})
    return b"".join(sse({**event, "sequence_number": at}, event["type"]) for at, event in enumerate(events))


def _responses_item(item: Body, at: int) -> Iterator[Body]:
    empty = {"content": []} if item["type"] == "message" else {"summary": []} if item["type"] == "reasoning" else {}
    for key in ("arguments", "input"):
        if key in item:
            empty[key] = ""
    place = {"item_id": item["id"], "output_index": at}
    status = {"status": "in_progress"} if "status" in item else {}
    yield {"type": "response.output_item.added", "output_index": at, "item": {**item, **status, **empty}}
    match item["type"]:
        case "message":
            for index, part in enumerate(item["content"]):
                yield from _responses_part(part, {**place, "content_index": index})
        case "reasoning":
            for index, part in enumerate(item["summary"]):
                where = {**place, "summary_index": index}
                yield {"type": "response.reasoning_summary_part.added", **where, "part": {"type": "summary_text", "text": ""}}
                for piece in halves(part["text"]):
                    yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
                yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}
                yield {"type": "response.reasoning_summary_part.done", **where, "part": part}
        case "function_call":
            for piece in halves(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
        case "custom_tool_call":
            for piece in halves(item["input"]):
                yield {"type": "response.custom_tool_call_input.delta", **place, "delta": piece}
            yield {"type": "response.custom_tool_call_input.done", **place, "input": item["input"]}
        case "web_search_call":
            for step in ("in_progress", "searching", "completed"):
                yield {"type": f"response.web_search_call.{step}", **place}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def _responses_part(part: Body, where: Body) -> Iterator[Body]:
    refusal = part["type"] == "refusal"
    name, key = ("response.refusal", "refusal") if refusal else ("response.output_text", "text")
    rest = {} if refusal else {"annotations": [], "logprobs": []}
    extra = {} if refusal else {"logprobs": []}
    yield {"type": "response.content_part.added", **where, "part": {**part, key: "", **rest}}
    pieces, chances = halves(part[key]), [_without_bytes(one) for one in part.get("logprobs", ())]
    for at, piece in enumerate(pieces):
        told = {"logprobs": chances} if chances and at == len(pieces) - 1 else extra
        yield {"type": f"{name}.delta", **where, "delta": piece, **told}
    for index, annotation in enumerate(part.get("annotations", ())):
        yield {"type": "response.output_text.annotation.added", **where, "annotation_index": index, "annotation": annotation}
    yield {"type": f"{name}.done", **where, key: part[key], **({} if refusal else {"logprobs": chances})}
    yield {"type": "response.content_part.done", **where, "part": part}


def _without_bytes(chance: Body) -> Body:
    tops = {"top_logprobs": [_without_bytes(top) for top in chance["top_logprobs"]]} if "top_logprobs" in chance else {}
    return {key: value for key, value in chance.items() if key != "bytes"} | tops


# --------------------------------------------------------------------------------------------------- messages

_DELTA_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens_details")


def play_messages(body: Body) -> bytes:
    """Anthropic's guide "Streaming messages"."""
    usage = body["usage"]
    begun = {**body, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    begun["usage"].pop("output_tokens_details", None)
    events: list[Body] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for at, block in enumerate(body["content"]):
        start, deltas = _messages_block(block)
        events.append({"type": "content_block_start", "index": at, "content_block": start})
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    ending = {"stop_reason": body["stop_reason"], "stop_sequence": body["stop_sequence"]}
    told = {key: value for key, value in usage.items() if key in _DELTA_COUNTS}
    events += [{"type": "message_delta", "delta": ending, "usage": told}, {"type": "message_stop"}]
    return b"".join(sse(event, event["type"]) for event in events)


def _messages_block(block: Body) -> tuple[Body, list[Body]]:
    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": citation} for citation in block.get("citations") or ()]
            start = {**block, "text": "", **({"citations": []} if cited else {})}
            return start, [*({"type": "text_delta", "text": piece} for piece in halves(block["text"])), *cited]
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
            signed = [{"type": "signature_delta", "signature": block["signature"]}]
            return {**block, "thinking": "", "signature": ""}, thoughts + signed
        case "tool_use" | "server_tool_use":
            pieces = ["", *halves(json.dumps(block["input"]))]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


# --------------------------------------------------------------------------------------------------- generate


def play_generate(body: Body) -> bytes:
    """Google's API reference, "models.streamGenerateContent" with `alt=sse`: a signature comes with the last piece of its part."""
    head = {key: body[key] for key in ("modelVersion", "responseId") if key in body}
    chunks: list[Body] = []
    for candidate in body["candidates"]:
        pieces = [piece for part in candidate["content"]["parts"] for piece in _generate_pieces(part)]
        for at, piece in enumerate(pieces):
            one: Body = {"content": {"role": "model", "parts": [piece]}, "index": candidate["index"]}
            if at == len(pieces) - 1:
                one |= {key: value for key, value in candidate.items() if key not in ("content", "index")}
            chunks.append({**head, "candidates": [one]})
        if not pieces:
            chunks.append({**head, "candidates": [candidate]})
    chunks[-1]["usageMetadata"] = body["usageMetadata"]
    return b"".join(sse(chunk, end="\r\n\r\n") for chunk in chunks)


def _generate_pieces(part: Body) -> list[Body]:
    if not part.get("text"):
        return [part]
    pieces = [{**part, "text": piece} for piece in halves(part["text"])]
    for piece in pieces[:-1]:
        piece.pop("thoughtSignature", None)
    return pieces


PLAYERS = {CHAT: play_chat, RESPONSES: play_responses, MESSAGES: play_messages, GENERATE: play_generate}
