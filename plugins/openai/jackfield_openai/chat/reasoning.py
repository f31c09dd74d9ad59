"""Thoughts, as speakers of this dialect write them beside `content`.

OpenAI shows none. DeepSeek, xAI, Z.AI and vLLM answer `reasoning_content`, Groq, Ollama and OpenRouter `reasoning`; OpenRouter
adds `reasoning_details`, objects of the types `reasoning.text`, `reasoning.summary` and `reasoning.encrypted` whose
`format` tells who can read their `signature` or `data` (OpenRouter's guide "Reasoning tokens"). Whoever sends
them wants them back unchanged; DeepSeek refuses tool results without (its guide "Thinking mode").

A `Thinking` part keeps under `extensions` the key of each place where its text stood, with the value `""`, and under
`reasoning_details` what each detail said beside its text. Without any it stood under `reasoning_content`, or came from
another dialect's upstream: what seals such thoughts is tagged, and has no extension when a client sends it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Part, Signature, Text, Thinking, read_signature
from jackfield.api.canonical.signatures import TAG
from jackfield_openai.chat.extras import extra, kept
from jackfield_openai.chat.signing import is_tagged, tagged

TEXT_KEYS: Final = ("reasoning_content", "reasoning")
"""Under which keys a message or delta has thoughts as a text."""

DETAILS: Final = "reasoning_details"
"""Under which key it has them as a list of objects."""

_PLACES: Final = frozenset({*TEXT_KEYS, DETAILS})

_FAMILIES: Final = {
    "anthropic-claude-v1": "anthropic",
    "openai-responses-v1": "openai",
    "azure-openai-responses-v1": "openai",
    "google-gemini-v1": "gemini",
    "xai-responses-v1": "xai",
}
_FORMATS: Final = {family: name for name, family in reversed(_FAMILIES.items())}
_SEALED: Final = ("openai", "xai")
"""Families whose signatures are the encrypted thoughts themselves."""

SIGNED_TEXT: Final = f"{TAG}text"
"""The id of a detail that holds no thoughts but what signs the words of `content`, for which this dialect has no place."""

_CONTENT_KEYS: Final = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}


def family_of(format_: object) -> str:
    """Return the family of models that can read what a detail of this format holds; `unknown` where nobody said."""
    return _FAMILIES.get(format_, format_) if isinstance(format_, str) and format_ else "unknown"


# ---------------------------------------------------------------------------------------------- reading


def take_text_signature(rest: dict[str, Any]) -> Signature | None:
    """Take what signs an assistant message's words, as `text_signature` wrote it; None where nothing does."""
    details = rest.get(DETAILS)
    if not isinstance(details, list):
        return None
    signs = [detail for detail in details if isinstance(detail, dict) and detail.get("id") == SIGNED_TEXT]
    if not signs:
        return None
    rest[DETAILS] = [detail for detail in details if detail not in signs]
    if not rest[DETAILS]:
        del rest[DETAILS]
    data = signs[-1].get("data")
    return read_signature(data, family_of(signs[-1].get("format")))[0] if isinstance(data, str) and data else None


def sign(parts: Sequence[Part], signature: Signature | None) -> list[Part]:
    """Return parts of which the last text has the signature; where there is no text, with one that has no words."""
    signed = list(parts)
    if signature is None:
        return signed
    at = next((at for at in range(len(signed) - 1, -1, -1) if isinstance(signed[at], Text)), None)
    if at is None:
        return [*signed, Text(text="", signature=signature)]
    signed[at] = msgspec.structs.replace(signed[at], signature=signature)
    return signed


def take_thinking(rest: dict[str, Any]) -> list[Thinking]:
    """Take the thoughts out of an assistant message's members. What cannot be understood remains in `rest`."""
    if _PLACES.isdisjoint(rest):
        return []
    texts = {key: rest.pop(key) for key in TEXT_KEYS if isinstance(rest.get(key), str) and rest[key]}
    details = rest.get(DETAILS)
    if not (isinstance(details, list) and details and all(map(understood, details))):
        return [_plain(keys, text) for text, keys in _by_text(texts).items()]
    del rest[DETAILS]
    parts = _from_details(details)
    said = "".join(map(spoken, parts))
    if any(map(_is_foreign, details)):
        # All of them were written here: none has a form of its own that anybody should get back.
        words = [] if said else [_plain(keys, text) for text, keys in _by_text(texts).items()]
        return [msgspec.structs.replace(part, extensions={}) for part in _sealed(words, parts, written=True)]
    if texts and not said:
        return _sealed([_plain(keys, text) for text, keys in _by_text(texts).items()], parts)
    where = {key: "" for key, text in texts.items() if text == said}
    # Words that differ from those of the details are told twice; the details are what goes back to the model.
    rest.update({key: text for key, text in texts.items() if key not in where})
    return [_marked(part, where) for part in parts]


