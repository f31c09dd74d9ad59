"""Writing a stream: canonical deltas to events.

The order is OpenAI's own: the answer begins, each item with all of its events, and the last event repeats all items. Texts that
follow one another stand in one message, which ends when something else begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Error, Event, Loss, Request
from jackfield.api.canonical import (
    ArgumentsDelta,
    AudioDelta,
    Begin,
    CitationDelta,
    Delta,
    Done,
    Finish,
    LogprobsDelta,
    OpaqueDelta,
    Part,
    PartEnd,
    PartStart,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Signature,
    SignatureDelta,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Usage,
    UsageDelta,
)
from jackfield.api.canonical.codec import overlay
from jackfield_openai.errors import encode_error
from jackfield_openai.responses import events, hosted
from jackfield_openai.responses.extras import NAME, extra, lost
from jackfield_openai.responses.items import encode_item
from jackfield_openai.responses.outgoing import (
    Build,
    CallItem,
    MessageItem,
    Outlet,
    Wire,
    begins_message,
    late_of,
    padding_of,
)
from jackfield_openai.responses.reasoning import carrier
from jackfield_openai.responses.responses import CUT, STATUS, echo, echo_of, end_of, header, known_tier, wire_usage, with_tool_usage
from jackfield_openai.responses.streams import QUEUED
from jackfield_openai.responses.thoughts import ReasoningItem

_PATH: Final = "choices[0].parts[{}]"

_CODES: Final = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
_KNOWN_CODES: Final = frozenset(
    {
        "server_error", "rate_limit_exceeded", "invalid_prompt", "insufficient_quota", "usage_limit_reached", "usage_not_included",
        "context_length_exceeded", "server_is_overloaded", "slow_down", "cyber_policy", "bio_policy",
    }
)  # fmt: skip
"""Codes by which clients decide what to do."""


def failed_error(error: Error) -> Wire:
    """Return the `error` of an answer that failed: a code that clients know, and the words."""
    code = error.code if error.code in _KNOWN_CODES else _CODES.get(error.status, "server_error")
    return {"code": code, "message": error.message}


def error_members(error: Error) -> Wire:
    """Return the members of an `error` event: those of OpenAI's reference, and the object that its API really sends."""
    inner = msgspec.json.decode(encode_error(error))["error"]
    return {"code": inner.get("code"), "message": error.message, "param": error.param, "error": inner}


