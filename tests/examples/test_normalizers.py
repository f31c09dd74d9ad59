"""The caps on thinking: what an upstream is sent, whatever the client asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, configured
from tests.examples.conftest import Example
from tests.examples.test_stream import ASKED
from tests.upstreams.scenario import Scenario
from tests.upstreams.server import Received, upstream

Ready = Callable[[str], Example]
pytestmark = pytest.mark.parametrize("name", ["normalizer_go", "normalizer_rust"])
MODELS = {"anthropic.messages": "claude-haiku-4-5"}
"""Models that take a budget, where the usual one does not."""
CAPS = {"max_budget": 2048, "efforts": {"minimal": "low", "xhigh": None}}


async def sent(normalizer: Example, dialect: str, asked: dict[str, Any], kills: bool = False, **settings: Any) -> list[Received]:
    """Return what an upstream is sent when a client of its dialect asks; after a kill until the plugin is back."""
    model = MODELS.get(dialect, UPSTREAMS[dialect])
    path, body = ASKED[dialect]
    async with upstream(dialect, Scenario(text="hi")) as provider:
        async with Harness(config=normalizer.config(configured(dialect, provider.url, model, model, dialect), **settings)) as host:

            async def ask() -> Received:
                answer = await host.post(path or f"/v1beta/models/{model}:generateContent", {"model": model, **body, **asked})
                assert answer.status == 200, answer.body
                return provider.generated[-1]

            received = [await ask()]
            if kills:
                normalizer.kill()
                received.append(await ask())
                while received[-1].body != received[0].body:
                    received.append(await ask())
        return received


@pytest.mark.parametrize(
    ("dialect", "asked", "is_sent"),
    [
        ("openai.chat", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
        ("openai.chat", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ("openai.responses", {"reasoning": {"effort": "xhigh", "summary": "auto"}}, {"reasoning": {"summary": "auto"}}),
        (
            "anthropic.messages",
            {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 32_000}},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            "anthropic.messages",
            {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ),
        (
            "gemini.generate",
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 9000}}},
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2048}}},
        ),
    ],
)
async def test_thinking_is_capped_in_the_words_of_the_upstream(
    example: Ready, name: str, dialect: str, asked: dict[str, Any], is_sent: dict[str, Any]
) -> None:
    [received] = await sent(example(name), dialect, asked, **CAPS)
    assert {key: received.body[key] for key in is_sent} == is_sent


async def test_a_level_that_is_taken_out_is_gone(example: Ready, name: str) -> None:
    [received] = await sent(example(name), "openai.chat", {"reasoning_effort": "xhigh"}, **CAPS)
    assert "reasoning_effort" not in received.body


async def test_all_other_bytes_stay_as_they_are(example: Ready, name: str) -> None:
    asked = {"reasoning_effort": "minimal", "top_p": 0.1, "metadata": {"note": "\u00e9 </p>"}, "seed": 12345678901}
    [received] = await sent(example(name), "openai.chat", asked, **CAPS)
    [unchanged] = await sent(example(name), "openai.chat", asked)
    assert received.raw == unchanged.raw.replace(b'"minimal"', b'"low"')


async def test_a_normalizer_that_dies_loses_no_call_and_comes_back(example: Ready, name: str) -> None:
    received = await sent(example(name), "openai.chat", {"reasoning_effort": "minimal"}, kills=True, **CAPS)
    assert {request.body["reasoning_effort"] for request in received} == {"low", "minimal"}
