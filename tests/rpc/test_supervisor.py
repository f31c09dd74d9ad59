"""The lives of a plugin's program: how it is started, what happens when it ends, hangs or takes too much, and how it is stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from jackfield.api import Reply
from jackfield.api.testing import Harness
from jackfield.plugins import Plugin
from jackfield.rpc import limits, process, supervisor
from jackfield.rpc.errors import Gone
from jackfield.rpc.noise import Noise
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.kernel.pipeline_kit import Observer
from tests.kernel.toy import stream_of
from tests.rpc.programs import Written

LIVES = str(Path(__file__).parent / "peers" / "lives.py")
AGAIN = "its process ended by SIGKILL; it is started again"


class Lives:
    """A host with one program as a plugin, in a folder of its own, and what is to be seen of the program's lives."""

    def __init__(self, folder: Path, *plugins: object, toy: Toy | None = None, **section: Any) -> None:
        self.folder = folder
        process = {"cwd": str(folder), **section.pop("process", {})}
        self.section = {"command": [sys.executable, "-I", "-S", LIVES], "process": process, **section}
        self.harness = Harness([toy or Toy(), *plugins], self.config(), bare=True)

    def config(self, **more: Any) -> dict[str, Any]:
        return {"plugins": {"p": {**self.section, **more}, "autoload": False}, "attempts": {"wait": 0}}

    async def __aenter__(self) -> Self:
        await self.harness.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.harness.__aexit__(*exc)

    @property
    def plugin(self) -> Plugin:
        return next(plugin for plugin in self.harness.host.plugins if plugin.id == "p")

    def noted(self, did: str) -> list[dict[str, Any]]:
        """Return what the program has noted that it did."""
        file = self.folder / "lives"
        said = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in said if line["did"] == did]

    def pid(self) -> int:
        return int(self.noted("register")[-1]["pid"])

    def is_there(self) -> bool:
        try:
            self.plugin.object._channel()
        except Gone:
            return False
        return True

    async def call(self, model: str = "m", **more: Any) -> int:
        return (await self.harness.post("/toy/v1/talk", talk(model, **more))).status


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended: it is not there, or nobody has asked yet how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """Returns what the log says and holds a word."""
    caplog.set_level(logging.INFO, "jackfield")
    return lambda word: [line for record in caplog.records if word in (line := record.getMessage())]


@pytest.fixture
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "TICK", 0.05)
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "_FRESH", 0.01)


Lines = Callable[[str], list[str]]

# ------------------------------------------------------------------------------------------------------ start


async def test_a_program_is_started_with_little_of_the_hosts_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "s3cret")
    monkeypatch.setenv("TZ", "UTC")
    command = [sys.executable, "-I", "-S", LIVES, "$HOME", "a b; exit"]
    async with Lives(tmp_path, command=command, process={"env": {"OWN": "word"}}) as lives:
        (seen,) = lives.noted("register")
    assert seen["argv"][1:] == ["$HOME", "a b; exit"]  # no shell took part
    assert set(seen["env"]) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} <= {"PATH", "LANG", "TZ", "HOME", "OWN"}
    assert (seen["env"]["TZ"], seen["env"]["OWN"]) == ("UTC", "word")
    assert Path(seen["cwd"]).samefile(tmp_path)
    assert seen["session"] == seen["pid"] != os.getsid(0)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"command": ["nodee"]}, "plugin 'p': cannot start 'nodee': No such file or directory in PATH; install it, or correct `command`"),
        ({"command": ["{folder}/x"]}, "cannot start '{folder}/x': No such file or directory in {folder}; install it, or correct `command`"),
        ({"command": ["{folder}/plain"]}, "cannot start '{folder}/plain': Permission denied; make it executable: chmod +x"),
        ({"command": ["{folder}/empty"]}, "cannot start '{folder}/empty': Exec format error; a script begins with `#!`"),
        ({"process": {"cwd": "/nowhere"}}, "there is no folder /nowhere; correct process.cwd"),
        ({"command": ["a\0b"]}, "cannot start 'a\\x00b': embedded null byte"),
    ],
)
async def test_a_program_that_cannot_be_started_is_a_problem_in_one_line(tmp_path: Path, section: dict[str, Any], says: str) -> None:
    (tmp_path / "plain").touch(0o644)
    (tmp_path / "empty").touch(0o755)
    section = json.loads(json.dumps(section).replace("{folder}", str(tmp_path)))
    async with Lives(tmp_path, **section) as lives:
        (problem,) = lives.harness.host.problems
        assert says.format(folder=tmp_path) in problem
        assert "\n" not in problem
        assert await lives.call() == 200


