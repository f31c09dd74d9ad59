"""JSON Schemas fitted to subsets."""

import copy
import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackfield.api.canonical.schemas import SchemaSubset, fit_schema
from jackfield.api.dialect import Loss
from tests.kernel.schema_subsets import ACYCLIC, LISTED, OPENAPI, STRICT, SUBSETS, TOOLS

ANY = SchemaSubset()


def fit(schema: Any, subset: SchemaSubset) -> tuple[Any, list[Loss]]:
    losses: list[Loss] = []
    return fit_schema(schema, subset, losses, "tools[0].parameters"), losses


def paths(losses: list[Loss]) -> list[tuple[str, str]]:
    return [(loss.path.removeprefix("tools[0].parameters."), loss.what) for loss in losses]


# what is inside already


@pytest.mark.parametrize("name", SUBSETS)
def test_a_schema_inside_the_subset_is_the_same_object(name: str) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "array", "items": {"type": "integer"}}},
        "required": ["city", "days"],
    }
    if SUBSETS[name].closed:
        schema["additionalProperties"] = False
    for _ in range(2):
        fitted, losses = fit(schema, SUBSETS[name])
        assert fitted is schema
        assert not losses
    assert fit(copy.deepcopy(schema), SUBSETS[name])[0] == schema


def test_the_subset_of_everything_changes_nothing() -> None:
    schema = {
        "$schema": "s", "$ref": "http://x/y", "oneOf": [{"const": 1}], "if": {"not": {}}, "x-y": 1, "nullable": True, "unknown": [1],
        "patternProperties": {"^a": True}, "items": [{"type": ["string", "null"]}], "$defs": {"a": {"$ref": "#"}},
    }  # fmt: skip
    assert fit(schema, ANY)[0] is schema


def test_the_schema_given_is_never_changed() -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"oneOf": [{"const": 1}, {"type": "NULL"}]}}, "allOf": [{"required": ["a"]}]}
    before = copy.deepcopy(schema)
    for subset in SUBSETS.values():
        fit(schema, subset)
    assert schema == before


