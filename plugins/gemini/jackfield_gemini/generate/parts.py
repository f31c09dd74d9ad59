"""The parts of a content, in requests and answers alike.

Source: Gemini API reference, `Part`: one of text, inlineData, fileData, functionCall, functionResponse, executableCode,
codeExecutionResult, toolCall and toolResponse, with `thought` and `thoughtSignature` beside any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from jackfield.api.canonical.codec import Fields, missing, to_json
from jackfield_gemini.generate import signing
from jackfield_gemini.generate.extras import NAME, extra, kept
from jackfield_gemini.generate.ids import Pairing, is_made, made_id
from jackfield_gemini.generate.media import decode_file, decode_inline, encode_media, lost
from jackfield_gemini.generate.names import fields
from jackfield_gemini.generate.results import decode_result

BARE: Final = "=bare"
"""The key under which a text keeps that its part had none, not even an empty one."""
CODE: Final = "code_execution"
"""How the tool is named that runs the model's programs."""
SERVER_TOOLS: Final = frozenset(
    {"google_search_web", "google_search_image", "url_context", "google_maps", "file_search", "media_processing"}
)
"""The other tools that Google runs: the words of `toolType`, in lower case."""
REFUSED: Final = "a refusal is said in plain words here"
_DATA: Final = frozenset({
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall",
    "toolResponse",
})  # fmt: skip


# ---------------------------------------------------------------------------------------------- reading


def decode_part(found: Fields, pairing: Pairing) -> Part:
    """Read one part. Raises `BadRequest` with the path of what is wrong; what is unknown becomes opaque."""
    whole = dict(found.rest)
    keys = [key for key, value in found.rest.items() if key in _DATA and value is not None]
    thought = found.rest.get("thought")
    if keys == ["text"] or (not keys and found.rest.keys() <= {"thought", signing.KEY, "text"}):
        return _decode_text(found)
    if len(keys) != 1 or (thought is True and keys != ["functionCall"]):
        # Pictures among the thoughts are of this kind.
        return Opaque(dialect=NAME, kind=keys[0] if keys else next(iter(whole), "part"), value=to_json(whole).decode())
    key = keys[0]
    inner = fields(found.take(key), found.at(key))
    return _READERS[key](inner, found.rest, pairing)


def _decode_text(found: Fields) -> Part:
    text = found.text("text")
    thought = found.rest.get("thought") is True
    if thought:
        del found.rest["thought"]
    signature, redacted = signing.take(found.rest)
    rest = kept({**found.rest, BARE: True if text is None else None})
    if redacted:
        return Thinking(text=text or "", redacted=signature, extensions=rest)
    if thought:
        return Thinking(text=text or "", signature=signature, extensions=rest)
    return Text(text=text or "", signature=signature, extensions=rest)


def _decode_call(found: Fields, around: dict[str, Any], pairing: Pairing) -> ToolCall:
    name, call_id, args = found.needed_text("name"), found.text("id"), found.object("args")
    arguments = to_json(args).decode() if args is not None else ""
    signature, _ = signing.take(around)
    call_id = call_id or made_id(found.path, name, arguments)
    pairing.call(name, call_id)
    rest = {**({"functionCall": found.rest} if found.rest else {}), **around}
    return ToolCall(id=call_id, name=name, arguments=arguments, signature=signature, extensions=kept(rest))


def _decode_code(found: Fields, around: dict[str, Any], pairing: Pairing) -> ServerToolCall:
    call_id = found.text("id")
    return ServerToolCall(id=call_id, name=CODE, arguments=to_json(found.rest).decode(), extensions=kept(around))


def _decode_code_result(found: Fields, around: dict[str, Any], pairing: Pairing) -> ServerToolResult:
    call_id, failed = found.text("id"), found.rest.get("outcome") not in (None, "OUTCOME_OK", 1)
    content = to_json(found.rest).decode()
    return ServerToolResult(call_id=call_id, name=CODE, content=content, is_error=failed, extensions=kept(around))


def _decode_server_call(found: Fields, around: dict[str, Any], pairing: Pairing) -> Part:
    name, args, call_id = _tool_type(found), found.object("args"), found.text("id")
    rest = {**({"toolCall": found.rest} if found.rest else {}), **around}
    arguments = to_json(args).decode() if args is not None else ""
    return ServerToolCall(id=call_id, name=name, arguments=arguments, extensions=kept(rest))


def _decode_server_result(found: Fields, around: dict[str, Any], pairing: Pairing) -> Part:
    name, response, call_id = _tool_type(found), found.object("response"), found.text("id")
    rest = {**({"toolResponse": found.rest} if found.rest else {}), **around}
    content = to_json(response).decode() if response is not None else ""
    return ServerToolResult(call_id=call_id, name=name, content=content, extensions=kept(rest))


def _tool_type(found: Fields) -> str:
    value = found.text("toolType")
    if value is None:
        raise missing(found.at("toolType"))
    name = value.lower()
    if name not in SERVER_TOOLS or name.upper() != value:
        found.rest["toolType"] = value
    return name


_READERS: Final[dict[str, Callable[[Fields, dict[str, Any], Pairing], Part]]] = {
    "inlineData": lambda found, around, _: decode_inline(found, around),
    "fileData": lambda found, around, _: decode_file(found, around),
    "functionCall": _decode_call,
    "functionResponse": decode_result,
    "executableCode": _decode_code,
    "codeExecutionResult": _decode_code_result,
    "toolCall": _decode_server_call,
    "toolResponse": _decode_server_result,
}


