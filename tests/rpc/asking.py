"""What the tests of callbacks share: a host with a plugin out of process that asks it what a call's body says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy, http_toy, talk

ASKER = Path(__file__).with_name("asker.py")
PATIENCE = 20.0
"""Seconds after which a test gives up on what should happen at once."""


def asking_host(url: str = "", *plugins: object, config: dict[str, Any] | None = None, **section: Any) -> Harness:
    """Return a host with the plugin, and a provider at an upstream of the test's where there is one."""
    providers = [http_toy(url)] if url else []
    asker = {"command": [sys.executable, str(ASKER)], **section}
    settings = {"attempts": {"wait": 0}, "plugins": {"asker": asker, "autoload": False}, **(config or {})}
    return Harness([Toy(*providers), *plugins], settings, bare=True)


async def asks(host: Harness, *asked: tuple[str, dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """Have the plugin ask the host within a call; return what it got."""
    answer = await host.post("/toy/v1/talk", talk(ask=asked, **more))
    assert answer.status == 200, answer.body
    got: list[dict[str, Any]] = answer.json
    return got


async def ask(host: Harness, method: str, /, **params: Any) -> dict[str, Any]:
    """Likewise, for one question."""
    return (await asks(host, (method, params)))[0]


def texts(items: Sequence[dict[str, Any]]) -> str:
    """Return the words of a stream's items as one text."""
    return "".join(item["raw"] for item in items)
