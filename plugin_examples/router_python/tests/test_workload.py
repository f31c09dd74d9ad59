"""The router in a running host, as its users have it. The models are the simulator's, which tell by their answers who served."""

from typing import Any

import pytest

from jackfield.api.testing import Answer, Harness

TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}


async def ask(settings: dict[str, Any], messages: int = 1, **more: Any) -> Answer:
    """Ask `sim/echo`, which repeats what was said, while the router has these settings."""
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hello"}] * messages, **more}
    async with Harness(config={"plugins": {"workload": settings}}) as host:
        return await host.post("/v1/chat/completions", body)


def finish(answer: Answer) -> str:
    return str(answer.json["choices"][0]["finish_reason"])


async def test_without_settings_every_request_goes_where_its_client_said() -> None:
    answer = await ask({}, messages=50, tools=[TOOL])
    assert answer.json["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "stop"),
        ({"tools": []}, "stop"),
        ({"tools": [TOOL]}, "tool_calls"),
        ({"messages": 3}, "stop"),
        ({"messages": 4}, "length"),
        ({"messages": 4, "tools": [TOOL]}, "tool_calls"),
    ],
)
async def test_what_a_request_carries_decides_who_serves_it(said: dict[str, Any], expected: str) -> None:
    settings = {"tools": "sim/tools", "long": "sim/length", "long_from": 4}
    assert finish(await ask(settings, **said)) == expected


async def test_the_client_is_answered_under_the_name_that_it_asked_for() -> None:
    assert (await ask({"tools": "sim/tools"}, tools=[TOOL])).json["model"] == "sim/echo"


async def test_a_model_that_nobody_has_is_passed_over() -> None:
    answer = await ask({"tools": "no-such-model"}, tools=[TOOL])
    assert (answer.status, finish(answer)) == (200, "stop")


async def test_a_misspelt_setting_is_a_problem_that_names_the_right_one() -> None:
    async with Harness(config={"plugins": {"workload": {"long_form": 4}}}) as host:
        assert any("long_from" in problem for problem in host.host.problems)
