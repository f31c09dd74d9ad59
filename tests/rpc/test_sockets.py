"""Plugins behind a unix socket: who is let be one, how a secret is proven, what happens when the connection is lost, other settings."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api.testing import Harness
from jackfield.cli.listings import listing
from jackfield.cli.options import let_go
from jackfield.host import NotReloaded
from jackfield.plugins import Plugin
from jackfield.rpc import supervisor
from jackfield.rpc.socket import proof
from tests.docs.markdown import document
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.kernel.test_cli import Run, run
from tests.kernel.test_plugin_manager import load
from tests.rpc.sidecars import Sidecar

__all__ = ["run"]

ROUTER: dict[str, Any] = {"model.route": {}}
TO_N: dict[str, Any] = {"model.route": {"model": "n"}}
SECRET = "the-word-of-the-day"


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a plugin may listen: a short path, as sockets need."""
    return tmp_path_factory.mktemp("s") / "plugin.sock"


async def found_with(section: Any) -> Plugin:
    return (await load({"side": section}))["side"]


def part(host: Harness) -> Plugin:
    return next(plugin for plugin in host.host.plugins if plugin.id == "side")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


# -------------------------------------------------------------------------------------------- reached


async def test_a_plugin_behind_a_socket_answers_calls_and_goes_on_when_the_host_stops(path: Path) -> None:
    provider = ToyProvider()
    async with Sidecar(path, TO_N, hooks=ROUTER, plugin={"version": "4"}) as side:
        for _ in range(2):
            async with Harness([Toy(provider)], {"plugins": {"side": {"socket": str(path), "colour": "red"}}}, bare=True) as host:
                await host.post("/toy/v1/talk", talk("m"))
                assert (part(host).state, part(host).version, part(host).origin) == ("active", "4", f"socket {path}")
        assert [params["config"] for params in side.asked("plugin.register")] == [{"colour": "red"}] * 2
        assert len(side.asked("plugin.shutdown")) == 2
    assert [attempt.model for attempt in provider.attempts] == ["n", "n"]


async def test_the_path_is_relative_to_the_configuration_and_may_stand_beside_a_secret(path: Path) -> None:
    file = path.with_name("jackfield.yaml")
    async with Sidecar(path, hooks=ROUTER):
        for section in (f"{path.name}", f"{{path: {path.name}}}"):
            file.write_text(f"plugins: {{side: {{socket: {section}}}}}")
            assert (await load(file=file))["side"].state == "active"


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"socket": "x.sock", "command": ["x"]}, "plugins.side: command and socket do not go together; keep one"),
        ({"socket": "x.sock", "isolate": True}, "plugins.side: socket and isolate do not go together; keep one"),
        ({"socket": {"secret": "x"}}, "plugins.side.socket.path: missing; expected a text"),
        ({"socket": {"path": "x", "secret": ""}}, "plugins.side.socket: secret: expected a text that is not empty"),
        ({"socket": {"path": "x", "sekret": "y"}}, "plugins.side.socket.sekret: unknown; did you mean 'secret'?"),
    ],
)
def test_a_socket_that_is_said_wrongly_is_told_in_one_line(run: Run, section: Any, says: str) -> None:
    result = run("check", "-c", "my.yaml", my_yaml=json.dumps({"plugins": {"side": section}}))
    assert (result.exit_code, result.stderr) == (1, f"my.yaml: {says}\n")


async def test_nobody_who_listens_is_told_in_one_line(path: Path) -> None:
    says = f"plugin 'side': cannot connect to {path}: nobody listens there; start the plugin"
    assert (await found_with({"socket": str(path)})).problems == [says]
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    path.chmod(0o600)
    assert (await found_with({"socket": str(path)})).problems == [says]
    path.unlink()
    path.write_text("")
    assert (await found_with({"socket": str(path)})).problems == [f"plugin 'side': {path} is no socket"]


# ------------------------------------------------------------------------------------------- who it is


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o666, 0o700 | 0o010])
async def test_a_socket_that_others_may_connect_to_is_not_used(path: Path, mode: int) -> None:
    side = Sidecar(path, hooks=ROUTER)
    await side.listen(mode)
    try:
        found = await found_with({"socket": str(path)})
    finally:
        await side.stop()
    assert found.problems == [f"plugin 'side': others may connect to {path}: chmod 600 {path}"]
    assert side.sent == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
