"""How much to think, in the form that a model takes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jackfield.api import ThinkingSupport
from jackfield.api.canonical import ThinkingConfig, budget_of, effort_of, fit_thinking, parse_suffix
from jackfield.api.canonical.thinking import BUDGETS, LEVELS
from jackfield.api.dialect import Loss

LEVELLED = ThinkingSupport(levels=("low", "medium", "high"), off=False, dynamic=False)
WIDE = ThinkingSupport(levels=("minimal", "low", "medium", "high", "xhigh"), off=True, dynamic=True)
BUDGETED = ThinkingSupport(min=128, max=32768, off=False, dynamic=True)
FIXED = ThinkingSupport(min=1024, max=64000, off=True, dynamic=False)
BOTH = ThinkingSupport(levels=("low", "medium", "high", "max"), min=1024, max=128000)
NEVER = ThinkingSupport()


def config(text: str) -> ThinkingConfig:
    """`auto`, `off`, `on`, `high`, `8192`, `high+8192`, `auto+high`."""
    said: dict[str, object] = {}
    for word in filter(None, text.split("+")):
        said["mode" if word in ("auto", "on", "off") else "budget" if word.lstrip("-").isdecimal() else "effort"] = word
    return ThinkingConfig(**{k: int(str(v)) if k == "budget" else v for k, v in said.items()})  # type: ignore[arg-type]


def fit(text: str, support: ThinkingSupport | None, strict: bool = False) -> tuple[ThinkingConfig, list[Loss]]:
    losses: list[Loss] = []
    return fit_thinking(config(text), support, strict=strict, losses=losses), losses


TABLE = [
    # what is asked, of what model, what it becomes, what is lost
    ("", LEVELLED, "", ""),
    ("low", LEVELLED, "low", ""),
    ("high", LEVELLED, "high", ""),
    ("minimal", LEVELLED, "low", "effort"),
    ("xhigh", LEVELLED, "high", "effort"),
    ("max", LEVELLED, "high", "effort"),
    ("ultra", LEVELLED, "medium", "effort"),
    ("2000", LEVELLED, "medium", "budget"),
    ("512", LEVELLED, "low", "budget"),
    ("999999", LEVELLED, "high", "budget"),
    ("high+2000", LEVELLED, "high", ""),
    ("auto", LEVELLED, "on+medium", "mode"),
    ("on", LEVELLED, "on+medium", "mode"),
    ("-1", LEVELLED, "on+medium", "mode"),
    ("auto+high", LEVELLED, "on+high", ""),
    ("off", LEVELLED, "on+low", "mode"),
    ("none", LEVELLED, "on+low", "mode"),
    ("0", LEVELLED, "on+low", "mode"),
    ("off", WIDE, "off", ""),
    ("none", WIDE, "off", ""),
    ("0", WIDE, "off", ""),
    ("auto", WIDE, "auto", ""),
    ("max", WIDE, "xhigh", "effort"),
    ("2000", BUDGETED, "on+2000", ""),
    ("on+2000", BUDGETED, "on+2000", ""),
    ("100", BUDGETED, "on+128", "budget"),
    ("100000", BUDGETED, "on+32768", "budget"),
    ("medium", BUDGETED, "on+8192", "effort"),
    ("max", BUDGETED, "on+32768", "effort"),
    ("ultra", BUDGETED, "auto", "effort"),
    ("high+2000", BUDGETED, "on+2000", ""),
    ("auto", BUDGETED, "auto", ""),
    ("auto+high", BUDGETED, "on+24576", "effort"),
    ("off", BUDGETED, "on+128", "mode"),
    ("auto", FIXED, "on+32512", "mode"),
    ("off", FIXED, "off", ""),
    ("minimal", FIXED, "on+1024", "effort"),
    ("high", BOTH, "high", ""),
    ("2000", BOTH, "on+2000", ""),
    ("high+2000", BOTH, "on+high+2000", ""),
    ("auto+high", BOTH, "auto+high", ""),
    ("xhigh", BOTH, "high", "effort"),
    ("minimal", BOTH, "low", "effort"),
    ("500", BOTH, "on+1024", "budget"),
    ("auto", BOTH, "auto", ""),
    ("high", NEVER, "", ""),
    ("", NEVER, "", ""),
]


@pytest.mark.parametrize(("asked", "support", "expected", "lost"), TABLE, ids=[f"{a or 'nothing'}-{i}" for i, (a, *_) in enumerate(TABLE)])
def test_the_whole_table(asked: str, support: ThinkingSupport, expected: str, lost: str) -> None:
    fitted, losses = fit(asked, support)
    assert fitted == config(expected)
    if support is NEVER:
        assert [(loss.path, loss.what) for loss in losses] == ([("thinking", "dropped")] if asked else [])
    else:
        assert [(loss.path, loss.what) for loss in losses] == ([(f"thinking.{lost}", "changed")] if lost else [])


@pytest.mark.parametrize("asked", ["", "off", "auto", "ultra", "high+7", "999999"])
def test_a_model_that_nobody_knows_gets_all_that_is_asked(asked: str) -> None:
    assert fit(asked, None, strict=True) == (config(asked), [])


@pytest.mark.parametrize(
    ("asked", "support", "message"),
    [
        ("xhigh", LEVELLED, 'level "xhigh" not supported, valid levels: low, medium, high'),
        ("ultra", BOTH, 'level "ultra" not supported, valid levels: low, medium, high, max'),
        ("100", BUDGETED, "budget 100 out of range [128,32768]"),
        ("200000", BOTH, "budget 200000 out of range [1024,128000]"),
    ],
)
def test_what_a_model_does_not_take_is_refused_within_its_family(asked: str, support: ThinkingSupport, message: str) -> None:
    losses: list[Loss] = []
    with pytest.raises(ValueError) as fault:  # noqa: PT011
        fit_thinking(config(asked), support, strict=True, losses=losses)
    assert str(fault.value) == message
    assert not losses


@pytest.mark.parametrize("asked", ["off", "auto", "high"])
def test_what_is_no_amount_is_never_refused(asked: str) -> None:
    assert fit(asked, FIXED, strict=True) == fit(asked, FIXED)


def test_how_thoughts_are_shown_stays_unless_there_are_none() -> None:
    losses: list[Loss] = []
    shown = ThinkingConfig(effort="xhigh", summary="detailed")
    assert fit_thinking(shown, LEVELLED, strict=False, losses=losses).summary == "detailed"
    assert fit_thinking(ThinkingConfig(summary="auto"), LEVELLED, strict=True, losses=losses) == ThinkingConfig(summary="auto")
    assert fit_thinking(ThinkingConfig(mode="off", summary="auto"), WIDE, strict=True, losses=losses) == ThinkingConfig(mode="off")
    assert fit_thinking(ThinkingConfig(mode="off", summary="auto"), LEVELLED, strict=False, losses=losses).summary == "auto"
    assert fit_thinking(shown, NEVER, strict=False, losses=losses) == ThinkingConfig()


CONFIGS = st.builds(
    ThinkingConfig,
    mode=st.sampled_from([None, "on", "off", "auto"]),
    effort=st.sampled_from([None, "auto", "ultra", *LEVELS]),
    budget=st.one_of(st.none(), st.integers(-1, 200_000)),
    summary=st.sampled_from([None, "auto", "none"]),
)
SUPPORTS = st.builds(
    ThinkingSupport,
    levels=st.lists(st.sampled_from([*BUDGETS, "own"]), unique=True, max_size=3).map(tuple),
    min=st.sampled_from([None, 0, 128, 1024]),
    max=st.sampled_from([None, 8192, 64_000]),
    off=st.booleans(),
    dynamic=st.booleans(),
)


@given(CONFIGS, SUPPORTS)
@example(ThinkingConfig(effort="auto", budget=0), ThinkingSupport(max=8192))
@example(ThinkingConfig(effort="high", budget=0), ThinkingSupport(max=8192))
def test_what_comes_out_is_what_the_model_takes(asked: ThinkingConfig, support: ThinkingSupport) -> None:
    fitted = fit_thinking(asked, support, strict=False, losses=[])
    assert fitted.effort is None or fitted.effort in support.levels
    if fitted.budget is not None:
        assert support.min is not None or support.max is not None
        assert (support.min or 0) <= fitted.budget <= (support.max or fitted.budget)
    assert fitted.mode != "off" or support.off
    assert fitted.mode != "auto" or support.dynamic
    again: list[Loss] = []
    assert fit_thinking(fitted, support, strict=True, losses=again) == fitted
    assert not again


@given(st.integers(0, 200_000))
def test_a_budget_lies_within_its_level(budget: int) -> None:
    level = effort_of(budget)
    most = budget_of(level)
    assert most is not None
    assert most >= budget or level == "max"
    assert effort_of(most) == level


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("m(high)", "m", ThinkingConfig(mode="on", effort="high")),
        ("m(HIGH)", "m", ThinkingConfig(mode="on", effort="high")),
        ("m(8192)", "m", ThinkingConfig(mode="on", budget=8192)),
        ("m(none)", "m", ThinkingConfig(mode="off")),
        ("m(0)", "m", ThinkingConfig(mode="off")),
        ("m(auto)", "m", ThinkingConfig(mode="auto")),
        ("m(-1)", "m", ThinkingConfig(mode="auto")),
        ("m(x)(low)", "m(x)", ThinkingConfig(mode="on", effort="low")),
        ("m(foo)", "m(foo)", None),
        ("m(-2)", "m(-2)", None),
        ("(high)", "(high)", None),
        ("m(high)x", "m(high)x", None),
    ],
)
def test_suffixes(name: str, model: str, expected: ThinkingConfig | None) -> None:
    assert parse_suffix(name) == (model, expected)
