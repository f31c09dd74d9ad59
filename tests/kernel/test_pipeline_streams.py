"""Stage 11 for streams: the forms that a handler may have, and what becomes of one that breaks the rules."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jackfield.api import Attempt, Change, End, Event, Reply, Request, Rule, StreamHead, hook, reply_text
from jackfield.api.canonical import Begin, Done, Finish, Message, PartEnd, PartStart, StreamError, Text, TextDelta
from jackfield.api.testing import Harness
from jackfield.health import Health
from tests.kernel.conftest import WHOLE, Toy, ToyProvider, pieces
from tests.kernel.pipeline_kit import Made, Observer, ask, begun_stream, toy_host
from tests.kernel.toy import check_stream, read_stream, stream_of

BLOCKS = (["one", " two"], [" three"])


def shout(event: Event) -> Event | None:
    return event.with_text(event.text.upper()) if event.text else None


async def shout_async(event: Event) -> Event | None:
    await asyncio.sleep(0)
    return shout(event)


class Shouter:
    def __call__(self, event: Event) -> Event | None:
        return shout(event)

    def method(self, event: Event) -> Event | None:
        return shout(event)


class AsyncShouter:
    async def __call__(self, event: Event) -> Event | None:
        return await shout_async(event)


FORMS: list[tuple[str, Any]] = [
    ("def", shout),
    ("async def", shout_async),
    ("an object", Shouter()),
    ("an async object", AsyncShouter()),
    ("a method", Shouter().method),
    ("a partial", functools.partial(lambda loud, event: shout(event) if loud else None, True)),
    ("a partial of an async one", functools.partial(shout_async)),
    ("a function that returns what is to be awaited", lambda event: shout_async(event)),
    ("one that answers lists", lambda event: [shout(event)] if event.text else None),
    ("one that answers tuples", lambda event: (shout(event),) if event.text else ()  if event.name == "nothing" else None),
]  # fmt: skip


@pytest.mark.parametrize("bound", ["def", "async def"])
@pytest.mark.parametrize("handler", [row[1] for row in FORMS], ids=[row[0] for row in FORMS])
async def test_a_handler_may_have_any_form(handler: Any, bound: str) -> None:
    async def bind(call: Any, head: Any) -> Any:
        return handler

    plugin = Made("shouter", intercept_stream=bind if bound == "async def" else lambda call, head: handler)
    async with toy_host(plugin, provider=ToyProvider(blocks=BLOCKS)) as host:
        assert check_stream((await ask(host, stream=True)).body) == "ONE TWO THREE"
        assert not host.host.problems


def generator(event: Event) -> Any:
    yield event


async def async_generator(event: Event) -> Any:
    yield event


async def raises_later(event: Event) -> None:
    await asyncio.sleep(0)
    raise LookupError("later")


MISUSES: list[tuple[str, Any, str]] = [
    ("a text", lambda event: "text", "str"),
    ("an empty text", lambda event: "", "str"),
    ("bytes", lambda event: b"data: x\n\n", "bytes"),
    ("a number", lambda event: 0, "int"),
    ("a list of texts", lambda event: ["text"], "list"),
    ("a list with None", lambda event: [event, None], "list"),
    ("an end with texts", lambda event: End(["text"]), "End"),  # type: ignore[list-item]
    ("a generator", generator, "generator"),
    ("an async generator", async_generator, "async_generator"),
    ("an error", lambda event: 1 / 0, "ZeroDivisionError"),
    ("an error later", raises_later, "LookupError"),
    ("nothing in time", lambda event: asyncio.Event().wait(), "longer than"),
    ("too many arguments", lambda event, more: None, "TypeError"),
]  # fmt: skip


@pytest.mark.parametrize(("handler", "why"), [row[1:] for row in MISUSES], ids=[row[0] for row in MISUSES])
async def test_a_handler_that_breaks_the_rules_is_named_and_the_stream_goes_on_without_it(handler: Any, why: str) -> None:
    observer = Observer()
    plugins = [Made("vandal", priority=1, intercept_stream=lambda: handler), Made("shouter", intercept_stream=lambda: shout)]
    config = {"hooks": {"deadline": 0.03, "failures": 100}}
    async with toy_host(*plugins, observer, provider=ToyProvider(blocks=(["one"],)), config=config) as host:
        assert check_stream((await ask(host, stream=True)).body) == "ONE"
        [said] = await observer.completed()
    assert said.status == "succeeded"
    assert any(row["by"] == "vandal" and why in row["what"] for row in said.explain()["decisions"])


@pytest.mark.parametrize(("handler", "why"), [row[1:] for row in MISUSES[:1] + MISUSES[9:11]], ids=["text", "error", "later"])
async def test_a_closed_handler_that_breaks_ends_the_stream_with_an_error(handler: Any, why: str) -> None:
    observer = Observer()

    @hook(on_error="closed")
    def bind(call: Any, head: Any) -> Any:
        return lambda event: handler(event) if event.text else None

    async with toy_host(Made("guard", intercept_stream=bind), observer, provider=ToyProvider(blocks=BLOCKS)) as host:
        raw = (await ask(host, stream=True)).body
        [said] = await observer.completed()
    assert check_stream(raw) == ""
    assert "guard" in read_stream(raw)[-1][1]["why"]
    assert (said.status, said.http_status, said.cause) == ("failed", 200, "plugin")


@pytest.mark.parametrize(
    "bind",
    [
        lambda call, head: 1 / 0,
        lambda call, head: "no handler",
        lambda call, head: [shout],
        lambda call, head: generator(head),
        lambda call, head: asyncio.Event().wait(),
    ],
    ids=["an error", "a text", "a list", "a generator", "nothing in time"],
)
async def test_a_handler_that_cannot_be_bound_is_named_and_the_stream_goes_on_without_it(bind: Any) -> None:
    observer = Observer()
    async with toy_host(Made("vandal", intercept_stream=bind), observer, config={"hooks": {"deadline": 0.03}}) as host:
        assert check_stream((await ask(host, stream=True)).body) == "Hello"
        assert "vandal" in str((await observer.completed())[0].explain()["decisions"])


async def test_a_handler_that_failed_often_is_passed_over_for_the_rest_of_the_stream() -> None:
    calls: list[str] = []

    def fails(event: Event) -> None:
        calls.append(event.name)
        raise RuntimeError("again")

    provider = ToyProvider(blocks=(["word "] * 50,))
    async with toy_host(Made("vandal", intercept_stream=lambda: fails), provider=provider, config={"hooks": {"failures": 3}}) as host:
        assert check_stream((await ask(host, stream=True)).body) == "word " * 50
    assert len(calls) == 3


async def test_every_stream_gets_a_handler_of_its_own() -> None:
    def bind(call: Any, head: Any) -> Callable[[Event], Event | None]:
        count = 0

        def number(event: Event) -> Event | None:
            nonlocal count
            count += bool(event.text)
            return event.with_text(f"{call.body.json['n']}.{count} ") if event.text else None

        return number

    async with toy_host(Made("numbers", intercept_stream=bind), provider=ToyProvider(blocks=(["a", "b", "c"],))) as host:
        answers = await asyncio.gather(*(ask(host, stream=True, n=n) for n in range(4)))
    assert [check_stream(answer.body) for answer in answers] == [f"{n}.1 {n}.2 {n}.3 " for n in range(4)]


class Closing:
    """A handler whose `close` answers something."""

    def __init__(self, answer: Callable[[Event], Any]) -> None:
        self._answer = answer
        self._words: Event | None = None

    def __call__(self, event: Event) -> None:
        self._words = event if event.text else self._words

    def close(self, outcome: Any) -> Any:
        assert self._words is not None
        return self._answer(self._words)


async def _added(words: Event) -> list[Event]:
    await asyncio.sleep(0)
    return [words.with_text("!")]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda words: None, "Hello"),
        (lambda words: [], "Hello"),
        (lambda words: [words.with_text("!"), words.with_text("?")], "Hello!?"),
        (_added, "Hello!"),
        (lambda words: 1 / 0, "Hello"),
        (lambda words: 7, "Hello"),
        (lambda words: asyncio.Event().wait(), "Hello"),
    ],
    ids=["nothing", "an empty list", "events", "later", "an error", "a number", "nothing in time"],
)
async def test_what_close_adds_stands_before_the_end_and_its_failures_harm_nobody(answer: Any, text: str) -> None:
    plugin = Made("closing", intercept_stream=lambda: Closing(answer))
    async with toy_host(plugin, config={"hooks": {"deadline": 0.03}}) as host:
        raw = (await ask(host, stream=True)).body
    assert check_stream(raw) == text
    assert read_stream(raw)[-1][0] == "close"


async def test_the_head_says_what_is_known_before_the_first_event() -> None:
    heads: list[StreamHead] = []
    look = Made("look", intercept_stream=lambda call, head: heads.append(head))
    provider = ToyProvider(lambda attempt: Reply(stream=pieces(stream_of(["x"]), 50)))
    async with toy_host(look, provider=provider, config={"models": {"aliases": {"best": "m"}}}) as host:
        await ask(host, model="best", stream=True)
    [head] = heads
    assert (head.status, head.model, head.provider) == (200, "m", "toy")


async def test_the_head_of_a_whole_answer_that_is_played_says_who_gave_it() -> None:
    heads: list[StreamHead] = []
    look = Made("look", intercept_stream=lambda call, head: heads.append(head))
    provider = ToyProvider(lambda attempt: Reply(body=msgspec.json.encode(WHOLE)))
    async with toy_host(look, provider=provider, config={"models": {"aliases": {"best": "m"}}}) as host:
        assert check_stream((await ask(host, model="best", stream=True)).body) == "Hello"
    [head] = heads
    assert (head.status, head.model, head.provider) == (200, "m", "toy")


# ------------------------------------------------------------------------- streams that are not what was asked for


class Canonical(ToyProvider):
    """Speaks the canonical model, and streams as it likes."""

    key, models, dialects = "foreign", ("f",), ("canonical",)

    def __init__(self, streams: Any, told: list[Any]) -> None:
        super().__init__()
        self.streams, self._told = streams, told

    async def execute(self, attempt: Attempt) -> Reply:
        assert isinstance(attempt.request, Request)
        self._told.append(attempt.request.stream)
        return Reply(response=reply_text("Hi there", model="f")) if self.streams == "never" else Reply(stream=self._deltas())

    async def _deltas(self) -> Any:
        for delta in (
            Begin(model="f"),
            PartStart(index=0, part=Text(text="")),
            TextDelta(index=0, text="Hi "),
            TextDelta(index=0, text="there"),
            PartEnd(index=0),
            Finish(reason="stop"),
            Done(),
        ):
            yield delta


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("streams", ["only", "never"])
async def test_what_a_provider_cannot_do_the_kernel_does(streams: Any, stream: bool) -> None:
    told: list[Any] = []
    seen: list[str] = []
    look = Made(
        "look",
        intercept_response=lambda call, reply: seen.append(f"whole {reply.canonical.text}"),
        intercept_stream=lambda call, head: lambda event: seen.append(event.text) if event.text else None,
    )
    async with Harness([Toy(Canonical(streams, told)), look], bare=True) as host:
        answer = await ask(host, model="f", stream=stream)
    assert told == [streams == "only"]
    assert (check_stream(answer.body) if stream else answer.json["blocks"][0]["text"]) == "Hi there"
    assert (seen == ["whole Hi there"]) if not stream else ("".join(seen) == "Hi there")


@pytest.mark.parametrize("dialect", ["same", "other"])
async def test_a_normalizer_sees_the_upstreams_stream_before_it_is_translated(dialect: str) -> None:
    seen: list[str] = []

    def normalize(attempt: Attempt, reply: Reply) -> Any:
        seen.append(attempt.dialect.name)
        return shout

    provider: Any = ToyProvider(blocks=(["Hi ", "there"],)) if dialect == "same" else Canonical("both", [])
    late = Made("late", intercept_stream=lambda: lambda event: seen.append(event.text) if event.text else None)
    async with Harness([Toy(provider), Made("normal", normalize_response=normalize), late], bare=True) as host:
        answer = await ask(host, model="m" if dialect == "same" else "f", stream=True)
    assert check_stream(answer.body) == "HI THERE"
    assert seen == ["toy.talk" if dialect == "same" else "canonical", "HI ", "THERE"]


async def test_a_stream_that_breaks_off_tells_handlers_and_client() -> None:
    told: list[Any] = []

    class Handler:
        def __call__(self, event: Event) -> None:
            return None

        def close(self, outcome: Any) -> None:
            told.append((outcome.status, outcome.cause))

    provider = ToyProvider(lambda attempt: Reply(stream=pieces(begun_stream("one"), 40)))
    async with toy_host(Made("closing", intercept_stream=lambda: Handler()), provider=provider) as host:
        raw = (await ask(host, stream=True)).body
    assert check_stream(raw) == "one"
    assert read_stream(raw)[-1][0] == "oops"
    assert told == [("failed", "network")]


async def test_a_request_interceptor_that_reads_the_stream_flag_cannot_be_fooled() -> None:
    """What says whether a stream is wanted is decided once: a plugin's new body does not change how the client is answered."""
    said = Change(body=b'{"model":"m","stream":true,"say":[]}')
    provider = ToyProvider()
    async with toy_host(Made("p", intercept_request=lambda: said), provider=provider) as host:
        answer = await ask(host)
    assert answer.json == WHOLE
    assert provider.attempts[0].body.json["stream"] is False


