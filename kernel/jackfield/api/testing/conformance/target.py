"""What is to be checked: from the words of a command line to a program or a plugin object."""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from jackfield.api import Dialect
from jackfield.api.hooks import GROUP
from jackfield.api.program import MANIFEST, Program
from jackfield.host import Jackfield


class CannotCheck(Exception):
    """There is nothing that can be checked; the message says what to do."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked."""

    name: str
    """As it was named."""
    id: str
    """The plugin's id."""
    program: Program | None = None
    """How it is run over pipes; None where it cannot be."""
    config: Mapping[str, Any] = {}


_DIALECTS: Final = dict[str, Dialect]()


async def dialects() -> Mapping[str, Dialect]:
    """Return the dialects that are plugged in; they are looked for once."""
    if _DIALECTS:
        return _DIALECTS
    host = Jackfield({"plugins": {"credential_files": {"enabled": False}}}, listen=False)
    try:
        _DIALECTS.update((await host.load()).dialects)
        return _DIALECTS
    finally:
        await host.stop(grace=0)


def target_of(words: Sequence[str]) -> Target:
    """Return what is meant. Raises `CannotCheck`."""
    if not words:
        raise CannotCheck("name a program and its arguments, a manifest, a Python file, a module or an installed plugin")
    name = shlex.join(words)
    if len(words) > 1:
        return Target(name=name, id=_id(words[-1]), program=Program(command=_findable(words), folder=Path.cwd()))
    word, path = words[0], Path(words[0])
    if path.is_dir() or path.name == MANIFEST:
        return _from_manifest(word, path / MANIFEST if path.is_dir() else path)
    if path.is_file() and os.access(path, os.X_OK):
        return Target(name=name, id=_id(word), program=Program(command=(str(path.absolute()),), folder=Path.cwd()))
    if points := importlib.metadata.entry_points(group=GROUP, name=word):
        found = next(iter(points)).load()
        if isinstance(found, Program):
            return Target(name=name, id=word, program=found)
    if shutil.which(word):
        return Target(name=name, id=_id(word), program=Program(command=(word,), folder=Path.cwd()))
    raise CannotCheck(f"{word!r} is no program, no file, no module and no installed plugin")


def _id(word: str) -> str:
    """Return an id made of a file's name."""
    return re.sub(r"\W+", "_", Path(word).stem).strip("_") or "plugin"


def _findable(words: Sequence[str]) -> tuple[str, ...]:
    first = words[0]
    if shutil.which(first) is None:
        what = "is not there" if not Path(first).exists() else "may not be executed"
        raise CannotCheck(f"the program {first!r} {what}")
    return (str(Path(first).absolute()) if "/" in first else first, *words[1:])


def _from_manifest(name: str, path: Path) -> Target:
    try:
        said = yaml.safe_load(path.read_text())
        program = msgspec.convert({"command": said["command"], "env": said.get("env") or {}}, Program)
    except OSError as fault:
        raise CannotCheck(f"{path} cannot be read: {fault.strerror}") from None
    except (yaml.YAMLError, msgspec.ValidationError, KeyError, TypeError, AttributeError) as fault:
        raise CannotCheck(f"{path} is no manifest: {' '.join(str(fault).split())}") from None
    return Target(
        name=name,
        id=str(said.get("id") or _id(str(path.absolute().parent))),
        program=msgspec.structs.replace(program, folder=path.absolute().parent),
    )
