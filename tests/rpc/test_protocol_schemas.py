"""The committed description of the protocol is that of the code, and takes what the code takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import jsonschema
import msgspec
import pytest

from jackfield.cli.json_schema import Schema
from jackfield.cli.main import main
from jackfield.cli.rpc_schemas import definitions, files, openrpc
from jackfield.rpc import errors
from jackfield.rpc.methods import METHODS, Method
from tests.rpc.protocol import FOLDER, ROOT, Messages

NO_CONFIG: Schema = {}
REQUESTS = [method for method in METHODS if method.kind == "request"]


@pytest.fixture(scope="module")
def schemas() -> dict[str, tuple[Schema, Schema | None]]:
    return definitions.method_schemas()


def test_the_committed_files_are_those_of_the_code() -> None:
    made = files.files(json.loads((ROOT / "schemas" / "config.json").read_text()))
    assert [path for path, text in made.items() if not (FOLDER / path).is_file() or (FOLDER / path).read_text() != text] == [], (
        "`make schemas`"
    )
    assert files.stale(FOLDER, made) == [], "`make schemas` removes them"


def test_all_files_are_schemas_whose_references_lead_somewhere() -> None:
    for path in FOLDER.rglob("*.json"):
        made = json.loads(path.read_text())
        if path.name != "openrpc.json":
            jsonschema.Draft202012Validator.check_schema(made)
        for target in targets(made):
            file, _, inner = target.partition("#")
            here = made if not file else json.loads((path.parent / file).read_text())
            for step in inner.split("/")[1:]:
                here = here[step]
            assert here, (path, target)


def targets(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (value for key, value in schema.items() if key == "$ref" and isinstance(value, str))
        schema = list(schema.values())
    for inner in schema if isinstance(schema, list) else ():
        yield from targets(inner)


def smallest(schema: Schema, root: Schema) -> Any:
    """Return a value with nothing in it that may be left out."""
    if "$ref" in schema:
        return smallest(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return smallest(schema["anyOf"][0], root)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    name = schema.get("type", "null")
    if name == "object":
        return {key: smallest(schema["properties"][key], root) for key in schema.get("required", ())}
    values: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}
    return values[name if isinstance(name, str) else name[0]]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_least_that_a_schema_takes_is_the_least_that_the_host_takes(method: Method, schemas: dict[str, Any]) -> None:
    for schema, kind in zip(schemas[method.name], (method.params, method.result), strict=True):
        if schema is None or kind is None:
            continue
        valid, value = jsonschema.Draft202012Validator(schema).is_valid, smallest(schema, schema)
        assert valid(value)
        msgspec.convert(value, kind)
        assert valid(value | {"of_a_later_version": 1})
        for key in value:
            less = {name: inner for name, inner in value.items() if name != key}
            assert not valid(less)
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(less, kind)


def test_a_result_that_may_be_null_is_so_in_both() -> None:
    for name, (_, result) in definitions.method_schemas().items():
        method = next(method for method in METHODS if method.name == name)
        if result is not None:
            valid = jsonschema.Draft202012Validator(result).is_valid
            assert valid(None) == (method.result is None or type(None) in getattr(method.result, "__args__", ())), name


def test_fields_are_described_with_what_stands_below_them_wherever_they_come_from() -> None:
    reply = definitions.described()[0]["Reply"]["properties"]
    assert reply["stream"]["description"] == "It is streamed: no body stands here."
    assert "description" in reply["body"]
    assert "default" not in reply["body"]
    assert reply["response"]["$ref"] == "#/$defs/Response"


def test_every_struct_and_method_says_what_it_is() -> None:
    made, methods = definitions.described()
    assert [name for name, schema in made.items() if not schema.get("description", "").strip(" .")] == []
    assert [said.method.name for said in methods if not said.method.says.endswith(".")] == []


def test_all_codes_of_errors_are_explained() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int) and -33000 < value < 0}
    assert codes == definitions.ERRORS.keys()


# -------------------------------------------------------------------------------------------------------- openrpc


def test_the_document_has_what_openrpc_asks_for() -> None:
    made = openrpc.document()
    assert {name for name in made if not name.startswith("x-")} == {"openrpc", "info", "methods", "components"}
    assert made["openrpc"].startswith("1.3.")
    assert {"title", "version"} <= made["info"].keys()
    assert [method["name"] for method in made["methods"]] == [method.name for method in METHODS]
    for method in made["methods"]:
        assert method["paramStructure"] == "by-name"
        for described in [*method["params"], *([method["result"]] if "result" in method else [])]:
            assert {"name", "schema"} <= described.keys() <= {"name", "schema", "required", "description", "summary", "deprecated"}
        assert ("result" in method) == (method["x-kinds"][0] == "request")
    for error in made["components"]["errors"].values():
        assert {name: type(value) for name, value in error.items()} == {"code": int, "message": str}  # it may have no extensions


def test_the_hooks_are_told_from_what_plugins_ask() -> None:
    made = {method["name"]: method for method in openrpc.document()["methods"]}
    assert made["model.route"]["x-hook"] == "route_model"
    assert made["model.route"]["x-asks"] == "host"
    assert made["host.http.stream"]["x-opens"] == "bytes"
    assert made["host.log"]["x-kinds"] == ["request", "notification"]
    assert "x-hook" not in made["host.log"]


# ------------------------------------------------------------------------------------------------------- messages

GOOD: list[Any] = [
    {"jsonrpc": "2.0", "id": 1, "method": "plugin.shutdown", "params": {"grace": 5}},
    {"jsonrpc": "2.0", "id": "a", "method": "host.info"},
    {"jsonrpc": "2.0", "method": "host.log", "params": {"message": "x"}},
    {"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": 1}},
    {"jsonrpc": "2.0", "id": 1, "result": None},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "x", "data": {"cause": "rate", "retry_after": 3}}},
    {"jsonrpc": "2.0", "method": "stream.item", "params": {"stream": "s", "items": [{"delta": {"type": "done"}}]}},
]
BAD: list[Any] = [
    {"id": 1, "method": "host.info"},
    {"jsonrpc": "2.0", "id": 1, "method": "plugin.shutdown"},
    {"jsonrpc": "2.0", "method": "host.info"},
    {"jsonrpc": "2.0", "id": 1, "method": "$/cancel", "params": {"id": 1}},
    {"jsonrpc": "2.0", "id": 1, "method": "no.such"},
    {"jsonrpc": "2.0", "id": 1, "method": "host.log", "params": {"message": 1}},
    {"jsonrpc": "2.0", "id": 1, "result": None, "error": {"code": 1}},
    {"jsonrpc": "2.0", "id": 1, "error": {"message": "x"}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "data": {"cause": "bad luck"}}},
    {"jsonrpc": "2.0", "id": None, "result": 1},
    {"jsonrpc": "2.0", "method": "stream.item", "params": {"stream": "s", "items": [{"delta": {"type": "gone"}}]}},
]


@pytest.mark.parametrize("message", GOOD, ids=json.dumps)
def test_messages_fit(message: Any) -> None:
    assert Messages().problem(message) is None


@pytest.mark.parametrize("message", BAD, ids=json.dumps)
def test_what_is_no_message_does_not_fit(message: Any) -> None:
    assert Messages().problem(message) is not None


def test_an_answer_is_held_against_the_request_that_it_answers() -> None:
    messages = Messages()
    asked = {"jsonrpc": "2.0", "id": 7, "method": "model.route", "params": {"call": {}}}
    assert "is a required property" in str(messages.problem(asked, "host"))
    assert messages.problem({"jsonrpc": "2.0", "id": 7, "result": {"model": 1}}, "plugin") is not None
    assert messages.problem({"jsonrpc": "2.0", "id": 8, "result": {}}, "plugin") == "answers nothing that was asked"


# -------------------------------------------------------------------------------------------------------- writing


def test_files_are_written_whole_and_old_ones_are_removed_but_nobody_elses(tmp_path: Path) -> None:
    made = files.files(NO_CONFIG)
    for path in ("structs/Mine.json", "conversations/x.jsonl", "mine.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("{}")
    files.write(tmp_path, made)
    assert (tmp_path / "structs/Mine.json").exists(), "the folder was not ours before"
    files.write(tmp_path, made)
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {*made, "conversations/x.jsonl", "mine.json"}


def run(*words: str) -> tuple[int, str]:
    result = click.testing.CliRunner().invoke(main, ["schema", "rpc", *words])
    return result.exit_code, result.output


def test_the_command_prints_or_writes_it(tmp_path: Path) -> None:
    code, printed = run()
    assert (code, json.loads(printed)) == (0, openrpc.document())
    assert run("--write", str(tmp_path / "v1"), "--reference", str(tmp_path / "wire.md")) == (0, "")
    for path in ("openrpc.json", "plugin.d.ts", "structs/Call.json", "methods/model.route.result.json"):
        assert (tmp_path / "v1" / path).read_text() == (FOLDER / path).read_text()
    assert (tmp_path / "wire.md").read_text() == (ROOT / "docs" / "reference" / "wire.md").read_text()


@pytest.mark.parametrize("option", ["--write", "--reference"])
def test_what_cannot_be_written_is_told_in_one_line(option: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = run(option, str(tmp_path / "file" / "x"))
    assert (code, said.count("\n")) == (1, 1)
    assert "cannot be written: " in said


# ----------------------------------------------------------------------------------------------------- typescript


def test_the_types_name_every_struct_and_method_once() -> None:
    text = (FOLDER / "plugin.d.ts").read_text()
    for name in definitions.described()[0]:
        assert text.count(f"export interface {name} {{") + text.count(f"export type {name} =") == 1, name
    for method in METHODS:
        assert text.count(f'  "{method.name}": {{ params: {method.params.__name__}') == 1, method.name
    assert '"model.route": { params: OnCall; result: Route | null };' in text
    assert "  for?: number | string | null;" in text
    assert "export type Pairs = [string, string][] | { [name: string]: string | null };" in text
