"""One item as a client was sent it: which of its parts are open, and what their increments said."""

from __future__ import annotations

from typing import Any, Final

from jackfield_openai.responses import calls, events

Key = tuple[str, int]
"""A part of an item: its kind, and its number among those."""

_DELTAS: Final = {
    events.TEXT_DELTA: ("content", "content_index"),
    events.REFUSAL_DELTA: ("content", "content_index"),
    events.THOUGHT_DELTA: ("content", "content_index"),
    events.SUMMARY_DELTA: ("summary", "summary_index"),
    events.ARGUMENTS_DELTA: ("arguments", ""),
    events.INPUT_DELTA: ("arguments", ""),
}
_BEGINS: Final = {events.PART_ADDED: ("content", "content_index"), events.SUMMARY_ADDED: ("summary", "summary_index")}
_ENDS: Final = {events.PART_DONE: ("content", "content_index"), events.SUMMARY_DONE: ("summary", "summary_index")}
_REPEATS: Final = {
    events.TEXT_DONE: ("content", "content_index", "text"),
    events.REFUSAL_DONE: ("content", "content_index", "refusal"),
    events.THOUGHT_DONE: ("content", "content_index", "text"),
    events.SUMMARY_TEXT_DONE: ("summary", "summary_index", "text"),
    events.ARGUMENTS_DONE: ("arguments", "", "arguments"),
    events.INPUT_DONE: ("arguments", "", "input"),
}
_WORDS: Final = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}


def _key(place: tuple[str, ...], value: dict[str, Any]) -> Key:
    at = value.get(place[1]) if place[1] else 0
    return place[0], at if isinstance(at, int) else 0


def text_key(type_: str, value: dict[str, Any]) -> Key | None:
    """Return the part of a message or of thoughts to which an event adds words; None for all other events."""
    place = _DELTAS.get(type_)
    return _key(place, value) if place is not None and place[0] == "content" else None


class _Part:
    """A part of an item."""

    __slots__ = ("form", "missed", "open", "said")

    def __init__(self, form: dict[str, Any]) -> None:
        self.form = form
        self.said: list[str] = []
        self.missed = False
        """Some of its increments were taken out."""
        self.open = True


