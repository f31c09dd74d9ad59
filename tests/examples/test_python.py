"""The plugins in Python that call a model from within a hook: what the models are asked, and what clients are answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from jackfield.api.testing import Answer, Harness, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Received, Wire
from tests.examples.conftest import EXAMPLES, Example, children

Ready = Callable[[str], Example]
SUMMARIZER = EXAMPLES / "summarizer_python" / "src" / "jackfield_summarizer" / "__init__.py"
CARRIERS = pytest.mark.parametrize("isolate", [False, True], ids=["in process", "isolated"])


def completion(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


async def models(received: Received, wire: Wire) -> None:
    """Answers as three models do: `small` sums up, `broken` cannot, `large` says how many messages it was sent."""
    if received.json["model"] == "broken":
        await json_answer({"error": {"message": "out of order"}}, status=400)(received, wire)
    else:
        said = "in short" if received.json["model"] == "small" else str(len(received.json["messages"]))
        await json_answer(completion(said))(received, wire)


def config(url: str, isolate: bool, **settings: Any) -> dict[str, Any]:
    acme = {"base_url": f"{url}/v1", "models": ["small", "large", "broken"], "dialects": ["openai.chat"]}
    summarizer = {"path": str(SUMMARIZER), "isolate": isolate, "required": True, "model": "small", "above": 6, "keep": 2, **settings}
    return {
        "plugins": {"openai": {"providers": {"acme": acme}}, "summarizer": summarizer},
        "credentials": [{"provider": "acme", "key": "key-of-acme"}],
        "attempts": {"wait": 0},
    }


def conversation(many: int) -> list[dict[str, Any]]:
    """Return a system message and so many more, in turn of the user's and the assistant's."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": f"word {at}"} for at in range(many)]
    return [{"role": "system", "content": "be brief"}, *turns]


async def ask(host: Harness, messages: list[dict[str, Any]], model: str = "large") -> Answer:
    return await host.post("/v1/chat/completions", {"model": model, "messages": messages})


@CARRIERS
async def test_what_is_old_is_summed_up_once_for_several_turns(isolate: bool) -> None:
    async with ScriptedUpstream(models) as upstream, Harness(config=config(upstream.url, isolate)) as host:
        for many in (5, 9, 9):
            assert (await ask(host, conversation(many))).status == 200
    sent = [(request.json["model"], request.json["messages"]) for request in upstream.requests]
    assert [model for model, _ in sent] == ["large", "small", "large", "large"], "the second time the summary is remembered"
    assert sent[0][1] == conversation(5), "a short conversation stays as it is"
    assert "user: word 0\nassistant: word 1" in str(sent[1][1][0]["content"])
    assert sent[2][1] == sent[3][1]
    system, first, *rest = sent[2][1]
    assert system == conversation(1)[0]
    assert "in short: in short" in str(first["content"])
    assert "word 6" in str(first["content"])
    assert rest == conversation(9)[8:]


@CARRIERS
async def test_a_result_stays_with_the_call_that_it_belongs_to(isolate: bool) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = [{"role": "tool", "tool_call_id": "1", "content": "42"}, {"role": "assistant", "content": "it is 42"}]
    messages = [*conversation(5), called, *told]
    async with ScriptedUpstream(models) as upstream, Harness(config=config(upstream.url, isolate)) as host:
        assert (await ask(host, messages)).status == 200
    assert [message["role"] for message in upstream.requests[-1].json["messages"]] == ["system", "user", "assistant", "tool", "assistant"]


@CARRIERS
async def test_when_nobody_can_sum_up_the_conversation_stays_long(isolate: bool) -> None:
    async with ScriptedUpstream(models) as upstream, Harness(config=config(upstream.url, isolate, model="broken")) as host:
        answer = await ask(host, conversation(9))
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "10")


async def test_an_isolated_summarizer_whose_process_dies_loses_no_call() -> None:
    async with ScriptedUpstream(models) as upstream, Harness(config=config(upstream.url, isolate=True)) as host:
        [process] = children()
        os.kill(process, signal.SIGKILL)
        while (answer := await ask(host, conversation(9))).json["choices"][0]["message"]["content"] == "10":
            assert answer.status == 200
        assert answer.status == 200


# ------------------------------------------------------------------------------------------ without any library


KINDS = {"programming": "sim/lorem", "conversation": "sim/reasoning"}


def classified(example: Example, says: str) -> dict[str, Any]:
    return example.config({"plugins": {"simulator": {"texts": {"kind": says}}}}, asks="sim/text-kind", models=KINDS)


@pytest.mark.parametrize(("says", "begins"), [("Programming.", "The panel"), ("conversation", "hello"), ("neither", "hello")])
async def test_a_model_says_which_model_answers(example: Ready, says: str, begins: str) -> None:
    async with Harness(config=classified(example("callback_python"), says)) as host:
        answer = await ask(host, [{"role": "user", "content": "hello"}], "sim/echo")
    message = answer.json["choices"][0]["message"]
    assert message["content"].startswith(begins)
    assert bool(message.get("reasoning_content") or message.get("reasoning")) is (says == "conversation")


async def test_when_the_model_that_is_asked_fails_the_call_goes_where_its_client_said(example: Ready) -> None:
    settings = example("callback_python").config(asks="sim/error-500", models=KINDS)
    async with Harness(config={**settings, "attempts": {"wait": 0}}) as host:
        answer = await ask(host, [{"role": "user", "content": "hello"}], "sim/echo")
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "hello")


async def test_settings_that_are_missing_are_a_listed_problem(example: Ready) -> None:
    async with Harness(config=example("callback_python").config(required=False)) as host:
        assert [problem for problem in host.host.problems if "say which model is asked" in problem]


async def test_a_router_that_dies_loses_no_call_and_comes_back(example: Ready) -> None:
    program = example("callback_python")
    async with Harness(config=classified(program, "programming")) as host:
        program.kill()
        answers = [await ask(host, [{"role": "user", "content": "hello"}], "sim/echo")]
        while not answers[-1].json["choices"][0]["message"]["content"].startswith("The panel"):
            answers.append(await ask(host, [{"role": "user", "content": "hello"}], "sim/echo"))
    assert {answer.status for answer in answers} == {200}
