"""`jackfield schema`: JSON Schemas of what the host reads and says."""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import click
import msgspec

from jackfield.api import Seconds, Secret, Size
from jackfield.cli.json_schema import DIALECT, Schema, Schemas
from jackfield.cli.options import loaded, plugin_option
from jackfield.cli.rpc_schemas import changes, files, markdown, openrpc
from jackfield.plugins import Plugin
from jackfield.rpc.bridge import Bridge
from jackfield.settings import Config, PluginSettings

_NUMBER: Final = r"^\s*[0-9]+(\.[0-9]+)?\s*(%s)?\s*$|\$\{"
_VARIABLE: Final[Schema] = {"$ref": "#/$defs/variable"}
_DEFINED: Final[dict[str, Schema]] = {
    "variable": {"type": "string", "pattern": r"\$\{", "description": "Read from the environment: ${NAME} or ${NAME:-default}."},
    "seconds": {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _NUMBER % r"[mM]?[sS]|[mMhHdD]"}],
        "description": "Seconds, or a text such as 30s or 1.5m.",
    },
    "size": {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _NUMBER % r"[kKmMgG]([iI]?[bB])?|[bB]"}],
        "description": "Bytes, or a text such as 64KiB.",
    },
    "secret": {"type": "string", "description": "A secret; best read from the environment: ${NAME}."},
}
_BESIDE: Final[dict[str, Schema]] = {
    "autoload": {"anyOf": [{"type": "boolean"}, _VARIABLE], "default": True},
    "folder": {
        "type": ["string", "null"],
        "default": None,
        "description": "Where plugins lie that are programs with a manifest: by default `jackfield/plugins` in the folder that the system\n"
        "has for data of a user's programs; '' for none.",
    },
}
_OF_OUR_OWN: Final[dict[type, str]] = {Seconds: "seconds", Size: "size", Secret: "secret"}


@click.group()
def schema() -> None:
    """Print JSON Schemas."""


@schema.command("config")
@click.option("--write", type=click.Path(path_type=Path), help="Write to this file instead of printing.")
@click.option("-c", "--config", "config_file", type=click.Path(path_type=Path), help="Also for the plugins of this configuration file.")
@plugin_option
def config_command(write: Path | None, config_file: Path | None, files: tuple[Path, ...]) -> None:
    """Print the schema of the whole configuration file: the host's own part and that of each installed plugin."""
    host = loaded(config_file or {}, files)
    text = json.dumps(config_schema(host.plugins), indent=2) + "\n"
    if write is None:
        click.echo(text, nl=False)
    else:
        write.write_text(text)


@schema.command("rpc")
@click.option("--write", type=click.Path(path_type=Path), help="Write all schemas and types to this folder.")
@click.option("--reference", type=click.Path(path_type=Path), help="Write a reference for people to this file.")
@click.option("--against", type=click.Path(path_type=Path), help="Name what breaks plugins since the schemas in this folder.")
def rpc_command(write: Path | None, reference: Path | None, against: Path | None) -> None:
    """Print the protocol of plugins out of process as an OpenRPC document."""
    document = openrpc.document()
    if against is not None and (broken := changes.breaking_changes(_earlier(against), document)):
        raise SystemExit("\n".join(broken))
    try:
        if write is not None:
            files.write(write, files.files(config_schema(loaded({}, ()).plugins)))
        if reference is not None:
            files.write(reference.parent, {reference.name: markdown.reference()})
    except OSError as fault:
        raise SystemExit(f"{fault.filename or write or reference}: cannot be written: {fault.strerror or fault}") from None
    if (write, reference, against) == (None, None, None):
        click.echo(files.to_json(document), nl=False)


def _earlier(folder: Path) -> dict[str, Any]:
    try:
        return files.read(folder)
    except (OSError, ValueError) as fault:
        raise SystemExit(f"{folder}: no schemas of the protocol are there: {fault}") from None


