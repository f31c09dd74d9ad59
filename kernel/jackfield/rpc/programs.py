"""Programs that are plugins: their manifests, where those lie, and how a program is run where the operator has a say in it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Program
from jackfield.api.program import MANIFEST
from jackfield.rpc.limits import Limits
from jackfield.rpc.process import ChildCarrier
from jackfield.rpc.supervisor import Refused


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a `jackfield-plugin.yaml` says."""

    command: tuple[str, ...]
    """The program and its arguments. It runs in the manifest's folder; a first word with a slash is relative to that."""
    name: str = ""
    """The plugin's id; by default the name of the manifest's folder."""
    version: str = ""
    description: str = ""
    env: tuple[str, ...] = ()
    """Names of environment variables that it would like to have. It gets those that the operator's `process.env` gives it."""
    hooks: tuple[str, ...] = ()
    """The methods in which it takes part, for listings; what counts is what it says when it is started."""
    config_schema: dict[str, Any] | None = None
    """A JSON Schema of its settings."""

    def __post_init__(self) -> None:
        """Refuse what starts nothing."""
        if not (self.command and self.command[0]):
            raise ValueError("command: expected a program and its arguments, got an empty list")

    def program(self, folder: Path) -> Program:
        """Return the program, given the manifest's folder."""
        return Program(
            command=self.command,
            folder=folder.absolute(),
            version=self.version,
            description=self.description,
            wants=self.env,
            hooks=self.hooks,
            config_schema=self.config_schema,
        )


Read = Callable[[str, str], Manifest]
"""Reads a manifest from its text and what messages call it."""


def default_folder() -> Path | None:
    """Return where data of a user's programs is kept (XDG Base Directory Specification); None where nobody is at home."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        data = data if data.is_absolute() else Path("~/.local/share").expanduser()
    except RuntimeError:
        return None
    return data / "jackfield" / "plugins"


def manifests_in(folder: Path | None) -> list[Path]:
    """Return the manifests in the folders of a folder, but for those whose names begin with a dot."""
    return sorted(folder.glob(f"[!.]*/{MANIFEST}")) if folder is not None else []


def described(path: Path, name: str, codes: Mapping[str, bytes], read: Read) -> tuple[str, bytes, Program]:
    """Return the id of a manifest's plugin, which is `name` where that is given, the manifest's text, and its program.

    One of `codes`, by the id, goes before what the file says. Raises `Refused`, and what `read` does.
    """
    try:
        _check_owners(path.parent, path)
        text = path.read_bytes()
        plugin = name or read(text.decode(errors="replace"), str(path)).name or path.parent.name
        text = codes.get(plugin, text)
        program = read(text.decode(errors="replace"), str(path)).program(path.parent)
        words = (word for word in program.command if not word.startswith(os.sep))
        _check_owners(*(path.parent / word for word in words if os.path.isfile(path.parent / word)))  # noqa: PTH113 (a word may be no path)
    except OSError as fault:
        raise Refused(f"{path}: cannot be read: {fault.strerror}") from None
    return plugin, text, program


def packaged(thing: object, read: Read) -> Program | None:
    """Return the program whose manifest lies in a package; None for what is no package, or holds none."""
    paths = (Path(folder, MANIFEST) for folder in getattr(thing, "__path__", ()))
    return next((read(path.read_text(errors="replace"), str(path)).program(path.parent) for path in paths if path.is_file()), None)


def _check_owners(*paths: Path) -> None:
    """See that nobody but the user and root can change what is about to be run. Raises `Refused`, `OSError`."""
    for path in paths if hasattr(os, "getuid") else ():
        status = path.stat()
        if status.st_uid not in (0, os.getuid()):
            raise Refused(f"{path} belongs to another user, who could have it run anything: take it over (chown {os.getuid()} {path})")
        if status.st_mode & 0o022:
            raise Refused(f"others may write to {path}, and so have it run anything: chmod go-w {path}")


def runner(program: Program, default: Path, run: Any) -> ChildCarrier:
    """Return what starts a program. `run` is what the configuration says of its process, relative to the folder `default`."""
    home, (first, *rest) = program.folder or default, program.command
    folder = home if run.cwd is None else default / Path(run.cwd).expanduser()
    if os.sep in first:
        first = str(home.absolute() / Path(first).expanduser())
    placed = msgspec.structs.replace(program, command=(first, *rest), folder=folder.absolute(), env={**program.env, **run.env})
    return ChildCarrier(placed, Limits(memory=run.memory, cpu=run.cpu, files=run.files))
