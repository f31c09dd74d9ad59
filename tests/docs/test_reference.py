"""The reference names what the code has: each hook, key, option, code and type, no more and no less."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
import types
import typing
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import pytest
import yaml

import jackfield.api
from jackfield import health, settings, transport
from jackfield.api import HOOKS, Cause, Credential, Error, Failure, Headers, Rule, Seconds, Size, classify, failure, hooks
from jackfield.api.units import read_unit
from jackfield.cli.main import main
from jackfield.config import Reader
from tests.docs.markdown import ROOT, document, plain

API, CLI, CONFIG, ERRORS, HOOK_LIST = (document(f"docs/reference/{name}.md") for name in ("api", "cli", "config", "errors", "hooks"))


# ---------------------------------------------------------------------------------------------- hooks


def test_the_hooks_are_listed_as_the_contract_declares_them() -> None:
    rows = []
    for hook in HOOKS.values():
        arguments = ", ".join(inspect.signature(getattr(hooks, hook.name)).parameters)
        wire = ", ".join(f"`{name}`" for name in hook.wire) or "in process only"
        shape = hook.shape + ", reversed" * hook.reversed
        rows.append([f"[`{hook.name}({arguments})`](#{hook.name})", shape, hook.on_error, wire, hook.since])
    assert HOOK_LIST.table("All hooks") == rows


def test_every_hook_has_a_section_in_the_order_of_the_list() -> None:
    assert [title for title in HOOK_LIST.headings if title in HOOKS] == list(HOOKS)


def test_the_shapes_and_options_of_hooks_are_all_explained() -> None:
    assert {row[0] for row in HOOK_LIST.table("Shapes")} == set(typing.get_args(hooks.Shape))
    assert {plain(row[0]) for row in HOOK_LIST.table("Options")} == set(hooks.HookOptions.__struct_fields__)


# --------------------------------------------------------------------------------------------- config


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "All sections": settings.Config,
    "server": settings.Server,
    "server.tls": settings.Tls,
    "limits": settings.Limits,
    "timeouts": settings.Timeouts,
    "timeouts.providers and timeouts.models": settings.SomeTimeouts,
    "proxy": settings.Proxy,
    "hooks": settings.Hooks,
    "access": settings.Access,
    "headers": settings.HeaderPolicy,
    "headers.request and headers.response": settings.HeaderRule,
    "models": settings.Models,
    "scheduler": settings.Schedulers,
    "failures": Rule,
    "credentials": Credential,
    "plugins": settings.PluginSettings,
    "plugins.id.socket": settings.PluginSocket,
    "plugins.id.process": settings.PluginProcess,
    "plugins.id.hooks": settings.HookSettings,
}


def in_words(kind: Any) -> str:
    """Return what the host tells a user that a value should be."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(in_words(part) for part in typing.get_args(kind) if part is not type(None)))
    problems: list[str] = []
    Reader("", problems).read(kind, object(), "key")
    return problems[0].partition("expected ")[2].rpartition(", got")[0] if problems else "anything"


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default if field.default is not msgspec.NODEFAULT else field.default_factory() if callable(field.default_factory) else ...
    return {} if isinstance(made, msgspec.Struct) else list(made) if isinstance(made, tuple) else made


