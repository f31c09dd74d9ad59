"""Signatures that stand in a dialect whose models cannot read them.

A signature goes back to nobody but the family that gave it. A client of another dialect keeps it all the same: it is
written into that dialect's own place under a tag, `jf1.<family>.<value>`, and known again when the client sends it back.
Encrypted thoughts (`Thinking.redacted`) stand under `jf1.<family>/redacted.<value>`.
"""

from typing import Final

from msgspec.structs import replace

from jackfield.api.canonical.parts import Part, Signature, Text, Thinking, ToolCall
from jackfield.api.canonical.request import Request

TAG: Final = "jf1."
"""What a signature begins with that stands in a foreign dialect."""
_REDACTED: Final = "/redacted"


def write_signature(signature: Signature, family: str, *, redacted: bool = False) -> str:
    """Return how a signature is written for a client of a dialect whose models are of `family`: as it is, or tagged.

    `redacted` tells that it holds encrypted thoughts and that the dialect has no place of its own for these.
    """
    if signature.family == family and not redacted:
        return signature.value
    return f"{TAG}{signature.family}{_REDACTED if redacted else ''}.{signature.value}"


def read_signature(value: str, family: str) -> tuple[Signature, bool]:
    """Read what `write_signature` wrote, or a signature of `family`; tell whether it holds encrypted thoughts."""
    if not value.startswith(TAG):
        return Signature(value=value, family=family), False
    named, _, rest = value[len(TAG) :].partition(".")
    return Signature(value=rest, family=named.removesuffix(_REDACTED)), named.endswith(_REDACTED)


def without_signatures(request: Request) -> Request:
    """Return a request without any signature and without encrypted thoughts, for a provider that does not know them for its own."""
    messages = (replace(message, parts=tuple(filter(None, map(_unsigned, message.parts)))) for message in request.messages)
    return replace(request, messages=tuple(messages))


def _unsigned(part: Part) -> Part | None:
    if isinstance(part, Thinking):
        return replace(part, signature=None, redacted=None, extensions={}) if part.text or part.summary else None
    return replace(part, signature=None) if isinstance(part, Text | ToolCall) and part.signature is not None else part
