"""The parts of a message's `content` and of a tool's `output`.

Source: OpenAI's API reference, "Create a response": input_text, input_image, input_file, input_audio; output_text, refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import (
    Audio,
    Cache,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    Signature,
    Source,
    Text,
    TokenLogprob,
)
from jackfield.api.canonical.codec import Fields, overlay, standard_base64, to_json, wrong_type
from jackfield_openai.chat.sources import audio_format, audio_type, source_of_url, url_of_source
from jackfield_openai.responses.annotations import decode_annotation, encode_annotation
from jackfield_openai.responses.extras import NAME, Losses, extra, kept, lost
from jackfield_openai.responses.logprobs import decode_logprobs, encode_logprobs

BREAKPOINT: Final = "prompt_cache_breakpoint"

SOUND: Final = "=sound"
"""The key under which sound keeps that it stood in this dialect: OpenAI's reference has the form, and takes it from few."""

LOGPROBS: Final = "=logprobs"
"""The key under which a text keeps how many of the answer's tokens are its own, where the answer has several texts."""


# ---------------------------------------------------------------------------------------------- reading


def decode_part(value: Any, path: str, usual: str) -> Part:
    """Read one part; `usual` is the type of texts in this place. One of an unknown type is kept as it is. Raises `BadRequest`."""
    fields = Fields(value, path)
    type_ = fields.needed_text("type")
    decoder = _DECODERS.get(type_)
    if decoder is None:
        return Opaque(dialect=NAME, kind=type_, value=to_json(value).decode())
    part = decoder(fields)
    if isinstance(part, Text) and type_ != usual:
        return msgspec.structs.replace(part, extensions=kept({**extra(part.extensions), "type": type_}))
    return part


def _take_cache(fields: Fields) -> Cache | None:
    """Take a cache marker; what it says beside its lifetime remains."""
    marker = fields.object(BREAKPOINT)
    if marker is None:
        return None
    ttl = marker.get("ttl")
    fields.rest[BREAKPOINT] = {key: value for key, value in marker.items() if key != "ttl" or not isinstance(ttl, str)}
    return Cache(ttl=ttl if isinstance(ttl, str) else None)


def _text(fields: Fields) -> Text:
    text, cache = fields.needed_text("text"), _take_cache(fields)
    citations = fields.rest.get("annotations")
    if isinstance(citations, list) and all(isinstance(value, dict) for value in citations):
        del fields.rest["annotations"]
    else:
        citations = []
    return Text(text=text, citations=tuple(map(decode_annotation, citations)), cache=cache, extensions=kept(fields.rest))


def _refusal(fields: Fields) -> Refusal:
    return Refusal(text=fields.needed_text("refusal"), extensions=kept(fields.rest))


def _image(fields: Fields) -> Part:
    url, file_id = fields.text("image_url"), fields.text("file_id")
    if url is not None:
        source = source_of_url(url)
        if file_id is not None:
            fields.rest["file_id"] = file_id
    else:
        source = Source(file_id=file_id) if file_id is not None else Source()
    detail = fields.text("detail")
    if detail is None:
        fields.rest["detail"] = ""
    return Image(source=source, detail=detail, cache=_take_cache(fields), extensions=kept(fields.rest))


def _file(fields: Fields) -> Part:
    data, url, file_id = fields.text("file_data"), fields.text("file_url"), fields.text("file_id")
    source: Source | None = None
    if data is not None:
        source = source_of_url(data)
        if source.data is None:
            source = Source(data=standard_base64(data))
            fields.rest["file_data"] = ""
    elif url is not None:
        source = Source(url=url)
    elif file_id is not None:
        source = Source(file_id=file_id)
    return Document(source=source, title=fields.text("filename"), cache=_take_cache(fields), extensions=kept(fields.rest))


def _audio(fields: Fields) -> Part:
    inner = fields.inner("input_audio")
    format_ = inner.text("format")
    source = Source(data=standard_base64(inner.needed_text("data")), media_type=audio_type(format_) if format_ else None)
    if inner.rest:
        fields.rest["input_audio"] = inner.rest
    return Audio(source=source, format=format_, extensions=kept({**fields.rest, SOUND: True}))


