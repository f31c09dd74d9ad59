"""Ask providers for their models, in the background: a call never waits for it."""

import asyncio
import logging
from functools import partial
from typing import Final

from jackfield.api import CallError, Credential, Provider
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
    """Keeps the models of all accounts up to date: one task for each whose provider has to be asked."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._asked: dict[str, tuple[Credential, Provider, asyncio.Future[None], asyncio.Task[None]]] = {}
        """With which credentials providers are asked, until when listings wait for the first answer, and the task that asks."""

    def follow(self, generation: Generation) -> None:
        """Ask for the accounts of a generation from now on. Those that have not changed go on as they are."""
        loop, wanted = asyncio.get_running_loop(), {a.credential.id: a for a in generation.accounts if a.provider.models == "discover"}
        for id, (credential, provider, _, task) in list(self._asked.items()):
            if id not in wanted or (wanted[id].credential, wanted[id].provider) != (credential, provider):
                task.cancel()
                del self._asked[id]
                self._shared.lasting.discovered.pop(id, None)
        for id in wanted.keys() - self._asked.keys():
            account, first = wanted[id], loop.create_future()
            self._asked[id] = (account.credential, account.provider, first, loop.create_task(self._keep(account, first)))

    async def stop(self) -> None:
        """Ask no more."""
        await end_all(*(task for *_, task in self._asked.values()))

    async def first_answers(self) -> None:
        """Wait until each provider has answered once, or for a moment at most."""
        if waiting := [first for _, _, first, _ in self._asked.values() if not first.done()]:
            await asyncio.wait(waiting, timeout=_LISTING_WAITS)

    async def _keep(self, account: Account, first: asyncio.Future[None]) -> None:
        send, failures = partial(self._shared.transport.request, account=account), 0
        while True:
            try:
                models = await account.provider.discover(account.credential, send, self._shared.generation.dialects)
                self._shared.generation.models.discovered(account.credential.id, models)
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
