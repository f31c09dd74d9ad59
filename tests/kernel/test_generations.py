"""A configuration that changes while the host serves: what is made anew, what goes on, what is refused, what is closed and when."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jackfield import Jackfield, NotReloaded
from jackfield import host as host_module
from jackfield.api import Attempt, Bearer, Call, Change, Credential, Event, HttpProvider, ModelInfo, Principal, Reply, Secret
from jackfield.api.testing import Answer, Harness, Received, ScriptedUpstream
from jackfield.api.testing.upstream import Wire
from jackfield.generation import Generation
from tests.kernel.conftest import Toy, ToyProvider, http_toy, talk
from tests.kernel.pipeline_kit import PATIENCE, Made, begun_stream, hanging
from tests.kernel.toy import check_stream, read_stream, stream_of

BARE: dict[str, Any] = {"plugins": {"autoload": False}}


class Part:
    """A plugin that notes what becomes of its instances."""

    id = "part"
    made: list[Part] = []

    class Config(msgspec.Struct, forbid_unknown_fields=True):
        word: str = "one"
        fails: bool = False

    def __init__(self, config: Config) -> None:
        self.word, self.fails, self.events = config.word, config.fails, ["made"]
        self.made.append(self)

    async def start(self) -> None:
        self.events.append("started")
        if self.fails:
            raise OSError("the service is away")

    async def close(self) -> None:
        self.events.append("closed")

    def intercept_request(self, call: Call) -> Change:
        return Change(headers={"toy-word": self.word})


@pytest.fixture(autouse=True)
def _none_made(monkeypatch: pytest.MonkeyPatch) -> None:
    Part.made.clear()
    monkeypatch.setattr(host_module, "_LOOK_EVERY", 0.0)  # what could be closed too early shall be


def parts(**section: Any) -> dict[str, Any]:
    """Return a configuration with these settings of the plugin above."""
    return {"plugins": {"autoload": False, "part": section}}


def host_with(*plugins: object, config: dict[str, Any] | None = None) -> Harness:
    return Harness([Toy(), Part, *plugins], config or BARE, bare=True)


async def words_of(host: Harness, **said: Any) -> str:
    answer = await host.post("/toy/v1/talk", talk(**said))
    assert answer.status == 200, answer.body
    return str(answer.json["blocks"][0]["text"])


async def until(true: Callable[[], object]) -> None:
    """Wait for what happens beside the test."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------ made anew


async def test_new_calls_see_what_the_file_says_now(tmp_path: Path) -> None:
    file = tmp_path / "host.yaml"
    file.write_text("plugins: {autoload: false}")
    async with Jackfield(file, plugins=[Toy()], overrides={"server": {"port": 0}}, defaults=False) as host:
        first = host.generation
        assert first.number == 1
        assert first.models.info("best") is None
        file.write_text("plugins: {autoload: false}\nmodels: {aliases: {best: m}}")
        second = await host.reload()
        assert (second.number, host.generation, host.config) == (2, second, second.config)
        assert second.models.info("best") is not None
        assert first.models.info("best") is None, "what a call in flight holds does not change"


