"""Pictures and documents.

Source: Anthropic's guides "Vision", "PDF support", "Citations" (documents given as text or as blocks of their own) and
"Search results".
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from jackfield.api.canonical import Document, Image, Source
from jackfield.api.canonical.codec import Fields, overlay, standard_base64
from jackfield_anthropic.messages.cache import take_cache, write_cache
from jackfield_anthropic.messages.extras import extra, kept
from jackfield_anthropic.messages.losses import Losses, dropped, invented

_CUTS: Final = "=cuts"
"""The key under which a document of several text blocks keeps their lengths."""

_MAGIC: Final = (("/9j/", "image/jpeg"), ("iVBOR", "image/png"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))
_BETWEEN: Final = "\n\n"


# ---------------------------------------------------------------------------------------------- reading


def decode_image(fields: Fields) -> Image | None:
    """Read an `image`; None for one whose source is of an unknown type."""
    inner = fields.inner("source")
    source = _take_source(inner)
    if source is None:
        return None
    if inner.rest:
        fields.rest["source"] = inner.rest
    return Image(source=source, cache=take_cache(fields), extensions=kept(fields.rest))


def _take_source(inner: Fields) -> Source | None:
    match inner.needed_text("type"):
        case "base64":
            return Source(data=standard_base64(inner.needed_text("data")), media_type=inner.needed_text("media_type"))
        case "url":
            return Source(url=inner.needed_text("url"))
        case "file":
            return Source(file_id=inner.needed_text("file_id"))
    return None


def decode_document(fields: Fields) -> Document | None:
    """Read a `document`; None for one whose source has a form that canonical words have none for."""
    inner = fields.inner("source")
    type_ = inner.rest.get("type")
    text = source = None
    if type_ == "text":
        del inner.rest["type"]
        text = inner.needed_text("data")
        if inner.rest.get("media_type") == "text/plain":
            del inner.rest["media_type"]
    elif type_ == "content":
        text = _take_blocks(inner)
    else:
        source = _take_source(inner)
    if text is None and source is None:
        return None
    if inner.rest:
        fields.rest["source"] = inner.rest
    return Document(
        source=source,
        text=text,
        title=fields.text("title"),
        context=fields.text("context"),
        citations=_take_citations(fields),
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


def _take_citations(fields: Fields) -> bool | None:
    value = fields.object("citations")
    return Fields(value, fields.at("citations")).flag("enabled") if value is not None else None


def _take_blocks(inner: Fields) -> str | None:
    """Take the text of a `content` source; None where it holds more than texts."""
    content = inner.rest.get("content")
    if isinstance(content, str):
        del inner.rest["content"]
        return content
    texts = _plain_texts(content)
    if texts is None:
        return None
    del inner.rest["content"]
    inner.rest[_CUTS] = [len(text) for text in texts]
    return _BETWEEN.join(texts)


def _plain_texts(content: Any) -> list[str] | None:
    if not isinstance(content, list):
        return None
    plain = (block["text"] for block in content if isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] == "text")
    texts = [text for text in plain if isinstance(text, str)]
    return texts if len(texts) == len(content) else None


def decode_search_result(fields: Fields) -> Document | None:
    """Read a `search_result`: a document whose context is where it was found; None where it holds more than plain texts."""
    texts = _plain_texts(fields.rest.get("content"))
    if texts is None:
        return None
    del fields.rest["content"]
    context, title = fields.needed_text("source"), fields.text("title")
    return Document(
        text=_BETWEEN.join(texts),
        title=title,
        context=context,
        citations=_take_citations(fields),
        cache=take_cache(fields),
        extensions=kept({**fields.rest, "type": "search_result", _CUTS: [len(text) for text in texts]}),
    )


# ---------------------------------------------------------------------------------------------- writing


def encode_image(part: Image, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write a picture, or None for one that Anthropic takes in no form; why is added to `losses`."""
    rest = dict(extra(part.extensions))
    source = part.source
    wire = _image_data(source, path, losses) if source.data is not None else _reference(source, path, losses)
    if wire is None:
        return None
    if part.detail not in (None, "auto"):
        dropped(losses, f"{path}.detail", "how closely a picture is looked at cannot be said")
    block: dict[str, Any] = {"type": "image", "source": wire}
    write_cache(block, rest, part.cache)
    return overlay(block, rest)


