"""Remembering what was made of things that come again."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.api import BadRequest, Loss, Request
from jackfield.api.canonical import Message, Text, Tool, ToolCall, ToolResult, estimate_tokens
from jackfield.api.canonical.codec import load_apart
from jackfield.api.canonical.fitting import fit
from jackfield.api.canonical.memo import Memo, Runs
from jackfield.canonical_dialect import CanonicalDialect

EACH = Memo.EACH


def held(memo: Memo[Any], keys: list[Any]) -> list[Any]:
    """Return which of the keys are kept, in a way that asks for none of them twice."""
    return [key for key, value in zip(keys, memo.all(keys), strict=True) if value is not None]


def test_what_was_put_is_returned_and_what_was_not_is_not() -> None:
    memo = Memo[str]()
    assert memo.put("a", "made of a", 1) == "made of a"
    assert memo.get("a") == "made of a"
    assert memo.get("b") is None
    assert memo.all(["b", "a", "b"]) == [None, "made of a", None]


def test_a_value_under_a_known_key_takes_the_place_of_the_one_before() -> None:
    memo = Memo[str](most=8 * EACH)
    for turn in range(100):
        memo.put("a", f"turn {turn}", 0)
    memo.put("b", "kept beside", 0)
    assert memo.all(["a", "b"]) == ["turn 99", "kept beside"]


def test_it_never_holds_more_than_its_bound() -> None:
    memo = Memo[int](most=10 * EACH)
    for number in range(1000):
        memo.put(number, number, 0)
        assert len(held_by_nobody_else(memo)) <= 10
    assert 999 in held(memo, list(range(1000)))


def held_by_nobody_else(memo: Memo[int]) -> list[int]:
    """Return the values that a memo holds, without asking for any: what is asked for is kept longer."""
    return [entry[0] for half in vars(memo).values() if isinstance(half, dict) for entry in half.values()]


def test_sizes_count_and_not_numbers_alone() -> None:
    memo = Memo[str](most=100 * EACH, largest=100 * EACH)
    memo.put("small", "small", 0)
    memo.put("big", "big", 49 * EACH)
    memo.put("big too", "big too", 49 * EACH)
    assert held(memo, ["small", "big", "big too"]) == ["big", "big too"]


def test_what_was_not_asked_for_goes_first() -> None:
    memo = Memo[int](most=8 * EACH)  # two halves of four
    for number in range(4):
        memo.put(number, number, 0)
    memo.put(4, 4, 0)  # the first four are the former half now
    assert memo.get(1) == 1
    assert memo.all([3]) == [3]
    for number in range(5, 9):
        memo.put(number, number, 0)  # and what of them was not asked for is gone
    assert held(memo, [0, 2]) == []
    assert held(memo, [1, 3]) == [1, 3]


def test_what_is_asked_for_at_each_turn_stays_whatever_else_comes() -> None:
    memo = Memo[int](most=8 * EACH)
    memo.put("past", 0, 0)
    for number in range(100):
        memo.put(number, number, 0)
        assert memo.get("past") == 0


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    memo = Memo[str](most=1 << 20, largest=100)
    memo.put("a", "small", 100)
    assert memo.put("b", "large", 101) == "large"
    assert memo.all(["a", "b"]) == ["small", None]


def test_a_value_larger_than_a_half_is_kept_alone() -> None:
    memo = Memo[str](most=4 * EACH, largest=1 << 20)
    memo.put("a", "large", 100 * EACH)
    assert memo.get("a") == "large"
    memo.put("b", "small", 0)
    memo.put("c", "small", 0)
    memo.put("d", "small", 0)
    assert memo.get("a") is None


def test_an_object_that_is_remembered_by_its_identity_shares_that_with_nobody() -> None:
    """Its entry holds it, so no other object can get its id before the entry is gone."""
    memo = Memo[tuple[list[int], int]](most=64 * EACH)
    for number in range(2000):
        thing = [number]
        known = memo.get(id(thing))
        assert known is None or known[0] is thing
        memo.put(id(thing), (thing, number), 0)
        assert memo.get(id(thing)) == (thing, number)
        if number % 500 == 0:
            gc.collect()


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["get", "put", "all"]), st.integers(0, 5 * EACH)), max_size=60),
    st.integers(1, 12),
)
def test_it_says_what_was_last_put_or_nothing(steps: list[tuple[str, str, int]], most: int) -> None:
    memo, wanted = Memo[int](most=most * EACH, largest=4 * EACH), dict[str, int]()
    for turn, (key, step, size) in enumerate(steps):
        if step == "put" and size <= 4 * EACH:
            wanted[key] = memo.put(key, turn, size)
        elif step == "get":
            assert memo.get(key) in (None, wanted.get(key))
        else:
            assert all(value in (None, wanted.get(one)) for one, value in zip("abcdef", memo.all(list("abcdef")), strict=True))
    held_sizes = sum(len(half) for half in vars(memo).values() if isinstance(half, dict))
    assert held_sizes <= max(most, 2)


# ----------------------------------------------------------------------------------------- runs of things


def texts(count: int) -> tuple[Text, ...]:
    return tuple(Text(text=f"number {number}") for number in range(count))


def test_whole_runs_are_recalled_while_a_conversation_grows() -> None:
    runs, things = Runs[str](), texts(3 * Runs.LENGTH)
    for run, known in runs.of(things[:40]):
        assert known is None
        runs.keep(run, run[0].text)
    found = runs.of(things)
    assert [len(run) for run, _ in found] == [Runs.LENGTH] * 3
    assert tuple(thing for run, _ in found for thing in run) == things
    assert [known for _, known in found] == ["number 0", f"number {Runs.LENGTH}", None]
    assert runs.of(()) == []


def test_a_run_is_known_by_the_very_things_in_their_order_and_not_by_what_they_say() -> None:
    runs, things = Runs[str](), texts(Runs.LENGTH)
    runs.keep(things, "kept")
    assert runs.of(things)[0][1] == "kept"
    for others in (things[::-1], texts(Runs.LENGTH), (*things[:-1], Text(text="other")), things[:-1]):
        assert runs.of(others)[0][1] is None


def test_what_cannot_be_measured_is_not_kept() -> None:
    runs = Runs[str]()
    for odd in (Text(text="\ud800"), Text(text="a", extensions={"x": {"y": object()}})):
        run = (*texts(Runs.LENGTH - 1), odd)
        assert runs.keep(run, "made") == "made"
        assert runs.of(run)[0][1] is None


# ---------------------------------------------------------------------------------------- JSON left undecoded


def test_items_and_whole_arrays_are_left_undecoded_and_all_else_is_not() -> None:
    said = load_apart(b'{"a": [1, {"b": 2}], "t": [ 3 ], "c": {"d": [4]}}', "a", "t")
    assert said["c"] == {"d": [4]}
    assert [bytes(item) for item in said["a"]] == [b"1", b'{"b": 2}']
    assert bytes(said["t"]) == b"[ 3 ]"


@pytest.mark.parametrize("raw", [b'{"a": 1, "t": null}', b'{"a": {"b": []}, "t": "x"}', b"[1]", b'"a"', b"{}"])
def test_what_is_no_array_is_decoded(raw: bytes) -> None:
    assert load_apart(raw, "a", "t") == msgspec.json.decode(raw)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": [1,]}', b'{"a": [tru]}', b"\xff", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_what_is_no_json_is_the_callers_fault(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        load_apart(raw, "a", "t")


# ------------------------------------------------------------------------------- what is made with its help


class Narrow(CanonicalDialect):
    tool_name = r"[a-z_][a-z0-9_]{0,19}"
    tool_id = r"[a-z0-9]{3,9}"
    custom_tools = namespaces = False


NAMES = st.sampled_from(["clock", "Read.File", "ns__clock", "a_b", "a.b", "t_" + "x" * 30])
IDS = st.sampled_from(["abc", "ABC-1", "x1y2z3", "call_" + "1" * 30])
SPACES = st.sampled_from([None, None, "ns"])
KINDS = st.sampled_from(["function", "function", "custom"])
PARTS = st.one_of(
    st.builds(Text, text=st.sampled_from(["a", "b"])),
    st.builds(ToolCall, id=IDS, name=NAMES, namespace=SPACES, kind=KINDS, arguments=st.just("{}")),
    st.builds(ToolResult, call_id=IDS, name=st.none() | NAMES, kind=KINDS),
)
MESSAGES = st.builds(Message, role=st.just("assistant"), parts=st.lists(PARTS, max_size=3).map(tuple))
TOOLS = st.builds(Tool, name=NAMES, namespace=SPACES, kind=KINDS)


CONVERSATIONS = st.lists(MESSAGES, max_size=5) | st.lists(MESSAGES, min_size=Runs.LENGTH, max_size=2 * Runs.LENGTH + 1)


@given(CONVERSATIONS, st.lists(TOOLS, max_size=3), st.data())
def test_a_request_is_fitted_alike_whether_its_messages_came_before_or_not(messages: list[Message], tools: list[Tool], data: Any) -> None:
    copies = msgspec.convert(msgspec.to_builtins(messages), list[Message])
    first: list[Loss] = []
    fresh = fit(Request(tools=tuple(tools), messages=tuple(copies)), Narrow(), first).request
    # The same messages, after conversations in which they stood elsewhere and beside other tools.
    fit(Request(messages=tuple(data.draw(st.permutations(messages)))), Narrow(), [])
    fit(Request(messages=tuple(messages[: Runs.LENGTH])), Narrow(), [])
    fit(Request(tools=tuple(tools), messages=tuple(messages)), CanonicalDialect(), [])
    second: list[Loss] = []
    again = fit(Request(tools=tuple(tools), messages=tuple(messages)), Narrow(), second).request
    assert again == fresh
    assert second == first


@given(CONVERSATIONS, st.lists(TOOLS, max_size=2))
def test_an_estimate_is_the_same_each_time(messages: list[Message], tools: list[Tool]) -> None:
    request = Request(messages=tuple(messages), tools=tuple(tools))
    copy = msgspec.convert(msgspec.to_builtins(request), Request)
    assert estimate_tokens(request) == estimate_tokens(request) == estimate_tokens(copy)
    parts = [estimate_tokens(Request(messages=(message,))) for message in messages] + [estimate_tokens(Request(tools=(t,))) for t in tools]
    assert sum(parts) == estimate_tokens(request)
