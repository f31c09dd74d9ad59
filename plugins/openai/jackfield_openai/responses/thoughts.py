"""Thoughts of a stream on their way to a client."""

from __future__ import annotations

import msgspec

from jackfield.api.canonical import Signature, Thinking
from jackfield.api.canonical.codec import overlay
from jackfield_openai.responses import events
from jackfield_openai.responses.extras import extra, made_id
from jackfield_openai.responses.items import encode_item
from jackfield_openai.responses.outgoing import Outlet, Wire
from jackfield_openai.responses.reasoning import is_native, seal_of, unsigned


class ReasoningItem:
    """Thoughts while they come in.

    Those of other families begin with their first words, which tell whether they are a summary.
    """

    def __init__(self, out: Outlet, part: Thinking) -> None:
        self._out, self._part = out, msgspec.structs.replace(part, text="", summary=())
        self._at = -1
        self._native = is_native(part)
        self._id = part.id if part.id is not None and self._native else made_id("rs")
        self._thoughts: list[str] = []
        self._paragraphs: dict[int, list[str]] = {}
        self._open: int | None = None
        self._summary = False
        """What comes is a summary, not the thoughts themselves."""
        if self._native:
            self._begin()
        if part.text:
            self.add(part.text, None)
        for at, text in enumerate(part.summary):
            self.add(text, at)

    def _begin(self) -> None:
        if self._at >= 0:
            return
        self._at = self._out.place()
        item: Wire = {"id": self._id, "type": "reasoning", "summary": []}
        if self._part.redacted is not None:
            item["encrypted_content"] = seal_of(self._part, summary=False)
        elif not self._native:
            item["encrypted_content"] = unsigned(summary=self._summary)
        elif extra(self._part.extensions):
            item = overlay(item, {k: v for k, v in extra(self._part.extensions).items() if not (k == "content" and v != [])})
        self._out.say(events.ITEM_ADDED, output_index=self._at, item=item)

    def add(self, text: str, paragraph: int | None, padding: Wire | None = None) -> None:
        """Add thoughts, or to a paragraph of their summary."""
        if self._at < 0:
            self._summary = paragraph is not None
            self._begin()
        if self._native and paragraph is None:
            self._think(text, padding)
            return
        if not self._native and not self._summary:
            paragraph = 0 if paragraph is None else paragraph + 1
        self._summarize(text, paragraph or 0, padding)

    def _where(self) -> Wire:
        return {"item_id": self._id, "output_index": self._at}

    def _think(self, text: str, padding: Wire | None) -> None:
        if not self._thoughts:
            self._out.say(events.PART_ADDED, **self._where(), content_index=0, part={"type": "reasoning_text", "text": ""})
        self._thoughts.append(text)
        self._out.say(events.THOUGHT_DELTA, **self._where(), content_index=0, delta=text, **(padding or {}))

    def _summarize(self, text: str, paragraph: int, padding: Wire | None) -> None:
        if paragraph not in self._paragraphs:
            self._end_paragraph()
            # Paragraphs are numbered without gaps, in the order in which they begin.
            self._paragraphs[paragraph] = []
            self._open = paragraph
            self._out.say(events.SUMMARY_ADDED, **self._where(), summary_index=self._number(paragraph), part=_summary_text(""))
        self._paragraphs[paragraph].append(text)
        self._out.say(events.SUMMARY_DELTA, **self._where(), summary_index=self._number(paragraph), delta=text, **(padding or {}))

    def _number(self, paragraph: int) -> int:
        return list(self._paragraphs).index(paragraph)

    def _end_paragraph(self) -> None:
        if self._open is None:
            return
        where, text = {**self._where(), "summary_index": self._number(self._open)}, "".join(self._paragraphs[self._open])
        self._out.say(events.SUMMARY_TEXT_DONE, **where, text=text)
        self._out.say(events.SUMMARY_DONE, **where, part=_summary_text(text))
        self._open = None

    def sign(self, signature: Signature) -> None:
        """Give the thoughts their signature."""
        self._part = msgspec.structs.replace(self._part, signature=signature)
        if self._at < 0:
            self._native = is_native(self._part)

    def end(self, late: Wire | None = None) -> None:
        """End the thoughts."""
        self._begin()
        self._end_paragraph()
        thoughts = "".join(self._thoughts)
        if self._thoughts:
            part = {"type": "reasoning_text", "text": thoughts}
            self._out.say(events.THOUGHT_DONE, **self._where(), content_index=0, text=thoughts)
            self._out.say(events.PART_DONE, **self._where(), content_index=0, part=part)
        summary = tuple("".join(words) for words in self._paragraphs.values())
        self._out.done(self._at, overlay(self._item(thoughts, summary), late or {}))

    def _item(self, thoughts: str, summary: tuple[str, ...]) -> Wire:
        native = self._native
        if native:
            part = msgspec.structs.replace(self._part, id=self._id, text=thoughts, summary=summary)
            item = encode_item(part, "choices[0].parts", self._out.losses, answer=True)
            if is_native(part):
                return item  # type: ignore[no-any-return]
        sealed = seal_of(msgspec.structs.replace(self._part, id=None, extensions={}), summary=self._summary)
        item = {"id": self._id, "type": "reasoning", "summary": [_summary_text(text) for text in summary]}
        return {**item, "encrypted_content": sealed}


def _summary_text(text: str) -> Wire:
    return {"type": "summary_text", "text": text}
