"""Who may call: keys in every place where clients send them, and what each of them may do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import pytest

from jackfield import ConfigError, Jackfield
from jackfield.api import Call, Principal
from jackfield.api.testing import Answer, Harness, ScriptedUpstream, json_answer
from tests.kernel.conftest import Toy, http_toy, talk

ANN, BOB, HIDDEN = "jf-key-of-ann-0123", "jf-key-of-bob-4567", "jf-key-that-is-hashed"
DIGEST = sha256(HIDDEN.encode()).hexdigest()
WRONG = "jf-key-of-nobody"
CHAT = {"model": "sim/echo", "messages": [{"role": "user", "content": "Hi"}]}


class Callers:
    """A plugin that notes who called, and all that plugins can see of a request's headers and query."""

    id = "callers"

    def __init__(self) -> None:
        self.seen: list[Principal] = []
        self.shown = ""

    def intercept_request(self, call: Call) -> None:
        self.seen.append(call.principal)
        self.shown += f"{list(call.headers)} {list(call.query)}"


def house(keys: Sequence[Any], *plugins: object, **section: Any) -> Harness:
    config = {"plugins": {"api_keys": {"keys": list(keys), **section}}}
    return Harness([Toy(), *plugins], config)


async def chat(host: Harness, headers: Mapping[str, str], model: str = "sim/echo") -> Answer:
    return await host.post("/v1/chat/completions", {**CHAT, "model": model}, headers)


PLACES = [
    {"Authorization": f"Bearer {ANN}"},
    {"authorization": f"bearer {ANN}"},
    {"AUTHORIZATION": f"BEARER   {ANN} "},
    {"x-api-key": ANN},
    {"X-Api-Key": f" {ANN} "},
    {"X-Goog-Api-Key": ANN},
    {"Authorization": "Basic YTpi", "x-api-key": ANN},
    {"Authorization": "Bearer ", "x-goog-api-key": ANN},
    {"Authorization": ANN, "x-api-key": ANN},
    {"x-api-key": "", "x-goog-api-key": ANN},
    {"Authorization": f"Bearer {ANN}", "x-api-key": WRONG},
]


@pytest.mark.parametrize("headers", PLACES, ids=str)
async def test_a_key_is_taken_where_clients_put_it(headers: dict[str, str]) -> None:
    callers = Callers()
    async with house([{"name": "ann", "key": ANN, "tags": ["a", "b"]}], callers) as host:
        assert (await chat(host, headers)).status == 200
        assert (callers.seen[0].name, callers.seen[0].tags) == ("ann", ("a", "b"))


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "missing"),
        ({"Authorization": ""}, "missing"),
        ({"Authorization": "Bearer"}, "missing"),
        ({"Authorization": "Bearer "}, "missing"),
        ({"Authorization": "Basic YTpi"}, "missing"),
        ({"x-api-key": ""}, "missing"),
        ({"Authorization": f"Bearer {WRONG}"}, "invalid"),
        ({"Authorization": f"Bearer {ANN}x"}, "invalid"),
        ({"Authorization": f"Bearer {ANN[:-1]}"}, "invalid"),
        ({"Authorization": f"Bearer {ANN.upper()}"}, "invalid"),
        ({"Authorization": f"Bearer {DIGEST}"}, "invalid"),
        ({"Authorization": f"Bearer sha256:{DIGEST}"}, "invalid"),
        ({"x-api-key": WRONG}, "invalid"),
        ({"x-goog-api-key": WRONG}, "invalid"),
        ({"Authorization": f"Bearer {WRONG}", "x-api-key": ANN}, "invalid"),
        ({"x-api-key": "\u00e9\u4e16"}, "invalid"),
    ],
    ids=str,
)
async def test_missing_and_wrong_keys_are_told_apart(headers: dict[str, str], says: str) -> None:
    async with house([{"name": "ann", "key": ANN}, {"name": "hidden", "hash": DIGEST}]) as host:
        answer = await chat(host, headers)
        assert answer.status == 401
        assert says in answer.json["error"]["message"]
        assert answer.json["error"]["code"] == f"{says}_api_key"
        assert WRONG not in answer.body.decode()


