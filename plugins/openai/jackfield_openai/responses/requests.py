"""Requests: a client's body to the canonical form, and the canonical form to an upstream's body."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, Loss, Operation, Request
from jackfield.api.canonical.codec import Fields, load_apart, overlay, to_json
from jackfield_openai.responses.conversation import decode_input, write_input
from jackfield_openai.responses.extras import extra, kept
from jackfield_openai.responses.settings import (
    decode_housekeeping,
    decode_output,
    decode_sampling,
    decode_thinking,
    keep_thoughts,
    write_housekeeping,
    write_output,
    write_sampling,
    write_thinking,
)
from jackfield_openai.responses.tools import decode_choice, decode_tools, write_choice, write_tools

OWN: Final = "=own"
"""The key under which every request keeps that it was read from this dialect: what it leaves unsaid has OpenAI's defaults."""

_COUNTED: Final = frozenset(
    {
        "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation",
        "previous_response_id", "conversation", "personality",
    }
)  # fmt: skip
"""Members of a request for a count of its tokens (API reference, "Get input token counts")."""


def decode_request(raw: bytes, operation: Operation) -> Request:
    """Read a client's body; `compact` and `resource` have no canonical form. Raises `BadRequest` with the path of what is wrong."""
    if operation not in ("generate", "count"):
        return Request()
    try:
        return _decode(Fields(load_apart(raw, "input", "tools"), ""))
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def _decode(fields: Fields) -> Request:
    model = fields.text("model") or ""
    said = decode_input(fields)
    tools = decode_tools(fields)
    return Request(
        model=model,
        messages=tuple(said.messages),
        tools=(*tools, *said.tools) if said.tools else tools,
        tool_choice=decode_choice(fields),
        sampling=decode_sampling(fields),
        thinking=decode_thinking(fields, said.effort),
        output=decode_output(fields),
        **decode_housekeeping(fields),
        extensions=kept({**fields.rest, OWN: True}),
    )


def encode_request(request: Request, operation: Operation, losses: list[Loss]) -> bytes:
    """Write a body for an upstream; what Responses cannot say is added to `losses`."""
    rest = dict(extra(request.extensions))
    own = rest.pop(OWN, None) is True
    body: dict[str, Any] = {"model": request.model}
    write_tools(body, request.tools, rest, losses, own=own)
    write_input(body, request.messages, request.tools, rest, losses, own=own)
    write_choice(body, request.tool_choice, request.tools, losses)
    write_sampling(body, request.sampling, rest, losses, own=own)
    write_thinking(body, request.thinking, rest, losses)
    write_output(body, request.output, rest, losses, own=own)
    write_housekeeping(body, request, rest, losses)
    if not own and operation == "generate":
        keep_thoughts(request, body, rest)
    overlay(body, rest)
    if operation == "count":
        body = {key: value for key, value in body.items() if key in _COUNTED}
    said = body.get("input")
    if type(said) is not msgspec.Raw:
        return to_json(body)
    # It is escaped already, and by far the most of the body. The model's name stands first, where whoever peeks at a body finds it soon.
    begin = b'{"model":%b,"input":%b' % (to_json(body.pop("model")), bytes(body.pop("input")))
    return b"%b,%b" % (begin, to_json(body)[1:]) if body else begin + b"}"
