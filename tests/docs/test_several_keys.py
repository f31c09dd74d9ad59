"""The guide about several keys says what happens to them."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield.api import Bearer, HttpProvider
from jackfield.api.testing import Answer, Harness, Script, ScriptedUpstream, json_answer

GOOD = json_answer({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []})


def error(status: int, **headers: str) -> Script:
    return json_answer({"error": {"message": f"error {status}", "type": "odd"}}, status=status, headers=headers)


class Acme:
    def __init__(self, url: str) -> None:
        self._url = url

    def register_providers(self) -> list[HttpProvider]:
        return [HttpProvider(key="acme", dialects=["openai.chat"], base_url=self._url, auth=Bearer(), models=["m", "n"])]


async def ask(*scripts: Script, credentials: list[dict[str, Any]], model: str = "m", **config: Any) -> tuple[Answer, list[str]]:
    """Ask a host with some keys for a model; return the answer, and the keys with which the provider was asked."""
    keys = [{"provider": "acme", **given} for given in credentials]
    given = {"credentials": keys, "attempts": {"wait": 0}, **config}
    async with ScriptedUpstream(*scripts) as upstream, Harness([Acme(upstream.url)], given) as house:
        answer = await house.post("/v1/chat/completions", {"model": model, "messages": []})
    return answer, [(request.headers.get("authorization") or "").removeprefix("Bearer ") for request in upstream.requests]


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
async def test_another_key_is_tried_where_it_may_help(status: int) -> None:
    answer, asked = await ask(error(status), GOOD, credentials=[{"key": "one"}, {"key": "two"}])
    assert (answer.status, asked) == (200, ["one", "two"])


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_the_callers_mistake_is_told_at_once(status: int) -> None:
    answer, asked = await ask(error(status), GOOD, credentials=[{"key": "one"}, {"key": "two"}])
    assert (answer.status, asked) == (status, ["one"])
    assert answer.json["error"] == {"message": f"error {status}", "type": "odd"}


async def test_other_models_of_a_refused_key_are_not_tried_but_those_of_a_limited_one_are() -> None:
    models = {"aliases": {"both": ["m", "n"]}}
    refused, limited = [await ask(error(status), GOOD, credentials=[{"key": "one"}], model="both", models=models) for status in (401, 429)]
    assert (refused[0].status, refused[1]) == (503, ["one"])
    assert (limited[0].status, limited[1]) == (200, ["one", "one"])


async def test_a_lower_priority_serves_when_all_higher_ones_have_failed() -> None:
    spare_first = [{"key": "spare"}, {"key": "one", "priority": 10}, {"key": "two", "priority": 10}]
    answer, asked = await ask(error(500), error(500), GOOD, credentials=spare_first)
    assert (answer.status, asked) == (200, ["one", "two", "spare"])


async def test_when_all_fail_the_shortest_wait_is_told() -> None:
    scripts = error(429, **{"Retry-After": "30"}), error(429, **{"Retry-After": "7"})
    answer, asked = await ask(*scripts, credentials=[{"key": "one"}, {"key": "two"}])
    assert (answer.status, answer.headers.get("retry-after"), asked) == (429, "7", ["one", "two"])


@pytest.mark.parametrize(
    ("credentials", "model", "expected"),
    [
        ([{"key": "one"}, {"key": "one"}], "m", ["one"]),  # the same key counts once
        ([{"key": "one", "models": ["n"]}, {"key": "two"}], "m", ["two"]),
        ([{"key": "one", "excluded": ["m*"]}, {"key": "two"}], "m", ["two"]),
        ([{"key": "one"}, {"key": "two", "prefix": "research"}], "research/m", ["two"]),
        ([{"key": "one"}, {"key": "two", "aliases": {"thinker": "n"}}], "thinker", ["two"]),
        ([{"key": "one", "disabled": True}, {"key": "two"}], "m", ["two"]),
    ],
)
async def test_a_key_serves_what_it_may(credentials: list[dict[str, Any]], model: str, expected: list[str]) -> None:
    answer, asked = await ask(error(500), credentials=credentials, model=model)
    assert (answer.status, asked) == (502, expected)
