"""Bodies between hooks and codecs: how a dialect's codec serves a body, and how a hook's change is applied to one."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from jackfield.api import Body, Change, Dialect, Loss, Operation, Request, Response
from jackfield.exchange import Exchange

Canonical = TypeVar("Canonical")


class RequestCodec:
    """One dialect's codec for request bodies."""

    __slots__ = ("_dialect", "_operation")

    def __init__(self, dialect: Dialect, operation: Operation) -> None:
        self._dialect = dialect
        self._operation = operation

    def decode(self, raw: bytes) -> Request:
        """Read a body."""
        return self._dialect.decode_request(raw, self._operation)

    def encode(self, value: Request) -> bytes:
        """Write a body; what cannot be said is not reported from here."""
        return self._dialect.encode_request(value, self._operation, [])


class ResponseCodec:
    """One dialect's codec for answers."""

    __slots__ = ("_dialect",)

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def decode(self, raw: bytes) -> Response:
        """Read an answer."""
        return self._dialect.decode_response(raw)

    def encode(self, value: Response) -> bytes:
        """Write an answer."""
        losses: list[Loss] = []
        return self._dialect.encode_response(value, losses)


class BadChange(ValueError):
    """A hook answered a change that cannot be made."""


def change_request(exchange: Exchange, body: Body[Request], change: Change) -> Body[Request] | None:
    """Return the body that a hook's change makes of a request's; None when only headers change.

    Raises `BadChange` for one that names the model or the stream flag, or a path that is not there.
    """
    endpoint = exchange.endpoint
    reserved = {path for path in (endpoint.model, endpoint.stream) if isinstance(path, tuple)}
    named = reserved & {*(change.set or ()), *change.remove}
    if named:
        raise BadChange(f"a change may not name {'.'.join(map(str, named.pop()))}: a hook that wants another model is a router")
    if change.response is not None:
        raise BadChange("a request cannot be changed by a response")
    return _changed(body, change, change.request)


def change_response(body: Body[Response], change: Change) -> Body[Response] | None:
    """Return the body that a hook's change makes of an answer's; None when only headers change."""
    if change.request is not None or change.respond is not None:
        raise BadChange("an answer is changed by set, remove, response or body")
    return _changed(body, change, change.response)


def _changed(body: Body[Canonical], change: Change, canonical: Canonical | None) -> Body[Canonical] | None:
    if canonical is not None:
        return body.with_canonical(canonical)
    if change.body is not None:
        return body.with_raw(change.body)
    if not change.set and not change.remove:
        return None
    try:
        return body.with_changes(change.set, change.remove)
    except KeyError as missing:
        raise BadChange(f"there is nothing at {missing}") from None
    except msgspec.DecodeError as fault:
        raise BadChange(f"the body is not JSON: {fault}") from None
