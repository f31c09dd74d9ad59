"""Who is let in: local programs alone while there are no keys, and whoever has a key where there are some."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api import Call
from jackfield.api.testing import json_answer
from jackfield.host import RefusedToStart
from tests.e2e.conftest import MakeHouse
from tests.e2e.server.conftest import Serve
from tests.e2e.server.raw import ANSWER, CHAT, exchange, get, head, request

KEY = "jf-0123456789abcdef"
WITH_KEYS: dict[str, Any] = {"plugins": {"api_keys": {"keys": [{"name": "alice", "key": KEY}]}}}

ROUTES = {
    "a call": ("POST", CHAT, 200),
    "embeddings": ("POST", "/v1/embeddings", 200),
    "the list of models": ("GET", "/v1/models", 200),
    "a model": ("GET", "/v1/models/m", 200),
    "a common wrong path": ("POST", "/chat/completions", 200),
    "an unknown path": ("GET", "/nowhere", 404),
    "a wrong method": ("GET", CHAT, 405),
    "healthz": ("GET", "/healthz", 200),
    "readyz": ("GET", "/readyz", 200),
}

STRANGERS: dict[str, dict[str, str]] = {
    "a forged Host": {"Host": "evil.example"},
    "a name that begins like this machine's": {"Host": "localhost.evil.example"},
    "a name that resolves to this machine": {"Host": "127.0.0.1.nip.example:8317"},
    "the unspecified address": {"Host": "0.0.0.0:8317"},
    "an address of the network": {"Host": "192.168.1.2"},
    "an empty Host": {"Host": ""},
    "an Origin": {"Origin": "https://evil.example"},
    "a local Origin": {"Origin": "http://localhost:3000"},
    "the Origin null": {"Origin": "null"},
    "X-Forwarded-For": {"X-Forwarded-For": "203.0.113.9"},
    "X-Forwarded-For of this machine": {"X-Forwarded-For": "127.0.0.1"},
    "X-Forwarded-Host": {"X-Forwarded-Host": "proxy.example"},
    "X-Forwarded-Proto": {"X-Forwarded-Proto": "https"},
    "Forwarded": {"Forwarded": "for=203.0.113.9"},
    "Via": {"Via": "1.1 proxy"},
    "X-Real-IP": {"X-Real-IP": "203.0.113.9"},
}

FRIENDS: dict[str, dict[str, str]] = {
    "127.0.0.1": {"Host": "127.0.0.1:8317"},
    "another loopback address": {"Host": "127.0.0.9"},
    "localhost in capitals": {"Host": "LOCALHOST:1"},
    "a name below localhost": {"Host": "api.localhost:8317"},
    "IPv6": {"Host": "[::1]:8317"},
    "IPv4 in IPv6": {"Host": "[::ffff:127.0.0.1]"},
}


def _sent(method: str, target: str, headers: dict[str, str]) -> bytes:
    return request(target=target, headers=headers) if method == "POST" else get(target, headers)


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
async def test_without_keys_strangers_are_refused_everywhere(house: MakeHouse, headers: dict[str, str]) -> None:
    async with house(json_answer(ANSWER)) as h:
        for method, target, _ in ROUTES.values():
            told = await exchange(h.host.url, _sent(method, target, headers))
            assert (told.status, target) == (403, target)
            assert told.error.get("code", "forbidden") in ("forbidden", 403), "dialects have codes of their own, or none"
            assert "set up keys (plugins.api_keys.keys)" in told.error["message"]
        assert not h.upstream.requests


@pytest.mark.parametrize("headers", FRIENDS.values(), ids=FRIENDS)
async def test_without_keys_local_programs_are_served(house: MakeHouse, headers: dict[str, str]) -> None:
    async with house(json_answer(ANSWER)) as h:
        for method, target, status in ROUTES.values():
            assert (target, (await exchange(h.host.url, _sent(method, target, headers))).status) == (target, status)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json", "text/json"]
)
async def test_without_keys_a_body_must_be_sent_as_json(house: MakeHouse, kind: str) -> None:
    async with house(json_answer(ANSWER)) as h:
        told = await exchange(h.host.url, request(headers={"Content-Type": kind}))
        assert (told.status, told.error["code"]) == (415, "unsupported_media_type")
        assert "application/json" in told.error["message"]
        assert not h.upstream.requests


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"])
async def test_without_keys_json_by_any_name_is_taken(house: MakeHouse, kind: str) -> None:
    async with house(json_answer(ANSWER)) as h:
        assert (await exchange(h.host.url, request(headers={"Content-Type": kind}))).status == 200


@pytest.mark.parametrize("headers", [*STRANGERS.values(), {"Content-Type": "text/plain"}], ids=[*STRANGERS, "text/plain"])
async def test_with_keys_the_key_alone_decides(house: MakeHouse, headers: dict[str, str]) -> None:
    async with house(json_answer(ANSWER), config=WITH_KEYS) as h:
        assert (await exchange(h.host.url, request(headers={**headers, "Authorization": f"Bearer {KEY}"}))).status == 200
        assert (await exchange(h.host.url, request(headers=headers))).status == 401
        assert (await exchange(h.host.url, request(headers={**headers, "Authorization": "Bearer jf-another"}))).status == 401
        assert (await exchange(h.host.url, get("/healthz", headers))).status == 200
        assert len(h.upstream.requests) == 1


async def test_with_keys_lists_need_one_too(house: MakeHouse) -> None:
    async with house(config=WITH_KEYS) as h:
        for target in ("/v1/models", "/v1/models/m"):
            assert (await exchange(h.host.url, get(target))).error["code"] == "missing_api_key"
            assert (await exchange(h.host.url, get(target, {"Authorization": f"Bearer {KEY}"}))).status == 200


async def test_missing_and_wrong_keys_are_told_apart(house: MakeHouse) -> None:
    async with house(config=WITH_KEYS) as h:
        missing = await exchange(h.host.url, request())
        wrong = await exchange(h.host.url, request(headers={"Authorization": "Bearer jf-another"}))
        assert [told.status for told in (missing, wrong)] == [401, 401]
        assert [told.error["code"] for told in (missing, wrong)] == ["missing_api_key", "invalid_api_key"]
        assert "jf-another" not in wrong.body.decode()


async def test_a_broken_door_is_no_wrong_key(house: MakeHouse) -> None:
    class Door:
        id = "door"

        def authenticate(self, call: Call) -> None:
            raise RuntimeError("the directory is down")

    async with house(plugins=[Door()], config={"plugins": {"door": {}}}) as h:
        told = await exchange(h.host.url, request(headers={"Authorization": "Bearer x"}))
        assert (told.status, told.error["code"]) == (503, "access_unavailable")
        assert "'door'" in told.error["message"]
        assert "directory" not in told.body.decode()


async def test_a_key_is_asked_for_before_the_body_is_read(house: MakeHouse) -> None:
    async with house(config=WITH_KEYS) as h:
        told = await exchange(h.host.url, head(headers={"Content-Length": "1000000", "Expect": "100-continue"}))
        assert told.status == 401


# ------------------------------------------------------------------------------------------------- starting


@pytest.mark.parametrize("address", ["0.0.0.0", "::", ""])
async def test_an_open_address_without_keys_is_refused_at_start(address: str) -> None:
    with pytest.raises(RefusedToStart) as refused:
        await Jackfield({"server": {"host": address, "port": 0}}).start()
    assert "plugins.api_keys.keys" in str(refused.value)
    assert "JACKFIELD_GENERATE_KEY=1" in str(refused.value)


@pytest.mark.parametrize("given", ["your-api-key", "changeme", "sk-xxxx", "<key>"])
async def test_a_placeholder_among_the_keys_opens_no_door(house: MakeHouse, given: str) -> None:
    async with house(config={"plugins": {"api_keys": {"keys": [given]}}}) as h:
        told = await exchange(h.host.url, request(headers={"Authorization": f"Bearer {given}"}))
        assert told.status == 401
        assert (await exchange(h.host.url, request())).status == 401
        assert any("placeholder" in problem for problem in h.host.host.problems)


async def test_serve_on_an_open_address_says_what_to_do(serve: Serve) -> None:
    async with serve({}, "--host", "0.0.0.0", ready=False) as process:
        assert await process.ended() == 1
        said = "".join(process.out)
        assert "JACKFIELD_GENERATE_KEY=1" in said
        assert "Traceback" not in said


async def test_a_generated_key_is_printed_once_and_opens_the_door(serve: Serve) -> None:
    async with serve({}, "--host", "0.0.0.0", environment={"JACKFIELD_GENERATE_KEY": "1"}) as process:
        lines = [line for line in process.out if "jf-" in line]
        assert len(lines) == 1
        key = "jf-" + lines[0].partition("jf-")[2].split()[0]
        url = process.url.replace("0.0.0.0", "127.0.0.1")
        asked = {"model": "sim/echo", "messages": [{"role": "user", "content": "Hi"}]}
        assert (await exchange(url, request(asked))).status == 401
        assert (await exchange(url, request(asked, headers={"Authorization": f"Bearer {key}"}))).status == 200
