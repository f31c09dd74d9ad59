"""Programs that are plugins: where the configuration says so, or an installed distribution; listed like any other plugin."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from jackfield import Jackfield
from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.kernel.distributions import Distributions, distributions
from tests.kernel.test_cli import Run, run
from tests.kernel.test_plugin_manager import load
from tests.rpc.programs import Written

__all__ = ["distributions", "run"]

ROUTER = {"model.route": {}}


def gone(program: Written) -> bool:
    """Tell whether no process of a program is left, and each was asked to finish."""
    for life in program.lives:
        try:
            os.kill(life["started"], 0)
        except ProcessLookupError:
            continue
        return False
    return len(program.sent("plugin.shutdown")) == len(program.lives)


# ------------------------------------------------------------------------------------------------ commands


async def test_a_command_runs_in_the_folder_of_the_configuration_and_answers_calls(tmp_path: Path) -> None:
    router = Written(tmp_path / "etc" / "router.py", {"model.route": {"model": "n"}}, hooks=ROUTER, plugin={"version": "2.1"})
    (tmp_path / "etc" / "jackfield.yaml").write_text(json.dumps({"plugins": {"router": {"command": [*router.command[:-1], "router.py"]}}}))
    provider = ToyProvider()
    async with Harness([Toy(provider)], {"plugins": {"router": {"command": router.command, "colour": "red"}}}, bare=True) as host:
        await host.post("/toy/v1/talk", talk("m"))
    assert [attempt.model for attempt in provider.attempts] == ["n"]
    assert router.sent("plugin.register")[0]["config"] == {"colour": "red"}
    found = (await load(file=tmp_path / "etc" / "jackfield.yaml"))["router"]
    assert (found.state, found.version, list(found.implementations)) == ("active", "2.1", ["route_model"])
    assert router.lives[1]["folder"] == str(tmp_path / "etc")
    assert gone(router)


async def test_a_program_gets_the_environment_that_it_is_given_and_runs_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.chdir(tmp_path)
    router = Written(tmp_path / "router.py", hooks=ROUTER)
    (tmp_path / "elsewhere").mkdir()
    router.path.write_text(f"#!{router.command[0]} -S\n{router.path.read_text()}")
    router.path.chmod(0o755)
    await load({"router": {"command": ["./router.py", "fast"], "process": {"cwd": "elsewhere", "env": {"COLOUR": "red"}}}})
    (life,) = router.lives
    assert (life["folder"], life["argv"]) == (str(tmp_path / "elsewhere"), ["fast"])
    assert "COLOUR" in life["env"]
    assert "OPENAI_API_KEY" not in life["env"]


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"command": "node router.js"}, "plugins.x.command: expected a list, got 'node router.js'"),
        ({"command": []}, "plugins.x: command: expected a program and its arguments, got an empty list"),
        ({"command": [""]}, "plugins.x: command: expected a program and its arguments, got an empty list"),
        ({"command": ["node", 5]}, "plugins.x.command[1]: expected a text, got 5"),
        ({"command": ["node"], "path": "x.py"}, "plugins.x: command and path do not go together; keep one"),
        ({"command": ["node"], "isolate": True}, "plugins.x: command and isolate do not go together; keep one"),
        ({"process": {"evn": {}}}, "plugins.x.process.evn: unknown; did you mean 'env'?"),
    ],
)
def test_a_section_that_does_not_say_which_program_is_meant_is_told_in_one_line(run: Run, section: dict[str, Any], says: str) -> None:
    result = run("check", "-c", "my.yaml", my_yaml=json.dumps({"plugins": {"x": section}}))
    assert (result.exit_code, result.stderr) == (1, f"my.yaml: {says}\n")


async def test_a_program_that_is_not_there_is_a_problem_of_one_line() -> None:
    found = await load({"x": {"command": ["no-such-program-anywhere"]}, "y": {"command": ["./no-such-program"]}})
    assert [found[name].state for name in "xy"] == ["failed", "failed"]
    for name in "xy":
        (problem,) = found[name].problems
        assert problem.startswith(f"plugin '{name}': cannot start '")
        assert "\n" not in problem


async def test_several_programs_shake_hands_at_the_same_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meeting")  # opening it waits until the other one opens it, too
    meet = f"asked['method'] == 'plugin.register' and open({str(tmp_path / 'meeting')!r}, {{!r}}).close()"
    one, two = (Written(tmp_path / f"{mode}.py", before=meet.format(mode), hooks=ROUTER) for mode in "rw")
    found = await load({"one": {"command": one.command}, "two": {"command": two.command}})
    assert [found[name].state for name in ("one", "two")] == ["active", "active"]


# --------------------------------------------------------------------------------- what they say of themselves


async def test_what_a_program_says_of_itself_counts_as_it_does_in_process(tmp_path: Path) -> None:
    picker = Written(
        tmp_path / "picker.py", hooks={"scheduler.pick": {}}, priority=7, problems=["no region is set"], delegates={"then": "gone"}
    )
    door = Written(tmp_path / "door.py", hooks={"frontend_auth.authenticate": {}}, has_rules=False)
    host = Jackfield({"plugins": {"picker": {"command": picker.command}, "door": {"command": door.command}}}, listen=False, defaults=False)
    try:
        await host.load()
        found = {plugin.id: plugin for plugin in host.plugins}
        assert found["picker"].priority == 7
        assert found["picker"].problems == ["config: plugins.picker: no region is set"]
        assert any(problem.startswith("config: plugins.picker.then: no plugin 'gone' picks credentials") for problem in host.problems)
        assert found["door"].grants == ("authenticate",)
        assert host.generation.doorkeepers() == ()
    finally:
        await host.stop(grace=0)


async def test_a_refused_configuration_is_told_where_it_stands(tmp_path: Path) -> None:
    problems = [["limit", "expected a whole number,\n got 'many'"], ["", "colour: missing"]]
    picky = Written(tmp_path / "picky.py", {"plugin.register": {"code": -32602, "message": "no", "data": {"problems": problems}}})
    found = (await load({"picky": {"command": picky.command, "limit": "many"}}))["picky"]
    assert found.state == "failed"
    assert found.problems == ["config: plugins.picky.limit: expected a whole number, got 'many'\nconfig: plugins.picky: colour: missing"]


async def test_a_refusal_without_places_is_told_with_its_message(tmp_path: Path) -> None:
    sulky = Written(tmp_path / "sulky.py", {"plugin.register": {"code": -32000, "message": "not today"}})
    assert (await load({"sulky": {"command": sulky.command}}))["sulky"].problems == ["plugin 'sulky': not today"]


# ---------------------------------------------------------------------------------------- installed programs

PROGRAM = """
    import sys
    from pathlib import Path
    from jackfield.api import Program

    plugin = Program(command=(sys.executable, "-S", "-E", "acme.py"), folder=Path(__file__).parent, wants=("REGION",))