# ---------------------------------------------------------------------------------------------- writing


def encode_part(part: Part, path: str, losses: list[Loss], *, answer: bool) -> dict[str, Any] | None:
    """Write one part that is no result of a function; None for one that cannot be said. `answer`: for a client."""
    match part:
        case Text():
            return _encode_text(part, path, losses, answer=answer)
        case Thinking():
            return encode_thinking(part, path, losses, answer=answer)
        case Refusal(text=text):
            losses.append(Loss(path, "changed", REFUSED))
            return {"text": text}
        case ToolCall():
            return encode_call(part, path, losses, answer=answer)
        case Image() | Document() | Audio() | Video():
            return encode_media(part, path, losses)
        case ServerToolCall() | ServerToolResult():
            return _encode_server(part, path, losses)
        case Opaque(dialect=dialect, kind=kind, value=value):
            if dialect == NAME:
                return msgspec.json.decode(value)  # type: ignore[no-any-return]
            lost(losses, path, f"a part of kind {kind!r} that {dialect} alone understands")
        case ToolResult():
            lost(losses, path, "results of functions stand in requests alone")
    return None


def _encode_text(part: Text, path: str, losses: list[Loss], *, answer: bool) -> dict[str, Any]:
    rest = dict(extra(part.extensions))
    wire: dict[str, Any] = {} if rest.pop(BARE, False) and not part.text else {"text": part.text}
    signing.write(wire, part.signature, path, losses, answer=answer)
    if part.citations and not answer:
        lost(losses, f"{path}.citations", "requests have no place for citations")
    if part.cache is not None and part.cache.ttl is not None:
        lost(losses, f"{path}.cache", "how long to cache cannot be said")
    return {**wire, **rest}


def encode_thinking(part: Thinking, path: str, losses: list[Loss], *, answer: bool) -> dict[str, Any] | None:
    """Write thoughts; encrypted ones of another family go to clients alone, as a signature."""
    rest = dict(extra(part.extensions))
    text = part.text or "\n\n".join(part.summary)
    wire: dict[str, Any] = {} if rest.pop(BARE, False) and not text else {"text": text}
    wire["thought"] = True
    if part.redacted is None:
        signing.write(wire, part.signature, path, losses, answer=answer)
    elif answer:
        wire[signing.KEY] = sealed(part.redacted)
        if part.signature is not None:
            lost(losses, f"{path}.signature", "there is one place for a signature and for encrypted thoughts")
    else:
        lost(losses, f"{path}.redacted", f"thoughts encrypted for {part.redacted.family} can be read by nobody here")
    if signing.KEY not in wire and not text and not rest:
        return None if not answer else wire
    return {**wire, **rest}


def sealed(redacted: Signature) -> str:
    """Return encrypted thoughts as a client of this dialect carries them."""
    return signing.tagged(redacted, redacted=True)


def encode_call(part: ToolCall, path: str, losses: list[Loss], *, answer: bool) -> dict[str, Any]:
    """Write a function call."""
    rest = dict(extra(part.extensions))
    call: dict[str, Any] = {"name": part.name}
    if part.id and not is_made(part.id):
        call["id"] = part.id
    args = _arguments(part, path, losses)
    if args is not None:
        call["args"] = args
    inner = rest.pop("functionCall", None)
    wire: dict[str, Any] = {"functionCall": {**call, **(inner or {})}}
    signing.write(wire, part.signature, path, losses, answer=answer)
    if part.namespace is not None:
        lost(losses, f"{path}.namespace", "functions have no namespaces here")
    return {**wire, **rest}


def _arguments(part: ToolCall, path: str, losses: list[Loss]) -> Any:
    if not part.arguments and part.kind == "function":
        return None
    try:
        value = msgspec.json.decode(part.arguments) if part.kind == "function" else part.arguments
    except (ValueError, RecursionError):
        value = part.arguments
    if isinstance(value, dict):
        return value
    losses.append(Loss(f"{path}.arguments", "changed", "arguments must be a JSON object; they stand in its member `input`"))
    return {"input": value}


def _encode_server(part: ServerToolCall | ServerToolResult, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    """Write what a tool of Google's was asked, or gave; that of another provider's is left out."""
    rest = dict(extra(part.extensions))
    is_call = isinstance(part, ServerToolCall)
    said_id, text = (part.id, part.arguments) if isinstance(part, ServerToolCall) else (part.call_id, part.content)
    value = _object(text)
    wire: dict[str, Any] = {"id": said_id} if said_id is not None else {}
    key = "toolCall" if is_call else "toolResponse"
    if part.name in SERVER_TOOLS or key in rest:
        wire["toolType"] = part.name.upper()
        if value is not None:
            wire["args" if is_call else "response"] = value
        wire.update(rest.pop(key, None) or {})
    elif part.name == CODE and value is not None and ("language" if is_call else "outcome") in value:
        key = "executableCode" if is_call else "codeExecutionResult"
        wire.update(value)
    else:
        lost(losses, path, f"{part.name!r} was run by another provider")
        return None
    return {key: wire, **rest}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text) if text else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
