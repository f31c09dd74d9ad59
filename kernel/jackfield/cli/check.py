"""`jackfield check`: name every problem of a configuration."""

from pathlib import Path

import click

from jackfield.cli.options import config_option, loaded


@click.command()
@config_option
def check(config_file: Path | None) -> None:
    """Check a configuration and name every problem. Exits with 1 when there is one."""
    problems = loaded(config_file, ()).problems
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)
    click.echo("the configuration is fine")
