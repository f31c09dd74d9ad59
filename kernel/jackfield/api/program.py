"""A plugin that is a program of its own, in any language."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

MANIFEST = "jackfield-plugin.yaml"
"""The file that describes such a program, in a folder of its own."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """How a plugin's program is run. A distribution ships one as what its entry point in `jackfield.plugins` names; it may name
    a package that holds a `jackfield-plugin.yaml` instead.

    The host starts it with `command`, without a shell, and speaks the out-of-process protocol with it over stdin and stdout.
    """

    command: tuple[str, ...]
    """The program and its arguments. A first word with a slash is relative to `folder`, one without is looked for in PATH."""
    folder: Path | None = None
    """The folder in which it runs; None for that of the configuration."""
    env: Mapping[str, str] = {}
    """Environment variables beside those that every plugin gets: PATH, LANG, TZ, HOME."""
    version: str = ""
    description: str = ""
    wants: tuple[str, ...] = ()
    """Names of further environment variables that it would like to have; the operator decides."""
    hooks: tuple[str, ...] = ()
    """The methods in which it takes part, for listings without a start."""
    config_schema: Mapping[str, Any] | None = None
    """A JSON Schema of its settings, for editors."""
