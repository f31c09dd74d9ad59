"""OpenAI: its dialect for clients, itself as a provider, and any server that speaks its protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from jackfield.api import Dialect, Host, Provider
from jackfield_openai.chat import ChatDialect
from jackfield_openai.provider import BASE_URL, OpenAISettings, ServerSettings, TimeoutSettings, check_base_url, compatible, openai

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI itself, and further servers by their provider key."""

    base_url: str = BASE_URL
    organization: str | None = None
    project: str | None = None
    timeouts: TimeoutSettings | None = None
    providers: dict[str, ServerSettings] = {}

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        for key in self.providers:
            if _KEY.fullmatch(key) is None:
                raise ValueError(f"providers.{key}: a provider's key has lower-case letters, digits, '.', '_' and '-'")
        if "openai" in self.providers:
            raise ValueError("providers.openai: this key belongs to OpenAI itself; choose another")


class Plugin:
    """The dialect `openai.chat`, the provider `openai`, and one provider for each configured server."""

    def __init__(self, config: Config, host: Host) -> None:
        self._config = config

    def register_dialects(self) -> Sequence[Dialect]:
        """Return the dialects that OpenAI's clients speak."""
        return [ChatDialect()]

    def register_providers(self) -> Sequence[Provider]:
        """Return OpenAI and the configured servers."""
        said = self._config
        own = OpenAISettings(base_url=said.base_url, organization=said.organization, project=said.project, timeouts=said.timeouts)
        return [openai(own), *(compatible(key, server) for key, server in said.providers.items())]
