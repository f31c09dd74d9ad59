"""What plugins see, as the JSON of the protocol; and what they answer, as what a plugin in process would have answered."""

import base64
import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from jackfield.api import Alternative as Elsewhere
from jackfield.api import (
    Attempt,
    BadRequest,
    Body,
    Call,
    Change,
    Event,
    Failure,
    Headers,
    NotDecoded,
    Outcome,
    Pairs,
    Principal,
    Reject,
    Reply,
    Request,
    Response,
    Route,
    StreamHead,
    canonical,
)
from jackfield.api.canonical.splice import Path as JsonPath
from jackfield.rpc import wire

BODY_FILE: Final = 4 << 20
"""Bytes from which a body travels as a file."""
_LARGEST_REQUEST: Final = 15 << 20
"""Bytes of a canonical request in a message. A client decides how many it has: more are no fault of a plugin's."""
_LARGEST_FILE: Final = 256 << 20
"""Bytes of a file that a plugin hands over as a body."""

_request = msgspec.json.Decoder(Request).decode
_response = msgspec.json.Decoder(Response).decode
_encode = msgspec.json.Encoder().encode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_LINE_ENDS: Final = b"\r\n"

Needs = frozenset[str]
Files = dict[int, str]
"""The files of large bodies, by the bodies' ids."""


# ------------------------------------------------------------------------------------------------ outgoing


def is_large(body: object) -> bool:
    """Tell whether a body is too large to stand in a message."""
    return isinstance(body, Body) and len(body) >= BODY_FILE


def new_file() -> str:
    """Make an empty file for a large body; return its path."""
    handle, name = tempfile.mkstemp(prefix="jackfield-body-")
    os.close(handle)
    return name


def fill_file(name: str, body: Body[Any]) -> None:
    """Write a large body to its file, which its reader may have until it has answered; not where that is removed already."""
    source = body.source
    with open(name, "r+b") as file:  # noqa: PTH123 (makes none)
        file.write(source if isinstance(source, bytes) else source.view())


def remove_files(files: Files) -> None:
    """Remove the files of large bodies."""
    for name in files.values():
        with contextlib.suppress(OSError):
            Path(name).unlink()


def body_fields(body: Body[Any] | bytes | None, needs: Needs, files: Files) -> dict[str, Any]:
    """Return the fields in which a body stands, as far as it is needed."""
    if body is None or not needs & {"body", "raw"}:
        return {}
    kind = body.media_type if isinstance(body, Body) else "application/json"
    about = {} if kind == "application/json" else {"media_type": kind}
    if (name := files.get(id(body))) is not None:
        return {"body_file": name, **about}
    raw = body.raw if isinstance(body, Body) else body
    if not raw:
        return about
    if "raw" in needs:
        return {"body_base64": base64.b64encode(raw).decode(), **about}
    return {**plain_fields(raw, as_json=kind.endswith("json")), **about}


def plain_fields(raw: bytes, as_json: bool = True) -> dict[str, Any]:
    """Return bytes as JSON where they are that, else as text, else as base64."""
    try:
        text = None if raw.isascii() else raw.decode()
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(raw).decode()}
    if as_json:
        with contextlib.suppress(ValueError, RecursionError):
            _check(raw)
            # In JSON a line end is white space, wherever it stands: what is left is one line, and no number has been touched.
            return {"body": msgspec.Raw(raw.translate(None, _LINE_ENDS) if b"\n" in raw or b"\r" in raw else raw)}
    return {"body_text": text if text is not None else raw.decode()}


