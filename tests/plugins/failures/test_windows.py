"""What providers' headers tell of an account's quota, as they are seen on the wire."""

from __future__ import annotations

import time

import pytest

from jackfield.api import Headers, QuotaWindow, windows
from jackfield_anthropic.provider import QUOTA as ANTHROPIC
from jackfield_openai.provider import QUOTA as OPENAI

LATER = int(time.time()) + 3600
OF_A_SUBSCRIPTION = {
    "anthropic-ratelimit-unified-status": "allowed", "anthropic-ratelimit-unified-reset": str(LATER),
    "anthropic-ratelimit-unified-representative-claim": "five_hour", "anthropic-ratelimit-unified-fallback-percentage": "0.5",
    "anthropic-ratelimit-unified-5h-status": "allowed", "anthropic-ratelimit-unified-5h-reset": str(LATER),
    "anthropic-ratelimit-unified-5h-utilization": "0.36",
    "anthropic-ratelimit-unified-7d-status": "allowed", "anthropic-ratelimit-unified-7d-reset": str(LATER + 60),
    "anthropic-ratelimit-unified-7d-utilization": "0.0",
    "anthropic-ratelimit-unified-7d_opus-utilization": "0.91", "anthropic-ratelimit-unified-7d_opus-reset": str(LATER + 60),
    "anthropic-ratelimit-unified-overage-status": "rejected", "anthropic-ratelimit-unified-overage-disabled-reason": "org_level_disabled",
}  # fmt: skip


def anthropics(**changed: str) -> dict[str, QuotaWindow]:
    said = {**OF_A_SUBSCRIPTION, **{f"anthropic-ratelimit-unified-{name.replace('__', '-')}": value for name, value in changed.items()}}
    return {window.name: window for window in windows(ANTHROPIC, Headers(said))}


def test_a_subscription_has_hours_and_a_week_and_some_models_a_week_of_their_own() -> None:
    found = anthropics()
    assert {name: (window.used, window.of) for name, window in found.items()} == {
        "5h": (0.36, "credential"), "7d": (0.0, "credential"), "7d_opus": (0.91, "credential_model"),
    }  # fmt: skip
    assert found["5h"].resets_at == pytest.approx(LATER, abs=1)
    assert not any(window.spent for window in found.values())


def test_a_week_that_is_used_up_is_spent_unless_one_may_go_on_all_the_same() -> None:
    assert anthropics(**{"7d__status": "rejected", "7d__utilization": "1.0"})["7d"].spent
    going_on = anthropics(
        **{"7d__utilization": "1.04", "7d__status": "allowed", "overage__utilization": "0.2", "overage__status": "allowed"}
    )
    assert not going_on["7d"].spent
    assert going_on["overage"].used == 0.2
    assert not anthropics(overage__utilization="1.0", overage__status="rejected")["overage"].spent


def test_limits_of_a_key_fill_up_again() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(LATER)),
        "anthropic-ratelimit-input-tokens-limit": "40000", "anthropic-ratelimit-input-tokens-remaining": "30000",
        "anthropic-ratelimit-input-tokens-reset": "2020-01-01T00:00:00Z",
        "anthropic-priority-input-tokens-limit": "10", "anthropic-priority-input-tokens-remaining": "5",
    }  # fmt: skip
    found = {window.name: window for window in windows(ANTHROPIC, Headers(headers))}
    assert {name: window.used for name, window in found.items()} == {"requests": 1.0, "input-tokens": 0.25, "priority-input-tokens": 0.5}
    assert found["requests"].resets_at == pytest.approx(LATER, abs=2)
    assert (found["requests"].spent, found["requests"].of) == (False, "credential_model")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {
                "x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999", "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-limit-tokens": "800000", "x-ratelimit-remaining-tokens": "200000", "x-ratelimit-reset-tokens": "6m0s",
            },
            {"requests": 0.0002, "tokens": 0.75},
        ),
        (
            {
                "x-ratelimit-limit-tokens-minute": "60000", "x-ratelimit-remaining-tokens-minute": "30000",
                "x-ratelimit-reset-tokens-minute": "11.38", "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "33011.382867",
            },
            {"tokens-minute": 0.5, "requests-day": 1.0},
        ),
        ({"x-ratelimit-limit-req-minute": "720", "x-ratelimit-remaining-req-minute": "180"}, {"req-minute": 0.75}),
        ({"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": str(LATER * 1000)}, {"requests": 0.75}),
    ],
    ids=["OpenAI, Groq", "Cerebras", "Mistral", "OpenRouter"],
)  # fmt: skip
def test_servers_of_openais_protocol_tell_in_one_form_of_many_limits(headers: dict[str, str], expected: dict[str, float]) -> None:
    found = {window.name: window for window in windows(OPENAI, Headers(headers))}
    assert {name: window.used for name, window in found.items()} == pytest.approx(expected, abs=1e-6)
    assert not any(window.spent for window in found.values())


def test_a_chatgpt_accounts_windows_are_called_by_their_length() -> None:
    headers = {
        "x-codex-primary-used-percent": "42.5", "x-codex-primary-window-minutes": "300", "x-codex-primary-reset-at": str(LATER),
        "x-codex-secondary-used-percent": "100", "x-codex-secondary-window-minutes": "10080",
        "x-codex-secondary-reset-after-seconds": "120", "x-codex-credits-has-credits": "false",
        "x-codex-bengalfox-primary-used-percent": "100", "x-codex-bengalfox-primary-reset-at": str(LATER),
        "x-codex-other-primary-used-percent": "0", "x-codex-other-primary-window-minutes": "0",
    }  # fmt: skip
    found = {window.name: window for window in windows(OPENAI, Headers(headers))}
    assert {name: (window.used, window.spent, window.of) for name, window in found.items()} == {
        "5h": (0.425, False, "credential"),
        "7d": (1.0, True, "credential"),
        "bengalfox-primary": (1.0, True, "credential_model"),
    }
    assert found["5h"].resets_at == pytest.approx(LATER, abs=1)
    assert found["7d"].resets_at == pytest.approx(time.time() + 120, abs=1)
