"""Within one version of the protocol plugins lose nothing: what was released before is held against what is there now."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest

from jackfield.cli.main import main
from jackfield.cli.rpc_schemas import openrpc
from jackfield.cli.rpc_schemas.changes import breaking_changes
from tests.rpc.protocol import FOLDER, ROOT

Document = dict[str, Any]


def released(root: Path) -> Document | None:
    """Return the protocol of the last release before what is checked out; None where none of them has one."""
    if shutil.which("git") is None or not (root / ".git").exists():
        return None
    tags = git(root, "tag", "--merged", "HEAD", "--sort=-version:refname").stdout.split()
    told = (git(root, "show", f"{tag}:schemas/v1/openrpc.json") for tag in tags)
    return next((json.loads(said.stdout) for said in told if said.returncode == 0), None)


def git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, "-C", str(root), *words], capture_output=True, text=True, check=False)


def test_plugins_of_the_last_release_go_on_working() -> None:
    old = released(ROOT)
    if old is None:
        pytest.skip("no release has the protocol yet, or there is no git to look it up with")
    assert breaking_changes(old, openrpc.document()) == []


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_last_release_is_found(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert released(tmp_path) is None
    for tag, title in (("v1", None), ("v2", "old"), ("v3", "new")):
        if title is not None:
            (tmp_path / "schemas" / "v1").mkdir(parents=True, exist_ok=True)
            (tmp_path / "schemas" / "v1" / "openrpc.json").write_text(json.dumps({"is": title}))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--allow-empty", "-m", tag)
        git(tmp_path, "tag", tag)
        assert released(tmp_path) == (None if title is None else {"is": title})


# ---------------------------------------------------------------------------------------------- what counts as one

CALL, CHANGE, LOG = ("components", "schemas", "Call"), ("components", "schemas", "Change"), ("components", "schemas", "Log")


def at(document: Document, *path: str) -> Any:
    for step in path:
        document = document[step]
    return document


def without(*path: str) -> Callable[[Document], None]:
    return lambda document: at(document, *path[:-1]).pop(path[-1])


def put(value: Any, *path: str) -> Callable[[Document], None]:
    return lambda document: at(document, *path[:-1]).__setitem__(path[-1], value)


def require(name: str, *path: str) -> Callable[[Document], None]:
    return lambda document: at(document, *path).setdefault("required", []).append(name)


def method(name: str, change: Callable[[Document], None]) -> Callable[[Document], None]:
    return lambda document: change(next(method for method in document["methods"] if method["name"] == name))


def no_method(name: str) -> Callable[[Document], None]:
    return lambda document: document["methods"].remove(next(method for method in document["methods"] if method["name"] == name))


BREAKING: dict[str, tuple[Callable[[Document], None], list[str]]] = {
    "a method is gone": (no_method("host.log"), ["host.log: the method is gone"]),
    "another side asks": (
        method("host.log", put("host", "x-asks")),
        ["host.log: is asked by the host now, not by the plugin"],
    ),
    "no notification any more": (method("host.log", put(["request"], "x-kinds")), ["host.log: is no notification any more"]),
    "no stream any more": (
        method("host.http.stream", without("x-opens")),
        ["host.http.stream: opens no stream now, not bytes"],
    ),
    "a field that plugins read is gone": (without(*CALL, "properties", "dialect"), ["Call.dialect: the field is gone"]),
    "a field that plugins write is gone": (without(*CHANGE, "properties", "remove"), ["Change.remove: the field is gone"]),
    "a field that plugins write must be given": (require("remove", *CHANGE), ["Change.remove: must be given now"]),
    "a field that plugins read may be missing": (
        lambda document: at(document, *CALL, "required").remove("dialect"),
        ["Call.dialect: may be missing now"],
    ),
    "a value that plugins write is refused": (
        lambda document: at(document, *LOG, "properties", "level", "enum").remove("debug"),
        ['Log.level: no longer takes "debug"'],
    ),
    "a value that plugins have never read": (
        lambda document: at(document, "components", "schemas", "Outcome", "properties", "status", "enum").append("lost"),
        ['Outcome.status: may be "lost" now'],
    ),
    "null is refused": (put({"type": "string", "default": None}, "components", "schemas", "Authenticated", "properties", "reject"),
                        ["Authenticated.reject: no longer takes null"]),
    "null is read": (put({"type": ["string", "null"]}, *CALL, "properties", "id"), ["Call.id: may be null now"]),
    "another type is written": (
        put({"type": "array", "items": {"type": "integer"}, "default": []}, *CHANGE, "properties", "remove"),
        ["Change.remove[]: no longer takes string"],
    ),
    "another type is read": (put({"type": "string", "default": 0}, *CALL, "properties", "depth"),
                             ["Call.depth: may be string now"]),
    "absence says something else": (put({"type": "integer", "default": 1}, *CALL, "properties", "depth"),
                                    ["Call.depth: its absence says 1 now, not 0"]),
    "a bound": (put({"type": "string", "maxLength": 9}, *LOG, "properties", "message"), ["Log.message: has another maxLength now"]),
    "unknown fields are refused": (put(False, *LOG, "additionalProperties"), ["Log: takes no unknown fields any more"]),
    "a result may be null": (
        method("host.info", put({"type": "null"}, "result", "schema")),
        ["host.info, result: may be null now"],
    ),
    "a kind of delta is gone": (
        lambda document: at(document, "components", "schemas", "Delta", "anyOf").pop(0),
        ["Item.delta: no longer takes object begin"],
    ),
}  # fmt: skip

ADDED: dict[str, Callable[[Document], None]] = {
    "nothing": lambda document: None,
    "a method": lambda document: document["methods"].append({**document["methods"][0], "name": "plugin.new"}),
    "a field to read": put({"type": "string"}, *CALL, "properties", "new"),
    "a field that is always there to read": lambda document: (
        at(document, *CALL, "properties").update(new={"type": "string"}),
        at(document, *CALL, "required").append("new"),
    )[0],
    "a field to write": put({"type": ["string", "null"], "default": None}, *CHANGE, "properties", "new"),
    "a value to write": lambda document: at(document, *LOG, "properties", "level", "enum").append("trace"),
    "any text to write": put({"type": "string", "default": "info"}, *LOG, "properties", "level"),
    "a number where an integer was written": put({"type": "number", "default": 1}, "components", "schemas", "StateAdd", "properties", "n"),
    "an integer where a number was read": put({"type": "integer"}, "components", "schemas", "Shutdown", "properties", "grace"),
    "other words": put("Anything else.", *CALL, "description"),
    "a notification as well": method("host.info", put(["request", "notification"], "x-kinds")),
    "a field need not be written": lambda document: at(document, *LOG, "required").remove("message"),
    "a field is always there": require("depth", *CALL),
}


@pytest.mark.parametrize(("change", "told"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_plugins_is_named(change: Callable[[Document], None], told: list[str]) -> None:
    old = openrpc.document()
    new = copy.deepcopy(old)
    change(new)
    assert breaking_changes(old, new) == told


@pytest.mark.parametrize("change", ADDED.values(), ids=ADDED)
def test_what_is_merely_new_breaks_nothing(change: Callable[[Document], None]) -> None:
    old = openrpc.document()
    new = copy.deepcopy(old)
    change(new)
    assert breaking_changes(old, new) == []


def test_the_command_names_what_breaks(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = click.testing.CliRunner().invoke(main, ["schema", "rpc", *words])
        return result.exit_code, result.output

    assert run("--against", str(FOLDER)) == (0, "")
    old = openrpc.document()
    old["methods"].append({**old["methods"][0], "name": "host.of_old"})
    old["components"]["schemas"]["Call"]["properties"]["age"] = {"type": "integer"}
    (tmp_path / "openrpc.json").write_text(json.dumps(old))
    assert run("--against", str(tmp_path)) == (1, "Call.age: the field is gone\nhost.of_old: the method is gone\n")
    (tmp_path / "openrpc.json").write_text("{")
    code, said = run("--against", str(tmp_path))
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"{tmp_path}: no schemas of the protocol are there: ")
