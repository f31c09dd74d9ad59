"""What a plugin may serve beside calls: HTTP routes and commands of its own. Provisional."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from jackfield.api.call import Call, Reply


class PluginRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP route of a plugin. Provisional."""

    method: str = "GET"
    path: str
    access: Literal["client", "admin", "public"] = "client"
    handle: Callable[[Call], Awaitable[Reply]]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command of the command line. Provisional."""

    name: str
    help: str
    run: Callable[[Sequence[str]], int]
    """Takes the arguments, returns the exit code."""
