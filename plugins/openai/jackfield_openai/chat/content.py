"""The parts of a message's `content`, as requests carry them and some speakers answer them.

Source: OpenAI's API reference, "Create chat completion" (text, image_url, input_audio, file, refusal). Mistral's adds
`document_url`, `thinking` and bare strings as `image_url` and `input_audio`; OpenRouter's, Qwen's and vLLM's `video_url`;
Perplexity's `file_url`. `cache_control` on parts is Anthropic's, as OpenRouter passes it on.
"""

from __future__ import annotations

from collections.abc import Callable
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
    Thinking,
    Video,
)
from jackfield.api.canonical.codec import Fields, overlay, standard_base64, to_json
from jackfield_openai.chat.extras import NAME, extra, kept
from jackfield_openai.chat.sources import audio_format, audio_type, source_of_url, url_of_source

_FOREIGN_FILES: Final = ("file_", "files/", "https://generativelanguage.googleapis.com/")
"""How ids of files begin that Anthropic and Google keep; OpenAI's begin with `file-` (API references, "Files")."""

Losses = list[Loss]
"""What an encoder adds to."""


def lost(losses: Losses, path: str, why: str) -> None:
    """Note that something cannot be said in this dialect."""
    losses.append(Loss(path, "dropped", why))


# ---------------------------------------------------------------------------------------------- reading


def decode_part(value: Any, path: str) -> Part:
    """Read one part. One of a type that nobody here knows is kept as it is. Raises `BadRequest`."""
    fields = Fields(value, path)
    type_ = fields.needed_text("type")
    decoder = _DECODERS.get(type_)
    part = decoder(fields) if decoder is not None else None
    return part if part is not None else Opaque(dialect=NAME, kind=type_, value=to_json(value).decode())


def take_cache(fields: Fields) -> Cache | None:
    """Take a `cache_control` marker; what it says beside its lifetime remains."""
    marker = fields.object("cache_control")
    if marker is None:
        return None
    ttl = marker.get("ttl")
    fields.rest["cache_control"] = {key: value for key, value in marker.items() if key != "ttl" or not isinstance(ttl, str)}
    return Cache(ttl=ttl if isinstance(ttl, str) else None)


def _text(fields: Fields) -> Part:
    return Text(text=fields.needed_text("text"), cache=take_cache(fields), extensions=kept(fields.rest))


def _refusal(fields: Fields) -> Part:
    return Refusal(text=fields.needed_text("refusal"), extensions=kept({**fields.rest, "type": "refusal"}))


def _take_url(fields: Fields, key: str) -> tuple[Source, Fields | None]:
    """Take a URL that stands as a text, or in an object; that object is returned too."""
    bare = fields.take_if(key, str)
    if bare is not None:
        fields.rest[key] = ""
        return source_of_url(bare), None
    inner = fields.inner(key)
    return source_of_url(inner.needed_text("url")), inner


def _image(fields: Fields) -> Part:
    source, inner = _take_url(fields, "image_url")
    detail = inner.text("detail") if inner is not None else None
    if inner is not None and inner.rest:
        fields.rest["image_url"] = inner.rest
    return Image(source=source, detail=detail, cache=take_cache(fields), extensions=kept(fields.rest))


def _video(fields: Fields) -> Part:
    source, inner = _take_url(fields, "video_url")
    if inner is not None and inner.rest:
        fields.rest["video_url"] = inner.rest
    return Video(source=source, cache=take_cache(fields), extensions=kept(fields.rest))


def _linked_document(key: str) -> Callable[[Fields], Part]:
    def decode(fields: Fields) -> Part:
        source, inner = _take_url(fields, key)
        fields.rest["type"] = key
        if inner is not None and inner.rest:
            fields.rest[key] = inner.rest
        return Document(source=source, cache=take_cache(fields), extensions=kept(fields.rest))

    return decode


