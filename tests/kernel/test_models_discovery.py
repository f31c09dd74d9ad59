"""Providers are asked for their lists: a few at a time, once, and then only when somebody looks for models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jackfield import discovery
from jackfield.api import Bearer, Credential, Dialect, ModelInfo, Provider
from jackfield.api.provider import Sender
from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.pipeline_kit import PATIENCE


class Shop(ToyProvider):
    """A provider with a list for each credential."""

    key = "shop"
    models = "discover"  # type: ignore[assignment]
    auth = Bearer()

    def __init__(self, **lists: Sequence[str] | Exception) -> None:
        super().__init__()
        self.lists, self.asked = dict(lists), list[str]()
        self.open, self.most = 0, 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def discover(self, credential: Credential, send: Sender, dialects: Mapping[str, Dialect]) -> Sequence[ModelInfo]:
        self.asked.append(credential.label)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self.gate.wait()
        finally:
            self.open -= 1
        found = self.lists.get(credential.label, ("m",))
        if isinstance(found, Exception):
            raise found
        return [ModelInfo(id=name) for name in found]


def keys(*labels: str) -> list[dict[str, Any]]:
    return [{"provider": "shop", "key": f"sk-{label}-1f2e", "label": label} for label in labels]


@asynccontextmanager
async def house(shop: Provider, *labels: str) -> AsyncIterator[Harness]:
    async with Harness([Toy(shop)], {"credentials": keys(*labels)}, bare=True) as host:
        yield host


async def listed(host: Harness) -> list[str]:
    async with asyncio.timeout(PATIENCE):
        return sorted((await host.get("/toy/v1/models")).json["models"])


async def test_each_is_asked_once_and_a_few_at_the_same_time() -> None:
    shop = Shop()
    shop.gate.clear()
    labels = [f"key{number}" for number in range(50)]
    async with house(shop, *labels) as host:
        async with asyncio.timeout(PATIENCE):
            while shop.open < 8:
                await asyncio.sleep(0)
        shop.gate.set()
        assert await listed(host) == ["m"]
        assert await listed(host) == ["m"]
    assert shop.most == 8
    assert sorted(shop.asked) == sorted(labels)


async def test_who_looks_for_models_has_old_lists_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_PAUSES", (0.0, 0.0))
    shop = Shop(one=["m"])
    async with house(shop, "one") as host:
        assert await listed(host) == ["m"]
        before = len(shop.asked)
        assert (await host.post("/toy/v1/talk", {"model": "m", "say": []})).status == 200
        assert len(shop.asked) == before  # who calls what is known looks for nothing
        shop.lists["one"] = ["m", "new"]
        assert await listed(host) == ["m", "new"]
        shop.lists["one"] = ["newer"]
        assert (await host.post("/toy/v1/talk", {"model": "newer", "say": []})).status == 404
        assert await listed(host) == ["newer"]


async def test_one_that_fails_is_told_once_hides_nobody_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(discovery, "_PAUSES", (3600.0, 0.0))
    shop = Shop(one=ValueError("no list today"), two=["m"])
    async with house(shop, "one", "two") as host:
        assert await listed(host) == ["m"]
        assert await listed(host) == ["m"]
        assert [r.getMessage() for r in caplog.records if "cannot be listed" in r.getMessage() and r.levelname == "WARNING"] == [
            "the models of shop (one) cannot be listed: ValueError: no list today"
        ]
        shop.lists["one"] = ["n"]
        assert await listed(host) == ["m", "n"]
        assert await listed(host) == ["m", "n"]
    assert shop.asked.count("two") == 1


async def test_an_account_that_comes_or_is_edited_is_asked_at_once_and_one_that_goes_no_more() -> None:
    shop = Shop(one=["m"], two=["n"])
    async with house(shop, "one", "two") as host:
        assert await listed(host) == ["m", "n"]
        models = host.host.generation.models
        one, two = models.accounts.values()
        models.update([one])
        assert await listed(host) == ["m"]
        models.update([one, two])
        assert await listed(host) == ["m", "n"]
    assert shop.asked.count("one") == 1
    assert shop.asked.count("two") <= 2


async def test_an_account_that_is_off_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_PAUSES", (0.0, 0.0))
    shop = Shop()
    async with house(shop, "one", "two") as host:
        await listed(host)
        [health] = {account.health for account in host.host.generation.accounts}
        health.switch("shop", on=False)
        shop.asked.clear()
        assert await listed(host) == []
        assert shop.asked == []
        health.switch("shop", on=True)
        assert await listed(host) == ["m"]
        assert sorted(shop.asked) == ["one", "two"]


async def test_lists_outlive_a_change_of_the_configuration() -> None:
    shop = Shop(one=["m"], two=["n"])
    async with house(shop, "one", "two") as host:
        assert await listed(host) == ["m", "n"]
        before = host.host.generation
        await host.host.reload({"credentials": keys("one", "two", "three"), "models": {"aliases": {"best": "m"}}})
        assert host.host.generation is not before
        assert await listed(host) == ["best", "m", "n"]
    assert sorted(shop.asked) == ["one", "three", "two"]


async def test_thousands_of_accounts_at_rest_have_a_handful_of_tasks_and_no_timers() -> None:
    shop = Shop()
    labels = [f"key{number}" for number in range(3000)]
    loop = asyncio.get_running_loop()
    async with house(shop, "one") as host:
        await listed(host)
        tasks, timers = len(asyncio.all_tasks()), len(loop._scheduled) if hasattr(loop, "_scheduled") else 0
    async with house(shop, *labels) as host:
        async with asyncio.timeout(PATIENCE * 6):
            while len(shop.asked) < len(labels) + 1:
                await asyncio.sleep(0)
        await listed(host)
        assert len(asyncio.all_tasks()) <= tasks + 1
        if hasattr(loop, "_scheduled"):
            assert len(loop._scheduled) <= timers + 20
    assert sorted(shop.asked) == sorted(["one", *labels])


async def test_a_hanging_provider_holds_a_list_up_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_LISTING_WAITS", 0.01)
    shop = Shop()
    shop.gate.clear()
    async with house(shop, "one") as host:
        assert await listed(host) == []
        shop.gate.set()
        monkeypatch.setattr(discovery, "_LISTING_WAITS", PATIENCE)
        assert await listed(host) == ["m"]
