"""Thought signatures: `thoughtSignature` on any part, bytes in base64.

Clients of Google's SDK write the URL-safe alphabet and can carry nothing but base64, so a signature of another family is
tagged as everywhere (`jf1.<family>.<value>`) and then encoded once more. Source of the placeholder: Google's guide
"Thought signatures", on histories that no Gemini model wrote.
"""

from __future__ import annotations

import binascii
import contextlib
from base64 import b64decode, b64encode
from typing import Any, Final

from jackfield.api import Loss
from jackfield.api.canonical import Signature, read_signature, write_signature
from jackfield.api.canonical.codec import standard_base64
from jackfield_gemini.generate.extras import FAMILY

KEY: Final = "thoughtSignature"
TAGGED: Final = b"amYxL"
"""What a tagged signature begins with, in base64."""

_WORDS: Final = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
PLACEHOLDER: Final = b64encode(_WORDS[0].encode()).decode()
"""What stands for a signature where there is none."""
_PLACEHOLDERS: Final = frozenset({*_WORDS, *(b64encode(word.encode()).decode() for word in _WORDS)})


def is_placeholder(value: str) -> bool:
    """Tell whether a signature is none but asks not to be looked at."""
    return value in _PLACEHOLDERS or standard_base64(value) in _PLACEHOLDERS


def read(value: str) -> tuple[Signature | None, bool]:
    """Read a signature; tell whether it holds encrypted thoughts. A placeholder is none."""
    if is_placeholder(value):
        return None, False
    value = standard_base64(value)
    if value.startswith(TAGGED.decode()):
        with contextlib.suppress(binascii.Error, ValueError):
            value = b64decode(value).decode()
    return read_signature(value, FAMILY)


def take(rest: dict[str, Any]) -> tuple[Signature | None, bool]:
    """Take a part's signature; a placeholder, and what is no text, remains."""
    value = rest.get(KEY)
    if not isinstance(value, str) or not value:
        return None, False
    signature, redacted = read(value)
    if signature is not None:
        del rest[KEY]
    return signature, redacted


def write(wire: dict[str, Any], signature: Signature | None, path: str, losses: list[Loss], *, answer: bool) -> bool:
    """Write a signature on a part: in answers any, in requests those alone that Gemini models gave. Tell whether it was written."""
    if signature is None:
        return False
    if signature.family == FAMILY:
        wire[KEY] = signature.value
    elif answer:
        wire[KEY] = tagged(signature)
    else:
        losses.append(Loss(f"{path}.signature", "dropped", f"a signature for {signature.family} can be read by nobody here"))
        return False
    return True


def tagged(signature: Signature, *, redacted: bool = False) -> str:
    """Return how a client of this dialect is given a signature that no Gemini model gave, or encrypted thoughts."""
    return b64encode(write_signature(signature, FAMILY, redacted=redacted).encode()).decode()
