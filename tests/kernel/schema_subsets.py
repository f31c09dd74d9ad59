"""Subsets of JSON Schema as providers have them, made up of all that `SchemaSubset` can say."""

from jackfield.api.canonical.schemas import SchemaSubset

NOTES = {"title", "description", "default"}
TOOLS = SchemaSubset(root_object=True, nulls="type")
STRICT = SchemaSubset(
    keywords=frozenset(
        {"$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "exclusiveMaximum", "exclusiveMinimum",
         "format", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern", "properties", "required",
         "title", "type", "definitions"}
    ),
    formats=frozenset({"date-time", "date", "email", "uuid"}),
    refs="local", ref_siblings=False, union_siblings="notes", booleans=False, nulls="type", root_object=True, closed=True,
    all_required=True, object_properties=True, array_items=True, anything=("string", "number", "boolean", "null"),
    max_level=10, max_properties=5000, max_enum_values=1000, hints=True,
)  # fmt: skip
ACYCLIC = SchemaSubset(
    keywords=frozenset(
        {"$defs", "$ref", "additionalProperties", "anyOf", "const", "default", "definitions", "description", "enum", "format",
         "items", "minItems", "pattern", "properties", "required", "title", "type"}
    ),
    formats=frozenset({"date-time", "email"}), enum_types=frozenset({"string", "integer", "number", "boolean", "null"}),
    refs="acyclic", ref_siblings=False, union_siblings="notes", booleans=False, nulls="type", at_most=(("minItems", 1),), closed=True,
    anything=("string", "number", "boolean", "null"), hints=True,
)  # fmt: skip
OPENAPI = SchemaSubset(
    keywords=frozenset(
        {"anyOf", "default", "description", "enum", "example", "format", "items", "maxItems", "maxLength", "maxProperties",
         "maximum", "minItems", "minLength", "minProperties", "minimum", "nullable", "pattern", "properties",
         "propertyOrdering", "required", "title", "type"}
    ),
    any_case=True, type_arrays=False, nulls="keyword", refs="none", union_siblings="none", booleans=False,
    formats=frozenset({"enum", "date-time", "int32", "int64", "float", "double"}), enum_types=frozenset({"string"}),
    empty_enum_value=False, known_required=True, array_items=True, anything=("object",), hints=True,
)  # fmt: skip
LISTED = SchemaSubset(
    keywords=frozenset(
        {"$anchor", "$defs", "$id", "$ref", "additionalProperties", "anyOf", "description", "enum", "format", "items", "maxItems",
         "maximum", "minItems", "minimum", "oneOf", "prefixItems", "properties", "propertyOrdering", "required", "title", "type"}
    ),
    any_case=True, refs="local", ref_siblings=False, booleans=False, nulls="type", hints=True,
    enum_types=frozenset({"string", "number", "integer", "null"}),
)  # fmt: skip
SUBSETS = {"all": SchemaSubset(), "tools": TOOLS, "strict": STRICT, "acyclic": ACYCLIC, "openapi": OPENAPI, "listed": LISTED}
