"""Keep accounts fresh whose keys expire: ask their sources for new ones in time, one at a time, and never more than the other side bears.

What is asked is the source's business; when, and who waits for it, is decided here. None of it runs in a call's task.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from jackfield.api import CallError, Credential, Pool, failure
from jackfield.api.canonical.hints import LONGEST
from jackfield.credentials import Account, Source
from jackfield.dispatch import as_plugin
from jackfield.health import ALL_MODELS, Cooling
from jackfield.state import HOST, State
from jackfield.sweeper import end_all
from jackfield.trace import log

if TYPE_CHECKING:
    from jackfield.shared import Shared

_EARLY: Final = 600.0
"""Seconds before a key expires from which on a fresh one is asked for; a random half of them, so that not all come at once."""
_MARGIN: Final = 5.0
"""Seconds before it expires in which a key is not used any more: a call takes its time, and clocks differ."""
_APART: Final = 0.1
"""Seconds between two refreshes of one provider's accounts."""
_LIMIT: Final = 30.0
"""Seconds that a refresh may take."""
_LEASE: Final = _LIMIT + 10
"""Seconds for which other workers leave the account alone, where who refreshes it does not say that it is done."""
_LAST_WORDS: Final = 5.0
"""Seconds for which a host that stops waits for refreshes: what a server has changed already would be lost."""
_PAUSE, _LONGEST_PAUSE = 10.0, 600.0
"""Seconds after a failed refresh, doubled with each in a row."""
_FOR_GOOD: Final = ("credential", "account_action")
"""Causes of a refresh's failure that no repetition helps."""
_LIFE: Final = ("key", "expires_at", "refresh_at")
"""Fields of a credential that say when it is to be refreshed."""
_AFTER_REFUSAL: Final = 60.0
"""Seconds between two refreshes of an account because its key was refused before its time."""
_PATIENCE: Final = 2.0
"""Seconds that a call waits for a refresh at most."""
_LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether another worker has a key that is waited for."""


class _Due:
    """When an account is to be refreshed next."""

    def __init__(self, credential: Credential, now: float, refused_at: float) -> None:
        self.credential, self.failures, self.refused_at, self.at = credential, 0, refused_at, float("inf")
        if credential.refresh_at is not None:
            self.at = credential.refresh_at
        elif credential.expires_at is not None:
            left = max(0.0, credential.expires_at - now)
            early = min(_EARLY, max(left * 0.25, min(left * 0.75, 90.0)))
            self.at = credential.expires_at - early * random.uniform(0.5, 1)  # noqa: S311


class Refreshing:
    """All accounts that expire, and who refreshes them."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._state = shared, State(shared.lasting, HOST)
        self._due, self._running, self._next = dict[str, _Due](), dict[str, asyncio.Task[None]](), dict[str, float]()
        self._asking = set[asyncio.Task[None]]()
        """Refreshes that a source is being asked for."""

    def follow(self) -> None:
        """Keep the accounts of the latest generation fresh from now on."""
        self._shared.sweeper.waiting.add(self)
        self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Begin what is due, and let those rest whose keys have expired. Called by the sweeper."""
        moment, every = time.time(), self._shared.generation.models.accounts
        expiring = [a for a in every.values() if a.credential.expires_at is not None or a.credential.refresh_at is not None]
        owners = self._owners() if expiring else {}
        for account in expiring:
            able = self._source_of(account, owners) is not None
            if able and not account.off and self._due_of(account).at <= moment and not _refused_for_good(account):
                self._begin(account)
            if _expired(account.credential, moment) and ALL_MODELS not in account.resting:
                says = "its key has expired"
                says += " and is being refreshed" if able else ", and nothing refreshes it: log in again, or renew it"
                account.health.rest(account, ALL_MODELS, Cooling("credential", moment + LONGEST, moment, told=True, message=says))
        for gone in self._due.keys() - every.keys():
            del self._due[gone]

    async def stop(self) -> None:
        """Refresh no more."""
        self._shared.sweeper.waiting.discard(self)
        await end_all(*(task for task in self._running.values() if task not in self._asking))
        if self._asking:
            await asyncio.wait(self._asking, timeout=_LAST_WORDS)
        await end_all(*self._asking)

    async def one_of(self, pool: Pool, end: float) -> bool:
        """Refresh the accounts of a pool that have expired; tell whether one is fresh before `end`, a time of the steady clock."""
        now = time.time()
        expired = {c.account for c in pool.all if _expired(c.account.credential, now)}
        owners = self._owners() if expired else {}
        able = [account for account in expired if not account.off and self._source_of(account, owners) is not None]
        return await self._fresh(able, end - time.monotonic())

    async def after_refusal(self, account: Account, used: Credential) -> bool:
        """Refresh an account whose key was refused, unless that was done a moment ago; tell whether it has another key now."""
        if account.credential.key != used.key:
            return True
        owners = self._owners()
        if self._source_of(account, owners) is None:
            return False
        due, now = self._due_of(account), time.time()
        if now < due.refused_at + _AFTER_REFUSAL and used.id not in self._running:
            # Another process may have a fresh one, or be about to.
            await self._await_other(account, owners.get(used.id), now if await self._is_leased(used.id) else 0.0)
            return account.credential.key != used.key
        due.refused_at = now
        return await self._fresh((account,), _PATIENCE)

    async def _fresh(self, accounts: Iterable[Account], seconds: float) -> bool:
        before = [(account, account.credential.key) for account in accounts if self._may_begin(account)]
        if not before:
            return False
        tasks = [self._begin(account) for account, _ in before]
        await asyncio.wait(tasks, timeout=min(max(seconds, 0.0), _PATIENCE), return_when=asyncio.FIRST_COMPLETED)
        return any(account.credential.key != key for account, key in before)

    def able(self) -> set[str]:
        """Return the ids of the credentials that somebody can refresh."""
        owners = self._owners()
        return {id for id, account in self._shared.generation.models.accounts.items() if self._source_of(account, owners) is not None}

    # --------------------------------------------------------------------------------------- one account

    def _owners(self) -> dict[str, Source]:
        """Return the source that gave each credential, by its id."""
        return {given.id or given.identity: source for source in self._shared.generation.sources for given in source.credentials}

    def _source_of(self, account: Account, owners: dict[str, Source]) -> Source | None:
        """Return who can refresh an account: the source that gave it, or one that says so of its provider, given a refresh token."""
        held, own, others = account.credential, owners.get(account.credential.id), self._shared.generation.sources
        able = [s for s in ((own, *others) if own is not None else others) if callable(getattr(s.object, "refresh", None))]
        others_can = held.refresh_token is not None
        return next((s for s in able if s is own or (others_can and held.provider in getattr(s.object, "providers", ()))), None)

    def _due_of(self, account: Account) -> _Due:
        held = account.credential
        due = self._due.get(held.id)
        if due is None or (due.credential is not held and any(getattr(due.credential, n) != getattr(held, n) for n in _LIFE)):
            due = self._due[held.id] = _Due(held, time.time(), due.refused_at if due is not None else 0.0)
        return due

    def _may_begin(self, account: Account) -> bool:
        """Tell whether a call may have an account refreshed: not while it waits after a failure, and not after a refusal for good."""
        due = self._due_of(account)
        pauses = due.failures > 0 and due.at > time.time() and account.credential.id not in self._running
        return not pauses and not _refused_for_good(account)

    def _begin(self, account: Account) -> asyncio.Task[None]:
        """Return the refresh of an account, begun unless it runs already."""
        name = account.credential.id
        if (running := self._running.get(name)) is None:
            running = self._running[name] = asyncio.get_running_loop().create_task(self._refresh(account))
            running.add_done_callback(lambda _: self._running.pop(name, None))
        return running

    async def _refresh(self, account: Account) -> None:
        owners, held, due = self._owners(), account.credential, self._due_of(account)
        source, keeper = self._source_of(account, owners), owners.get(held.id)
        assert source is not None
        due.at = float("inf")  # until it is known how this one ends
        now = time.monotonic()
        slot = max(now, self._next.get(held.provider, 0.0))
        self._next[held.provider] = slot + _APART
        await asyncio.sleep(slot - now)
        try:
            if not await self._leased(held.id):
                due.at = time.time() + 1  # another worker is at it: look again whether it is done
                return await self._await_other(account, keeper, due.refused_at)
            try:
                await self._ask(account, source, keeper)
            finally:
                await self._let_go(held.id)
        except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
            self._failed(account, due, fault)

    async def _ask(self, account: Account, source: Source, keeper: Source | None) -> None:
        """Have the source refresh an account, unless another process was quicker."""
        held = account.credential
        if self._state.persists:
            await self._reload(account, keeper)
        if account.credential.key != held.key:
            return
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            async with asyncio.timeout(_LIMIT):
                fresh = await as_plugin(source.plugin, source.object.refresh(held))  # type: ignore[attr-defined]
            await self._keep(account, keeper, replace(fresh, id=held.id, origin=held.origin))
            if _expired(fresh, time.time()):
                raise CallError(failure("upstream", "the new key expires too soon to be used", code="expired_token"))
        except CallError as fault:
            if fault.failure.cause not in _FOR_GOOD:
                raise
            await self._reload(account, keeper)  # what was refused may be what somebody else has used already
            if account.credential.key == held.key:
                raise
        finally:
            self._asking.discard(task)

    async def _await_other(self, account: Account, keeper: Source | None, refused_at: float) -> None:
        """Take the key that another worker gets; calls that have no other one wait for it."""
        held, now = account.credential, time.time()
        waited_for = _expired(held, now) or now < refused_at + _PATIENCE
        for _ in range(round(_PATIENCE / _LOOK_EVERY) if waited_for else 1):
            await self._reload(account, keeper)
            if account.credential.key != held.key or not waited_for:
                return
            await asyncio.sleep(_LOOK_EVERY)

    async def _leased(self, name: str) -> bool:
        try:
            return await self._state.set(f"refresh/{name}", b"1", ttl=_LEASE, if_absent=True)
        except OSError:
            return True  # without a store nobody can tell: better twice than never

    async def _is_leased(self, name: str) -> bool:
        try:
            return await self._state.get(f"refresh/{name}") is not None
        except OSError:
            return False

    async def _let_go(self, name: str) -> None:
        try:
            await self._state.delete(f"refresh/{name}")
        except OSError:
            log.debug("the lease of %s ends by itself", name)

    async def _reload(self, account: Account, keeper: Source | None) -> None:
        """Take what the account's own source has of it now."""
        if keeper is not None:
            await keeper.load()
            now = next((c for c in keeper.credentials if (c.id or c.identity) == account.credential.id), None)
            if now is not None and now.key != account.credential.key:
                account.take(now if now.id else replace(now, id=now.identity), account.provider)

    async def _keep(self, account: Account, keeper: Source | None, fresh: Credential) -> None:
        """Use a fresh key from now on, and have its source keep it."""
        account.take(fresh, account.provider)
        log.info("%s was refreshed", fresh.id)
        if keeper is None:
            return
        keeper.credentials = [fresh if (c.id or c.identity) == fresh.id else c for c in keeper.credentials]
        if callable(save := getattr(keeper.object, "save", None)):
            try:
                await save([fresh])
            except Exception as fault:  # noqa: BLE001 (likewise)
                log.error("%s was refreshed, but cannot be kept: %s: it is lost when the host stops", fresh.id, fault)

    def _failed(self, account: Account, due: _Due, fault: Exception) -> None:
        held, now = account.credential, time.time()
        says = fault.failure.message if isinstance(fault, CallError) else f"{type(fault).__name__}: {fault}"
        if isinstance(fault, CallError) and fault.failure.cause in _FOR_GOOD:
            due.at = now  # as soon as somebody has said that it need not rest
            log.error("%s cannot be refreshed any more: %s; log in again: jackfield login %s", held.id, says, held.provider)
            says = f"log in again (jackfield login {held.provider}): {says}"
            account.health.rest(account, ALL_MODELS, Cooling("account_action", now + LONGEST, now, told=True, message=says))
            return
        failures, due = due.failures + 1, self._due_of(account)  # which is another one where there is a new key, of no use
        due.failures = failures
        asked = (fault.failure.retry_after if isinstance(fault, CallError) else None) or 0.0
        pause = min(_PAUSE * 2 ** (due.failures - 1), _LONGEST_PAUSE)
        due.at = now + max(pause, min(asked, _LONGEST_PAUSE)) * random.uniform(1.0, 1.2)  # noqa: S311
        log.log(
            logging.WARNING if due.failures == 1 else logging.DEBUG,
            "%s could not be refreshed (%d in a row): %s",
            held.id,
            due.failures,
            says,
        )


def _expired(credential: Credential, now: float) -> bool:
    return credential.expires_at is not None and credential.expires_at - _MARGIN <= now


def _refused_for_good(account: Account) -> bool:
    """Tell whether somebody has to do something about an account before it can be used again."""
    return (row := account.resting.get(ALL_MODELS)) is not None and row.cause == "account_action"
