"""What texts cite.

Source: Anthropic's guides "Citations" (places in documents: characters, pages, blocks), "Search results" and "Web search
tool". A citation covers the whole text block in which it stands.
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api.canonical import Citation
from jackfield.api.canonical.codec import overlay
from jackfield_anthropic.messages.extras import extra, kept

_WEB: Final = "web_search_result_location"
_FOUND: Final = "search_result_location"
_DOCUMENT: Final = frozenset({"char_location", "page_location", "content_block_location"})


def decode_citation(value: dict[str, Any]) -> Citation:
    """Read one citation; one of an unknown form says nothing elsewhere."""
    rest = dict(value)
    type_ = rest.get("type")
    if type_ == _WEB:
        del rest["type"]
        return Citation(
            kind="url", url=_take(rest, "url"), title=_take(rest, "title"), quote=_take(rest, "cited_text"), extensions=kept(rest)
        )
    if type_ == _FOUND:
        del rest["type"]
        return Citation(
            kind="search_result",
            url=_take(rest, "source"),
            title=_take(rest, "title"),
            quote=_take(rest, "cited_text"),
            extensions=kept(rest),
        )
    if isinstance(type_, str) and type_ in _DOCUMENT:
        title, quote = _take(rest, "document_title"), _take(rest, "cited_text")
        return Citation(kind="document", title=title, quote=quote, extensions=kept(rest))
    return Citation(kind="other", extensions=kept(rest))


def _take(rest: dict[str, Any], key: str) -> str | None:
    return rest.pop(key) if isinstance(rest.get(key), str) else None


def encode_citation(citation: Citation, *, answer: bool) -> dict[str, Any] | None:
    """Write one citation; None for one that has no form here.

    A request's must be those that Anthropic gave: it refuses web results without their encrypted index. Clients are
    shown web results of others with an empty one.
    """
    own = extra(citation.extensions)
    match citation.kind:
        case "url" if citation.url is not None and (answer or own.get("encrypted_index")):
            wire = {"type": _WEB, "url": citation.url, "title": citation.title, "cited_text": citation.quote or "", "encrypted_index": ""}
        case "search_result" if own:
            wire = {"type": _FOUND, "source": citation.url or "", "title": citation.title, "cited_text": citation.quote or ""}
        case "document" if "type" in own:
            wire = {"type": "", "document_title": citation.title, "cited_text": citation.quote or ""}
        case "other" if own:
            wire = {}
        case _:
            return None
    return overlay(wire, own)