def test_the_same_schema_is_named_by_the_path_of_each_place() -> None:
    losses: list[Loss] = []
    for path in ("tools[0].parameters", "tools[1].parameters"):
        fit_schema({"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}}, OPENAPI, losses, path)
    assert [loss.path for loss in losses] == [f"tools[{i}].parameters.properties.a.format" for i in (0, 1)]


def test_big_numbers_survive() -> None:
    big = 2**70
    fitted, _ = fit({"type": "object", "properties": {"a": {"const": 2**60}, "b": {"enum": [big]}}}, LISTED)
    assert fitted["properties"] == {"a": {"enum": [2**60]}, "b": {"enum": [big]}}


# names of properties


@pytest.mark.parametrize("subset", SUBSETS.values(), ids=SUBSETS)
def test_keywords_used_as_names_of_properties_are_never_touched(subset: SchemaSubset) -> None:
    words = ["format", "$ref", "type", "properties", "const", "enum", "items", "oneOf", "allOf", "$defs", "nullable", "default", "x-a"]
    schema = {"type": "object", "properties": {word: {"type": "string"} for word in words}, "required": words}
    if subset.closed:
        schema["additionalProperties"] = False
    fitted, losses = fit(schema, subset)
    assert fitted is schema
    assert not losses
    nested = {"type": "object", "properties": {"properties": {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}}}}
    inner = fit(nested, subset)[0]["properties"]["properties"]
    name = "OBJECT" if subset.any_case else "object"
    assert inner.get("type", [None])[: len(name)] in (name, [name.lower(), "null"])
    assert list(inner["properties"]) == ["type"]


# types and nulls


def test_types_are_lowered_unless_any_case_will_do() -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": ["Integer", "NULL"]}}}
    fitted, losses = fit(schema, TOOLS)
    assert fitted == {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}}}
    assert not losses
    assert fit(schema, OPENAPI)[0]["properties"]["a"]["type"] == "STRING"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["STRING", "NULL"]}, {"type": "STRING", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "T"}, {"type": "string", "nullable": True, "title": "T"}),
        ({"anyOf": [{"type": "string"}, {"const": None}]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"type": "string", "nullable": True, "enum": ["a"]}),
        (
            {"type": ["string", "integer"], "minLength": 1, "minimum": 2},
            {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 2}]},
        ),
        ({"type": "null"}, {"type": "null"}),
    ],
)
def test_null_said_by_nullable(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": schema}}, OPENAPI)
    assert fitted["properties"]["a"] == expected
    assert not losses


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
         {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
        ({"$ref": "#/$defs/a", "nullable": True, "title": "T"}, {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "title": "T"}),
    ],
)  # fmt: skip
def test_null_said_by_the_type(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    fitted, losses = fit({"type": "object", "properties": {"p": schema}, "$defs": {"a": {"type": "string"}}}, TOOLS)
    assert fitted["properties"]["p"] == expected
    assert not losses


def test_a_type_that_nobody_knows_is_lost() -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": {"type": "file", "description": "d"}, "b": {"type": 7}}}, TOOLS)
    assert fitted["properties"] == {"a": {"description": "d"}, "b": {}}
    assert paths(losses) == [("properties.a.type", "dropped"), ("properties.b.type", "dropped")]


# const, enum, formats


def test_const_becomes_enum() -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": {"type": "string", "const": "x"}}}, LISTED)
    assert fitted["properties"]["a"] == {"type": "string", "enum": ["x"]}
    assert not losses


def test_enum_values_of_another_type_are_said_in_words() -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": {"type": "integer", "enum": [1, 2], "description": "How"}}}, OPENAPI)
    assert fitted["properties"]["a"] == {"type": "integer", "description": "How\n\n(enum: [1, 2])"}
    assert paths(losses) == [("properties.a.enum", "changed")]


def test_formats_that_are_not_known_are_lost_and_the_others_kept() -> None:
    properties = {"a": {"type": "string", "format": "uri"}, "b": {"type": "string", "format": "date-time"}}
    fitted, losses = fit({"type": "object", "properties": properties}, OPENAPI)
    assert fitted["properties"] == {"a": {"type": "string", "description": "(format: uri)"}, "b": properties["b"]}
    assert paths(losses) == [("properties.a.format", "changed")]


def test_numbers_over_the_limit_are_lost() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 2}
    fitted, losses = fit(schema, ACYCLIC)
    assert fitted == {"type": "array", "items": {"type": "string"}, "description": "(minItems: 2)"}
    assert paths(losses) == [("minItems", "changed")]
    assert fit({**schema, "minItems": 1}, ACYCLIC)[1] == []


def test_keywords_without_meaning_leave_without_a_loss() -> None:
    fitted, losses = fit({"$schema": "s", "$id": "i", "$comment": "c", "x-order": 1, "type": "object", "properties": {}}, OPENAPI)
    assert fitted == {"type": "object", "properties": {}}
    assert not losses


def test_the_order_of_properties_is_kept_without_its_keyword() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "propertyOrdering": ["c", "b", "nowhere"]}
    subset = SchemaSubset(keywords=frozenset({"type", "properties"}))
    fitted, losses = fit(schema, subset)
    assert list(fitted["properties"]) == ["c", "b", "a"]
    assert "propertyOrdering" not in fitted
    assert not losses


def test_values_of_types_that_a_keyword_cannot_have_are_lost() -> None:
    schema: dict[str, Any] = {
        "type": "object", "properties": {"a": 5, "b": {"items": "x", "enum": 3, "anyOf": {}, "minimum": "1", "title": 1}},
        "required": "a", "anyOf": [],
    }  # fmt: skip
    fitted, losses = fit(schema, LISTED)
    assert fitted == {"type": "object", "properties": {"a": {}, "b": {}}}
    assert {path for path, _ in paths(losses)} == {
        "required", "anyOf", "properties.a", *(f"properties.b.{key}" for key in ("items", "enum", "anyOf", "minimum", "title")),
    }  # fmt: skip


