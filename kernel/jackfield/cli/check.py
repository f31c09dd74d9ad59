"""`jackfield check`: name every problem of a configuration."""

from pathlib import Path

import click

from jackfield.cli.options import config_option, loaded, plugin_option


@click.command()
@config_option
@plugin_option
def check(config_file: Path | None, files: tuple[Path, ...]) -> None:
    """Check a configuration and name every problem. Exits with 1 when there is one."""
    problems = loaded(config_file, files).problems
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)
    click.echo("the configuration is fine")
