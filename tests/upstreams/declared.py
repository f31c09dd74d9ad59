"""Checks a JSON value against the request types that a provider's official SDK declares.

Both OpenAI's and Anthropic's Python SDK generate them from the provider's own OpenAPI description, so they are the most
complete list of members that there is. The checks here are stricter than the SDKs, which send whatever they are given.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from typing import Any, Literal

import typing_extensions

from tests.upstreams.refusal import Path, Refused

Also = Mapping[str, frozenset[str]]
"""By the name of a declared type: members that the provider takes although the SDK does not declare them, and, with an exclamation mark
before them, members that the SDK wants and the provider does not."""

_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    bool: ((bool,), "a boolean"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
}


def check(value: object, declared: Any, path: Path = (), also: Also | None = None) -> None:
    """Raise `Refused` at the first place where a value is not of a declared type. Null stands for an absent member."""
    _Checker(also or {}).check(value, declared, path)


class _Checker:
    def __init__(self, also: Also) -> None:
        self.also = also

    def check(self, value: object, declared: Any, path: Path) -> None:
        declared = _bare(declared)
        origin, arguments = typing.get_origin(declared), typing.get_args(declared)
        if _is_union(declared):
            self._union(value, _flat(declared), path)
        elif origin is Literal:
            if value not in arguments:
                raise Refused(path, f"expected one of {', '.join(map(repr, arguments))}, got {value!r}", "value")
        elif typing_extensions.is_typeddict(declared):
            self._object(value, declared, path, _open(declared))
        elif declared in _SCALARS:
            _scalar(value, declared, path)
        elif origin is dict or declared is dict:
            self._map(value, arguments, path)
        elif declared is type(None):
            if value is not None:
                raise Refused(path, "expected null", "type")
        elif arguments and _is_list(origin):
            self._list(value, arguments[0], path)

    def _list(self, value: object, declared: Any, path: Path) -> None:
        if not isinstance(value, list):
            raise Refused(path, f"expected an array, got {_kind(value)}", "type")
        for number, member in enumerate(value):
            self.check(member, declared, (*path, number))

    def _map(self, value: object, arguments: tuple[Any, ...], path: Path) -> None:
        if not isinstance(value, dict):
            raise Refused(path, f"expected an object, got {_kind(value)}", "type")
        for name, member in value.items():
            if len(arguments) == 2:
                self.check(member, arguments[1], (*path, name))

    def _object(self, value: object, declared: Any, path: Path, extra: bool) -> None:
        if not isinstance(value, dict):
            raise Refused(path, f"expected an object, got {_kind(value)}", "type")
        members, also = _members(declared), self.also.get(declared.__name__, frozenset())
        for name, member in value.items():
            if name in members:
                if member is not None or name in _required(declared):
                    self.check(member, members[name], (*path, name))
            elif not extra and name not in also:
                raise Refused((*path, name), "unknown member", "unknown")
        for name in sorted(_required(declared)):
            if name not in value and f"!{name}" not in also:
                raise Refused((*path, name), "missing", "missing")

    def _union(self, value: object, choices: list[Any], path: Path) -> None:
        extra = any(typing.get_origin(choice) is dict for choice in choices)
        if isinstance(value, dict):
            choices = _by_tag(value, choices, path)
        worst: Refused | None = None
        for choice in choices:
            try:
                return (
                    self._object(value, choice, path, True)
                    if extra and typing_extensions.is_typeddict(choice)
                    else self.check(value, choice, path)
                )
            except Refused as refused:
                if worst is None or _weight(refused) > _weight(worst):
                    worst = refused
        if worst is not None:
            raise worst
        return None


def _bare(declared: Any) -> Any:
    while typing.get_origin(declared) in (typing_extensions.Required, typing_extensions.NotRequired, typing.Annotated):
        declared = typing.get_args(declared)[0]
    return declared


def _weight(refused: Refused) -> tuple[int, bool]:
    """The deepest refusal says most; a member too much says more than a type that is none of its union."""
    return len(refused.path), refused.kind == "unknown"


def _open(declared: Any) -> bool:
    return getattr(declared, "__pydantic_config__", {}).get("extra") == "allow"


def _is_union(declared: Any) -> bool:
    return typing.get_origin(declared) is typing.Union or type(declared).__name__ == "UnionType"


def _is_list(origin: Any) -> bool:
    return getattr(origin, "__name__", "") in ("list", "List", "Iterable", "Sequence", "SequenceNotStr")


def _flat(declared: Any) -> list[Any]:
    declared = _bare(declared)
    return [part for choice in typing.get_args(declared) for part in _flat(choice)] if _is_union(declared) else [declared]


@functools.cache
def _members(declared: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(declared, include_extras=True)


@functools.cache
def _required(declared: Any) -> frozenset[str]:
    """The members that must be there. (`__required_keys__` misses them where annotations are kept as text.)"""
    left = frozenset(declared.__required_keys__) if declared.__total__ else frozenset()
    return left | {name for name, hint in _members(declared).items() if typing.get_origin(hint) is typing_extensions.Required}


@functools.cache
def _tags(declared: Any) -> dict[str, tuple[Any, ...]]:
    """The members of a type that tell it from others: `type` and `role` with constant values."""
    found = {}
    for name in ("type", "role"):
        hint = _bare(_members(declared).get(name))
        values = [value for part in _flat(hint) if typing.get_origin(part) is Literal for value in typing.get_args(part)]
        if values:
            found[name] = tuple(values)
    return found


def _by_tag(value: dict[str, Any], choices: list[Any], path: Path) -> list[Any]:
    objects = [choice for choice in choices if typing_extensions.is_typeddict(choice)]
    if not objects:
        return choices
    for tag in ("type", "role"):
        fitting = [o for o in objects if _fits(value, o, tag)]
        if not fitting and tag not in value:
            raise Refused((*path, tag), "missing", "missing")
        if not fitting:
            known = sorted({str(v) for o in objects for v in _tags(o).get(tag, ())})
            raise Refused((*path, tag), f"expected one of {', '.join(map(repr, known))}, got {value.get(tag)!r}", "value")
        objects = fitting
    return objects


def _fits(value: dict[str, Any], declared: Any, tag: str) -> bool:
    values = _tags(declared).get(tag)
    if tag not in value or value[tag] is None:
        return tag not in _required(declared)
    return values is None or value[tag] in values


def _scalar(value: object, declared: Any, path: Path) -> None:
    kinds, name = _SCALARS[declared]
    if not isinstance(value, kinds) or (isinstance(value, bool) and declared is not bool):
        raise Refused(path, f"expected {name}, got {_kind(value)}", "type")


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        type(None): "null",
    }
    return names[type(value)]
