"""Commands that speak to a host that runs, over its control socket."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table

from jackfield import config
from jackfield.cli.control import SUPPORTED, NotRunning, ask, socket_path
from jackfield.cli.listings import console
from jackfield.cli.names import near
from jackfield.cli.operating import Refusal, credentials_of, in_words
from jackfield.cli.options import CANNOT_START, config_option, json_option
from jackfield.config import ConfigError
from jackfield.host import Jackfield
from jackfield.settings import Config, Server

_WEEKS: Final = 28 * 86400.0
"""Seconds after which no rest ends that somebody has set an end to."""
port_option = click.option("--port", type=int, help="The port that the host listens on. Default: server.port, 8317.")


def switched_off(config_file: Path | None) -> list[str]:
    """Return what is switched off in the host that runs with a configuration, if one does."""
    try:
        return list(_Host(config_file, None).try_to_ask("status")["off"])
    except (NotRunning, Refusal):
        return []


class _Host:
    """The host that a command is for."""

    def __init__(self, config_file: Path | None, port: int | None) -> None:
        self.config_file, self._port = config_file, port

    def ask(self, what: str, **said: Any) -> Any:
        """Return its answer. Ends the program with one line where there is none, or the host refuses."""
        try:
            return self.try_to_ask(what, **said)
        except (NotRunning, Refusal) as fault:
            raise SystemExit(str(fault)) from None

    def try_to_ask(self, what: str, **said_to_it: Any) -> Any:
        """Return its answer. Raises `NotRunning` where there is no host, `Refusal` where it does not do it."""
        if not SUPPORTED:
            raise NotRunning("this system has no sockets of the kind that commands need to reach a host")
        said = self._said()
        port = said.port if self._port is None else self._port
        path = socket_path(Config(server=said), port)
        if path is None:
            raise NotRunning("the host has no control socket (server.control is empty)")
        if not port and not said.control:
            raise NotRunning("the port of the host is chosen by the system when it starts (server.port is 0); say --port")
        return ask(path, what, **said_to_it)

    def _said(self) -> Server:
        """Return where the configuration has the host: one that is wrong elsewhere keeps nobody from asking what runs."""
        try:
            return config.load(self.config_file).config.server
        except ConfigError as fault:
            server = Server(port=0) if fault.loaded is None else fault.loaded.config.server
            if server.port or server.control or self._port is not None:
                return server
            why = next((problem for problem in fault.problems if ": server" in problem), fault.problems[0])
            raise NotRunning(f"{why}; say --port") from None


def _for_a_host(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that find a host."""

    @config_option
    @port_option
    @wraps(command)
    def found(*context: click.Context, config_file: Path | None, port: int | None, **said: Any) -> Any:
        return command(*context, host=_Host(config_file, port), **said)

    return found


@click.command()
@_for_a_host
@json_option
def reload(host: _Host, as_json: bool) -> None:
    """Have the host that runs use its configuration as it is now."""
    _tell_of_change(host.ask("reload"), as_json)


@click.command()
@_for_a_host
@json_option
def upgrade(host: _Host, as_json: bool) -> None:
    """Let new processes take the calls, with the code that is installed now; those that run finish theirs."""
    told = host.ask("upgrade")
    started, leaving = (", ".join(map(str, told[key])) for key in ("started", "leaving"))
    click.echo(json.dumps(told, indent=2) if as_json else f"serving: {started}; finishing its calls: {leaving}")


@click.command()
@click.argument("number", type=int, required=False)
@_for_a_host
@json_option
def rollback(host: _Host, number: int | None, as_json: bool) -> None:
    """Have the host that runs go back to a former configuration: the one before, or that of generation NUMBER."""
    _tell_of_change(host.ask("rollback", number=number), as_json)


def _tell_of_change(told: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(in_words(told))
    for line in (*told["restart"], *told["problems"]):
        click.echo(line, err=True)


@click.command()
@_for_a_host
@json_option
def status(host: _Host, as_json: bool) -> None:
    """Show how the host that runs is."""
    told = host.ask("status")
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    plugins, kept = told["plugins"], [number for number in told["kept"] if number != told["generation"]]
    former = told["calls_of_former_generations"]
    rows = {
        "host": f"{told['address']}, version {told['version']}, process {told['pid']}, since {_moment(told['since'])}",
        "configuration": f"{told['config']}, generation {told['generation']}",
        "not used": told["invalid"],
        "kept": ", ".join(map(str, kept)),
        "plugins": ", ".join(f"{count} {state}" for state, count in plugins.items() if count),
        "credentials": str(told["credentials"]),
        "switched off": ", ".join(told["off"]),
        "workers": ", ".join(f"{one['pid']} ({one['calls']} calls)" for one in told.get("workers", ())),
        "calls in flight": f"{told['calls']}" + (f", {former} of them with former generations" if former else ""),
    }
    for name, line in ((name, line) for name, value in rows.items() for line in value.splitlines()):
        click.echo(f"{name:<17}{line}")
    for problem in told["problems"]:
        click.echo(f"{'problem':<17}{problem}")


# -------------------------------------------------------------------------------------------- credentials


@click.group(invoke_without_command=True)
@_for_a_host
@json_option
@click.pass_context
def credentials(ctx: click.Context, host: _Host, as_json: bool) -> None:
    """List credentials; switch them off and on, forget why they rest, remove them."""
    if ctx.invoked_subcommand is None:
        _list(host, as_json)


@credentials.command("list")
@_for_a_host
@json_option
def list_(host: _Host, as_json: bool) -> None:
    """List the credentials and how they are. Without a host that runs: those of the configuration."""
    _list(host, as_json)


def _list(host: _Host, as_json: bool) -> None:
    rows = _rows(host)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "provider", "label", "state", "rests", "quota", "in flight", "last used"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row["id"], row["provider"], row["label"] or "-", row["state"], "\n".join(map(_rest, row["resting"])) or "-",
            "\n".join(map(_window, row["quota"])) or "-", str(row["in_flight"]), _moment(row["last_used"]),
        )  # fmt: skip
    console().print(table)