async def test_what_is_given_takes_the_place_of_what_the_host_was_made_with(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("models: {aliases: {best: m}}")
    async with host_with() as host:
        assert (await host.host.reload(file)).models.info("best") is not None
        file.write_text("models: {aliases: {good: n}}")
        assert (await host.host.reload()).models.info("good") is not None
        assert host.host.generation.number == 3
        assert [plugin.state for plugin in host.host.plugins if plugin.origin.startswith("entry point")][:1] == ["disabled"], (
            "overrides hold as before"
        )


async def test_the_same_configuration_is_the_same_generation() -> None:
    async with host_with() as host:
        assert [(await host.host.reload()).number for _ in range(8)] == [1] * 8
        assert [(await host.host.reload(parts(word="two"))).number for _ in range(2)] == [2, 2]


async def test_what_nothing_has_changed_for_goes_on_and_what_changed_is_made_anew_and_closed_once() -> None:
    other = Made("other", normalize_request=lambda attempt, body: None)
    async with host_with(other) as host:
        await host.host.reload({**BARE, "models": {"aliases": {"best": "m"}}})
        (part,) = Part.made
        assert part.events == ["made", "started"]
        await host.host.reload(parts(word="two"))
        await until(lambda: "closed" in part.events)
        first, second = Part.made
        assert (first.events, second.events) == (["made", "started", "closed"], ["made", "started"])
        assert [plugin.object for plugin in host.host.plugins if plugin.id in ("other", "part")] == [other, second]
        await host.host.reload({"plugins": {"autoload": False, "part": {"enabled": False}}})
        await until(lambda: "closed" in second.events)
    assert first.events == second.events == ["made", "started", "closed"]


@pytest.mark.parametrize("section", [{"priority": 3}, {"deadline": 1}, {"hooks": {"intercept_request": {"on_error": "open"}}}])
async def test_what_the_operator_says_of_a_plugin_makes_it_anew_too(section: dict[str, Any]) -> None:
    async with host_with() as host:
        generation = await host.host.reload(parts(**section))
        assert len(Part.made) == 2
        (hook,) = generation.chains["intercept_request"]
        assert (-hook.rank[0], hook.deadline, hook.closed) == (
            section.get("priority", 0),
            section.get("deadline", 5),
            "hooks" not in section,
        )


async def test_an_object_that_was_handed_over_is_neither_started_nor_closed_again_when_its_place_changes() -> None:
    events: list[str] = []

    class Handed:
        id = "handed"

        async def start(self) -> None:
            events.append("started")

        async def close(self) -> None:
            events.append("closed")

        def handle_usage(self, attempt: object, usage: object) -> None:
            """Nothing."""

    async with host_with(Handed()) as host:
        for priority in (1, 2, 3):
            generation = await host.host.reload({"plugins": {"autoload": False, "handed": {"priority": priority}}})
            assert generation.chains["handle_usage"][0].rank[0] == -priority
        await until(lambda: len(host.host.generations) == 1)
        assert events == ["started"]
    assert events == ["started", "closed"]


async def test_the_failures_of_an_unchanged_plugin_are_remembered_and_those_of_a_changed_one_are_not() -> None:
    def fails(call: Call) -> None:
        raise OSError("down")

    config = {"hooks": {"failures": 1}}
    async with host_with(Made("bad", intercept_request=fails), config={**BARE, **config}) as host:
        assert (await host.post("/toy/v1/talk", talk())).status == 503
        generation = await host.host.reload({**BARE, **config, "models": {"aliases": {"best": "m"}}})
        assert generation.chains["intercept_request"][0].resting()
        generation = await host.host.reload({**config, "plugins": {"autoload": False, "bad": {"priority": 1}}})
        assert not generation.chains["intercept_request"][0].resting()


async def test_problems_of_the_present_generation_are_told_once() -> None:
    twin = Made("twin", register_dialects=Toy().register_dialects)
    async with host_with(twin) as host:
        for number in range(3):
            await host.host.reload({**BARE, "models": {"aliases": {"best": f"m{number}"}}})
        assert [problem for problem in host.host.problems if "shadowed" in problem] == [
            "plugin 'twin': 'toy.talk' is shadowed: a plugin of higher priority has one"
        ]
        await host.host.reload({"plugins": {"autoload": False, "twin": {"enabled": False}}})
        assert not [problem for problem in host.host.problems if "shadowed" in problem]


# ------------------------------------------------------------------------------------------- calls in flight


async def test_a_stream_goes_on_with_the_plugins_that_it_began_with_and_they_are_closed_after_it() -> None:
    more = asyncio.Event()

    class Shouter(Part):
        id = "shouter"

        def intercept_stream(self, call: Call, head: object) -> Callable[[Event], Event]:
            return lambda event: event.with_text(event.text.upper() if "closed" not in self.events else "CLOSED") if event.text else event

    async def script(received: Received, wire: Wire) -> None:
        begun, whole = begun_stream("early "), stream_of(["early ", "late"])
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.send(b"%x\r\n%b\r\n" % (len(begun), begun))
        await more.wait()
        rest = whole[len(begun) :]
        await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    async with ScriptedUpstream(script) as up, Harness([Toy(http_toy(up.url)), Shouter], BARE, bare=True) as host:
        async with host.open("POST", "/toy/v1/talk", talk(stream=True)) as response:
            got = await response.content.readany()
            (old,) = Part.made
            await host.host.reload({"plugins": {"autoload": False, "shouter": {"word": "two"}}})
            await host.get("/readyz")
            assert old.events == ["made", "started"]
            more.set()
            async for piece in response.content.iter_any():
                got += piece
        assert check_stream(got) == "EARLY LATE"
        await until(lambda: "closed" in old.events)
        assert Part.made[1].events == ["made", "started"]


async def test_observers_are_told_of_the_last_calls_before_they_are_closed() -> None:
    told = list[str]()
    goes = asyncio.Event()

    class Ledger(Part):
        id = "ledger"

        async def request_complete(self, call: Call, outcome: object) -> None:
            await goes.wait()
            told.append("closed" if "closed" in self.events else "open")

    async with Harness([Toy(), Ledger], BARE, bare=True) as host:
        await host.post("/toy/v1/talk", talk())
        await host.host.reload({"plugins": {"autoload": False, "ledger": {"word": "two"}}})
        await host.get("/readyz")
        assert Part.made[0].events == ["made", "started"]
        goes.set()
        await until(lambda: "closed" in Part.made[0].events)
        assert told == ["open"]


# ------------------------------------------------------------------------------------------------- refused


async def ready(host: Harness) -> tuple[int, dict[str, Any]]:
    answer = await host.get("/readyz")
    return answer.status, answer.json


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"server": {"prot": 1}, "limits": {"body": "much"}}, ["server.prot: unknown; did you mean 'port'?", "limits.body: expected"]),
        ({"plugins": {"part": {"wrod": "x"}, "gone": {}}}, ["plugins.part.wrod: unknown", "plugins.gone: no plugin of that name"]),
        (parts(fails=True), ["plugin 'part': start: OSError: the service is away"]),
        ({"plugins": {"part": {"word": "two"}}, "access": {"only": "nobody"}}, ["access.only: no plugin 'nobody'"]),
        ({"state": "stone"}, ["state: no plugin has a store of the kind 'stone'"]),
    ],
    ids=["host", "plugins", "start", "access", "state"],
)
async def test_what_cannot_be_used_changes_nothing_and_says_why(
    config: dict[str, Any], says: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with host_with() as host:
        before = host.host.generation
        assert await ready(host) == (200, {"status": "ok", "generation": 1})
        with pytest.raises(NotReloaded) as refused:
            await host.host.reload({**BARE, **config})
        for line in says:
            assert line in str(refused.value)
            assert line in caplog.text
        assert (host.host.generation, host.host.config) == (before, before.config)
        assert await words_of(host) == "Hello"
        status, told = await ready(host)
        assert (status, told["status"]) == (200, "ok")
        assert told["config"] == f"invalid: {refused.value}"
        assert [part.events for part in Part.made[:1]] == [["made", "started"]]
        assert all(
            part.events[-1] in ("made", "closed") and part.events.count("started") == part.events.count("closed") for part in Part.made[1:]
        )
        await host.host.reload(BARE)
        assert await ready(host) == (200, {"status": "ok", "generation": 1})


async def test_a_plugin_that_had_failed_before_does_not_keep_a_change_from_being_used() -> None:
    async with host_with(config=parts(fails=True)) as host:
        assert any("the service is away" in problem for problem in host.host.problems)
        await host.host.reload({**parts(fails=True), "models": {"aliases": {"best": "m"}}})
        assert any("the service is away" in problem for problem in host.host.problems)
        await host.host.reload(parts())
        assert not [problem for problem in host.host.problems if "away" in problem]
        assert Part.made[-1].events == ["made", "started"]
        await until(lambda: [part.events[-1] for part in Part.made] == ["closed", "closed", "started"])


async def test_a_plugin_whose_start_hangs_keeps_a_reload_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(Part):
        id = "hangs"

        async def start(self) -> None:
            await super().start()
            if self.word == "two":
                await asyncio.Event().wait()

    monkeypatch.setattr(host_module, "_PLUGIN_LIMIT", 0.2)
    async with Harness([Toy(), Hangs], BARE, bare=True) as host:
        reload = asyncio.create_task(host.host.reload({"plugins": {"autoload": False, "hangs": {"word": "two"}}}))
        await until(lambda: len(Part.made) == 2 and "started" in Part.made[1].events)
        assert await words_of(host) == "Hello", "calls are served meanwhile"
        with pytest.raises(NotReloaded, match=r"plugin 'hangs': start: took longer than 0\.2 s"):
            await reload
        assert [part.events[-1] for part in Part.made] == ["started", "closed"]


async def test_a_change_that_would_open_the_house_is_refused() -> None:
    door = Made("door", authenticate=lambda call: Principal(name="guest"))
    config = {"server": {"host": "0.0.0.0", "port": 0}, "plugins": {"autoload": False}}
    async with Jackfield(config, plugins=[Toy(), door], defaults=False) as host:
        with pytest.raises(NotReloaded, match="others can reach, but nothing asks who calls"):
            await host.reload({**config, "plugins": {"autoload": False, "door": {"enabled": False}}})
        assert host.generation.doorkeepers()


async def test_a_stop_waits_for_a_reload_and_none_begins_after_it() -> None:
    async with host_with() as host:
        first, second = (asyncio.create_task(host.host.reload(parts(word=word))) for word in ("two", "three"))
        await asyncio.sleep(0)
        await host.host.stop(grace=0)
        await asyncio.gather(first, second, return_exceptions=True)
        assert all(part.events == ["made", "started", "closed"] for part in Part.made)


async def test_reloads_take_turns_and_the_latest_word_counts() -> None:
    async with host_with() as host:
        await asyncio.gather(*(host.host.reload(parts(word=f"word {n}")) for n in range(5)))
        await until(lambda: len(host.host.generations) == 1)
        assert [part.events[-1] for part in Part.made] == ["closed"] * (len(Part.made) - 1) + ["started"]
        assert Part.made[-1].word == "word 4"


# --------------------------------------------------------------------------------------------- single files


async def test_an_edit_of_a_single_file_takes_effect_and_a_broken_one_does_not(tmp_path: Path) -> None:
    router, config = tmp_path / "router.py", {"plugins": {"autoload": False, "router": {"path": str(tmp_path / "router.py")}}}
    router.write_text("def route_model(call):\n    return {'model': 'm'} and __import__('jackfield.api').api.Route(model='m')\n")
    provider = ToyProvider()
    async with Harness([Toy(provider)], config, bare=True) as host:
        for model in "nmn":  # of one length, and within a second
            router.write_text(router.read_text().replace("model='m'", f"model={model!r}").replace("model='n'", f"model={model!r}"))
            await host.host.reload()
            await words_of(host, model="x")
            assert provider.attempts[-1].model == model
        router.write_text("def route_model(call:\n")
        with pytest.raises(NotReloaded, match=r"plugin 'router': SyntaxError: .*router.py"):
            await host.host.reload()
        await words_of(host, model="x")
        assert provider.attempts[-1].model == "n"
        unchanged = host.host.generation.plugins
        router.write_text("def route_model(call): return None\n")
        await host.host.reload()
        assert [p.object for p in host.host.plugins if p.id != "router"] == [p.object for p in unchanged if p.id != "router"]


async def test_one_goes_back_to_a_configuration_and_to_what_single_files_said_then(tmp_path: Path) -> None:
    router, config = tmp_path / "router.py", {"plugins": {"autoload": False, "router": {"path": str(tmp_path / "router.py")}}}
    code = "from jackfield.api import Route\ndef route_model(call): return Route(model='{}')\n"
    router.write_text(code.format("m"))
    provider = ToyProvider()

    async def routed() -> str:
        await words_of(host, model="x")
        return provider.attempts[-1].model

    async with Harness([Toy(provider)], config, bare=True) as host:
        router.write_text(code.format("n"))
        assert ((await host.host.reload()).number, await routed()) == (2, "n")
        assert ((await host.host.rollback()).number, await routed()) == (1, "m")
        with pytest.raises(NotReloaded, match="there is no generation before this one to go back to; kept: none"):
            await host.host.rollback()
        assert ((await host.host.reload()).number, await routed()) == (3, "n"), "a reload reads the files again"


async def test_five_configurations_are_kept_and_those_after_the_one_that_is_gone_back_to_are_forgotten() -> None:
    async with host_with() as host:
        for number in range(2, 8):
            await host.host.reload(parts(word=str(number)))
        assert list(host.host.kept) == [3, 4, 5, 6, 7]
        with pytest.raises(NotReloaded, match="there is no generation 2 to go back to; kept: 3, 4, 5, 6"):
            await host.host.rollback(2)
        assert (await host.host.rollback(4)).number == 4
        assert Part.made[-1].word == "4"
        assert list(host.host.kept) == [3, 4]
        assert (await host.host.rollback()).number == 3
        assert (await host.host.reload(parts(word="9"))).number == 8
        assert list(host.host.kept) == [3, 8]


async def test_one_cannot_go_back_to_what_does_not_work_any_more() -> None:
    class Fickle(Part):
        id = "fickle"
        broken = False

        async def start(self) -> None:
            await super().start()
            if self.broken:
                raise OSError("moved away")

    async with Harness([Toy(), Fickle], BARE, bare=True) as host:
        await host.host.reload({"plugins": {"autoload": False, "fickle": {"word": "two"}}})
        Fickle.broken = True
        with pytest.raises(NotReloaded, match="moved away"):
            await host.host.rollback()
        assert host.host.generation.number == 2


# -------------------------------------------------------------------------------------------- limits, times


async def test_limits_hold_for_new_calls() -> None:
    async with host_with() as host:
        large = talk(words="x" * 2000)
        assert (await host.post("/toy/v1/talk", large)).status == 200
        await host.host.reload({**BARE, "limits": {"body": 1000}})
        assert (await host.post("/toy/v1/talk", large)).status == 413


async def test_times_hold_for_new_calls() -> None:
    async with ScriptedUpstream(hanging(b"")) as up, Harness([Toy(http_toy(up.url))], BARE, bare=True) as host:
        await host.host.reload({**BARE, "timeouts": {"idle": 0.2}})
        async with asyncio.timeout(PATIENCE):
            answer = await host.post("/toy/v1/talk", talk())
        assert b"stood still for 0.2 s" in answer.body


# ---------------------------------------------------------------------------------------------- credentials


class Vault:
    """A plugin with a source of credentials that tells of changes."""

    id = "vault"
    name = "vault"
    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.keys: Sequence[str] | Exception = ["k1"]
        self.problems: list[str] = []
        self.loads, self.changed = 0, [lambda: None]

    def register_credential_sources(self) -> list[Vault]:
        return [self]

    async def load(self) -> list[Credential]:
        self.loads += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return [Credential(provider="acme", key=Secret(key), label=key) for key in self.keys]

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed.append(changed)


def labels(host: Harness) -> list[str]:
    return [account.credential.label for account in host.host.generation.accounts if account.provider.key == "acme"]


async def test_credentials_that_change_are_taken_without_making_anything_anew() -> None:
    vault, acme = Vault(), HttpProvider(key="acme", dialects=["toy.talk"], base_url="http://127.0.0.1:9", models=["a"])
    async with Harness([Toy(acme), Part, vault], BARE, bare=True) as host:
        assert labels(host) == ["k1"]
        assert len(vault.changed) == 2
        generation, (before,) = host.host.generation, host.host.generation.accounts
        before.in_flight = 3
        vault.keys = ["k1", "k2"]
        vault.changed[-1]()
        await until(lambda: labels(host) == ["k1", "k2"])
        assert host.host.generation is generation
        assert generation.accounts[0] is before
        assert len(Part.made) == 1
        vault.keys, vault.problems = OSError("locked"), []
        vault.changed[-1]()
        await until(lambda: any("OSError: locked" in problem for problem in host.host.problems))
        assert labels(host) == ["k1", "k2"], "it keeps what it gave last"
        vault.keys, vault.problems = ["k2"], ["b.json: broken"]
        vault.changed[-1]()
        await until(lambda: labels(host) == ["k2"])
        assert "b.json: broken" in host.host.problems
        assert not any("locked" in problem for problem in host.host.problems)


async def test_a_source_that_tells_of_changes_is_not_asked_again_by_a_reload_and_another_one_is() -> None:
    vault, still = Vault(), Vault()
    still.id = still.name = "still"  # type: ignore[misc]
    still.watch = None  # type: ignore[method-assign,assignment]
    still.keys = ["s1"]
    acme = HttpProvider(key="acme", dialects=["toy.talk"], base_url="http://127.0.0.1:9", models=["a"])
    async with Harness([Toy(acme), vault, still], BARE, bare=True) as host:
        still.keys = ["s1", "s2"]
        await host.host.reload({**BARE, "models": {"aliases": {"best": "a"}}})
        assert (vault.loads, still.loads, labels(host)) == (1, 2, ["s1", "s2", "k1"])
        assert len(vault.changed) == 2, "it is told once whom to tell"
        vault.keys = []
        vault.changed[-1]()
        await until(lambda: labels(host) == ["s1", "s2"])


async def test_a_source_that_cannot_be_watched_keeps_nothing_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    vault = Vault()

    def fails(changed: object) -> None:
        raise OSError("no more watches")

    vault.watch = fails  # type: ignore[method-assign]
    acme = HttpProvider(key="acme", dialects=["toy.talk"], base_url="http://127.0.0.1:9", models=["a"])
    async with Harness([Toy(acme), vault], BARE, bare=True) as host:
        assert labels(host) == ["k1"]
        assert "plugin 'vault': credential source 'vault' cannot be watched: no more watches" in caplog.text
        vault.keys = ["k2"]
        await host.host.reload()
        assert labels(host) == ["k2"], "it is asked at each reload instead"


async def test_what_a_provider_listed_is_known_after_a_reload_without_asking_again() -> None:
    asked = list[Credential]()

    class Lister(HttpProvider):
        async def discover(self, credential: Credential, send: object, dialects: object) -> list[ModelInfo]:  # type: ignore[override]
            asked.append(credential)
            return [ModelInfo(id="found")]

    provider = Lister(key="acme", dialects=["toy.talk"], base_url="http://127.0.0.1:9", models="discover")
    one, two = ({"provider": "acme", "key": key} for key in ("k1", "k2"))
    async with Harness([Toy(provider)], {**BARE, "credentials": [one]}, bare=True) as host:
        await host.host.models()
        await host.host.reload({**BARE, "credentials": [one], "models": {"aliases": {"best": "found"}}})
        assert host.host.generation.models.info("found") is not None
        assert len(asked) == 1
        await host.host.reload({**BARE, "credentials": [one, two]})
        await host.host.models()
        assert [credential.key for credential in asked] == [Secret("k1"), Secret("k2")], "the new one alone is asked"


# ------------------------------------------------------------------------------------------------ under load


class Streams(ToyProvider):
    """Streams slowly, so that there is always one in flight."""

    async def execute(self, attempt: Attempt) -> Reply:
        answer = await super().execute(attempt)
        if answer.stream is not None:
            answer.stream = self._slow(answer.stream)
        self.attempts.clear()
        return answer

    async def _slow(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in stream:
            yield piece
            await asyncio.sleep(0.002)


async def test_fifty_changes_under_load_fail_no_call_and_cut_no_stream_and_leave_nothing_behind(tmp_path: Path) -> None:
    file, code = tmp_path / "host.yaml", tmp_path / "file.py"
    code.write_text("def normalize_request(attempt, body): pass\n")
    overrides = {"server": {"port": 0}, "plugins": {"autoload": False, "file": {"path": str(code)}}}
    fixed, observer = Made("fixed", route_model=lambda call: None), Made("observer", request_complete=lambda call, outcome: None)
    file.write_text("plugins: {part: {word: start}}")
    over, failed, served = asyncio.Event(), list[Answer](), itertools.count()

    async with Harness([], bare=True) as client:  # a client only
        host = Jackfield(file, plugins=[Toy(Streams(blocks=[["a "] * 40])), Part, fixed, observer], overrides=overrides, defaults=False)
        async with host:
            client.host, own = host, client.host

            async def call(stream: bool) -> None:
                while not over.is_set():
                    answer = await client.post("/toy/v1/talk", talk(stream=stream))
                    good = answer.status == 200 and (not stream or read_stream(answer.body)[-1][0] == "close")
                    failed.extend([] if good else [answer])
                    next(served)

            load = [asyncio.create_task(call(stream)) for stream in (False, False, True, True, True)]
            seen, refused = weakref.WeakSet[Generation](), 0
            for number in range(50):
                match number % 5:
                    case 0:
                        file.write_text(f"plugins: {{part: {{word: w{number}, fails: true}}}}" if number % 2 else "server: {prot: 1}")
                    case 1:
                        code.write_text(f"def normalize_request(attempt, body): {number}\n")
                        file.write_text(f"plugins: {{part: {{word: w{number}}}}}")
                    case _:
                        file.write_text(f"plugins: {{part: {{word: w{number}}}}}\nlimits: {{body: {number + 1000}MiB}}")
                try:
                    await host.reload()
                except NotReloaded:
                    refused += 1
                seen.add(host.generation)
            over.set()
            await asyncio.gather(*load)
            await until(lambda: sum("closed" in part.events for part in Part.made) == len(Part.made) - 1)
            gc.collect()
            assert len(seen) <= 2, "nothing holds what is over, but for the last call that an observer was told of"
            assert (failed, refused) == ([], 10)
            assert next(served) > 50
            assert [p.object for p in host.plugins if p.id in ("fixed", "observer")] == [fixed, observer]
            client.host = own
    assert all(part.events.count("closed") == 1 for part in Part.made)


async def test_credentials_that_are_gone_are_forgotten() -> None:
    def keys(*names: str) -> dict[str, Any]:
        return {"credentials": [{"provider": "toy", "key": f"key-{name}"} for name in names]}

    class Keyed(ToyProvider):
        auth = Bearer()

    async with Harness([Toy(Keyed())], keys("a", "b"), bare=True) as host:
        await host.host.reload(keys("b", "c"))
        known = host.host._running()[0].lasting.accounts
        assert [account.credential.key for account in known.values()] == [Secret("key-b"), Secret("key-c")]
