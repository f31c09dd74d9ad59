"""What a plugin asks within a hook ends with it: when the client leaves, the deadline passes, or the hook is answered."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from jackfield.api.testing import Received, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.kernel.conftest import WHOLE, talk
from tests.kernel.pipeline_kit import begun_stream, hanging
from tests.kernel.toy import stream_of
from tests.rpc.asking import PATIENCE, ask, asking_host, asks

CANONICAL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]}


class Heard(logging.Handler):
    """Waits for what the plugin notes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines, self._came = list[str](), asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._came.set()

    async def until(self, line: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while line not in self.lines:
                self._came.clear()
                await self._came.wait()


@pytest.fixture
def heard() -> Any:
    handler, logger = Heard(), logging.getLogger("jackfield.plugins.asker")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def waiting(kind: str, url: str) -> tuple[str, dict[str, Any]]:
    """Return a question that this upstream never answers to its end."""
    if kind == "request":
        return "host.http.request", {"url": url}
    if kind == "stream":
        return "host.http.stream", {"url": url, "stream": "a", "credit": 50}
    if kind == "call":
        return "host.model.execute", {"request": CANONICAL}
    return "host.model.execute_stream", {"request": CANONICAL, "stream": "a", "credit": 50}


KINDS = ["request", "stream", "call", "call's stream"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_leaves_ends_what_a_hook_asks(kind: str) -> None:
    async with ScriptedUpstream(hanging(begun_stream("a"))) as upstream, asking_host(upstream.url) as host:
        gone = asyncio.create_task(host.post("/toy/v1/talk", talk(ask=[waiting(kind, upstream.url)])))
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: len(upstream.requests) == 1)
            gone.cancel()
            await upstream.until(lambda: upstream.open == 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hook_that_is_late_ends_what_it_asks(kind: str) -> None:
    async with ScriptedUpstream(hanging(begun_stream("a"))) as upstream, asking_host(upstream.url, deadline=0.3) as host:
        answer = await host.post("/toy/v1/talk", talk(ask=[waiting(kind, upstream.url)]))
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: upstream.open == 0)
    assert (answer.status, answer.json["code"]) == (503, "plugin_failed")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hook_that_is_answered_ends_what_it_asked_and_the_plugin_is_told(kind: str, heard: Heard) -> None:
    method, params = waiting(kind, "")
    answer, first = json_answer(WHOLE), asyncio.Event()

    async def script(received: Received, wire: Wire) -> None:
        if received.target.startswith("/talk") and received.json["say"][0]["words"] == "the client's":
            await answer(received, wire)
        else:
            first.set()
            await hanging(begun_stream("a"))(received, wire)

    async with ScriptedUpstream(script) as upstream, asking_host(upstream.url) as host:
        asked = (method, {**params, "url": upstream.url} if "url" in params else params)
        reply = await host.post("/toy/v1/talk", talk(words="the client's", ask=[asked], leave=True))
        assert reply.status == 200
        await heard.until(f"{method} -32800" if kind in ("request", "call") or not first.is_set() else f"{method} answered")
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: upstream.open <= 1)  # the client's own may lie idle


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_detached_call_goes_on_and_is_answered(heard: Heard, streamed: bool) -> None:
    go = asyncio.Event()

    async def script(received: Received, wire: Wire) -> None:
        detached = received.json["say"][0]["words"] == "hi"
        if detached:
            await go.wait()
        await (sse_answer([stream_of(["Hello"])]) if detached and streamed else json_answer(WHOLE))(received, wire)

    method, more = ("host.model.execute_stream", {"stream": "a", "credit": 9}) if streamed else ("host.model.execute", {})
    async with ScriptedUpstream(script) as upstream, asking_host(upstream.url) as host:
        asked = (method, {"request": CANONICAL, "detached": True, **more})
        assert (await host.post("/toy/v1/talk", talk(words="other", ask=[asked], leave=True))).status == 200
        go.set()
        await heard.until(f"{method} answered")


async def test_a_nested_call_is_part_of_the_call_that_it_is_made_in() -> None:
    seen: list[tuple[int, str, bool]] = []

    class Seeing:
        id = "seeing"

        def intercept_attempt(self, attempt: Any) -> None:
            call = attempt.call
            seen.append((call.depth, call.principal.name, call.parent is not None))

    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, asking_host(upstream.url, Seeing()) as host:
        await ask(host, "host.model.execute", request=CANONICAL)
        await ask(host, "host.model.execute", request=CANONICAL, detached=True)
        await ask(host, "host.model.execute", **{"request": CANONICAL, "for": None})
    assert seen == [(1, "local", True), (0, "plugin:asker", False), (0, "plugin:asker", False)]


async def test_a_nested_failure_keeps_what_was_answered() -> None:
    failing = json_answer({"oops": "slow down"}, status=429, headers={"Retry-After": "7"})
    async with ScriptedUpstream(failing) as upstream, asking_host(upstream.url) as host:
        whole, streamed = await asks(
            host,
            ("host.model.execute", {"dialect": "toy.talk", "body": talk()}),
            ("host.model.execute_stream", {"dialect": "toy.talk", "body": talk(), "stream": "a", "credit": 9}),
        )
    data = whole["error"]["data"]
    assert (whole["error"]["code"], data["cause"], data["status"], data["retry_after"]) == (-32000, "rate", 429, pytest.approx(7, abs=1))
    assert json.loads(data["body"])["status"] == 429
    assert ["retry-after", "7"] in [[name.lower(), value] for name, value in data["headers"]]
    assert streamed["error"]["data"]["cause"] == "rate"


async def test_a_nested_stream_that_breaks_off_ends_with_why() -> None:
    begun = stream_of(["a", "b"])[:300]
    async with ScriptedUpstream(sse_answer([begun], end=False)) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, "host.model.execute_stream", request=CANONICAL, stream="a", credit=99)
    said = [item["delta"] for item in got["items"]]
    assert said[-1]["type"] in ("error", "done") or "error" in got["end"]


async def test_a_dialect_that_is_not_there_is_an_error_with_its_code() -> None:
    async with asking_host("http://127.0.0.1:9") as host:
        error = (await ask(host, "host.model.execute", dialect="nothing.known", body={}))["error"]
    assert (error["data"]["code"], error["code"]) == ("unknown_dialect", -32000)


@pytest.mark.parametrize(
    ("method", "params", "code", "says"),
    [
        ("host.model.execute", {}, -32602, "`request`"),
        ("host.model.execute", {"request": {"messages": 1}}, -32602, "request: "),
        ("host.model.execute", {"request": CANONICAL, "body": {}}, -32602, "one of the two"),
        ("host.model.execute_stream", {"request": CANONICAL}, -32602, "stream"),
        ("host.nothing", {}, -32601, "host.nothing"),
        ("host.state.get", {}, -32602, "key"),
    ],
)
async def test_params_that_are_none_are_told_by_their_names(method: str, params: dict[str, Any], code: int, says: str) -> None:
    async with asking_host("http://127.0.0.1:9") as host:
        error = (await ask(host, method, **params))["error"]
    assert (error["code"], says in error["message"]) == (code, True)
