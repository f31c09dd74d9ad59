"""Headers of a credential: its own words, and those that it copies from the client, but never a key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from jackfield.api import Bearer, Change, Reply, Response
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer, sse_answer
from tests.kernel.conftest import WHOLE, ToyProvider, http_toy
from tests.kernel.pipeline_kit import Made, ask, toy_host
from tests.kernel.toy import stream_of

KEY = "sk-acme-0123456789"
OWN = {"X-Plan": "gold", "X-Team": "$X-Client-Team"}


def house(url: str, *plugins: object, headers: Mapping[str, str] = OWN, discover: bool = False, **credential: Any) -> Harness:
    """Return a host with one credential, which has headers."""
    given = [{"provider": "toy", "key": KEY, "headers": dict(headers), **credential}]
    provider = http_toy(url, auth=Bearer(), models="discover" if discover else ("m",))
    return toy_host(*plugins, provider=[provider], config={"credentials": given})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_clients_header_is_copied_under_another_name(stream: bool) -> None:
    script = sse_answer([stream_of(["Hello"])]) if stream else json_answer(WHOLE)
    async with ScriptedUpstream(script) as upstream, house(upstream.url) as host:
        assert host.host.problems == []
        for team in ("one", "two", None):
            headers = {"x-client-team": team} if team is not None else {}
            assert (await ask(host, headers=headers, stream=stream)).status == 200
        sent = [said.headers for said in upstream.requests]
        assert [said.get("x-team") for said in sent] == ["one", "two", None]
        assert {said.get("x-plan") for said in sent} == {"gold"}
        assert {said.all("authorization") for said in sent} == {(f"Bearer {KEY}",)}
        assert not [said for said in sent if "x-client-team" in said]


async def test_it_is_copied_where_the_request_is_translated_too() -> None:
    class Foreign(ToyProvider):
        dialects = ("canonical",)
        auth = Bearer()

    provider = Foreign(lambda attempt: Reply(response=Response(model="m")))
    config = {"credentials": [{"provider": "toy", "key": KEY, "headers": OWN}]}
    async with toy_host(provider=[provider], config=config) as host:
        await ask(host, headers={"X-Client-Team": "one"})
    assert list(provider.attempts[0].headers) == [("X-Team", "one")]


async def test_each_credential_has_its_own() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream:
        given = [{"provider": "toy", "key": f"{KEY}{n}", "headers": {f"X-Team-{n}": "$X-Client-Team"}} for n in range(2)]
        async with toy_host(provider=[http_toy(upstream.url, auth=Bearer())], config={"credentials": given}) as host:
            for _ in range(4):
                await ask(host, headers={"X-Client-Team": "one"})
        for said in upstream.requests:
            number = said.headers["authorization"][-1]
            assert [name for name, _ in said.headers if name.lower().startswith("x-team")] == [f"X-Team-{number}"]


async def test_hooks_see_what_was_copied_and_may_say_otherwise() -> None:
    changed = Made("changed", intercept_attempt=lambda attempt: Change(headers={"X-Team": f"not {attempt.headers['x-team']}"}))
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, house(upstream.url, changed) as host:
        await ask(host, headers={"X-Client-Team": "one"})
        assert upstream.requests[0].headers.all("x-team") == ("not one",)


async def test_requests_without_a_client_leave_it_out() -> None:
    async with ScriptedUpstream(json_answer({"models": ["m"]})) as upstream, house(upstream.url, discover=True) as host:
        await host.get("/toy/v1/models", {"X-Client-Team": "one"})
        sent = upstream.requests[0].headers
        assert (sent.get("x-plan"), sent.get("x-team")) == ("gold", None)


SENSITIVE = ["Authorization", "cookie", "X-API-Key", "Toy-Key", "Proxy-Authorization", "X-Forwarded-For", "Host"]


@pytest.mark.parametrize("name", SENSITIVE)
@pytest.mark.parametrize("way", ["from the client", "to the provider"])
async def test_what_holds_keys_is_never_copied_and_is_a_problem(name: str, way: str) -> None:
    headers = {"X-Team": f"${name}"} if way == "from the client" else {name: "$X-Client-Team"}
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, house(upstream.url, headers=headers) as host:
        [problem] = host.host.problems
        [(theirs, copied)] = headers.items()
        assert problem.startswith(f"config: credentials[0]: headers.{theirs}: {copied} is not copied: keys, cookies")
        said = {"Authorization": "Bearer client-secret", "Cookie": "client-secret", "Toy-Key": "client-secret", "X-Client-Team": "one"}
        assert (await ask(host, headers=said)).status == 200
        sent = upstream.requests[0].headers
        assert "x-team" not in sent
        assert "client-secret" not in str([value for _, value in sent])
        assert sent.all("authorization") == (f"Bearer {KEY}",)


async def test_one_connection_is_used_whatever_is_copied() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, house(upstream.url) as host:
        await asyncio.gather(*(ask(host, headers={"X-Client-Team": str(n)}) for n in range(3)))
        before = upstream.connections
        await ask(host, headers={"X-Client-Team": "one"})
        assert upstream.connections == before
