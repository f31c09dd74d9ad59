"""What a provider accepts of JSON Schema, as data."""

from typing import Literal

import msgspec

from jackfield.api.canonical.schemas_words import TYPES


class SchemaSubset(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider accepts of JSON Schema, as data. Without arguments: all of it, as it comes."""

    keywords: frozenset[str] | None = None
    """The keywords accepted, those of OpenAPI among them; None: all. What is left of others: `const` as `enum`, `oneOf` as
    `anyOf`, `allOf` merged, `prefixItems` as `items`."""
    types: frozenset[str] = frozenset(TYPES)
    """The types accepted, lower-case."""
    any_case: bool = False
    """Types may be written `OBJECT`, too, and stay as they come."""
    type_arrays: bool = True
    """`type` may be a list. Else there is a union, or the one type and `nullable`."""
    nulls: Literal["any", "type", "keyword"] = "any"
    """How null is allowed: by the type `null`, by the keyword `nullable`, or as it comes."""
    refs: Literal["all", "local", "acyclic", "none"] = "all"
    """Which `$ref` may stay: any; those to definitions at the root; those of them that lead nowhere back; none. Others are
    replaced by what they name, and where that never ends, by any object."""
    ref_siblings: bool = True
    """Other keywords may stand beside `$ref`."""
    union_siblings: Literal["all", "notes", "none"] = "all"
    """What may stand beside `anyOf`: anything; titles, descriptions and defaults; nothing."""
    booleans: bool = True
    """A schema may be `true` or `false`."""
    formats: frozenset[str] | None = None
    """The values of `format` accepted; None: all."""
    enum_types: frozenset[str] | None = None
    """The types of values that `enum` may have; None: all. `integer` is for numbers without a fraction."""
    empty_enum_value: bool = True
    """`enum` may have the empty text."""
    at_most: tuple[tuple[str, int], ...] = ()
    """Keywords whose numbers may not be greater than this."""
    root_object: bool = False
    """The root must be an object and have no union, no `enum` and no `not`."""
    closed: bool = False
    """Each object must have `additionalProperties: false`."""
    all_required: bool = False
    """Each property must be required. One that was not may be null."""
    known_required: bool = False
    """What is required must be among the properties."""
    object_properties: bool = False
    """Each object must have `properties`, be it empty."""
    array_items: bool = False
    """Each array must have `items`."""
    anything: tuple[str, ...] = ()
    """The types that stand for any value where a schema must name a type; empty: it need not."""
    max_level: int | None = None
    """Most levels of objects and arrays within each other, the root being the first."""
    max_properties: int | None = None
    """Most properties in all."""
    max_enum_values: int | None = None
    """Most values of `enum` in all."""
    hints: bool = False
    """A constraint that cannot stay is said in `description`."""
