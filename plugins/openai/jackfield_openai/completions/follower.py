"""Knowing what a client was sent of one stream, so that it can be mended and ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jackfield.api import Error, Event, Usage
from jackfield.api.canonical import FinishReason
from jackfield.api.canonical.codec import to_json
from jackfield_openai.chat.streams import error_of, is_done
from jackfield_openai.chat.usage import encode_usage
from jackfield_openai.completions.responses import finish_word, header
from jackfield_openai.completions.streams import DONE, Build
from jackfield_openai.errors import encode_error


class CompletionsFollower:
    """Follows one stream of chunks, each of which stands for itself."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._header: dict[str, Any] = {}
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._counted = self._failed = self._over = False
        self.complete = False
        """The answer has come to its end, or to an error; at most the end marker is missing."""

    def feed(self, event: Event) -> None:
        """Take note of an event that leaves as it came."""
        if is_done(event.data):
            self._over = self.complete = True
            return
        chunk = event.json
        if error_of(chunk, event.name) is not None:
            self._failed = self.complete = True
        elif isinstance(chunk, dict):
            self._note(chunk)

    def _note(self, chunk: dict[str, Any]) -> None:
        if not self._header:
            self._header = {key: chunk[key] for key in ("id", "object", "created", "model") if key in chunk}
        self._counted = self._counted or isinstance(chunk.get("usage"), dict)
        for choice in _choices(chunk):
            index = _index(choice)
            (self._finished if choice.get("finish_reason") else self._open).add(index)
        self.complete = bool(self._finished) and self._finished >= self._open

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event after a change; nothing once the stream is over."""
        if self._over:
            return ()
        chunk = event.json
        if added and isinstance(chunk, dict) and _choices(chunk):
            if all(_index(choice) in self._finished for choice in _choices(chunk)):
                return ()
            if self._header and any(chunk.get(key) != value for key, value in self._header.items()):
                event = event.with_data(to_json({**chunk, **self._header}))
        self.feed(event)
        return (event,)

    def drop(self, event: Event) -> Sequence[Event]:
        """Take note that a handler took out an event. What ends a choice or the stream leaves all the same, without words."""
        chunk = event.json
        ends = isinstance(chunk, dict) and any(choice.get("finish_reason") for choice in _choices(chunk))
        if ends:
            event = event.with_changes({("choices", at, "text"): "" for at in range(len(_choices(chunk)))})
        return self.admit(event, added=False) if ends or not isinstance(chunk, dict) or error_of(chunk, event.name) is not None else ()

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        """Return the events that end the answer here: finish reasons, token counts where given, the end marker."""
        if self._over:
            return ()
        self._over = self.complete = True
        self._header = self._header or header("", "", None)
        events: list[Event] = []
        for index in sorted((self._open or {0}) - self._finished) if not self._failed else ():
            choice = {"text": "", "index": index, "logprobs": None, "finish_reason": finish_word(reason)}
            events.append(self._build(to_json({**self._header, "choices": [choice]})))
        if usage is not None and not (self._counted or self._failed):
            events.append(self._build(to_json({**self._header, "choices": [], "usage": encode_usage(usage)})))
        return [*events, self._build(DONE)]

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the events that end the stream here with an error; of one that has failed already only the end marker."""
        if self._over:
            return ()
        self._over = self.complete = True
        return [*([] if self._failed else [self._build(encode_error(error))]), self._build(DONE)]


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
