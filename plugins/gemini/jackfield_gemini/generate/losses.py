"""Losses of things that are recalled: they are the same again, save for where the things stand now."""

from __future__ import annotations

from collections.abc import Iterable

from jackfield.api import Loss


def below(losses: list[Loss], start: int, path: str) -> tuple[Loss, ...] | None:
    """Return the losses from `start` on with their paths below `path`; None where one is of something else."""
    if len(losses) == start:
        return ()
    noted = losses[start:]
    if not all(loss.path.startswith(path) for loss in noted):
        return None
    return tuple([Loss(loss.path[len(path) :], loss.what, loss.why) for loss in noted])


def replay(losses: list[Loss], noted: Iterable[Loss], path: str) -> None:
    """Add losses again, of a thing that stands at `path` now."""
    losses += [Loss(path + loss.path, loss.what, loss.why) for loss in noted]
