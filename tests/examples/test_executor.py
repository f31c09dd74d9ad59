"""The provider in Node: what clients of each dialect are answered, and what becomes of answers that are not read to their end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, installed
from tests.examples.conftest import ROOT, Example, tool
from tests.examples.test_stream import ASKED, words

Ready = Callable[[str], Example]
POEM = "Ten calls at the door. / The scheduler counts the chairs. / The eleventh waits."
CHAT = {"model": "haiku-queue", "messages": [{"role": "user", "content": "Say something"}]}


@pytest.mark.parametrize("dialect", UPSTREAMS)
async def test_a_poem_is_said_word_by_word_in_every_dialect(example: Ready, dialect: str) -> None:
    path, body = ASKED[dialect]
    named = {"model": "haiku-queue", "stream": True} if path else {}
    async with Harness(config=example("executor_node").config()) as host:
        answer = await host.post(path or "/v1beta/models/haiku-queue:streamGenerateContent?alt=sse", {**named, **body})
        assert answer.status == 200, answer.body
    lines = [line.removeprefix("data: ") for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    said = [text for line in lines if (text := words(json.loads(line)))]
    assert "".join(said) == POEM
    assert len(said) == (1 if dialect == "gemini.generate" else len(POEM.split())), "where a dialect does not join what comes at once"


async def test_a_whole_answer_has_the_poem_its_usage_and_its_end(example: Ready) -> None:
    async with Harness(config=example("executor_node").config()) as host:
        whole = await host.post("/v1/chat/completions", CHAT)
        cut = await host.post("/v1/chat/completions", {**CHAT, "max_tokens": 5})
        listed = await host.get("/v1/models")
    assert whole.json["choices"][0]["message"]["content"] == POEM
    assert (whole.json["choices"][0]["finish_reason"], whole.json["usage"]["completion_tokens"]) == ("stop", len(POEM.split()))
    assert cut.json["choices"][0]["message"]["content"] == "Ten calls at the door."
    assert cut.json["choices"][0]["finish_reason"] == "length"
    assert {"haiku-route", "haiku-queue", "haiku-retry"} <= {model["id"] for model in listed.json["data"]}


async def test_a_poem_that_there_is_not_is_the_callers_mistake(example: Ready) -> None:
    async with Harness(config=example("executor_node").config()) as host:
        answers = [await host.post("/v1/chat/completions", {**CHAT, "model": f"haiku://{name}"}) for name in ("sonnet", "toString")]
        assert (await host.post("/v1/chat/completions", CHAT)).status == 200
    assert [answer.status for answer in answers] == [404, 404]


async def test_clients_that_leave_end_their_poems_alone(example: Ready) -> None:
    async with Harness(config=example("executor_node").config(pace=20)) as host:
        async with host.open("POST", "/v1/chat/completions", {**CHAT, "stream": True}) as stays:
            for _ in range(3):
                async with host.open("POST", "/v1/chat/completions", {**CHAT, "stream": True}) as leaves:
                    assert b"Ten" in await leaves.content.readuntil(b"Ten")
            assert b"[DONE]" in await stays.read()
        assert (await host.post("/v1/chat/completions", CHAT)).status == 200


async def test_a_provider_that_dies_ends_its_answers_and_comes_back(example: Ready) -> None:
    provider = example("executor_node")
    async with Harness(config=provider.config(pace=20, required=False)) as host:
        async with host.open("POST", "/v1/chat/completions", {**CHAT, "stream": True}) as answer:
            assert b"Ten" in await answer.content.readuntil(b"Ten")
            provider.kill()
            rest = await answer.content.read()
        assert b"error" in rest, "the stream ends with an error in the client's dialect"
        answers = [await host.post("/v1/chat/completions", CHAT)]
        while answers[-1].status != 200:
            answers.append(await host.post("/v1/chat/completions", CHAT))
    assert answers[-1].json["choices"][0]["message"]["content"] == POEM
    assert {answer.status for answer in answers} <= {200, 502, 503}


def test_its_types_are_those_of_the_protocol() -> None:
    compiler = installed() / "node_modules" / ".bin" / "tsc"
    tool("node")
    if not compiler.exists():
        pytest.skip("TypeScript is not installed (tests/clis/install does it; JACKFIELD_CLIS names its folder)")
    types = ["--types", "node", "--typeRoots", str(installed() / "node_modules" / "@types")]
    strict = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--module", "nodenext"]
    program = ROOT / "plugin_examples" / "executor_node" / "executor.mjs"
    done = subprocess.run([compiler, *strict, *types, program], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout
