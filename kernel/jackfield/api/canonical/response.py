"""What a model answers, in words that no vendor owns."""

from typing import Any, Literal

import msgspec

from jackfield.api.canonical.parts import Extensions, Message, Text, Thinking, ToolCall

FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "stop_sequence", "pause", "context_length", "error", "other"
]
"""Why the model stopped: it was done; the token limit; it wants tools run; a filter; it declined; a stop sequence; it
paused and wants to be called again; the context window; an error; something else (the dialect's word is in `extensions`)."""


class Usage(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Tokens that a call cost."""

    input: int = 0
    """All tokens of the request, cached ones included."""
    output: int = 0
    """All tokens of the answer, thinking included."""
    thinking: int = 0
    """Of the output: thought."""
    cache_read: int = 0
    """Of the input: read from the provider's cache."""
    cache_write: int = 0
    """Of the input: written to the provider's cache."""
    audio_input: int = 0
    audio_output: int = 0
    accepted_prediction: int = 0
    rejected_prediction: int = 0
    total: int | None = None
    """The provider's own total, where it differs from input plus output."""
    source: Literal["upstream", "estimated", "absent"] = "upstream"
    """Who counted: the provider; the host, by estimate; nobody."""
    extensions: Extensions = {}

    @property
    def tokens(self) -> int:
        """The total: the provider's own, else input plus output."""
        return self.total if self.total is not None else self.input + self.output


class TokenChance(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A token and how likely it was."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class TokenLogprob(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One token of the answer, how likely it was, and the likeliest ones in its place."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[TokenChance, ...] = ()


class Logprobs(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How likely the tokens of an answer were."""

    content: tuple[TokenLogprob, ...] | None = None
    refusal: tuple[TokenLogprob, ...] | None = None
    extensions: Extensions = {}


class Choice(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One of the answers to a request; most requests have one."""

    message: Message = Message(role="assistant")
    index: int = 0
    finish: FinishReason | None = None
    stop_sequence: str | None = None
    """The sequence that ended the answer, where the provider names it."""
    logprobs: Logprobs | None = None
    extensions: Extensions = {}


class Response(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A whole answer."""

    id: str = ""
    model: str = ""
    created: int | None = None
    """Unix time, in seconds."""
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    service_tier: str | None = None
    extensions: Extensions = {}

    @property
    def text(self) -> str:
        """The words of the first answer, thoughts and tool calls left out."""
        return self.choices[0].message.text if self.choices else ""

    @property
    def thinking(self) -> str:
        """The first answer's thoughts, joined."""
        parts = self.choices[0].message.parts if self.choices else ()
        return "".join(part.text for part in parts if isinstance(part, Thinking))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the first answer asks for."""
        parts = self.choices[0].message.parts if self.choices else ()
        return tuple(part for part in parts if isinstance(part, ToolCall))

    @property
    def finish(self) -> FinishReason | None:
        """Why the first answer ended."""
        return self.choices[0].finish if self.choices else None


class Error(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An error as a dialect writes it: what a client reads or an upstream wrote."""

    status: int = 500
    message: str
    type: str | None = None
    """The dialect's class of error, such as `invalid_request_error`; None lets the dialect choose by the status."""
    code: str | None = None
    param: str | None = None
    """The field of the request at fault."""
    retry_after: float | None = None
    """Seconds."""
    extensions: dict[str, Any] = {}


def reply_text(text: str, *, model: str = "", finish: FinishReason = "stop") -> Response:
    """Make the plainest answer: one text. What an interceptor answers with when it needs no model."""
    message = Message(role="assistant", parts=(Text(text=text),))
    return Response(model=model, choices=(Choice(message=message, finish=finish),))
