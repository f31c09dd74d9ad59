"""Who failed rests: what is at fault and nothing else, no longer than it must, and the client is told why."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from jackfield.api import Attempt, CallError, Reply, failure
from tests.kernel.conftest import pieces
from tests.kernel.resting import Held, Order, Town, at
from tests.virtual_time import NOON, Clock, in_virtual_time

SPARE = [{"label": "a", "priority": 1}, {"label": "spare"}]
"""Calls go to `a` unless it rests."""

# ------------------------------------------------------------------------------------------------- blame


@pytest.mark.parametrize(("status", "other"), [(401, "spare 200"), (451, "spare 200"), (403, "spare 200")])
@in_virtual_time
async def test_a_credential_at_fault_rests_for_all_models(clock: Clock, status: int, other: str) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=status)
        assert await town.asked(model="m") == "a spare 200"
        assert await town.asked(model="m") == "spare 200"
        assert await town.asked(model="n") == other


@pytest.mark.parametrize("status", [429, 402, 404, 500, 503, 529])
@in_virtual_time
async def test_another_fault_lets_it_rest_for_the_one_model(clock: Clock, status: int) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=[status, 200])
        assert await town.asked(model="m") == "a spare 200"
        assert await town.asked(model="m") == "spare 200"
        assert await town.asked(model="n") == "a 200"


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
@in_virtual_time
async def test_the_callers_mistake_lets_nobody_rest(clock: Clock, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.kernel.resting.WORDS", {})
    async with Town(clock, SPARE) as town:
        town.order(a=[status, 200])
        assert await town.asked() == f"a {status}"
        assert await town.asked() == "a 200"


# ------------------------------------------------------------------------------------------------ lengths


async def gaps(town: Town, seconds: float, every: float = 0.25) -> list[int]:
    """Return how many whole seconds `a` was left alone each time while calls were made."""
    town.acme.seen()
    await town.asking(seconds, every)
    return [int(later - earlier) for earlier, later in pairwise(town.times_of("a"))]


@in_virtual_time
async def test_a_rest_doubles_with_each_failure_in_a_row_up_to_a_cap(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=500)
        assert await gaps(town, 150) == [1, 2, 4, 8, 16, 32, 32, 32]


@in_virtual_time
async def test_who_stayed_well_for_as_long_begins_anew(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=500)
        assert await gaps(town, 15) == [1, 2, 4]
        await asyncio.sleep(620)  # the rest of 8 s, and ten minutes more
        assert await gaps(town, 6) == [1, 2]


def timed_out(code: str, after: float = 20) -> Order:
    async def order(attempt: Attempt) -> Any:
        await asyncio.sleep(after)
        raise CallError(failure("network", "no answer in time", code=code))

    return order


@in_virtual_time
async def test_failures_that_take_their_time_are_failures_in_a_row_too(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=timed_out("first_byte_timeout"))
        assert await gaps(town, 230) == [21, 22, 24, 28, 36, 52]
        assert town.state("a")["resting"][0]["times"] >= 6


@in_virtual_time
async def test_success_heals(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=500)
        assert await gaps(town, 15) == [1, 2, 4]
        town.order(a=[200, 500])
        await asyncio.sleep(8)
        assert await town.asked() == "a 200"
        assert await gaps(town, 7) == [1, 2]
        assert not town.state("spare")["resting"]


@in_virtual_time
async def test_the_upstreams_word_decides(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=(429, {"Retry-After": "30"}))
        assert await gaps(town, 100, every=0.5) == [30, 30, 30]


LENGTHS: dict[str, tuple[int, int]] = {
    "transient": (503, 1), "rate": (429, 1), "quota": (402, 60), "credential": (401, 300),
    "account_action": (403, 1800), "refused": (404, 1800),
}  # fmt: skip


@pytest.mark.parametrize("kind", LENGTHS)
@in_virtual_time
async def test_each_cause_has_a_length_of_its_own(clock: Clock, kind: str) -> None:
    status, seconds = LENGTHS[kind]
    never = {"probe": {"after": "1d"}}
    async with Town(clock, SPARE, config=never) as town:
        town.order(a=status)
        assert await town.asked() == "a spare 200"
        await asyncio.sleep(seconds - 0.5)
        assert await town.asked() == "spare 200"
        await asyncio.sleep(1)
        assert await town.asked() == "a spare 200"
    set_ = {"cooldown": {kind: "10s"}, **never}
    async with Town(clock, SPARE, config=set_) as town:
        town.order(a=status)
        assert await gaps(town, 35) == [10, 20]
    set_["cooldown"] = {kind: "10s", "providers": {"toy": {kind: "5s"}}}
    async with Town(clock, SPARE, config=set_) as town:
        town.order(a=status)
        assert await gaps(town, 20) == [5, 10]
    mine = [{"label": "a", "priority": 1, "cooldown": {kind: "2s"}}, {"label": "spare"}]
    async with Town(clock, mine, config=set_) as town:
        town.order(a=status)
        assert await gaps(town, 9) == [2, 4]
        town.order(spare=status)
        await town.ask()
        [row] = town.state("spare")["resting"]
        assert row["until"] - row["since"] == pytest.approx(5)


@pytest.mark.parametrize("order", [503, 429, (429, {"Retry-After": "60"}), 401, 402, 403, 404])
@in_virtual_time
async def test_a_length_of_0_is_none_at_all(clock: Clock, order: Order) -> None:
    none = dict.fromkeys(("transient", "rate", "quota", "credential", "account_action", "refused"), 0)
    async with Town(clock, SPARE, config={"cooldown": none}) as town:
        town.order(a=order)
        assert [await town.asked() for _ in range(3)] == ["a spare 200"] * 3


# ----------------------------------------------------------------------------------- attempts that overlap


async def two_at_once(town: Town, first: Any, second: Any, *, apart: float = 0.0) -> None:
    """Make two calls at once, both with `a`; the first fails, and a while later the second is answered."""
    one, two = Held(), Held()
    town.order(a=[one, two, 200])
    calls = []
    for held in (one, two):
        calls.append(asyncio.create_task(town.ask()))
        await held.begun.wait()
    one.answer(first)
    await asyncio.sleep(apart)
    two.answer(second)
    await asyncio.gather(*calls)
    await asyncio.sleep(0.01)


@in_virtual_time
async def test_a_late_failure_does_not_shorten_the_rest_that_the_upstream_asked_for(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await two_at_once(town, (429, {"Retry-After": "30"}), 503)
        [row] = town.state("a")["resting"]
        assert (row["cause"], row["told"], row["until"] - NOON) == ("rate", True, pytest.approx(30, abs=0.1))
        assert await gaps(town, 20) == []


@in_virtual_time
async def test_nor_do_several(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        held = [Held(), Held(), Held()]
        town.order(a=[*held, 200])
        calls = []
        for one in held:
            calls.append(asyncio.create_task(town.ask()))
            await one.begun.wait()
        for one, said in zip(held, [(429, {"Retry-After": "30"}), 503, 503], strict=True):
            one.answer(said)
            await asyncio.sleep(0.1)
        await asyncio.gather(*calls)
        town.order(spare=503)
        answer = await town.ask()
        assert (answer.status, town.acme.seen()) == (503, ["spare"])  # `a` was not asked: its rest is no guess
        await asyncio.sleep(28)
        assert await town.asked() == "spare 503"
        await asyncio.sleep(2)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_failures_at_the_same_time_count_once(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await two_at_once(town, 503, 503)
        [row] = town.state("a")["resting"]
        assert (row["times"], row["until"] - NOON) == (1, pytest.approx(1, abs=0.1))


@in_virtual_time
async def test_the_answer_to_an_attempt_that_began_before_the_failure_does_not_heal(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await two_at_once(town, (429, {"Retry-After": "30"}), 200, apart=2)
        assert await town.asked() == "spare 200"
        assert await gaps(town, 20) == []


# ------------------------------------------------------------------------------------- when nobody is left


@pytest.mark.parametrize("status", [500, 503, 529, 429, 402, 401, 404])
@in_virtual_time
async def test_a_guess_never_keeps_everybody_from_being_asked(clock: Clock, status: int) -> None:
    async with Town(clock, "a b") as town:
        town.order(a=status, b=status)
        await town.ask()
        town.order(a=200, b=200)
        assert await town.asked() in ("a 200", "b 200")
        assert [row["cause"] for label in "ab" for row in town.state(label)["resting"]] != []  # the other one still rests


@pytest.mark.parametrize("order", [(429, {"Retry-After": "20"}), (503, {"Retry-After": "20"}), 403])
@in_virtual_time
async def test_what_is_no_guess_does(clock: Clock, order: Order) -> None:
    async with Town(clock, "a b") as town:
        town.order(a=order, b=order)
        await town.ask()
        town.order(a=200, b=200)
        answer = await town.ask()
        assert (answer.status >= 429, town.acme.seen()) == (True, [])


@in_virtual_time
async def test_the_one_whose_key_was_refused_is_tried_last(clock: Clock) -> None:
    async with Town(clock, "a b") as town:
        town.order(a=401, b=503)
        await town.ask()
        town.order(a=200, b=200)
        assert await town.asked() == "b 200"


# ---------------------------------------------------------------------------------------------- what is told


async def rest_all(town: Town, **orders: Order) -> None:
    """Let all credentials rest."""
    town.order(**orders)
    await town.ask()
    assert sorted(town.acme.seen()) == sorted(orders)


@in_virtual_time
async def test_the_client_is_told_who_rests_why_and_until_when(clock: Clock) -> None:
    async with Town(clock, "a b c") as town:
        half_a_minute = (429, {"Retry-After": "30"})
        await rest_all(town, a=half_a_minute, b=half_a_minute, c=(402, {"Retry-After": "1800"}))
        answer = await town.ask()
        says = f"all 3 credentials for 'm' are resting: 2 rate-limited until {at(30)}, 1 quota used up until {at(1800)}"
        assert (answer.status, answer.json["oops"]) == (429, says)
        assert answer.headers.get("retry-after") == "30"
        await asyncio.sleep(12.5)
        assert (await town.ask()).headers.get("retry-after") == "18"


@in_virtual_time
async def test_different_ends_are_told_as_one(clock: Clock) -> None:
    async with Town(clock, " ".join(f"c{n}" for n in range(20))) as town:
        await rest_all(town, **{f"c{n}": (429, {"Retry-After": str(30 + n)}) for n in range(20)})
        says = f"all 20 credentials for 'm' are resting: 20 rate-limited until {at(30)} or later"
        assert (await town.ask()).json["oops"] == says


@in_virtual_time
async def test_a_single_credential_is_told_as_such(clock: Clock) -> None:
    async with Town(clock, "a") as town:
        await rest_all(town, a=(503, {"Retry-After": "30"}))
        answer = await town.ask()
        assert (answer.status, answer.json["oops"]) == (503, f"the only credential for 'm' is resting: overloaded until {at(30)}")


@in_virtual_time
async def test_who_was_switched_off_is_told_too_and_that_is_no_limit_that_ends(clock: Clock) -> None:
    async with Town(clock, "a b") as town:
        await rest_all(town, a=(429, {"Retry-After": "30"}), b=(429, {"Retry-After": "30"}))
        town.health.switch("b", on=False)
        answer = await town.ask()
        says = f"all 2 credentials for 'm' are resting: 1 switched off, 1 rate-limited until {at(30)}"
        assert (answer.status, answer.json["oops"], answer.headers.get("retry-after")) == (503, says, "30")
        town.health.switch("a", on=False)
        answer = await town.ask()
        says = "all 2 credentials for 'm' are resting: 2 switched off"
        assert (answer.status, answer.json["oops"], answer.headers.get("retry-after")) == (503, says, None)


@in_virtual_time
async def test_the_operator_may_choose_the_status(clock: Clock) -> None:
    async with Town(clock, "a b", config={"attempts": {"wait": 0, "all_unavailable_status": 529}}) as town:
        await rest_all(town, a=(429, {"Retry-After": "30"}), b=(503, {"Retry-After": "30"}))
        answer = await town.ask()
        assert (answer.status, answer.headers.get("retry-after")) == (529, "30")
        town.order(a=422, b=422)
        await asyncio.sleep(31)
        assert (await town.ask()).status == 422  # what the caller did wrong stays that


@pytest.mark.parametrize(("status", "shown"), [(500, 502), (401, 503), (429, 429)])
@in_virtual_time
async def test_that_status_is_for_when_nobody_can_be_asked_alone(clock: Clock, status: int, shown: int) -> None:
    for labels in ("a", "a b"):
        async with Town(clock, labels, config={"attempts": {"wait": 0, "all_unavailable_status": 529}}) as town:
            town.order(a=status, b=status)
            assert (await town.ask()).status == shown


# ------------------------------------------------------------------------------------------- errors in a 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@in_virtual_time
async def test_an_error_in_an_answer_of_status_200_is_told_as_one(clock: Clock, stream: bool) -> None:
    said = b'{"oops": "busy", "why": "busy"}'

    async def order(attempt: Attempt) -> Reply:
        return Reply(stream=pieces(b"event: oops\ndata: " + said + b"\n\n", 99)) if attempt.stream else Reply(body=said)

    async with Town(clock, "a") as town:
        town.order(a=order)
        answer = await town.ask(stream=stream)
        assert (answer.status, answer.json["oops"]) == (502, "the provider's answer was an error (upstream)")
    ruled = {"attempts": {"wait": 0}, "failures": {"toy": [{"cause": "overload", "match": "busy"}]}}
    async with Town(clock, "a", config=ruled) as town:
        town.order(a=order)
        answer = await town.ask(stream=stream)
        assert (answer.status, answer.json["oops"]) == (503, "the provider's answer was an error (overload)")


# ------------------------------------------------------------------------------------------------ waiting


@in_virtual_time
async def test_a_call_waits_for_who_rests_for_a_moment(clock: Clock) -> None:
    async with Town(clock, "a b", config={"attempts": {"wait": "5s"}}) as town:
        town.order(a=[(429, {"Retry-After": "9"}), 200], b=[(429, {"Retry-After": "3"}), 200])
        began = clock.steady
        assert await town.asked() in ("a b b 200", "b a b 200")
        assert 3 <= clock.steady - began < 3.2


@in_virtual_time
async def test_it_does_not_wait_for_what_is_too_long(clock: Clock) -> None:
    async with Town(clock, "a b", config={"attempts": {"wait": "5s"}}) as town:
        town.order(a=(429, {"Retry-After": "6"}), b=(429, {"Retry-After": "7"}))
        began = clock.steady
        answer = await town.ask()
        assert (answer.status, answer.headers.get("retry-after"), clock.steady - began) == (429, "6", pytest.approx(0, abs=0.01))


@pytest.mark.parametrize("code", ["connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"])
@in_virtual_time
async def test_nor_for_who_did_not_answer_in_time(clock: Clock, code: str) -> None:
    async with Town(clock, "a", config={"attempts": {"wait": "5s"}}) as town:
        town.order(a=[timed_out(code), 200])
        began = clock.steady
        assert await town.asked() == "a 502"
        assert clock.steady - began == pytest.approx(20, abs=0.01)


@in_virtual_time
async def test_nor_for_a_key_that_was_refused(clock: Clock) -> None:
    async with Town(clock, "a", config={"attempts": {"wait": "5s"}, "cooldown": {"credential": "1s"}}) as town:
        town.order(a=401)
        began = clock.steady
        assert await town.asked() == "a 503"
        assert clock.steady - began < 0.01


@in_virtual_time
async def test_calls_that_wait_do_not_all_come_back_at_once(clock: Clock) -> None:
    async with Town(clock, "a", config={"attempts": {"wait": "5s"}}) as town:
        town.order(a=[(429, {"Retry-After": "2"}), 200])
        await town.ask()
        town.health.rest(town.account("a"), "m", _limited(clock.wall, 2))
        town.acme.seen()
        await asyncio.gather(*(town.ask() for _ in range(10)))
        assert len({round(time, 3) for time in town.acme.times}) > 5
        assert max(town.acme.times) - min(town.acme.times) < 0.2


def _limited(now: float, seconds: float) -> Any:
    from jackfield.health import Cooling

    return Cooling("rate", now + seconds, now, told=True)


# --------------------------------------------------------------------------------------------------- probes


@pytest.mark.parametrize("order", [(429, {"Retry-After": "3600"}), (402, {"Retry-After": "3600"}), (503, {"Retry-After": "3600"})])
@in_virtual_time
async def test_a_long_rest_is_probed_once_an_interval_and_no_call_fails_for_it(clock: Clock, order: Order) -> None:
    async with Town(clock, SPARE, config={"probe": {"after": "60s", "interval": "20s"}}) as town:
        town.order(a=order)
        answers = await town.asking(150, every=0.5)
        assert {answer.status for answer in answers} == {200}
        times = town.times_of("a")
        assert [round(time - times[0]) for time in times] == [0, 60, 80, 100, 120, 140]


@in_virtual_time
async def test_a_quota_that_is_given_back_early_is_noticed(clock: Clock) -> None:
    async with Town(clock, SPARE, config={"probe": {"after": "60s", "interval": "20s"}}) as town:
        town.order(a=(402, {"Retry-After": "600"}))
        await town.asking(90, every=0.5)
        town.order(a=200)
        given_back = clock.steady
        await town.asking(40, every=0.5)
        assert town.times_of("a")[0] - given_back <= 20
        assert len(town.times_of("a")) > 30  # it serves again
        assert town.state("a")["state"] == "ok"


@in_virtual_time
async def test_many_calls_at_once_probe_once(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await rest_one(town, (429, {"Retry-After": "3600"}))
        await asyncio.sleep(61)
        town.acme.seen()
        await asyncio.gather(*(town.ask() for _ in range(50)))
        assert town.acme.asked.count("a") == 1


async def rest_one(town: Town, order: Order) -> None:
    town.order(a=order)
    await town.ask()


@pytest.mark.parametrize("order", [(401, {"Retry-After": "3600"}), (403, {"Retry-After": "3600"}), (404, {"Retry-After": "3600"})])
@in_virtual_time
async def test_what_ends_when_somebody_acts_is_not_probed(clock: Clock, order: Order) -> None:
    async with Town(clock, SPARE, config={"probe": {"after": "10s", "interval": "10s"}}) as town:
        town.order(a=order)
        await town.asking(60, every=1)
        assert len(town.times_of("a")) == 1


@in_virtual_time
async def test_a_single_credential_is_probed_too(clock: Clock) -> None:
    async with Town(clock, "a") as town:
        await rest_one(town, (429, {"Retry-After": "3600"}))
        town.order(a=200)
        answers = await town.asking(65, every=1)
        assert [answer.status for answer in answers] == [429] * 60 + [200] * 5


# --------------------------------------------------------------------------------------------------- limits


@in_virtual_time
async def test_requests_a_minute_are_kept_to(clock: Clock) -> None:
    async with Town(clock, [{"label": "a", "priority": 1, "limits": {"rpm": 3}}, {"label": "spare"}]) as town:
        assert [await town.asked() for _ in range(5)] == ["a 200"] * 3 + ["spare 200"] * 2
        assert await town.asked(model="n") == "spare 200"  # it is the account's limit, not the model's
        await asyncio.sleep(60.1)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_failed_attempts_count_and_limits_are_not_probed_or_tried_all_the_same(clock: Clock) -> None:
    config = {"probe": {"after": "1s", "interval": "1s"}, "cooldown": {"transient": 0}}
    async with Town(clock, [{"label": "a", "limits": {"rpm": 2}}], config=config) as town:
        town.order(a=500)
        await town.ask()
        await town.ask()
        town.order(a=200)
        answers = await town.asking(50, every=2)
        assert ({answer.status for answer in answers}, town.acme.seen()) == ({429}, [])
        assert f"the only credential for 'm' is resting: rate-limited until {at(60)}" == answers[0].json["oops"]


@in_virtual_time
async def test_tokens_a_minute_are_kept_to(clock: Clock) -> None:
    async with Town(clock, [{"label": "a", "priority": 1, "limits": {"tpm": 20}}, {"label": "spare"}]) as town:
        # Each answer costs 3 tokens in and 5 out.
        assert [await town.asked(stream=bool(n % 2)) for n in range(5)] == ["a 200"] * 3 + ["spare 200"] * 2
        await asyncio.sleep(60.1)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_those_a_day_are_kept_to_whatever_a_minute_allows(clock: Clock) -> None:
    limits = {"rpm": 10, "rpd": 2, "tpm": 16, "tpd": 1000}
    async with Town(clock, [{"label": "a", "priority": 1, "limits": limits}, {"label": "spare"}]) as town:
        assert [await town.asked() for _ in range(3)] == ["a 200", "a 200", "spare 200"]
        await asyncio.sleep(61)
        assert await town.asked() == "spare 200"
        clock.set(12 * 3600)  # past midnight, UTC
        await asyncio.sleep(2)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_calls_at_once_do_not_pass_a_limit(clock: Clock) -> None:
    async with Town(clock, [{"label": "a", "priority": 1, "limits": {"rpm": 3}}, {"label": "spare"}]) as town:
        await asyncio.gather(*(town.ask() for _ in range(12)))
        assert town.acme.asked.count("a") == 3


# --------------------------------------------------------------------------------------------------- quotas


def day(left: int, reset: int, status: int = 200) -> Order:
    """Return an answer that tells of a window of the account's quota."""
    return status, {"toy-limit": "100", "toy-left": str(left), "toy-reset": str(reset)}


