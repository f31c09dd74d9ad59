"""Ids that OpenAI mints and later requests name, and encrypted reasoning: found in answers, in events, in requests.

API reference, "Create a response", and the guides "Conversation state" and "Reasoning models": answers are kept with their
items unless `store` is false; a reasoning item without its encrypted content is read from there. The content is encrypted
for one organization, and anew each time that it is sent: `response.output_item.done` and `response.completed` have two
texts for one item. ChatGPT's own backend leaves the output of `response.completed` empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from jackfield.api import Ids
from jackfield.api.canonical.ids import MOST_NAMED
from jackfield.api.canonical.signatures import TAG
from jackfield.api.canonical.splice import raw_members

Kind = TypeVar("Kind")

NEEDLES: Final = (b'"response.output_item.done"',)
"""Stand in the events that mint something between the first one and the last."""

_NEAR: Final = 1 << 16
"""Bytes at the end of a request's input in which its latest reasoning is looked for."""
_SEALED: Final = b'"encrypted_content"'
_VALUE: Final = re.compile(rb'\s*:\s*"([^"]+)"')
_REASONING: Final = b'"reasoning"'
_REFERENCE: Final = b'"item_reference"'
_EMPTY: Final = (b"", b"null", b"[]")


class _Item(msgspec.Struct, gc=False):
    id: str | None = None
    type: str | None = None
    encrypted_content: str | None = None
    container_id: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct, gc=False):
    id: str | None = None


class _Answer(msgspec.Struct):
    """An answer, a list of items, or an event with one of these or with one item."""

    id: str | None = None
    store: bool | None = None
    conversation: _Named | None = None
    output: list[_Item] | None = None
    data: list[_Item] | None = None
    response: _Answer | None = None
    item: _Item | None = None


class _Tool(msgspec.Struct, gc=False):
    container: Any = None


_answer: Final = msgspec.json.Decoder(_Answer).decode
_items: Final = msgspec.json.Decoder(list[_Item]).decode
_tools: Final = msgspec.json.Decoder(list[_Tool]).decode
_name: Final = msgspec.json.Decoder(str | _Named | None).decode


def minted(raw: bytes) -> Ids:
    """Return what a whole answer mints, or what an event carries."""
    try:
        seen = _answer(raw)
    except (ValueError, RecursionError):
        return Ids()
    answer = seen.response or seen
    items = [*(answer.output or ()), *(answer.data or ())]
    kept = [] if answer.store is False else [answer.id, *(item.id for item in items)]
    items += [seen.item] if seen.item is not None else []
    stored = [*kept, answer.conversation and answer.conversation.id, *(item.container_id for item in items)]
    return Ids(stored=tuple(filter(None, stored)), sealed=tuple(item.encrypted_content for item in items if item.encrypted_content))


def named(raw: bytes, params: Mapping[str, str]) -> Ids:
    """Return what a request names: the answer or conversation that it goes on from, items, a container, encrypted reasoning."""
    if "id" in params:
        return Ids(stored=(params["id"],))
    try:
        members = raw_members(raw)
    except (ValueError, RecursionError):  # whoever reads the body will say what is wrong with it
        return Ids()
    end = bytes(memoryview(members.get("input", msgspec.Raw(b"null")))[-_NEAR:])
    sealed = tuple(islice(_blobs(end), 1))
    return Ids(stored=tuple(islice(_stored(raw, members, end, bool(sealed)), MOST_NAMED)), sealed=sealed)


def _stored(raw: bytes, members: Mapping[str, msgspec.Raw], end: bytes, sealed: bool) -> Iterator[str]:
    """Yield the ids that a request names, the latest first."""
    for key in ("previous_response_id", "conversation"):
        one = _read(_name, members, key)
        if name := one.id if isinstance(one, _Named) else one:
            yield name
    # Who sends all that was thought, encrypted, and wants nothing kept, refers to nothing that is.
    alone = sealed and bytes(members.get("store", b"")) == b"false"
    if not alone and (raw.find(_REFERENCE) >= 0 or (not sealed and end.find(_REASONING) >= 0)):
        yield from (item.id for item in reversed(_read(_items, members, "input") or ()) if item.id and _refers(item))
    if "tools" in members and b'"container"' in bytes(members["tools"]):
        yield from (tool.container for tool in _read(_tools, members, "tools") or () if isinstance(tool.container, str))


def _read(decode: Callable[[msgspec.Raw], Kind], members: Mapping[str, msgspec.Raw], key: str) -> Kind | None:
    """Return a member of a request; None where there is none, or another thing stands there."""
    try:
        return decode(members[key])
    except (ValueError, LookupError, RecursionError):
        return None


def _refers(item: _Item) -> bool:
    """Tell whether an item is no more than a reference to one that is kept."""
    return item.type in ("item_reference", "reasoning", None) and not item.encrypted_content and bytes(item.content) in _EMPTY


def _blobs(end: bytes) -> Iterator[str]:
    """Yield the encrypted contents that stand in the end of an input, the last first, without those of other families."""
    at = len(end) if end.find(_SEALED) >= 0 else -1
    while (at := end.rfind(_SEALED, 0, max(at, 0))) >= 0:
        blob = _VALUE.match(end, at + len(_SEALED))
        if blob is not None and not blob[1].startswith(TAG.encode()):
            yield blob[1].replace(b"\\/", b"/").decode(errors="replace")
