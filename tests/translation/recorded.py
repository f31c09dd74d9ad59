"""Recorded exchanges, and which of them are looked at."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Exchange = dict[str, Any]

ALL = bool(os.environ.get("JACKFIELD_ALL_RECORDINGS"))
"""Look at every recording instead of a sample of them."""


@functools.cache
def exchanges(folder: Path, dialect: str) -> tuple[Exchange, ...]:
    """Return a dialect's recorded exchanges: all of them, or every fourth and besides two with each feature."""
    index = json.loads((folder / "index.json").read_bytes())
    rows = [row for row in (index["exchanges"] if isinstance(index, dict) else index) if row["dialect"] == dialect]
    seen: dict[str, int] = {}
    chosen = []
    for row in sorted(rows, key=lambda row: str(row["id"])):
        rare = [feature for feature in row["features"] if seen.get(feature, 0) < 2]
        if ALL or rare or hashlib.sha256(row["id"].encode()).digest()[0] % 4 == 0:
            chosen.append(row["id"])
            for feature in row["features"]:
                seen[feature] = seen.get(feature, 0) + 1
    return tuple(json.loads((folder / dialect / f"{name}.json").read_bytes()) for name in chosen)


def requests(folder: Path, dialect: str) -> Iterator[tuple[str, bytes, bool]]:
    """Yield id and body of every request, and whether it asks for a stream."""
    for one in exchanges(folder, dialect):
        if one["request"]["body"] is not None:
            yield one["id"], json.dumps(one["request"]["body"]).encode(), bool(one["stream"])


def answers(folder: Path, dialect: str) -> Iterator[tuple[str, bytes]]:
    """Yield id and body of every whole answer that is no error."""
    for one in exchanges(folder, dialect):
        body = one["response"].get("body")
        if isinstance(body, dict) and one["response"]["status"] < 400:
            yield one["id"], json.dumps(body).encode()


def streams(folder: Path, dialect: str) -> Iterator[tuple[str, bytes]]:
    """Yield id and bytes of every event stream."""
    for one in exchanges(folder, dialect):
        if one["response"].get("sse"):
            yield one["id"], one["response"]["sse"].encode()


def refused(folder: Path, dialect: str) -> set[str]:
    """Return the ids of exchanges whose request was answered with an error."""
    return {one["id"] for one in exchanges(folder, dialect) if one["response"]["status"] >= 400}
