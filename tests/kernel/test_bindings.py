"""What an account has minted goes back to that account: ids of what it keeps, always; what only it can read, when it can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import jackfield_sqlite
from jackfield import bindings
from jackfield.api import Attempt, Call, Endpoint, Headers, Ids, Needles, Principal, Reply, Route, Streams
from jackfield.api.testing import Answer, Harness
from jackfield_memory import Config, MemoryStore
from tests.kernel.conftest import Toy, ToyProvider, pieces
from tests.kernel.pipeline_kit import Made, Observer, ask, begun_stream
from tests.kernel.toy import ToyDialect, check_stream, read_stream, stream_of

KEPT = "/toy/v1/kept/{id}"


class KeepingToy(ToyDialect):
    """Answers are kept under their ids: `goes_on` names one, `refers` several; `sealed` is what only its account can read."""

    endpoints = (
        *ToyDialect.endpoints,
        Endpoint(method="GET", path=KEPT, operation="resource", upstream="/kept/{id}", model=None),
        Endpoint(method="DELETE", path=KEPT, operation="resource", upstream="/kept/{id}", model=None),
    )
    needles = Needles(terminal=(b"event: close", b"event: oops"), error=(b"event: oops",))
    stateful = True

    def minted(self, raw: bytes) -> Ids:
        said = msgspec.json.decode(raw)
        return Ids(stored=(said["id"],), sealed=tuple(filter(None, [said.get("sealed")])))

    def named(self, raw: bytes, params: Mapping[str, str]) -> Ids:
        said = msgspec.json.decode(raw) if raw else {}
        stored = [said.get("goes_on"), *said.get("refers", ()), params.get("id")]
        return Ids(stored=tuple(filter(None, stored)), sealed=tuple(filter(None, [said.get("sealed")])))


class Keeper(ToyProvider):
    """Several accounts, each of which keeps what it has answered and knows nothing of the others' answers."""

    def __init__(self, key: str = "toy", streams: Streams = "both") -> None:
        super().__init__()
        self.key, self.streams = key, streams
        self.kept: dict[str, set[str]] = {}
        self.broken: dict[str, Reply] = {}
        self.asked: list[str] = []
        """Who was asked, attempt by attempt."""

    async def execute(self, attempt: Attempt) -> Reply:
        who = attempt.candidate.label
        self.asked.append(who)
        mine = self.kept.setdefault(who, set())
        if who in self.broken:
            return self.broken[who]
        raw = attempt.body.raw
        named = KeepingToy().named(raw, attempt.params).stored
        if not set(named) <= mine:
            return said({"oops": "no such thing"}, 404)
        if attempt.call.operation == "resource":
            mine.difference_update(named if attempt.call.method == "DELETE" else ())
            return said({"id": named[0], "stop": "stop"})
        mine.add(name := f"{who}-{len(self.asked)}")
        if attempt.stream or self.streams == "only":
            return Reply(stream=pieces(stream_of(["Hello"], id_=name), 23))
        return said({"id": name, "model": "m", "blocks": [], "stop": "stop", "sealed": f"thoughts of {who}"})


def said(what: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status=status, headers=Headers(headers), body=msgspec.json.encode(what))


class Keeping(Toy):
    """The plugin with the dialect in which things are kept."""

    def register_dialects(self) -> list[ToyDialect]:
        return [KeepingToy()]


def host_of(
    *providers: Keeper, keys: Sequence[str] = ("one", "two"), plugins: Sequence[object] = (), bare: bool = True, **config: Any
) -> Harness:
    """Return a host with some accounts of each provider, which a call is given to in turn."""
    held = [{"provider": p.key, "id": f"{p.key}:{key}", "key": f"k-{key}", "label": key} for p in providers for key in keys]
    given = {"attempts": {"wait": 0}, "credentials": held, **config}
    return Harness([Keeping(*providers), *plugins], given, bare=bare)


def id_of(answer: Answer) -> str:
    """Return the id of an answer, streamed or not."""
    assert answer.status == 200, answer.body
    if answer.body.startswith(b"event:"):
        check_stream(answer.body)
        return str(read_stream(answer.body)[0][1]["id"])
    return str(answer.json["id"])


both = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])

# --------------------------------------------------------------------------------------------------- the owner


@both
async def test_what_goes_on_from_an_answer_goes_to_the_account_that_gave_it(stream: bool) -> None:
    async with host_of(keeper := Keeper()) as host:
        for _ in range(2):
            first = id_of(await ask(host, stream=stream))
            latest = first
            for _ in range(4):
                latest = id_of(await ask(host, stream=stream, goes_on=latest, refers=[first]))
                assert latest.split("-")[0] == first.split("-")[0]
        assert set(keeper.asked) == {"one", "two"}


