"""Several schemas made one: for `allOf`, for what stands beside a reference or a union, and for unions at the root."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jackfield.api.canonical.schemas_words import key_of, same, type_names

Schema = dict[str, Any]

_LEAST: Final = frozenset({"exclusiveMaximum", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum"})
_MOST: Final = frozenset({"exclusiveMinimum", "minContains", "minItems", "minLength", "minProperties", "minimum"})
_NOTES: Final = frozenset({"$comment", "$id", "$schema", "default", "deprecated", "description", "example", "examples", "title"})
_MOST_VARIANTS: Final = 32


def both(first: Schema, second: Schema, lose: Callable[[str], object]) -> Schema:
    """Return a schema for values that fit both. `lose` is told of keywords of which only the first one's value stands."""
    out = dict(first)
    for key, value in second.items():
        if key not in out:
            out[key] = value
        elif key in _RULES:
            out[key] = _RULES[key](out[key], value)
        elif key not in _NOTES and not same(out[key], value):
            lose(key)
    return out


def either(first: Any, second: Any) -> Any:
    """Return a schema for values that fit one of two: two enumerations become one, the rest a union."""
    if same(first, second):
        return first
    values = _enumerated(first), _enumerated(second)
    if values[0] is not None and values[1] is not None:
        joined = _union(values[0], values[1])
        return {**{key: value for key, value in first.items() if key != "const"}, "enum": joined}
    if isinstance(first, dict) and set(first) == {"anyOf"} and isinstance(first["anyOf"], list):
        known = first["anyOf"]
        full = len(known) >= _MOST_VARIANTS or any(same(item, second) for item in known)
        return first if full else {"anyOf": [*known, second]}
    return {"anyOf": [first, second]}


def without(schema: Schema, *keys: str) -> Schema:
    """Return the schema without some keywords."""
    return {key: value for key, value in schema.items() if key not in keys}


def _enumerated(schema: Any) -> list[Any] | None:
    if not isinstance(schema, dict):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) and all(key_of(value) is not None for value in values) else None


def _union(first: Any, second: Any) -> Any:
    if not isinstance(first, list) or not isinstance(second, list):
        return first
    known = {key_of(value) for value in first}
    return [*first, *(value for value in second if key_of(value) is not None and key_of(value) not in known)]


def _common(first: Any, second: Any) -> Any:
    if not isinstance(first, list) or not isinstance(second, list):
        return first
    known = {key_of(value) for value in second}
    return [value for value in first if key_of(value) is None or key_of(value) in known] or first


def _types(first: Any, second: Any) -> Any:
    one, other = type_names({"type": first}), type_names({"type": second})
    kept = [name for name in one if name in other or (name == "integer" and "number" in other)]
    kept += ["integer"] if "number" in one and "integer" in other and "integer" not in kept else []
    if not kept or kept == one:
        return first
    return kept[0] if len(kept) == 1 else kept


def _named(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return first
    out = dict(first)
    for name, schema in second.items():
        known = out.get(name)
        out[name] = schema if known is None or same(known, schema) else {"allOf": [known, schema]}
    return out


def _others(first: Any, second: Any) -> Any:
    return False if first is False or second is False else second if first is True else first


def _number(pick: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def choose(first: Any, second: Any) -> Any:
        """Pick one of two numbers; the first where one is none."""
        numbers = [value for value in (first, second) if isinstance(value, int | float) and not isinstance(value, bool)]
        return pick(first, second) if len(numbers) == 2 else first

    return choose


_RULES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "type": _types,
    "enum": _common,
    "required": _union,
    "properties": _named,
    "patternProperties": _named,
    "$defs": _named,
    "definitions": _named,
    "additionalProperties": _others,
    "allOf": lambda first, second: [*first, *second] if isinstance(first, list) and isinstance(second, list) else first,
    **dict.fromkeys(_LEAST, _number(min)),
    **dict.fromkeys(_MOST, _number(max)),
}
