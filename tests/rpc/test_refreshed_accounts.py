"""An account whose source runs in a process of its own is refreshed like any other."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jackfield.api import Credential, Secret
from jackfield.api.testing import Harness
from jackfield.rpc.sources import credential_from, credential_of

SOURCE = """
import time
from jackfield.api import Credential, Secret

class Plugin:
    name = "mine"
    providers = ("openai",)

    def register_credential_sources(self):
        return [self]

    async def load(self):
        return [Credential(provider="openai", id="a", key=Secret("key-1"), expires_at=time.time() + 2, refresh_token=Secret("again-1"))]

    async def refresh(self, credential):
        fresh = Secret(f"after {credential.refresh_token.reveal()}")
        return Credential(provider="openai", id="a", key=fresh, expires_at=time.time() + 3600, refresh_token=Secret("again-2"))
"""


async def test_a_program_refreshes_its_accounts(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    async with Harness(config={"plugins": {"mine": {"path": str(tmp_path / "mine.py"), "isolate": True}}}) as host:
        (source,) = [one for one in host.host.generation.sources if one.plugin == "mine"]
        assert source.object.providers == ["openai"]  # type: ignore[attr-defined]
        (account,) = [one for one in host.host.generation.accounts if one.credential.id == "a"]
        async with asyncio.timeout(20):
            while account.credential.key == Secret("key-1"):
                await asyncio.sleep(0.02)
        assert account.credential.key == Secret("after again-1")
        assert account.credential.refresh_token == Secret("again-2")


def test_a_credential_is_told_whole_and_without_secrets_to_those_who_may_not_know_them() -> None:
    held = Credential(provider="p", id="a", key=Secret("k"), refresh_token=Secret("r"), expires_at=1.5, refresh_at=1.0, label="l")
    assert credential_from(credential_of(held, secret=True)) == held
    told = credential_of(held, secret=False)
    assert (told.key, told.refresh_token) == (None, None)
