"""Gemini: Google's dialect for clients, and the Gemini API as a provider."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from jackfield.api import Dialect, Host, Provider
from jackfield_gemini.generate import GenerateDialect
from jackfield_gemini.provider import BASE_URL, ServerSettings, TimeoutSettings, check_base_url, compatible, gemini

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Gemini API itself, and further servers by their provider key."""

    base_url: str = BASE_URL
    timeouts: TimeoutSettings | None = None
    providers: dict[str, ServerSettings] = {}

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        for key in self.providers:
            if _KEY.fullmatch(key) is None:
                raise ValueError(f"providers.{key}: a provider's key has lower-case letters, digits, '.', '_' and '-'")
        if "gemini" in self.providers:
            raise ValueError("providers.gemini: this key belongs to the Gemini API itself; choose another")


class Plugin:
    """The dialect `gemini.generate`, the provider `gemini`, and one provider for each configured server."""

    def __init__(self, config: Config, host: Host) -> None:
        self._config = config

    def register_dialects(self) -> Sequence[Dialect]:
        """Return the dialect that Google's clients speak."""
        return [GenerateDialect()]

    def register_providers(self) -> Sequence[Provider]:
        """Return the Gemini API and the configured servers."""
        said = self._config
        return [gemini(said.base_url, said.timeouts), *(compatible(key, server) for key, server in said.providers.items())]