def config_schema(plugins: Sequence[Plugin]) -> Schema:
    """Return the schema of the whole file: the host's own part and one section for each plugin."""
    definitions = dict(_DEFINED)
    kernel = _Schemas("host", definitions)
    root, common = kernel.struct(Config), kernel.struct(PluginSettings)
    sections = {plugin.id: _section(plugin, common, _Schemas(plugin.id, definitions)) for plugin in plugins}
    root["properties"]["plugins"] = {
        "type": ["object", "null"],
        "description": "One section a plugin; `autoload`: whether installed plugins that no section names are loaded; and `folder`.",
        "properties": {**_BESIDE, **sections},
        "additionalProperties": {"type": ["object", "null"], "properties": common["properties"]},
    }
    return {"$schema": DIALECT, "title": "jackfield.yaml", **root, "$defs": definitions}


def _section(plugin: Plugin, common: Schema, schemas: "_Schemas") -> Schema:
    """Return the schema of a plugin's section: what the host reads of each, and the plugin's own settings."""
    untyped: Schema = {"properties": {}, "additionalProperties": plugin.state != "active" or _takes_settings(plugin.object)}
    own = schemas.struct(plugin.config_type) if plugin.config_type else untyped | schemas.foreign(_told(plugin))
    return {
        "description": f"Settings of the plugin {plugin.id}.",
        **own,
        "type": ["object", "null"] if "required" not in own else "object",
        "properties": {**common["properties"], **own["properties"]},
    }


def _told(plugin: Plugin) -> Any:
    """Return the schema that a program gave of its settings: when it was asked what it is, else in its manifest."""
    said = plugin.object.config_schema if isinstance(plugin.object, Bridge) else None
    return said or (plugin.program and plugin.program.config_schema)


def _takes_settings(made: object) -> bool:
    return not isinstance(made, ModuleType) and bool(inspect.signature(type(made)).parameters.keys() - {"host"})


class _Schemas(Schemas):
    """Schemas of types as a configuration file writes them: what is no text may also be read from the environment."""

    def __init__(self, prefix: str, definitions: dict[str, Schema]) -> None:
        super().__init__(definitions)
        self._prefix = prefix

    def foreign(self, given: Any) -> Schema:
        """Return a schema that somebody else wrote, fit to stand within this one; nothing for what is none."""
        if not isinstance(given, Mapping):
            return {}
        name = f"{self._prefix}.config"
        made: Schema = _moved({key: value for key, value in given.items() if key not in ("$schema", "$id")}, f"#/$defs/{name}")
        if "$ref" in json.dumps(made):
            self.definitions[name] = made
        return {k: v for k, v in made.items() if k != "$defs"} if isinstance(made.get("properties", {}), dict) else {}

    def of(self, kind: Any) -> Schema:
        """Return the schema of any type."""
        return {"$ref": f"#/$defs/{_OF_OUR_OWN[kind]}"} if kind in _OF_OUR_OWN else super().of(kind)

    def _value(self, own: Schema) -> Schema:
        return own if own.get("type") in ("string", "null") else {"anyOf": [own, _VARIABLE]}

    def _items(self, base: Any, parts: Sequence[Any]) -> Schema:
        return {"type": "array", "items": self._any([part for part in parts if part is not ...])}

    def _any(self, kinds: Iterable[Any]) -> Schema:
        made = super()._any(kinds)
        options = made.get("anyOf", ())
        if {"type": "string"} not in options:
            return made
        options = [option for option in options if option != _VARIABLE]
        return {"anyOf": options} if len(options) > 1 else options[0]

    def _bounded(self, made: Schema, notes: Iterable[Any]) -> Schema:
        bounded = super()._bounded(made, notes)
        return {"anyOf": [bounded, _VARIABLE]} if "pattern" in bounded else bounded

    def _name(self, kind: type[msgspec.Struct]) -> str:
        short = f"{self._prefix}.{kind.__name__}"
        return short if short not in self.definitions else f"{self._prefix}.{kind.__module__}.{kind.__qualname__}"


def _moved(value: Any, to: str) -> Any:
    """Return a schema whose references to itself begin at another place."""
    if isinstance(value, list):
        return [_moved(item, to) for item in value]
    if not isinstance(value, dict):
        return value
    ref = value.get("$ref")
    moved = {"$ref": to + ref[1:]} if isinstance(ref, str) and ref.startswith("#") else {}
    return {key: _moved(item, to) for key, item in value.items()} | moved