@credentials.command()
@click.argument("name")
@_for_a_host
@json_option
def show(host: _Host, name: str, as_json: bool) -> None:
    """Show all that there is to know of a credential, by its id or label."""
    rows = _rows(host)
    found = [row for row in rows if name in (row["id"], row["label"])]
    if not found:
        raise SystemExit(f"no credential {name!r}{near(name, {row[key] for row in rows for key in ('id', 'label')})}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for row in found:
        click.echo(row["id"])
        plain = {key: value for key, value in row.items() if key not in ("id", "resting", "quota", "expires_at", "refreshed")}
        latency = None if row["latency"] is None else f"{row['latency']:.3f} s"
        plain |= {"latency": latency, "last_used": _moment(row["last_used"]), "expires": _expiry(row)}
        for key, value in plain.items():
            click.echo(f"  {key.replace('_', ' ')}: {'-' if value in (None, '') else value}")
        for rest in row["resting"]:
            click.echo(f"  rests {_rest(rest)}: {rest['message']}")
        for window in row["quota"]:
            click.echo(f"  quota {_window(window)}")


@credentials.command()
@click.argument("name")
@_for_a_host
def disable(host: _Host, name: str) -> None:
    """Switch off a credential (by its id or label) or a provider (by its key). Calls in flight finish."""
    _tell_of_switch(host.ask("switch", name=name, on=False))


@credentials.command()
@click.argument("name")
@_for_a_host
def enable(host: _Host, name: str) -> None:
    """Switch on again what was switched off."""
    _tell_of_switch(host.ask("switch", name=name, on=True))


def _tell_of_switch(told: Mapping[str, Any]) -> None:
    lasts = "" if told["remembered"] else ", until the host is started again (state: sqlite would remember it)"
    click.echo(f"{told['name']} is switched {'on' if told['on'] else 'off'}{lasts}")


@credentials.command()
@click.argument("name", required=False)
@_for_a_host
def reset(host: _Host, name: str | None) -> None:
    """Forget why a credential rests, by its id or label; without one: why all do."""
    count = host.ask("reset", name=name)["reset"]
    click.echo(f"{count or 'no'} credential{'' if count == 1 else 's'} rested, and may be used again" if count else "no credential rested")


@credentials.command()
@click.argument("name")
@_for_a_host
def remove(host: _Host, name: str) -> None:
    """Remove a credential, by its id or label, from where it is kept; not from the configuration or the environment."""
    click.echo(f"{host.ask('remove', name=name)['removed']} is removed")


def _rows(host: _Host) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = host.try_to_ask("credentials")
    except Refusal as fault:
        raise SystemExit(str(fault)) from None
    except NotRunning as fault:
        click.echo(f"{fault}: this is what the configuration says", err=True)
        return asyncio.run(_configured(host.config_file))
    return rows


async def _configured(config_file: Path | None) -> list[dict[str, Any]]:
    try:
        host = Jackfield(config_file, listen=False)
        await host.load()
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None
    try:
        return credentials_of(host)
    finally:
        await host.stop(grace=0)


def _expiry(row: Mapping[str, Any]) -> str:
    """Say when a key expires, and what becomes of it then."""
    if row["expires_at"] is None:
        return "-"
    return f"{_moment(row['expires_at'])}, {'and is refreshed before' if row['refreshed'] else 'and nothing refreshes it'}"


def _rest(row: Mapping[str, Any]) -> str:
    model = {"": "", "*": " (its own limit)"}.get(row["model"], f" for {row['model']}")
    return f"{'refused' if row['cause'] == 'unsupported' else row['cause']}{model} until {_end(row)}"


def _end(row: Mapping[str, Any]) -> str:
    lasts = row["cause"] in ("credential", "account_action") and row["until"] - time.time() > _WEEKS
    return "somebody renews it" if lasts else _moment(row["until"])


def _window(window: Mapping[str, Any]) -> str:
    used = "" if window.get("used") is None else f" {window['used']:.0%} used"
    anew = "" if window.get("resets_at") is None else f", anew {_moment(window['resets_at'])}"
    return f"{window['name']}{used}{anew}"


def _moment(at: float) -> str:
    """Return a Unix time as one reads it: the time of day, with the date when it is another day's."""
    if not at:
        return "-"
    local, today = time.localtime(at), time.localtime()
    return time.strftime("%H:%M:%S" if local[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", local)


# ------------------------------------------------------------------------------------------------- logging


@click.group()
def log() -> None:
    """Change what a host that runs logs."""


@log.command()
@click.argument("level")
@click.argument("part", default="jackfield")
@_for_a_host
def level(host: _Host, level: str, part: str) -> None:
    """Log what is at least of LEVEL (debug, info, warning or error), of one PART of the host or of all of it."""
    told = host.ask("log_level", level=level, name=part)
    click.echo(f"{told['logger']} logs {told['level']}")
