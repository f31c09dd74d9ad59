"""One file of credentials: what stands in it, what is wrong with it, and how it looks when some of it has changed.

It holds one credential, an object with the fields of `Credential`, or several: `credentials` is a list of such objects then,
and what stands beside the list is said of all of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from jackfield.api import Credential, Secret, fault_of_key
from jackfield.api.units import read_unit

_FIELDS: Final = tuple(name for name in Credential.__struct_fields__ if name != "origin")
_BLANK: Final = Credential(provider="")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WORDS: Final = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing",
    "array": "a list", "object": "a mapping",
}  # fmt: skip


class Malformed(ValueError):
    """Something is not as a file of credentials should be; the sentence says what, and shows no value."""


class Page:
    """What one file says, in a form that can be changed and written again. What is not changed stays as it was written."""

    def __init__(self, path: Path, raw: bytes | None = None) -> None:
        """Take a file's content; None for a new file. Raises `Malformed` where that is no object, or lists none."""
        top = {"credentials": []} if raw is None else _decoded(raw.removeprefix(_BYTE_ORDER_MARK))
        if not isinstance(top, dict):
            raise Malformed(f"expected a mapping, got {_in_words(top)}")
        listed = "credentials" in top
        self._entries: Any = top.pop("credentials") if listed else [top]
        if not isinstance(self._entries, list):
            raise Malformed(f"credentials: expected a list, got {_in_words(self._entries)}")
        self._path, self._listed = path, listed and raw is not None
        self._shared: dict[str, Any] = top if listed else {}

    def read(self) -> tuple[list[Credential | None], list[str]]:
        """Return the credential of each entry, and a line for each entry that is none."""
        credentials: list[Credential | None] = []
        problems: list[str] = []
        path, several = self._path, self._listed or len(self._entries) > 1
        for index, entry in enumerate(self._entries):
            origin, label = (f"{path}: credentials[{index}]", f"{path.stem}[{index}]") if several else (str(path), path.stem)
            try:
                credentials.append(_credential(entry, self._shared, origin, label))
            except Malformed as fault:
                credentials.append(None)
                problems.append(f"{origin}: {fault}")
        return credentials, problems

    def put(self, given: Credential, base: Credential | None = None) -> None:
        """Let a credential take the place of the one with its id, else of the one with its identity, or add it.

        `base` is what it was made from, where that is known: what is the same in both was not changed, whatever the file says
        now. Raises `Malformed` for one that could not be read again.
        """
        held, _ = self.read()
        before = find(held, given)
        if before is None:
            at, ids = len(held), [*_ids(held), given.id or given.identity]
            self._entries.append({})
            changed = {name for name in _FIELDS if name in self._shared or getattr(given, name) != getattr(_BLANK, name)}
        else:
            at, ids = held.index(before), _ids(held)
            given = replace(given, label=given.label or before.label)
            changed = {name for name in _FIELDS if getattr(given, name) != getattr(base or before, name)}
        plain = msgspec.to_builtins(given, enc_hook=_plain)
        self._entries[at].update({name: plain[name] for name in _FIELDS if name in changed and name != "id"})
        _credential(self._entries[at], self._shared, "", "")
        self._name(ids)

    def take_out(self, id: str) -> bool:
        """Remove a credential; tell whether anything is left."""
        held, _ = self.read()
        ids = _ids(held)
        if id not in ids:
            raise KeyError(id)
        del self._entries[ids.index(id)]
        ids.remove(id)
        self._name(ids)
        return bool(self._entries)

    def encode(self) -> bytes:
        """Return the file's new content."""
        single = not self._listed and len(self._entries) == 1
        top = self._entries[0] if single else {**self._shared, "credentials": self._entries}
        return msgspec.json.format(msgspec.json.encode(top), indent=2) + b"\n"

    def _name(self, ids: list[str | None]) -> None:
        """Write down the ids of those that would otherwise be called something else now."""
        for entry, id, made in zip(self._entries, ids, self.read()[0], strict=True):
            if made is not None and made.id != id:
                entry["id"] = id


def find(held: Iterable[Credential | None], given: Credential) -> Credential | None:
    """Return the one with a credential's id, else the one with its identity."""
    there = [one for one in held if one is not None]
    id = given.id or given.identity
    return next((one for one in there if one.id == id), None) or next((one for one in there if one.identity == given.identity), None)


def _ids(held: Iterable[Credential | None]) -> list[str | None]:
    return [None if one is None else one.id for one in held]


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise Malformed("not valid JSON: it is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        what = str(fault).removeprefix("JSON is malformed: ")
        place = re.search(r" \(byte (\d+)\)$", what)
        line = f" line {raw.count(10, 0, int(place[1])) + 1}:" if place else ""
        raise Malformed(f"not valid JSON:{line} {what[: place.start()] if place else 'it breaks off' if raw else 'it is empty'}") from None


def _credential(entry: object, shared: Mapping[str, Any], origin: str, label: str) -> Credential:
    """Return the credential of an entry. Raises `Malformed`."""
    if not isinstance(entry, dict):
        raise Malformed(f"expected a mapping, got {_in_words(entry)}")
    said = {**shared, **entry}
    if unknown := [_unknown(name) for name in said if name not in _FIELDS]:
        raise Malformed("; ".join(unknown))
    try:
        made = msgspec.convert(said, Credential, dec_hook=_special)
    except msgspec.ValidationError as fault:
        raise Malformed(_mistake(str(fault))) from None
    if not made.provider:
        raise Malformed("provider: it is empty; name one")
    if made.key is not None and (what := fault_of_key(made.key.reveal())):
        raise Malformed(f"key: {what}; it is not used, put in a real one")
    made = replace(made, origin=origin, label=made.label or label)
    return made if made.id else replace(made, id=made.identity)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _FIELDS, 1)
    return f"{name}: unknown; did you mean {near[0]!r}?" if near else f"{name}: unknown; known here: {', '.join(sorted(_FIELDS))}"


def _special(kind: type[Any], value: Any) -> Any:
    """Read what JSON has no type for."""
    if kind is not Secret:
        return read_unit(kind, value)
    if not isinstance(value, str):
        raise Malformed(f"expected a text, got {_in_words(value)}")
    return Secret(value.strip())


def _plain(value: Any) -> Any:
    """Say in JSON what it has no type for."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value))


def _in_words(value: object) -> str:
    kind = {dict: "object", list: "array", type(None): "null"}.get(type(value), type(value).__name__)
    return _WORDS.get(kind, kind)


def _mistake(said: str) -> str:
    """Say in the words of a user, and without any value, what msgspec found wrong."""
    what, _, place = said.partition(" - at `$")
    where = place.removesuffix("`").removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", what):
        return f"{where}.{missing[1]}: missing".removeprefix(".")
    if what.startswith("Invalid enum value"):
        what = "it is none of the words that may stand here"
    words = re.sub(r"`([\w| ]+)`", lambda found: " or ".join(_WORDS.get(part, part) for part in found[1].split(" | ")), what)
    return f"{where}: {words[:1].lower()}{words[1:]}" if where else words
