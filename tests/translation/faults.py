"""Cells that are known to be wrong, each with its reason. A test of such a cell must fail: when it no longer does, its line goes."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

import pytest

from tests.translation.dialects import SHORT

FAULTS: Final[dict[tuple[str, str, str], str]] = {}
"""By title, client and upstream; `*` stands for any, and ` / plain` or ` / stream` after the title for one of the two."""


def marks(feature: Any, client: str, upstream: str, stream: bool) -> list[pytest.MarkDecorator]:
    """Return the marks of one cell's test."""
    titles = (feature.title, f"{feature.title} / {'stream' if stream else 'plain'}")
    place = (SHORT[client], SHORT[upstream])
    why = [
        reason
        for (title, *ends), reason in FAULTS.items()
        if title in titles and all(fnmatchcase(name, pattern) for name, pattern in zip(place, ends, strict=True))
    ]
    return [pytest.mark.xfail(reason=why[0], strict=True, raises=AssertionError)] if why else []
