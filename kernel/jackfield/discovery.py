"""Ask providers for their models, in the background: a call never waits for it."""

import asyncio
import logging
from typing import Final

from jackfield.api import CallError, Dialect, HttpRequest, HttpResponse
from jackfield.credentials import Account
from jackfield.generation import Generation
from jackfield.shared import Shared

log = logging.getLogger("jackfield")

_AGAIN: Final = 3600.0
"""Seconds between two looks at a provider's list."""
_AFTER_FAILURE: Final = (5.0, 30.0, 120.0, 600.0)
"""Seconds to wait after one failure, two, and so on."""
_LISTING_WAITS: Final = 3.0
"""Seconds that a listing waits for the first answers."""


class _Sender:
    """Sends requests for one account."""

    def __init__(self, shared: Shared, generation: Generation, account: Account) -> None:
        self._shared = shared
        self._generation = generation
        self._account = account

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        return await self._shared.transport.send(request, self._account)

    def dialect(self, name: str) -> Dialect:
        return self._generation.dialects[name]


class Discovery:
    """Keeps the models of a generation's accounts up to date."""

    def __init__(self, shared: Shared, generation: Generation) -> None:
        self._shared = shared
        self._generation = generation
        self._tasks: list[asyncio.Task[None]] = []
        self._first: list[asyncio.Event] = []

    def start(self) -> None:
        """Begin to ask, one task an account whose provider has to be asked."""
        for account in self._generation.accounts:
            if account.provider.models == "discover":
                asked = asyncio.Event()
                self._first.append(asked)
                self._tasks.append(asyncio.get_running_loop().create_task(self._keep(account, asked)))

    async def stop(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def first_answers(self) -> None:
        """Wait until each provider has answered once, or for a moment at most."""
        waiting = [asked for asked in self._first if not asked.is_set()]
        if waiting:
            try:
                async with asyncio.timeout(_LISTING_WAITS):
                    for asked in waiting:
                        await asked.wait()
            except TimeoutError:
                pass

    async def _keep(self, account: Account, asked: asyncio.Event) -> None:
        failures = 0
        while True:
            try:
                await self._ask(account)
                failures = 0
            except Exception as fault:  # noqa: BLE001 (a provider's own code may raise anything)
                failures += 1
                level = logging.WARNING if failures == 1 else logging.DEBUG
                detail = fault.failure.message if isinstance(fault, CallError) else f"{type(fault).__name__}: {fault}"
                log.log(level, "the models of %s (%s) cannot be listed: %s", account.provider.key, account.credential.label, detail)
            asked.set()
            await asyncio.sleep(_AGAIN if not failures else _AFTER_FAILURE[min(failures, len(_AFTER_FAILURE)) - 1])

    async def _ask(self, account: Account) -> None:
        models = await account.provider.discover(account.credential, _Sender(self._shared, self._generation, account))
        self._generation.models.discovered(account.credential.id, models)