@pytest.mark.parametrize("broken", [b'event: words\ndata: {"seq":2,"id":"t-1","block":0}\n\n', b"event: words\ndata: no JSON\n\n"])
async def test_an_upstreams_event_that_cannot_be_translated_ends_the_stream_with_an_error(broken: bytes) -> None:
    observer = Observer()
    provider = ToyProvider(lambda attempt: Reply(stream=pieces(begun_stream("one") + broken, 1000)))
    async with toy_host(observer, provider=provider) as host:
        said = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))
        deltas = [delta async for delta in host.host.stream(said)]
        [outcome] = await observer.completed()
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) in ("", "one")
    assert isinstance(deltas[-1], StreamError)
    assert (outcome.status, outcome.cause) == ("failed", "upstream")


async def test_a_stream_on_which_a_handler_fails_throughout_does_not_switch_it_off_for_others() -> None:
    def bind(call: Any, head: Any) -> Callable[[Event], Event]:
        def shout(event: Event) -> Event:
            if call.body.json.get("bad"):
                raise RuntimeError("bad")
            return event.with_text(event.text.upper())

        return shout

    async with toy_host(Made("shouter", intercept_stream=bind), config={"hooks": {"failures": 3}}) as host:
        assert check_stream((await ask(host, stream=True, bad=True)).body) == "Hello"
        assert check_stream((await ask(host, stream=True)).body) == "HELLO"


