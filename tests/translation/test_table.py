"""The document of the matrix says what the tests find, and no cell of it is empty or wrong."""

from __future__ import annotations

from tests.translation.asked import ASKED
from tests.translation.dialects import FOUR, there
from tests.translation.faults import FAULTS
from tests.translation.feature import Asked
from tests.translation.matrix import NO_WORDS
from tests.translation.said import FAILED, SAID
from tests.translation.table import BEGIN, DOCUMENT, counts, generated, written


def test_the_document_is_the_one_that_the_tests_would_write() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written(), "python -m tests.translation --write"
    assert BEGIN in DOCUMENT.read_text(encoding="utf-8")


def test_all_four_dialects_are_there() -> None:
    assert there() == FOUR


def test_no_cell_is_empty_or_wrong() -> None:
    found = counts()
    assert sum(found.values()) == len([*ASKED, *SAID, *FAILED]) * len(FOUR) ** 2
    assert {mark for cell in found for mark in cell.split(" / ")} <= {"=", "~", "-", NO_WORDS}
    assert all(FAULTS.values())


def test_every_feature_can_be_said_by_somebody_and_has_a_title_of_its_own() -> None:
    titles = [(type(feature), feature.title) for feature in (*ASKED, *SAID, *FAILED)]
    assert len(set(titles)) == len(titles)
    assert all(feature.wires for feature in (*ASKED, *SAID, *FAILED))
    assert all(isinstance(feature, Asked) for feature in ASKED)


def test_within_a_dialect_nothing_is_lost() -> None:
    """Each dialect says all that it has words for to itself: the diagonal has no other mark."""
    rows = [
        line.split(" | ")
        for line in generated().splitlines()
        if line.startswith(("| chat |", "| responses |", "| messages |", "| generate |"))
    ]
    for at, row in enumerate(rows):
        cells = [cell.strip("| ") for cell in row]
        assert cells[1 + at % len(FOUR)] in ("=", NO_WORDS), rows[at]
