"""The small types of the contract: bodies, headers, secrets, failures, units, patterns, pools, stores."""

from __future__ import annotations

import json
import logging
import pickle
import random
import string
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.api import (
    BadRequest,
    Body,
    Candidate,
    Credential,
    Error,
    Failure,
    Headers,
    NotDecoded,
    Pairs,
    Pool,
    Request,
    Rule,
    Seconds,
    Secret,
    Size,
    classify,
    failure,
    is_placeholder,
    matches,
    seconds_until,
)
from jackfield.api.testing import Harness
from jackfield.api.units import read_unit
from jackfield.credentials import Account
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.toy import ToyDialect

# ---------------------------------------------------------------------------------------------------- body

DIALECT = ToyDialect()
CODEC = (lambda raw: DIALECT.decode_request(raw, "generate"), lambda value, losses: DIALECT.encode_request(value, "generate", losses))
SAID = b'{"model": "m", "n": 1.10, "say": [{"who": "user", "words": "hi"}]}'


def body(raw: bytes = SAID, **options: Any) -> Body[Request]:
    return Body(raw, codec=CODEC, **options)


def test_a_body_is_read_in_three_forms_and_each_is_made_once() -> None:
    made = body()
    assert made.raw == SAID
    assert made.json["n"] == 1.1
    assert made.json is made.json
    assert made.canonical is made.request is made.response
    assert made.request is not None
    assert made.request.messages[0].text == "hi"


def test_a_canonical_body_is_written_when_its_bytes_are_needed() -> None:
    changed = body().with_canonical(Request(model="n"))
    assert json.loads(changed.raw) == {"model": "n", "stream": False, "say": []}
    assert changed.raw is changed.raw
    assert len(changed) == len(changed.raw)


def test_changes_make_a_new_body_and_keep_all_other_bytes() -> None:
    made = body()
    changed = made.with_changes({("say", 0, "words"): "bye"}, remove=[("model",)])
    assert changed.raw == b'{"n": 1.10, "say": [{"who": "user", "words": "bye"}]}'
    assert made.raw == SAID
    assert (changed.codec, changed.media_type) == (made.codec, made.media_type)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a": NaN}', b"{'a': 1}", b'{"a": "\\ud800"}', b"[" * 100_000])
def test_what_is_no_json_is_the_callers_mistake(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="not valid JSON"):
        body(raw).json  # noqa: B018


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b' {"\\u00e4":null} ', {"ä": None}),
        (b"[]", []),
        (b'"x"', "x"),
    ],
)
def test_odd_json_is_read_as_decoders_read_it(raw: bytes, value: Any) -> None:
    assert body(raw).json == value


def test_a_body_that_is_not_json_has_no_json_and_none_without_a_codec_is_canonical() -> None:
    audio: Body[Request] = Body(b"RIFF", media_type="audio/wav")
    assert (audio.json, audio.canonical, audio.raw, list(audio.fields)) == (None, None, b"RIFF", [])


def test_a_body_over_the_limit_is_not_parsed_in_any_form() -> None:
    large = body(limit=10)
    for read in (lambda: large.json, lambda: large.canonical, lambda: large.with_changes({("a",): 1})):
        with pytest.raises(NotDecoded, match=r"limits\.json"):
            read()
    assert large.raw == SAID
    assert "hi" not in repr(large)


# ------------------------------------------------------------------------------------------- headers and query

NAMES = st.sampled_from(["Accept", "ACCEPT", "accept", "X-Tag", "x-tag", "Other"])
PAIRS = st.lists(st.tuples(NAMES, st.text("ab", max_size=2)), max_size=8)


@settings(max_examples=100, deadline=None)
@given(PAIRS, NAMES)
def test_headers_are_looked_up_in_any_case_and_keep_their_order(pairs: list[tuple[str, str]], name: str) -> None:
    headers, values = Headers(pairs), [value for key, value in pairs if key.lower() == name.lower()]
    assert list(headers) == pairs
    assert headers.all(name) == tuple(values)
    assert headers.get(name) == (values[0] if values else None)
    assert (name in headers) == bool(values)
    assert headers == Headers(pairs)
    assert hash(headers) == hash(Headers(pairs))
    changed = headers.with_changes({name: "new"})
    assert changed.all(name) == ("new",)
    assert [pair for pair in changed if pair[0].lower() != name.lower()] == [pair for pair in pairs if pair[0].lower() != name.lower()]
    assert name not in headers.with_changes({name: None})
    assert list(headers) == pairs


@settings(max_examples=50, deadline=None)
@given(PAIRS, NAMES)
def test_query_keys_are_compared_exactly(pairs: list[tuple[str, str]], name: str) -> None:
    assert Pairs(pairs).all(name) == tuple(value for key, value in pairs if key == name)
    assert Pairs(pairs).get(name, "none") == next((value for key, value in pairs if key == name), "none")


