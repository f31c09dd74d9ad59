"""`jackfield run`: commands of plugins."""

import asyncio
import inspect
from pathlib import Path

import click

from jackfield.api import Command
from jackfield.cli.names import near
from jackfield.cli.options import CANNOT_START, config_option, overrides, plugin_option
from jackfield.host import Jackfield


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@config_option
@plugin_option
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, config_file: Path | None, files: tuple[Path, ...], name: str | None, arguments: tuple[str, ...]) -> None:
    """Run a plugin's command NAME with ARGUMENTS; without a name: list the commands that plugins have."""
    try:
        ctx.exit(asyncio.run(_run(config_file, files, name, arguments)))
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None


async def _run(config_file: Path | None, files: tuple[Path, ...], name: str | None, arguments: tuple[str, ...]) -> int:
    host = Jackfield(config_file, overrides=overrides(files), listen=False)
    await host.load()
    try:
        commands = host.generation.commands
        if name is None:
            for command in sorted(commands.values(), key=lambda command: command.name):
                click.echo(f"{command.name:<20} {command.help}")
            return 0
        if name not in commands:
            raise SystemExit(f"no plugin has a command {name!r}{near(name, commands)}")
        return await _done(commands[name], arguments)
    finally:
        await host.stop(grace=0)


async def _done(command: Command, arguments: tuple[str, ...]) -> int:
    """Run a command in a thread, where it may do as it likes, and return its exit code."""
    try:
        code = await asyncio.to_thread(command.run, arguments)
        return int(await code if inspect.isawaitable(code) else code or 0)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except Exception as fault:
        raise SystemExit(f"the command {command.name!r} failed: {type(fault).__name__}: {fault}") from fault
