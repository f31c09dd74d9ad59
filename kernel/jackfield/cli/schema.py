"""`jackfield schema`: JSON Schemas of what the host reads and says."""

import ast
import inspect
import json
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union

import click
import msgspec

from jackfield.api import Seconds, Secret, Size
from jackfield.cli.options import loaded, plugin_option
from jackfield.plugins import Plugin
from jackfield.settings import Config, PluginSettings

Schema = dict[str, Any]

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
_OF_OUR_OWN: Final[dict[type, str]] = {Seconds: "seconds", Size: "size", Secret: "secret"}
_PLAIN: Final[dict[Any, str]] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_BOUNDS: Final = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf",
    "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern",
}  # fmt: skip


@click.group()
def schema() -> None:
    """Print JSON Schemas."""


@schema.command("config")
@click.option("--write", type=click.Path(path_type=Path), help="Write to this file instead of printing.")
@plugin_option
def config_command(write: Path | None, files: tuple[Path, ...]) -> None:
    """Print the schema of the whole configuration file: the host's own part and that of each installed plugin."""
    host = loaded({}, files)
    text = json.dumps(config_schema(host.plugins), indent=2) + "\n"
    if write is None:
        click.echo(text, nl=False)
    else:
        write.write_text(text)


def config_schema(plugins: Sequence[Plugin]) -> Schema:
    """Return the schema of the whole file: the host's own part and one section for each plugin."""
    definitions = dict(_DEFINED)
    kernel = _Schemas("host", definitions)
    root, common = kernel.struct(Config), kernel.struct(PluginSettings)
    sections = {plugin.id: _section(plugin, common, _Schemas(plugin.id, definitions)) for plugin in plugins}
    root["properties"]["plugins"] = {
        "type": ["object", "null"],
        "description": "One section a plugin, and `autoload`: whether installed plugins that no section names are loaded.",
        "properties": {"autoload": {"anyOf": [{"type": "boolean"}, _VARIABLE], "default": True}, **sections},
        "additionalProperties": {"type": ["object", "null"], "properties": common["properties"]},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "jackfield.yaml", **root, "$defs": definitions}


def _section(plugin: Plugin, common: Schema, schemas: "_Schemas") -> Schema:
    """Return the schema of a plugin's section: what the host reads of each, and the plugin's own settings."""
    untyped: Schema = {"properties": {}, "additionalProperties": plugin.state != "active" or _takes_settings(plugin.object)}
    own = schemas.struct(plugin.config_type) if plugin.config_type else untyped
    return {
        "description": f"Settings of the plugin {plugin.id}.",
        **own,
        "type": ["object", "null"] if "required" not in own else "object",
        "properties": {**common["properties"], **own["properties"]},
    }


def _takes_settings(made: object) -> bool:
    return not isinstance(made, ModuleType) and bool(inspect.signature(type(made)).parameters.keys() - {"host"})


class _Schemas:
    """Schemas of types as a configuration file writes them: what is no text may also be read from the environment."""

    def __init__(self, prefix: str, definitions: dict[str, Schema]) -> None:
        self._prefix, self._definitions = prefix, definitions
        self._names: dict[type, str] = {}

    def struct(self, kind: type[msgspec.Struct]) -> Schema:
        """Return a struct's schema; the structs in it become definitions under the prefix."""
        hints, described, fields = typing.get_type_hints(kind, include_extras=True), _described(kind), msgspec.structs.fields(kind)
        made: Schema = {
            "type": "object",
            "description": inspect.cleandoc(kind.__doc__ or kind.__name__),
            "properties": {f.encode_name: self._field(f, hints[f.name], described.get(f.name)) for f in fields},
        }
        if required := [field.encode_name for field in fields if field.required]:
            made["required"] = required
        return {**made, "additionalProperties": not kind.__struct_config__.forbid_unknown_fields}

    def _field(self, field: msgspec.structs.FieldInfo, hint: Any, description: str | None) -> Schema:
        made = dict(self._of(hint))
        default = field.default_factory() if field.default_factory in (list, dict, set) else field.default
        if default is not msgspec.NODEFAULT and not isinstance(default, msgspec.Struct):
            made["default"] = msgspec.to_builtins(default, enc_hook=_as_written)
        return {**made, "description": description} if description else made

    def _of(self, kind: Any) -> Schema:
        base, parts = typing.get_origin(kind) or kind, typing.get_args(kind)
        if base is Annotated:
            return _bounded(self._of(parts[0]), parts[1:])
        if base in (Union, UnionType):
            return self._any(parts)
        if base is Literal:
            return _or_variable({"enum": list(parts)})
        if kind in _OF_OUR_OWN:
            return {"$ref": f"#/$defs/{_OF_OUR_OWN[kind]}"}
        if kind in _PLAIN:
            own = {"type": _PLAIN[kind]}
            return own if kind in (str, NoneType) else _or_variable(own)
        if not isinstance(base, type):  # `Any`
            return {}
        if issubclass(base, msgspec.Struct):
            return {"$ref": f"#/$defs/{self._defined(base)}"}
        if issubclass(base, Mapping):
            return {"type": "object", "additionalProperties": self._of(parts[1])} if parts else {"type": "object"}
        if issubclass(base, Sequence | AbstractSet):
            return {"type": "array", "items": self._any([part for part in parts if part is not ...])} if parts else {"type": "array"}
        return {}

    def _any(self, kinds: Iterable[Any]) -> Schema:
        found = [option for kind in kinds for made in [self._of(kind)] for option in made.get("anyOf", [made])]
        options = [option for at, option in enumerate(found) if option not in found[:at]]
        if {"type": "string"} in options:
            options = [option for option in options if option != _VARIABLE]
        return {"anyOf": options} if len(options) > 1 else options[0]

    def _defined(self, kind: type[msgspec.Struct]) -> str:
        if kind not in self._names:
            short = f"{self._prefix}.{kind.__name__}"
            self._names[kind] = short if short not in self._definitions else f"{self._prefix}.{kind.__module__}.{kind.__qualname__}"
            self._definitions[self._names[kind]] = {}  # a struct may hold itself
            self._definitions[self._names[kind]] = self.struct(kind)
        return self._names[kind]


def _or_variable(own: Schema) -> Schema:
    return {"anyOf": [own, _VARIABLE]}


def _bounded(made: Schema, notes: Iterable[Any]) -> Schema:
    """Return a schema with the bounds that stand beside its type."""
    own, *others = made.get("anyOf", [made])
    for note in (note for note in notes if isinstance(note, msgspec.Meta)):
        bounds = {keyword: getattr(note, name) for name, keyword in _BOUNDS.items() if getattr(note, name) is not None}
        renamed = {"minLength": "minItems", "maxLength": "maxItems"} if own.get("type") == "array" else {}
        own = {**own, **{renamed.get(keyword, keyword): bound for keyword, bound in bounds.items()}, **(note.extra_json_schema or {})}
    if "pattern" in own and not others:
        others = [_VARIABLE]
    return {"anyOf": [own, *others]} if others else own


def _described(kind: type) -> dict[str, str]:
    """Return what a class says of its fields: the text that stands below each."""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, SyntaxError, TypeError):  # made at run time
        return {}
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(getattr(body, "body", ()))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _as_written(value: object) -> object:
    """Return a default as a configuration file would write it."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(value)
    return int(value) if isinstance(value, int) else str(value)