# references

NODE = {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}}}


def test_references_are_replaced_by_what_they_name() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A~1b"}, "c": {"$ref": "#/definitions/C", "description": "mine"}},
        "$defs": {"A/b": {"type": "string", "format": "uri"}},
        "definitions": {"C": {"type": "integer", "description": "theirs"}},
    }
    fitted, losses = fit(schema, OPENAPI)
    assert fitted == {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "(format: uri)"}, "c": {"type": "integer", "description": "mine"}},
    }
    assert paths(losses) == [("$defs.A~1b.format", "changed")]


def test_a_reference_that_never_ends_becomes_any_object() -> None:
    fitted, losses = fit({"type": "object", "properties": {"list": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": NODE}}, OPENAPI)
    node = fitted["properties"]["list"]
    assert node == {"type": "object", "properties": {"name": {"type": "string"}, "next": {"type": "object"}}}
    assert paths(losses) == [("$defs.Node.properties.next.$ref", "changed")]


def test_references_stay_where_they_may() -> None:
    schema = {
        "type": "object", "properties": {"list": {"$ref": "#/$defs/Node"}}, "required": ["list"], "additionalProperties": False,
        "$defs": {"Node": {**NODE, "required": ["name", "next"], "additionalProperties": False}},
    }  # fmt: skip
    assert fit(schema, STRICT)[0] is schema
    beside = {**schema, "properties": {"list": {"$ref": "#/$defs/Node", "description": "All"}}}
    fitted, losses = fit(beside, STRICT)
    assert fitted["properties"]["list"] == {**schema["$defs"]["Node"], "description": "All"}  # type: ignore[index]
    assert not losses


def test_only_references_that_lead_back_are_replaced() -> None:
    defs = {"Leaf": {"type": "string"}, "Node": {**NODE, "additionalProperties": False}}
    defs["Node"]["properties"] = {"leaf": {"$ref": "#/$defs/Leaf"}, "next": {"$ref": "#/$defs/Node"}}
    schema = {"type": "object", "properties": {"list": {"$ref": "#/$defs/Node"}}, "additionalProperties": False, "$defs": defs}
    fitted, losses = fit(schema, ACYCLIC)
    assert fitted["properties"]["list"] == {"$ref": "#/$defs/Node"}
    assert fitted["$defs"]["Node"]["properties"]["leaf"] == {"$ref": "#/$defs/Leaf"}
    inner = fitted["$defs"]["Node"]["properties"]["next"]
    assert inner["properties"]["next"] == {"type": "object", "additionalProperties": False}
    assert "$ref" not in inner["properties"]["next"]
    assert [loss.what for loss in losses if loss.path.endswith(".$ref")] == ["changed"]


@pytest.mark.parametrize("ref", ["http://example.com/x", "#/$defs/nowhere", "other.json", "#anchor", "#/properties/0/x"])
def test_a_reference_to_nowhere_becomes_any_value(ref: str) -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": {"$ref": ref, "description": "d"}}}, LISTED)
    assert fitted["properties"]["a"] == {"description": "d"}
    assert paths(losses) == [("properties.a.$ref", "changed")]


# unions


def test_all_of_is_merged() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"allOf": [{"$ref": "#/$defs/A"}], "description": "d"},
            "b": {
                "allOf": [
                    {"$ref": "#/$defs/A"},
                    {"properties": {"y": {"type": "integer"}}, "required": ["y"]},
                    {"properties": {"x": {"minLength": 2}}},
                ]
            },
        },
        "$defs": {"A": {"type": "object", "properties": {"x": {"type": "string", "minLength": 1}}, "required": ["x"]}},
    }
    fitted, losses = fit(schema, OPENAPI)
    assert fitted["properties"]["a"] == {**schema["$defs"]["A"], "description": "d"}  # type: ignore[index]
    assert fitted["properties"]["b"] == {
        "type": "object",
        "properties": {"x": {"type": "string", "minLength": 2}, "y": {"type": "integer"}},
        "required": ["x", "y"],
    }
    assert not losses


