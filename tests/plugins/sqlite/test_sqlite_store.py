"""Values in a file: they survive, several processes share them, and nobody waits for the disk. The rest is in tests/conformance."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api import Host
from jackfield.api.testing import Harness
from jackfield_sqlite import Config, SqliteStore, default_path, file, worker
from tests.clock import Clock

PATIENCE = 20.0
"""Seconds after which a test gives up on what should happen at once."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder/state.db"


@pytest.fixture
async def opened(path: Path, clock: Clock) -> AsyncIterator[Callable[[], SqliteStore]]:
    """Return what opens the file anew, as another process or a later one would."""
    stores: list[SqliteStore] = []

    def open_() -> SqliteStore:
        stores.append(SqliteStore(Config(path=str(path)), clock))
        return stores[-1]

    yield open_
    for store in stores:
        await store.close()


@pytest.fixture
def store(opened: Callable[[], SqliteStore]) -> SqliteStore:
    return opened()


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Keep the file locked, as another process that writes."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield other
    finally:
        other.close()


def rows(path: Path) -> int:
    """Return how many values the file holds, those that have expired included."""
    other = sqlite3.connect(path)
    try:
        return int(other.execute("SELECT count(*) FROM state").fetchone()[0])
    finally:
        other.close()


async def error_of(asked: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(OSError) as told:  # noqa: PT011 (the caller looks at what it says)
        await asked
    return str(told.value)


# ---------------------------------------------------------------------------------------------------- survives


async def test_what_was_kept_is_there_after_a_restart(opened: Callable[[], SqliteStore], clock: Clock) -> None:
    before = opened()
    await before.set("value", b"\x00\xff")
    await before.set("short", b"x", ttl=10)
    await before.set("long", b"x", ttl=100)
    await before.add("counter", 7, ttl=100)
    await before.close()
    clock.now += 50
    after = opened()
    assert [await after.get(key) for key in ("value", "short", "long", "counter")] == [b"\x00\xff", None, b"x", b"7"]
    assert await after.add("counter") == 8
    clock.now += 50
    assert [await after.get(key) for key in ("value", "long", "counter")] == [b"\x00\xff", None, None]


async def test_closing_does_what_was_asked_before(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    asked = [asyncio.ensure_future(store.add("n")) for _ in range(3000)]
    await asyncio.sleep(0)  # they have asked, and nobody has waited
    await store.close()
    assert [await one for one in asked] == list(range(1, 3001))
    assert await opened().get("n") == b"3000"


async def test_a_closed_store_says_so(store: SqliteStore, path: Path) -> None:
    await store.set("a", b"1")
    await store.close()
    await store.close()
    assert await error_of(store.get("a")) == f"{path}: the store has been closed"


async def test_a_store_that_was_never_asked_leaves_no_trace(store: SqliteStore, path: Path) -> None:
    await store.close()
    assert not path.parent.exists()


async def test_what_a_plugin_keeps_survives_the_host(tmp_path: Path) -> None:
    counted: list[int | None] = []

    class Counting:
        id = "counting"

        def __init__(self, host: Host) -> None:
            self.host = host

        async def start(self) -> None:
            counted.append(await self.host.state.add("starts"))

        async def close(self) -> None:
            await self.host.state.set("last words", b"bye")

    for _ in range(3):
        async with Harness([Counting], {"state": {"kind": "sqlite", "path": str(tmp_path / "state.db")}}) as house:
            assert house.host.problems == []
    assert counted == [1, 2, 3]
    assert rows(tmp_path / "state.db") == 2


# ------------------------------------------------------------------------------------------------------- where


async def test_the_file_and_its_folder_are_the_users_own(store: SqliteStore, path: Path) -> None:
    before = os.umask(0)
    try:
        await store.set("a", b"1")
    finally:
        os.umask(before)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (path.parent, *path.parent.iterdir())}
    assert modes == {"folder": 0o700, "state.db": 0o600, "state.db-shm": 0o600, "state.db-wal": 0o600}


@pytest.mark.parametrize(
    ("said", "lies"),
    [("", ".local/state/jackfield/state.db"), ("relative", ".local/state/jackfield/state.db"), ("{home}/else", "else/jackfield/state.db")],
)
def test_without_a_path_the_file_lies_in_the_folder_for_state(
    said: str, lies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", said.format(home=tmp_path))
    assert default_path() == SqliteStore(Config()).path == tmp_path / lies
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_path() == tmp_path / ".local/state/jackfield/state.db"
    assert SqliteStore(Config(path="~/mine.db")).path == tmp_path / "mine.db"


async def test_a_check_of_the_configuration_makes_no_file(path: Path) -> None:
    host = Jackfield({"state": {"kind": "sqlite", "path": str(path)}})
    await host.load()
    assert host.problems == []
    await host.stop()
    assert not path.parent.exists()


async def test_a_setting_that_it_does_not_know_is_one_line() -> None:
    host = Jackfield({"state": {"kind": "sqlite", "file": "x"}})
    await host.load()
    assert host.problems == ["config: state.file: unknown; known here: path"]
    await host.stop()


def test_a_host_that_keeps_state_in_memory_does_not_load_sqlite() -> None:
    program = (
        "import asyncio, sys; from jackfield import Jackfield\n"
        "async def main():\n"
        "    async with Jackfield({}, listen=False) as host:\n"
        "        assert 'sqlite' in [plugin.id for plugin in host.plugins if plugin.state == 'active']\n"
        "        print('sqlite3' in sys.modules)\n"
        "asyncio.run(main())"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"


# ----------------------------------------------------------------------------------------------------- waiting


async def test_the_event_loop_goes_on_while_the_file_is_locked(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PATIENCE", PATIENCE)
    await store.set("a", b"1")
    with locked(path):
        asked = asyncio.ensure_future(store.set("a", b"2"))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not asked.done()
    assert await asked
    assert await store.get("a") == b"2"


async def test_who_reads_does_not_wait_for_who_writes(store: SqliteStore, path: Path) -> None:
    await store.set("a", b"1")
    with locked(path) as other:
        other.execute("UPDATE state SET value = x'32'")
        assert await store.get("a") == b"1"


async def test_a_file_that_stays_locked_is_an_error_until_it_is_free(
    opened: Callable[[], SqliteStore], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened().set("a", b"1")
    monkeypatch.setattr(file, "PATIENCE", 0.01)
    store = opened()
    with locked(path):
        assert await error_of(store.set("a", b"2")) == f"{path}: another process has kept it locked for more than 0.8 s"
        assert await store.get("a") == b"1"
    assert await store.set("a", b"3")
    assert await store.get("a") == b"3"


async def test_what_nobody_waits_for_any_more_is_not_done(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PATIENCE", PATIENCE)
    await store.set("a", b"1")
    with locked(path):
        given_up, waited_for = (asyncio.ensure_future(store.add(key)) for key in ("given up", "waited for"))
        for _ in range(1000):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
    assert await waited_for == 1
    assert await store.get("given up") is None


# ---------------------------------------------------------------------------------------------------- unusable


async def test_a_file_of_a_newer_form_is_refused_and_not_touched(opened: Callable[[], SqliteStore], path: Path) -> None:
    store = opened()
    await store.set("a", b"1")
    await store.close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 2")
    other.execute("PRAGMA journal_mode = DELETE")
    other.close()
    before = path.read_bytes()
    said = await error_of(opened().get("a"))
    assert said == f"{path}: was written by a newer version (its form is 2, 1 is known here); upgrade, or name another file (state.path)"
    assert path.read_bytes() == before


async def test_a_database_of_something_else_is_refused_and_not_touched(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name)")
    other.commit()
    other.close()
    before = path.read_bytes()
    assert await error_of(store.set("a", b"1")) == f"{path}: is a database of something else; name another file (state.path)"
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_until_it_is_moved_away(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("server: {port: 8317}\n" * 100)
    said = await error_of(store.set("a", b"1"))
    assert said.startswith(f"{path}: is no SQLite database; move it away")
    path.unlink()
    assert await store.set("a", b"1")


async def test_a_damaged_file_is_an_error_in_one_line(opened: Callable[[], SqliteStore], path: Path) -> None:
    store = opened()
    for number in range(200):
        await store.set(f"{number}", b"x" * 1000)
    await store.close()
    with path.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xa5" * (path.stat().st_size - 4096))
    said = await error_of(opened().get("7"))
    assert said == f"{path}: is damaged; move it away, together with its -wal and -shm, and a new one is made"


async def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    store = SqliteStore(Config(path=str(tmp_path / "taken/state.db")))
    assert await error_of(store.get("a")) == f"{tmp_path}/taken/state.db: File exists"
    await store.close()
    store = SqliteStore(Config(path=str(tmp_path)))
    assert await error_of(store.get("a")) == f"{tmp_path}: Is a directory"
    await store.close()


def test_a_full_disk_is_an_error_and_what_was_there_stays(path: Path) -> None:
    opened = file.StateFile(path)
    with opened.transaction(writes=True):
        opened.set(0, b"a", b"1", None, False)
    (pages,) = opened._db.execute("PRAGMA page_count").fetchone()
    opened._db.execute(f"PRAGMA max_page_count = {pages}")

    def set_both() -> None:
        with opened.transaction(writes=True):
            opened.set(0, b"a", b"2", None, False)
            opened.set(0, b"b", b"x" * 100_000, None, False)

    with pytest.raises(OSError, match=r"state\.db: the disk is full$"):
        set_both()
    with opened.transaction(writes=False):
        assert (opened.get(0, b"a"), opened.get(0, b"b")) == (b"1", None)
    opened._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    set_both()
    with opened.transaction(writes=False):
        assert opened.get(0, b"a") == b"2"
    opened.close()


async def test_a_plugin_is_told_what_is_wrong_with_the_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("no database, whatever it may be called " * 100)
    hosts: list[Host] = []

    class One:
        id = "one"

        def __init__(self, host: Host) -> None:
            hosts.append(host)

    async with Harness([One], {"state": {"kind": "sqlite", "path": str(path)}}):
        assert (await error_of(hosts[0].state.get("a"))).startswith(f"the state store failed: {path}: is no SQLite database")


# ------------------------------------------------------------------------------------------------------ purged


async def test_what_has_expired_leaves_the_file(store: SqliteStore, path: Path, clock: Clock) -> None:
    for number in range(10):
        await store.set(f"session-{number}", b"x", ttl=1)
    await store.set("kept", b"x", ttl=3600)
    await store.set("for good", b"x")
    clock.now += 2
    await store.delete("another")
    assert rows(path) == 12  # only now and then
    clock.now += worker.PURGE_EVERY
    await store.delete("another")
    assert rows(path) == 2


async def test_much_that_has_expired_leaves_in_parts(
    opened: Callable[[], SqliteStore], path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PURGE_MOST", 10)
    monkeypatch.setattr(worker, "PURGE_ON", 3600)
    store = opened()
    await asyncio.gather(*(store.set(f"session-{number}", b"x", ttl=1) for number in range(25)))
    clock.now += worker.PURGE_EVERY
    left = []
    for _ in range(4):
        await store.delete("another")
        left.append(rows(path))
    assert left == [15, 5, 0, 0]


async def test_what_has_expired_leaves_the_file_also_when_nobody_asks_for_anything(
    opened: Callable[[], SqliteStore], path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PURGE_EVERY", 0.0)
    monkeypatch.setattr(worker, "PURGE_ON", 0.0)
    store = opened()
    await store.set("session", b"x", ttl=1)
    clock.now += 2
    async with asyncio.timeout(PATIENCE):
        while rows(path):
            await asyncio.sleep(0)


# ------------------------------------------------------------------------------------------- several processes

_OTHER = """
import asyncio, sys
from jackfield_sqlite import Config, SqliteStore

async def main(path, name):
    store = SqliteStore(Config(path=path))
    print("ready", flush=True)
    sys.stdin.readline()
    added = []
    for _ in range(50):
        added += await asyncio.gather(*(store.add("n", maximum=600) for _ in range(10)))
    won = await asyncio.gather(*(store.set(f"lease-{number}", name.encode(), if_absent=True) for number in range(100)))
    await store.close()
    print(*(n for n in added if n is not None))
    print(*(number for number, mine in enumerate(won) if mine))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_on_a_new_file_never_pass_a_maximum_and_never_hold_one_lease(
    opened: Callable[[], SqliteStore], path: Path
) -> None:
    command = [sys.executable, "-c", _OTHER, str(path)]
    others = [subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    try:
        for other in others:
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
        for other in others:
            assert other.stdin is not None
            other.stdin.write("go\n")
            other.stdin.flush()
        answers = [other.communicate(timeout=PATIENCE)[0].splitlines() for other in others]
    finally:
        for other in others:
            other.kill()
            other.communicate()
    assert [other.returncode for other in others] == [0, 0]
    added, won = ([[int(n) for n in answer[line].split()] for answer in answers] for line in (0, 1))
    assert Counter(added[0] + added[1]) == Counter(range(1, 601))
    assert Counter(won[0] + won[1]) == Counter(range(100))
    store = opened()
    assert await store.get("n") == b"600"
    for name, leases in zip((b"one", b"two"), won, strict=True):
        for number in leases:
            assert await store.get(f"lease-{number}") == name


_KILLED = """
import asyncio, os, signal, sys
from jackfield_sqlite import Config, SqliteStore

async def main():
    store = SqliteStore(Config(path=sys.argv[1]))
    for number in range(100):
        await store.add("n")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_answered_is_kept_when_the_process_is_killed(opened: Callable[[], SqliteStore], path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False, timeout=PATIENCE).returncode == -signal.SIGKILL
    store = opened()
    assert await store.get("n") == b"100"
    assert await store.add("n") == 101
