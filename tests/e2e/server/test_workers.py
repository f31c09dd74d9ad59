"""Several processes that serve one port, and processes that take one another's place: by `jackfield serve --workers` and `upgrade`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need a system that lets processes inherit sockets")

CONFIG: dict[str, Any] = {"server": {"grace": "10s"}, "plugins": {"credential_files": {"enabled": False}}}
WORDS = "Hello there, my friend " * 10


class House:
    """A host, and commands that are given to it."""

    def __init__(self, process: Any, folder: Path) -> None:
        self.process, self.url, self._folder = process, process.url, folder
        self.port = process.url.rpartition(":")[2]

    async def command(self, *said: str) -> Any:
        """Give a command and return what it answers."""
        command = (sys.executable, "-m", "jackfield", *said, "--port", self.port, "--json")
        pipe = asyncio.subprocess.PIPE
        done = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment(self._folder), cwd=self._folder)
        out, err = await done.communicate()
        assert done.returncode == 0, err.decode()
        return json.loads(out)

    async def workers(self, count: int = 2) -> list[int]:
        """Return the numbers of the workers' processes, once there are as many as there should be."""
        async with asyncio.timeout(30):
            while True:
                with suppress(AssertionError):  # none serves just now
                    if len(found := [one["pid"] for one in (await self.command("status"))["workers"]]) == count:
                        return found
                await asyncio.sleep(0.05)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder / "run")}


