"""Requests: a client's body to the canonical form, and the canonical form to an upstream's body.

Source: Gemini API reference, `models.generateContent` and `models.countTokens`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, Loss, Operation, Request
from jackfield.api.canonical import Output
from jackfield.api.canonical.codec import Fields, load_apart, missing, overlay, to_json
from jackfield_gemini.generate.contents import decode_contents, decode_system, encode_messages, unanswered
from jackfield_gemini.generate.extras import extra, kept
from jackfield_gemini.generate.lists import PREFIX
from jackfield_gemini.generate.media import lost
from jackfield_gemini.generate.models import Manners, manners_of
from jackfield_gemini.generate.names import fields, listed
from jackfield_gemini.generate.settings import (
    CONFIG,
    decode_output,
    decode_sampling,
    decode_thinking,
    shared_tier,
    take_labels,
    write_housekeeping,
    write_output,
    write_sampling,
    write_thinking,
)
from jackfield_gemini.generate.tools import decode_choice, decode_tools, write_choice, write_tools

_COUNTED: Final = "generateContentRequest"
_MODEL: Final = "model"
_UNANSWERED: Final = "=unanswered"
"""The key under which a request keeps that it came with calls that have no result: who wrote them so gets Google's word on it."""
_DECODED: Final[tuple[Operation, ...]] = ("generate", "count")


def decode_request(raw: bytes, operation: Operation) -> Request:
    """Read a client's body to generate or to count. Raises `BadRequest` with the path of what is wrong."""
    if operation not in _DECODED:
        return Request()
    try:
        found = fields(load_apart(raw, "contents", "tools"), "")
        if operation == "count" and found.rest.get(_COUNTED) is not None:
            found = fields(found.take(_COUNTED), _COUNTED)
        return _decode(found)
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def _decode(found: Fields) -> Request:
    model = found.text(_MODEL) or ""
    if model:
        found.rest[_MODEL] = PREFIX if model.startswith(PREFIX) else ""
    contents = listed(found, "contents")
    if contents is None:
        raise missing(found.at("contents"))
    system = found.take("systemInstruction")
    leading = () if system is None else (decode_system(system, found.at("systemInstruction")),)
    tools, choice = decode_tools(found), decode_choice(found)
    config = found.object(CONFIG)
    inner = fields(config if config is not None else {}, CONFIG)
    sampling, thinking, output = decode_sampling(inner), decode_thinking(inner), decode_output(inner)
    if inner.rest or config == {}:
        found.rest[CONFIG] = inner.rest
    tier = found.text("serviceTier")
    if tier is not None and tier != tier.lower():
        found.rest["serviceTier"] = tier
    messages = (*leading, *decode_contents(contents, found.at("contents")))
    if unanswered(messages):
        found.rest[_UNANSWERED] = True
    return Request(
        model=model.removeprefix(PREFIX),
        messages=messages,
        tools=tools,
        tool_choice=choice,
        sampling=sampling,
        thinking=thinking,
        output=output,
        metadata=take_labels(found),
        service_tier=shared_tier(tier) if tier is not None else None,
        store=found.flag("store"),
        extensions=kept(found.rest),
    )


def encode_request(request: Request, operation: Operation, losses: list[Loss]) -> bytes:
    """Write a body for an upstream; what this protocol cannot say is added to `losses`."""
    body = _encode(request, losses)
    if operation == "count" and body.keys() - {"contents", _MODEL}:
        # Beside bare contents only a whole request can be counted, and that must name its model.
        return to_json({_COUNTED: {_MODEL: PREFIX + request.model, **body}})
    contents, others = bytes(body.pop("contents")), to_json(body)
    # They are escaped already, and by far the most of it.
    return b'{"contents":%b%b%b' % (contents, b"," if body else b"", others[1:])


def _formed(request: Request, manners: Manners, losses: list[Loss]) -> Output:
    """Return the form of the answer, as far as the model takes it beside functions."""
    output = request.output
    if manners.forms_calls or output.format not in ("json", "json_schema") or all(tool.kind == "hosted" for tool in request.tools):
        return output
    lost(losses, "output.format", "this model takes no form of the answer beside functions")
    return msgspec.structs.replace(output, format=None, schema=None, name=None, description=None)


def _encode(request: Request, losses: list[Loss]) -> dict[str, Any]:
    rest, manners = dict(extra(request.extensions)), manners_of(request.model)
    before = rest.pop(_MODEL, None)
    system, contents = encode_messages(request.messages, manners, losses, settled=rest.pop(_UNANSWERED, False))
    body: dict[str, Any] = {"contents": contents}
    if before is not None and request.model:
        body[_MODEL] = f"{before}{request.model}"
    if system is not None:
        body["systemInstruction"] = system
    write_tools(body, request.tools, manners, rest, losses)
    write_choice(body, request.tool_choice, rest, losses)
    config, said = dict(rest.pop(CONFIG, None) or {}), dict[str, Any]()
    empty = CONFIG in extra(request.extensions)
    write_sampling(said, request.sampling, losses)
    write_thinking(said, request.thinking, manners, config, losses)
    write_output(said, _formed(request, manners, losses), config, losses)
    if said or config or empty:
        body[CONFIG] = overlay(said, config)
    tier = rest.pop("serviceTier", None)
    write_housekeeping(body, request, rest, losses)
    if isinstance(tier, str) and tier.lower() == body.get("serviceTier"):
        body["serviceTier"] = tier
    return overlay(body, rest)