@in_virtual_time
async def test_a_window_of_a_quota_is_shown_and_one_that_is_used_up_lets_the_credential_rest(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=[day(60, 50), day(0, 40), 200])
        assert await town.asked() == "a 200"
        [window] = town.state("a")["quota"]
        assert (window["name"], window["used"], window["resets_at"] - NOON) == ("day", 0.4, pytest.approx(50, abs=0.1))
        assert await town.asked() == "a 200"  # the last one that it allows
        assert await town.asked() == "spare 200"
        assert await town.asked(model="n") == "spare 200"
        await asyncio.sleep(41)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_a_window_that_is_used_up_is_no_guess(clock: Clock) -> None:
    async with Town(clock, "a") as town:
        town.order(a=[day(0, 500), 200])
        assert (await town.ask()).status == 200
        answer = await town.ask()
        assert (answer.status, answer.json["oops"]) == (429, f"the only credential for 'm' is resting: quota used up until {at(500)}")


# ------------------------------------------------------------------------------------ by hand, and over restarts


@in_virtual_time
async def test_a_credential_and_a_provider_are_switched_off_and_on(clock: Clock) -> None:
    async with Town(clock, "a b") as town:
        town.health.switch("a", on=False)
        assert [await town.asked() for _ in range(3)] == ["b 200"] * 3
        assert town.state("a")["state"] == "off"
        town.health.switch("toy", on=False)
        assert await town.asked() == "503"
        town.health.switch("toy", on=True)
        town.health.switch("a", on=True)
        assert {await town.asked() for _ in range(2)} == {"a 200", "b 200"}


