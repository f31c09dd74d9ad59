"""Requests: a client's body to the canonical form, and the canonical form to an upstream's body.

A request to count tokens has the same form without what bears on the answer alone (API reference, "Count tokens in a Message").
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api import BadRequest, Loss, Operation, Request
from jackfield.api.canonical.codec import Fields, load_apart, overlay, to_json
from jackfield_anthropic.messages.abilities import abilities_of
from jackfield_anthropic.messages.extras import extra, kept
from jackfield_anthropic.messages.settings import (
    WHOLE,
    decode_housekeeping,
    decode_output,
    decode_sampling,
    settle_conflicts,
    write_housekeeping,
    write_limit,
    write_output,
    write_sampling,
)
from jackfield_anthropic.messages.thinking import decode_thinking, write_thinking
from jackfield_anthropic.messages.tools import decode_choice, decode_tools, write_tools
from jackfield_anthropic.messages.turns import decode_messages, decode_system, encode_messages

_DECODED: Final = ("generate", "count")


def decode_request(raw: bytes, operation: Operation) -> Request:
    """Read a client's body. Raises `BadRequest` with the path of what is wrong."""
    if operation not in _DECODED:
        return Request()
    try:
        return _decode(Fields(load_apart(raw, "messages", "tools"), ""))
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def _decode(fields: Fields) -> Request:
    model = fields.text("model") or ""
    messages = [*decode_system(fields), *decode_messages(fields)]
    tools = decode_tools(fields)
    choice, parallel = decode_choice(fields)
    sampling = decode_sampling(fields)
    output, effort = decode_output(fields)
    thinking, other = decode_thinking(fields, effort, sampling.max_tokens), decode_housekeeping(fields)
    return Request(
        model=model,
        messages=tuple(messages),
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=sampling,
        thinking=thinking,
        output=output,
        stream=other.stream,
        user=other.user,
        service_tier=other.service_tier,
        extensions=kept(fields.rest),
    )


def encode_request(request: Request, operation: Operation, losses: list[Loss]) -> bytes:
    """Write a body for an upstream; what messages cannot say is added to `losses`."""
    rest, able = dict(extra(request.extensions)), abilities_of(request.model)
    body: dict[str, Any] = {"model": request.model}
    system, messages = encode_messages(request.messages, request.model, losses)
    empty, whole = rest.pop("system", None), bool(rest.pop(WHOLE, False))
    if system is not None or empty is not None:
        body["system"] = system if system is not None else empty
    body["messages"] = messages
    write_tools(body, request, rest, losses)
    write_output(body, request.output, rest, losses)
    if operation != "count":
        write_limit(body, request, able, losses)
    write_thinking(body, request.thinking, rest, able, losses)
    settle_conflicts(body, losses)
    if operation != "count":
        write_sampling(body, request.sampling, able, losses)
        write_housekeeping(body, request, losses, whole=whole)
    return to_json(overlay(body, rest))
