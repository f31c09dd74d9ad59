"""The folder as a source of credentials: reads what is new, remembers the rest, keeps and removes.

All that touches files runs in threads, one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from jackfield.api import Credential, Host
from jackfield_credential_files import writing
from jackfield_credential_files.reading import Malformed, Page

if TYPE_CHECKING:
    from jackfield_credential_files.watching import Lookout

LARGEST: Final = 1 << 20
"""Most bytes of a file. The largest that is sensible has some hundred credentials."""
GRACE: Final = 3.0
"""Seconds for which a file that cannot be read is taken for one that is being written."""
_UNSURE: Final = 2_000_000_000
"""Nanoseconds in which a file may change again without another time of its last change; the coarsest file system counts so."""
_ABANDONED: Final = 600.0
"""Seconds after which a file that was being written never will be."""
_SHARE: Final = 400
"""How many times longer the pause between two looks at all files is than a look: 0.25 % of a core at most, ..."""
_SHARE_UNTOLD: Final = 100
"""... or 1 % where the system does not tell of changes."""


class _File(msgspec.Struct):
    """What is known of one file."""

    mark: tuple[int, ...] = ()
    """Time of the last change, size, and which file it is: another mark is a reason to read it."""
    sure: bool = False
    """Whether it would have another mark if it had changed since it was read."""
    digest: bytes = b""
    credentials: tuple[Credential, ...] = ()
    problems: tuple[str, ...] = ()
    broken: float | None = None
    """Since when it cannot be read."""
    exposed: bool = False
    """Others can read it, and that cannot be changed."""


class Folder:
    """A source of credentials (`jackfield.api.StoredSource`)."""

    name = "credential_files"

    def __init__(self, path: Path, host: Host, *, watched: bool = True, chosen: bool = True) -> None:
        self.path = path
        self.problems: Sequence[str] = ()
        """What is wrong with files or their entries, a line each."""
        self._host, self._watched, self._chosen = host, watched, chosen
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._given: dict[str, Credential] = {}
        """What the host has, by id."""
        self._fault: OSError | None = None
        """Why the folder cannot be read."""
        self._revision = self._told = 0
        """How often others have changed what `load` answers, and up to where the host knows."""
        self._watching, self._next_look = False, 0.0
        self._tightened, self._exposed = list[str](), list[str]()

    async def load(self) -> Sequence[Credential]:
        """Return the credentials of all files, by file name. Raises `OSError` where the folder cannot be read."""
        credentials, self.problems = await asyncio.to_thread(self._load)
        return credentials

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever files are added, edited or removed by others."""
        if self._watched:
            self._watching = True
            self._host.spawn(self._watch(changed), "watch")

    async def save(self, credentials: Sequence[Credential]) -> None:
        """Keep credentials in one file: that of those that are there already, else a new one. All or, with an error, none."""
        if credentials:
            await asyncio.to_thread(self._save, credentials)

    async def remove(self, id: str) -> None:
        """Remove a credential from its file, or the file where nothing else is in it. Raises `KeyError` where it is in none."""
        await asyncio.to_thread(self._remove, id)

    # ----------------------------------------------------------------------------------------- answering

    def _load(self) -> tuple[list[Credential], list[str]]:
        with self._lock:
            self._look()
            self._told = self._revision
            if self._fault is not None:
                raise self._fault
            first: dict[str, Credential] = {}
            problems: list[str] = []
            for name in sorted(self._files):
                problems += self._files[name].problems
                for one in self._files[name].credentials:
                    if (other := first.setdefault(one.id, one)) is not one:
                        problems.append(f"{one.origin}: {one.id!r} is in {other.origin} already; it is not used twice")
            self._given = first
            return list(first.values()), problems

    async def _watch(self, changed: Callable[[], None]) -> None:
        from jackfield_credential_files.watching import Lookout  # noqa: PLC0415 (only those who watch pay for the library)

        lookout, happened = Lookout(self.path, self._host.log), True
        try:
            await asyncio.to_thread(self._make)
            while True:
                if await asyncio.to_thread(self._notice, lookout, happened):
                    changed()
                happened = await lookout.wait()
        finally:
            await asyncio.to_thread(lookout.close)

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            if self._chosen:
                self._host.log.warning("%s: the folder cannot be made: %s", self.path, fault.strerror or fault)

    def _notice(self, lookout: Lookout, happened: bool) -> bool:
        """Look at the files if there is a reason to; tell whether the host does not know something."""
        with self._lock:
            another, waiting = lookout.arm(), any(file.broken is not None and not file.problems for file in self._files.values())
            if happened or another or waiting or time.monotonic() >= self._next_look:
                begun = time.monotonic()
                self._look()
                cost = time.monotonic() - begun
                self._next_look = begun + cost * (_SHARE if lookout.watches else _SHARE_UNTOLD)
            news, self._told = self._revision != self._told, self._revision
            return news

    # ------------------------------------------------------------------------------------------- looking

    def _look(self) -> None:
        """Take in what is new in the folder."""
        fault: OSError | None = None
        entries: dict[str, os.DirEntry[str]] = {}
        try:
            with os.scandir(self.path) as found:
                entries = {entry.name: entry for entry in found}
        except FileNotFoundError:
            pass
        except OSError as error:
            fault = OSError(error.errno, f"the folder cannot be read: {error.strerror}", str(self.path))
        if repr(fault) != repr(self._fault):
            self._fault, self._revision = fault, self._revision + 1
        if fault is not None:
            return
        for name, entry in entries.items():
            if name.endswith(".json") and not name.startswith("."):
                if not _is_folder(entry):
                    self._look_at(name, entry)
            elif name.endswith(writing.SAVING):
                _clear_away(entry)
        for name in self._files.keys() - {name for name, entry in entries.items() if not _is_folder(entry)}:
            self._put(self._files.pop(name), (), ())
        self._warn()

    def _look_at(self, name: str, entry: os.DirEntry[str] | None = None) -> None:
        """Read a file if it is another than it was."""
        file, path = self._files.setdefault(name, _File()), self.path / name
        try:
            status = entry.stat() if entry else path.stat()
            same, file.mark = file.mark == _mark_of(status), _mark_of(status)
            if os.name == "posix" and status.st_mode & 0o077 and not (same and file.exposed):
                file.exposed = not self._tighten(path, status)
            if same and file.sure and file.broken is None:
                return
            file.sure = time.time_ns() - status.st_mtime_ns > _UNSURE
            raw = _content(path)
            digest = _digest(raw)
            if digest == file.digest and file.broken is None:
                return
            credentials, problems = Page(path, raw).read()
        except (OSError, Malformed) as fault:
            self._cannot_read(file, path, fault)
        else:
            file.digest, file.broken = digest, None
            self._put(file, [one for one in credentials if one is not None], problems)

    def _cannot_read(self, file: _File, path: Path, fault: OSError | Malformed) -> None:
        """Note what is wrong with a file, after a while: it may be about to be written, or just removed."""
        now = self._host.clock()
        file.broken = now if file.broken is None else file.broken
        if not (file.credentials or self._watching) or now - file.broken >= GRACE:
            gone = isinstance(fault, FileNotFoundError)
            what = "the link leads nowhere" if gone else f"cannot be read: {fault.strerror}" if isinstance(fault, OSError) else str(fault)
            self._put(file, (), (f"{path}: {what}; none of it is used",))

    def _put(self, file: _File, credentials: Sequence[Credential], problems: Sequence[str]) -> None:
        """Take what a file says; credentials that are as they were stay the same objects."""
        known = {one.id: one for one in file.credentials}
        held = tuple(known[one.id] if known.get(one.id) == one else one for one in credentials)
        if (held, tuple(problems)) != (file.credentials, file.problems):
            file.credentials, file.problems = held, tuple(problems)
            self._revision += 1

    def _tighten(self, path: Path, status: os.stat_result) -> bool:
        try:
            path.chmod(status.st_mode & 0o600)
        except OSError:
            self._exposed.append(path.name)
            return False
        self._tightened.append(path.name)
        return True

    def _warn(self) -> None:
        for names, what in (
            (self._tightened, "could be read by others, and now by their owner alone"),
            (self._exposed, "can be read by others, and that cannot be changed"),
        ):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                self._host.log.warning("%s: files that %s: %s%s", self.path, what, ", ".join(sorted(names)[:5]), more)
                names.clear()

    # ------------------------------------------------------------------------------------------ changing

    def _save(self, credentials: Sequence[Credential]) -> None:
        with self._lock:
            name = self._file_of(credentials)
            if name is None:
                self._look()
                name = self._file_of(credentials)
            if name is None:
                name = self._free_name(credentials[0])
                page = Page(self.path / name)
            else:
                page = self._page(name)
            for one in credentials:
                page.put(one, self._given.get(one.id))
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(name, page)

    def _remove(self, id: str) -> None:
        with self._lock:
            self._look()
            name = next((name for name in sorted(self._files) if any(one.id == id for one in self._files[name].credentials)), None)
            if name is None:
                raise KeyError(id)
            page = self._page(name)
            if page.take_out(id):
                self._write(name, page)
            else:
                writing.remove(self.path / name)
                del self._files[name]

    def _file_of(self, credentials: Sequence[Credential]) -> str | None:
        """Return the file in which some of them are; None where all are new. Raises `ValueError` where they are in several."""
        there = [(name, one) for name in sorted(self._files) for one in self._files[name].credentials]
        by_id = {one.id: name for name, one in reversed(there)}
        names = {by_id.get(one.id or one.identity) for one in credentials}
        if None in names:
            by_identity = {one.identity: name for name, one in reversed(there)}
            names = {by_id.get(one.id or one.identity) or by_identity.get(one.identity) for one in credentials}
        names.discard(None)
        if len(names) > 1:
            raise ValueError(f"{self.path}: credentials of several files cannot be saved at once: {', '.join(sorted(filter(None, names)))}")
        return next(iter(names), None)

    def _free_name(self, credential: Credential) -> str:
        """Return a name that no file has yet, for a new credential."""
        said = re.sub(r"(?:[^\w.@+-]|\.{2,})+", "-", unquote(credential.id or credential.identity)).strip("-.")[:100] or "credential"
        names = chain([f"{said}.json"], (f"{said}-{number}.json" for number in count(2)))
        return next(name for name in names if not os.path.lexists(self.path / name))

    def _page(self, name: str) -> Page:
        """Read a file in order to change it. Raises what says why that is not possible now."""
        self._look_at(name)
        try:
            return Page(self.path / name, _content(self.path / name))
        except Malformed as fault:
            raise ValueError(f"{self.path / name}: {fault}; it is left as it is") from None

    def _write(self, name: str, page: Page) -> None:
        """Write a file, and know it as our own work: the host need not be told."""
        raw, path = page.encode(), self.path / name
        if len(raw) > LARGEST:
            raise ValueError(f"{path}: would be larger than {LARGEST >> 20} MiB")
        writing.write(path, raw)
        before = self._revision
        file = self._files[name] = self._files.get(name, _File())
        credentials, problems = page.read()
        file.mark, file.sure, file.digest, file.broken = _mark_of(path.stat()), False, _digest(raw), None
        self._put(file, [one for one in credentials if one is not None], problems)
        self._revision = before


def _content(path: Path) -> bytes:
    """Return a file's content. Raises `Malformed` for what is no file, or too large for one of credentials."""
    with open(path, "rb", buffering=0, opener=_opened) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Malformed("it is no file")
        if status.st_size > LARGEST:
            raise Malformed(f"it is larger than {LARGEST >> 20} MiB")
        return file.read(status.st_size) or b""


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe that has the name would keep us waiting


def _digest(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()


def _mark_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        return entry.is_dir()
    return False


def _clear_away(entry: os.DirEntry[str]) -> None:
    """Remove what somebody was writing when they ended."""
    with contextlib.suppress(OSError):
        if time.time() - entry.stat().st_mtime > _ABANDONED:
            Path(entry.path).unlink()
