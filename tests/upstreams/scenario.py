"""What an upstream shall answer, said once for every provider."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Finish = Literal["", "stop", "length", "tools", "filter", "refusal", "stop_sequence"]


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call of a tool. `arguments` is an object, or the free text of a custom tool (chat and Responses only)."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""
    """The call's id; empty: the upstream makes one of its own form."""
    namespace: str = ""
    """The namespace that the tool was declared in (Responses only)."""

    @property
    def custom(self) -> bool:
        """The call is one of a free text tool."""
        return isinstance(self.arguments, str)

    @property
    def said(self) -> str:
        """The arguments as the model writes them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A web page that a stretch of the text leans on. `start` and `end` count characters of the text."""

    url: str
    title: str = ""
    quote: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens. `input` includes those read from and written to a cache, `output` those of thinking."""

    input: int = 20
    output: int = 10
    cached: int = 0
    written: int = 0
    thinking: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error that the provider gives: its status, its message, its own type or code where the usual one is not meant."""

    status: int = 500
    message: str = "Something broke here"
    type: str = ""
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is, as HTML, in place of the provider's own shape."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One answer. The order in it: thought, web search, text, calls.

    A provider shows a thought only to who asked for it in its way (Anthropic: `thinking`; Responses: `reasoning.summary`, and
    the encrypted form for `include`; Gemini: `includeThoughts`); the signatures come as that provider places them.
    """

    text: str | Sequence[str] = ""
    """A sequence names the pieces of the stream; a text is cut into words."""
    thinking: str = ""
    hidden: bool = False
    """The model has thought, but shows nothing of it: a redacted block, a reasoning item without summary, a signature alone."""
    tool_calls: Sequence[ToolCall] = ()
    searched: str = ""
    """What the model looked up in the web with the provider's own search before it wrote."""
    citations: Sequence[Citation] = ()
    refusal: str = ""
    logprobs: bool = False
    others: Sequence[Scenario] = ()
    """Further answers for requests that ask for several; without one the first is repeated."""
    usage: Usage = field(default_factory=Usage)
    finish: Finish = ""
    """Empty: `tools` where a tool is called, else `stop`."""
    stop_sequence: str = ""
    model: str = ""
    """The name in the answer; empty: the one asked for."""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Failure | None = None
    """Given in place of an answer."""
    error_in_stream: Failure | None = None
    """Given in the stream behind `after` events; a plain answer is that error at once."""
    after: int = 3
    cut_after: int | None = None
    """The connection breaks after so many events; in a plain answer: before the first byte."""
    stall_after: int | None = None
    """Nothing comes after so many events until the caller goes away."""

    @property
    def whole(self) -> str:
        """The text in one piece."""
        return self.text if isinstance(self.text, str) else "".join(self.text)

    @property
    def pieces(self) -> list[str]:
        """The text as it is streamed."""
        return list(words(self.text)) if isinstance(self.text, str) else list(self.text)

    @property
    def reason(self) -> Finish:
        """Why the answer ended."""
        if self.finish:
            return self.finish
        if self.stop_sequence:
            return "stop_sequence"
        if self.tool_calls:
            return "tools"
        return "refusal" if self.refusal else "stop"

    @property
    def thought(self) -> bool:
        """The model has thought."""
        return bool(self.thinking) or self.hidden

    def choices(self, count: int) -> list[Scenario]:
        """Return as many answers as were asked for."""
        more = [*self.others, *[self] * count][: max(count - 1, 0)]
        return [self, *(replace(other, others=()) for other in more)]


def words(text: str) -> Iterator[str]:
    """Cut a text into words, each with the blanks before it."""
    yield from re.findall(r"\s*\S+|\s+$", text)
