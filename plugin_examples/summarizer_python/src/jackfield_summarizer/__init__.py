"""A request interceptor for Jackfield: in long conversations a small model sums up what is old.

The model is called through the host, within the call that is intercepted: with the host's credentials and fail-over, in the
call's explanation, and cancelled with it. Its own interceptors are not called for that.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from jackfield.api import Call, CallError, Change, Host, Request, Response, hook
from jackfield.api.canonical import Message, Text, ToolCall, ToolResult

ASKED = "Sum up this conversation in a few sentences. Keep names, numbers, decisions and open questions.\n\n"
DAY = 86_400.0


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    """Settings, in the configuration under `plugins.summarizer`."""

    model: str
    """The model that sums up."""
    above: Annotated[int, Meta(ge=4)] = 40
    """How many messages make a conversation long."""
    keep: Annotated[int, Meta(ge=1)] = 10
    """How many of the latest messages stay as they are, at least."""


class Plugin:
    """Made by the host when it starts, with what the configuration says."""

    def __init__(self, config: Config, host: Host) -> None:
        self._config, self._host = config, host

    @hook(needs=["request"], on_error="open", deadline=60)
    async def intercept_request(self, call: Call) -> Change | None:
        """Put a summary in the place of what is old; None leaves the request as it is."""
        said = [message for message in call.request.messages if message.role not in ("system", "developer")]
        cut = self._cut(said)
        if cut == 0:
            return None
        try:
            summary = await self._summary(call, said[:cut])
        except CallError as fault:
            self._host.log.warning("a conversation stays long: %s", fault)
            return None
        told = Text(text=f"What was said before, in short: {summary}\n\n")
        first = msgspec.structs.replace(said[cut], parts=(told, *said[cut].parts))
        system = [message for message in call.request.messages if message.role in ("system", "developer")]
        return Change(request=msgspec.structs.replace(call.request, messages=(*system, first, *said[cut + 1 :])))

    def _cut(self, said: Sequence[Message]) -> int:
        """Return how many messages are old.

        It grows in steps of `keep`, so that a summary serves several turns. What stays begins with words of the user: a tool's
        result stays with its call.
        """
        if len(said) <= self._config.above:
            return 0
        cut = (len(said) - self._config.keep) // self._config.keep * self._config.keep
        while cut > 0 and (said[cut].role != "user" or any(isinstance(part, ToolResult) for part in said[cut].parts)):
            cut -= 1
        return max(cut, 0)

    async def _summary(self, call: Call, old: Sequence[Message]) -> str:
        """Return a summary: one that is remembered, or a new one of the model's."""
        words = "\n".join(f"{message.role}: {_words(message)}" for message in old)
        key = f"{call.principal.name}/{hashlib.sha256(words.encode()).hexdigest()}"
        if (known := await self._host.state.get(key)) is not None:
            return known.decode()
        asked = Message(role="user", parts=(Text(text=ASKED + words),))
        answer = await self._host.execute(Request(model=self._config.model, messages=(asked,)))
        assert isinstance(answer, Response)  # as the request was canonical
        await self._host.state.set(key, answer.text.encode(), ttl=DAY)
        return answer.text


def _words(message: Message) -> str:
    """Return a message in words; pictures and the like have none."""
    words = []
    for part in message.parts:
        match part:
            case Text():
                words.append(part.text)
            case ToolCall():
                words.append(f"[calls {part.name} with {part.arguments}]")
            case ToolResult():
                words.append("[is told: " + " ".join(inner.text for inner in part.parts if isinstance(inner, Text)) + "]")
    return " ".join(words)
