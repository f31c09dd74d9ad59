"""Stages 3, 4 and 6: where a call goes, who may serve it, and who does; and what happens when that one cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jackfield.api import (
    Alternative,
    Attempt,
    Call,
    CallError,
    Cause,
    Delegate,
    Deny,
    Pool,
    Reply,
    Route,
    failure,
)
from tests.kernel.conftest import ToyProvider, pieces
from tests.kernel.pipeline_kit import Made, Observer, ask, begun_stream, toy_host
from tests.kernel.toy import check_stream, stream_of


def boom(*_: Any) -> Any:
    raise RuntimeError("boom")


def provider(key: str, *models: str, fails: Cause | None = None, patterns: tuple[str, ...] = ()) -> ToyProvider:
    """Return a provider that serves some models, or fails for a cause."""

    def answer(attempt: Attempt) -> Reply:
        if fails is not None:
            raise CallError(failure(fails, f"{key} says {fails}"))
        raw = stream_of([key])
        body = b'{"id":"t","model":"%s","blocks":[{"text":"%s"}],"stop":"stop"}' % (attempt.model.encode(), key.encode())
        return Reply(stream=pieces(raw, 40)) if attempt.stream else Reply(body=body)

    made = ToyProvider(answer)
    made.key, made.models, made.patterns = key, models, patterns
    return made


def two() -> list[ToyProvider]:
    return [provider("left", "a", "shared"), provider("right", "b", "shared", patterns=("r-*",))]


async def served(model: str, *plugins: object, providers: list[ToyProvider] | None = None, **config: Any) -> tuple[int, str, str]:
    """Return the status of a call, the provider that served it and the model that it was asked for; else the code and message."""
    held = two() if providers is None else providers
    async with toy_host(*plugins, provider=held, config=config) as host:
        answer = await ask(host, model=model)
    if answer.status != 200:
        return answer.status, answer.json["code"], answer.json["oops"]
    assert answer.json["model"] == model, "the client is answered under the name that it asked for"
    [said] = [attempt for one in held for attempt in one.attempts if answer.json["blocks"][0]["text"] == one.key]
    return 200, said.provider.key, said.model


# ----------------------------------------------------------------------------------------------- resolution

ALIASES = {"models": {"aliases": {
    "fast": "a", "deeper": "fast", "both": ["left://shared", "right://shared"], "round": "trip", "trip": "round", "b": ["b", "a"],
    "lost": "nobody",
}}}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "who", "model"),
    [
        ("a", "left", "a"),
        ("b", "right", "b"),
        ("fast", "left", "a"),
        ("deeper", "left", "a"),
        ("left://a", "left", "a"),
        ("right://shared", "right", "shared"),
        ("left/a", "left", "a"),
        ("left://unlisted", "left", "unlisted"),
        ("right/un/listed", "right", "un/listed"),
        ("r-new", "right", "r-new"),
    ],
)
async def test_a_name_is_resolved(name: str, who: str, model: str) -> None:
    assert await served(name, models={"aliases": {"fast": "a", "deeper": "fast"}}) == (200, who, model)


@pytest.mark.parametrize("name", ["nobody", "nobody://a", "left://", "://a", "round", "lost", "A"])
async def test_a_name_that_nobody_could_serve_is_not_found(name: str) -> None:
    status, code, message = await served(name, **ALIASES)
    assert (status, code) == (404, "model_not_found")
    assert repr(name) in message


async def test_near_names_are_told() -> None:
    _, _, message = await served("sharde")
    assert "did you mean 'shared'" in message


async def test_a_pool_holds_all_who_may_serve_a_name() -> None:
    seen: list[list[str]] = []
    scheduler = Made("look", pick_credential=lambda call, pool: seen.append(sorted(c.provider for c in pool.all)))
    for name in ("shared", "both", "b", "left://shared"):
        await served(name, scheduler, **ALIASES)
    assert seen == [["left", "right"], ["left", "right"], ["left", "right"], ["left"]]


CREDENTIALS = [
    {"provider": "left", "key": "one", "label": "one", "prefix": "team", "models": ["a", "x-*"], "excluded": ["x-no"]},
    {"provider": "left", "key": "two", "label": "two", "priority": -1, "aliases": {"mine": "shared"}},
]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("a", ["one", "two"]),
        ("team/a", ["one"]),
        ("team/x-1", ["one"]),
        ("left/x-1", ["one", "two"]),
        ("left/x-no", ["two"]),
        ("left://shared", ["two"]),
        ("mine", ["two"]),
        ("team/shared", None),
    ],
)
async def test_what_a_credential_says_about_models_counts(name: str, labels: list[str] | None) -> None:
    seen: list[list[str]] = []
    scheduler = Made("look", pick_credential=lambda call, pool: seen.append(sorted(c.label for c in pool.all)))
    status, _, _ = await served(name, scheduler, credentials=CREDENTIALS)
    assert (status, seen) == ((200, [labels]) if labels else (404, []))


async def test_a_lower_tier_waits_until_no_higher_one_is_left() -> None:
    labels: list[list[str]] = []
    scheduler = Made("look", pick_credential=lambda call, pool: labels.append([c.label for c in pool.eligible]))
    await served("a", scheduler, providers=[provider("left", "a", fails="upstream")], credentials=CREDENTIALS)
    assert labels == [["one"], ["two"]]


# --------------------------------------------------------------------------------------------------- routes


@pytest.mark.parametrize(
    ("route", "who", "model"),
    [
        (Route(model="b"), "right", "b"),
        (Route(model="left://shared"), "left", "shared"),
        (Route(model="fast"), "left", "a"),
        (Route(provider="right"), "right", "shared"),
        (Route(provider="right", model="b"), "right", "b"),
        (Route(provider="right", model="unlisted"), "right", "unlisted"),
        (Route(model="nobody", otherwise=(Route(model="b"),)), "right", "b"),
    ],
    ids=repr,
)
async def test_a_route_leads_where_it_says(route: Route, who: str, model: str) -> None:
    assert await served("shared", Made("router", route_model=lambda: route), models={"aliases": {"fast": "a"}}) == (200, who, model)


@pytest.mark.parametrize("executor", ["self", "helper"])
async def test_an_executor_runs_the_call_without_credential_and_pool(executor: str) -> None:
    own, asked = provider("own", "none"), []
    helper = Made("helper", register_providers=lambda: [own])
    router = Made("router", route_model=lambda: Route(executor="helper"))
    if executor == "self":
        helper.route_model = lambda: Route(executor="self")  # type: ignore[attr-defined]
    scheduler = Made("scheduler", pick_credential=lambda call, pool: asked.append(pool))
    plugins = [helper, scheduler, *([router] if executor == "helper" else [])]
    held = two()
    async with toy_host(*plugins, provider=held, config={"scheduler": "scheduler"}) as host:
        answer = await ask(host, model="anything")
    assert (answer.status, answer.json["model"], answer.json["blocks"]) == (200, "anything", [{"text": "own"}])
    [attempt] = own.attempts
    assert (attempt.model, asked) == ("anything", [])


UNUSABLE: list[tuple[str, Any, str]] = [
    ("an unknown model", lambda: Route(model="nobody"), "leads nowhere"),
    ("an unknown provider", lambda: Route(provider="nobody"), "leads nowhere"),
    ("an unknown executor", lambda: Route(executor="nobody"), "leads nowhere"),
    ("itself without a provider", lambda: Route(executor="self"), "leads nowhere"),
    ("an empty route", lambda: Route(), "must name"),
    ("an error", boom, "boom"),
    ("what is no route", lambda: "b", "answered str"),
    ("nothing in time", lambda: asyncio.Event().wait(), "longer than"),
]


@pytest.mark.parametrize(("answer", "why"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
async def test_a_router_that_answers_nothing_usable_is_passed_over_and_the_explanation_says_so(answer: Any, why: str) -> None:
    observer = Observer()
    bad = Made("bad", priority=2, route_model=answer)
    good = Made("good", priority=1, route_model=lambda: Route(model="b", reason="because"))
    never = Made("never", priority=0, route_model=boom)
    async with toy_host(bad, good, never, observer, provider=two(), config={"hooks": {"deadline": 0.05}}) as host:
        assert (await ask(host, model="a")).json["blocks"] == [{"text": "right"}]
        [said] = await observer.completed()
    told = said.explain()
    decisions = {row["by"]: row["what"] for row in told["decisions"] if row["stage"] == "route_model"}
    assert why in decisions["bad"]
    assert decisions["good"] == "because"
    assert "never" not in decisions
    assert told["route"]["model"] == "b"


async def test_a_router_that_declines_asynchronously_does_not_end_the_chain() -> None:
    async def decline(call: Call) -> None:
        await asyncio.sleep(0)

    plugins = [Made("a", priority=1, route_model=decline), Made("b", route_model=lambda: Route(model="b"))]
    assert await served("a", *plugins) == (200, "right", "b")


CAUSES: list[tuple[Cause, tuple[Cause, ...], bool]] = [
    ("upstream", (), True),
    ("rate", (), True),
    ("network", (), True),
    ("plugin", (), True),
    ("unsupported", (), True),
    ("caller", (), False),
    ("content", (), False),
    ("caller", ("caller",), True),
    ("content", ("content",), True),
    ("rate", ("rate", "quota"), True),
    ("quota", ("rate", "quota"), True),
    ("upstream", ("rate", "quota"), False),
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("fails", "on", "walked"), CAUSES)
async def test_alternatives_are_walked_for_the_causes_that_they_serve(
    fails: Cause, on: tuple[Cause, ...], walked: bool, stream: bool
) -> None:
    bad, good = provider("bad", "a", fails=fails), provider("good", "b")
    router = Made("router", route_model=lambda: Route(model="a", otherwise=(Alternative(model="b", on=on),)))
    async with toy_host(router, provider=[bad, good]) as host:
        answer = await ask(host, model="a", stream=stream)
    assert (answer.status == 200, len(bad.attempts), len(good.attempts)) == (walked, 1, int(walked))


async def test_alternatives_are_walked_in_order_until_one_answers() -> None:
    held = [provider("one", "a", fails="rate"), provider("two", "b", fails="upstream"), provider("three", "c"), provider("four", "d")]
    ways = (Alternative(model="b", on=("rate",)), Alternative(model="nobody"), Route(model="c"), Route(model="d"))
    router = Made("router", route_model=lambda: Route(model="a", otherwise=ways))
    assert await served("a", router, providers=held) == (200, "three", "c")
    assert [len(one.attempts) for one in held] == [1, 1, 1, 0]


async def test_alternatives_are_not_walked_after_the_first_byte() -> None:
    cut, good = provider("cut", "a"), provider("good", "b")
    cut._answer = lambda attempt: Reply(stream=pieces(begun_stream("one"), 30))
    router = Made("router", route_model=lambda: Route(model="a", otherwise=(Route(model="b"),)))
    async with toy_host(router, provider=[cut, good]) as host:
        answer = await ask(host, model="a", stream=True)
    assert check_stream(answer.body) == "one"
    assert b"event: oops" in answer.body
    assert good.attempts == []


async def test_an_empty_stream_or_one_that_begins_with_an_error_goes_to_the_next() -> None:
    def begins(raw: bytes) -> Any:
        return lambda attempt: Reply(stream=pieces(raw, 30))

    for raw in (b"", b": nothing\n\n", b'event: oops\ndata: {"seq":0,"id":"t","why":"no"}\n\n'):
        bad, good = provider("bad", "a"), provider("good", "b")
        bad._answer = begins(raw)
        router = Made("router", route_model=lambda: Route(model="a", otherwise=(Route(model="b"),)))
        async with toy_host(router, provider=[bad, good]) as host:
            assert check_stream((await ask(host, model="a", stream=True)).body) == "good"


# ------------------------------------------------------------------------------------------------ scheduling

KEYS = [{"provider": "left", "key": f"key-{name}", "label": name} for name in ("one", "two", "three")]


async def picked(*schedulers: Made, calls: int = 3, status: int = 200, model: str = "a", **config: Any) -> list[str]:
    """Return the labels of the credentials that served some calls."""
    left = provider("left", "a")
    async with toy_host(*schedulers, provider=[left], config={"credentials": KEYS, **config}) as host:
        assert [(await ask(host, model=model)).status for _ in range(calls)] == [status] * calls
    return [attempt.candidate.label for attempt in left.attempts]


def named(label: str) -> Any:
    return lambda call, pool: next(candidate for candidate in pool.eligible if candidate.label == label)


async def test_a_scheduler_picks_a_candidate() -> None:
    assert await picked(Made("s", pick_credential=named("two"))) == ["two"] * 3


ROUND_ROBIN: list[tuple[str, Any]] = [
    ("nothing", lambda call, pool: None),
    ("an error", boom),
    ("what is no pick", lambda call, pool: "two"),
    ("a candidate of another pool", lambda call, pool: Pool("x", pool.all).all[0].__class__(pool.all[0].account, "x")),
    ("nothing in time", lambda call, pool: asyncio.Event().wait()),
    ("a scheduler that is not there", lambda call, pool: Delegate("nobody")),
    ("itself", lambda call, pool: Delegate("s")),
]


@pytest.mark.parametrize("on_error", ["open", "closed"])
@pytest.mark.parametrize("pick", [row[1] for row in ROUND_ROBIN], ids=[row[0] for row in ROUND_ROBIN])
async def test_without_a_usable_pick_the_credentials_take_turns(pick: Any, on_error: str) -> None:
    settings = {"plugins": {"s": {"hooks": {"pick_credential": {"on_error": on_error}}}}, "hooks": {"deadline": 0.05}}
    labels = await picked(Made("s", pick_credential=pick), **settings)
    assert sorted(labels) == ["one", "three", "two"]


async def test_a_scheduler_may_delegate() -> None:
    chain = [Made("s", pick_credential=lambda: Delegate("t")), Made("t", pick_credential=named("three"))]
    assert await picked(*chain, scheduler="s") == ["three"] * 3


@pytest.mark.parametrize(("wait", "status", "after"), [(None, 503, None), (7.0, 429, "7")])
async def test_a_scheduler_may_deny(wait: float | None, status: int, after: str | None) -> None:
    deny = Made("s", pick_credential=lambda: Deny(reason="closed for today", retry_after=wait))
    left = provider("left", "a")
    async with toy_host(deny, provider=[left]) as host:
        answer = await ask(host, model="a")
    assert (answer.status, answer.json["oops"], answer.headers.get("retry-after")) == (status, "closed for today", after)
    assert left.attempts == []


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("t", "two"),
        ({"default": "t"}, "two"),
        ({"default": "t", "providers": {"left": "u"}}, "three"),
        ({"default": "t", "providers": {"left": "u"}, "models": {"a*": "s"}}, "one"),
        ({"default": "t", "providers": {"other": "u"}, "models": {"b*": "s"}}, "two"),
    ],
)
async def test_the_configuration_selects_the_scheduler(said: Any, label: str) -> None:
    schedulers = [Made(id, pick_credential=named(name)) for id, name in (("s", "one"), ("t", "two"), ("u", "three"))]
    assert await picked(*schedulers, scheduler=said) == [label] * 3


async def test_a_credential_that_failed_is_not_tried_again_in_the_same_round() -> None:
    left = provider("left", "a", fails="rate")
    seen: list[tuple[int, str]] = []

    def look(call: Call, pool: Pool) -> None:
        seen.append((len(pool.eligible), pool.why(pool.all[0].id)))

    async with toy_host(Made("s", pick_credential=look), provider=[left], config={"credentials": KEYS}) as host:
        answer = await ask(host, model="a")
    assert sorted(attempt.candidate.label for attempt in left.attempts) == ["one", "three", "two"]
    assert [attempt.number for attempt in left.attempts] == [1, 2, 3]
    assert [count for count, _ in seen] == [3, 2, 1]
    assert answer.status == 429


@pytest.mark.parametrize("fails", ["caller", "content"])
async def test_the_callers_own_fault_is_tried_once(fails: Cause) -> None:
    left = provider("left", "a", fails=fails)
    async with toy_host(provider=[left], config={"credentials": KEYS}) as host:
        assert (await ask(host, model="a")).status == 400
    assert len(left.attempts) == 1


BROKEN_PROVIDERS: list[tuple[str, dict[str, Any]]] = [
    ("execute", {"execute": boom}),
    ("execute's answer", {"_answer": lambda attempt: "no reply"}),
    ("classify", {"classify": boom, "_answer": lambda attempt: Reply(status=500, body=b"{}")}),
]


@pytest.mark.parametrize("parts", [row[1] for row in BROKEN_PROVIDERS], ids=[row[0] for row in BROKEN_PROVIDERS])
async def test_a_provider_that_breaks_is_a_failed_attempt_and_the_next_one_serves(parts: dict[str, Any]) -> None:
    bad, good = provider("bad", "a"), provider("good", "b")
    vars(bad).update(parts)
    router = Made("router", route_model=lambda: Route(model="a", otherwise=(Route(model="b"),)))
    observer = Observer()
    async with toy_host(router, observer, provider=[bad, good]) as host:
        assert (await ask(host, model="a")).json["blocks"] == [{"text": "good"}]
        assert (await ask(host, model="b")).status == 200
        explained = await observer.explained()
    assert "provider 'bad' failed" in explained


async def test_what_breaks_outside_of_any_attempt_is_answered_in_the_clients_dialect_and_completed() -> None:
    bad = provider("bad", "a")
    vars(bad).update(dialects_of=boom)
    observer = Observer()
    async with toy_host(observer, provider=[bad, provider("good", "b")]) as host:
        answer = await ask(host, model="a")
        assert (answer.status, answer.json["code"]) == (503, "internal_error")
        assert (await ask(host, model="b")).status == 200
        assert [said.status for said in await observer.completed(2)] == ["failed", "succeeded"]


async def test_a_stream_that_breaks_off_before_a_whole_answer_was_sent_is_met_with_another_attempt() -> None:
    def only_streams(key: str, raw: bytes) -> Any:
        made = provider(key, "a")
        made.streams, made._answer = "only", lambda attempt: Reply(stream=pieces(raw, 30))
        return made

    cut, good = only_streams("cut", begun_stream("one")), provider("good", "b")
    router = Made("router", route_model=lambda: Route(model="a", otherwise=(Route(model="b"),)))
    async with toy_host(router, provider=[cut, good]) as host:
        answer = await ask(host, model="a")
    assert (answer.status, answer.json["blocks"][0]["text"]) == (200, "good")


async def test_tokens_of_a_stream_that_is_put_together_count_against_a_limit() -> None:
    left = provider("left", "a")
    left.streams, left._answer = "only", lambda attempt: Reply(stream=pieces(stream_of("Hi"), 30))  # at 3 tokens in and 5 out
    keys = [{"provider": "left", "key": f"key-{name}", "label": name, "limits": {"tpm": 8}} for name in ("one", "two")]
    async with toy_host(provider=[left], config={"credentials": keys}) as host:
        assert [(await ask(host, model="a")).status for _ in range(3)] == [200, 200, 429]
    assert sorted(attempt.candidate.label for attempt in left.attempts) == ["one", "two"]