def _file(fields: Fields) -> Part:
    inner = fields.inner("file")
    data, title = inner.text("file_data"), inner.text("filename")
    source: Source | None
    if data is None:
        file_id = inner.text("file_id")
        source = Source(file_id=file_id) if file_id is not None else None
        if file_id is not None and file_id.startswith(_FOREIGN_FILES):
            fields.rest["type"] = "file"
    elif data.startswith(("data:", "http:", "https:")):
        source = source_of_url(data)
        if source.url is not None:
            fields.rest["type"] = "file"
    else:
        source = Source(data=standard_base64(data))
        inner.rest["file_data"] = ""
    if inner.rest:
        fields.rest["file"] = inner.rest
    return Document(source=source, title=title, cache=take_cache(fields), extensions=kept(fields.rest))


def _audio(fields: Fields) -> Part:
    bare = fields.take_if("input_audio", str)
    if bare is not None:
        fields.rest["input_audio"] = ""
        source = source_of_url(bare) if ":" in bare else Source(data=standard_base64(bare))
        return Audio(source=source, cache=take_cache(fields), extensions=kept(fields.rest))
    inner = fields.inner("input_audio")
    data, format_ = inner.needed_text("data"), inner.text("format")
    if inner.rest:
        fields.rest["input_audio"] = inner.rest
    return Audio(
        source=Source(data=standard_base64(data), media_type=audio_type(format_) if format_ else None),
        format=format_,
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


def _thinking(fields: Fields) -> Part | None:
    thoughts = fields.take("thinking")
    if isinstance(thoughts, str):
        fields.rest["thinking"] = ""
        text = thoughts
    else:
        plain = isinstance(thoughts, list) and len(thoughts) < 2 and all(_is_plain_text(item) for item in thoughts)
        if not plain:
            return None
        if not thoughts:
            fields.rest["thinking"] = []
        text = "".join(item["text"] for item in thoughts)
    signature = fields.take_if("signature", str)
    return Thinking(
        text=text,
        signature=Signature(value=signature, family="mistral") if signature is not None else None,
        extensions=kept({**fields.rest, "type": "thinking"}),
    )


def _is_plain_text(item: Any) -> bool:
    return isinstance(item, dict) and item.keys() == {"type", "text"} and item["type"] == "text" and isinstance(item["text"], str)


_DECODERS: Final[dict[str, Callable[[Fields], Part | None]]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "refusal": _refusal,
    "video_url": _video,
    "document_url": _linked_document("document_url"),
    "file_url": _linked_document("file_url"),
    "thinking": _thinking,
}


# ---------------------------------------------------------------------------------------------- writing


def encode_part(part: Part, path: str, losses: Losses) -> Any:
    """Write one part of `content`, or None for one that has no form there; why is added to `losses`."""
    match part:
        case Text():
            return _encode_text(part, path, losses)
        case Image() | Video():
            return _encode_picture(part, path, losses)
        case Document():
            return _encode_document(part, path, losses)
        case Audio():
            return _encode_audio(part, path, losses)
        case Refusal():
            return overlay({"type": "refusal", "refusal": part.text}, extra(part.extensions))
        case Thinking() if extra(part.extensions).get("type") == "thinking":
            return encode_thinking_part(part)
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return msgspec.Raw(value.encode())
        case Opaque(dialect=dialect, kind=name):
            lost(losses, path, f"{name} is understood by {dialect} alone")
        case _:
            lost(losses, path, f"{type(part).__name__} has no place in this message of chat completions")
    return None


def _encode_text(part: Text, path: str, losses: Losses) -> dict[str, Any]:
    if part.signature is not None:
        lost(losses, f"{path}.signature", "chat completions have no signatures on texts")
    return _finish(part, {"type": "text", "text": part.text}, path, losses)


def _encode_picture(part: Image | Video, path: str, losses: Losses) -> dict[str, Any] | None:
    place, media_type = ("image_url", "image/png") if isinstance(part, Image) else ("video_url", "video/mp4")
    url = url_of_source(part.source, media_type)
    if url is None:
        lost(losses, path, "chat completions take no pictures by a provider's file id")
        return None
    inner = {"url": url}
    if isinstance(part, Image) and part.detail is not None:
        inner["detail"] = part.detail
    return _finish(part, {"type": place, place: inner}, path, losses)


def encode_thinking_part(part: Thinking) -> dict[str, Any]:
    """Write thoughts as a part of `content`, as Mistral does."""
    rest = dict(extra(part.extensions))
    form = rest.pop("thinking", None)
    thoughts: Any = part.text if form == "" else [{"type": "text", "text": part.text}] if part.text or form is None else []
    wire = {"type": "thinking", "thinking": thoughts}
    if part.signature is not None:
        wire["signature"] = part.signature.value
    return overlay(wire, rest)


def _encode_document(part: Document, path: str, losses: Losses) -> dict[str, Any] | None:
    for name in ("context", "citations"):
        if getattr(part, name) is not None:
            lost(losses, f"{path}.{name}", f"chat completions have no {name} of documents")
    if part.source is None and part.text is not None:
        losses.append(Loss(path, "changed", "a document given as text becomes a text"))
        return _finish(part, {"type": "text", "text": part.text}, path, losses)
    place = extra(part.extensions).get("type")
    source = part.source or Source()
    if source.url is not None and place is None:
        lost(losses, path, "chat completions take no documents by URL")
        return None
    if place is None and source.file_id is not None and source.file_id.startswith(_FOREIGN_FILES):
        lost(losses, path, f"the file {source.file_id!r} is kept by another provider")
        return None
    if place in ("document_url", "file_url"):
        return _finish(part, {"type": place, place: {"url": url_of_source(source, "application/pdf") or ""}}, path, losses)
    return _finish(part, {"type": "file", "file": _encode_file(part, source, path, losses)}, path, losses)


def _encode_file(part: Document, source: Source, path: str, losses: Losses) -> dict[str, Any]:
    said = extra(part.extensions)
    file: dict[str, Any] = {"filename": part.title} if part.title is not None else {}
    if source.file_id is not None:
        file["file_id"] = source.file_id
    elif source.url is not None:
        file["file_data"] = source.url
    elif source.data is not None:
        bare = said.get("file", {}).get("file_data") == ""
        file["file_data"] = standard_base64(source.data) if bare else url_of_source(source, "application/pdf")
        if part.title is None and not said:
            losses.append(Loss(f"{path}.title", "invented", "chat completions want a name for a file"))
            file["filename"] = "document.pdf"
    return file


def _encode_audio(part: Audio, path: str, losses: Losses) -> dict[str, Any] | None:
    said, source = extra(part.extensions), part.source or Source()
    if said.get("input_audio") == "":
        sound = source.data if source.data is not None and source.media_type is None else url_of_source(source, "audio/wav")
        return _finish(part, {"type": "input_audio", "input_audio": sound}, path, losses)
    format_ = part.format or audio_format(source.media_type)
    if source.data is None or (format_ is None and not said):
        lost(losses, path, "chat completions take sound only as data, in a format that has a name")
        return None
    inner = {"data": standard_base64(source.data), **({"format": format_} if format_ else {})}
    return _finish(part, {"type": "input_audio", "input_audio": inner}, path, losses)


_PLACES: Final = ("image_url", "video_url", "document_url", "file_url", "input_audio")


def _finish(part: Text | Image | Document | Audio | Video, wire: dict[str, Any], path: str, losses: Losses) -> dict[str, Any]:
    """Add what only this dialect says of a part, in the form in which it was said."""
    rest = dict(extra(part.extensions))
    rest.pop("type", None)
    for place in _PLACES:
        if rest.get(place) == "":
            del rest[place]
            if isinstance(wire.get(place), dict):
                wire[place] = wire[place].get("url")
    if isinstance(rest.get("file"), dict):
        rest["file"] = {key: value for key, value in rest["file"].items() if (key, value) != ("file_data", "")}
    write_cache(wire, rest, part.cache, path, losses)
    return overlay(wire, rest)


def write_cache(wire: dict[str, Any], rest: dict[str, Any], cache: Cache | None, path: str, losses: Losses) -> None:
    """Write a cache marker where one stood, taking its form from `rest`.

    Elsewhere it is lost: OpenAI caches without being asked and refuses fields that it does not know.
    """
    marker = rest.pop("cache_control", None)
    if cache is None:
        return
    if marker is None:
        lost(losses, f"{path}.cache", "chat completions have no cache markers")
        return
    wire["cache_control"] = {**marker, "ttl": cache.ttl} if cache.ttl is not None else dict(marker)
