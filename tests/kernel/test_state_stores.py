"""State stores: which one the configuration gets, how long it lives, and what a plugin is told when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
import pytest

from jackfield import Jackfield, state
from jackfield.api import Host, Secret
from jackfield.config import load as read
from jackfield.generation import choose_store
from jackfield_memory import Config as MemoryConfig
from jackfield_memory import MemoryStore
from tests.kernel.pipeline_kit import ask, toy_host


class Shelf(MemoryStore):
    """A store of the tests', which notes what becomes of it."""

    class Config(msgspec.Struct, forbid_unknown_fields=True):
        path: str = "/shelf"
        boards: Annotated[int, msgspec.Meta(ge=1)] = 3
        key: Secret | None = None

        def __post_init__(self) -> None:
            if self.boards == 13:
                raise ValueError("boards: 13 brings bad luck")

    made: list[Shelf] = []

    def __init__(self, config: Config) -> None:
        super().__init__(MemoryConfig())
        self.config, self.closed = config, False
        self.made.append(self)

    async def close(self) -> None:
        await super().close()
        self.closed = True


@pytest.fixture(autouse=True)
def _none_made() -> None:
    Shelf.made.clear()


class User:
    """A plugin that keeps something."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def start(self) -> None:
        """Nothing: but a plugin must do something."""


class Starting(User):
    """A plugin that needs what it keeps when it starts and when it ends."""

    id = "starting"

    async def start(self) -> None:
        await self.host.state.add("starts")

    async def close(self) -> None:
        await self.host.state.add("ends")


def shelves(id: str = "shelves", factory: Callable[..., Any] = Shelf, kind: Any = "shelf", **more: Any) -> SimpleNamespace:
    return SimpleNamespace(id=id, register_state_stores=lambda: [(kind, factory)], **more)


def host_with(state: Any, *plugins: object, **config: Any) -> Jackfield:
    said = {} if state is None else {"state": state}
    return Jackfield({**said, "plugins": {"autoload": False}, **config}, plugins=plugins, listen=False, defaults=False)


# ------------------------------------------------------------------------------------------------------ chosen


@pytest.mark.parametrize(
    ("state", "settings"),
    [
        ("shelf", ("/shelf", 3)),
        ({"kind": "shelf"}, ("/shelf", 3)),
        ({"kind": "shelf", "path": "/else", "boards": 5}, ("/else", 5)),
    ],
)
async def test_the_configuration_names_the_store_and_its_settings(state: Any, settings: tuple[str, int]) -> None:
    async with host_with(state, shelves()) as host:
        assert host.problems == []
        (made,) = Shelf.made
        assert (made.config.path, made.config.boards) == settings


async def test_settings_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARDS", "7")
    monkeypatch.setenv("SHELF_KEY", "s3cret")
    async with host_with({"kind": "shelf", "boards": "${BOARDS}", "key": "${SHELF_KEY}"}, shelves()):
        assert Shelf.made[0].config.boards == 7
        assert (key := Shelf.made[0].config.key) is not None
        assert key.reveal() == "s3cret"


async def test_a_factory_that_says_no_type_gets_the_settings_as_they_are() -> None:
    told: list[Any] = []

    def factory(config: dict[str, Any]) -> MemoryStore:
        told.append(config)
        return MemoryStore(MemoryConfig())

    async with host_with({"kind": "shelf", "anything": [1, {"goes": "here"}]}, shelves(factory=factory)):
        assert told == [{"anything": [1, {"goes": "here"}]}]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("shelve", "config: state: no plugin has a store of the kind 'shelve'; known: memory, shelf"),
        ({"kind": "nowhere", "path": "x"}, "config: state: no plugin has a store of the kind 'nowhere'; known: memory, shelf"),
        ({"path": "x"}, "config: state: no plugin has a store of the kind ''; known: memory, shelf"),
        ({"kind": ["shelf"]}, "config: state: no plugin has a store of the kind \"['shelf']\"; known: memory, shelf"),
        ({"kind": "shelf", "pfad": "x"}, "config: state.pfad: unknown; known here: boards, key, path"),
        ({"kind": "shelf", "paths": "x"}, "config: state.paths: unknown; did you mean 'path'?"),
        ({"kind": "shelf", "boards": "many"}, "config: state.boards: expected a whole number, got 'many'"),
        ({"kind": "shelf", "boards": 0}, "config: state.boards: expected a whole number >= 1, got 0"),
        ({"kind": "shelf", "boards": 13}, "config: state: boards: 13 brings bad luck"),
        ({"kind": "memory", "path": "x"}, "config: state.path: unknown; known here: nothing"),
    ],
)
async def test_what_is_wrong_with_the_settings_is_one_line(state: Any, says: str) -> None:
    async with host_with(state, shelves(), SimpleNamespace(id="m", register_state_stores=lambda: [("memory", MemoryStore)])) as host:
        assert host.problems == [says]
        assert host.generation.problems == [says]


async def test_two_mistakes_are_two_lines() -> None:
    async with host_with({"kind": "shelf", "pfad": 1, "boards": 0}, shelves()) as host:
        assert len(host.problems) == 2


async def test_without_any_store_the_default_is_no_mistake() -> None:
    async with host_with(None) as host:
        assert host.problems == []
    async with host_with("shelf") as host:
        assert host.problems == ["config: state: no plugin has a store of the kind 'shelf'; known: none"]


async def test_a_state_that_is_neither_text_nor_mapping_is_a_mistake() -> None:
    with pytest.raises(Exception, match="config: state: expected a text, got 3"):
        host_with(3)


async def test_of_two_that_have_a_kind_the_one_that_goes_first_is_used() -> None:
    first = shelves("first", lambda config: Shelf(Shelf.Config(path="/first")), priority=1)
    async with host_with("shelf", first, shelves("second")) as host:
        assert host.problems == ["plugin 'second': 'shelf' is shadowed: a plugin of higher priority has one"]
        assert [made.config.path for made in Shelf.made] == ["/first"]


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (lambda config: {}["shelf"], "plugin 'shelves': state: KeyError: 'shelf'"),
        (lambda config: (_ for _ in ()).throw(SystemExit(3)), "plugin 'shelves': state: SystemExit: 3"),
        (lambda: None, "takes 0 positional arguments"),
        (None, "'NoneType' object is not callable"),
    ],
)
async def test_a_factory_that_fails_is_its_plugins_problem(factory: Any, says: str) -> None:
    async with host_with("shelf", User, shelves(factory=factory)) as host:
        (problem,) = host.problems
        assert problem.startswith("plugin 'shelves': state: ")
        assert says in problem
        (user,) = (plugin.object for plugin in host.plugins if plugin.id == "user")
        with pytest.raises(OSError, match="there is no state store"):
            await user.host.state.get("a")


# ------------------------------------------------------------------------------------------------------- lives


async def test_a_store_is_there_when_plugins_start_and_closes_after_them() -> None:
    async with host_with("shelf", Starting, shelves()):
        (made,) = Shelf.made
        assert await made.get("starting/starts") == b"1"
        assert not made.closed
    assert made.closed
    assert await made.get("starting/ends") == b"1"


async def test_a_store_outlives_generations_whose_settings_for_it_are_the_same() -> None:
    async with host_with({"kind": "shelf", "path": "/a", "boards": 2}, shelves()) as host:
        lasting, (first,) = host._running()[0].lasting, Shelf.made

        def again(state: Any) -> Any:
            return choose_store(read({"state": state}, defaults=False), host.plugins, lasting)

        assert again({"boards": 2, "path": "/a", "kind": "shelf"}) == (first, [])
        other, problems = again({"kind": "shelf", "path": "/b"})
        assert (other.config.path, problems) == ("/b", [])
        assert again({"kind": "shelf", "path": "/b"}) == (other, [])
        assert again("nowhere")[0] is None
        assert again({"kind": "shelf", "path": "/a", "boards": 2}) == (first, [])
        assert len(Shelf.made) == 2
    assert all(made.closed for made in Shelf.made)


async def test_a_store_whose_end_fails_keeps_nothing_else_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Shelf):
        async def close(self) -> None:
            await super().close()
            raise OSError("the shelf fell down")

    async with host_with("shelf", shelves(factory=Stubborn)):
        pass
    assert "plugin 'shelves': close: OSError: the shelf fell down" in caplog.text


async def test_a_check_makes_the_store_and_closes_it_again() -> None:
    host = host_with("shelf", shelves())
    await host.load()
    await host.stop()
    assert [made.closed for made in Shelf.made] == [True]


# ------------------------------------------------------------------------------------------------------- asked


async def test_each_plugin_has_names_of_its_own() -> None:
    one, two = type("One", (User,), {}), type("Two", (User,), {})
    async with host_with("shelf", one, two, shelves()) as host:
        mine, others = (next(p.object for p in host.plugins if p.id == id).host.state for id in ("one", "two"))
        await mine.set("name", b"of one")
        await others.add("name", 7)
        assert (await mine.get("name"), await others.get("name")) == (b"of one", b"7")
        assert not await mine.set("name", b"else", if_absent=True)
        assert await others.add("name", 2, maximum=8) is None
        await others.delete("name")
        assert (await mine.get("name"), await others.get("name")) == (b"of one", None)


@pytest.fixture
def asked() -> Any:
    """Return what a plugin gets when its store answers in a way of the test's."""

    async def get(answer: Callable[[], Any]) -> Any:
        class Odd(Shelf):
            async def get(self, key: str) -> bytes | None:
                found: bytes | None = await answer()
                return found

        async with host_with("shelf", User, shelves(factory=Odd)) as host:
            return await next(p.object for p in host.plugins if p.id == "user").host.state.get("a")

    return get


