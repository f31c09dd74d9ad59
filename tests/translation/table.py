"""The matrix as a document: a grid for each feature, and what is listed as lost. `python -m tests.translation --write` writes it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from jackfield.api import Loss
from tests.translation import matrix
from tests.translation.asked import ASKED
from tests.translation.dialects import FOUR, SHORT, spoken
from tests.translation.matrix import Cell, Fault
from tests.translation.said import FAILED, SAID

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "translation.md"
BEGIN: Final = "<!-- generated: python -m tests.translation --write -->"
FAULTY: Final = "!"
"""A cell that neither arrives nor is listed, or a dialect that is not there."""

Judge = Callable[[Any, str, str, bool], Cell]


def cell(judge: Judge, feature: Any, client: str, upstream: str, stream: bool) -> Cell:
    """Return one cell; a fault is a mark too."""
    if client not in spoken() or upstream not in spoken():
        return Cell(FAULTY)
    try:
        return judge(feature, client, upstream, stream)
    except Fault:
        return Cell(FAULTY)


def grid(judge: Judge, feature: Any) -> list[str]:
    """Return the lines of one feature: the grid, and below it what is listed."""
    lines = [f"| client | {' | '.join(SHORT[upstream] for upstream in FOUR)} |", f"|---|{'---|' * len(FOUR)}"]
    listed: dict[tuple[str, str, str], list[str]] = {}
    for client in FOUR:
        marks = []
        for upstream in FOUR:
            plain, streamed = (cell(judge, feature, client, upstream, stream) for stream in (False, True))
            marks.append(plain.mark if plain.mark == streamed.mark else f"{plain.mark} / {streamed.mark}")
            _note(listed, (*plain.losses, *streamed.losses), f"{SHORT[client]} to {SHORT[upstream]}")
        lines.append(f"| {SHORT[client]} | {' | '.join(marks)} |")
    return [*lines, "", *_listing(listed)]


def _note(listed: dict[tuple[str, str, str], list[str]], losses: Iterable[Loss], way: str) -> None:
    for loss in losses:
        ways = listed.setdefault((loss.what, re.sub(r"\[\d+\]", "[]", loss.path), loss.why), [])
        if way not in ways:
            ways.append(way)


def _listing(listed: dict[tuple[str, str, str], list[str]]) -> Iterator[str]:
    for (what, path, why), ways in sorted(listed.items(), key=lambda item: (item[1], item[0])):
        yield f"- `{path}` {what}: {why} ({', '.join(ways)})"
    if listed:
        yield ""


def section(title: str, judge: Judge, features: Iterable[Any]) -> list[str]:
    """Return the lines of all features of one kind."""
    lines = [f"## {title}", ""]
    for feature in features:
        lines += [f"### {feature.title}", "", *grid(judge, feature)]
    return lines


@functools.cache
def generated() -> str:
    """Return everything of the document that follows from the code."""
    lines = [
        *section("Requests", matrix.asked, ASKED),
        *section("Answers", matrix.said, SAID),
        *section("Errors", matrix.failed, FAILED),
    ]
    return "\n".join(lines).rstrip() + "\n"


def counts() -> dict[str, int]:
    """Return how many cells of the grids have each mark."""
    found: dict[str, int] = {}
    for row in re.findall(r"^\| (?:chat|responses|messages|generate) \| (.*) \|$", generated(), re.MULTILINE):
        for mark in row.split(" | "):
            found[mark] = found.get(mark, 0) + 1
    return found


def written() -> str:
    """Return the whole document: its prose as it stands, and the tables anew."""
    prose, found, _ = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    if not found:
        raise ValueError(f"{DOCUMENT} has no line {BEGIN!r}")
    return f"{prose}{BEGIN}\n\n{generated()}"