def test_one_of_becomes_any_of() -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "integer"}]}}}, OPENAPI)
    assert fitted["properties"]["a"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert paths(losses) == [("properties.a.oneOf", "changed")]


def test_what_stands_beside_a_union_goes_into_its_branches() -> None:
    schema = {
        "type": "object", "description": "d", "properties": {"x": {"type": "string"}},
        "anyOf": [{"required": ["x"]}, {"properties": {"y": {"type": "integer"}}}],
    }  # fmt: skip
    fitted, _ = fit({"type": "object", "properties": {"a": schema}}, OPENAPI)
    assert fitted["properties"]["a"] == {
        "anyOf": [
            {"required": ["x"], "type": "object", "description": "d", "properties": {"x": {"type": "string"}}},
            {"properties": {"y": {"type": "integer"}, "x": {"type": "string"}}, "type": "object", "description": "d"},
        ]
    }


@pytest.mark.parametrize("key", ["anyOf", "oneOf"])
def test_a_union_at_the_root_is_dissolved(key: str) -> None:
    schema = {
        "properties": {"own": {"type": "string"}},
        "required": ["own"],
        key: [
            {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "string"}}, "required": ["kind", "x"]},
            {"$ref": "#/$defs/B"},
        ],
        "$defs": {"B": {"properties": {"kind": {"const": "b"}, "own": {"type": "integer"}}, "required": ["kind"]}},
    }
    fitted, losses = fit(schema, TOOLS)
    assert fitted["type"] == "object"
    assert fitted["required"] == ["own"]
    assert fitted["properties"] == {"own": {"type": "string"}, "kind": {"enum": ["a", "b"]}, "x": {"type": "string"}}
    assert key not in fitted
    assert paths(losses) == [(key, "changed")]


def test_all_of_at_the_root_is_merged_with_what_it_requires() -> None:
    schema = {"type": "object", "allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}]}
    fitted, losses = fit(schema, TOOLS)
    assert fitted == {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert not losses


@pytest.mark.parametrize(
    ("schema", "lost"),
    [
        ({}, []),
        ({"type": "array", "items": {}, "description": "d"}, ["type"]),
        ({"type": ["object", "null"]}, ["type"]),
        ({"type": "object", "enum": [{}], "not": {}}, ["enum", "not"]),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, ["anyOf", "type"]),
    ],
)
def test_the_root_is_an_object(schema: dict[str, Any], lost: list[str]) -> None:
    fitted, losses = fit(schema, TOOLS)
    assert fitted.pop("description", "d") == "d"
    assert fitted == {"type": "object"}
    assert [path for path, _ in paths(losses)] == lost


def test_places_of_an_array_that_cannot_be_told_apart() -> None:
    schema = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "string"}}
    fitted, losses = fit({"type": "object", "properties": {"a": schema}}, OPENAPI)
    assert fitted["properties"]["a"] == {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}
    assert paths(losses) == [("properties.a.prefixItems", "changed")]
    old = {"type": "array", "items": [{"type": "string"}, {"type": "integer"}], "additionalItems": {"type": "boolean"}}
    assert fit({"type": "object", "properties": {"a": old}}, LISTED)[0]["properties"]["a"] == {
        "type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "boolean"},
    }  # fmt: skip


# objects


