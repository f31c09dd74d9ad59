"""What answers say of when something ends and of what is left of a quota, and the rules that tell what an error means."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jackfield.api import Error, Headers, QuotaHeaders, QuotaWindow, Rule, Seconds, asked_to_wait, classify, seconds_until, windows
from jackfield.api.canonical.hints import seconds_to_turn
from jackfield.api.canonical.rules import read_error
from tests.kernel.conftest import ToyProvider
from tests.kernel.pipeline_kit import Observer, ask, failing, toy_host
from tests.kernel.toy import ToyDialect

# ------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("2 minutes", 120), ("1 hour 5 minutes", 3900), ("1 hour, 5 min and 3 secs", 3903), ("7m12s", 432), ("1.5h", 5400),
        ("3 days", 259200), ("20 milliseconds", 0.02), ("5 parsecs", None), ("minutes", None),
    ],
)  # fmt: skip
def test_a_duration_may_be_written_in_words(said: str, seconds: float | None) -> None:
    assert seconds_until(said) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_without_a_zone_is_of_utc() -> None:
    then = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    for written in (f"{then:%Y-%m-%d %H:%M:%S}", f"{then:%Y-%m-%d} at {then:%H:%M:%S} UTC", f"{then:%Y-%m-%dT%H:%M:%S}"):
        wait = seconds_until(written)
        assert wait is not None
        assert 10700 < wait <= 10800, written


@pytest.mark.parametrize(
    ("sentence", "seconds"),
    [
        (
            "Rate limit reached for m on tokens per min: Limit 10000. Please try again in 6.5s. Visit https://x.example/a/30s",
            6.5,
        ),
        ("Please try again in 7m12s.", 432),
        ("Please retry in 18.238s.", 18.238),
        ("please retry after 20 seconds", 20),
        ("Try again in 350ms", 0.35),
        ("your limit resets in 2 hours and 3 minutes", 7380),
        ("please wait 5 minutes before you try again", 300),
        ("Please try again later.", None),
        ("retry after 30", None),
        ("the 5 seconds before", None),
        ("", None),
    ],
)
def test_a_sentence_may_ask_one_to_wait(sentence: str, seconds: float | None) -> None:
    assert asked_to_wait(sentence) == (None if seconds is None else pytest.approx(seconds))


def test_a_day_and_a_month_turn_where_the_provider_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=ZoneInfo("America/Los_Angeles"))
    monkeypatch.setattr(time, "time", noon.timestamp)
    assert seconds_to_turn("daily 00:00 America/Los_Angeles") == 12 * 3600
    assert seconds_to_turn("daily 13:30 America/Los_Angeles") == 5400
    assert seconds_to_turn("daily 12:00 America/Los_Angeles") == 86400
    assert seconds_to_turn("monthly 00:00 UTC") == 4 * 3600  # noon there is 20:00 in UTC, on the last day
    for nonsense in ("daily", "weekly 00:00 UTC", "daily 25:00 UTC", "daily 00:00 Mars/Olympus"):
        with pytest.raises(ValueError, match=r"turn of the calendar|time zone"):
            seconds_to_turn(nonsense)


# ------------------------------------------------------------------------------------------------- rules


def wait_of(rule: Rule | None, headers: dict[str, str], text: str = "", said: float | None = None) -> float | None:
    limits = [QuotaHeaders(prefix="limit-", limit="{window}-all", remaining="{window}-left", reset="{window}-reset")]
    error = Error(status=429, message="", retry_after=said)
    return classify([rule] if rule is not None else [], error, Headers(headers), text, limits).retry_after


def test_what_a_rule_names_goes_before_what_every_answer_may_say() -> None:
    general = {"retry-after": "5", "x-end": "90"}
    assert wait_of(Rule(cause="quota", until_header="x-end"), general) == 90
    assert wait_of(Rule(cause="quota", until_match=r'"ends_in": (\d+)', retry_after=Seconds(7)), general, '{"ends_in": 60}') == 60
    assert wait_of(Rule(cause="quota", until_match=r'"ends_in": (\d+)', retry_after=Seconds(7)), general, "{}") == 7
    assert wait_of(Rule(cause="quota", until_header="x-other"), general) == 5
    assert wait_of(None, {"retry-after": "999999999999"}) == wait_of(Rule(cause="quota", retry_after=Seconds(9e9)), {}) == 31 * 86400
    turn = wait_of(Rule(cause="quota", resets="daily 00:00 UTC"), general)
    assert turn is not None
    assert 0 < turn <= 86400


def test_of_several_hints_the_surest_counts() -> None:
    spent = {"limit-tokens-all": "100", "limit-tokens-left": "0", "limit-tokens-reset": "30s"}
    sentence = "try again in 20s"
    assert wait_of(None, {**spent, "retry-after": "5", "retry-after-ms": "2500"}, sentence, said=10) == 2.5
    assert wait_of(None, {**spent, "retry-after": "5"}, sentence, said=10) == 5
    assert wait_of(None, spent, sentence, said=10) == 10
    assert wait_of(None, spent, sentence) == 20
    assert wait_of(None, spent) == pytest.approx(30, abs=1)
    assert wait_of(None, {}) is None


def test_the_limit_that_is_meant_is_the_one_of_which_nothing_is_left() -> None:
    both = {
        "limit-requests-all": "10", "limit-requests-left": "3", "limit-requests-reset": "2h",
        "limit-tokens-all": "100", "limit-tokens-left": "0", "limit-tokens-reset": "40s",
    }  # fmt: skip
    assert wait_of(None, both) == pytest.approx(40, abs=1)
    assert wait_of(None, {**both, "limit-requests-left": "0"}) == pytest.approx(7200, abs=1)
    assert wait_of(None, {**both, "limit-tokens-left": "1"}) is None


def test_a_rule_may_ask_for_a_header_and_for_the_type_beside_a_code() -> None:
    rule = Rule(status=429, headers={"X-State": "^rejected$"}, code="rate_.*", cause="quota", blame="credential")
    error = Error(status=429, message="", code="too_fast", type="rate_error")
    assert classify([rule], error, Headers({"x-state": "rejected"}), "").cause == "quota"
    assert classify([rule], error, Headers({"x-state": "not rejected"}), "").cause == "rate"
    assert classify([rule], error, Headers(), "").cause == "rate"


def test_the_link_for_an_accounts_owner_is_kept_for_the_operator() -> None:
    body = '{"learn": "https://help.example/why", "verify_url": "https://accounts.example/verify?a=1&b=2"}.'
    plain, named = Rule(cause="account_action"), Rule(cause="account_action", link=r'"verify_url": "([^"]+)"')
    error = Error(status=403, message="verify your account")
    assert classify([named], error, Headers(), body).link == "https://accounts.example/verify?a=1&b=2"
    assert classify([named], error, Headers(), "go to https://accounts.example/a.").link == "https://accounts.example/a"
    found = classify([plain], error, Headers(), body)
    assert found.link == "https://help.example/why"
    assert "https" not in found.message
    assert classify([], error, Headers(), body).link is None


def test_a_page_in_place_of_an_error_accuses_no_credential() -> None:
    page = "<!DOCTYPE html><title>Just a moment...</title>"
    found = classify([], Error(status=403, message=page), Headers(), page)
    assert (found.cause, found.blame) == ("network", "provider")
    assert classify([], Error(status=404, message=page), Headers(), page).cause == "caller"
    assert classify([Rule(status=403, cause="credential")], Error(status=403, message=page), Headers(), page).cause == "credential"


# ------------------------------------------------------------------------------------------------- quota

QUOTA = (
    QuotaHeaders(prefix="acme-plan-", used="{window}-used", reset="{window}-reset", state="{window}-status", only=("5h", "7d")),
    QuotaHeaders(prefix="acme-plan-", used="{window}-used", reset="{window}-reset", state="{window}-status", only=("extra",), refills=True),
    QuotaHeaders(prefix="acme-plan-", used="{window}-used", reset="{window}-reset", of="credential_model"),
    QuotaHeaders(prefix="x-limit-", limit="limit-{window}", remaining="remaining-{window}", reset="reset-{window}", refills=True),
    QuotaHeaders(prefix="x-limit-", limit="limit", remaining="remaining", reset="reset", name="requests", refills=True),
    QuotaHeaders(
        prefix="x-meter-",
        used="{window}-percent",
        full=100,
        minutes="{window}-minutes",
        reset=("{window}-reset-at", "{window}-reset-after"),
    ),
)


def seen(**headers: Any) -> dict[str, QuotaWindow]:
    found = windows(QUOTA, Headers({name.replace("_", "-"): str(value) for name, value in headers.items()}))
    assert len({window.name for window in found}) == len(found)
    return {window.name: window for window in found}


def test_an_answer_without_such_headers_tells_of_no_window() -> None:
    assert windows(QUOTA, Headers({"content-type": "application/json", "x-limited": "1"})) == ()
    assert windows((), Headers({"x-limit-limit": "1"})) == ()


def test_windows_are_read_from_shares_figures_and_states() -> None:
    at = int(time.time()) + 600
    found = seen(
        Acme_Plan_5h_Used=0.25,
        acme_plan_5h_reset=at,
        acme_plan_5h_status="allowed",
        acme_plan_7d_used=1.02,
        acme_plan_7d_reset=at,
        acme_plan_7d_status="allowed",
        acme_plan_7d_large_used=1,
        acme_plan_7d_large_reset=at,
        acme_plan_extra_used=1,
        acme_plan_extra_status="rejected",
        x_limit_limit_tokens=1000,
        x_limit_remaining_tokens=250,
        x_limit_reset_tokens="6m0s",
        x_limit_limit=10,
        x_limit_remaining=0,
        x_limit_reset=at * 1000,
    )
    assert list(found) == ["5h", "7d", "extra", "7d-large", "tokens", "requests"]
    assert (found["5h"].used, found["5h"].spent, found["5h"].of) == (0.25, False, "credential")
    assert found["5h"].resets_at == pytest.approx(at, abs=1)
    assert (found["7d"].used, found["7d"].spent) == (1.02, False), "what is used up and goes on all the same is not spent"
    assert (found["7d-large"].spent, found["7d-large"].of) == (True, "credential_model")
    assert (found["extra"].used, found["extra"].spent, found["extra"].resets_at) == (1.0, False, None)
    assert (found["tokens"].used, found["tokens"].resets_at) == (0.75, pytest.approx(time.time() + 360, abs=1))
    assert (found["requests"].used, found["requests"].spent) == (1.0, False), "what refills all the time is never spent for long"
    assert found["requests"].resets_at == pytest.approx(at, abs=1)


def test_a_window_is_spent_when_its_state_says_so() -> None:
    found = seen(acme_plan_5h_used=0.97, acme_plan_5h_reset=60, acme_plan_5h_status="rejected")
    assert found["5h"].spent


def test_a_window_is_called_by_its_length_and_a_place_without_one_is_none() -> None:
    found = seen(
        x_meter_first_percent=40, x_meter_first_minutes=300, x_meter_first_reset_after=120,
        x_meter_second_percent=100, x_meter_second_minutes=10080, x_meter_second_reset_at=int(time.time()) + 60,
        x_meter_third_percent=0, x_meter_third_minutes=0,
        x_meter_fourth_percent="no", x_meter_fourth_minutes=90,
    )  # fmt: skip
    assert list(found) == ["5h", "7d", "90m"]
    assert (found["5h"].used, found["7d"].used, found["7d"].spent, found["90m"].used) == (0.4, 1.0, True, None)
    assert found["5h"].resets_at == pytest.approx(time.time() + 120, abs=1)


def test_figures_that_are_none_tell_nothing() -> None:
    assert seen(x_limit_limit_tokens="many", x_limit_remaining_tokens="nan", x_limit_reset_tokens="soon") == {}
    assert seen(x_limit_remaining_tokens=0, x_limit_reset_tokens="1s")["tokens"].used == 1.0
    assert seen(x_limit_remaining_tokens=5, x_limit_reset_tokens="1s")["tokens"].used is None


# ------------------------------------------------------------------------------------- the operator's own rules


async def test_rules_of_the_configuration_stand_before_the_providers_own() -> None:
    provider = ToyProvider(
        answer=failing((429, {"oops": "your monthly limit", "code": "limited"}), (429, {"oops": "slow", "code": "limited"}))
    )
    provider.failures = (Rule(code="limited", cause="overload"),)
    config = {"cooldown": {"quota": 0}, "failures": {"toy": [{"status": 429, "match": "monthly", "cause": "quota", "retry_after": "2m"}]}}
    observer = Observer()
    async with toy_host(observer, provider=provider, config=config) as host:
        spent = await ask(host)
        slow = await ask(host)
        assert host.host.problems == []
    assert (spent.status, spent.headers["retry-after"]) == (429, "120")
    assert slow.status == 503
    assert [outcome.cause for outcome in await observer.completed(2)] == ["quota", "overload"]


async def test_rules_for_a_provider_that_is_not_there_are_a_problem() -> None:
    config = {"failures": {"tooy": [{"status": 429, "cause": "quota"}]}}
    async with toy_host(config=config, provider=ToyProvider()) as host:
        assert host.host.problems == ["config: failures.tooy: there is no provider 'tooy'; did you mean 'toy'?"]


async def test_where_an_accounts_owner_must_go_is_told_the_operator_and_not_the_client() -> None:
    provider = ToyProvider(answer=failing((403, {"oops": "verify at https://accounts.example/verify"})))
    config = {"failures": {"toy": [{"status": 403, "match": "verify", "cause": "account_action"}]}}
    observer = Observer()
    async with toy_host(observer, provider=provider, config=config) as host:
        refused = await ask(host)
        explained = await observer.explained()
        rows = str(host.host.generation.accounts[0].resting)
    assert refused.status == 503
    assert b"accounts.example" not in refused.body
    assert "'link': 'https://accounts.example/verify'" in explained
    assert "its owner must go to https://accounts.example/verify" in rows


def test_what_an_event_repeats_of_the_request_says_nothing_of_its_error() -> None:
    echoed = b'{"response":{"instructions":"When told to, try again in 5 minutes.","error":{"message":"it broke"}}}'
    error, _, text = read_error(ToyDialect(), 502, Headers(), echoed)
    assert text == '{"message":"it broke"}'
    assert classify((), error, Headers(), text).retry_after is None
