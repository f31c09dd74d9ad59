"""Providers of plugins out of process, in the real host: answers, errors, cancellation, fail-over, as of any provider."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jackfield.api.testing import Harness, Received, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Wire
from jackfield.rpc import supervisor
from jackfield.rpc.bridge import Bridge
from jackfield.rpc.channel import Channel
from jackfield.rpc.wire import HookDeclared, Registration
from tests.kernel.pipeline_kit import PATIENCE

PEER = str(Path(__file__).parent / "peers" / "executor.py")
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
CHOICES = [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]
TERMINAL = {"chat": b"data: [DONE]\n\n", "messages": b'{"type":"message_stop"}\n\n', "responses": b'"type":"response.completed"'}


def host(settings: Mapping[str, Any] | None = None, **config: Any) -> Harness:
    plugins = {"p": {"command": [sys.executable, PEER], **(settings or {})}, **config.pop("plugins", {})}
    return Harness(config={"plugins": plugins, **config})


def body(dialect: str, model: str, stream: bool = False) -> Any:
    said = {"input": "hi"} if dialect == "responses" else {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
    return {"model": model, "stream": stream, **said}


def words(dialect: str, said: Any) -> str:
    if dialect == "chat":
        return said["choices"][0]["message"]["content"]
    return said["content"][0]["text"] if dialect == "messages" else said["output"][0]["content"][0]["text"]


# -------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("provider", ["peer", "chat"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_whole_answer_reaches_every_client(dialect: str, provider: str) -> None:
    async with host() as jackfield:
        for model in ("whole", "text"):
            answer = await jackfield.post(PATHS[dialect], body(dialect, f"{provider}/{model}"))
            assert answer.status == 200
            assert words(dialect, answer.json) == '"whole answer"'


@pytest.mark.parametrize("provider", ["peer", "chat"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_streamed_answer_reaches_every_client(dialect: str, provider: str) -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS[dialect], body(dialect, f"{provider}/stream", stream=True))
        assert answer.status == 200
        assert b"one " in answer.body
        assert b"two" in answer.body
        assert answer.body.count(TERMINAL[dialect]) == 1
        whole = await jackfield.post(PATHS[dialect], body(dialect, f"{provider}/whole", stream=True))
        assert b"whole answer" in whole.body  # the plugin answered whole although it was asked for a stream: it is played
        assert whole.body.count(TERMINAL[dialect]) == 1


async def test_bytes_of_a_stream_leave_as_they_came() -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS["chat"], body("chat", "raw", stream=True))
        assert answer.body.count(b"\r\n\r\n") == 3
        assert answer.body.endswith(b"data: [DONE]\r\n\r\n")


async def test_a_stream_that_lacks_its_terminal_event_is_given_one() -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS["chat"], body("chat", "chat/unended", stream=True))
        assert answer.body.endswith(TERMINAL["chat"])


@pytest.mark.parametrize(
    ("hooks", "stream", "told"), [(["executor.execute"], False, "whole answer"), (["executor.execute_stream"], True, "one two")]
)
@pytest.mark.parametrize("asked", [False, True], ids=["whole", "streamed"])
async def test_a_plugin_is_asked_for_what_it_answers(hooks: list[str], stream: bool, told: str, asked: bool) -> None:
    async with host({"methods": ["model.register", *hooks]}) as jackfield:
        for model in ("chat/stream", "peer/stream"):
            answer = await jackfield.post(PATHS["chat"], body("chat", model, stream=asked))
            assert answer.status == 200
            assert told.split(maxsplit=1)[0].encode() in answer.body
            assert answer.body.endswith(TERMINAL["chat"]) is asked


async def test_tokens_are_counted_by_the_plugin_where_it_counts_and_else_estimated() -> None:
    counting = body("messages", "peer/whole")
    async with host() as jackfield:
        for provider in ("peer", "chat"):
            counting["model"] = f"{provider}/whole"
            assert (await jackfield.post("/v1/messages/count_tokens", counting)).json == {"input_tokens": 42}
    async with host({"methods": ["model.register", "executor.execute"]}) as jackfield:
        assert 0 < (await jackfield.post("/v1/messages/count_tokens", counting)).json["input_tokens"] < 42


async def test_what_a_resource_is_about_goes_to_the_provider_that_minted_it() -> None:
    declared = {"key": "minting", "dialects": ["openai.responses"], "models": ["m"]}
    async with host({"providers": [declared]}) as jackfield:
        answer = await jackfield.get("/v1/responses/resp_1")
        assert (answer.status, answer.json) == (200, {"id": "resp_1", "object": "response", "method": "GET"})
    async with host({"providers": [declared], "methods": ["model.register", "executor.execute"]}) as jackfield:
        assert (await jackfield.get("/v1/responses/resp_1")).status == 400


# --------------------------------------------------------------------------------------------------- errors


def error_of(dialect: str, raw: bytes) -> str:
    said = json.loads(raw)
    return said["error"]["message"] if dialect != "messages" or said["type"] == "error" else ""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_errors_are_told_in_the_clients_dialect(dialect: str, stream: bool) -> None:
    async with host(attempts={"wait": 0}) as jackfield:
        for model, status, wait, says in (
            ("peer/typed", 429, "7", "come back later"),
            ("chat/told", 429, "30", "the provider answered 429 (quota)"),
            ("chat/limited", 429, "30", "the provider answered 429 (quota)"),
            ("peer/limited", 429, None, "the provider answered 429 (rate)"),
            ("peer/untyped", 503, None, "provider 'peer' failed"),
            ("peer/nonsense", 503, None, "provider 'peer' failed"),
            ("chat/garbage", 503, None, "provider 'chat' failed"),
            ("chat/no answer", 503, None, "provider 'chat' failed"),
        ):
            answer = await jackfield.post(PATHS[dialect], body(dialect, model, stream))
            assert (answer.status, answer.headers.get("retry-after"), error_of(dialect, answer.body)) == (status, wait, says), model


async def test_a_providers_own_status_is_kept_where_the_caller_is_at_fault() -> None:
    async with host() as jackfield:
        answer = await jackfield.post(PATHS["chat"], body("chat", "chat/caller"))
        assert (answer.status, answer.json["error"]["message"], answer.json["error"]["param"]) == (404, "no such voice", "voice")


ENDINGS = {
    "chat": lambda raw: raw.endswith(b"data: [DONE]\n\n") and b'data: {"error":' in raw,
    "messages": lambda raw: raw.split(b"\n\n")[-2].startswith(b"event: error\n"),
    "responses": lambda raw: raw.split(b"\n\n")[-2].startswith((b"event: error\n", b"event: response.failed\n")),
}


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("model", ["broken", "dies", "shouted", "flood"])
async def test_a_stream_that_fails_ends_with_the_dialects_error_event(dialect: str, model: str) -> None:
    for provider in ("peer", "chat"):
        async with host() as jackfield:
            answer = await asyncio.wait_for(jackfield.post(PATHS[dialect], body(dialect, f"{provider}/{model}", stream=True)), PATIENCE)
            assert answer.status == 200
            assert b"two" in answer.body
            assert ENDINGS[dialect](answer.body)
            assert {account.in_flight for account in jackfield.host.generation.accounts} == {0}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ["untyped", "nonsense", "garbage", "no answer"])
async def test_another_provider_takes_over(model: str, stream: bool) -> None:
    aliases = {"both": [f"chat/{model}", "sim/echo"]}
    async with host(models={"aliases": aliases}, attempts={"wait": 0}) as jackfield:
        for _ in range(2):  # round robin begins with either
            answer = await jackfield.post(PATHS["chat"], body("chat", "both", stream))
            assert (answer.status, b"hi" in answer.body) == (200, True)


@pytest.mark.parametrize("model", ["whole", "limited", "nonsense"])
async def test_a_plugin_that_does_not_stream_owes_no_end_of_a_stream(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = asyncio.Queue[str | None]()
    monkeypatch.setattr(supervisor, "TICK", 0.01)
    monkeypatch.setattr(supervisor, "ANSWER", 1e-6)  # whatever is owed is late
    monkeypatch.setattr(supervisor, "_unanswered", partial(_looking, supervisor._unanswered, looked))
    async with host(attempts={"wait": 0}) as jackfield:
        await jackfield.post(PATHS["chat"], body("chat", f"chat/{model}", stream=True))
        for _ in range(looked.qsize() + 1):
            assert await asyncio.wait_for(looked.get(), PATIENCE) is None


def _looking(look: Callable[[Channel, float], str | None], looked: asyncio.Queue[str | None], channel: Channel, now: float) -> str | None:
    looked.put_nowait(why := look(channel, now))
    return why


async def test_another_provider_takes_over_while_the_plugin_is_away() -> None:
    async with host(models={"aliases": {"both": ["chat/whole", "sim/echo"]}}, attempts={"wait": 0}) as jackfield:
        await jackfield.post(PATHS["chat"], body("chat", "chat/dies", stream=True))
        for _ in range(3):
            assert (await jackfield.post(PATHS["chat"], body("chat", "both"))).status == 200


async def test_another_credential_is_tried_and_the_one_at_fault_rests() -> None:
    keys = [{"provider": "chat", "key": f"key-{n}", "label": f"number {n}"} for n in range(3)]
    async with host({"keyed": True}, credentials=keys) as jackfield:
        answer = await jackfield.post(PATHS["chat"], body("chat", "chat/by key"))
        assert (answer.status, words("chat", answer.json)) == (200, '"key-2"')
        resting = {account.credential.label: account.why("by key") for account in jackfield.host.generation.accounts}
        assert [label for label, why in resting.items() if why.startswith("key refused")] == ["number 0", "number 1"]


@pytest.mark.parametrize(("model", "code"), [("hang", "first_byte_timeout"), ("still", "idle_timeout")])
async def test_a_plugin_that_says_nothing_is_cut_off(model: str, code: str) -> None:
    declared = {"key": "slow", "dialects": ["openai.chat"], "models": ["hang", "still"], "timeouts": {"first_byte": 0.3, "idle": 0.3}}
    async with host({"providers": [declared]}, timeouts={"client_body": "200ms"}, attempts={"wait": 0, "most": 1}) as jackfield:
        answer = await asyncio.wait_for(jackfield.post(PATHS["chat"], body("chat", model, stream=model == "still")), PATIENCE)
        assert answer.status == (200 if model == "still" else 502)
        assert code.encode() in answer.body
        await seen(jackfield, "slow", cancelled=1)


# --------------------------------------------------------------------------------------------- cancellation


async def seen(jackfield: Harness, provider: str = "chat", **many: int) -> Any:
    """Wait until the plugin has so many requests that are `running` or were `cancelled`; return what it tells of itself."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await jackfield.post(PATHS["chat"], body("chat", f"{provider}/seen"))
            told = json.loads(words("chat", answer.json))
            if all(len(told[what]) == number for what, number in many.items()):
                return told


