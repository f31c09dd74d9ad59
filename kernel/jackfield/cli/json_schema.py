"""JSON Schemas of types: what the schemas of the configuration and those of the out-of-process protocol have in common."""

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union

import msgspec

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PLAIN: Final[dict[Any, str]] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_BOUNDS: Final = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf",
    "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern",
}  # fmt: skip


class Schemas:
    """Schemas of types as JSON has them. Structs that stand in others become definitions, which `refs` points to."""

    refs = "#/$defs/"

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self.definitions = definitions
        self._names: dict[type, str] = {}

    def struct(self, kind: type[msgspec.Struct]) -> Schema:
        """Return a struct's schema; the structs in it become definitions."""
        hints, fields, config = typing.get_type_hints(kind, include_extras=True), msgspec.structs.fields(kind), kind.__struct_config__
        described = {name: text for base in reversed(kind.__mro__) for name, text in described_fields(base).items()}
        tagged = {config.tag_field: {"const": config.tag}} if config.tag_field is not None else {}
        made: Schema = {
            "type": "object",
            "description": inspect.cleandoc(kind.__doc__ or kind.__name__),
            "properties": {**tagged, **{f.encode_name: self._field(kind, f, hints[f.name], described.get(f.name)) for f in fields}},
        }
        if required := [*tagged, *(field.encode_name for field in fields if field.required)]:
            made["required"] = required
        return {**made, "additionalProperties": not config.forbid_unknown_fields}

    def of(self, kind: Any) -> Schema:
        """Return the schema of any type."""
        base, parts = typing.get_origin(kind) or kind, typing.get_args(kind)
        if base is Annotated:
            return self._bounded(self.of(parts[0]), parts[1:])
        if base in (Union, UnionType):
            return self._any(parts)
        if base is Literal:
            return self._value({"enum": list(parts)})
        if kind in PLAIN:
            return self._value({"type": PLAIN[kind]})
        if not isinstance(base, type):  # `Any`
            return {}
        if issubclass(base, msgspec.Struct):
            return {"$ref": f"{self.refs}{self._defined(base)}"}
        if issubclass(base, Mapping):
            return {"type": "object", "additionalProperties": self.of(parts[1])} if parts else {"type": "object"}
        if issubclass(base, Sequence | AbstractSet) and parts:
            return self._items(base, parts)
        return {"type": "array"} if issubclass(base, Sequence | AbstractSet) else {}

    def _field(self, kind: type, field: msgspec.structs.FieldInfo, hint: Any, description: str | None) -> Schema:
        made = dict(self.of(hint))
        default = field.default_factory() if field.default_factory in (list, dict, set) else field.default
        if default not in (msgspec.NODEFAULT, msgspec.UNSET) and not isinstance(default, msgspec.Struct):
            plain = msgspec.to_builtins(default, enc_hook=as_written)
            made["default"] = list(plain) if isinstance(plain, tuple) else plain
        return {**made, "description": description} if description else made

    def _value(self, own: Schema) -> Schema:
        """Return the schema of a plain value."""
        return own

    def _items(self, base: Any, parts: Sequence[Any]) -> Schema:
        if base is tuple and ... not in parts:
            return {"type": "array", "prefixItems": [self.of(part) for part in parts], "items": False, "minItems": len(parts)}
        return {"type": "array", "items": self._any([part for part in parts if part is not ...])}

    def _any(self, kinds: Iterable[Any]) -> Schema:
        found = [option for kind in kinds for made in [self.of(kind)] for option in made.get("anyOf", [made])]
        options = [option for at, option in enumerate(found) if option not in found[:at]]
        return {"anyOf": options} if len(options) > 1 else options[0]

    def _bounded(self, made: Schema, notes: Iterable[Any]) -> Schema:
        """Return a schema with the bounds that stand beside its type."""
        own, *others = made.get("anyOf", [made])
        for note in (note for note in notes if isinstance(note, msgspec.Meta)):
            bounds = {keyword: getattr(note, name) for name, keyword in _BOUNDS.items() if getattr(note, name) is not None}
            renamed = {"minLength": "minItems", "maxLength": "maxItems"} if own.get("type") == "array" else {}
            own = {**own, **{renamed.get(keyword, keyword): bound for keyword, bound in bounds.items()}, **(note.extra_json_schema or {})}
        return {"anyOf": [own, *others]} if others else own

    def _defined(self, kind: type[msgspec.Struct]) -> str:
        if kind not in self._names:
            self._names[kind] = name = self._name(kind)
            self.definitions[name] = {}  # a struct may hold itself
            self.definitions[name] = self.struct(kind)
        return self._names[kind]

    def _name(self, kind: type[msgspec.Struct]) -> str:
        return kind.__name__


@cache
def described_fields(kind: type) -> dict[str, str]:
    """Return what a class itself says of its fields: the text that stands below each."""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, SyntaxError, TypeError):  # made at run time
        return {}
    return texts_below(getattr(body, "body", ()))


def texts_below(body: Sequence[ast.stmt]) -> dict[str, str]:
    """Return the texts that stand below assignments, by the names that are assigned to."""
    return {
        target.id: inspect.cleandoc(text.value.value)
        for said, text in pairwise(body)
        for target in _targets(said)
        if isinstance(target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _targets(said: ast.stmt) -> Sequence[ast.expr]:
    return said.targets if isinstance(said, ast.Assign) else [said.target] if isinstance(said, ast.AnnAssign) else ()


def as_written(value: object) -> object:
    """Return a default as a file would write it."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(value)
    return int(value) if isinstance(value, int) else str(value)
