"""The state store in one SQLite file: for values that survive a restart, and for several processes on one machine.

SQLite blocks, so a thread of the store's own does all of it (`worker`); this side only asks and waits.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec

from jackfield.api import StateStore

if TYPE_CHECKING:
    from jackfield_sqlite.worker import Job


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The settings beside `kind`."""

    path: str = ""
    """The file; `~` is the home folder. Where it is empty: `jackfield/state.db` in $XDG_STATE_HOME, else in `~/.local/state`."""


class SqliteStore:
    """The store. Its thread and its file are there from the first operation on."""

    persists = True
    """Values are still there after a restart."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        if importlib.util.find_spec("_sqlite3") is None:
            raise OSError("this Python was built without SQLite")
        self.path = Path(config.path).expanduser().absolute() if config.path else default_path()
        self._clock, self._jobs = clock, SimpleQueue["Job"]()
        self._thread: Thread | None = None
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""
        found: bytes | None = await self._ask("get", key)
        return found

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value for `ttl` seconds. With `if_absent`, return False where there is one already."""
        if not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        was_set: bool = await self._ask("set", key, value, ttl, if_absent)
        return was_set

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter; return the new value, or None, changing nothing, where it would pass `maximum`."""
        total: int | None = await self._ask("add", key, n, maximum, ttl)
        return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._ask("delete", key)

    async def close(self) -> None:
        """Do what has been asked, then let go of the file."""
        last, thread = self._put("close") if self._thread is not None and not self._closed else None, self._thread
        self._closed = True
        if last is not None and thread is not None:
            await last
            thread.join()

    def _ask(self, operation: str, key: str, *arguments: Any) -> asyncio.Future[Any]:
        return self._put(operation, key.encode("utf-8", "surrogatepass"), *arguments)

    def _put(self, operation: str, *arguments: Any) -> asyncio.Future[Any]:
        if self._closed:
            raise OSError(f"{self.path}: the store has been closed")
        if self._thread is None:
            self._thread = Thread(target=_work, args=(self.path, self._jobs, self._clock), name="jackfield-sqlite", daemon=True)
            self._thread.start()
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((operation, arguments, waiting))
        return waiting


def default_path() -> Path:
    """Return where the file lies when the configuration does not say."""
    said = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (said if said.is_absolute() else Path.home() / ".local/state") / "jackfield/state.db"


def _work(path: Path, jobs: SimpleQueue[Job], clock: Callable[[], float]) -> None:
    from jackfield_sqlite.worker import Worker  # noqa: PLC0415 (who does not use the store does not pay for SQLite)

    Worker(path, jobs, clock).run()


def register_state_stores() -> Sequence[tuple[str, Callable[[Any], StateStore]]]:
    """Return the kind `sqlite`."""
    return [("sqlite", SqliteStore)]
