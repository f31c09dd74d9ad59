"""Jackfield: a plugin-first host for LLM traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jackfield.config import ConfigError
    from jackfield.host import Jackfield

__version__ = "0.1.0"
__all__ = ["ConfigError", "Jackfield", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the host only when it is asked for: plugins import `jackfield.api` alone, and must not pay for a server."""
    if name == "Jackfield":
        from jackfield.host import Jackfield  # noqa: PLC0415

        return Jackfield
    if name == "ConfigError":
        from jackfield.config import ConfigError  # noqa: PLC0415

        return ConfigError
    raise AttributeError(f"module 'jackfield' has no attribute {name!r}")