class ResponsesStreamEncoder:
    """Turns the deltas of one stream into events."""

    def __init__(self, request: Request, losses: list[Loss], build: Build) -> None:
        self._request, self._losses = request, losses
        self._out = Outlet(build, losses)
        self._header: Wire = {}
        self._message: MessageItem | None = None
        self._open: dict[int, MessageItem | CallItem | ReasoningItem] = {}
        """Items by the number of the part that is open in them."""
        self._signatures: dict[int, Signature] = {}
        """Signatures of texts that are open."""
        self._joining: tuple[ServerToolCall, Wire] | None = None
        self._announced: dict[int, tuple[int, Wire]] = {}
        """Items that the upstream announced, by its number: their place here, and what was said of them."""
        self._parts: list[Part] = []
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._over = False
        self._told_choice = False

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        """Return the events for deltas that came together."""
        for at, delta in enumerate(deltas):
            if self._over:
                break
            following = deltas[at + 1] if at + 1 < len(deltas) else None
            self._one(delta, following if isinstance(following, LogprobsDelta) else None)
        return self._out.take()

    def _one(self, delta: Delta, tokens: LogprobsDelta | None) -> None:
        if getattr(delta, "choice", 0):
            if not self._told_choice:
                lost(self._losses, "choices[1]", "Responses give one answer")
            self._told_choice = True
            return
        match delta:
            case TextDelta():
                self._text(delta, tokens)
            case Begin():
                self._begin(delta)
            case UsageDelta(usage=usage):
                self._usage = usage
            case Finish():
                self._finish = delta
                if delta.stop_sequence is not None:
                    lost(self._losses, "choices[0].stop_sequence", "Responses do not name the stop sequence")
            case Done():
                self._end()
            case StreamError(error=error):
                self._fail(error)
            case OpaqueDelta():
                self._opaque(delta)
            case LogprobsDelta():
                pass  # those of words that came together with them are written with the words
            case _:
                self._in_part(delta)

    def _in_part(self, delta: Delta) -> None:
        self._begin_if_needed()
        match delta:
            case PartStart():
                self._start(delta.index, delta.part)
            case ThinkingDelta(index=at):
                item = self._open.get(at)
                if isinstance(item, ReasoningItem):
                    item.add(delta.text, delta.summary, padding_of(delta.extensions))
            case ArgumentsDelta(index=at):
                call = self._open.get(at)
                if isinstance(call, CallItem):
                    call.add(delta.text, padding_of(delta.extensions))
            case SignatureDelta(index=at, signature=signature):
                self._sign(at, signature)
            case CitationDelta(index=at, citation=citation):
                message = self._open.get(at)
                if isinstance(message, MessageItem):
                    message.cite(citation)
            case PartEnd(index=at):
                self._end_part(at, late_of(delta.extensions))
            case AudioDelta():
                pass  # the loss is noted where the part began

    # -------------------------------------------------------------------------------------- the beginning

    def _begin(self, begin: Begin) -> None:
        if self._header:
            return
        rest = with_tool_usage(extra(begin.extensions))
        status = rest.pop(STATUS, None)
        queued = rest.pop(QUEUED, False) or status == "queued"
        known = {} if rest else echo_of(self._request)
        self._usage = begin.usage or self._usage
        tier = known_tier(begin.service_tier, self._losses, own=bool(rest))
        head = header(begin.id, begin.model, begin.created, tier)
        said = {**head, "status": "in_progress", "error": None, "incomplete_details": None, **echo(), **known, "output": [], "usage": None}
        self._header = overlay(said, rest)
        first = {**self._header, "status": "queued"} if queued else self._header
        self._out.say(events.CREATED, response=first)
        if queued:
            self._out.say(events.QUEUED, response=first)
        self._out.say(events.IN_PROGRESS, response=self._header)

    def _begin_if_needed(self) -> None:
        if not self._header:
            self._begin(Begin(model=self._request.model))

    # ------------------------------------------------------------------------------------------ the parts

    def _start(self, at: int, part: Part) -> None:
        self._parts.append(part)
        if self._join(part):
            return
        if isinstance(part, Text | Refusal):
            self._start_words(at, part)
            return
        self._close()
        if isinstance(part, ToolCall):
            self._open[at] = CallItem(self._out, part)
        elif isinstance(part, Thinking):
            self._open[at] = ReasoningItem(self._out, part)
        else:
            self._whole(at, part)

    def _start_words(self, at: int, part: Text | Refusal) -> None:
        if self._message is None or begins_message(part):
            self._close()
            self._message = MessageItem(self._out, part)
        message = self._message
        self._open = {number: item for number, item in self._open.items() if item is not message}
        self._open[at] = message
        message.start(part if isinstance(part, Refusal) else msgspec.structs.replace(part, signature=None))
        if isinstance(part, Text) and part.signature is not None:
            self._signatures[at] = part.signature

    def _whole(self, at: int, part: Part) -> None:
        """Write a part that comes whole."""
        item = encode_item(part, _PATH.format(at), self._losses, answer=True)
        if item is None:
            return
        if isinstance(part, ServerToolCall) and hosted.waits(part):
            self._joining = (part, item)
            return
        self._place(item)

    def _join(self, part: Part) -> bool:
        """Write a call that waited for its result, which `part` may be."""
        if self._joining is None:
            return False
        (call, item), self._joining = self._joining, None
        joined = hosted.joins(call, part)
        if joined and isinstance(part, ServerToolResult):
            hosted.join(item, call, part)
        self._place(item)
        return joined

    def _place(self, item: Wire) -> None:
        for number, (at, said) in self._announced.items():
            if said.get("type") == item.get("type") and said.get("id") == item.get("id"):
                del self._announced[number]
                self._out.done(at, item)
                return
        beginning = {key: value for key, value in item.items() if key != "result"} if item.get("type") == hosted.IMAGE else item
        self._out.whole(item, {**beginning, "status": "in_progress"} if "status" in item else beginning)

    def _text(self, delta: TextDelta, following: LogprobsDelta | None) -> None:
        message = self._open.get(delta.index)
        if isinstance(message, MessageItem):
            tokens = following.logprobs.content if following is not None and following.logprobs.content else ()
            message.add(delta.text, tokens, padding_of(delta.extensions))

    def _sign(self, at: int, signature: Signature) -> None:
        item = self._open.get(at)
        match item:
            case ReasoningItem():
                item.sign(signature)
            case CallItem():
                item.signature = signature
            case MessageItem():
                self._signatures[at] = signature
            case _ if at == len(self._parts) - 1:
                self._close()
                self._out.whole(carrier(signature))
            case _:
                lost(self._losses, f"{_PATH.format(at)}.signature", "it came after other parts had begun")

    def _end_part(self, at: int, late: Wire | None) -> None:
        item = self._open.get(at)
        match item:
            case ReasoningItem():
                del self._open[at]
                item.end(late)
            case CallItem() if item.whole:
                del self._open[at]
                item.end(late=late)
            case MessageItem():
                del self._open[at]
                item.end_part()
                signature = self._signatures.pop(at, None)
                if signature is not None:
                    self._close()
                    self._out.whole(carrier(signature))

    def _close(self, *, calls_too: bool = False, status: str = "completed") -> None:
        """End what is open; of calls only those whose arguments are complete, for more may come."""
        for at, item in list(self._open.items()):
            match item:
                case ReasoningItem():
                    del self._open[at]
                    item.end()
                case CallItem() if calls_too or item.whole:
                    del self._open[at]
                    item.end(status)
                case MessageItem():
                    del self._open[at]
        if self._message is not None:
            self._message.end(status)
            self._message = None

    # ------------------------------------------------------------------------- events of this dialect alone

    def _opaque(self, delta: OpaqueDelta) -> None:
        if delta.dialect != NAME:
            lost(self._losses, "stream", f"an event {delta.name or 'without a name'} that {delta.dialect} alone understands")
            return
        try:
            said = msgspec.json.decode(delta.value, type=dict[str, Any])
        except (ValueError, RecursionError):
            return
        self._begin_if_needed()
        number, members = said.get("output_index"), {k: v for k, v in said.items() if k not in ("type", "sequence_number")}
        if delta.name == events.ITEM_ADDED and isinstance(number, int) and isinstance(said.get("item"), dict):
            self._join_nothing()
            self._close()
            at = self._out.place()
            self._announced[number] = (at, said["item"])
            members["output_index"] = at
        elif isinstance(number, int) and number in self._announced:
            members["output_index"] = self._announced[number][0]
        self._out.say(delta.name, **members)

    def _join_nothing(self) -> None:
        self._join(Text(text=""))

    # ----------------------------------------------------------------------------------------- the ending

    def _end(self) -> None:
        self._begin_if_needed()
        self._join_nothing()
        reason = self._finish.reason if self._finish is not None else "stop"
        self._close(calls_too=True, status="incomplete" if reason in CUT else "completed")
        self._finish_announced()
        rest = dict(extra(self._finish.extensions)) if self._finish is not None else {}
        status = rest.pop(STATUS, None)
        ending = {"status": status} if isinstance(status, str) else end_of(reason, self._parts, self._losses)
        if "error" in rest:
            ending["status"] = "failed"
        whole = overlay({**self._header, **ending, "output": self._out.output, "usage": wire_usage(self._usage)}, with_tool_usage(rest))
        name = {"incomplete": events.INCOMPLETE, "failed": events.FAILED}.get(whole["status"], events.COMPLETED)
        self._out.say(name, response=whole)
        self._over = True

    def _finish_announced(self) -> None:
        for at, item in self._announced.values():
            self._out.done(at, item)
        self._announced = {}

    def _fail(self, error: Error) -> None:
        """End with an error. Calls that are open stay so: a client might run one whose arguments broke off."""
        self._begin_if_needed()
        self._join_nothing()
        self._close(status="incomplete")
        self._out.say(events.ERROR, **error_members(error))
        whole = {**self._header, "status": "failed", "error": failed_error(error), "output": self._out.output}
        self._out.say(events.FAILED, response={**whole, "usage": wire_usage(self._usage)})
        self._over = True
