"""What is measured, and what it is measured against: how each server of the benchmark is started."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml

from tests.bench import accounting, traffic
from tests.bench.children import Child, ChildFailed, free_port
from tests.bench.loads import EVENTS, INTERVAL_MS

HERE: Final = Path(__file__).parent
BARE: Final = HERE / "bare_proxy.py"
BARE_SHA256: Final = "828e30fcb316f519d4bf9710e31b2891c2810d79a31421b0dc331a178cc793a6"
"""The hash of the bare proxy's source. Who changes the proxy changes this too, and says why: older figures cannot be compared any more."""

DIRECT: Final = "direct"
BARE_PROXY: Final = "bare"
JACKFIELD: Final = "jackfield"
WITH_PLUGINS: Final = "jackfield+plugins"
KINDS: Final = (DIRECT, BARE_PROXY, JACKFIELD, WITH_PLUGINS)
"""The upstream without anything in between, the bare proxy, Jackfield, and Jackfield with two plugins on every stage."""

OBSERVERS: Final = ("observer_async", "observer_def")
_KEYS: Final = ("sk-up-1-7c1f4e90d2b83a65", "sk-up-2-0e9b6d3f58a7c142", "sk-up-3-b45a82c7190fde36")


class BenchError(Exception):
    """The benchmark cannot be run as it stands; the message says why and what to do."""


class Server:
    """One running server: its process, its port, and the seconds that it took to become ready."""

    def __init__(self, child: Child, port: int, ready_after: float) -> None:
        self.child = child
        self.port = port
        self.ready_after = ready_after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.child.stop()

    def cpu_seconds(self) -> float:
        """Return the CPU time that its process tree has used. Raises `ChildFailed` when it has ended."""
        self.child.check()
        return accounting.cpu_seconds(self.child.pid)

    def memory(self) -> accounting.Memory:
        """Return the memory that its process tree holds. Raises `ChildFailed` when it has ended."""
        self.child.check()
        return accounting.memory(self.child.pid)


class Servers:
    """Starts servers, each on a free port, with its log and its configuration in `folder`.

    `jackfield` is the command of Jackfield, without arguments.
    """

    def __init__(self, folder: Path, jackfield: Sequence[str]) -> None:
        self.folder = folder
        self.jackfield = tuple(jackfield)
        self.upstream_port = 0
        self._count = 0

    def upstream(self) -> Server:
        """Start the upstream, to which all servers started later send their requests."""
        port = free_port()
        server = self._start("upstream", _program("upstream", port), port)
        self.upstream_port = port
        return server

    def start(self, kind: str) -> Server:
        """Start a proxy and wait until it is ready. Raises `ChildFailed`, and `BenchError` for a bare proxy that was changed."""
        port = free_port()
        if kind == BARE_PROXY:
            verify_pin(BARE, BARE_SHA256)
            return self._start(kind, [*_program(BARE.stem, port), "--upstream", f"http://127.0.0.1:{self.upstream_port}"], port)
        return self._start(kind, [*self.jackfield, "serve", "-c", str(self.configuration(kind, port))], port)

    def configuration(self, kind: str, port: int) -> Path:
        """Write the configuration for Jackfield, with or without the observing plugins, and return its path."""
        path = self.folder / f"{kind}-{port}.yaml"
        path.write_text(yaml.safe_dump(configuration(self.upstream_port, port, kind == WITH_PLUGINS)))
        return path

    def verify_observers(self) -> None:
        """Raise `BenchError` unless both observers are called at every stage: their cost would not be measured."""
        path = self.configuration(WITH_PLUGINS, free_port())
        command = [*self.jackfield, "plugins", "--order", "--json", "-c", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise ChildFailed(f"{shlex.join(command)} ended with code {done.returncode}:\n{done.stderr.strip()}")
        missing = absent_observers(json.loads(done.stdout))
        if missing:
            raise BenchError(f"the plugins of the benchmark are not called everywhere: {'; '.join(missing)}")

    def _start(self, name: str, command: Sequence[str], port: int) -> Server:
        self._count += 1
        child = Child(name, command, self.folder / f"{self._count:03d}-{name}.log")
        try:
            return Server(child, port, child.wait_ready(port))
        except BaseException:
            child.stop()
            raise


def _program(module: str, port: int) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.{module}", "--port", str(port)]


def verify_pin(file: Path, expected: str) -> None:
    """Raise `BenchError` when a file is not the one that the benchmark knows, by its SHA-256."""
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != expected:
        raise BenchError(
            f"{file.name} was changed: its sha256 is {found}, the benchmark knows {expected}. "
            "Ratios to another proxy mean nothing beside older ones; if the change is meant, set BARE_SHA256 in servers.py"
        )


def absent_observers(order: dict[str, list[str]]) -> list[str]:
    """Return for each hook of a call which observers are not called, given the plugins of each; the scheduler is one alone."""
    missing = []
    for hook, plugins in order.items():
        due = OBSERVERS[:1] if hook == "pick_credential" else OBSERVERS
        called = plugins[:1] if hook == "pick_credential" else plugins
        missing += [f"{name} at {hook}" for name in due if name not in called]
    return missing


def configuration(upstream_port: int, port: int, observers: bool) -> dict[str, Any]:
    """Return Jackfield's configuration: one API key, one provider, three credentials; usage and time-outs by default."""
    orders = [traffic.ordering_model(events, ms) for events, ms in ((0, 0), (EVENTS, 0), (EVENTS, INTERVAL_MS))]
    provider = {"base_url": f"http://127.0.0.1:{upstream_port}/v1", "models": [traffic.MODEL, *orders]}
    plugins: dict[str, Any] = {
        "api_keys": {"keys": [{"name": "bench", "key": traffic.API_KEY}]},
        "openai": {"providers": {"up": provider}},
        "simulator": {"enabled": False},
    }
    said: dict[str, Any] = {
        "server": {"port": port},
        "plugins": plugins,
        "credentials": [{"provider": "up", "key": key, "label": f"account {n}"} for n, key in enumerate(_KEYS, 1)],
    }
    if observers:
        plugins.update({name: {"path": str(HERE / "observers" / f"{name}.py")} for name in OBSERVERS})
        said["scheduler"] = OBSERVERS[0]
    return said


def installed_jackfield() -> list[str]:
    """Return the command of the Jackfield that is installed beside this Python. Raises `BenchError` when there is none."""
    script = Path(sys.executable).with_name("jackfield")
    if not script.exists():
        raise BenchError(f"no jackfield beside {sys.executable}: install the project first (pip install -e '.[dev]'), or give --jackfield")
    return [str(script)]
