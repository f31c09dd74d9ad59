"""The command `jackfield`: commands of the host, and those that installed plugins add."""

import importlib.metadata
from typing import Final

import click

from jackfield import __version__

GROUP: Final = "jackfield.commands"
"""The entry-point group in which distributions name their commands. The name of an entry point is the command's, and its
help, where it has any, stands after a colon in the extra of the entry point's distribution; nothing is imported to list them."""

_OWN: Final = {
    "serve": ("jackfield.cli.serve:serve", "Start the host."),
    "plugins": ("jackfield.cli.listings:plugins", "List the plugins and what became of them."),
    "models": ("jackfield.cli.models:models", "List the models that can be called."),
    "reload": ("jackfield.cli.running:reload", "Have the host that runs use its configuration as it is now."),
    "rollback": ("jackfield.cli.running:rollback", "Have the host that runs go back to a former configuration."),
    "upgrade": ("jackfield.cli.running:upgrade", "Let new processes serve, with the code that is installed now."),
    "status": ("jackfield.cli.running:status", "Show how the host that runs is."),
    "login": ("jackfield.cli.login:login", "Log in to a provider."),
    "credentials": ("jackfield.cli.running:credentials", "List credentials, switch them off and on, forget why they rest."),
    "log": ("jackfield.cli.running:log", "Change what the host that runs logs."),
    "run": ("jackfield.cli.run:run", "Run a command of a plugin."),
    "check": ("jackfield.cli.check:check", "Check a configuration and name every problem."),
    "translate": ("jackfield.cli.translate:translate", "Translate a body to another dialect."),
    "plugin": ("jackfield.cli.plugin:plugin", "Check a plugin that you write."),
    "schema": ("jackfield.cli.schema:schema", "Print JSON Schemas."),
}


class _Commands(click.Group):
    """Finds commands by name and imports one only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OWN, *sorted(_added().keys() - _OWN.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            target, help_text = _OWN[cmd_name]
            return _Later(cmd_name, importlib.metadata.EntryPoint(cmd_name, target, GROUP), help_text)
        point = _added().get(cmd_name)
        if point is None:
            return None
        owner = point.dist.name if point.dist else "a plugin"
        return _Later(cmd_name, point, f"From {owner}.")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(80)) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class _Later(click.Command):
    """A command whose module is imported when it is invoked or asked for its own help."""

    def __init__(self, name: str, point: importlib.metadata.EntryPoint, help_text: str) -> None:
        super().__init__(name, help=help_text, short_help=help_text, add_help_option=False)
        self._point = point

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object) -> click.Context:
        try:
            command = self._point.load()
        except Exception as fault:
            raise click.ClickException(f"{self._point.value} cannot be imported: {type(fault).__name__}: {fault}") from fault
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{self._point.value} is no click command")
        return command.make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        return ctx.command.invoke(ctx)


def _added() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jackfield")
def main() -> None:
    """A plugin-first host for LLM traffic: any client dialect to any provider."""
