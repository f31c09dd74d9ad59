"""Reading one choice of a stream: which part is open, and what the members of a delta add to it."""

from __future__ import annotations

from typing import Any, Final

from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Delta,
    Extensions,
    Finish,
    Opaque,
    Part,
    PartEnd,
    PartStart,
    Refusal,
    Signature,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from jackfield.api.canonical.codec import difference, to_json
from jackfield_openai.chat import calls, reasoning
from jackfield_openai.chat.annotations import decode_annotation
from jackfield_openai.chat.extras import NAME, extra, kept
from jackfield_openai.chat.finish import decode_finish, word_kept
from jackfield_openai.chat.responses import part_of_answer, take_images, take_text
from jackfield_openai.chat.wire import PlainDelta

PIECE: Final = "=piece"
"""The key under which a delta keeps the form of the list item that it came as: a part of `content`, a call."""

_UNDER_REASONING: Final = {"reasoning": ""}
"""What a thought keeps whose text stands under `reasoning`."""


class ChoiceDecoder:
    """One choice while its chunks come in."""

    def __init__(self, index: int, seed: str) -> None:
        self.index = index
        self.finished = False
        self.open_index = -1
        """Which part is open."""
        self.state = 0
        """Another one whenever a part begins or ends."""
        self._seed = seed
        self._open: Part | None = None
        self._signed = False
        """The open part has its signature."""
        self._next = 0
        self._last_text: int | None = None
        self._calls: dict[int | str, tuple[int, str]] = {}
        """Parts of tool calls and their ids, by the index on the wire, or by the id where there is no index."""
        self._call_parts: list[int] = []
        """Parts of tool calls in their order."""

    # ------------------------------------------------------------------------------------- parts begin and end

    def _start(self, part: Part, **extensions: Any) -> list[Delta]:
        deltas = self.close()
        self.state += 1
        self._open, self.open_index, self._next, self._signed = part, self._next, self._next + 1, False
        if isinstance(part, Text):
            self._last_text = self.open_index
        return [*deltas, PartStart(choice=self.index, index=self.open_index, part=part, **extensions)]

    def close(self) -> list[Delta]:
        """End the open part."""
        if self._open is None:
            return []
        self.state += 1
        self._open = None
        return [PartEnd(choice=self.index, index=self.open_index)]

    def finish(self, rest: dict[str, Any]) -> list[Delta]:
        """End the choice if its members say why; then all of them are kept with the end."""
        word = rest.get("finish_reason")
        reason = decode_finish(word)
        if reason is None:
            return []
        del rest["finish_reason"]
        ends, stop = self.close(), rest.get("stop_reason")
        said = kept({**rest, **word_kept(word)})
        rest.clear()
        self.finished = True
        return [
            *ends,
            Finish(choice=self.index, reason=reason, stop_sequence=stop if isinstance(stop, str) else None, extensions=said),
        ]

    def finish_unsaid(self) -> list[Delta]:
        """End a choice of which the upstream never said that it ended."""
        if self.finished:
            return []
        self.finished = True
        return [*self.close(), Finish(choice=self.index, reason="tool_calls" if self._calls else "stop")]

    # ------------------------------------------------------------------------------------------ what is added

    def feed(self, delta: dict[str, Any]) -> list[Delta]:
        """Take out of a delta what it adds, in the order in which parts stand in an answer."""
        signature = reasoning.take_text_signature(delta)
        deltas = self._thinking(delta)
        deltas += self._content(delta)
        if signature is not None:
            deltas += self._sign_text(signature)
        if refusal := take_text(delta, "refusal"):
            deltas += self._words(refusal, Refusal(text=""))
        deltas += self._audio(delta)
        deltas += self._images(delta)
        deltas += self._annotations(delta)
        deltas += self._tool_calls(delta)
        return deltas

    def quick(self, delta: PlainDelta, extensions: Extensions) -> Delta | None:
        """Return what a plain delta adds to the open part; None where it says more, less, or begins another part."""
        open_, at = self._open, self.open_index
        if delta.content:
            if type(open_) is Text and not (delta.reasoning_content or delta.reasoning or delta.tool_calls):
                return TextDelta(choice=self.index, index=at, text=delta.content, extensions=extensions)
        elif delta.content is None and type(open_) is Thinking and not delta.tool_calls:
            if delta.reasoning_content and delta.reasoning is None and not open_.extensions:
                return ThinkingDelta(choice=self.index, index=at, text=delta.reasoning_content, extensions=extensions)
            if delta.reasoning and delta.reasoning_content is None and extra(open_.extensions) == _UNDER_REASONING:
                return ThinkingDelta(choice=self.index, index=at, text=delta.reasoning, extensions=extensions)
        elif delta.content is None and type(open_) is ToolCall and not (delta.reasoning_content or delta.reasoning):
            pieces = delta.tool_calls or ()
            if len(pieces) == 1 and self._call_parts[-1] == at and pieces[0].index == len(self._call_parts) - 1:
                known = self._calls.get(pieces[0].index)
                if known is not None and known[0] == at:
                    return ArgumentsDelta(choice=self.index, index=at, text=pieces[0].function.arguments, extensions=extensions)
        return None

    def _words(self, text: str, part: Text | Refusal, **extensions: Any) -> list[Delta]:
        deltas = [] if type(self._open) is type(part) else self._start(part)
        return [*deltas, TextDelta(choice=self.index, index=self.open_index, text=text, **extensions)]

    def _content(self, delta: dict[str, Any]) -> list[Delta]:
        value = delta.get("content")
        if isinstance(value, str) and value:
            del delta["content"]
            return self._words(value, Text(text=""))
        if not isinstance(value, list) or not value:
            return []
        del delta["content"]
        return [made for item in value for made in self._item(item)]

    def _sign_text(self, signature: Signature) -> list[Delta]:
        deltas = self._start(Text(text="")) if self._last_text is None else []
        at = self._last_text if self._last_text is not None else self.open_index
        return [*deltas, SignatureDelta(choice=self.index, index=at, signature=signature)]

    def _item(self, item: Any) -> list[Delta]:
        """Read one item of a `content` that is a list."""
        part = part_of_answer(item)
        form = {NAME: {PIECE: {} if isinstance(part, Opaque) else extra(part.extensions)}}
        if isinstance(part, Text):
            return self._words(part.text, Text(text=""), extensions=form)
        if isinstance(part, Thinking):
            same = isinstance(self._open, Thinking) and extra(self._open.extensions).get("type") == "thinking"
            deltas = [] if same else self._start(Thinking(extensions=kept({"type": "thinking"})))
            where: dict[str, Any] = {"choice": self.index, "index": self.open_index}
            deltas.append(ThinkingDelta(**where, text=part.text, extensions=form))
            return [*deltas, *([SignatureDelta(**where, signature=part.signature)] if part.signature else [])]
        return [*self._start(part, extensions=form), *self.close()]

    def _thinking(self, delta: dict[str, Any]) -> list[Delta]:
        found = reasoning.take_thinking(delta)
        return [made for part in found for made in self._thought(part)]

    def _thought(self, part: Thinking) -> list[Delta]:
        deltas: list[Delta] = []
        said = extra(part.extensions)
        seals = False
        foreign = reasoning.is_foreign(part)
        same = self._unsealed if foreign else self._same_thought
        if not (isinstance(self._open, Thinking) and part.redacted is None and same(self._open, said)):
            seals = self._seals(part, said)
            if not seals:
                deltas += self._start(Thinking(id=part.id, redacted=part.redacted, extensions=part.extensions))
        where: dict[str, Any] = {"choice": self.index, "index": self.open_index}
        if part.text:
            deltas.append(ThinkingDelta(**where, text=part.text))
        deltas += [ThinkingDelta(**where, text=text, summary=0) for text in part.summary]
        if part.signature is not None:
            self._signed = True
            form = {NAME: {PIECE: {**said[reasoning.DETAILS][0], **({"id": part.id} if part.id else {})}}} if seals else {}
            deltas.append(SignatureDelta(**where, signature=part.signature, extensions=form))
        # What another dialect's upstream sealed is whole: words after that are further thoughts.
        return [*deltas, *self.close()] if foreign else deltas

    @staticmethod
    def _unsealed(open_: Thinking, said: dict[str, Any]) -> bool:
        """Tell whether open thoughts, of the form that other dialects' have, may still get what seals them."""
        return extra(open_.extensions) == said and open_.redacted is None

    def _seals(self, part: Thinking, said: dict[str, Any]) -> bool:
        """Tell whether a detail without words belongs to the thoughts before it: it signs them, or is their encrypted form."""
        details = said.get(reasoning.DETAILS)
        if not isinstance(self._open, Thinking) or not details or part.signature is None or reasoning.spoken(part):
            return False
        before = extra(self._open.extensions)
        return reasoning.continues(self._open, details[0]) or not (reasoning.DETAILS in before or "type" in before or self._signed)

    @staticmethod
    def _same_thought(open_: Thinking, said: dict[str, Any]) -> bool:
        """Tell whether thoughts go on: they have the same details, or stand under the same keys."""
        before = extra(open_.extensions)
        if open_.redacted is not None or before.get("type") == "thinking":
            return False
        if reasoning.DETAILS in before or reasoning.DETAILS in said:
            return bool(before.get(reasoning.DETAILS) == said.get(reasoning.DETAILS))
        return before == said

    def _audio(self, delta: dict[str, Any]) -> list[Delta]:
        value = delta.get("audio")
        if not isinstance(value, dict) or not any(value.values()):
            return []
        rest = {key: item for key, item in value.items() if item is not None}
        audio_id, data, transcript = take_text(rest, "id"), take_text(rest, "data"), take_text(rest, "transcript")
        deltas: list[Delta] = []
        if not isinstance(self._open, Audio):
            expires = rest.get("expires_at")
            deltas += self._start(Audio(id=audio_id or None, expires_at=expires if isinstance(expires, int) else None))
        elif audio_id:
            rest["id"] = audio_id
        delta["audio"] = rest
        if not rest:
            del delta["audio"]
        if data or transcript:
            deltas.append(AudioDelta(choice=self.index, index=self.open_index, data=data, transcript=transcript))
        return deltas

    def _images(self, delta: dict[str, Any]) -> list[Delta]:
        return [made for part in take_images(delta) for made in (*self._start(part), *self.close())]

    def _annotations(self, delta: dict[str, Any]) -> list[Delta]:
        values, at = delta.get("annotations"), self._last_text
        if at is None or not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
            return []
        del delta["annotations"]
        return [CitationDelta(choice=self.index, index=at, citation=decode_annotation(value)) for value in values]

    # ------------------------------------------------------------------------------------------- tool calls

    def _tool_calls(self, delta: dict[str, Any]) -> list[Delta]:
        deltas: list[Delta] = []
        values = delta.get("tool_calls")
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            del delta["tool_calls"]
            for value in values:
                deltas += self._call(value)
        old = delta.get("function_call")
        if isinstance(old, dict) and (old.get("name") or (old.get("arguments") and calls.OLD_FORM in self._calls)):
            deltas += self._call({"function": delta.pop("function_call")}, old=True)
        return deltas

    def _call(self, value: dict[str, Any], *, old: bool = False) -> list[Delta]:
        custom = isinstance(value.get("custom"), dict) and not isinstance(value.get("function"), dict)
        place, key = ("custom", "input") if custom else ("function", "arguments")
        inner = value.get(place)
        piece = {**inner} if isinstance(inner, dict) else {}
        arguments = piece[key] = _arguments(piece.get(key))
        value = {**value, place: piece}
        name, call_id = _text(piece.get("name")), _text(value.get("id"))
        at = self._known(calls.OLD_FORM if old else value.get("index"), call_id, name)
        if at is None:
            return self._new_call(value, place, arguments, old=old)
        signed = {**value}
        if not arguments and (signature := calls.take_signature(signed)) is not None:
            form = _piece({key: item for key, item in signed.items() if key == "extra_content"})
            return [SignatureDelta(choice=self.index, index=at, signature=signature, extensions=form)]
        said = {"index": self._call_parts.index(at), place: {key: arguments}}
        extensions = _piece({} if old else difference(said, value))
        return [ArgumentsDelta(choice=self.index, index=at, text=arguments, extensions=extensions)]

    def _new_call(self, value: dict[str, Any], place: str, arguments: str, *, old: bool) -> list[Delta]:
        name, call_id = _text(value[place].get("name")), _text(value.get("id"))
        rest = {key: item for key, item in value.items() if key not in ("index", "id", "type", "function", "custom")}
        signature = calls.take_signature(rest)
        call = ToolCall(
            id=call_id or calls.made_id(self._seed, self.index, self._next, name),
            name=name,
            kind="custom" if place == "custom" else "function",
            extensions=kept({calls.OLD_FORM: {}} if old else rest),
        )
        index = calls.OLD_FORM if old else value.get("index")
        self._calls[index if isinstance(index, int | str) else call_id or len(self._calls)] = (self._next, call_id)
        self._call_parts.append(self._next)
        key = "input" if place == "custom" else "arguments"
        said = {"index": len(self._call_parts) - 1, "id": call.id, "type": call.kind, place: {"name": name, key: arguments}, **rest}
        shown = {key: item for key, item in value.items() if key != "extra_content" or key in rest}
        form = {} if old else difference(said, shown if signature is None else {**shown, **rest})
        deltas = self._start(call, extensions=_piece(form))
        where: dict[str, Any] = {"choice": self.index, "index": self.open_index}
        if arguments:
            deltas.append(ArgumentsDelta(**where, text=arguments))
        return [*deltas, *([SignatureDelta(**where, signature=signature)] if signature else [])]

    def _known(self, index: Any, call_id: str, name: str) -> int | None:
        """Return the part of the call that a piece belongs to; None for a new one.

        Pieces name their call by index. Some servers leave it out, or give every whole call the same: then a new
        id begins a new call.
        """
        if isinstance(index, int | str):
            found = self._calls.get(index)
        elif call_id or name:
            found = self._calls.get(call_id)
        else:
            found = next(reversed(self._calls.values()), None)
        if found is None or (call_id and name and found[1] != call_id):
            return None
        return found[0]


def _piece(form: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {NAME: {PIECE: form}} if form else {}


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return to_json(value).decode() if isinstance(value, dict) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
