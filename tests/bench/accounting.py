"""What a process and all its descendants have used: CPU time and memory, as Linux tells in /proc (see proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MB: Final = 1 << 20


class Memory(msgspec.Struct, frozen=True):
    """Memory of a process tree in MB (2**20 bytes)."""

    rss: float
    """Resident set size; pages that processes share are counted for each."""
    pss: float | None
    """Proportional set size: shared pages are divided among those who share them. None where the system does not tell."""


def tree(pid: int) -> list[int]:
    """Return a process and its living descendants; empty when it is gone."""
    parents = {found: parent for found in _all() if (parent := _parent(found)) is not None}
    if pid not in parents:
        return []
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process tree has used, in user and in system mode, ended children included.

    Its resolution is the clock tick, usually 10 ms. Raises `ProcessLookupError` when the process is gone.
    """
    members = tree(pid)
    if not members:
        raise ProcessLookupError(pid)
    return sum(_ticks(member) for member in members) / _TICKS


def memory(pid: int) -> Memory:
    """Return the memory that a process tree holds. Raises `ProcessLookupError` when the process is gone."""
    members = tree(pid)
    if not members:
        raise ProcessLookupError(pid)
    rss = [_kilobytes(member, "status", "VmRSS:") or 0 for member in members]
    pss = [_kilobytes(member, "smaps_rollup", "Pss:") for member in members]
    known = [size for size in pss if size is not None]
    return Memory(sum(rss) * 1024 / _MB, sum(known) * 1024 / _MB if len(known) == len(pss) else None)


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third (the state) on; None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the second field, the name, may hold spaces and parentheses


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _ticks(pid: int) -> int:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if fields else 0  # utime, stime, and those of children that were waited for


def _kilobytes(pid: int, file: str, name: str) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
