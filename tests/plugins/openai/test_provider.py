"""What OpenAI's errors mean, and what a client is told of them."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from jackfield.api import Failure, Headers, ModelInfo, matches_any
from jackfield_openai.chat import ChatDialect
from jackfield_openai.provider import PATTERNS, ModelSettings, OpenAISettings, ServerSettings, compatible, openai


def judged(status: int, headers: dict[str, str] | None = None, **error: Any) -> Failure:
    body = msgspec.json.encode({"error": {"message": "words of the upstream", **error}})
    return openai(OpenAISettings()).classify(ChatDialect(), status, Headers(headers or {}), body)


@pytest.mark.parametrize(
    ("status", "error", "cause", "help_", "shown"),
    [
        (400, {"code": "context_length_exceeded"}, "caller", "none", 400),
        (400, {"type": "invalid_request_error"}, "caller", "none", 400),
        (400, {"code": "content_policy_violation"}, "content", "none", 400),
        (400, {"code": "invalid_prompt"}, "content", "none", 400),
        (400, {"code": "billing_hard_limit_reached"}, "quota", "another", 429),
        (400, {"message": "Your organization must be verified to stream this model."}, "account_action", "another", 503),
        (401, {"code": "invalid_api_key"}, "credential", "another", 503),
        (401, {"code": "account_deactivated"}, "account_action", "another", 503),
        (402, {"code": "insufficient_quota"}, "quota", "another", 429),
        (403, {"code": "unsupported_country_region_territory"}, "account_action", "another", 503),
        (403, {"message": "Project `p` does not have access to model `gpt-9`"}, "unsupported", "another", 403),
        (403, {}, "credential", "another", 503),
        (404, {"code": "model_not_found"}, "unsupported", "another", 404),
        (404, {}, "caller", "none", 404),
        (408, {}, "upstream", "another", 502),
        (409, {}, "caller", "none", 409),
        (413, {}, "caller", "none", 413),
        (422, {}, "caller", "none", 422),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, "rate", "another", 429),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, "quota", "another", 429),
        (429, {"type": "insufficient_quota"}, "quota", "another", 429),
        (429, {"code": "billing_not_active"}, "account_action", "another", 503),
        (429, {"code": "credit_balance_exhausted", "type": "insufficient_quota"}, "quota", "another", 429),
        (429, {"code": "project_spend_limit_exceeded", "type": "insufficient_quota"}, "quota", "another", 429),
        (429, {"code": "slow_down", "type": "rate_limit_error"}, "rate", "another", 429),
        (429, {"code": "rate_limit_exceeded", "message": "Request too large for gpt-9 on tokens per min"}, "unsupported", "another", 429),
        (
            429,
            {"message": "Your team has used all available credits or reached its monthly spending limit."},
            "quota",
            "another",
            429,
        ),
        (429, {"type": "usage_limit_reached", "resets_in_seconds": 90}, "quota", "another", 429),
        (429, {"type": "usage_not_included"}, "account_action", "another", 503),
        (403, {"message": "Sorry, your account balance is insufficient"}, "quota", "another", 429),
        (400, {"code": "model_not_found", "message": "The requested model 'x' does not exist."}, "unsupported", "another", 400),
        (404, {"message": "The model `x.5/y` does not exist.", "type": "NotFoundError"}, "unsupported", "another", 404),
        (404, {"code": "DeploymentNotFound"}, "unsupported", "another", 404),
        (404, {"message": "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."}, "caller", "none", 404),
        (400, {"code": "previous_response_not_found"}, "caller", "another", 400),
        (403, {"message": "Input token count + max_tokens must be less than the context length"}, "caller", "none", 403),
        (500, {"message": "the request exceeds the available context size"}, "caller", "none", 400),
        (400, {"code": "cyber_policy"}, "content", "none", 400),
        (500, {}, "upstream", "another", 502),
        (500, {"message": "The model is Overloaded right now"}, "overload", "another", 503),
        (503, {"message": "Slow down"}, "overload", "another", 503),
        (504, {}, "upstream", "another", 502),
    ],
    ids=str,
)
def test_an_error_is_understood(status: int, error: dict[str, Any], cause: str, help_: str, shown: int) -> None:
    found = judged(status, **error)
    assert (found.cause, found.help, found.shown_status) == (cause, help_, shown)
    assert ("words of the upstream" in found.message or error.get("message") == found.message) == (
        cause in ("caller", "content", "unsupported")
    )
    assert found.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "20"}, 20),
        ({"Retry-After-Ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
    ids=str,
)
def test_an_error_says_when_to_come_again(headers: dict[str, str], seconds: float | None) -> None:
    assert judged(429, headers, code="rate_limit_exceeded").retry_after == seconds


def test_a_quota_says_in_the_body_when_it_ends() -> None:
    spent = judged(429, {"Retry-After": "5"}, type="usage_limit_reached", resets_at=int(time.time()) + 600)
    assert spent.retry_after == pytest.approx(600, abs=2)
    assert (spent.blame, judged(429, type="usage_limit_reached", resets_in_seconds=90).retry_after) == ("credential", 90)


def test_a_rate_limit_says_in_words_or_by_what_remains_when_it_ends() -> None:
    assert judged(429, code="rate_limit_exceeded", message="Please try again in 1m2.5s. Visit https://x.example").retry_after == 62.5
    limits = {
        "x-ratelimit-remaining-requests": "12", "x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": "1h",
        "x-ratelimit-remaining-tokens": "0", "x-ratelimit-limit-tokens": "1000", "x-ratelimit-reset-tokens": "7s",
    }  # fmt: skip
    assert judged(429, limits, code="rate_limit_exceeded").retry_after == pytest.approx(7, abs=1)


def test_verification_is_asked_for_model_by_model_and_says_where() -> None:
    found = judged(400, message="Your organization must be verified to stream this model. Please go to: https://platform.example/verify.")
    assert (found.cause, found.blame, found.link) == ("account_action", "credential_model", "https://platform.example/verify")


@pytest.mark.parametrize("code", ["invalid_api_key", "account_deactivated"])
def test_a_code_that_speaks_of_the_hosts_key_is_not_for_clients(code: str) -> None:
    found = judged(401, code=code)
    assert found.code is None
    assert code in found.detail


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("gpt-9", True),
        ("chatgpt-4o-latest", True),
        ("o3-mini", True),
        ("o1", True),
        ("ft:gpt-4o:us::1", True),
        ("text-embedding-4-large", True),
        ("claude-5", False),
        ("openai/gpt-9", False),
        ("my-gpt-9", False),
        ("gpt", False),
    ],
)
def test_names_of_openais_kind_are_known_before_a_list_has_them(name: str, taken: bool) -> None:
    assert matches_any(name, PATTERNS) is taken


def test_models_of_a_server_keep_what_was_said_of_them() -> None:
    said = ModelSettings(name="ours", upstream="theirs", context=8192, max_output=1024)
    provider = compatible("acme", ServerSettings(base_url="http://x/v1", models=("plain", said)))
    assert provider.models == [ModelInfo(id="plain"), ModelInfo(id="ours", upstream="theirs", context=8192, max_output=1024)]


@pytest.mark.parametrize(("auth", "needs", "optional"), [(None, True, True), ("bearer", True, False), ("none", False, False)], ids=str)
def test_a_server_needs_a_key_if_it_was_said_so(auth: Any, needs: bool, optional: bool) -> None:
    provider = compatible("acme", ServerSettings(base_url="http://x/v1", auth=auth))
    assert (provider.auth is not None, provider.key_optional) == (needs, optional)
