"""Anthropic: its dialect for clients, itself as a provider, and any server that speaks its protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from jackfield.api import Dialect, Host, Provider
from jackfield_anthropic.messages import MessagesDialect
from jackfield_anthropic.provider import (
    BASE_URL,
    VERSION,
    AnthropicSettings,
    ServerSettings,
    TimeoutSettings,
    anthropic,
    check_base_url,
    compatible,
)

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Anthropic itself, and further servers by their provider key."""

    base_url: str = BASE_URL
    version: str = VERSION
    beta: tuple[str, ...] = ()
    timeouts: TimeoutSettings | None = None
    providers: dict[str, ServerSettings] = {}

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        for key in self.providers:
            if _KEY.fullmatch(key) is None:
                raise ValueError(f"providers.{key}: a provider's key has lower-case letters, digits, '.', '_' and '-'")
        if "anthropic" in self.providers:
            raise ValueError("providers.anthropic: this key belongs to Anthropic itself; choose another")


class Plugin:
    """The dialect `anthropic.messages`, the provider `anthropic`, and one provider for each configured server."""

    def __init__(self, config: Config, host: Host) -> None:
        self._config = config

    def register_dialects(self) -> Sequence[Dialect]:
        """Return the dialect that Anthropic's clients speak."""
        return [MessagesDialect()]

    def register_providers(self) -> Sequence[Provider]:
        """Return Anthropic and the configured servers."""
        said = self._config
        own = AnthropicSettings(base_url=said.base_url, version=said.version, beta=said.beta, timeouts=said.timeouts)
        return [anthropic(own), *(compatible(key, server) for key, server in said.providers.items())]
