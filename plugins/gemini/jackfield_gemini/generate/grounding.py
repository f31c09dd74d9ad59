"""Citations: `groundingMetadata`, which says what parts of the words rest on which sources, and `citationMetadata`, which
says where words were recited from.

Source: Gemini API reference, `GroundingMetadata`, `GroundingSupport`, `Segment` (its indices count bytes of UTF-8) and
`CitationMetadata`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Citation, Part, Text
from jackfield_gemini.generate.extras import NAME, extra
from jackfield_gemini.generate.names import spelled

GROUNDING: Final = "groundingMetadata"
RECITED: Final = "citationMetadata"
_RECITED: Final = "=recited"
"""The key under which a citation keeps that its words were recited, with what was said besides."""
_KINDS: Final = ("web", "retrievedContext", "maps", "image")
_CHUNKS: Final = "groundingChunks"
_SUPPORTS: Final = "groundingSupports"


def cite(parts: Sequence[Part], rest: dict[str, Any]) -> list[Part]:
    """Put citations on the texts that they are about; what cannot be written again from them remains in `rest`."""
    found = citations_of([part.text if isinstance(part, Text) else None for part in parts], rest)
    if not found:
        return list(parts)
    cited = [
        msgspec.structs.replace(part, citations=tuple(found[at])) if at in found and isinstance(part, Text) else part
        for at, part in enumerate(parts)
    ]
    written: dict[str, Any] = {}
    write(written, cited)
    for key in (GROUNDING, RECITED):
        said = rest.get(key)
        if not isinstance(said, dict):
            continue
        again = written.get(key, {})
        if all(said.get(name) == value for name, value in again.items()):
            left = {name: value for name, value in said.items() if name not in again}
            if left:
                rest[key] = left
            else:
                del rest[key]
    return cited


def citations_of(texts: Sequence[str | None], rest: Mapping[str, Any]) -> dict[int, list[Citation]]:
    """Return the citations that a candidate's metadata amounts to, by the place of their text; None stands for other parts."""
    found: dict[int, list[Citation]] = {}
    grounding, recited = rest.get(GROUNDING), rest.get(RECITED)
    if isinstance(grounding, dict):
        _grounded(texts, spelled(grounding), found)
    sources = recited.get("citations", recited.get("citationSources")) if isinstance(recited, dict) else None
    first = next((at for at, text in enumerate(texts) if text is not None), None)
    for source in sources if isinstance(sources, list) and first is not None else ():
        if isinstance(source, dict) and isinstance(source.get("uri"), str) and first is not None:
            found.setdefault(first, []).append(_recited(texts[first] or "", spelled(source)))
    return found


def _recited(text: str, source: dict[str, Any]) -> Citation:
    end = source.pop("endIndex", None)
    start = source.pop("startIndex", None if end is None else 0)
    uri, title = source.pop("uri", None), source.pop("title", None)
    return Citation(
        url=uri if isinstance(uri, str) else None,
        title=title if isinstance(title, str) else None,
        start=_character(text.encode(), start),
        end=_character(text.encode(), end),
        extensions={NAME: {_RECITED: source}},
    )


def _grounded(texts: Sequence[str | None], said: dict[str, Any], found: dict[int, list[Citation]]) -> None:
    values = said.get(_CHUNKS)
    chunks = [_source(chunk) for chunk in values] if isinstance(values, list) else []
    supports, cited = said.get(_SUPPORTS), set[int]()
    for support in supports if isinstance(supports, list) else ():
        if not isinstance(support, dict):
            continue
        one = spelled(support)
        segment = one.get("segment")
        place = _place(texts, spelled(segment) if isinstance(segment, dict) else {})
        indices = one.get("groundingChunkIndices")
        if place is None or not isinstance(indices, list):
            continue
        at, start, end = place
        for index in indices:
            if isinstance(index, int) and 0 <= index < len(chunks):
                cited.add(index)
                found.setdefault(at, []).append(msgspec.structs.replace(chunks[index], start=start, end=end))
    first = next((at for at, text in enumerate(texts) if text is not None), None)
    if first is not None and len(cited) < len(chunks):
        # Sources that no words are said to rest on.
        found.setdefault(first, []).extend(one for index, one in enumerate(chunks) if index not in cited)


