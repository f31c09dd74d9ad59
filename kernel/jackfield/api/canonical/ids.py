"""What an upstream minted and a later request may name: ids of what it keeps, and thoughts that it alone can read."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

MOST_NAMED: Final = 16
"""Names of one request that are looked at, the latest: they tell whose it is, and its past has mostly the same owner."""

_READ: Final = 512
"""Characters of a name that are looked at, its last: an id is shorter, and encrypted thoughts end in what tells them apart."""


class Ids(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer mints or a request names."""

    stored: tuple[str, ...] = ()
    """Ids of what the upstream keeps for one account: answers, their parts, conversations. Nobody else can go on from them."""
    sealed: tuple[str, ...] = ()
    """Encrypted thoughts, whole: another account may be asked, but most likely cannot read them. Of a request's the first counts."""


def key_of(principal: str, name: str) -> str:
    """Return where the owner of something is kept. It begins with whose it is, so that no caller reaches another's."""
    digest = blake2b(name[-_READ:].encode(errors="replace"), digest_size=16, key=principal.encode(errors="replace")[:64])
    return f"bindings/{principal}/{digest.hexdigest()}"
