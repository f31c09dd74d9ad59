"""A router for Jackfield: requests that carry tools go to one model, long conversations to another."""

from typing import Annotated

from msgspec import Meta, Struct

from jackfield.api import Call, Route


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    """Settings, in the configuration under `plugins.workload`."""

    tools: str | None = None
    """The model for requests that carry tools."""
    long: str | None = None
    """The model for long conversations."""
    long_from: Annotated[int, Meta(ge=1)] = 20
    """How many messages make a conversation long."""


class Plugin:
    """Made by the host when it starts, with what the configuration says."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def route_model(self, call: Call) -> Route | None:
        """Choose by what the request carries; None leaves it to the next router, or to the model that was asked for."""
        config, tools, messages = self._config, len(call.request.tools), len(call.request.messages)
        if config.tools and tools:
            return Route(model=config.tools, reason=f"carries tools ({tools})")
        if config.long and messages >= config.long_from:
            return Route(model=config.long, reason=f"is long ({messages} messages)")
        return None