async def test_a_store_that_does_not_answer_in_time_is_away(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "STATE_DEADLINE", 0.01)
    with pytest.raises(OSError, match=r"^the state store failed: no answer within 0\.01 s$"):
        await asked(asyncio.Event().wait)


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (OSError("it is locked"), OSError("the state store failed: it is locked")),
        (TimeoutError("the shelf is far away"), OSError("the state store failed: the shelf is far away")),
        (RuntimeError("out of order"), OSError("the state store failed: out of order")),
        (ValueError("no number"), ValueError("no number")),
        (TypeError("no bytes"), TypeError("no bytes")),
    ],
    ids=repr,
)
async def test_what_a_store_raises_is_an_error_of_the_system_or_of_the_one_that_asks(
    asked: Any, raised: Exception, becomes: Exception
) -> None:
    async def fail() -> bytes:
        raise raised

    with pytest.raises(type(becomes)) as told:
        await asked(fail)
    assert (type(told.value), str(told.value)) == (type(becomes), str(becomes))


async def test_who_stops_waiting_for_a_store_is_not_kept(asked: Any) -> None:
    begun = asyncio.Event()

    async def never() -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b""

    task = asyncio.create_task(asked(never))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -------------------------------------------------------------------------------------------------------- away


class Away(Shelf):
    """A store that cannot be reached."""

    async def get(self, key: str) -> bytes | None:
        raise OSError("the shelf is out of reach")


class Asking(User):
    """A plugin that asks the store in a hook, and lets the error out."""

    id = "asking"

    async def look(self, *arguments: Any) -> None:
        await self.host.state.get("a")


@pytest.mark.parametrize(
    ("hook", "on_error", "status", "code"),
    [
        ("route_model", None, 200, None),
        ("pick_credential", None, 200, None),
        ("request_complete", None, 200, None),
        ("intercept_request", None, 503, "plugin_failed"),
        ("intercept_attempt", None, 503, "plugin_failed"),
        ("authenticate", None, 503, "access_unavailable"),
        ("route_model", "closed", 503, "plugin_failed"),
        ("intercept_request", "open", 200, None),
    ],
)
async def test_while_the_store_is_away_what_guards_ends_calls_and_what_helps_does_not(
    hook: str, on_error: str | None, status: int, code: str | None
) -> None:
    plugin = type("Plugin", (Asking,), {hook: Asking.look})
    config = {"state": "shelf", "plugins": {"asking": {"hooks": {hook: {"on_error": on_error} if on_error else {}}}}}
    async with toy_host(plugin, shelves(factory=Away), config=config) as host:
        answer = await ask(host)
    assert answer.status == status
    assert code is None or code in answer.body.decode()


async def test_a_plugin_that_cannot_start_without_the_store_is_a_listed_problem() -> None:
    plugin = type("Plugin", (Asking,), {"start": Asking.look})
    async with host_with("shelf", plugin, shelves(factory=Away)) as host:
        assert host.problems == ["plugin 'asking': start: OSError: the state store failed: the shelf is out of reach"]