@pytest.mark.parametrize(
    ("model", "stream"), [("hang", False), ("hang", True), ("still", True)], ids=["whole", "before the head", "in the middle"]
)
@pytest.mark.parametrize("dialect", ["chat", "messages"])
async def test_the_plugin_is_told_when_the_client_leaves(dialect: str, model: str, stream: bool) -> None:
    async with host() as jackfield:
        begun = asyncio.Event()

        async def call() -> None:
            async with jackfield.open("POST", PATHS[dialect], body(dialect, f"chat/{model}", stream)) as response:
                await response.content.readany()
                begun.set()
                await asyncio.Event().wait()

        calling = asyncio.create_task(call())
        if model == "still":
            await asyncio.wait_for(begun.wait(), PATIENCE)
        await seen(jackfield, running=1)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await seen(jackfield, running=0, cancelled=1)
        assert {account.in_flight for account in jackfield.host.generation.accounts} == {0}


async def test_calls_in_flight_are_answered_when_the_program_is_killed_and_the_next_ones_are_served() -> None:
    clients = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    async with host({"turns": 400}, attempts={"wait": 0}) as jackfield, clients:

        async def call(number: int) -> bool:
            dialect, stream = list(PATHS)[number % 3], number % 2 == 0
            asked = body(dialect, "chat/still" if stream else "chat/hang", stream)
            async with clients.post(jackfield.url + PATHS[dialect], json=asked) as response:
                raw = await response.read()
            return response.status == 200 and ENDINGS[dialect](raw) if stream else response.status == 503 and "error" in json.loads(raw)

        calls = [asyncio.create_task(call(number)) for number in range(200)]
        told = await seen(jackfield, running=200)
        os.kill(told["pid"], signal.SIGKILL)
        assert await asyncio.wait_for(asyncio.gather(*calls), PATIENCE) == [True] * 200
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while (await jackfield.post(PATHS["chat"], body("chat", "chat/whole"))).status != 200:
                await asyncio.sleep(0)
        assert time.monotonic() - began < 3  # less than one, and what a busy machine adds
        assert {account.in_flight for account in jackfield.host.generation.accounts} == {0}
        assert (await seen(jackfield, running=0))["pid"] != told["pid"]


