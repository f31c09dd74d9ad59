"""Plugins are found, checked and built, each in its own try; what is wrong with one is listed and stops no other."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from jackfield import Jackfield
from jackfield.api import Host, HttpProvider, ModelInfo, Provider
from jackfield.api.credential import Credential
from jackfield.calls import EVERYTHING
from jackfield.plugins import Plugin, PluginLoadError
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.distributions import Distributions, distributions

__all__ = ["distributions"]


class Found(dict[str, Plugin]):
    """The plugins of a host by id, and what the host made of them."""

    def __init__(self, host: Jackfield) -> None:
        self.generation, self.problems = host.generation, host.problems
        for plugin in host.plugins:  # what is wrong with it among the others stands with it, as in `jackfield plugins`
            plugin.problems += [problem for problem in self.generation.problems if problem.startswith(f"plugin {plugin.id!r}: ")]
        super().__init__({plugin.id: plugin for plugin in host.plugins})


async def load(sections: Any = None, *objects: object, start: bool = False, file: Path | None = None) -> Found:
    """Load a host that serves nothing, start it if asked to, stop it, and return what it found."""
    host = Jackfield(file or {"plugins": sections or {}}, plugins=objects, listen=False, defaults=False)
    try:
        await host.load(start=start)
        return Found(host)
    finally:
        await host.stop(grace=0)


# ------------------------------------------------------------------------------------------------- found


async def test_an_installed_plugin_is_found_and_active_without_configuration(distributions: Distributions) -> None:
    distributions.install("acme-plugin", "def route_model(call): pass", plugins={"acme": "acme_plugin"}, version="2.5")
    found = (await load())["acme"]
    assert (found.state, found.version, found.distribution, list(found.implementations)) == (
        "active",
        "2.5",
        "acme-plugin",
        ["route_model"],
    )
    assert found.origin == "entry point acme = acme_plugin"
    assert found.problems == []


async def test_without_autoload_only_plugins_that_the_configuration_names_are_loaded(distributions: Distributions) -> None:
    distributions.install("one", "def route_model(call): pass")
    distributions.install("two", "raise ValueError('imported')")
    found = await load({"autoload": False, "one": {}})
    assert (found["one"].state, found["two"].state, found["two"].problems) == ("active", "disabled", [])


async def test_a_disabled_plugin_is_listed_and_not_imported(distributions: Distributions) -> None:
    distributions.install("one", "raise ValueError('imported')")
    found = (await load({"one": {"enabled": False}}))["one"]
    assert (found.state, found.problems, found.config_path) == ("disabled", [], "config: plugins.one")


async def test_a_file_is_a_plugin_and_its_path_is_relative_to_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "mine.py").write_text("__version__ = '3.1'\ndef route_model(call): pass")
    (tmp_path / "home.py").write_text("def pick_credential(call, pool): pass")
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "etc" / "jackfield.yaml"
    config.write_text("plugins: {autoload: false, router: {path: mine.py}, picker: {path: ~/home.py}}")
    found = await load(file=config)
    assert (found["router"].state, found["router"].version, found["router"].origin) == ("active", "3.1", "file mine.py")
    assert (found["picker"].state, list(found["picker"].implementations)) == ("active", ["pick_credential"])


@pytest.mark.parametrize("path", ["gone.py", ".", "notes.txt"])
async def test_a_file_that_is_no_python_file_is_a_problem(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("hello")
    found = (await load({"a": {"path": path}}))["a"]
    assert found.state == "failed"
    assert ("there is no jackfield-plugin.yaml in" if path == "." else "there is no Python file") in found.problems[0]


async def test_a_plugin_that_is_not_installed_is_a_problem_with_the_nearest_name(distributions: Distributions) -> None:
    distributions.install("tools-router", "", plugins={"tools_router": "tools_router"})
    found = await load({"tools_ruter": {}, "zzz": {}, "gone": {"enabled": False}})
    assert found["tools_ruter"].problems == [
        "config: plugins.tools_ruter: no plugin of that name is installed; did you mean 'tools_router'?"
    ]
    assert found["zzz"].problems == [
        "config: plugins.zzz: no plugin of that name is installed; install it, or say where it is (`path`, `command` or `socket`)"
    ]
    assert (found["gone"].state, found["gone"].problems) == ("disabled", [])


async def test_doubled_ids_load_neither_until_the_configuration_names_the_distribution(distributions: Distributions) -> None:
    distributions.install("one", "def route_model(call): pass", plugins={"same": "one"})
    distributions.install("two", "def pick_credential(call, pool): pass", plugins={"same": "two"})
    says = "plugins.same: several have it (one, two); name one with `distribution`"
    for section in ({}, {"same": {}}, {"same": {"distribution": "three"}}):
        found = (await load(section))["same"]
        assert (found.state, found.problems, found.implementations) == ("failed", [says], {})
    chosen = (await load({"same": {"distribution": "two"}}))["same"]
    assert (chosen.state, chosen.distribution, list(chosen.implementations)) == ("active", "two", ["pick_credential"])
    assert (await load({"autoload": False}))["same"].state == "disabled"


async def test_objects_modules_and_classes_of_an_embedder_are_plugins() -> None:
    class Router:
        def route_model(self, call: Any) -> None:
            """Decline."""

    class Named:
        id = "by-name"

    module = ModuleType("somewhere.deep")
    module.route_model = lambda call: None  # type: ignore[attr-defined]
    found = await load({"autoload": False}, Router, Named(), module)
    assert {name: plugin.state for name, plugin in found.items() if plugin.origin == "object"} == {
        "router": "active", "by-name": "active", "deep": "active",
    }  # fmt: skip


async def test_two_objects_of_one_id_are_told_and_neither_is_used() -> None:
    class Router:
        def route_model(self, call: Any) -> None:
            """Decline."""

    found = (await load({}, Router(), Router()))["router"]
    assert (found.state, found.implementations) == ("failed", {})
    assert found.problems == ["'router' is the id of two plugin objects; give each an `id` of its own"]


# -------------------------------------------------------------------------------------------------- loaded

BROKEN = {
    "absent": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    "syntax": ("def x(:", "SyntaxError: invalid syntax (syntax.py, line 1)"),
    "exits": ("import sys; sys.exit(4)", "SystemExit: 4"),
    "raises": ("raise ValueError('first\\nsecond')", "ValueError: first second"),
    "silent": ("raise GeneratorExit", "GeneratorExit: no message"),
    "builds": ("class Plugin:\n    def __init__(self, config, host): raise RuntimeError('no')", "RuntimeError: no"),
    "builds_exits": ("class Plugin:\n    def __init__(self, config, host): raise SystemExit(2)", "SystemExit: 2"),
    "recursion": ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
}


async def test_plugins_that_cannot_be_loaded_are_listed_each_with_its_cause_and_stop_no_other(distributions: Distributions) -> None:
    for name, (code, _) in BROKEN.items():
        distributions.install(name, code)
    distributions.install("fine", "def route_model(call): pass")
    found = await load()
    for name, (_, says) in BROKEN.items():
        assert found[name].state == "failed"
        (problem,) = found[name].problems
        assert problem.startswith(f"plugin {name!r}: {says}")
    assert found["fine"].state == "active"


async def test_an_entry_point_that_leads_nowhere_is_listed(distributions: Distributions) -> None:
    distributions.install("one", "", plugins={"a": "one:gone", "b": "gone_module"})
    found = await load()
    assert found["a"].problems == ["plugin 'a': AttributeError: module 'one' has no attribute 'gone'"]
    assert found["b"].problems == ["plugin 'b': ModuleNotFoundError: No module named 'gone_module'"]


async def test_a_required_plugin_that_cannot_be_used_ends_the_start(distributions: Distributions) -> None:
    distributions.install("broken", "raise ValueError('no')")
    with pytest.raises(PluginLoadError, match="plugin 'broken': ValueError: no"):
        await load({"broken": {"required": True}})
    with pytest.raises(PluginLoadError, match=r"plugins\.gone: no plugin of that name"):
        await load({"gone": {"required": True}})
    assert (await load({"broken": {"required": True, "enabled": False}}))["broken"].state == "disabled"


async def test_names_that_nearly_are_hooks_are_listed_and_others_are_not(distributions: Distributions) -> None:
    code = """
    from jackfield.api import splice
    def rout_model(call): pass
    async def intercept_streams(call, head): pass
    def _route_models(call): pass
    def helper(): pass
    request_completed = 3
    """
    distributions.install("near", code)
    code = """
    class Plugin:
        def pick_credentials(self, call, pool): pass
        @staticmethod
        def authentcate(call): pass
        def route(self): pass
    """
    distributions.install("nearby", code)
    found = await load()
    assert found["near"].problems == [
        "plugin 'near': 'intercept_streams' is no hook; did you mean 'intercept_stream'?",
        "plugin 'near': 'rout_model' is no hook; did you mean 'route_model'?",
    ]
    assert found["nearby"].problems == [
        "plugin 'nearby': 'authentcate' is no hook; did you mean 'authenticate'?",
        "plugin 'nearby': 'pick_credentials' is no hook; did you mean 'pick_credential'?",
    ]
    assert found["near"].state == "active"


@pytest.mark.parametrize(("signature", "word"), [("request", "request"), ("call, extra", "extra"), ("call, pool", "pool")])
async def test_a_wrong_signature_is_listed_with_hook_and_argument(distributions: Distributions, signature: str, word: str) -> None:
    distributions.install("one", f"def route_model({signature}): pass")
    found = (await load())["one"]
    assert found.state == "failed"
    assert f"route_model({signature})" in found.problems[0]
    assert f"{{'{word}'}}" in found.problems[0]


@pytest.mark.parametrize(
    ("code", "says", "used"),
    [
        ("async def register_providers(): raise AssertionError('asked')", "register_providers must be `def`", []),
        ("async def register_models(): return []", "register_models must be `def`", []),
        ("VALUE = 3", "it does nothing: it has no hook, and neither `start` nor `close`", []),
        ("class Plugin: pass", "it does nothing: it has no hook, and neither `start` nor `close`", []),
    ],
)
async def test_what_is_never_called_is_listed(tmp_path: Path, code: str, says: str, used: list[str]) -> None:
    (tmp_path / "one.py").write_text(code)
    found = (await load({"one": {"path": str(tmp_path / "one.py")}}))["one"]
    assert (found.state, found.problems, list(found.implementations)) == ("active", [f"plugin 'one': {says}"], used)


@pytest.mark.parametrize("part", ["start", "close"])
async def test_a_plugin_without_hooks_may_live_by_start_or_close_alone(tmp_path: Path, part: str) -> None:
    (tmp_path / "one.py").write_text(f"async def {part}(): pass")
    assert (await load({"one": {"path": str(tmp_path / "one.py")}}))["one"].problems == []


@pytest.mark.parametrize(
    "signature", ["call, head", "head, call", "head", "", "call=None, head=None", "head, more=3", "*, head, call", "call, **more", "**more"]
)
async def test_a_hook_takes_the_arguments_that_it_names_in_any_order(tmp_path: Path, signature: str) -> None:
    (tmp_path / "one.py").write_text(f"def intercept_stream({signature}):\n    return dict(locals())")
    (hook,) = (await load({"one": {"path": str(tmp_path / "one.py")}})).generation.chains["intercept_stream"]
    got = hook.function("CALL", "HEAD")
    got.update(got.pop("more") if isinstance(got.get("more"), dict) else {})
    assert (got.get("call", "CALL"), got.get("head", "HEAD")) == ("CALL", "HEAD")
    assert all(name in got for name in ("call", "head") if name in signature or signature == "**more")


# --------------------------------------------------------------------------------------------------- config

TYPED = """
from __future__ import annotations
from typing import TYPE_CHECKING
import msgspec
if TYPE_CHECKING:
    from jackfield.api import Host

