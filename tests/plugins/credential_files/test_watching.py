"""What others do in the folder is seen within a second, once for a burst, and only where something has changed."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import DirModifiedEvent, FileModifiedEvent, FileMovedEvent, FileOpenedEvent, FileSystemEvent

from jackfield_credential_files import watching
from jackfield_credential_files.folder import GRACE
from tests.plugins.credential_files.kit import PATIENCE, labels, looks, watched, write, write_raw


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is looked at twenty times a second."""
    monkeypatch.setattr(watching, "TICK", 0.05)


@pytest.fixture(params=["told", "untold"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The system tells of changes, or does not."""
    if request.param == "untold":
        monkeypatch.setattr(watching, "Observer", limit_reached)
        monkeypatch.setattr(watching, "TICK", 0.05)
    return str(request.param)


def limit_reached() -> Any:
    raise OSError(28, "inotify watch limit reached")


async def test_what_is_added_edited_and_removed_is_seen(tmp_path: Path, ways: str) -> None:
    async with watched(tmp_path) as (source, told, _):
        path = write(tmp_path / "a.json", label="added")
        await told.again()
        assert await labels(source) == ["added"]
        write(path, label="edited")
        await told.again()
        assert await labels(source) == ["edited"]
        beside = write(tmp_path / "new", label="replaced")
        beside.replace(path)
        await told.again()
        assert await labels(source) == ["replaced"]
        path.rename(tmp_path / "elsewhere")
        await told.again()
        assert await labels(source) == []
        assert told.times == 4


async def test_a_change_is_seen_within_a_second(tmp_path: Path) -> None:
    took = []
    async with watched(tmp_path) as (_, told, _):
        for number in range(3):
            begun = time.monotonic()
            write(tmp_path / "a.json", notes=str(number))
            await told.again()
            took.append(time.monotonic() - begun)
    assert min(took) < 1


async def test_a_burst_is_told_once_and_its_last_state_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_QUIET", 0.5)  # a machine that is busy may pause for a moment within a burst
    monkeypatch.setattr(watching, "_BURST", 5.0)
    async with watched(tmp_path) as (source, told, _):
        for number in range(100):
            write(tmp_path / f"{number % 10}.json", label=f"{number % 10} of {number}")
            await asyncio.sleep(0.002)
        await told.again()
        assert await labels(source) == [f"{number} of 9{number}" for number in range(10)]
        assert told.times == 1


async def test_a_burst_without_an_end_does_not_keep_the_host_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_QUIET", 60.0)
    monkeypatch.setattr(watching, "_BURST", 0.1)
    async with watched(tmp_path) as (_, told, _):
        write(tmp_path / "a.json")
        await told.again()
        for number in range(1000):
            write(tmp_path / "a.json", notes=str(number))
            await asyncio.sleep(0.005)
            if told.times > 1:
                break
        assert told.times > 1


async def test_what_changes_nothing_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: str) -> None:
    path = write(tmp_path / "a.json", label="a", notes="n")
    async with watched(tmp_path) as (source, told, _):
        looked = looks(monkeypatch)
        os.utime(path)
        write(tmp_path / "a.json", label="a", notes="n")
        path.write_text(path.read_text().replace(", ", ",\n  "))
        write_raw(tmp_path / "b.txt", "nothing to do with it")
        await looked(2)
        assert told.times == 0
        write(tmp_path / "a.json", label="b")
        await told.again()
        assert (await labels(source), told.times) == (["b"], 1)


async def test_a_mistake_is_told_like_any_other_change(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", label="a")
    async with watched(tmp_path) as (source, told, _):
        write(path, label="a", pririty=3)
        await told.again()
        assert (await labels(source), len(source.problems)) == ([], 1)
        write(path, label="a", priority=3)
        await told.again()
        assert (await labels(source), source.problems) == (["a"], [])


async def test_a_file_that_stays_half_written_is_told_when_it_has_had_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None
) -> None:
    monkeypatch.setattr("jackfield_credential_files.folder._SHARE", 10**9)  # as if there were so many that they are seldom looked at
    path = write(tmp_path / "a.json", label="a")
    whole = path.read_text()
    async with watched(tmp_path) as (source, told, host):
        looked = looks(monkeypatch)
        path.write_text(whole[:9])
        write_raw(tmp_path / "new.json", whole[:9])
        await looked(3)
        assert (await labels(source), source.problems, told.times) == (["a"], [], 0)
        host.now += GRACE
        await told.again()
        assert (await labels(source), len(source.problems)) == ([], 2)
        path.write_text(whole)
        await told.again()
        assert (await labels(source), len(source.problems)) == (["a"], 1)


async def test_a_folder_that_is_not_there_yet_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    async with watched(folder) as (source, told, _):
        async with asyncio.timeout(10):
            while not folder.exists():
                await asyncio.sleep(0)
        assert folder.stat().st_mode & 0o777 == 0o700
        write(folder / "a.json", label="a")
        await told.again()
        assert await labels(source) == ["a"]


async def test_a_folder_that_vanishes_and_returns_is_found_again(tmp_path: Path, hasty: None, ways: str) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    write(folder / "a.json", label="a")
    async with watched(folder) as (source, told, _):
        for _ in range(2):
            folder.rename(away)
            await told.again()
            assert await labels(source) == []
            away.rename(folder)
            await told.again()
            assert await labels(source) == ["a"]
        write(folder / "a.json", label="b")
        await told.again()
        assert await labels(source) == ["b"]


async def test_a_folder_that_is_removed_and_made_anew_is_watched_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with watched(folder) as (source, told, _):
        looked = looks(monkeypatch)
        for number in range(3):  # it may well be given the same number by the file system
            folder.rmdir()
            folder.mkdir()
            await looked(1)
            path = write(folder / "a.json", label=str(number))
            await told.again()
            assert await labels(source) == [str(number)]
            path.unlink()
            await told.again()


async def test_a_link_to_a_folder_may_be_turned_to_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.json", label=name)
    link = tmp_path / "link"
    link.symlink_to("one")
    async with watched(link) as (source, told, _):
        assert await labels(source) == ["one"]
        turn(link, "two")
        await told.again()
        assert await labels(source) == ["two"]
        write(tmp_path / "two" / "a.json", label="three")
        await told.again()
        assert await labels(source) == ["three"]


def turn(link: Path, target: str) -> None:
    beside = link.with_name(f"{link.name}_tmp")
    beside.symlink_to(target)
    beside.replace(link)


async def test_a_mounted_set_of_files_is_exchanged_as_a_whole(tmp_path: Path) -> None:
    """As Kubernetes does it: files are links through `..data`, a link that is turned to another folder."""
    for name in ("..one", "..two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.json", label=f"a{name}")
        write(tmp_path / name / "b.json", label=f"b{name}", subject="b")
    (tmp_path / "..data").symlink_to("..one")
    for name in ("a.json", "b.json"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    async with watched(tmp_path) as (source, told, _):
        assert await labels(source) == ["a..one", "b..one"]
        turn(tmp_path / "..data", "..two")
        await told.again()
        assert await labels(source) == ["a..two", "b..two"]
        assert told.times == 1


async def test_a_file_that_is_a_link_to_one_elsewhere_is_seen_to_change(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target = write(tmp_path / "elsewhere.json", label="one")
    (tmp_path / "folder" / "a.json").symlink_to(target)
    async with watched(tmp_path / "folder") as (source, told, _):
        write(target, label="two")
        await told.again()
        assert await labels(source) == ["two"]


async def test_where_the_system_does_not_tell_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watching, "Observer", limit_reached)
    async with watched(tmp_path) as (source, told, _):
        for number in range(2):
            tmp_path.rename(tmp_path.with_name("away"))
            tmp_path.with_name("away").rename(tmp_path)
            write(tmp_path / "a.json", label=str(number))
            await told.again()
            assert await labels(source) == [str(number)]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [
        f"{tmp_path}: the system does not tell of changes (inotify watch limit reached); it is looked through every second or so instead"
    ]


async def test_nothing_is_watched_where_nobody_wants_it(tmp_path: Path) -> None:
    async with watched(tmp_path / "folder", watch=False) as (_, _, host):
        assert host.tasks == []
    assert not (tmp_path / "folder").exists()


async def test_a_folder_that_becomes_unreadable_is_told_and_so_is_its_return(tmp_path: Path, hasty: None) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.json", label="a")
    async with watched(folder) as (source, told, _):
        folder.rename(tmp_path / "away")
        folder.touch()
        await told.again()
        with pytest.raises(OSError, match="cannot be read"):
            await source.load()
        folder.unlink()
        (tmp_path / "away").rename(folder)
        await told.again()
        assert await labels(source) == ["a"]


async def test_what_the_host_has_loaded_by_itself_is_not_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    monkeypatch.setattr(watching, "Observer", limit_reached)
    async with watched(tmp_path) as (source, told, _):
        looked = looks(monkeypatch)
        write(tmp_path / "a.json", label="a")
        assert await labels(source) == ["a"]
        before = told.times  # the watch may have been the faster one
        await looked(3)
        assert told.times == before


async def test_a_new_folder_is_watched_also_where_the_file_system_takes_it_for_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching.Lookout, "_folder", lambda self: (1, 1))
    folder = tmp_path / "folder"
    folder.mkdir()
    lookout = watching.Lookout(folder, logging.getLogger("test"))
    try:
        assert [lookout.arm(), lookout.arm()] == [True, False]
        folder.rmdir()
        folder.mkdir()
        async with asyncio.timeout(PATIENCE):
            while not lookout.arm():
                await asyncio.sleep(0.01)
        write(folder / "a.json")
        async with asyncio.timeout(PATIENCE):
            while not await lookout.wait():
                pass
    finally:
        lookout.close()


@pytest.mark.parametrize(
    ("event", "counts"),
    [
        (FileModifiedEvent("a.json"), True),
        (FileMovedEvent("..data_tmp", "..data"), True),
        (FileOpenedEvent("a.json"), False),
        (DirModifiedEvent("."), False),
        (FileMovedEvent(".a.json.xyz.saving", "a.json"), False),
    ],
    ids=lambda value: getattr(value, "event_type", value),
)
async def test_neither_reading_nor_what_was_saved_is_a_reason_to_look(
    tmp_path: Path, event: FileSystemEvent, counts: bool, hasty: None
) -> None:
    lookout = watching.Lookout(tmp_path, logging.getLogger("test"))
    lookout.dispatch(event)
    assert await lookout.wait() == counts


def test_a_loop_that_is_closed_is_told_nothing(tmp_path: Path) -> None:
    async def lookout() -> watching.Lookout:
        return watching.Lookout(tmp_path, logging.getLogger("test"))

    asyncio.run(lookout()).dispatch(FileModifiedEvent(str(tmp_path / "a.json")))