def written(text: str, kind: Any) -> Any:
    """Return the value that a cell of the column `default` stands for."""
    if text in ("none", "required"):
        return None if text == "none" else ...
    unit = next((part for part in (Seconds, Size) if part is kind or part in typing.get_args(kind)), None)
    return read_unit(unit, plain(text)) if unit else yaml.safe_load(plain(text))


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_of_the_configuration_lists_its_keys_with_types_and_defaults(title: str) -> None:
    struct, rows = SECTIONS[title], CONFIG.table(title)
    hints = typing.get_type_hints(struct, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    assert [plain(row[0]) for row in rows] == list(fields)
    for name, kind, default, _ in rows:
        field = fields[plain(name)]
        assert kind.replace("`", "") == in_words(hints[field.name]), name
        assert written(default, hints[field.name]) == default_of(field), name


# ------------------------------------------------------------------------------------------------ cli


def commands() -> Iterator[tuple[str, click.Context]]:
    waiting = [main.make_context("jackfield", [], resilient_parsing=True)]
    while waiting:
        context = waiting.pop(0)
        yield context.command_path, context
        if isinstance(context.command, click.Group):
            for name in context.command.list_commands(context):
                _, found, _ = context.command.resolve_command(context, [name])
                assert found is not None
                waiting.append(found.make_context(name, [], parent=context, resilient_parsing=True))


def test_every_command_has_a_section_and_no_other_is_there() -> None:
    assert sorted(title for title in CLI.headings if title.startswith("jackfield")) == sorted(path for path, _ in commands())


@pytest.mark.parametrize(("path", "context"), list(commands()), ids=[path for path, _ in commands()])
def test_a_command_is_described_with_its_options(path: str, context: click.Context) -> None:
    records = [record for option in context.command.get_params(context) if (record := option.get_help_record(context))]
    assert CLI.table(path) == [[f"`{names}`", said] for names, said in records]
    if path != "jackfield":
        assert context.command.help in CLI.section(path).replace("\n", " ")


# --------------------------------------------------------------------------------------------- errors


def test_the_causes_are_listed_with_their_consequences() -> None:
    rows = []
    for cause in typing.get_args(Cause):
        told = failure(cause, "")
        rows.append([f"`{cause}`", f"`{told.blame}`", f"`{told.help}`", str(told.shown_status)])
    assert [[row[0], *row[2:]] for row in ERRORS.table("Causes")] == rows


def of_status(status: int) -> Failure:
    return classify((), Error(status=status, message=""), Headers(), "")


def test_the_table_of_statuses_is_that_of_the_code() -> None:
    rows = [row for row in ERRORS.section("Causes").strip().split("\n\n")[-1].splitlines()[2:] if row]
    named: dict[int, str] = {}
    for row in rows:
        statuses, cause = (cell.strip() for cell in row.strip("|").split("|"))
        named.update(dict.fromkeys(map(int, re.findall(r"\b\d{3}\b", statuses)), plain(cause)))
    for status in range(300, 600):
        other = "unknown" if 400 <= status < 500 else "upstream"
        assert of_status(status).cause == named.get(status, other), status


def test_the_table_of_what_rests_is_that_of_the_code() -> None:
    rows = {plain(cause): row for row in ERRORS.table("What rests") for cause in row[0].split(", ")}
    assert set(rows) == set(typing.get_args(Cause))
    for cause, (_, length, what, tried) in rows.items():
        kind = health._KINDS.get(cause)
        assert length == "none" if kind is None else read_unit(Seconds, length.replace("min", "m")) == getattr(health._LENGTHS, kind), cause
        assert tried == ("" if kind is None else "no" if cause in health._NOT_PROBED else "yes"), cause
        assert what.startswith("nothing" if kind is None else "the credential"), cause


def codes_in_the_kernel() -> Iterator[str]:
    for path in (path for path in (ROOT / "kernel").rglob("*.py") if "testing" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(getattr(node.value, "value", None), str):
                yield str(node.value.value)
    yield from ("doubled_key", "escaped_key", "invalid_request")
    yield from (code for _, code, _ in transport._EXPLAINED)
    yield from (f"{what}_timeout" for what in ("first_byte", "idle", "total", "client_body"))


def test_the_codes_are_those_that_the_kernel_gives() -> None:
    listed = [plain(row[0]) for title in ("Of the request", "Of access", "Of providers and plugins") for row in ERRORS.table(title)]
    assert sorted(listed) == sorted(set(codes_in_the_kernel()))


# ------------------------------------------------------------------------------------------------ api


TYPES = [title for title in API.headings if title in jackfield.api.__all__]


def attributes_of(kind: Any) -> set[str]:
    """Return the public attributes of a type: fields, slots, methods, and those that its docstring lists."""
    names = {*dir(kind), *getattr(kind, "__annotations__", ()), *re.findall(r"`(\w+)`:", inspect.getdoc(kind) or "")}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_described_with_all_of_its_attributes(name: str) -> None:
    told = re.findall(r"`(\w+)(?:\(.*?\))?`", " ".join(row[0] for row in API.table(name)))
    assert sorted(told) == sorted(attributes_of(getattr(jackfield.api, name)))


def test_every_name_of_the_api_is_listed_once() -> None:
    listed = [name for row in API.table("All names") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(jackfield.api.__all__)


# --------------------------------------------------------------------------------------------- readme


def test_the_readme_lists_the_plugins_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = document("README.md").table("Plugins that come with it")
    assert [row[0] for row in rows] == [f"[{name}](plugins/{name}/README.md)" for name in project["entry-points"]["jackfield.plugins"]]
