"""Credentials of one file are kept and removed all or nothing, and the host hears nothing of its own work."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from jackfield.api import Credential, Secret
from jackfield_credential_files import watching, writing
from jackfield_credential_files.folder import LARGEST
from tests.plugins.credential_files.kit import folder_at, labels, looks, one, watched, write, write_raw

ANN = Credential(provider="toy", kind="oauth", subject="u-1", workspace="w-1", key=Secret("sk-token-of-ann"), label="ann@example.com")


def said(path: Path) -> Any:
    return json.loads(path.read_text())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_login_is_kept_in_a_file_of_its_own_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    source = folder_at(folder)
    await source.save([ANN])
    assert names(folder) == ["toy-u-1-w-1.json"]
    assert (folder.stat().st_mode & 0o777, (folder / "toy-u-1-w-1.json").stat().st_mode & 0o777) == (0o700, 0o600)
    assert said(folder / "toy-u-1-w-1.json") == {
        "provider": "toy", "kind": "oauth", "subject": "u-1", "workspace": "w-1", "key": "sk-token-of-ann", "label": "ann@example.com",
    }  # fmt: skip
    (kept,) = await source.load()
    assert kept == replace(ANN, id="toy:u-1:w-1", origin=str(folder / "toy-u-1-w-1.json"))
    assert one(await folder_at(folder).load()) == kept


LOOK_ALIKES = [
    replace(ANN, workspace="w-2"),
    replace(ANN, subject="u-2"),
    replace(ANN, subject="", workspace=""),
    replace(ANN, subject="u-1:w-1", workspace=""),
    replace(ANN, subject="u-1/w-1", workspace=""),
]


async def test_logging_in_again_updates_and_five_look_alikes_stay_apart(tmp_path: Path) -> None:
    source = folder_at(tmp_path)
    for round in range(3):
        for number, who in enumerate([ANN, *LOOK_ALIKES]):
            await source.save([replace(who, key=Secret(f"sk-token-{number}-{round}"))])
    kept = await source.load()
    assert sorted(c.key.reveal() for c in kept if c.key) == [f"sk-token-{number}-2" for number in range(6)]
    assert len(names(tmp_path)) == len({c.id for c in kept}) == 6
    assert sorted(await folder_at(tmp_path).load(), key=lambda c: c.id) == sorted(kept, key=lambda c: c.id)


async def test_an_account_that_its_owner_gave_an_id_keeps_it_and_all_that_was_written(tmp_path: Path) -> None:
    path = write_raw(
        tmp_path / "mine.json", '{"id": "mine", "provider": "toy", "kind": "oauth", "subject": "u-1", "workspace": "w-1", "weight": 1.50}'
    )
    source = folder_at(tmp_path)
    await source.load()
    await source.save([ANN])
    assert names(tmp_path) == ["mine.json"]
    assert said(path) == {
        "id": "mine", "provider": "toy", "kind": "oauth", "subject": "u-1", "workspace": "w-1", "weight": 1.0,
        "key": "sk-token-of-ann", "label": "ann@example.com",
    }  # fmt: skip
    assert one(await source.load()).id == "mine"


async def test_a_new_key_of_a_credential_does_not_make_it_another(tmp_path: Path) -> None:
    write(tmp_path / "a.json", key="sk-the-first-of-two")
    source = folder_at(tmp_path)
    (before,) = await source.load()
    await source.save([replace(before, key=Secret("sk-the-second-of-two"))])
    (after,) = await source.load()
    assert (after.id, after.key) == (before.id, Secret("sk-the-second-of-two"))
    assert one(await folder_at(tmp_path).load()) == after


async def test_of_several_in_a_file_only_what_was_changed_is_written(tmp_path: Path) -> None:
    path = write(tmp_path / "team.json", {"subject": "a", "notes": "of a"}, {"subject": "b"}, {"wrong": 1}, provider="toy", priority=5)
    source = folder_at(tmp_path)
    a, b = await source.load()
    await source.save([replace(b, key=Secret("sk-new-of-b")), replace(a, priority=0)])
    assert said(path) == {
        "provider": "toy", "priority": 5,
        "credentials": [{"subject": "a", "notes": "of a", "priority": 0}, {"subject": "b", "key": "sk-new-of-b"}, {"wrong": 1}],
    }  # fmt: skip
    assert [c.priority for c in await source.load()] == [0, 5]


async def test_one_login_with_several_accounts_makes_one_file_and_grows_it(tmp_path: Path) -> None:
    source = folder_at(tmp_path)
    await source.save([replace(ANN, workspace=f"w-{n}") for n in (1, 2)])
    assert names(tmp_path) == ["toy-u-1-w-1.json"]
    await source.save([replace(ANN, workspace=f"w-{n}", key=Secret("sk-later")) for n in (3, 2)])
    assert names(tmp_path) == ["toy-u-1-w-1.json"]
    assert [(c.id, c.key) for c in await source.load()] == [
        ("toy:u-1:w-1", ANN.key), ("toy:u-1:w-2", Secret("sk-later")), ("toy:u-1:w-3", Secret("sk-later")),
    ]  # fmt: skip


async def test_a_second_one_in_a_file_leaves_the_first_who_it_was(tmp_path: Path) -> None:
    write(tmp_path / "a.json", kind="oauth", key="sk-token-one")  # known by the name of its file
    source = folder_at(tmp_path)
    (before,) = await source.load()
    await source.save([before, replace(ANN, id="other")])
    assert [c.id for c in await source.load()] == [before.id, "other"]
    await source.save([replace(ANN, subject="u-3", id="third"), before])
    await source.remove("other")
    assert [c.id for c in await source.load()] == [c.id for c in await folder_at(tmp_path).load()] == [before.id, "third"]


async def test_what_cannot_be_kept_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    a, b = (write(tmp_path / f"{name}.json", subject=name, label=name) for name in "ab")
    before = a.read_bytes(), b.read_bytes()
    source = folder_at(tmp_path)
    held = await source.load()
    for bad, says in (
        ([replace(c, notes="new") for c in held], "credentials of several files cannot be saved at once: a.json, b.json"),
        ([replace(held[0], notes="new"), replace(ANN, key=Secret("your-api-key"))], "key: a placeholder stands"),
        ([replace(held[0], notes="x" * LARGEST)], "would be larger than 1 MiB"),
    ):
        with pytest.raises(ValueError, match=says):
            await source.save(bad)
        assert (a.read_bytes(), b.read_bytes(), names(tmp_path)) == (*before, ["a.json", "b.json"])
        assert [c.notes for c in await source.load()] == ["", ""]


async def test_a_file_that_is_broken_now_or_gone_is_not_written_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", label="a")
    source = folder_at(tmp_path)
    (held,) = await source.load()
    path.write_text("{half")
    with pytest.raises(ValueError, match="not valid JSON"):
        await source.save([held])
    with pytest.raises(ValueError, match="not valid JSON"):
        await source.remove(held.id)
    assert path.read_text() == "{half"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        await source.save([replace(held, notes="new")])
    assert names(tmp_path) == []


async def test_a_new_file_takes_no_name_that_another_has(tmp_path: Path) -> None:
    write_raw(tmp_path / "toy-u-1-w-1.json", "somebody is writing")
    (tmp_path / "toy-u-1-w-1-2.json").symlink_to("nowhere")
    source = folder_at(tmp_path)
    await source.save([ANN])
    await source.save([replace(ANN, subject="../../a b\n/\u00e9", workspace="", provider=".toy")])
    assert names(tmp_path) == ["toy-a-b-\u00e9.json", "toy-u-1-w-1-2.json", "toy-u-1-w-1-3.json", "toy-u-1-w-1.json"]
    assert (tmp_path / "toy-u-1-w-1.json").read_text() == "somebody is writing"
    assert len(await source.load()) == 2


async def test_an_edit_that_was_not_seen_yet_is_not_lost_by_a_save(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"subject": "a"}, {"subject": "b"}, provider="toy")
    source = folder_at(tmp_path)
    a, _ = await source.load()
    write(path, {"subject": "a", "notes": "by hand"}, {"subject": "b", "priority": 9}, provider="toy")
    await source.save([replace(a, key=Secret("sk-new-of-a"))])
    assert said(path)["credentials"] == [{"subject": "a", "notes": "by hand", "key": "sk-new-of-a"}, {"subject": "b", "priority": 9}]


# --------------------------------------------------------------------------------------------- removing


async def test_one_of_several_is_removed_and_the_file_with_the_last(tmp_path: Path) -> None:
    path = write(tmp_path / "team.json", {"subject": "a"}, {"subject": "b"}, provider="toy", notes="shared")
    source = folder_at(tmp_path)
    await source.load()
    await source.remove("toy:a")
    assert said(path) == {"provider": "toy", "notes": "shared", "credentials": [{"subject": "b"}]}
    assert [c.id for c in await source.load()] == ["toy:b"]
    await source.remove("toy:b")
    assert (names(tmp_path), await source.load()) == ([], [])


async def test_those_that_stay_keep_their_ids_when_one_before_them_goes(tmp_path: Path) -> None:
    keys = [{"kind": "oauth", "key": f"sk-token-{number}"} for number in range(3)]  # known by their places in the file
    write(tmp_path / "team.json", *keys, provider="toy")
    source = folder_at(tmp_path)
    gone, *others = await source.load()
    await source.remove(gone.id)
    assert [(c.id, c.key) for c in await source.load()] == [(c.id, c.key) for c in others]
    assert [(c.id, c.key) for c in await folder_at(tmp_path).load()] == [(c.id, c.key) for c in others]


async def test_an_entry_that_is_wrong_is_left_when_the_others_are_removed(tmp_path: Path) -> None:
    path = write(tmp_path / "team.json", {"subject": "a"}, {"subjekt": "b"}, provider="toy")
    await folder_at(tmp_path).remove("toy:a")
    assert said(path)["credentials"] == [{"subjekt": "b"}]


async def test_nobody_of_that_id_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.json", subject="a")
    with pytest.raises(KeyError, match="toy:b"):
        await folder_at(tmp_path).remove("toy:b")
    assert names(tmp_path) == ["a.json"]


# ------------------------------------------------------------------------------------- unwilling systems


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, only: int | None = None) -> None:
    """Let a function of the system fail: always, or only when it is called for that time."""
    calls, really = count(1), getattr(os, name)

    def fail(*given: Any, **more: Any) -> Any:
        if only in (None, next(calls)):
            raise OSError(number, os.strerror(number))
        return really(*given, **more)

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EPERM])
async def test_a_file_that_is_mounted_by_itself_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = write(tmp_path / "a.json", subject="a", notes="a text that is longer than what comes after it")
    which = path.stat().st_ino
    source = folder_at(tmp_path)
    (held,) = await source.load()
    failing(monkeypatch, "replace", number)
    for notes in ("short", "a text that is longer than what was there before it, much longer"):
        await source.save([replace(held, notes=notes)])
        assert said(path) == {"provider": "toy", "subject": "a", "notes": notes}
    assert (path.stat().st_ino, names(tmp_path)) == (which, ["a.json"])
    failing(monkeypatch, "unlink", number)
    await source.remove("toy:a")
    assert (said(path), await source.load(), source.problems) == ({"credentials": []}, [], [])


@pytest.mark.parametrize(
    ("unwilling", "number"),
    [
        (lambda m: failing(m, "fsync", errno.EIO), errno.EIO),
        (lambda m: failing(m, "replace", errno.ENOSPC), errno.ENOSPC),
        (lambda m: (failing(m, "replace", errno.EBUSY), failing(m, "fsync", errno.EIO, only=2)), errno.EIO),
    ],
    ids=["on the disk", "of the name", "in place"],
)
async def test_a_write_that_fails_leaves_file_and_source_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unwilling: Callable[[pytest.MonkeyPatch], Any], number: int
) -> None:
    path = write(tmp_path / "a.json", {"subject": "a", "notes": "old"}, {"subject": "b", "notes": "old"}, provider="toy")
    before, source = path.read_bytes(), folder_at(tmp_path)
    held = await source.load()
    with monkeypatch.context() as context:
        unwilling(context)
        with pytest.raises(OSError, match=os.strerror(number)):
            await source.save([replace(c, notes="a new and rather longer text") for c in held])
    assert (path.read_bytes(), names(tmp_path)) == (before, ["a.json"])
    assert [one is other for one, other in zip(held, await source.load(), strict=True)] == [True, True]


async def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target = write(tmp_path / "elsewhere.json", subject="a")
    link = tmp_path / "folder" / "a.json"
    link.symlink_to(target)
    source = folder_at(tmp_path / "folder")
    (held,) = await source.load()
    await source.save([replace(held, notes="new")])
    assert link.is_symlink()
    assert said(target)["notes"] == "new"
    await source.remove("toy:a")
    assert (names(tmp_path / "folder"), target.exists()) == ([], True)


async def test_a_file_that_is_really_mounted_by_itself_is_written_removed_and_seen_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    outside, inside = write(tmp_path / "outside.json", subject="a"), write(tmp_path / "folder" / "a.json", subject="nobody")
    if os.geteuid() != 0 or subprocess.run(["mount", "--bind", outside, inside], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    monkeypatch.setattr(watching, "TICK", 0.05)
    try:
        async with watched(inside.parent) as (source, told, _):
            (held,) = await source.load()
            await source.save([replace(held, notes="ours")])
            assert said(outside) == {"provider": "toy", "subject": "a", "notes": "ours"}
            write(outside, subject="a", notes="theirs")
            await told.again()
            assert [c.notes for c in await source.load()] == ["theirs"]
            await source.remove("toy:a")
            assert said(outside) == {"credentials": []}
    finally:
        subprocess.run(["umount", inside], check=True)


async def test_what_was_being_written_when_its_writer_ended_is_cleared_away_after_a_while(tmp_path: Path) -> None:
    new, old = (write_raw(tmp_path / f".a.json.{name}{writing.SAVING}", "{") for name in ("new", "old"))
    os.utime(old, (0, 0))
    await folder_at(tmp_path).load()
    assert names(tmp_path) == [new.name]


# ----------------------------------------------------------------------------------------- and watching


async def test_ones_own_work_is_no_news_but_what_others_do_meanwhile_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "TICK", 0.05)
    path = write(tmp_path / "a.json", {"subject": "a"}, {"subject": "b"}, provider="toy")
    async with watched(tmp_path) as (source, told, _):
        looked = looks(monkeypatch)
        a, b = await source.load()
        await source.save([replace(a, notes="ours")])
        await source.save([ANN])
        await source.remove("toy:u-1:w-1")
        failing(monkeypatch, "replace", errno.EBUSY)
        await source.save([replace(b, notes="ours")])
        await looked(5)
        assert told.times == 0
        assert [c.notes for c in await source.load()] == ["ours", "ours"]
        write(path, {"subject": "a", "notes": "ours"}, {"subject": "b", "notes": "theirs"}, provider="toy")
        await source.save([replace(a, notes="ours again")])
        await told.again()
        assert [c.notes for c in await source.load()] == ["ours again", "theirs"]
        assert await labels(source) == ["a[0]", "a[1]"]
