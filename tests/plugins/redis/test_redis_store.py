"""The store in Redis: a server that is killed, started again, slow, or refuses; hosts that share it; the plugin as it is installed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Call, Host, Secret
from jackfield.api.testing import Harness
from jackfield_redis import Config, RedisStore
from tests.redis_server import ABSENT, SERVER, RedisServer

pytestmark = pytest.mark.skipif(SERVER is None, reason=ABSENT)
FILE = Path(__file__).resolve().parents[3] / "plugins" / "redis" / "jackfield_redis" / "__init__.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.stop()


def store_at(server: RedisServer, **said: Any) -> RedisStore:
    return RedisStore(Config(url=Secret(server.url), **said))


async def test_a_server_that_is_killed_and_started_again(server: RedisServer) -> None:
    store = store_at(server)
    await store.set("a", b"1")
    server.stop()
    for operation in (store.get("a"), store.set("a", b"2"), store.add("n"), store.delete("a")):
        with pytest.raises(OSError, match=r"^redis at .*redis.sock: "):
            await operation
    server.start()
    assert await store.get("a") is None  # this server keeps nothing
    assert [await store.add("n"), await store.add("n")] == [1, 2]
    await store.close()


async def test_a_server_that_is_slow_is_waited_for_less_than_a_second(server: RedisServer) -> None:
    store = store_at(server, timeout=0.2)
    await store.set("a", b"1")
    server.hold()
    began = time.monotonic()
    with pytest.raises(OSError, match="Timeout"):
        await store.get("a")
    assert time.monotonic() - began < 2
    server.hold(held=False)
    assert await store.get("a") == b"1"
    await store.close()


@pytest.mark.parametrize(("said", "says"), [("wrong", "invalid username-password pair"), ("", "Authentication required|NOAUTH")])
async def test_a_password_that_is_wrong_or_missing(tmp_path: Path, said: str, says: str) -> None:
    server = RedisServer(tmp_path, password="right")
    server.start()
    store = RedisStore(Config(url=Secret(server.url.replace("right", said) if said else server.url.replace(":right@", ""))))
    try:
        with pytest.raises(OSError, match=says):
            await store.get("a")
    finally:
        await store.close()
        server.stop()


async def test_names_stand_under_a_prefix(server: RedisServer) -> None:
    one, other = store_at(server), store_at(server, prefix="other:")
    await one.set("a", b"1")
    await other.set("a", b"2")
    assert (await one.get("a"), await other.get("a")) == (b"1", b"2")
    await one.close()
    await other.close()


class Counting:
    """A plugin that counts its calls in the state store."""

    id = "counting"

    def __init__(self, host: Host) -> None:
        self._host, self.counts = host, list[int | None]()

    async def intercept_request(self, call: Call) -> None:
        self.counts.append(await self._host.state.add("calls", maximum=30))


def installed(server: RedisServer) -> dict[str, Any]:
    return {"state": {"kind": "redis", "url": server.url}, "plugins": {"redis": {"path": str(FILE)}}}


CALL = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}


async def test_hosts_share_it(server: RedisServer) -> None:
    plugins: list[Counting] = []

    class Counted(Counting):
        def __init__(self, host: Host) -> None:
            super().__init__(host)
            plugins.append(self)

    Counted.__name__ = "counting"
    async with Harness([Counted], installed(server)) as one, Harness([Counted], installed(server)) as two:
        await asyncio.gather(*(host.post("/v1/chat/completions", CALL) for _ in range(20) for host in (one, two)))
    counted = [count for plugin in plugins for count in plugin.counts]
    assert sorted(count for count in counted if count is not None) == list(range(1, 31))
    assert counted.count(None) == 10


async def test_calls_go_on_while_it_is_away(server: RedisServer) -> None:
    async with Harness(config=installed(server)) as host:
        assert (await host.post("/v1/chat/completions", CALL)).status == 200
        server.stop()
        assert (await host.post("/v1/chat/completions", CALL)).status == 200
        server.start()
        assert (await host.post("/v1/chat/completions", CALL)).status == 200


async def test_a_setting_that_is_none_is_a_listed_problem(server: RedisServer) -> None:
    config = installed(server) | {"state": {"kind": "redis", "adress": "x"}}
    async with Harness(config=config) as host:
        assert any("state.adress: unknown" in problem for problem in host.host.problems)
