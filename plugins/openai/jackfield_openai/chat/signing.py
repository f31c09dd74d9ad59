"""Signatures of other dialects' upstreams, in the places where clients of chat completions keep those of their own.

They are tagged (`jackfield.api.canonical.signatures`), whatever their family: a client sends them back as they are, also to
a speaker of chat completions, which must never see them. That goes for those of the family `openai` too, which are
given by Responses and refused here.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from jackfield.api.canonical import Signature, write_signature
from jackfield.api.canonical.signatures import TAG
from jackfield_openai.chat.extras import NAME


def tagged(signature: Signature, *, redacted: bool = False) -> str:
    """Return how a signature is written that no speaker of chat completions gave; no family has the dialect's name."""
    return write_signature(signature, NAME, redacted=redacted)


def is_tagged(value: Any) -> TypeGuard[str]:
    """Tell whether a member's value is what `tagged` wrote."""
    return isinstance(value, str) and value.startswith(TAG)
