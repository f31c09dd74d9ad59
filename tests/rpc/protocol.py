"""Holds messages of the out-of-process protocol against the committed schemas."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

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
        if fault is not None:
            return self._told(fault)
        if "method" in message:
            self._asked[sender, message.get("id")] = message["method"]
        elif sender:
            other = "host" if sender == "plugin" else "plugin"
            method = self._asked.pop((other, message["id"]), None)
            if method is None:
                return "answers nothing that was asked"
            if "result" in message:
                checked = validator(f"methods/{method.removeprefix('$/')}.result.json")
                fault = jsonschema.exceptions.best_match(checked.iter_errors(message["result"]))
        return None if fault is None else self._told(fault)

    @staticmethod
    def _told(fault: jsonschema.exceptions.ValidationError) -> str:
        return f"{fault.json_path}: {fault.message}"
