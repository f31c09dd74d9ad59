"""Ask providers for their models, in the background: a call never waits for it."""

import asyncio
import logging
from functools import partial
from typing import Final

from jackfield.api import CallError
from jackfield.credentials import Account
from jackfield.generation import Generation
from jackfield.shared import Shared
from jackfield.sweeper import end_all

log = logging.getLogger("jackfield")

_PAUSES: Final = (3600.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds until a provider's list is looked at again: after a success, after one failure, two, and so on."""
_LISTING_WAITS: Final = 3.0
"""Seconds that a listing waits for the first answers."""


class Discovery:
    """Keeps the models of a generation's accounts up to date: one task for each whose provider has to be asked."""

    def __init__(self, shared: Shared, generation: Generation) -> None:
        self._shared, self._generation = shared, generation
        loop, asked = asyncio.get_running_loop(), [a for a in generation.accounts if a.provider.models == "discover"]
        self._first: list[asyncio.Future[None]] = [loop.create_future() for _ in asked]
        self._tasks = [loop.create_task(self._keep(account, first)) for account, first in zip(asked, self._first, strict=True)]

    async def stop(self) -> None:
        """Ask no more."""
        await end_all(*self._tasks)

    async def first_answers(self) -> None:
        """Wait until each provider has answered once, or for a moment at most."""
        if not all(first.done() for first in self._first):
            await asyncio.wait(self._first, timeout=_LISTING_WAITS)

    async def _keep(self, account: Account, first: asyncio.Future[None]) -> None:
        send, failures = partial(self._shared.transport.request, account=account), 0
        while True:
            try:
                models = await account.provider.discover(account.credential, send, self._generation.dialects)
                self._generation.models.discovered(account.credential.id, models)
                failures = 0
            except Exception as fault:  # noqa: BLE001 (a provider's own code may raise anything)
                failures += 1
                log.log(
                    logging.WARNING if failures == 1 else logging.DEBUG,
                    "the models of %s (%s) cannot be listed: %s",
                    account.provider.key,
                    account.credential.label,
                    fault.failure.message if isinstance(fault, CallError) else f"{type(fault).__name__}: {fault}",
                )
            if not first.done():
                first.set_result(None)
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
