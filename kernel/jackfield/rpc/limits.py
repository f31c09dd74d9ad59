"""What a plugin's program may use. Memory and CPU time are watched, because a limit of the system's own on address space breaks the
runtimes of Go and Node, and one on CPU time counts a whole life; open files are the system's to limit (RLIMIT_NOFILE)."""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Final

import msgspec

_PROC: Final = Path("/proc")
_FRESH: Final = 0.9
"""Seconds for which one look at all processes serves everybody who asks."""
_Use = dict[int, tuple[int, float]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may use, with all that it starts; None for as much as there is."""

    memory: int | None = None
    """Bytes of resident memory."""
    cpu: float | None = None
    """Cores."""
    files: int | None = None
    """Open files of its process."""

    def limit_files(self, process: int) -> None:
        """Have the system limit a process that has just been started."""
        if self.files is not None and not _unsupported("files"):
            import resource  # noqa: PLC0415 (there is none on Windows)

            most = min(self.files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # nobody here may have more than the second
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process, resource.RLIMIT_NOFILE, (most, most))

    def unsupported(self) -> list[str]:
        """Return the limits that are set and that this system cannot hold a program to."""
        return [name for name in ("memory", "cpu", "files") if getattr(self, name) is not None and _unsupported(name)]


def _unsupported(name: str) -> bool:
    if name != "files":
        return not (_PROC / "self/stat").exists()
    import resource  # noqa: PLC0415

    return not hasattr(resource, "prlimit")


class Gauge:
    """Watches what one session of processes uses."""

    def __init__(self, session: int, limits: Limits) -> None:
        self._session, self._limits, self._strikes = session, limits, 0
        self._on = (limits.memory is not None or limits.cpu is not None) and not _unsupported("memory")
        self._before, self._then = 0.0, time.monotonic()

    async def over(self) -> str | None:
        """Say which limit was passed twice in a row, if one was. To be asked once a second."""
        if not self._on:
            return None
        at, found = await _census.take()
        memory, used = found.get(self._session, (0, 0.0))
        if (passed := at - self._then) <= 0:
            return None
        cores, self._before, self._then = (used - self._before) / passed, used, at
        over, limits = "", self._limits
        if limits.memory is not None and memory > limits.memory:
            over = f"uses {memory / 2**20:.0f} MiB of memory, process.memory allows {limits.memory / 2**20:.0f}"
        elif limits.cpu is not None and cores > limits.cpu:
            over = f"uses {cores:.1f} cores, process.cpu allows {limits.cpu:g}"
        self._strikes = self._strikes + 1 if over else 0
        return over if self._strikes > 1 else None


class _Census:
    """What every session of processes uses: one look at them all serves everybody."""

    _at, _found = 0.0, _Use()

    async def take(self) -> tuple[float, _Use]:
        """Return the time of the look, and bytes of resident memory and seconds of CPU time so far by session."""
        if time.monotonic() - self._at > _FRESH:
            self._at, self._found = await asyncio.to_thread(_look)
        return self._at, self._found


_census: Final = _Census()


def _look() -> tuple[float, _Use]:
    found, at = _Use(), time.monotonic()
    page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended
            words = (folder / "stat").read_bytes().rpartition(b")")[2].split()  # proc(5): the third field and those after it
            memory, seconds = found.get(session := int(words[3]), (0, 0.0))
            found[session] = memory + int(words[21]) * page, seconds + sum(map(int, words[11:15])) / tick
    return at, found
