"""Distributions for tests that are installed without an installer: a folder on `sys.path` with metadata and modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest


class Distributions:
    """Lays out distributions in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        name: str,
        code: str = "",
        plugins: Mapping[str, str] | None = None,
        commands: Mapping[str, str] | None = None,
        version: str = "1.0",
    ) -> None:
        """Lay out a distribution with one module of its name; by default that module is its one plugin."""
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        groups = {"jackfield.plugins": plugins if plugins is not None else {module: module}, "jackfield.commands": commands or {}}
        lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items()) for group, points in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    """A folder of distributions that can be imported; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Distributions(folder)
    for name in set(sys.modules) - before:
        if str(folder) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
