"""JSON text edited by path: what is named changes, every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.api import items, locate, members, splice
from jackfield.api.canonical.splice import MAX_MEMBERS

KEYS = st.sampled_from(["a", "b", "", "ä", "\U0001f600", 'q"', "back\\slash", "new\nline", "a/b", "0"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
SPACES = st.sampled_from(["", " ", "\n", "\t ", " \r\n"])
PATHS = st.lists(KEYS | st.integers(-2, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """JSON texts with white space anywhere, and keys and texts escaped or not."""

    def text(value: Any) -> str:
        space = draw(SPACES)
        if isinstance(value, dict):
            pairs = [f"{space}{string(key)}{space}:{space}{text(item)}{space}" for key, item in value.items()]
            return "{" + (",".join(pairs) or space) + "}"
        if isinstance(value, list):
            return "[" + (",".join(space + text(item) + space for item in value) or space) + "]"
        return string(value) if isinstance(value, str) else json.dumps(value)

    def string(value: str) -> str:
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    return (draw(SPACES) + text(draw(VALUES)) + draw(SPACES)).encode()


def reference_set(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Do to a decoded value what `splice` does to its text. Raises `KeyError` where a parent is missing."""
    parent = value
    for step in path[:-1]:
        parent = _child(parent, step)
    last = path[-1]
    if isinstance(parent, list) and isinstance(last, int) and 0 <= last <= len(parent):
        parent[last : last + 1] = [new]
    elif isinstance(parent, dict) and isinstance(last, str):
        parent[last] = new
    else:
        raise KeyError(path)
    return value


def reference_remove(value: Any, path: tuple[Any, ...]) -> Any:
    try:
        parent = value
        for step in path[:-1]:
            parent = _child(parent, step)
        _child(parent, path[-1])
    except KeyError:
        return value
    del parent[path[-1]]
    return value


def _child(value: Any, step: Any) -> Any:
    if isinstance(value, dict) and isinstance(step, str) and step in value:
        return value[step]
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    raise KeyError(step)


@settings(max_examples=300, deadline=None)
@given(documents(), PATHS, VALUES)
def test_setting_a_path_does_what_it_does_to_the_decoded_value(raw: bytes, path: tuple[Any, ...], new: Any) -> None:
    try:
        expected = reference_set(json.loads(raw), path, new)
    except KeyError:
        with pytest.raises(KeyError):
            splice(raw, {path: new})
        return
    assert json.loads(splice(raw, {path: new})) == expected


@settings(max_examples=300, deadline=None)
@given(documents(), PATHS)
def test_removing_a_path_does_what_it_does_to_the_decoded_value(raw: bytes, path: tuple[Any, ...]) -> None:
    assert json.loads(splice(raw, remove=[path])) == reference_remove(json.loads(raw), path)


@settings(max_examples=300, deadline=None)
@given(documents(), PATHS)
def test_a_located_value_is_the_one_that_decoding_finds(raw: bytes, path: tuple[Any, ...]) -> None:
    span = locate(raw, path)
    try:
        value = json.loads(raw)
        for step in path:
            value = _child(value, step)
    except KeyError:
        assert span is None
    else:
        assert span is not None
        assert json.loads(raw[slice(*span)]) == value


@settings(max_examples=200, deadline=None)
@given(documents(), PATHS, VALUES)
def test_setting_what_is_there_keeps_all_bytes_around_it(raw: bytes, path: tuple[Any, ...], new: Any) -> None:
    span = locate(raw, path)
    if span is not None:
        changed = splice(raw, {path: new})
        assert changed.startswith(raw[: span[0]])
        assert changed.endswith(raw[span[1] :])


@settings(max_examples=200, deadline=None)
@given(documents())
def test_members_and_items_are_those_that_decoding_finds(raw: bytes) -> None:
    value = json.loads(raw)
    if isinstance(value, dict):
        found = {m.key: json.loads(raw[slice(*m.value)]) for m in members(raw)}
        assert found == value
    elif isinstance(value, list):
        assert [json.loads(raw[slice(*span)]) for span in items(raw)] == value


