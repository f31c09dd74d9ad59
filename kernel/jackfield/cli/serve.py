"""`jackfield serve`: start the host and tell how to try it."""

import asyncio
import logging
import logging.handlers
import os
import secrets
import sys
import threading
from pathlib import Path
from typing import Any, Final

import click

from jackfield import config
from jackfield.api import Loss, Request
from jackfield.api.canonical import Message, Text
from jackfield.calls import EVERYTHING
from jackfield.cli.files import First
from jackfield.cli.inheritance import SUPPORTED as INHERITED
from jackfield.cli.inheritance import inherited
from jackfield.cli.options import CANNOT_START, config_option, overrides, plugin_option
from jackfield.cli.process import run_until_signal
from jackfield.host import Jackfield
from jackfield.settings import Config

log = logging.getLogger("jackfield")

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
"""Where many programs look for a proxy, and the host does not."""
_THREADS_MAY_TAKE: Final = 1.0
"""Seconds that each thread still has, once the host has stopped."""
_LONGEST_LINE: Final = 8192
"""Characters of a message in the log."""


@click.command()
@config_option
@click.option("--host", help="The address to listen on. Default: server.host, 127.0.0.1.")
@click.option("--port", type=int, help="The port to listen on; 0 takes a free one. Default: server.port, 8317.")
@plugin_option
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port. Default: server.workers, 1.")
@click.option("--no-watch", is_flag=True, help="Do not reload when the configuration or a plugin's file changes.")
@click.option("--log-file", type=click.Path(path_type=Path), help="Log to this file, and to a new one when it is moved away.")
@click.option("-v", "--verbose", count=True, help="Log each call; twice: everything.")
def serve(config_file: Path | None, files: tuple[Path, ...], log_file: Path | None, verbose: int, **said: Any) -> None:
    """Start the host."""
    handler = _handler(log_file)
    handler.setFormatter(_Naming("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("jackfield").setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    logging.getLogger("jackfield.calls").setLevel(logging.INFO if verbose else logging.WARNING)
    above, told = overrides(files, said["host"], said["port"]), inherited()
    try:
        loaded = config.load(config_file, extra=above)
        count = said["workers"] or loaded.config.server.workers
        if told is None:
            os.environ["JACKFIELD_RUN"] = secrets.token_urlsafe(32)  # the same in all processes that this one starts
        if count > 1 and told is None:
            raise SystemExit(_serve_with_workers(loaded.config, count))
        if told is not None and told.worker is not None and loaded.config.state == Config().state:
            above["state"] = "sqlite"  # workers share what rests, and more
        first = None if said["no_watch"] else First.of(config_file)
        run_until_signal(Jackfield(config_file, overrides=above), _announce, first, told)
    except CANNOT_START as fault:
        raise SystemExit(str(fault)) from None
    _leave_stuck_threads()


def _serve_with_workers(said: Config, count: int) -> int:
    """Watch over processes that serve, until a signal; return the exit code."""
    from jackfield.cli.workers import CannotServe, Workers, listen  # noqa: PLC0415 (one process does without)

    if not INHERITED:
        raise SystemExit("this system does not let processes share a port: serve with one (server.workers)")

    async def run() -> int:
        return await Workers(said, sockets).run()

    try:
        sockets = listen(said, count)
    except CannotServe as fault:
        raise SystemExit(str(fault)) from None
    return asyncio.run(run())


class _Naming(logging.Formatter):
    """Says which plugin a line is from. Whatever stands in it, nobody can write one that looks like another's, or steer a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library calls it so)
        """Return the line, with the plugin's name before what it says."""
        _, named, plugin = record.name.partition("jackfield.plugins.")
        if named:
            record.message = f"plugin {plugin!r}: {record.message}"
        said, over = record.message[:_LONGEST_LINE], len(record.message) - _LONGEST_LINE
        shown = said if said.isprintable() else "".join("\n  " if c == "\n" else c if c.isprintable() else repr(c)[1:-1] for c in said)
        record.message = f"{shown} ... and {over} characters more" if over > 0 else shown
        return super().formatMessage(record)


def _handler(log_file: Path | None) -> logging.Handler:
    try:
        return logging.StreamHandler(sys.stderr) if log_file is None else logging.handlers.WatchedFileHandler(log_file)
    except OSError as fault:
        raise SystemExit(f"cannot write to {log_file}: {fault.strerror or fault} (--log-file)") from None


def _leave_stuck_threads() -> None:
    """End the process where a plugin's thread would keep it for ever: nothing else can end a blocking hook."""
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread() and not thread.daemon]
    for thread in others:
        thread.join(_THREADS_MAY_TAKE)
    if stuck := [thread.name for thread in others if thread.is_alive()]:
        log.warning("threads that do not end are left: %s", ", ".join(stuck))
        logging.shutdown()
        os._exit(0)


def _announce(host: Jackfield) -> None:
    """Say what is there and print a line that can be pasted to try it."""
    for problem in host.problems:
        log.warning("%s", problem)
    if host.config.proxy is None and (name := next(filter(os.environ.get, _PROXIES), None)) is not None:
        log.info("$%s is not used: to go through that proxy, write `proxy: ${%s}`", name, name)
    address = f"http{'s' if host.config.server.tls else ''}://{_shown(host.config.server.host)}:{host.port}"
    click.echo(f"jackfield listens on {address}")
    active = [plugin.id for plugin in host.plugins if plugin.state == "active"]
    click.echo(f"plugins: {', '.join(active) or 'none: nothing is plugged in, so nothing but /healthz is served'}")
    line = curl_line(host, address)
    if line:
        click.echo(f"try it:\n\n  {line}\n")
    sys.stdout.flush()


def _shown(host: str) -> str:
    """Return a host as a URL has it; for all addresses of the machine one that a client can call."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"  # noqa: S104
    return f"[{host}]" if ":" in host else host


def curl_line(host: Jackfield, address: str) -> str | None:
    """Return a command line that gets an answer from the host; None when there is no model or no dialect for one."""
    generation = host.generation
    models = generation.models.listing(EVERYTHING)
    lines = list[tuple[int, str]]()
    for dialect in generation.dialects.values():
        endpoint = next((e for e in dialect.endpoints if e.operation == "generate" and "{" not in e.path), None)
        if endpoint is not None and models:
            said, losses = Request(model=models[0].id, messages=(Message(role="user", parts=(Text(text="Hello!"),)),)), list[Loss]()
            body = dialect.encode_request(said, "generate", losses).decode()
            key = ' -H "Authorization: Bearer $KEY"' if generation.doorkeepers() else ""
            lines.append((len(losses), f"curl {address}{endpoint.path} -H 'Content-Type: application/json'{key} -d '{body}'"))
    return min(lines, key=lambda line: line[0])[1] if lines else None  # the plainest: what needs nothing beside words
