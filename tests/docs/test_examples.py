"""The examples of the reference do what their first line says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Bearer, HttpProvider
from jackfield.api.testing import Answer, Harness, ScriptedUpstream, json_answer
from tests.docs.markdown import document

ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}


def example(first_line: str, folder: Path) -> dict[str, Any]:
    """Write the example that begins with a line, and return the configuration that loads it."""
    blocks = [block for name in ("reference/hooks", "how-to/write-a-scheduler") for block in document(f"docs/{name}.md").blocks]
    (block,) = [one for one in blocks if one.text.startswith(f'"""{first_line}')]
    (folder / "example.py").write_text(block.text)
    return {"plugins": {"example": {"path": str(folder / "example.py")}}}


async def ask(house: Harness, model: str, **more: Any) -> Answer:
    return await house.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "one two"}], **more})


class Acme:
    def __init__(self, url: str) -> None:
        self._url = url

    def register_providers(self) -> list[HttpProvider]:
        return [HttpProvider(key="acme", dialects=["openai.chat"], base_url=self._url, models=["m"])]


async def test_thoughts_are_routed_to_a_model_that_has_some(tmp_path: Path) -> None:
    async with Harness(config=example("Sends what asks for thoughts", tmp_path)) as house:
        plain, thoughtful = await ask(house, "sim/lorem"), await ask(house, "sim/lorem", reasoning_effort="high")
    assert "one two" not in plain.json["choices"][0]["message"]["content"]
    assert thoughtful.json["choices"][0]["message"]["content"] == "one two"
    assert thoughtful.json["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


async def test_a_field_is_taken_out_and_another_put_in(tmp_path: Path) -> None:
    config = example("Takes a field out", tmp_path)
    async with ScriptedUpstream(json_answer(ANSWER)) as upstream, Harness([Acme(upstream.url)], config) as house:
        await house.post("/v1/chat/completions", b'{"model":"m", "user":"x","messages": [], "top_p":1.10}')
    (request,) = upstream.requests
    assert request.json == {"model": "m", "messages": [], "top_p": 1.1, "temperature": 0.2}
    assert b'"messages": [], "top_p":1.10' in request.body
    assert request.headers["x-team"] == "research"


async def test_a_stream_is_shouted_and_gets_its_last_mark(tmp_path: Path) -> None:
    async with Harness(config=example("Upper case, and a line at the end", tmp_path)) as house:
        answer = await ask(house, "sim/echo", stream=True)
    words = [line for line in answer.body.decode().splitlines() if '"content":' in line and '"content":""' not in line]
    assert [word.partition('"content":')[2].partition("}")[0] for word in words] == ['"ONE"', '" TWO"', '"!"']
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_what_calls_cost_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "accounts")
    async with Harness(config=example("Logs what each call cost", tmp_path)) as house:
        await ask(house, "sim/echo")
    assert [record.getMessage() for record in caplog.records if record.name == "accounts"] == ["local sim/echo succeeded: 4 tokens, []"]


async def test_weights_are_obeyed_once_there_are_enough_candidates(tmp_path: Path) -> None:
    weights = {"heavy": 1e9, "light": 1e-9, "lighter": 1e-10}
    keys = [{"provider": "acme", "key": key, "weight": weight} for key, weight in weights.items()]
    config = {**example("A scheduler that obeys weights", tmp_path), "scheduler": "example", "credentials": keys}
    async with ScriptedUpstream(json_answer(ANSWER)) as upstream, Harness([Keyed(upstream.url)], config) as house:
        for _ in range(3):
            assert (await ask(house, "m")).status == 200
    assert {request.headers["authorization"] for request in upstream.requests} == {"Bearer heavy"}


class Keyed(Acme):
    def register_providers(self) -> list[HttpProvider]:
        (provider,) = super().register_providers()
        provider.auth = Bearer()
        return [provider]


async def test_a_provider_with_one_dialect_and_one_pattern_may_name_them_as_texts() -> None:
    class One:
        def register_providers(self) -> list[HttpProvider]:
            return [HttpProvider(key="acme", dialects="openai.chat", base_url="http://127.0.0.1:9", patterns="acme-*")]

    async with Harness([One()]) as house:
        assert house.host.problems == []
        assert [(await ask(house, model)).status for model in ("acme-large", "other")] == [502, 404]
