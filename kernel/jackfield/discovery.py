"""Ask providers for their models, in the background: a call never waits for it."""

import asyncio
import logging
import random
from collections.abc import Container
from contextlib import suppress
from functools import partial
from typing import Final

from jackfield.api import CallError
from jackfield.generation import Generation
from jackfield.models import Registry, list_of
from jackfield.shared import Shared
from jackfield.sweeper import end_all
from jackfield.trace import log

_AT_ONCE: Final = 8
"""Lists that are asked for at the same time."""
_PAUSES: Final = (3600.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds until a list may be asked for again: after a success, after one failure in a row, two, and so on."""
_LISTING_WAITS: Final = 3.0
"""Seconds that a listing waits for the answers."""


class Discovery:
    """Keeps the lists of those accounts up to date whose providers have to be asked.

    Each is asked once. Then nothing happens until somebody looks for models: those are asked anew whose lists are old
    by then. To call what is known causes no questions.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared, self._models, self._clock = shared, Registry(), asyncio.get_running_loop().time
        self._queue, self._failures, self._due = asyncio.Queue[str](), dict[str, int](), dict[str, float]()
        self._tasks = [asyncio.get_running_loop().create_task(self._work()) for _ in range(_AT_ONCE)]

    def follow(self, generation: Generation) -> None:
        """Ask for the accounts of a generation from now on. What earlier ones were told holds."""
        if (models := generation.models) is not self._models:
            self._models, models.looked = models, self._look
            self._look({name for name, account in models.accounts.items() if list_of(account) not in models.lists})

    async def stop(self) -> None:
        """Ask no more."""
        await end_all(*self._tasks)

    async def first_answers(self) -> None:
        """Wait until everybody has answered who was never asked or whose list was old, or for a moment at most."""
        self._look()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), _LISTING_WAITS)

    def _look(self, edited: Container[str] = ()) -> None:
        """Have those asked whose lists are old, or were not asked for since the credential was edited."""
        now, accounts = self._clock(), self._models.accounts.items()
        asked = [n for n, account in accounts if account.provider.models == "discover" and not account.off]
        for name in [n for n in asked if n in edited or self._due.get(n, 0.0) <= now]:
            self._due[name] = float("inf")
            self._queue.put_nowait(name)

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            account, failures = self._models.accounts.get(name), 0
            try:
                if account is not None:
                    send = partial(self._shared.transport.request, account=account)
                    listed = await account.provider.discover(account.credential, send, self._shared.generation.dialects)
                    self._models.discovered(name, listed)
            except Exception as fault:  # noqa: BLE001 (a provider's own code may raise anything)
                failures = self._failures.get(name, 0) + 1
                log.log(
                    logging.WARNING if failures == 1 else logging.DEBUG,
                    "the models of %s (%s) cannot be listed: %s",
                    account.provider.key,  # type: ignore[union-attr]
                    account.credential.label,  # type: ignore[union-attr]
                    fault.failure.message if isinstance(fault, CallError) else f"{type(fault).__name__}: {fault}",
                )
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)] * random.uniform(0.9, 1.1)  # noqa: S311
            self._failures[name], self._due[name] = failures, self._clock() + pause
            self._queue.task_done()