def call_of(call: Call, needs: Needs, files: Files, body: bool = True, request: bool = True) -> wire.Call:
    """Return a call; `body` and `request` say that these go with it where they are needed."""
    fields: dict[str, Any] = {}
    if body and needs:
        fields = body_fields(call.body, needs, files)
    elif "client_body" in needs:
        fields = body_fields(call.body, needs | {"body"}, files)
    if "request" in needs and request:
        fields |= _canonical(call, needs)
    if "headers" in needs:
        headers, query = (call.headers, call.query) if "secret" in needs else call.without_keys()
        fields |= {"headers": sayable_pairs(headers), "query": sayable_pairs(query), "session": call.session}
        fields |= {"method": call.method, "path": call.path, "peer": call.peer}
    if "secret" in needs:
        fields["key_query"] = list(call.key_query)
    route = call.route
    if route is not None:
        fields["route"] = wire.Route(model=route.model, provider=route.provider, executor=route.executor, reason=route.reason)
    return wire.Call(
        id=call.id,
        dialect=call.dialect,
        operation=call.operation,
        model=call.model,
        stream=call.stream,
        principal=call.principal.name,
        parent=call.parent.id if call.parent is not None else None,
        depth=call.depth,
        **fields,
    )


def _canonical(subject: Call | Attempt, needs: Needs) -> dict[str, Any]:
    from jackfield.rpc.errors import error_of  # noqa: PLC0415 (errors are told in forms, too)

    try:
        said = _encode(subject.request)
        if len(said) > _LARGEST_REQUEST:
            raise NotDecoded(
                f"a canonical form of {len(said)} bytes is over the limit of {_LARGEST_REQUEST} for plugins in other processes"
            )
        return {"request": msgspec.Raw(said)}
    except (BadRequest, NotDecoded) as fault:
        if "undecoded" not in needs:
            raise
        return {"undecoded": error_of(fault)}


def attempt_of(attempt: Attempt, needs: Needs, files: Files, body: bool = True, stream: bool | None = None) -> wire.Attempt:
    """Return an attempt; likewise. `stream` says whether it is to be streamed, where that is another matter than what the client asked."""
    fields: dict[str, Any] = body_fields(attempt.body, needs, files) if body else {}
    if "request" in needs and body:
        fields |= _canonical(attempt, needs)
    if "headers" in needs:
        fields |= {"headers": sayable_pairs(attempt.headers), "query": sayable_pairs(attempt.query), "base_url": attempt.base_url}
        if attempt.endpoint is not None:
            fields |= {"path": attempt.endpoint.upstream, "method": attempt.endpoint.method}
        fields["params"] = dict(attempt.params)
        if places := [msgspec.to_builtins(place) for place in attempt.provider.continuity if attempt.dialect.name in place.dialects]:
            fields |= {"continuity": places, "cache": [list(path) for path in attempt.dialect.session.cache]}
    if "secret" in needs and (key := attempt.candidate.account.credential.key) is not None:
        fields["secret"] = key.reveal()
    return wire.Attempt(
        call=call_of(attempt.call, needs, files, body=False, request="client_body" in needs),
        number=attempt.number,
        candidate=attempt.candidate.id,
        credential=attempt.candidate.credential,
        label=attempt.candidate.label,
        provider=attempt.provider.key,
        model=attempt.model,
        dialect=attempt.dialect.name,
        stream=attempt.stream if stream is None else stream,
        before=[failed_of(failure) for failure in attempt.before],
        **fields,
    )


def failed_of(failure: Failure) -> wire.Failed:
    """Return why an attempt failed."""
    return wire.Failed(
        cause=failure.cause, message=failure.message, status=failure.status, code=failure.code, retry_after=failure.retry_after
    )


def reply_of(reply: Reply, needs: Needs, files: Files) -> wire.Reply:
    """Return an answer."""
    fields: dict[str, Any] = {} if reply.stream is not None else body_fields(reply.body, needs, files)
    if "request" in needs and reply.stream is None and (said := reply.canonical) is not None:
        fields["response"] = msgspec.Raw(_encode(said))
    if "headers" in needs:
        fields["headers"] = sayable_pairs(reply.headers)
    failure = failed_of(reply.failure) if reply.failure is not None else None
    return wire.Reply(status=reply.status, stream=reply.stream is not None, failure=failure, **fields)


