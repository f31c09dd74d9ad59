"""OpenAI: its dialect for clients, itself as a provider, and any server that speaks its protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from jackfield.api import Dialect, Host, Provider
from jackfield_openai.chat import ChatDialect
from jackfield_openai.completions import CompletionsDialect
from jackfield_openai.presets import preset_named, presets
from jackfield_openai.provider import (
    BASE_URL,
    FlavourSettings,
    OpenAISettings,
    ServerSettings,
    TimeoutSettings,
    check_base_url,
    compatible,
    known,
    openai,
)
from jackfield_openai.responses import ResponsesDialect

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI itself, and further servers by their provider key."""

    base_url: str = BASE_URL
    organization: str | None = None
    project: str | None = None
    timeouts: TimeoutSettings | None = None
    flavour: FlavourSettings | None = None
    """How requests to OpenAI itself differ, besides what is known; `none` for not at all."""
    providers: dict[str, ServerSettings] = {}
    presets: bool | tuple[str, ...] = True
    """Which of the known providers a key alone brings to life: all, none, or those named."""

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        for name in self.presets if isinstance(self.presets, tuple) else ():
            preset_named(name)
        for key in self.providers:
            if _KEY.fullmatch(key) is None:
                raise ValueError(f"providers.{key}: a provider's key has lower-case letters, digits, '.', '_' and '-'")
        if "openai" in self.providers:
            raise ValueError("providers.openai: this key belongs to OpenAI itself; choose another")


class Plugin:
    """The dialects of OpenAI, the provider `openai`, one provider for each configured server and each known one."""

    def __init__(self, config: Config, host: Host) -> None:
        self._config = config

    def register_dialects(self) -> Sequence[Dialect]:
        """Return the dialects that OpenAI's clients speak."""
        return [ChatDialect(), ResponsesDialect(), CompletionsDialect()]

    def register_providers(self) -> Sequence[Provider]:
        """Return OpenAI, the configured servers, and those known ones that need a key: they serve once there is one."""
        said = self._config
        own = OpenAISettings(
            base_url=said.base_url,
            organization=said.organization,
            project=said.project,
            timeouts=said.timeouts,
            flavour=said.flavour,
        )
        configured = [compatible(key, server) for key, server in said.providers.items()]
        # A preset that stands under another key has the variable of its provider for itself.
        taken = {server.preset for server in said.providers.values()}
        return [openai(own), *configured, *(known(key, env=key not in taken) for key in self._known())]

    def _known(self) -> list[str]:
        """Return the presets that are providers by themselves: not those of servers that their user runs."""
        said = self._config.presets
        wanted = said if isinstance(said, tuple) else [key for key, preset in presets().items() if said and not preset.local]
        return [key for key in wanted if key != "openai" and key not in self._config.providers]
