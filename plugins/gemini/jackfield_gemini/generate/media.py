"""Pictures, documents, sound and film: `inlineData` and `fileData`.

Source: Gemini API reference, `Blob` and `FileData`; guide "File input methods" for URLs that are not Google's own.
"""

from __future__ import annotations

import mimetypes
import re
from typing import Any, Final
from urllib.parse import urlsplit

from jackfield.api import Loss
from jackfield.api.canonical import Audio, Document, Image, Source, Video
from jackfield.api.canonical.codec import Fields, standard_base64
from jackfield_gemini.generate.extras import extra, kept

Media = Image | Document | Audio | Video

FILES: Final = "https://generativelanguage.googleapis.com/v1beta/"
"""Before `files/...`: where a file stands that was uploaded to Google."""
_OWN: Final = re.compile(r"(?:https://generativelanguage\.googleapis\.com/[^/]+/)?files/.+|gs://.+")
"""What Google alone can fetch."""
_FILM: Final = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com|youtu\.be)/", re.IGNORECASE)
_TITLED: Final = "=titled"
"""The key under which a document keeps that its name came from Google's wire."""
UNSAID: Final = "what is said in sound does not stand beside it in words"
INSIDE: Final = "=inside"
"""The key under which media keep that they stood within a function's result."""
_UNTYPED: Final = "=untyped"
"""The key under which media keep that Google's wire named no media type."""
_FORMATS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "l16": "pcm16"}
_SOUND: Final = {"mp3": "audio/mp3", "pcm16": "audio/pcm"}
_USUAL: Final = {Image: "image/jpeg", Document: "application/pdf", Audio: "audio/wav", Video: "video/mp4"}


def lost(losses: list[Loss], path: str, why: str) -> None:
    """Note something that is left out."""
    losses.append(Loss(path, "dropped", why))


# ---------------------------------------------------------------------------------------------- reading


def decode_inline(found: Fields, around: dict[str, Any]) -> Media:
    """Read `inlineData`; `around` is what its part says besides."""
    data = standard_base64(found.needed_text("data"))
    return _part(Source(data=data, media_type=found.text("mimeType")), found.text("displayName"), found.rest, around, "inlineData")


def decode_file(found: Fields, around: dict[str, Any]) -> Media:
    """Read `fileData`; `around` is what its part says besides."""
    uri, media_type = found.needed_text("fileUri"), found.text("mimeType")
    source = Source(file_id=uri, media_type=media_type) if _OWN.fullmatch(uri) else Source(url=uri, media_type=media_type)
    return _part(source, found.text("displayName"), found.rest, around, "fileData")


def _part(source: Source, title: str | None, inner: dict[str, Any], around: dict[str, Any], key: str) -> Media:
    said = source.media_type or _guess(source.url or source.file_id or "") or ""
    main, _, sub = said.partition("/")
    rest = {**around, **({key: inner} if inner else {})}
    if source.media_type is None:
        rest[_UNTYPED] = True
    if main not in ("image", "audio", "video"):
        return Document(source=source, title=title, extensions=kept({**rest, _TITLED: True if title is not None else None}))
    if title is not None:
        rest[key] = {**inner, "displayName": title}
    if main == "image":
        return Image(source=source, extensions=kept(rest))
    if main == "video":
        return Video(source=source, extensions=kept(rest))
    sub = sub.partition(";")[0].lower()
    return Audio(source=source, format=_FORMATS.get(sub, sub) or None, extensions=kept(rest))


def _guess(uri: str) -> str | None:
    if _FILM.match(uri):
        return "video/mp4"
    return mimetypes.guess_type(urlsplit(uri).path)[0]


# ---------------------------------------------------------------------------------------------- writing


def encode_media(part: Media, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    """Write a picture, document, sound or film; None for one that cannot be said."""
    rest = dict(extra(part.extensions))
    title = part.title if isinstance(part, Document) else None
    wire = _words_of(part, path, losses) if isinstance(part, Document | Audio) and part.source is None else None
    if wire is None and part.source is not None:
        wire = _encode_source(part.source, part, path, losses)
    if wire is None:
        return None
    titled = rest.pop(_TITLED, False)
    for note in (_UNTYPED, INSIDE):
        rest.pop(note, None)
    _note(part, path, losses)
    if title is not None and not titled and "text" not in wire:
        # Google's own SDK refuses names of files for this API, which knows no such field.
        lost(losses, f"{path}.title", "files have no names here")
    for key in ("inlineData", "fileData"):
        inner = rest.pop(key, None)
        if key in wire:
            wire[key].update(inner or {})
            if title is not None and titled:
                wire[key]["displayName"] = title
    return {**wire, **rest}


def _words_of(part: Document | Audio, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    """Write a document or a sound of which there are words alone."""
    words = part.text if isinstance(part, Document) else part.transcript
    if words is None:
        lost(losses, path, "sound that another provider keeps cannot be had here")
        return None
    losses.append(Loss(path, "changed", "its words stand as a text"))
    titled = f"{part.title}\n\n{words}" if isinstance(part, Document) and part.title else words
    return {"text": titled}


def _encode_source(source: Source, part: Media, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    if source.data is not None:
        return {"inlineData": {"mimeType": _media_type(source, part, path, losses), "data": standard_base64(source.data)}}
    uri = source.url
    if source.file_id is not None:
        if not _OWN.fullmatch(source.file_id):
            lost(losses, path, f"the file {source.file_id!r} is kept by another provider")
            return None
        uri = FILES + source.file_id if source.file_id.startswith("files/") else source.file_id
    if uri is None or urlsplit(uri).scheme not in ("http", "https", "gs"):
        lost(losses, path, "it says neither data nor a URL that could be fetched")
        return None
    if source.media_type is None and (_OWN.fullmatch(uri) or _UNTYPED in extra(part.extensions)):
        return {"fileData": {"fileUri": uri}}
    return {"fileData": {"mimeType": _media_type(source, part, path, losses), "fileUri": uri}}


def _media_type(source: Source, part: Media, path: str, losses: list[Loss]) -> str:
    if source.media_type:
        return source.media_type
    if isinstance(part, Audio) and part.format:
        return _SOUND.get(part.format, f"audio/{part.format}")
    guessed = _guess(source.url or "") or (_guess(part.title or "") if isinstance(part, Document) else None)
    if guessed:
        return guessed
    usual = _USUAL[type(part)]
    losses.append(Loss(f"{path}.source.media_type", "invented", f"a media type is wanted: {usual}"))
    return usual


def _note(part: Media, path: str, losses: list[Loss]) -> None:
    """Note what is not said of a part that is written."""
    if isinstance(part, Image) and part.detail not in (None, "auto"):
        lost(losses, f"{path}.detail", "how closely to look is said for whole requests alone")
    if isinstance(part, Audio) and part.source is not None and part.transcript:
        lost(losses, f"{path}.transcript", UNSAID)
    if isinstance(part, Document) and part.context is not None:
        lost(losses, f"{path}.context", "documents have no context here")
    if isinstance(part, Document) and part.citations:
        lost(losses, f"{path}.citations", "the model cannot be asked to cite from documents")
    if part.cache is not None and part.cache.ttl is not None:
        lost(losses, f"{path}.cache", "how long to cache cannot be said")
