"""A host in a process of its own, for tests of what it does as a process."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_JACKFIELD = [sys.executable, "-u", "-c", "from jackfield.cli.main import main; main()"]
_PATIENCE = 20.0


class Served:
    """A host in a process of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self._folder, self._environment, self.port = folder, {**os.environ, **environment}, 0
        self.process = subprocess.Popen(
            [*_JACKFIELD, "serve", "--port", "0", *words],
            cwd=folder, env=self._environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def announced(self) -> str:
        """Return what it prints until it says how to try it."""
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"listens on http://\S+:(\d+)", line):
                self.port = int(found[1])
            if line.strip().startswith("curl") or "none: nothing is plugged in" in line:
                return said
        raise AssertionError(f"it ended: {said}{self.process.stderr.read() if self.process.stderr else ''}")

    def ready(self) -> dict[str, Any]:
        """Return what `/readyz` says; it must say that the host can serve."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as answer:
            return dict(json.loads(answer.read()))

    def until(self, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until what `/readyz` says is as expected, and return it."""
        ends = time.monotonic() + _PATIENCE
        while not true(told := self.ready()):
            assert time.monotonic() < ends, told
            time.sleep(0.02)
        return told

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command that speaks to this host; return its exit status and what it prints."""
        command = [*_JACKFIELD, *words, *(("--port", str(self.port)) if self.port else ())]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=2 * _PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Send a signal, wait for the end, and return what it wrote to its log."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)[1]


def do(curl: str) -> str:
    """Do what a line with `curl` would do, and return the answer."""
    _, url, *options = shlex.split(curl)
    values = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in values if option == "-H")
    (data,) = (value for option, value in values if option == "-d")
    with urllib.request.urlopen(urllib.request.Request(url, data.encode(), headers)) as answer:
        return str(answer.read().decode())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[type[Served] | object]:
    """Starts hosts in an empty folder; none of them outlives the test."""
    started: list[Served] = []

    def _serve(*words: str, **environment: str) -> Served:
        started.append(Served(tmp_path, *words, **environment))
        return started[-1]

    yield _serve
    for served in started:
        if served.process.poll() is None:
            served.process.kill()
        served.process.communicate()
