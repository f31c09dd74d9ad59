"""Thoughts that a provider signed or encrypted, kept for clients that throw them away, and put back when they go on.

A provider whose model thinks wants its signed thoughts back before the tool calls that came of them; clients of dialects that
have no place for such things send the calls alone. What is kept is kept for a conversation, in the state store, and goes back
to the family and the account that it came from, and to nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from jackfield.api import Attempt, Change, Event, Host, Outcome, Reply, Seconds, Size, StreamDecoder
from jackfield.api.canonical import Assembler, Message, Part, Signature, Text, Thinking, ToolCall

_ANSWERS: Final = 64
"""Latest answers of a conversation that are looked for: what is older is rarely asked for by any provider."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the plugin."""

    keep: Seconds = Seconds(6 * 3600)
    """For how long thoughts are kept after they were last used."""
    largest: Size = Size(256 << 10)
    """Bytes of one answer's thoughts; larger ones are not kept."""


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer held that its client may have thrown away."""

    family: str
    credential: str
    thoughts: tuple[tuple[Thinking, int, int], ...] = ()
    """Each with how many texts and how many calls stood before it."""
    calls: tuple[Signature | None, ...] = ()
    """Signatures of the calls, in their order."""
    texts: tuple[Signature | None, ...] = ()
    """Likewise of the texts."""


_decode = msgspec.json.Decoder(Kept).decode


class Plugin:
    """Keeps what comes, and puts it back."""

    in_process_only = "reads streams with their dialects"

    def __init__(self, config: Config, host: Host) -> None:
        self._config, self._host = config, host

    # ---------------------------------------------------------------------------------------- what comes

    async def normalize_response(self, attempt: Attempt, reply: Reply) -> Listening | None:
        """Keep the thoughts of a whole answer, or listen to a streamed one."""
        if attempt.call.operation != "generate" or reply.status >= 300:
            return None
        if reply.stream is not None:
            return Listening(self, attempt)
        said = reply.canonical
        if said is not None and said.choices:
            await self.keep(attempt, said.choices[0].message)
        return None

    async def keep(self, attempt: Attempt, answer: Message) -> None:
        """Keep the thoughts of an answer, where any are signed. A store that is away costs only that."""
        kept = _kept(attempt, answer.parts)
        if kept is None or len(raw := msgspec.json.encode(kept)) > self._config.largest:
            return
        place = sum(message.role == "assistant" for message in attempt.call.request.messages)
        try:
            for name in _names(attempt, answer, place):
                await self._host.state.set(name, raw, ttl=self._config.keep)
        except OSError as fault:
            self._host.log.debug("thoughts are not kept: %s", fault)

    # -------------------------------------------------------------------------------------- what goes back

    async def intercept_attempt(self, attempt: Attempt) -> Change | None:
        """Put kept thoughts back into the answers of a conversation that lack them."""
        request = attempt.request
        answers = [(at, message) for at, message in enumerate(request.messages) if message.role == "assistant"]
        if attempt.call.operation != "generate" or not answers:
            return None
        refused = any("signature" in failure.message.lower() or "signature" in failure.detail.lower() for failure in attempt.before)
        changed: dict[int, Message] = {}
        try:
            for place, (at, message) in list(enumerate(answers))[-_ANSWERS:]:
                if any(_is_signed(part) for part in message.parts):
                    continue
                names = _names(attempt, message, place)
                if refused:
                    for name in names:
                        await self._host.state.delete(name)
                elif (kept := await self._find(attempt, names)) is not None:
                    changed[at] = replace(message, parts=_restored(message.parts, kept))
        except OSError as fault:
            self._host.log.debug("thoughts are not known: %s", fault)
        if not changed:
            return None
        return Change(request=replace(request, messages=tuple(changed.get(at, m) for at, m in enumerate(request.messages))))

    async def _find(self, attempt: Attempt, names: Sequence[str]) -> Kept | None:
        """Return what was kept of an answer, if it is this provider's and this account's, and keep it for as long again."""
        for name in names:
            raw = await self._host.state.get(name)
            if raw is None:
                continue
            kept = _decode(raw)
            if kept.family == attempt.dialect.family and kept.credential == attempt.candidate.credential:
                await self._host.state.set(name, raw, ttl=self._config.keep)
                return kept
        return None


class Listening:
    """Puts a streamed answer together, beside its way to the client."""

    def __init__(self, plugin: Plugin, attempt: Attempt) -> None:
        self._plugin, self._attempt = plugin, attempt
        self._decoder: StreamDecoder = attempt.dialect.decode_stream()
        self._assembler = Assembler()

    def __call__(self, event: Event) -> None:
        """Listen to an event."""
        self._assembler.feed(self._decoder.feed(event))

    async def close(self, outcome: Outcome) -> None:
        """Keep what was thought, once the answer is whole."""
        self._assembler.feed(self._decoder.close())
        if outcome.status != "canceled" and self._assembler.error is None:
            said = self._assembler.response()
            if said.choices:
                await self._plugin.keep(self._attempt, said.choices[0].message)


def _is_signed(part: Part) -> bool:
    if isinstance(part, Thinking):
        return part.signature is not None or part.redacted is not None
    return isinstance(part, Text | ToolCall) and part.signature is not None


def _kept(attempt: Attempt, parts: Sequence[Part]) -> Kept | None:
    """Return what of an answer is worth keeping; None where nothing is signed."""
    if not any(map(_is_signed, parts)):
        return None
    texts, calls = list[Signature | None](), list[Signature | None]()
    thoughts: list[tuple[Thinking, int, int]] = []
    for part in parts:
        if isinstance(part, Thinking):
            thoughts.append((part, len(texts), len(calls)))
        elif isinstance(part, Text):
            texts.append(part.signature)
        elif isinstance(part, ToolCall):
            calls.append(part.signature)
    return Kept(attempt.dialect.family, attempt.candidate.credential, tuple(thoughts), tuple(calls), tuple(texts))


def _restored(parts: Sequence[Part], kept: Kept) -> tuple[Part, ...]:
    """Return an answer's parts with the thoughts and signatures that belong to them."""
    made: list[Part] = []
    left, texts, calls = list(kept.thoughts), 0, 0
    for part in parts:
        if isinstance(part, Thinking):
            continue  # what a client kept of them: without a signature no provider takes it
        while left and (left[0][1] <= texts and left[0][2] <= calls):
            made.append(left.pop(0)[0])
        if isinstance(part, Text):
            signature = kept.texts[texts] if texts < len(kept.texts) else None
            made.append(part if signature is None else replace(part, signature=signature))
            texts += 1
        elif isinstance(part, ToolCall):
            signature = kept.calls[calls] if calls < len(kept.calls) else None
            made.append(part if signature is None else replace(part, signature=signature))
            calls += 1
        else:
            made.append(part)
    return tuple(made)


def _names(attempt: Attempt, answer: Message, place: int) -> list[str]:
    """Return under what an answer's thoughts are kept: its first call's id, and what it says at its place in the conversation."""
    call = attempt.call
    first = next((message.text for message in call.request.messages if message.role == "user"), "")
    whose = f"{call.principal.name}/{_digest(call.session or first)}"
    calls = [(part.name, _plain(part.arguments)) for part in answer.parts if isinstance(part, ToolCall)]
    named = [part.id for part in answer.parts if isinstance(part, ToolCall) and part.id]
    said = _digest(msgspec.json.encode(calls).decode() if calls else answer.text.strip())
    return [*(f"{whose}/call/{name}" for name in named[:1]), f"{whose}/{place}/{said}"]


def _plain(arguments: str) -> str:
    """Return a call's arguments in one form, however they are written."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments), order="sorted").decode()
    except ValueError:
        return arguments


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