def test_strict_objects_are_closed_and_require_all() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer", "enum": [1]}, "c": {"type": "object"}},
        "required": ["a", "nowhere"],
    }
    fitted, losses = fit(schema, STRICT)
    assert fitted == {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["integer", "null"], "enum": [1, None]},
            "c": {"type": ["object", "null"], "properties": {}, "additionalProperties": False, "required": []},
        },
        "required": ["a", "b", "c"],
        "additionalProperties": False,
    }
    assert {path for path, _ in paths(losses)} == {"required", "additionalProperties", "properties.c.additionalProperties"}


def test_booleans_and_empty_schemas() -> None:
    schema = {"type": "object", "properties": {"a": True, "b": False, "c": {}, "d": {"type": "array"}}}
    assert fit(schema, TOOLS)[0] is schema
    fitted, losses = fit(schema, OPENAPI)
    assert fitted["properties"] == {
        "a": {"type": "object"}, "b": {"type": "object"}, "c": {"type": "object"}, "d": {"type": "array", "items": {"type": "object"}},
    }  # fmt: skip
    assert {path for path, _ in paths(losses)} == {"properties.a", "properties.b", "properties.c"}


def test_what_is_required_must_be_a_property() -> None:
    fitted, losses = fit({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]}, OPENAPI)
    assert fitted["required"] == ["a"]
    assert paths(losses) == [("required", "changed")]


def test_limits_of_depth_and_number() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(15):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"], "additionalProperties": False}
    fitted, losses = fit(deep, STRICT)
    levels, node = 0, fitted
    while "properties" in node:
        levels, node = levels + 1, node["properties"]["a"]
    assert levels == 10
    assert node == {"type": ["string", "number", "boolean", "null"]}
    assert len(losses) == 1
    names = [f"p{i}" for i in range(6000)]
    fitted, losses = fit(
        {"type": "object", "properties": {name: {"type": "string", "enum": ["a"]} for name in names}, "required": names}, STRICT
    )
    assert len(fitted["properties"]) == len(fitted["required"]) == 5000
    assert sum("enum" in schema for schema in fitted["properties"].values()) == 1000


# hostile


def holding_itself() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"].update(a=schema, b=schema)
    schema["default"] = schema
    return schema


def doubling() -> dict[str, Any]:
    defs = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}], "properties": {k: {"$ref": f"#/$defs/d{i + 1}"} for k in "ab"}}
        for i in range(40)
    }
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs}


def nested(key: str, levels: int) -> dict[str, Any]:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {key: [schema] if key.endswith("Of") else {"a": schema} if key == "properties" else schema}
    return schema  # type: ignore[no-any-return]


HOSTILE = {
    "deep properties": nested("properties", 10_000),
    "deep items": nested("items", 10_000),
    "deep anyOf": nested("anyOf", 10_000),
    "deep allOf": nested("allOf", 10_000),
    "deep value": {"type": "object", "default": nested("x", 10_000), "properties": {"a": {"enum": [nested("x", 10_000)] * 2}}},
    "deep union": {"oneOf": [nested("properties", 10_000), nested("properties", 10_000)]},
    "holding itself": holding_itself(),
    "doubling": doubling(),
    "cyclic references": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "reference to itself": {"$ref": "#"},
    "allOf of itself": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "anyOf of itself": {"type": "object", "anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "huge enum": {"type": "object", "properties": {"a": {"enum": [f"v{i}" for i in range(200_000)]}}},
    "many branches": {"oneOf": [{"properties": {"k": {"type": "object", "title": f"t{i}"}}} for i in range(5_000)]},
    "wrong keys": {1: 2, "properties": {3: {}}, None: {}},
    "wrong values": {"type": {}, "properties": [], "$ref": 1, "required": [{}], "enum": {}, "allOf": 3, "const": object},
    "lone surrogate": {"type": "object", "properties": {"\ud800": {"type": "string", "format": "\ud800"}}},
    "no object": [],
    "null": None,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("subset", SUBSETS.values(), ids=SUBSETS)
def test_no_schema_makes_it_fail_or_hang(name: str, subset: SchemaSubset) -> None:
    began = time.process_time()
    fitted, losses = fit(HOSTILE[name], subset)
    assert time.process_time() - began < 5
    assert isinstance(fitted, dict)
    assert len(losses) < 50_000


# properties of all


NAMES = st.sampled_from(["a", "b", "type", "properties", "$ref", "format", "const", "enum", "anyOf", "$defs", "items", "required"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "y", 1.0, 1.5]))
REFS = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/definitions/a", "#/properties/a", "http://x", "#/$defs/type", "#/$defs/none"])
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "OBJECT", "STRING", "foo"])


