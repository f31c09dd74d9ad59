"""Calls that a plugin out of process makes through the host are those that a plugin in process would make."""

from __future__ import annotations

from typing import Any

from jackfield.api.testing import ScriptedUpstream, json_answer, sse_answer
from tests.kernel.conftest import WHOLE, talk
from tests.kernel.toy import stream_of
from tests.rpc.asking import ask, asking_host

CANONICAL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]}
STREAM = stream_of(["Hel", "lo"])


async def test_a_call_in_a_dialect_is_answered_in_it() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, "host.model.execute", dialect="toy.talk", body=talk(words="what?"))
    assert got["result"]["body"] == WHOLE
    assert upstream.requests[0].json["say"] == [{"who": "user", "words": "what?"}]


async def test_a_canonical_call_is_answered_canonically() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, "host.model.execute", request=CANONICAL)
    said = got["result"]["response"]
    assert said["choices"][0]["message"]["parts"] == [{"type": "text", "text": "Hello"}]
    assert said["usage"] == {"input": 3, "output": 5}


async def test_a_streamed_call_in_a_dialect_gives_its_events() -> None:
    async with ScriptedUpstream(sse_answer([STREAM[:50], STREAM[50:]])) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, "host.model.execute_stream", dialect="toy.talk", body=talk(), stream="a", credit=1)
    names = ["open", "block_open", "words", "words", "block_done", "close"]
    assert [item["name"] for item in got["items"]] == names
    assert "".join(item["data"]["text"] for item in got["items"] if item["name"] == "words") == "Hello"
    assert (got["result"], got["end"]) == (None, {"stream": "a"})


async def test_a_streamed_canonical_call_gives_deltas() -> None:
    async with ScriptedUpstream(sse_answer([STREAM])) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, "host.model.execute_stream", request=CANONICAL, stream="a", credit=100)
    deltas = [item["delta"] for item in got["items"]]
    assert "".join(delta["text"] for delta in deltas if delta["type"] == "text") == "Hello"
    assert deltas[-1] == {"type": "done"}


async def test_models_are_listed_as_they_can_be_called() -> None:
    async with asking_host("http://127.0.0.1:9") as host:
        got = await ask(host, "host.models.list")
    assert [model["id"] for model in got["result"]["models"]] == ["m", "n"]