_DECODERS: Final[dict[str, Callable[[Fields], Part]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


def take_content(fields: Fields, key: str, usual: str) -> tuple[Part, ...]:
    """Take a text or a list of parts under `key`; that it was a list of one bare text, or empty, is kept."""
    value, path = fields.take(key), fields.at(key)
    if value is None:
        return ()
    if isinstance(value, str):
        if value:
            return (Text(text=value),)
        fields.rest[key] = ""
        return ()
    if not isinstance(value, list):
        raise wrong_type(path, "a text or a list of parts", value)
    parts = tuple(decode_part(item, f"{path}[{at}]", usual) for at, item in enumerate(value))
    if not parts or (len(parts) == 1 and is_bare(parts[0])):
        fields.rest[key] = []
    return parts


def is_bare(part: Part) -> bool:
    """Tell whether a part is a text that says no more than its words."""
    return isinstance(part, Text) and not extra(part.extensions) and not part.citations and part.cache is None


def take_tokens(part: Text) -> tuple[Text, tuple[TokenLogprob, ...]]:
    """Take the tokens of an answer's text, which belong to the whole answer."""
    rest = extra(part.extensions)
    if "logprobs" not in rest:
        return part, ()
    tokens = decode_logprobs(rest["logprobs"])
    if not tokens and rest["logprobs"]:
        return part, ()
    rest = {key: value for key, value in rest.items() if key != "logprobs"}
    return msgspec.structs.replace(part, extensions=kept(rest)), tokens


# ---------------------------------------------------------------------------------------------- writing


def encode_content(parts: Sequence[tuple[Part, str]], form: Any, usual: str, losses: Losses) -> Any:
    """Write parts, each with its path: a text where they are one bare text and `form` says nothing else, else a list."""
    if len(parts) == 1 and form != []:
        only = parts[0][0]
        if isinstance(only, Text) and is_bare(only):
            _note_signature(only.signature, parts[0][1], losses)
            return only.text
    wire = [said for said in (encode_part(part, path, usual, losses) for part, path in parts) if said is not None]
    return wire if wire or form == [] else ""


def encode_part(part: Part, path: str, usual: str, losses: Losses) -> Any:
    """Write one part of a request's content, or None for one that has no form there; why is added to `losses`."""
    match part:
        case Text():
            _note_signature(part.signature, path, losses)
            return encode_text(part, path, usual, losses, answer=False)
        case Refusal():
            return encode_refusal(part)
        case Image():
            return _encode_image(part, path, losses)
        case Document():
            return _encode_document(part, path, usual, losses)
        case Audio():
            return _encode_audio(part, path, losses)
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return msgspec.Raw(value.encode())
        case Opaque(dialect=dialect, kind=name):
            lost(losses, path, f"{name} is understood by {dialect} alone")
        case _:
            lost(losses, path, f"{type(part).__name__} has no place in this message of Responses")
    return None


def _note_signature(signature: Signature | None, path: str, losses: Losses) -> None:
    if signature is not None:
        lost(losses, f"{path}.signature", f"a signature of the family {signature.family} has no place on a text of Responses")


def encode_text(part: Text, path: str, usual: str, losses: Losses, *, answer: bool, tokens: Sequence[TokenLogprob] = ()) -> dict[str, Any]:
    """Write a text; one of an answer with all members that OpenAI's clients require."""
    rest = {key: value for key, value in extra(part.extensions).items() if not key.startswith("=")}
    wire: dict[str, Any] = {"type": usual}
    found = [encode_annotation(c, len(part.text), f"{path}.citations[{at}]", losses) for at, c in enumerate(part.citations)]
    cited = [said for said in found if said is not None]
    if cited or answer:
        wire["annotations"] = cited
    if tokens or answer:
        wire["logprobs"] = encode_logprobs(tokens)
    wire["text"] = part.text
    _write_cache(wire, rest, part.cache, path, losses)
    return overlay(wire, rest)


def encode_refusal(part: Refusal) -> dict[str, Any]:
    """Write a refusal."""
    rest = {key: value for key, value in extra(part.extensions).items() if not key.startswith("=")}
    return overlay({"type": "refusal", "refusal": part.text}, rest)


def _kept_elsewhere(source: Source, path: str, losses: Losses) -> bool:
    """Tell, and note, that a file lies with another provider: Anthropic's and Google's ids begin so, OpenAI's with `file-`."""
    if source.file_id is None or not source.file_id.startswith(("file_", "files/")):
        return False
    lost(losses, path, f"the file {source.file_id!r} lies with another provider")
    return True


def _encode_image(part: Image, path: str, losses: Losses) -> dict[str, Any] | None:
    if _kept_elsewhere(part.source, path, losses):
        return None
    wire: dict[str, Any] = {"type": "input_image"}
    url = url_of_source(part.source, "image/png")
    if url is not None:
        wire["image_url"] = url
    elif part.source.file_id is not None:
        wire["file_id"] = part.source.file_id
    # Required by OpenAI's types; `auto` is what is done without it.
    wire["detail"] = part.detail or "auto"
    if extra(part.extensions).get("detail") == "":
        wire["detail"] = part.detail
    return _finish(part.cache, part.extensions, {key: item for key, item in wire.items() if item is not None}, path, losses)


def _encode_document(part: Document, path: str, usual: str, losses: Losses) -> dict[str, Any] | None:
    for name in ("context", "citations"):
        if getattr(part, name) is not None:
            lost(losses, f"{path}.{name}", f"files of Responses have no {name}")
    if part.source is None and part.text is not None:
        losses.append(Loss(path, "changed", "a document given as text becomes a text"))
        return _finish(part.cache, part.extensions, {"type": usual, "text": part.text}, path, losses)
    wire: dict[str, Any] = {"type": "input_file"}
    said, source = extra(part.extensions), part.source or Source()
    if _kept_elsewhere(source, path, losses):
        return None
    if part.title is not None:
        wire["filename"] = part.title
    if source.data is not None:
        bare = said.get("file_data") == ""
        wire["file_data"] = standard_base64(source.data) if bare else url_of_source(source, "application/pdf")
        if part.title is None and not said:
            losses.append(Loss(f"{path}.title", "invented", "Responses want a name for a file's data"))
            wire["filename"] = "document.pdf"
    elif source.url is not None:
        wire["file_url"] = source.url
    elif source.file_id is not None:
        wire["file_id"] = source.file_id
    return _finish(part.cache, part.extensions, wire, path, losses)


def _encode_audio(part: Audio, path: str, losses: Losses) -> dict[str, Any] | None:
    source = part.source or Source()
    format_ = part.format or audio_format(source.media_type)
    if SOUND not in extra(part.extensions) or source.data is None:
        lost(losses, path, "Responses take no sound")
        return None
    inner = {"data": standard_base64(source.data), **({"format": format_} if format_ else {})}
    return _finish(part.cache, part.extensions, {"type": "input_audio", "input_audio": inner}, path, losses)


def _finish(cache: Cache | None, extensions: Any, wire: dict[str, Any], path: str, losses: Losses) -> dict[str, Any]:
    said = {key: value for key, value in extra(extensions).items() if not key.startswith("=")}
    rest = {key: value for key, value in said.items() if value != "" or key not in ("file_data", "detail")}
    _write_cache(wire, rest, cache, path, losses)
    return overlay(wire, rest)


def _write_cache(wire: dict[str, Any], rest: dict[str, Any], cache: Cache | None, path: str, losses: Losses) -> None:
    """Write a cache marker where one stood. Elsewhere it is lost: older models refuse it, and all cache without being asked."""
    marker = rest.pop(BREAKPOINT, None)
    if cache is None:
        return
    if marker is None:
        lost(losses, f"{path}.cache", "cache markers of other dialects are not written: OpenAI caches without being asked")
        return
    wire[BREAKPOINT] = {**marker, "ttl": cache.ttl} if cache.ttl is not None else dict(marker)
