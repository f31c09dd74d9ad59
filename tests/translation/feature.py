"""What a feature of the matrix is: the same thing said natively in each dialect that can say it, and how its meaning is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jackfield.api import Request, Response


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Something that a request can say."""

    title: str
    wires: Mapping[str, Any]
    """A body of each dialect that has words for it."""
    meaning: Callable[[Request], Any]
    """What is compared on both sides."""
    expected: Any
    """The meaning of the bodies."""
    named: str
    """Regular expression: paths of losses that name this feature."""
    expected_of: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Where a dialect's own words mean something else in detail."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """Something that an answer can say."""

    title: str
    wires: Mapping[str, Any]
    """A whole answer of each dialect that has words for it; its stream is played from it."""
    meaning: Callable[[Response], Any]
    expected: Any
    named: str
    expected_of: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failed:
    """An error: before the answer, and in the middle of its stream."""

    title: str
    status: int
    wires: Mapping[str, Any]
    """Bodies of error answers."""
    streams: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """Streams that begin well and end with it."""
