"""However the other side asks, each request is answered once, and each stream is closed and ended once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from jackfield.rpc.channel import Asked, Channel, Streamed
from jackfield.rpc.wire import Item


class Items:
    """A stream that ends when it is told to, and says whether it was closed."""

    def __init__(self, *texts: str, slow_to_close: bool = False) -> None:
        self._left, self._slow, self.closed = list(texts), slow_to_close, 0

    def __aiter__(self) -> AsyncIterator[Sequence[Item]]:
        return self

    async def __anext__(self) -> Sequence[Item]:
        if not self._left:
            await asyncio.Event().wait()
        if (text := self._left.pop(0)) == "end":
            raise StopAsyncIteration
        return [Item(raw=text)]

    async def aclose(self) -> None:
        self.closed += 1
        if self._slow:
            await asyncio.sleep(0)
            raise OSError("cannot close")


class Side:
    """The host's side, with the other one in the test's hands."""

    def __init__(self, answer: Callable[[str, msgspec.Raw], Any]) -> None:
        self._answer, self.noise = answer, list[bytes]()
        self.said = list[dict[str, Any]]()
        self.channel = Channel(self._write, self._serve, noise=self.noise.append)

    def _write(self, data: bytes) -> None:
        self.said += [json.loads(line) for line in data.splitlines()]

    async def _serve(self, method: str, params: msgspec.Raw, asked: Asked | None) -> Any:
        made = self._answer(method, params)
        return await made if asyncio.iscoroutine(made) else made

    def feed(self, *messages: dict[str, Any]) -> None:
        """Have the channel read these at once."""
        self.channel.feed(b"".join(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n" for message in messages))

    async def rest(self) -> list[dict[str, Any]]:
        """Let all run that can; return what was said meanwhile."""
        for _ in range(10):
            await asyncio.sleep(0)
        said, self.said = self.said, []
        return said


def ask(id: Any, method: str = "m", **params: Any) -> dict[str, Any]:
    return {"id": id, "method": method, "params": params}


def cancel(id: Any) -> dict[str, Any]:
    return {"method": "$/cancel", "params": {"id": id}}


async def never(*_: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("at_once", [True, False], ids=["before it began", "while it waits"])
async def test_a_request_that_is_cancelled_is_answered_once(at_once: bool, times: int) -> None:
    side = Side(never)
    side.feed(ask("a"), *[cancel("a")] * (times * at_once))
    said = await side.rest()
    if not at_once:
        assert said == []
        side.feed(*[cancel("a")] * times)
        said = await side.rest()
    assert [(message["id"], message["error"]["code"]) for message in said] == [("a", -32800)]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_stream_that_is_cancelled_is_closed_and_ended_once(times: int) -> None:
    items = Items("one", slow_to_close=True)
    side = Side(lambda *_: Streamed(None, "s", 10, items))
    side.feed(ask("a"))
    first, item = await side.rest()
    side.feed(*[cancel("a")] * times)
    (end,) = await side.rest()
    assert (first["result"], item["params"]["items"]) == (None, [{"raw": "one"}])
    assert (end["method"], end["params"]["error"]["code"], items.closed) == ("stream.end", -32800, 1)


async def test_a_stream_is_sent_as_there_is_credit() -> None:
    side = Side(lambda *_: Streamed(None, "s", 1, Items("one", "two", "end")))
    side.feed(ask("a"))
    assert len(await side.rest()) == 2
    side.feed({"method": "stream.credit", "params": {"stream": "s", "credit": 1}})
    item, end = await side.rest()
    assert (item["params"]["index"], item["params"]["items"], end["params"]) == (1, [{"raw": "two"}], {"stream": "s"})


async def test_two_streams_have_two_names() -> None:
    made = [Items(), Items()]
    streams = iter(made)
    side = Side(lambda *_: Streamed(None, "s", 1, next(streams)))
    side.feed(ask("a"), ask("b"))
    said = {message["id"]: message for message in await side.rest()}
    assert (said["a"]["result"], said["b"]["error"]["code"], made[1].closed) == (None, -32602, 1)
    side.channel.lose("the test ends")
    await side.channel.settle()
    assert made[0].closed == 1


async def test_two_requests_have_two_ids() -> None:
    side = Side(never)
    side.feed(ask("a"), ask("a"))
    (said,) = await side.rest()
    assert (said["error"]["code"], "'a'" in said["error"]["message"]) == (-32600, True)
    side.channel.lose("the test ends")
    await side.channel.settle()


async def test_what_nobody_takes_as_a_notification_is_noise() -> None:
    side = Side(lambda *_: Streamed(None, "s", 1, Items()))
    side.feed({"method": "host.http.stream", "params": {}})
    assert (await side.rest(), len(side.noise)) == ([], 1)


async def test_who_asks_for_more_than_is_served_at_once_is_told() -> None:
    side = Side(never)
    side.feed(*[ask(number) for number in range(1025)])
    (said,) = await side.rest()
    assert (said["id"], said["error"]["code"]) == (1024, -32003)
    side.channel.lose("the test ends")
    await side.channel.settle()


async def test_an_answer_that_is_too_large_is_an_error() -> None:
    side = Side(lambda *_: "x" * (17 << 20))
    side.feed(ask("a"))
    (said,) = await side.rest()
    assert (said["error"]["code"], "over the limit" in said["error"]["message"]) == (-32003, True)
