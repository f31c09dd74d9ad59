"""From a client's dialect into an upstream's and back: what the kernel adds to two codecs that know nothing of each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest

from jackfield.api import (
    Allow,
    Attempt,
    Dialect,
    Endpoint,
    Error,
    Event,
    Flavour,
    Headers,
    Loss,
    ModelInfo,
    Needles,
    Operation,
    Principal,
    Reply,
    Request,
    Response,
    ThinkingSupport,
    Usage,
)
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Choice,
    Done,
    Finish,
    Message,
    PartEnd,
    PartStart,
    Signature,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingConfig,
    Tool,
    ToolCall,
    reply_text,
)
from jackfield.api.testing import Harness
from jackfield.canonical_dialect import CanonicalDialect
from tests.kernel.conftest import Toy, ToyProvider, pieces, talk
from tests.kernel.pipeline_kit import Made, Observer, ask, failing, toy_host
from tests.kernel.toy import ToyDialect, check_stream, stream_of

JSON = Headers({"Content-Type": "application/json"})


class Curt(ToyDialect):
    """A dialect of few words: short names of tools, no counting, no temperature."""

    name = "curt.talk"
    endpoints = (Endpoint(path="/curt/v1/talk", operation="generate", upstream="/talk", stream=("stream",)),)
    tool_name = r"[a-z]{1,12}"


class CurtProvider(ToyProvider):
    """Takes nothing but the curt dialect."""

    dialects = ("curt.talk",)


class Structs(ToyProvider):
    """Takes and gives canonical structs."""

    dialects = ("canonical",)


class Plain(CanonicalDialect):
    """Canonical structs without free text for tools, and with short names."""

    name = "plain.structs"
    custom_tools = namespaces = False
    tool_name = r"[a-z]{1,14}"


class PlainProvider(ToyProvider):
    """Takes canonical structs that are plain."""

    dialects = ("plain.structs",)


class Both(Toy):
    def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
        return [ToyDialect(), Curt(), Plain()]


def host(provider: ToyProvider, *plugins: object, **config: Any) -> Any:
    return Harness([Both(provider), *plugins], config, bare=True)


def said_of(attempt: Attempt) -> dict[str, Any]:
    return json.loads(attempt.body.raw)  # type: ignore[no-any-return]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_is_answered_in_its_own_dialect_under_the_name_that_it_asked_for(stream: bool) -> None:
    provider = CurtProvider()
    async with host(provider, models={"aliases": {"mine": "m"}}) as running:
        answer = await ask(running, model="mine", stream=stream)
    assert answer.status == 200
    assert (check_stream(answer.body) if stream else answer.json["blocks"][0]["text"]) == "Hello"
    assert b'"model":"mine"' in answer.body
    (attempt,) = provider.attempts
    assert (attempt.fidelity, attempt.dialect.name, said_of(attempt)["model"]) == ("canonical", "curt.talk", "m")


async def test_tools_are_called_by_the_clients_names_although_the_upstream_knows_others() -> None:
    def answer(attempt: Attempt) -> Reply:
        called = ToolCall(id="c", name=attempt.request.tools[0].name, arguments='{"input":"x"}')
        return Reply(response=Response(model="m", choices=(Choice(message=Message(role="assistant", parts=(called,))),)))

    names: list[Any] = []
    provider = PlainProvider(answer)
    reader = Made("reader", intercept_request=lambda call: names.append(call.request.tools[0].name))
    async with host(provider, reader) as running:
        await ask(running, tools=["a very long name of a tool that nobody takes, with blanks"])
    (attempt,) = provider.attempts
    assert names[0] != attempt.request.tools[0].name
    assert " " not in attempt.request.tools[0].name
    assert attempt.losses is not None
    assert [loss.path for loss in attempt.losses] == ["tools[0].name"]


async def test_what_is_lost_is_told_to_a_client_that_asks_for_it() -> None:
    async with host(CurtProvider()) as running:
        quiet = await ask(running, tools=["Name-of-a-tool"])
        told = await ask(running, tools=["Name-of-a-tool"], headers={"x-jackfield-loss": "1"})
        none = await ask(running, headers={"x-jackfield-loss": "1"})
        stream = await ask(running, tools=["Name-of-a-tool"], headers={"x-jackfield-loss": "1"}, stream=True)
    assert "x-jackfield-loss" not in quiet.headers
    assert "changed tools[0].name" in (told.headers.get("x-jackfield-loss") or "")
    assert none.headers.get("x-jackfield-loss") == "none"
    assert "changed tools[0].name" in (stream.headers.get("x-jackfield-loss") or "")


async def test_a_strict_host_refuses_before_anything_is_sent() -> None:
    provider = CurtProvider()
    async with host(provider, translation={"policy": "strict"}) as running:
        refused = await ask(running, tools=["Name-of-a-tool"])
        served = await ask(running)
    assert (refused.status, refused.json["code"], served.status) == (400, "translation_loss", 200)
    assert len(provider.attempts) == 1


async def test_a_host_that_warns_sends_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    async with host(CurtProvider(), translation={"policy": "warn"}) as running:
        assert (await ask(running, tools=["Name-of-a-tool"])).status == 200
    assert "changed tools[0].name" in caplog.text


# ---------------------------------------------------------------------------------------------- thinking


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("m(high)", ThinkingConfig(mode="on", effort="high")),
        ("m(8192)", ThinkingConfig(mode="on", budget=8192)),
        ("m(none)", ThinkingConfig(mode="off")),
        ("m(auto)", ThinkingConfig(mode="auto")),
        ("toy://m(low)", ThinkingConfig(mode="on", effort="low")),
        ("deep", ThinkingConfig(mode="on", effort="max")),
        ("deep(low)", ThinkingConfig(mode="on", effort="low")),
    ],
)
async def test_a_models_name_may_say_how_much_it_is_to_think(name: str, asked: ThinkingConfig) -> None:
    provider = Structs(lambda attempt: Reply(response=reply_text("Hello", model="m")))
    async with host(provider, models={"aliases": {"deep": "m(max)"}}) as running:
        answer = await ask(running, model=name)
    assert answer.json["model"] == name
    (attempt,) = provider.attempts
    assert (attempt.model, attempt.request.thinking, attempt.request.model) == ("m", asked, "m")


async def test_what_only_looks_like_a_level_belongs_to_the_name() -> None:
    async with host(ToyProvider()) as running:
        assert (await ask(running, model="m(deeply)")).json["code"] == "model_not_found"


async def test_a_model_that_really_has_such_a_name_goes_first() -> None:
    provider = ToyProvider()
    provider.models = ("m(high)",)  # type: ignore[assignment]
    async with host(provider) as running:
        assert (await ask(running, model="m(high)")).status == 200
    assert provider.attempts[0].model == "m(high)"


async def test_a_key_that_may_use_a_model_may_use_it_with_any_level() -> None:
    keys = Made("keys", authenticate=lambda call: Principal(name="ann", allow=Allow(models=("m",))))
    config = {"plugins": {"keys": {}}}
    async with Harness([Both(ToyProvider()), keys], config, bare=True) as running:
        assert (await ask(running, model="m(high)")).status == 200
        assert (await ask(running, model="n(high)")).status == 403


async def test_a_catalogue_decides_what_a_model_takes_and_the_configuration_goes_before_it() -> None:
    provider = Structs(lambda attempt: Reply(response=reply_text("Hello", model="m")))
    provider.catalogue = (ModelInfo(id="m*", thinking=ThinkingSupport(levels=("low", "high")), context=10, max_output=3),)
    provider.models = (ModelInfo(id="m", context=15, owner="acme"),)  # type: ignore[assignment]
    catalogue = [{"id": "m", "context": 20}]
    async with host(provider, models={"catalogue": catalogue}) as running:
        await ask(running, model="m(medium)")
        info = running.host.generation.models.info("m")
        facts = running.host.generation.models.facts(provider, "m")
    assert provider.attempts[0].request.thinking.effort in ("low", "high")
    assert (info.context, info.max_output) == (20, 3)
    assert info.owner == "acme"
    assert [source for source, _ in facts] == ["models.catalogue in the configuration", "the models of toy", "the catalogue of toy"]


# --------------------------------------------------------------------------------------------- signatures


class Signed(ToyDialect):
    """The toy dialect with signed thoughts: `{"thought", "seal"}` among what was said."""

    def decode_request(self, raw: bytes, operation: Operation) -> Request:
        said = json.loads(raw)
        thoughts = [
            Message(role="assistant", parts=(Thinking(text=t["thought"], signature=Signature(value=t["seal"], family="toy")),))
            for t in said["say"]
            if "thought" in t
        ]
        words = [Message(role=t["who"], parts=(Text(text=t["words"]),)) for t in said["say"] if "who" in t]
        return Request(model=said["model"], messages=(*thoughts, *words))

    def encode_request(self, request: Request, operation: Operation, losses: list[Loss]) -> bytes:
        say: list[dict[str, Any]] = []
        for message in request.messages:
            for part in message.parts:
                if isinstance(part, Thinking):
                    say.append({"thought": part.text, **({"seal": part.signature.value} if part.signature else {})})
                elif isinstance(part, Text):
                    say.append({"who": message.role, "words": part.text})
        return msgspec.json.encode({"model": request.model, "say": say})

    def refuses_signature(self, error: Error) -> bool:
        return error.code == "bad_seal"


class SignedToy(Toy):
    def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
        return [Signed()]


@pytest.mark.parametrize("refusals", [1, 9])
async def test_a_provider_that_refuses_signatures_is_asked_once_more_without(refusals: int) -> None:
    def answer(attempt: Attempt) -> Reply:
        if len(provider.attempts) <= refusals:
            return Reply(status=400, headers=JSON, body=b'{"oops":"no such seal","code":"bad_seal"}')
        return Reply(body=msgspec.json.encode({"id": "t", "model": "m", "blocks": [{"text": "ok"}], "stop": "stop"}))

    provider, observer = ToyProvider(answer), Observer()
    said = {"model": "m", "say": [{"thought": "hm", "seal": "abc"}, {"who": "user", "words": "hi"}]}
    async with Harness([SignedToy(provider), observer], {}, bare=True) as running:
        got = await running.post("/toy/v1/talk", said)
        explained = await observer.explained()
    assert got.status == (200 if refusals == 1 else 400)
    assert [bool(b"abc" in attempt.body.raw) for attempt in provider.attempts] == [True, False]
    assert "signatures of earlier answers" in explained


async def test_a_tagged_signature_leaves_the_way_of_bytes() -> None:
    provider = ToyProvider()
    async with Harness([SignedToy(provider)], {}, bare=True) as running:
        for seal in ("abc", "jf1.other.abc"):
            await running.post("/toy/v1/talk", {"model": "m", "say": [{"thought": "hm", "seal": seal}]})
    assert [attempt.fidelity for attempt in provider.attempts] == ["bytes", "canonical"]


# ------------------------------------------------------------------------------------- direct translators


class Pair:
    """A direct translator from the toy dialect to the curt one, which is the same in capitals."""

    source, target = "toy.talk", "curt.talk"

    def translate_request(self, raw: bytes, losses: list[Loss]) -> bytes:
        losses.append(Loss("say", "changed", "shouted"))
        return raw.replace(b'"hi"', b'"HI"')

    def translate_response(self, raw: bytes, losses: list[Loss]) -> bytes:
        return raw.replace(b"Hello", b"HELLO")

    def translate_stream(self, call_id: str, losses: list[Loss]) -> Callable[[Event | None], Iterable[Event]]:
        self.calls = [*getattr(self, "calls", []), call_id]
        count = 0

        def step(event: Event | None) -> Iterable[Event]:
            nonlocal count
            if event is None:
                return ()
            count += 1
            made = ToyDialect().event(event.data, event.name)
            return [made.with_text(f"{event.text}{count}")] if event.name == "words" else [made]

        return step


class WaitingPair(Pair):
    """The same, which waits for something each time."""

    async def translate_request(self, raw: bytes, losses: list[Loss]) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().translate_request(raw, losses)

    async def translate_response(self, raw: bytes, losses: list[Loss]) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().translate_response(raw, losses)

    def translate_stream(self, call_id: str, losses: list[Loss]) -> Any:
        step = super().translate_stream(call_id, losses)

        async def waiting(event: Event | None) -> Iterable[Event]:
            await asyncio.sleep(0)
            return step(event)

        return waiting


@pytest.mark.parametrize("pair", [Pair(), WaitingPair()], ids=["def", "async def"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_direct_translator_goes_before_the_canonical_way(stream: bool, pair: Pair) -> None:
    pair.calls, provider = [], CurtProvider(blocks=([["a", "b"]]))
    observer = Observer()
    async with host(provider, Made("pair", register_translators=lambda: [pair]), observer, models={"aliases": {"x": "m"}}) as running:
        answer = await ask(running, model="x", stream=stream)
        (outcome,) = await observer.completed()
    (attempt,) = provider.attempts
    assert (attempt.fidelity, said_of(attempt)["say"][0]["words"], said_of(attempt)["model"]) == ("direct", "HI", "m")
    assert outcome.fidelity == "direct"
    assert b'"model":"x"' in answer.body
    if stream:
        assert b'"a3"' in answer.body
        assert b'"b4"' in answer.body
        assert len(pair.calls) == 1
    else:
        assert answer.json["blocks"][0]["text"] == "HELLO"
    assert "shouted" in str(outcome.explain())


async def test_of_two_translators_for_one_pair_the_first_counts_and_the_other_is_listed() -> None:
    one, two = Made("one", priority=1, register_translators=lambda: [Pair()]), Made("two", register_translators=lambda: [Pair()])
    async with host(CurtProvider(), one, two) as running:
        problems = running.host.problems
    assert any("two" in problem and "shadowed" in problem for problem in problems)


# ------------------------------------------------------------------------------------- tools in a stream


async def test_a_streamed_call_of_a_tool_comes_back_under_the_clients_name() -> None:
    class Wide(ToyDialect):
        """The toy dialect whose tools take free text, and whose streams name calls."""

        custom_tools = True

        def decode_request(self, raw: bytes, operation: Operation) -> Request:
            said = json.loads(raw)
            messages = (Message(role="user", parts=(Text(text="hi"),)),)
            return Request(model=said["model"], messages=messages, tools=(Tool(name="patch", kind="custom"),), stream=True)

        def encode_stream(self, request: Request, losses: list[Loss]) -> Any:
            return Collector(self)

    class Collector:
        def __init__(self, dialect: Dialect) -> None:
            self._dialect = dialect

        def feed(self, deltas: Sequence[Any]) -> Sequence[Event]:
            seen.extend(deltas)
            return [self._dialect.event({"seq": 0, "id": "t"}, "close") for d in deltas if isinstance(d, Done)]

    class WideToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Wide(), Plain()]

    async def deltas() -> Any:
        yield Begin(model="m")
        yield PartStart(index=0, part=ToolCall(id="c", name="patch"))
        for piece in ('{"inp', 'ut":"a', 'b"}'):
            yield ArgumentsDelta(index=0, text=piece)
        yield PartEnd(index=0)
        yield Finish(reason="tool_calls")
        yield Done()

    seen: list[Any] = []
    provider = PlainProvider(lambda attempt: Reply(stream=deltas()))
    async with Harness([WideToy(provider)], {}, bare=True) as running:
        assert (await ask(running, stream=True)).status == 200
    calls = [delta.part for delta in seen if isinstance(delta, PartStart)]
    assert [(call.name, call.kind) for call in calls] == [("patch", "custom")]
    assert "".join(delta.text for delta in seen if isinstance(delta, ArgumentsDelta)) == "ab"
    assert provider.attempts[0].request.tools[0].kind == "function"


# --------------------------------------------------------------------------------------- other operations


class Counting(ToyDialect):
    """The toy dialect with a counting of tokens that can be told in canonical words."""

    usage_at_start = True

    def decode_request(self, raw: bytes, operation: Operation) -> Request:
        return super().decode_request(raw, "generate")

    def encode_count(self, usage: Usage) -> bytes:
        return msgspec.json.encode({"tokens": usage.input, "by": usage.source})

    def decode_count(self, raw: bytes) -> Usage:
        return Usage(input=json.loads(raw)["tokens"])


class CountingToy(Toy):
    def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
        return [Counting(), Curt()]


async def test_tokens_are_estimated_where_nobody_counts_them() -> None:
    provider = CurtProvider()
    async with Harness([CountingToy(provider)], {}, bare=True) as running:
        short = await running.post("/toy/v1/count", talk(words="hi"))
        long = await running.post("/toy/v1/count", talk(words="hi " * 1000))
    assert short.json["by"] == "estimated"
    assert 1 <= short.json["tokens"] < 20
    assert 500 < long.json["tokens"] < 1500
    assert provider.attempts == []


async def test_a_provider_of_the_clients_dialect_counts_itself() -> None:
    provider = ToyProvider(lambda attempt: Reply(headers=JSON, body=b'{"tokens": 7, "more": 1}'))
    async with Harness([CountingToy(provider)], {}, bare=True) as running:
        assert (await running.post("/toy/v1/count", talk())).body == b'{"tokens": 7, "more": 1}'


async def test_a_stream_that_begins_with_token_counts_begins_with_an_estimate_where_the_upstream_has_none() -> None:
    begun: list[Any] = []

    class Noting(Counting):
        def encode_stream(self, request: Request, losses: list[Loss]) -> Any:
            encoder = super().encode_stream(request, losses)

            class Both:
                def feed(self, deltas: Sequence[Any]) -> Sequence[Event]:
                    begun.extend(delta for delta in deltas if isinstance(delta, Begin))
                    return encoder.feed(deltas)

            return Both()

    class NotingToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Noting(), Curt()]

    async with Harness([NotingToy(CurtProvider())], {}, bare=True) as running:
        await ask(running, stream=True)
    assert begun[0].usage.source == "estimated"
    assert begun[0].usage.input > 0


# ---------------------------------------------------------------------------------------------- resources


class Keeping(ToyDialect):
    """The toy dialect with things that are kept under an id."""

    stateful = True
    request_query = frozenset({"part"})
    endpoints = (
        *ToyDialect.endpoints,
        Endpoint(method="GET", path="/toy/v1/kept/{id}", operation="resource", upstream="/kept/{id}", model=None),
        Endpoint(
            method="GET",
            path="/toy/v1/kept/{id}",
            operation="resource",
            upstream="/kept/{id}",
            model=None,
            stream=True,
            when_query=("live", "yes"),
        ),
        Endpoint(method="POST", path="/toy/v1/kept/{id}/end", operation="resource", upstream="/kept/{id}/end", model=None),
        Endpoint(method="GET", path="/toy/hello", operation="ping", model=None),
        Endpoint(path="/toy/v1/press", operation="compact", upstream="/press"),
    )


class KeepingToy(Toy):
    def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
        return [Keeping(), Curt()]


def keeping(*providers: ToyProvider, **config: Any) -> Any:
    return Harness([KeepingToy(*providers)], config, bare=True)


async def test_what_is_kept_is_asked_of_those_who_may_have_it_one_after_the_other() -> None:
    def second(attempt: Attempt) -> Reply:
        return Reply(headers=JSON, body=msgspec.json.encode([attempt.params, attempt.endpoint.method if attempt.endpoint else ""]))

    one, two = ToyProvider(failing((404, {"oops": "no such thing"}))), ToyProvider(second)
    one.key, two.key = "one", "two"
    async with keeping(one, two) as running:
        got = await running.get("/toy/v1/kept/a%20b")
        ended = await running.post("/toy/v1/kept/x/end", {})
    assert (got.status, got.json) == (200, [{"id": "a b"}, "GET"])
    assert ended.json == [{"id": "x"}, "POST"]


async def test_what_nobody_has_is_answered_as_the_last_one_said() -> None:
    async with keeping(ToyProvider(failing((404, {"oops": "no such thing"})))) as running:
        got = await running.get("/toy/v1/kept/x")
    assert (got.status, got.json) == (404, {"oops": "no such thing"})


async def test_where_nobody_keeps_anything_the_client_is_told_so() -> None:
    async with keeping(CurtProvider()) as running:
        got = await running.get("/toy/v1/kept/x")
    assert (got.status, got.json["code"]) == (400, "nothing_stored")


async def test_what_is_kept_may_be_streamed_when_the_query_says_so() -> None:
    def answer(attempt: Attempt) -> Reply:
        assert attempt.stream
        return Reply(stream=pieces(stream_of(["a", "b"]), 11))

    async with keeping(ToyProvider(answer)) as running:
        got = await running.get("/toy/v1/kept/x?live=yes")
    assert check_stream(got.body) == "ab"


async def test_an_operation_without_canonical_form_stays_in_its_dialect() -> None:
    body = b'{"model":"m","long":1.10}'
    provider = ToyProvider(lambda attempt: Reply(headers=JSON, body=attempt.body.raw))
    async with keeping(provider) as running:
        got = await running.post("/toy/v1/press", body)
    assert got.body == body
    async with keeping(CurtProvider()) as running:
        refused = await running.post("/toy/v1/press", body)
    assert (refused.status, refused.json["code"]) == (400, "unsupported_translation")


async def test_a_request_that_goes_on_from_a_stored_answer_never_crosses() -> None:
    class Going(Keeping):
        def decode_request(self, raw: bytes, operation: Operation) -> Request:
            return Request(model="m", previous=json.loads(raw).get("after"))

    class GoingToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Going(), Curt()]

    async with Harness([GoingToy(CurtProvider())], {}, bare=True) as running:
        got = await running.post("/toy/v1/talk", {"model": "m", "after": "t-1"})
    assert (got.status, got.json["code"], got.json["field"]) == (400, "previous_response_not_stored", "previous_response_id")


@pytest.mark.parametrize(("said", "code"), [({"talk": "t-1"}, "stored_elsewhere"), ({"say": []}, "nothing_said")])
async def test_what_cannot_cross_is_refused(said: dict[str, Any], code: str) -> None:
    class Kept(Keeping):
        stored = frozenset({"talk"})

        def decode_request(self, raw: bytes, operation: Operation) -> Request:
            body = json.loads(raw)
            talk = {"toy.talk": {"talk": body["talk"]}} if "talk" in body else {}
            return msgspec.structs.replace(super().decode_request(raw, operation), extensions=talk)

    class KeptToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Kept(), Curt()]

    provider = CurtProvider()
    async with Harness([KeptToy(provider)], {}, bare=True) as running:
        got = await running.post("/toy/v1/talk", {**talk(), **said})
    assert (got.status, got.json["code"], provider.attempts) == (400, code, [] if code == "nothing_said" else provider.attempts)


async def test_what_one_dialect_alone_knows_of_a_request_is_listed() -> None:
    class Knowing(ToyDialect):
        def decode_request(self, raw: bytes, operation: Operation) -> Request:
            kept = {"toy.talk": {"mood": "fine", "=form": 1, "shape": ""}}
            return msgspec.structs.replace(super().decode_request(raw, operation), extensions=kept)

    class KnowingToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Knowing(), Curt()]

    async with Harness([KnowingToy(CurtProvider())], {}, bare=True) as running:
        told = await ask(running, headers={"x-jackfield-loss": "1"})
    assert told.headers.get("x-jackfield-loss") == "dropped mood: toy.talk alone knows it"


async def test_an_answers_own_losses_are_told_too_and_those_of_an_error() -> None:
    class Losing(ToyDialect):
        def encode_response(self, response: Response, losses: list[Loss]) -> bytes:
            losses.append(Loss("words", "changed", "shouted"))
            return super().encode_response(response, losses)

    class LosingToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Losing(), Curt()]

    async with Harness([LosingToy(CurtProvider())], {}, bare=True) as running:
        told = await ask(running, headers={"x-jackfield-loss": "1"})
    assert told.headers.get("x-jackfield-loss") == "changed words: shouted"
    refusing = CurtProvider(failing((400, {"oops": "no"})))
    async with Harness([LosingToy(refusing)], {}, bare=True) as running:
        told = await ask(running, tools=["Name-of-a-tool"], headers={"x-jackfield-loss": "1"})
    assert told.status == 400
    assert "changed tools[0].name" in (told.headers.get("x-jackfield-loss") or "")


async def test_what_had_to_be_made_up_is_no_reason_to_refuse() -> None:
    class Making(Curt):
        def encode_request(self, request: Request, operation: Operation, losses: list[Loss]) -> bytes:
            losses.append(Loss("limit", "invented", "it insists on one"))
            return super().encode_request(request, operation, losses)

    class MakingToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [ToyDialect(), Making()]

    async with Harness([MakingToy(CurtProvider())], {"translation": {"policy": "strict"}}, bare=True) as running:
        assert (await ask(running)).status == 200


@pytest.mark.parametrize(("status", "says"), [(401, "credential"), (500, "upstream")])
async def test_what_is_wrong_with_the_hosts_own_accounts_is_not_told_in_a_stream_either(status: int, says: str) -> None:
    async def deltas() -> Any:
        yield Begin(model="m")
        yield PartStart(index=0, part=Text(text=""))
        yield TextDelta(index=0, text="Hello")
        yield StreamError(error=Error(status=status, message="It broke: sk-1"))

    async with host(PlainProvider(lambda attempt: Reply(stream=deltas()))) as running:
        answer = await ask(running, stream=True)
    assert f'"why":"the provider\'s stream ended with an error ({says})"' in answer.body.decode()


async def test_a_greeting_is_answered_with_nothing() -> None:
    async with keeping() as running:
        got = await running.request("HEAD", "/toy/hello")
    assert (got.status, got.body) == (200, b"")


async def test_an_upgrade_to_a_websocket_is_refused_as_such() -> None:
    async with keeping() as running:
        got = await running.request("GET", "/toy/v1/talk", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    assert (got.status, got.json["code"]) == (426, "upgrade_required")


# ------------------------------------------------------------------------------------------ framings, flavours


class Lines:
    """One JSON object a line, the whole in brackets: an event's bytes depend on those before."""

    name, media_type = "lines", "application/json"

    def splitter(self) -> Any:
        raise NotImplementedError

    def plain_frames(self, whole: bytes) -> list[bytes] | None:
        return None

    def frames(self, whole: bytes) -> list[tuple[bytes, str, bytes]]:
        return [(line, json.loads(line)["name"], b"\n") for line in whole.splitlines()]

    def around(self, whole: bytes, at: int) -> tuple[int, int]:
        return whole.rfind(b"\n", 0, at) + 1, whole.find(b"\n", at) + 1

    def clean(self, whole: bytes) -> bytes:
        return whole

    def payload(self, frame: bytes) -> bytes:
        return msgspec.json.encode(json.loads(frame)["data"])

    def build(self, payload: bytes, name: str = "") -> tuple[bytes, bytes]:
        return msgspec.json.encode({"name": name, "data": msgspec.Raw(payload)}), b"\n"

    def join(self) -> Callable[[bytes], bytes]:
        begun = False

        def join(whole: bytes) -> bytes:
            nonlocal begun
            before, begun = b"," if begun else b"[", True
            return before + b",".join(whole.splitlines())

        return join

    def finish(self) -> bytes:
        return b"]"


