"""How a stream stands in its bytes where it is asked for without `alt=sse`: as one JSON array, an answer's chunk a member.

Within the host each member is one line; the brackets and commas are put around them when they leave.
Source: Google's API improvement proposals on server streaming over HTTP, and recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_IN_TEXT: Final = re.compile(rb'["\\]')
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")


class _Members:
    """Cuts a JSON array into its members, whatever pieces its bytes come in."""

    def __init__(self) -> None:
        self._rest = b""
        self._at = 0
        """How far the rest was looked at."""
        self._depth = 0
        self._begin = 0
        self._text = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return the members that are whole, a line each."""
        self._rest += data
        found: list[bytes] = []
        done = 0
        while (hit := (_IN_TEXT if self._text else _STRUCTURE).search(self._rest, self._at)) is not None:
            sign, at = hit[0], hit.start()
            if sign == b"\\":
                if at + 1 >= len(self._rest):
                    self._at = at
                    break
                self._at = at + 2
                continue
            self._at = at + 1
            if sign == b'"':
                self._text = not self._text
            elif sign in b"{[":
                # The bracket around all members does not count.
                if self._depth or sign == b"{":
                    self._begin = self._begin if self._depth else at
                    self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    found.append(self._rest[self._begin : at + 1].translate(_LINE_ENDS) + b"\n")
                    done = at + 1
        else:
            self._at = len(self._rest)
        self._drop(done if done or self._depth else self._at if not self._text else 0)
        return b"".join(found)

    def _drop(self, size: int) -> None:
        self._rest = self._rest[size:]
        self._at -= size
        self._begin = max(self._begin - size, 0)

    def rest(self) -> bytes:
        """Return the member that was not whole when the stream ended."""
        return self._rest if self._depth else b""


class JsonArray:
    """One JSON array, a member for each event."""

    name = "json_array"
    media_type = "application/json"

    def splitter(self) -> _Members:
        """Return a splitter for a new stream."""
        return _Members()

    def frames(self, whole: bytes) -> list[tuple[bytes, str, bytes]]:
        """Return each line that holds a member."""
        return [(line, "", b"\n") for line in whole.split(b"\n") if line.strip()]

    def around(self, whole: bytes, at: int) -> tuple[int, int]:
        """Return the line that holds the byte at `at`."""
        end = whole.find(b"\n", at)
        return whole.rfind(b"\n", 0, at) + 1, end + 1 if end >= 0 else len(whole)

    def clean(self, whole: bytes) -> bytes:
        """Return the events as they are: none is empty."""
        return whole

    def plain_frames(self, whole: bytes) -> list[bytes] | None:
        """Return the members."""
        return [line for line in whole.split(b"\n") if line]

    def payload(self, frame: bytes) -> bytes:
        """Return the member itself."""
        return frame

    def build(self, payload: bytes, name: str = "") -> tuple[bytes, bytes]:
        """Return the member as one line: between JSON's tokens a line feed is a blank."""
        return payload.translate(_LINE_ENDS), b"\n"

    def join(self) -> Callable[[bytes], bytes]:
        """Return what puts brackets and commas around the members of one answer."""
        before = b"["

        def joined(whole: bytes) -> bytes:
            nonlocal before
            members = [line for line in whole.split(b"\n") if line]
            if not members:
                return b""
            data = before + b",\n".join(members)
            before = b",\n"
            return data

        return joined

    def finish(self) -> bytes:
        """Return the closing bracket."""
        return b"]"


JSON_ARRAY: Final = JsonArray()
