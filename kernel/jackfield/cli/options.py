"""What several commands share: their options, and loading a host without starting it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from jackfield.config import ConfigError
from jackfield.host import Jackfield, RefusedToStart
from jackfield.plugins import PluginLoadError

config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="The configuration file. Default: jackfield.yaml, if there is one.",
)
plugin_option = click.option(
    "--plugin",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A plugin: a file, or a folder with a manifest. May be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

CANNOT_START = (ConfigError, PluginLoadError, RefusedToStart)
"""What keeps a host from starting; each says why in lines that need no traceback."""


def overrides(files: tuple[Path, ...], host: str | None = None, port: int | None = None) -> dict[str, Any]:
    """Return what command-line options say, as configuration that is merged over the file's."""
    server = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    plugins = {path.stem.replace("-", "_"): {"path": str(path.absolute())} for path in files}
    return {key: value for key, value in (("server", server), ("plugins", plugins)) if value}


def loaded(given: Path | Mapping[str, Any] | None, files: tuple[Path, ...]) -> Jackfield:
    """Return a host that is loaded but not started. Ends the program with the problems where that cannot be done."""
    try:
        host = Jackfield(given, overrides=overrides(files))
        asyncio.run(_load(host))
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None
    return host


async def _load(host: Jackfield) -> None:
    await host.load()
    await let_go(host)


async def let_go(host: Jackfield) -> None:
    """Stop the programs of a host that was loaded to be looked at. What they said of themselves stays."""
    await asyncio.gather(*(plugin.parts.aclose() for plugin in host.plugins))
