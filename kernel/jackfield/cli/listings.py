"""`jackfield plugins`: what there is, without starting any of it."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jackfield.api import HOOKS
from jackfield.cli.options import config_option, json_option, loaded, plugin_option
from jackfield.host import Jackfield

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
    for heading in ("plugin", "version", "distribution", "state", "priority", "hooks", "grants", "config"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row["id"], row["version"] or "-", row["distribution"] or row["origin"], row["state"], str(row["priority"]),
            ", ".join(row["hooks"]) or "-", ", ".join(row["grants"]) or "-", row["config"],
        )  # fmt: skip
    out = console()
    out.print(table)
    for row in rows:
        for problem in row["problems"]:
            out.print(Text.assemble(("problem", "yellow"), f": {problem}"), soft_wrap=True)


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
            "state": p.state,
            "hooks": list(p.implementations),
            "priority": p.priority,
            "grants": list(p.grants),
            "config": p.config_path,
            "problems": p.problems + [problem for problem in beside if problem.startswith(f"plugin {p.id!r}: ")],
        }
        for p in host.plugins
    ]