async def test_a_host_that_is_cancelled_while_it_loads_leaves_no_child(tmp_path: Path) -> None:
    lives = Lives(tmp_path, command=[sys.executable, "-I", "-S", "-c", "import time; open('lives', 'w'); time.sleep(600)"])
    loading = asyncio.create_task(lives.harness.host.start())
    await until((tmp_path / "lives").exists)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await lives.harness.host.stop(grace=0)


# --------------------------------------------------------------------------------------------------- its death


async def test_a_killed_program_is_back_within_a_second_and_the_log_says_so_once(tmp_path: Path, lines: Lines) -> None:
    async with Lives(tmp_path, to="n") as lives:
        first = lives.pid()
        os.kill(first, signal.SIGKILL)
        began = time.monotonic()
        await until(lambda: not lives.is_there())
        assert await lives.call() == 200
        await until(lives.is_there)
        assert time.monotonic() - began < 1
        assert lives.pid() != first
        assert await lives.call() == 200
    assert [record for record in lines("SIGKILL") if "explain" not in record] == [AGAIN]
    assert lines("it runs again") == ["it runs again"]
    assert not lines("route_model")


async def test_what_waits_for_a_plugin_that_dies_learns_why_and_no_breaker_opens(tmp_path: Path) -> None:
    observer = Observer()
    async with Lives(tmp_path, observer, holds=True) as lives:
        calls = [asyncio.create_task(lives.call()) for _ in range(20)]
        await until(lambda: len(lives.plugin.object._channel().asked) == 20)
        os.kill(lives.pid(), signal.SIGKILL)
        assert set(await asyncio.gather(*calls)) == {200}
        await until(lives.is_there)
        (hook,) = lives.harness.host.generation.chains["route_model"]
        assert (hook.breaker.in_a_row, hook.resting()) == (0, False)
        assert "is not there: its process ended by SIGKILL" in await observer.explained()
        (tmp_path / "go").touch()
        assert await lives.call() == 200


async def test_a_stream_goes_on_when_the_plugin_that_reads_along_dies(tmp_path: Path) -> None:
    raw, begun, go = stream_of(["Hel", "lo"]), asyncio.Event(), asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield raw[:200]
        begun.set()
        await go.wait()
        yield raw[200:]

    toy = Toy(ToyProvider(lambda attempt: Reply(stream=events())))
    async with Lives(tmp_path, toy=toy, takes={"response.intercept_stream_chunk.open": {}}) as lives:
        call = asyncio.create_task(lives.harness.post("/toy/v1/talk", talk("m", stream=True)))
        await begun.wait()
        os.kill(lives.pid(), signal.SIGKILL)
        await until(lambda: not lives.is_there())
        go.set()
        assert (await call).body == raw
        await until(lives.is_there)


