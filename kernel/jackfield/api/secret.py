"""Secrets: values that never show themselves by accident.

A `Secret` is masked in `repr`, `str`, formatting and logs, and is not encoded as JSON. Only code that was handed one and
calls `reveal` sees the text.
"""

import re
from hashlib import blake2b
from typing import Final, NoReturn

_PLACEHOLDER: Final = re.compile(
    r"(?:your|my|the)[-_ ]?(?:\w+[-_ ])*(?:key|token|secret)|change[-_ ]?me|replace[-_ ]?me|placeholder|insert[-_ ]"
    r"|^(?:sk-)?(?:x{3,}|\.{3}|…|\*{3,}|1234(?:5(?:6(?:7(?:89?)?)?)?)?|test-?key|dummy|example|todo|none|null"
    r"|api[-_ ]?key|key|token|secret)$"
    r"|^<.*>$|^\[.*\]$|^\{.*\}$|^sk-(?:your|\.{2,}|x{3,})|\.{3}$",
    re.IGNORECASE,
)


class Secret:
    """A text that is masked by type.

    Two secrets are equal when their texts are. The mask shows a short fingerprint, so that two
    secrets can be told apart in a log without either being readable.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Whoever calls this answers for where it goes."""
        return self._text

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that identify the secret without revealing it."""
        return blake2b(self._text.encode(), digest_size=4).hexdigest()

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})" if self._text else "Secret(empty)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def is_placeholder(text: str) -> bool:
    """Tell whether a key was evidently copied from a template and never filled in.

    Such a key is known to everybody, so it must neither open the house nor be sent to a provider.
    """
    return bool(_PLACEHOLDER.search(text.strip()))
