"""Small programs that are plugins: Python scripts that answer what they are told to, and write down what they were sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

_SCRIPT = """
    import json, os, sys
    answers, said = json.loads({answers!r}), open({said!r}, "a")
    life = {{"started": os.getpid(), "folder": os.getcwd(), "env": sorted(os.environ), "argv": sys.argv[1:]}}
    print(json.dumps(life), file=said, flush=True)
    for line in sys.stdin:
        print(line.strip(), file=said, flush=True)
        asked = json.loads(line)
        if "id" in asked:
            answer = answers.get(asked["method"])
            {before}
            kind = "error" if isinstance(answer, dict) and "code" in answer else "result"
            print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], kind: answer}}), flush=True)
"""
FOLDER = 0o755
"""The mode of a folder that nobody else may write to, whatever the umask is."""


class Written:
    """A script that is a plugin's program."""

    def __init__(self, path: Path, answers: Mapping[str, Any] | None = None, before: str = "", **registration: Any) -> None:
        """Write the script; `before` is a line of Python that runs before each answer."""
        self.path, self._said = path, path.with_suffix(".said")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(FOLDER)
        told = {"plugin.register": {"schema_version": 1, **registration}, "plugin.shutdown": None, **(answers or {})}
        path.write_text(dedent(_SCRIPT).format(answers=json.dumps(told), said=str(self._said), before=before))
        self.command = [sys.executable, "-S", "-E", str(path)]

    def describe(self, **more: Any) -> Path:
        """Write a manifest beside the script; return its path."""
        manifest = self.path.with_name("jackfield-plugin.yaml")
        manifest.write_text(yaml.safe_dump({"command": [sys.executable, "-S", "-E", self.path.name], **more}))
        manifest.chmod(0o644)
        return manifest

    @property
    def lives(self) -> list[dict[str, Any]]:
        """How it was started, each time."""
        return [line for line in self._lines() if "started" in line]

    def sent(self, method: str) -> list[Any]:
        """The params of all that it was asked by a method."""
        return [line.get("params") for line in self._lines() if line.get("method") == method]

    def _lines(self) -> list[Any]:
        return [json.loads(line) for line in self._said.read_text().splitlines()] if self._said.exists() else []
