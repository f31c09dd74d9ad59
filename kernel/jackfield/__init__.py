"""Jackfield: a plugin-first host for LLM traffic."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jackfield.config import ConfigError
    from jackfield.host import Jackfield, NotReloaded

__version__ = "0.1.0"
__all__ = ["ConfigError", "Jackfield", "NotReloaded", "__version__"]

_HOMES = {"ConfigError": "jackfield.config", "Jackfield": "jackfield.host", "NotReloaded": "jackfield.host"}


def __getattr__(name: str) -> Any:
    """Import the host only when it is asked for: plugins import `jackfield.api` alone, and must not pay for a server."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jackfield' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
