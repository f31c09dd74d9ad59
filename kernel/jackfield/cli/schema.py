"""`jackfield schema`: JSON Schemas of what the host reads and says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from jackfield.api import Seconds, Secret, Size
from jackfield.cli.options import loaded, plugin_option
from jackfield.plugins import Plugin
from jackfield.settings import Config, PluginSettings


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


def config_schema(plugins: Sequence[Plugin]) -> dict[str, Any]:
    """Return the schema of the whole file: the host's own part and one section for each plugin.

    Every text may hold `${NAME}`; a value that is no text may be given as such a text, too.
    """
    definitions: dict[str, Any] = {}
    root = _described(Config, "jackfield", definitions)
    kernel = _described(PluginSettings, "plugin", definitions)
    sections: dict[str, Any] = {}
    for plugin in plugins:
        own = _described(plugin.config_type, plugin.id, definitions) if plugin.config_type is not None else {"properties": {}}
        sections[plugin.id] = {
            "type": ["object", "null"],
            "description": own.get("description", f"Settings of the plugin {plugin.id}."),
            "properties": {**kernel["properties"], **own["properties"]},
            "required": own.get("required", []),
            "additionalProperties": False,
        }
    root["properties"]["plugins"] = {
        "type": "object",
        "description": "One section a plugin, and `autoload`: whether installed plugins that no section names are loaded.",
        "properties": {"autoload": {"type": "boolean", "default": True}, **sections},
        "additionalProperties": {"type": ["object", "null"], "properties": kernel["properties"]},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "jackfield.yaml", **root, "$defs": definitions}


def _described(kind: type[msgspec.Struct], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a struct's schema; the structs in it become definitions under the prefix."""
    _, parts = msgspec.json.schema_components([kind], schema_hook=_schema_of, ref_template=f"#/$defs/{prefix}.{{name}}")
    whole = dict(parts)
    own: dict[str, Any] = whole.pop(kind.__name__)
    definitions.update({f"{prefix}.{name}": part for name, part in whole.items()})
    return own


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Seconds:
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "description": "Seconds, or a text such as 30s or 1.5m."}
    if kind is Size:
        return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "description": "Bytes, or a text such as 64KiB."}
    if kind is Secret:
        return {"type": "string", "description": "A secret; best read from the environment: ${NAME}."}
    raise NotImplementedError(kind)
