"""Credentials from a folder of JSON files, which is watched, and in which they can be kept and removed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from jackfield.api import CredentialSource, Host
from jackfield_credential_files.folder import Folder


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the files lie."""

    folder: str | None = None
    """The folder; by default `jackfield/credentials` in the folder that the system has for the state of a user's programs."""
    watch: bool = True
    """Take up changes while the host runs."""


class Plugin:
    """Brings one source of credentials: the folder."""

    def __init__(self, config: Config, host: Host) -> None:
        path = Path(config.folder).expanduser().absolute() if config.folder else default_folder()
        self._sources = [] if path is None else [Folder(path, host, watched=config.watch, chosen=config.folder is not None)]

    def register_credential_sources(self) -> Sequence[CredentialSource]:
        """Return the folder; nothing where the user has no home to have one in."""
        return self._sources


def default_folder() -> Path | None:
    """Return where state of programs is kept (XDG Base Directory Specification); None where nobody is at home."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        state = state if state.is_absolute() else Path("~/.local/state").expanduser()
    except RuntimeError:
        return None
    return state / "jackfield" / "credentials"
