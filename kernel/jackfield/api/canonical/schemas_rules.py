"""Rules for one schema among its keywords: each brings a part of it within a subset, in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jackfield.api.canonical.schemas_merge import both, either, without
from jackfield.api.canonical.schemas_words import (
    BY_TYPE,
    CONSTRAINTS,
    DEFINITIONS,
    TYPES,
    is_schema,
    is_silent,
    says,
    shown,
    type_names,
    type_of,
)

if TYPE_CHECKING:
    from jackfield.api.canonical.schemas_fit import Fitter, Place, Schema

_UNSPECIFIED: Final = "type_unspecified"
_OWNERS: Final = {"integer": "number"}
_OUTSIDE: Final = frozenset({"default", "description", "title", *DEFINITIONS})
_WHOLE: Final = ("$ref", "allOf", "const", "not", "oneOf")
_SAID: Final = ("$ref", "allOf", "anyOf", "not", "oneOf", "type")


def one_of(fit: Fitter, node: Schema, place: Place) -> None:
    """Make `anyOf` of `oneOf`."""
    if "oneOf" not in node or fit.accepts("oneOf"):
        return
    branches = node.pop("oneOf")
    if fit.accepts("anyOf") and "anyOf" not in node:
        node["anyOf"] = branches
        fit.lose(place.at("oneOf"), "one branch or more may fit, not one alone", "changed")
    else:
        fit.lose(place.at("oneOf"), "it cannot be said")


def types(fit: Fitter, node: Schema, place: Place) -> None:
    """Write types as the subset has them."""
    if "type" not in node:
        return
    named = node["type"] if isinstance(node["type"], list) else [node["type"]]
    names: list[str] = []
    for name in named:
        lower = name.lower() if isinstance(name, str) else ""
        if lower not in fit.subset.types:
            if lower != _UNSPECIFIED:
                fit.lose(place.at("type"), f"{str(name)[:100]!r} is no type there")
        elif lower not in (known.lower() for known in names):
            names.append(name if fit.subset.any_case else lower)
    if not names:
        del node["type"]
    elif names != named or (len(names) == 1 and isinstance(node["type"], list) and not fit.subset.type_arrays):
        node["type"] = names[0] if len(names) == 1 else names


def nulls(fit: Fitter, node: Schema, place: Place) -> Schema | None:
    """Say whether null is allowed as the subset says it. Returns the schema to fit instead where a union came apart."""
    if fit.subset.nulls == "type" and node.pop("nullable", False):
        _allow_null(fit, node)
    if fit.subset.nulls != "keyword":
        return None
    _null_type(node)
    if None in (values := node.get("enum") or ()) and len(values) > 1:
        node["enum"] = [value for value in node["enum"] if value is not None]
        node["nullable"] = True
    branches = node.get("anyOf")
    others = [branch for branch in branches or () if not _is_null(branch)]
    if branches is None or len(others) == len(branches) or not others:
        return None
    node["nullable"] = True
    if len(others) > 1:
        node["anyOf"] = others
        return None
    rest = without(node, "anyOf")
    return both(rest, others[0], fit.unmerged(place)) if isinstance(others[0], dict) else rest


def _null_type(node: Schema) -> None:
    names = node.get("type")
    if isinstance(names, list) and len(names) > 1 and "null" in type_names(node):
        left = [name for name in names if name.lower() != "null"]
        node["type"] = left[0] if len(left) == 1 else left
        node["nullable"] = True


def _is_null(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    return type_names(schema) == ["null"] or schema.get("enum") == [None] or ("const" in schema and schema["const"] is None)


def _allow_null(fit: Fitter, node: Schema) -> None:
    """Let null be among what fits."""
    if "anyOf" in node:
        if not any(_is_null(branch) for branch in node["anyOf"]):
            node["anyOf"] = [*node["anyOf"], {"type": "null"}]
        return
    full = "enum" in node and not fit.takes_values(1)
    if full or any(key in node for key in _WHOLE) or (len(type_names(node)) == 1 and not fit.subset.type_arrays):
        said = {key: node.pop(key) for key in list(node) if key not in _OUTSIDE}
        node["anyOf"] = [said] if _is_null(said) else [said, {"type": "null"}]
        return
    names = type_names(node)
    if names and "null" not in names:
        node["type"] = [*(node["type"] if isinstance(node["type"], list) else [node["type"]]), "null"]
    if "enum" in node and None not in node["enum"]:
        node["enum"] = [*node["enum"], None]


def split_types(fit: Fitter, node: Schema, place: Place) -> None:
    """Make a union of a list of types, where the subset has no such lists."""
    names = node.get("type")
    if not isinstance(names, list) or fit.subset.type_arrays:
        return
    if "anyOf" in node or not fit.accepts("anyOf"):
        fit.lose(place.at("type"), "there can be but one type", "changed")
        node["type"] = names[0]
        return
    del node["type"]
    values = node.pop("enum", None)
    branches: list[Schema] = []
    for name in names:
        own = BY_TYPE.get(_OWNERS.get(name.lower(), name.lower()), frozenset())
        branch = {"type": name, **{key: node.pop(key) for key in list(node) if key in own}}
        if values is not None:
            branch["enum"] = [value for value in values if type_of(value) in (name.lower(), _FITS.get(name.lower()))]
        if values is None or branch["enum"]:
            branches.append(branch)
    node["anyOf"] = branches or [{"type": name} for name in names]


_FITS: Final = {"number": "integer"}


def enums(fit: Fitter, node: Schema, place: Place) -> None:
    """Write `const` as `enum`, and leave out an `enum` that the subset cannot say."""
    if "const" in node and not fit.accepts("const") and fit.accepts("enum") and "enum" not in node:
        node["enum"] = [node.pop("const")]
    if "enum" not in node or not fit.accepts("enum"):
        return
    allowed = fit.subset.enum_types
    if allowed is not None and any(type_of(value) not in allowed for value in node["enum"]):
        _drop(fit, node, "enum", place, "it has values of a type that it may not have")
    elif not fit.subset.empty_enum_value and "" in node["enum"]:
        fit.lose(place.at("enum"), "the empty text cannot be among the values", "changed")
        node["enum"] = [value for value in node["enum"] if value != ""]
    if "enum" in node and not node["enum"]:
        _drop(fit, node, "enum", place, "it is empty")
    if "enum" in node and not fit.takes_values(len(node["enum"])):
        _drop(fit, node, "enum", place, "too many values")


def tuples(fit: Fitter, node: Schema, place: Place) -> None:
    """Write what each place of an array holds as the subset can say it."""
    if isinstance(node.get("items"), list) and fit.subset.keywords is not None:
        node["prefixItems"] = node.pop("items")
        rest = node.pop("additionalItems", None)
        if is_schema(rest):
            node["items"] = rest
        if not node["prefixItems"]:
            del node["prefixItems"]
    if "prefixItems" not in node or fit.accepts("prefixItems"):
        return
    parts = node.pop("prefixItems")
    others = node.get("items")
    fit.lose(place.at("prefixItems"), "each place may hold what any place may hold", "changed")
    joined = parts[0]
    for part in [*parts[1:], *([others] if isinstance(others, dict) else [])]:
        joined = either(joined, part)
    node["items"] = joined


def words(fit: Fitter, node: Schema, place: Place) -> None:
    """Leave out the keywords and the values that the subset does not accept."""
    for key in list(node):
        if key in DEFINITIONS and (not place.root or not fit.accepts(key)) and fit.subset.refs != "all":
            del node[key]
        elif not fit.accepts(key):
            _leave(fit, node, key, place)
    if fit.subset.formats is not None and node.get("format", "") and node["format"] not in fit.subset.formats:
        _drop(fit, node, "format", place, f"{node['format'][:100]!r} is not known there")
    for key, most in fit.subset.at_most:
        if key in node and node[key] > most:
            _drop(fit, node, key, place, f"it may be at most {most}")


def _leave(fit: Fitter, node: Schema, key: str, place: Place) -> None:
    if key == "propertyOrdering":
        _order(node)
    elif is_silent(key) or (key == "nullable" and not node[key]) or (key == "additionalProperties" and node[key] is True):
        del node[key]
    else:
        _drop(fit, node, key, place, "it is not known there")


def _order(node: Schema) -> None:
    """Bring properties into the order asked for, which is all that `propertyOrdering` says."""
    wanted = node.pop("propertyOrdering")
    properties = node.get("properties")
    if isinstance(properties, dict):
        first = [name for name in wanted if name in properties]
        if list(properties)[: len(first)] != first:
            node["properties"] = {name: properties[name] for name in dict.fromkeys([*first, *properties])}


def _drop(fit: Fitter, node: Schema, key: str, place: Place, why: str) -> None:
    """Leave out a keyword, and say in words what it said where the subset wants that."""
    value = node.pop(key)
    said = shown(value) if fit.subset.hints and key in CONSTRAINTS else None
    if said is None:
        fit.lose(place.at(key), why)
        return
    fit.lose(place.at(key), f"{why}; the description says it", "changed")
    before = node.get("description", "")
    node["description"] = f"{before}\n\n({key}: {said})" if before else f"({key}: {said})"


def objects(fit: Fitter, node: Schema, place: Place) -> None:
    """Give objects and arrays what they must have."""
    subset = fit.subset
    if says(node, "array") and subset.array_items and "items" not in node:
        node["items"] = fit.anything()
    if not says(node, "object"):
        return
    if subset.object_properties and "properties" not in node:
        node["properties"] = {}
    if subset.closed and node.get("additionalProperties") is not False:
        given = "additionalProperties" in node
        fit.lose(place.at("additionalProperties"), "no other properties may be allowed", "changed" if given else "invented")
        node["additionalProperties"] = False
    _required(fit, node, place)


def _required(fit: Fitter, node: Schema, place: Place) -> None:
    properties = node.get("properties", {})
    required = node.get("required")
    if required is not None and (fit.subset.known_required or fit.subset.all_required):
        known = [name for name in dict.fromkeys(required) if name in properties]
        for name in required:
            if name not in properties:
                fit.lose(place.at("required"), f"{name[:100]!r} is no property", "changed")
        if known != required:
            node["required"] = known
    if not fit.subset.all_required:
        return
    missing = set(properties).difference(node.get("required", ()))
    if missing:
        node["properties"] = {name: _optional(fit, schema) if name in missing else schema for name, schema in properties.items()}
        fit.lose(place.at("required"), "all properties must be required; those that were not may be null", "changed")
    if missing or "required" not in node:
        node["required"] = list(properties)


def _optional(fit: Fitter, schema: Any) -> Any:
    """Return a fitted schema with null among what fits."""
    if not isinstance(schema, dict) or not any(key in schema for key in (*_SAID, "enum", "const")):
        return schema
    node = dict(schema)
    if _is_null(node):
        return node
    _allow_null(fit, node)
    return node


def typed(fit: Fitter, node: Schema, place: Place) -> Schema:
    """Name a type, where each schema must."""
    if not fit.subset.anything or any(key in node for key in _SAID):
        return node
    values = [node["const"]] if "const" in node else node.get("enum", [])
    found = list(dict.fromkeys(type_of(value) for value in values)) or [name for name in TYPES if name in BY_TYPE and says(node, name)]
    if len(found) == 1:
        return {"type": found[0], **node}
    if found and fit.subset.type_arrays:
        return {"type": found, **node}
    fit.lose(place.path, "a type must be named; not every value is allowed", "changed")
    return {**fit.anything(), **node}
