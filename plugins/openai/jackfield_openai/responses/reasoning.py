"""Thoughts: `reasoning` items.

Source: OpenAI's guide "Reasoning models" (summary, encrypted_content); `content` with `reasoning_text` is what open models
show (gpt-oss, DeepSeek).

Thoughts of other families stand in a client's `summary`, which all clients show and send back, and their signature tagged
in `encrypted_content`; the tag tells on the way back that the words are the thoughts themselves. Unsigned ones are tagged
too: an item that no OpenAI model wrote must never go to one, which would look for its id. A signature that
belongs to a text or a tool call stands in an item of its own after it.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Signature, Thinking
from jackfield.api.canonical.codec import Fields, overlay
from jackfield.api.canonical.signatures import TAG, read_signature, write_signature
from jackfield_openai.responses.extras import FAMILY, Losses, extra, kept, lost, made_id

_UNSIGNED: Final = "unsigned"
"""The family under which thoughts without a signature are tagged."""
_WORDS: Final = "words"
_PARAGRAPHS: Final = "summary"
_BEFORE: Final = "/previous"
"""What the family of a signature ends with that belongs to the part before it."""
_OF_SUMMARY: Final = "/summary"
"""What the family of a signature ends with where the summary is one."""

PARAGRAPH: Final = "\n\n"
"""What stands between paragraphs of a summary that are the thoughts themselves."""

PLACE: Final = "content"
"""The key under which a thought keeps that its words stood in `content`."""


# ---------------------------------------------------------------------------------------------- reading


def decode_reasoning(fields: Fields) -> Thinking:
    """Read a `reasoning` item. Raises `BadRequest`."""
    summary = _take_texts(fields, "summary", "summary_text")
    words = _take_texts(fields, "content", "reasoning_text")
    if len(words) > 1:
        fields.rest[PLACE] = [len(text) for text in words]
    elif words:
        fields.rest[PLACE] = ""
    sealed = fields.text("encrypted_content")
    item_id = fields.text("id")
    if item_id is None:
        fields.rest["id"] = ""
    said: dict[str, Any] = {"text": "".join(words), "summary": summary, "id": item_id}
    if sealed:
        said = _unsealed(said, sealed)
    return Thinking(**said, extensions=kept(fields.rest))


def _take_texts(fields: Fields, key: str, type_: str) -> tuple[str, ...]:
    """Take a list of texts of one type; one with anything else remains."""
    value = fields.rest.get(key)
    if not isinstance(value, list) or not value:
        if value == [] and key == "summary":
            del fields.rest[key]
        return ()
    texts = [item.get("text") for item in value if isinstance(item, dict) and item.get("type") == type_ and len(item) == 2]
    if len(texts) != len(value) or not all(isinstance(text, str) for text in texts):
        return ()
    del fields.rest[key]
    return tuple(texts)  # type: ignore[arg-type]  # checked above


def _unsealed(said: dict[str, Any], sealed: str) -> dict[str, Any]:
    """Return what a thought says whose `encrypted_content` is known."""
    signature, redacted = read_signature(sealed, FAMILY)
    if not sealed.startswith(TAG):
        return {**said, "signature": signature}
    if not said["text"] and not is_summary(sealed):
        said = {**said, "text": PARAGRAPH.join(said["summary"]), "summary": ()}
    if signature.family == _UNSIGNED:
        return {**said, "id": None}
    signature = Signature(value=signature.value, family=signature.family.removesuffix(_OF_SUMMARY))
    return {**said, "id": None, "redacted" if redacted else "signature": signature}


def is_foreign(sealed: Any) -> bool:
    """Tell whether an item holds thoughts of another family."""
    return isinstance(sealed, str) and sealed.startswith(TAG)


def is_summary(sealed: str) -> bool:
    """Tell whether the summary of such an item is one, not the thoughts themselves."""
    signature, _ = read_signature(sealed, FAMILY)
    return signature.family.endswith(_OF_SUMMARY) or (signature.family == _UNSIGNED and signature.value == _PARAGRAPHS)


def carried(sealed: Any) -> Signature | None:
    """Return the signature that an item carries for the part before it; None where it is a thought of its own."""
    if not isinstance(sealed, str) or not sealed.startswith(TAG):
        return None
    signature, _ = read_signature(sealed, FAMILY)
    if not signature.family.endswith(_BEFORE):
        return None
    return Signature(value=signature.value, family=signature.family.removesuffix(_BEFORE))


# ---------------------------------------------------------------------------------------------- writing


def encode_reasoning(part: Thinking, path: str, losses: Losses, *, answer: bool) -> dict[str, Any] | None:
    """Write thoughts as an item; None where an upstream could not take them."""
    if answer:
        return _for_client(part)
    return _for_upstream(part, path, losses)


def _for_upstream(part: Thinking, path: str, losses: Losses) -> dict[str, Any] | None:
    seal = part.redacted or part.signature
    if seal is not None and seal.family != FAMILY:
        lost(losses, path, f"thoughts signed for the family {seal.family} cannot be read by OpenAI's models")
        return None
    if seal is None and part.id is None and not is_own(part):
        lost(losses, path, "Responses take no thoughts without their encrypted form")
        return None
    return _write(part if part.id is not None and part.signature is None else _summarized(part), seal.value if seal is not None else None)


def _summarized(part: Thinking) -> Thinking:
    """Return thoughts whose words came by way of another dialect as what OpenAI shows: a summary. It takes no other words back."""
    if not part.text or PLACE in extra(part.extensions):
        return part
    return msgspec.structs.replace(part, text="", summary=(part.text, *part.summary))


def _for_client(part: Thinking) -> dict[str, Any]:
    if is_native(part):
        wire = _write(part if part.id is not None else _summarized(part), seal_of(part, summary=False))
        return wire if "id" in wire else {"id": made_id("rs"), **wire}
    words = (part.text,) if part.text else ()
    texts = [{"type": "summary_text", "text": text} for text in (*words, *part.summary)]
    summary = bool(part.summary) and not part.text
    return {"id": made_id("rs"), "type": "reasoning", "summary": texts, "encrypted_content": seal_of(part, summary=summary)}


def is_native(part: Thinking) -> bool:
    """Tell whether a client is shown thoughts as one of OpenAI's models wrote them."""
    return is_own(part) or (part.signature is not None and part.signature.family == FAMILY)


