"""Thoughts of other families' models, carried by a function call.

Some clients, Google's command line among them, send no thought back but every signature that stands on a call. A model of
another family may want its thoughts when it is told what the call gave. So they stand once more on the first call of a
step, in place of the signature that it has not: under a tag of their own, `jf1.<family>/thoughts.<JSON>`, in base64.
"""

from __future__ import annotations

import binascii
import contextlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Part, Signature, Thinking
from jackfield.api.canonical.codec import standard_base64
from jackfield_gemini.generate.extras import FAMILY
from jackfield_gemini.generate.signing import KEY, TAGGED

_BEGINS: Final = "jf1."
_MARK: Final = "/thoughts."


class _Thought(msgspec.Struct, omit_defaults=True):
    """A thought as it is carried."""

    family: str
    text: str = ""
    signature: str = ""
    redacted: str = ""
    id: str | None = None


_read: Final = msgspec.json.Decoder(list[_Thought]).decode


def foreign(part: Part) -> bool:
    """Tell whether a part is a thought that another family's model signed or encrypted."""
    if not isinstance(part, Thinking):
        return False
    proof = part.redacted or part.signature
    return proof is not None and proof.family != FAMILY


def write(thoughts: Sequence[Thinking]) -> str:
    """Return what stands on a call for thoughts, of which there is at least one."""
    said = [
        _Thought(
            family=(thought.redacted or thought.signature or Signature(value="", family="")).family,
            text=thought.text or "\n\n".join(thought.summary),
            signature=thought.signature.value if thought.signature is not None else "",
            redacted=thought.redacted.value if thought.redacted is not None else "",
            id=thought.id,
        )
        for thought in thoughts
    ]
    return b64encode(f"{_BEGINS}{said[0].family}{_MARK}".encode() + msgspec.json.encode(said)).decode()


def take(rest: dict[str, Any]) -> list[Thinking]:
    """Take the thoughts that a call carries."""
    value = rest.get(KEY)
    if not isinstance(value, str) or not value.startswith(TAGGED.decode()) or "functionCall" not in rest:
        return []
    with contextlib.suppress(binascii.Error, ValueError):
        head, mark, said = b64decode(standard_base64(value)).partition(_MARK.encode())
        if mark and head.startswith(_BEGINS.encode()):
            thoughts = [_thinking(one) for one in _read(said)]
            del rest[KEY]
            return thoughts
    return []


def _thinking(said: _Thought) -> Thinking:
    return Thinking(
        text=said.text,
        signature=Signature(value=said.signature, family=said.family) if said.signature else None,
        redacted=Signature(value=said.redacted, family=said.family) if said.redacted else None,
        id=said.id,
    )


def put(parts: list[Part], thoughts: Iterable[Thinking]) -> None:
    """Put thoughts at the end of what was said so far; those that are there already, without their signature, are made whole."""
    for thought in thoughts:
        places = [at for at, part in enumerate(parts) if isinstance(part, Thinking) and _same(part, thought)]
        if places:
            parts[places[0]] = thought
        else:
            parts.append(thought)


def join(parts: list[Part]) -> None:
    """Make one of the latest part, if it is a signed thought of another family, and the unsigned ones right before it.

    Clients keep the pieces of a stream apart, and the signature comes in its last piece. Who signed wants it with all of its words.
    """
    last = parts[-1]
    if not (isinstance(last, Thinking) and last.signature is not None and foreign(last)):
        return
    words = [last.text]
    while len(parts) > 1 and isinstance(before := parts[-2], Thinking) and before.signature is None and before.redacted is None:
        words.insert(0, before.text)
        del parts[-2]
    parts[-1] = msgspec.structs.replace(last, text="".join(words))


def _same(part: Thinking, thought: Thinking) -> bool:
    if thought.redacted is not None:
        return part.redacted == thought.redacted
    return part.signature == thought.signature or (part.signature is None and part.redacted is None and part.text == thought.text)
