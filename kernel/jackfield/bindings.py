"""Who minted what later requests name: ids of what a provider keeps, and thoughts that it alone can read. Outlives generations.

What is stored with an account is asked of that account or of nobody; what only one can read is asked of it first.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from jackfield.api import Attempt, Pool
from jackfield.api.canonical.ids import key_of
from jackfield.api.canonical.looking import minted
from jackfield.api.canonical.memo import Memo
from jackfield.exchange import Exchange, Refused
from jackfield.generation import Lasting
from jackfield.resolution import Target
from jackfield.state import HOST, State

_TTL: Final = 30 * 86400.0
"""Seconds for which the state store keeps what is not named again."""
_RENEWED: Final = 86400.0
"""Seconds after which what is named again is told to it anew."""
_PAUSE: Final = 5.0
"""Seconds for which a state store that did not answer is left alone."""


class Bindings:
    """Credentials by what they minted, for each principal: the latest in memory, all in a state store that outlives the process."""

    def __init__(self, lasting: Lasting) -> None:
        self._state, self._away_until = State(lasting, HOST), 0.0
        self._known: Memo[tuple[str, float]] = Memo()
        """The credential, `''` for what was deleted, and when the state store was told."""

    def learn(self, exchange: Exchange, attempt: Attempt, raw: bytes, **what: bool) -> None:
        """Take note of what an answer, or whole events of one, minted (see `minted`); forget what was deleted."""
        for name in minted(attempt.dialect, raw, **what):
            self._note(exchange, name, "" if attempt.call.method == "DELETE" else attempt.candidate.credential)

    def _note(self, exchange: Exchange, name: str, owner: str) -> None:
        key = key_of(exchange.call.principal.name, name)
        self._known.put(key, (owner, time.time()), 0)
        if self._kept:
            exchange.afterwards[key] = partial(self._ask, lambda: self._state.set(key, owner.encode(), ttl=_TTL))

    @property
    def _kept(self) -> bool:
        """There is a state store that outlives the process, and it is not away."""
        return self._state.persists and time.monotonic() >= self._away_until

    async def _ask(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        """Ask the state store; None where it cannot be asked."""
        if self._kept:
            try:
                return await operation()
            except (OSError, ValueError, TypeError):  # what it would have told only makes things better
                self._away_until = time.monotonic() + _PAUSE
        return None

    async def _owner(self, exchange: Exchange, name: str) -> str:
        """Return the credential that minted something; `''` where nobody knows."""
        key = key_of(exchange.call.principal.name, name)
        owner, told = self._known.get(key) or ((await self._ask(lambda: self._state.get(key)) or b"").decode(), 0.0)
        if owner and time.time() - told > _RENEWED:
            self._note(exchange, name, owner)
        return owner

    async def narrow(self, exchange: Exchange, targets: Sequence[Target]) -> Sequence[Target]:
        """Return who may answer what a request names: its owner alone. Raises `Refused` where there is none, or are two."""
        source = exchange.call.body.source
        named = exchange.dialect.named(source if isinstance(source, bytes) else source.view(), exchange.params)
        exchange.prefers = await self._owner(exchange, named.sealed[0]) if named.sealed else ""
        owners = {owner: name for name in reversed(named.stored) if (owner := await self._owner(exchange, name))}
        if len(owners) > 1:
            which = " and ".join(map(repr, owners.values()))
            raise Refused(400, f"{which} are stored with different accounts: no request can name both", code="stored_apart")
        return _of(exchange, *owners.popitem(), targets) if owners else targets


def _of(exchange: Exchange, owner: str, name: str, targets: Sequence[Target]) -> Sequence[Target]:
    """Return the targets with the candidates of an owner alone. Raises `Refused` where that one cannot be asked."""
    kept = [(Pool(pool.model, own), on) for pool, on in targets if (own := [c for c in pool.all if c.credential == owner])]
    account = next((account for account in exchange.generation.accounts if account.credential.id == owner), None)
    if account is None or account.off or not kept:
        why = "is gone" if account is None else "is switched off" if account.off else f"does not serve {exchange.call.model!r}"
        status = 404 if exchange.call.operation == "resource" else 400
        raise Refused(status, f"{name!r} is stored with an account that {why}", code="owner_gone")
    exchange.trace.note("pick_credential", "kernel", f"{name!r} is stored with {owner}: nobody else is asked")
    return kept