def seal_of(part: Thinking, *, summary: bool) -> str | None:
    """Return the `encrypted_content` of a thought for a client; `summary` tells that a summary is all that is known of it."""
    if part.redacted is not None:
        return write_signature(part.redacted, FAMILY, redacted=True)
    if part.signature is not None and summary and part.signature.family != FAMILY:
        family = part.signature.family + _OF_SUMMARY
        return write_signature(Signature(value=part.signature.value, family=family), FAMILY)
    if part.signature is not None:
        return write_signature(part.signature, FAMILY)
    return None if is_own(part) else unsigned(summary=summary)


def unsigned(*, summary: bool) -> str:
    """Return the `encrypted_content` of thoughts that nobody signed."""
    return write_signature(Signature(value=_PARAGRAPHS if summary else _WORDS, family=_UNSIGNED), FAMILY)


def is_own(part: Thinking) -> bool:
    """Tell whether a thought came from this dialect without a signature of another family."""
    foreign = part.redacted is not None or (part.signature is not None and part.signature.family != FAMILY)
    return not foreign and (part.id is not None or bool(extra(part.extensions)))


def _write(part: Thinking, sealed: str | None) -> dict[str, Any]:
    rest = dict(extra(part.extensions))
    wire: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in part.summary]}
    nameless = rest.pop("id", None) == ""
    if part.id is not None or not nameless:
        # OpenAI's types demand an id; what is encrypted is known without.
        wire = {"id": part.id or f"rs_{hashlib.sha256((sealed or '').encode()).hexdigest()[:32]}", **wire}
    form = rest.pop(PLACE, None) if part.text else rest.get(PLACE)
    if part.text:
        wire["content"] = [{"type": "reasoning_text", "text": text} for text in _cut(part.text, form)]
    elif form == "" or (isinstance(form, list) and form):
        del rest[PLACE]
    if sealed is not None:
        wire["encrypted_content"] = sealed
    return overlay(wire, rest)


def _cut(text: str, form: Any) -> list[str]:
    """Cut words where they were cut, if they are as long as they were."""
    if not isinstance(form, list) or not all(isinstance(size, int) for size in form) or sum(form) != len(text):
        return [text]
    pieces, at = [], 0
    for size in form:
        pieces.append(text[at : at + size])
        at += size
    return pieces


def carrier(signature: Signature) -> dict[str, Any]:
    """Return the item that carries a signature of the part before it to a client, which sends it back."""
    marked = Signature(value=signature.value, family=signature.family + _BEFORE)
    return {"id": made_id("rs"), "type": "reasoning", "summary": [], "encrypted_content": write_signature(marked, FAMILY)}
