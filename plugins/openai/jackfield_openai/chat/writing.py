"""Writing single deltas of a stream into a chunk."""

from __future__ import annotations

from typing import Any

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Delta,
    Finish,
    Image,
    LogprobsDelta,
    Part,
    PartStart,
    Refusal,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_openai.chat import calls, reasoning
from jackfield_openai.chat.annotations import encode_annotation, unsayable
from jackfield_openai.chat.choices import PIECE
from jackfield_openai.chat.content import encode_part, lost
from jackfield_openai.chat.extras import NAME, extra
from jackfield_openai.chat.finish import word_for
from jackfield_openai.chat.logprobs import encode_logprobs
from jackfield_openai.chat.responses import CHUNK


class Chunk:
    """One chunk while deltas are written into it."""

    def __init__(self) -> None:
        self.choices: dict[int, dict[str, Any]] = {}
        self.pieces: dict[tuple[int, int], dict[str, Any]] = {}
        """Pieces of tool calls, by choice and part."""
        self.usage: dict[str, Any] | None = None

    def choice(self, index: int) -> dict[str, Any]:
        """Return a choice of the chunk."""
        return self.choices.setdefault(index, {"index": index, "delta": {}, "finish_reason": None})

    def delta(self, index: int) -> dict[str, Any]:
        """Return the delta of a choice."""
        return self.choice(index)["delta"]  # type: ignore[no-any-return]

    def add(self, index: int, key: str, text: str) -> None:
        """Add words under a key of a choice's delta."""
        delta = self.delta(index)
        delta[key] = delta.get(key, "") + text

    def wire(self, header: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        """Return the chunk's JSON; `rest` is written over it, choices by their index."""
        others = {key: value for key, value in rest.items() if key != "choices"}
        for entry in rest.get("choices", ()):
            index = entry.get("index", 0)
            overlay(self.choice(index), entry)
        usage = {"usage": self.usage} if self.usage is not None else {}
        return overlay({**header, "choices": list(self.choices.values()), **usage}, others)


class DeltaWriter:
    """Knows the parts of one stream, and writes what deltas add to them."""

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._parts: dict[tuple[int, int], Part] = {}
        self._calls: dict[tuple[int, int], int] = {}
        self._words: dict[int, int] = {}
        """Characters of each choice's words so far."""
        self._offsets: dict[tuple[int, int], int] = {}
        """Where among them a text begins."""
        self._paragraphs: dict[tuple[int, int], int] = {}
        """Which paragraph of a summary was added to last."""
        self._sealed: dict[int, int] = {}
        """How many details seal a choice's thoughts and words so far that another dialect's upstream gave."""
        self._uncited: set[tuple[int, int]] = set()
        """Texts with citations that have no form."""

    def plain(self, delta: TextDelta | ThinkingDelta | ArgumentsDelta) -> bytes | None:
        """Return the members of a delta that adds words, thoughts or arguments; None where the part has a form of its own."""
        part = self._parts.get((delta.choice, delta.index))
        if isinstance(part, Text) and isinstance(delta, TextDelta):
            self._words[delta.choice] = self._words.get(delta.choice, 0) + len(delta.text)
            return b'"content":%b' % to_json(delta.text)
        if isinstance(part, Thinking) and not part.extensions and isinstance(delta, ThinkingDelta):
            return b'"reasoning_content":%b' % to_json(self._apart(delta))
        number = self._calls.get((delta.choice, delta.index))
        if number is not None and isinstance(part, ToolCall) and part.kind == "function" and isinstance(delta, ArgumentsDelta):
            return b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (number, to_json(delta.text))
        return None

    def write(self, delta: Delta, chunk: Chunk) -> None:
        """Write a delta of a choice into a chunk; one that adds nothing leaves it as it is."""
        match delta:
            case PartStart():
                self._start(delta, chunk)
            case TextDelta():
                self._text(delta, chunk)
            case ThinkingDelta():
                self._thinking(delta, chunk)
            case ArgumentsDelta():
                self._arguments(delta, chunk)
            case SignatureDelta():
                self._signature(delta, chunk)
            case CitationDelta():
                self._cite(delta, chunk)
            case AudioDelta():
                said = {"data": delta.data, "transcript": delta.transcript}
                chunk.delta(delta.choice).setdefault("audio", {}).update({key: value for key, value in said.items() if value})
            case LogprobsDelta():
                chunk.choice(delta.choice)["logprobs"] = encode_logprobs(delta.logprobs)
            case Finish():
                self._finish(delta, chunk)

    def _cite(self, said: CitationDelta, chunk: Chunk) -> None:
        words, offset = self._words.get(said.choice, 0), self._offsets.get((said.choice, said.index), 0)
        wire = encode_annotation(said.citation, offset, words - offset)
        if wire is not None:
            chunk.delta(said.choice).setdefault("annotations", []).append(wire)
        elif (said.choice, said.index) not in self._uncited:
            self._uncited.add((said.choice, said.index))
            unsayable(f"choices[{said.choice}].parts[{said.index}]", self._losses)

    def _start(self, start: PartStart, chunk: Chunk) -> None:
        part, place = start.part, (start.choice, start.index)
        self._parts[place] = part
        if isinstance(part, Text):
            self._offsets[place] = self._words.get(start.choice, 0)
        delta = chunk.delta
        match part:
            case Text(text=text) if text:
                self._words[start.choice] = self._words.get(start.choice, 0) + len(text)
                chunk.add(start.choice, "content", text)
            case Refusal(text=text) if text:
                chunk.add(start.choice, "refusal", text)
            case Thinking(text=text, signature=signature, redacted=redacted) if text or part.summary or signature or redacted is not None:
                self._write_thought(part, start.choice, chunk)
            case ToolCall():
                self._start_call(start, part, chunk)
            case Audio():
                said = {"id": part.id, "expires_at": part.expires_at, "transcript": part.transcript}
                said["data"] = part.source.data if part.source is not None else None
                shown = {key: value for key, value in said.items() if value is not None}
                if shown:
                    delta(start.choice)["audio"] = shown
            case Text() | Refusal() | Thinking():
                pass
            case _:
                self._whole(start, part, chunk)

    def _whole(self, start: PartStart, part: Part, chunk: Chunk) -> None:
        """Write a part that comes whole: a picture, or an item of a `content` that is a list."""
        listed = PIECE in extra(start.extensions)
        path = f"choices[{start.choice}].parts[{start.index}]"
        if not listed and not isinstance(part, Image):
            lost(self._losses, path, f"streams of chat completions have no place for {type(part).__name__}")
            return
        wire = encode_part(part, path, self._losses)
        if wire is not None:
            chunk.delta(start.choice).setdefault("content" if listed else "images", []).append(wire)

    def _text(self, said: TextDelta, chunk: Chunk) -> None:
        form = extra(said.extensions).get(PIECE)
        part = self._parts.get((said.choice, said.index))
        if not isinstance(part, Refusal):
            self._words[said.choice] = self._words.get(said.choice, 0) + len(said.text)
        if form is not None:
            item = overlay({"type": "text", "text": said.text}, form)
            chunk.delta(said.choice).setdefault("content", []).append(item)
            return
        chunk.add(said.choice, "refusal" if isinstance(part, Refusal) else "content", said.text)

    def _thinking(self, said: ThinkingDelta, chunk: Chunk) -> None:
        part = self._parts.get((said.choice, said.index))
        opened = part if isinstance(part, Thinking) else Thinking()
        form = extra(said.extensions).get(PIECE)
        if form is not None or extra(opened.extensions).get("type") == "thinking":
            shown = {NAME: form} if form is not None else opened.extensions
            item = encode_part(Thinking(text=said.text, extensions=shown), "", self._losses)
            chunk.delta(said.choice).setdefault("content", []).append(item)
            return
        text = self._apart(said)
        words = {"summary": (text,)} if said.summary is not None else {"text": text}
        whole = msgspec.structs.replace(opened, text="", summary=(), signature=None, redacted=None)
        self._write_thought(msgspec.structs.replace(whole, **words), said.choice, chunk)

    def _apart(self, said: ThinkingDelta) -> str:
        """Return what is added to thoughts: the first words of a further paragraph stand apart from those before, as in whole answers."""
        if said.summary is None:
            return said.text
        place = said.choice, said.index
        before, self._paragraphs[place] = self._paragraphs.get(place, said.summary), said.summary
        return said.text if before == said.summary else f"\n\n{said.text}"

    def _write_thought(self, part: Thinking, choice: int, chunk: Chunk) -> None:
        wire: dict[str, Any] = {}
        reasoning.write_thinking(wire, [part])
        delta = chunk.delta(choice)
        for key in reasoning.TEXT_KEYS:
            if key in wire:
                delta[key] = delta.get(key, "") + wire[key]
        details = wire.get(reasoning.DETAILS, [])
        if reasoning.is_foreign(part):
            self._number(details, choice)
        _add_details(delta, details)

    def _number(self, details: list[dict[str, Any]], choice: int) -> None:
        """Number details by their place among all: OpenAI's client joins those that have the same number."""
        at = self._sealed.get(choice, 0)
        for detail in details:
            detail["index"] = at
        self._sealed[choice] = at + len(details)

    def _signature(self, said: SignatureDelta, chunk: Chunk) -> None:
        part = self._parts.get((said.choice, said.index))
        if isinstance(part, Thinking):
            self._seal(said, part, chunk)
        elif isinstance(part, ToolCall):
            self._sign_call(part, said, chunk)
        else:
            seal = reasoning.text_signature(said.signature, 0)
            self._number([seal], said.choice)
            _add_details(chunk.delta(said.choice), [seal])

    def _seal(self, said: SignatureDelta, part: Thinking, chunk: Chunk) -> None:
        form = extra(said.extensions).get(PIECE)
        details = [form] if form is not None else extra(part.extensions).get(reasoning.DETAILS)
        shown = {NAME: {reasoning.DETAILS: details}} if details else part.extensions
        seal = Thinking(signature=said.signature, id=None if form is not None else part.id, extensions=shown)
        found = reasoning.details_of(seal, 0)
        if reasoning.is_foreign(seal):
            self._number(found, said.choice)
        _add_details(chunk.delta(said.choice), found)

    # --------------------------------------------------------------------------------------------- tool calls

    def _start_call(self, start: PartStart, call: ToolCall, chunk: Chunk) -> None:
        said = extra(call.extensions)
        if calls.OLD_FORM in said:
            chunk.delta(start.choice)["function_call"] = {"name": call.name, "arguments": call.arguments}
            return
        number = sum(1 for choice, _ in self._calls if choice == start.choice)
        self._calls[start.choice, start.index] = number
        path = f"choices[{start.choice}].parts[{start.index}]"
        wire = {"index": number, **calls.encode_call(call, path, self._losses, answer=True)}
        overlay(wire, extra(start.extensions).get(PIECE, {}))
        chunk.delta(start.choice).setdefault("tool_calls", []).append(wire)
        chunk.pieces[start.choice, start.index] = wire

    def _arguments(self, said: ArgumentsDelta, chunk: Chunk) -> None:
        call = self._parts.get((said.choice, said.index))
        delta = chunk.delta(said.choice)
        if isinstance(call, ToolCall) and calls.OLD_FORM in extra(call.extensions):
            old = delta.setdefault("function_call", {})
            old["arguments"] = old.get("arguments", "") + said.text
            return
        place, key = ("custom", "input") if isinstance(call, ToolCall) and call.kind == "custom" else ("function", "arguments")
        piece = self._piece((said.choice, said.index), chunk)
        inner = piece.setdefault(place, {})
        inner[key] = (inner.get(key) or "") + said.text
        overlay(piece, extra(said.extensions).get(PIECE, {}))

    def _piece(self, place: tuple[int, int], chunk: Chunk) -> dict[str, Any]:
        """Return the piece of a call in a chunk: that of its start, where both stand in one, else a new one."""
        piece = chunk.pieces.get(place)
        if piece is None:
            piece = chunk.pieces[place] = {"index": self._calls.get(place, 0)}
            chunk.delta(place[0]).setdefault("tool_calls", []).append(piece)
        return piece

    def _sign_call(self, call: ToolCall, said: SignatureDelta, chunk: Chunk) -> None:
        path = f"choices[{said.choice}].parts[{said.index}]"
        wire: dict[str, Any] = {}
        form = {**extra(call.extensions), **extra(said.extensions).get(PIECE, {})}
        calls.write_signature(wire, form, said.signature, path, self._losses, answer=True)
        if wire:
            piece = self._piece((said.choice, said.index), chunk)
            # OpenAI's own client takes no piece of a call that says nothing of it.
            inner, key = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
            piece.setdefault(inner, {key: ""})
            overlay(piece, wire)

    def _finish(self, finish: Finish, chunk: Chunk) -> None:
        rest = {key: value for key, value in extra(finish.extensions).items() if key != CHUNK}
        if finish.stop_sequence is not None and "stop_reason" not in rest:
            lost(self._losses, f"choices[{finish.choice}].stop_sequence", "chat completions do not name the stop sequence")
        refused = any(isinstance(part, Refusal) for (choice, _), part in self._parts.items() if choice == finish.choice)
        wire = chunk.choice(finish.choice)
        wire["finish_reason"] = word_for(finish.reason, rest, f"choices[{finish.choice}]", self._losses, refused=refused)
        overlay(wire, rest)


def _add_details(delta: dict[str, Any], details: list[dict[str, Any]]) -> None:
    """Add reasoning details to a delta; words and signature of one detail stand together."""
    found = delta.setdefault(reasoning.DETAILS, []) if details else []
    for detail in details:
        last = found[-1] if found else None
        same = last is not None and all(last.get(key) == detail.get(key) for key in ("type", "index", "format", "id"))
        if last is not None and same and not (last.keys() & detail.keys() & {"text", "summary", "data", "signature"}):
            last.update(detail)
        else:
            found.append(detail)
