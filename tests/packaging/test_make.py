"""The Makefile on a machine with nothing prepared but a Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.packaging.installation import run, serving

PYTHONS = ("python3.13", "python3.12", "python3.11", "python3", "python")


def with_pythons(folder: Path, env: Mapping[str, str], **scripts: str) -> dict[str, str]:
    """Return variables whose path begins with these as its Pythons; what is not named is a shim with nothing behind it."""
    folder.mkdir()
    for name in PYTHONS:
        (folder / name).write_text("#!/bin/sh\n" + scripts.get(name, f"echo '{name}: command not found' >&2; exit 127") + "\n")
        (folder / name).chmod(0o755)
    return {**env, "PATH": f"{folder}{os.pathsep}{env['PATH']}"}


@pytest.fixture(scope="module")
def machine(env: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a machine with one Python that works, under the plainest of its names."""
    return with_pythons(tmp_path_factory.mktemp("machine") / "bin", env, python3=f'exec {sys.executable} "$@"')


@pytest.fixture
def tree(checkout: Path, tmp_path: Path) -> Path:
    """A checkout that a test may change."""
    return Path(shutil.copytree(checkout, tmp_path / "tree"))


def test_make_serve_installs_serves_and_prints_a_line_that_answers(machine: dict[str, str], tree: Path) -> None:
    with serving("make", "serve", "ARGS=--port 0", cwd=tree, env=machine) as host:
        assert host.paste()["choices"][0]["message"]["content"] == "Hello!"
        assert host.stop() == 0

    planned = run("make", "--dry-run", "serve", cwd=tree, env=machine)
    assert planned.splitlines() == ["exec .venv/bin/jackfield serve "], "nothing is installed a second time"
    with serving("make", "serve", "ARGS=--port 0", cwd=tree, env=machine) as host:
        host.stop_what_started_it()


def test_make_test_installs_what_it_needs_runs_pytest_and_is_cleaned_away(machine: dict[str, str], tree: Path) -> None:
    printed = run("make", "test", "ARGS=--version", cwd=tree, env=machine)
    assert printed.splitlines()[-1].startswith("pytest ")
    assert (tree / "build" / "wheelhouse" / ".filled").exists()
    again = run("make", "--dry-run", "test", "serve", cwd=tree, env=machine)
    runs = [".venv/bin/python -m pytest -n auto --dist worksteal ", "exec .venv/bin/jackfield serve "]
    assert again.splitlines() == runs, "nothing is installed a second time"
    assert "usage: python -m tests.bench" in run("make", "bench", "ARGS=--help", cwd=tree, env=machine)
    run("make", "clean", cwd=tree, env=machine)
    assert not (tree / ".venv").exists()
    assert not (tree / "build").exists()


@pytest.mark.parametrize("target", ["serve", "test", "lint", "bench"])
def test_without_a_python_that_is_new_enough_make_says_so_in_one_line(
    plain_env: Mapping[str, str], checkout: Path, tmp_path: Path, target: str
) -> None:
    old = with_pythons(tmp_path / "bin", plain_env, python3="exit 1  # as for: is it 3.11?")
    nothing = tmp_path / "nothing"
    done = subprocess.run(["make", target, f"VENV={nothing}"], cwd=checkout, env=old, capture_output=True, text=True)
    first, *rest = done.stderr.splitlines()
    assert done.returncode != 0
    assert first.startswith("Jackfield needs Python 3.11 or newer")
    assert all(line.startswith("make: ***") for line in rest)
    assert not nothing.exists()


def test_make_help_names_every_target(plain_env: Mapping[str, str], checkout: Path) -> None:
    printed = run("make", "help", cwd=checkout, env=plain_env)
    assert {line.split()[0] for line in printed.splitlines()} >= {"serve", "test", "lint", "bench", "clean"}