async def test_a_stream_that_has_ended_is_not_cancelled() -> None:
    async with host() as jackfield:
        for _ in range(3):
            await jackfield.post(PATHS["chat"], body("chat", "chat/stream", stream=True))
        await seen(jackfield, running=0, cancelled=0)


async def test_open_streams_take_no_turn() -> None:
    asked = body("chat", "chat/still", stream=True)
    async with host({"turns": 1}) as jackfield, jackfield.open("POST", PATHS["chat"], asked) as response:
        await response.content.readany()
        answer = await asyncio.wait_for(jackfield.post(PATHS["chat"], body("chat", "chat/whole")), PATIENCE)
        assert answer.status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_router_may_have_its_own_provider_answer(stream: bool) -> None:
    """With no credential and no pool: whatever the model is called."""
    settings = {"methods": ["model.register", "model.route", "executor.execute", "executor.execute_stream"]}
    async with host({**settings, "providers": [{"key": "own", "dialects": ["openai.chat"]}]}) as jackfield:
        answer = await jackfield.post(PATHS["messages"], body("messages", "anything", stream))
        assert (answer.status, b"two" in answer.body if stream else words("messages", answer.json)) == (200, stream or '"whole answer"')


# ------------------------------------------------------------------------------------------- what they declare


async def test_a_key_goes_only_to_a_plugin_that_needs_it() -> None:
    credentials = [{"provider": "chat", "key": "sesame-8f2a"}]
    async with host({"keyed": True}, credentials=credentials) as jackfield:
        for stream, key in ((False, "sesame-8f2a"), (True, None)):
            answer = await jackfield.post(PATHS["chat"], body("chat", "chat/secret", stream))
            assert (b"sesame-8f2a" in answer.body) is (key is not None)


