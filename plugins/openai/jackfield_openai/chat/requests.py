"""Requests: a client's body to the canonical form, and the canonical form to an upstream's body."""

from __future__ import annotations

from typing import Any, Final

from jackfield.api import BadRequest, Loss, Operation, Request
from jackfield.api.canonical.codec import Fields, load_apart, missing, overlay, to_json
from jackfield_openai.chat.extras import extra, kept
from jackfield_openai.chat.messages import decode_messages, encode_messages
from jackfield_openai.chat.settings import (
    decode_housekeeping,
    decode_output,
    decode_sampling,
    decode_thinking,
    write_housekeeping,
    write_output,
    write_sampling,
    write_thinking,
)
from jackfield_openai.chat.tools import decode_choice, decode_tools, has_tools, write_choice, write_tools

OWN: Final = "=own"
"""The key under which a request keeps that it came in this dialect: its schemas are the caller's business."""


def decode_request(raw: bytes, operation: Operation) -> Request:
    """Read a client's body. Only `generate` has a canonical form. Raises `BadRequest` with the path of what is wrong."""
    if operation != "generate":
        return Request()
    try:
        return _decode(Fields(load_apart(raw, "messages", "tools"), ""))
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def _decode(fields: Fields) -> Request:
    model = fields.text("model") or ""
    fields.rest[OWN] = True
    messages = fields.items("messages")
    if messages is None:
        raise missing("messages")
    tools, choice = decode_tools(fields), decode_choice(fields)
    sampling, thinking, output = decode_sampling(fields), decode_thinking(fields), decode_output(fields)
    parallel, other = fields.flag("parallel_tool_calls"), decode_housekeeping(fields)
    return Request(
        model=model,
        messages=decode_messages(messages),
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=sampling,
        thinking=thinking,
        output=output,
        stream=other.stream,
        stream_usage=other.stream_usage,
        user=other.user,
        metadata=other.metadata,
        service_tier=other.service_tier,
        store=other.store,
        cache_key=other.cache_key,
        cache_retention=other.cache_retention,
        extensions=kept(fields.rest),
    )


def encode_request(request: Request, operation: Operation, losses: list[Loss]) -> bytes:
    """Write a body for an upstream; what chat completions cannot say is added to `losses`."""
    rest = dict(extra(request.extensions))
    own = rest.pop(OWN, None) is True
    messages = encode_messages(request.messages, losses, own=own)
    body: dict[str, Any] = {"model": request.model}
    write_tools(body, request.tools, rest, losses, own=own)
    if has_tools(body, request.tools):
        write_choice(body, request.tool_choice, losses)
        if request.parallel_tools is not None:
            body["parallel_tool_calls"] = request.parallel_tools
    write_sampling(body, request.sampling, rest, losses)
    write_thinking(body, request.thinking, rest, losses)
    write_output(body, request.output, rest, losses, own=own)
    write_housekeeping(body, request, rest, losses)
    del overlay(body, rest)["model"]
    others = to_json(body)
    # The model's name stands first, where whoever peeks at a body finds it soon; the messages are copied once.
    begin, end = b'{"model":%b,"messages":[' % to_json(request.model), b"%b%b" % (b"]," if body else b"]", others[1:])
    if not messages:
        return begin + end
    messages[0] = begin + messages[0]
    messages[-1] += end
    return b",".join(messages)