async def test_bytes_that_are_no_text_are_a_wrong_key_however_often_they_come() -> None:
    async with house([{"name": "ann", "key": ANN}]) as host:
        for _ in range(8):  # more than it takes to pass over a plugin that fails
            assert b" 401 " in await _raw(host, b"Authorization: Bearer \xff\xfe\r\n")
        assert (await chat(host, PLACES[0])).status == 200


async def _raw(host: Harness, header: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", host.host.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + header + b"\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_of_two_headers_of_one_name_the_first_counts() -> None:
    async with house([{"name": "ann", "key": ANN}]) as host:
        right, wrong = f"Authorization: Bearer {ANN}\r\n".encode(), f"Authorization: Bearer {WRONG}\r\n".encode()
        assert b" 200 " in await _raw(host, right + wrong)
        assert b" 401 " in await _raw(host, wrong + right)


@pytest.mark.parametrize("way", ["hash", "marked hash", "upper hash", "env", "text"])
async def test_a_key_may_be_given_in_several_ways(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_ANN", f"  {HIDDEN}\n")
    given: dict[str, Any] = {
        "hash": {"name": "ann", "hash": DIGEST},
        "marked hash": {"name": "ann", "hash": f"sha256:{DIGEST}"},
        "upper hash": {"name": "ann", "hash": DIGEST.upper()},
        "env": {"name": "ann", "env": "KEY_OF_ANN"},
        "text": HIDDEN,
    }
    callers = Callers()
    async with house([given[way]], callers) as host:
        assert (await chat(host, {"x-api-key": HIDDEN})).status == 200
        assert (await chat(host, {"x-api-key": WRONG})).status == 401
        assert [one.name for one in callers.seen] == ["key-1" if way == "text" else "ann"]


async def test_a_key_in_the_query_is_taken_where_the_dialect_has_one() -> None:
    callers = Callers()
    async with house([{"name": "ann", "key": ANN}], callers) as host:
        assert (await host.post(f"/toy/v1/talk?key={ANN}", talk())).status == 200
        assert (await host.post("/toy/v1/talk?key=", talk())).status == 401
        assert (await host.post(f"/toy/v1/talk?key={WRONG}", talk())).status == 401
        assert (await host.post(f"/toy/v1/talk?key={WRONG}", talk(), {"x-api-key": ANN})).status == 200
        assert (await host.post(f"/v1/chat/completions?key={ANN}", CHAT)).status == 401
        assert ANN not in callers.shown


@pytest.mark.parametrize(
    ("allow", "path", "body", "status"),
    [
        ({"models": ["sim/*"]}, "/v1/chat/completions", CHAT, 200),
        ({"models": ["sim/*"]}, "/v1/chat/completions", {**CHAT, "model": "sim://echo"}, 403),
        ({"models": ["sim://*"]}, "/v1/chat/completions", {**CHAT, "model": "sim://echo"}, 200),
        ({"models": ["*/echo"]}, "/v1/chat/completions", CHAT, 200),
        ({"models": ["echo"]}, "/v1/chat/completions", CHAT, 403),
        ({"models": ["SIM/*"]}, "/v1/chat/completions", CHAT, 403),
        ({"models": []}, "/v1/chat/completions", CHAT, 403),
        ({"models": ["sim/*"]}, "/toy/v1/talk", talk(), 403),
        ({"models": ["alias"]}, "/v1/chat/completions", {**CHAT, "model": "alias"}, 200),
        ({"models": ["sim/echo"]}, "/v1/chat/completions", {**CHAT, "model": "alias"}, 403),
        ({"dialects": ["toy.*"]}, "/toy/v1/talk", talk(), 200),
        ({"dialects": ["toy.*"]}, "/v1/chat/completions", CHAT, 403),
        ({"operations": ["embed"]}, "/v1/chat/completions", CHAT, 403),
        ({"operations": ["embed"]}, "/v1/embeddings", {"model": "sim/embed", "input": "x"}, 200),
        ({"operations": ["generate"]}, "/v1/models", None, 403),
        ({"models": ["m"], "operations": ["generate", "model*"]}, "/v1/models", None, 200),
        ({}, "/v1/chat/completions", CHAT, 200),
    ],
    ids=str,
)
async def test_a_key_may_do_what_it_is_allowed(allow: dict[str, Any], path: str, body: Any, status: int) -> None:
    config = {
        "plugins": {"api_keys": {"keys": [{"name": "ann", "key": ANN, "allow": allow}]}},
        "models": {"aliases": {"alias": "sim/echo"}},
    }
    async with Harness([Toy()], config) as host:
        answer = await host.request("POST" if body else "GET", path, body, {"x-api-key": ANN})
        assert answer.status == status
        if status == 403 and path.startswith("/v1"):
            assert answer.json["error"]["code"] == "not_allowed"
            assert "'ann'" in answer.json["error"]["message"]


async def test_nobody_sees_models_that_are_not_allowed() -> None:
    async with house([{"name": "ann", "key": ANN, "allow": {"models": ["m", "sim/t*"]}}, {"name": "bob", "key": BOB}]) as host:
        names = {key: [model["id"] for model in (await host.get("/v1/models", {"x-api-key": key})).json["data"]] for key in (ANN, BOB)}
        assert set(names[ANN]) < set(names[BOB])
        assert all(name == "m" or name.startswith("sim/t") for name in names[ANN])
        refused = await chat(host, {"x-api-key": ANN}, "no-such-model")
        assert refused.status == 403  # not 404: what there is is not told
        assert (await host.get("/v1/models/sim/echo", {"x-api-key": ANN})).status == 404


async def test_a_key_goes_neither_upstream_nor_to_plugins_nor_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    callers = Callers()
    async with ScriptedUpstream(json_answer({"id": "c", "object": "chat.completion", "model": "m", "choices": []})) as upstream:
        config = {
            "plugins": {
                "api_keys": {"keys": [{"name": "ann", "key": ANN}]},
                "openai": {"providers": {"acme": {"base_url": f"{upstream.url}/v1", "models": ["m9"]}}},
            },
            "headers": {"request": {"allow": ["*"]}},
            "attempts": {"wait": 0},
        }
        async with Harness([Toy(http_toy(upstream.url)), callers], config) as host:
            for headers in PLACES[:6]:
                assert (await chat(host, headers, "m9")).status == 200
                assert (await chat(host, {name: value.replace(ANN, WRONG) for name, value in headers.items()})).status == 401
            assert (await host.post(f"/toy/v1/talk?key={ANN}&beta=1", talk())).status == 502  # no answer in its dialect
        assert len(upstream.requests) == 7
        gone = "".join(f"{one.target} {list(one.headers)} {one.body!r}" for one in upstream.requests)
        assert ANN not in gone
        assert ANN not in callers.shown
        assert "x-goog-api-key" not in gone.lower()
        assert ANN not in caplog.text
        assert WRONG not in caplog.text


# ----------------------------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("changeme", "placeholder"),
        ("your-api-key", "placeholder"),
        ("sk-...", "placeholder"),
        ("", "empty"),
        ("   ", "empty"),
        ({"name": "ann", "key": ""}, "empty"),
        ({"name": "ann", "key": "<your key>"}, "placeholder"),
        ({"name": "ann", "env": "KEY_THAT_IS_NOT_SET"}, "$KEY_THAT_IS_NOT_SET is not set"),
        ({"name": "ann", "env": "KEY_THAT_IS_A_PLACEHOLDER"}, "placeholder"),
    ],
    ids=str,
)
async def test_a_key_that_cannot_be_used_is_a_problem_and_closes_the_door(given: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_THAT_IS_A_PLACEHOLDER", "changeme")
    async with house([given]) as host:
        (problem,) = host.host.problems
        assert says in problem
        assert "plugins.api_keys" in problem
        for key in ("", "changeme", "your-api-key", "sk-...", "<your key>"):
            assert (await chat(host, {"x-api-key": key})).status == 401


async def test_a_key_that_stands_twice_belongs_to_the_first() -> None:
    callers = Callers()
    async with house([{"name": "ann", "key": HIDDEN}, {"name": "bob", "hash": DIGEST}, {"name": "eve", "key": BOB}], callers) as host:
        (problem,) = host.host.problems
        assert "keys[1]" in problem
        assert "'ann'" in problem
        assert HIDDEN not in problem
        assert (await chat(host, {"x-api-key": HIDDEN})).status == 200
        assert (await chat(host, {"x-api-key": BOB})).status == 200
        assert [one.name for one in callers.seen] == ["ann", "eve"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "ann"}, "exactly one of"),
        ({"name": "ann", "key": ANN, "hash": DIGEST}, "exactly one of"),
        ({"name": "ann", "hash": "5e88"}, "SHA-256"),
        ({"name": "ann", "hash": f"md5:{DIGEST}"}, "SHA-256"),
        ({"name": "", "key": ANN}, "name"),
        ({"key": ANN}, "name: missing"),
        ({"name": "ann", "key": ANN, "allowed": {}}, "did you mean 'allow'"),
        ({"name": "ann", "key": ANN, "allow": {"model": ["m"]}}, "did you mean 'models'"),
        ({"name": "ann", "key": ANN, "allow": {"models": "m"}}, "expected a list"),
        ({"name": "ann", "key": 1234567890123}, "expected a text"),
    ],
    ids=str,
)
async def test_what_cannot_be_read_keeps_the_host_from_starting(given: Any, says: str) -> None:
    host = Jackfield({"plugins": {"api_keys": {"keys": [given]}}}, overrides={"server": {"port": 0}})
    with pytest.raises(Exception, match="keys\\[0\\]") as caught:
        await host.start()
    assert says in str(caught.value)
    assert ANN not in str(caught.value)
    assert not isinstance(caught.value, ConfigError | AssertionError)


