"""Credentials: read from the configuration, the environment and plugins' sources, each once, each with its live figures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from jackfield.api import Credential, CredentialSource, Provider, QuotaWindow, Secret, is_placeholder
from jackfield.config import Loaded

log = logging.getLogger("jackfield")


class Account:
    """A credential in use: what it is, whose provider it belongs to, and its live figures."""

    __slots__ = ("credential", "in_flight", "last_used", "latency", "prepared", "provider", "quota")

    def __init__(self, credential: Credential, provider: Provider) -> None:
        self.credential = credential
        self.provider = provider
        self.in_flight = 0
        self.latency: float | None = None
        self.last_used = 0.0
        self.quota: Sequence[QuotaWindow] = ()
        self.prepared: dict[Any, Any] = {}
        """What the transport made once for this credential."""

    def answered(self, seconds: float) -> None:
        """Take note of the time to a first byte: a decaying mean in which the latest attempt weighs a fifth."""
        self.latency = seconds if self.latency is None else self.latency * 0.8 + seconds * 0.2


def from_config(loaded: Loaded) -> Iterable[Credential]:
    """Return the credentials that the configuration lists. Placeholders are left out."""
    for index, given in enumerate(loaded.config.credentials):
        if given.key is not None and is_placeholder(given.key.reveal()):
            continue
        subject = given.key.fingerprint if given.key else given.label or str(index)
        yield Credential(
            id=f"{given.provider}:{subject}",
            provider=given.provider,
            kind="key" if given.key else "none",
            secret=given.key,
            label=given.label or f"credentials[{index}]",
            base_url=given.base_url,
            prefix=given.prefix,
            priority=given.priority,
            weight=given.weight,
            proxy=given.proxy,
            headers=given.headers,
            models=given.models,
            excluded=given.excluded,
            aliases=given.aliases,
            disabled=given.disabled,
            notes=given.notes,
            origin=f"{loaded.source}: credentials[{index}]",
        )


def from_environment(providers: Iterable[Provider], environment: dict[str, str]) -> Iterable[Credential]:
    """Return a credential for each provider whose key is set in the environment."""
    for provider in providers:
        for name in provider.auth.env if provider.auth else ():
            value = environment.get(name, "").strip()
            if is_placeholder(value):
                log.warning("$%s holds a placeholder where a key should be; it is not used", name)
            elif value:
                yield Credential(
                    id=f"{provider.key}:{Secret(value).fingerprint}",
                    provider=provider.key,
                    secret=Secret(value),
                    label=f"${name}",
                    origin=f"${name}",
                )
                break


def implied(providers: Iterable[Provider]) -> Iterable[Credential]:
    """Return the one credential that each provider without keys has."""
    for provider in providers:
        if provider.auth is None:
            yield Credential(id=f"{provider.key}:none", provider=provider.key, kind="none", label="none needed", origin="implied")


async def from_sources(sources: Iterable[tuple[str, CredentialSource]], problems: list[str]) -> list[Credential]:
    """Return what the plugins' sources hold; a source that fails is a problem, the others still count."""
    found: list[Credential] = []
    for plugin, source in sources:
        try:
            found.extend(await source.load())
        except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
            problems.append(f"plugin {plugin!r}: credential source {source.name!r}: {type(fault).__name__}: {fault}")
    return found


def accounts(
    credentials: Iterable[Credential], providers: dict[str, Provider], known: dict[str, Account], problems: list[str]
) -> list[Account]:
    """Pair credentials with their providers. Live figures of accounts that are `known` are kept; doubles count once."""
    by_id: dict[str, Account] = {}
    explicit = set()
    for credential in credentials:
        provider = providers.get(credential.provider)
        if provider is None:
            problems.append(f"{credential.origin}: there is no provider {credential.provider!r}; known: {', '.join(sorted(providers)) or 'none'}")
            continue
        if credential.origin == "implied" and provider.key in explicit:
            continue  # a credential that only sets a base URL or models stands in for the implied one
        explicit.add(provider.key)
        if credential.id in by_id and by_id[credential.id].credential.base_url == credential.base_url:
            continue
        account = known.get(credential.id) or Account(credential, provider)
        account.credential, account.provider = credential, provider
        account.prepared = {}
        by_id[_unused(credential.id, by_id)] = account
    return [account for account in by_id.values() if not account.credential.disabled]


def _unused(name: str, taken: dict[str, Account]) -> str:
    number, free = 2, name
    while free in taken:
        free = f"{name}#{number}"
        number += 1
    return free
