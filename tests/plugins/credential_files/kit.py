"""What the tests of the folder share: a host with a clock of their own, and somebody who is told of changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jackfield.api import Credential
from jackfield_credential_files import Config, Plugin
from jackfield_credential_files.folder import Folder

PATIENCE = 10.0
"""Seconds after which a test gives up on what should happen at once."""


class OwnHost:
    """What the plugin asks of a host: tasks, a clock, a log."""

    def __init__(self) -> None:
        self.log = logging.getLogger("jackfield.plugins.credential_files")
        self.now = 1000.0
        self.tasks: list[asyncio.Task[Any]] = []

    def clock(self) -> float:
        return self.now

    def spawn(self, work: Coroutine[Any, Any, object], name: str = "") -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        for ended in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended


class Told:
    """Counts how often it is told that something has changed."""

    def __init__(self) -> None:
        self.times = 0
        self._seen = 0
        self._news = asyncio.Event()

    def __call__(self) -> None:
        asyncio.get_running_loop()  # told on the event loop, or this raises
        self.times += 1
        self._news.set()

    async def again(self) -> None:
        """Wait until it is told once more than when this was last asked."""
        async with asyncio.timeout(PATIENCE):
            while self.times == self._seen:
                self._news.clear()
                await self._news.wait()
        self._seen = self.times


def folder_at(path: Path | None, host: OwnHost | None = None, **config: Any) -> Folder:
    """Return the source that the plugin registers."""
    plugin = Plugin(Config(folder=str(path) if path else None, **config), host or OwnHost())  # type: ignore[arg-type]
    (source,) = plugin.register_credential_sources()
    assert isinstance(source, Folder)
    return source


@asynccontextmanager
async def watched(path: Path, **config: Any) -> AsyncIterator[tuple[Folder, Told, OwnHost]]:
    """Watch a folder as the host does: loaded first, then watched."""
    host, told = OwnHost(), Told()
    source = folder_at(path, host, **config)
    await source.load()
    source.watch(told)
    try:
        yield source, told, host
    finally:
        await host.close()


def write(path: Path, *credentials: Any, mode: int = 0o600, **said: Any) -> Path:
    """Write a file as somebody else would: one credential by its fields, or several."""
    path.touch(mode)
    path.write_text(json.dumps({**said, "credentials": list(credentials)} if credentials else {"provider": "toy", **said}))
    return path


def write_raw(path: Path, text: str | bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def labels(source: Folder) -> list[str]:
    return [one.label for one in await source.load()]


def looks(monkeypatch: Any) -> Callable[[int], Coroutine[Any, Any, None]]:
    """Return what waits until the folder has been looked through so many times more."""
    import os

    loop, scandir = asyncio.get_running_loop(), os.scandir
    seen = asyncio.Queue[None]()

    def counted(path: Any) -> Any:
        found = scandir(path)
        loop.call_soon_threadsafe(seen.put_nowait, None)
        return found

    monkeypatch.setattr("jackfield_credential_files.folder.os.scandir", counted)

    async def wait(times: int) -> None:
        while not seen.empty():
            seen.get_nowait()
        async with asyncio.timeout(PATIENCE):
            for _ in range(times):
                await seen.get()

    return wait


def one(credentials: Any, **said: Any) -> Credential:
    """Return the one credential of which these things are so."""
    (found,) = [c for c in credentials if all(getattr(c, name) == value for name, value in said.items())]
    return found
