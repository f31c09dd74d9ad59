"""The walk through a schema that is fitted to a subset: references, unions, children, and the limits of size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from jackfield.api.canonical.schemas_merge import both, either, without
from jackfield.api.canonical.schemas_rules import enums, nulls, objects, one_of, split_types, tuples, typed, types, words
from jackfield.api.canonical.schemas_subset import SchemaSubset
from jackfield.api.canonical.schemas_words import (
    DEFINITIONS,
    MANY,
    NAMED,
    ONE,
    UNIONS,
    is_schema,
    is_silent,
    is_sound,
    references,
    says,
    type_names,
)
from jackfield.api.dialect import Loss

Schema = dict[str, Any]
_DEEPEST: Final = 64
_MOST_SCHEMAS: Final = 20_000
_SAME_LEVEL: Final = frozenset({"allOf", "anyOf", "else", "if", "not", "oneOf", "then", *DEFINITIONS})
_NOTES: Final = frozenset({"default", "deprecated", "description", "examples", "title"})


class Place(NamedTuple):
    """Where a schema stands."""

    path: str = ""
    level: int = 1
    """Objects and arrays around it, itself included."""
    depth: int = 0
    """Schemas around it."""
    active: frozenset[str] = frozenset()
    """References that were replaced by what they name on the way here."""
    home: str = "#"
    """The definition that it belongs to."""
    root: bool = False

    def at(self, keyword: str) -> str:
        """Return the path of a keyword here."""
        return f"{self.path}.{keyword}"

    def below(self, keyword: str, step: str) -> Place:
        """Return the place of a schema under a keyword."""
        level = self.level + (keyword not in _SAME_LEVEL)
        home = f"#/{keyword}/{step[1:]}" if self.root and keyword in DEFINITIONS else self.home
        return Place(f"{self.path}.{keyword}{step}", level, self.depth + 1, self.active, home)

    def again(self, active: frozenset[str] | None = None, path: str | None = None) -> Place:
        """Return the same place for a schema that takes this one's place."""
        return self._replace(
            depth=self.depth + 1,
            active=self.active if active is None else active,
            path=self.path if path is None else path,
        )


