"""Accounts whose keys expire: refreshed in time, once, and without anybody waiting; what happens when that fails."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jackfield.api import Attempt, CallError, Credential, Reply, Secret, failure
from jackfield.api.testing import Harness
from jackfield_memory import Config as MemoryConfig
from jackfield_memory import MemoryStore
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.pipeline_kit import ask
from tests.virtual_time import Clock, in_virtual_time


class Issuer:
    """A plugin whose accounts expire, and the authority that gives them keys."""

    id = "issuer"
    name = "accounts"

    def __init__(self, *accounts: str, lasts: float = 3600.0, first: float | None = None) -> None:
        self.lasts, self.valid = lasts, dict[str, tuple[str, float]]()
        self.refreshes, self.times = Counter[str](), list[float]()
        self.saved: list[Credential] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.refusal: Exception | None = None
        self.own = {name: self.issue(name, lasts if first is None else first) for name in accounts}

    def issue(self, name: str, lasts: float) -> Credential:
        key = f"{name}-{self.refreshes[name]}"
        self.valid[name] = key, time.time() + lasts
        return Credential(provider="toy", id=name, label=name, key=Secret(key), expires_at=time.time() + lasts, kind="oauth")

    def register_credential_sources(self) -> Sequence[Any]:
        return [self]

    async def load(self) -> list[Credential]:
        return list(self.own.values())

    async def refresh(self, credential: Credential) -> Credential:
        self.refreshes[credential.id] += 1
        self.times.append(time.time())
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.refusal is not None:
            raise self.refusal
        return self.issue(credential.id, self.lasts)

    async def save(self, credentials: Sequence[Credential]) -> None:
        self.saved += credentials
        self.own |= {one.id: one for one in credentials}


class Account(ToyProvider):
    """Answers those whose key is valid."""

    def __init__(self, issuer: Issuer) -> None:
        super().__init__()
        self.issuer, self.used = issuer, list[tuple[str, bool]]()

    async def execute(self, attempt: Attempt) -> Reply:
        held = attempt.candidate.account.credential
        key, until = self.issuer.valid[held.id]
        fits = held.key is not None and held.key.reveal() == key and until > time.time()
        self.used.append((held.id, fits))
        if not fits:
            return Reply(status=401, body=msgspec.json.encode({"oops": "expired"}))
        return await super().execute(attempt)


def house(issuer: Issuer, **config: Any) -> tuple[Harness, Account]:
    provider = Account(issuer)
    return Harness([Toy(provider), issuer], config, bare=True), provider


@in_virtual_time
async def test_a_key_is_refreshed_before_it_expires_and_kept(clock: Clock) -> None:
    issuer = Issuer("a")
    host, provider = house(issuer)
    async with host:
        for _ in range(200):
            await asyncio.sleep(60)
            assert (await ask(host)).status == 200
    assert all(fits for _, fits in provider.used)
    assert 3 <= issuer.refreshes["a"] <= 4  # in 12,000 s, with keys that last 3,600
    assert [one.key for one in issuer.saved][-1] == Secret(issuer.valid["a"][0])


@in_virtual_time
async def test_the_sources_own_time_counts(clock: Clock) -> None:
    issuer = Issuer("a")
    issuer.own["a"] = msgspec.structs.replace(issuer.own["a"], refresh_at=time.time() + 100)
    host, _ = house(issuer)
    async with host:
        await asyncio.sleep(99)
        assert not issuer.refreshes
        await asyncio.sleep(5)
        assert issuer.refreshes["a"] == 1


@in_virtual_time
async def test_hundreds_that_expire_in_one_minute_are_refreshed_once_each_and_not_all_at_once(clock: Clock) -> None:
    names = [f"a{n}" for n in range(200)]
    issuer = Issuer(*names, lasts=7200)
    for at, name in enumerate(names):
        issuer.own[name] = msgspec.structs.replace(issuer.own[name], expires_at=time.time() + 60 + at * 0.3)
        issuer.valid[name] = issuer.valid[name][0], time.time() + 60 + at * 0.3
    host, provider = house(issuer)
    async with host:
        for _ in range(130):
            await asyncio.sleep(1)
            before = time.time()
            assert (await ask(host)).status == 200
            assert time.time() - before < 2
    assert set(issuer.refreshes.values()) == {1}
    assert all(fits for _, fits in provider.used)
    per_second = Counter(int(at) for at in issuer.times)
    assert max(per_second.values()) <= 11


@in_virtual_time
async def test_a_call_waits_for_the_key_of_the_only_account(clock: Clock) -> None:
    issuer = Issuer("a", first=-100.0)

    async def a_moment() -> None:
        await asyncio.sleep(1)

    issuer.meanwhile = a_moment
    host, provider = house(issuer)
    async with host:
        answers = await asyncio.gather(*(ask(host) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert issuer.refreshes["a"] == 1
    assert all(fits for _, fits in provider.used)


@in_virtual_time
async def test_a_call_does_not_wait_longer_than_two_seconds(clock: Clock) -> None:
    issuer = Issuer("a", first=-100.0)

    async def long() -> None:
        await asyncio.sleep(20)

    issuer.meanwhile = long
    host, _ = house(issuer)
    async with host:
        before = time.time()
        answer = await ask(host)
        assert (answer.status, time.time() - before < 3) == (503, True)
        assert "its key has expired" not in answer.body.decode()
        await asyncio.sleep(25)
        assert (await ask(host)).status == 200
    assert issuer.refreshes["a"] == 1


@in_virtual_time
async def test_a_refused_key_is_refreshed_and_the_same_account_tried_once_more(clock: Clock) -> None:
    issuer = Issuer("a", "b")
    host, provider = house(issuer)
    async with host:
        issuer.valid |= {name: (f"{name}-other", time.time() + 100) for name in ("a", "b")}  # revoked
        answers = await asyncio.gather(*(ask(host) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert dict(issuer.refreshes) == {"a": 1, "b": 1}
    first = provider.used[0][0]
    assert (first, True) in provider.used


@in_virtual_time
async def test_a_key_that_is_refused_although_it_is_fresh_is_not_refreshed_for_ever(clock: Clock) -> None:
    issuer = Issuer("a")
    host, provider = house(issuer, attempts={"wait": 0})
    async with host:
        await asyncio.sleep(2)
        issue, issuer.issue = issuer.issue, lambda name, lasts: msgspec.structs.replace(issue(name, lasts), key=Secret(str(time.time())))  # type: ignore[method-assign]
        issuer.valid["a"] = "another", time.time() + 1000
        for _ in range(20):
            assert (await ask(host)).status == 503
            await asyncio.sleep(1)
    assert issuer.refreshes["a"] == 1
    assert len(provider.used) <= 22


@pytest.mark.parametrize("cause", ["account_action", "credential"])
def test_a_refusal_for_good_ends_it_and_says_what_to_do(cause: Any, caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def run(clock: Clock) -> None:
        issuer = Issuer("a", first=100.0)
        issuer.refusal = CallError(failure(cause, "invalid_grant: the token was revoked"))
        host, provider = house(issuer)
        async with host:
            await asyncio.sleep(3600)
            answer = await ask(host)
            (told,) = [host.host.lasting.health.describe(account) for account in host.host.generation.accounts]
        assert issuer.refreshes["a"] == 1
        assert (answer.status, answer.headers.get("retry-after")) == (503, None)
        assert "account needs its owner" in answer.body.decode()
        assert "until" not in answer.body.decode()
        assert not provider.used
        assert told["resting"][0]["message"] == "log in again (jackfield login toy): invalid_grant: the token was revoked"

    run()
    lines = [record.message for record in caplog.records if "log in again" in record.message]
    assert lines == ["a cannot be refreshed any more: invalid_grant: the token was revoked; log in again: jackfield login toy"]


@in_virtual_time
async def test_a_failed_refresh_is_tried_again_ever_more_seldom_while_the_old_key_serves(clock: Clock) -> None:
    issuer = Issuer("a")
    host, provider = house(issuer)
    async with host:
        issuer.refusal = CallError(failure("overload", "server busy"))
        await asyncio.sleep(3590 - 0)
        assert (await ask(host)).status == 200
        pauses = [b - a for a, b in pairwise(issuer.times)]
        assert all(b > a for a, b in pairwise(pauses))
        issuer.refusal = None
        await asyncio.sleep(700)
        assert (await ask(host)).status == 200
    assert all(fits for _, fits in provider.used)
    assert issuer.refreshes["a"] < 12


@in_virtual_time
async def test_logging_in_again_heals(clock: Clock) -> None:
    issuer = Issuer("a", first=-1.0)
    issuer.refusal = CallError(failure("account_action", "gone"))
    host, _ = house(issuer)
    async with host:
        await asyncio.sleep(5)
        assert (await ask(host)).status == 503
        issuer.refusal = None
        issuer.refreshes["a"] += 1
        issuer.own["a"] = issuer.issue("a", 3600.0)
        await host.host.refresh(host.host.generation.sources[0])
        assert (await ask(host)).status == 200


@in_virtual_time
async def test_a_key_that_cannot_be_kept_is_used_all_the_same(clock: Clock) -> None:
    issuer = Issuer("a", first=60.0)

    async def full(credentials: Sequence[Credential]) -> None:
        raise OSError(28, "No space left on device")

    issuer.save = full  # type: ignore[method-assign]
    host, _ = house(issuer)
    async with host:
        await asyncio.sleep(200)
        assert (await ask(host)).status == 200
    assert issuer.refreshes["a"] == 1


@in_virtual_time
async def test_the_same_key_that_lasts_longer_is_refreshed_the_next_time(clock: Clock) -> None:
    issuer = Issuer("a")
    issue = issuer.issue

    def same(name: str, lasts: float) -> Credential:
        made = issue(name, lasts)
        issuer.valid[name] = "a-0", time.time() + lasts
        return msgspec.structs.replace(made, key=Secret("a-0"))

    issuer.issue = same  # type: ignore[method-assign]
    host, provider = house(issuer)
    async with host:
        for _ in range(200):
            await asyncio.sleep(60)
            assert (await ask(host)).status == 200
    assert 3 <= issuer.refreshes["a"] <= 4
    assert all(fits for _, fits in provider.used)


@in_virtual_time
async def test_calls_do_not_ask_for_keys_while_a_failure_is_waited_out(clock: Clock) -> None:
    issuer = Issuer("a", first=-1.0)
    issuer.refusal = CallError(failure("rate", "too many", retry_after=120.0))
    host, _ = house(issuer)
    async with host:
        for _ in range(100):
            assert (await ask(host)).status == 503
            await asyncio.sleep(1)
        assert issuer.refreshes["a"] == 1
        issuer.refusal = None
        await asyncio.sleep(60)
        assert (await ask(host)).status == 200


@in_virtual_time
async def test_keys_that_expire_at_once_are_not_asked_for_all_the_time(clock: Clock) -> None:
    issuer = Issuer("a", lasts=1.0)
    host, _ = house(issuer)
    async with host:
        await asyncio.sleep(600)
    assert 4 <= issuer.refreshes["a"] <= 10
    assert issuer.saved[-1].key == issuer.own["a"].key


@in_virtual_time
async def test_another_worker_that_refreshes_is_left_alone_and_waited_for(clock: Clock) -> None:
    issuer = Issuer("a", first=-1.0)
    lease, store = ":host/refresh/a", MemoryStore(MemoryConfig())
    await store.set(lease, b"1", ttl=40.0)
    shared = SimpleNamespace(id="shared", register_state_stores=lambda: [("shared", lambda config: store)])
    async with Harness([Toy(Account(issuer)), issuer, shared], {"state": "shared"}, bare=True) as host:
        asked = asyncio.ensure_future(ask(host))
        await asyncio.sleep(1)
        assert await store.get(lease) is not None
        issuer.own["a"] = msgspec.structs.replace(issuer.issue("a", 3600.0), key=Secret("theirs"))
        issuer.valid["a"] = "theirs", time.time() + 3600
        assert (await asked).status == 200
        await asyncio.sleep(60)
    assert not issuer.refreshes


@in_virtual_time
async def test_a_refusal_of_what_somebody_else_has_used_is_none(clock: Clock) -> None:
    issuer = Issuer("a", first=-1.0)

    async def theirs() -> None:
        issuer.own["a"] = msgspec.structs.replace(issuer.issue("a", 3600.0), key=Secret("theirs"))
        issuer.valid["a"] = "theirs", time.time() + 3600

    issuer.meanwhile, issuer.refusal = theirs, CallError(failure("account_action", "invalid_grant"))
    host, _ = house(issuer)
    async with host:
        assert (await ask(host)).status == 200


@in_virtual_time
async def test_a_reset_has_a_refused_account_tried_again(clock: Clock) -> None:
    issuer = Issuer("a", first=-1.0)
    issuer.refusal = CallError(failure("account_action", "the client was switched off"))
    host, _ = house(issuer)
    async with host:
        await asyncio.sleep(60)
        assert issuer.refreshes["a"] == 1
        issuer.refusal = None
        host.host.lasting.health.reset("a")
        assert (await ask(host)).status == 200
    assert issuer.refreshes["a"] == 2


@in_virtual_time
async def test_an_account_without_a_refresh_token_is_used_until_its_key_expires(clock: Clock) -> None:
    kept, others = Issuer("a", first=300.0), Issuer()
    source = SimpleNamespace(name="kept", load=kept.load)
    keeper = SimpleNamespace(id="keeper", register_credential_sources=lambda: [source])
    others.providers = ["toy"]  # type: ignore[attr-defined]
    async with Harness([Toy(Account(kept)), keeper, others], bare=True) as host:
        await asyncio.sleep(290)
        assert (await ask(host)).status == 200
        await asyncio.sleep(20)
        answer = await ask(host)
        (told,) = [host.host.lasting.health.describe(account) for account in host.host.generation.accounts]
    assert answer.status == 503
    assert not others.refreshes
    assert told["resting"][0]["message"] == "its key has expired, and nothing refreshes it: log in again, or renew it"


@in_virtual_time
async def test_a_host_that_stops_keeps_what_it_has_asked_for(clock: Clock) -> None:
    issuer = Issuer("a", first=-1.0)

    async def a_moment() -> None:
        await asyncio.sleep(3)

    issuer.meanwhile = a_moment
    host, _ = house(issuer)
    async with host:
        await asyncio.sleep(1)
        assert issuer.refreshes["a"] == 1
    assert [one.key for one in issuer.saved] == [Secret(issuer.valid["a"][0])]


@in_virtual_time
async def test_a_key_that_another_worker_is_replacing_just_now_is_waited_for(clock: Clock) -> None:
    issuer = Issuer("a")
    lease, store = ":host/refresh/a", MemoryStore(MemoryConfig())
    shared = SimpleNamespace(id="shared", register_state_stores=lambda: [("shared", lambda config: store)])
    async with Harness([Toy(Account(issuer)), issuer, shared], {"state": "shared"}, bare=True) as host:
        issuer.valid["a"] = "revoked", time.time() + 3600
        assert (await ask(host)).status == 200
        assert issuer.refreshes["a"] == 1
        await store.set(lease, b"1", ttl=40.0)
        issuer.valid["a"] = "theirs", time.time() + 3600
        asked = asyncio.ensure_future(ask(host))
        await asyncio.sleep(0.5)
        issuer.own["a"] = msgspec.structs.replace(issuer.own["a"], key=Secret("theirs"))
        assert (await asked).status == 200
    assert issuer.refreshes["a"] == 1
