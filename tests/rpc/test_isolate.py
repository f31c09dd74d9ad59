"""Python plugins in processes of their own: an ordinary plugin is run elsewhere, and its users notice nothing of it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy
from tests.kernel.distributions import Distributions, distributions
from tests.kernel.pipeline_kit import Observer, ask

__all__ = ["distributions"]


class Isolated:
    """Starts hosts with a plugin of one file, in a process of its own, beside the toy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def host(self, text: str, *plugins: object, config: Mapping[str, Any] | None = None, **settings: Any) -> Harness:
        path = self.folder / "apart.py"
        path.write_text(text)
        section = {"path": str(path), "isolate": True, **settings}
        return Harness(plugins or (Toy(),), {"plugins": {"apart": section}, **(config or {})}, bare=True)


@pytest.fixture
def isolated(tmp_path: Path) -> Isolated:
    return Isolated(tmp_path)


def state_of(host: Harness, plugin: str = "apart") -> tuple[str, list[str]]:
    [found] = [p for p in host.host.plugins if p.id == plugin]
    return found.state, list(found.implementations)


async def test_it_runs_elsewhere_and_is_not_imported_here(isolated: Isolated) -> None:
    text = "import os, sys\nfrom jackfield.api import Change\nsys.apart_was_here = True\n"
    text += "def intercept_response(call, reply):\n    return Change(headers={'toy-request-id': f'process {os.getpid()}'})\n"
    sys.modules.pop("jackfield_file_apart", None)  # of another test, in which it was in process
    async with isolated.host(text) as host:
        said = (await ask(host)).headers["toy-request-id"]
        assert state_of(host) == ("active", ["intercept_response"])
        assert not host.host.problems
    assert said.startswith("process ")
    assert said != f"process {os.getpid()}"
    assert not hasattr(sys, "apart_was_here")
    assert "jackfield_file_apart" not in sys.modules


async def test_it_inherits_four_variables_and_those_that_are_named(isolated: Isolated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "secret")
    text = "import os\nfrom jackfield.api import Change\n"
    text += "def intercept_response(call, reply):\n    return Change(headers={'toy-request-id': ' '.join(sorted(os.environ))})\n"
    async with isolated.host(text, process={"env": {"NAMED": "1"}}) as host:
        said = (await ask(host)).headers["toy-request-id"].split()
    assert "NAMED" in said
    assert set(said) <= {"PATH", "LANG", "TZ", "HOME", "NAMED", "LC_CTYPE"}  # the last one Python sets itself


SETTINGS = """
import msgspec
from jackfield.api import Change, Secret

class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: tuple[str, ...] = ()

class Config(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 1
    inner: Inner = Inner()
    key: Secret | None = None

class Plugin:
    def __init__(self, config: Config):
        self.config = config
        self.problems = ["words: few of them"] if config.limit == 3 else []

    def intercept_response(self, call, reply):
        return Change(headers={"toy-request-id": f"{self.config.limit} {self.config.key and self.config.key.reveal()}"})
"""


