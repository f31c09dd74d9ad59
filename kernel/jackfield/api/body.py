"""Bodies of requests and answers, and what hooks may change about them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

from jackfield.api.canonical import Request, Response
from jackfield.api.canonical.splice import Path, splice
from jackfield.api.dialect import Loss
from jackfield.api.failure import NotDecoded
from jackfield.api.headers import Pairs

if TYPE_CHECKING:
    from jackfield.api.call import Reply

_UNREAD: Any = msgspec.UNSET
Canonical = TypeVar("Canonical")


class BadRequest(ValueError):
    """A client's body does not say what its dialect requires. The caller's fault: answered with 400 in that dialect.

    `param` is the path of the offending field, as the dialect's users write it: `messages[0].role`.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code


class Spooled(Protocol):
    """A large body that lies in a file."""

    def __len__(self) -> int:
        """The size, in bytes."""

    def read(self) -> bytes:
        """Return all of it, in memory."""

    def view(self) -> Any:
        """Return the bytes as they lie in the file, to be looked at like `bytes` without being read into memory."""


Codec = tuple[Callable[[bytes], Canonical], Callable[[Canonical, list[Loss]], bytes]]
"""How a body is read into its canonical form, and how it is written, with a list for what could not be said: one side of a dialect."""


class Body(Generic[Canonical]):
    """An immutable body in up to three forms: `raw`, `json`, and canonical (`request` of a request, `response` of an answer).

    One form is the origin, the others are derived when first asked for and kept. Changing one means
    making a new body. What `json` returns is shared and must not be changed in place.

    Asking for a decoded form of a body above the limit for parsing raises `NotDecoded`; of a client's
    body that is not valid, `BadRequest`.
    """

    __slots__ = ("_canonical", "_json", "_limit", "_raw", "codec", "losses", "media_type")

    def __init__(
        self,
        raw: bytes | Spooled | None = None,
        *,
        canonical: Canonical | None = None,
        codec: Codec[Canonical] | None = None,
        media_type: str = "application/json",
        limit: int | None = None,
        losses: list[Loss] | None = None,
    ) -> None:
        self._raw, self._canonical, self._limit = raw, canonical, limit
        self._json: Any = _UNREAD
        self.codec, self.media_type, self.losses = codec, media_type, losses

    @property
    def source(self) -> bytes | Spooled:
        """The bytes, or the file in which they lie: for whoever sends them on."""
        if self._raw is None and self._canonical is not None and self.codec is not None:
            self._raw = self.codec[1](self._canonical, [] if self.losses is None else self.losses)
        return self._raw or b""

    @property
    def raw(self) -> bytes:
        """The bytes. A spooled body is read from its file each time."""
        source = self.source
        return source if isinstance(source, bytes) else source.read()

    @property
    def json(self) -> Any:
        """The decoded JSON; None for bodies that are not JSON, such as multipart ones."""
        if self._json is _UNREAD:
            try:
                self._json = msgspec.json.decode(self._parsable()) if self.media_type.endswith("json") else None
            except (ValueError, RecursionError) as fault:
                raise BadRequest(f"the body is not valid JSON: {fault}") from None
        return self._json

    @property
    def fields(self) -> Sequence[Pairs]:
        """The fields of a multipart body. Provisional: nothing reads multipart bodies yet, so there are none."""
        return ()

    @property
    def canonical(self) -> Canonical | None:
        """The canonical form; None where the body has no codec."""
        if self._canonical is None and self.codec is not None:
            self._canonical = self.codec[0](self._parsable())
        return self._canonical

    request = response = canonical

    def with_raw(self, raw: bytes) -> "Body[Canonical]":
        """Return a body of the same kind with other bytes."""
        return Body(raw, codec=self.codec, media_type=self.media_type, limit=self._limit, losses=self.losses)

    def with_canonical(self, value: Canonical) -> "Body[Canonical]":
        """Return a body of the same kind that says something else, encoded when its bytes are needed."""
        return Body(canonical=value, codec=self.codec, media_type=self.media_type, limit=self._limit, losses=self.losses)

    def with_changes(self, changes: Mapping[Path, Any] | None = None, remove: Iterable[Path] = ()) -> "Body[Canonical]":
        """Return a body with the values at some paths changed and all other bytes kept.

        Raises `KeyError` where a parent is missing.
        """
        return self.with_raw(splice(self._parsable(), changes, remove))

    def _parsable(self) -> bytes:
        if self._limit is not None and len(self) > self._limit:
            raise NotDecoded(f"the body of {len(self)} bytes is over the limit of {self._limit} for parsing (limits.json)")
        return self.raw

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Body({self.media_type}, {len(self)} bytes)"


_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
"""The name of a header is a token (RFC 9110, section 5.1)."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a chain hook answers when it wants something changed. Name one of the four ways, headers beside it if need be.

    Changing `model` or `stream` in a request body this way is an error: a hook that wants another
    model is a router.
    """

    set: Mapping[Path, Any] | None = None
    """Values by path; all other bytes of the body stay as they are."""
    remove: Sequence[Path] = ()
    """Paths to take out; goes together with `set`."""
    request: Request | None = None
    """A whole canonical request; it is encoded into the dialect of the body that the hook saw."""
    response: Response | None = None
    """A whole canonical answer, for hooks that see an answer."""
    body: bytes | None = None
    """All of the body."""
    respond: "Reply | Response | None" = None
    """End the call with this answer: a reply in the client's dialect, or a canonical one, which is streamed when a
    stream was asked for. For hooks that see a request."""
    headers: Mapping[str, str | None] | None = None
    """Headers to set, or with None to take away: of the request to the upstream, or of the answer to the client. Keys,
    cookies, hop-by-hop and forwarding headers and those of the body are not a plugin's to set; a `respond` has its own."""

    def __post_init__(self) -> None:
        """Refuse headers that cannot be sent, so that it is the plugin's own code which fails."""
        for name, value in self.headers.items() if self.headers is not None else ():
            if _NAME.fullmatch(name) is None or not (value is None or value.isprintable()):
                raise ValueError(f"a header cannot be sent: {name!r}: {value!r}")