def test_a_plugin_that_nobody_names_is_told_no_secrets() -> None:
    said = Registration(schema_version=1, hooks={"executor.execute": HookDeclared(needs=["body", "secret"])})
    needs = [
        Bridge("p", said, lambda: Channel(print, print), lambda *_: None, granted).needs("executor.execute") for granted in (True, False)
    ]
    assert needs == [{"body", "secret"}, {"body"}]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"failures": [{"cause": "rate"}, {"cause": "no such"}]}, "provider 'bad': failures[1].cause: Invalid enum value 'no such'"),
        ({"failures": [{"cause": "rate", "match": "("}]}, "provider 'bad': failures[0]: match: '(' is no regular expression"),
        ({"models": [{"id": 3}]}, "provider 'bad': models[0].id: Expected `str`, got `int`"),
        ({"models": "some"}, "models"),
        ({"flavours": [{"no": 1}]}, "provider 'bad': flavours[0]: Object contains unknown field `no`"),
        ({"quota": {}}, "quota"),
        ({"execute": False}, "provider 'bad': it has neither a `base_url` nor `execute`"),
        ({"dialects": ["no.such"]}, "has its dialect no.such"),
    ],
    ids=lambda said: next(iter(said)) if isinstance(said, dict) else "",
)
async def test_what_is_wrong_with_a_provider_is_a_problem_of_one_line(declared: dict[str, Any], says: str) -> None:
    good = {"key": "good", "dialects": ["openai.chat"], "models": ["whole"]}
    async with host({"providers": [{"key": "bad", "models": ["m"], **declared}, good]}) as jackfield:
        [problem] = jackfield.host.problems
        assert says in problem
        assert "\n" not in problem
        if says != "models" and says != "quota":  # then it is no list at all, and the answer is none
            assert (await jackfield.post(PATHS["chat"], body("chat", "good/whole"))).status == 200


async def test_a_provider_that_is_data_is_served_by_the_host() -> None:
    async def answer(received: Received, wire: Wire) -> None:
        await json_answer({"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": CHOICES})(received, wire)

    async with ScriptedUpstream(answer) as upstream:
        declared = {
            "key": "shop",
            "dialects": ["openai.chat"],
            "base_url": f"{upstream.url}/v2",
            "models": ["m"],
            "auth": {"header": "x-key", "scheme": ""},
            "headers": {"x-shop": "yes"},
        }
        credentials = [{"provider": "shop", "key": "k"}]
        async with host({"providers": [declared], "methods": ["model.register"]}, credentials=credentials) as jackfield:
            assert jackfield.host.problems == []
            assert (await jackfield.post(PATHS["messages"], body("messages", "m"))).json["content"][0]["text"] == "hello"
        [request] = upstream.requests
        assert (request.target, request.headers["x-key"], request.headers["x-shop"]) == ("/v2/chat/completions", "k", "yes")


async def test_a_plugin_says_which_models_a_credential_may_call() -> None:
    declared = {"key": "chat", "dialects": ["openai.chat"], "models": "discover", "execute": True, "auth": {}}
    credentials = [{"provider": "chat", "key": f"key-{n}"} for n in (1, 2)]
    methods = ["model.register", "model.for_auth", "executor.execute"]
    settings = {"providers": [declared], "models": [["chat", "added"]], "methods": methods}
    async with host(settings, credentials=credentials) as jackfield:
        listed = await jackfield.get("/v1/models")
        assert {"key-1", "key-2", "shared", "added"} <= {model["id"] for model in listed.json["data"]}
        assert (await jackfield.post(PATHS["chat"], body("chat", "key-2"))).status == 200
