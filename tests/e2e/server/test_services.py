"""A host as a service of the system's and in a container: the files for it, and what the service manager is told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jackfield.settings import Server
from tests.e2e.server.test_workers import CONFIG, House, Load, environment, gone

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
UNIT = DEPLOY / "jackfield.service"
CONTAINER = DEPLOY / "Containerfile"
needs_notices = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sd_notify is Linux's")


# ---------------------------------------------------------------------------------------------- sd_notify


class Manager:
    """The end of the service manager: a datagram socket that is always read, and what came, notice by notice."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner, self.told, self._news = inner, list[list[str]](), asyncio.Event()

    def read(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.told.append(self._inner.recv(4096).decode().split("\n"))
                self._news.set()

    async def until(self, *words: str, times: int = 1) -> None:
        """Wait until a notice that says all these has come so many times."""
        async with asyncio.timeout(30):
            while sum(set(words) <= set(said) for said in self.told) < times:
                self._news.clear()
                await self._news.wait()

    @property
    def beside_life(self) -> list[str]:
        """What was told, but for the signs of life."""
        self.read()
        return [word for said in self.told for word in said if word != "WATCHDOG=1"]


@asynccontextmanager
async def manager(address: str) -> AsyncIterator[Manager]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inner:
        inner.bind("\0" + address[1:] if address[0] == "@" else address)
        inner.setblocking(False)
        made = Manager(inner)
        loop.add_reader(inner, made.read)
        try:
            yield made
        finally:
            loop.remove_reader(inner)


def watched(folder: Path, address: str) -> dict[str, Any]:
    """Return how a service is started whose manager wants a sign of life each 0.4 s, of the main process alone."""
    variables = {**environment(folder), "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}
    return {"environment": variables, "before": "export WATCHDOG_PID=$$"}


@needs_notices
@pytest.mark.parametrize(("workers", "abstract"), [(1, True), (1, False), (2, False)])
async def test_the_manager_is_told_when_it_serves_lives_and_ends(serve: Any, tmp_path: Path, workers: int, abstract: bool) -> None:
    address = f"@jackfield-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    options = ("--workers", str(workers)) if workers > 1 else ()
    async with manager(address) as told:
        async with serve(CONFIG, *options, **watched(tmp_path, address)) as process:
            await told.until("READY=1", f"MAINPID={process.pid}")
            await told.until("WATCHDOG=1", times=2)
            process.signal(signal.SIGTERM)
            await asyncio.wait_for(process.inner.communicate(), 60)
            assert process.inner.returncode == 0
        assert told.beside_life == ["READY=1", f"MAINPID={process.pid}", "STOPPING=1"]


@needs_notices
async def test_a_successor_is_the_main_process_and_gives_the_signs_of_life(serve: Any, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    async with manager(address) as told, serve(CONFIG, **watched(tmp_path, address)) as process:
        (successor,) = (await House(process, tmp_path).command("upgrade"))["started"]
        try:
            await told.until("READY=1", f"MAINPID={successor}")
            assert await process.inner.wait() == 0
            told.read()
            assert "STOPPING=1" not in told.beside_life
            told.told.clear()
            await told.until("WATCHDOG=1", times=2)
        finally:
            os.kill(successor, signal.SIGTERM)
        await told.until("STOPPING=1")
        await gone(successor)


@needs_notices
async def test_an_upgrade_of_workers_leaves_the_main_process_as_it_is(serve: Any, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    async with manager(address) as told:
        async with serve(CONFIG, "--workers", "2", **watched(tmp_path, address)) as process:
            await House(process, tmp_path).command("upgrade")
            process.signal(signal.SIGTERM)
            await asyncio.wait_for(process.inner.communicate(), 60)
            assert process.inner.returncode == 0
        assert [one for one in told.beside_life if "PID" in one] == [f"MAINPID={process.pid}"]


@needs_notices
async def test_a_manager_that_does_not_read_holds_up_nobody(serve: Any, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(address)
        async with serve(CONFIG, environment={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000"}) as process:
            house = House(process, tmp_path)
            async with Load(house.url, 1) as load:
                await load.until(200)
            assert load.outcomes.keys() == {"ok"}
            process.signal(signal.SIGTERM)
            await asyncio.wait_for(process.inner.communicate(), 60)
            assert process.inner.returncode == 0


# --------------------------------------------------------------------------------------------- the files


def unit() -> dict[str, str]:
    """Return what the unit sets, without its comments."""
    lines = [line.partition("=") for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line)]
    return {key: value for key, _, value in lines}


def test_the_unit_is_one_that_systemd_knows(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace("/opt/jackfield/bin/jackfield", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_the_unit_fits_what_the_host_does() -> None:
    said = unit()
    assert said["Type"] == "notify"
    assert said["NotifyAccess"] == "all", "a successor has another pid"
    assert int(said["TimeoutStopSec"]) > Server().grace + 10
    assert int(said["TimeoutStartSec"]) > 120
    assert int(said["WatchdogSec"]) >= 10
    assert not {"MemoryDenyWriteExecute", "RestrictNamespaces", "SystemCallFilter"} & said.keys(), "plugins in other languages need these"


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of the container file, stage by stage."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", CONTAINER.read_text(), flags=re.MULTILINE))
    found = [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]
    starts = [at for at, (word, _) in enumerate(found) if word == "FROM"]
    return [found[at:end] for at, end in zip(starts, [*starts[1:], len(found)], strict=True)]


def last(instruction: str) -> str:
    return [rest for word, rest in stages()[-1] if word == instruction][-1]


def test_the_image_is_of_this_checkout_and_of_no_machines_kind() -> None:
    for stage in stages():
        assert re.fullmatch(r"FROM [a-z]+:[\w.-]+( AS \w+)?", " ".join(stage[0])), "no host's name, no platform"
        assert "ADD" not in {word for word, _ in stage}
        for word, rest in stage:
            if word == "COPY" and not rest.startswith("--from"):
                assert all((DEPLOY.parent / name).exists() for name in rest.split()[:-1])
            assert not re.search(r"amd64|arm64|x86_64|aarch64|https?://(?!127\.0\.0\.1)", rest)
    assert last("USER").split(":")[0] not in ("0", "root")


def reading_python() -> list[str]:
    """Return what stands before a command that another user is to run: one that may read where this Python is, and write nowhere."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not here")
    user, group = last("USER").split(":")
    return ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs", "--inh-caps", "+dac_read_search",
            "--ambient-caps", "+dac_read_search"]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="a container is Linux")
@pytest.mark.parametrize("workers", [1, 2])
async def test_what_the_container_runs_serves_as_its_user(tmp_path: Path, workers: int) -> None:
    before = reading_python()
    var, run, etc = (tmp_path / name for name in ("var", "run", "etc"))
    for folder in (var, run, etc):
        folder.mkdir()
    for state in (var / "jackfield", run / "jackfield"):
        state.mkdir(mode=0o700)
        os.chown(state, *(map(int, last("USER").split(":")) if before else (-1, -1)))
    entry, command, check = (json.loads(last(what).partition("CMD ")[2] or last(what)) for what in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    assert entry == ["tini", "--", "jackfield"]
    (etc / "jackfield.yaml").write_text(f"server: {{port: 0, workers: {workers}}}\n")
    variables = dict(pair.split("=", 1) for pair in last("ENV").split())
    folders = {"XDG_STATE_HOME": var, "XDG_DATA_HOME": var, "XDG_RUNTIME_DIR": run}
    assert folders.keys() < variables.keys()
    given = {**variables, "PATH": os.environ["PATH"], **{name: str(path) for name, path in folders.items()}, "JACKFIELD_GENERATE_KEY": "1"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", "jackfield", *command, cwd=etc, env=given, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        key = port = None
        async with asyncio.timeout(60):
            while key is None or port is None:
                line = (await process.stdout.readline()).decode()
                assert line, "it ended"
                key = key or (found[0] if (found := re.findall(r"\bjf-\S+", line)) else None)
                port = port or (found[0] if (found := re.findall(r"listens on \S+:(\d+)", line)) else None)
        assert check[0] == "python"
        healthy = [sys.executable, *check[1:-1], check[-1].replace("8317", port)]
        assert await (await asyncio.create_subprocess_exec(*healthy)).wait() == 0
        ask = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            told = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.7", "Connection": "close"}
            for said, status in ((told, 200), ({}, 401)) * 5:  # whichever worker it comes to
                async with client.post("/v1/chat/completions", json=ask, headers=said) as answer:
                    assert answer.status == status
        process.terminate()
        await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
