"""Credentials: read from the configuration, the environment and plugins' sources, each once, each with its live figures."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from jackfield.addresses import origin_of
from jackfield.api import Cause, Credential, CredentialSource, Provider, QuotaWindow, Secret, fault_of_key
from jackfield.config import Loaded
from jackfield.health import ALL_MODELS, OWN_LIMIT, SAYS, Cooling, Health, until_when
from jackfield.trace import log

LIMITED: Final = {"rpm": 60, "tpm": 60, "rpd": 86400, "tpd": 86400}
"""Seconds after which there is new of what the operator limits."""
_SOURCE_LIMIT: Final = 30.0
"""Seconds that a source may take to say what credentials it has."""


class Account:
    """A credential in use: what it is, whose provider it belongs to, and its live figures."""

    def __init__(self, credential: Credential, provider: Provider, health: Health | None = None) -> None:
        self.credential, self.provider, self.health = credential, provider, health or Health()
        self.in_flight, self.last_used = 0, 0.0
        self.latency: float | None = None
        self.quota: Sequence[QuotaWindow] = ()
        self.measured_at = 0.0
        """Unix time of the latest look at what an answer says of the quota."""
        self.prepared: dict[Any, Any] = {}
        """What the transport made once for this credential."""
        self.resting = self.health.resting.setdefault(credential.id, {})
        """Why it rests, by model; see `health`."""
        self.owed = 0
        """Tokens that were spent and that other processes have not been told of."""
        self._spent: dict[str, tuple[int, int]] = {}
        """Of what the operator limits: the minute or day that it is, and what was used in it."""

    def take(self, credential: Credential, provider: Provider) -> None:
        """Take what was edited; figures and health stay, but for what was wrong with a key that is another now."""
        if credential.key != self.credential.key:
            self.health.forget(self, "credential", "account_action")
        self.credential, self.provider, self.prepared = credential, provider, {}

    @property
    def origins(self) -> set[str | None]:
        """Where the credential may be sent: the origins of its own base URL and of its provider's."""
        return {origin_of(base) for base in (self.credential.base_url, getattr(self.provider, "base_url", None)) if base}

    @property
    def off(self) -> bool:
        """Somebody has switched it, or its provider, off."""
        switched = self.health.off
        return bool(switched) and (self.credential.id in switched or self.provider.key in switched)

    def rests(self, model: str) -> bool:
        """Tell whether it is passed over for a model."""
        return self.off or (bool(self.resting) and self.why(model) != "")

    def why(self, model: str) -> str:
        """Say why it is passed over for a model; `''` when it is not."""
        if self.off:
            return "switched off"
        rows = (self.resting.get(place) for place in (ALL_MODELS, OWN_LIMIT, model))
        now = time.time()
        return next((f"{SAYS[row.cause]}{until_when(row.until)}" for row in rows if row is not None and row.until > now), "")

    def begin(self) -> None:
        """Count an attempt in."""
        self.in_flight += 1
        self.last_used = time.time()
        if self.credential.limits is not None:
            self.spend(rpm=1, rpd=1)

    def spend(self, **used: int) -> None:
        """Count what the operator limits (`rpm`, `tpm`, `rpd`, `tpd`); once it is used up, the account rests until there is new."""
        now = time.time()
        self.owed += used.get("tpm", 0)
        for name, amount in used.items():
            window, most = int(now // LIMITED[name]), getattr(self.credential.limits, name, None)
            before, spent = self._spent.get(name, (window, 0))
            self._spent[name] = window, amount + (spent if before == window else 0)
            if most is not None and self._spent[name][1] >= most:
                self.used_up(name)

    def used_up(self, name: str) -> None:
        """Rest until there is new of what the operator limits."""
        now, seconds, row = time.time(), LIMITED[name], self.resting.get(OWN_LIMIT)
        until = float((now // seconds + 1) * seconds)
        if row is None or row.until < until:
            says = f"its limits.{name} is {getattr(self.credential.limits, name, None)}"
            self.health.rest(self, OWN_LIMIT, Cooling("rate", until, now, told=True, message=says))

    def measured(self, model: str, found: tuple[QuotaWindow, ...]) -> None:
        """Take what an answer says of the account's quota; what is spent makes it rest until there is new."""
        self.measured_at, self.quota = time.time(), found or self.quota
        for window in sorted(found, key=lambda window: window.resets_at or 0.0):  # the last to reset decides
            if window.spent and window.resets_at is not None and window.resets_at > (now := time.time()):
                cause: Cause = "quota" if window.resets_at - now > self.health.probe.after else "rate"
                place = ALL_MODELS if window.of == "credential" else model
                probe_at, says = now + self.health.probe.after, f"{window.name} is used up"
                self.health.rest(self, place, Cooling(cause, window.resets_at, now, 1, True, probe_at, says))

    def answered(self, model: str, seconds: float) -> None:
        """Take note of the time to a first byte: a decaying mean in which the latest attempt weighs a fifth. An answer heals."""
        self.latency = seconds if self.latency is None else self.latency * 0.8 + seconds * 0.2
        if self.resting:
            self.health.answered(self, model, time.time() - seconds)


def from_config(loaded: Loaded, problems: list[str]) -> Iterable[Credential]:
    """Return the credentials that the configuration lists. One whose key can be none is a problem instead."""
    for index, given in enumerate(loaded.config.credentials):
        place, key = f"credentials[{index}]", given.key and Secret(given.key.reveal().strip())
        if key is None or not (what := fault_of_key(key.reveal())):
            yield replace(given, key=key, label=given.label or place, origin=f"{loaded.source}: {place}")
        else:
            problems.append(f"{loaded.source}: {place}.key: {what}; it is not used, put in a real one")


def from_environment(providers: Iterable[Provider]) -> Iterable[Credential]:
    """Return a credential for each provider whose key is set in the environment."""
    for provider in providers:
        for name in provider.auth.env if provider.auth else ():
            if (value := os.environ.get(name, "").strip()) and (what := fault_of_key(value)):
                log.warning("$%s: %s; it is not used", name, what)
            elif value:
                yield Credential(provider=provider.key, key=Secret(value), label=f"${name}", origin=f"${name}")
                break


class Source(Struct, kw_only=True, eq=False):
    """A plugin's source of credentials, and what it gave last."""

    plugin: str
    object: CredentialSource
    credentials: Sequence[Credential] = ()
    problems: Sequence[str] = ()
    watched: bool = False
    """It tells by itself when it has to be asked again."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def load(self) -> None:
        """Ask for its credentials. One that fails keeps what it gave last, and is a problem."""
        place = f"plugin {self.plugin!r}: credential source {self.object.name!r}"
        async with self._turn:
            try:
                async with asyncio.timeout(_SOURCE_LIMIT) as timer:
                    found = await self.object.load()
                self.credentials = [given if given.origin else replace(given, origin=place) for given in found]
                self.problems = tuple(getattr(self.object, "problems", ()))
            except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
                what = f"took longer than {_SOURCE_LIMIT:g} s" if timer.expired() else f"{type(fault).__name__}: {fault}"
                file, why = getattr(fault, "filename", None), getattr(fault, "strerror", None)
                self.problems = (f"plugin {self.plugin!r}: {file}: {why}" if file and why else f"{place}: {what}",)

    def watch(self, changed: Callable[["Source"], None]) -> None:
        """Have it tell when it has to be asked again, if it can."""
        if not self.watched and callable(watch := getattr(self.object, "watch", None)):
            try:
                watch(lambda: changed(self))
                self.watched = True
            except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
                log.warning("plugin %r: credential source %r cannot be watched: %s", self.plugin, self.object.name, fault)


def _lacks_key(credential: Credential, provider: Provider) -> bool:
    """Tell whether a credential without a key is of no use: its provider needs one, and its own headers hold none."""
    carried = () if provider.auth is None or provider.key_optional else provider.auth.headers(Secret(""))
    return bool(carried) and {name.lower() for name, _ in carried}.isdisjoint(name.lower() for name in credential.headers)


def accounts(
    credentials: Iterable[Credential],
    providers: dict[str, Provider],
    known: dict[str, Account],
    problems: list[str],
    health: Health | None = None,
) -> list[Account]:
    """Pair credentials with their providers, each id once: the first counts, and another that was not implied is a problem.

    Accounts that are `known` are kept, with their live figures and, where nothing was edited, all that was made of them.
    """
    by_id: dict[str, Account] = {}
    for given in credentials:
        credential, provider = given if given.id else replace(given, id=given.identity), providers.get(given.provider)
        if provider is None:
            problems.append(
                f"{credential.origin}: there is no provider {credential.provider!r}; known: {', '.join(sorted(providers)) or 'none'}"
            )
        elif (first := by_id.get(credential.id)) is not None:
            if credential.origin and not credential.origin.startswith("$"):  # the environment's key is often the configured one
                problems.append(f"{credential.origin}: {credential.id!r} is in {first.credential.origin} already; it is not used twice")
        elif credential.key is None and credential.origin and not credential.base_url and _lacks_key(credential, provider):
            problems.append(f"{credential.origin}: the key is missing, and provider {provider.key!r} needs one; it is not used")
        elif credential.origin or all(account.provider is not provider for account in by_id.values()):
            # What sets a base URL or models stands in for the implied one, which has no origin.
            account = by_id[credential.id] = known.get(credential.id) or Account(credential, provider, health)
            if (account.credential, account.provider) != (credential, provider):
                account.take(credential, provider)
    return [account for account in by_id.values() if not account.credential.disabled]
