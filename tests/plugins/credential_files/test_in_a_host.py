"""A host with a folder of credentials: what callers and operators notice of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jackfield import Jackfield
from jackfield.api import Bearer, HttpProvider
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield.cli.main import main
from jackfield.credentials import Account
from tests.plugins.credential_files.kit import PATIENCE, write, write_raw

GOOD = json_answer({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []})


class Acme:
    def __init__(self, url: str) -> None:
        self._url = url

    def register_providers(self) -> list[HttpProvider]:
        return [HttpProvider(key="acme", dialects=["openai.chat"], base_url=self._url, auth=Bearer(), models=["m", "n"])]


def house(folder: Path, url: str = "http://127.0.0.1:1", **config: Any) -> Harness:
    return Harness([Acme(url)], {"plugins": {"credential_files": {"folder": str(folder)}}, **config})


def keys_that_were_sent(upstream: ScriptedUpstream) -> list[str]:
    return [(request.headers.get("authorization") or "").removeprefix("Bearer ") for request in upstream.requests]


async def test_keys_of_files_serve_beside_those_of_the_configuration(tmp_path: Path) -> None:
    write(tmp_path / "team.json", {"key": "sk-of-a-file-1"}, {"key": "sk-of-a-file-2"}, provider="acme", prefix="team")
    write(tmp_path / "off.json", provider="acme", key="sk-of-a-file-3", prefix="team", disabled=True)
    configured = [{"provider": "acme", "key": "sk-of-the-configuration"}]
    async with ScriptedUpstream(GOOD) as upstream, house(tmp_path, upstream.url, credentials=configured) as host:
        for model in ("m", "team/m", "team/m", "m", "m"):
            assert (await host.post("/v1/chat/completions", {"model": model, "messages": []})).status == 200
        sent = keys_that_were_sent(upstream)
    assert sorted(sent[1:3]) == ["sk-of-a-file-1", "sk-of-a-file-2"]
    assert set(sent) == {"sk-of-the-configuration", "sk-of-a-file-1", "sk-of-a-file-2"}


async def test_a_file_may_send_its_credential_to_a_server_of_its_own(tmp_path: Path) -> None:
    async with ScriptedUpstream(GOOD) as upstream:
        write(tmp_path / "a.json", provider="acme", kind="oauth", key="sk-of-an-account", base_url=upstream.url)
        async with house(tmp_path) as host:
            assert (await host.post("/v1/chat/completions", {"model": "m", "messages": []})).status == 200
        assert keys_that_were_sent(upstream) == ["sk-of-an-account"]


async def test_the_host_lists_what_is_wrong_and_works_with_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "good.json", provider="acme", key="sk-of-a-file-1")
    write_raw(tmp_path / "half.json", '{"provider": "acme", "key": "sk-')
    write(tmp_path / "lost.json", provider="nobody", key="sk-of-a-file-2")
    write(tmp_path / "twice.json", provider="acme", key="sk-of-the-configuration")
    configured = [{"provider": "acme", "key": "sk-of-the-configuration"}]
    async with ScriptedUpstream(GOOD) as upstream, house(tmp_path, upstream.url, credentials=configured) as host:
        assert (await host.post("/v1/chat/completions", {"model": "m", "messages": []})).status == 200
        problems = host.host.problems
    assert len(problems) == 3
    for name, says in (
        ("half", "not valid JSON"),
        ("lost", "there is no provider 'nobody'"),
        ("twice", "is in config: credentials[0] already"),
    ):
        assert [says in problem for problem in problems if problem.startswith(f"{tmp_path / name}.json: ")] == [True]


def test_the_command_that_checks_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "state" / "jackfield" / "credentials"
    folder.mkdir(parents=True)
    path = write(folder / "a.json", provider="simulator", pririty=1)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert f"{path}: pririty: unknown; did you mean 'priority'?" in result.output


async def test_a_folder_that_cannot_be_read_is_a_problem_of_the_plugin(tmp_path: Path) -> None:
    async with house(write_raw(tmp_path / "no folder", "")) as host:
        said = f"plugin 'credential_files': {tmp_path / 'no folder'}: the folder cannot be read: Not a directory"
        assert host.host.problems == [said]


async def test_it_brings_nothing_unless_the_configuration_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "jackfield" / "credentials"
    folder.mkdir(parents=True)
    write(folder / "a.json", provider="acme", key="sk-of-a-file-1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for defaults in (False, True):
        host = Jackfield({}, plugins=[Acme("http://127.0.0.1:1")], listen=False, defaults=defaults)
        try:
            generation = await host.load()
            assert [account.credential.label for account in generation.accounts if account.provider.key == "acme"] == ["a"] * defaults
            assert any("register_credential_sources needs a grant" in problem for problem in host.problems) != defaults
        finally:
            await host.stop(grace=0)


async def test_a_test_of_somebodys_plugin_sees_no_credentials_of_its_author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "jackfield" / "credentials"
    folder.mkdir(parents=True)
    write(folder / "a.json", provider="acme", key="sk-of-a-file-1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with Harness([Acme("http://127.0.0.1:1")]) as host:
        assert not [account for account in host.host.generation.accounts if account.provider.key == "acme"]


# ------------------------------------------------------------------------------------------- while it runs


async def until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not so():
            await asyncio.sleep(0.01)


def held(host: Harness) -> dict[str, Account]:
    return {account.credential.label: account for account in host.host.generation.accounts if account.provider.key == "acme"}


async def test_files_that_come_change_and_go_take_effect_while_the_host_serves(tmp_path: Path) -> None:
    async with ScriptedUpstream(GOOD) as upstream, house(tmp_path / "folder", upstream.url) as host:
        ask = {"model": "acme/m", "messages": []}
        assert (await host.post("/v1/chat/completions", ask)).status != 200
        await until((tmp_path / "folder").is_dir)
        path = write(tmp_path / "folder" / "a.json", provider="acme", key="sk-of-a-file-1", id="a", label="a")
        await until(lambda: held(host))
        assert (await host.post("/v1/chat/completions", ask)).status == 200
        before = held(host)["a"]
        write(path, provider="acme", key="sk-of-a-file-2", id="a", label="edited")
        await until(lambda: "edited" in held(host))
        assert held(host)["edited"] is before, "its figures are kept"
        assert before.last_used > 0
        assert (await host.post("/v1/chat/completions", ask)).status == 200
        path.unlink()
        await until(lambda: not held(host))
        assert (await host.post("/v1/chat/completions", ask)).status != 200
        assert keys_that_were_sent(upstream) == ["sk-of-a-file-1", "sk-of-a-file-2"]


async def test_a_mistake_made_while_the_host_runs_is_listed_and_its_correction_strikes_it_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "jackfield")
    write(tmp_path / "a.json", provider="acme", label="a", key="sk-of-a-file-1")
    async with house(tmp_path) as host:
        path = write(tmp_path / "b.json", provider="acme", label="b", key="sk-of-a-file-2", pririty=3)
        await until(lambda: host.host.problems)
        assert host.host.problems == [f"{path}: pririty: unknown; did you mean 'priority'?"]
        assert [*held(host)] == ["a"]
        write(path, provider="acme", label="b", key="sk-of-a-file-2", priority=3)
        await until(lambda: "b" in held(host))
        assert host.host.problems == []
        path.unlink()
        await until(lambda: "b" not in held(host))
        there = len(host.host.generation.accounts)
    said = f"{path}: pririty: unknown; did you mean 'priority'?"
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith(("credentials: ", "no longer so: ", str(path)))] == [
        said, f"credentials: 1 came, 0 went, {there + 1} are there", f"no longer so: {said}",
        f"credentials: 0 came, 1 went, {there} are there",
    ]  # fmt: skip


async def test_a_folder_that_becomes_unreadable_takes_nothing_from_the_host(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.json", provider="acme", label="a", key="sk-of-a-file-1")
    async with house(folder) as host:
        folder.rename(tmp_path / "away")
        folder.touch()
        await until(lambda: host.host.problems)
        assert "the folder cannot be read" in host.host.problems[0]
        assert [*held(host)] == ["a"]
        folder.unlink()
        (tmp_path / "away").rename(folder)
        await until(lambda: not host.host.problems)
        assert [*held(host)] == ["a"]


async def test_another_folder_in_the_configuration_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.json", provider="acme", label=name, key=f"sk-of-a-file-{name}")
    async with house(tmp_path / "one") as host:
        await host.host.reload({"plugins": {"credential_files": {"folder": str(tmp_path / "two")}}})
        assert [*held(host)] == ["two"]
        write(tmp_path / "two" / "b.json", provider="acme", label="more", key="sk-of-a-file-more")
        await until(lambda: "more" in held(host))
        assert [*held(host)] == ["two", "more"]


async def test_one_changed_file_of_five_thousand_changes_one_account(tmp_path: Path) -> None:
    for number in range(5000):
        path = tmp_path / f"{number:04}.json"
        path.write_text(json.dumps({"provider": "acme", "kind": "oauth", "subject": f"u-{number}", "key": f"sk-token-{number}-of-many"}))
        path.chmod(0o600)
    begun = time.process_time()
    async with house(tmp_path) as host:
        assert time.process_time() - begun < 2
        before = [*host.host.generation.accounts]
        credentials = [account.credential for account in before]
        write(tmp_path / "0007.json", provider="acme", kind="oauth", subject="u-7", key="sk-token-7-of-many", notes="edited")
        await until(lambda: before[7].credential.notes == "edited")
        after = host.host.generation.accounts
        assert all(one is other for one, other in zip(before, after, strict=True))
        assert [n for n, account in enumerate(after) if account.credential is not credentials[n]] == [7]
