"""What several processes agree on through the state store that they share: who may still use what is limited, and who probes.

A store that does not persist is this process's own, and there is nobody to agree with. While a store is away each process goes
by what it knows itself.
"""

import time

from jackfield.api import Candidate
from jackfield.credentials import LIMITED, Account
from jackfield.generation import Lasting
from jackfield.state import HOST, State
from jackfield.trace import log


class Agreed:
    """One process's part in it."""

    def __init__(self, lasting: Lasting) -> None:
        self._lasting, self._state = lasting, State(lasting, HOST)

    async def admits(self, account: Account) -> bool:
        """Count a request against an account's limits; False, and it rests, where they are used up among all processes."""
        limits = account.credential.limits
        if limits is None or not self._state.persists:
            return True
        for name in ("rpm", "rpd"):
            most = getattr(limits, name)
            if most is not None and await self._add(account, name, 1, most) is None:
                return False
        return True

    async def settle(self) -> None:
        """Count the tokens that were spent since the last time. Called from time to time."""
        for account in [a for a in self._lasting.accounts.values() if a.owed] if self._state.persists else ():
            owed, account.owed = account.owed, 0
            for name in ("tpm", "tpd"):
                most: int | None = getattr(account.credential.limits, name, None)
                total = await self._add(account, name, owed, None) if most is not None else None
                if most is not None and total is not None and total >= most:
                    account.used_up(name)

    async def may_probe(self, candidate: Candidate, interval: float) -> bool:
        """Tell whether this process is the one to probe a candidate that is due."""
        if not self._state.persists:
            return True
        try:
            return await self._state.set(f"probe/{candidate.id}", b"1", ttl=interval, if_absent=True)
        except OSError:
            return True

    async def _add(self, account: Account, name: str, n: int, most: int | None) -> int | None:
        """Add to what was used of a limit; None, and the account rests, where that would pass `most`."""
        window = int(time.time() // LIMITED[name])
        try:
            key = f"limits/{account.credential.id}/{name}/{window}"
            total = await self._state.add(key, n, maximum=most, ttl=2.0 * LIMITED[name])
        except OSError as fault:
            log.debug("limits are counted by each process alone: %s", fault)
            return 0
        if total is None and most is not None:
            account.used_up(name)
        return total
