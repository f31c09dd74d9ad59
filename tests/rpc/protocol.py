"""Holds messages of the out-of-process protocol against the committed schemas."""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import referencing
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "schemas" / "v1"


@cache
def registry() -> referencing.Registry[Any]:
    """Return all committed schemas, by the URLs of their files."""
    made = {path.as_uri(): json.loads(path.read_text()) for path in FOLDER.rglob("*.json")}
    return referencing.Registry().with_resources((name, DRAFT202012.create_resource(schema)) for name, schema in made.items())


@cache
def validator(path: str) -> jsonschema.Draft202012Validator:
    """Return what checks against one of the files."""
    return jsonschema.Draft202012Validator({"$ref": (FOLDER / path).as_uri()}, registry=registry())


class Messages:
    """Checks the messages of one connection, answers by what they answer."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, Any], str] = {}

    def problem(self, message: Any, sender: str = "") -> str | None:
        """Return what is wrong with a message that `host` or `plugin` sent; answers are looked up only where one of them is named."""
        faults = sorted(validator("message.json").iter_errors(message), key=lambda fault: len(fault.path))
        fault = jsonschema.exceptions.best_match(faults[-1:])
        if fault is not None and (sender == "" or "method" in message):
            self._asked[sender, _key(message)] = str(message.get("method"))
        if fault is not None:
            return self._told(fault)
        if "method" in message:
            self._asked[sender, _key(message)] = message["method"]
        elif sender:
            other = "host" if sender == "plugin" else "plugin"
            method = self._asked.pop((other, _key(message)), None)
            if method is None:
                return "answers nothing that was asked"
            if "result" in message:
                checked = validator(f"methods/{method.removeprefix('$/')}.result.json")
                fault = jsonschema.exceptions.best_match(checked.iter_errors(message["result"]))
        return None if fault is None else self._told(fault)

    @staticmethod
    def _told(fault: jsonschema.exceptions.ValidationError) -> str:
        return f"{fault.json_path}: {fault.message}"


def _key(message: Any) -> Hashable:
    return json.dumps(message.get("id"))


class Checked(Messages):
    """Likewise, but of messages that are alike the first alone: for those who hear many."""

    _seen: ClassVar[set[Hashable]] = set()

    def problem(self, message: Any, sender: str = "") -> str | None:
        if "method" in message:
            method = self._asked[sender, _key(message)] = str(message["method"])
        else:
            method = self._asked.get(("host" if sender == "plugin" else "plugin", _key(message)), "")
        if (seen := (sender, method, shape(message))) in self._seen:
            return None
        self._seen.add(seen)
        return super().problem(message, sender)


_WORDS = frozenset(("type", "role", "cause", "blame", "help", "finish", "operation", "reason", "source", "health", "end", "fidelity"))


def shape(value: Any, key: str = "") -> Hashable:
    """Return what a schema may look at: names and types, and texts of which it may list all."""
    if isinstance(value, dict):
        return tuple((name, shape(inner, name)) for name, inner in sorted(value.items()))
    if isinstance(value, list):
        return tuple(dict.fromkeys(shape(inner, key) for inner in value))
    return value if key in _WORDS and isinstance(value, str) else type(value)
