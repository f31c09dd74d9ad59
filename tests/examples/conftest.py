"""The examples as their users have them: built by their languages' own tools, started by a host from their manifests.

An example whose tools are not here is skipped. What is built stays in `build/examples`, and is built anew when a source is newer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "plugin_examples"
BUILT = ROOT / "build" / "examples"
MANIFEST = "jackfield-plugin.yaml"
PROGRAMS = sorted(path.parent.name for path in EXAMPLES.glob(f"*/{MANIFEST}"))
_CRATES = Path("/usr/share/cargo/registry")
"""Where Debian puts the sources of crates."""
_PATIENCE = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here the time that a first build takes on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_PATIENCE))


class Example:
    """One example, ready to be run."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.id: str = yaml.safe_load((folder / MANIFEST).read_text())["name"]

    def config(self, more: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        """Return a configuration in which a host runs it, with these settings."""
        section = {"path": str(self.folder), "required": True, **settings}
        others = dict(more or {})
        return {**others, "plugins": {**others.pop("plugins", {}), self.id: section}}

    def process(self) -> int:
        """Return the id of its process."""
        (pid,) = [pid for pid in children() if Path(f"/proc/{pid}/cwd").resolve() == self.folder]
        return pid

    def kill(self) -> None:
        """End its process as the system does that has no memory left."""
        os.kill(self.process(), signal.SIGKILL)


def children() -> list[int]:
    """Return the ids of the processes that this one has started."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def tool(name: str) -> str:
    """Return a program by its name; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here, which the example needs")
    return found


def _build_go(folder: Path) -> None:
    cache = {"GOCACHE": str(BUILT / "go-cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    _run([tool("go"), "build"], folder, cache)


def _build_rust(folder: Path) -> None:
    tool("cc")  # links
    command, offline = [tool("cargo"), "build", "--release", "--quiet"], []
    if _CRATES.is_dir():
        offline = ["--offline", "--config", 'source.crates-io.replace-with="debian"', "--config", f'source.debian.directory="{_CRATES}"']
    done = _run(
        [*command, *offline],
        folder,
        {"CARGO_NET_RETRY": "0", "CARGO_HTTP_TIMEOUT": "10", "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0"},
        check=False,
    )
    if done.returncode and not offline:
        pytest.skip(f"serde_json cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def _run(command: list[str], folder: Path, environment: dict[str, str], check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    assert done.returncode == 0 or not check, done.stderr
    return done


def _built(name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder with an example's program and manifest, copied and built if it is older than what it is made of."""
    source, folder = EXAMPLES / name, BUILT / name
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        done = folder / ".built"
        newest = max(path.stat().st_mtime for path in source.rglob("*") if path.is_file())
        if not done.exists() or done.stat().st_mtime < newest:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            for path in (folder, folder / MANIFEST):  # a host runs nothing that others could have written
                path.chmod(path.stat().st_mode & ~0o022)
            build(folder)
            done.touch()
    return folder


_BUILDS: dict[str, Callable[[Path], object]] = {
    "go": _build_go,
    "rust": _build_rust,
    "sh": lambda folder: tool("jq"),
    "node": lambda folder: tool("node"),
    "python": lambda folder: tool("python3"),
}
"""How examples are made ready, by the language at the end of their names."""


@pytest.fixture
def example() -> Callable[[str], Example]:
    """Makes an example ready, by the name of its folder."""
    return lambda name: Example(name, _built(name, _BUILDS[name.rpartition("_")[2]]))
