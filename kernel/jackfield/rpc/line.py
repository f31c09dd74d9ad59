"""What all that carries messages has in common: bytes come and go, and neither side may be made to hold too many of them."""

from collections.abc import Callable
from typing import Any, Final

from jackfield.rpc.channel import Channel, Serve
from jackfield.rpc.noise import Noise, Tap

MOST_UNREAD: Final = 64 << 20
"""Bytes that wait for a plugin to read them."""
PATIENCE: Final = 10
"""Seconds in which a plugin must have read something of what waits for it."""
FLOODS: Final = "floods its output with what nobody asked for"


class Line:
    """A channel and what it is written to and fed by.

    `tell` logs lines that are no messages; `out` returns the transport that is written to, None once it is closed; `read` turns
    reading on and off; `end` ends it all, for a reason.
    """

    def __init__(
        self,
        serve: Serve,
        tell: Callable[[str], object],
        out: Callable[[], Any],
        read: Callable[[bool], object],
        end: Callable[[str], object],
    ) -> None:
        self._noise, self._tap, self._out, self._end = Noise(tell), Tap(self._take, read), out, end
        self.channel = Channel(self._write, serve, noise=self._noise.line, broken=end)
        self.feed = self._tap.feed
        self._sent = self._read_by_it = self._unread = self._unasked = 0

    def _take(self, data: bytes) -> int:
        self.channel.feed(data)
        before, self._unasked = self._unasked, self.channel.unasked  # some is found out only later
        return self._unasked - before

    def _write(self, data: bytes) -> None:
        if (out := self._out()) is None:  # it is about to be found out
            return
        out.write(data)
        self._sent += len(data)
        if out.get_write_buffer_size() > MOST_UNREAD:
            self._end("does not read what it is sent")

    def check(self) -> str | None:
        """Say why it cannot go on, if it cannot. To be asked once a second."""
        self._noise.flush()
        out = self._out()
        waiting = out.get_write_buffer_size() if out is not None else 0
        before, self._read_by_it = self._read_by_it, self._sent - waiting
        self._unread = self._unread + 1 if waiting and before == self._read_by_it else 0
        if self._tap.check():
            return FLOODS
        return f"has read nothing of what it was sent for {PATIENCE} s" if self._unread >= PATIENCE else None

    def close(self) -> None:
        """Take what is left at once: nothing more comes."""
        self._tap.close()
        self._noise.close()
