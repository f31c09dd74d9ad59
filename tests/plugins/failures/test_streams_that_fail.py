"""Errors inside of streams and of answers of status 200: what they mean, in every dialect, and that another credential takes over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jackfield.api import Dialect, Headers, Provider
from jackfield.api.testing import Harness, ScriptedUpstream, sse_answer
from jackfield_anthropic.messages import MessagesDialect
from jackfield_anthropic.provider import AnthropicSettings, anthropic
from jackfield_gemini.generate import GenerateDialect
from jackfield_gemini.provider import BASE_URL, gemini
from jackfield_openai.chat import ChatDialect
from jackfield_openai.completions import CompletionsDialect
from jackfield_openai.provider import OpenAISettings, openai
from jackfield_openai.responses import ResponsesDialect
from tests.kernel.pipeline_kit import Observer

CHAT, RESPONSES, COMPLETIONS, MESSAGES, GENERATE = (
    ChatDialect(), ResponsesDialect(), CompletionsDialect(), MessagesDialect(), GenerateDialect(),
)  # fmt: skip
OPENAI, ANTHROPIC, GEMINI = openai(OpenAISettings()), anthropic(AnthropicSettings()), gemini(BASE_URL, None)


def error(**members: Any) -> dict[str, Any]:
    return {"error": {"message": "words of the upstream", **members}}


def failed(**members: Any) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": {"message": "m", **members}}}


CASES: list[tuple[Provider, Dialect, dict[str, Any], str, str]] = [
    (OPENAI, CHAT, error(code="rate_limit_exceeded", type="tokens"), "rate", "credential_model"),
    (OPENAI, CHAT, error(code="insufficient_quota", type="insufficient_quota"), "quota", "credential"),
    (OPENAI, CHAT, error(code="credit_balance_exhausted", type="insufficient_quota"), "quota", "credential"),
    (OPENAI, CHAT, error(type="overloaded_error"), "overload", "credential_model"),
    (OPENAI, CHAT, error(code=503), "overload", "credential_model"),
    (OPENAI, CHAT, error(code=502), "upstream", "provider"),
    (OPENAI, CHAT, error(type="server_error"), "upstream", "provider"),
    (OPENAI, CHAT, error(code="context_length_exceeded", type="invalid_request_error"), "caller", "request"),
    (OPENAI, CHAT, error(type="invalid_request_error", status_code=400), "caller", "request"),
    (OPENAI, CHAT, error(), "upstream", "provider"),
    (OPENAI, COMPLETIONS, error(code="rate_limit_exceeded"), "rate", "credential_model"),
    (OPENAI, RESPONSES, {"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, "rate", "credential_model"),
    (OPENAI, RESPONSES, {"type": "error", **error(code="insufficient_quota")}, "quota", "credential"),
    (OPENAI, RESPONSES, failed(code="server_is_overloaded"), "overload", "credential_model"),
    (OPENAI, RESPONSES, failed(code="slow_down"), "overload", "credential_model"),
    (OPENAI, RESPONSES, failed(code="rate_limit_exceeded"), "rate", "credential_model"),
    (OPENAI, RESPONSES, failed(type="usage_limit_reached", resets_in_seconds=3600), "quota", "credential"),
    (OPENAI, RESPONSES, failed(type="usage_not_included"), "account_action", "credential"),
    (OPENAI, RESPONSES, failed(code="cyber_policy"), "content", "request"),
    (OPENAI, RESPONSES, failed(code="server_error"), "upstream", "provider"),
    (OPENAI, RESPONSES, failed(code="previous_response_not_found"), "caller", "request"),
    (ANTHROPIC, MESSAGES, {"type": "error", **error(type="overloaded_error")}, "overload", "credential_model"),
    (ANTHROPIC, MESSAGES, {"type": "error", **error(type="rate_limit_error")}, "rate", "credential_model"),
    (ANTHROPIC, MESSAGES, {"type": "error", **error(type="api_error")}, "upstream", "provider"),
    (ANTHROPIC, MESSAGES, {"type": "error", **error(type="authentication_error")}, "credential", "credential"),
    (ANTHROPIC, MESSAGES, {"type": "error", **error(type="invalid_request_error")}, "caller", "request"),
    (GEMINI, GENERATE, error(code=503, status="UNAVAILABLE"), "overload", "credential_model"),
    (GEMINI, GENERATE, error(code=429, status="RESOURCE_EXHAUSTED"), "rate", "credential_model"),
    (GEMINI, GENERATE, error(code=500, status="INTERNAL"), "upstream", "provider"),
    (GEMINI, GENERATE, {"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}]}, "upstream", "request"),
    (GEMINI, GENERATE, {"candidates": [{"content": {}, "finishReason": "STOP"}]}, "upstream", "request"),
]


@pytest.mark.parametrize(
    ("provider", "dialect", "data", "cause", "blame"), CASES, ids=[f"{at} {case[1].name} {case[3]}" for at, case in enumerate(CASES)]
)
def test_an_error_in_a_stream_means_what_its_own_words_say(
    provider: Provider, dialect: Dialect, data: dict[str, Any], cause: str, blame: str
) -> None:
    event = dialect.event(data, data.get("type", ""))
    assert not dialect.commits(event)
    assert not dialect.lifecycle(event)
    status = event.error.status if event.error is not None and event.error.status >= 400 else 502
    found = provider.classify(dialect, status, Headers(), event.data)
    assert (found.cause, found.blame) == (cause, blame)


def test_the_end_of_a_quota_is_read_inside_of_a_stream() -> None:
    event = RESPONSES.event(failed(type="usage_limit_reached", resets_in_seconds=3600))
    assert event.error is not None
    assert event.error.retry_after == 3600
    assert OPENAI.classify(RESPONSES, event.error.status, Headers(), event.data).retry_after == 3600
    slow = CHAT.event(error(code="rate_limit_exceeded", message="Rate limit reached. Please try again in 6.5s."))
    assert slow.error is not None
    assert OPENAI.classify(CHAT, slow.error.status, Headers(), slow.data).retry_after == 6.5


def test_an_error_in_a_whole_answer_of_status_200_means_the_same() -> None:
    for dialect in (CHAT, COMPLETIONS, RESPONSES):
        seen = dialect.glance(json.dumps(error(code="rate_limit_exceeded")).encode()).error
        assert seen is not None
        assert seen.status == 429


def chunk(**delta: Any) -> bytes:
    return CHAT.event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, **delta}]}).raw


async def test_a_stream_that_begins_with_an_error_is_answered_by_another_credential() -> None:
    spent = sse_answer([CHAT.event(error(code="insufficient_quota", type="insufficient_quota")).raw])
    good = sse_answer([chunk(delta={"role": "assistant", "content": "Hello"}), chunk(delta={}, finish_reason="stop"), b"data: [DONE]\n\n"])
    observer = Observer()
    async with ScriptedUpstream(spent, good) as upstream:
        server = {"base_url": f"{upstream.url}/v1", "models": ["m"], "auth": "bearer"}
        config = {
            "credentials": [{"provider": "acme", "key": f"key-{n}"} for n in (1, 2)],
            "plugins": {"openai": {"providers": {"acme": server}}},
        }
        async with Harness([observer], config) as host:
            body = {"model": "acme/m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            answered = await host.post("/v1/chat/completions", body)
            assert answered.status == 200
            assert b"Hello" in answered.body
            assert b"insufficient" not in answered.body
            await observer.completed()
    assert len({request.headers["authorization"] for request in upstream.requests}) == 2
    last = max((attempt for attempt, _ in observer.usages), key=lambda attempt: attempt.number)
    assert [failure.cause for failure in last.before] == ["quota"]


async def test_an_error_after_the_first_word_marks_the_credential_with_its_own_cause() -> None:
    words = chunk(delta={"role": "assistant", "content": "Hel"})
    slow = CHAT.event(error(code="rate_limit_exceeded", message="Please try again in 30s.")).raw
    observer = Observer()
    async with ScriptedUpstream(sse_answer([words, slow])) as upstream:
        server = {"base_url": f"{upstream.url}/v1", "models": ["m"], "auth": "bearer"}
        config = {"credentials": [{"provider": "acme", "key": "key-1"}], "plugins": {"openai": {"providers": {"acme": server}}}}
        async with Harness([observer], config) as host:
            body = {"model": "acme/m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            answered = await host.post("/v1/chat/completions", body)
            assert b"Hel" in answered.body
            [outcome] = await observer.completed()
    assert (outcome.status, outcome.cause) == ("failed", "rate")
