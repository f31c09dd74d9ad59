"""What a router answers."""

import msgspec

from jackfield.api.failure import Cause


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call goes when nothing of its route could serve it."""

    model: str | None = None
    provider: str | None = None
    executor: str | None = None
    on: tuple[Cause, ...] = ()
    """The causes of failure that it serves; empty for all but the caller's own."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call goes.

    `model` alone: as if the client had asked for it. `provider`: resolved within that provider.
    `executor`: the id of a plugin (`self` for one's own) whose provider object runs the call with no
    credential and no pool. The client is still answered under the name that it asked for.
    """

    model: str | None = None
    provider: str | None = None
    executor: str | None = None
    reason: str = ""
    """For the explanation."""
    otherwise: "tuple[Alternative | Route, ...]" = ()
    """Walked in order before the first byte. A `Route` here stands for an alternative that serves all causes."""
