"""`python -m jackfield.rpc_plugin` as a program: what it does with its pipes, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

PLUGIN = """
import sys, time
from pathlib import Path

class Plugin:
    def __init__(self, config: dict):
        self.log = Path(config["log"])
        print("a print that is no message")

    def route_model(self, call):
        from jackfield.api import Route
        return Route(model="best", reason=call.model)

    def close(self):
        self.log.write_text("closed")
"""
REGISTER = {
    "schema_version": 1,
    "host": {"version": "1"},
    "plugin": "alone",
    "limits": {"frame": 1 << 20, "body_file": 1 << 20},
}
CALL = {"id": "1", "dialect": "x.y", "operation": "generate", "model": "m", "stream": False, "principal": "p"}


class Alone:
    """The program, spoken to by hand."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / "alone.py").write_text(PLUGIN)
        self.log, self._next = folder / "log", 0
        command = [sys.executable, "-m", "jackfield.rpc_plugin", *(arguments or ("--file", "alone.py"))]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request and return its answer."""
        self._next += 1
        said = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}
        self.stdin.write(json.dumps(said).encode() + b"\n")
        self.stdin.flush()
        assert self.process.stdout is not None
        while "method" in (answer := json.loads(self.process.stdout.readline())):
            pass  # what it asks the host
        assert answer["id"] == self._next
        return answer.get("result", answer.get("error"))

    def ends(self) -> tuple[int, str]:
        """Wait for its end; return its status and what it said on stderr."""
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors.decode()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., Alone]]:
    made: list[Alone] = []

    def start(*arguments: str) -> Alone:
        made.append(Alone(tmp_path, *arguments))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("target", ["--file alone.py", "alone", "alone:Plugin"])
def test_it_takes_what_an_entry_point_names_or_a_file(alone: Callable[..., Alone], target: str) -> None:
    one = alone(*target.split())
    said = one.ask("plugin.register", **REGISTER, config={"log": str(one.log)})
    assert list(said["hooks"]) == ["model.route"]
    assert said["capabilities"] == ["start"]
    assert one.ask("plugin.start") is None
    assert one.ask("model.route", call=CALL) == {"model": "best", "reason": "m"}
    assert one.ask("model.rout")["code"] == -32601
    assert one.ask("model.route", call={})["code"] == -32602
    assert one.ask("plugin.register", **REGISTER)["code"] == -32600
    assert one.ask("plugin.shutdown", grace=5) is None
    status, errors = one.ends()
    assert (status, one.log.read_text()) == (0, "closed")
    assert "a print that is no message" in errors


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT", "a line without end"])
def test_it_closes_the_plugin_and_ends_however_it_is_left(alone: Callable[..., Alone], how: str) -> None:
    one = alone()
    one.ask("plugin.register", **REGISTER, config={"log": str(one.log)})
    if how == "end of input":
        one.stdin.close()
        one.process.stdin = None
    elif how == "a line without end":
        with contextlib.suppress(BrokenPipeError):
            one.stdin.write(b"x" * (20 << 20))
            one.stdin.flush()
    else:
        one.process.send_signal(getattr(signal, how))
    status, _ = one.ends()
    assert (status, one.log.read_text()) == (0, "closed")


def test_it_says_what_is_wrong_with_how_it_is_called(alone: Callable[..., Alone]) -> None:
    status, errors = alone("alone", "--file", "alone.py").ends()
    assert status == 2
    assert "name a module, or a file with --file" in errors


@pytest.mark.parametrize(
    ("target", "says"), [("nowhere", "ModuleNotFoundError: No module named 'nowhere'"), ("alone:No", "AttributeError")]
)
def test_a_plugin_that_is_not_there_is_an_answer(alone: Callable[..., Alone], target: str, says: str) -> None:
    said = alone(target).ask("plugin.register", **REGISTER)
    assert said["code"] == -32602
    assert says in said["message"]


def test_it_starts_without_the_server() -> None:
    code = "import jackfield.rpc_plugin.__main__, sys; print([m for m in ('aiohttp', 'yaml', 'click', 'uvloop') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"


def test_it_ends_when_the_host_is_killed(tmp_path: Path) -> None:
    (tmp_path / "apart.py").write_text("from pathlib import Path\ndef start():\n    pass\ndef close():\n    Path('closed').touch()\n")
    host = "import asyncio\nfrom jackfield import Jackfield\nasync def run():\n    async with Jackfield(CONFIG, listen=False):\n"
    host += "        print('up', flush=True)\n        await asyncio.sleep(60)\nasyncio.run(run())\n"
    config = {"plugins": {"apart": {"path": str(tmp_path / "apart.py"), "isolate": True, "process": {"cwd": str(tmp_path)}}}}
    command = [sys.executable, "-c", host.replace("CONFIG", repr(config))]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
    end = time.monotonic() + 10
    while not (tmp_path / "closed").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
