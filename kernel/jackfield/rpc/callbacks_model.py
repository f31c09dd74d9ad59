"""Calls that plugins out of process make through the host."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from jackfield.api import Host, Nested, Request, Response
from jackfield.rpc import forms, wire, wire_host
from jackfield.rpc.callbacks_http import body_of, timeouts_of
from jackfield.rpc.channel import Asked, Streamed
from jackfield.rpc.errors import BAD_PARAMS, RpcFault

_ALL: forms.Needs = frozenset({"headers", "body"})
_request = msgspec.json.Decoder(Request).decode


class Model:
    """Answers `host.model.*`. The channel has each run where the request stands that it is made in: as part of that call."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def execute(self, said: wire_host.ModelAsk, asked: Asked | None) -> wire.Reply:
        """Make a call and return its whole answer."""
        answer = await self._host.execute(await _nested(said, asked))
        if isinstance(answer, Response):
            return wire.Reply(response=msgspec.Raw(msgspec.json.encode(answer)))
        try:
            return forms.reply_of(answer, _ALL | {"request"} if said.read else _ALL, {})
        except ValueError:  # it cannot be read
            return forms.reply_of(answer, _ALL, {})

    async def stream(self, said: wire_host.ModelStream, asked: Asked | None) -> Streamed:
        """Make a call and return its answer as it comes. Until something has come, what goes wrong is the error of the request."""
        items = _items(self._host.stream(await _nested(said, asked)))
        await anext(items)
        return Streamed(None, said.stream, said.credit, items)


async def _nested(said: wire_host.ModelAsk, asked: Asked | None) -> Nested:
    """Return what is asked; what is detached does not end any more with what it is asked in."""
    if said.detached and asked is not None and (task := asyncio.current_task()) is not None:
        asked.inner.discard(task)
    request = None
    if not isinstance(said.request, msgspec.UnsetType):
        try:
            request = _request(said.request)
        except (msgspec.ValidationError, RecursionError) as fault:
            raise RpcFault(BAD_PARAMS, f"request: {fault}") from None
    body = await body_of(said)
    if (request is None) == (body is None):
        raise RpcFault(BAD_PARAMS, "give one of the two: `request`, which is canonical, or a body and its `dialect`")
    return Nested(
        request=request,
        dialect=said.dialect,
        body=body,
        model=said.model,
        operation=said.operation,
        detached=said.detached,
        timeouts=timeouts_of(said.timeouts),
    )


async def _items(answer: Any) -> AsyncGenerator[Sequence[wire.Item]]:
    """Yield nothing once the answer has begun, then what comes."""
    async with contextlib.aclosing(answer):
        one = await anext(answer, None)
        yield ()
        while one is not None:
            yield (forms.item_of(one),)
            one = await anext(answer, None)
