"""Programs with a manifest: found in a folder, started when the configuration names them, and only where nobody else may write."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api.testing import Harness
from jackfield.cli.files import files_of
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.kernel.distributions import Distributions, distributions
from tests.kernel.test_cli import Run, run
from tests.kernel.test_plugin_manager import load
from tests.rpc.programs import Written

__all__ = ["distributions", "run"]

ROUTER: dict[str, Any] = {"model.route": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of plugins."""
    made = tmp_path / "plugins"
    made.mkdir()
    return made


async def test_a_program_with_a_manifest_is_started_when_the_configuration_names_it(folder: Path) -> None:
    shout = Written(folder / "shouting" / "shout.py", {"model.route": {"model": "n"}}, hooks=ROUTER)
    shout.describe(name="shout", version="1.2", hooks=["model.route"])
    found = (await load({"folder": str(folder)}))["shout"]
    assert (found.state, found.version, found.problems, shout.lives) == ("disabled", "1.2", [], [])
    provider = ToyProvider()
    async with Harness([Toy(provider)], {"plugins": {"folder": str(folder), "shout": {"colour": "red"}}}, bare=True) as host:
        await host.post("/toy/v1/talk", talk("m"))
        (plugin,) = (plugin for plugin in host.host.plugins if plugin.id == "shout")
        assert (plugin.state, plugin.origin) == ("active", f"manifest {folder / 'shouting' / 'jackfield-plugin.yaml'}")
    assert [attempt.model for attempt in provider.attempts] == ["n"]
    assert shout.lives[0]["folder"] == str(folder / "shouting")
    assert shout.sent("plugin.register")[0]["config"] == {"colour": "red"}
    assert (await load({"folder": str(folder), "shout": {"enabled": False}}))["shout"].state == "disabled"
    assert len(shout.lives) == 1


async def test_plugins_are_looked_for_in_the_systems_folder_for_data_and_nowhere_when_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    Written(tmp_path / "jackfield" / "plugins" / "shout" / "shout.py", hooks=ROUTER).describe()
    assert (await load())["shout"].state == "disabled"
    assert "shout" not in await load({"folder": ""})
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    Written(tmp_path / ".local" / "share" / "jackfield" / "plugins" / "other" / "other.py", hooks=ROUTER).describe()
    assert (await load())["other"].state == "disabled"


async def test_the_folder_is_relative_to_the_configuration_and_hidden_folders_are_none_of_its_plugins(tmp_path: Path) -> None:
    for name in ("one", ".two"):
        Written(tmp_path / "plugins" / name / "it.py", hooks=ROUTER).describe()
    (tmp_path / "plugins" / "three").mkdir()
    (tmp_path / "my.yaml").write_text("plugins: {autoload: false, folder: plugins}")
    assert [name for name, plugin in (await load(file=tmp_path / "my.yaml")).items() if plugin.distribution is None] == ["one"]


async def test_a_path_may_name_a_folder_with_a_manifest(folder: Path, tmp_path: Path) -> None:
    shout = Written(folder / "shout" / "shout.py", hooks=ROUTER)
    shout.describe(name="other")
    (tmp_path / "my.yaml").write_text("plugins: {mine: {path: plugins/shout}}")
    found = (await load(file=tmp_path / "my.yaml"))["mine"]
    assert (found.state, list(found.implementations)) == ("active", ["route_model"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("comand: [x]", ["comand: unknown; did you mean 'command'?", "command: missing; expected a list"]),
        ("name: x", ["command: missing; expected a list"]),
        ("command: node router.js", ["command: expected a list, got a text"]),
        ("command: []", ["command: expected a program and its arguments, got an empty list"]),
        ("command: [x]\nenv: {A: b}", ["env: expected a list, got a mapping"]),
        ("command: [x", ["not valid YAML: "]),
        ("[x]", ["expected a mapping at the top, got a list"]),
        ("", ["command: missing; expected a list"]),
        ("&a\ncommand: [x]\nconfig_schema: *a", ["not valid: something in it is nested too deep, or holds itself"]),
    ],
)
async def test_a_manifest_that_is_wrong_is_a_listed_problem(folder: Path, text: str, says: list[str]) -> None:
    manifest = Written(folder / "shout" / "shout.py", hooks=ROUTER).describe()
    manifest.write_text(text)
    for state, sections in (("disabled", {}), ("failed", {"shout": {}})):
        found = (await load({"folder": str(folder), **sections}))["shout"]
        assert found.state == state
        lines = "\n".join(found.problems).splitlines()
        assert len(lines) == len(says)
        for line, what in zip(lines, says, strict=True):
            assert line.startswith(f"{manifest}: ")
            assert what in line


