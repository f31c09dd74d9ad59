"""The wire below the calls: HTTP that is broken, slow, large or in a hurry, and the limits that stand against it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jackfield.api.testing import Harness, Received, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import House, MakeHouse
from tests.e2e.server.raw import ANSWER, CHAT, QUESTION, RawClient, chunk, connect, exchange, get, head, request

_BODY = json.dumps(QUESTION).encode()
_CHUNKED = {"Transfer-Encoding": "chunked"}

BROKEN: dict[str, tuple[bytes, int, str]] = {
    "an unknown method": (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "method"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "HTTPS"),
    "no HTTP": (b"hello\r\n\r\n", 400, ""),
    "a header without a colon": (b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n", 400, "header"),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "Host"),
    "two Hosts": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, "Host"),
    "Content-Length no number": (head(headers={"Content-Length": "abc"}), 400, "Content-Length"),
    "Content-Length below zero": (head(headers={"Content-Length": "-1"}), 400, "Content-Length"),
    "Content-Length beyond all bounds": (head(headers={"Content-Length": "9" * 30}), 400, "Content-Length"),
    "two framings": (head(headers={"Content-Length": "4", **_CHUNKED}), 400, "Content-Length"),
    "a chunk of no size": (head(headers=_CHUNKED) + b"zz\r\n", 400, ""),
    "one long header": (get("/healthz", {"X-Long": "x" * 70_000}), 431, "65536 bytes (limits.headers)"),
    "a long path": (get("/healthz?" + "x" * 70_000), 431, "65536 bytes (limits.headers)"),
    "many headers": (get("/v1/models", {f"X-{n}": "x" for n in range(2000)}), 431, "limits.headers"),
    "headers that are long together": (get("/v1/models", {f"X-{n}": "x" * 2000 for n in range(40)}), 431, "65536 bytes (limits.headers)"),
}


@pytest.mark.parametrize(("sent", "status", "word"), BROKEN.values(), ids=BROKEN)
async def test_broken_http_is_answered_in_json(house: MakeHouse, sent: bytes, status: int, word: str) -> None:
    async with house() as h:
        told = await exchange(h.host.url, sent)
        assert (told.status, told.error["type"]) == (status, "invalid_request_error")
        assert word in told.error["message"]
        assert (await exchange(h.host.url, get("/healthz"))).status == 200


async def test_headers_below_the_limit_are_taken(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h:
        assert (await exchange(h.host.url, request(headers={f"X-{n}": "x" * 1500 for n in range(40)}))).status == 200


async def test_requests_in_one_packet_are_answered_in_their_order(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        await client.send(request() + get("/healthz") + request({}) + request())
        assert [(await client.answer()).status for _ in range(4)] == [200, 200, 400, 200]


@pytest.mark.parametrize("size", [1, 7, len(_BODY)])
async def test_a_chunked_body_reaches_the_upstream_whole(house: MakeHouse, size: int) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        await client.send(head(headers=_CHUNKED))
        for at in range(0, len(_BODY), size):
            await client.send(chunk(_BODY[at : at + size]))
        assert (await client.exchange(chunk(b""))).status == 200
        assert h.upstream.requests[0].body == _BODY


async def test_a_client_that_waits_for_100_is_told_to_go_on(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        await client.send(head(headers={"Expect": "100-continue", "Content-Length": str(len(_BODY))}))
        status, headers = await client.head()
        assert (status, len(headers)) == (100, 0)
        assert (await client.exchange(_BODY)).status == 200
        assert "expect" not in h.upstream.requests[0].headers


async def test_a_client_that_waits_for_100_is_refused_before_it_sends_too_much(house: MakeHouse) -> None:
    async with house() as h:
        told = await exchange(h.host.url, head(headers={"Expect": "100-continue", "Content-Length": str(100 << 20)}))
        assert (told.status, told.error["code"]) == (413, "body_too_large")


async def test_a_client_that_expects_something_else_is_told_so(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h:
        assert (await exchange(h.host.url, request(headers={"Expect": "a miracle"}))).status in (200, 417)


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_body_that_breaks_off_harms_nobody(house: MakeHouse, chunked: bool) -> None:
    async with house(json_answer(ANSWER)) as h:
        async with connect(h.host.url) as client:
            framing = _CHUNKED if chunked else {"Content-Length": str(len(_BODY) * 2)}
            await client.send(head(headers=framing) + (chunk(_BODY) if chunked else _BODY))
            client.writer.close()
        assert (await h.outcome()).status in ("canceled", "rejected")
        assert not h.upstream.requests
        assert (await exchange(h.host.url, request())).status == 200


# --------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_body_over_the_limit_is_refused_with_the_limit(house: MakeHouse, chunked: bool) -> None:
    async with house(json_answer(ANSWER), config={"limits": {"body": "1 KiB"}}) as h:
        pieces = [chunk(b"x" * 600), chunk(b"x" * 600), chunk(b"")]
        sent = head(headers=_CHUNKED) + b"".join(pieces) if chunked else request(b"x" * 1025)
        told = await exchange(h.host.url, sent)
        assert (told.status, told.error["code"], told.error["type"]) == (413, "body_too_large", "invalid_request_error")
        assert "1024 bytes (limits.body)" in told.error["message"]


async def test_a_body_at_the_limit_is_taken(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), config={"limits": {"body": "1 KiB"}}) as h:
        assert (await exchange(h.host.url, request(_BODY.ljust(1024)))).status == 200
        assert len(h.upstream.requests[0].body) == 1024


async def test_an_announced_body_over_the_limit_is_refused_before_it_comes(house: MakeHouse) -> None:
    async with house(config={"limits": {"body": "1 KiB"}}) as h, connect(h.host.url) as client:
        told = await client.exchange(head(headers={"Content-Length": "2000"}))
        assert told.error["code"] == "body_too_large"


@pytest.mark.parametrize("size", [20_000, 5_000_000])
async def test_a_client_that_sends_on_regardless_still_reads_why_it_was_refused(house: MakeHouse, size: int) -> None:
    async with house(config={"limits": {"body": "1 KiB"}}) as h, connect(h.host.url) as client:
        told = await client.exchange(request(b"x" * size))
        assert told.error["code"] == "body_too_large"
        assert (await client.exchange(get("/healthz"))).status == 200  # what was sent in vain has been read away


@asynccontextmanager
async def _holding(h: House, size: int) -> AsyncIterator[RawClient]:
    """Have the host hold that many bytes of an unfinished body."""
    async with connect(h.host.url) as client:
        await client.send(head(headers={"Content-Length": str(size)}) + b"{")
        yield client


async def test_bodies_in_flight_are_bounded_together(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), config={"limits": {"in_flight": 1000}}) as h:
        async with _holding(h, 950) as first:
            async with asyncio.timeout(10):
                while (told := await exchange(h.host.url, request())).status == 200:  # until the first has been looked at
                    await asyncio.sleep(0)
            assert (told.status, told.error["code"]) == (503, "too_busy")
            assert "1000 (limits.in_flight)" in told.error["message"]
            first.writer.close()
        assert (await h.outcome()).status
        async with asyncio.timeout(10):
            while (await exchange(h.host.url, request())).status == 503:  # until the first is known to be gone
                await asyncio.sleep(0)


async def test_what_was_held_is_given_back_whatever_becomes_of_a_call(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), config={"limits": {"in_flight": 1000, "body": 500}}) as h:
        for _ in range(30):
            await exchange(h.host.url, request())
            await exchange(h.host.url, request(b"x" * 600))
            await exchange(h.host.url, request(b"no JSON"))
            await exchange(h.host.url, request(b"no gzip", headers={"Content-Encoding": "gzip"}))
            await exchange(h.host.url, request(b"no br", headers={"Content-Encoding": "br"}))
        assert (await exchange(h.host.url, request())).status == 200


# ------------------------------------------------------------------------------------------------ time limits


async def test_a_body_that_stands_still_is_given_up(house: MakeHouse) -> None:
    async with house(config={"timeouts": {"client_body": "200ms"}}) as h:
        told = await exchange(h.host.url, head(headers={"Content-Length": "100"}) + b'{"model"')
        assert (told.status, told.error["code"]) == (408, "client_body_timeout")
        assert "0.2 s (timeouts.client_body)" in told.error["message"]
        assert (await h.outcome()).status == "rejected"


async def test_a_slow_body_that_goes_on_is_not_given_up(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), config={"timeouts": {"client_body": "500ms"}}) as h, connect(h.host.url) as client:
        await client.send(head(headers={"Content-Length": str(len(_BODY))}))
        for byte in _BODY[:8]:
            await client.send(bytes([byte]))
            await asyncio.sleep(0.1)  # this is the client's pace, not a wait for something
        assert (await client.exchange(_BODY[8:])).status == 200


async def _silence(received: Received, wire: Wire) -> None:
    await wire.gone.wait()


def _stalling(*events: bytes) -> object:
    async def script(received: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in events:
            await wire.send(chunk(event))
        await wire.gone.wait()

    return script


async def _half_a_body(received: Received, wire: Wire) -> None:
    await wire.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id"')
    await wire.gone.wait()


EVENT = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"A"}}]}\n\n'

WAITS = {
    "no answer": (_silence, False, "first_byte_timeout", "first_byte"),
    "no answer to a stream": (_silence, True, "first_byte_timeout", "first_byte"),
    "half a body": (_half_a_body, False, "idle_timeout", "idle"),
    "a stream without an event": (_stalling(), True, "idle_timeout", "idle"),
    "comments and no event": (_stalling(b": hello\n\n"), True, "idle_timeout", "idle"),
}


@pytest.mark.parametrize(("script", "stream", "code", "setting"), WAITS.values(), ids=WAITS)
async def test_a_provider_that_keeps_silent_is_given_up(house: MakeHouse, script: object, stream: bool, code: str, setting: str) -> None:
    async with house(script, config={"timeouts": {setting: "200ms"}}) as h:
        told = await exchange(h.host.url, request({**QUESTION, "stream": stream}))
        assert (told.status, told.error["code"], told.error["type"]) == (502, code, "server_error")
        assert f"0.2 s (timeouts.{setting})" in told.error["message"]
        await h.until(lambda: h.upstream.open == 0)  # the upstream is told that nobody waits any more


async def test_a_stream_that_stands_still_ends_with_an_error(house: MakeHouse) -> None:
    async with house(_stalling(EVENT), config={"timeouts": {"idle": "200ms"}}) as h:
        told = await exchange(h.host.url, request({**QUESTION, "stream": True}))
        assert told.whole
        events = told.body.split(b"\n\n")
        assert events[0] + b"\n\n" == EVENT
        said = json.loads(events[1].removeprefix(b"data: "))["error"]
        assert (said["code"], "0.2 s (timeouts.idle)" in said["message"]) == ("idle_timeout", True)
        assert events[2:] == [b"data: [DONE]", b""]
        outcome = await h.outcome()
        assert (outcome.status, outcome.cause) == ("failed", "network")


async def test_a_time_limit_of_a_server_goes_before_the_general_one(house: MakeHouse) -> None:
    async with house(_silence, server={"timeouts": {"first_byte": "200ms"}}, config={"timeouts": {"first_byte": 300}}) as h:
        told = await exchange(h.host.url, request())
        assert told.error["code"] == "first_byte_timeout"
        assert "0.2 s" in told.error["message"]


async def test_a_client_that_leaves_while_the_provider_thinks_is_noticed(house: MakeHouse) -> None:
    async with house(_silence) as h:
        async with connect(h.host.url) as client:
            await client.send(request())
            await h.until(lambda: len(h.upstream.requests) == 1)
        await h.until(lambda: h.upstream.open == 0)
        assert (await h.outcome()).status == "canceled"


async def test_an_idle_connection_is_kept_for_the_next_request(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        for _ in range(20):
            assert (await client.exchange(request())).status == 200
        assert h.upstream.connections == 1


async def test_a_connection_is_closed_for_a_client_that_wants_it_so(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        assert (await client.exchange(request(headers={"Connection": "close"}))).status == 200
        assert await client.closed()


async def test_http_1_0_is_served(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        await client.send(request().replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        told = await client.answer()
        assert (told.status, told.json) == (200, ANSWER)
        assert await client.closed()


async def test_http_1_0_is_served_a_stream_too(house: MakeHouse) -> None:
    async with house(sse_answer([EVENT, b"data: [DONE]\n\n"])) as h, connect(h.host.url) as client:
        await client.send(request({**QUESTION, "stream": True}).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        assert (await client.answer()).body == EVENT + b"data: [DONE]\n\n"


async def test_requests_behind_a_stream_wait_for_its_end(house: MakeHouse) -> None:
    async with house(sse_answer([EVENT, b"data: [DONE]\n\n"]), json_answer(ANSWER)) as h, connect(h.host.url) as client:
        await client.send(request({**QUESTION, "stream": True}) + request())
        assert (await client.answer()).body == EVENT + b"data: [DONE]\n\n"
        assert (await client.answer()).json == ANSWER


async def test_a_target_with_an_authority_is_no_way_to_other_hosts(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h:
        told = await exchange(h.host.url, get("http://example.com/secret"))
        assert told.status == 404
        assert (await exchange(h.host.url, head("CONNECT", "example.com:443"))).status in (404, 405)
        assert (await exchange(h.host.url, request(target=f"{h.host.url}{CHAT}"))).status == 200


@asynccontextmanager
async def _deaf_server() -> AsyncIterator[str]:
    """A port whose queue of connections is full: nobody is refused and nobody is let in."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        try:
            for _ in range(4):
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    waiting[-1].connect(listening.getsockname())
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            for one in waiting:
                one.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
@pytest.mark.parametrize("where", ["general", "server"])
async def test_a_connection_that_is_not_made_in_time_is_given_up(house: MakeHouse, where: str) -> None:
    limit = {"timeouts": {"connect": "300ms"}}
    async with _deaf_server() as url:
        server = {"base_url": url, **(limit if where == "server" else {})}
        async with house(server=server, config=limit if where == "general" else {}) as h:
            async with asyncio.timeout(5):
                told = await exchange(h.host.url, request())
            assert (told.status, told.error["code"]) == (502, "connect_timeout")
            assert "timeouts.connect" in told.error["message"]


@pytest.mark.parametrize(("target", "status"), [("/healthz", 200), ("/readyz", 503), ("/v1/models", 404), (CHAT, 404)])
async def test_a_host_without_plugins_says_so(target: str, status: int) -> None:
    async with Harness(bare=True) as host:
        told = await host.get(target)
        assert told.status == status
        assert target == "/healthz" or b"plugged in" in told.body
