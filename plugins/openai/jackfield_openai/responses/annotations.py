"""What answers cite: `annotations` of an `output_text`.

Source: OpenAI's API reference, "The response object": `url_citation`, `file_citation`, `container_file_citation`, `file_path`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from jackfield.api.canonical import Citation
from jackfield.api.canonical.codec import overlay
from jackfield_openai.responses.extras import NAME, Losses, extra, kept, lost

_KINDS: Final[dict[str, Literal["url", "file"]]] = {
    "url_citation": "url",
    "file_citation": "file",
    "container_file_citation": "file",
}


_NEEDED: Final = ("title", "start_index", "end_index")
"""Members of a `url_citation`, beside the URL, that OpenAI's clients require."""


def decode_annotation(value: dict[str, Any]) -> Citation:
    """Read one annotation; one of an unknown form becomes a citation that says nothing elsewhere."""
    kind = _KINDS.get(str(value.get("type")))
    if kind is None:
        return Citation(kind="other", extensions=kept(value))
    rest = dict(value)
    if kind == "url":
        # Nulls tell that what the encoder would write was not there.
        rest = {**dict.fromkeys(_NEEDED), **value}
        del rest["type"]
    return Citation(
        kind=kind,
        url=_take(rest, "url", str),
        title=_take(rest, "title" if kind == "url" else "filename", str),
        start=_take(rest, "start_index", int),
        end=_take(rest, "end_index", int),
        extensions={NAME: rest} if rest else {},
    )


def _take(rest: dict[str, Any], key: str, type_: type) -> Any:
    return rest.pop(key) if isinstance(rest.get(key), type_) and not isinstance(rest[key], bool) else None


def encode_annotation(citation: Citation, length: int, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write one citation of a text of `length` characters; None for one that has no form here.

    One that names no place covers the whole text.
    """
    said = extra(citation.extensions)
    if citation.kind == "other" and said:
        return dict(said)
    if citation.kind == "file" and "file_id" in said:
        wire: dict[str, Any] = {"type": "file_citation", "filename": citation.title or ""}
        places = {"start_index": citation.start, "end_index": citation.end}
        wire.update({key: place for key, place in places.items() if place is not None})
        return overlay(wire, said)
    if citation.url is None:
        lost(losses, path, f"annotations of Responses cite URLs and stored files, not a {citation.kind}")
        return None
    if citation.quote is not None:
        lost(losses, f"{path}.quote", "annotations of Responses do not quote")
    return overlay(
        {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title or "",
            "start_index": citation.start or 0,
            "end_index": citation.end if citation.end is not None else length,
        },
        said,
    )