"""
NEEDY = {"request.intercept_before": {"needs": ["headers", "secret"]}, "frontend_auth.authenticate": {"needs": ["headers", "secret"]}}


async def test_a_distribution_ships_a_program(distributions: Distributions) -> None:
    acme = Written(distributions.folder / "acme.py", hooks=ROUTER)
    distributions.install("acme-router", PROGRAM, plugins={"acme": "acme_router:plugin"}, version="2.5")
    found = (await load())["acme"]
    assert (found.state, found.version, found.distribution, list(found.implementations)) == (
        "active", "2.5", "acme-router", ["route_model"],
    )  # fmt: skip
    assert found.origin == "entry point acme = acme_router:plugin"
    assert acme.lives[0]["folder"] == str(distributions.folder)
    assert (await load({"autoload": False}))["acme"].state == "disabled"
    assert len(acme.lives) == 1


async def test_a_package_with_a_manifest_is_the_program_that_it_describes(distributions: Distributions) -> None:
    acme = Written(distributions.folder / "acme_router" / "acme.py", hooks=ROUTER, plugin={"version": "9"})
    (acme.path.parent / "__init__.py").write_text("")
    acme.describe(version="8")
    distributions.install("acme-thing", plugins={"acme": "acme_router"})
    found = (await load())["acme"]
    assert (found.state, found.version, list(found.implementations)) == ("active", "9", ["route_model"])
    acme.path.with_name("jackfield-plugin.yaml").write_text("comand: [x]")
    (problem,) = (await load())["acme"].problems
    assert problem.startswith("plugin 'acme': ")
    assert "comand: unknown; did you mean 'command'?" in problem


async def test_a_package_with_a_manifest_is_a_process_of_its_own_already(distributions: Distributions) -> None:
    acme = Written(distributions.folder / "acme_router" / "acme.py", hooks=ROUTER)
    (acme.path.parent / "__init__.py").write_text("")
    acme.describe()
    distributions.install("acme-thing", plugins={"acme": "acme_router"})
    found = (await load({"acme": {"isolate": True}}))["acme"]
    assert (found.state, found.problems) == ("failed", ["plugin 'acme': isolate: it is a process of its own already"])
    assert acme.lives == []


async def test_a_program_that_is_merely_installed_is_sent_no_secrets_and_guards_nothing(distributions: Distributions) -> None:
    acme = Written(distributions.folder / "acme.py", hooks=NEEDY)
    distributions.install("acme-router", PROGRAM, plugins={"acme": "acme_router:plugin"})
    keyed = {"authorization": "Bearer of-the-client", "x-api-key": "of-the-client"}
    async with Harness([Toy()]) as host:
        assert (await host.post("/toy/v1/talk", talk(), headers=keyed)).status == 200
        (found,) = (plugin for plugin in host.host.plugins if plugin.id == "acme")
    assert found.grants == ()
    assert [problem.partition(": ")[2] for problem in found.problems if "secret" in problem] == [
        f"plugins.acme: {method} is not sent the secrets that it needs: that takes a grant; name the plugin in the configuration"
        for method in NEEDY
    ]
    assert "plugin 'acme': authenticate needs a grant: name the plugin in the configuration (plugins.acme: {})" in found.problems
    assert acme.sent("frontend_auth.authenticate") == []
    assert len(acme.sent("request.intercept_before")) == 1
    assert "of-the-client" not in json.dumps(acme.sent("request.intercept_before"))


async def test_a_program_that_the_configuration_names_gets_what_naming_grants(distributions: Distributions) -> None:
    acme = Written(distributions.folder / "acme.py", {"frontend_auth.authenticate": {"principal": {"name": "ann"}}}, hooks=NEEDY)
    distributions.install("acme-router", PROGRAM, plugins={"acme": "acme_router:plugin"})
    async with Harness([Toy()], {"plugins": {"acme": {}}}) as host:
        assert (await host.post("/toy/v1/talk", talk(), headers={"x-api-key": "of-the-client"})).status == 200
        (found,) = (plugin for plugin in host.host.plugins if plugin.id == "acme")
    assert (found.grants, found.problems) == (("authenticate",), [])
    assert "of-the-client" in json.dumps(acme.sent("frontend_auth.authenticate"))


# ------------------------------------------------------------------------------------------------ listings


def test_programs_are_listed_like_any_other_plugin_and_none_is_left_running(run: Run, tmp_path: Path) -> None:
    router = Written(tmp_path / "p" / "router.py", hooks=ROUTER, priority=3, plugin={"version": "2"}, problems=["it is late"])
    off = Written(tmp_path / "p" / "off.py", hooks=ROUTER)
    sections = {"router": {"command": router.command}, "off": {"command": off.command, "enabled": False}}
    text = json.dumps({"plugins": sections})
    rows = {row["id"]: row for row in json.loads(run("plugins", "-c", "my.yaml", "--json", my_yaml=text).output)}
    assert rows["router"] == {
        "id": "router", "version": "2", "distribution": None, "origin": f"command {' '.join(router.command)}", "carried": "process",
        "state": "active", "hooks": ["route_model"], "priority": 3, "grants": [], "config": "my.yaml: plugins.router",
        "problems": ["my.yaml: plugins.router: it is late"], "hints": [],
    }  # fmt: skip
    assert (rows["off"]["state"], rows["off"]["carried"], rows["simulator"]["carried"]) == ("disabled", "process", "in process")
    table = run("plugins", "-c", "my.yaml")
    (line,) = (line for line in table.output.splitlines() if line.startswith("router "))
    assert " process " in line
    assert "problem: my.yaml: plugins.router: it is late" in table.output
    order = run("plugins", "-c", "my.yaml", "--order").output
    assert "route_model: router" in order
    assert run("check", "-c", "my.yaml").stderr == "my.yaml: plugins.router: it is late\n"
    assert len(router.lives) == 4
    assert gone(router)
    assert off.lives == []


def test_the_schema_of_the_configuration_has_that_of_a_programs_settings(run: Run, tmp_path: Path) -> None:
    told = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"colour": {"$ref": "#/$defs/colour"}},
        "$defs": {"colour": {"enum": ["red", "blue"]}},
        "additionalProperties": False,
    }
    router = Written(tmp_path / "router.py", hooks=ROUTER, config_schema=told)
    text = json.dumps({"plugins": {"router": {"command": router.command}}})
    schema = json.loads(run("schema", "config", "-c", "my.yaml", my_yaml=text).output)
    jsonschema.Draft202012Validator.check_schema(schema)
    for section, valid in (({"colour": "red", "priority": 3}, True), ({"colour": "green"}, False), ({"color": "red"}, False), (None, True)):
        assert jsonschema.Draft202012Validator(schema).is_valid({"plugins": {"router": section}}) is valid
    assert gone(router)
