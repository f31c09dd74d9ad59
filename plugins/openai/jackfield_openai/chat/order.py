"""The order of a request's messages: the results of tools stand directly after the message that called them, one for each call.

Source: OpenAI refuses a message with `tool_calls` that is not followed by a tool message for each of them (API reference, "Create
chat completion"). Other dialects let words stand between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from jackfield.api.canonical import Message, ToolCall, ToolResult
from jackfield.api.canonical.memo import Runs

Placed = tuple[int, Message]
"""A message with its place among those of the request."""


class _Order(NamedTuple):
    """What the order of a run of messages is like."""

    torn: bool
    """Results stand apart from calls within the run."""
    opens: bool
    """It begins with a result, which must follow a call or another result."""
    ends: bool
    """It ends with a call or a result."""
    called: frozenset[str] = frozenset()
    """Ids of calls that have no result behind them within the run."""
    results: frozenset[str] = frozenset()
    """Ids of calls of which there are results in it."""


_known: Final = Runs[_Order]()
_PLAIN: Final = _Order(torn=False, opens=False, ends=False)


def _orders(messages: tuple[Message, ...]) -> Iterator[_Order]:
    for run, known in _known.of(messages):
        yield known if known is not None else _known.keep(run, _order(run))


def torn(messages: tuple[Message, ...]) -> bool:
    """Tell whether results stand apart from calls."""
    before = _PLAIN
    for order in _orders(messages):
        if order.torn or (order.opens and not before.ends):
            return True
        before = order
    return False


def unanswered(messages: tuple[Message, ...]) -> frozenset[str]:
    """Return the ids of calls behind which there is no result."""
    waiting: frozenset[str] = frozenset()
    for order in _orders(messages):
        waiting = waiting - order.results | order.called
    return waiting


def _order(run: Sequence[Message]) -> _Order:
    kinds = [{type(part) for part in message.parts} for message in run]
    before, found = True, False
    called, results = set[str](), set[str]()
    for message, kind in zip(run, kinds, strict=True):
        result = ToolResult in kind
        found = found or (result and not before)
        before = result or ToolCall in kind
        if result:
            given = {part.call_id for part in message.parts if isinstance(part, ToolResult)}
            called -= given
            results |= given
        if ToolCall in kind:
            called |= {part.id for part in message.parts if isinstance(part, ToolCall)}
    return _Order(torn=found, opens=ToolResult in kinds[0], ends=before, called=frozenset(called), results=frozenset(results))


def last_results(messages: Sequence[Message]) -> dict[str, int]:
    """Return where the last result of each call stands."""
    return {part.call_id: at for at, message in enumerate(messages) for part in message.parts if isinstance(part, ToolResult)}


def ordered(messages: Sequence[Message]) -> list[Placed]:
    """Return the messages as they are to be written: what stands between calls and their results comes after these."""
    answered = last_results(messages)
    found: list[Placed] = []
    coming, held = deque(enumerate(messages)), deque[Placed]()
    waiting: set[str] = set()
    while coming or held:
        if not coming or (held and not waiting):
            coming, held, waiting = held + coming, deque(), set()
        at, message = coming.popleft()
        results = {part.call_id for part in message.parts if isinstance(part, ToolResult)}
        if waiting and not results & waiting:
            held.append((at, message))
            continue
        found.append((at, message))
        waiting -= results
        waiting |= {part.id for part in message.parts if isinstance(part, ToolCall) and answered.get(part.id, -1) > at}
    return found
