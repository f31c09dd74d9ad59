"""Tells when it is time to look at a folder again: when something happened in it, or when a while has passed.

What the system says of a folder is only a reason to look. It says nothing of files that are links or mounted by themselves, of
folders on other machines, or of what it forgot; so a look is taken from time to time in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Final

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from jackfield_credential_files.writing import SAVING

TICK: Final = 1.0
"""Seconds between two looks at whether the folder is still the same."""
_QUIET: Final = 0.1
"""Seconds without an event after which a burst is over."""
_BURST: Final = 0.4
"""Seconds after which nobody waits for its end any more: a change is to be seen within one second."""
_READING: Final = frozenset({"opened", "closed_no_write"})
"""Events of reading, also of our own."""

# It calls an error that the system told something while the watch was being ended.
logging.getLogger("watchdog.observers.inotify").addFilter(lambda record: "thread is inactive" not in record.getMessage())


class Lookout(FileSystemEventHandler):
    """Watches one folder, which may not be there yet, go, and come back. Made on the event loop."""

    def __init__(self, path: Path, log: logging.Logger) -> None:
        self._path, self._log = path, log
        self._loop, self._happened, self._told = asyncio.get_running_loop(), asyncio.Event(), False
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        """Which folder it is, whatever it is called."""
        self._lock, self._closed, self._complained = threading.Lock(), False, False

    @property
    def watches(self) -> bool:
        """Whether the system tells what happens in the folder."""
        return self._observer is not None

    async def wait(self) -> bool:
        """Wait until something has happened and the burst is over, a second at most; tell whether something has."""
        if not await self._happens_within(TICK):
            return False
        ends = self._loop.time() + _BURST
        while self._loop.time() < ends and await self._happens_within(_QUIET):
            pass
        return True

    async def _happens_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._happened.wait()
        except TimeoutError:
            return False
        self._happened.clear()
        return True

    def arm(self) -> bool:
        """Have the folder watched that has the name now; tell whether it is another than before. May block."""
        with self._lock:
            folder = self._folder()
            alive = self._observer is None or all(emitter.is_alive() for emitter in self._observer.emitters)
            if self._closed or (folder == self._watched and alive):
                return False
            self._disarm()
            self._watched = folder
            if folder is not None:
                self._observe()
            return True

    def close(self) -> None:
        """Watch no more. May block."""
        with self._lock:
            self._closed = True
            self._disarm()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take note of an event, in a thread of the watching library's own."""
        ours = os.fsdecode(event.src_path).endswith(SAVING)
        if not (ours or self._told or event.event_type in _READING or (event.is_directory and event.event_type == "modified")):
            self._told = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._told = False
        self._happened.set()

    def _folder(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _observe(self) -> None:
        try:
            self._observer = Observer()
            self._observer.schedule(self, str(self._path.resolve()))
            self._observer.start()
        except (OSError, RuntimeError) as fault:
            self._disarm()
            if not self._complained:
                self._complained = True
                what = "%s: the system does not tell of changes (%s); it is looked through every second or so instead"
                self._log.warning(what, self._path, getattr(fault, "strerror", None) or fault)

    def _disarm(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            with contextlib.suppress(RuntimeError):  # it never began
                observer.join()