class Framed(ToyDialect):
    endpoints = (
        *ToyDialect.endpoints,
        Endpoint(path="/toy/v1/list", operation="generate", stream=True, framing=Lines()),
    )


class FramedToy(Toy):
    def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
        return [Framed(), Curt()]


@pytest.mark.parametrize("provider", [ToyProvider, CurtProvider])
async def test_a_route_may_frame_its_streams_in_a_way_of_its_own(provider: type[ToyProvider]) -> None:
    def shout(event: Event) -> Event | None:
        return event.with_text(event.text.upper()) if event.text else None

    loud = Made("loud", intercept_stream=lambda call, head: shout)
    asked = provider(blocks=[["a", "b"]])
    async with Harness([FramedToy(asked), loud], {}, bare=True) as running:
        got = await running.post("/toy/v1/list", talk())
    assert (got.headers.get("content-type") or "").startswith("application/json")
    assert "".join(event["data"]["text"] for event in got.json if event["name"] == "words") == "AB"
    assert asked.attempts[0].endpoint is not None
    assert asked.attempts[0].endpoint.upstream == "/talk"


async def test_a_provider_may_want_its_requests_said_otherwise() -> None:
    provider, observer = ToyProvider(), Observer()
    provider.flavours = (Flavour(drop=("mood",), why="not taken here"),)
    async with toy_host(observer, provider=provider) as running:
        await ask(running, mood="fine", left=1)
        explained = await observer.explained()
    (attempt,) = provider.attempts
    assert "mood" not in said_of(attempt)
    assert said_of(attempt)["left"] == 1
    assert attempt.fidelity == "edited"
    assert "not taken here" in explained


