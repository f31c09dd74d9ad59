"""What the Gemini API's errors mean, what a client is told of them, and what may be set of the provider."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from jackfield.api import Failure, Headers, ModelInfo, Secret, matches_any
from jackfield_gemini import Config
from jackfield_gemini.provider import BASE_URL, PATTERNS, ModelSettings, ServerSettings, compatible, gemini
from tests.plugins.gemini.gemini_wire import GEMINI

TYPE = "type.googleapis.com/google.rpc."


def judged(
    status: int, message: str = "words of the upstream", *details: Any, headers: dict[str, str] | None = None, **error: Any
) -> Failure:
    body = {"error": {"code": status, "message": message, **({"details": list(details)} if details else {})}}
    return gemini(BASE_URL, None).classify(GEMINI, status, Headers(headers or {}), json.dumps(body).encode())


def info(reason: str) -> dict[str, str]:
    return {"@type": f"{TYPE}ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def quota(name: str) -> dict[str, Any]:
    return {"@type": f"{TYPE}QuotaFailure", "violations": [{"quotaMetric": "m", "quotaId": name}]}


RETRY = {"@type": f"{TYPE}RetryInfo", "retryDelay": "48s"}
PER_DAY, PER_MINUTE = (
    quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
    quota("GenerateContentPaidTierInputTokensPerModelPerMinute"),
)


@pytest.mark.parametrize(
    ("found", "cause", "help_", "shown"),
    [
        (judged(400), "caller", "none", 400),
        (judged(400, "API key not valid. Please pass a valid API key.", info("API_KEY_INVALID")), "credential", "another", 503),
        (judged(400, "API key expired. Please renew the API key."), "credential", "another", 503),
        (judged(403, "Your API key was reported as leaked."), "credential", "another", 503),
        (judged(403), "credential", "another", 503),
        (judged(403, "blocked", info("API_KEY_SERVICE_BLOCKED")), "credential", "another", 503),
        (judged(403, "off", info("SERVICE_DISABLED")), "account_action", "another", 503),
        (judged(400, "User location is not supported for the API use."), "account_action", "another", 503),
        (judged(400, "Please enable billing on project"), "account_action", "another", 503),
        (judged(401), "credential", "another", 503),
        (
            judged(404, "models/x is not found for API version v1beta, or is not supported for generateContent."),
            "unsupported",
            "another",
            404,
        ),
        (judged(404, "Publisher Model `projects/p/models/x` not found."), "unsupported", "another", 404),
        (judged(403, "Permission 'predict' denied on resource '//a/publishers/google/models/x'"), "unsupported", "another", 403),
        (judged(403, "You do not have permission to access the File abc or it may not exist."), "caller", "another", 403),
        (judged(403, "CachedContent not found (or permission denied)"), "caller", "another", 403),
        (judged(404), "caller", "none", 404),
        (judged(429, "q", PER_DAY, RETRY), "quota", "another", 429),
        (judged(429, "q", PER_MINUTE, RETRY), "rate", "another", 429),
        (judged(429, "Quota exceeded for metric: x, limit: 0, model: y"), "unsupported", "another", 429),
        (judged(429), "rate", "another", 429),
        (judged(500), "upstream", "another", 502),
        (judged(503, "The model is overloaded. Please try again later."), "overload", "another", 503),
        (judged(504), "upstream", "another", 502),
        (judged(502, "failed", info("MALFORMED_FUNCTION_CALL")), "upstream", "another", 502),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Failure) else str(value),
)
def test_an_error_is_understood(found: Failure, cause: str, help_: str, shown: int) -> None:
    assert (found.cause, found.help, found.shown_status) == (cause, help_, shown)
    if cause not in ("caller", "content", "unsupported"):
        assert "words of the upstream" not in found.message
    assert found.detail


def test_an_error_says_when_to_come_again() -> None:
    assert judged(429, "q", PER_MINUTE, RETRY).retry_after == 48
    assert judged(429, "q", PER_MINUTE, RETRY, headers={"Retry-After": "3"}).retry_after == 3
    assert judged(429).retry_after is None


def test_a_quota_of_a_day_ends_at_midnight_in_california_whatever_the_answer_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    evening = datetime(2026, 7, 1, 22, 30, tzinfo=ZoneInfo("America/Los_Angeles"))
    monkeypatch.setattr(time, "time", evening.timestamp)
    assert judged(429, "q", PER_DAY, RETRY, headers={"Retry-After": "3"}).retry_after == 5400
    assert judged(429, "Please retry in 18.5s.").retry_after == 18.5


def test_an_account_that_must_be_verified_is_shown_the_way() -> None:
    details = {**info("VALIDATION_REQUIRED"), "metadata": {
        "validation_learn_more_url": "https://support.google.com/accounts?p=al_alert",
        "validation_url": "https://accounts.google.com/signin/continue?sarp=1&plt=AKgn",
    }}  # fmt: skip
    found = judged(403, "Verify your account to continue.", details)
    assert (found.cause, found.blame, found.link) == (
        "account_action", "credential", "https://accounts.google.com/signin/continue?sarp=1&plt=AKgn",
    )  # fmt: skip
    assert "accounts.google.com" not in found.message


def test_a_failed_answer_blames_nobody() -> None:
    raw = b'{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}'
    as_it_came = gemini(BASE_URL, None).classify(GEMINI, 502, Headers(), raw)
    assert (as_it_came.cause, as_it_came.blame, as_it_came.help) == ("upstream", "request", "another")
    error = GEMINI.glance(b'{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}').error
    assert error is not None
    found = gemini(BASE_URL, None).classify(GEMINI, 502, Headers(), GEMINI.encode_error(error))
    assert (found.cause, found.blame, found.help) == ("upstream", "request", "another")


@pytest.mark.parametrize(
    ("name", "taken"), [("gemini-9-ultra", True), ("gemma-4-27b-it", True), ("gpt-9", False), ("google/gemini-9", False), ("gemini", False)]
)
def test_names_of_googles_kind_are_known_before_a_list_has_them(name: str, taken: bool) -> None:
    assert matches_any(name, PATTERNS) is taken


def test_the_key_stands_in_googles_header_and_in_two_variables() -> None:
    auth = gemini(BASE_URL, None).auth
    assert auth is not None
    assert tuple(auth.env) == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert list(auth.headers(Secret("k"))) == [("x-goog-api-key", "k")]


def test_models_of_a_server_keep_what_was_said_of_them() -> None:
    said = ModelSettings(name="ours", upstream="theirs", context=8192, max_output=1024)
    provider = compatible("acme", ServerSettings(base_url="http://x/v1beta", models=("plain", said)))
    assert provider.models == [ModelInfo(id="plain"), ModelInfo(id="ours", upstream="theirs", context=8192, max_output=1024)]


@pytest.mark.parametrize(
    ("auth", "header", "optional"),
    [
        (None, "x-goog-api-key", True),
        ("key", "x-goog-api-key", False),
        ("bearer", "Authorization", False),
        ({"type": "key", "header": "x-key"}, "x-key", False),
        ("none", None, False),
    ],
    ids=str,
)
def test_a_server_gets_its_key_as_it_was_said(auth: Any, header: str | None, optional: bool) -> None:
    settings = msgspec.convert({"base_url": "http://x/v1beta", "auth": auth}, ServerSettings)
    provider = compatible("acme", settings)
    assert (next(iter(provider.auth.headers(Secret("k"))))[0] if provider.auth else None) == header
    assert provider.key_optional is optional


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"base_url": "ftp://x"}, "base_url: expected a URL"),
        ({"base_url": "https://u:p@x/v1"}, "a password in it"),
        ({"providers": {"gemini": {"base_url": "http://x"}}}, "belongs to the Gemini API"),
        ({"providers": {"A B": {"base_url": "http://x"}}}, "lower-case"),
        ({"providers": {"a": {}}}, "base_url"),
        ({"keys": 1}, "keys"),
    ],
    ids=str,
)
def test_wrong_settings_are_told(said: Any, told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(said, Config)
