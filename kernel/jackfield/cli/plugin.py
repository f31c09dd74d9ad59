"""`jackfield plugin`: for those who write plugins."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from jackfield.cli.options import json_option

if TYPE_CHECKING:
    from jackfield.api.testing.conformance import Report

CARRIERS: Final = ("host", "rpc", "isolated")
_COLOURS = {"ok": "green", "failed": "red", "skipped": "dim"}


@click.group()
def plugin() -> None:
    """Check a plugin that you write."""


@plugin.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, metavar="PLUGIN...")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="A YAML file with the plugin's settings.")
@click.option("--only", multiple=True, metavar="NAME", help="Make this check alone; * stands for any text. May be repeated.")
@click.option(
    "--carrier",
    "carriers",
    multiple=True,
    type=click.Choice(CARRIERS),
    metavar="NAME",
    help="`host`, `rpc` (over pipes) or `isolated`: how to check it. May be repeated. Default: all ways that there are.",
)
@click.option("--deadline", type=click.FloatRange(min=0.01), default=5.0, help="Seconds for an answer, where the plugin says nothing.")
@click.option("--list", "listing", is_flag=True, help="List the checks.")
@json_option
def check(*, words: tuple[str, ...], config_file: Path | None, listing: bool, as_json: bool, **how: Any) -> None:
    """Check that a plugin does what the contract asks. Exits with 1 when it does not, with 2 when there is nothing to check."""
    from jackfield.api.testing import conformance  # noqa: PLC0415 (it loads a whole host)

    if listing:
        _show_list(conformance.listed(), as_json)
        return
    try:
        section = _section(config_file)
        how["carriers"] = how["carriers"] or CARRIERS
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints in this process is no part of the report
            report = asyncio.run(conformance.check(*words, config=section, **how))
    except conformance.CannotCheck as fault:
        raise click.UsageError(str(fault)) from None
    if as_json:
        shown = {**msgspec.to_builtins(report), "passed": report.passed}
        click.echo(json.dumps(shown, indent=2))
    else:
        _show(report)
    raise SystemExit(not report.passed)


def _section(path: Path | None) -> dict[str, Any] | None:
    """Return the plugin's section of a configuration, as it stands in a file."""
    import yaml  # noqa: PLC0415

    if path is None:
        return None
    try:
        said = yaml.safe_load(path.read_text())
    except OSError as fault:
        raise click.UsageError(f"{path} cannot be read: {fault.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise click.UsageError(f"{path} is no YAML: {' '.join(str(fault).split())}") from None
    if not isinstance(said, dict | None):
        raise click.UsageError(f"{path}: expected the plugin's settings, by name")
    return said or {}


def _show_list(rows: list[tuple[str, str, str]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"check": name, "carrier": carrier, "says": says} for name, carrier, says in rows], indent=2))
        return
    for name, carrier, says in rows:
        click.echo(f"{name} ({carrier}): {says}")


def _show(report: "Report") -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from jackfield.cli.listings import console  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("check", "carrier", "", "ms", ""):
        table.add_column(heading, justify="right" if heading == "ms" else "left", overflow="fold")
    for result in report.results:
        reason = result.message if result.state == "skipped" else ""
        table.add_row(result.check, result.carrier, Text(result.state, _COLOURS[result.state]), f"{result.milliseconds:.0f}", reason)
    out = console()
    out.print(table)
    for result in report.failures:
        out.print(Text.assemble((result.check, "red"), f": {result.message}"), soft_wrap=True)
    skipped = sum(result.state == "skipped" for result in report.results)
    passed = len(report.results) - skipped - len(report.failures)
    out.print(f"{report.plugin}: {passed} passed, {len(report.failures)} failed, {skipped} skipped", soft_wrap=True)
