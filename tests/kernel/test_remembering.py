"""What rests and what was switched off, over restarts: kept where the state store keeps what it has, and never in a call."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from jackfield import Jackfield
from jackfield.api import CallError, Request
from jackfield.api.canonical import Message, Text
from jackfield.cli.remembering import Remembering
from jackfield_memory import Config as MemoryConfig
from jackfield_memory import MemoryStore
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.pipeline_kit import Made, failing

VALUES: dict[str, bytes] = {}


class Disk(MemoryStore):
    """A store that outlives its hosts."""

    persists = True

    def __init__(self) -> None:
        super().__init__(MemoryConfig())
        self.away: Exception | None = None
        self.writes = 0

    async def get(self, key: str) -> bytes | None:
        if self.away is not None:
            raise self.away
        return VALUES.get(key)

    async def set(self, key: str, value: bytes, **options: Any) -> bool:
        self.writes += 1
        if self.away is not None:
            raise self.away
        VALUES[key] = value
        return True


@pytest.fixture(autouse=True)
def _empty() -> None:
    VALUES.clear()


def host_with(disk: Disk, provider: ToyProvider | None = None) -> tuple[Jackfield, Remembering]:
    stores = Made("disk", register_state_stores=lambda: [("disk", lambda settings: disk)])
    made = Jackfield(
        {"state": "disk", "plugins": {"autoload": False}}, plugins=[Toy(provider or ToyProvider()), stores], listen=False, defaults=False
    )
    remembering = Remembering(made)
    made.before_open.append(lambda _: remembering.recall())
    return made, remembering


ASKED = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))


async def test_what_rests_and_what_is_switched_off_is_there_again_before_the_first_call() -> None:
    quota = ToyProvider(failing((429, {"why": "used up", "code": "quota"})))
    host, remembering = host_with(Disk(), quota)
    async with host:
        with pytest.raises(CallError):
            await host.execute(ASKED)
        host.lasting.health.switch("other", False)
        assert await remembering.save()
    host, _ = host_with(Disk())
    resting: list[Any] = []
    host.before_open.append(lambda host: resting.extend(host.lasting.health.resting.values()))
    async with host:
        assert any(resting)
        assert host.lasting.health.off == {"other"}
        (account,) = host.generation.accounts
        assert host.lasting.health.describe(account)["state"] == "resting"


async def test_only_what_is_new_is_written() -> None:
    disk = Disk()
    host, remembering = host_with(disk)
    async with host:
        host.lasting.health.switch("other", False)
        assert [await remembering.save() for _ in range(3)] == [True] * 3
        assert disk.writes == 2  # what is off, and its place in the journal


@pytest.mark.parametrize("fault", [OSError("the disk is full"), RuntimeError("broken")])
async def test_a_store_that_is_away_is_told_once_and_calls_go_on(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jackfield")
    disk = Disk()
    host, remembering = host_with(disk)
    async with host:
        disk.away = fault
        host.lasting.health.switch("other", False)
        assert [await remembering.save() for _ in range(3)] == [False] * 3
        await host.execute(ASKED)
        assert caplog.text.count(f"is not kept: the state store failed: {fault}") == 1
        disk.away = None
        assert await remembering.save()
        assert "is kept again" in caplog.text
    assert b"other" in next(iter(VALUES.values()))


@pytest.mark.parametrize("kept", [b"nonsense", b"[]", OSError("locked")])
async def test_what_cannot_be_read_keeps_nothing_from_starting(kept: bytes | Exception, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    host, remembering = host_with(disk)
    async with host:
        host.lasting.health.switch("other", False)
        await remembering.save()
    if isinstance(kept, Exception):
        disk.away = kept
    else:
        VALUES.update(dict.fromkeys(VALUES, kept))
    host, _ = host_with(disk)
    async with host:
        await host.execute(ASKED)
    assert "is not known" in caplog.text


async def test_a_store_that_keeps_nothing_is_not_written_to() -> None:
    disk = Disk()
    disk.persists = False
    host, remembering = host_with(disk)
    async with host:
        host.lasting.health.switch("other", False)
        assert not await remembering.save()
        assert disk.writes == 0


async def test_it_is_kept_while_the_host_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jackfield.cli.remembering._EVERY", 0.01)
    host, remembering = host_with(Disk())
    async with host:
        keeping = asyncio.create_task(remembering.run())
        host.lasting.health.switch("other", False)
        async with asyncio.timeout(10):
            while not VALUES:
                await asyncio.sleep(0.01)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
