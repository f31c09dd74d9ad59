"""Notes of what could not be said."""

from __future__ import annotations

from jackfield.api import Loss

Losses = list[Loss]
"""What an encoder adds to."""


def dropped(losses: Losses, path: str, why: str) -> None:
    """Note that something cannot be said in this dialect."""
    losses.append(Loss(path, "dropped", why))


def changed(losses: Losses, path: str, why: str) -> None:
    """Note that something is said otherwise than it was."""
    losses.append(Loss(path, "changed", why))


def invented(losses: Losses, path: str, why: str) -> None:
    """Note that something is said that nobody had said."""
    losses.append(Loss(path, "invented", why))
