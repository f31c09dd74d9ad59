"""What the reference of the hooks says of plugins that answer what they may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Attempt, Call, Change, Reply, reply_text
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from tests.docs.test_examples import ANSWER, Acme, ask

SAID = {"model": "m", "messages": []}
UNUSABLE = {
    "a path that is no tuple": Change(set={"temperature": 1}),
    "a path that leads nowhere": Change(set={("messages", 9, "content"): "x"}),
    "the model": Change(set={("model",): "n"}),
    "a value that is no JSON": Change(set={("x",): object()}),
    "a body that is no bytes": Change(body="text"),  # type: ignore[arg-type]
    "no change at all": "text",
}
UNUSABLE_ANSWERS = {
    **{what: said for what, said in UNUSABLE.items() if what != "the model"},
    "an answer that is no answer": Change(response="text"),  # type: ignore[arg-type]
    "an answer where there is one": Change(respond=reply_text("x")),
}


@pytest.mark.parametrize("said", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_request_interceptor_that_answers_what_it_may_not_fails_the_call(said: Any) -> None:
    class Wrong:
        def intercept_request(self, call: Call) -> Any:
            return said

    async with ScriptedUpstream(json_answer(ANSWER)) as upstream, Harness([Wrong(), Acme(upstream.url)]) as house:
        answer = await house.post("/v1/chat/completions", SAID)
    assert (answer.status, answer.json["error"]["code"], upstream.requests) == (503, "plugin_failed", [])


@pytest.mark.parametrize("said", UNUSABLE_ANSWERS.values(), ids=UNUSABLE_ANSWERS)
@pytest.mark.parametrize("hook", ["intercept_response", "normalize_response"])
async def test_an_answer_stays_as_it_was_where_a_plugin_answers_what_it_may_not(hook: str, said: Any) -> None:
    class Wrong:
        def intercept_response(self, call: Call, reply: Reply) -> Any:
            return said if hook == "intercept_response" else None

        def normalize_response(self, attempt: Attempt, reply: Reply) -> Any:
            return said if hook == "normalize_response" else None

    async with ScriptedUpstream(json_answer(ANSWER)) as upstream, Harness([Wrong(), Acme(upstream.url)]) as house:
        answer = await house.post("/v1/chat/completions", SAID)
    assert (answer.status, answer.json) == (200, ANSWER)


@pytest.mark.parametrize("headers", [{"X": 5}, {5: "x"}, {"X": "a\r\nY: b"}, {"X Y": "a"}, {"X": "\ud800"}, 5], ids=repr)
def test_headers_that_cannot_be_sent_are_refused_where_they_are_made(headers: Any) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Change(headers=headers)


@pytest.mark.parametrize(("model", "stream", "seen"), [("sim/echo", False, 1), ("sim/echo", True, 0), ("sim/error-429", True, 1)])
async def test_an_error_is_a_whole_answer_also_where_a_stream_was_asked_for(model: str, stream: bool, seen: int) -> None:
    replies: list[Reply] = []

    class Watcher:
        def intercept_response(self, call: Call, reply: Reply) -> None:
            replies.append(reply)

    async with Harness([Watcher()]) as house:
        await ask(house, model, stream=stream)
    assert [reply.failure is None for reply in replies] == [model == "sim/echo"] * seen


@pytest.mark.parametrize("options", ["deadline='5s'", "on_error='shut'", "needs='body'", "priority='first'"])
async def test_an_option_that_is_none_is_a_problem_of_its_plugin(options: str, tmp_path: Path) -> None:
    path = tmp_path / "optional.py"
    path.write_text(f"from jackfield.api import hook\n\n@hook({options})\ndef route_model(call):\n    pass\n")
    async with Harness(config={"plugins": {"optional": {"path": str(path)}}}) as house:
        (problem,) = house.host.problems
        assert (await ask(house, "sim/echo")).status == 200
    assert problem.startswith("plugin 'optional': ValidationError: ")
    assert options.partition("=")[0] in problem
