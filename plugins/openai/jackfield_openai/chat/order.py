"""The order of a request's messages: the results of tools stand directly after the message that called them.

Source: OpenAI refuses a message with `tool_calls` that is not followed by a tool message for each of them (API reference, "Create
chat completion"). Other dialects let words stand between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from jackfield.api.canonical import Message, ToolCall, ToolResult

Placed = tuple[int, Message]
"""A message with its place among those of the request."""


def ordered(messages: Sequence[Message]) -> Sequence[Placed]:
    """Return the messages as they are to be written: what stands between calls and their results comes after these."""
    return _moved(messages) if _torn(messages) else list(enumerate(messages))


def _torn(messages: Sequence[Message]) -> bool:
    """Tell whether results stand apart from calls."""
    before: type | None = None
    for message in messages:
        parts = message.parts
        first, last = (type(parts[0]), type(parts[-1])) if parts else (None, None)
        if first is ToolResult:
            if before is not ToolCall and before is not ToolResult:
                return True
            last = ToolResult  # results are written first, whatever stands beside them
        before = last
    return False


def _moved(messages: Sequence[Message]) -> list[Placed]:
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
