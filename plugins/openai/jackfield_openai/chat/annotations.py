"""What answers cite: `annotations` of an assistant message and of a delta.

Source: OpenAI's guide "Web search" (`url_citation`); OpenRouter adds `content`, the cited words, and annotations of the
type `file`, which are kept as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from jackfield.api.canonical import Citation, Text
from jackfield.api.canonical.codec import overlay
from jackfield_openai.chat.content import Losses, lost
from jackfield_openai.chat.extras import extra, kept

_NEEDED: Final = ("title", "start_index", "end_index")
"""Members of a `url_citation`, beside the URL, that OpenAI's clients require."""


def decode_annotation(value: dict[str, Any]) -> Citation:
    """Read one annotation; one of an unknown form becomes a citation that says nothing elsewhere."""
    inner = value.get("url_citation")
    if value.get("type") != "url_citation" or not isinstance(inner, dict):
        return Citation(kind="other", extensions=kept(value))
    rest = {key: part for key, part in value.items() if key not in ("type", "url_citation")}
    said = {**dict.fromkeys(_NEEDED), **inner}
    return Citation(
        url=_take(said, "url", str),
        title=_take(said, "title", str),
        quote=_take(said, "content", str),
        start=_take(said, "start_index", int),
        end=_take(said, "end_index", int),
        extensions=kept({**rest, "url_citation": said} if said else rest),
    )


def _take(said: dict[str, Any], key: str, type_: type) -> Any:
    return said.pop(key) if isinstance(said.get(key), type_) and not isinstance(said[key], bool) else None


def encode_annotation(citation: Citation, offset: int, length: int) -> dict[str, Any] | None:
    """Write one citation of a text that begins at `offset` of an answer's words; None for one that names no URL.

    For those chat completions have no form. One that names no place covers the whole text, `length` characters.
    """
    said = extra(citation.extensions)
    if citation.kind == "other" and said:
        return dict(said)
    if citation.url is None and not said:
        return None
    inner = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": offset + (citation.start or 0),
        "end_index": offset + (citation.end if citation.end is not None else length),
    }
    if citation.quote is not None:
        inner["content"] = citation.quote
    return overlay({"type": "url_citation", "url_citation": inner}, said)


def encode_annotations(texts: Iterable[tuple[Text, str]], losses: Losses) -> list[dict[str, Any]]:
    """Write the citations of all texts of an answer, each with its path; their places count from its first word."""
    found: list[dict[str, Any]] = []
    offset = 0
    for text, path in texts:
        wires = [encode_annotation(citation, offset, len(text.text)) for citation in text.citations]
        if None in wires:
            unsayable(path, losses)
        found += filter(None, wires)
        offset += len(text.text)
    return found


def unsayable(path: str, losses: Losses) -> None:
    """Note that citations of the text at `path` have no form here."""
    lost(losses, f"{path}.citations", "annotations of chat completions cite pages of the web alone")