@pytest.mark.parametrize(
    ("hooks", "model", "allowed"),
    [
        ({"model.route": {}}, "m", {200}),
        ({"frontend_auth.authenticate": {}}, "m", {200, 503}),
        ({"model.register": {}, "executor.execute": {"needs": ["body"]}}, "lived", {200, 502, 503}),
    ],
)
async def test_killing_it_under_load_loses_no_call(tmp_path: Path, hooks: dict[str, Any], model: str, allowed: set[int]) -> None:
    told = Counter[int]()
    async with Lives(tmp_path, takes=hooks) as lives:

        async def calling() -> None:
            for _ in range(3):
                answer = await lives.harness.post("/toy/v1/talk", talk(model))
                told[answer.status] += 1
                assert answer.status == 200 or {"oops", "code"} <= answer.json.keys(), answer.body  # the dialect's own shape

        calls = asyncio.gather(*(calling() for _ in range(200)))
        await until(lambda: told[200] > 100)
        os.kill(lives.pid(), signal.SIGKILL)
        began = time.monotonic()
        await until(lambda: len(lives.noted("register")) > 1)
        back = time.monotonic() - began
        await calls
        await until(lives.is_there)
        assert await lives.call(model) == 200
    assert told.total() == 600
    assert set(told) <= allowed
    assert back < 3  # alone on a machine it is well under one


@pytest.mark.usefixtures("_in_haste")
async def test_a_program_that_does_not_stay_is_given_up_and_a_reload_starts_it_anew(
    tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.ChildCarrier, "most", 3)
    (tmp_path / "bad.py").write_text(Path(LIVES).read_text().replace("for line in sys.stdin:", "for line in [sys.stdin.readline()]:"))
    async with Lives(tmp_path, command=[sys.executable, "-I", "-S", "bad.py"]) as lives:
        await until(lambda: lives.plugin.state == "failed")
        assert await lives.call() == 200
        says = "given up after 4 failures in a row: its process ended with status 0; correct it, and reload"
        assert lines("given up") == [says]
        assert lives.plugin.problems == [f"plugin 'p': {says}"]
        assert len(lives.noted("register")) == 4
        (tmp_path / "bad.py").write_text(Path(LIVES).read_text())
        await lives.harness.host.reload()
        assert (lives.plugin.state, lives.plugin.problems) == ("active", [])


async def test_what_is_misspelt_in_a_registration_is_told_of(tmp_path: Path) -> None:
    hooks = {"model.rout": {}, "model.route": {}}
    async with Lives(tmp_path, command=Written(tmp_path / "one.py", hooks=hooks).command) as lives:
        (problem,) = lives.plugin.problems
        assert problem.endswith("plugins.p: hooks: there is no method 'model.rout'; the nearest is 'model.route'")
        assert lives.plugin.state == "active"
    async with Lives(tmp_path, command=Written(tmp_path / "two.py", hooks={}, max_in_flight=0).command) as lives:
        assert lives.plugin.problems == ["plugin 'p': its answer to plugin.register is none: Expected `int` >= 1 - at `$.max_in_flight`"]


async def test_what_a_program_says_of_itself_stands_on_one_line_and_steers_no_terminal(tmp_path: Path) -> None:
    said = "one\n  problem: two\x1b[2J"
    about = {"hooks": {"model.route": {}}, "plugin": {"version": said}, "problems": [said]}
    async with Lives(tmp_path, command=Written(tmp_path / "one.py", **about).command) as lives:
        assert lives.plugin.version == "one problem: two\\x1b[2J"
        assert [problem.partition("plugins.p: ")[2] for problem in lives.plugin.problems] == [lives.plugin.version]
    refusing = Written(tmp_path / "two.py", {"plugin.register": {"code": -32603, "message": said}})
    async with Lives(tmp_path, command=refusing.command) as lives:
        assert lives.plugin.problems == ["plugin 'p': one problem: two\\x1b[2J"]


async def test_more_files_than_the_system_allows_are_as_many_as_it_allows(tmp_path: Path) -> None:
    async with Lives(tmp_path, process={"files": 10**12}) as lives:
        assert lives.plugin.problems == []
        assert await lives.call() == 200


