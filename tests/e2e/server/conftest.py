"""A host as a process of its own, started by `jackfield serve`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.server.raw import WAIT

_SERVE = [sys.executable, "-c", "from jackfield.cli.main import main; main()", "serve"]


class Process:
    """One `jackfield serve`."""

    def __init__(self, inner: asyncio.subprocess.Process) -> None:
        self.inner = inner
        self.url = ""
        self.out: list[str] = []

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.inner.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.inner.send_signal(number)

    async def until(self, word: str) -> str:
        """Read what the process says until a line has that word, and return the line."""
        assert self.inner.stdout is not None
        async with asyncio.timeout(WAIT):
            while line := (await self.inner.stdout.readline()).decode():
                self.out.append(line)
                if word in line:
                    return line
        raise AssertionError("".join(self.out))

    async def ended(self) -> int:
        """Wait for the end and return the exit code."""
        assert self.inner.stdout is not None
        async with asyncio.timeout(WAIT):
            self.out += (await self.inner.stdout.read()).decode().splitlines(keepends=True)
            return await self.inner.wait()


@asynccontextmanager
async def _serve(
    folder: Path,
    config: Mapping[str, Any],
    *options: str,
    environment: Mapping[str, str] | None = None,
    ready: bool = True,
    before: str = ":",
) -> AsyncIterator[Process]:
    file = folder / "jackfield.yaml"
    file.write_bytes(msgspec.yaml.encode(config))
    inner = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", f'{before}; exec "$@"', "sh", *_SERVE, "-c", str(file), "--port", "0", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **(environment or {})}, cwd=folder,
    )  # fmt: skip
    process = Process(inner)
    try:
        if ready:
            process.url = (await process.until("jackfield listens on ")).split()[-1]
            await process.until("plugins:")
        yield process
    finally:
        if inner.returncode is None:
            inner.kill()
        await inner.communicate()


Serve = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Runs `jackfield serve` with a configuration, options and environment, after what `before` has the shell do.

    `ready=False` does not wait until it listens.
    """
    return lambda config, *options, **more: _serve(tmp_path, config, *options, **more)
