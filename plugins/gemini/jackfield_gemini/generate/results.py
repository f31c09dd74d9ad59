"""Results of functions: `functionResponse`.

Source: Gemini API reference, `FunctionResponse`: its `response` is an object, of which `output` is what the function gave
and `error` what went wrong; without either all of it counts as output. Guide "Function calling" for media in `parts`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import Audio, Document, Image, Opaque, Text, ToolResult, Video
from jackfield.api.canonical.codec import Fields, to_json
from jackfield_gemini.generate.extras import NAME, extra, kept
from jackfield_gemini.generate.ids import Pairing, is_made, made_id
from jackfield_gemini.generate.media import INSIDE, Media, decode_file, decode_inline, encode_media, lost
from jackfield_gemini.generate.names import fields, listed
from jackfield_gemini.generate.signing import KEY

_FORM: Final = "=form"
"""The key under which a result keeps how its object said it: `result`, `object`; with a dot where the value was no text."""
_NO_ID: Final = "=unnamed"
"""The key under which a result keeps that it named no call, although the call has an id."""
_KEYS: Final = ("output", "result", "error")
_JSON: Final = "."

ResultPart = Text | Image | Document | Audio | Video | Opaque


def decode_result(found: Fields, around: dict[str, Any], pairing: Pairing) -> ToolResult:
    """Read a result; `around` is what its part says besides."""
    name, said_id = found.needed_text("name"), found.text("id")
    call_id = pairing.result(name, said_id or None)
    rest: dict[str, Any] = {}
    if call_id is None:
        call_id = made_id(found.path, name, "")
    elif said_id is None and not is_made(call_id):
        rest[_NO_ID] = True
    elif said_id is not None and said_id != call_id:
        rest["id"] = said_id
    response = found.object("response")
    parts: list[ResultPart] = []
    is_error = False
    if response is not None:
        form, text = _read(response)
        is_error = form.startswith("error")
        if text or form != "output":
            parts.append(Text(text=text))
        if form not in ("output", "error"):
            rest[_FORM] = form
    else:
        rest[_FORM] = ""
    for at, value in enumerate(listed(found, "parts") or ()):
        parts.append(_decode_media(fields(value, f"{found.at('parts')}[{at}]")))
    rest = {**rest, **found.rest, **({"=part": around} if around else {})}
    return ToolResult(call_id=call_id, name=name, parts=tuple(parts), is_error=is_error, extensions=kept(rest))


def _read(response: dict[str, Any]) -> tuple[str, str]:
    """Return the form of a result's object, and its words."""
    if len(response) == 1:
        key, value = next(iter(response.items()))
        if key in _KEYS and value is not None:
            return (key, value) if isinstance(value, str) else (key + _JSON, to_json(value).decode())
    return "object", to_json(response).decode()


def _decode_media(found: Fields) -> ResultPart:
    if found.rest.get("inlineData") is not None:
        inner = fields(found.take("inlineData"), found.at("inlineData"))
        return decode_inline(inner, {**found.rest, INSIDE: True})
    if found.rest.get("fileData") is not None:
        inner = fields(found.take("fileData"), found.at("fileData"))
        return decode_file(inner, {**found.rest, INSIDE: True})
    return Opaque(dialect=NAME, kind="functionResponsePart", value=to_json(found.rest).decode())


def encode_result(result: ToolResult, path: str, losses: list[Loss], *, media: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write a result. Media that it may not hold come back beside it."""
    rest = dict(extra(result.extensions))
    form, unnamed, around = rest.pop(_FORM, None), rest.pop(_NO_ID, False), rest.pop("=part", {})
    wire: dict[str, Any] = {"name": result.name or "unknown"}
    if result.name is None:
        losses.append(Loss(f"{path}.name", "invented", "a result must name its function"))
    if not is_made(result.call_id) and not unnamed:
        wire["id"] = result.call_id
    response = _response(result, form)
    if response is not None:
        wire["response"] = response
    inside, beside = _media(result, path, losses, media=media)
    if inside:
        wire["parts"] = inside
    return {"functionResponse": {**wire, **rest}, **around}, beside


def _response(result: ToolResult, form: str | None) -> dict[str, Any] | None:
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    if form == "" and not texts:
        return None
    words = "\n".join(texts)
    if form and form.startswith("error") == result.is_error:
        key, json, _ = form.partition(_JSON)
        value = _object(words) if json or key == "object" else words
        if key != "object":
            return {key: value if value is not None else words}
        if isinstance(value, dict):
            return value
    return {"error" if result.is_error else "output": words}


def _object(words: str) -> Any:
    try:
        return msgspec.json.decode(words)
    except (ValueError, RecursionError):
        return None


def _media(result: ToolResult, path: str, losses: list[Loss], *, media: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    inside: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for at, part in enumerate(result.parts):
        where = f"{path}.parts[{at}]"
        if isinstance(part, Opaque) and part.dialect == NAME:
            inside.append(msgspec.json.decode(part.value))
        elif isinstance(part, Opaque):
            lost(losses, where, f"a part of kind {part.kind!r} that {part.dialect} alone understands")
        elif not isinstance(part, Text):
            said = encode_media(part, where, losses)
            if said is None:
                continue
            if "text" not in said and (INSIDE in extra(part.extensions) or (media and isinstance(part, Image | Document))):
                inside.append(said)
            else:
                beside += _moved(part, result, said, where, losses)
    return inside, beside


def _moved(part: Media, result: ToolResult, said: dict[str, Any], path: str, losses: list[Loss]) -> list[dict[str, Any]]:
    losses.append(Loss(path, "changed", "results hold no such media for this model: it stands beside them"))
    return [{"text": f"From the result of function {result.name or result.call_id}:"}, {k: v for k, v in said.items() if k != KEY}]
