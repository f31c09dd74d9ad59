"""The files that a host is made of: which they are, how they look, what they say."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

from jackfield.api.program import MANIFEST
from jackfield.config import DEFAULT_FILE, Loaded
from jackfield.host import Jackfield
from jackfield.rpc.programs import manifests_in

Look = tuple[int, int, int] | None
"""What tells one state of a file from another without reading it: which one it is, when it was changed, how long it is."""


class First(NamedTuple):
    """How the configuration looked before it was read, and when that was."""

    at: float
    looks: dict[Path, Look]

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Mapping[str, Any] | None) -> Self:
        """Look at what a host is about to be made of."""
        return cls(time.time(), looks(_configuration(given)))


def files_of(host: Jackfield) -> list[Path]:
    """Return the files that say what a host is: those that are used, and those that were read last although they cannot be used."""
    single = (path for loaded in (host.loaded, host.latest) for path in _single_files(loaded))
    return [*_configuration(host.origin), *dict.fromkeys(single)]


def _configuration(given: str | os.PathLike[str] | Mapping[str, Any] | None) -> list[Path]:
    return [] if isinstance(given, Mapping) else [Path(given or os.environ.get("JACKFIELD_CONFIG") or DEFAULT_FILE)]


def _single_files(loaded: Loaded) -> Iterable[Path]:
    for path in (loaded.folder / Path(said.path).expanduser() for said in loaded.plugins.values() if said.path):
        yield path / MANIFEST if path.is_dir() else path
    yield from manifests_in(loaded.plugin_folder)


def looks(files: Iterable[Path]) -> dict[Path, Look]:
    """Return how files look now; None for one that is not there."""
    found: dict[Path, Look] = {}
    for path in files:
        try:
            status = path.stat()
            found[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            found[path] = None
    return found


def contents(files: Iterable[Path]) -> dict[Path, bytes]:
    """Return what files say, in short. One that is not there or empty says nothing: it is being written, or moved into its place."""
    found = {}
    for path in files:
        with contextlib.suppress(OSError):
            if (text := path.read_bytes()).strip():
                found[path] = blake2b(text).digest()
    return found
