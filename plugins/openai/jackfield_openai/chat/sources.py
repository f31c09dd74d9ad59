"""Where the bytes of media are: data URLs (RFC 2397), plain URLs and base64."""

from __future__ import annotations

import re
from typing import Final

from jackfield.api.canonical import Source
from jackfield.api.canonical.codec import standard_base64

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+")

AUDIO_TYPES: Final = {"mp3": "audio/mpeg"}
"""Media types of audio formats that are not `audio/` and the format's name."""


def source_of_url(url: str) -> Source:
    """Return what a URL names: the data in a plain base64 data URL, else the URL itself."""
    if url.startswith("data:"):
        head, comma, data = url.partition(",")
        media_type = head[5:].removesuffix(";base64")
        if comma and head.endswith(";base64") and _MEDIA_TYPE.fullmatch(media_type):
            return Source(data=standard_base64(data), media_type=media_type)
    return Source(url=url)


def url_of_source(source: Source, media_type: str) -> str | None:
    """Return a URL for a source, `media_type` where it names none itself; None for a file that a provider stores."""
    if source.data is not None:
        return f"data:{source.media_type or media_type};base64,{standard_base64(source.data)}"
    return source.url


def audio_type(format_: str) -> str:
    """Return the media type of an audio format."""
    return AUDIO_TYPES.get(format_, f"audio/{format_}")


def audio_format(media_type: str | None) -> str | None:
    """Return the audio format that OpenAI takes for a media type: `wav` or `mp3`; None for any other."""
    if media_type in ("audio/mpeg", "audio/mp3"):
        return "mp3"
    return "wav" if media_type in ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave") else None
