"""The provider Anthropic: what its errors mean, what is sent to it, and servers that speak its protocol."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from jackfield.api import Failure, Headers, ModelInfo, Secret, matches_any
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield_anthropic import Config
from jackfield_anthropic.provider import PATTERNS, AnthropicSettings, ModelSettings, ServerSettings, anthropic, compatible
from tests.plugins.anthropic.messages_wire import MESSAGES, answer


def judged(status: int, type_: str, message: str = "words of the upstream", headers: dict[str, str] | None = None) -> Failure:
    body = msgspec.json.encode({"type": "error", "error": {"type": type_, "message": message}})
    return anthropic(AnthropicSettings()).classify(MESSAGES, status, Headers(headers or {}), body)


@pytest.mark.parametrize(
    ("status", "type_", "message", "cause", "blame", "help_", "shown"),
    [
        (400, "invalid_request_error", "words", "caller", "request", "none", 400),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", "caller", "request", "none", 400),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            "quota",
            "credential",
            "another",
            429,
        ),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", "quota", "credential", "another", 429),
        (400, "invalid_request_error", "This organization has been disabled.", "account_action", "credential", "another", 503),
        (400, "invalid_request_error", "Output blocked by content filtering policy", "content", "request", "none", 400),
        (
            401,
            "authentication_error",
            "OAuth authentication is currently not allowed for this organization.",
            "account_action",
            "credential",
            "another",
            503,
        ),
        (
            400,
            "invalid_request_error",
            "You're out of extra usage. Add more at claude.ai/settings/usage",
            "quota",
            "request",
            "another",
            429,
        ),
        (404, "not_found_error", "File not found: file_011", "caller", "request", "another", 404),
        (401, "authentication_error", "invalid x-api-key", "credential", "credential", "another", 503),
        (402, "billing_error", "words", "quota", "credential", "another", 429),
        (403, "permission_error", "words", "credential", "credential", "another", 503),
        (403, "permission_error", "no access to model: claude-x", "unsupported", "credential_model", "another", 403),
        (404, "not_found_error", "model: claude-9", "unsupported", "credential_model", "another", 404),
        (404, "not_found_error", "Not Found", "caller", "request", "none", 404),
        (413, "request_too_large", "words", "caller", "request", "none", 413),
        (429, "rate_limit_error", "words", "rate", "credential_model", "another", 429),
        (429, "rate_limit_error", "Extra usage is required for long context requests", "unsupported", "request", "another", 429),
        (500, "api_error", "words", "upstream", "provider", "another", 502),
        (500, "overloaded_error", "Overloaded", "overload", "credential_model", "another", 503),
        (503, "api_error", "service overloaded", "overload", "credential_model", "another", 503),
        (504, "timeout_error", "words", "upstream", "provider", "another", 502),
        (529, "overloaded_error", "Overloaded", "overload", "credential_model", "another", 503),
    ],
)
def test_an_error_is_understood(status: int, type_: str, message: str, cause: str, blame: str, help_: str, shown: int) -> None:
    found = judged(status, type_, message)
    assert (found.cause, found.blame, found.help, found.shown_status) == (cause, blame, help_, shown)
    assert (found.message == message) == (cause in ("caller", "content", "unsupported"))


UNIFIED = "anthropic-ratelimit-unified"


@pytest.mark.parametrize(
    ("claim", "blame"), [("five_hour", "credential"), ("seven_day", "credential"), ("seven_day_opus", "credential_model")]
)
def test_a_subscription_that_is_used_up_is_a_quota_until_its_window_ends(claim: str, blame: str) -> None:
    headers = {f"{UNIFIED}-status": "rejected", f"{UNIFIED}-representative-claim": claim, f"{UNIFIED}-reset": str(int(time.time()) + 900)}
    found = judged(429, "rate_limit_error", "This request would exceed your account's rate limit.", {**headers, "retry-after": "5"})
    assert (found.cause, found.blame) == ("quota", blame)
    assert found.retry_after == pytest.approx(900, abs=2)
    long = judged(429, "rate_limit_error", "Extra usage is required for long context requests.", headers)
    assert (long.cause, long.blame) == ("unsupported", "request")
    assert judged(429, "rate_limit_error", headers={f"{UNIFIED}-status": "allowed"}).cause == "rate"


def test_a_limit_that_was_set_says_when_access_comes_back() -> None:
    then = time.gmtime(time.time() + 7200)
    found = judged(
        400,
        "invalid_request_error",
        f"You have reached your specified API usage limits. You will regain access on {time.strftime('%Y-%m-%d at %H:%M UTC', then)}.",
    )
    assert found.cause == "quota"
    assert found.retry_after == pytest.approx(7200, abs=61)


def test_the_limit_of_a_tier_ends_with_the_month() -> None:
    body = {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": "enforced_spend_limit_reached"}},
    }
    found = anthropic(AnthropicSettings()).classify(MESSAGES, 429, Headers(), msgspec.json.encode(body))
    assert (found.cause, found.blame) == ("quota", "credential")
    assert found.retry_after is not None
    assert 0 < found.retry_after <= 31 * 86400


def test_a_rate_limit_says_when_to_come_again() -> None:
    assert judged(429, "rate_limit_error", headers={"Retry-After": "20"}).retry_after == 20


@pytest.mark.parametrize("raw", [b"<html>bad gateway</html>", b"", b"{}"])
def test_an_answer_of_another_form_is_a_fault_of_the_provider(raw: bytes) -> None:
    found = anthropic(AnthropicSettings()).classify(MESSAGES, 502, Headers(), raw)
    assert (found.cause, found.blame) == ("upstream", "provider")


@pytest.mark.parametrize(
    ("name", "taken"), [("claude-opus-9", True), ("claude-3-haiku", True), ("gpt-9", False), ("anthropic/claude-9", False)]
)
def test_names_of_anthropics_kind_are_known_before_a_list_has_them(name: str, taken: bool) -> None:
    assert matches_any(name, PATTERNS) is taken


def test_models_of_a_server_keep_what_was_said_of_them() -> None:
    said = ModelSettings(name="ours", upstream="theirs", context=8192, max_output=1024)
    provider = compatible("acme", ServerSettings(base_url="http://x", models=("plain", said)))
    assert provider.models == [ModelInfo(id="plain"), ModelInfo(id="ours", upstream="theirs", context=8192, max_output=1024)]


@pytest.mark.parametrize(
    ("auth", "headers", "optional"),
    [
        (None, ["x-api-key"], True),
        ("x-api-key", ["x-api-key"], False),
        ("bearer", ["Authorization"], False),
        ({"type": "bearer", "env": "K"}, ["Authorization"], False),
        ("none", None, False),
        ({"type": "none"}, None, False),
    ],
    ids=str,
)
def test_a_server_gets_its_key_as_it_wants_it(auth: Any, headers: list[str] | None, optional: bool) -> None:
    settings = msgspec.convert({"base_url": "http://x", **({"auth": auth} if auth is not None else {})}, ServerSettings)
    provider = compatible("acme", settings)
    assert (provider.auth is not None, provider.key_optional) == (headers is not None, optional)
    if provider.auth is not None:
        assert [name for name, _ in provider.auth.headers(Secret("k"))] == headers


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "https://me:secret@x"}, "password"),
        ({"providers": {"UPPER": {"base_url": "http://x"}}}, "lower-case"),
        ({"providers": {"anthropic": {"base_url": "http://x"}}}, "belongs to Anthropic"),
        ({"providers": {"acme": {"base_url": "x"}}}, "base_url"),
        ({"providers": {"acme": {"base_url": "http://x", "paths": {"embed": "/e"}}}}, "unknown operation"),
        ({"providers": {"acme": {}}}, "base_url"),
        ({"key": "sk"}, "key"),
    ],
    ids=str,
)
def test_settings_that_are_wrong_are_told_in_one_sentence(config: Any, told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(config, Config)


# --------------------------------------------------------------------------------------------- what is sent to it

ASKED = {"model": "claude-m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


async def sent(settings: dict[str, Any], headers: dict[str, str], path: str = "/v1/messages") -> Any:
    """Return what an upstream gets for a request."""
    async with ScriptedUpstream(json_answer(answer({"type": "text", "text": "x"}))) as upstream:
        server = {"base_url": upstream.url, "models": ["claude-m"], **settings}
        config = {
            "plugins": {"anthropic": {"providers": {"acme": server}}},
            "credentials": [{"provider": "acme", "key": "sk-acme-0123456789"}],
        }
        async with Harness(config=config) as host:
            assert (await host.post(path, ASKED, headers)).status == 200
        return upstream.requests[0]


async def test_the_client_decides_on_the_version_and_is_completed() -> None:
    got = await sent({}, {})
    assert got.headers.all("anthropic-version") == ("2023-06-01",)
    assert got.headers.get("x-api-key") == "sk-acme-0123456789"
    assert "anthropic-beta" not in got.headers
    got = await sent({}, {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b", "x-claude-code-session-id": "s"})
    assert got.headers.all("anthropic-version") == ("2026-10-21",)
    assert got.headers.all("anthropic-beta") == ("a,b",)
    assert got.headers.get("x-claude-code-session-id") == "s"


async def test_features_of_the_settings_are_added_to_the_clients() -> None:
    settings = {"beta": ["b", "c"], "version": "2025-01-01", "headers": {"X-Team": "t"}, "auth": "bearer"}
    got = await sent(settings, {"anthropic-beta": "a, b"})
    assert got.headers.all("anthropic-beta") == ("a,b,c",)
    assert got.headers.all("anthropic-version") == ("2025-01-01",)
    assert got.headers.get("x-team") == "t"
    assert got.headers.get("authorization") == "Bearer sk-acme-0123456789"
    got = await sent(settings, {})
    assert got.headers.all("anthropic-beta") == ("b,c",)


async def test_the_clients_key_and_other_headers_stay_here() -> None:
    got = await sent({}, {"x-api-key": "the-clients-own", "cookie": "c=1", "x-stainless-lang": "python"})
    assert got.headers.all("x-api-key") == ("sk-acme-0123456789",)
    assert not {"cookie", "x-stainless-lang"} & {name.lower() for name, _ in got.headers}


async def test_the_beta_query_passes() -> None:
    assert (await sent({}, {}, "/v1/messages?beta=true&other=1")).target == "/v1/messages?beta=true"
    assert (await sent({"query": {"team": "t"}}, {})).target == "/v1/messages?team=t"
