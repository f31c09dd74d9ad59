"""Values that fit a JSON Schema: what the simulator's models answer and call tools with.

Followed are `const`, `enum`, `default`, `examples`, `type` (also a list of types), `properties`, `required`,
`additionalProperties`, `minProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, lengths, limits and multiples
of numbers, the usual `format`s, `allOf`, the first fitting branch of `anyOf` and `oneOf`, and `$ref` within the schema
(JSON Schema 2020-12, Core section 8 and 10, Validation section 6 and 7). Not followed are patterns, uniqueness,
conditions and negations. A schema is a caller's data: one that makes no sense gives some value, never an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

_FORMATS: Final = {
    "date": "2025-01-31", "date-time": "2025-01-31T12:00:00Z", "time": "12:00:00Z", "duration": "PT1H", "email": "someone@example.com",
    "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "json-pointer": "/a", "uri": "https://example.com/",
    "uri-reference": "/a", "url": "https://example.com/", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip

_ALL_DOWN_TO: Final = 5
"""Levels on which optional members are given too; below them only required ones, so that recursive schemas end."""
_DEEPEST: Final = 24
"""Level at which a schema that requires itself is given up."""
_HUGE: Final = 1e18
"""Limits of numbers beyond this, or nearer to 0 than its inverse, are not followed: what is next to 1 fits all sensible ones."""
_LONGEST: Final = 4096
"""Characters of a text that a schema wants long."""
_MOST_VALUES: Final = 1000
"""Values after which only required ones are made: a bound on the work that a hostile schema can ask for."""

Schema = Mapping[str, Any]


def sample(schema: object, name: str = "text") -> Any:
    """Return a value that fits `schema`; texts say `name`, or the name of the member that they stand in."""
    return _Sampler(schema).value(schema, name, 0)


class _Sampler:
    """Makes one value, of a schema that may refer to itself."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._left = _MOST_VALUES

    def value(self, given: object, name: str, depth: int) -> Any:
        self._left -= 1
        if depth > _DEEPEST or self._left < -_MOST_VALUES:
            return None
        schema = self._flat(given, depth)
        for key in ("enum", "examples"):
            if choices := _list(schema.get(key)):
                return choices[0]
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return _text(schema, name)

    def _flat(self, given: object, depth: int) -> Schema:
        """Return a schema with its references, its `allOf` and one branch of `anyOf` or `oneOf` written into it."""
        schema = _dict(given) if depth <= _DEEPEST else {}
        for _ in range(_DEEPEST):
            if isinstance(schema.get("$ref"), str):
                schema = _merged(self._referred(schema["$ref"]), _without(schema, "$ref"))
            elif parts := _list(schema.get("allOf")):
                schema = _without(schema, "allOf")
                for part in parts:
                    schema = _merged(schema, self._flat(part, depth + 1) if self._spend() else {})
            elif branches := _list(schema.get("anyOf")) or _list(schema.get("oneOf")):
                schema = _merged(_without(_without(schema, "anyOf"), "oneOf"), _dict(self._branch(branches, depth)))
            else:
                break
        return schema

    def _spend(self) -> bool:
        self._left -= 1
        return self._left > -_MOST_VALUES

    def _branch(self, branches: Sequence[Any], depth: int) -> Any:
        """Choose what is not null, or where the value is to end, null."""
        ending = self._ending(depth)
        return next((b for b in branches if (_dict(b).get("type") == "null") == ending), branches[0])

    def _ending(self, depth: int) -> bool:
        return depth >= _ALL_DOWN_TO or self._left <= 0

    def _referred(self, reference: str) -> Schema:
        """Follow a JSON pointer within the schema (RFC 6901)."""
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = _dict(found).get(step.replace("~1", "/").replace("~0", "~"))
        return _dict(found)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = _dict(schema.get("properties"))
        required = [key for key in _list(schema.get("required")) if isinstance(key, str)]
        wanted = required if self._ending(depth) else [*properties, *required]
        others = schema.get("additionalProperties", {})
        made = {key: self.value(properties.get(key, others), key, depth + 1) for key in dict.fromkeys(wanted)}
        for number in range(min(_count(schema, "minProperties"), _MOST_VALUES) - len(made)):
            key = f"key{number + 1}"
            made[key] = self.value(others, key, depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        first = _list(schema.get("prefixItems"))
        least = _count(schema, "minItems")
        wanted = max(least, 0 if self._ending(depth) else len(first) or 1)
        items = schema.get("items", {})
        most = wanted if items is not False else len(first)
        if isinstance(schema.get("maxItems"), int):
            most = min(most, schema["maxItems"])
        return [self.value(first[i] if i < len(first) else items, name, depth + 1) for i in range(min(most, _MOST_VALUES))]


def _dict(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _without(schema: Schema, key: str) -> Schema:
    return {k: v for k, v in schema.items() if k != key}


def _merged(one: Schema, other: Schema) -> Schema:
    """Return what both say together; where they differ the second counts."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**_dict(one["properties"]), **_dict(other["properties"])}
    if "required" in one and "required" in other:
        merged["required"] = [*_list(one["required"]), *_list(other["required"])]
    return merged


def _type_of(schema: Schema) -> str:
    """Return the type that a schema names, the first one that is not null of several, or the one that its words imply."""
    said = schema.get("type")
    if isinstance(said, list):
        said = next((kind for kind in said if kind != "null"), "null")
    if isinstance(said, str):
        return said.lower()
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if any(key in schema for key in ("minimum", "maximum", "multipleOf")) else "string"


def _text(schema: Schema, name: str) -> str:
    said = schema.get("format")
    if isinstance(said, str) and said in _FORMATS:
        return _FORMATS[said]
    text = name.ljust(min(_count(schema, "minLength"), _LONGEST), "x")
    most = schema.get("maxLength")
    return text[:most] if isinstance(most, int) and most >= 0 else text


def _number(schema: Schema, *, whole: bool) -> int | float:
    """Return the number next to 1 that fits."""
    step = _limit(schema, "multipleOf") or (1 if whole else 0)
    low, high = _limit(schema, "minimum"), _limit(schema, "maximum")
    above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
    if above is not None and (low is None or above >= low):
        low = _past(above, below if below is not None else high, step)
    if below is not None and (high is None or below <= high):
        high = -_past(-below, None if low is None else -low, step)
    value: int | float = 1
    if low is not None:
        value = max(value, low)
    if high is not None:
        value = min(value, high)
    if not step:
        return value
    multiple = math.ceil(value / step) * step
    if high is not None and multiple > high:
        multiple = math.floor(high / step) * step
    return int(multiple) if whole else multiple


def _past(bound: float, other: float | None, step: float) -> float:
    """Return a number above an exclusive bound and, where there is one, below the other bound."""
    if step:
        return (math.floor(bound / step) + 1) * step
    return bound + 1 if other is None or other > bound + 1 else (bound + other) / 2


def _limit(schema: Schema, key: str) -> int | float | None:
    value = schema.get(key)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and (value == 0 or 1 / _HUGE <= abs(value) <= _HUGE)
    return value if usable else None


def _count(schema: Schema, key: str) -> int:
    value = schema.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
