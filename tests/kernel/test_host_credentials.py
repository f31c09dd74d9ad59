"""What plugins may know of credentials, and do with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import CallError, Credential, Secret, failure
from jackfield.api.testing import Harness
from jackfield.calls import PluginHost
from tests.kernel.conftest import Toy, http_toy
from tests.kernel.pipeline_kit import ask

KEY = "sk-of-the-test-0123456789"
GIVEN: dict[str, Any] = {
    "id": "toy:a", "provider": "toy", "key": KEY, "label": "first", "headers": {"x-extra": "hidden"}, "proxy": "http://user:pass@127.0.0.1:9",
}  # fmt: skip


class Knowing:
    """A plugin that keeps its host."""

    id = "knowing"

    def __init__(self, host: Any) -> None:
        self.host = host

    def close(self) -> None:
        """Nothing: so that it does something."""


class Kept:
    """A source that can keep credentials, in memory."""

    def __init__(self, name: str, fault: Exception | None = None) -> None:
        self.name, self.held, self.fault = name, list[Credential](), fault

    async def load(self) -> Sequence[Credential]:
        return self.held

    async def save(self, credentials: Sequence[Credential]) -> None:
        if self.fault is not None:
            raise self.fault
        self.held = [*self.held, *credentials]


class Keeper(Knowing):
    """A plugin with sources of credentials."""

    def __init__(self, host: Any, *sources: Any) -> None:
        super().__init__(host)
        self.sources = sources

    def register_credential_sources(self) -> Sequence[Any]:
        return self.sources


def hosted(id: str, *sources: Any) -> type[Any]:
    def init(self: Any, host: Any) -> None:
        Keeper.__init__(self, host, *sources)

    return type(id.capitalize(), (Keeper,), {"id": id, "__init__": init})


def told(host: Harness, id: str = "knowing") -> Any:
    """Return the host's credentials as a plugin sees them."""
    return next(plugin.object.host.credentials for plugin in host.host.plugins if plugin.id == id)


def toy(*plugins: object, credentials: Sequence[Any] = (GIVEN,), url: str = "http://127.0.0.1:9", **config: Any) -> Harness:
    return Harness([Toy(http_toy(url)), *plugins], {"credentials": list(credentials), **config}, bare=True)


async def test_a_plugin_that_the_operator_names_sees_all_of_a_credential() -> None:
    async with toy(Knowing) as host:
        seen = await told(host).get("toy:a")
        assert told(host).list() == ["toy:a"]
    assert (seen.key, seen.label, seen.headers, seen.proxy) == (Secret(KEY), "first", {"x-extra": "hidden"}, GIVEN["proxy"])


async def test_without_a_grant_no_secret_is_seen_and_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jackfield.host.PluginHost", lambda shared, plugin, granted: PluginHost(shared, plugin, granted=False))
    async with toy(Knowing) as host:
        known = told(host)
        seen = await known.get("toy:a")
        with pytest.raises(CallError) as refused:
            await known.save([Credential(provider="toy", key=Secret("other"))])
    assert (seen.key, seen.label, seen.headers, seen.proxy) == (None, "first", {}, "http://127.0.0.1:9")
    assert refused.value.failure.code == "not_granted"
    assert "plugins.knowing" in str(refused.value)


async def test_a_plugin_that_is_merely_installed_has_no_grant(tmp_path: Path) -> None:
    file = tmp_path / "mere.py"
    file.write_text("class Plugin:\n    def __init__(self, host):\n        self.host = host\n    def close(self): ...\n")
    async with toy(plugins={"mere": {"path": str(file)}}) as host:
        granted = (await told(host, "mere").get("toy:a")).key
        plugin = next(plugin for plugin in host.host.plugins if plugin.id == "mere")
        plugin.named = None
        mere = host.host._host_for(plugin)
        assert (granted, (await mere.credentials.get("toy:a")).key) == (Secret(KEY), None)


@pytest.mark.parametrize("ask_for", ["get", "runtime"])
async def test_a_credential_that_nobody_has_is_an_error_with_a_code(ask_for: str) -> None:
    async with toy(Knowing) as host:
        with pytest.raises(CallError, match="there is no credential 'nobody'") as raised:
            await getattr(told(host), ask_for)("nobody")
    assert raised.value.failure.code == "unknown_credential"


async def test_the_state_of_a_credential_is_that_which_operators_see() -> None:
    async with toy(Knowing, credentials=[{"id": "toy:a", "provider": "toy", "key": KEY}], attempts={"wait": 0}) as host:
        assert (await told(host).runtime("toy:a")).state == "ok"
        await ask(host)  # nobody listens there
        account = host.host.generation.accounts[0]
        host.host.lasting.health.failed(account, "m", failure("rate", "slow down", blame="credential_model", retry_after=60))
        state = await told(host).runtime("toy:a")
        host.host.lasting.health.switch("toy:a", on=False)
        off = await told(host).runtime("toy:a")
    rest = next(rest for rest in state.resting if rest.cause == "rate")
    assert (state.state, off.state, rest.model, rest.message) == ("resting", "off", "m", "slow down")
    assert rest.until - rest.since == pytest.approx(60)
    assert (state.in_flight, state.last_used > 0) == (0, True)


async def test_what_a_plugin_keeps_is_used_at_once() -> None:
    source = Kept("mine")
    async with toy(hosted("keeper", source), credentials=()) as host:
        await told(host, "keeper").save([Credential(provider="toy", id="toy:new", key=Secret(KEY))])
        assert "toy:new" in [account.credential.id for account in host.host.generation.accounts]
        assert (await told(host, "keeper").get("toy:new")).key == Secret(KEY)


async def test_a_plugins_own_source_keeps_before_others_unless_one_is_named() -> None:
    own, other = Kept("own"), Kept("other")
    async with toy(hosted("aaa", other), hosted("keeper", own), credentials=()) as host:
        await told(host, "keeper").save([Credential(provider="toy", id="toy:1", key=Secret("one"))])
        await told(host, "keeper").save([Credential(provider="toy", id="toy:2", key=Secret("two"))], source="other")
    assert ([c.id for c in own.held], [c.id for c in other.held]) == (["toy:1"], ["toy:2"])


async def test_the_folder_of_the_host_keeps_what_has_no_other_place(tmp_path: Path) -> None:
    config = {"plugins": {"credential_files": {"folder": str(tmp_path), "watch": False}}}
    async with Harness([Toy(http_toy("http://127.0.0.1:9")), Knowing], config) as host:
        await told(host).save([Credential(provider="toy", subject="me", key=Secret(KEY), label="kept")])
        assert (await told(host).get("toy:me")).label == "kept"
    (file,) = tmp_path.glob("*.json")
    assert KEY in json.dumps(json.loads(file.read_text()))


@pytest.mark.parametrize(
    ("sources", "asked", "code", "says"),
    [
        ((), None, "no_source", "there is no source of credentials that can keep any"),
        ((Kept("mine"),), "other", "no_source", "there is no source of credentials 'other' that can keep any"),
        ((Kept("mine", OSError(28, "no space left")),), None, "not_saved", "could not keep it: OSError: [Errno 28] no space left"),
    ],
    ids=["none", "another", "failing"],
)
async def test_what_cannot_be_kept_is_one_line(sources: Sequence[Any], asked: str | None, code: str, says: str) -> None:
    async with toy(hosted("keeper", *sources), credentials=()) as host:
        with pytest.raises(CallError) as raised:
            await told(host, "keeper").save([Credential(provider="toy", key=Secret("k"))], asked)
    assert (raised.value.failure.code, says in str(raised.value)) == (code, True)