@both
async def test_what_is_kept_is_fetched_from_its_owner_until_it_is_deleted(stream: bool) -> None:
    async with host_of(keeper := Keeper()) as host:
        for name in [id_of(await ask(host, stream=stream)) for _ in range(2)]:
            who = name.split("-")[0]
            del keeper.asked[:]
            for method in ("GET", "GET", "GET", "DELETE"):
                assert (await host.request(method, f"/toy/v1/kept/{name}")).status == 200
            assert keeper.asked == [who] * 4
            del keeper.asked[:]
            gone = await host.get(f"/toy/v1/kept/{name}")
            assert (gone.status, gone.json) == (404, {"oops": "no such thing"})
            assert sorted(keeper.asked) == ["one", "two"]  # nobody's any more, so each is asked


async def test_an_answer_that_was_put_together_from_a_stream_is_remembered() -> None:
    async with host_of(keeper := Keeper(streams="only")) as host:
        first = id_of(await ask(host))
        for _ in range(3):
            assert (await ask(host, goes_on=first)).status == 200
        assert len(set(keeper.asked)) == 1


async def test_an_answer_is_remembered_whose_client_left_before_its_end() -> None:
    left = asyncio.Event()

    async def endless(attempt: Attempt) -> Reply:
        async def begun() -> Any:
            try:
                yield begun_stream("Hel").replace(b"t-1", attempt.candidate.label.encode() + b"-0")
                await asyncio.Event().wait()
            finally:
                left.set()

        keeper.asked.append(attempt.candidate.label)
        keeper.kept[attempt.candidate.label] = {f"{attempt.candidate.label}-0"}
        return Reply(stream=begun())

    keeper = Keeper()
    keeper.execute, execute = endless, keeper.execute  # type: ignore[method-assign]
    async with host_of(keeper) as host:
        async with host.open("POST", "/toy/v1/talk", {"model": "m", "stream": True, "say": []}) as response:
            await response.content.readuntil(b"\n\n")
        await asyncio.wait_for(left.wait(), 10)
        keeper.execute = execute  # type: ignore[method-assign]
        for _ in range(3):
            assert (await host.get(f"/toy/v1/kept/{keeper.asked[0]}-0")).status == 200
        assert len(set(keeper.asked)) == 1


async def test_an_unknown_id_is_the_callers_mistake_and_cools_nobody() -> None:
    async with host_of(keeper := Keeper()) as host:
        for _ in range(4):
            assert (await ask(host, goes_on="nobodys")).status == 404
        assert sorted(keeper.asked) == ["one", "one", "two", "two"]
        assert not any(host.host.generation.accounts[at].resting for at in (0, 1))


async def test_who_finds_what_nobody_is_known_to_have_is_its_owner_from_then_on() -> None:
    async with host_of(keeper := Keeper()) as host:
        keeper.kept = {"one": set(), "two": {"old"}}
        for _ in range(4):
            assert (await host.get("/toy/v1/kept/old")).status == 200
        assert keeper.asked[-3:] == ["two"] * 3


async def test_ids_of_another_principal_are_nobodys() -> None:
    door = Made("door", authenticate=lambda call: Principal(name=call.headers.get("toy-key") or ""))
    async with host_of(keeper := Keeper(), plugins=[door]) as host:
        first = id_of(await ask(host, headers={"toy-key": "anna"}))
        owner = keeper.asked.pop()
        for _ in range(4):
            await ask(host, headers={"toy-key": "bob"}, goes_on=first)
        assert set(keeper.asked) == {"one", "two"}
        del keeper.asked[:]
        for _ in range(4):
            await ask(host, headers={"toy-key": "anna"}, goes_on=first)
        assert keeper.asked == [owner] * 4


# ------------------------------------------------------------------------------------ an owner that cannot be asked


async def test_an_owner_that_rests_by_a_guess_is_asked_all_the_same() -> None:
    async with host_of(keeper := Keeper()) as host:
        first = id_of(await ask(host))
        (owner,) = keeper.asked
        keeper.broken[owner] = said({"oops": "down"}, 503)
        assert (await ask(host, goes_on=first)).status == 503
        del keeper.broken[owner]
        assert (await ask(host, goes_on=first)).status == 200
        assert set(keeper.asked) == {owner}


