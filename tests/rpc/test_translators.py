"""Direct translators of plugins out of process, in the real host: plain and streamed, with their losses, and where they fail."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.kernel.pipeline_kit import PATIENCE, Observer

PEER = str(Path(__file__).parent / "peers" / "translator.py")


def host(*plugins: object, settings: Mapping[str, Any] | None = None) -> Harness:
    return Harness(plugins, {"plugins": {"p": {"command": [sys.executable, PEER], **(settings or {})}}})


async def ask(jackfield: Harness, *, stream: bool = False, model: str = "m", words: Any = "hi") -> Any:
    said = {"model": model, "stream": stream, "messages": [{"role": "user", "content": words}]}
    return await asyncio.wait_for(jackfield.post("/v1/chat/completions", said), PATIENCE)


def words(answer: Any) -> Any:
    return answer.json["choices"][0]["message"]["content"]


async def test_a_whole_call_goes_through_the_plugin_both_ways() -> None:
    observer = Observer()
    async with host(observer) as jackfield:
        answer = await ask(jackfield)
        assert words(answer).startswith('turned [[{"role": "user", "content": "HI"}]')
        [outcome] = await observer.completed()
        assert outcome.fidelity == "direct"
        assert {"shouted", "turned"} <= {loss["why"] for loss in outcome.explain()["losses"]}


async def test_a_stream_goes_through_the_plugin_and_is_closed() -> None:
    observer = Observer()
    async with host(observer) as jackfield:
        for _ in range(2):
            answer = await ask(jackfield, stream=True)
            assert answer.status == 200
            assert answer.body.index(b'"ONE "') < answer.body.index(b'"TWO"') < answer.body.index(b"data: [DONE]\n\n")
            assert answer.body.count(b"[DONE]") == 1
        assert b"one" not in answer.body
        outcomes = await observer.completed(2)
        assert {"shouted", "turned"} <= {loss["why"] for loss in outcomes[1].explain()["losses"]}
        _, told = json.loads(words(await ask(jackfield)).removeprefix("turned "))
        assert told == [["open", "openai.chat", "anthropic.messages"], ["close"]] * 2


async def test_the_plugin_is_told_when_a_stream_is_left() -> None:
    async with host() as jackfield:
        said = {"model": "still", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        async with jackfield.open("POST", "/v1/chat/completions", said) as response:
            await response.content.readany()
        async with asyncio.timeout(PATIENCE):
            while json.loads(words(await ask(jackfield)).removeprefix("turned "))[1][-1:] != [["close"]]:
                pass


@pytest.mark.parametrize("way", ["fails", "hangs"])
async def test_the_canonical_way_is_taken_where_the_plugin_fails(way: str) -> None:
    observer = Observer()
    for method, whole, streamed in (
        ("request.translate", '[[{"role": "user", "content": "hi"}]', b'"one "'),
        ("response.translate", '[[{"role": "user", "content": "HI"}]', b'"ONE "'),
        ("response.translate.open", 'turned [[{"role": "user", "content": "HI"}]', b'"one "'),
    ):
        async with host(observer, settings={way: [method], "deadline": 0.2}) as jackfield:
            assert words(await ask(jackfield)).startswith(whole)
            answer = await ask(jackfield, stream=True)
            assert streamed in answer.body
            assert answer.body.endswith(b"data: [DONE]\n\n")
        assert "the direct translator failed" in "".join([str(outcome.explain()) for outcome in (await observer.completed())[-2:]])


async def test_a_stream_whose_translator_fails_in_the_middle_ends_with_an_error() -> None:
    async with host(settings={"fails": ["response.translate.event"]}) as jackfield:
        answer = await ask(jackfield, stream=True, model="paced")
        assert answer.status == 200
        assert b'"ONE "' in answer.body
        assert b"the direct translator failed in the middle of the answer" in answer.body
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_large_bodies_go_through_the_plugin() -> None:
    async with host() as jackfield:
        answer = await ask(jackfield, words="x" * 5_000_000)
        assert answer.status == 200
        assert len(words(answer)) > 5_000_000
