"""What plugins are asked about in a check: calls, attempts, answers and streams as they come in life, in every dialect that is
plugged in, with exactly what a hook needs.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from jackfield.api import Dialect, Event, Loss, QuotaWindow, Usage
from jackfield.api.canonical import (
    Choice,
    Error,
    Message,
    Request,
    Response,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    play,
)
from jackfield.rpc import forms, wire, wire_objects

Needs = frozenset[str]
_NUMBERS: Final = count(1)
_HEADERS: Final = [("content-type", "application/json"), ("user-agent", "check/1"), ("x-session-id", "check-session")]
_WEATHER: Final = Tool(
    name="get_weather",
    description="The weather at a place.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a hook is asked about."""

    about: str
    """In a few words, for sentences: `a streamed call with tools`."""
    dialect: str
    request: Request
    raw: bytes
    """The client's body."""
    response: Response | None = None
    answer: bytes = b""
    """The body of its answer."""
    status: int = 200
    events: Sequence[Event] = ()
    """Those of its streamed answer."""


def _user(text: str) -> Message:
    return Message(role="user", parts=(Text(text=text),))


def _requests() -> Iterator[tuple[str, Request]]:
    plain = Request(model="check/model", messages=(_user("Hello"),), sampling=Sampling(max_tokens=64))
    tools = msgspec.structs.replace(plain, tools=(_WEATHER,))
    turns = (
        _user("What is the weather in Zürich? 🌦"),
        Message(role="assistant", parts=(ToolCall(id="call_1", name="get_weather", arguments='{"place":"Zürich"}'),)),
        Message(role="tool", parts=(ToolResult(call_id="call_1", name="get_weather", parts=(Text(text="rain\u2028and 日本\u0000"),)),)),
    )
    yield "a call", plain
    yield "a streamed call with tools", msgspec.structs.replace(tools, stream=True)
    yield "a call with the results of tools", msgspec.structs.replace(tools, messages=turns)


def _response(request: Request) -> Response:
    parts = (Text(text="Hello "), ToolCall(id="call_2", name="get_weather", arguments='{"place":"Bern"}')) if request.tools else ()
    message = Message(role="assistant", parts=parts or (Text(text="Hello there"),))
    choices = (Choice(message=message, finish="tool_calls" if request.tools else "stop"),)
    return Response(id="answer-1", model="model", created=1_700_000_000, choices=choices, usage=Usage(input=10, output=5))


def subjects_of(dialects: Mapping[str, Dialect]) -> list[Subject]:
    """Return what hooks are asked about: every kind in the first dialect, one of the others, and odd ones."""
    made = list[Subject]()
    ordered = sorted(dialects.values(), key=lambda dialect: (not dialect.endpoints, dialect.name))
    for at, dialect in enumerate(ordered):
        if dialect.endpoints and not any(point.operation == "generate" for point in dialect.endpoints):
            continue
        for about, request in list(_requests())[: 3 if at == 0 else 1]:
            try:
                made.append(_subject(f"{about} in {dialect.name}", dialect, request))
            except (ValueError, NotImplementedError):  # what this dialect cannot say is not what is checked here
                continue
    failed = dialects["canonical"].encode_error(Error(status=429, message="slow down", code="rate_limited"))
    first = made[0]
    odd = {"raw": b"", "request": Request(), "response": None, "answer": b"", "events": ()}
    made.append(
        msgspec.structs.replace(first, about=f"a call that failed with 429 in {first.dialect}", response=None, answer=failed, status=429)
    )
    made.append(msgspec.structs.replace(first, about=f"a call without a body in {first.dialect}", **odd))
    return made


def _subject(about: str, dialect: Dialect, request: Request) -> Subject:
    losses, response = list[Loss](), _response(request)
    return Subject(
        about=about,
        dialect=dialect.name,
        request=request,
        raw=dialect.encode_request(request, "generate", losses),
        response=response,
        answer=dialect.encode_response(response, losses),
        events=list(dialect.encode_stream(request, losses).feed(list(play(response)))),
    )


def odd_bodies(subject: Subject) -> Iterator[tuple[str, bytes]]:
    """Yield bodies that are hard to carry, each with what it is."""
    deep = b'{"model":"check/model","deep":' + b"[" * 200 + b"]" * 200 + b"}"
    yield "a pretty-printed body", msgspec.json.format(subject.raw or b"{}", indent=2)
    yield (
        "a body full of escapes and other scripts",
        '{"model":"check/model","text":"\\u2028\\ud83c\\udf27 \u2029 日本語 \\" \\\\ \\u0000"}'.encode(),
    )
    yield "a deep body", deep
    yield "a body that is not JSON", b"model=check&stream=false"
    yield "a body that is not UTF-8", b"\xff\xfe{\x00}"
    yield "a body of 1 MB", msgspec.json.encode({"model": "check/model", "padding": "x" * (1 << 20)})


# -------------------------------------------------------------------------------------------- on the wire


def fresh(what: str) -> str:
    """Return an id that nothing had before."""
    return f"check-{what}-{next(_NUMBERS)}"