async def test_an_owner_that_rests_by_its_providers_word_is_waited_for_and_nobody_else_is_asked() -> None:
    async with host_of(keeper := Keeper()) as host:
        first = id_of(await ask(host))
        (owner,) = keeper.asked
        keeper.broken[owner] = said({"oops": "slow down"}, 429, **{"Retry-After": "600"})
        assert (await ask(host, goes_on=first)).status == 429
        told = await ask(host, goes_on=first)
        assert (told.status, told.json["code"], told.headers.get("retry-after")) == (429, "all_resting", "600")
        assert told.json["oops"].startswith("the only credential for 'm' is resting: rate-limited until")
        assert set(keeper.asked) == {owner}
        assert (await ask(host)).status == 200  # the other one is well


@both
async def test_an_owner_that_is_switched_off_is_told_and_nobody_else_is_asked(stream: bool) -> None:
    observer = Observer()
    async with host_of(keeper := Keeper(), plugins=[observer]) as host:
        first = id_of(await ask(host, stream=stream))
        (owner,) = keeper.asked
        host.host.generation.accounts[0].health.switch(f"toy:{owner}", on=False)
        told = await ask(host, stream=stream, goes_on=first)
        assert (told.status, told.json["code"]) == (400, "owner_gone")
        assert told.json["oops"] == f"{first!r} is stored with an account that is switched off"
        fetched = await host.get(f"/toy/v1/kept/{first}")
        assert (fetched.status, fetched.json["code"]) == (404, "owner_gone")
        assert keeper.asked == [owner]
        assert [o.cause for o in await observer.completed(3)] == [None, "caller", "caller"]


async def test_an_owner_that_does_not_serve_the_model_is_told() -> None:
    first, second = Keeper(), Keeper("elsewhere")
    async with host_of(first, second) as host:
        name = id_of(await ask(host, model="toy://m"))
        told = await ask(host, model="elsewhere://m", goes_on=name)
        assert (told.status, told.json["code"]) == (400, "owner_gone")
        assert told.json["oops"] == f"{name!r} is stored with an account that does not serve 'elsewhere://m'"
        assert not second.asked


async def test_a_request_cannot_name_what_two_accounts_keep() -> None:
    async with host_of(keeper := Keeper()) as host:
        one, two = [id_of(await ask(host)) for _ in range(2)]
        told = await ask(host, goes_on=one, refers=[two])
        assert (told.status, told.json["code"]) == (400, "stored_apart")
        assert one in told.json["oops"]
        assert two in told.json["oops"]
        assert len(keeper.asked) == 2


class Oracle:
    """A plugin that answers by itself what names anything."""

    id = "oracle"

    def __init__(self) -> None:
        self.provider = ToyProvider()
        self.provider.key, self.provider.models = "oracle", ()

    def register_providers(self) -> list[ToyProvider]:
        return [self.provider]

    def route_model(self, call: Call) -> Route | None:
        return Route(executor="self") if b"goes_on" in call.body.raw else None


async def test_what_a_plugin_answers_by_itself_needs_no_owner() -> None:
    async with host_of(keeper := Keeper(), plugins=[oracle := Oracle()]) as host:
        first = id_of(await ask(host))
        host.host.generation.accounts[0].health.switch(f"toy:{keeper.asked[0]}", on=False)
        assert (await ask(host, goes_on=first)).status == 200
        assert (len(keeper.asked), len(oracle.provider.attempts)) == (1, 1)


# ----------------------------------------------------------------------------------------- what only it can read


async def test_thoughts_go_first_to_the_account_that_can_read_them() -> None:
    async with host_of(keeper := Keeper()) as host:
        sealed = (await ask(host)).json["sealed"]
        for _ in range(4):
            assert (await ask(host, sealed=sealed)).status == 200
        assert len(set(keeper.asked)) == 1
        assert (await ask(host, sealed="nobody's thoughts")).status == 200


async def test_thoughts_go_to_others_where_their_account_cannot_be_asked() -> None:
    async with host_of(keeper := Keeper()) as host:
        sealed = (await ask(host)).json["sealed"]
        (owner,) = keeper.asked
        keeper.broken[owner] = said({"oops": "slow down"}, 429, **{"Retry-After": "600"})
        for _ in range(2):
            assert (await ask(host, sealed=sealed)).status == 200
        other = "two" if owner == "one" else "one"
        assert keeper.asked == [owner, owner, other, other]


async def test_a_scheduler_is_asked_for_the_account_that_can_read_the_thoughts() -> None:
    pools: list[list[str]] = []
    scheduler = Made("picky", pick_credential=lambda call, pool: pools.append([c.label for c in pool.eligible]))
    observer = Observer()
    async with host_of(keeper := Keeper(), plugins=[scheduler, observer]) as host:
        sealed = (await ask(host)).json["sealed"]
        await ask(host, sealed=sealed)
        assert pools == [["one", "two"], keeper.asked[:1]]
        assert "it can read the encrypted thoughts" in await observer.explained(2)


