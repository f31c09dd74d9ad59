"""Knowing what a client was sent of one stream, so that it can be mended and ended.

What clients insist on: Gemini CLI and others want a finish reason in the stream, and break on comments, on empty data and on
anything after an error. There is no end marker: a stream whose candidates all have their finish reason is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jackfield.api import Error, Event, Path, Usage
from jackfield.api.canonical import FinishReason
from jackfield.api.canonical.codec import to_json
from jackfield_gemini.generate.encoding import Build
from jackfield_gemini.generate.errors import encode_error, read_error
from jackfield_gemini.generate.finish import encode_finish, word_of
from jackfield_gemini.generate.responses import made_id
from jackfield_gemini.generate.usage import encode_usage
from jackfield_gemini.generate.wire import SeenChunk, seen_chunk


class GenerateFollower:
    """Follows one stream of chunks."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._head: dict[str, Any] = {}
        self._finished: dict[int, bool] = {}
        self._latest: tuple[Event, dict[int, str]] | None = None
        """The upstream's latest event, if it left after a change and ends candidates, and the words it says of that."""
        self._failed = self._over = False
        self.complete = False
        """The answer has come to its end, or to an error; nothing is missing."""

    # ---------------------------------------------------------------------------------------- what is sent

    def feed(self, event: Event) -> None:
        """Take note of an event that leaves as it came."""
        chunk = self._look(event)
        self._latest = None
        if chunk is not None:
            self._note(chunk)

    def _look(self, event: Event) -> SeenChunk | None:
        """Return what an event says, as far as it matters here; None for errors, which are noted."""
        chunk: SeenChunk | None
        try:
            chunk = seen_chunk(event.data)
        except ValueError:
            chunk = None
        if chunk is None or chunk.error is not None:
            if read_error(event.json) is not None:
                self._failed = self.complete = self._over = True
            return None
        if not self._head and chunk.responseId:
            self._head = {"modelVersion": chunk.modelVersion, "responseId": chunk.responseId}
        return chunk

    def _note(self, chunk: SeenChunk) -> None:
        for candidate in chunk.candidates or ():
            ended = bool(word_of(candidate.finishReason))
            self._finished[candidate.index] = self._finished.get(candidate.index, False) or ended
        if chunk.promptFeedback is not None and not self._finished:
            self.complete = True
        self.complete = self.complete or (bool(self._finished) and all(self._finished.values()))

    # ------------------------------------------------------------------------------------ what was changed

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event after a change; nothing once the stream is over."""
        if self._over:
            return ()
        chunk = self._look(event)
        if chunk is None:
            return (event,)
        if added and self.complete and chunk.candidates:
            return ()
        changes = self._as_own(event, chunk) if added else {}
        if not added:
            words = {candidate.index: word_of(candidate.finishReason) for candidate in chunk.candidates or ()}
            self._latest = (event, words) if any(words.values()) else None
        self._note(chunk)
        return (event.with_changes(changes) if changes else event,)

    def _as_own(self, event: Event, chunk: SeenChunk) -> dict[Path, Any]:
        """Return the changes that make a handler's own event one of this stream."""
        said = {"modelVersion": chunk.modelVersion, "responseId": chunk.responseId}
        if not self._head:
            self._head = {"modelVersion": chunk.modelVersion, "responseId": chunk.responseId or made_id()}
        return {(key,): value for key, value in self._head.items() if value and said[key] != value}

    def drop(self, event: Event) -> Sequence[Event]:
        """Take note that a handler took out an event. What ends a candidate leaves all the same, without words."""
        if self._over:
            return ()
        chunk = self._look(event)
        if chunk is None:
            return (event,)
        ending = any(word_of(candidate.finishReason) for candidate in chunk.candidates or ())
        if not ending and chunk.promptFeedback is None:
            for candidate in chunk.candidates or ():
                self._finished.setdefault(candidate.index, False)
            return ()
        blank: dict[Path, Any] = {
            ("candidates", at, "content"): {"parts": [{"text": ""}], "role": "model"} for at in range(len(chunk.candidates or ()))
        }
        self._note(chunk)
        return (event.with_changes(blank) if blank else event,)

    # -------------------------------------------------------------------------------------------- endings

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        """Return the event that ends the answer here: finish reasons, and token counts where given.

        Where the event that was answered says another reason itself, the one given is said after it: the later one counts.
        `stop` is what is given where nobody chose, and takes no reason back.
        """
        if self._over:
            return ()
        still = {index for index, done in self._finished.items() if not done}
        counts = encode_usage(usage) if usage is not None else None
        if self._latest is not None and reason != "stop":
            event, words = self._latest
            still |= {index for index, word in words.items() if word and word != encode_finish(reason)}
            counts = counts or event.json.get("usageMetadata")
        events = [] if self.complete and not still else [self._end(reason, sorted(still) or [0], counts)]
        self._over = self.complete = True
        return events

    def _end(self, reason: FinishReason, still: Sequence[int], counts: Any) -> Event:
        content = {"parts": [{"text": ""}], "role": "model"}
        wire: dict[str, Any] = {
            "candidates": [{"content": content, "finishReason": encode_finish(reason), "index": index} for index in still]
        }
        if counts is not None:
            wire["usageMetadata"] = counts
        head = self._head or {"responseId": made_id()}
        return self._build(to_json({**wire, **{key: value for key, value in head.items() if value}}))

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the event that ends the stream here with an error; nothing more after one of the upstream's."""
        if self._over or self._failed:
            return ()
        self._over = self.complete = True
        return (self._build(encode_error(error)),)
