"""Schemas: JSON Schema, and the form of OpenAPI 3.0 that `parameters` and `responseSchema` take.

Source: Gemini API reference, `Schema` (types in upper case, `nullable`) and `FunctionDeclaration.parametersJsonSchema`.
In the canonical model all schemas are JSON Schema; how one was spelled is noted beside it, and it is spelled so again.

What is written for others goes to `parametersJsonSchema` and `responseJsonSchema`: these take JSON Schema with references
and `additionalProperties`, which the older fields refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jackfield.api.canonical.schemas import SchemaSubset

SUBSET: Final = SchemaSubset(
    keywords=frozenset(
        {
            # What is followed (API reference, `GenerationConfig.responseJsonSchema`).
            "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems",
            "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering",
            # What may be sent and is passed over, as recorded answers show; it is for the model to read.
            "definitions", "default", "pattern", "minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
            "uniqueItems", "minProperties", "maxProperties", "examples", "$schema", "$comment",
        }
    ),
    any_case=True,
    nulls="type",
    ref_siblings=False,
    booleans=False,
    enum_types=frozenset({"string", "number", "integer", "null"}),
    hints=True,
)  # fmt: skip
"""What `parametersJsonSchema` and `responseJsonSchema` accept."""

_TYPES: Final = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
_NAMED: Final = ("properties", "$defs", "defs", "definitions", "patternProperties", "dependentSchemas")
"""Keywords whose value holds schemas by name."""
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE: Final = ("items", "additionalProperties", "not", "contains", "propertyNames")

Turn = Callable[[dict[str, Any]], dict[str, Any]]


def to_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with types in lower case, and `nullable` said by a type."""
    return _each(schema, _lowered)


def to_open_api(schema: dict[str, Any], *, upper: bool) -> dict[str, Any]:
    """Return a schema as `to_json_schema` found it: with `nullable`, and types in upper case where they were."""
    return _each(schema, _raised if upper else _nullable)


def is_upper(schema: Any) -> bool:
    """Tell whether a schema's types are spelled in upper case."""
    if isinstance(schema, dict):
        type_ = schema.get("type")
        return type_ in _TYPES if isinstance(type_, str) else any(map(is_upper, schema.values()))
    return isinstance(schema, list) and any(map(is_upper, schema))


def _each(schema: dict[str, Any], turn: Turn) -> dict[str, Any]:
    """Turn a schema and all within it."""
    made = dict(schema)
    for key in _NAMED:
        if isinstance(made.get(key), dict):
            made[key] = {name: _each(inner, turn) if isinstance(inner, dict) else inner for name, inner in made[key].items()}
    for key in _LISTS:
        if isinstance(made.get(key), list):
            made[key] = [_each(inner, turn) if isinstance(inner, dict) else inner for inner in made[key]]
    for key in _SINGLE:
        if isinstance(made.get(key), dict):
            made[key] = _each(made[key], turn)
    return turn(made)


def _lowered(schema: dict[str, Any]) -> dict[str, Any]:
    type_ = schema.get("type")
    if isinstance(type_, str) and type_.upper() in _TYPES:
        schema["type"] = type_.lower()
    elif isinstance(type_, list):
        schema["type"] = [one.lower() if isinstance(one, str) and one in _TYPES else one for one in type_]
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        del schema["nullable"]
        schema["type"] = [schema["type"], "null"]
    return schema


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    type_ = schema.get("type")
    if isinstance(type_, list) and len(type_) == 2 and type_[1] == "null" and type_[0] != "null":
        schema["type"] = type_[0]
        schema["nullable"] = True
    return schema


def _raised(schema: dict[str, Any]) -> dict[str, Any]:
    schema = _nullable(schema)
    type_ = schema.get("type")
    if isinstance(type_, str) and type_.upper() in _TYPES:
        schema["type"] = type_.upper()
    return schema
