"""Notices that the files which a host was made of say something else: its configuration, and plugins that are single files.

What the system tells of a folder makes it quick; a look twice a second makes it sure. The system tells nothing of files that
are mounted by themselves, of folders on other machines, or of where a link leads; and a file may be replaced, written in
place, or be the end of a chain of links of which any one changes, as in a volume of Kubernetes. So files are looked at, by
whatever way they are reached, and what counts is what they say.
"""

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Final

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from jackfield.cli.files import First, Look, contents, files_of, looks
from jackfield.cli.operating import Operator

log = logging.getLogger("jackfield")

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks, when nobody tells of a change."""
_QUIET: Final = 0.1
"""Seconds in which nothing changes any more: then what was being written is written."""
_MOST_WAITS: Final = 20
"""Of these, after which what is there is taken all the same."""
_SLACK: Final = 0.05
"""Seconds by which a file may say that it was changed earlier than it was."""
_READING: Final = frozenset({"opened", "closed_no_write"})
"""Events of reading, also of our own."""

# It calls an error that the system told something while the watch was being ended.
logging.getLogger("watchdog.observers.inotify").addFilter(lambda record: "thread is inactive" not in record.getMessage())


class Watching(FileSystemEventHandler):
    """Watches a host's files, and has it reload when they say something else. Made on the event loop."""

    def __init__(self, operator: Operator, first: First) -> None:
        self._operator, self._first, self._read_at = operator, first, first.at
        self._loop, self._happened = asyncio.get_running_loop(), asyncio.Event()
        self._known: dict[Path, bytes] = {}
        """What the files said when the host read them."""
        self._observer, self._folders, self._names = Observer(), set[Path](), set[str]()

    async def run(self) -> None:
        """Watch until cancelled."""
        host, self._operator.noticed, seen = self._operator.host, self.notice, dict[Path, Look]()
        await asyncio.to_thread(self._observer.start)
        try:
            while True:
                if seen != (now := await asyncio.to_thread(looks, files_of(host))):
                    await asyncio.to_thread(self._attend, list(now))
                    seen = await self._changed(now)
                await self._something()
        finally:
            self._observer.stop()
            with contextlib.suppress(RuntimeError):  # it never began
                self._observer.join()

    async def notice(self) -> None:
        """Know what the files say now: somebody is about to read them."""
        self._read_at = time.time()
        self._known |= await asyncio.to_thread(contents, files_of(self._operator.host))

    async def _changed(self, now: dict[Path, Look]) -> dict[Path, Look]:
        """Wait until what is being written is written, and reload if it says something else; return how the files looked."""
        for _ in range(_MOST_WAITS):
            await asyncio.sleep(_QUIET)
            before, now = now, await asyncio.to_thread(looks, now)
            if now == before:
                break
        said = await asyncio.to_thread(contents, now)
        first = {path: said.get(path, b"") for path in now if path not in self._known}
        self._known |= first
        for path, text in said.items():  # what is seen for the first time may have changed after the host had read it
            look = now[path]
            late = look is not None and (look[1] / 1e9 > self._read_at - _SLACK or self._first.looks.get(path, look) != look)
            if (path in first and late) or self._known[path] != text:
                log.info("%s has changed", path)
                await self._operator.hang_up()
                break
        return now

    async def _something(self) -> None:
        """Wait until the system tells of something, for a moment at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY):
                await self._happened.wait()
        self._happened.clear()

    def _attend(self, files: list[Path]) -> None:
        """Have the system tell of the folders in which the files lie, and those that links lead to."""
        places = {place for path in files for place in (path.absolute(), path.resolve())}
        self._names, folders = {place.name for place in places}, {place.parent for place in places}
        if folders != self._folders:
            self._folders = folders
            self._observer.unschedule_all()
            for folder in folders:
                with contextlib.suppress(OSError, RuntimeError):  # then it is looked at twice a second
                    self._observer.schedule(self, str(folder))

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take note, in a thread of the observer's, of what may concern one of the files."""
        names = {os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path)}  # noqa: PTH119 (of each event)
        if event.event_type not in _READING and (names & self._names or any(name.startswith("..") for name in names)):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._happened.set)
