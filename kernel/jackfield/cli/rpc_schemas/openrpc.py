"""The protocol as an OpenRPC document (https://spec.open-rpc.org, version 1.3)."""

from typing import Any, Final

from jackfield.cli.json_schema import Schema
from jackfield.cli.rpc_schemas.definitions import ERRORS, Described, described, pointed
from jackfield.rpc.wire import SCHEMA_VERSION

FILE: Final = "openrpc.json"
TITLE: Final = "Plugins out of process"
_COMPONENTS: Final = "#/components/schemas/{}"
_ABOUT: Final = """\
JSON-RPC 2.0, one message a line, between the host and a plugin out of process; each of the two asks the other.

`x-asks` says who sends a method: `host`, `plugin` or `either`. `x-kinds` says whether it is sent as a request or as a \
notification. `x-hook` is the hook that it is the wire form of. `x-opens` says what comes on the stream that it opens. \
`x-error-data` is what `data` of errors is. The params of a method are one object; unknown members are ignored by both sides."""


def document() -> dict[str, Any]:
    """Return the document."""
    definitions, methods = described()
    made = {
        "openrpc": "1.3.2",
        "info": {"title": TITLE, "version": f"{SCHEMA_VERSION}.0.0", "description": _ABOUT},
        "methods": [_method(said, definitions[_struct(said)]) for said in methods],
        "components": {
            "schemas": definitions,
            "errors": {f"E{-code}": {"code": code, "message": says} for code, says in ERRORS.items()},
        },
        "x-error-data": {"$ref": "#/$defs/Fault"},
    }
    return pointed(made, _COMPONENTS)  # type: ignore[no-any-return]


def _struct(said: Described) -> str:
    return str(said.method.params.__name__)


def _method(said: Described, params: Schema) -> dict[str, Any]:
    method, needed = said.method, params.get("required", ())
    more = {"x-hook": method.hook, "x-opens": method.opens}
    made = {
        "name": method.name,
        "summary": method.says,
        "tags": [{"name": f"asked by the {method.asks}" if method.asks != "either" else "asked by either"}],
        "paramStructure": "by-name",
        "params": [_descriptor(name, field, name in needed) for name, field in params["properties"].items()],
        "x-params": said.params,
        "x-asks": method.asks,
        "x-kinds": list(said.kinds),
        "x-since": method.since,
        **{key: value for key, value in more.items() if value is not None},
    }
    if said.result is not None:
        made["result"] = {"name": "result", "schema": said.result}
        made["errors"] = [{"$ref": f"#/components/errors/E{-code}"} for code in ERRORS]
    return made


def _descriptor(name: str, field: Schema, required: bool) -> dict[str, Any]:
    plain = {key: value for key, value in field.items() if key != "description"}
    about = {"description": field["description"]} if "description" in field else {}
    return {"name": name, **about, "required": required, "schema": plain}
