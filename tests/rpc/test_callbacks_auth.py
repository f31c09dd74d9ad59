"""What a plugin out of process may know of credentials, and do with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Credential
from jackfield.api.testing import Harness
from jackfield.calls import PluginHost
from tests.kernel.conftest import Toy, http_toy, talk
from tests.rpc.asking import ask, asking_host

KEY = "sk-of-the-test-0123456789"
GIVEN: dict[str, Any] = {
    "id": "toy:a", "provider": "toy", "key": KEY, "label": "first", "aliases": {"x": "m"}, "limits": {"rpm": 5}, "cooldown": {"rate": "2s"},
    "headers": {"x-extra": "hidden"},
}  # fmt: skip
URL = "http://127.0.0.1:9"


class Kept:
    """A plugin with a source that can keep credentials, in memory."""

    id, name = "kept", "kept"

    def __init__(self) -> None:
        self.held = list[Credential]()

    def register_credential_sources(self) -> Sequence[Any]:
        return [self]

    async def load(self) -> Sequence[Credential]:
        return self.held

    async def save(self, credentials: Sequence[Credential]) -> None:
        self.held = [*self.held, *credentials]


def knowing(*needs: str) -> Harness:
    return asking_host(URL, config={"credentials": [GIVEN]}, needs=needs)


async def test_credentials_are_listed_without_what_may_hold_a_secret() -> None:
    async with knowing("secret") as host:
        (listed,) = (await ask(host, "host.auth.list"))["result"]["credentials"]
    assert listed["id"] == "toy:a"
    assert not {"key", "headers", "storage"} & listed.keys()


@pytest.mark.parametrize(("needs", "key"), [((), None), (("secret",), KEY)], ids=["without the need", "with it"])
async def test_a_key_is_told_to_those_that_need_it_and_may_have_it(needs: tuple[str, ...], key: str | None) -> None:
    async with knowing(*needs) as host:
        seen = (await ask(host, "host.auth.get", id="toy:a"))["result"]
    assert (seen.get("key"), seen["aliases"], seen["limits"], seen["cooldown"]) == (key, {"x": "m"}, {"rpm": 5}, {"rate": 2.0})
    assert ("headers" in seen) is (key is not None)


async def test_the_state_of_a_credential_is_told() -> None:
    async with knowing() as host:
        seen = (await ask(host, "host.auth.get_runtime", id="toy:a"))["result"]
    assert (seen["id"], seen["state"], seen["in_flight"], seen["resting"]) == ("toy:a", "ok", 0, [])


@pytest.mark.parametrize("method", ["host.auth.get", "host.auth.get_runtime"])
async def test_a_credential_that_nobody_has_is_an_error_with_a_code(method: str) -> None:
    async with knowing() as host:
        error = (await ask(host, method, id="nobody"))["error"]
    assert (error["message"], error["data"]["code"]) == ("there is no credential 'nobody'", "unknown_credential")


async def test_credentials_are_kept_as_they_were_told_and_used() -> None:
    kept, told = Kept(), {**GIVEN, "cooldown": {"rate": 2.0}}
    async with asking_host(URL, kept) as host:
        assert await ask(host, "host.auth.save", credentials=[told]) == {"result": None}
        assert [account.credential.id for account in host.host.generation.accounts] == ["toy:a"]
        answer = await ask(host, "host.auth.get", id="toy:a")
    (held,) = kept.held
    assert held.key is not None
    assert (held.key.reveal(), held.limits and held.limits.rpm, held.aliases) == (KEY, 5, {"x": "m"})
    assert answer["result"]["label"] == "first"


@pytest.mark.parametrize(
    ("said", "code", "says"),
    [
        ({"credentials": [{"provider": "toy", "weight": -1}]}, -32602, "weight"),
        ({"credentials": [{"id": "x"}]}, -32602, "provider"),
        ({"credentials": [{"provider": "toy", "proxy": "no url"}]}, -32602, "proxy"),
        ({"credentials": [{"provider": "toy"}], "source": "other"}, -32000, "there is no source of credentials 'other'"),
    ],
    ids=["weight", "provider", "proxy", "source"],
)
async def test_what_cannot_be_kept_is_one_line(said: dict[str, Any], code: int, says: str) -> None:
    async with asking_host(URL, Kept()) as host:
        error = (await ask(host, "host.auth.save", **said))["error"]
    assert (error["code"], says in error["message"], "\n" in error["message"]) == (code, True, False)


async def test_without_a_grant_nothing_is_kept_and_no_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jackfield.host.PluginHost", lambda shared, plugin, granted: PluginHost(shared, plugin, granted=False))
    async with asking_host(URL, Kept(), config={"credentials": [GIVEN]}, needs=["secret"]) as host:
        seen = (await ask(host, "host.auth.get", id="toy:a"))["result"]
        error = (await ask(host, "host.auth.save", credentials=[{"provider": "toy"}]))["error"]
    assert ("key" in seen, error["code"], error["data"]["code"]) == (False, -32001, "not_granted")


KNOWING = """
import json
from jackfield.api import CallError, Change, Credential, Reply, Secret, hook

class Plugin:
    def __init__(self, host):
        self.host = host

    @hook(needs=["body", "secret"])
    async def intercept_request(self, call):
        held = self.host.credentials
        one, state = await held.get("toy:a"), await held.runtime("toy:a")
        try:
            await held.get("nobody")
        except CallError as fault:
            unknown = [str(fault), fault.failure.code]
        await held.save([Credential(provider="toy", id="toy:new", key=Secret("sk-new"))], source="kept")
        new = await held.get("toy:new")
        said = [one.key.reveal(), one.label, one.limits.rpm, state.state, unknown, new.key.reveal()]
        return Change(respond=Reply(body=json.dumps(said).encode()))
"""


@pytest.mark.parametrize("isolate", [False, True], ids=["in process", "isolated"])
async def test_a_python_plugin_sees_the_same_in_process_and_out_of_it(isolate: bool, tmp_path: Path) -> None:
    (file := tmp_path / "knowing.py").write_text(KNOWING)
    kept, section = Kept(), {"path": str(file), "isolate": isolate}
    settings = {"credentials": [GIVEN], "plugins": {"knowing": section, "autoload": False}}
    async with Harness([Toy(http_toy(URL)), kept], settings, bare=True) as host:
        answer = await host.post("/toy/v1/talk", talk())
    assert answer.json == [KEY, "first", 5, "ok", ["there is no credential 'nobody'", "unknown_credential"], "sk-new"]
    assert [credential.id for credential in kept.held] == ["toy:new"]
