"""Values for schemas."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield_simulator.samples import sample


def check(schema: Any) -> Any:
    """Return the value for a schema; fail unless it fits."""
    value = sample(schema)
    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
    return value


def bounded(low: str, high: str) -> st.SearchStrategy[dict[str, int]]:
    """Two limits of which the second is not below the first, either of them missing at times."""
    return st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.booleans()).map(
        lambda drawn: {**({low: drawn[0]} if drawn[2] else {}), **({high: drawn[0] + drawn[1]} if drawn[3] else {})}
    )


SCALARS = st.one_of(
    bounded("minLength", "maxLength").map(lambda limits: {"type": "string", **limits}),
    bounded("minimum", "maximum").map(lambda limits: {"type": "integer", **limits}),
    bounded("minimum", "maximum").map(lambda limits: {"type": "number", **limits}),
    st.sampled_from(({"type": "boolean"}, {"type": "null"}, {"type": ["null", "integer"]})),
    st.sampled_from(({"const": {"a": 1}}, {"enum": ["x", 2]}, {}, True)),
    st.sampled_from(("date", "date-time", "email", "uuid", "ipv4", "uri", "unheard-of")).map(lambda f: {"type": "string", "format": f}),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(("a", "b", "c", "d"))
    objects = st.tuples(st.dictionaries(names, inner, max_size=3), st.lists(names, max_size=2, unique=True), st.integers(0, 4)).map(
        lambda drawn: {"type": "object", "properties": drawn[0], "required": drawn[1], "minProperties": drawn[2]}
    )
    arrays = st.tuples(inner, bounded("minItems", "maxItems")).map(lambda drawn: {"type": "array", "items": drawn[0], **drawn[1]})
    return st.one_of(objects, arrays, st.lists(inner, min_size=1, max_size=2).map(lambda branches: {"anyOf": branches}))


@given(st.recursive(SCALARS, nested, max_leaves=8))
@settings(deadline=None)
def test_a_value_fits_its_schema(schema: Any) -> None:
    check(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 7, "multipleOf": 5},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "maximum": -3, "multipleOf": 2},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "exclusiveMaximum": 0},
        {"type": "number", "multipleOf": 0.25, "minimum": 1.1},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        {"type": "array", "items": {"type": "string"}, "minItems": 3},
        {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"const": 1}}, "required": ["b"]}]},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
        {"type": "object", "required": ["free"]},
        {"properties": {"x": {"type": ["string", "null"]}}},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}},
        {"type": "string", "default": "said", "minLength": 2},
        {"oneOf": [{"type": "null"}, {"type": "integer"}]},
    ],
)
def test_a_value_fits_a_schema_that_is_a_little_special(schema: Any) -> None:
    check(schema)


def test_texts_say_the_name_of_their_member() -> None:
    schema = {"properties": {"city": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}}}
    assert check(schema) == {"city": "city", "tags": ["tags"]}


def test_a_schema_that_contains_itself_ends() -> None:
    node = {"type": "object", "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {**node, "required": ["name", "children"]}}}
    assert check(schema)["children"][0]["name"] == "name"


def test_an_optional_branch_ends_a_schema_that_contains_itself() -> None:
    link = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]}}, "required": ["next"]}
    assert check({"$ref": "#/$defs/link", "$defs": {"link": link}})["next"]


@pytest.mark.parametrize(
    "schema",
    [
        None, [], "text", {"type": 3}, {"type": []}, {"type": "object", "properties": []}, {"required": "a"},
        {"$ref": "#/nowhere"}, {"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"anyOf": [{"$ref": "#"}]},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 10**12}, {"type": "string", "minLength": 10**12},
        {"type": "integer", "minimum": 1e308, "multipleOf": -1}, {"type": "integer", "multipleOf": 1e-300, "minimum": 1e299},
        {"type": "number", "minimum": 5, "maximum": 1},
        {"minProperties": 10**12, "type": "object"}, {"type": "string", "maxLength": -1}, {"format": []}, {"enum": []}, {"minimum": True},
    ],
)  # fmt: skip
def test_a_schema_that_makes_no_sense_gives_some_small_value_and_no_error(schema: Any) -> None:
    assert len(str(sample(schema))) < 1_000_000