async def test_without_keys_nobody_is_asked() -> None:
    async with house([]) as host:
        assert (await chat(host, {})).status == 200
        assert (await chat(host, {"x-api-key": WRONG})).status == 200


async def test_a_generated_key_is_told_once_and_opens_the_door(caplog: pytest.LogCaptureFixture) -> None:
    async with house([], generate=True) as host:
        (line,) = [record.getMessage() for record in caplog.records if "API key" in record.getMessage()]
        key = line.split()[-1]
        assert len(key) > 32
        assert (await chat(host, {"x-api-key": key})).status == 200
        assert (await chat(host, {})).status == 401


async def test_no_key_is_generated_beside_configured_ones(caplog: pytest.LogCaptureFixture) -> None:
    async with house([ANN], generate=True) as host:
        assert not [record for record in caplog.records if "made an API key" in record.getMessage()]
        assert (await chat(host, {"x-api-key": ANN})).status == 200


@pytest.mark.parametrize("beside", ["Basic YTpi", "Bearer ", ANN, f"Basic {ANN}", f"Token {ANN}"])
async def test_what_stood_beside_an_accepted_key_opens_no_door_by_itself(beside: str) -> None:
    async with house([ANN]) as host:
        for _ in range(2):
            assert (await chat(host, {"Authorization": beside, "x-api-key": ANN})).status == 200
            assert (await chat(host, {"Authorization": beside})).status == 401


async def test_a_key_opens_the_door_again_and_again_and_a_wrong_one_never() -> None:
    async with house([ANN]) as host:
        for _ in range(3):
            assert (await chat(host, {"Authorization": f"Bearer {ANN}"})).status == 200
            assert (await chat(host, {"Authorization": f"Bearer {WRONG}"})).status == 401