@pytest.mark.parametrize("which", ["folder", "manifest", "program"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
async def test_what_others_may_write_is_not_run(folder: Path, which: str, mode: int) -> None:
    shout = Written(folder / "shout" / "shout.py", hooks=ROUTER)
    manifest = shout.describe()
    path = {"folder": manifest.parent, "manifest": manifest, "program": shout.path}[which]
    path.chmod(path.stat().st_mode | mode)
    found = (await load({"folder": str(folder), "shout": {}}))["shout"]
    assert (found.state, shout.lives) == ("failed", [])
    assert found.problems == [f"others may write to {path}, and so have it run anything: chmod go-w {path}"]


async def test_a_command_may_hold_a_whole_script(folder: Path) -> None:
    script = Written(folder / "shout" / "shout.py", hooks=ROUTER).path.read_text() + "#" * 5000
    (folder / "shout" / "jackfield-plugin.yaml").write_text(json.dumps({"command": [sys.executable, "-S", "-c", script]}))
    assert (await load({"folder": str(folder), "shout": {}}))["shout"].state == "active"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
async def test_what_belongs_to_somebody_else_is_not_run(folder: Path) -> None:
    shout = Written(folder / "shout" / "shout.py", hooks=ROUTER)
    os.chown(manifest := shout.describe(), 1234, -1)
    found = (await load({"folder": str(folder), "shout": {}}))["shout"]
    assert (found.state, shout.lives) == ("failed", [])
    (problem,) = found.problems
    assert problem.startswith(f"{manifest} belongs to another user")


async def test_a_manifest_does_not_take_the_place_of_what_is_installed_or_stands_in_the_configuration(
    folder: Path, distributions: Distributions
) -> None:
    shadow = Written(folder / "x-acme" / "it.py", hooks=ROUTER)
    manifest = shadow.describe(name="acme")
    distributions.install("acme-plugin", "def pick_credential(call, pool): pass", plugins={"acme": "acme_plugin"})
    found = (await load({"folder": str(folder), "acme": {}}))["acme"]
    assert (found.state, list(found.implementations), shadow.lives) == ("active", ["pick_credential"], [])
    assert found.problems == [f"plugin 'acme': {manifest} has the same name and is not used"]
    chosen = (await load({"folder": str(folder), "acme": {"path": str(folder / "x-acme")}}))["acme"]
    assert (chosen.state, list(chosen.implementations), chosen.problems) == ("active", ["route_model"], [])
    twin = Written(folder / "y-acme" / "it.py", hooks=ROUTER).describe(name="acme")
    distributions.folder.rename(folder.parent / "gone")
    assert (await load({"folder": str(folder), "acme": {}}))["acme"].problems == [
        f"plugin 'acme': {twin} has the same name and is not used"
    ]


async def test_a_manifests_wish_for_variables_grants_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "north")
    shout = Written(folder / "shout" / "shout.py", hooks=ROUTER)
    shout.describe(env=["REGION"])
    await load({"folder": str(folder), "shout": {}})
    await load({"folder": str(folder), "shout": {"process": {"env": {"REGION": "${REGION}"}}}})
    assert ["REGION" in life["env"] for life in shout.lives] == [False, True]


async def test_a_reload_starts_a_program_anew_whose_manifest_has_changed_and_a_rollback_goes_back(folder: Path) -> None:
    shout = Written(folder / "shout" / "shout.py", hooks=ROUTER)
    manifest = shout.describe(name="loud", version="1")
    config = {"plugins": {"folder": str(folder), "loud": {}}}
    async with Harness([Toy()], config, bare=True) as host:
        assert manifest in files_of(host.host)
        before = next(plugin for plugin in host.host.plugins if plugin.id == "loud")
        await host.host.reload()
        assert next(plugin for plugin in host.host.plugins if plugin.id == "loud") is before
        shout.describe(name="loud", version="2")
        await host.host.reload()
        after = next(plugin for plugin in host.host.plugins if plugin.id == "loud")
        assert (after.version, len(shout.lives)) == ("2", 2)
        await host.host.rollback()
        assert next(plugin for plugin in host.host.plugins if plugin.id == "loud").version == "1"


async def test_a_manifest_that_nobody_asked_for_keeps_no_reload_from_being_used(folder: Path) -> None:
    manifest = Written(folder / "shout" / "shout.py", hooks=ROUTER).describe()
    async with Harness([Toy()], {"plugins": {"folder": str(folder)}}, bare=True) as host:
        manifest.write_text("comand: [x]")
        await host.host.reload()
        assert any("comand: unknown" in problem for problem in host.host.problems)


def test_programs_with_manifests_are_listed_with_what_the_manifest_says(run: Run, folder: Path) -> None:
    shout = Written(folder / "shout" / "shout.py", hooks=ROUTER)
    told = {"properties": {"colour": {"enum": ["red"]}}, "additionalProperties": False}
    shout.describe(version="1.2", hooks=["model.route", "response.intercept_stream_chunk.open"], env=["REGION", "HOME"], config_schema=told)
    text = "plugins: {folder: plugins}"
    rows = {row["id"]: row for row in json.loads(run("plugins", "-c", "my.yaml", "--json", my_yaml=text).output)}
    assert rows["shout"] == {
        "id": "shout", "version": "1.2", "distribution": None, "origin": f"manifest {folder / 'shout' / 'jackfield-plugin.yaml'}",
        "carried": "process", "state": "disabled", "hooks": ["route_model", "intercept_stream"], "priority": 0, "grants": [],
        "config": "my.yaml: plugins.shout", "problems": [],
        "hints": ["shout is not loaded; to load it, name it in the configuration (plugins.shout: {})"],
    }  # fmt: skip
    assert "hint: shout is not loaded" in run("plugins", "-c", "my.yaml").output
    assert run("check", "-c", "my.yaml").exit_code == 0
    schema = json.loads(run("schema", "config", "-c", "my.yaml").output)
    assert schema["properties"]["plugins"]["properties"]["shout"]["properties"]["colour"] == {"enum": ["red"]}
    assert shout.lives == []
    text = "plugins: {folder: plugins, shout: {}}"
    rows = {row["id"]: row for row in json.loads(run("plugins", "-c", "my.yaml", "--json", my_yaml=text).output)}
    assert (rows["shout"]["state"], rows["shout"]["hooks"]) == ("active", ["route_model"])
    assert rows["shout"]["hints"] == ["shout would like to have $REGION (plugins.shout.process.env: {REGION: ${REGION}})"]
    assert len(shout.lives) == 1


async def test_a_host_that_is_embedded_finds_the_folder_by_its_configuration(folder: Path) -> None:
    Written(folder / "shout" / "shout.py", hooks=ROUTER).describe()
    host = Jackfield({"plugins": {"folder": str(folder)}}, listen=False, defaults=False)
    try:
        await host.load()
        assert "shout" in [plugin.id for plugin in host.plugins]
    finally:
        await host.stop(grace=0)
