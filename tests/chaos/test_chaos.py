"""The chaos test in its short form: 1,500 calls while providers fail in every way that they can. `make chaos` makes 20,000."""

from __future__ import annotations

import pytest

from tests.chaos.run import MOST, run
from tests.chaos.world import BEHAVIOURS

UNTRIED = "it failed although"


@pytest.mark.parametrize("seed", [6, 19])
def test_whatever_upstreams_do_no_call_fails_that_somebody_would_have_answered(seed: int) -> None:
    report = run(seed, 750, budget=MOST)
    assert not report.violations, report
    assert len(report.met) > len(BEHAVIOURS) / 2, report
    assert report.statuses[200] > 500, report


def test_with_the_budget_that_is_set_by_default_few_do_and_attempts_are_few() -> None:
    report = run(8, 750)
    untried = [said for said in report.violations if said.startswith(UNTRIED)]
    assert len(report.violations) == len(untried) <= 15, report
    assert report.attempts < 2 * report.calls, report