def _is_foreign(detail: dict[str, Any]) -> bool:
    """Tell whether a detail holds what seals thoughts of another dialect's upstream."""
    return is_tagged(detail.get("data")) or is_tagged(detail.get("signature"))


def _sealed(words: list[Thinking], seals: list[Thinking], *, written: bool = False) -> list[Thinking]:
    """Join a signature that came without words to the words beside it.

    `written` tells that the signature was written here; then those that are encrypted thoughts have a summary beside.
    """
    shown = extra(seals[0].extensions)[DETAILS]
    open_ = shown[0]["type"] == "reasoning.text"
    if len(words) != 1 or len(seals) != 1 or seals[0].signature is None or not (open_ or written):
        return [*words, *seals]
    where = extra(words[0].extensions) or {"reasoning_content": ""}
    said = words[0].text
    signed = msgspec.structs.replace(seals[0], text=said if open_ else "", summary=() if open_ else (said,))
    return [_marked(signed, where)]


def _by_text(texts: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, text in texts.items():
        found.setdefault(text, []).append(key)
    return found


def _plain(keys: Sequence[str], text: str) -> Thinking:
    return Thinking(text=text, extensions=kept(places(keys)))


def places(keys: Iterable[str]) -> dict[str, Any]:
    """Return what to keep of the keys under which a text of thoughts stood."""
    found = dict.fromkeys(keys, "")
    return {} if found == {"reasoning_content": ""} else found


def understood(detail: Any) -> bool:
    """Tell whether a reasoning detail has a form that a `Thinking` part can hold."""
    if not isinstance(detail, dict):
        return False
    type_ = detail.get("type")
    key = _CONTENT_KEYS.get(type_) if isinstance(type_, str) else None
    strings = (detail.get(name) for name in (key, "signature", "id"))
    return key is not None and all(value is None or isinstance(value, str) for value in strings)


def _from_details(details: list[dict[str, Any]]) -> list[Thinking]:
    parts: list[Thinking] = []
    for detail in details:
        part = from_detail(detail)
        before = parts[-1] if parts else None
        if before is not None and continues(before, detail):
            parts[-1] = _joined(before, part)
        else:
            parts.append(part)
    return parts


def continues(part: Thinking, detail: dict[str, Any]) -> bool:
    """Tell whether a detail seals the thoughts before it: it is their encrypted form, under the same index."""
    before = extra(part.extensions).get(DETAILS)
    return (
        detail.get("type") == "reasoning.encrypted"
        and isinstance(before, list)
        and part.signature is None
        and part.redacted is None
        and before[-1].get("index") == detail.get("index")
    )


def _joined(part: Thinking, seal: Thinking) -> Thinking:
    before, after = extra(part.extensions)[DETAILS], extra(seal.extensions)[DETAILS]
    if part.id is not None:
        before = [*before[:-1], {**before[-1], "id": part.id}]
    return msgspec.structs.replace(
        part, signature=seal.signature, redacted=seal.redacted, id=seal.id, extensions=kept({DETAILS: [*before, *after]})
    )


def from_detail(detail: dict[str, Any]) -> Thinking:
    """Return the thoughts that one understood detail holds."""
    type_, family = detail["type"], family_of(detail.get("format"))
    content = detail.get(_CONTENT_KEYS[type_]) or ""
    shown = {key: value for key, value in detail.items() if key not in ("text", "summary", "data", "signature") and value is not None}
    sealed = type_ == "reasoning.encrypted"
    value = content if sealed else detail.get("signature")
    signature, encrypted = read_signature(value, family) if value else (None, False)
    redacted = encrypted or (sealed and family == "anthropic" and not is_tagged(value))
    return Thinking(
        text=content if type_ == "reasoning.text" else "",
        summary=(content,) if type_ == "reasoning.summary" and content else (),
        signature=None if redacted else signature,
        redacted=signature if redacted else None,
        id=shown.pop("id", None),
        extensions=kept({DETAILS: [shown]}),
    )


def _marked(part: Thinking, where: dict[str, Any]) -> Thinking:
    return msgspec.structs.replace(part, extensions=kept({**where, **extra(part.extensions)})) if where else part


def spoken(part: Thinking) -> str:
    """Return the words of a thought that a reader is shown: the open ones, else the summary."""
    return part.text or "\n\n".join(part.summary)


# ---------------------------------------------------------------------------------------------- writing


def is_own(part: Thinking) -> bool:
    """Tell whether thoughts came from this dialect with more than plain words, so that all of it may be written back."""
    said = extra(part.extensions)
    return DETAILS in said or any(key in said for key in TEXT_KEYS)


def is_foreign(part: Thinking) -> bool:
    """Tell whether something seals thoughts that another dialect's upstream gave."""
    return not extra(part.extensions) and (part.signature is not None or part.redacted is not None)


def write_thinking(wire: dict[str, Any], parts: Sequence[Thinking]) -> None:
    """Write thoughts into an assistant message, each in the places where it stood.

    Those of other dialects stand under `reasoning_content`, what seals them, tagged, under `reasoning_details`.
    """
    details: list[dict[str, Any]] = []
    sealed = any(details_of(part, 0) for part in parts)
    for part in parts:
        for key in _text_keys(part):
            if words := spoken(part):
                wire[key] = wire.get(key, "") + words
        found = details_of(part, len(details))
        if not found and sealed and not is_own(part):
            # Among details all thoughts stand, each in its place.
            found = [_open(part, len(details))]
        details += found
    if details:
        wire[DETAILS] = details


def text_signature(signature: Signature, index: int) -> dict[str, Any]:
    """Return the detail that carries a text's signature to a client and back: clients send all details unchanged."""
    where = {"format": _format_of(signature), "index": index, "id": SIGNED_TEXT}
    return {"type": "reasoning.encrypted", "data": tagged(signature), **where}


def _text_keys(part: Thinking) -> list[str]:
    said = extra(part.extensions)
    keys: list[str] = [key for key in TEXT_KEYS if key in said]
    return keys or ([] if DETAILS in said else ["reasoning_content"])


def details_of(part: Thinking, index: int) -> list[dict[str, Any]]:
    """Return the details that a thought needs: those it came with, or what seals it."""
    said = extra(part.extensions).get(DETAILS)
    if isinstance(said, list) and said:
        found = [_filled(dict(shown), part, last=shown is said[-1]) for shown in said]
        sealable = any(shown.get("type") != "reasoning.summary" for shown in said)
        return found if sealable or part.signature is None else [*found, _seal(part, part.signature, index)]
    if part.redacted is not None:
        value = tagged(part.redacted, redacted=True) if is_foreign(part) else part.redacted.value
        return [{"type": "reasoning.encrypted", "data": value, "format": _format_of(part.redacted), "index": index}]
    if part.signature is None:
        return []
    seal = _seal(part, part.signature, index)
    if seal["type"] != "reasoning.encrypted" or not spoken(part):
        return [seal]
    return [{"type": "reasoning.summary", "summary": spoken(part), "format": seal["format"], "index": index}, seal]


def _open(part: Thinking, index: int) -> dict[str, Any]:
    where = {"format": "unknown", "index": index}
    if part.summary and not part.text:
        return {"type": "reasoning.summary", "summary": spoken(part), **where}
    return {"type": "reasoning.text", "text": part.text, **where}


def _format_of(signature: Signature) -> str:
    return _FORMATS.get(signature.family, signature.family)


def _seal(part: Thinking, signature: Signature, index: int) -> dict[str, Any]:
    where = {"format": _format_of(signature), "index": index, **({"id": part.id} if part.id else {})}
    value = tagged(signature) if is_foreign(part) else signature.value
    if signature.family in _SEALED:
        return {"type": "reasoning.encrypted", "data": value, **where}
    return {"type": "reasoning.text", **({"text": part.text} if part.text else {}), "signature": value, **where}


def _filled(shown: dict[str, Any], part: Thinking, *, last: bool) -> dict[str, Any]:
    type_ = shown.get("type")
    if last and part.id is not None:
        shown["id"] = part.id
    if type_ == "reasoning.summary":
        shown["summary"] = "".join(part.summary)
    elif type_ == "reasoning.encrypted":
        seal = part.redacted or part.signature
        shown["data"] = seal.value if seal is not None else ""
    else:
        if part.text:
            shown["text"] = part.text
        if part.signature is not None:
            shown["signature"] = part.signature.value
    return shown