class Fitter:
    """Fits one schema to one subset, and keeps what was lost."""

    def __init__(self, schema: Any, subset: SchemaSubset) -> None:
        self._root = schema
        self.subset = subset
        self.losses: list[Loss] = []
        self._schemas_left = _MOST_SCHEMAS
        self._properties_left = subset.max_properties
        self._enum_values_left = subset.max_enum_values
        self._reached: dict[str, frozenset[str]] = {}

    def lose(self, path: str, why: str, what: Literal["dropped", "changed", "invented"] = "dropped") -> None:
        """Remember a loss."""
        self.losses.append(Loss(path, what, why))

    def takes_values(self, count: int) -> bool:
        """Count values of an `enum`. False where they are too many in all; then they do not count."""
        if self._enum_values_left is None:
            return True
        fits = count <= self._enum_values_left
        self._enum_values_left -= count if fits else 0
        return fits

    def unmerged(self, place: Place) -> Callable[[str], None]:
        """Return what remembers that a keyword could not be merged with another's."""
        return lambda key: self.lose(place.at(key), "it cannot be merged")

    def accepts(self, keyword: str) -> bool:
        """Tell whether the subset has a keyword."""
        return self.subset.keywords is None or keyword in self.subset.keywords

    def root(self) -> Schema:
        """Return the whole schema, fitted."""
        fitted = self.schema(self._root, Place(root=True))
        return fitted if isinstance(fitted, dict) else {}

    def schema(self, value: Any, place: Place) -> Any:
        """Return a schema as the subset accepts it."""
        self._schemas_left -= 1
        if self._schemas_left < 0 or place.depth > _DEEPEST:
            self.lose(place.path, "the schema is too large or too deep", "changed")
            return self.anything()
        if isinstance(value, bool):
            return self._boolean(value, place)
        if not isinstance(value, dict):
            self.lose(place.path, "this is no schema", "changed")
            return self.anything()
        deepest = self.subset.max_level
        if deepest is not None and place.level > deepest and (says(value, "object") or says(value, "array")):
            self.lose(place.path, f"nested deeper than {deepest} levels", "changed")
            return self.anything()
        node = self._node(value, place)
        return value if len(node) == len(value) and all(node.get(key, node) is item for key, item in value.items()) else node

    def anything(self) -> Schema:
        """Return the schema for any value."""
        names = self.subset.anything
        if len(names) > 1 and not self.subset.type_arrays:
            return {"anyOf": [{"type": name} for name in names]}
        return {"type": list(names) if len(names) > 1 else names[0]} if names else {}

    def _boolean(self, value: bool, place: Place) -> Any:
        if self.subset.booleans and not place.root:
            return value
        if value:
            return self.schema({}, place.again())
        if self.accepts("not"):
            return {"not": {}}
        self.lose(place.path, "a schema that nothing fits cannot be said", "changed")
        return self.anything()

    def _node(self, value: Schema, place: Place) -> Schema:
        node = self._sound(value, place)
        kept = self.subset.refs == "all" and self.accepts("$ref") and not (place.root and self.subset.root_object)
        if "$ref" in node and not kept:
            found = self._reference(node, place)
            if found is not None:
                return found
        if "allOf" in node and not (self.accepts("allOf") and not (place.root and self.subset.root_object)):
            merged, active = self._merged(node, place)
            return self._schema_again(merged, place.again(active))
        if place.root and self.subset.root_object:
            node = self._object(node, place)
        return self._rules(node, place)

    def _rules(self, node: Schema, place: Place) -> Schema:
        one_of(self, node, place)
        types(self, node, place)
        alone = nulls(self, node, place)
        if alone is not None:
            return self._schema_again(alone, place.again())
        split_types(self, node, place)
        enums(self, node, place)
        tuples(self, node, place)
        words(self, node, place)
        lone = self._lone(node, place)
        if lone is not None:
            return self._schema_again(lone, place.again())
        self._children(node, place)
        objects(self, node, place)
        return typed(self, node, place)

    def _schema_again(self, value: Any, place: Place) -> Schema:
        fitted = self.schema(value, place)
        return fitted if isinstance(fitted, dict) else self.anything()

    def _sound(self, value: Schema, place: Place) -> Schema:
        node = dict(value)
        for key in value:
            if not isinstance(key, str) or not is_sound(key, value[key]):
                del node[key]
                self.lose(place.at(str(key)), "its value is of a type that it cannot have")
        return node

    # references

    def _find(self, ref: str) -> Any:
        """Return what a reference names; None where it leads nowhere."""
        if ref != "#" and not ref.startswith("#/"):
            return None
        found = self._root
        for step in ref.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = found[int(key)] if key.isdecimal() and len(key) < 8 and int(key) < len(found) else None
            else:
                found = found.get(key) if isinstance(found, dict) else None
        return found if is_schema(found) else None

    def _keeps(self, ref: str, place: Place) -> bool:
        if self.subset.refs == "none" or not self.accepts("$ref") or (place.root and self.subset.root_object):
            return False
        steps = ref.split("/")
        if ref != "#" and not (len(steps) == 3 and steps[0] == "#" and steps[1] in DEFINITIONS and self.accepts(steps[1])):
            return False
        return self._find(ref) is not None and (self.subset.refs == "local" or place.home not in self._reach(ref))

    def _reach(self, ref: str) -> frozenset[str]:
        """Return all references that can be come to from one, itself included."""
        if ref not in self._reached:
            found: set[str] = set()
            left = [ref]
            while left:
                here = left.pop()
                if here not in found:
                    found.add(here)
                    left.extend(references(self._find(here)))
            self._reached[ref] = frozenset(found)
        return self._reached[ref]

    def _reference(self, node: Schema, place: Place) -> Schema | None:
        """Return what stands for a reference; None where it stays among other keywords."""
        ref: str = node["$ref"]
        rest = without(node, "$ref")
        beside = any(not is_silent(key) for key in rest)
        if self._keeps(ref, place):
            if beside and self.subset.ref_siblings:
                return None
            if not beside:
                return None if place.root else {"$ref": ref}
        opened, active = self._opened(node, place.active, place.path)
        moved = not beside and ref in active and ref not in place.active
        path = (f".{ref[2:].replace('/', '.')}" if len(ref) > 1 else "") if moved else None
        return self._schema_again(opened, place.again(active, path))

    def _opened(self, node: Schema, active: frozenset[str], path: str) -> tuple[Schema, frozenset[str]]:
        """Return a schema with what its `$ref` names in its place, and the references that are open then."""
        while isinstance(node.get("$ref"), str):
            ref, rest = node["$ref"], without(node, "$ref")
            target = self._find(ref)
            if target is None:
                self.lose(f"{path}.$ref", f"{ref[:200]!r} leads nowhere", "changed")
                return rest, active
            if ref in active:
                self.lose(f"{path}.$ref", "the schema holds itself, which cannot be said", "changed")
                return ({"type": "object", **rest} if says(target, "object") else rest) if isinstance(target, dict) else rest, active
            active |= {ref}
            node = {**(target if isinstance(target, dict) else {} if target else {"not": {}}), **rest}
        return node, active

    # unions

    def _merged(self, node: Schema, place: Place) -> tuple[Schema, frozenset[str]]:
        """Return a schema with its `allOf` merged into it."""
        branches, rest = node["allOf"], without(node, "allOf")
        if len(branches) == 1 and isinstance(branches[0], dict) and all(key in _NOTES or is_silent(key) for key in rest):
            return {**branches[0], **rest}, place.active
        opened = place.active
        for index, branch in enumerate(branches):
            inner = place.below("allOf", f"[{index}]")
            if not isinstance(branch, dict):
                if branch is not True:
                    self.lose(inner.path, "this cannot be merged", "changed")
                continue
            self._schemas_left -= 1
            part, active = self._opened(branch, place.active, inner.path)
            if isinstance(part.get("allOf"), list) and part["allOf"]:
                part, active = self._merged_within(part, inner._replace(active=active))
            rest = both(rest, part, self.unmerged(inner))
            opened |= active
        return rest, opened

    def _merged_within(self, node: Schema, place: Place) -> tuple[Schema, frozenset[str]]:
        if place.depth > _DEEPEST or self._schemas_left < 0:
            self.lose(place.at("allOf"), "the schema is too large or too deep")
            return without(node, "allOf"), place.active
        merged, active = self._merged(node, place)
        return self._opened(without(merged, "allOf"), active, place.path)

    def _object(self, node: Schema, place: Place) -> Schema:
        """Return the root as an object without unions."""
        names = type_names(node)
        for key in UNIONS:
            if key in node:
                node = self._dissolved(node, key, place)
                names = names or type_names(node)
        for key in ("enum", "const", "not"):
            if key in node:
                del node[key]
                self.lose(place.at(key), "the root may not have it")
        node.pop("nullable", None)
        if names and "object" not in names:
            self.lose(place.at("type"), "the root must be an object", "changed")
            return {"type": "object", **{key: node[key] for key in ("title", "description") if key in node}}
        if names != ["object"] or isinstance(node.get("type"), list):
            if len(names) > 1:
                self.lose(place.at("type"), "the root must be an object and nothing else", "changed")
            node = {"type": "object", **without(node, "type")}
        return node

    def _dissolved(self, node: Schema, key: str, place: Place) -> Schema:
        """Return a schema with the properties of a union's branches among its own; what they require is left to chance."""
        branches = node[key]
        self.lose(place.at(key), "the root may not be a union; the properties of all its branches are allowed", "changed")
        joined: Schema = {}
        objects = 0
        for index, branch in enumerate(branches):
            if not isinstance(branch, dict):
                continue
            inner = place.below(key, f"[{index}]")
            part, active = self._opened(branch, place.active, inner.path)
            if isinstance(part.get("allOf"), list) and part["allOf"]:
                part, _ = self._merged_within(part, inner._replace(active=active))
            objects += "object" in (type_names(part) or ["object"])
            properties = part.get("properties")
            for name, schema in properties.items() if isinstance(properties, dict) else ():
                joined[name] = either(joined[name], schema) if name in joined else schema
        rest = without(node, key)
        if joined:
            own = rest.get("properties")
            rest["properties"] = {**joined, **own} if isinstance(own, dict) else joined
        return rest if objects or type_names(rest) else {**rest, "type": type_names(branches[0]) or "object"}

    def _lone(self, node: Schema, place: Place) -> Schema | None:
        """Return a schema with what may not stand beside its `anyOf` in each of the branches; None where nothing does."""
        notes = {"anyOf", *DEFINITIONS, *(_NOTES if self.subset.union_siblings == "notes" else ())}
        inner = {key: value for key, value in node.items() if key not in notes and not (is_silent(key) and key != "$ref")}
        if self.subset.union_siblings == "all" or "anyOf" not in node or not inner:
            return None
        branches = [both(branch, inner, self.unmerged(place)) if isinstance(branch, dict) else inner for branch in node["anyOf"]]
        return {**without(node, *inner), "anyOf": branches}

    # children

    def _children(self, node: Schema, place: Place) -> None:
        for key in list(node):
            value = node[key]
            if key in ONE and not isinstance(value, list):
                fixed = isinstance(value, bool) and (key != "items" or self.subset.booleans)
                fitted = value if fixed else self.schema(value, place.below(key, ""))
            elif key in MANY or (key == "items" and isinstance(value, list)):
                fitted = self._many(key, value, place)
            elif key in NAMED:
                fitted = self._named(key, value, place)
            else:
                continue
            node[key] = fitted

    def _many(self, key: str, value: list[Any], place: Place) -> list[Any]:
        fitted = [self.schema(item, place.below(key, f"[{index}]")) for index, item in enumerate(value)]
        return value if all(map(_is, fitted, value)) else fitted

    def _named(self, key: str, value: Schema, place: Place) -> Schema:
        fitted: Schema = {}
        for name, item in value.items():
            inner = place.below(key, f".{name}")
            if key == "properties" and self._properties_left is not None:
                self._properties_left -= 1
                if self._properties_left < 0:
                    self.lose(inner.path, "too many properties")
                    continue
            fitted[name] = self.schema(item, inner)
        return value if len(fitted) == len(value) and all(fitted[name] is item for name, item in value.items()) else fitted


def _is(one: object, other: object) -> bool:
    return one is other
