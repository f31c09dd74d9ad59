"""One item of a stream while its events come in, and the parts that items become."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api.canonical import (
    ArgumentsDelta,
    CitationDelta,
    Delta,
    Extensions,
    Logprobs,
    LogprobsDelta,
    Part,
    PartEnd,
    Refusal,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from jackfield_openai.responses import calls, events
from jackfield_openai.responses.annotations import decode_annotation
from jackfield_openai.responses.extras import ITEM, NAME, extra, kept
from jackfield_openai.responses.items import NOTHING, collect_tokens, lenient_item
from jackfield_openai.responses.parts import Parts
from jackfield_openai.responses.reasoning import PARAGRAPH, PLACE, is_foreign, is_summary
from jackfield_openai.responses.wire import PlainDelta

DONE: Final = "=done"
"""The key under which the end of a part keeps what only the last form of its item said."""

_SPOKEN: Final = (events.TEXT_DELTA, events.REFUSAL_DELTA)
_WAITING: Final = {"in_progress", "searching", "generating", "interpreting"}


class _Words:
    """A text or refusal of a message item."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.said = False
        self.cited = 0
        self.over = False


class Item:
    """One item, known by its place in the output."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.id: str | None = None
        self._kind = ""
        self._mark: dict[str, Any] = {}
        self._words: dict[int, _Words] = {}
        self._at = -1
        self._said: set[Any] = set()
        """What has come as a delta: arguments, paragraphs of a summary, thoughts."""
        self._form: dict[str, Any] = {}
        self._foreign = ""
        """How the thoughts of another family are sealed."""
        self.over = False

    def _name(self, item: dict[str, Any]) -> None:
        self.id = item["id"] if isinstance(item.get("id"), str) else self.id

    @property
    def pending(self) -> bool:
        """It was announced, and becomes a part only when it is done."""
        return not self.over and self._at < 0 and not self._words and self._kind not in ("", "message")

    # -------------------------------------------------------------------------------------------- the frame

    def added(self, item: dict[str, Any]) -> list[Delta] | None:
        """Begin; None for an item that becomes a part only when it is done."""
        if self.over or self._kind:
            return []
        self._name(item)
        self._kind = str(item.get("type") or ("message" if "role" in item else ""))
        if self._kind == "message":
            self._mark = self._marked(item)
            return [delta for at, part in enumerate(_list(item.get("content"))) for delta in self.part_added(at, part)]
        if self._kind == "reasoning":
            return self._begin_reasoning(item)
        if self._kind in calls.CALLS:
            return self._begin_call(item)
        return None

    @staticmethod
    def _marked(item: dict[str, Any]) -> dict[str, Any]:
        shell = {key: value for key, value in item.items() if key != "content" and (key, value) != ("status", "in_progress")}
        parts = lenient_item({"role": "assistant", **shell, "content": [{"type": "output_text", "text": ""}], "status": "completed"}, 0)
        return dict(extra(parts[0].extensions).get(ITEM, {})) if isinstance(parts[0], Text) else {}

    def _begin_reasoning(self, item: dict[str, Any]) -> list[Delta]:
        shell = {key: value for key, value in item.items() if key not in ("summary", "content", "encrypted_content")}
        sealed = item.get("encrypted_content")
        if isinstance(sealed, str) and is_foreign(sealed):
            self._foreign = shell["encrypted_content"] = sealed
        if shell.get("status") == "in_progress":
            del shell["status"]
        part = lenient_item({**shell, "type": "reasoning", "summary": []}, 0)[0]
        if isinstance(part, Thinking) and item.get("content") == []:
            part = msgspec.structs.replace(part, extensions=kept({**extra(part.extensions), PLACE: []}))
        self._form = dict(extra(part.extensions)) if isinstance(part, Thinking) else {}
        self._at, deltas = self._parts.start(part)
        return deltas

    def _begin_call(self, item: dict[str, Any]) -> list[Delta]:
        words = calls.WORDS[calls.CALLS[self._kind]]
        shell = {key: value for key, value in item.items() if key != words}
        if shell.get("status") in _WAITING:
            shell["status"] = "completed"
        part = lenient_item({**shell, words: ""}, len(self._parts.seen))[0]
        self._form = dict(extra(part.extensions)) if isinstance(part, ToolCall) else {}
        self._at, deltas = self._parts.start(part)
        text = item.get(words)
        if isinstance(text, str) and text:
            deltas += self.arguments(text, {})
        return deltas

    def done(self, item: dict[str, Any]) -> list[Delta]:
        """End, with what no event before has said."""
        if self.over:
            return []
        kind = str(item.get("type") or self._kind)
        self._name(item)
        if kind == "message":
            return self._message_done(item)
        begun: list[Delta] = []
        if kind in ("reasoning", *calls.CALLS) and self._at < 0:
            begun = self.added(item) or []
        if kind == "reasoning" and self._at >= 0:
            return [*begun, *self._reasoning_done(item)]
        self.over = True
        if self._at < 0:
            parts, _ = collect_tokens(lenient_item(item, len(self._parts.seen)))
            return [delta for part in parts for delta in self._parts.whole(part)]
        words = item.get(calls.WORDS.get(calls.CALLS.get(kind, "function"), "arguments"))
        if isinstance(words, str) and words:
            begun += self.arguments_done(words)
        return [*begun, PartEnd(index=self._at, extensions=self._late(item))]

    def _late(self, item: dict[str, Any]) -> Extensions:
        """Return what the last form of an item says besides, where its first form did not."""
        part = lenient_item(item, 0)[0]
        form = dict(extra(part.extensions)) if isinstance(part, Thinking | ToolCall) else {}
        form = {key: value for key, value in form.items() if key != PLACE}
        before = {key: value for key, value in self._form.items() if key != PLACE}
        return {NAME: {DONE: {**dict.fromkeys(before), **form}}} if form != before else {}

    def close(self) -> list[Delta]:
        """End what is open."""
        if self.over:
            return []
        self.over = True
        ends: list[Delta] = [PartEnd(index=words.at) for words in self._words.values() if not words.over]
        return [*ends, *([PartEnd(index=self._at)] if self._at >= 0 else [])]

    # ------------------------------------------------------------------------------------------- the message

    def _message_done(self, item: dict[str, Any]) -> list[Delta]:
        deltas: list[Delta] = []
        self._kind = self._kind or "message"
        if not self._words:
            self.over = True
            parts, tokens = collect_tokens(lenient_item(item, 0))
            said = [LogprobsDelta(logprobs=Logprobs(content=tokens))] if tokens else []
            return [*(delta for part in parts for delta in self._played(part)), *said]
        for at, value in enumerate(_list(item.get("content"))):
            if at not in self._words:
                deltas += self.part_added(at, value)
            deltas += self.part_done(at, value)
        return [*deltas, *self.close()]

    def _played(self, part: Part) -> list[Delta]:
        """Return a part that comes whole as one that came in pieces."""
        if not isinstance(part, Text) or NOTHING in extra(part.extensions):
            return self._parts.whole(part)
        at, deltas = self._parts.start(msgspec.structs.replace(part, text="", citations=()))
        said = [TextDelta(index=at, text=part.text)] if part.text else []
        return [*deltas, *said, *(CitationDelta(index=at, citation=citation) for citation in part.citations), PartEnd(index=at)]

    def part_added(self, at: int, value: Any) -> list[Delta]:
        """Begin a part of the message."""
        if self._kind == "reasoning" or self.over or at in self._words or not isinstance(value, dict):
            return []
        refusal = value.get("type") == "refusal"
        deltas = self._start_words(at, refusal=refusal, form=value)
        text = value.get("refusal" if refusal else "text")
        return [*deltas, *(self.words(at, text, refusal=refusal, extensions={}) if isinstance(text, str) and text else [])]

    def _start_words(self, at: int, *, refusal: bool, form: dict[str, Any]) -> list[Delta]:
        self._kind = self._kind or "message"
        usual = ("type", "text", "refusal", "annotations", "logprobs")
        note = {key: value for key, value in form.items() if key not in usual}
        if not self._words:
            note[ITEM] = self._mark
        part: Part = Refusal(text="", extensions=kept(note)) if refusal else Text(text="", extensions=kept(note))
        index, deltas = self._parts.start(part)
        self._words[at] = _Words(index)
        return deltas

    def words(self, at: int, text: str, *, refusal: bool, extensions: Extensions) -> list[Delta]:
        """Add words, to a part that may have to begin."""
        begun = self._start_words(at, refusal=refusal, form={}) if at not in self._words else []
        words = self._words[at]
        if words.over:
            return begun
        words.said = words.said or bool(text)
        return [*begun, TextDelta(index=words.at, text=text, extensions=extensions)]

    def words_done(self, at: int, text: str, *, refusal: bool) -> list[Delta]:
        """Take the words of a part that came whole."""
        if at in self._words and (self._words[at].said or not text):
            return []
        return self.words(at, text, refusal=refusal, extensions={})

    def cited(self, at: int, annotation: dict[str, Any]) -> list[Delta]:
        """Add a citation."""
        begun = self._start_words(at, refusal=False, form={}) if at not in self._words else []
        words = self._words[at]
        words.cited += 1
        return [*begun, CitationDelta(index=words.at, citation=decode_annotation(annotation))]

    def part_done(self, at: int, value: Any) -> list[Delta]:
        """End a part of the message, with what no event before has said."""
        words = self._words.get(at)
        if words is None or words.over or not isinstance(value, dict):
            return []
        refusal = value.get("type") == "refusal"
        text = value.get("refusal" if refusal else "text")
        deltas = self.words_done(at, text, refusal=refusal) if isinstance(text, str) else []
        for annotation in _list(value.get("annotations"))[words.cited :]:
            if isinstance(annotation, dict):
                deltas += self.cited(at, annotation)
        words.over = True
        return [*deltas, PartEnd(index=words.at)]

    # ---------------------------------------------------------------------------------- calls and thoughts

    def arguments(self, text: str, extensions: Extensions) -> list[Delta]:
        """Add to the arguments of a call."""
        if self._at < 0 or self.over or self._kind not in calls.CALLS:
            return []
        self._said.add("arguments")
        return [ArgumentsDelta(index=self._at, text=text, extensions=extensions)]

    def arguments_done(self, text: str) -> list[Delta]:
        """Take the arguments of a call that came whole."""
        if "arguments" in self._said or not text or self._at < 0:
            return []
        self._said.add("arguments")
        return [ArgumentsDelta(index=self._at, text=text)]

    def thought(self, text: str, paragraph: int | None, extensions: Extensions) -> list[Delta]:
        """Add to the thoughts, or to a paragraph of their summary."""
        begun = self._begin_reasoning({}) if self._at < 0 and not self.over and not self._kind else []
        self._kind = self._kind or "reasoning"
        if self._kind != "reasoning" or self.over:
            return []
        fresh = paragraph not in self._said
        self._said.add(paragraph)
        if self._foreign and not is_summary(self._foreign):
            # Its summary is the thoughts themselves.
            text = PARAGRAPH + text if fresh and len(self._said) > 1 else text
            return [*begun, ThinkingDelta(index=self._at, text=text, extensions=extensions)]
        return [*begun, ThinkingDelta(index=self._at, text=text, summary=paragraph, extensions=extensions)]

    def thought_done(self, text: str, paragraph: int | None) -> list[Delta]:
        """Take thoughts that came whole."""
        return [] if paragraph in self._said or not text else self.thought(text, paragraph, {})

    def _reasoning_done(self, item: dict[str, Any]) -> list[Delta]:
        part = lenient_item(item, 0)[0]
        if not isinstance(part, Thinking):
            return [PartEnd(index=self._at)]
        deltas: list[Delta] = []
        if self._said:
            paragraphs = [value.get("text") if isinstance(value, dict) else None for value in _list(item.get("summary"))]
            for at, text in enumerate(paragraphs):
                deltas += self.thought_done(text, at) if isinstance(text, str) else []
        else:
            deltas += [ThinkingDelta(index=self._at, text=part.text)] if part.text else []
            deltas += [ThinkingDelta(index=self._at, text=text, summary=at) for at, text in enumerate(part.summary)]
        if part.signature is not None:
            deltas.append(SignatureDelta(index=self._at, signature=part.signature))
        self.over = True
        return [*deltas, PartEnd(index=self._at, extensions=self._late(item))]

    def quick(self, said: PlainDelta) -> Delta | None:
        """Return what a plain event adds to an open part; None where it says more, or begins another part."""
        if self.over:
            return None
        extensions: Extensions = {} if said.obfuscation is None else {NAME: {"obfuscation": said.obfuscation}}
        words = self._words.get(said.content_index)
        if words is not None and said.type in _SPOKEN:
            words.said = True
            return None if words.over else TextDelta(index=words.at, text=said.delta, extensions=extensions)
        match said.type:
            case events.SUMMARY_DELTA if said.summary_index in self._said and not self._foreign:
                return ThinkingDelta(index=self._at, text=said.delta, summary=said.summary_index, extensions=extensions)
            case events.ARGUMENTS_DELTA | events.INPUT_DELTA if self._at >= 0 and self._kind in calls.CALLS:
                self._said.add("arguments")
                return ArgumentsDelta(index=self._at, text=said.delta, extensions=extensions)
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
