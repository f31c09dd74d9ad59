"""What is in the archives that are published."""

from __future__ import annotations

import configparser
import os
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.installation import run

PLUGINS = sorted(p.name for p in ROOT.glob("plugins/*/jackfield_*") if not (p.parent / "pyproject.toml").exists())
PACKAGES = ["jackfield", "jackfield_defaults", *PLUGINS]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith(f".dist-info/{name}"))).decode()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_each_package_with_its_types(distributions: dict[str, Path], package: str) -> None:
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names(distributions["wheel"])


def test_the_wheel_holds_nothing_that_the_host_does_not_need(distributions: dict[str, Path]) -> None:
    files = [PurePosixPath(n) for n in names(distributions["wheel"])]
    code = [f for f in files if not f.parts[0].endswith(".dist-info")]
    assert {f.parts[0] for f in code} == set(PACKAGES)
    assert {f.name if f.suffix != ".py" else ".py" for f in code} == {".py", "py.typed", "jackfield.yaml", "catalogue.json", "presets.json"}
    assert not [f for f in code if f.name.startswith("test_") or f.name == "conftest.py" or "__pycache__" in f.parts]


def test_the_wheel_holds_its_defaults_and_licence_and_says_what_it_is(distributions: dict[str, Path]) -> None:
    wheel = distributions["wheel"]
    assert "jackfield_defaults/jackfield.yaml" in names(wheel)
    assert any(n.endswith("/licenses/LICENSE") for n in names(wheel))
    lines = metadata(wheel, "METADATA").splitlines()
    assert {"Name: jackfield", "Requires-Python: >=3.11", "Provides-Extra: socks"} <= set(lines)
    assert "# Jackfield" in lines, "the README is the long description"


def test_the_wheel_names_every_plugin_that_it_holds(distributions: dict[str, Path]) -> None:
    points = configparser.ConfigParser()
    points.read_string(metadata(distributions["wheel"], "entry_points.txt"))
    assert sorted(points["jackfield.plugins"].values()) == PLUGINS
    assert dict(points["console_scripts"]) == {"jackfield": "jackfield.cli.main:main"}


def test_the_source_archive_alone_builds_the_same_wheel(distributions: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(distributions["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "out", cwd=source, env=os.environ)
    (wheel,) = (tmp_path / "out").iterdir()
    assert wheel.name == distributions["wheel"].name
    assert names(wheel) == names(distributions["wheel"])


def test_the_source_archive_holds_no_strays(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as archive:
        files = [PurePosixPath(n) for n in archive.getnames()]
    assert not [f for f in files if f.suffix == ".pyc" or f.parts[1:] == ("jackfield.yaml",)]


def test_the_example_holds_its_package_alone(distributions: dict[str, Path]) -> None:
    tops = {PurePosixPath(n).parts[0] for n in names(distributions["example"])}
    assert tops == {"jackfield_workload", "jackfield_workload-1.0.0.dist-info"}
