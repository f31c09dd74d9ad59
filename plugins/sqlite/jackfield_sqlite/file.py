"""The file: one table of values, and what keeps several processes apart. Everything here blocks.

Write-ahead logging (https://www.sqlite.org/wal.html) lets readers go on while somebody writes; with `synchronous = NORMAL` a
commit survives the end of the process, and the last ones may be lost when the machine loses its power.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

VERSION: Final = 1
"""Of the table's form. A file of a higher one is not touched."""
APPLICATION: Final = 0x4A4B5331
"""Says in the file's header whose it is: `JKS1`."""
PATIENCE: Final = 0.8
"""Seconds to wait for another process: less than the host waits for the store, so that the reason is told."""

_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL, ends REAL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS state_ends ON state (ends) WHERE ends IS NOT NULL",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
_GET: Final = "SELECT value, ends FROM state WHERE key = ? AND (ends IS NULL OR ends > ?)"
_SET: Final = "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, ends = excluded.ends"
_SET_IF_ABSENT: Final = _SET + " WHERE state.ends <= ?"
_PURGE: Final = "DELETE FROM state WHERE key IN (SELECT key FROM state WHERE ends <= ? LIMIT ?)"
_WORDS: Final = {
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for more than {PATIENCE:g} s",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "is no SQLite database; move it away and a new one is made, or name another file (state.path)",
    sqlite3.SQLITE_CORRUPT: "is damaged; move it away, together with its -wal and -shm, and a new one is made",
}


class StateFile:
    """The opened file. Raises `OSError`, with one line that says what is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the rights of this one
        except OSError as fault:
            raise OSError(f"{path}: {fault.strerror or fault}") from None
        with self._told():
            self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            with self._told():
                self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[None]:
        """Do several operations as one. Those that write wait here for other processes that do."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # there may be nothing to take back
                    self._db.execute("ROLLBACK")
                raise

    def get(self, now: float, key: bytes) -> bytes | None:
        """Return a value that has not expired."""
        found: tuple[bytes, float | None] | None = self._db.execute(_GET, (key, now)).fetchone()
        return found[0] if found else None

    def set(self, now: float, key: bytes, value: bytes, ttl: float | None, if_absent: bool) -> bool:
        """Set a value; return whether it was set."""
        row = (key, value, None if ttl is None else now + ttl)
        done = self._db.execute(_SET_IF_ABSENT, (*row, now)) if if_absent else self._db.execute(_SET, row)
        return done.rowcount > 0

    def add(self, now: float, key: bytes, n: int, maximum: int | None, ttl: float | None) -> int | None:
        """Add to a counter; return its new value, or None where it would pass the maximum."""
        value, ends = self._db.execute(_GET, (key, now)).fetchone() or (b"0", None if ttl is None else now + ttl)
        total = int(value) + n
        if maximum is not None and total > maximum:
            return None
        self._db.execute(_SET, (key, b"%d" % total, ends))
        return total

    def delete(self, now: float, key: bytes) -> None:
        """Forget a value."""
        self._db.execute("DELETE FROM state WHERE key = ?", (key,))

    def purge(self, now: float, most: int) -> int:
        """Delete values that have expired; return how many."""
        return self._db.execute(_PURGE, (now, most)).rowcount

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._db.close()

    # ------------------------------------------------------------------------------------------------ opened

    def _prepare(self) -> None:
        """Make the table where the file is new. Raises `OSError` where it is somebody else's, before anything is changed."""
        with self.transaction(writes=False):  # another process may be making it just now
            owner, version, things = (
                self._db.execute(question).fetchone()[0]
                for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
            )
        if owner != APPLICATION and (version or things):
            raise OSError(f"{self._path}: is a database of something else; name another file (state.path)")
        if version > VERSION:
            raise OSError(
                f"{self._path}: was written by a newer version (its form is {version}, {VERSION} is known here); "
                "upgrade, or name another file (state.path)"
            )
        self._write_ahead()
        self._db.execute("PRAGMA synchronous = NORMAL")
        if version < VERSION:
            with self.transaction(writes=True):
                for statement in _CREATE:
                    self._db.execute(statement)

    def _write_ahead(self) -> None:
        # SQLite does not wait by itself for processes that switch at the same time.
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as fault:
                if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one line what SQLite says in codes."""
        try:
            yield
        except sqlite3.Error as fault:
            raise OSError(f"{self._path}: {_WORDS.get(getattr(fault, 'sqlite_errorcode', 0) & 0xFF, str(fault))}") from fault
