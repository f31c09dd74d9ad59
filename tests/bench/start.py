"""How fast Jackfield starts, what it needs for that, and what its command line imports."""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tests.bench.servers import JACKFIELD, BenchError, Servers

READY_LIMIT: Final = 2.5
"""How many times as long as the import of `aiohttp.web` it may take until Jackfield is ready."""
RSS_LIMIT_MB: Final = 60.0
_IMPORT: Final = "import aiohttp.web"
_DEFAULTS: Final = "jackfield_defaults"


class Start(msgspec.Struct, kw_only=True):
    """What the mode `--start` found. Times in seconds, medians."""

    runs: int
    ready: float
    """From the start of the process until /readyz is answered with 200."""
    imported: float
    """The whole of `python -c 'import aiohttp.web'`."""
    idle_rss_mb: float
    idle_pss_mb: float | None
    help_imports: list[str]
    """What `jackfield --help` imports and should not: aiohttp, plugins."""

    @property
    def ratio(self) -> float:
        """Of the two times."""
        return self.ready / self.imported


def measure(servers: Servers, runs: int, tell: Callable[[str], None]) -> Start:
    """Start Jackfield and import aiohttp in turn. A first round, for the file system's cache, is not counted."""
    ready, imported, memory = [], [], []
    with servers.upstream():
        for run in range(runs + 1):
            tell(f"start, run {run} of {runs}")
            imported.append(_import_time())
            with servers.start(JACKFIELD) as server:
                ready.append(server.ready_after)
                time.sleep(0.5)
                memory.append(server.memory())
    return Start(
        runs=runs,
        ready=statistics.median(ready[1:]),
        imported=statistics.median(imported[1:]),
        idle_rss_mb=statistics.median(m.rss for m in memory[1:]),
        idle_pss_mb=statistics.median(m.pss for m in memory[1:] if m.pss is not None) if memory[0].pss is not None else None,
        help_imports=help_imports(servers.jackfield),
    )


def _import_time() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORT], check=True)
    return time.perf_counter() - began


def help_imports(jackfield: Sequence[str]) -> list[str]:
    """Return which modules of aiohttp and of plugins `jackfield --help` imports. Raises `BenchError` when it does not run."""
    command = [*jackfield, "--help"]
    # The same as `python -X importtime`, for a command that is a script.
    env = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    modules = imported_modules(done.stderr)
    if done.returncode or "jackfield" not in modules:
        raise BenchError(f"{' '.join(command)} (code {done.returncode}) reported {len(modules)} imports:\n{done.stderr[-2000:]}")
    return unwanted(modules, plugin_packages())


def imported_modules(errors: str) -> set[str]:
    """Return the modules that a report of `-X importtime` names (lines `import time: self | cumulative | module`)."""
    lines = (line for line in errors.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def plugin_packages() -> set[str]:
    """Return the packages of all installed plugins."""
    return {point.module.partition(".")[0] for point in importlib.metadata.entry_points(group="jackfield.plugins")}


def unwanted(modules: set[str], plugins: set[str]) -> list[str]:
    """Return those modules that are aiohttp's or a plugin's, sorted."""

    def is_unwanted(module: str) -> bool:
        top = module.partition(".")[0]
        return top == "aiohttp" or top in plugins or (top.startswith("jackfield_") and top != _DEFAULTS)

    return sorted(filter(is_unwanted, modules))