@pytest.mark.parametrize(
    ("raw", "changes", "remove", "after"),
    [
        (b'{"a":1.10,"b":2}', {("b",): 3}, (), b'{"a":1.10,"b":3}'),
        (b'{ "a" : 1.10 }', {("b",): "x"}, (), b'{ "a" : 1.10 ,"b":"x"}'),
        (b"{}", {("a",): None}, (), b'{"a":null}'),
        (b'{"a":{}}', {("a", "b"): {}, ("a", "b", "c"): 1}, (), b'{"a":{"b":{"c":1}}}'),
        (b'{"a":[]}', {("a", 0): 1, ("a", 1): 2}, (), b'{"a":[1,2]}'),
        (b'{"a":[1, 2, 3]}', {}, [("a", 1)], b'{"a":[1, 3]}'),
        (b'{"a":[1, 2, 3]}', {}, [("a", 2)], b'{"a":[1, 2]}'),
        (b'{"a":[1]}', {}, [("a", 0)], b'{"a":[]}'),
        (b'{"a": 1, "b": 2}', {}, [("a",)], b'{"b": 2}'),
        (b'{"a": 1, "b": 2}', {}, [("b",)], b'{"a": 1}'),
        (b'{"a": 1, "b": 2}', {}, [("a",), ("b",)], b"{}"),
        (b'{"a":1}', {}, [("b",), ("a", "b"), (0,), ("a", 0)], b'{"a":1}'),
        (b'{"a":1,"a":2}', {("a",): 3}, (), b'{"a":1,"a":3}'),
        (b'{"\\u0061":1}', {("a",): 2}, (), b'{"\\u0061":2}'),
        (b'[{"a":1},{"a":2}]', {(1, "a"): 3}, (), b'[{"a":1},{"a":3}]'),
        (b'{"a":1}', {("a",): msgspec.Raw(b"1.50e3")}, (), b'{"a":1.50e3}'),
        (b'{"n":123456789012345678901234567890,"a":1}', {("a",): 2}, (), b'{"n":123456789012345678901234567890,"a":2}'),
        (b'{"s":"a,\\"}{]","a":1}', {("a",): 2}, (), b'{"s":"a,\\"}{]","a":2}'),
        (b' {"a":1}\n', {("a",): 2}, (), b' {"a":2}\n'),
    ],
)
def test_edits_are_made_in_place(raw: bytes, changes: Any, remove: Any, after: bytes) -> None:
    assert splice(raw, changes, remove) == after


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"{}", ("a", "b")),
        (b'{"a":1}', ("a", "b")),
        (b'{"a":[1]}', ("a", 2)),
        (b'{"a":[1]}', ("a", -1)),
        (b'{"a":[1]}', ("a", "0")),
        (b'{"a":{"0":1}}', ("a", 0)),
        (b"[1]", ("a",)),
        (b"3", ("a",)),
    ],
)
def test_a_path_without_a_parent_is_refused(raw: bytes, path: tuple[Any, ...]) -> None:
    with pytest.raises(KeyError):
        splice(raw, {path: 1})


def test_the_root_can_be_replaced_and_an_empty_edit_changes_nothing() -> None:
    assert json.loads(splice(b' {"a":1} ', {(): [1]})) == [1]
    assert splice(b' {"a":1.0} ') == b' {"a":1.0} '
    assert splice(b'{"a":1}', remove=[()]) == b'{"a":1}'


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":}', b"nonsense", b'{"a":1', b'{"a" 1}', b"[1,", b'{"a":1}}', b"\xff\xfe"])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        splice(raw, {("a",): 1})


def test_an_object_with_too_many_members_is_refused_and_one_with_many_is_not() -> None:
    many = msgspec.json.encode({str(n): n for n in range(MAX_MEMBERS)})
    assert json.loads(splice(many, {("5",): "x"}))["5"] == "x"
    with pytest.raises(ValueError, match="more than"):
        splice(many[:-1] + b',"more":1}', {("5",): "x"})


def test_deep_values_are_passed_over() -> None:
    deep = b"[" * 500 + b"]" * 500
    assert splice(b'{"deep":' + deep + b',"a":1}', {("a",): 2}) == b'{"deep":' + deep + b',"a":2}'
