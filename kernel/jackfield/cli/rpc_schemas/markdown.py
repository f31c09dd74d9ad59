"""The reference of the protocol, for people."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from jackfield.cli.json_schema import Schema, Schemas
from jackfield.cli.rpc_schemas.definitions import ERRORS, Described, described
from jackfield.rpc import wire, wire_host, wire_objects
from jackfield.rpc.methods import Method

_HEAD: Final = """\
# Wire

The methods of the protocol by which plugins run in processes of their own, and the JSON that goes with them. What is common to
all of them (lines, ids, errors, bodies, needs, streams) is told in [Plugins out of process](../explanation/out-of-process.md).
The same is there for programs under [`schemas/v1`](../../schemas/v1): an OpenRPC document, JSON Schemas, TypeScript types, and
recorded conversations.

This page is made by `make schemas`.
"""
_ASKED: Final[Mapping[str, tuple[str, str]]] = {
    "host": ("What the host asks of a plugin", "Which of these it takes part in, a plugin says in its answer to `plugin.register`."),
    "plugin": ("What a plugin asks of the host", "Each may say with `for` within which request of the host's it is asked."),
    "either": ("What either side tells the other", "Notifications: they have no id and no answer."),
}


def reference() -> str:
    """Return the page."""
    definitions, methods = described()
    own = {name for module in (wire, wire_host, wire_objects) for name in vars(module)}
    parts = [_HEAD, "## All methods\n", _overview(methods)]
    for asks, (title, says) in _ASKED.items():
        parts += [f"## {title}\n", f"{says}\n", *(_method(said) for said in methods if said.method.asks == asks)]
    parts += ["## Errors\n", _errors(), "## Structs\n", "Fields with a default are left out where they hold it, and need not be given.\n"]
    parts += [_struct(name, made) for name, made in definitions.items() if name in own]
    parts += [
        "## Structs of the canonical form\n",
        "Requests, answers and streams in words that no provider owns, and data of providers.\n",
    ]
    parts += [_struct(name, made) for name, made in definitions.items() if name not in own]
    return "\n".join(parts)


def _overview(methods: Iterable[Described]) -> str:
    rows = (f"| [`{said.method.name}`](#{_anchor(_title(said.method))}) | {said.method.asks} | {said.method.says} |" for said in methods)
    return "| method | asked by | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _method(said: Described) -> str:
    method = said.method
    hook = f" The wire form of [`{method.hook}`](hooks.md#{method.hook})." if method.hook else ""
    silent = " May also be sent as a notification." if method.silent else ""
    opens = f" Opens a stream of {method.opens}." if method.opens else ""
    lines = [f"### {_title(method)}\n", f"{method.says}{silent}{opens}{hook}\n", f"- params: {_type(said.params)}"]
    if said.result is not None:
        lines.append(f"- result: {_type(said.result)}")
    return "\n".join([*lines, ""])


def _title(method: Method) -> str:
    return f"`{method.name}` {method.kind}"


def _errors() -> str:
    rows = (f"| `{code}` | {says} |" for code, says in ERRORS.items())
    return "| code | meaning |\n|---|---|\n" + "\n".join(rows) + "\n\n`data` of an error is a [Fault](#fault).\n"


def _struct(name: str, made: Schema) -> str:
    about = f"### {name}\n\n{made['description']}\n"
    if "properties" not in made:
        return f"{about}\n{_type({key: value for key, value in made.items() if key != 'description'})}\n"
    needed, fields = made.get("required", ()), made["properties"].items()
    if not fields:
        return about
    rows = (
        f"| `{key}` | {_cell(_type(field))} | {_default(key in needed, field)} | {_cell(field.get('description', ''))} |"
        for key, field in fields
    )
    return f"{about}\n| field | type | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _default(required: bool, field: Schema) -> str:
    return "required" if required else f"`{json.dumps(field['default'])}`" if "default" in field else "absent"


def _type(made: Schema) -> str:
    if "$ref" in made:
        name = made["$ref"].removeprefix(Schemas.refs)
        return f"[{name}](#{_anchor(name)})"
    if "const" in made or "enum" in made:
        return " or ".join(f"`{json.dumps(value)}`" for value in made.get("enum", [made.get("const")]))
    return " or ".join(_kinds(made))


def _kinds(made: Schema) -> Iterator[str]:
    if "anyOf" in made:
        yield from map(_type, made["anyOf"])
    elif isinstance(kinds := made.get("type"), list):
        yield from kinds
    elif "prefixItems" in made:
        yield f"[{', '.join(map(_type, made['prefixItems']))}]"
    elif "items" in made:
        yield f"list of {_type(made['items'])}"
    elif made.get("type") == "object" and isinstance(made.get("additionalProperties"), dict):
        yield f"object of {_type(made['additionalProperties'])}"
    else:
        yield str(made.get("type", "any JSON"))


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
