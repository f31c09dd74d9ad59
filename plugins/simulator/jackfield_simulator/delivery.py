"""How an answer arrives: whole, or in one of the ways in which providers fail.

Each function turns a composed answer into a reply. A client that leaves cancels whatever waits here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

import msgspec

from jackfield.api import CallError, Error, Headers, Reply, Response, failure
from jackfield.api.canonical import Delta, StreamError
from jackfield_simulator.answers import Ask
from jackfield_simulator.composing import deltas

_BREATH: Final = 64
"""Events after which a stream without pauses lets others run."""

_CODES: Final = {
    400: "invalid_request", 401: "invalid_key", 402: "payment_required", 403: "forbidden", 404: "not_found", 408: "timeout",
    409: "conflict", 413: "too_large", 422: "unprocessable", 429: "rate_limited", 500: "internal_error", 502: "bad_gateway",
    503: "unavailable", 504: "gateway_timeout", 529: "overloaded",
}  # fmt: skip
STATUSES: Final = tuple(_CODES)
"""The statuses of the error models that are listed; any from 400 to 599 may be named."""

_NOT_AN_ANSWER: Final = b"<html><body><h1>It works!</h1></body></html>\n"
_HTML: Final = Headers({"content-type": "text/html"})


async def whole(ask: Ask, response: Response) -> Reply:
    """Answer as one should."""
    if ask.stream:
        return Reply(stream=_paced(deltas(response), ask.pace))
    return Reply(response=response)


async def _paced(events: Iterable[Delta], pace: float, then: Callable[[], Awaitable[object]] | None = None) -> AsyncIterator[Delta]:
    """Stream events with a pause between two, and do `then` what ends the stream otherwise than by its last event."""
    for number, event in enumerate(events):
        if (pace and number) or number % _BREATH == _BREATH - 1:
            await asyncio.sleep(pace)
        yield event
    if then is not None:
        await then()


def _first_half(response: Response) -> list[Delta]:
    events = list(deltas(response))
    return events[: len(events) // 2]


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


# ------------------------------------------------------------------------------------------- broken answers


async def cut(ask: Ask, response: Response) -> Reply:
    """End in the middle, as if the provider had closed the connection in good order."""
    if ask.stream:
        return Reply(stream=_paced(_first_half(response), ask.pace))
    body = msgspec.json.encode(response)
    return Reply(body=body[: len(body) // 2])


async def reset(ask: Ask, response: Response) -> Reply:
    """Break in the middle, as a connection does that is reset."""
    lost = CallError(failure("network", "the connection to the provider was reset", code="connection_reset"))
    if not ask.stream:
        raise lost
    return Reply(stream=_paced(_first_half(response), ask.pace, _raising(lost)))


async def crash_mid_stream(ask: Ask, response: Response) -> Reply:
    """Raise in the middle what no provider should."""
    if not ask.stream:
        return await crash(ask, response)
    return Reply(stream=_paced(_first_half(response), ask.pace, _raising(_crash())))


def _raising(fault: Exception) -> Callable[[], Awaitable[object]]:
    async def fail() -> None:
        raise fault

    return fail


async def stall(ask: Ask, response: Response) -> Reply:
    """Begin and never go on."""
    if not ask.stream:
        await _forever()
    return Reply(stream=_paced(_first_half(response), ask.pace, _forever))


async def hang(ask: Ask, response: Response) -> Reply:
    """Never begin."""
    await _forever()
    raise AssertionError("what never comes has come")


async def nothing(ask: Ask, response: Response) -> Reply:
    """Answer 200 and then not a byte."""
    return Reply(stream=_paced((), 0.0)) if ask.stream else Reply(body=b"")


async def garbage(ask: Ask, response: Response) -> Reply:
    """Answer 200 with a web page."""
    return Reply(headers=_HTML, stream=_page()) if ask.stream else Reply(headers=_HTML, body=_NOT_AN_ANSWER)


async def _page() -> AsyncIterator[bytes]:
    yield _NOT_AN_ANSWER


# ------------------------------------------------------------------------------------------------- errors


async def error(ask: Ask, response: Response) -> Reply:
    """Answer with the status that the name says, and Retry-After where it says so too."""
    return _error_reply(_error(int(ask.values["status"]), ask.values.get("seconds")))


async def error_mid_stream(ask: Ask, response: Response) -> Reply:
    """Report in the middle of the stream that the provider is overloaded; a whole answer is that error."""
    told = _error(529)
    if not ask.stream:
        return _error_reply(told)
    return Reply(stream=_paced([*_first_half(response), StreamError(error=told)], ask.pace))


async def error_first(ask: Ask, response: Response) -> Reply:
    """Answer 200 with a stream that reports at once that the provider is overloaded."""
    told = _error(529)
    return Reply(stream=_paced([StreamError(error=told)], 0.0)) if ask.stream else _error_reply(told)


async def unreachable(ask: Ask, response: Response) -> Reply:
    """Fail as if nobody listened at the provider's address."""
    raise CallError(failure("network", "the provider cannot be reached", code="connection_refused"))


async def crash(ask: Ask, response: Response) -> Reply:
    """Raise what no provider should: a fault of the plugin, not of a provider."""
    raise _crash()


def _crash() -> RuntimeError:
    return RuntimeError("the simulator was asked to crash")


def _error(status: int, seconds: str | None = None) -> Error:
    code = _CODES.get(status, f"status_{status}")
    message = f"The simulator was asked for the error {status}."
    return Error(status=status, message=message, code=code, retry_after=None if seconds is None else float(seconds))


def _error_reply(told: Error) -> Reply:
    headers = {} if told.retry_after is None else {"retry-after": f"{told.retry_after:g}"}
    return Reply(status=told.status, headers=Headers(headers), body=msgspec.json.encode(told))
