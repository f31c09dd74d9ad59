"""From what a scenario says to the answer that a request gets: stop sequences, `max_tokens`, `n`, logprobs, usage.

A stream is the whole answer, cut into tokens. So the two always agree.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from jackfield.api import Response
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Choice,
    Delta,
    FinishReason,
    Logprobs,
    LogprobsDelta,
    Message,
    Part,
    Refusal,
    Sampling,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    TokenChance,
    TokenLogprob,
    ToolCall,
    Usage,
    play,
)
from jackfield_simulator.answers import Ask, Said, refused
from jackfield_simulator.tokens import count, pieces, prompt_usage, words_of

CREATED: Final = 1_735_689_600
"""When every model and every answer was made: 2025-01-01, in Unix time. Equal requests get equal answers, dates included."""

MOST_CHOICES: Final = 16
"""Most answers to one request."""

_NO_CHANCES: Final[Iterator[TokenLogprob]] = iter(())


def compose(ask: Ask, said: Said) -> Response:
    """Return the whole answer to a request. Raises `CallError` (400) where it asks for too many."""
    sampling = ask.request.sampling
    wanted = sampling.n or 1
    if not 0 < wanted <= MOST_CHOICES:
        raise refused(f"n is {wanted}; the simulator gives 1 to {MOST_CHOICES} answers to a request", param="n")
    choices = tuple(_choice(_numbered(said, index), index, sampling) for index in range(wanted))
    return Response(id=f"sim-{ask.digest}", model=ask.model, created=CREATED, choices=choices, usage=_usage(ask, choices))


def _numbered(said: Said, index: int) -> Said:
    """Return what a further choice says: the same with its number at the end, and calls with ids of their own."""
    if index == 0:
        return said
    suffix = f" [{index + 1}]" if said.numbered else ""
    parts: list[Part] = []
    for part in said.parts:
        match part:
            case Text(text=text):
                parts.append(msgspec.structs.replace(part, text=text + suffix))
            case ToolCall(id=given):
                parts.append(msgspec.structs.replace(part, id=f"{given}_{index + 1}"))
            case _:
                parts.append(part)
    return msgspec.structs.replace(said, parts=tuple(parts))


def _choice(said: Said, index: int, sampling: Sampling) -> Choice:
    parts, stopped_at = _stopped(said.parts, sampling.stop)
    finish: FinishReason = said.finish if stopped_at is None else "stop_sequence"
    parts, whole = _limited(parts, sampling.max_tokens)
    if not whole:
        finish, stopped_at = "length", None
    return Choice(
        message=Message(role="assistant", parts=parts),
        index=index,
        finish=finish,
        stop_sequence=stopped_at,
        logprobs=_logprobs(parts, sampling.top_logprobs or 0) if sampling.logprobs else None,
    )


def _stopped(parts: tuple[Part, ...], stops: tuple[str, ...]) -> tuple[tuple[Part, ...], str | None]:
    """Return the parts up to the first stop sequence in a text, and the sequence; it is not part of the answer."""
    for index, part in enumerate(parts) if any(stops) else ():
        if isinstance(part, Text):
            found = [(at, stop) for stop in stops if stop and (at := part.text.find(stop)) >= 0]
            if found:
                at, stop = min(found)
                kept = (msgspec.structs.replace(part, text=part.text[:at]),) if at else ()
                return (*parts[:index], *kept), stop
    return parts, None


def _limited(parts: tuple[Part, ...], most: int | None) -> tuple[tuple[Part, ...], bool]:
    """Return as many of the parts as `most` tokens hold, and whether that is all of them."""
    if most is None:
        return parts, True
    left, kept = most, list[Part]()
    for part in parts:
        words = pieces(words_of(part))
        if len(words) > left:
            return (*kept, _shortened(part, words[:left])) if left > 0 else tuple(kept), False
        left -= len(words)
        kept.append(part)
    return parts, True


def _shortened(part: Part, words: list[str]) -> Part:
    match part:
        case Thinking():  # nobody signs a thought that broke off
            return msgspec.structs.replace(part, text="".join(words), signature=None)
        case Text() | Refusal():
            return msgspec.structs.replace(part, text="".join(words))
        case ToolCall():
            return msgspec.structs.replace(part, arguments="".join(words))
    return part


def _logprobs(parts: tuple[Part, ...], top: int) -> Logprobs | None:
    """Return how likely the tokens of the texts were: a figure that depends on the token alone."""
    tokens = [_likely(piece, top) for part in parts if isinstance(part, Text) for piece in pieces(part.text)]
    return Logprobs(content=tuple(tokens)) if tokens else None


def _likely(token: str, top: int) -> TokenLogprob:
    chances = [_chance(token + "?" * rank, rank) for rank in range(max(1, top))]
    first = chances[0]
    return TokenLogprob(token=first.token, logprob=first.logprob, bytes=first.bytes, top=tuple(chances) if top else ())


def _chance(token: str, rank: int) -> TokenChance:
    spelled = token.encode(errors="replace")
    return TokenChance(token=token, logprob=-(zlib.crc32(spelled) % 100) / 100 - rank, bytes=tuple(spelled))


def _usage(ask: Ask, choices: tuple[Choice, ...]) -> Usage:
    parts = [part for choice in choices for part in choice.message.parts]
    return msgspec.structs.replace(
        prompt_usage(ask.request),
        output=sum(count(words_of(part)) for part in parts),
        thinking=sum(count(part.text) for part in parts if isinstance(part, Thinking)),
    )


def deltas(response: Response) -> Iterator[Delta]:
    """Return an answer as the deltas of a stream, one token each; assembled they are the answer again."""
    likely = {c.index: iter(c.logprobs.content) for c in response.choices if c.logprobs is not None and c.logprobs.content}
    for delta in play(response):
        match delta:
            case Begin():
                counted = response.usage or Usage()
                yield msgspec.structs.replace(delta, usage=Usage(input=counted.input, cache_read=counted.cache_read))
            case TextDelta():
                chances = likely.get(delta.choice, _NO_CHANCES)
                for piece in pieces(delta.text):
                    yield msgspec.structs.replace(delta, text=piece)
                    if (chance := next(chances, None)) is not None:
                        yield LogprobsDelta(choice=delta.choice, logprobs=Logprobs(content=(chance,)))
            case ThinkingDelta() | ArgumentsDelta():
                for piece in pieces(delta.text):
                    yield msgspec.structs.replace(delta, text=piece)
            case LogprobsDelta():
                pass  # each token's stood beside it
            case _:
                yield delta
