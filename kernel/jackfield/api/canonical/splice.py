"""Edit JSON text by path and keep every other byte.

A whole-body decode and encode would damage what nobody meant to touch: `1.10` becomes `1.1`, spacing
and key order change. Here only the named places are replaced. Values that are not on a path are
skipped by a compiled decoder, so the cost is that of one scan.

A `Path` is a tuple of object keys and array indices: `("messages", 0, "content")`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

Path = tuple[str | int, ...]
"""Where a value stands in a JSON document: keys of objects and indices of arrays, from the outside in."""

_KEY: Final = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*("([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\r]*:[ \t\n\r]*)')
_KEY_TEXT: Final = re.compile(_KEY.pattern.decode())
_SKIP: Final = re.compile(rb"[ \t\n\r]*").match
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_scan = json.JSONDecoder().raw_decode

_KEPT: Final = 1 << 20
"""Bytes of a body up to which its scan is kept."""

MAX_MEMBERS: Final = 10_000
"""The most members that an object may have to be edited: a bound on the work that a hostile body can ask for."""

Span = tuple[int, int]
"""Start and end of a value within its document, in bytes."""


class Member(msgspec.Struct, gc=False):
    """One member of a JSON object: its decoded key, and where key and value stand, in bytes."""

    key: str
    start: int
    """Where the key's opening quote stands."""
    value: Span
    escaped: bool = False
    """The key was written with escape sequences."""


class _Latest:
    """The body that was scanned last: one request's is scanned several times in a row."""

    scanned: tuple[bytes, dict[str, msgspec.Raw]] = b"", {}
    """It and its members, in one value: hooks in threads read requests too."""


def raw_members(raw: bytes) -> Mapping[str, msgspec.Raw]:
    """Return the members of a JSON object by key, each as JSON text. Raises `ValueError` when `raw` is not one JSON object."""
    latest, found = _Latest.scanned
    if latest is raw and raw:
        return found
    found = _object.decode(raw)
    if isinstance(raw, bytes) and len(raw) <= _KEPT:
        _Latest.scanned = raw, found
    return found


def members(raw: bytes) -> list[Member]:
    """List the members of a JSON object in their order, doubled keys included.

    Raises `ValueError` (msgspec's own among them) when `raw` is not one JSON object.
    """
    values = _object.decode(raw)
    if len(values) > MAX_MEMBERS:
        raise ValueError(f"an object with more than {MAX_MEMBERS} members")
    found: list[Member] = []
    at = 0
    for name, value in values.items():
        head = _KEY.match(raw, at)
        if head is None or head[2] != name.encode():
            return _members_slowly(raw)
        start = head.end()
        at = start + len(value)
        found.append(Member(name, head.start(1), (start, at)))
    return _members_slowly(raw) if _KEY.match(raw, at) else found


def _members_slowly(raw: bytes) -> list[Member]:
    """Do the work of `members` for objects with doubled or escaped keys, of which a decoder keeps one alone."""
    text = bytes(raw).decode()  # a large body is a map of its file
    found: list[Member] = []
    at = byte = 0  # the same place, in characters and in bytes
    while head := _KEY_TEXT.match(text, at):
        _, end = _scan(text, head.end())
        key = byte + len(text[at : head.start(1)].encode())
        value = key + len(head[1].encode())
        byte = value + len(text[head.end() : end].encode())
        found.append(Member(json.loads(f'"{head[2]}"'), key, (value, byte), "\\" in head[2]))
        if len(found) > MAX_MEMBERS:
            raise ValueError(f"an object with more than {MAX_MEMBERS} members")
        at = end
    return found


def items(raw: bytes) -> list[Span]:
    """Return where each item of a JSON array stands.

    Raises `ValueError` when `raw` is not one JSON array.
    """
    spans: list[Span] = []
    end = 0  # of the item before: what follows is a bracket or comma, then the item
    for value in _array.decode(raw):
        start = _SKIP(raw, _SKIP(raw, end).end() + 1).end()  # type: ignore[union-attr]
        end = start + len(value)
        spans.append((start, end))
    return spans


def _entries(raw: bytes) -> list[tuple[str | int, int, Span]]:
    """Return each entry of an object or array: its key or index, where it starts, where its value stands."""
    if raw[:1] == b"{":
        return [(member.key, member.start, member.value) for member in members(raw)]
    return [(index, span[0], span) for index, span in enumerate(items(raw))] if raw[:1] == b"[" else []


def locate(raw: bytes, path: Path) -> Span | None:
    """Return where the value at `path` stands in `raw`, or None when there is no such place.

    Where a key is doubled the last one counts, as it does for JSON decoders.
    """
    start, end = len(raw) - len(raw.lstrip()), len(raw.rstrip())
    for step in path:
        found = [span for key, _, span in _entries(raw[start:end]) if key == step]
        if not found:
            return None
        start, end = start + found[-1][0], start + found[-1][1]
    return start, end


def splice(raw: bytes, changes: Mapping[Path, Any] | None = None, remove: Iterable[Path] = ()) -> bytes:
    """Return `raw` with the values at some paths replaced, added or removed; all other bytes stay.

    `changes` maps a path to its new value: anything msgspec encodes, or `msgspec.Raw` for JSON text
    taken as it is. A path whose parent exists is added to it (an object gets a new last member, an
    array whose index equals its length a new last item). Removing what is not there does nothing.

    Raises `KeyError` with the path when a parent is missing, `ValueError` when `raw` is not JSON.
    """
    for path, value in (changes or {}).items():
        raw = _put(raw, path, msgspec.json.encode(value))
    for path in remove:
        raw = _take_out(raw, path)
    return raw


def _put(raw: bytes, path: Path, value: bytes) -> bytes:
    span, parent = locate(raw, path), locate(raw, path[:-1])
    if span is not None:
        return raw[: span[0]] + value + raw[span[1] :]
    inner = raw[slice(*parent)] if parent is not None else b""
    number = len(_entries(inner))
    member = inner[:1] == b"{" and isinstance(path[-1], str)
    if parent is None or not (member or (inner[:1] == b"[" and path[-1] == number)):
        raise KeyError(path)
    label = msgspec.json.encode(path[-1]) + b":" if member else b""
    end = parent[1] - 1
    return b"".join((raw[:end], b"," if number else b"", label, value, raw[end:]))


def _take_out(raw: bytes, path: Path) -> bytes:
    span = locate(raw, path[:-1])
    inner = raw[slice(*span)] if span is not None else b""
    found = [(start, value[1]) for key, start, value in _entries(inner) if (key,) == path[-1:]]
    if span is None or not found:
        return raw
    start, end = found[-1]
    if (rest := inner[end:].lstrip())[:1] == b",":
        end = len(inner) - len(rest[1:].lstrip())
    else:  # the last one: the comma before it goes instead
        before = inner[:start].rstrip()
        start = len(before) - 1 if before.endswith(b",") else start
    return raw[: span[0] + start] + raw[span[0] + end :]
