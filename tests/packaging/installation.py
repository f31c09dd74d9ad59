"""What a user does at a terminal: make a virtual environment, install, start the host, paste the line that it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

LIMIT: Final = 100.0
"""Seconds after which a command hangs."""


def run(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
    """Run a command to its end and return what it printed; fails with all of it where the command does."""
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


class Serving:
    """A host that runs and has said how to try it."""

    def __init__(self, process: subprocess.Popen[str], printed: list[str]) -> None:
        self._process = process
        self.printed = "".join(printed)
        self.curl = printed[-1].strip()

    def paste(self, **instead: Any) -> Any:
        """Run the printed line as it is, or with other members in its body, and return the decoded answer."""
        line = self.curl
        if instead:
            head, _, body = line.rpartition(" -d ")
            line = f"{head} -d '{json.dumps({**json.loads(body.strip(chr(39))), **instead})}'"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> int:
        """Tell the host itself to stop, whatever started it, and return the exit code of what was started."""
        own = self._process.pid
        child = subprocess.run(["pgrep", "-P", str(own)], capture_output=True, text=True).stdout.split()
        os.kill(int(child[0]) if child else own, signal.SIGTERM)
        return self._process.wait(LIMIT)

    def stop_what_started_it(self) -> None:
        """Tell the process that was started to stop, and wait until every process of it is gone."""
        self._process.terminate()
        while self._process.stdout is not None and self._process.stdout.readline():
            pass  # the last process to close the pipe is the host
        self._process.wait(LIMIT)


@contextmanager
def serving(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> Iterator[Serving]:
    """Start a host with a command and wait for the line that it prints to try it."""
    quiet = subprocess.STDOUT
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=quiet, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            printed: list[str] = []
            while not printed or not printed[-1].startswith("  curl "):
                printed.append(process.stdout.readline())
                assert printed[-1], f"the host ended without a line to try:\n{''.join(printed)}"
            yield Serving(process, printed)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


class Installation:
    """A virtual environment that is new, and a folder to work in beside it."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._bin, self._env = folder / "venv" / "bin", env
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        run(sys.executable, "-m", "venv", folder / "venv", cwd=folder, env=env)

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run one of the environment's programs."""
        return run(self._bin / program, *arguments, cwd=self.folder, env=self._env)

    def serve(self) -> Any:
        """Start the host on a free port."""
        return serving(self._bin / "jackfield", "serve", "--port", "0", cwd=self.folder, env=self._env)

    def plugins(self) -> dict[str, dict[str, Any]]:
        """Return what `jackfield plugins` lists, by id."""
        rows: Sequence[dict[str, Any]] = json.loads(self.run("jackfield", "plugins", "--json"))
        return {row["id"]: row for row in rows}
