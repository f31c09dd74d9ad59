"""Installed by pip into an environment with nothing in it, the host serves; a third party's plugin comes and goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.installation import Installation

FIRST_PARTY = {
    "anthropic", "api_keys", "credential_files", "fastest", "fill_first", "gemini", "least_busy", "memory", "oauth", "openai",
    "reasoning_replay", "round_robin", "simulator", "sqlite", "sticky", "weighted",
}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
SETTINGS = """
plugins:
  workload:
    tools: sim/tools
    long: sim/length
    long_from: 2
"""

NewInstallation = Callable[[], Installation]


@pytest.mark.parametrize("what", ["wheel", "checkout"])
def test_installed_alone_the_host_serves_and_its_line_answers(
    new_installation: NewInstallation, distributions: dict[str, Path], checkout: Path, what: str
) -> None:
    place = new_installation()
    place.run("pip", "install", {"wheel": distributions["wheel"], "checkout": checkout}[what])
    assert place.run("jackfield", "--version").startswith("jackfield, version ")
    listed = place.plugins()
    assert set(listed) == FIRST_PARTY
    assert {(row["distribution"], *row["problems"]) for row in listed.values()} == {("jackfield",)}
    assert {name for name, row in listed.items() if row["state"] != "active"} == {"reasoning_replay"}  # which has to be enabled
    with place.serve() as host:
        assert host.paste()["choices"][0]["message"]["content"] == "Hello!"
        assert host.stop() == 0


@pytest.fixture(scope="module")
def place(new_installation: NewInstallation, distributions: dict[str, Path]) -> Installation:
    """The host and the example, both from their wheels."""
    made = new_installation()
    made.run("pip", "install", distributions["wheel"], f"{distributions['example']}[test]")
    return made


def test_an_installed_plugin_is_listed_without_being_named(place: Installation) -> None:
    row = place.plugins()["workload"]
    assert (row["distribution"], row["version"], row["state"], row["hooks"]) == ("jackfield-workload", "1.0.0", "active", ["route_model"])
    assert row["problems"] == []


def test_the_plugin_passes_its_own_tests(place: Installation) -> None:
    own = ROOT / "plugin_examples" / "router_python"
    work = place.folder / "router"
    shutil.copytree(own / "tests", work / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(own / "pyproject.toml", work)
    assert " passed" in place.run("python", "-m", "pytest", "-q", work)


def test_an_installed_plugin_decides_until_it_is_uninstalled(place: Installation) -> None:
    settings = place.folder / "jackfield.yaml"
    settings.write_text(SETTINGS)
    long = [{"role": "user", "content": "Hello!"}] * 2
    with place.serve() as host:
        assert host.paste()["choices"][0]["finish_reason"] == "stop"
        assert host.paste(messages=long)["choices"][0]["finish_reason"] == "length"
        called = host.paste(tools=[TOOL])["choices"][0]
        assert (called["finish_reason"], called["message"]["tool_calls"][0]["function"]["name"]) == ("tool_calls", "clock")
        assert host.stop() == 0

    place.run("pip", "uninstall", "--yes", "jackfield-workload")
    left = place.plugins()["workload"]
    assert left["state"] == "failed"
    assert "no plugin of that name is installed" in left["problems"][0]
    with place.serve() as host:
        assert "no plugin of that name is installed" in host.printed
        assert host.paste(tools=[TOOL])["choices"][0]["finish_reason"] == "stop"
        assert host.stop() == 0

    settings.unlink()
    assert set(place.plugins()) == FIRST_PARTY
