"""What goes over the connection comes out as it went in: the two sides' forms are each other's inverse."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jackfield.api import (
    Allow,
    Alternative,
    Attempt,
    Body,
    Call,
    Candidate,
    Change,
    Continuity,
    Credential,
    Headers,
    Outcome,
    Pairs,
    Pool,
    Principal,
    Provider,
    Reject,
    Reply,
    Route,
    StreamHead,
    Usage,
    failure,
    reply_text,
)
from jackfield.api.canonical.crossing import request_codec, response_codec
from jackfield.rpc import forms, wire
from jackfield.rpc.pools import MOST, Table
from jackfield.rpc_plugin import forms as apart
from jackfield.rpc_plugin.pools import Pools
from tests.kernel.toy import ToyDialect, stream_of

ALL = frozenset({"headers", "body", "client_body", "request", "undecoded", "deltas", "secret"})
TOY = ToyDialect()
RAW = b'{"model": "m",\n "say": [{"who": "user", "words": "h\xc3\xbc"}], "x": 1.10}'


def wired(said: Any, kind: Any = None) -> Any:
    """Return a message as the other side reads it."""
    return msgspec.json.decode(msgspec.json.encode(said), type=kind or type(said))


def a_call() -> Call:
    call = Call("c-1", TOY, TOY.endpoints[0], Headers([("X-A", "1"), ("x-a", "2"), ("Authorization", "Bearer k")]), Pairs([("key", "q")]))
    call.body = Body(RAW, codec=request_codec(TOY, "generate"))
    call.model, call.principal, call.peer = "m", Principal(name="ann"), "10.1.2.3"
    call.route = Route(model="n", reason="why")
    return call


def an_attempt() -> Attempt:
    provider = Provider()
    provider.key, provider.continuity = "acme", [Continuity(dialects=("toy.talk",), body=(("cache",),), headers=("x-c",))]
    held = Credential(provider="acme", id="acme:1", label="mine")
    attempt = Attempt(a_call(), provider, Candidate(SimpleNamespace(credential=held), "up"), TOY)
    attempt.endpoint, attempt.base_url, attempt.number = TOY.endpoints[0], "http://x/y", 2
    attempt.headers, attempt.before = Headers([("x-b", "1")]), (failure("rate", "slowly", status=429, retry_after=3.0),)
    return attempt


CALL = [
    "id",
    "dialect",
    "operation",
    "model",
    "stream",
    "method",
    "path",
    "depth",
    "peer",
    "session",
    "headers",
    "query",
    "route",
    "request",
]


@pytest.mark.parametrize("name", CALL)
def test_a_call(name: str) -> None:
    call = a_call()
    seen = apart.SentCall(wired(forms.call_of(call, ALL, {})), ALL, apart.States())
    assert getattr(seen, name) == getattr(call, name)
    assert isinstance(seen, Call)


def test_a_calls_body_keeps_its_numbers() -> None:
    seen = apart.SentCall(wired(forms.call_of(a_call(), ALL, {})), ALL, apart.States())
    assert seen.body.raw == RAW.replace(b"\n", b"")
    assert seen.body.json["x"] == 1.1
    assert apart.SentCall(wired(forms.call_of(a_call(), frozenset({"raw"}), {})), frozenset({"raw"}), apart.States()).body.raw == RAW


@pytest.mark.parametrize("name", ["model", "stream", "number", "before", "headers", "query", "base_url", "request", "params"])
def test_an_attempt(name: str) -> None:
    attempt = an_attempt()
    seen = apart.SentAttempt(wired(forms.attempt_of(attempt, ALL, {})), ALL, apart.States(), None)
    assert getattr(seen, name) == getattr(attempt, name)
    assert (seen.candidate.id, seen.candidate.label, seen.candidate.credential) == ("acme:1/up", "mine", "acme:1")
    assert (seen.provider.key, tuple(seen.provider.continuity)) == ("acme", tuple(attempt.provider.continuity))
    assert seen.endpoint is not None
    assert attempt.endpoint is not None
    assert (seen.endpoint.upstream, seen.endpoint.method) == (attempt.endpoint.upstream, attempt.endpoint.method)
    assert seen.call.body.raw == attempt.call.body.raw.replace(b"\n", b"")


def test_answers_heads_and_outcomes() -> None:
    raw = b'{"id":"t","model":"m","blocks":[{"text":"Hi"}],"stop":"stop"}'
    reply = Reply(status=201, headers=Headers([("A", "b")]), body=Body(raw, codec=response_codec(TOY, "generate")))
    seen = apart.reply_seen(wired(forms.reply_of(reply, ALL, {})), ALL)
    assert (seen.status, seen.headers, seen.canonical) == (201, reply.headers, reply.canonical)
    assert isinstance(seen.body, Body)
    assert seen.body.raw == raw
    head = StreamHead(status=200, headers=reply.headers, model="m", provider="p")
    assert apart.head_seen(wired(forms.head_of(head, ALL)), ALL) == head
    outcome = Outcome(
        status="failed", http_status=502, cause="network", usage=Usage(input=1, output=2), duration=1.5, explain=lambda: {"a": 1}
    )
    told = apart.outcome_seen(wired(forms.outcome_of(outcome, ALL)), ALL)
    assert msgspec.structs.replace(told, explain=dict) == msgspec.structs.replace(outcome, explain=dict)
    assert told.explain() == {"a": 1}


@pytest.mark.parametrize("at", range(5))
def test_events(at: int) -> None:
    whole = stream_of(["Hello", "you"])
    event = [TOY.event_type(frame, frame.split(b"\n")[0].removeprefix(b"event: ").decode()) for frame in whole.split(b"\n\n")[:-1]][at]
    seen = apart.event_seen(wired(forms.event_of(event, at, ALL)), ALL)
    for name in ("name", "json", "text", "thinking", "arguments", "usage", "finish", "error", "data"):
        assert getattr(seen, name) == getattr(event, name), name
    assert list(seen.deltas) == list(event.deltas)


ANSWERS = [
    Change(set={("a/b", 0, "~"): {"x": 1}, ("n",): None}, remove=[("say", 0, "words")], headers={"x": "1", "y": None}),
    Change(body=b'{"a": 1.10}'),
    Change(body=b'{"a":\n1.10}'),
    Change(body=b"\xff\x00"),
    Change(response=reply_text("Hello")),
    Change(respond=reply_text("Hello")),
    Change(respond=Reply(status=404, headers=Headers([("A", "b")]), body=b"text\n")),
]


@pytest.mark.parametrize("change", ANSWERS, ids=range(len(ANSWERS)))
def test_changes(change: Change) -> None:
    body = Body[Any](b'{"a/b": [{"~": 0}], "say": [{"words": "x"}]}')
    said = wired(apart.change_said(change), wire.Change)
    made = forms.change_of(said, body)
    assert made is not None
    encoded = {path: bytes(msgspec.Raw(value)) for path, value in (made.set or {}).items()}
    assert encoded == {path: msgspec.json.encode(value) for path, value in (change.set or {}).items()}
    for name in ("remove", "body", "request", "response", "respond"):
        was, now = getattr(change, name), getattr(made, name)
        assert (list(now), len(now)) == (list(was), len(was)) if name == "remove" else now == was, name
    assert (made.headers or None) == (change.headers or None)


@pytest.mark.parametrize(
    "answer",
    [
        Principal(name="ann", tags=("a",), allow=Allow(models=("m*",)), limits={"x": 1.0}),
        Reject(message="no"),
        Route(model="m", provider="p", reason="r", otherwise=(Alternative(model="n", on=("rate",)),)),
        Route(executor="self"),
        None,
    ],
    ids=str,
)
def test_decisions(answer: Any) -> None:
    if isinstance(answer, Route | None):
        assert forms.route_of(wired(apart.route_said(answer), wire.Route | None)) == answer
    if not isinstance(answer, Route):
        assert forms.principal_of(wired(apart.principal_said(answer), wire.Authenticated | None)) == answer


class Held:
    """What the host knows of a credential."""

    health: Any = None
    resting: dict[str, str] = {}

    def __init__(self, name: str, weight: float = 1.0) -> None:
        self.credential = Credential(provider="toy", id=name, label=name, weight=weight)
        self.in_flight, self.latency, self.last_used, self.quota = 0, None, 0.0, ()

    def why(self, model: str) -> str:
        return ""

    def rests(self, model: str) -> bool:
        return False


def test_a_pool_stays_the_same_one_until_it_changes_and_its_figures_are_those_of_now() -> None:
    table, pools, line = Table(), Pools(), _Line()
    held = [Candidate(Held(name), "m") for name in ("a", "b", "c")]
    pool = Pool("m", held)
    first = pools.see(wired(table.changes(line, pool)))
    assert [c.id for c in first.eligible] == ["a/m", "b/m", "c/m"] == [c.id for c in first.all]
    held[1].account.in_flight, held[1].account.latency = 4, 0.5
    again = pools.see(wired(table.changes(line, pool)))
    assert again.eligible is first.eligible
    assert (again.eligible[1].in_flight, again.eligible[1].latency) == (4, 0.5)
    tried = pools.see(wired(table.changes(line, pool.without(frozenset({"a/m"})))))
    assert [c.id for c in tried.eligible] == ["b/m", "c/m"]
    assert (tried.why("a/m"), tried.why("b/m"), tried.why("z")) == (
        "it was tried in this round", "", "it is not a candidate for this model"
    )  # fmt: skip
    assert pools.see(wired(table.changes(line, pool))).eligible is first.eligible
    pool.replace([held[0], Candidate(Held("d", weight=3.0), "m")])
    changed = pools.see(wired(table.changes(line, pool)))
    assert [(c.id, c.weight) for c in changed.all] == [("a/m", 1.0), ("d/m", 3.0)]
    assert changed.eligible[0] is first.eligible[0]
    table.forget(pool)
    told_again = pools.see(wired(table.changes(line, pool)))
    assert [c.id for c in told_again.eligible] == ["a/m", "d/m"]


def test_of_very_many_a_pool_shows_a_sample_and_knows_all() -> None:
    pool = Pool("m", [Candidate(Held(f"k{n}"), "m") for n in range(300)])
    seen = Pools().see(wired(Table().changes(_Line(), pool)))
    assert (len(seen.eligible), len(seen.all)) == (MOST, 300)


class _Line:
    """Stands for a connection."""


def test_json_that_is_nested_too_deeply_to_be_read_goes_as_text() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert list(apart.exact_fields(deep)) == list(forms.plain_fields(deep)) == ["body_text"]
    assert apart.SentEvent.build(deep).new == wire.NewEvent(raw=deep.decode())
