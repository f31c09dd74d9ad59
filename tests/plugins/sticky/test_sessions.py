"""Sessions in a running host: which key serves them, and what the provider is told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jackfield.api import Bearer, Continuity, HttpProvider
from jackfield.api.testing import Answer, Harness, Received, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Wire
from tests.clock import Clock
from tests.plugins.pools import Store

ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
IN_BODY = Continuity(dialects=("openai.chat",), body=(("prompt_cache_key",),))
IN_BOTH = Continuity(dialects=("openai.chat",), body=(("prompt_cache_key",),), headers=("x-conversation",))


class Upstream:
    """Answers chats, notes who was asked with what, and refuses the keys in `spent`."""

    def __init__(self) -> None:
        self.spent: set[str] = set()
        self.requests: list[Received] = []
        self.cached: set[str] = set()

    async def __call__(self, received: Received, wire: Wire) -> None:
        self.requests.append(received)
        if key_of(received) in self.spent:
            await json_answer({"error": {"message": "spent", "code": "insufficient_quota"}}, status=429)(received, wire)
            return
        name = received.json.get("prompt_cache_key")
        tokens = 1024 if name in self.cached else 0
        self.cached.add(name)
        usage = {"prompt_tokens": 2000, "completion_tokens": 1, "total_tokens": 2001, "prompt_tokens_details": {"cached_tokens": tokens}}
        await json_answer({**ANSWER, "usage": usage})(received, wire)

    @property
    def keys(self) -> list[str]:
        return [key_of(received) for received in self.requests]


def key_of(received: Received) -> str:
    return (received.headers.get("authorization") or "").removeprefix("Bearer ")


class Acme:
    """The plugin with the provider."""

    id = "acme"

    def __init__(self, url: str, continuity: Sequence[Continuity] = ()) -> None:
        self._made = HttpProvider(key="acme", dialects=["openai.chat"], base_url=url, auth=Bearer(), models=["m"], continuity=continuity)

    def register_providers(self) -> list[HttpProvider]:
        return [self._made]


@asynccontextmanager
async def house(
    upstream: Upstream, *plugins: object, continuity: Sequence[Continuity] = (), keys: str = "one two three", **config: Any
) -> AsyncIterator[Harness]:
    said = {"credentials": [{"provider": "acme", "key": key} for key in keys.split()], "scheduler": "sticky", **config}
    async with ScriptedUpstream(upstream) as server, Harness([Acme(server.url, continuity), *plugins], said) as host:
        yield host
        assert [problem for problem in host.host.problems if "plugins.sticky.over: no plugin 'nobody'" not in problem] == []


async def ask(host: Harness, session: str | None = None, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    named = {**({"x-session-id": session} if session else {}), **(headers or {})}
    answer = await host.post("/v1/chat/completions", {"model": "m", "messages": [], **body}, named)
    assert answer.status == 200
    return answer


async def test_each_session_stays_with_one_key() -> None:
    upstream = Upstream()
    async with house(upstream) as host:
        for _ in range(3):
            for session in "stu":
                await ask(host, session)
    assert upstream.keys == ["one", "two", "three"] * 3


async def test_calls_without_a_session_are_left_to_the_other_scheduler() -> None:
    upstream = Upstream()
    async with house(upstream, plugins={"sticky": {"over": "fill_first"}}) as host:
        for _ in range(3):
            await ask(host)
    assert upstream.keys == ["one"] * 3


async def test_a_conversation_stays_with_one_key_although_its_client_names_no_session() -> None:
    upstream, hello = Upstream(), [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    async with house(upstream) as host:
        for more in ([], [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "So?"}]):
            await ask(host, messages=hello + more)
            await ask(host, messages=[{"role": "user", "content": "Another"}, *more])
    assert upstream.keys == ["one", "two"] * 2


async def test_a_session_moves_when_its_key_is_spent_and_stays_there() -> None:
    upstream = Upstream()
    async with house(upstream) as host:
        await ask(host, "s")
        upstream.spent = {"one"}
        await ask(host, "s")
        upstream.spent.clear()
        for _ in range(2):
            await ask(host, "s")
    assert upstream.keys == ["one", "one", "two", "two", "two"]


async def test_where_the_other_scheduler_is_not_there_the_host_picks_and_sessions_stay_all_the_same() -> None:
    upstream = Upstream()
    async with house(upstream, plugins={"sticky": {"over": "nobody"}}) as host:
        for session in "stst":
            await ask(host, session)
        assert len(host.host.problems) == 1
    assert upstream.keys[:2] == upstream.keys[2:]
    assert len(set(upstream.keys)) == 2


class Shared:
    """The plugin with a store that hosts of the test share."""

    id = "shared"

    def __init__(self, store: Store) -> None:
        self._store = store

    def register_state_stores(self) -> list[tuple[str, Any]]:
        return [("shared", lambda config: self._store)]


async def test_two_hosts_with_one_file_keep_a_session_together(tmp_path: Path) -> None:
    upstream = Upstream()
    settings = {"state": {"kind": "sqlite", "path": str(tmp_path / "state.db")}, "plugins": {"sticky": {"over": "fill_first"}}}
    async with house(upstream, **settings) as one, house(upstream, **settings, keys="three two one") as two:
        await ask(one, "s")
        await ask(two, "s")
        await ask(two, "t")
        await ask(one, "t")
    assert upstream.keys == ["one", "one", "three", "three"]


async def test_a_session_stays_as_long_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream, clock = Upstream(), Clock()
    monkeypatch.setattr("jackfield.calls.PluginHost.clock", clock)
    async with house(upstream, Shared(Store(clock)), state="shared", plugins={"sticky": {"ttl": "10m"}}) as host:
        for minutes in (0, 9, 9, 11):
            clock.now += 60 * minutes
            await ask(host, "s")
            await ask(host)  # somebody else's turn
    assert upstream.keys[::2] == ["one", "one", "one", "two"]


async def test_a_store_that_is_away_costs_no_call(caplog: pytest.LogCaptureFixture) -> None:
    upstream, store = Upstream(), Store(Clock())
    store.away = True
    async with house(upstream, Shared(store), state="shared") as host:
        for session in "stst":
            await ask(host, session)
    assert upstream.keys == ["one", "two", "one", "two"]
    assert [record.getMessage() for record in caplog.records if record.name == "jackfield.plugins.sticky"] == [
        "the state store is away (the state store failed: nobody answers): sessions stay together within this process alone"
    ]


# ------------------------------------------------------------------------------------------------- continuity


async def test_a_session_has_one_name_in_body_and_header() -> None:
    upstream = Upstream()
    async with house(upstream, continuity=[IN_BOTH]) as host:
        for session in "sst":
            await ask(host, session)
    told = [(received.json["prompt_cache_key"], received.headers.get("x-conversation")) for received in upstream.requests]
    assert all(in_body == in_header for in_body, in_header in told)
    assert told[0] == told[1] != told[2]
    assert "s" not in told[0], "the client's own name of it is not told"
    assert len(told[0][0]) <= 64


async def test_a_prompt_is_found_in_the_cache_again() -> None:
    upstream = Upstream()
    async with house(upstream, continuity=[IN_BODY], keys="one") as host:
        answers = [await ask(host, session) for session in "ssts"]
    assert [a.json["usage"]["prompt_tokens_details"]["cached_tokens"] for a in answers] == [0, 1024, 0, 1024]


async def test_what_the_client_says_stays_and_is_said_in_the_header_too() -> None:
    upstream = Upstream()
    async with house(upstream, continuity=[IN_BOTH]) as host:
        await ask(host, "s", prompt_cache_key="mine")
    assert upstream.requests[0].json["prompt_cache_key"] == upstream.requests[0].headers.get("x-conversation") == "mine"


async def test_what_cannot_stand_in_a_header_stands_in_the_body_alone() -> None:
    upstream = Upstream()
    async with house(upstream, continuity=[IN_BOTH]) as host:
        await ask(host, "s", prompt_cache_key="schön")
    assert upstream.requests[0].json["prompt_cache_key"] == "schön"
    assert upstream.requests[0].headers.get("x-conversation") is None


@pytest.mark.parametrize("empty", [None, ""])
async def test_an_empty_field_counts_as_left_out(empty: Any) -> None:
    upstream = Upstream()
    async with house(upstream, continuity=[IN_BODY]) as host:
        await ask(host, "s", prompt_cache_key=empty)
    assert upstream.requests[0].json["prompt_cache_key"]


async def names(*calls: dict[str, Any], derive: bool = True, keys: str = "one") -> list[str]:
    upstream = Upstream()
    async with house(upstream, continuity=[IN_BODY], keys=keys, plugins={"sticky": {"derive": derive}}) as host:
        for said in calls:
            await ask(host, said.pop("session", None), **said)
    return [received.json["prompt_cache_key"] for received in upstream.requests]


async def test_the_name_comes_from_the_session_before_the_idempotency_key_before_the_opening_before_the_credential() -> None:
    key, hello, other = {"idempotency-key": "k"}, [{"role": "user", "content": "Hello"}], [{"role": "user", "content": "Bye"}]
    session = await names({"session": "s", "headers": key, "messages": hello}, {"session": "s", "messages": other})
    retried = await names({"headers": key, "messages": hello}, {"headers": key, "messages": other})
    opening = await names({"messages": hello}, {"messages": hello}, {"messages": other})
    nothing = await names({"messages": hello}, {"messages": other}, derive=False)
    assert session[0] == session[1]
    assert retried[0] == retried[1]
    assert opening[0] == opening[1] != opening[2]
    assert nothing[0] == nothing[1]
    assert len({session[0], retried[0], opening[0], nothing[0]}) == 4


async def test_where_nothing_else_tells_them_apart_each_credential_has_a_name_of_its_own() -> None:
    told = await names({}, {}, {}, keys="one two", derive=False)
    assert told[0] == told[2] != told[1]


async def test_each_client_has_names_of_its_own() -> None:
    upstream = Upstream()
    keys = {"plugins": {"api_keys": {"keys": [{"name": name, "key": f"{name}-key-0123456789"} for name in ("alice", "bob")]}}}
    async with house(upstream, continuity=[IN_BODY], keys="one", **keys) as host:
        for name in ("alice", "bob", "alice"):
            await ask(host, "s", {"authorization": f"Bearer {name}-key-0123456789"})
    told = [received.json["prompt_cache_key"] for received in upstream.requests]
    assert told[0] == told[2] != told[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"scheduler": "round_robin"},
        {"plugins": {"sticky": {"continuity": False}}},
        {"continuity": [Continuity(dialects=("openai.responses",), body=(("prompt_cache_key",),))]},
        {"continuity": []},
    ],
    ids=["another scheduler", "switched off", "another dialect", "no place"],
)
async def test_else_the_body_that_leaves_is_the_one_that_came(settings: dict[str, Any]) -> None:
    upstream = Upstream()
    raw = msgspec.json.encode({"model": "m", "temperature": 1.0, "messages": []})
    async with house(upstream, **{"continuity": [IN_BOTH], **settings}) as host:
        assert (await host.post("/v1/chat/completions", raw, {"x-session-id": "s"})).status == 200
    assert upstream.requests[0].body == raw
    assert upstream.requests[0].headers.get("x-conversation") is None