def test_headers_cannot_be_changed_in_place_and_show_no_keys() -> None:
    headers = Headers({"Authorization": "Bearer sk-1", "X-Api-Key": "sk-2", "Cookie": "c", "Accept": "text"})
    with pytest.raises(TypeError):
        headers["Accept"] = "x"  # type: ignore[index]
    assert not {"sk-1", "sk-2"} & set(repr(headers).split())
    assert repr(headers) == "Headers(Authorization: ***, X-Api-Key: ***, Cookie: ***, Accept: text)"
    with pytest.raises(KeyError):
        headers["absent"]
    assert 3 not in headers


# -------------------------------------------------------------------------------------------------- secrets


def test_a_secret_shows_itself_in_no_way_but_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("sk-hidden")
    credential = Credential(provider="a", key=secret)
    logging.getLogger("jackfield").warning("%s %r %s", secret, credential, [secret])
    shown = [
        repr(secret), str(secret), f"{secret}", f"{secret:>30}", f"{secret!s}", repr({"k": secret}),
        repr(credential), caplog.text,
    ]  # fmt: skip
    assert all("hidden" not in text for text in shown)
    assert secret.reveal() == "sk-hidden"


@pytest.mark.parametrize(
    "write",
    [msgspec.json.encode, json.dumps, pickle.dumps, msgspec.to_builtins, lambda s: msgspec.json.encode(Credential(provider="a", key=s))],
)
def test_a_secret_is_in_nothing_that_is_written(write: Any) -> None:
    try:
        written = str(write(Secret("sk-hidden")))
    except (TypeError, pickle.PicklingError):
        return
    assert "hidden" not in written


def test_secrets_are_equal_when_their_texts_are_and_have_a_fingerprint_that_says_which() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a").fingerprint == Secret("a").fingerprint != Secret("b").fingerprint
    assert (bool(Secret("")), bool(Secret("a"))) == (False, True)


@pytest.mark.parametrize(
    "text", ["your-api-key", "YOUR_API_KEY", "sk-xxxx", "changeme", "<key>", "sk-...", "test-key", "xxx", " todo ", "{key}"]
)
def test_what_was_copied_from_a_template_is_a_placeholder(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["sk-1234abcd", "", "jf-9fK2", "sk-proj-T3BlbkFJ", "AIzaSyA-xy", "a" * 40, "gsk_keyless1"])
def test_a_real_key_is_no_placeholder(text: str) -> None:
    assert not is_placeholder(text)


def test_a_token_is_no_placeholder_whatever_its_letters_spell_and_is_looked_at_in_no_time() -> None:
    dice = random.Random(7)
    letters = string.ascii_letters + string.digits + "-_"
    tokens = ["".join(dice.choices(letters, k=length)) for length in (40, 51, 108, 164, 900, 2000) for _ in range(500)]
    begun = time.process_time()
    assert not any(map(is_placeholder, [*tokens, "my" + "a_" * 30, "sk-rather-long-token-1a2b", "a" * 300 + "my-key"]))
    assert time.process_time() - begun < 1


# ------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("status", "cause", "blame", "help", "shown"),
    [
        (400, "caller", "request", "none", 400), (401, "credential", "credential", "another", 503),
        (402, "quota", "credential_model", "another", 429), (403, "credential", "credential", "another", 503),
        (404, "caller", "request", "none", 404), (408, "upstream", "provider", "another", 502), (413, "caller", "request", "none", 413),
        (418, "unknown", "credential_model", "another", 502), (422, "caller", "request", "none", 422),
        (429, "rate", "credential_model", "another", 429), (451, "content", "request", "none", 451),
        (500, "upstream", "provider", "another", 502), (501, "unsupported", "request", "another", 400),
        (503, "overload", "credential_model", "another", 503), (504, "upstream", "provider", "another", 502),
        (529, "overload", "credential_model", "another", 503), (302, "upstream", "provider", "another", 502),
    ],
)  # fmt: skip
def test_an_error_without_a_rule_is_judged_by_its_status(status: int, cause: str, blame: str, help: str, shown: int) -> None:
    found = classify([], Error(status=status, message="theirs"), Headers(), "their text")
    assert (found.cause, found.blame, found.help, found.shown_status, found.status) == (cause, blame, help, shown, status)
    assert ("theirs" in found.message) == (cause in ("caller", "content", "unsupported"))
    assert found.detail == "their text"


RULES = [
    Rule(status=429, match="monthly", cause="quota", until_header="x-reset"),
    Rule(status=(400, 403), code="account_.*", cause="account_action"),
    Rule(code="overloaded", cause="overload", blame="provider", help="same_later"),
    Rule(match="policy", cause="content"),
]