# --------------------------------------------------------------------------------------- errors within a stream


class Failing(ToyProvider):
    failures = (Rule(cause="quota", code="spent", retry_after=30), Rule(cause="caller", code="too_long"))


def ended_with(code: str, size: int) -> Failing:
    """Return a provider whose stream says a word and ends with an error."""
    oops = f'event: oops\ndata: {{"seq":3,"id":"t-1","why":"sk-secret at https://acme.internal","code":"{code}"}}\n\n'
    return Failing(lambda attempt: Reply(stream=pieces(begun_stream("one") + oops.encode(), size)))


LANES: dict[str, list[Any]] = {
    "bytes": [],
    "handler": [Made("look", intercept_stream=lambda: lambda event: None)],
    "changed": [Made("shouter", intercept_stream=lambda: shout)],
    "normalizer": [Made("normal", normalize_response=lambda attempt, reply: lambda event: None)],
}


@pytest.mark.parametrize("size", [23, 10_000], ids=["pieces", "at once"])
@pytest.mark.parametrize("lane", LANES)
async def test_a_providers_own_trouble_ends_a_stream_in_the_kernels_words(lane: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    observer, told = Observer(), list[Any]()
    monkeypatch.setattr(Health, "failed", lambda self, account, model, failed: told.append((failed.cause, failed.retry_after)))
    async with toy_host(*LANES[lane], observer, provider=ended_with("spent", size)) as host:
        raw = (await ask(host, stream=True)).body
        [said] = await observer.completed()
    assert check_stream(raw).lower() == "one"
    assert read_stream(raw)[-1][1]["why"] == "the provider's stream ended with an error (quota)"
    assert b"acme.internal" not in raw
    assert (said.status, said.cause, said.attempts) == ("failed", "quota", 1)
    assert "acme.internal" in str(said.explain()["attempts"]), "what the provider said stays in the record"
    assert told == [("quota", 30)], "it rests once, for as long as the provider says"


@pytest.mark.parametrize("size", [23, 10_000], ids=["pieces", "at once"])
@pytest.mark.parametrize("lane", LANES)
async def test_an_error_of_the_callers_passes_as_the_provider_wrote_it(lane: str, size: int) -> None:
    observer = Observer()
    async with toy_host(*LANES[lane], observer, provider=ended_with("too_long", size)) as host:
        raw = (await ask(host, stream=True)).body
        [said] = await observer.completed()
    assert read_stream(raw)[-1][1]["why"] == "sk-secret at https://acme.internal"
    assert [name for name, _ in read_stream(raw)].count("oops") == 1
    assert (said.status, said.cause) == ("failed", "caller")


@pytest.mark.parametrize("lane", LANES)
async def test_words_that_look_like_an_error_are_none(lane: str) -> None:
    observer = Observer()
    provider = Failing(blocks=(["one", "event: oops", '{"code":"spent"}'],))
    async with toy_host(*LANES[lane], observer, provider=provider) as host:
        raw = (await ask(host, stream=True)).body
        [said] = await observer.completed()
    assert check_stream(raw).lower() == 'oneevent: oops{"code":"spent"}'
    assert said.status == "succeeded"
