"""The table of behaviours: every one is decided, and every test that it names is there."""

from __future__ import annotations

import ast
import functools
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from tests.translation.asked import ASKED
from tests.translation.said import FAILED, SAID
from tests.translation.test_wire_forms import ANSWERS, REQUESTS

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final[list[dict[str, Any]]] = tomllib.loads((Path(__file__).parent / "behaviours.toml").read_text(encoding="utf-8"))["behaviour"]
TITLES: Final = {feature.title for feature in (*ASKED, *SAID, *FAILED)}
NUMBERS: Final = {int(case[0].split()[0]) for case in (*REQUESTS, *ANSWERS)}

DECIDED: Final = 181
"""How many there are."""


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_behaviour_is_decided_once() -> None:
    assert [row["number"] for row in TABLE] == list(range(1, DECIDED + 1))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row["number"]))
def test_a_behaviour_is_decided_and_its_tests_are_there(row: dict[str, Any]) -> None:
    assert row["ours"] in ("same", "different", "elsewhere")
    assert row["ours"] == "same" or row["why"]
    assert bool(row.get("tests")) == (row["ours"] != "elsewhere")
    for name in row.get("tests", ()):
        kind, _, rest = name.partition(":")
        if kind == "matrix":
            assert rest in TITLES
        elif kind == "wire":
            assert int(rest) in NUMBERS
        else:
            path, _, test = name.partition("::")
            assert test in names_in(path), name


def test_every_case_of_the_wire_belongs_to_a_behaviour() -> None:
    named = {int(name.removeprefix("wire:")) for row in TABLE for name in row.get("tests", ()) if name.startswith("wire:")}
    assert named == NUMBERS