def _image_data(source: Source, path: str, losses: Losses) -> dict[str, Any] | None:
    data = standard_base64(source.data or "")
    kind = source.media_type
    if kind is None:
        kind = next((media_type for magic, media_type in _MAGIC if data.startswith(magic)), None)
        if kind is None:
            kind = "image/png"
            invented(losses, f"{path}.source.media_type", "the type of a picture must be said")
    elif kind == "image/jpg":
        kind = "image/jpeg"
    if not kind.startswith("image/"):
        dropped(losses, path, f"{kind} is no picture")
        return None
    return {"type": "base64", "media_type": kind, "data": data}


def _reference(source: Source, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write a source that names bytes elsewhere."""
    if source.file_id is not None and source.file_id.startswith("file_"):
        return {"type": "file", "file_id": source.file_id}
    if source.file_id is not None:
        dropped(losses, path, "the file lies with another provider")
        return None
    if source.url is not None and source.url.startswith(("http:", "https:")):
        return {"type": "url", "url": source.url}
    dropped(losses, path, "media is taken as data, or from the web")
    return None


def encode_document(part: Document, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write a document, or None for one that Anthropic takes in no form; why is added to `losses`."""
    rest = dict(extra(part.extensions))
    cuts = rest.pop(_CUTS, None)
    if rest.get("type") == "search_result" and part.text is not None:
        return _encode_search_result(part, part.text, rest, cuts)
    inner = rest.get("source")
    if isinstance(inner, dict) and _CUTS in inner:
        inner = {key: value for key, value in inner.items() if key != _CUTS}
        cuts = rest["source"][_CUTS]
    rest.pop("source", None)
    source = _document_source(part, inner, cuts, path, losses)
    if source is None:
        return None
    wire: dict[str, Any] = {"type": "document", "source": source}
    for name in ("title", "context"):
        if getattr(part, name) is not None:
            wire[name] = getattr(part, name)
    _write_citations(wire, part)
    write_cache(wire, rest, part.cache)
    return overlay(wire, rest)


def _write_citations(wire: dict[str, Any], part: Document) -> None:
    if part.citations is not None:
        wire["citations"] = {"enabled": part.citations}


def _document_source(part: Document, inner: Any, cuts: Any, path: str, losses: Losses) -> dict[str, Any] | None:
    kept_inner = inner if isinstance(inner, dict) else {}
    if part.source is not None:
        wire = _document_data(part.source, path, losses) if part.source.data is not None else _reference(part.source, path, losses)
        return overlay(wire, kept_inner) if wire is not None else None
    if not part.text:
        dropped(losses, path, "a document without content is refused")
        return None
    if kept_inner.get("type") == "content":
        return {**kept_inner, "content": _cut(part.text, cuts) if cuts is not None else part.text}
    return {"type": "text", "media_type": "text/plain", "data": part.text, **kept_inner}


def _document_data(source: Source, path: str, losses: Losses) -> dict[str, Any] | None:
    kind, data = source.media_type or "application/pdf", standard_base64(source.data or "")
    if kind == "application/pdf":
        return {"type": "base64", "media_type": kind, "data": data}
    if kind.startswith("text/") or kind in ("application/json", "application/xml"):
        try:
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(data, validate=True).decode()}
        except (binascii.Error, UnicodeDecodeError):
            dropped(losses, path, f"the document says it is {kind} but is no text")
            return None
    dropped(losses, path, f"documents of the type {kind} are not taken")
    return None


def _cut(text: str, cuts: Any) -> list[dict[str, Any]]:
    """Cut a text into the blocks that it came in; one block where it was changed since."""
    if sum(cuts) + len(_BETWEEN) * max(len(cuts) - 1, 0) != len(text):
        return [{"type": "text", "text": text}]
    blocks, at = [], 0
    for size in cuts:
        blocks.append({"type": "text", "text": text[at : at + size]})
        at += size + len(_BETWEEN)
    return blocks


def _encode_search_result(part: Document, text: str, rest: dict[str, Any], cuts: Any) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "type": "search_result",
        "source": part.context or "",
        "content": _cut(text, cuts if cuts is not None else [len(text)]),
    }
    if part.title is not None:
        wire["title"] = part.title
    _write_citations(wire, part)
    write_cache(wire, rest, part.cache)
    return overlay(wire, rest)
