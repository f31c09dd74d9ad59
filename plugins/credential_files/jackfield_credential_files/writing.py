"""Files that change whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from io import FileIO
from pathlib import Path
from typing import Final

SAVING: Final = ".saving"
"""How the names of files end that are being written, and are about to be renamed."""
_MOUNTED: Final = frozenset({errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES, errno.EROFS})
"""What renaming and removing say of a file that is mounted by itself, and making another one in a folder that is not ours."""
_NOBODY: Final = b'{"credentials": []}\n'


def write(path: Path, raw: bytes) -> None:
    """Give a file a new content, readable by its owner alone; with an `OSError`, it has its old one still.

    A link stays one: what it leads to is written. A file that is mounted by itself can only be written in place.
    """
    target = path.resolve()
    try:
        _replace(target, raw)
    except OSError as fault:
        if fault.errno not in _MOUNTED or not target.exists():
            raise
        _overwrite(target, raw)


def remove(path: Path) -> None:
    """Remove a file; one that is mounted by itself stays, and says that nobody is in it."""
    try:
        path.unlink()
    except OSError as fault:
        if fault.errno not in _MOUNTED:
            raise
        _overwrite(path.resolve(), _NOBODY)
    else:
        _settle(path.parent)


def _replace(target: Path, raw: bytes) -> None:
    number, name = tempfile.mkstemp(SAVING, f".{target.name}.", target.parent)  # for its owner alone
    beside = Path(name)
    try:
        with os.fdopen(number, "wb", buffering=0) as file:
            _fill(file, raw)
        beside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    _settle(target.parent)


def _overwrite(target: Path, raw: bytes) -> None:
    with target.open("r+b", buffering=0) as file:
        before = file.readall()
        try:
            _fill(file, raw)
        except BaseException:
            _fill(file, before)
            raise


def _fill(file: FileIO, raw: bytes) -> None:
    file.seek(0)
    left = memoryview(raw)
    while left:
        left = left[file.write(left) :]
    file.truncate()
    os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Make sure that the folder, too, survives a loss of power; not every system can say so."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
