"""Command-line clients as their users run them, before a host and a provider behind it that is as strict as its original.

    async def test_something(cli, behind):
        async with behind("gemini.generate", "claude-opus-5-5", Scenario(text="Hi")) as (url, provider):
            done = await cli("claude").run("-p", "Hello", ANTHROPIC_BASE_URL=url, ...)

The clients are looked for where `JACKFIELD_CLIS` says, else in build/clis; `tests/clis/install` puts them there. Without one its
tests are skipped. A client gets a home folder of its own, of the environment only what it needs, and a proxy that leads nowhere
for everything that is not on this machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.upstreams.server import Script, Upstream, upstream

WAIT = 60.0
"""Seconds that a run of a client may take."""
ROOT = Path(__file__).resolve().parents[2]
KEY = "key-of-the-upstream"

UPSTREAMS = {
    "openai.chat": "acme-large",
    "openai.responses": "gpt-5.5",
    "anthropic.messages": "claude-opus-5-5",
    "gemini.generate": "gemini-3.8-flash",
}
"""The dialects of providers, each with the name of a model."""
DIRECT = "direct"
"""In place of a dialect: the client before the provider of its own dialect, without a host. What fails here is no fault of the host."""
WAYS = [DIRECT, *UPSTREAMS]


@dataclass
class Done:
    """What became of a run."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out[-4000:]}\n{self.err[-4000:]}"


class Running:
    """A client at work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def done(self) -> Done:
        """Wait for its end."""
        async with asyncio.timeout(WAIT):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Done(self.process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class Cli:
    """One client, with a home and a working folder of its own."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.home, self.work, self.temporary = program, folder / "home", folder / "work", folder / "temporary"
        for made in (self.home, self.work, self.temporary):
            made.mkdir()

    @asynccontextmanager
    async def running(self, *arguments: str, **environment: str) -> AsyncIterator[Running]:
        """Start it, and end it with the block."""
        process = await asyncio.create_subprocess_exec(
            str(self.program), *arguments, cwd=self.work, env={**self._environment(), **environment}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        running = Running(process)
        try:
            yield running
        finally:
            running.kill()
            await process.communicate()

    async def run(self, *arguments: str, **environment: str) -> Done:
        """Run it to its end."""
        async with self.running(*arguments, **environment) as running:
            return await running.done()

    def _environment(self) -> dict[str, str]:
        nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
        local = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return {
            "PATH": f"{node().parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            **nowhere,
            **local,
        }


def installed() -> Path:
    """Return the folder that the clients are installed in."""
    return Path(os.environ.get("JACKFIELD_CLIS") or ROOT / "build" / "clis")


def node() -> Path:
    """Return the program Node; skips the test where there is none, or one that is too old for the clients."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not here")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=WAIT).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"Node {version} is too old for the clients, which need 20")
    return Path(program)


@pytest.fixture
def cli(tmp_path: Path) -> Callable[[str], Cli]:
    """Makes a client by the name of its program; skips the test where it is not installed."""

    def made(name: str) -> Cli:
        program = installed() / "node_modules" / ".bin" / name
        node()
        if not program.exists():
            pytest.skip(f"{name} is not installed (tests/clis/install does it; JACKFIELD_CLIS names its folder)")
        return Cli(program, tmp_path)

    return made


@asynccontextmanager
async def _behind(
    way: str, model: str, *scripts: Script, own: str = "", served: str = "", **options: Any
) -> AsyncIterator[tuple[str, Upstream]]:
    dialect = own if way == DIRECT else way
    if dialect == "openai.chat":
        options.setdefault("reasoning", "reasoning_content")
    async with AsyncExitStack() as parts:
        provider = await parts.enter_async_context(upstream(dialect, *scripts, **options))
        if way == DIRECT:
            yield provider.url, provider
            return
        host = await parts.enter_async_context(Harness(config=configured(dialect, provider.url, model, served or UPSTREAMS[dialect], own)))
        yield host.url, provider


def configured(dialect: str, url: str, model: str, served: str, client: str) -> dict[str, Any]:
    """Return the configuration of a host that serves a provider's model by the name that the client has for it."""
    if dialect == "openai.responses" and client != "openai.chat":
        provider, section = "openai", {"openai": {"base_url": f"{url}/v1"}}
    elif dialect.startswith("openai."):  # OpenAI itself speaks with clients of either dialect in theirs
        acme = {"base_url": f"{url}/v1", "models": [served], "dialects": [dialect]}
        provider, section = "acme", {"openai": {"providers": {"acme": acme}}}
    elif dialect == "anthropic.messages":
        provider, section = "anthropic", {"anthropic": {"base_url": url}}
    else:
        provider, section = "gemini", {"gemini": {"base_url": f"{url}/v1beta"}}
    return {
        "plugins": {**section, "simulator": {"enabled": False}},
        "credentials": [{"provider": provider, "key": KEY}],
        "attempts": {"wait": 0},  # what a client is told and does is to be seen, not what the host does about it
        "models": {"aliases": {} if model == served else {model: f"{provider}://{served}"}},
    }


def merged(one: Any, other: Any) -> Any:
    """Return a configuration that has what two have."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: merged(one[name], other[name]) if name in one and name in other else (one | other)[name] for name in {**one, **other}}
    return [*one, *other] if isinstance(one, list) else other


Behind = Callable[..., AbstractAsyncContextManager[tuple[str, Upstream]]]


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Runs a provider of a dialect and a host before it; gives the host's URL and the provider.

    The second argument is the name that the client gives the model. `DIRECT` as dialect is no host, `own` says then what the client
    speaks; `served` is the provider's name of the model, where it is not that of `UPSTREAMS`.
    """
    for name in list(os.environ):
        if (
            name.startswith(("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_"))
            or name.upper().endswith("_PROXY")
            or name == "JACKFIELD_CONFIG"
        ):
            monkeypatch.delenv(name)
    return _behind
