"""The protocol as TypeScript types."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jackfield.cli.json_schema import Schema, Schemas
from jackfield.cli.rpc_schemas.definitions import ERRORS, Described, described

_PLAIN: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null", "array": "Json[]"}
_HEAD: Final = """\
// The out-of-process protocol, version 1: one JSON-RPC 2.0 message a line.
// Made by `jackfield schema rpc --write`; not to be changed by hand.

/** Any JSON value. */
export type Json = any;
"""
_MESSAGES: Final = """\
/** Everything that is sent, by name. */
export interface Methods extends HostMethods, PluginMethods, Notifications {}

export type Params<M extends keyof Methods> = Methods[M]["params"];
export type Result<M extends keyof Methods> = Methods[M] extends { result: infer R } ? R : never;
export type Id = number | string;

export interface RpcRequest<M extends keyof Methods> {
  jsonrpc: "2.0";
  id: Id;
  method: M;
  params: Params<M>;
}
export interface RpcNotification<M extends keyof Methods> {
  jsonrpc: "2.0";
  method: M;
  params: Params<M>;
}
export interface RpcResult<M extends keyof Methods> {
  jsonrpc: "2.0";
  id: Id;
  result: Result<M>;
}
export interface RpcFailure {
  jsonrpc: "2.0";
  id: Id;
  error: RpcError;
}

/** Answers of a plugin, by the methods that it takes part in: what a dispatcher needs. */
export type Handlers = {
  [M in keyof HostMethods]?: (params: Params<M>, id: Id) => Result<M> | Promise<Result<M>>;
};
"""


def declarations() -> str:
    """Return the text of a declaration file."""
    definitions, methods = described()
    parts = [_HEAD, *(_declared(name, made) for name, made in definitions.items()), *_maps(methods), _MESSAGES]
    codes = "".join(f"  /** {says} */\n  | {code}\n" for code, says in ERRORS.items())
    return "\n".join([*parts, f"/** The codes of errors. */\nexport type ErrorCode =\n{codes.rstrip()};\n"])


def _declared(name: str, made: Schema) -> str:
    if "properties" not in made:
        return f"{_comment(made)}export type {name} = {_type(made)};\n"
    return f"{_comment(made)}export interface {name} {{\n{''.join(_members(made))}}}\n"


def _members(made: Schema) -> Iterator[str]:
    needed = made.get("required", ())
    for name, field in made["properties"].items():
        key = name if name.isidentifier() else json.dumps(name)
        yield f"{_comment(field, '  ')}  {key}{'' if name in needed else '?'}: {_type(field)};\n"


def _comment(made: Schema, indent: str = "") -> str:
    default = made.get("default")
    about = [made["description"]] if "description" in made else []
    if default not in (None, "", False, [], {}):
        about.append(f"Default: {json.dumps(default)}.")
    lines = " ".join(about).splitlines()
    if len(lines) < 2:
        return f"{indent}/** {lines[0]} */\n" if lines else ""
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"


def _type(made: Schema) -> str:
    if "$ref" in made:
        return str(made["$ref"].removeprefix(Schemas.refs))
    if "const" in made or "enum" in made:
        return " | ".join(json.dumps(value) for value in made.get("enum", [made.get("const")]))
    if "anyOf" in made:
        return " | ".join(map(_type, made["anyOf"]))
    if isinstance(made.get("type"), list):
        return " | ".join(_PLAIN[name] for name in made["type"])
    if made.get("type") == "object":
        return f"{{ [name: string]: {_type(made.get('additionalProperties', {}))} }}"
    if "prefixItems" in made:
        return f"[{', '.join(map(_type, made['prefixItems']))}]"
    if "items" in made:
        inner = _type(made["items"])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    return _PLAIN[made["type"]] if "type" in made else "Json"


def _maps(methods: tuple[Described, ...]) -> Iterator[str]:
    about: Mapping[str, Any] = {
        "HostMethods": ("What the host asks of a plugin.", "host"),
        "PluginMethods": ("What a plugin asks of the host.", "plugin"),
        "Notifications": ("What either side tells the other, without an answer.", "either"),
    }
    for name, (says, asks) in about.items():
        rows = "".join(
            f"  /** {said.method.says} */\n  {json.dumps(said.method.name)}: "
            f"{{ params: {_type(said.params)}{'' if said.result is None else f'; result: {_type(said.result)}'} }};\n"
            for said in methods
            if said.method.asks == asks
        )
        yield f"/** {says} */\nexport interface {name} {{\n{rows}}}\n"
