"""JSON Schemas of the protocol's methods and structs."""

import ast
import inspect
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, Literal

import msgspec

from jackfield.api import (
    Blame,
    Cause,
    Continuity,
    Credential,
    Flavour,
    Help,
    LoginStep,
    ModelInfo,
    Operation,
    Outcome,
    Provider,
    QuotaHeaders,
    Request,
    Response,
    Rule,
    Seconds,
)
from jackfield.api.canonical import Delta, FinishReason, Part, Role
from jackfield.cli.json_schema import DIALECT, Schema, Schemas, described_fields, texts_below
from jackfield.rpc import wire, wire_host, wire_objects
from jackfield.rpc.errors import BAD_PARAMS, BUSY, CANCELLED, FAILED, INTERNAL, INVALID, NO_METHOD, NOT_GRANTED, PARSE
from jackfield.rpc.methods import METHODS, Method
from jackfield.rpc.wire import Needs, Pairs

ERRORS: Final = {
    PARSE: "What came is no JSON.",
    INVALID: "What came is no request; or more was sent on a stream than there was credit for.",
    NO_METHOD: "There is no such method. To `response.intercept_stream_chunk.close`: nothing to add.",
    BAD_PARAMS: "The params are not those of the method; or `for` names a request that is over.",
    INTERNAL: "The program that was asked is at fault.",
    FAILED: "A call failed; `data` says how.",
    NOT_GRANTED: "The operator has not granted it.",
    BUSY: "Too many requests at once.",
    CANCELLED: "The request was cancelled.",
}
"""What the codes of errors mean."""

_Info = str | ModelInfo
_REFINED: Final[dict[tuple[type, str], Any]] = {
    (wire.Call, "request"): Request,
    (wire.Attempt, "request"): Request,
    (wire.Attempt, "continuity"): list[Continuity],
    (wire.Reply, "response"): Response,
    (wire.Change, "request"): Request,
    (wire.Change, "response"): Response,
    (wire_host.ModelAsk, "request"): Request,
    (wire.Register, "config"): dict[str, Any],
    (wire.Reconfigure, "config"): dict[str, Any],
    (wire.Registration, "config_schema"): dict[str, Any] | bool | None,
    (wire.Outcome, "explanation"): dict[str, Any] | None,
    (wire_objects.Models, "models"): list[_Info],
    (wire_objects.Providers, "models"): list[tuple[str, _Info]],
    (wire_objects.ProviderDeclared, "models"): list[_Info] | Literal["discover"],
    (wire_objects.ProviderDeclared, "catalogue"): list[ModelInfo],
    (wire_objects.ProviderDeclared, "failures"): list[Rule],
    (wire_objects.ProviderDeclared, "quota"): list[QuotaHeaders],
    (wire_objects.ProviderDeclared, "flavours"): list[Flavour],
    (wire_objects.ProviderDeclared, "continuity"): list[Continuity],
}
"""What the contract says of fields that the host decodes later than the rest."""

_SAID_ELSEWHERE: Final[dict[type, type]] = {
    wire.Outcome: Outcome,
    wire_objects.CredentialAbout: Credential,
    wire_objects.LoginStep: LoginStep,
    wire_objects.ProviderDeclared: Provider,
}
"""Where fields of the same names are described."""
_SAID_OF: Final = {"deadline": "Seconds from now, after which nobody waits for the answer."}
"""What is said of a field wherever it stands."""

_NAMED: Final[dict[str, tuple[Any, str]]] = {
    "Blame": (Blame, "jackfield.api.failure"),
    "Cause": (Cause, "jackfield.api.failure"),
    "Delta": (Delta, "jackfield.api.canonical.stream"),
    "FinishReason": (FinishReason, "jackfield.api.canonical.response"),
    "Help": (Help, "jackfield.api.failure"),
    "Needs": (Needs, "jackfield.rpc.wire"),
    "Operation": (Operation, "jackfield.api.dialect"),
    "Pairs": (Pairs, "jackfield.rpc.wire"),
    "Part": (Part, "jackfield.api.canonical.parts"),
    "Role": (Role, "jackfield.api.canonical.parts"),
}
"""Types that have a name of their own, and where they are."""


class _Schemas(Schemas):
    """Schemas of what stands in messages."""

    def of(self, kind: Any) -> Schema:
        """Return the schema of any type."""
        for name, (named, module) in _NAMED.items():
            if kind == named:
                if name not in self.definitions:
                    self.definitions[name] = {}  # it may hold itself
                    made = super()._any(typing.get_args(kind)) if typing.get_origin(kind) is not Literal else super().of(kind)
                    self.definitions[name] = {"description": _said_in(module)[name], **made}
                return {"$ref": f"{self.refs}{name}"}
        if kind is Seconds:
            self.definitions["Seconds"] = {"description": "Seconds, or a text such as `30s` or `1.5m`.", "type": ["number", "string"]}
            return {"$ref": f"{self.refs}Seconds"}
        return super().of(kind)

    def _any(self, kinds: Iterable[Any]) -> Schema:
        left = [kind for kind in kinds if kind is not msgspec.UnsetType]
        for named in (Delta, Pairs, Part):
            if set(members := typing.get_args(named)) <= set(left):
                left = [named, *(kind for kind in left if kind not in members)]
        made = super()._any(left)
        if all(option.keys() == {"type"} for option in made.get("anyOf", [{}])):
            return {"type": [option["type"] for option in made["anyOf"]]}
        return made

    def _field(self, kind: type, field: msgspec.structs.FieldInfo, hint: Any, description: str | None) -> Schema:
        refined = (_REFINED.get((base, field.name)) for base in kind.__mro__)
        elsewhere = _SAID_ELSEWHERE.get(kind)
        said = description or (described_fields(elsewhere) if elsewhere else {}).get(field.name) or _SAID_OF.get(field.name)
        return super()._field(kind, field, next((made for made in refined if made is not None), hint), said)

    def _name(self, kind: type[msgspec.Struct]) -> str:
        assert kind.__name__ not in self.definitions, f"two structs are named {kind.__name__}"
        return kind.__name__