class Sent:
    """One item."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item
        self.type = str(item.get("type", ""))
        self.done: dict[str, Any] | None = None
        """The item as a whole, once that was sent."""
        self._parts: dict[Key, _Part] = {}

    def is_open(self, key: Key) -> bool:
        """Tell whether a part may be added to: it is open, or never began where the server does not say so."""
        part = self._parts.get(key)
        return part is None or part.open

    def note(self, type_: str, value: dict[str, Any]) -> None:
        """Take note of an event of the item."""
        if type_ in _DELTAS:
            delta = value.get("delta")
            self._part(_key(_DELTAS[type_], value)).said.append(delta if isinstance(delta, str) else "")
        elif type_ in _BEGINS:
            form = value.get("part")
            self._parts[_key(_BEGINS[type_], value)] = _Part(form if isinstance(form, dict) else {})
        elif type_ in _ENDS:
            form, part = value.get("part"), self._part(_key(_ENDS[type_], value))
            part.open, part.form = False, form if isinstance(form, dict) else part.form
        elif type_ == events.ITEM_DONE:
            item = value.get("item")
            self.done = item if isinstance(item, dict) else self.item

    def miss(self, type_: str, value: dict[str, Any]) -> None:
        """Take note of an increment that was taken out."""
        if type_ in _DELTAS:
            self._part(_key(_DELTAS[type_], value)).missed = True

    def _part(self, key: Key) -> _Part:
        return self._parts.setdefault(key, _Part({}))

    # ------------------------------------------------------------------------------------------ repetitions

    def _words(self, key: Key) -> str | None:
        """Return what the increments of a part said; None where there were none."""
        part = self._parts.get(key)
        return "".join(part.said) if part is not None and (part.said or part.missed) else None

    def true_to_what_was_sent(self, type_: str, value: dict[str, Any]) -> dict[str, Any]:
        """Return an event whose repetitions are those of the increments that the client was sent."""
        if type_ in _REPEATS:
            place = _REPEATS[type_]
            words = self._words(_key(place, value))
            return value if words is None else {**value, place[2]: words}
        if type_ in _ENDS and isinstance(value.get("part"), dict):
            return {**value, "part": self._true_part(_key(_ENDS[type_], value), value["part"])}
        if type_ == events.ITEM_DONE and isinstance(value.get("item"), dict):
            return {**value, "item": self._true_item(value["item"])}
        return value

    def _true_part(self, key: Key, part: dict[str, Any]) -> dict[str, Any]:
        name, words = _WORDS.get(str(part.get("type"))), self._words(key)
        return part if name is None or words is None or part.get(name) == words else {**part, name: words}

    def _true_item(self, item: dict[str, Any]) -> dict[str, Any]:
        new = dict(item)
        for place in ("content", "summary"):
            if isinstance(item.get(place), list):
                new[place] = [self._true_part((place, at), part) if isinstance(part, dict) else part for at, part in enumerate(item[place])]
        kind = calls.kind_of(item)
        words = self._words(("arguments", 0))
        if kind is not None and words is not None:
            new[calls.WORDS[kind]] = words
        return new

    # ---------------------------------------------------------------------------------------------- endings

    def endings(self, at: int, *, whole: bool = True) -> list[dict[str, Any]]:
        """Return the events that end the item, which stands at `at`: those of its open parts first. What was cut off is not `whole`."""
        where = {"item_id": self.item.get("id", ""), "output_index": at}
        made: list[dict[str, Any]] = []
        for key, part in self._parts.items():
            if part.open and key[0] != "arguments" and part.form:
                made += self._part_endings(key, part, where)
        return [*made, *self._item_endings(where, at, whole=whole)]

    def _part_endings(self, key: Key, part: _Part, where: dict[str, Any]) -> list[dict[str, Any]]:
        words, form = "".join(part.said), dict(part.form)
        name = _WORDS.get(str(form.get("type")), "text")
        form[name] = words
        if key[0] == "summary":
            place = {**where, "summary_index": key[1]}
            return [{"type": events.SUMMARY_TEXT_DONE, **place, "text": words}, {"type": events.SUMMARY_DONE, **place, "part": form}]
        place = {**where, "content_index": key[1]}
        kinds = {"refusal": events.REFUSAL_DONE, "reasoning_text": events.THOUGHT_DONE}
        type_ = kinds.get(str(form.get("type")), events.TEXT_DONE)
        more: dict[str, Any] = {"logprobs": []} if type_ == events.TEXT_DONE else {}
        return [{"type": type_, **place, name: words, **more}, {"type": events.PART_DONE, **place, "part": form}]

    def _item_endings(self, where: dict[str, Any], at: int, *, whole: bool) -> list[dict[str, Any]]:
        item, made = dict(self.item), []
        for place in ("content", "summary"):
            forms = self._forms(place)
            if forms:
                item[place] = forms
        kind = calls.CALLS.get(self.type)
        if kind is not None:
            words = item[calls.WORDS[kind]] = self._words(("arguments", 0)) or ""
            name = events.INPUT_DONE if kind == "custom" else events.ARGUMENTS_DONE
            made.append({"type": name, **where, calls.WORDS[kind]: words})
        if "status" in item:
            item["status"] = "completed" if whole and self.type in ("message", "reasoning") else "incomplete"
        return [*made, {"type": events.ITEM_DONE, "output_index": at, "item": item}]

    def _forms(self, place: str) -> list[dict[str, Any]]:
        """Return the parts of an item as a client saw them."""
        found = []
        for key, part in sorted(self._parts.items()):
            if key[0] == place:
                name = _WORDS.get(str(part.form.get("type")), "text")
                usual = "summary_text" if place == "summary" else "reasoning_text" if self.type == "reasoning" else "output_text"
                form: dict[str, Any] = {"annotations": [], "logprobs": []} if usual == "output_text" else {}
                found.append({"type": usual, **form, **part.form, name: "".join(part.said)} if part.open else part.form)
        return found
