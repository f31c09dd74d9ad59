"""The parts of messages, in words that no vendor owns.

A part is plain data: it holds no connection, no storage key and no wire form. What only one dialect
knows about a part stands in `extensions` under that dialect's name, so that it goes back where it
came from and nowhere else.
"""

from typing import Any, Literal

import msgspec

Extensions = dict[str, dict[str, Any]]
"""Fields that one dialect alone knows, by the dialect's name."""

Role = Literal["system", "developer", "user", "assistant", "tool"]
"""Who speaks. `system` and `developer` texts stand among the messages, where they were said."""


class Cache(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A marker: what comes before this place, and the part itself, may be cached by the provider."""

    ttl: str | None = None
    """How long, in the provider's words (`5m`, `1h`); None for its default."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An opaque proof or encrypted state that a provider gave and wants back unchanged."""

    value: str
    family: str
    """Whose it is: the family of models that can read it."""
    origin: str | None = None
    """The credential that it was minted for, where known. Provisional."""


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the bytes of an image, document, audio or video are: exactly one of the three is given."""

    url: str | None = None
    data: str | None = None
    """Standard base64 (RFC 4648, section 4), with padding."""
    file_id: str | None = None
    """An id that a provider minted for an uploaded file."""
    media_type: str | None = None


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place that a text refers to."""

    kind: Literal["url", "document", "file", "search_result", "other"] = "url"
    url: str | None = None
    title: str | None = None
    quote: str | None = None
    """The cited words of the source."""
    start: int | None = None
    """First character of the text that the citation covers."""
    end: int | None = None
    extensions: Extensions = {}


class Text(msgspec.Struct, tag="text", kw_only=True, frozen=True, omit_defaults=True):
    """Words."""

    text: str
    citations: tuple[Citation, ...] = ()
    signature: Signature | None = None
    cache: Cache | None = None
    extensions: Extensions = {}


class Thinking(msgspec.Struct, tag="thinking", kw_only=True, frozen=True, omit_defaults=True):
    """What a model thought before it answered: in the open, as a summary, signed, or encrypted."""

    text: str = ""
    summary: tuple[str, ...] = ()
    """Paragraphs of a summary, where the provider gives that instead of or beside the thoughts."""
    signature: Signature | None = None
    redacted: Signature | None = None
    """Encrypted thoughts that nobody but the provider can read."""
    id: str | None = None
    extensions: Extensions = {}


class Refusal(msgspec.Struct, tag="refusal", kw_only=True, frozen=True, omit_defaults=True):
    """The model's own words for declining."""

    text: str
    extensions: Extensions = {}


class ToolCall(msgspec.Struct, tag="tool_call", kw_only=True, frozen=True, omit_defaults=True):
    """The model asks for a tool of the caller's to be run."""

    id: str
    name: str
    arguments: str = ""
    """JSON text of an object for a function, as the model wrote it; free text for a custom tool."""
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    signature: Signature | None = None
    item_id: str | None = None
    """The id of the item that carries the call, where a dialect has one beside the call's."""
    cache: Cache | None = None
    extensions: Extensions = {}


class Image(msgspec.Struct, tag="image", kw_only=True, frozen=True, omit_defaults=True):
    """A picture."""

    source: Source
    detail: str | None = None
    """How closely it should be looked at: `low`, `high`, `auto`."""
    cache: Cache | None = None
    extensions: Extensions = {}


class Document(msgspec.Struct, tag="document", kw_only=True, frozen=True, omit_defaults=True):
    """A file to be read, such as a PDF, or a text given as a document."""

    source: Source | None = None
    text: str | None = None
    title: str | None = None
    """The file's name or the document's title."""
    context: str | None = None
    citations: bool | None = None
    """The model is asked to cite from it."""
    cache: Cache | None = None
    extensions: Extensions = {}


class Audio(msgspec.Struct, tag="audio", kw_only=True, frozen=True, omit_defaults=True):
    """Sound: what a user said, or what a model answered."""

    source: Source | None = None
    format: str | None = None
    """`wav`, `mp3`, `pcm16` ..."""
    transcript: str | None = None
    id: str | None = None
    expires_at: int | None = None
    cache: Cache | None = None
    extensions: Extensions = {}


class Video(msgspec.Struct, tag="video", kw_only=True, frozen=True, omit_defaults=True):
    """Moving pictures."""

    source: Source
    cache: Cache | None = None
    extensions: Extensions = {}


class ServerToolCall(msgspec.Struct, tag="server_tool_call", kw_only=True, frozen=True, omit_defaults=True):
    """The provider ran a tool of its own, such as a web search: what was asked of it."""

    id: str | None = None
    name: str
    arguments: str = ""
    """JSON text."""
    status: str | None = None
    cache: Cache | None = None
    extensions: Extensions = {}


class ServerToolResult(msgspec.Struct, tag="server_tool_result", kw_only=True, frozen=True, omit_defaults=True):
    """What a tool of the provider's own gave back."""

    call_id: str | None = None
    name: str
    content: str = ""
    """JSON text."""
    is_error: bool = False
    cache: Cache | None = None
    extensions: Extensions = {}


class Opaque(msgspec.Struct, tag="opaque", kw_only=True, frozen=True, omit_defaults=True):
    """A part that only one dialect understands: passed on there, a loss elsewhere."""

    dialect: str
    kind: str
    value: str
    """JSON text."""


class ToolResult(msgspec.Struct, tag="tool_result", kw_only=True, frozen=True, omit_defaults=True):
    """What a tool of the caller's gave back."""

    call_id: str
    name: str | None = None
    parts: tuple[Text | Image | Document | Audio | Video | Opaque, ...] = ()
    is_error: bool = False
    kind: Literal["function", "custom"] = "function"
    item_id: str | None = None
    cache: Cache | None = None
    extensions: Extensions = {}


Part = (
    Text | Thinking | Refusal | ToolCall | ToolResult | Image | Document | Audio | Video
    | ServerToolCall | ServerToolResult | Opaque
)  # fmt: skip
"""Anything that a message may hold."""


class Message(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One turn's words of one speaker."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    """The speaker's own name, where several speak in one role."""
    id: str | None = None
    extensions: Extensions = {}

    @property
    def text(self) -> str:
        """All words of the message, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
