"""Access by API keys: who has one of the configured keys may call."""

from __future__ import annotations

import os
import re
import secrets
from hashlib import sha256
from typing import Final

import msgspec

from jackfield.api import Allow, Call, Host, Principal, Reject, Secret, hook, is_placeholder

KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key")
"""Headers in which SDKs send a key alone: Anthropic's and Google's. OpenAI's sends `Authorization`."""

_HASH: Final = re.compile(r"(?:sha256[:$])?[0-9a-fA-F]{64}")


class AllowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a key may be used for: patterns with `*`. What is left out is not restricted."""

    models: tuple[str, ...] | None = None
    dialects: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None


class KeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key, given in one of three ways."""

    name: str
    """Whose it is: shown in logs and handed to plugins."""
    key: Secret | None = None
    """The key itself; `${NAME}` reads it from the environment."""
    hash: str | None = None
    """Its SHA-256, in hexadecimal digits, so that the file holds no key."""
    env: str | None = None
    """The environment variable that holds it."""
    tags: tuple[str, ...] = ()
    allow: AllowSettings | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: a key must say whose it is")
        if sum(way is not None for way in (self.key, self.hash, self.env)) != 1:
            raise ValueError(f"the key {self.name!r} needs exactly one of `key`, `hash` and `env`")
        if self.hash is not None and _HASH.fullmatch(self.hash) is None:
            raise ValueError(f"the hash of the key {self.name!r} is not a SHA-256 in hexadecimal digits")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys. Without any, the plugin sets no rule and asks nobody."""

    keys: tuple[KeySettings | Secret, ...] = ()
    """Keys with names, or plain texts, which are named by their place."""
    generate: bool = False
    """Make a key when there is none, and print it once."""


_SHOWN = 30 * 86400.0
"""Seconds in which a generated key is not shown again by a process that takes another's place."""
MOST_SPELLINGS = 10_000
"""Headers that are remembered: a key may be sent with any spelling of `Bearer` and any spaces."""


class Plugin:
    """Looks a client's key up by its hash, so that the time a look-up takes says nothing about the keys."""

    def __init__(self, config: Config, host: Host) -> None:
        self.problems: list[str] = []
        """What is wrong with the configured keys, one line each; listed by the host."""
        self.has_rules = bool(config.keys) or config.generate
        """Whether anybody is asked for a key. Keys that cannot be used still close the door."""
        self._by_hash: dict[bytes, Principal] = {}
        self._accepted: dict[str | None, Principal] = {}
        """Whom a header stands for that was accepted before. Python's own hash of a text is keyed anew in each process, so
        that this look-up tells as little as the other."""
        for index, given in enumerate(config.keys):
            self._add(index, given)
        self._generates, self._log, self._state = config.generate and not config.keys, host.log, host.state

    def _add(self, index: int, given: KeySettings | Secret) -> None:
        settings = KeySettings(name=f"key-{index + 1}", key=given) if isinstance(given, Secret) else given
        digest = self._digest(index, settings)
        if digest is None:
            return
        if digest in self._by_hash:
            self.problems.append(f"keys[{index}]: the same key as that of {self._by_hash[digest].name!r}; it is not used twice")
            return
        allow = settings.allow
        self._by_hash[digest] = Principal(
            name=settings.name,
            tags=settings.tags,
            allow=Allow(models=allow.models, dialects=allow.dialects, operations=allow.operations) if allow else None,
        )

    def _digest(self, index: int, settings: KeySettings) -> bytes | None:
        """Return the SHA-256 of a key; None, with a problem noted, for one that cannot be used."""
        if settings.hash is not None:
            return bytes.fromhex(settings.hash[-64:])
        text = os.environ.get(settings.env or "", "").strip() if settings.env is not None else (settings.key or Secret("")).reveal().strip()
        if not text:
            what = f"${settings.env} is not set" if settings.env is not None else "the key is empty"
            self.problems.append(f"keys[{index}] ({settings.name}): {what}; nobody can use it")
            return None
        if is_placeholder(text):
            place = f"keys[{index}] ({settings.name})"
            self.problems.append(f"{place}: a placeholder stands where a key should; it is not accepted, put in a real one")
            return None
        return _hashed(text)

    async def start(self) -> None:
        """Make a key if one is wanted: now, and not when the plugin is only looked at."""
        if self._generates:
            run = os.environ.get("JACKFIELD_RUN") or secrets.token_urlsafe(32)
            key = f"jf-{sha256(f'api key of {run}'.encode()).hexdigest()}"
            self._by_hash[_hashed(key)] = Principal(name="generated")
            if await self._first_to_show(_hashed(key).hex()):
                self._log.warning("made an API key, shown only now: %s", key)

    async def _first_to_show(self, name: str) -> bool:
        """Tell whether no other process of this host has shown the key: all that were started by one another have the same."""
        try:
            return await self._state.set(f"shown/{name}", b"1", ttl=_SHOWN, if_absent=True)
        except OSError:
            return True

    @hook(needs=("headers", "secret"))
    def authenticate(self, call: Call) -> Principal | Reject | None:
        """Accept a request that carries one of the keys; reject one with another key; pass over one without."""
        said = call.headers.get("authorization")
        if said in self._accepted:
            return self._accepted[said]
        key = _key_of(call)
        if key is None:
            return None
        principal = self._by_hash.get(_hashed(key))
        if principal is not None and said is not None and _bearer(said) == key and len(self._accepted) < MOST_SPELLINGS:
            self._accepted[said] = principal
        return principal or Reject()


def _hashed(key: str) -> bytes:
    return sha256(key.encode(errors="surrogateescape")).digest()  # a header may hold any bytes


def _bearer(header: str) -> str | None:
    """Return the token of an Authorization header (RFC 6750, section 2.1); None for another scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip() if token and scheme.lower() == "bearer" else None


def _key_of(call: Call) -> str | None:
    """Return the key that a request carries: `Authorization: Bearer`, then the header or query key of its dialect's SDKs."""
    headers = call.headers
    if (token := _bearer(headers.get("authorization") or "")) is not None:
        return token
    for name in KEY_HEADERS:
        value = headers.get(name)
        if value:
            return value.strip()
    return next((value for name in call.key_query if (value := call.query.get(name))), None)
