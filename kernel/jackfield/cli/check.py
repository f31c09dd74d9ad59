"""`jackfield check`: name every problem of a configuration."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click

from jackfield.addresses import is_loopback
from jackfield.api import Principal
from jackfield.api.canonical import parse_suffix
from jackfield.api.canonical.names import alias_of
from jackfield.cli.certificates import Certificates
from jackfield.cli.names import near
from jackfield.cli.options import config_option, let_go, overrides, plugin_option
from jackfield.cli.running import switched_off
from jackfield.config import ConfigError
from jackfield.host import Jackfield, RefusedToStart
from jackfield.models import AUTO, Registry
from jackfield.plugins import PluginLoadError


@click.command()
@config_option
@plugin_option
def check(config_file: Path | None, files: tuple[Path, ...]) -> None:
    """Check a configuration and name every problem. Exits with 1 when there is one."""
    problems = _problems(config_file, files)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)
    click.echo("the configuration is fine")
    if off := switched_off(config_file):
        click.echo(f"switched off in the host that runs: {', '.join(off)}")


def _problems(config_file: Path | None, files: tuple[Path, ...]) -> list[str]:
    """Return all problems: a mistake in the host's own sections does not hide those in the plugins'."""
    try:
        return asyncio.run(_problems_of_plugins(Jackfield(config_file, overrides=overrides(files))))
    except ConfigError as fault:
        if fault.loaded is None:
            return fault.problems
        rest = Jackfield({})
        rest.loaded = fault.loaded
        told = {place for problem in fault.problems for place in _places(problem)}
        # A key may be empty because its variable is not set, a plugin not be found because its section is wrong: once is enough.
        return fault.problems + [line for line in asyncio.run(_problems_of_plugins(rest)) if next(_places(line)) not in told]


def _places(problem: str) -> Iterator[str]:
    """Yield where in the configuration a problem is, and the section of a plugin in which that is."""
    place = problem.partition(": ")[2].partition(": ")[0]
    yield place
    if place.startswith("plugins."):
        yield ".".join(place.split(".")[:2])


async def _problems_of_plugins(host: Jackfield) -> list[str]:
    try:
        await host.load()
    except PluginLoadError as fault:
        found = [line for plugin in host.plugins for problem in plugin.problems for line in problem.splitlines()]
        return found + [line for line in str(fault).splitlines() if line not in found]
    await let_go(host)
    return host.problems + _kept_from_serving(host)


def _kept_from_serving(host: Jackfield) -> list[str]:
    """Return what a host would refuse to start with, or do without."""
    config, generation, found = host.config, host.generation, list[str]()
    if not is_loopback(config.server.host) and not generation.doorkeepers():
        found.append(f"{host.loaded.source}: server.host: others can reach {config.server.host!r}, but nothing asks who calls")
    if config.server.tls is not None:
        try:
            Certificates(config.server.tls, host.loaded.folder)
        except RefusedToStart as fault:
            found.append(f"{host.loaded.source}: {fault}")
    return found + _conflicts(host.loaded.source, generation.models)


def _conflicts(source: str, models: Registry) -> list[str]:
    """Return what is said of models' names that cannot all be meant."""
    found, keys, circles = list[str](), {account.provider.key for account in models.accounts.values()}, list[set[str]]()
    known = [info.id for info in models.listing(Principal(name="local"))]
    # What providers say only when a host asks them is not known here.
    told = all(account.provider.models != "discover" for account in models.accounts.values())
    for name, alias in models.aliases.items():
        if "://" in name:
            found.append(f"{source}: models.aliases.{name}: never found, as '://' stands after a provider's key; choose another name")
        if (circle := _circle(models, name)) is not None and set(circle) not in circles:
            circles.append(set(circle))
            found.append(f"{source}: models.aliases.{name}: leads back to itself ({' > '.join(circle)}); let one of them name a model")
        for model in (model for model in alias.models if told and circle is None and not _served(models, model)):
            found.append(f"{source}: models.aliases.{name}: nobody serves {model!r}{near(model, {*known, *models.aliases} - {name})}")
        for held in (account.credential for account in models.accounts.values() if name in account.credential.aliases):
            if (own := alias_of(held.aliases[name])).models != alias.models:
                says = f"{', '.join(alias.models)} in models.aliases and {', '.join(own.models)} here, which goes first for this credential"
                found.append(f"{held.origin}: aliases.{name}: means {says}; choose another name for one")
    for held in (account.credential for account in models.accounts.values() if account.credential.prefix in keys):
        found.append(f"{held.origin}: prefix: {held.prefix!r} is the key of a provider, which goes first; choose another")
    return found


def _served(models: Registry, name: str) -> bool:
    """Tell whether what an alias means can be called, or is said to be wrong where it stands."""
    plain = parse_suffix(name)[0]
    return plain.startswith(AUTO) or plain in models.aliases or plain in models.replaced or models.resolve(name) is not None


def _circle(models: Registry, name: str) -> list[str] | None:
    """Return the way on which an alias leads back to itself; None where there is none. One may stand for the model of its name."""
    ways = [[name, model] for model in models.aliases[name].models if model != name]
    for way in ways:
        if way[-1] == name:
            return way
        ways += [[*way, model] for model in (models.aliases[way[-1]].models if way[-1] in models.aliases else ()) if model not in way[1:]]
    return None