def body_fields(raw: bytes, needs: Needs) -> dict[str, Any]:
    """Return the fields in which a body stands."""
    if not raw or not needs & {"body", "raw"}:
        return {}
    if "raw" in needs:
        return {"body_base64": base64.b64encode(raw).decode()}
    return forms.plain_fields(raw)


def _encoded(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def call_of(subject: Subject, needs: Needs, body: bool = True, **more: Any) -> wire.Call:
    """Return a call with what is needed of it; `body` says that the hook is about the client's body."""
    fields: dict[str, Any] = body_fields(subject.raw, needs if body else needs | {"body"}) if body or "client_body" in needs else {}
    if "request" in needs:
        fields["request"] = _encoded(subject.request)
    if "headers" in needs:
        key = [("authorization", "Bearer check-key")] if "secret" in needs else []
        fields |= {"headers": [*_HEADERS, *key], "path": "/check", "session": "check-session", "peer": "127.0.0.1"}
    named = {"id": fresh("call"), "model": subject.request.model or "check/model", "operation": "generate"}
    return wire.Call(**{**named, "dialect": subject.dialect, "stream": subject.request.stream, "principal": "check", **fields, **more})


def attempt_of(subject: Subject, needs: Needs, body: bool = True, **more: Any) -> wire.Attempt:
    """Return an attempt of a call."""
    fields: dict[str, Any] = body_fields(subject.raw, needs) if body else {}
    if "request" in needs and body:
        fields["request"] = _encoded(subject.request)
    if "headers" in needs:
        fields |= {"headers": [_HEADERS[0]], "path": "/check"}
    if subject.status != 200:
        fields["before"] = [wire.Failed(cause="rate", message="slow down", status=429, retry_after=1.0)]
    about = {"credential": "check-1", "candidate": "check-1/model", "provider": "check", "model": "model", "dialect": subject.dialect}
    call = call_of(subject, needs - {"body", "raw", "request"}, body=False)
    return wire.Attempt(**{"call": call, "number": 1, "stream": subject.request.stream, **about, **fields, **more})


def reply_of(subject: Subject, needs: Needs, stream: bool = False) -> wire.Reply:
    """Return the answer to a call."""
    fields: dict[str, Any] = {} if stream else body_fields(subject.answer, needs)
    if "request" in needs and subject.response is not None and not stream:
        fields["response"] = _encoded(subject.response)
    if "headers" in needs:
        fields["headers"] = [("content-type", "application/json"), ("x-request-id", "check-1")]
    if subject.status != 200:
        fields["failure"] = wire.Failed(cause="rate", message="slow down", status=subject.status, code="rate_limited", retry_after=1.0)
    return wire.Reply(status=subject.status, stream=stream, **fields)


def head_of(subject: Subject, needs: Needs) -> wire.Head:
    """Return the head of a streamed answer."""
    headers: wire.Pairs = [("content-type", "text/event-stream")] if "headers" in needs else []
    return wire.Head(status=subject.status, headers=headers, model="model", provider="check")


def outcomes() -> Iterator[wire.Outcome]:
    """Yield what may come of a call."""
    usage = Usage(input=10, output=5)
    about: dict[str, Any] = {"provider": "check", "credential": "check-1", "model": "model"}
    yield wire.Outcome(
        status="succeeded", http_status=200, usage=usage, attempts=1, duration=0.4, first_byte=0.1, fidelity="bytes", **about
    )
    yield wire.Outcome(status="failed", http_status=429, cause="rate", message="slow down", attempts=2, duration=1.0, **about)
    yield wire.Outcome(status="rejected", http_status=401, cause="caller", message="invalid API key")
    yield wire.Outcome(status="canceled", attempts=1, duration=0.2, **about)


def pools(table: bool) -> Iterator[tuple[str, wire.Pool]]:
    """Yield pools, each with what it is."""
    rows = [
        wire.Row(
            id=f"check-{at}/model",
            provider="check",
            credential=f"check-{at}",
            label=f"key {at}",
            model="model",
            in_flight=3 - at,
            latency=0.2 * at or None,
            quota=[QuotaWindow(name="requests", used=0.5)] if at == 1 else [],
        )
        for at in range(3)
    ]
    if not table:
        yield "a pool of three", wire.Pool(model="check/model", revision=1, many=3, eligible=rows)
        yield "a pool of one", wire.Pool(model="check/model", revision=2, many=1, eligible=rows[:1], tried=[rows[2].id])
        return
    live = [wire.Live(id=row.id, in_flight=row.in_flight) for row in rows]
    yield "a pool of three", wire.Pool(model="check/model", revision=1, many=3, rows=rows, live=live)
    yield "the same pool again", wire.Pool(model="check/model", revision=1, many=2, live=live[:2], tried=[rows[2].id])
    yield "a pool from which one has gone", wire.Pool(model="check/model", revision=2, many=1, gone=[rows[0].id], live=live[1:2])


def credential() -> wire_objects.CredentialAbout:
    """Return a credential as a source is asked about it."""
    return wire_objects.CredentialAbout(
        id="check-1", provider="check", key="check-key", label="check", kind="oauth", storage={"refresh": "r"}
    )
