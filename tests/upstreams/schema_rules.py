"""Which JSON Schemas OpenAI and Anthropic take for tools and answers. (Gemini's are messages of its own, see `gemini_fields`.)

Sources: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas (strict mode: all properties required,
no further ones, a root that is an object without union, the keywords that are not supported, ten levels); the errors for a
function without strict mode (`schema must be a JSON Schema of 'type: "object"'`, `array schema missing items`) as the API
words them; and https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations with the
errors for `input_schema`: the type `object`, no union at the top, a valid draft 2020-12 schema, names of properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema

from tests.upstreams.refusal import Path, Refused

_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")

_NOT_STRICT = frozenset(
    [
        "allOf",
        "oneOf",
        "not",
        "dependentRequired",
        "dependentSchemas",
        "if",
        "then",
        "else",
        "patternProperties",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "contains",
        "minContains",
        "maxContains",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "prefixItems",
    ]
)
_STRICT_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"])
_NOT_CLAUDE = frozenset(
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems", "uniqueItems"]
)


def walk(schema: Any, path: Path = (), depth: int = 0) -> Iterator[tuple[dict[str, Any], Path, int]]:
    """Return a schema and all schemas in it, each with its path and how many objects or arrays it is deep in."""
    if not isinstance(schema, dict):
        return
    yield schema, path, depth
    for name in _ONE:
        yield from walk(schema.get(name), (*path, name), depth + 1)
    for name in _SEVERAL:
        for number, part in enumerate(schema.get(name) or ()):
            yield from walk(part, (*path, name, number), depth)
    for name in _NAMED:
        for key, part in (schema.get(name) or {}).items():
            yield from walk(part, (*path, name, key), depth + (name == "properties"))


def check_openai_parameters(name: str, schema: dict[str, Any], strict: bool, path: Path) -> None:
    """Refuse the parameters of a function. Without any it takes none."""
    if strict:
        return check_openai_strict(f"function {name!r}", schema, path)
    if schema and schema.get("type") != "object":
        raise _invalid(f"function {name!r}", f"schema must be a JSON Schema of 'type: \"object\"', got type {schema.get('type')!r}", path)
    for part, where, _ in walk(schema):
        if part.get("type") == "array" and "items" not in part and "prefixItems" not in part:
            raise _invalid(f"function {name!r}", f"In context={where}, array schema missing items", path)
    return None


def check_openai_strict(what: str, schema: dict[str, Any], path: Path) -> None:
    """Refuse a schema that strict mode cannot follow."""
    if schema.get("type") != "object" or "anyOf" in schema:
        raise _invalid(what, "the root must be an object, and no union", path)
    for part, where, depth in walk(schema):
        if problem := _strict_problem(part):
            raise _invalid(what, f"In context={where}, {problem}", path)
        if depth > 10:
            raise _invalid(what, "more than 10 levels", path)


def _strict_problem(part: dict[str, Any]) -> str:
    if banned := sorted(_NOT_STRICT & part.keys()):
        return f"{banned[0]!r} is not permitted"
    if "$ref" in part and len(part) > 1:
        return f"$ref cannot have keywords {sorted(part.keys() - {'$ref'})}"
    if part.get("format", "date") not in _STRICT_FORMATS:
        return f"{part['format']!r} is not a valid format"
    if "properties" in part or part.get("type") == "object":
        if part.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false"
        if missing := sorted(part.get("properties", {}).keys() - set(part.get("required", ()))):
            return f"'required' is required to be supplied and to be an array including every key in properties. Missing {missing[0]!r}"
    if not part.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
        return "schema must have a 'type' key"
    return ""


def _invalid(what: str, problem: str, path: Path) -> Refused:
    code = "invalid_function_parameters" if what.startswith("function") else "invalid_json_schema"
    return Refused(path, f"Invalid schema for {what}: {problem}.", "value", code=code)


def check_claude_input(schema: dict[str, Any], strict: bool, path: Path) -> None:
    """Refuse the `input_schema` of a tool."""
    if schema.get("type") != "object":
        raise Refused((*path, "type"), "must be 'object'", "missing" if "type" not in schema else "value")
    if union := [name for name in ("oneOf", "allOf", "anyOf") if name in schema]:
        raise Refused(path, f"no oneOf, allOf or anyOf at the top level: {union[0]}", "value")
    _check_draft(schema, path)
    for part, where, _ in walk(schema):
        properties = part.get("properties")
        for key in properties if isinstance(properties, dict) else ():
            if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", key):
                raise Refused((*path, *where, "properties"), f"property keys should match '^[a-zA-Z0-9_.-]{{1,64}}$': {key!r}", "value")
    if strict:
        check_claude_output(schema, path)


def check_claude_output(schema: dict[str, Any], path: Path) -> None:
    """Refuse a schema that an answer (or a strict tool) cannot be bound to."""
    _check_draft(schema, path)
    for part, where, _ in walk(schema):
        if part.get("type") == "object" and part.get("additionalProperties") is not False:
            raise Refused((*path, *where), "for 'object' type, 'additionalProperties' must be explicitly set to false", "value")
        if banned := sorted(_NOT_CLAUDE & part.keys()):
            raise Refused((*path, *where), f"property {banned[0]!r} is not supported", "value")
        if part.get("minItems", 0) > 1:
            raise Refused((*path, *where), "'minItems' other than 0 and 1 is not supported", "value")


def _check_draft(schema: dict[str, Any], path: Path) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as fault:
        raise Refused(path, f"JSON schema is invalid, it must match draft 2020-12: {fault.message[:200]}", "value") from None
