"""What is to be checked: from the words of a command line to a program or a plugin object."""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from jackfield.api import Dialect
from jackfield.api.hooks import GROUP
from jackfield.api.program import MANIFEST, Program
from jackfield.config import ConfigError, read_as
from jackfield.host import Jackfield
from jackfield.plugins import identify
from jackfield.rpc.programs import Manifest, packaged


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
    section: Mapping[str, Any] = {}
    """By what a host's configuration names it."""
    objects: Sequence[object] = ()
    """What a host is handed instead: a module or a class."""
    alone: Sequence[str] = ()
    """What runs it in a process of its own, where it is Python: arguments of `python -m jackfield.rpc_plugin`."""
    in_host_alone: bool = False
    """A host can do that, too (`isolate`)."""

    def isolated(self) -> Program:
        """Return the program that runs it in a process of its own."""
        return Program(command=(sys.executable, "-m", "jackfield.rpc_plugin", *self.alone), folder=Path.cwd())


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
    name, word, path = shlex.join(words), words[0], Path(words[0])
    if len(words) > 1 or (path.is_file() and os.access(path, os.X_OK) and path.name != MANIFEST):
        return _from_command(name, words)
    if path.name == MANIFEST or (path / MANIFEST).is_file():
        return _from_manifest(word, path / MANIFEST if path.is_dir() else path)
    if path.suffix == ".py" and path.is_file():
        alone = ("--file", str(path.absolute()))
        return Target(name=name, id=_id(word), section={"path": str(path.absolute())}, alone=alone, in_host_alone=True)
    if points := importlib.metadata.entry_points(group=GROUP, name=word):
        return _installed(name, next(iter(points)))
    if (thing := _imported(word)) is not None:
        return Target(name=name, id=identify(thing), objects=(thing,), alone=(word,))
    if shutil.which(word):
        return _from_command(name, words)
    raise CannotCheck(f"{word!r} is no program, no manifest, no Python file, no module and no installed plugin")


def _installed(name: str, point: importlib.metadata.EntryPoint) -> Target:
    try:
        found = point.load()
        program = found if isinstance(found, Program) else packaged(found, partial(read_as, Manifest))
    except Exception as fault:  # noqa: BLE001 (a module may raise anything)
        raise CannotCheck(f"{point.value!r} cannot be imported: {type(fault).__name__}: {' '.join(str(fault).split())}") from None
    if program is not None:
        return Target(name=name, id=point.name, program=program)
    home = str(point.dist.locate_file("")) if point.dist is not None else ""
    return Target(name=name, id=point.name, alone=("--at", home, point.value.partition("[")[0].strip()), in_host_alone=True)


def _imported(word: str) -> object | None:
    """Return a module, or what `module:name` names; None where there is no such module."""
    module, _, attribute = word.partition(":")
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    if str(Path.cwd()) not in sys.path:  # as for `python -m`
        sys.path.insert(0, str(Path.cwd()))
    try:
        if importlib.util.find_spec(module) is None:
            return None
        made = importlib.import_module(module)
    except Exception as fault:  # noqa: BLE001 (a module may raise anything)
        raise CannotCheck(f"{module!r} cannot be imported: {type(fault).__name__}: {' '.join(str(fault).split())}") from None
    if attribute and not hasattr(made, attribute):
        raise CannotCheck(f"the module {module!r} has no {attribute!r}")
    return getattr(made, attribute) if attribute else made


def _from_command(name: str, words: Sequence[str]) -> Target:
    first, *rest = words
    if shutil.which(first) is None:
        what = "is not there" if not Path(first).exists() else "may not be executed"
        raise CannotCheck(f"the program {first!r} {what}")
    command = (str(Path(first).absolute()) if os.sep in first else first, *rest)
    about = {"command": list(command), "process": {"cwd": str(Path.cwd())}}
    return Target(name=name, id=_id(words[-1]), program=Program(command=command, folder=Path.cwd()), section=about)


def _id(word: str) -> str:
    """Return an id made of a file's name."""
    return re.sub(r"\W+", "_", Path(word).stem).strip("_") or "plugin"


def _from_manifest(name: str, path: Path) -> Target:
    try:
        said: Any = read_as(Manifest, path.read_text(errors="replace"), str(path))
    except OSError as fault:
        raise CannotCheck(f"{path} cannot be read: {fault.strerror}") from None
    except ConfigError as fault:
        raise CannotCheck(" ".join(str(fault).split())) from None
    program = said.program(path.absolute().parent)
    first, *rest = program.command
    command = (str(program.folder / first) if os.sep in first else first, *rest)
    about = {"command": list(command), "process": {"cwd": str(program.folder)}}
    placed = msgspec.structs.replace(program, command=command)
    return Target(name=name, id=said.name or _id(str(program.folder)), program=placed, section=about)
