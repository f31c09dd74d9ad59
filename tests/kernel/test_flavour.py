"""Flavours: what is dropped, renamed and said otherwise in a body, and that nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.api.canonical.flavour import Flavour, apply_flavour
from jackfield.api.dialect import Loss


def applied(raw: bytes | str, *flavours: Flavour, model: str = "m", dialect: str = "toy.talk") -> tuple[bytes, list[Loss]]:
    losses: list[Loss] = []
    body = raw if isinstance(raw, bytes) else raw.encode()
    return apply_flavour(body, flavours, model, dialect, losses), losses


@pytest.mark.parametrize(
    ("raw", "flavour", "made", "lost"),
    [
        ('{"a": 1.10, "b":2 ,"c": 3}', {"drop": ["b"]}, '{"a": 1.10 ,"c": 3}', [("b", "dropped")]),
        ('{"a":1,"b":2}', {"drop": ["a"]}, '{"b":2}', [("a", "dropped")]),
        ('{"a":1,"b":2}', {"drop": ["b"]}, '{"a":1}', [("b", "dropped")]),
        (' { "a" : 1 , "b" : 2 } ', {"drop": ["a", "b"]}, " {  } ", [("a", "dropped"), ("b", "dropped")]),
        ('{"a":1,"a":2,"b":3}', {"drop": ["a"]}, '{"b":3}', [("a", "dropped")]),
        ('{"o": {"x": 1, "y": 2.0}}', {"drop": ["o.x"]}, '{"o": {"y": 2.0}}', [("o.x", "dropped")]),
        ('{"l":[{"x":1},"x",{"y":1},{"x":2,"z":1e2}]}', {"drop": ["l[*].x"]}, '{"l":[{},"x",{"y":1},{"z":1e2}]}', [("l[*].x", "dropped")]),
        ('{"l":[{"y":1},{"x":2}]}', {"drop": ["l[*].x"]}, '{"l":[{"y":1},{}]}', [("l[1].x", "dropped")]),
        ('{"l":[{"p":[{"x":1}]},{"p":"x"}]}', {"drop": ["l[*].p[*].x"]}, '{"l":[{"p":[{}]},{"p":"x"}]}', [("l[0].p[0].x", "dropped")]),
        ('{"old" : 5}', {"rename": {"old": "new"}}, '{"new": 5}', [("old", "changed")]),
        ('{"old":5,"new":6}', {"rename": {"old": "new"}}, '{"new":6}', [("old", "dropped")]),
        ('{"l":[{"t":"A: b"}]}', {"rename": {"l[*].t": "u"}}, '{"l":[{"u":"A: b"}]}', [("l[0].t", "changed")]),
        ('{"v": "x", "w": "x"}', {"values": {"v": {"x": "y"}}}, '{"v": "y", "w": "x"}', [("v", "changed")]),
        ('{"v":"x","w":1}', {"values": {"v": {"x": None}}}, '{"w":1}', [("v", "dropped")]),
        ('{"v":"z"}', {"values": {"v": {"x": "y"}}}, '{"v":"z"}', []),
        ('{"v":"x"}', {"values": {"v": {"x": {"is": 1}}}}, '{"v":{"is":1}}', [("v", "changed")]),
        ('{"l":["x","z"]}', {"values": {"l[*]": {"x": "y"}}}, '{"l":["y","z"]}', [("l[0]", "changed")]),
        ('{"old":"x"}', {"rename": {"old": "new"}, "values": {"old": {"x": "y"}}}, '{"new":"y"}', [("old", "changed"), ("old", "changed")]),
        ('{"t": 2}', {"clamp": {"t": (0, 1)}}, '{"t": 1}', [("t", "changed")]),
        ('{"t": -0.5}', {"clamp": {"t": (0, 1)}}, '{"t": 0.0}', [("t", "changed")]),
        ('{"t": 0.70}', {"clamp": {"t": (0, 1)}}, '{"t": 0.70}', []),
        ('{"t": "hot"}', {"clamp": {"t": (0, 1)}}, '{"t": "hot"}', []),
        ('{"v":{"x":1}}', {"values": {"v": {"a": "a", "*": "a"}}}, '{"v":"a"}', [("v", "changed")]),
        ('{"v":"a"}', {"values": {"v": {"a": "a", "*": "b"}}}, '{"v":"a"}', []),
        ('{"l":[3]}', {"values": {"l[*]": {"*": "b"}}}, '{"l":["b"]}', [("l[0]", "changed")]),
        ("{ }", {"fill": {"f": {"value": 1}}}, '{"f":1 }', [("f", "invented")]),
        ('{"a":1 }', {"fill": {"f": {"value": [1]}}}, '{"a":1,"f":[1] }', [("f", "invented")]),
        ('{"f":null,"a":1}', {"fill": {"f": {"value": ""}}}, '{"a":1,"f":""}', [("f", "invented")]),
        ('{"f":"","a":1}', {"fill": {"f": {"value": "x"}}}, '{"f":"","a":1}', []),
        ('{"s": "Sig: 1\\nA \\u00e9", "v":1.10}', {"lines": {"s": "Sig:"}}, '{"s": "A é", "v":1.10}', [("s", "changed")]),
        ('{"s":"Sig: 1","v":1}', {"lines": {"s": "Sig:"}}, '{"v":1}', [("s", "dropped")]),
        ('{"s":"A\\nSig: 1"}', {"lines": {"s": "Sig:"}}, '{"s":"A\\nSig: 1"}', []),
        ('{"s":["Sig: 1"],"t":"Sig: 1"}', {"lines": {"s": "Sig:"}}, '{"s":["Sig: 1"],"t":"Sig: 1"}', []),
        (
            '{"s": [ {"t":"Sig: 1"} , {"t": "A" , "c":1.0} ]}',
            {"lines": {"s": "Sig:", "s[*].t": "Sig:"}},
            '{"s": [{"t": "A" , "c":1.0}]}',
            [("s[0]", "dropped")],
        ),
        (
            '{"s":[{"t":"Sig: 1\\n\\nA","c":1.0}, 7]}',
            {"lines": {"s[*].t": "Sig:"}, "drop": ["s[*].c"]},
            '{"s":[{"t":"\\nA"}, 7]}',
            [("s[0]", "changed"), ("s[0].c", "dropped")],
        ),
        ('{"s":[{"t":"Sig: 1"}],"v":1}', {"lines": {"s[*].t": "Sig:"}}, '{"v":1}', [("s[0]", "dropped")]),
        (
            '{"l":[{"t":[1]},{"t":[]},{"t":null},{}]}',
            {"fill": {"l[*].f": {"value": 0, "beside": "t"}}},
            '{"l":[{"t":[1],"f":0},{"t":[]},{"t":null},{}]}',
            [("l[0].f", "invented")],
        ),
        ('{"a":1,"b":2,"c":3}', {"accept": ["b"]}, '{"b":2}', [("a", "dropped"), ("c", "dropped")]),
        ('{"a":1,"b":2}', {"accept": ["c"], "rename": {"a": "c"}}, '{"c":1}', [("a", "changed"), ("b", "dropped")]),
    ],
    ids=str,
)
def test_what_a_flavour_makes_of_a_body(raw: str, flavour: dict[str, Any], made: str, lost: list[tuple[str, str]]) -> None:
    given_ = msgspec.convert({"why": "because", **flavour}, Flavour)
    body, losses = applied(raw, given_)
    assert body.decode() == made
    assert [(loss.path, loss.what) for loss in losses] == lost
    assert all("because" in loss.why for loss in losses)


@pytest.mark.parametrize(
    "raw",
    [b'{"b":1}', b"", b"[1]", b'"a"', b"{", b'{"a":1', b'{"a":1}x', b"\xff", b'{"text":"\\"a\\":1","b":"say \\"a\\""}', b'{"b":{"a":1}}'],
)
def test_a_body_in_which_nothing_is_to_be_done_is_the_same_object(raw: bytes) -> None:
    body, losses = applied(raw, Flavour(drop=("a",), rename={"c": "d"}, values={"v": {"x": "y"}}, clamp={"t": (0, 1)}))
    assert body is raw
    assert losses == []


@pytest.mark.parametrize(
    ("flavour", "model", "dialect", "fits"),
    [
        ({}, "m", "toy.talk", True),
        ({"models": "big-*"}, "big-1", "toy.talk", True),
        ({"models": "big-*"}, "small-1", "toy.talk", False),
        ({"models": ["a", "b*"]}, "b2", "toy.talk", True),
        ({"models": "b*", "excluded": "b2"}, "b2", "toy.talk", False),
        ({"dialect": "toy.talk"}, "m", "toy.talk", True),
        ({"dialect": "toy.other"}, "m", "toy.talk", False),
        ({"operation": "embed"}, "m", "toy.talk", False),
    ],
    ids=str,
)
def test_for_which_requests_a_flavour_holds(flavour: dict[str, Any], model: str, dialect: str, fits: bool) -> None:
    said = msgspec.convert({"drop": ["a"], **flavour}, Flavour)
    assert applied('{"a":1}', said, model=model, dialect=dialect)[0] == (b"{}" if fits else b'{"a":1}')


@pytest.mark.parametrize(
    ("raw", "made"),
    [
        ('{"a":1,"mode":"x"}', '{"mode":"x"}'),
        ('{"a":1,"mode":"y","think":{"type":"on"}}', '{"mode":"y","think":{"type":"on"}}'),
        ('{"a":1,"mode":"x","think":{"type":"off"}}', '{"a":1,"mode":"x","think":{"type":"off"}}'),
        ('{"a":1,"mode":"z"}', '{"a":1,"mode":"z"}'),
        ('{"a":1}', '{"a":1}'),
        ('{"a":1,"think":"off","mode":"x"}', '{"think":"off","mode":"x"}'),
    ],
)
def test_a_flavour_may_hang_on_what_the_body_says(raw: str, made: str) -> None:
    said = Flavour(drop=("a",), when={"mode": ("x", "y")}, unless={"think.type": ("off",)})
    always = Flavour(drop=("other",))
    assert applied(raw, said, always)[0].decode() == made
    assert applied(raw[:-1] + ',"other":1}', always, said)[0].decode() == made


def test_what_becomes_of_a_value_may_move_to_another_field() -> None:
    off = Flavour(when={"effort": ("none",)}, rename={"effort": "thinking"}, values={"effort": {"none": {"type": "disabled"}}})
    assert applied('{"effort":"none"}', off)[0] == b'{"thinking":{"type":"disabled"}}'
    assert applied('{"effort":"high"}', off)[0] == b'{"effort":"high"}'


def test_all_flavours_that_fit_apply_together() -> None:
    first = Flavour(accept=frozenset("abc"), drop=("a",), why="one")
    second = Flavour(accept=frozenset("bcd"), values={"b": {"x": "y"}}, why="two")
    body, losses = applied('{"a":1,"b":"x","c":2,"d":3}', first, second, Flavour(models="other", drop=("c",)))
    assert body == b'{"b":"y","c":2}'
    assert [(loss.path, loss.what, loss.why) for loss in losses] == [
        ("a", "dropped", "one"),
        ("b", "changed", 'two: "x" is sent as "y"'),
        ("d", "dropped", "one"),
    ]


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a[0]", "a[*", "*", "a[*]b"])
def test_a_path_that_names_no_field_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="names no field"):
        Flavour(drop=(path,))


def test_items_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="names the items"):
        Flavour(drop=("a[*]",))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abxyz") | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)


def _without(value: Any, path: tuple[str, ...]) -> Any:
    if path[0] == "*":
        return [_without(item, path[1:]) for item in value] if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    return {key: _without(item, path[1:]) if key == path[0] else item for key, item in value.items()}


@given(value=st.dictionaries(st.sampled_from("abxyz"), _json, max_size=5), indent=st.sampled_from([None, 1]))
def test_dropping_by_text_is_dropping_by_meaning(value: Any, indent: int | None) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    wanted = value
    for path in (("a",), ("x", "*", "y"), ("b", "*", "a", "z"), ("z", "*", "*", "x")):
        wanted = _without(wanted, path)
    body, losses = applied(raw, Flavour(drop=("a", "x[*].y", "b[*].a.z", "z[*][*].x")))
    assert json.loads(body) == wanted
    assert bool(losses) == (wanted != value) == (body is not raw)


@given(raw=st.binary(max_size=60))
def test_no_body_makes_it_fail(raw: bytes) -> None:
    body, losses = applied(raw, Flavour(accept=frozenset("a"), drop=("b", "l[*].x")))
    assert body is raw or losses


def test_deep_nesting_is_survived() -> None:
    raw = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert applied(raw, Flavour(drop=("a[*].b", "c"), accept=frozenset("a")))[0] is raw
