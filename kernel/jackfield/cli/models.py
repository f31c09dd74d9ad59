"""`jackfield models`: what can be called, who serves it, and what is known of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.table import Table

from jackfield.api import Candidate, ModelInfo, matches_any
from jackfield.api.canonical import parse_suffix
from jackfield.cli.listings import console
from jackfield.cli.options import CANNOT_START, config_option, json_option, overrides, plugin_option
from jackfield.credentials import Account
from jackfield.host import Jackfield
from jackfield.models import Registry, list_of

T = TypeVar("T")

_MOST_LINES: Final = 20
"""Credentials that are named one by one."""
_NOT_LISTED: Final = "the provider lists no such model for it"
_DISABLED: Final = "it is disabled"


@click.group(invoke_without_command=True)
@config_option
@plugin_option
@json_option
@click.pass_context
def models(ctx: click.Context, config_file: Path | None, files: tuple[Path, ...], as_json: bool) -> None:
    """List the models that can be called."""
    if ctx.invoked_subcommand is not None:
        return
    rows = asyncio.run(_with_host(config_file, files, _models))
    if as_json:
        click.echo(json.dumps([{**msgspec.to_builtins(info), **served} for info, served in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "providers", "credentials", "tiers", "context", "output", "modalities", "name"):
        table.add_column(heading, overflow="fold")
    for info, served in rows:
        able, every, tiers = served["credentials"]["able"], served["credentials"]["all"], served["priorities"]
        modes = " > ".join(",".join(kinds) or "?" for kinds in (info.input_modalities, info.output_modalities))
        table.add_row(
            info.id,
            ", ".join(served["providers"]),
            str(every) if able == every else f"{able} of {every}",
            ", ".join(f"{tier}: {count}" for tier, count in tiers.items()) if len(tiers) > 1 else next(iter(tiers)),
            str(info.context or "-"),
            str(info.max_output or "-"),
            modes if modes != "? > ?" else "-",
            info.display_name or "-",
        )
    console().print(table)


@models.command()
@click.argument("model")
@config_option
@plugin_option
@json_option
def show(model: str, config_file: Path | None, files: tuple[Path, ...], as_json: bool) -> None:
    """Show who serves a model, what is known of it, and who says so; and why the others do not serve it."""
    told = asyncio.run(_with_host(config_file, files, partial(_known, model)))
    if as_json and told["served"]:
        click.echo(json.dumps(told, indent=2))
        return
    for line in _lines(told):
        click.echo(line, err=not told["served"])
    if not told["served"]:
        raise SystemExit(f"the model {model!r} does not exist here; `jackfield models` lists what can be called")


def _lines(told: dict[str, Any]) -> Iterator[str]:
    """Yield what `models show` says, line by line."""
    if told["model"] != told["name"]:
        yield f"{told['name']} stands for {told['model']}, the newest model that can be called"
    for _, same in groupby(told["served"], key=lambda row: (row["provider"], row["model"])):
        rows = list(same)
        for row in rows[:_MOST_LINES]:
            tier, health = f", tier {row['priority']}" if row["priority"] else "", f": {row['health']}" if row["health"] != "ok" else ""
            yield f"{row['provider']} ({row['credential']}) as {row['model']}, in {', '.join(row['dialects'])}{tier}{health}"
        if len(rows) > _MOST_LINES:
            yield f"and {len(rows) - _MOST_LINES} more of {rows[0]['provider']}"
        for name, fact in rows[0]["facts"].items():
            yield f"  {name}: {json.dumps(fact['value'])} ({fact['source']})"
        if not rows[0]["facts"]:
            yield "  nothing is known of it: nothing is refused"
    for row in told["others"][:_MOST_LINES]:
        yield f"not {row['provider']} ({row['credential']}): {row['why']}"
    if len(told["others"]) > _MOST_LINES:
        yield f"and {len(told['others']) - _MOST_LINES} others do not"


async def _with_host(config_file: Path | None, files: tuple[Path, ...], ask: Callable[[Jackfield], Awaitable[T]]) -> T:
    try:
        async with Jackfield(config_file, overrides=overrides(files), listen=False) as host:
            return await ask(host)
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None


async def _models(host: Jackfield) -> list[tuple[ModelInfo, dict[str, Any]]]:
    infos, registry = await host.models(), host.generation.models
    return [(info, _served(pool.all)) for info in infos if (pool := registry.resolve(info.id)) is not None]


def _served(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return who serves a model, in figures."""
    tier = {c.credential: c.tier for c in candidates}
    able = {c.credential for c in candidates if c.health == "ok"}
    counted = sorted(Counter(tier.values()).items(), reverse=True)
    return {
        "providers": list(dict.fromkeys(c.provider for c in candidates)),
        "credentials": {"able": len(able), "all": len(tier)},
        "priorities": {str(priority): count for priority, count in counted},
    }