@pytest.mark.parametrize(
    "settings",
    [{"limit": "x"}, {"limti": 3}, {"limit": 1, "inner": {"words": [1], "more": True}}, {"key": 3}, {"limit": 3}, {"limit": "${LIMIT}"}],
    ids=str,
)
async def test_settings_are_read_as_in_process(isolated: Isolated, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    monkeypatch.setenv("LIMIT", "no number")
    async with isolated.host(SETTINGS, **settings) as host:
        apart = host.host.problems
    async with isolated.host(SETTINGS, isolate=False, **settings) as host:
        assert apart == host.host.problems
    assert apart


async def test_settings_from_the_environment_may_be_numbers(isolated: Isolated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT", "12")
    async with isolated.host(SETTINGS, limit="${LIMIT}", key="${LIMIT}") as host:
        assert not host.host.problems
        assert (await ask(host)).headers["toy-request-id"] == "12 12"


BROKEN = {
    "def rout_model(call):\n    pass\ndef route_model(call):\n    pass\n": "'rout_model' is no hook; did you mean 'route_model'?",
    "raise RuntimeError('boom')\n": "RuntimeError: boom",
    "raise SystemExit(3)\n": "SystemExit: 3",
    "def route_model(call, other):\n    pass\n": "Argument(s) {'other'} are declared in the hookimpl but can not be found in the hookspec",
    "def register_dialects():\n    return []\n": "plugin 'apart': isolate: it registers dialects, which exist in process only",
    "def register_state_stores():\n    return []\n": "plugin 'apart': isolate: it registers state stores, which exist in process only",
    "import os\nos._exit(7)\n": "its process ended with status 7",
    "x = 1\n": "plugin 'apart': it does nothing: it has no hook, and neither `start` nor `close`",
    "def authenticate(call):\n    pass\n": "it sees no client's key here unless it asks for them: @hook(needs=['headers', 'secret'])",
}


@pytest.mark.parametrize("text", BROKEN, ids=BROKEN.values())
async def test_what_is_wrong_with_it_is_said_in_one_line(isolated: Isolated, text: str) -> None:
    async with isolated.host(text) as host:
        assert (await ask(host)).status in (200, 401)
        [problem] = host.host.problems
    assert BROKEN[text] in problem
    assert "\n" not in problem


async def test_what_cannot_be_isolated_is_refused_in_one_sentence(isolated: Isolated, tmp_path: Path) -> None:
    class Given:
        id = "given"

        def route_model(self, call: Any) -> None: ...

    (tmp_path / "jackfield-plugin.yaml").write_text("command: ['true']\n")
    tmp_path.chmod(0o700)
    sections = {"given": {"isolate": True}, "other": {"path": str(tmp_path), "isolate": True}}
    async with Harness([Given()], {"plugins": sections}, bare=True) as host:
        problems = host.host.problems
    assert problems == [
        "plugin 'given': isolate: it is an object of the program that hosts it",
        "plugin 'other': isolate: it is a process of its own already",
    ]


async def test_prints_and_log_lines_reach_the_log_and_not_the_protocol(isolated: Isolated, caplog: pytest.LogCaptureFixture) -> None:
    text = """
import logging, os, sys

class Plugin:
    def __init__(self, host):
        self.host = host
    def route_model(self, call):
        print("a print")
        os.write(1, b"to the descriptor\\n")
        os.system("echo from a child")
        logging.getLogger("elsewhere").warning("of a library")
        self.host.log.error("of its %s", "own")
"""
    with caplog.at_level(logging.INFO, "jackfield.plugins.apart"):
        async with isolated.host(text) as host:
            assert (await ask(host)).status == 200
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "jackfield.plugins.apart"]
    assert ("ERROR", "of its own") in said
    for line in ("a print", "to the descriptor", "from a child", "WARNING elsewhere: of a library"):
        assert ("INFO", line) in said


LIFE = """
from pathlib import Path

class Plugin:
    def __init__(self, config: dict, host):
        self.path, self.host = Path(config["path_of_log"]), host
        self.note("built")

    def note(self, what):
        with self.path.open("a") as file:
            file.write(what + "\\n")

    async def start(self):
        self.note("started")
        self.host.spawn(self.work(), "work")

    async def work(self):
        await self.host.state.set("seen", b"\\xff1")
        self.note(f"worked {await self.host.state.get('seen')} {await self.host.state.get('nothing')}")

    def route_model(self, call):
        call.state["routed"] = True

    def intercept_attempt(self, attempt):
        self.note(f"attempt {attempt.call.state}")

    def close(self):
        self.note("closed")
"""


async def test_its_life_is_that_of_any_plugin(isolated: Isolated, tmp_path: Path) -> None:
    log, config = tmp_path / "life", {"plugins": {"memory": {}}}
    section = {"path": str(tmp_path / "apart.py"), "isolate": True, "path_of_log": str(log)}
    (tmp_path / "apart.py").write_text(LIFE)
    config["plugins"]["apart"] = section
    async with Harness([Toy()], config) as host:
        assert not host.host.problems
        assert (await ask(host)).status == 200
    lines = log.read_text().splitlines()
    assert lines[:2] == ["built", "started"]
    assert sorted(lines[2:-1]) == ["attempt {'routed': True}", "worked b'\\xff1' None"]
    assert lines[-1] == "closed"


async def test_one_that_is_only_listed_is_not_started(isolated: Isolated, tmp_path: Path) -> None:
    log = tmp_path / "life"
    harness = isolated.host(LIFE, path_of_log=str(log))
    await harness.host.load()
    await harness.host.stop()
    assert log.read_text().splitlines() == ["built", "closed"]


CRASHING = """
import os, time
def route_model(call):
    words = call.request.messages[0].text
    if words == "crash":
        os.kill(os.getpid(), 9)
    if words == "hang":
        time.sleep(1)
    if words == "raise":
        raise RuntimeError("boom")
    if words == "exit":
        raise SystemExit(4)
    if words == "hog":
        held = []
        while True:
            held.append(b"x" * (1 << 20))
            time.sleep(0.002)
"""


@pytest.mark.parametrize(
    ("words", "why"),
    [("crash", "SIGKILL"), ("hang", "took longer than 0.3 s"), ("raise", "RuntimeError: boom"), ("exit", "SystemExit: 4"), ("hog", "")],
)
async def test_what_it_does_to_itself_does_not_touch_the_host(isolated: Isolated, words: str, why: str) -> None:
    observer = Observer()
    patient, process = {"hooks": {"failures": 10_000}}, {"memory": "256 MiB"}
    async with isolated.host(CRASHING, Toy(), observer, config=patient, deadline=0.3, process=process) as host:
        assert (await ask(host, say=[{"who": "user", "words": words}])).status == 200
        assert why in await observer.explained()
        async with asyncio.timeout(10):
            while await _missed(host, observer):
                await asyncio.sleep(0.05)


async def _missed(host: Harness, observer: Observer) -> bool:
    """Make a call, and tell whether the plugin did not take part in it."""
    many = len(observer.outcomes)
    assert (await ask(host)).status == 200
    made = (await observer.completed(many + 1))[-1].explain()
    return any(said["by"] == "apart" for said in made["decisions"])


async def test_an_installed_plugin_is_found_where_its_distribution_lies(distributions: Distributions) -> None:
    text = "__version__ = '9'\nfrom jackfield.api import Change\n"
    text += "class Other:\n    def intercept_response(self, call, reply):\n        return Change(headers={'toy-request-id': __name__})\n"
    distributions.install("acme-other", text, {"acme": "acme_other:Other"})
    async with Harness([Toy()], {"plugins": {"acme": {"isolate": True}}}) as host:
        assert state_of(host, "acme") == ("active", ["intercept_response"])
        assert (await ask(host)).headers["toy-request-id"] == "acme_other"
        [found] = [plugin for plugin in host.host.plugins if plugin.id == "acme"]
        assert (found.distribution, found.version) == ("acme-other", "1.0")
    assert "acme_other" not in sys.modules


async def test_what_the_operator_says_of_its_hooks_holds(isolated: Isolated) -> None:
    text = "from jackfield.api import hook\n@hook(on_error='open', priority=7, deadline=3)\ndef intercept_request(call):\n"
    text += "    raise RuntimeError\ndef route_model(call):\n    raise RuntimeError\npriority = 4\n"
    async with isolated.host(text, hooks={"route_model": {"enabled": False}}) as host:
        assert (await ask(host)).status == 200
        [hook] = host.host.generation.chains["intercept_request"]
        assert (hook.rank[0], hook.closed, hook.deadline) == (-7, False, 3.0)
        assert state_of(host) == ("active", ["intercept_request"])
    async with isolated.host(text, hooks={"intercept_request": {"on_error": "closed"}}) as host:
        assert (await ask(host)).status == 503
        [plugin] = [plugin for plugin in host.host.plugins if plugin.id == "apart"]
        assert plugin.priority == 4


async def test_other_code_comes_with_a_reload_and_goes_with_a_rollback(
    isolated: Isolated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    text, said = "from jackfield.api import Change\ndef intercept_response(call, reply):\n", list[str]()
    text += "    return Change(headers={'toy-request-id': 'first'})\n"
    async with isolated.host(text) as host:
        for change in ("nothing", "edit", "rollback"):
            if change == "edit":
                (tmp_path / "apart.py").write_text(text.replace("first", "second"))
                await host.host.reload()
            elif change == "rollback":
                await host.host.rollback(1)
            said.append((await ask(host)).headers["toy-request-id"])
    assert said == ["first", "second", "first"]
    assert not list(copies.iterdir())


RULES = {
    "has_rules = False": 200,
    "has_rules = True": 401,
    "def has_rules(self): return False": 401,  # it may be true later: the door stays closed
    "": 401,
}


@pytest.mark.parametrize("rules", RULES)
async def test_a_door_whose_rules_may_change_stays_closed(isolated: Isolated, rules: str) -> None:
    text = f"from jackfield.api import hook\nclass Plugin:\n    {rules}\n    @hook(needs=['headers', 'secret'])\n"
    text += "    def authenticate(self, call):\n        return None\n"
    async with isolated.host(text) as host:
        assert not host.host.problems
        assert (await ask(host)).status == RULES[rules]