async def test_a_program_that_comes_back_with_other_hooks_is_told_of(tmp_path: Path, lines: Lines) -> None:
    (tmp_path / "changing.py").write_text(Path(LIVES).read_text())
    async with Lives(tmp_path, command=[sys.executable, "-I", "-S", str(tmp_path / "changing.py")]) as lives:
        (tmp_path / "changing.py").write_text(Path(LIVES).read_text().replace('{"model.route": {}}', '{"request.complete": {}}'))
        os.kill(lives.pid(), signal.SIGKILL)
        await until(lambda: lines("it has other hooks than before"))
        assert await lives.call() == 200


@pytest.mark.usefixtures("_in_haste")
async def test_failures_are_forgotten_when_it_ran_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_YOUNG", 0.0)
    monkeypatch.setattr(process.ChildCarrier, "most", 1)
    async with Lives(tmp_path) as lives:
        for _ in range(4):
            os.kill(lives.pid(), signal.SIGKILL)
            await until(lambda: not lives.is_there())
            await until(lives.is_there)
        assert lives.plugin.state == "active"


# ---------------------------------------------------------------------------------------------------- conduct


@pytest.mark.usefixtures("_in_haste")
async def test_an_idle_plugin_is_asked_whether_it_lives_and_a_busy_one_is_not(tmp_path: Path) -> None:
    async with Lives(tmp_path, holds=True) as lives:
        await until(lambda: len(lives.noted("ping")) > 1)
        call = asyncio.create_task(lives.call())
        await until(lambda: lives.plugin.object._channel().asked)
        before = len(lives.noted("ping"))
        await asyncio.sleep(20 * supervisor.TICK)  # as long as an idle one is asked in
        (tmp_path / "go").touch()
        assert await call == 200
        assert len(lives.noted("ping")) == before
        assert lives.is_there()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to watch processes by")
@pytest.mark.usefixtures("_in_haste")
@pytest.mark.parametrize(
    ("eats", "limit", "says"),
    [
        ("memory", {"memory": "64MiB"}, r"MiB of memory, process.memory allows 64, and was ended; it is started again"),
        ("cpu", {"cpu": 0.05}, r"cores, process.cpu allows 0.05, and was ended; it is started again"),
    ],
)
async def test_a_program_that_takes_more_than_it_may_is_ended(
    eats: str, limit: dict[str, Any], says: str, tmp_path: Path, lines: Lines
) -> None:
    async with Lives(tmp_path, eats=eats, process=limit, deadline="0.3s") as lives:
        assert await lives.call() == 200
        await until(lambda: lines(says))
        assert await lives.call("n") == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
async def test_open_files_are_limited_by_the_system(tmp_path: Path) -> None:
    async with Lives(tmp_path, process={"files": 64}) as lives:
        assert lives.noted("limits")[0]["files"] == [64, 64]


async def test_a_limit_that_the_system_cannot_keep_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    monkeypatch.setattr(limits, "_PROC", tmp_path)
    async with Lives(tmp_path, process={"memory": "1GiB", "cpu": 2}) as lives:
        assert await lives.call() == 200
    says = "this system has no means for process.memory and process.cpu: it is not limited"
    assert lines("no means") == [says]


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"memory": 0}, "process: memory: expected a size above 0"),
        ({"start": 0}, "process: start: expected a time above 0"),
        ({"cpu": 0}, "process.cpu"),
        ({"files": 3}, "process.files"),
    ],
)
def test_a_limit_that_leaves_nothing_is_refused(tmp_path: Path, limit: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=r"plugins\.p\.process") as refused:
        Lives(tmp_path, process=limit)
    assert says in str(refused.value)


# -------------------------------------------------------------------------------------------------------- end


async def test_a_program_that_ends_when_it_is_told_to_is_not_killed(tmp_path: Path, lines: Lines) -> None:
    async with Lives(tmp_path) as lives:
        pid = lives.pid()
    assert is_gone(pid)
    assert [note["pid"] for note in lives.noted("shutdown")] == [pid]
    assert not lines("its process ended")


