"""`jackfield schema`: JSON Schemas of what the host reads and says."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jackfield.cli.options import loaded, plugin_option
from jackfield.config_schema import config_schema


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
