"""What OpenAI accepts of JSON Schema, for tools and for the form of an answer.

Source: OpenAI's guides "Function calling" and "Structured outputs" (supported schemas, limits). Schemas that nobody asked to be
followed to the letter may say nearly anything, but must be an object at the root and name what arrays hold.
"""

from __future__ import annotations

from typing import Final

from jackfield.api.canonical.schemas import SchemaSubset

LOOSE: Final = SchemaSubset(root_object=True, object_properties=True, array_items=True, nulls="type")
"""Arguments of a function that is not strict."""

STRICT: Final = SchemaSubset(
    keywords=frozenset(
        {
            "$defs", "$ref", "additionalProperties", "anyOf", "const", "definitions", "description", "enum", "exclusiveMaximum",
            "exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern",
            "properties", "required", "title", "type",
        }
    ),
    formats=frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}),
    refs="local",
    ref_siblings=False,
    union_siblings="notes",
    booleans=False,
    nulls="type",
    root_object=True,
    closed=True,
    all_required=True,
    object_properties=True,
    array_items=True,
    anything=("string", "number", "boolean", "null"),
    max_level=10,
    max_properties=5000,
    max_enum_values=1000,
    hints=True,
)  # fmt: skip
"""What is followed to the letter."""


def subset(strict: bool | None) -> SchemaSubset:
    """Return what a schema may say."""
    return STRICT if strict else LOOSE
