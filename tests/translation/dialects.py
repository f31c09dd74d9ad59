"""The four dialects of the matrix, as the plugins that come with the host register them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Final

from jackfield import Jackfield
from jackfield.api import Dialect

CHAT: Final = "openai.chat"
RESPONSES: Final = "openai.responses"
MESSAGES: Final = "anthropic.messages"
GENERATE: Final = "gemini.generate"
FOUR: Final = (CHAT, RESPONSES, MESSAGES, GENERATE)
SHORT: Final = {CHAT: "chat", RESPONSES: "responses", MESSAGES: "messages", GENERATE: "generate"}
"""How a dialect is called where there is little room."""


@functools.cache
def spoken() -> Mapping[str, Dialect]:
    """Return every registered dialect by name, also the kernel's own."""
    return asyncio.run(_loaded())


async def _loaded() -> Mapping[str, Dialect]:
    host = Jackfield({}, listen=False)
    try:
        return dict((await host.load()).dialects)
    finally:
        await host.stop(grace=0)


def there() -> tuple[str, ...]:
    """Return those of the four that are registered."""
    return tuple(name for name in FOUR if name in spoken())


def pairs() -> list[tuple[str, str]]:
    """Return every pair of client's and upstream's dialect."""
    return [(client, upstream) for client in there() for upstream in there()]