async def test_a_socket_of_another_user_is_not_used(path: Path) -> None:
    async with Sidecar(path, hooks=ROUTER) as side:
        os.chown(path, 1234, -1)
        found = await found_with({"socket": str(path)})
        assert found.problems == [f"plugin 'side': {path} belongs to another user (uid 1234); run the plugin as the host's user"]
        assert side.sent == []


_ANOTHER_USER = """
import os, socket, sys
end = socket.socket(socket.AF_UNIX)
end.bind(sys.argv[1])
os.setuid(1234)
end.listen()
print("ready", flush=True)
got = end.accept()[0].recv(100)
print(len(got), flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0 or not hasattr(socket, "SO_PEERCRED"), reason="only root may become somebody else, on Linux")
async def test_a_user_who_listens_on_somebody_elses_socket_is_sent_nothing(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _ANOTHER_USER, str(path), stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        path.chmod(0o600)
        found = await found_with({"socket": str(path)})
        assert found.problems == [f"plugin 'side': another user (uid 1234) listens on {path}; run the plugin as the host's user"]
        assert await process.stdout.readline() == b"0\n"
    finally:
        await process.wait()


async def test_a_system_that_does_not_tell_who_listens_is_said_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jackfield.rpc.socket._user_at", lambda end: None)
    async with Sidecar(path, hooks=ROUTER):
        assert (await found_with({"socket": str(path)})).state == "active"
    assert [record.getMessage() for record in caplog.records if "does not tell who" in record.getMessage()] == [
        f"this system does not tell who listens on {path}: that its file is nobody else's has to be enough"
    ]


async def test_both_sides_prove_that_they_know_the_secret_before_anything_else_is_sent(path: Path) -> None:
    async with Sidecar(path, secret=SECRET, hooks=ROUTER) as side:
        assert (await found_with({"socket": {"path": str(path), "secret": SECRET}})).state == "active"
    methods = [method for method, _ in side.sent]
    assert methods[:2] == ["plugin.challenge", "plugin.register"]
    (challenge,) = side.asked("plugin.challenge")
    assert challenge["plugin"] == "side"
    assert len(bytes.fromhex(challenge["challenge"])) == 32
    assert side.asked("plugin.register")[0]["proof"] == side.proof("host", "5" * 64)
    assert SECRET not in json.dumps(side.sent)


def test_a_proof_is_that_of_the_reference() -> None:
    assert proof(b"key", "plugin", "00") == "abc787ba7653c270addbf126974b8304c8efcf59034d3eda29536df2e65bd9ec"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda params: {"proof": "0" * 64, "challenge": ""}, "it does not know the secret of plugins.side.socket.secret"),
        (lambda params: {"proof": "", "challenge": ""}, "it does not know the secret of plugins.side.socket.secret"),
        (lambda params: {"proof": params["challenge"]}, "it does not know the secret of plugins.side.socket.secret"),
        (None, "it could not prove that it knows the secret: "),
        ({"code": -32601, "message": "what?"}, "it could not prove that it knows the secret: what?"),
    ],
)
async def test_a_plugin_that_cannot_prove_it_is_sent_nothing_more(path: Path, answer: Any, says: str) -> None:
    async with Sidecar(path, {"plugin.challenge": answer}, hooks=ROUTER) as side:
        found = await found_with({"socket": {"path": str(path), "secret": SECRET}, "colour": "red"})
        assert found.state == "failed"
        (problem,) = found.problems
        assert problem.startswith(f"plugin 'side': {says}")
        await until(lambda: all(connection.is_closing() for connection in side.connections))
        assert [method for method, _ in side.sent] == ["plugin.challenge"]


async def test_who_has_not_proven_the_secret_is_told_nothing_by_the_host(path: Path) -> None:
    side = Sidecar(path, {"plugin.challenge": lambda params: {"proof": "wrong"}}, hooks=ROUTER)
    side.greeting = b'{"jsonrpc":"2.0","id":1,"method":"host.auth.list","params":{}}\n'
    asked = asyncio.Event()

    def challenged(params: Any) -> Any:
        asked.set()
        return {"proof": "wrong"}

    side.answers["plugin.challenge"] = challenged
    async with side:
        await found_with({"socket": {"path": str(path), "secret": SECRET}})
        await until(lambda: all(connection.is_closing() for connection in side.connections))
    assert all("prove first" in json.dumps(params) for method, params in side.sent if method == "answer")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node")
async def test_the_plugin_of_the_documents_proves_its_secret_and_asks_for_the_hosts(path: Path) -> None:
    (block,) = (block for block in document("docs/how-to/install-a-plugin-in-any-language.md").blocks if block.file == "best.js")
    path.with_name("best.js").write_text(block.text)
    environment = {**os.environ, "BEST_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec("node", "best.js", cwd=path.parent, env=environment)
    try:
        where = path.with_name("best.sock")
        await until(where.exists)
        assert (await found_with({"socket": {"path": str(where), "secret": "another"}})).state == "failed"
        (problem,) = (await found_with({"socket": str(where)})).problems
        assert problem == "plugin 'side': its connection was closed, before it had answered plugin.register"
        provider = ToyProvider()
        provider.models = ("m", "best")
        config = {"plugins": {"side": {"socket": {"path": str(where), "secret": SECRET}}}}
        async with Harness([Toy(provider)], config, bare=True) as host:
            await host.post("/toy/v1/talk", talk("m"))
        assert [attempt.model for attempt in provider.attempts] == ["best"]
    finally:
        process.kill()
        await process.wait()


# ----------------------------------------------------------------------------------------------- lost


async def test_a_connection_that_is_lost_is_made_anew_when_the_plugin_is_back(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.001)
    caplog.set_level("INFO")
    provider = ToyProvider()
    config = {"plugins": {"side": {"socket": {"path": str(path), "secret": SECRET}}}}
    async with Sidecar(path, TO_N, secret=SECRET, hooks=ROUTER) as side, Harness([Toy(provider)], config, bare=True) as host:
        await side.stop()
        await until(lambda: "its connection was closed; it is reached again as soon as it is there" in caplog.text)
        assert (await host.post("/toy/v1/talk", talk("m"))).status == 200  # an open stage, without it
        side.accepted.clear()
        await side.listen()
        await asyncio.wait_for(side.accepted.wait(), 10)
        await until(lambda: "it runs again" in caplog.text)
        await host.post("/toy/v1/talk", talk("m"))
        assert [method for method, _ in side.sent].count("plugin.challenge") == 2
    assert [attempt.model for attempt in provider.attempts] == ["m", "n"]


async def test_a_plugin_that_floods_its_connection_with_a_line_without_end_is_cut_off(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Sidecar(path, hooks=ROUTER) as side, Harness([Toy()], {"plugins": {"side": {"socket": str(path)}}}, bare=True) as host:
        side.connections[0].write(b"x" * (17 << 20))
        await until(lambda: "it sent a line of over" in caplog.text)
        assert (await host.post("/toy/v1/talk", talk("m"))).status == 200


async def test_what_is_no_message_is_logged_and_harms_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    side = Sidecar(path, TO_N, hooks=ROUTER)
    side.greeting = b"hello\n"
    async with side, Harness([Toy()], {"plugins": {"side": {"socket": str(path)}}}, bare=True) as host:
        assert part(host).state == "active"
    assert "no message: hello" in caplog.text


# ----------------------------------------------------------------------------------------- other settings


def config(path: Path, **section: Any) -> dict[str, Any]:
    return {"plugins": {"autoload": False, "folder": "", "side": {"socket": str(path), **section}}}


async def test_a_plugin_that_can_takes_other_settings_on_its_connection(path: Path) -> None:
    provider = ToyProvider()
    side = Sidecar(path, TO_N, hooks=ROUTER, capabilities=["reconfigure"])
    async with side, Harness([Toy(provider)], config(path, colour="red"), bare=True) as host:
        before = part(host)
        await host.host.reload(config(path, colour="blue"))
        assert side.asked("plugin.reconfigure") == [{"config": {"colour": "blue"}}]
        assert (part(host).object is before.object, part(host).section, part(host).state) == (True, {"colour": "blue"}, "active")
        await host.post("/toy/v1/talk", talk("m"))
        await host.host.reload(config(path, colour="blue"))  # nothing has changed
        await host.host.rollback(1)
        assert side.asked("plugin.reconfigure")[1:] == [{"config": {"colour": "red"}}]
        await until(lambda: len(host.host.generations) == 1)
        await host.post("/toy/v1/talk", talk("m"))
        assert (len(side.connections), side.asked("plugin.shutdown")) == (1, [])
        await host.host.reload(config(path, colour="red", priority=3))  # what the host reads: it is reached anew
        await until(lambda: len(side.asked("plugin.shutdown")) == 1)
        assert len(side.connections) == 2
    assert [attempt.model for attempt in provider.attempts] == ["n", "n"]


async def test_what_came_from_the_environment_is_said_of_other_settings_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "blue")
    side = Sidecar(path, hooks=ROUTER, capabilities=["reconfigure"])
    async with side, Harness([Toy()], config(path, colour="red"), bare=True) as host:
        await host.host.reload(config(path, colour="${COLOUR}"))
    assert side.asked("plugin.reconfigure") == [{"config": {"colour": "blue"}, "from_environment": ["/colour"]}]


async def test_a_plugin_that_cannot_is_reached_anew(path: Path) -> None:
    async with Sidecar(path, hooks=ROUTER) as side, Harness([Toy()], config(path, colour="red"), bare=True) as host:
        await host.host.reload(config(path, colour="blue"))
        assert [params["config"] for params in side.asked("plugin.register")] == [{"colour": "red"}, {"colour": "blue"}]
        await until(lambda: len(side.asked("plugin.shutdown")) == 1)


async def test_settings_that_are_refused_change_nothing_and_say_where(path: Path) -> None:
    problems = {"code": -32602, "message": "no", "data": {"problems": [["colour", "expected red or blue"]]}}
    answers = {"plugin.reconfigure": lambda params: problems if params["config"]["colour"] == "green" else None}
    async with Sidecar(path, answers, hooks=ROUTER, capabilities=["reconfigure"]) as side:
        async with Harness([Toy()], config(path, colour="red"), bare=True) as host:
            with pytest.raises(NotReloaded, match=r"^config: plugins\.side\.colour: expected red or blue$"):
                await host.host.reload(config(path, colour="green"))
            assert (host.host.generation.number, part(host).section, part(host).state) == (1, {"colour": "red"}, "active")
        assert len(side.connections) == 1


async def test_a_reload_that_fails_elsewhere_takes_the_settings_back(path: Path, tmp_path: Path) -> None:
    side = Sidecar(path, hooks=ROUTER, capabilities=["reconfigure"])
    async with side, Harness([Toy()], config(path, colour="red"), bare=True) as host:
        wrong = config(path, colour="blue")
        wrong["plugins"]["other"] = {"path": str(tmp_path / "gone.py"), "required": True}
        with pytest.raises(NotReloaded):
            await host.host.reload(wrong)
        assert [params["config"]["colour"] for params in side.asked("plugin.reconfigure")] == ["blue", "red"]
        assert part(host).section == {"colour": "red"}


async def test_a_connection_that_is_made_anew_begins_with_the_latest_settings(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.001)
    async with Sidecar(path, hooks=ROUTER, capabilities=["reconfigure"]) as side:
        async with Harness([Toy()], config(path, colour="red"), bare=True) as host:
            await host.host.reload(config(path, colour="blue"))
            side.connections[0].close()
            await until(lambda: len(side.asked("plugin.register")) == 2)
        assert [params["config"]["colour"] for params in side.asked("plugin.register")] == ["red", "blue"]


async def test_objects_are_named_anew_with_other_settings(path: Path) -> None:
    sent = list[Any]()
    answers = {
        "plugin.reconfigure": lambda params: sent.append(params["config"]),
        "model.register": lambda params: {"models": [["toy", {"id": sent[-1]["model"] if sent else "first"}]]},
    }
    side = Sidecar(path, answers, hooks={"model.register": {}}, capabilities=["reconfigure"])
    async with side, Harness([Toy()], config(path, model="first"), bare=True) as host:
        assert "first" in [info.id for _, info in host.host.generation.extra_models]
        await host.host.reload(config(path, model="second"))
        assert [info.id for _, info in host.host.generation.extra_models] == ["second"]


# ------------------------------------------------------------------------------------------------ listed


async def test_a_plugin_behind_a_socket_is_listed_and_let_go(path: Path) -> None:
    async with Sidecar(path, hooks=ROUTER, priority=2, config_schema={"properties": {"colour": {"type": "string"}}}) as side:
        host = Jackfield({"plugins": {"side": {"socket": str(path)}}}, listen=False, defaults=False)
        await host.load()
        await let_go(host)
        (row,) = (row for row in listing(host) if row["id"] == "side")
        assert (row["carried"], row["state"], row["hooks"], row["priority"]) == ("socket", "active", ["route_model"], 2)
        assert row["origin"] == f"socket {path}"
        assert len(side.asked("plugin.shutdown")) == 1
        await until(lambda: all(connection.is_closing() for connection in side.connections))
        await host.stop(grace=0)
