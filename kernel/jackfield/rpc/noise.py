"""What a plugin says beside messages: logged with measure; a flood of it is held back by not reading."""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from jackfield.rpc.channel import UNASKED

LONGEST: Final = 2_000
"""Characters of a line that are logged."""
_TOLD: Final = 20
"""Lines a second that are logged; of more, their number."""
_REMEMBERED: Final = 32
"""Lines among which the one is looked for that tells why a program has ended."""
_ERROR: Final = re.compile(rb"(?:\w|\.)*(?:Error|Exception|panic|fatal error)\b[^:]{0,40}:|thread .* panicked", re.ASCII)
_FLOOD: Final = 1 << 19
"""What nobody asked for may cost a second before no more is read in that second."""
_FLOODS: Final = 5
"""Such seconds in a row after which the plugin is ended."""
_PORTION, _FEW_LINES, _SLICE = 4096, 64, 0.001
"""Bytes that are taken at once of a read with more than a few lines, and seconds after which the others have their turn."""


class Noise:
    """Logs lines: cut to a length, only so many a second, without what could steer a terminal."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell, self._part, self._told, self._untold = tell, b"", 0, 0
        self._latest = deque[bytes](maxlen=_REMEMBERED)

    @property
    def last_words(self) -> str:
        """The line that tells why a program has ended."""
        return _shown(telling(list(self._latest)))

    def take(self, data: bytes) -> int:
        """Take what was read, which may end within a line; return what it cost."""
        first, *others = data.split(b"\n")
        self._part = (self._part + first)[: LONGEST + 1]
        for line in others:
            self.line(self._part)
            self._part = line[: LONGEST + 1]
        return len(data) + UNASKED * len(others)

    def line(self, line: bytes) -> None:
        """Take one line."""
        if not line or line.isspace():
            return
        self._latest.append(line[: LONGEST + 1])
        if self._told < _TOLD:
            self._told += 1
            self._tell(_shown(line))
        else:
            self._untold += 1

    def flush(self) -> None:
        """Say how many lines were left out since the latest flush."""
        if self._untold:
            self._tell(f"... and {self._untold} lines more")
        self._told = self._untold = 0

    def close(self) -> None:
        """Log what is left: nothing more comes."""
        self.line(self._part)
        self.flush()


def telling(lines: Sequence[bytes]) -> bytes:
    """Return the line that tells why a program has ended: the latest that names an error, else the latest of all."""
    return next(filter(_ERROR.match, reversed(lines)), (b"", *lines)[-1])


def _shown(line: bytes) -> str:
    text = line[:LONGEST].decode(errors="replace").rstrip() + " ..." * (len(line) > LONGEST)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


class Tap:
    """Hands on what is read from a plugin, in portions that do not hold the event loop, and stops reading in a flood.

    `take` is handed what was read and returns what that cost which nobody asked for; `read` turns reading on and off.
    """

    def __init__(self, take: Callable[[bytes], int], read: Callable[[bool], object]) -> None:
        self._take, self._read = take, read
        self._waiting = deque[bytes]()
        self._next: asyncio.Handle | None = None
        self._spent, self._floods, self._reading = 0, 0, True

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if not self._waiting and data.count(b"\n") <= _FEW_LINES:
            self._spent += self._take(data)
            if self._spent > _FLOOD:
                self._set()
            return
        self._waiting.extend(data[at : at + _PORTION] for at in range(0, len(data), _PORTION))
        if self._next is None:
            self._go_on()

    def _go_on(self) -> None:
        ends, self._next = perf_counter() + _SLICE, None
        while self._waiting and self._spent <= _FLOOD and perf_counter() < ends:
            self._spent += self._take(self._waiting.popleft())
        if self._waiting and self._spent <= _FLOOD:
            self._next = asyncio.get_running_loop().call_soon(self._go_on)  # after all others that are ready
        self._set()

    def _set(self) -> None:
        wanted = not self._waiting and self._spent <= _FLOOD
        if wanted is not self._reading:
            self._reading = wanted
            self._read(wanted)

    def check(self) -> bool:
        """Begin a new second; tell whether there was a flood in too many of them in a row."""
        self._floods = self._floods + 1 if self._spent > _FLOOD else 0
        self._spent = 0
        if self._waiting and self._next is None:
            self._go_on()
        self._set()
        return self._floods >= _FLOODS

    def close(self) -> None:
        """Take what is left at once: nothing more comes."""
        if self._next is not None:
            self._next.cancel()
        while self._waiting:
            self._take(self._waiting.popleft())