async def test_a_program_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.2)
    monkeypatch.setattr(process, "TERM", 0.1)
    async with Lives(tmp_path, deaf=True, forks=True) as lives:
        await until(lambda: lives.noted("forked"))
        pids = [lives.pid(), lives.noted("forked")[0]["pid"]]
    await until(lambda: all(map(is_gone, pids)))


async def test_what_it_started_does_not_outlive_a_program_that_dies(tmp_path: Path) -> None:
    async with Lives(tmp_path, forks=True) as lives:
        await until(lambda: lives.noted("forked"))
        forked = lives.noted("forked")[0]["pid"]
        os.kill(lives.pid(), signal.SIGKILL)
        await until(lambda: is_gone(forked))
        await until(lives.is_there)


async def test_a_reload_lets_the_old_program_finish_its_calls(tmp_path: Path, lines: Lines) -> None:
    async with Lives(tmp_path, holds=True, to="n") as lives:
        old = lives.pid()
        calls = [asyncio.create_task(lives.call()) for _ in range(20)]
        await until(lambda: len(lives.plugin.object._channel().asked) == 20)
        await lives.harness.host.reload(lives.config(holds=False, to="m"))
        new = lives.pid()
        assert new != old
        assert await lives.call() == 200  # the new one answers, while the old one holds its calls
        assert not is_gone(old)
        assert not any(call.done() for call in calls)
        (tmp_path / "go").touch()
        assert set(await asyncio.gather(*calls)) == {200}
        await until(lambda: is_gone(old))
        assert [note["pid"] for note in lives.noted("shutdown")] == [old]
        assert lives.is_there()
    assert not lines("its process ended")


async def test_a_reload_under_load_loses_no_call(tmp_path: Path) -> None:
    told, over = Counter[int](), asyncio.Event()
    async with Lives(tmp_path, to="n") as lives:

        async def calling() -> None:
            while not over.is_set():
                told[await lives.call()] += 1

        calls = [asyncio.create_task(calling()) for _ in range(10)]
        for number in range(3):
            await lives.harness.host.reload(lives.config(number=number))
        over.set()
        await asyncio.gather(*calls)
        await until(lambda: len(lives.noted("shutdown")) == 3)
    assert set(told) == {200}


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A host in a process of its own, with the program as a plugin."""
    config = {"plugins": {"p": {"command": [sys.executable, "-I", "-S", LIVES], "process": {"cwd": str(tmp_path)}}, "autoload": False}}
    code = (
        "import asyncio, json, sys\nfrom jackfield import Jackfield\n"
        "async def main():\n    await Jackfield(json.loads(sys.argv[1]), defaults=False, overrides={'server': {'port': 0}}).start()\n"
        "    await asyncio.sleep(600)\nasyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(config)]) as running:
        yield running
        running.kill()


async def test_a_program_whose_host_is_killed_reads_the_end_of_its_stdin(tmp_path: Path, hosted: subprocess.Popen[bytes]) -> None:
    def noted(did: str) -> list[int]:
        file = tmp_path / "lives"
        said = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line["pid"] for line in said if line["did"] == did]

    await until(lambda: noted("limits"))
    hosted.kill()
    await until(lambda: noted("end of stdin"))
    (pid,) = noted("end of stdin")
    await until(lambda: is_gone(pid))


# ------------------------------------------------------------------------------------------------------ noise


def test_lines_are_logged_with_measure() -> None:
    told = list[str]()
    noise = Noise(told.append)
    noise.take(b"one\ntw")
    noise.take(b"o\n\n  \n")
    assert told == ["one", "two"]
    noise.take(b"line\n" * 100)
    noise.flush()
    assert told[2:] == ["line"] * 18 + ["... and 82 lines more"]
    noise.take(b"x" * 10_000)
    noise.take(b"x" * 10_000 + b"\n")
    assert told[-1] == "x" * 2000 + " ..."
    noise.take(b"\x1b[31mred\x07\xff")
    noise.close()
    assert told[-1] == " [31mred �"