class Load:
    """Clients that call without a pause, half of them for streams, and what came of it."""

    model = "sim/echo"

    def __init__(self, url: str, clients: int = 8) -> None:
        self._url, self._clients, self.outcomes, self._stop = url, clients, Counter[str](), False
        self.latest = 0.0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._tasks = [asyncio.create_task(self._call(at % 2 == 0)) for at in range(self._clients)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def until(self, answered: int) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.outcomes["ok"] + answered
        async with asyncio.timeout(60):
            while self.outcomes["ok"] < wanted:
                await asyncio.sleep(0.01)

    async def _call(self, stream: bool) -> None:
        body = {"model": self.model, "stream": stream, "messages": [{"role": "user", "content": WORDS}]}
        while not self._stop:
            try:
                async with self._session.post(f"{self._url}/v1/chat/completions", json=body) as response:
                    said = await response.read()
                whole = response.status == 200 and (not stream or said.rstrip().endswith(b"data: [DONE]"))
                self.outcomes["ok" if whole else f"{response.status} {said[-80:]!r}"] += 1
                self.latest = time.monotonic()
            except (aiohttp.ClientError, OSError) as fault:
                self.outcomes[type(fault).__name__] += 1
                await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def gone(*pids: int) -> None:
    async with asyncio.timeout(30):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def test_workers_share_a_port_and_one_that_dies_takes_only_its_own_calls_along(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, "--workers", "2", environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        before = await house.workers()
        assert len(before) == 2
        async with Load(house.url) as load:
            await load.until(100)
            failed = sum(load.outcomes.values()) - load.outcomes["ok"]
            os.kill(before[0], signal.SIGKILL)
            killed = time.monotonic()
            await load.until(100)
            assert time.monotonic() - killed < 20
        assert failed == 0
        assert sum(load.outcomes.values()) - load.outcomes["ok"] <= 8
        async with asyncio.timeout(30):
            while len(after := await house.workers()) < 2:
                await asyncio.sleep(0.05)
        assert before[1] in after
        assert before[0] not in after
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    await gone(*after)


async def test_connections_that_come_at_once_are_shared_out(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, "--workers", "2", environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        await house.workers()
        slow = {"model": "sim/slow", "stream": True, "messages": [{"role": "user", "content": WORDS * 5}]}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client, AsyncExitStack() as open_ones:
            asked = (client.post(f"{house.url}/v1/chat/completions", json=slow) for _ in range(32))
            for response in await asyncio.gather(*map(open_ones.enter_async_context, asked)):
                assert response.status == 200
            calls = [one["calls"] for one in (await house.command("status"))["workers"]]
        assert sum(calls) == 32
        assert min(calls) >= 6


async def test_what_was_switched_off_survives_the_death_of_all_workers(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, "--workers", "2", environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        before = await house.workers()
        assert (await house.command("status"))["off"] == []
        disable = (sys.executable, "-m", "jackfield", "credentials", "disable", "sim", "--port", house.port)
        pipe = asyncio.subprocess.PIPE
        done = await asyncio.create_subprocess_exec(*disable, stdout=pipe, stderr=pipe, env=environment(tmp_path), cwd=tmp_path)
        assert await done.communicate() == (b"sim is switched off\n", b"")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await gone(*before)
        assert not set(await house.workers()) & set(before)
        assert (await house.command("status"))["off"] == ["sim"]
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
        async with aiohttp.ClientSession() as client, client.post(f"{house.url}/v1/chat/completions", json=body) as response:
            assert response.status == 503
            assert "switched off" in (await response.json())["error"]["message"]


async def test_what_is_asked_of_the_host_is_asked_of_each(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, "--workers", "2", "--no-watch", environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        await house.workers()
        assert (await house.command("reload"))["generation"] == 1
        config = tmp_path / "jackfield.yaml"
        config.write_text(config.read_text() + "\nmodels:\n  aliases: {other: sim/echo}\n")
        assert (await house.command("reload"))["generation"] == 2
        status = await house.command("status")
        assert [one["generation"] for one in status["workers"]] == [2, 2]
        async with aiohttp.ClientSession() as client:
            for _ in range(10):
                body = {"model": "other", "messages": [{"role": "user", "content": "hi"}]}
                async with client.post(f"{house.url}/v1/chat/completions", json=body, headers={"Connection": "close"}) as response:
                    assert response.status == 200
        assert [row["provider"] for row in await house.command("credentials")] == ["sim"]


async def test_a_credential_is_removed_for_all_workers(serve: Any, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    for name in ("one", "two"):
        (folder / f"{name}.json").write_text(json.dumps({"provider": "openai", "id": name, "key": f"sk-{name}"}))
        (folder / f"{name}.json").chmod(0o600)
    config = CONFIG | {"plugins": {"credential_files": {"folder": str(folder)}}}
    async with serve(config, "--workers", "3", environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        await house.workers(3)
        remove = (sys.executable, "-m", "jackfield", "credentials", "remove", "one", "--port", house.port)
        pipe = asyncio.subprocess.PIPE
        done = await asyncio.create_subprocess_exec(*remove, stdout=pipe, stderr=pipe, env=environment(tmp_path), cwd=tmp_path)
        assert await done.communicate() == (b"one is removed\n", b"")
        for _ in range(3):
            assert "one" not in [row["id"] for row in await house.command("credentials")]


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_upgrade_fails_no_call_and_cuts_no_stream(serve: Any, tmp_path: Path, workers: int) -> None:
    options = ("--workers", str(workers)) if workers > 1 else ()
    async with serve(CONFIG, *options, environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        if workers > 1:
            await house.workers(workers)
        slow = {"model": "sim/slow", "stream": True, "messages": [{"role": "user", "content": WORDS}]}
        async with Load(house.url) as load, aiohttp.ClientSession() as client:
            await load.until(50)
            async with client.post(f"{house.url}/v1/chat/completions", json=slow) as response:
                first = await response.content.readany()
                pids = []
                for _ in range(2):
                    told = await house.command("upgrade")
                    pids += told["leaving"]
                    assert len(told["started"]) == len(told["leaving"]) == workers
                    await load.until(50)
                rest = await response.read()
            assert (first + rest).rstrip().endswith(b"data: [DONE]")
            await gone(*(pid for pid in pids if pid != process.pid))
            await load.until(20)
        assert load.outcomes.keys() == {"ok"}
        for pid in told["started"] if workers == 1 else [process.pid]:
            os.kill(pid, signal.SIGTERM)
        await gone(*told["started"])


async def test_workers_end_with_the_process_that_watches_over_them(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, "--workers", "2", environment=environment(tmp_path)) as process:
        workers = await House(process, tmp_path).workers()
        process.signal(signal.SIGKILL)
        await gone(*workers)


async def test_an_upgrade_that_does_not_serve_changes_nothing(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, "--workers", "2", "--no-watch", environment=environment(tmp_path)) as process:
        house = House(process, tmp_path)
        before = await house.workers()
        config = tmp_path / "jackfield.yaml"
        good = config.read_text()
        config.write_text("server: [")
        with pytest.raises(AssertionError, match="the new workers do not serve, see the log; the old ones go on"):
            await house.command("upgrade")
        config.write_text(good)
        assert await house.workers() == before


async def test_a_port_that_is_taken_is_one_line(serve: Any, tmp_path: Path) -> None:
    async with serve(CONFIG, environment=environment(tmp_path)) as process:
        port = process.url.rpartition(":")[2]
        command = (sys.executable, "-m", "jackfield", "serve", "--workers", "2", "--port", port)
        pipe = asyncio.subprocess.PIPE
        second = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=tmp_path)
        _, err = await second.communicate()
    assert (second.returncode, err.decode()) == (1, f"cannot listen on 127.0.0.1:{port}: Address already in use (server.port)\n")


async def test_workers_that_cannot_start_are_not_started_again(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "jackfield", "serve", "--host", "0.0.0.0", "--port", "0", "--workers", "2")
    pipe = asyncio.subprocess.PIPE
    done = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment(tmp_path), cwd=tmp_path)
    _, said = await asyncio.wait_for(done.communicate(), 30)
    assert done.returncode == 1
    assert "nothing asks who calls" in said.decode()
    assert "another is started" not in said.decode()