def _source(chunk: Any) -> Citation:
    kind = next((key for key in _KINDS if isinstance(chunk, dict) and isinstance(chunk.get(key), dict)), None)
    if kind is None:
        return Citation(kind="other")
    said = dict(chunk[kind])
    url, title, quote = (_text(said.pop(key, None)) for key in ("uri", "title", "text"))
    rest = {**({} if kind == "web" else {"=kind": kind}), **said}
    return Citation(
        kind="url" if kind == "web" else "document" if kind == "retrievedContext" else "other",
        url=url,
        title=title,
        quote=quote,
        extensions={NAME: rest} if rest else {},
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _place(texts: Sequence[str | None], segment: dict[str, Any]) -> tuple[int, int | None, int | None] | None:
    """Return the text that a segment is in, and its first and last character."""
    start, end, words = segment.get("startIndex", 0), segment.get("endIndex"), segment.get("text")
    named = segment.get("partIndex")
    places = [at for at, text in enumerate(texts) if text is not None]
    if not places:
        return None
    at = named if named in places else places[0]
    if isinstance(words, str) and isinstance(start, int) and isinstance(end, int):
        # Where thoughts stand before the words, the part that is named is not the one that is meant.
        at = next((place for place in (at, *places) if (texts[place] or "").encode()[start:end] == words.encode()), at)
    raw = (texts[at] or "").encode()
    return at, _character(raw, start), _character(raw, end)


def _character(raw: bytes, index: Any) -> int | None:
    """Return the number of the character at a byte."""
    return len(raw[:index].decode(errors="ignore")) if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else None


# ---------------------------------------------------------------------------------------------- writing


def write_all(candidate: dict[str, Any], parts: Sequence[Part], rest: dict[str, Any]) -> None:
    """Write the citations of all texts into a candidate; of what was kept that stands which still says the same."""
    write(candidate, parts)
    for key in (GROUNDING, RECITED):
        kept = rest.get(key)
        if isinstance(kept, dict) and kept.keys() & {_CHUNKS, _SUPPORTS, "citations", "citationSources"}:
            texts = [part.text if isinstance(part, Text) else None for part in parts]
            again = citations_of(texts, {key: kept})
            now = {at: _of(part, key) for at, part in enumerate(parts) if isinstance(part, Text) and _of(part, key)}
            if again == now:
                candidate.pop(key, None)
            else:
                rest[key] = {
                    name: value for name, value in kept.items() if name not in (_CHUNKS, _SUPPORTS, "citations", "citationSources")
                }


def _of(part: Text, key: str) -> list[Citation]:
    return [one for one in part.citations if (_RECITED in extra(one.extensions)) == (key == RECITED)]


def write(candidate: dict[str, Any], parts: Sequence[Part]) -> None:
    """Write the citations of all texts into a candidate."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    recited: list[dict[str, Any]] = []
    texts = [at for at, part in enumerate(parts) if isinstance(part, Text)]
    for at in texts:
        part = parts[at]
        assert isinstance(part, Text)
        for citation in part.citations:
            if _RECITED in extra(citation.extensions):
                recited.append(_write_recited(part.text, citation))
            else:
                _write_support(part.text, at if at != texts[0] else 0, citation, chunks, supports)
    if chunks:
        candidate[GROUNDING] = {_CHUNKS: chunks, **({_SUPPORTS: supports} if supports else {})}
    if recited:
        candidate[RECITED] = {"citations": recited}


def _write_recited(text: str, citation: Citation) -> dict[str, Any]:
    said = {
        "startIndex": _byte(text, citation.start) or None,
        "endIndex": _byte(text, citation.end),
        "uri": citation.url,
        "title": citation.title,
    }
    kept = {key: value for key, value in said.items() if value is not None}
    return {**kept, **extra(citation.extensions)[_RECITED]}


def _write_support(text: str, at: int, citation: Citation, chunks: list[dict[str, Any]], supports: list[dict[str, Any]]) -> None:
    chunk = _write_chunk(citation)
    if chunk not in chunks:
        chunks.append(chunk)
    # One that names no place is about the whole text.
    first, last = citation.start or 0, len(text) if citation.end is None else citation.end
    segment: dict[str, Any] = {"startIndex": _byte(text, first), "endIndex": _byte(text, last), "partIndex": at, "text": text[first:last]}
    segment = {key: value for key, value in segment.items() if value}
    if supports and supports[-1]["segment"] == segment:
        supports[-1]["groundingChunkIndices"].append(chunks.index(chunk))
    else:
        supports.append({"segment": segment, "groundingChunkIndices": [chunks.index(chunk)]})


def _write_chunk(citation: Citation) -> dict[str, Any]:
    rest = dict(extra(citation.extensions))
    kind = rest.pop("=kind", "web" if citation.url is not None or citation.kind == "url" else "retrievedContext")
    said = {"uri": citation.url, "title": citation.title, "text": citation.quote if kind != "web" else None}
    return {kind: {**{key: value for key, value in said.items() if value is not None}, **rest}}


def _byte(text: str, index: int | None) -> int | None:
    return len(text[:index].encode()) if index is not None else None
