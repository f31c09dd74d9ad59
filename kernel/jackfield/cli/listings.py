"""`jackfield plugins`: what there is. Programs are started to learn what they are, and stopped."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jackfield.api import HOOKS
from jackfield.cli.options import config_option, json_option, loaded, plugin_option
from jackfield.host import Jackfield
from jackfield.plugins import Plugin
from jackfield.rpc.process import INHERITED

_WIDTH_OF_FILES: Final = 1000


@click.command()
@config_option
@plugin_option
@click.option("--order", is_flag=True, help="Show for each hook which plugins are called, in order.")
@json_option
def plugins(config_file: Path | None, files: tuple[Path, ...], order: bool, as_json: bool) -> None:
    """List the plugins and what became of them."""
    host = loaded(config_file, files)
    if order:
        _show_order(host, as_json)
        return
    rows = listing(host)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("plugin", "version", "distribution", "carried", "state", "priority", "hooks", "grants", "config"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row["id"], row["version"] or "-", row["distribution"] or row["origin"], row["carried"], row["state"], str(row["priority"]),
            ", ".join(row["hooks"]) or "-", ", ".join(row["grants"]) or "-", row["config"],
        )  # fmt: skip
    out = console()
    out.print(table)
    for row in rows:
        for problem in row["problems"]:
            out.print(Text.assemble(("problem", "yellow"), f": {problem}"), soft_wrap=True)
    for row in rows:
        for hint in row["hints"]:
            out.print(Text.assemble(("hint", "cyan"), f": {hint}"), soft_wrap=True)


def console() -> Console:
    """Return what prints tables: a terminal is as wide as it is, a program or a file that reads them gets each row on one line."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES
    return Console(width=width, markup=False, highlight=False)


def _show_order(host: Jackfield, as_json: bool) -> None:
    order = hook_order(host)
    if as_json:
        click.echo(json.dumps(order, indent=2))
        return
    for name, ids in order.items():
        click.echo(f"{name}: {', '.join(ids) or '-'}")


def hook_order(host: Jackfield) -> dict[str, list[str]]:
    """Return for each hook of a call the plugins that are called, in order; for `pick_credential` the one that is selected first."""
    generation = host.generation
    order: dict[str, list[str]] = {}
    for name in HOOKS:
        if name == "pick_credential":
            chosen = generation.scheduler_for("", "")
            first = [chosen.plugin] if chosen else []
            order[name] = first + sorted(generation.schedulers.keys() - set(first))
        elif name in generation.chains:
            order[name] = [hook.plugin for hook in generation.chains[name]]
    return order


def listing(host: Jackfield) -> list[dict[str, Any]]:
    """Return what there is to say of each plugin, as plain data."""
    beside = host.generation.problems  # what is wrong with a plugin among the others
    return [
        {
            "id": p.id,
            "version": p.version,
            "distribution": p.distribution,
            "origin": p.origin,
            "carried": _carried(p),
            "state": p.state,
            "hooks": list(p.implementations) or _declared(p),
            "priority": p.priority,
            "grants": list(p.grants),
            "config": p.config_path,
            "problems": p.problems + [problem for problem in beside if problem.startswith(f"plugin {p.id!r}: ")],
            "hints": list(_hints(p)),
        }
        for p in host.plugins
    ]


def _carried(plugin: Plugin) -> str:
    """Say what is between the host and a plugin."""
    if plugin.settings.isolate:
        return "isolated"
    if plugin.settings.socket is not None:
        return "socket"
    return "process" if plugin.program is not None else "in process"


def _declared(plugin: Plugin) -> list[str]:
    """Return the hooks that a program which was not started is said to have."""
    methods = plugin.program.hooks if plugin.program is not None and plugin.state == "disabled" else ()
    return list(dict.fromkeys(next((name for name, info in HOOKS.items() if method in info.wire), method) for method in methods))


def _hints(plugin: Plugin) -> Iterator[str]:
    """Yield what could be done about a plugin with which nothing is wrong."""
    if plugin.state == "disabled" and plugin.named is None and not plugin.problems:
        yield f"{plugin.id} is not loaded; to load it, name it in the configuration (plugins.{plugin.id}: {{}})"
    given = plugin.settings.process.env
    for name in plugin.program.wants if plugin.program is not None and plugin.state == "active" else ():
        if name not in given and name not in INHERITED:
            yield f"{plugin.id} would like to have ${name} (plugins.{plugin.id}.process.env: {{{name}: ${{{name}}}}})"
