"""Read plain values into structs, strictly: every problem is found at once and told in one line that says where and what."""

import difflib
import re
import types
import typing
from functools import lru_cache
from typing import Any, Final, TypeVar, Union

import msgspec

from jackfield.api import Secret
from jackfield.api.units import Seconds, Size, read_unit

Struct = TypeVar("Struct", bound=msgspec.Struct)


class FromEnvironment(str):  # noqa: SLOT000 (few are made)
    """A text that came from an environment variable: it may stand for a number or a truth value."""


_WORDS: Final[dict[Any, str]] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing",
    Seconds: "a number of seconds", Size: "a number of bytes", Secret: "a text", dict: "a mapping", list: "a list",
}  # fmt: skip


def _in_words(kind: Any) -> str:
    """Say in words what a configuration value should be."""
    base, parts = typing.get_origin(kind), typing.get_args(kind)
    if base is typing.Annotated:
        return _in_words(parts[0])
    if base in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(part) for part in parts if part is not type(None)))
    if base is typing.Literal:
        return "one of " + ", ".join(map(repr, parts))
    return _WORDS.get(kind) or ("a list" if base in (list, tuple) else "a mapping")


def shown(value: Any, kind: Any = dict) -> str:
    """Say what stands in place of a `kind`. Nothing is shown that may be a secret: only what was meant as a plain value."""
    hidden = isinstance(value, FromEnvironment) or Secret in (kind, *typing.get_args(kind))
    other = "a text" if isinstance(value, str) and _shape(kind) is not str else "something else" if hidden else repr(value)
    text = _WORDS[type(value)] if isinstance(value, dict | list | None) else other
    return text if len(text) <= 60 else text[:57] + "..."


def _shape(kind: Any) -> type:
    """Return what kind of YAML value a type is written as: a mapping, a list, or a plain one."""
    base = typing.get_origin(kind) or kind
    if isinstance(base, type) and issubclass(base, msgspec.Struct | dict):
        return dict
    return list if base in (list, tuple) else str


@lru_cache
def _fields(kind: type[Struct]) -> tuple[dict[str, Any], dict[str, msgspec.structs.FieldInfo]]:
    """Return the types of a struct's fields, and the fields by the names that configuration has for them."""
    return typing.get_type_hints(kind, include_extras=True), {field.encode_name: field for field in msgspec.structs.fields(kind)}


class Reader:
    """Decodes plain values into structs, and goes on after a problem to find the next."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source, self._problems = source, problems

    def read(self, kind: Any, value: Any, where: str) -> Any:
        """Return `value` as a `kind`; None, with problems added, where it is not one."""
        if kind is Any:
            kind = dict[str, Any] if isinstance(value, dict) else list[Any] if isinstance(value, list) else Any
        if typing.get_origin(kind) in (Union, types.UnionType) and value is not None:
            shape = type(value) if isinstance(value, dict | list) else str
            fitting = [part for part in typing.get_args(kind) if _shape(part) is shape and part is not type(None)]
            kind = fitting[0] if len(fitting) == 1 or (fitting and shape is not str) else kind
        base, parts = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
            return self._struct(kind, value, where)
        if base is dict and isinstance(value, dict):
            return {key: self.read(parts[1], item, f"{where}.{key}" if where else key) for key, item in value.items()}
        if base in (list, tuple) and isinstance(value, list):
            return base(self.read(parts[0], item, f"{where}[{index}]") for index, item in enumerate(value))
        return self._plain(kind, value, where)

    def _struct(self, kind: type[Struct], value: dict[str, Any], where: str) -> Struct | None:
        before, prefix = len(self._problems), f"{where}." if where else ""
        hints, known = _fields(kind)
        for name in (name for name in value if name not in known and kind.__struct_config__.forbid_unknown_fields):
            near = difflib.get_close_matches(name, known, 1)
            self.complain(
                prefix + name,
                f"unknown; did you mean {near[0]!r}?" if near else f"unknown; known here: {', '.join(sorted(known)) or 'nothing'}",
            )
        for name, field in known.items():
            if field.required and name not in value:
                self.complain(prefix + name, f"missing; expected {_in_words(hints[field.name])}")
        fields = {f.name: self.read(hints[f.name], value[name], prefix + name) for name, f in known.items() if name in value}
        try:
            return kind(**fields) if len(self._problems) == before else None
        except ValueError as fault:  # a struct's own check (`__post_init__`)
            self.complain(where, str(fault))
            return None

    def _plain(self, kind: Any, value: Any, where: str) -> Any:
        from_environment = isinstance(value, FromEnvironment)
        try:
            return msgspec.convert(str(value) if from_environment else value, kind, strict=not from_environment, dec_hook=_from_config)
        except (msgspec.ValidationError, NotImplementedError, TypeError) as fault:  # those that `convert` cannot tell apart, too
            bound = re.match(r"Expected `\w+` ([<>].*)$", str(fault))
            least = " of at least 0" if kind in (Seconds, Size) and str(value).strip().startswith("-") else ""
            self.complain(where, f"expected {_in_words(kind)}{' ' + bound[1] if bound else least}, got {shown(value, kind)}")

    def complain(self, where: str, what: str) -> None:
        """Take note of a problem: where, and what."""
        self._problems.append(f"{self.source}: {where}: {what}" if where else f"{self.source}: {what}")


def _from_config(kind: type[Any], value: object) -> Any:
    return Secret(value) if kind is Secret and isinstance(value, str) else value if isinstance(value, Secret) else read_unit(kind, value)