# -------------------------------------------------------------------------------------------------- the state store


def stored(folder: Path, *plugins: object, provider: Keeper, keys: Sequence[str] = ("one", "two")) -> Harness:
    """Return a host that keeps its state in a file."""
    state = {"kind": "sqlite", "path": str(folder / "state.db")}
    return host_of(provider, keys=keys, plugins=[jackfield_sqlite, *plugins], state=state)


@both
async def test_two_workers_know_of_each_others_answers(tmp_path: Path, stream: bool) -> None:
    keeper, observer = Keeper(), Observer()
    async with stored(tmp_path, observer, provider=keeper) as one, stored(tmp_path, provider=keeper) as two:
        first = id_of(await ask(one, stream=stream))
        await observer.completed()
        for _ in range(3):
            assert (await ask(two, stream=stream, goes_on=first)).status == 200
        assert len(set(keeper.asked)) == 1


async def test_an_owner_that_was_removed_is_told_after_a_restart(tmp_path: Path) -> None:
    keeper = Keeper()
    async with stored(tmp_path, provider=keeper) as host:
        first = id_of(await ask(host))
    (owner,) = keeper.asked
    left = [key for key in ("one", "two") if key != owner]
    async with stored(tmp_path, provider=keeper, keys=left) as host:
        told = await ask(host, goes_on=first)
        assert (told.status, told.json["code"]) == (400, "owner_gone")
        assert told.json["oops"] == f"{first!r} is stored with an account that is gone"
        assert (await host.request("DELETE", f"/toy/v1/kept/{first}")).status == 404
        assert (await ask(host)).status == 200
    assert keeper.asked == [owner, *left]


async def test_what_was_deleted_is_deleted_for_all_workers(tmp_path: Path) -> None:
    keeper = Keeper()
    async with stored(tmp_path, provider=keeper) as one:
        first = id_of(await ask(one))
        assert (await one.request("DELETE", f"/toy/v1/kept/{first}")).status == 200
    async with stored(tmp_path, provider=keeper) as two:
        assert (await two.get(f"/toy/v1/kept/{first}")).status == 404
    assert sorted(keeper.asked[2:]) == ["one", "two"]


class Shelf(MemoryStore):
    """A store that says it persists, notes what it is told, and can be away."""

    def __init__(self) -> None:
        super().__init__(Config())
        self.persists, self.away = True, False
        self.told: list[tuple[str, float | None]] = []

    async def get(self, key: str) -> bytes | None:
        self._look()
        return await super().get(key)

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        self._look()
        self.told.append((key, ttl))
        return await super().set(key, value, ttl=ttl, if_absent=if_absent)

    def _look(self) -> None:
        if self.away:
            raise OSError("the shelf is away")


def shelved(shelf: Shelf, keeper: Keeper, *plugins: object) -> Harness:
    plugin = SimpleNamespace(id="shelves", register_state_stores=lambda: [("shelf", lambda config: shelf)])
    return host_of(keeper, plugins=[plugin, *plugins], state="shelf")


async def test_the_store_is_told_for_thirty_days_and_anew_when_an_id_is_named_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    async with shelved(shelf, Keeper(), observer := Observer()) as host:
        first = id_of(await ask(host))
        await observer.completed(1)
        (key, ttl), _ = shelf.told
        assert (key.startswith(":host/bindings/"), ttl) == (True, 30 * 86400)
        del shelf.told[:]
        assert (await host.get(f"/toy/v1/kept/{first}")).status == 200
        await observer.completed(2)
        del shelf.told[:]
        monkeypatch.setattr(bindings.time, "time", lambda now=bindings.time.time: now() + 86401)
        assert (await ask(host, goes_on=first)).status == 200
        await observer.completed(3)
        assert (key, ttl) in shelf.told


async def test_a_store_that_is_away_holds_nobody_up_and_is_not_missed() -> None:
    shelf, keeper = Shelf(), Keeper()
    shelf.away = True
    async with shelved(shelf, keeper) as host:
        first = id_of(await ask(host))
        for _ in range(3):
            assert (await ask(host, goes_on=first)).status == 200
        assert len(set(keeper.asked)) == 1
        assert (await ask(host, goes_on="nobodys")).status == 404


async def test_a_store_that_outlives_nothing_is_not_filled() -> None:
    shelf = Shelf()
    shelf.persists = False
    async with shelved(shelf, Keeper(), observer := Observer()) as host:
        first = id_of(await ask(host))
        assert (await ask(host, goes_on=first)).status == 200
        await observer.completed(2)
    assert not shelf.told
