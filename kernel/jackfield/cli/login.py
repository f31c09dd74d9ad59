"""`jackfield login`: log in to a provider whose accounts are kept here."""

import asyncio
import contextlib
import sys
import threading
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from jackfield.api import CallError, Credential, LoginStep
from jackfield.cli.names import near
from jackfield.cli.options import CANNOT_START, config_option
from jackfield.credentials import Source
from jackfield.host import Jackfield

_APART: Final = 0.5
"""Seconds between two questions whether the person is done."""


@click.command()
@click.argument("provider")
@config_option
@click.option("--no-browser", is_flag=True, help="Open no browser: only print the address.")
@click.option("--device", "flow", flag_value="device", help="Log in with a code that is typed in on any device.")
@click.option("--paste", "flow", flag_value="paste", help="Log in with a browser anywhere, and paste the address at which it ends.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port of this machine to which the browser is sent back.")
def login(provider: str, config_file: Path | None, no_browser: bool, flow: str | None, port: int | None) -> None:
    """Log in to PROVIDER, and keep the account."""
    options = {"provider": provider, "flow": flow, "port": port}
    try:
        asyncio.run(_login(config_file, {name: value for name, value in options.items() if value is not None}, not no_browser))
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None
    except CallError as fault:
        raise SystemExit(f"{provider}: {fault.failure.message}") from None
    except EOFError as fault:
        raise SystemExit(f"{provider}: {fault}") from None
    except KeyboardInterrupt:
        raise SystemExit("cancelled") from None


async def _login(config_file: Path | None, options: Mapping[str, Any], browser: bool) -> None:
    host = Jackfield(config_file, listen=False)
    await host.load()
    try:
        sources = host.generation.sources
        able = {key: s for s in sources if callable(getattr(s.object, "login", None)) for key in getattr(s.object, "providers", ())}
        if (source := able.get(options["provider"])) is None:
            why = "".join(f"\n{problem}" for problem in host.problems)
            raise SystemExit(f"no plugin logs in to {options['provider']!r}{near(options['provider'], able)}{why}")
        if options["provider"] not in host.generation.providers:
            raise SystemExit(f"no plugin has a provider {options['provider']!r}: nothing could use the account")
        if (keeper := next((s for s in (source, *sources) if callable(getattr(s.object, "save", None))), None)) is None:
            raise SystemExit("no plugin keeps credentials: enable one that does (plugins.credential_files)")
        try:
            step = await _done(source.object, options, browser)
        except (CallError, EOFError):
            raise
        except Exception as fault:
            raise SystemExit(f"plugin {source.plugin!r}: {type(fault).__name__}: {fault}") from fault
        await keeper.load()
        for credential in step.credentials:
            click.echo(await _kept(keeper, credential))
        if step.message:
            click.echo(step.message, err=True)
    finally:
        await host.stop(grace=0)


async def _done(source: Any, options: Mapping[str, Any], browser: bool) -> LoginStep:
    """Lead the person through the login, and return its last step."""
    step: LoginStep = await source.login(options)
    over = False
    try:
        _tell(step, browser)
        end, pasted = time.monotonic() + (step.expires_in or 600), _typed() if step.state.get("paste") else None
        while True:
            if pasted is not None and pasted.done():
                step = msgspec.structs.replace(step, state={**step.state, "pasted": pasted.result()})
                pasted = None
            before, step = step, await source.poll(step)
            if step.status == "done":
                over = True
                return step
            if step.status == "failed":
                over = True
                raise SystemExit(f"the login failed: {step.message}")
            if time.monotonic() > end:
                raise SystemExit("nobody logged in within the time that there was; begin again")
            if step.message != before.message:
                click.echo(f"{step.message}; once more:", err=True)
                pasted = _typed()
            await asyncio.sleep(_APART)
    finally:
        if not over and callable(cancel := getattr(source, "cancel", None)):
            await cancel(step)


def _typed() -> "asyncio.Future[str]":
    """Return the next line that is typed in, or an `EOFError` where there will be none. Nothing waits for it at the end."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        text = sys.stdin.readline()
        with contextlib.suppress(RuntimeError):  # the login is over
            loop.call_soon_threadsafe(_settle, line, text)

    threading.Thread(target=read, daemon=True).start()
    return line


def _settle(line: "asyncio.Future[str]", text: str) -> None:
    if line.done():
        return
    if text:
        line.set_result(text.strip())
    else:
        line.set_exception(EOFError("nothing was pasted"))


def _tell(step: LoginStep, browser: bool) -> None:
    if step.message:
        click.echo(step.message)
    if step.url is not None:
        opened = False
        if browser and not step.state.get("paste"):
            with contextlib.suppress(webbrowser.Error):
                opened = webbrowser.open(step.url)
        click.echo(f"{'a browser was opened at' if opened else 'open'} {step.url}")
    if step.code is not None:
        click.echo(f"and type in the code {step.code}")


async def _kept(keeper: Source, credential: Credential) -> str:
    """Have a credential kept, and say what came of it."""
    known = {given.id or given.identity: given for given in keeper.credentials}
    before = next((g for g in known.values() if g.identity == credential.identity), None)
    try:
        await keeper.object.save([credential if before is None else _renewed(before, credential)])  # type: ignore[attr-defined]
    except Exception as fault:
        raise SystemExit(f"logged in, but {keeper.object.name} cannot keep it: {type(fault).__name__}: {fault}") from fault
    name = before.id if before is not None else credential.identity
    return f"{'logged in again' if before is not None else 'logged in'}: {name} ({credential.label})"


def _renewed(before: Credential, fresh: Credential) -> Credential:
    """Return an account that somebody has logged in to again: what the operator said of it stays."""
    said = {name: getattr(fresh, name) for name in ("key", "refresh_token", "expires_at", "refresh_at", "storage")}
    return msgspec.structs.replace(before, **said)