class {name}(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    limit: int = 4000
    name: str

class Plugin:
    def __init__(self, config{hint}, host: Host) -> None:
        self.config = config
"""


@pytest.mark.parametrize(("name", "hint"), [("Config", ""), ("Config", ": Config"), ("Settings", ": Settings")])
async def test_settings_are_checked_against_the_plugins_struct(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    distributions.install("one", TYPED.format(name=name, hint=hint))
    monkeypatch.setenv("LIMIT", "5")
    found = (await load({"one": {"limit": "${LIMIT}", "name": "x", "priority": 3}}))["one"]
    assert (found.object.config.limit, found.object.config.name, found.priority) == (5, "x", 3)
    found = (await load({"one": {"limt": 3, "limit": "many"}}))["one"]
    assert found.state == "failed"
    assert "\n".join(found.problems).splitlines() == [
        "config: plugins.one.limt: unknown; did you mean 'limit'?",
        "config: plugins.one.name: missing; expected a text",
        "config: plugins.one.limit: expected a whole number, got 'many'",
    ]


@pytest.mark.parametrize("arguments", ["", "config", "host", "config, host", "config, host, more=3", "*given"])
async def test_a_plugin_class_takes_as_much_as_it_wants(tmp_path: Path, arguments: str) -> None:
    code = f"class Plugin:\n    def __init__(self, {arguments}):\n        self.got = dict(locals())"
    (tmp_path / "one.py").write_text(code)
    found = (await load({"one": {"path": str(tmp_path / "one.py"), "limit": 3}}))["one"]
    assert found.state == "active"
    got = found.object.got
    config, host = got.get("given", (got.get("config", {"limit": 3}), got.get("host")))
    assert config == {"limit": 3}
    assert host is None or host.info.plugin == "one"


async def test_settings_for_a_plugin_that_takes_none_are_listed(distributions: Distributions) -> None:
    distributions.install("one", "def route_model(call): pass")
    found = (await load({"one": {"limit": 3, "hooks": {"rout_model": {"priority": 3}, "authenticate": {}}}}))["one"]
    assert found.state == "active"
    assert found.problems == [
        "config: plugins.one: the plugin takes no settings, but there are some: limit",
        "config: plugins.one.hooks.rout_model: it has no such hook; it has: route_model",
        "config: plugins.one.hooks.authenticate: it has no such hook; it has: route_model",
    ]


# ---------------------------------------------------------------------------------------------------- order


def router(id: str, priority: Any = None) -> Any:
    thing = SimpleNamespace(id=id, route_model=lambda call: None, intercept_response=lambda call, reply: None)
    if priority is not None:
        thing.priority = priority
    return thing


async def test_order_is_by_priority_then_by_id_and_the_operator_has_the_last_word() -> None:
    sections = {"autoload": False, "d": {"priority": -1}, "e": {"hooks": {"route_model": {"priority": 9}}}, "f": {"priority": 2}}
    chains = (await load(sections, router("b"), router("a"), router("c", 3), router("d", 9), router("e"), router("f", 1))).generation.chains
    assert [hook.plugin for hook in chains["route_model"]] == ["e", "c", "f", "a", "b", "d"]
    assert [hook.plugin for hook in chains["intercept_response"]] == ["d", "e", "b", "a", "f", "c"]


async def test_a_broken_priority_counts_as_none() -> None:
    found = await load({"autoload": False}, router("a", "first"), router("b", 1.5))
    assert (found["a"].priority, found["b"].priority, found["a"].state) == (0, 0, "active")


# --------------------------------------------------------------------------------------------------- grants


async def test_what_could_open_the_house_acts_only_for_plugins_that_the_configuration_names(distributions: Distributions) -> None:
    code = """
    def authenticate(call): pass
    def register_credential_sources(): raise AssertionError("asked")
    def route_model(call): pass
    """
    distributions.install("one", code)
    loaded = await load()
    found = loaded["one"]
    assert (found.state, found.grants, list(found.implementations)) == ("active", (), ["route_model"])
    assert sorted(found.problems) == [
        f"plugin 'one': {hook} needs a grant: name the plugin in the configuration (plugins.one: {{}})"
        for hook in ("authenticate", "register_credential_sources")
    ]
    assert not loaded.generation.doorkeepers()
    loaded = await load({"one": {}})
    assert set(loaded["one"].grants) == {"authenticate", "register_credential_sources"}
    assert loaded.generation.doorkeepers()


def provider(key: str, env: str = "", **options: Any) -> str:
    """Return the code of a plugin with one provider."""
    auth = f"auth=Bearer(env={env!r}), " if env else ""
    return f"""
    from jackfield.api import Bearer, HttpProvider
    def register_providers():
        return [HttpProvider(key={key!r}, dialects=["canonical"], base_url="http://127.0.0.1:9", {auth}models=["m"])]
    """


async def test_of_two_providers_of_one_key_the_named_then_the_higher_wins_and_the_other_is_listed(distributions: Distributions) -> None:
    distributions.install("aa", provider("acme"))
    distributions.install("bb", provider("acme"))
    for sections, winner, loser in (
        ({}, "aa", "bb"),
        ({"aa": {}, "bb": {"priority": 1}}, "bb", "aa"),
        ({"bb": {}}, "bb", "aa"),
    ):
        found = await load(sections)
        assert found.generation.owner["acme"].id == winner
        assert found[loser].problems == [f"plugin {loser!r}: 'acme' is shadowed: a plugin of higher priority has one"]
        assert found[winner].problems == []


async def test_a_variable_of_another_plugins_key_is_not_read_for_one_that_is_merely_installed(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "sk-acme-1")
    distributions.install("aa", provider("thief", "ACME_KEY"))
    distributions.install("bb", provider("acme", "ACME_KEY"))
    found = await load({"bb": {}})
    assert [account.provider.key for account in found.generation.accounts if account.credential.key] == ["acme"]
    assert found["aa"].problems == ["plugin 'aa': $ACME_KEY belongs to 'bb'; name the plugin in the configuration"]
    found = await load({"aa": {}, "bb": {}})
    assert {account.provider.key for account in found.generation.accounts if account.credential.key} == {"acme", "thief"}


# --------------------------------------------------------------------------------------------- what they register


@pytest.mark.parametrize(
    ("hook", "answer", "says"),
    [
        ("register_providers", lambda: 3, "TypeError: 'int' object is not iterable"),
        ("register_providers", lambda: [3], "TypeError: 3 is no provider: it needs a `key` and an `execute`"),
        ("register_providers", lambda: [Provider()], "is no provider: it needs a `key` and an `execute`"),
        ("register_providers", lambda: {}["x"], "KeyError: 'x'"),
        ("register_providers", lambda: sys.exit(3), "SystemExit: 3"),
        (
            "register_providers",
            lambda: [HttpProvider(key="a", dialects=["no.such"], base_url="http://x")],
            "ValueError: provider 'a': no plugin has its dialect no.such; known: canonical",
        ),
        ("register_dialects", lambda: ["d"], "TypeError: 'd' is no dialect"),
        ("register_models", lambda: ["m"], "register_models: "),
        ("register_models", lambda: [("p", "m")], "register_models: ValidationError"),
        ("register_state_stores", lambda: [3], "register_state_stores: TypeError"),
    ],
)
async def test_what_a_plugin_registers_wrongly_is_its_listed_problem(hook: str, answer: Any, says: str) -> None:
    found = (await load({"autoload": False}, SimpleNamespace(id="a", **{hook: answer})))["a"]
    (problem,) = found.problems
    assert problem.startswith(f"plugin 'a': {hook}: ")
    assert says in problem
    assert found.state == "active"


async def test_a_wrong_object_takes_no_right_one_away() -> None:
    found = await load({"autoload": False}, Toy(3, ToyProvider()))  # type: ignore[arg-type]
    assert list(found.generation.providers) == ["toy"]
    assert len(found["toy"].problems) == 1


async def test_further_models_of_a_provider_are_listed() -> None:
    more = SimpleNamespace(id="more", register_models=lambda: [("toy", ModelInfo(id="o", owner="them")), ("gone", ModelInfo(id="p"))])
    generation = (await load({"autoload": False}, Toy(), more)).generation
    assert [info.id for info in generation.models.listing(EVERYTHING)] == ["m", "n", "o"]


async def test_a_credential_source_that_fails_is_a_problem_and_others_still_count() -> None:
    class Source:
        def __init__(self, name: str, *held: Credential) -> None:
            self.name, self.held = name, held

        async def load(self) -> Any:
            if not self.held:
                raise OSError("locked")
            return self.held

    sources = [Source("broken"), Source("fine", Credential(provider="toy", label="fine"))]
    found = await load({"autoload": False}, Toy(), SimpleNamespace(id="a", register_credential_sources=lambda: sources))
    assert "plugin 'a': credential source 'broken': OSError: locked" in found.problems
    assert "fine" in {account.credential.label for account in found.generation.accounts}


# ------------------------------------------------------------------------------------------------------ life


class Living:
    """A plugin that notes what happens to it."""

    id = "living"
    priority = 0

    def __init__(self, **parts: Any) -> None:
        self.events: list[str] = []
        for name, part in parts.items():
            setattr(self, name, part)

    def route_model(self, call: Any) -> None:
        """Decline."""

    async def start(self) -> None:
        self.events.append("start")

    async def close(self) -> None:
        self.events.append("close")


async def waits() -> None:
    await asyncio.Event().wait()


def fails(fault: BaseException) -> Any:
    async def _fails() -> None:
        raise fault

    return _fails


async def test_a_plugin_is_started_and_closed_once() -> None:
    living = Living()
    await load({"autoload": False}, living, start=True)
    assert living.events == ["start", "close"]


async def test_a_plugin_of_a_host_that_is_only_looked_at_is_neither_started_nor_closed() -> None:
    living = Living()
    await load({"autoload": False}, living)
    assert living.events == []


async def test_start_and_close_may_be_plain_functions() -> None:
    events: list[str] = []
    await load({"autoload": False}, Living(start=lambda: events.append("start"), close=lambda: events.append("close")), start=True)
    assert events == ["start", "close"]


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (fails(ValueError("no")), "plugin 'living': start: ValueError: no"),
        (fails(SystemExit(3)), "plugin 'living': start: RuntimeError: SystemExit: 3"),
        (fails(asyncio.CancelledError()), "plugin 'living': start: CancelledError: "),
        (fails(TimeoutError("theirs")), "plugin 'living': start: TimeoutError: theirs"),
        (waits, "plugin 'living': start: took longer than 0.05 s"),
        (lambda: sys.exit(3), "plugin 'living': start: SystemExit: 3"),
    ],
    ids=["raises", "exits", "cancelled", "own time-out", "hangs", "def that exits"],
)
async def test_a_plugin_that_cannot_start_is_listed_and_not_called(monkeypatch: pytest.MonkeyPatch, start: Any, says: str) -> None:
    monkeypatch.setattr("jackfield.host._PLUGIN_LIMIT", 0.05)
    other = Living()
    other.id = "other"
    found = await load({"autoload": False}, Living(start=start), other, start=True)
    assert (found["living"].state, found["living"].problems) == ("failed", [says])
    assert [hook.plugin for hook in found.generation.chains["route_model"]] == ["other"]
    with pytest.raises(PluginLoadError, match="plugin 'living': start"):
        await load({"autoload": False, "living": {"required": True}}, Living(start=start), start=True)


@pytest.mark.parametrize(
    "close", [fails(ValueError("no")), fails(SystemExit(3)), fails(asyncio.CancelledError()), waits, lambda: sys.exit(3)]
)
async def test_a_plugin_that_cannot_close_keeps_no_other_from_closing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, close: Any
) -> None:
    monkeypatch.setattr("jackfield.host._PLUGIN_LIMIT", 0.05)
    others = [Living(), Living()]
    for name, other in zip(("a", "z"), others, strict=True):
        other.id = name
    await load({"autoload": False}, Living(close=close), *others, start=True)
    assert [other.events for other in others] == [["start", "close"]] * 2
    assert "plugin 'living': close: " in caplog.text


class Spawner:
    """A plugin with a task of its own."""

    id = "spawner"

    def __init__(self, config: dict[str, Any], host: Host) -> None:
        self.host, self.began, self.ended = host, asyncio.Event(), asyncio.Event()

    async def _work(self) -> None:
        try:
            self.began.set()
            await waits()
        finally:
            self.ended.set()

    async def start(self) -> None:
        self.host.spawn(self._work(), "work")
        await self.began.wait()


async def test_tasks_of_a_plugin_are_cancelled_when_it_closes() -> None:
    found = await load({"autoload": False}, Spawner, start=True)
    assert found["spawner"].object.ended.is_set()


@pytest.mark.parametrize("fault", [ValueError("no"), SystemExit(3)], ids=["raises", "exits"])
async def test_a_task_of_a_plugin_that_fails_is_reported_under_its_name(caplog: pytest.LogCaptureFixture, fault: BaseException) -> None:
    class Failing(Spawner):
        async def _work(self) -> None:
            self.began.set()
            raise fault

    with caplog.at_level(logging.ERROR):
        await load({"autoload": False}, Failing, start=True)
    assert "plugin 'spawner': a task of its own failed" in caplog.text
    assert type(fault).__name__ in caplog.text


async def test_a_plugin_knows_itself_and_the_host() -> None:
    host = (await load({"autoload": False}, Spawner))["spawner"].object.host
    assert (host.info.plugin, host.log.name) == ("spawner", "jackfield.plugins.spawner")
    assert host.clock() <= host.clock()
    assert msgspec.json.encode(host.info)


async def test_a_plugin_that_keeps_the_door_and_does_not_start_keeps_the_host_from_starting() -> None:
    def start() -> None:
        raise OSError("no directory of users")

    door = SimpleNamespace(id="door", start=start, authenticate=lambda call: None)
    with pytest.raises(PluginLoadError, match="no directory of users"):
        await load({"autoload": False, "door": {}}, door, start=True)