@cache
def _said_in(module: str) -> dict[str, str]:
    return texts_below(ast.parse(inspect.getsource(sys.modules[module])).body)


class Described(msgspec.Struct, frozen=True):
    """A method, and the schemas of its params and of its result; None for a notification's."""

    method: Method
    params: Schema
    result: Schema | None

    @property
    def empty(self) -> bool:
        """Whether its params may be left out."""
        return not any(field.required for field in msgspec.structs.fields(self.method.params))

    @property
    def kinds(self) -> tuple[str, ...]:
        """How it may be sent: as a request, as a notification."""
        return (self.method.kind, "notification") if self.method.silent else (self.method.kind,)


@cache
def described() -> tuple[Mapping[str, Schema], tuple[Described, ...]]:
    """Return the definitions of all structs, sorted by name, and all methods; references begin with `#/$defs/`."""
    made = _Schemas({})
    methods = tuple(
        Described(method, made.of(method.params), made.of(type(None) if method.result is None else method.result) if asks else None)
        for method in METHODS
        for asks in [method.kind == "request"]
    )
    for kind in (wire.RpcError, Request, Response, Delta):
        made.of(kind)
    return _of_json(dict(sorted(made.definitions.items()))), methods


def _of_json(schema: Any) -> Any:
    """Return a schema whose descriptions speak of JSON."""
    if isinstance(schema, list):
        return [_of_json(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _of_json(value) for key, value in schema.items()}
    if isinstance(said := schema.get("description"), str):
        made["description"] = re.sub(r"\bNone\b", "null", " ".join(said.split()) if "\n\n" not in said else said)
    return made


def method_schemas() -> dict[str, tuple[Schema, Schema | None]]:
    """Return for each method the schemas of its params and of its result, each complete in itself; None for a notification's result."""
    definitions, methods = described()
    return {
        said.method.name: (complete(said.params, definitions), None if said.result is None else complete(said.result, definitions))
        for said in methods
    }


def complete(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return a schema together with the definitions that it needs."""
    needed, waiting = set[str](), list(references(schema))
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed.add(name)
            waiting += references(definitions[name])
    found = {"$defs": {name: definitions[name] for name in sorted(needed)}} if needed else {}
    return {"$schema": DIALECT, **schema, **found}


def references(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(target := schema.get("$ref"), str):
            yield target.removeprefix(Schemas.refs)
        schema = list(schema.values())
    for inner in schema if isinstance(schema, list) else ():
        yield from references(inner)


def pointed(schema: Any, target: str) -> Any:
    """Return a schema whose references are written as `target`, in which `{}` stands for the name."""
    if isinstance(schema, list):
        return [pointed(inner, target) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: pointed(inner, target) for key, inner in schema.items()}
    if isinstance(named := schema.get("$ref"), str) and named.startswith(Schemas.refs):
        made["$ref"] = target.format(named.removeprefix(Schemas.refs))
    return made


def message_schema() -> Schema:
    """Return the schema of any message: which params a method has is told by its name; which result, by the request's."""
    _, methods = described()
    names = {kind: [m.method.name for m in methods if kind in m.kinds] for kind in ("request", "notification")}
    id_ = {"type": ["integer", "string"]}
    asked = {
        kind: {
            "required": ["method", *(["id"] if kind == "request" else [])],
            "properties": {"method": {"enum": listed}, "id": id_ if kind == "request" else False, "result": False, "error": False},
        }
        for kind, listed in names.items()
    }
    answers = {
        other: {"required": ["id", other], "properties": {"method": False, "id": id_, other: made}}
        for other, made in (("result", {}), ("error", {"$ref": f"{Schemas.refs}RpcError"}))
    }
    by_name = [
        {
            "if": {"required": ["method"], "properties": {"method": {"const": m.method.name}}},
            "then": {**({} if m.empty else {"required": ["params"]}), "properties": {"params": m.params}},
        }
        for m in methods
    ]
    return {
        "$schema": DIALECT,
        "title": "A message",
        "description": "One line of the protocol: a request, a notification, or the answer to a request (JSON-RPC 2.0).",
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, "method": {"enum": [m.method.name for m in methods]}},
        "required": ["jsonrpc"],
        "oneOf": [*asked.values(), *answers.values()],
        "allOf": by_name,
    }
