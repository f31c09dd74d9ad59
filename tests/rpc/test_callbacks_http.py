"""What plugins out of process ask of upstreams goes through the host's connections, and by its rules."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Received, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.kernel.conftest import WHOLE, talk
from tests.kernel.pipeline_kit import hanging
from tests.kernel.toy import check_stream, stream_of
from tests.rpc.asking import ask, asking_host, texts


async def answered(script: Any, asked: str = "host.http.request", /, **params: Any) -> tuple[dict[str, Any], list[Received]]:
    """Have the plugin ask an upstream with this script; return what it got, and what the upstream was asked."""
    async with ScriptedUpstream(script) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, asked, url=f"{upstream.url}/there?a=1", **params)
    return got, upstream.requests


@pytest.mark.parametrize(
    ("sent", "raw", "kind"),
    [
        ({"body": {"a": [1, None]}}, b'{"a":[1,null]}', "application/json"),
        ({"body_text": "a=1&b=2", "media_type": "application/x-www-form-urlencoded"}, b"a=1&b=2", "application/x-www-form-urlencoded"),
        ({"body_base64": base64.b64encode(b"\x00\xff").decode(), "media_type": "image/png"}, b"\x00\xff", "image/png"),
        ({"body_text": "hello", "headers": {"Content-Type": "text/plain"}}, b"hello", "text/plain"),
    ],
    ids=["json", "form", "bytes", "header"],
)
async def test_a_body_goes_out_as_it_was_said(sent: dict[str, Any], raw: bytes, kind: str) -> None:
    _, (request,) = await answered(json_answer({}), **sent)
    assert b"".join(request.body.split()) == raw
    assert request.headers.all("content-type") == (kind,)


async def test_a_large_body_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"x" * (5 << 20))
    _, (request,) = await answered(json_answer({}), body_file=str(file), media_type="text/plain")
    assert request.body == file.read_bytes()


async def test_method_headers_and_query_are_the_plugins() -> None:
    script = json_answer({"ok": 1.10}, headers={"x-answer": "1"})
    got, (request,) = await answered(script, method="GET", headers=[["x-one", "1"], ["x-one", "2"]])
    assert (request.method, request.target, request.headers.all("x-one"), request.body) == ("GET", "/there?a=1", ("1", "2"), b"")
    assert (got["result"]["status"], got["result"]["body"]) == (200, {"ok": 1.10})
    assert ["x-answer", "1"] in got["result"]["headers"]


@pytest.mark.parametrize(
    ("answer", "kind", "expected"),
    [
        (b"not json", "application/json", {"body_text": "not json"}),
        ("grün".encode(), "text/plain; charset=utf-8", {"body_text": "grün", "media_type": "text/plain"}),
        (b"\x89PNG\xff", "image/png", {"body_base64": base64.b64encode(b"\x89PNG\xff").decode(), "media_type": "image/png"}),
        (b"", "text/plain", {"media_type": "text/plain"}),
    ],
    ids=["no json", "text", "bytes", "nothing"],
)
async def test_a_whole_answer_comes_in_the_form_that_it_has(answer: bytes, kind: str, expected: dict[str, str]) -> None:
    got, _ = await answered(json_answer(answer, headers={"Content-Type": kind}))
    assert {name: value for name, value in got["result"].items() if name.startswith("body") or name == "media_type"} == expected


async def test_an_error_and_a_redirect_are_answers_like_others() -> None:
    for status in (302, 404, 503):
        got, requests = await answered(json_answer({}, status=status, headers={"Location": "http://127.0.0.1:9/"}))
        assert (got["result"]["status"], len(requests)) == (status, 1)


async def test_an_answer_that_is_too_large_for_a_message_is_read_as_a_stream() -> None:
    large = b"x" * ((16 << 20) + 1)
    got, _ = await answered(json_answer(large))
    assert (got["error"]["code"], "host.http.stream" in got["error"]["message"]) == (-32003, True)


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
async def test_a_stream_cuts_no_character_in_two(cut: int) -> None:
    words = "añ€🦊 fin".encode()
    pieces = [words[at : at + cut] for at in range(0, len(words), cut)]
    got, _ = await answered(sse_answer(pieces), "host.http.stream", stream="a", credit=100)
    assert texts(got["items"]) == words.decode()
    assert (got["result"]["status"], "body" in got["result"], got["end"]) == (200, False, {"stream": "a"})


async def test_what_is_no_text_comes_as_it_is() -> None:
    raw = b"text \xff\xfe more \xe2\x82"  # and ends within a character
    script = json_answer(raw, headers={"Content-Type": "application/octet-stream"})
    got, _ = await answered(script, "host.http.stream", stream="a", credit=9)
    whole = b"".join(base64.b64decode(item["raw_base64"]) if "raw_base64" in item else item["raw"].encode() for item in got["items"])
    assert whole == raw


async def test_a_stream_that_breaks_off_ends_with_why() -> None:
    got, _ = await answered(sse_answer([b"data: 1\n\n"], end=False), "host.http.stream", stream="a", credit=9)
    assert texts(got["items"]) == "data: 1\n\n"
    assert (got["end"]["error"]["data"]["cause"], got["end"]["error"]["data"]["code"]) == ("network", "broken_off")


async def test_a_stream_that_the_plugin_gives_up_is_closed() -> None:
    async with ScriptedUpstream(hanging(b"data: 1\n\n")) as upstream, asking_host(upstream.url) as host:
        got = await ask(host, "host.http.stream", url=upstream.url, stream="a", credit=9, cancel=1)
        await upstream.until(lambda: upstream.open == 0)
    assert got["end"]["error"]["code"] == -32800


async def test_a_plugin_that_does_not_read_holds_its_upstream_back() -> None:
    sent = [0]

    async def endless(received: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while sent[0] < 256 << 20:
                await wire.send(b"x" * 65536)
                sent[0] += 65536

    async with ScriptedUpstream(endless) as upstream, asking_host(upstream.url, deadline=1) as host:
        asked = talk(ask=[("host.http.stream", {"url": upstream.url, "stream": "a", "credit": 1, "idle": True})])
        assert (await host.post("/toy/v1/talk", asked)).status == 503  # it waits for more until its deadline
        await upstream.until(lambda: upstream.open == 0)
    assert 0 < sent[0] < 32 << 20


@pytest.mark.parametrize(
    ("params", "code", "says"),
    [
        ({"url": "http://127.0.0.1:1/"}, "private_address", "private address"),
        ({"url": "file:///etc/passwd"}, None, "not a URL that can be called"),
        ({"url": "http://[::1"}, None, "not a URL that can be called"),
        ({"credential": "nobody"}, "unknown_credential", "there is no credential 'nobody'"),
        ({"method": "GET / HTTP/1.1\r\nX: y"}, "request_failed", "failed"),
        ({"headers": {"x": "1\r\nEvil: 1"}}, "request_failed", "failed"),
    ],
    ids=["private", "file", "broken", "credential", "method", "header"],
)
async def test_what_cannot_be_asked_is_an_error_with_its_kind(params: dict[str, Any], code: str | None, says: str) -> None:
    async with ScriptedUpstream(json_answer({})) as upstream, asking_host(upstream.url) as host:
        error = (await ask(host, "host.http.request", **{"url": upstream.url, **params}))["error"]
    assert (error["code"], error["data"].get("code"), says in error["message"]) == (-32000, code, True)
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "url"),
        ({"url": 1}, "$.url"),
        ({"url": "http://x", "body_base64": "%"}, "body_base64"),
        ({"url": "http://x", "body_file": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"url": "http://x", "body_file": "/dev/zero"}, "/dev/zero"),
        ({"url": "http://x", "attempt": True}, "attempt"),
        ({"url": "http://x", "for": 12345}, "12345"),
        ({"url": "http://x", "for": True}, "$.for"),
        ({"url": "http://x", "timeouts": {"idle": "long"}}, "idle"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
async def test_params_that_are_none_are_told_by_their_names(params: dict[str, Any], says: str) -> None:
    async with asking_host() as host:
        error = (await ask(host, "host.http.request", **params))["error"]
    assert (error["code"], says in error["message"], "\n" in error["message"]) == (-32602, True, False)


async def test_limits_on_waiting_are_the_plugins() -> None:
    got, _ = await answered(hanging(b""), timeouts={"idle": 0.05})
    assert got["error"]["data"]["code"] == "idle_timeout"


# -------------------------------------------------------------------------------------- as the attempt's own


def forwarding(url: str, **section: Any) -> Any:
    """Return a host in which the plugin is a provider that passes on what its upstream answers."""
    return asking_host("", upstream=url, config={"credentials": [{"provider": "fwd", "key": "sk-of-the-test-1"}]}, **section)


async def test_a_provider_asks_its_upstream_with_a_key_that_it_never_sees() -> None:
    async with ScriptedUpstream(json_answer({**WHOLE, "model": "f"})) as upstream, forwarding(upstream.url) as host:
        answer = await host.post("/toy/v1/talk", talk("f"))
    assert (answer.status, answer.json["blocks"]) == (200, WHOLE["blocks"])
    assert upstream.requests[0].headers.get("authorization") == "Bearer sk-of-the-test-1"


async def test_a_provider_passes_a_stream_on_byte_for_byte() -> None:
    stream = stream_of([f"{n} ñ€🦊 " for n in range(300)])
    pieces = [stream[at : at + 37] for at in range(0, len(stream), 37)]
    async with ScriptedUpstream(sse_answer(pieces)) as upstream, forwarding(upstream.url) as host:
        answer = await host.post("/toy/v1/talk", talk("f", stream=True))
    assert answer.status == 200
    check_stream(answer.body)
    assert answer.body.count(b"event: words") == 300
    assert upstream.requests[0].headers.get("authorization") == "Bearer sk-of-the-test-1"


async def test_a_key_goes_to_its_providers_origins_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    upstream, other = ScriptedUpstream(json_answer(WHOLE)), ScriptedUpstream(json_answer(WHOLE))
    async with upstream, other, forwarding(upstream.url, asks=other.url) as host:
        answer = await host.post("/toy/v1/talk", talk("f"))
    assert answer.status == 503
    assert "a credential of 'fwd' may not be sent to" in caplog.text
    assert (upstream.requests, other.requests) == ([], [])


async def test_a_client_that_leaves_ends_the_upstreams_stream_behind_a_plugin() -> None:
    begun = stream_of(["a"])[:200]
    async with ScriptedUpstream(hanging(begun)) as upstream, forwarding(upstream.url) as host:
        async with host.open("POST", "/toy/v1/talk", talk("f", stream=True)) as response:
            await response.content.readany()
        await upstream.until(lambda: upstream.open == 0)


async def test_an_upstreams_stream_that_breaks_off_is_told_to_the_client() -> None:
    begun = stream_of(["a", "b"])[:300]
    async with ScriptedUpstream(sse_answer([begun], end=False)) as upstream, forwarding(upstream.url) as host:
        answer = await host.post("/toy/v1/talk", talk("f", stream=True))
    assert b"event: oops" in answer.body
    assert b"broke off" in answer.body