@pytest.mark.parametrize(
    ("status", "code", "text", "cause"),
    [
        (429, None, "Your MONTHLY limit", "quota"), (429, None, "per minute", "rate"), (403, "account_locked", "", "account_action"),
        (401, "account_locked", "", "credential"), (403, "my_account_locked", "", "credential"), (400, "OVERLOADED", "", "overload"),
        (400, "is_overloaded", "", "caller"), (400, None, "against our policy\nhere", "content"), (400, None, "", "caller"),
    ],
)  # fmt: skip
def test_the_first_rule_whose_every_part_fits_decides(status: int, code: str | None, text: str, cause: str) -> None:
    assert classify(RULES, Error(status=status, message="", code=code), Headers(), text).cause == cause


def test_a_rule_says_whose_fault_it_is_what_helps_and_until_when() -> None:
    found = classify(RULES, Error(status=500, message="", code="overloaded"), Headers(), "")
    assert (found.blame, found.help) == ("provider", "same_later")
    headers = Headers({"X-Reset": "1m30s", "Retry-After": "5"})
    assert classify(RULES, Error(status=429, message=""), headers, "monthly").retry_after == 90
    assert classify(RULES, Error(status=429, message=""), headers, "other").retry_after == 5
    assert classify(RULES, Error(status=429, message=""), Headers({"X-Reset": "soon", "Retry-After": "5"}), "monthly").retry_after == 5
    assert classify([], Error(status=429, message=""), Headers({"retry-after-ms": "1500", "retry-after": "9"}), "").retry_after == 1.5
    assert classify([], Error(status=429, message=""), Headers(), "").retry_after is None


def test_a_failure_that_is_made_follows_its_cause_unless_told_otherwise() -> None:
    assert failure("rate", "m") == Failure(cause="rate", blame="credential_model", help="another", message="m")
    assert failure("rate", "m", blame="provider", help="none").blame == "provider"
    assert failure("caller", "m").shown_status == 400
    assert failure("credential", "m", status=401).shown_status == 503


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("7", 7), (" 1.5 ", 1.5), ("-3", 0), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("250ms", 0.25), ("1d", 86400), ("20s", 20),
        ("1d1h", 90000), ("2m59.56s", 179.56),
        ("", None), ("soon", None), ("nan", None), ("inf", None), ("1x", None), ("1s1m", None), ("m", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("2015-10-21T07:28:00Z", 0), ("Wed, 99 Foo 2015", None),
    ],
)  # fmt: skip
def test_what_says_how_long_to_wait_is_read(value: str, seconds: float | None) -> None:
    assert seconds_until(value) == (None if seconds is None else pytest.approx(seconds))


def test_points_in_time_count_from_now() -> None:
    then = datetime.now(UTC) + timedelta(seconds=60)
    for value in (str(time.time() + 60), then.isoformat(), format_datetime(then, usegmt=True), then.strftime("%Y-%m-%dT%H:%M:%SZ")):
        wait = seconds_until(value)
        assert wait is not None
        assert 55 < wait <= 61, value


def test_a_unix_time_in_milliseconds_is_no_wait_of_centuries() -> None:
    wait = seconds_until(str(int((time.time() + 60) * 1000)))
    assert wait is not None
    assert wait < 3600


# ---------------------------------------------------------------------------------------- units and patterns


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("1s", 1), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("5 ms", 0.005), (" 1S ", 1)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert read_unit(Seconds, text) == seconds


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("1b", 1), ("1k", 1000), ("1KiB", 1024), ("1.5 MiB", 1572864), ("2GB", 2 * 10**9)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_unit(Size, text) == size
    assert isinstance(read_unit(Size, text), Size)


@pytest.mark.parametrize("kind", [Seconds, Size])
@pytest.mark.parametrize("value", ["", "s", "-1", "1 parsec", "1s2", "1,5", "1e3", True, None, [], -1, float("nan"), float("inf"), 10**400])
def test_what_is_no_figure_is_refused_with_a_sentence(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="expected a number of"):
        read_unit(kind, value)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a", "a", True), ("a", "A", False), ("ab", "a*", True), ("a", "a*", True), ("ba", "a*", False), ("xay", "*a*", True),
        ("", "*", True),
        ("a.b", "a.b", True), ("axb", "a.b", False), ("axb", "a.*b", False), ("a\nb", "a*b", True), ("a/b/c", "a/*", True),
        ("a[1]", "a[1]", True), ("a+b", "a+*", True), ("abcabd", "*ab*d", True), ("a", "", False), ("a", "**", True),
    ],
)  # fmt: skip
def test_a_star_stands_for_any_text_and_everything_else_for_itself(name: str, pattern: str, fits: bool) -> None:
    assert matches(name, pattern) is fits


# --------------------------------------------------------------------------------------------------- pools


