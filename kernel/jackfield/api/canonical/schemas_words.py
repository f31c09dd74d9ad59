"""The words of JSON Schema (draft 2020-12, its forerunners and OpenAPI 3.0): where schemas stand, and what the rest holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")
"""All types by name."""
ONE: Final = frozenset({
    "additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames",
    "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
"""Keywords that hold a schema."""
MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords that hold a list of schemas."""
NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords that hold schemas by names, which are no keywords."""
DEFINITIONS: Final = frozenset({"$defs", "definitions"})
UNIONS: Final = ("anyOf", "oneOf")
NUMBERS: Final = frozenset({
    "exclusiveMaximum", "exclusiveMinimum", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains",
    "minItems", "minLength", "minProperties", "minimum", "multipleOf",
})  # fmt: skip
LISTS: Final = frozenset({"enum", "examples", "propertyOrdering", "required"})
TEXTS: Final = frozenset({"$ref", "description", "format", "pattern", "title"})
TRUTHS: Final = frozenset({"nullable", "uniqueItems"})
CONSTRAINTS: Final = NUMBERS | {"const", "default", "enum", "examples", "format", "pattern", "uniqueItems"}
"""What can be said in words where it cannot be said by a keyword."""
BY_TYPE: Final = {
    "object": frozenset({
        "additionalProperties", "dependentRequired", "dependentSchemas", "maxProperties", "minProperties", "patternProperties",
        "properties", "propertyNames", "propertyOrdering", "required", "unevaluatedProperties",
    }),
    "array": frozenset({
        "additionalItems", "contains", "items", "maxContains", "maxItems", "minContains", "minItems", "prefixItems",
        "unevaluatedItems", "uniqueItems",
    }),
    "string": frozenset({"contentEncoding", "contentMediaType", "format", "maxLength", "minLength", "pattern"}),
    "number": frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}),
}  # fmt: skip
"""Keywords that say something of one type alone."""
_SILENT: Final = ("$", "x-")
_DEEPEST_VALUE: Final = 20


def is_silent(keyword: str) -> bool:
    """Tell whether a keyword means nothing to a model: `$schema`, `$id`, `x-...`."""
    return keyword.startswith(_SILENT)


def is_schema(value: object) -> bool:
    """Tell whether a value can be a schema: an object or a truth value."""
    return isinstance(value, dict | bool)


def is_sound(keyword: str, value: object) -> bool:
    """Tell whether the value is of a type that the keyword can have."""
    if keyword in ONE:
        return is_schema(value) or (keyword == "items" and isinstance(value, list))
    if keyword in MANY:
        return isinstance(value, list) and bool(value)
    if keyword in NAMED:
        return isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if keyword in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if keyword in LISTS:
        return isinstance(value, list) and (keyword in ("enum", "examples") or all(isinstance(item, str) for item in value))
    if keyword in TEXTS:
        return isinstance(value, str)
    return keyword not in TRUTHS or isinstance(value, bool)


def type_of(value: object) -> str:
    """Name the JSON type of a value; a number without a fraction is an `integer`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def type_names(schema: Any) -> list[str]:
    """Return the types that a schema names, lower-case; none where it names none."""
    named = schema.get("type") if isinstance(schema, dict) else None
    names = named if isinstance(named, list) else [named]
    return [name.lower() for name in names if isinstance(name, str)]


def says(schema: dict[str, Any], name: str) -> bool:
    """Tell whether a schema speaks of a type: by name, or without a name by a keyword of that type alone."""
    names = type_names(schema)
    return name in names if names else any(key in BY_TYPE[name] for key in schema)


def same(one: object, other: object) -> bool:
    """Compare two values; those too deep to compare are not the same. 1, 1.0 and true differ."""
    if one is other:
        return True
    try:
        return type_of(one) == type_of(other) and bool(one == other)
    except RecursionError:
        return False


def key_of(value: Any) -> Any:
    """Return a key under which equal plain values are found; None for a list or an object."""
    return None if isinstance(value, list | dict) else (type_of(value), value)


def references(schema: object) -> Iterator[str]:
    """Yield all that `$ref` names anywhere below, each part of a value that holds itself once."""
    seen: set[int] = set()
    left = [schema]
    while left:
        value = left.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list):
            left.extend(value)
            continue
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        left.extend(value.values())


def shown(value: object, depth: int = 0) -> str | None:
    """Write a value for a reader; None where it is too long or too deep to be read."""
    if isinstance(value, list):
        items = [shown(item, depth + 1) for item in value] if depth < _DEEPEST_VALUE and len(value) <= 100 else [None]
        words = [item for item in items if item is not None]
        text = "[" + ", ".join(words) + "]"
        return text if len(words) == len(items) and len(text) <= 1000 else None
    if isinstance(value, dict):
        return None
    words_of = {True: "true", False: "false", None: "null"}
    if value is None or isinstance(value, bool):
        return words_of[value]
    text = f'"{value}"' if depth and isinstance(value, str) else str(value)
    return text if len(text) <= 1000 else None