def head_of(head: StreamHead, needs: Needs) -> wire.Head:
    """Return the head of a stream."""
    return wire.Head(
        status=head.status,
        headers=sayable_pairs(head.headers) if "headers" in needs else [],
        model=head.model,
        provider=head.provider,
    )


def outcome_of(outcome: Outcome, needs: Needs) -> wire.Outcome:
    """Return what came of a call."""
    fields = {name: getattr(outcome, name) for name in wire.Outcome.__struct_fields__ if name != "explanation"}
    return wire.Outcome(**fields, explanation=dict(outcome.explain()) if "request" in needs else None)


def event_of(event: Event, index: int, needs: Needs) -> wire.Event:
    """Return an event of a stream, as far as it is needed."""
    fields: dict[str, Any] = {}
    if "body" in needs and event.json is not None:
        fields["data"] = msgspec.Raw(event.data.translate(None, _LINE_ENDS))
    if "request" in needs:
        fields |= {"text": event.text, "thinking": event.thinking, "arguments": event.arguments}
        fields |= {"finish": event.finish, "usage": event.usage, "error": event.error}
    if "deltas" in needs:
        fields["deltas"] = list(event.deltas)
    if "raw" in needs:
        fields["raw"] = event.raw.decode(errors="replace")
    return wire.Event(index=index, name=event.name, **fields)


def item_of(said: Event | canonical.Delta) -> wire.Item:
    """Return an event, or a canonical delta, as an item of a stream; an event that is no JSON as its bytes."""
    if not isinstance(said, Event):
        return wire.Item(delta=said)
    try:
        data = said.data
        _check(data)
    except (ValueError, RecursionError):
        return bytes_item(said.raw)
    return wire.Item(name=said.name, data=msgspec.Raw(data.translate(None, _LINE_ENDS)))


def bytes_item(raw: bytes) -> wire.Item:
    """Return bytes as an item of a stream: as text where they are UTF-8."""
    try:
        return wire.Item(raw=raw.decode())
    except UnicodeDecodeError:
        return wire.Item(raw_base64=base64.b64encode(raw).decode())


def sayable(text: str) -> str:
    """Return a text as it can be written: what was no UTF-8 where it came from is a question mark."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def one_line(text: str) -> str:
    """Return a text as it can stand in a line of a log or a listing: it begins no other one, and steers no terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def sayable_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    """Return headers or a query as they can be written."""
    return [(name, sayable(value)) for name, value in pairs]


# ------------------------------------------------------------------------------------------------ incoming


def pairs_of(said: wire.Pairs) -> Iterator[tuple[str, str]]:
    """Yield headers, however they are written."""
    for name, value in said.items() if isinstance(said, dict) else said:
        if value is not None:
            yield name, value


def bytes_of(said: wire.Bodied) -> bytes | None:
    """Return a body that a plugin gave; None where it gave none. Raises `ValueError` for what is none."""
    if not isinstance(said.body, msgspec.UnsetType):
        return bytes(said.body)
    if said.body_text is not None:
        return said.body_text.encode()
    if said.body_base64 is not None:
        return unbase64(said.body_base64, "body_base64")
    return read_file(said.body_file) if said.body_file is not None else None


def item_bytes(said: wire.Item) -> bytes:
    """Return what an item of a stream carries. Raises `ValueError` for what is none."""
    if not isinstance(said.data, msgspec.UnsetType):
        return bytes(said.data)
    if said.raw is not None:
        return said.raw.encode()
    if said.raw_base64 is None:
        raise ValueError("an item has `data`, `raw` or `raw_base64`, or `delta` where deltas are asked for")
    return unbase64(said.raw_base64, "raw_base64")


def unbase64(said: str, field: str) -> bytes:
    """Return the bytes that stand in a field as base64 (RFC 4648, section 4). Raises `ValueError` for what is none."""
    try:
        return base64.b64decode(said, validate=True)
    except ValueError as fault:
        raise ValueError(f"{field}: is no base64: {fault}") from None


