"""Names that people mistype, and lists of those that there are."""

import difflib
from collections.abc import Iterable

_MOST_SHOWN = 8


def listed(names: Iterable[str]) -> str:
    """Return some names as text, not more than one can read."""
    shown = sorted(names)
    rest = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return ", ".join(shown[:_MOST_SHOWN]) + rest if shown else "none"


def near(name: str, known: Iterable[str]) -> str:
    """Say what somebody may have meant, as the end of a sentence about a name that is not known."""
    known = list(known)
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]!r}?" if found else f"; known: {listed(known)}"