async def _known(name: str, host: Jackfield) -> dict[str, Any]:
    """Return who serves a model, as which of the provider's, and what is known of that; and why the others do not."""
    await host.models()  # so that the lists of providers are in
    registry = host.generation.models
    pool = registry.resolve(name)
    candidates = pool.all if pool is not None else ()
    serving = {candidate.credential for candidate in candidates}
    meant, held = pool.model if pool is not None else name, registry.accounts.items()
    others = [(a.provider.key, a.credential.label, _why_not(registry, a, meant)) for key, a in held if key not in serving]
    given = ((place, c) for place, c in enumerate(host.config.credentials) if c.disabled)
    others += [(c.provider, c.label or f"credentials[{place}]", _DISABLED) for place, c in given]
    served = [_described(registry, candidate) for candidate in candidates]
    if served:  # whose provider has nothing to do with it is not missed
        there = {candidate.provider for candidate in candidates}
        others = [row for row in others if row[0] in there or not row[2].endswith((_NOT_LISTED, _DISABLED))]
    rows = [dict(zip(("provider", "credential", "why"), row, strict=True)) for row in others]
    return {"name": name, "model": meant, "served": served, "others": rows}


def _described(registry: Registry, candidate: Candidate) -> dict[str, Any]:
    provider, facts = candidate.account.provider, dict[str, dict[str, Any]]()
    for source, info in registry.facts(provider, candidate.model):
        for name, value in msgspec.to_builtins(info).items():
            if name not in ("id", "upstream"):
                facts.setdefault(name, {"value": value, "source": source})
    return {
        "provider": candidate.provider,
        "credential": candidate.label,
        "model": candidate.model,
        "priority": candidate.tier,
        "health": candidate.health,
        "dialects": list(registry.knowledge.dialects_of(provider, candidate.model)),
        "facts": facts,
    }


def _why_not(registry: Registry, account: Account, name: str) -> str:
    """Return why an account does not serve a name."""
    base = parse_suffix(name)[0]
    if (alias := registry.aliases.get(base)) is not None:
        whys = [f"{model}: {_why_no_model(registry, account, model)}" for model in alias.models if model not in registry.aliases]
        return whys[0] if whys and base not in _listed(registry, account) else f"models.aliases.{base} leads to others"
    return "an alias of models.aliases replaces the name" if base in registry.replaced else _why_no_model(registry, account, base)


def _why_no_model(registry: Registry, account: Account, name: str) -> str:
    """Return why an account does not serve a name that is no alias of all."""
    key, prefix, (scheme, spelled, rest) = account.provider.key, account.credential.prefix, name.partition("://")
    if spelled and scheme != key:
        return "the name is of another provider"
    model = (rest if spelled else name).removeprefix(f"{key}/")
    plain = model.removeprefix(f"{prefix}/")
    if (why := _kept_from(registry, account, plain)) or plain not in _listed(registry, account):
        waiting = account.provider.models == "discover" and list_of(account) not in registry.lists
        return why or ("the provider's list has not come in" if waiting else _NOT_LISTED)
    if prefix and plain == model and registry.said.force_prefix:
        return f"it serves {prefix}/{plain}: models.force_prefix"
    return "the name is of another provider" if "/" in name else "an alias of its own replaces the name"


def _kept_from(registry: Registry, account: Account, model: str) -> str:
    """Return what keeps an account from a model that it might serve else."""
    held, everywhere = account.credential, registry.said.excluded
    if matches_any(model, held.excluded):
        return "it is among what the credential is excluded from"
    if held.models is not None and not matches_any(model, held.models):
        return "it is not among the credential's `models`"
    return "" if registry.naming.serves(held, model) else f"models.excluded: {', '.join(everywhere)}"


def _listed(registry: Registry, account: Account) -> set[str]:
    """Return the models that are listed for an account, by the names of the list and by the provider's own."""
    told = registry.knowledge.listed(account.provider, registry.lists.get(list_of(account), ()))
    return {name for info in told for name in (info.id, info.upstream) if name} | set(account.credential.models or ())