def candidates(*tiers: int) -> list[Candidate]:
    provider = ToyProvider()
    return [Candidate(Account(Credential(id=f"c{n}", provider="toy", priority=tier), provider), "m") for n, tier in enumerate(tiers)]


def test_the_best_tier_is_eligible_and_the_next_when_it_was_tried() -> None:
    pool = Pool("m", candidates(1, 0, 1))
    assert [c.id for c in pool.eligible] == ["c0/m", "c2/m"]
    assert [pool.why(c.id) for c in pool.all] == ["", "its tier waits until no higher one is eligible", ""]
    assert pool.why("other") == "it is not a candidate for this model"
    left = pool.without(frozenset({"c0/m", "c2/m"}))
    assert [c.id for c in left.eligible] == ["c1/m"]
    assert left.why("c0/m") == "it was tried in this round"
    assert pool.without(frozenset(c.id for c in pool.all)).eligible == []
    assert [c.id for c in pool.eligible] == ["c0/m", "c2/m"]


def test_candidates_are_taken_in_turn_also_by_the_calls_that_have_tried_some() -> None:
    pool = Pool("m", candidates(0, 0, 0))
    taken = [pool.next_in_turn().id for _ in range(6)]
    assert sorted(taken[:3]) == sorted(taken[3:]) == ["c0/m", "c1/m", "c2/m"]
    assert taken[:3] == taken[3:]
    left = [pool.without(frozenset({"c0/m"})).next_in_turn().id for _ in range(4)]
    assert set(left) <= {"c1/m", "c2/m"}


def test_fail_overs_are_spread_over_the_candidates_that_are_left() -> None:
    pool, met = Pool("m", candidates(0, 0, 0)), set()
    for _ in range(9):
        if pool.next_in_turn().id == "c0/m":
            met.add(pool.without(frozenset({"c0/m"})).next_in_turn().id)
    assert met == {"c1/m", "c2/m"}


def test_a_large_pool_is_asked_by_its_views() -> None:
    pool = Pool("m", candidates(*[0] * 50))
    for candidate in pool.all:
        candidate.account.in_flight = candidate is not pool.all[7]
    assert pool.least_busy() is pool.all[7]
    drawn = pool.sample(10)
    assert len({c.id for c in drawn}) == 10
    assert len(pool.sample(99)) == 50
    empty = Pool("m", [])
    assert (empty.least_busy(), list(empty.sample(3)), list(empty.eligible)) == (None, [], [])


def test_a_candidate_shows_live_figures_and_no_secret() -> None:
    (one,) = candidates(0)
    assert (one.in_flight, one.latency, one.last_used, one.health, one.weight) == (0, None, 0.0, "ok", 1.0)
    one.account.in_flight = 2
    one.account.answered("m", 1.0)
    one.account.answered("m", 2.0)
    assert (one.in_flight, one.latency) == (2, pytest.approx(1.2))
    assert repr(one) == "Candidate(c0/m)"


# --------------------------------------------------------------------------------------------------- stores


class Keeper:
    """A plugin that keeps state."""

    def __init__(self, config: dict[str, Any], host: Any) -> None:
        self.state = host.state


class Other(Keeper):
    """Another one."""


async def test_a_store_keeps_values_apart_by_plugin_and_forgets_them_when_told() -> None:
    async with Harness([Toy(), Keeper, Other], {"plugins": {"memory": {}}}, bare=True) as host:
        first, second = (p.object.state for p in host.host.plugins if p.id in ("keeper", "other"))
        assert await first.get("k") is None
        assert await first.set("k", b"1")
        assert not await first.set("k", b"2", if_absent=True)
        assert await first.get("k") == b"1"
        assert await second.get("k") is None
        assert await second.set("k", b"x", if_absent=True)
        await first.delete("k")
        await first.delete("never there")
        assert await first.get("k") is None
        assert await second.get("k") == b"x"


async def test_a_counter_never_passes_its_maximum_and_changes_nothing_when_it_would() -> None:
    async with Harness([Toy(), Keeper], {"plugins": {"memory": {}}}, bare=True) as host:
        state = next(p.object.state for p in host.host.plugins if p.id == "keeper")
        assert [await state.add("n", 2, maximum=5) for _ in range(3)] == [2, 4, None]
        assert await state.add("n", 1, maximum=5) == 5
        assert await state.get("n") == b"5"
        assert await state.add("n", -5) == 0
        assert await state.set("short", b"v", ttl=0)
        assert await state.get("short") is None
        assert await state.add("gone", 1, ttl=0) == 1
        assert await state.add("gone", 1, ttl=60) == 1


async def test_without_a_store_state_is_away() -> None:
    async with Harness([Toy(), Keeper], bare=True) as host:
        state = next(p.object.state for p in host.host.plugins if p.id == "keeper")
        with pytest.raises(OSError, match="there is no state store"):
            await state.get("k")
