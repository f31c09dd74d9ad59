"""What files say is what the host gets; what is wrong with one of them is one line, and hides nothing else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Secret
from jackfield_credential_files.folder import GRACE, LARGEST
from tests.plugins.credential_files.kit import OwnHost, folder_at, labels, one, write, write_raw

SECRET = "sk-never-to-be-seen-0123456789"


async def test_a_file_holds_a_credential_with_all_of_its_fields(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "provider": "toy", "kind": "oauth", "key": f" {SECRET}\n", "subject": "u-1", "workspace": "w-1", "label": "Ann", "prefix": "team",
        "priority": 3, "weight": 2, "proxy": "direct", "proxy_strict": True, "headers": {"x-team": "$X-Team"}, "models": ["m*"],
        "excluded": ["*-old"], "aliases": {"fast": ["m", "n"], "slow": "o"}, "base_url": "http://127.0.0.1:1", "notes": "mine",
        "disabled": True, "storage": {"refresh_token": "r", "deep": {"er": [1, 2.5, None]}},
    }  # fmt: skip
    path = write(tmp_path / "ann.json", **said)
    (got,) = await folder_at(tmp_path).load()
    assert got.key == Secret(SECRET)
    assert got.aliases == {"fast": ("m", "n"), "slow": "o"}
    assert (got.id, got.origin) == ("toy:u-1:w-1", str(path))
    for name in said.keys() - {"key", "aliases", "models", "excluded"}:
        assert getattr(got, name) == said[name]


async def test_a_file_holds_several_that_share_what_stands_beside_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "team.json", {"subject": "a"}, {"subject": "b", "priority": 7}, provider="toy", priority=5, workspace="w", kind="oauth"
    )
    source = folder_at(tmp_path)
    got = await source.load()
    assert [(c.id, c.priority, c.label) for c in got] == [("toy:a:w", 5, "team[0]"), ("toy:b:w", 7, "team[1]")]
    assert [c.origin for c in got] == [f"{path}: credentials[0]", f"{path}: credentials[1]"]
    assert source.problems == []


async def test_an_account_without_a_subject_is_known_by_its_file_whatever_its_token(tmp_path: Path) -> None:
    source = folder_at(tmp_path)
    write(tmp_path / "ann.json", kind="oauth", key="sk-token-one")
    before = one(await source.load()).id
    write(tmp_path / "ann.json", kind="oauth", key="sk-token-two")
    after = one(await source.load())
    assert (after.id, after.key) == (before, Secret("sk-token-two"))


async def test_nothing_in_a_file_is_taken_for_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_ANN", SECRET)
    write(tmp_path / "ann.json", notes="${KEY_OF_ANN}")
    assert one(await folder_at(tmp_path).load()).notes == "${KEY_OF_ANN}"


async def test_only_json_files_of_the_folder_itself_count(tmp_path: Path) -> None:
    for name in ("a.json~", ".b.json", "c.yaml", "json", ".d.json.abc.saving"):
        write_raw(tmp_path / name, "no credential")
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "e.json")
    source = folder_at(tmp_path)
    assert (await source.load(), source.problems) == ([], [])


MISTAKES = {
    "": "it is empty",
    "   \n": "it breaks off",
    '{"provider": "toy", "key": "sk-nev': "it breaks off",
    '{\n"provider": "toy",\n"key" "sk-x"\n}': "line 3",
    "[]": "expected a mapping, got a list",
    '"toy"': "expected a mapping, got a text",
    '{"credentials": {}}': "credentials: expected a list, got a mapping",
    '{"credentials": [3]}': "credentials[0]: expected a mapping, got a whole number",
    "{}": "provider: missing",
    '{"provider": ""}': "provider: it is empty",
    '{"provider": "toy", "pririty": 1}': "pririty: unknown; did you mean 'priority'?",
    '{"provider": "toy", "oauth_session": "sk-x"}': "oauth_session: unknown; known here: aliases, base_url",
    '{"provider": "toy", "origin": "here"}': "origin: unknown",
    '{"provider": "toy", "priority": "high"}': "priority: expected a whole number, got a text",
    '{"provider": "toy", "weight": 0}': "weight: expected a number > 0.0",
    '{"provider": "toy", "models": "m"}': "models: expected a list or nothing, got a text",
    '{"provider": "toy", "key": {"a": 1}}': "key: expected a text, got a mapping",
    '{"provider": "toy", "kind": "sk-never-to-be-seen-0123456789"}': "kind: it is none of the words that may stand here",
    '{"provider": "toy", "key": ""}': "key: the key is empty",
    '{"provider": "toy", "key": "your-api-key"}': "key: a placeholder stands where a key should",
    '{"provider": "toy", "key": "sk-1f2e\\nsk-3a4b"}': "key: a line break or another control character stands in the key",
    "[" * 20_000: "nested too deep",
    b'{"provider": "toy", "notes": "\xff"}': "not valid JSON",
    b'\xef\xbb\xbf{"provider": 3}': "provider: expected a text, got a whole number",
    " " * (LARGEST + 1): "it is larger than 1 MiB",
}


@pytest.mark.parametrize(("content", "says"), MISTAKES.items(), ids=range(len(MISTAKES)))
async def test_what_is_wrong_with_a_file_is_one_line_that_names_it_and_the_others_count(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    write(tmp_path / "a.json", label="before", key=SECRET)
    bad = write_raw(tmp_path / "b.json", content)
    write(tmp_path / "c.json", label="after", subject="u-2")
    source = folder_at(tmp_path)
    assert await labels(source) == ["before", "after"]
    assert len(source.problems) == 1
    assert source.problems[0].startswith(f"{bad}: ")
    assert says in source.problems[0]
    assert "\n" not in source.problems[0]
    assert SECRET not in source.problems[0]


async def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    before = (tmp_path / "folder.json").stat().st_mode
    (tmp_path / "link.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    write(tmp_path / "good.json", label="good")
    source = folder_at(tmp_path)
    assert await labels(source) == ["good"]
    said = "\n".join(source.problems)
    assert (tmp_path / "folder.json").stat().st_mode == before
    assert len(source.problems) == 2
    for what in ("link.json: the link leads nowhere", "pipe.json: it is no file"):
        assert what in said


async def test_of_several_in_a_file_those_that_are_right_count(tmp_path: Path) -> None:
    path = write(tmp_path / "team.json", {"subject": "a"}, {"subject": "b", "wieght": 2}, {"subject": "c"}, provider="toy")
    source = folder_at(tmp_path)
    assert [c.subject for c in await source.load()] == ["a", "c"]
    assert source.problems == [f"{path}: credentials[1]: wieght: unknown; did you mean 'weight'?"]


async def test_one_that_stands_twice_in_a_file_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"subject": "u-1", "label": "first"}, {"subject": "u-1", "label": "second"}, provider="toy")
    source = folder_at(tmp_path)
    assert await labels(source) == ["first"]
    assert source.problems == [f"{path}: credentials[1]: 'toy:u-1' is in {path}: credentials[0] already; it is not used twice"]


async def test_a_copied_file_counts_once_and_its_problem_names_both(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, key=SECRET, label=name) for name in ("a.json", "copy of a.json"))
    source = folder_at(tmp_path)
    assert await labels(source) == ["a.json"]
    assert len(source.problems) == 1
    assert source.problems[0].startswith(f"{second}: ")
    assert f"is in {first} already" in source.problems[0]
    first.unlink()
    assert await labels(source) == ["copy of a.json"]
    assert source.problems == []


async def test_a_file_that_is_being_written_keeps_its_last_good_state_for_a_while(tmp_path: Path) -> None:
    host = OwnHost()
    source = folder_at(tmp_path, host)
    path = write(tmp_path / "a.json", label="good")
    assert await labels(source) == ["good"]
    whole = path.read_text()
    for part in (whole[:-5], ""):
        path.write_text(part)
        assert (await labels(source), source.problems) == (["good"], [])
    host.now += GRACE / 2
    path.write_text(whole.replace("good", "better"))
    assert (await labels(source), source.problems) == (["better"], [])
    path.write_text(whole[:-5])
    assert await labels(source) == ["better"]
    host.now += GRACE
    assert await labels(source) == []
    assert [str(path) in problem and "breaks off" in problem for problem in source.problems] == [True]
    path.write_text(whole)
    assert (await labels(source), source.problems) == (["good"], [])


async def test_a_folder_that_is_not_there_is_no_problem_and_is_not_made_to_look_at_it(tmp_path: Path) -> None:
    source = folder_at(tmp_path / "not" / "there")
    assert (await source.load(), source.problems) == ([], [])
    assert not (tmp_path / "not").exists()


async def test_a_folder_that_cannot_be_read_is_no_folder_without_credentials(tmp_path: Path) -> None:
    source = folder_at(write_raw(tmp_path / "no folder", ""))
    with pytest.raises(OSError, match="cannot be read"):
        await source.load()


@pytest.mark.parametrize("said", ["", "relative"])
async def test_without_settings_the_folder_lies_where_state_of_programs_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert folder_at(None).path == tmp_path / "state" / "jackfield" / "credentials"
    monkeypatch.setenv("XDG_STATE_HOME", said)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_at(None).path == tmp_path / ".local" / "state" / "jackfield" / "credentials"


async def test_files_that_others_can_read_are_closed_to_them_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [write(tmp_path / f"{name}.json", subject=name, mode=0o600) for name in "abc"]
    for path, mode in zip(paths, (0o644, 0o660, 0o600), strict=True):
        path.chmod(mode)
    source = folder_at(tmp_path)
    for _ in range(2):
        assert len(await source.load()) == 3
        assert [path.stat().st_mode & 0o777 for path in paths] == [0o600] * 3
        assert [record.getMessage() for record in caplog.records] == [
            f"{tmp_path}: files that could be read by others, and now by their owner alone: a.json, b.json"
        ]


async def test_files_that_cannot_be_closed_to_others_still_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "chmod", refuse)
    write(tmp_path / "a.json", label="a", mode=0o644)
    source = folder_at(tmp_path)
    assert await labels(source) == await labels(source) == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: files that can be read by others, and that cannot be changed: a.json"
    ]


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the names of the files that are opened from now on."""
    names: list[str] = []
    really = os.open

    def noted(path: Any, *more: Any, **options: Any) -> int:
        names.append(Path(path).name)
        return really(path, *more, **options)

    monkeypatch.setattr(os, "open", noted)
    return names


