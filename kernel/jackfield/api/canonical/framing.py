"""How the events of a stream stand in its bytes: server-sent events, or another way that a dialect brings.

A framing splits bytes into whole events, whatever the network did to them, and builds new events.
It knows no dialect: what an event means is the dialect's business.
"""

import re
from collections.abc import Callable
from io import BytesIO
from itertools import repeat
from typing import Final, Protocol

_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r){2,}")  # atomic: the two bytes of one CRLF are no blank line
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class Splitter(Protocol):
    """Cuts a stream at event boundaries. One for each stream."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return all bytes up to the last event boundary, keep the rest."""

    def rest(self) -> bytes:
        """Return what was kept: an unfinished event, when the stream is over."""


class Framing(Protocol):
    """One way to put events into bytes."""

    name: str
    media_type: str

    def splitter(self) -> Splitter:
        """Return a splitter for a new stream."""

    def frames(self, whole: bytes) -> list[tuple[bytes, str, bytes]]:
        """Return frame, name and ending of each event of `whole`, which ends at an event boundary.

        Comments and events without data are left out.
        """

    def around(self, whole: bytes, at: int) -> tuple[int, int]:
        """Return where the event stands that holds the byte at `at`, with its ending."""

    def clean(self, whole: bytes) -> bytes:
        """Return whole events without those that carry nothing and break clients; `whole` itself where there are none."""

    def plain_frames(self, whole: bytes) -> list[bytes] | None:
        """Return the frames when all are of the plainest kind, nameless and with the usual ending; None when `frames` must be asked."""

    def payload(self, frame: bytes) -> bytes:
        """Return what a frame carries."""

    def build(self, payload: bytes, name: str = "") -> tuple[bytes, bytes]:
        """Return the frame that carries `payload`, and its ending."""

    def join(self) -> Callable[[bytes], bytes] | None:
        """Return what turns whole events into the bytes of one answer, where these depend on the events before; None where not.

        Asked once a stream.
        """

    def finish(self) -> bytes:
        """Return the bytes that must stand after the last event."""


class _SseSplitter:
    """Cuts server-sent events at blank lines, with any line ends, also mixed."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those up to the last blank line."""
        if not self._rest and data.endswith(b"\n\n"):
            return data
        data = self._rest + data
        at = len(data) if data.endswith(b"\n\n") else self._boundary(data)
        self._rest = data[at:]
        return data[:at]

    def rest(self) -> bytes:
        """Return what stands after the last blank line."""
        return self._rest

    @staticmethod
    def _boundary(data: bytes) -> int:
        at = data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
        later = _BLANK_LINE.finditer(data, max(0, at - 1)) if b"\r" in data else ()
        return max([at, *(found.end() for found in later)])


class Sse:
    """Server-sent events (WHATWG HTML, section 9.2): `event:` and `data:` lines, a blank line after each event."""

    name = "sse"
    media_type = "text/event-stream"

    def splitter(self) -> Splitter:
        """Return a splitter for a new stream."""
        return _SseSplitter()

    def frames(self, whole: bytes) -> list[tuple[bytes, str, bytes]]:
        """Return frame, name and ending of each event; comments and events without data are left out."""
        pieces = _BLANK_LINE.split(whole) if b"\r" in whole else whole.split(b"\n\n")
        ends = b"\n\n" if b"\r" not in whole else b"\r\n\r\n" if b"\r\n" in whole else b"\r\r"
        told = [(piece, *_fields(piece)) for piece in pieces if piece]
        return [(piece, name.decode(errors="replace"), ends) for piece, name, data in told if data]

    def around(self, whole: bytes, at: int) -> tuple[int, int]:
        """Return where the event stands that holds the byte at `at`, with its blank line."""
        if whole.find(b"\r") < 0:
            before, after = whole.rfind(b"\n\n", 0, at), whole.find(b"\n\n", at)
            return before + 2 if before >= 0 else 0, after + 2 if after >= 0 else len(whole)
        blanks = [found.span() for found in _BLANK_LINE.finditer(whole)]
        begins = max((end for start, end in blanks if start < at), default=0)
        return begins, min((end for start, end in blanks if start >= at), default=len(whole))

    def clean(self, whole: bytes) -> bytes:
        """Return whole events without those whose data is empty: they are fatal to many clients."""
        lines = BytesIO(whole).readlines()  # and a look through them: cheaper by far than to search the whole or to split it
        if b"data: \n" not in lines and b"data:\n" not in lines and (whole.find(b"\r") < 0 or _EMPTY_DATA(whole) is None):
            return whole
        return b"".join(frame + end for frame, _, end in self.frames(whole))

    def plain_frames(self, whole: bytes) -> list[bytes] | None:
        """Return the frames of events that are one `data:` line each; None when some are not.

        Most streams are so simple. To read lines is several times faster than to split at blank lines.
        """
        if whole.find(b"\r") >= 0 or not whole.startswith(b"data: "):
            return None
        if whole.find(b"\n") == len(whole) - 2 > 6:
            return [whole[:-2]]  # a slow stream's reads are one event each
        lines = BytesIO(whole).readlines()
        frames = lines[::2]
        if lines[1::2] != [b"\n"] * len(frames) or b"data: \n" in frames or not all(map(bytes.startswith, frames, repeat(b"data: "))):
            return None
        return [frame[:-1] for frame in frames]

    def payload(self, frame: bytes) -> bytes:
        """Return the data lines of an event, joined by line feeds."""
        if frame.startswith(b"data: ") and frame.find(b"\n") < 0 and frame.find(b"\r") < 0:
            return frame[6:]
        return _fields(frame)[1]

    def build(self, payload: bytes, name: str = "") -> tuple[bytes, bytes]:
        """Return the lines of an event, and the blank line that ends it."""
        data = b"data: " + payload.replace(b"\n", b"\ndata: ")
        return (b"event: " + name.encode() + b"\n" + data if name else data), b"\n\n"

    def join(self) -> Callable[[bytes], bytes] | None:
        """Return None: an event's bytes do not depend on those before."""
        return None

    def finish(self) -> bytes:
        """Return nothing: the last event needs no ending of its own."""
        return b""


_EMPTY_DATA: Final = re.compile(rb"^data: ?\r?$", re.MULTILINE).search


def _fields(frame: bytes) -> tuple[bytes, bytes]:
    """Return an event's name, the last one given, and its data lines, joined by line feeds."""
    first, _, rest = frame.partition(b"\n")
    if first.startswith(b"event: ") and rest.startswith(b"data: ") and rest.find(b"\n") < 0 and frame.find(b"\r") < 0:
        return first[7:], rest[6:]  # as nearly all named events are
    unmarked = frame.removeprefix(b"\xef\xbb\xbf")  # a byte order mark may stand before a stream's first event
    lines = [line.partition(b":") for line in _LINE_END.split(unmarked)]
    values = [(field, value.removeprefix(b" ")) for field, _, value in lines]  # without the one space that may stand before each
    return b"".join([value for field, value in values if field == b"event"][-1:]), b"\n".join(v for f, v in values if f == b"data")


SSE: Final = Sse()
