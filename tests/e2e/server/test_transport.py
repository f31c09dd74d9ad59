"""What passes between client and upstream beside the body, where a credential goes, and how connections are used again."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import msgspec
import pytest

from jackfield.api import Call, CallError, Host, HttpRequest
from jackfield.api.testing import Received, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import ACME_KEY, House, MakeHouse
from tests.e2e.server.raw import ANSWER, CHAT, QUESTION, RawAnswer, exchange, request
from tests.e2e.server.streams import EVENTS, STREAM

KEY = "jf-0123456789abcdef"

# ---------------------------------------------------------------------------------------------- headers, up

KEPT_BACK: dict[str, str] = {
    "Cookie": "session=1",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "proxy.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "443",
    "Forwarded": "for=203.0.113.9",
    "Via": "1.1 proxy",
    "X-Real-IP": "203.0.113.9",
    "Origin": "https://page.example",
    "Referer": "https://page.example/chat",
    "X-Api-Key": KEY,
    "X-Goog-Api-Key": KEY,
    "Api-Key": KEY,
    "Proxy-Authorization": "Basic eDp5",
    "TE": "trailers",
    "Trailer": "X-Sum",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "keep-alive",
    "X-Stainless-Lang": "python",
    "X-Odd": "1",
    "Accept-Language": "en",
    "OpenAI-Organization": "org-of-the-client",
}
WITH_KEYS: dict[str, Any] = {"plugins": {"api_keys": {"keys": [{"name": "alice", "key": KEY}]}}}
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


async def test_an_upstream_sees_none_of_what_concerns_the_client_and_the_host_alone(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), config=WITH_KEYS) as h:
        headers = {**KEPT_BACK, **AUTHORIZED, "Connection": "X-Odd", "User-Agent": "client/1", "Accept": "text/html"}
        assert (await exchange(h.host.url, request(headers=headers))).status == 200
        seen = h.upstream.requests[0]
        assert not [name for name in KEPT_BACK if name in seen.headers]
        assert KEY not in str(list(seen.headers)) + seen.target
        assert seen.headers["authorization"] == f"Bearer {ACME_KEY}"
        assert seen.headers["host"] == h.upstream.url.removeprefix("http://")
        assert seen.headers["user-agent"].startswith("jackfield/")
        assert seen.headers["content-type"] == "application/json"


async def test_a_key_in_the_query_is_not_passed_on(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h:
        await exchange(h.host.url, request(target=f"{CHAT}?key={KEY}&api_key={KEY}&beta=true"))
        assert h.upstream.requests[0].target == CHAT


async def test_headers_of_the_protocol_are_passed_on(house: MakeHouse) -> None:
    said = {"OpenAI-Beta": "x=1", "Idempotency-Key": "i-1", "X-Client-Request-Id": "c-1"}
    async with house(json_answer(ANSWER)) as h:
        await exchange(h.host.url, request(headers=said))
        assert {name: h.upstream.requests[0].headers.get(name) for name in said} == said


POLICIES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "widened": ({"allow": ["X-Odd"]}, ["X-Odd", "OpenAI-Beta"], ["X-Other"]),
    "widened by a pattern": ({"allow": ["x-o*"]}, ["X-Odd", "X-Other", "OpenAI-Beta"], []),
    "widened to everything": ({"allow": ["*"]}, ["X-Odd", "X-Other", "OpenAI-Beta"], ["Cookie", "X-Forwarded-For", "X-Api-Key"]),
    "widened to what never passes": ({"allow": ["cookie", "authorization", "x-forwarded-for"]}, [], ["Cookie", "X-Forwarded-For"]),
    "narrowed": ({"deny": ["openai-beta"]}, [], ["OpenAI-Beta", "X-Odd"]),
    "narrowed by a pattern": ({"deny": ["OPENAI-*"]}, [], ["OpenAI-Beta"]),
    "narrowed where it was widened": ({"allow": ["x-*"], "deny": ["x-odd"]}, ["X-Other"], ["X-Odd"]),
}


@pytest.mark.parametrize(("rule", "passing", "kept"), POLICIES.values(), ids=POLICIES)
async def test_the_configuration_says_which_headers_pass(house: MakeHouse, rule: Any, passing: list[str], kept: list[str]) -> None:
    said = {"X-Odd": "1", "X-Other": "2", "OpenAI-Beta": "3", **WITH_COOKIE}
    async with house(json_answer(ANSWER), config={**WITH_KEYS, "headers": {"request": rule}}) as h:
        assert (await exchange(h.host.url, request(headers={**said, **AUTHORIZED}))).status == 200
        seen = h.upstream.requests[0].headers
        assert [name for name in passing if name not in seen] == []
        assert [name for name in kept if name in seen] == []
        assert seen.all("authorization") == (f"Bearer {ACME_KEY}",)


WITH_COOKIE = {"Cookie": "a=b", "X-Forwarded-For": "203.0.113.9", "X-Api-Key": KEY}

# -------------------------------------------------------------------------------------------- headers, down

FROM_UPSTREAM = {
    "X-Request-Id": "r-1", "OpenAI-Processing-Ms": "12", "X-RateLimit-Remaining-Requests": "9", "Set-Cookie": "a=b", "Server": "nginx",
    "Via": "1.1 cdn", "X-Odd": "1", "Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "*", "Alt-Svc": "h3",
    "Keep-Alive": "timeout=5", "OpenAI-Organization": "org-of-the-operator", "Cf-Ray": "1", "WWW-Authenticate": "Bearer",
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("rule", "passing"),
    [
        ({}, {"X-Request-Id", "OpenAI-Processing-Ms", "X-RateLimit-Remaining-Requests"}),
        ({"allow": ["x-odd"]}, {"X-Request-Id", "OpenAI-Processing-Ms", "X-RateLimit-Remaining-Requests", "X-Odd"}),
        ({"deny": ["x-ratelimit-*", "openai-*"]}, {"X-Request-Id"}),
        ({"allow": ["set-cookie", "keep-alive"], "deny": ["*"]}, set()),
    ],
)
async def test_a_client_sees_the_headers_that_the_policy_lets_through(
    house: MakeHouse, rule: dict[str, Any], passing: set[str], stream: bool
) -> None:
    script = sse_answer(EVENTS, headers=FROM_UPSTREAM) if stream else json_answer(ANSWER, headers=FROM_UPSTREAM)
    async with house(script, config={"headers": {"response": rule}}) as h:
        told = await _ask(h, stream)
        assert {name for name in FROM_UPSTREAM if told.headers.get(name) == FROM_UPSTREAM[name]} == passing
        assert told.headers["server"] == "jackfield"
        own = {name.lower() for name, _ in told.headers} - {name.lower() for name in passing}
        assert own <= {"server", "content-type", "content-length", "date", "transfer-encoding", "cache-control", "x-accel-buffering"}


async def _ask(h: House, stream: bool = False) -> RawAnswer:
    return await exchange(h.host.url, request({**QUESTION, "stream": stream}))


async def test_headers_with_bytes_beyond_ascii_break_nothing(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER, headers={"X-Request-Id": "r-\u00e9"}), config={"headers": {"request": {"allow": ["x-odd"]}}}) as h:
        assert (await exchange(h.host.url, request(headers={"X-Odd": "caf\u00e9"}))).status == 200
        assert (await _ask(h)).headers["x-request-id"]


# ---------------------------------------------------------------------------------------------- where it goes


async def test_a_credential_goes_to_its_own_server_alone(house: MakeHouse) -> None:
    async with ScriptedUpstream(json_answer(ANSWER)) as other:
        config = {
            "plugins": {
                "openai": {
                    "providers": {
                        "one": {"base_url": "http://127.0.0.1:1/v1", "models": ["x"]},
                        "two": {"base_url": f"{other.url}/v1", "models": ["y"], "auth": "none"},
                    }
                }
            },
            "credentials": [{"provider": "one", "key": "sk-of-one-0123456789"}],
        }
        async with house(config=config) as h:
            assert (await exchange(h.host.url, request({**QUESTION, "model": "y"}))).status == 200
            assert "sk-of-one" not in str(list(other.requests[0].headers))
            assert "authorization" not in other.requests[0].headers


async def test_a_redirect_does_not_take_the_credential_along(house: MakeHouse) -> None:
    async with ScriptedUpstream(json_answer(ANSWER)) as other:
        away = json_answer({}, status=307, headers={"Location": f"{other.url}/v1/chat/completions"})
        async with house(away) as h:
            assert (await _ask(h)).status == 502
            assert not other.requests


class Empty(msgspec.Struct):
    """No settings."""


class Fetching:
    """A plugin that asks what it likes, as far as the host lets it."""

    id = "fetching"

    def __init__(self, config: Empty, host: Host) -> None:
        Fetching.http = host.http


async def _fetch(h: House, url: str) -> int:
    response = await Fetching.http.request(HttpRequest(method="GET", url=url))
    await response.aclose()
    return int(response.status)


PRIVATE = ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[fd00::1]"]


@pytest.mark.parametrize("name", PRIVATE)
async def test_a_private_address_needs_the_configurations_word(house: MakeHouse, name: str) -> None:
    async with ScriptedUpstream(json_answer(ANSWER)) as other, house(plugins=[Fetching]) as h:
        with pytest.raises(CallError) as refused:
            await _fetch(h, f"http://{name}:{other.url.rpartition(':')[2]}/secret")
        assert "private address; name it in the configuration" in refused.value.failure.message
        assert not other.connections


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f.1"])
async def test_an_address_in_disguise_is_not_asked(house: MakeHouse, name: str) -> None:
    async with ScriptedUpstream(json_answer(ANSWER)) as other, house(plugins=[Fetching]) as h:
        with pytest.raises(CallError):
            await _fetch(h, f"http://{name}:{other.url.rpartition(':')[2]}/secret")
        assert not other.connections


@pytest.mark.parametrize("url", ["ftp://example.com/x", "file:///etc/passwd", "//example.com", "example.com", "http://", "http://a:b:c/"])
async def test_what_is_no_url_of_http_is_not_called(house: MakeHouse, url: str) -> None:
    async with house(plugins=[Fetching]) as h:
        with pytest.raises(CallError) as refused:
            await _fetch(h, url)
        assert "not a URL that can be called" in refused.value.failure.message


async def test_a_private_address_that_the_configuration_names_is_asked(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), plugins=[Fetching]) as h:
        assert (await _ask(h)).status == 200
        assert await _fetch(h, f"{h.upstream.url}/other") == 200


BASES: dict[str, tuple[str, str]] = {
    "plain": ("/v1", "/v1/chat/completions"),
    "trailing slash": ("/v1/", "/v1/chat/completions"),
    "no path": ("", "/chat/completions"),
    "a long path": ("/api/coding/paas/v4", "/api/coding/paas/v4/chat/completions"),
    "a query": ("/v1?api-version=2024-10-21", "/v1/chat/completions?api-version=2024-10-21"),
    "escapes": ("/a%2Fb/v1", "/a%2Fb/v1/chat/completions"),
    "doubled": ("/v1/v1", "/v1/v1/chat/completions"),
}


@pytest.mark.parametrize(("path", "target"), BASES.values(), ids=BASES)
async def test_a_base_url_is_taken_literally(house: MakeHouse, path: str, target: str) -> None:
    async with house(json_answer(ANSWER), path=path) as h:
        assert (await _ask(h)).status == 200
        assert h.upstream.requests[0].target == target


async def test_paths_query_and_headers_of_a_server_can_be_set(house: MakeHouse) -> None:
    server = {"paths": {"generate": "/deployments/{model}/chat"}, "query": {"api-version": "1"}, "headers": {"X-Title": "jack"}}
    async with house(json_answer(ANSWER), server=server) as h:
        assert (await _ask(h)).status == 200
        assert h.upstream.requests[0].target == "/v1/deployments/m/chat?api-version=1"
        assert h.upstream.requests[0].headers["x-title"] == "jack"


# ----------------------------------------------------------------------------------------------- connections


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_connection_to_an_upstream_is_used_again(house: MakeHouse, stream: bool) -> None:
    async with house(sse_answer(EVENTS) if stream else json_answer(ANSWER)) as h:
        for _ in range(10):
            assert (await _ask(h, stream)).status == 200
        assert h.upstream.connections == 1


async def test_a_connection_is_used_again_after_an_error(house: MakeHouse) -> None:
    async with house(json_answer({"error": {"message": "no"}}, status=400), json_answer({}, status=500), json_answer(ANSWER)) as h:
        assert [(await _ask(h)).status for _ in range(3)] == [400, 502, 200]
        assert h.upstream.connections == 1


async def _answer_and_close(received: Received, wire: Wire) -> None:
    await json_answer(ANSWER)(received, wire)
    wire.abort()


async def test_a_connection_that_the_upstream_closed_while_idle_costs_no_call(house: MakeHouse) -> None:
    async with house(_answer_and_close) as h:
        for number in range(1, 30):
            assert (await _ask(h)).status == 200
            assert len(h.upstream.requests) == number


async def test_a_request_that_arrived_is_not_sent_twice(house: MakeHouse) -> None:
    async def close(received: Received, wire: Wire) -> None:
        wire.abort()

    async with house(close) as h:
        told = await _ask(h)
        assert (told.status, told.error["code"]) == (502, "no_answer")
        assert len(h.upstream.requests) == 1


async def test_a_request_that_arrived_over_a_used_connection_is_sent_at_most_once_more(house: MakeHouse) -> None:
    async def close(received: Received, wire: Wire) -> None:
        wire.abort()

    async with house(json_answer(ANSWER), close) as h:
        assert (await _ask(h)).status == 200
        assert (await _ask(h)).status == 502
        assert len(h.upstream.requests) <= 3


async def test_a_broken_stream_does_not_spoil_the_next_call(house: MakeHouse) -> None:
    async with house(sse_answer(EVENTS[:3], end=False), sse_answer(EVENTS)) as h:
        assert b'"error"' in (await _ask(h, stream=True)).body
        assert (await _ask(h, stream=True)).body == STREAM


async def test_many_calls_at_once_each_get_their_own_answer(house: MakeHouse) -> None:
    async def echo(received: Received, wire: Wire) -> None:
        said = received.json["messages"][0]["content"]
        await json_answer({**ANSWER, "id": said})(received, wire)

    async with house(echo) as h:

        async def ask(number: int) -> str:
            body = {"model": "m", "messages": [{"role": "user", "content": f"c-{number}"}]}
            return str((await exchange(h.host.url, request(body))).json["id"])

        assert await asyncio.gather(*map(ask, range(100))) == [f"c-{number}" for number in range(100)]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
async def test_the_environment_names_no_proxy(house: MakeHouse, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with house(json_answer(ANSWER)) as h:
        assert (await _ask(h)).status == 200


async def test_a_proxy_of_a_credential_is_used(house: MakeHouse) -> None:
    async with ScriptedUpstream(json_answer(ANSWER)) as proxy, house(credential={"proxy": proxy.url}) as h:
        assert (await _ask(h)).status == 200
        assert proxy.requests[0].target == f"{h.upstream.url}{CHAT}"
        assert not h.upstream.requests


async def test_a_proxy_that_is_not_there_is_named(house: MakeHouse) -> None:
    async with house(credential={"proxy": "http://127.0.0.1:1"}) as h:
        told = await _ask(h)
        assert (told.status, told.error["code"]) == (502, "proxy_failed")


async def test_pooled_connections_do_not_hold_the_calls_that_they_were_made_for(house: MakeHouse) -> None:
    together = asyncio.Barrier(20)

    async def answer(received: Received, wire: Wire) -> None:
        await together.wait()
        await json_answer(ANSWER)(received, wire)

    gc.collect()
    before = [thing for thing in gc.get_objects() if isinstance(thing, Call)]  # what other tests have left behind
    async with house(answer) as h:
        assert {told.status for told in await asyncio.gather(*(_ask(h) for _ in range(20)))} == {200}
        for _ in range(20):
            await h.outcome()
        assert h.upstream.open == 20
        gc.collect()
        assert sum(isinstance(thing, Call) for thing in gc.get_objects()) <= len(before) + 3  # the latest may still be known