@in_virtual_time
async def test_rests_are_forgotten_on_demand(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await rest_one(town, (429, {"Retry-After": "3600"}))
        assert await town.asked(model="n") == "a spare 200"
        town.order(a=200)
        assert await town.asked() == "spare 200"
        town.health.reset("a")
        assert await town.asked() == "a 200"
        assert await town.asked(model="n") == "a 200"


@in_virtual_time
async def test_what_rests_and_what_is_off_survives_a_restart(clock: Clock) -> None:
    three, not_probed = [{"label": "a", "priority": 2}, {"label": "b", "priority": 1}, {"label": "spare"}], {"probe": {"after": "1d"}}
    async with Town(clock, three, config=not_probed) as town:
        town.order(a=(429, {"Retry-After": "100"}))
        await town.ask()
        failed = clock.steady
        town.health.switch("b", on=False)
        assert town.health.news == {"", "a"}
        kept = {name: town.health.tell(name) for name in town.health.news}
    assert b"key of" not in b"".join(kept.values())
    await asyncio.sleep(40)
    async with Town(clock, three, config=not_probed) as town:
        assert await town.asked() == "a 200"
        for name, told in kept.items():
            town.health.take_over(name, told)
        assert await town.asked() == "spare 200"
        town.health.switch("b", on=True)
        assert await town.asked() == "b 200"
        await asyncio.sleep(failed + 99 - clock.steady)
        assert await town.asked() == "b 200"
        await asyncio.sleep(2)
        assert await town.asked() == "a 200"  # a rest ends although it was begun by another process


@in_virtual_time
async def test_another_key_makes_a_refused_credential_eligible(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=[401, 200])
        assert await town.asked() == "a spare 200"
        edit(town, "a", notes="nothing that matters")
        assert await town.asked() == "spare 200"
        edit(town, "a", key="another key")
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_but_not_one_that_is_limited(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        town.order(a=[(429, {"Retry-After": "50"}), 200])
        assert await town.asked() == "a spare 200"
        edit(town, "a", key="another key")
        assert await town.asked() == "spare 200"


def edit(town: Town, label: str, **said: Any) -> None:
    """Change what a credential says, as an edit of the configuration does."""
    from msgspec.structs import replace

    from jackfield.api import Secret

    account = town.account(label)
    if "key" in said:
        said["key"] = Secret(said["key"])
    account.take(replace(account.credential, **said), account.provider)


@in_virtual_time
async def test_made_up_names_of_models_do_not_fill_the_memory(clock: Clock) -> None:
    async with Town(clock, "a") as town:
        town.acme.patterns = ("*",)
        town.order(a=404)
        for n in range(600):
            await town.ask(model=f"made-up-{n}")
        assert len(town.health.resting["a"]) <= 256
        assert len(town.health.tell("a")) < 100_000


# ------------------------------------------------------------------------------------------------ the clock


@in_virtual_time
async def test_a_clock_that_is_set_back_makes_no_rest_longer(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await rest_one(town, (429, {"Retry-After": "20"}))
        town.order(a=200)
        clock.set(-3600)
        await asyncio.sleep(18)
        assert await town.asked() == "spare 200"
        await asyncio.sleep(3)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_rests_end_while_the_machine_sleeps(clock: Clock) -> None:
    async with Town(clock, SPARE) as town:
        await rest_one(town, (429, {"Retry-After": "3600"}))
        town.order(a=200)
        clock.set(3601)  # timers do not notice
        await asyncio.sleep(2)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_the_first_call_after_the_sleep_is_served_at_once(clock: Clock) -> None:
    async with Town(clock, "a") as town:
        await rest_one(town, (429, {"Retry-After": "3600"}))
        town.order(a=200)
        assert await town.asked() == "429"
        clock.set(3601)
        assert await town.asked() == "a 200"


@in_virtual_time
async def test_a_clock_that_runs_slow_leaves_nobody_aside(clock: Clock) -> None:
    async with Town(clock, SPARE, config={"probe": {"after": "1d"}}) as town:
        await rest_one(town, (429, {"Retry-After": "600"}))
        town.order(a=200)
        for _ in range(610):
            await asyncio.sleep(1)
            clock.set(-0.01)
        assert await town.asked() == "a 200"


# ------------------------------------------------------------------------------------------------- an outage


@pytest.mark.parametrize("pace", [0.05, 1.0])
@pytest.mark.parametrize("status", [503, 429, 401])
@in_virtual_time
async def test_an_outage_of_everything_is_not_amplified(clock: Clock, pace: float, status: int) -> None:
    labels = "a b c d e f"
    async with Town(clock, labels, config={"attempts": {"wait": "2s"}}) as town:
        town.order(**dict.fromkeys(labels.split(), status))
        answers = await town.asking(60, every=pace)
        assert {answer.status for answer in answers} == {429 if status == 429 else 503}
        at_once, by_time, ends = 20, 0.5 * 60, 6 * 7  # each rests seven times in a minute: 1, 2, 4 ... 32 s
        assert len(town.acme.asked) <= len(answers) * 1.2 + at_once + by_time + ends
        town.order(**dict.fromkeys(labels.split(), 200))
        assert (await town.ask()).status == 200


@in_virtual_time
async def test_without_a_budget_an_outage_meets_one_attempt_a_call(clock: Clock) -> None:
    async with Town(clock, "a b c", config={"attempts": {"wait": 0, "budget": 0}, "cooldown": {"transient": "1h"}}) as town:
        town.order(a=503, b=503, c=503)
        await town.asking(2, every=0.01)
        before = len(town.acme.asked)
        answers = await town.asking(2, every=0.01)
        assert len(town.acme.asked) - before <= len(answers) + 2