def long_ago(path: Path) -> None:
    then = time.time() - 60
    os.utime(path, (then, then))


async def test_one_changed_file_does_not_re_read_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        long_ago(write(tmp_path / f"{number:02}.json", subject=f"u-{number}"))
    source = folder_at(tmp_path)
    before = await source.load()
    names = opened(monkeypatch)
    write(tmp_path / "07.json", subject="u-7", notes="edited")
    names.clear()
    after = await source.load()
    assert names == ["07.json"]
    assert [a is b for a, b in zip(before, after, strict=True)] == [number != 7 for number in range(20)]


async def test_a_change_within_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    source, path = folder_at(tmp_path), write(tmp_path / "a.json", label="one")
    status = path.stat()
    assert await labels(source) == ["one"]
    write(path, label="two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert await labels(source) == ["two"]


async def test_five_thousand_files_are_read_in_two_seconds_and_one_more_at_once(tmp_path: Path) -> None:
    for number in range(5000):
        path = tmp_path / f"{number:04}.json"
        path.write_text(json.dumps({"provider": "toy", "kind": "oauth", "subject": f"u-{number}", "key": f"sk-token-{number}-of-many"}))
        path.chmod(0o600)
        long_ago(path)
    source = folder_at(tmp_path)
    begun = time.process_time()  # of its own work: others may be at work on the machine
    assert len(await source.load()) == 5000
    loaded = time.process_time()
    write(tmp_path / "one more.json", subject="u-x")
    assert len(await source.load()) == 5001
    assert loaded - begun < 2
    assert time.process_time() - loaded < 0.3