def read_file(name: str) -> bytes:
    """Return the body that lies in a file. Raises `ValueError` where none does."""
    try:
        with os.fdopen(os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST_FILE:
                raise ValueError(f"body_file: {name}: is no file, or one of more than {_LARGEST_FILE} bytes")
            return file.read(_LARGEST_FILE)
    except OSError as fault:
        raise ValueError(f"body_file: {name}: {fault.strerror or fault}") from None


def principal_of(said: wire.Authenticated | None) -> Principal | Reject | None:
    """Return who calls, or why not."""
    if said is None or (said.principal is None and said.reject is None):
        return None
    if said.principal is None:
        return Reject(message=said.reject or "invalid API key")
    return msgspec.convert(said.principal, Principal, from_attributes=True)


def route_of(said: wire.Route | None) -> Route | None:
    """Return a router's decision."""
    if said is None:
        return None
    otherwise = tuple(Elsewhere(model=a.model, provider=a.provider, executor=a.executor, on=tuple(a.on)) for a in said.otherwise)
    return Route(model=said.model, provider=said.provider, executor=said.executor, reason=said.reason, otherwise=otherwise)


def change_of(said: wire.Change | None, body: Body[Any] | bytes | None) -> Change | None:
    """Return a change of a body, whose paths it names. Raises `ValueError` for what is none."""
    if said is None:
        return None
    paths = {path_of(pointer, body): value for pointer, value in said.set.items()}
    return Change(
        set=paths or None,
        remove=tuple(path_of(pointer, body) for pointer in said.remove),
        request=None if isinstance(said.request, msgspec.UnsetType) else _request(said.request),
        response=None if isinstance(said.response, msgspec.UnsetType) else _response(said.response),
        body=bytes_of(said),
        respond=None if said.respond is None else _responded(said.respond),
        headers=said.headers or None,
    )


def _responded(said: wire.Reply) -> Reply | Response:
    """Return the answer that ends a call; one that is canonical and nothing else is told as such."""
    plain = not isinstance(said.response, msgspec.UnsetType) and said == wire.Reply(response=said.response)
    reply = reply_from(said)
    return reply.response if plain and reply.response is not None else reply


def reply_from(said: wire.Reply) -> Reply:
    """Return an answer that a plugin gave."""
    response = None if isinstance(said.response, msgspec.UnsetType) else _response(said.response)
    return Reply(status=said.status, headers=Headers(pairs_of(said.headers)), body=bytes_of(said), response=response)


def path_of(pointer: str, body: Body[Any] | bytes | None) -> JsonPath:
    """Return the path that a JSON Pointer (RFC 6901) names. A number is an index where the body has an array, else a key."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"a JSON Pointer begins with a slash: {pointer!r}")
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    if not any(step.isdigit() or step == "-" for step in steps):
        return tuple(steps)
    here: Any = body.json if isinstance(body, Body) else msgspec.json.decode(body or b"null")
    path: list[str | int] = []
    for step in steps:
        if isinstance(here, list) and (step.isdigit() or step == "-"):
            at = len(here) if step == "-" else int(step)
            path.append(at)
            here = here[at] if at < len(here) else None
        else:
            path.append(step)
            here = here.get(step) if isinstance(here, Mapping) else None
    return tuple(path)


def event_from(said: wire.NewEvent, event: Event) -> Event:
    """Return an event that a handler gives in answer to another."""
    if said.same:
        return event
    if said.text is not None:
        return event.with_text(said.text)
    if said.raw is not None:
        return event.build(said.raw.encode(), said.name)
    if isinstance(said.data, msgspec.UnsetType):
        raise ValueError("an event has `same`, `text`, `data` or `raw`")  # noqa: TRY004 (it is the plugin's answer that is wrong)
    return event.build(bytes(said.data), said.name)