async def test_a_provider_that_is_there_as_a_fallback_gives_way_to_any_other_of_its_key() -> None:
    class Spare(ToyProvider):
        fallback = True

    spare, own = Spare(), ToyProvider()
    spare.key = own.key = "shop"
    for order in (("a", "b"), ("b", "a")):
        one = Made(order[0], register_providers=lambda: [spare])
        two = Made(order[1], register_providers=lambda: [own])
        async with toy_host(one, two) as running:
            assert running.host.problems == []
            assert running.host.generation.providers["shop"] is own


async def test_the_type_of_a_foreign_error_stays_behind() -> None:
    async def deltas() -> Any:
        yield Begin(model="m")
        yield PartStart(index=0, part=Text(text=""))
        yield TextDelta(index=0, text="Hello")
        yield StreamError(error=Error(status=400, message="It broke", type="OF_ANOTHER_KIND", code="c"))

    seen: list[Error] = []

    class Noting(ToyDialect):
        def encode_stream(self, request: Request, losses: list[Loss]) -> Any:
            encoder = super().encode_stream(request, losses)

            class Both:
                def feed(self, deltas: Sequence[Any]) -> Sequence[Event]:
                    seen.extend(delta.error for delta in deltas if isinstance(delta, StreamError))
                    return encoder.feed(deltas)

            return Both()

    class NotingToy(Toy):
        def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
            return [Noting(), Plain()]

    async with Harness([NotingToy(PlainProvider(lambda attempt: Reply(stream=deltas())))], {}, bare=True) as running:
        await ask(running, stream=True)
    assert [(error.message, error.type, error.code) for error in seen] == [("It broke", None, "c")]


async def test_the_thoughts_and_words_of_structs_reach_a_client() -> None:
    async def deltas() -> Any:
        yield Begin(model="m")
        yield PartStart(index=0, part=Text(text=""))
        yield TextDelta(index=0, text="Hello")
        yield PartEnd(index=0)
        yield Finish(reason="stop")
        yield Done()

    async with host(Structs(lambda attempt: Reply(stream=deltas()))) as running:
        assert check_stream((await ask(running, stream=True)).body) == "Hello"


def test_the_markers_of_tagged_signatures_are_searched_by_default() -> None:
    assert Needles().tagged == (b"jf1.",)
