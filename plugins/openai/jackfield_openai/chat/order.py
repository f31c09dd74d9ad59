"""The order of a request's messages: the results of tools stand directly after the message that called them.

Source: OpenAI refuses a message with `tool_calls` that is not followed by a tool message for each of them (API reference, "Create
chat completion"). Other dialects let words stand between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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


_known: Final = Runs[_Order]()
_PLAIN: Final = _Order(torn=False, opens=False, ends=False)


def torn(messages: tuple[Message, ...]) -> bool:
    """Tell whether results stand apart from calls."""
    before = _PLAIN
    for run, known in _known.of(messages):
        order = known if known is not None else _known.keep(run, _order(run))
        if order.torn or (order.opens and not before.ends):
            return True
        before = order
    return False


def _order(run: Sequence[Message]) -> _Order:
    kinds = [{type(part) for part in message.parts} for message in run]
    before, found = True, False
    for kind in kinds:
        result = ToolResult in kind
        found = found or (result and not before)
        before = result or ToolCall in kind
    return _Order(torn=found, opens=ToolResult in kinds[0], ends=before)


def ordered(messages: Sequence[Message]) -> list[Placed]:
    """Return the messages as they are to be written: what stands between calls and their results comes after these."""
    answered = {part.call_id: at for at, message in enumerate(messages) for part in message.parts if isinstance(part, ToolResult)}
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