def some(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    named, many = st.dictionaries(NAMES, inner, max_size=3), st.lists(inner, max_size=3)
    optional = {
        "type": st.one_of(TYPES, st.lists(TYPES, max_size=3)), "required": st.lists(NAMES, max_size=3), "items": st.one_of(inner, many),
        **dict.fromkeys(["properties", "$defs", "definitions", "patternProperties"], named),
        **dict.fromkeys(["anyOf", "oneOf", "allOf", "prefixItems"], many),
        **dict.fromkeys(["additionalProperties", "not", "if", "then"], inner),
        **dict.fromkeys(["const", "default", "x-y", "unknown"], VALUES), "enum": st.lists(VALUES, max_size=3),
        "$ref": REFS, "nullable": st.booleans(), "format": st.sampled_from(["email", "uri", "date-time"]), "minItems": st.integers(0, 3),
        "minimum": st.integers(0, 3), "pattern": st.just("x+"), "description": st.just("d"), "title": st.just("t"),
        "propertyOrdering": st.lists(NAMES, max_size=2), "examples": st.lists(VALUES, max_size=2), "$schema": st.just("s"),
    }  # fmt: skip
    return st.fixed_dictionaries({}, optional=optional)


SCHEMAS = some(st.recursive(st.one_of(st.booleans(), some(st.booleans()), VALUES), some, max_leaves=4))


def keywords_of(schema: Any) -> set[str]:
    """All keywords that stand anywhere in a schema, names of properties left out."""
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key, value in schema.items():
        named = key in ("properties", "$defs", "definitions", "patternProperties")
        inner = value.values() if named else value if isinstance(value, list) and key not in ("enum", "required") else [value]
        if key not in ("const", "default", "enum", "examples"):
            for item in inner:
                found |= keywords_of(item)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMAS)
def test_fitting_twice_is_fitting_once_and_nothing_is_left_outside(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    for subset in SUBSETS.values():
        fitted, losses = fit(schema, subset)
        assert schema == before
        again, more = fit(fitted, subset)
        assert again is fitted
        assert not more
        assert fitted is not schema or not losses
        json.dumps(fitted)
        if subset.keywords is not None:
            assert keywords_of(fitted) <= subset.keywords
        if subset.root_object:
            assert fitted["type"] == "object"
            assert not {"anyOf", "oneOf", "allOf", "not", "enum"} & set(fitted)


SIMPLE_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "y"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)),
    max_leaves=4,
)
LEAVES = st.one_of(
    st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "null"}, {"type": ["string", "null"]}, {"enum": ["x", 1, None]}]),
    st.just({"$ref": "#/$defs/S"}),
)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)},
            optional={"required": st.just(["a"])},
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(PLAIN, st.lists(SIMPLE_VALUES, min_size=1, max_size=4))
def test_without_a_loss_the_same_values_fit(schema: dict[str, Any], values: list[Any]) -> None:
    whole = {"$defs": {"S": {"type": "string", "minLength": 1}}, **schema}
    for subset in (TOOLS, LISTED, ACYCLIC):
        fitted, losses = fit(whole, subset)
        if losses or (subset.root_object and schema.get("type") != "object"):
            continue
        for value in values:
            assert jsonschema.Draft202012Validator(whole).is_valid(value) == jsonschema.Draft202012Validator(fitted).is_valid(value)
