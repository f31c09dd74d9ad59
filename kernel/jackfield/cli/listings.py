"""`jackfield plugins` and `jackfield models`: what there is, without starting any of it."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jackfield.api import HOOKS
from jackfield.cli.options import CANNOT_START, config_option, json_option, loaded, overrides, plugin_option
from jackfield.host import Jackfield

T = TypeVar("T")

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
    console = _console()
    console.print(table)
    for row in rows:
        for problem in row["problems"]:
            console.print(Text.assemble(("problem", "yellow"), f": {problem}"), soft_wrap=True)


def _console() -> Console:
    """A terminal is as wide as it is; a program or a file that reads the table gets each row on one line."""
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


@click.group(invoke_without_command=True)
@config_option
@plugin_option
@json_option
@click.pass_context
def models(ctx: click.Context, config_file: Path | None, files: tuple[Path, ...], as_json: bool) -> None:
    """List the models that can be called."""
    if ctx.invoked_subcommand is not None:
        return
    infos = asyncio.run(_with_host(config_file, files, _models))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(infos), indent=2).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "owner", "context", "name"):
        table.add_column(heading, overflow="fold")
    for info in infos:
        table.add_row(info.id, info.owner or "-", str(info.context or "-"), info.display_name or "-")
    _console().print(table)


@models.command()
@click.argument("model")
@config_option
@plugin_option
@json_option
def show(model: str, config_file: Path | None, files: tuple[Path, ...], as_json: bool) -> None:
    """Show who could serve a model, what is known of it, and who says so."""
    told = asyncio.run(_with_host(config_file, files, partial(_known, model)))
    if told is None:
        raise SystemExit(f"the model {model!r} does not exist here; `jackfield models` lists what can be called")
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for row in told:
        click.echo(f"{row['candidate']} as {row['model']}, in {', '.join(row['dialects'])}")
        for name, fact in row["facts"].items():
            click.echo(f"  {name}: {json.dumps(fact['value'])} ({fact['source']})")
        if not row["facts"]:
            click.echo("  nothing is known of it: nothing is refused")


async def _models(host: Jackfield) -> list[Any]:
    return list(await host.models())


async def _known(model: str, host: Jackfield) -> list[dict[str, Any]] | None:
    """Return what is known of a model, for each upstream's one that it may stand for; None when nobody could serve it."""
    await host.models()  # so that the lists of providers are in
    registry = host.generation.models
    pool = registry.resolve(model, None)
    if pool is None:
        return None
    rows = []
    for candidate in pool.all:
        provider, facts = candidate.account.provider, dict[str, dict[str, Any]]()
        for source, info in registry.facts(provider, candidate.model):
            said = {name: value for name, value in msgspec.to_builtins(info).items() if name not in ("id", "upstream")}
            for name, value in said.items():
                facts.setdefault(name, {"value": value, "source": source})
        who, dialects = f"{candidate.provider} ({candidate.label})", list(provider.dialects_of(candidate.model))
        rows.append({"candidate": who, "model": candidate.model, "dialects": dialects, "facts": facts})
    return rows


async def _with_host(config_file: Path | None, files: tuple[Path, ...], ask: Callable[[Jackfield], Awaitable[T]]) -> T:
    try:
        async with Jackfield(config_file, overrides=overrides(files), listen=False) as host:
            return await ask(host)
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None


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
