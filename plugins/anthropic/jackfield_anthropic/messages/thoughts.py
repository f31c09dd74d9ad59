"""Thoughts: blocks of the types `thinking` and `redacted_thinking`, and what stands in their signatures.

Source: Anthropic's guide "Extended thinking": a thinking block goes back unchanged with its signature, else the request is
refused. So every thought that a client is shown must carry one. That of another family is written tagged
(`jackfield.api.canonical.signatures`); a thought that has none gets the text `jf1.unsigned.`, so that it is known again
when it comes back and is not sent to whom would refuse it.

Other families sign tool calls, for which the wire has no place: such a signature stands in a block of its own beside the
call, with a family `<family>/next` or `<family>/previous` that tells to which call it belongs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Part, Signature, Thinking, ToolCall, read_signature, write_signature
from jackfield.api.canonical.codec import Fields
from jackfield.api.canonical.signatures import TAG
from jackfield_anthropic.messages.extras import FAMILY, extra, kept
from jackfield_anthropic.messages.losses import Losses, dropped

UNSIGNED: Final = f"{TAG}unsigned."
"""The signature of a thought that has none, in what a client is shown."""

_NEXT: Final = "/next"
_PREVIOUS: Final = "/previous"


# ---------------------------------------------------------------------------------------------- reading


def decode_thinking(fields: Fields) -> Thinking:
    """Read a `thinking` block."""
    text, value = fields.text("thinking") or "", fields.text("signature")
    if not value or value == UNSIGNED:
        if value == "":
            fields.rest["signature"] = ""
        return Thinking(text=text, extensions=kept(fields.rest))
    signature, sealed = read_signature(value, FAMILY)
    return Thinking(
        text=text,
        signature=None if sealed else signature,
        redacted=signature if sealed else None,
        extensions=kept(fields.rest),
    )


def decode_redacted(fields: Fields) -> Thinking:
    """Read a `redacted_thinking` block."""
    return Thinking(redacted=Signature(value=fields.needed_text("data"), family=FAMILY), extensions=kept(fields.rest))


def belongs_to(signature: Signature | None) -> tuple[str, Signature] | None:
    """Return where the call stands whose signature this is, `next` or `previous`, and the signature; None for a thought's own."""
    if signature is None or "/" not in signature.family:
        return None
    family, _, place = signature.family.rpartition("/")
    return (place, Signature(value=signature.value, family=family)) if f"/{place}" in (_NEXT, _PREVIOUS) else None


def attached(parts: Iterable[Part]) -> list[Part]:
    """Put signatures of tool calls that stand in blocks of their own back on their calls."""
    found: list[Part] = []
    waiting: Signature | None = None
    for part in parts:
        carried = belongs_to(part.signature) if isinstance(part, Thinking) else None
        if carried is None:
            if waiting is not None and isinstance(part, ToolCall):
                part = msgspec.structs.replace(part, signature=waiting)  # noqa: PLW2901
                waiting = None
            found.append(part)
        elif carried[0] == "next":
            waiting = carried[1]
        elif found and isinstance(found[-1], ToolCall):
            found[-1] = msgspec.structs.replace(found[-1], signature=carried[1])
    return found


# ---------------------------------------------------------------------------------------------- writing


def words_of(part: Thinking) -> str:
    """Return the words of a thought that a reader is shown: the open ones, else the summary."""
    return part.text or "\n\n".join(part.summary)


def encode_asked(part: Thinking, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write a thought for an upstream: only what its own models gave can go back."""
    if part.signature is None and part.redacted is not None and part.redacted.family == FAMILY:
        return {"type": "redacted_thinking", "data": part.redacted.value, **extra(part.extensions)}
    signature = part.signature
    if signature is None and part.redacted is None and "signature" in extra(part.extensions):
        signature = Signature(value="", family=FAMILY)  # a speaker of this dialect that signs nothing wants it back so
    if signature is None or signature.family != FAMILY:
        said = signature or part.redacted
        dropped(
            losses, path, f"thoughts signed for {said.family} mean nothing here" if said else "thoughts without a signature are refused"
        )
        return None
    return {"type": "thinking", "thinking": words_of(part), "signature": signature.value, **_beside(part)}


def _beside(part: Thinking) -> dict[str, Any]:
    own = extra(part.extensions)
    return {key: value for key, value in own.items() if key != "signature"} if own else own


def encode_answered(part: Thinking) -> dict[str, Any] | None:
    """Write a thought for a client, who sends it back as it is; None for one that says nothing at all."""
    if part.signature is None and part.redacted is not None and part.redacted.family == FAMILY:
        return {"type": "redacted_thinking", "data": part.redacted.value, **extra(part.extensions)}
    words, own = words_of(part), extra(part.extensions)
    if not words and part.signature is None and part.redacted is None and not own:
        return None
    return {"type": "thinking", "thinking": words, "signature": seal_of(part), **_beside(part)}


def seal_of(part: Thinking) -> str:
    """Return what stands in the signature of a thought that a client is shown."""
    if part.signature is not None:
        return write_signature(part.signature, FAMILY)
    if part.redacted is not None:
        return write_signature(part.redacted, FAMILY, redacted=True)
    return "" if "signature" in extra(part.extensions) else UNSIGNED


def carrier(signature: Signature, *, before: bool) -> dict[str, Any]:
    """Return the block that carries a tool call's signature, to stand before or after the call."""
    return {"type": "thinking", "thinking": "", "signature": carried_in(signature, before=before)}


def carried_in(signature: Signature, *, before: bool) -> str:
    """Return what stands in the signature of such a block."""
    place = _NEXT if before else _PREVIOUS
    return write_signature(Signature(value=signature.value, family=signature.family + place), FAMILY)
