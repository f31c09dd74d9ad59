"""Hosts on two machines, which are network namespaces, behind nginx with the configuration of the guide, and Redis between them.

The suite runs a short form. The whole one, with 500 calls at a time and Redis away for ten seconds:

    python -m tests.e2e.test_several_machines --workers 4 --calls 500 --away 10
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web

from tests.docs.markdown import ROOT, document
from tests.redis_server import SERVER, RedisServer

GUIDE = document("docs/how-to/run-on-several-machines.md")
HERE, MACHINES = "10.213.7.1", ("10.213.7.11", "10.213.7.12")
"""Addresses of this end, where nginx, Redis and the provider are, and of the two machines."""
KEY = "a-key-of-the-test"
HELLO = [{"role": "user", "content": "hi"}]


def _lacks() -> str | None:
    """Say what keeps the tests from running."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "network namespaces need Linux and its root"
    missing = [name for name in ("ip", "nginx") if shutil.which(name) is None] + ([] if SERVER else ["redis-server"])
    if missing:
        return f"not here: {', '.join(missing)}"
    probe = f"jf-probe-{os.getpid()}"  # several processes collect the tests at once
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return None if made else "network namespaces cannot be made here"


def ip(*said: str) -> None:
    done = subprocess.run(["ip", *said], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(said)}: {done.stderr}"


class Network:
    """Two namespaces, each with a cable to a bridge of this one."""

    def __enter__(self) -> Self:
        self._remove()  # what a run that was killed left behind
        ip("link", "add", "jf-bridge", "type", "bridge")
        ip("addr", "add", f"{HERE}/24", "dev", "jf-bridge")
        ip("link", "set", "jf-bridge", "up")
        for at, address in enumerate(MACHINES):
            ip("netns", "add", f"jf-{at}")
            ip("link", "add", f"jf-near{at}", "type", "veth", "peer", "name", "eth0", "netns", f"jf-{at}")
            ip("link", "set", f"jf-near{at}", "master", "jf-bridge", "up")
            ip("-n", f"jf-{at}", "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", f"jf-{at}", "link", "set", device, "up")
        return self

    def __exit__(self, *exc: object) -> None:
        self._remove()

    @staticmethod
    def _remove() -> None:
        for at in range(len(MACHINES)):
            subprocess.run(["ip", "netns", "del", f"jf-{at}"], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", f"jf-near{at}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", "jf-bridge"], capture_output=True, check=False)


class Provider:
    """A provider that counts by key, an authority that gives new keys, and streams whose last event waits to be let go."""

    def __init__(self) -> None:
        self.calls, self.refreshes = Counter[str](), Counter[str]()
        self.refused: str | None = None
        self.may_end = asyncio.Event()
        self.stale = list[str]()

    async def start(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/token", self._token)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HERE, 0)
        await site.start()
        self.url = f"http://{HERE}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        key, said = request.headers["Authorization"].removeprefix("Bearer "), await request.json()
        self.calls[key] += 1
        if key == self.refused:
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "600"})
        if key.startswith("old-") and self.refreshes[key.removeprefix("old-")]:
            self.stale.append(key)
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": said["model"]}
        if not said.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
            return web.json_response({**chunk, "object": "chat.completion", "choices": [choice]})
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        first = {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "one"}, "finish_reason": None}]}
        await answer.write(b"data: " + json.dumps(first).encode() + b"\n\n")
        await self.may_end.wait()
        end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        await answer.write(b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n")
        return answer

    async def _token(self, request: web.Request) -> web.Response:
        name = (await request.post())["refresh_token"].removeprefix("refresh-")
        self.refreshes[name] += 1
        await asyncio.sleep(0.2)  # long enough for the others to come, too
        return web.json_response(
            {"access_token": f"new-{name}", "refresh_token": f"refresh-{name}", "token_type": "bearer", "expires_in": 7200}
        )


class Place:
    """All that runs: two hosts, nginx, Redis, the provider."""

    def __init__(self, provider: Provider, redis: RedisServer, folder: Path) -> None:
        self.provider, self.redis, self.folder = provider, redis, folder
        self.front = f"http://{HERE}:8080"
        self.behind = [f"http://{address}:8317" for address in MACHINES]
        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
        )

    async def ask(self, model: str, where: str | None = None) -> int:
        """Ask for an answer, and return its status."""
        async with self.client.post(f"{where or self.front}/v1/chat/completions", json={"model": model, "messages": HELLO}) as answer:
            await answer.read()
            return answer.status


CREDENTIALS: list[dict[str, Any]] = [
    {"provider": "limited", "key": "limited-key", "limits": {"rpm": 100}},
    {"provider": "cooling", "key": "cool-one", "priority": 10},
    {"provider": "cooling", "key": "cool-two"},
    {"provider": "plain", "key": "plain-key"},
]


def configuration(provider: str, folder: Path, workers: int) -> dict[str, Any]:
    """Return what both hosts are told: the guide's configuration, and providers."""
    said = next(block.text for block in GUIDE.blocks if block.file == "jackfield.yaml")
    import yaml

    config: dict[str, Any] = yaml.safe_load(said)
    assert config["state"]["kind"] == "redis"
    config["state"]["url"] = f"redis://{HERE}:6399/0"
    config["server"] |= {"workers": workers, "grace": "5s"}
    provided = {"base_url": f"{provider}/v1", "models": ["m"]}
    config["plugins"] |= {
        "openai": {"providers": dict.fromkeys(("limited", "cooling", "plain"), provided)},
        "redis": {"path": str(ROOT / "plugins/redis/jackfield_redis/__init__.py")},
        "credential_files": {"folder": str(folder)},
        "oauth": {
            "providers": {
                "acme": {
                    "token_url": f"{provider}/token",
                    "client_id": "test",
                    "provider": {"base_url": f"{provider}/v1", "dialects": ["openai.chat"], "models": ["m"]},
                }
            }
        },
    }
    return {**config, "credentials": CREDENTIALS, "attempts": {"wait": 0}}


def nginx_conf(folder: Path) -> str:
    """Return the guide's configuration, at these addresses and with all of its files in a folder."""
    said = next(block.text for block in GUIDE.blocks if block.file == "nginx.conf")
    for theirs, ours in zip(("10.0.0.11", "10.0.0.12"), MACHINES, strict=True):
        assert theirs in said
        said = said.replace(theirs, ours)
    temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    said = said.replace("http {\n", f"http {{\n    access_log off;\n{temporary}", 1).replace("listen 8080", f"listen {HERE}:8080")
    return f"pid {folder}/nginx.pid;\nuser root;\nerror_log {folder}/error.log;\ndaemon off;\n{said}"


async def until_ready(url: str) -> None:
    async with asyncio.timeout(120), aiohttp.ClientSession() as client:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with client.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def placed(folder: Path, workers: int, accounts: int, expire: float) -> AsyncIterator[Place]:
    """Run everything. `accounts` log in accounts expire after `expire` seconds."""
    async with AsyncExitStack() as parts:
        parts.enter_context(Network())
        provider, redis = Provider(), RedisServer(folder, port=6399, address=HERE)
        redis.start()
        parts.callback(redis.stop)
        await provider.start()
        parts.push_async_callback(provider.stop)
        held = folder / "accounts"
        held.mkdir(mode=0o700)
        for at in range(accounts):
            account = {"provider": "acme", "kind": "oauth", "subject": f"u{at}", "key": f"old-u{at}", "expires_at": time.time() + expire}
            (held / f"u{at}.json").write_text(json.dumps({**account, "refresh_token": f"refresh-u{at}"}))
            (held / f"u{at}.json").chmod(0o600)
        (folder / "jackfield.yaml").write_text(json.dumps(configuration(provider.url, held, workers)))
        (folder / "nginx.conf").write_text(nginx_conf(folder))
        variables = {**os.environ, "APP_KEY": KEY}
        for at in range(len(MACHINES)):
            own = {name: str(folder / f"machine{at}") for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME")}
            log = parts.enter_context((folder / f"machine{at}.log").open("wb"))
            command = ("ip", "netns", "exec", f"jf-{at}", sys.executable, "-m", "jackfield", "serve", "-c", "jackfield.yaml")
            host = await asyncio.create_subprocess_exec(*command, cwd=folder, env={**variables, **own}, stdout=log, stderr=log)
            parts.push_async_callback(_end, host)
        log = parts.enter_context((folder / "nginx.log").open("wb"))
        front = await asyncio.create_subprocess_exec("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), stdout=log, stderr=log)
        parts.push_async_callback(_end, front)
        place = Place(provider, redis, folder)
        parts.push_async_callback(place.client.close)
        for url in (*place.behind, place.front):
            await until_ready(url)
        async with asyncio.timeout(60):
            while not all("workers serve" in (folder / f"machine{at}.log").read_text() for at in range(len(MACHINES))):
                await asyncio.sleep(0.05)
        yield place


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(60):
        await process.wait()


# ------------------------------------------------------------------------------------------ what holds


async def whole_minute(seconds: float) -> None:
    """Wait until so much of the minute is left, since limits begin anew with it."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left + 0.1)


async def limits_hold(place: Place, calls: int) -> str:
    await whole_minute(calls / 50)
    said = Counter(await asyncio.gather(*(place.ask("limited/m") for _ in range(calls))))
    assert place.provider.calls["limited-key"] == said[200] == 100, said
    assert said.keys() == {200, 429}
    return f"of {calls} calls at once {said[200]} were let through (the limit is 100), {said[429]} refused"


async def cooldowns_are_seen(place: Place) -> str:
    place.provider.refused = "cool-one"
    assert await place.ask("cooling/m", place.behind[0]) == 200  # the other key answered
    found = time.monotonic()
    asked = place.provider.calls["cool-one"]
    await asyncio.sleep(1)
    answers = await asyncio.gather(*(place.ask("cooling/m", url) for _ in range(20) for url in place.behind))
    assert set(answers) == {200}
    later = place.provider.calls["cool-one"] - asked
    assert later == 0, f"{later} calls still went to a key that rests, {time.monotonic() - found:.1f} s after it was found out"
    return "a key that one worker found resting was asked by none of the others a second later"


async def streams_pass(place: Place) -> str:
    body = {"model": "plain/m", "stream": True, "messages": HELLO}
    async with place.client.post(f"{place.front}/v1/chat/completions", json=body) as answer, asyncio.timeout(10):
        first = await answer.content.readany()
        assert b"one" in first
        assert b"[DONE]" not in first
        place.provider.may_end.set()
        assert (first + await answer.read()).rstrip().endswith(b"data: [DONE]")
    return "the first event of a stream came before the last was sent"


async def large_bodies_pass(place: Place) -> str:
    body = json.dumps({"model": "plain/m", "messages": [{"role": "user", "content": "x" * 20_000_000}]}).encode()
    headers = {"Content-Type": "application/json"}
    async with place.client.post(f"{place.front}/v1/chat/completions", data=io.BytesIO(body), headers=headers) as answer:
        assert answer.status == 200
    return "a body of 20 MB passed"


async def refreshed_once(place: Place, accounts: int, seconds: float) -> str:
    async with asyncio.timeout(seconds):
        while place.provider.refreshes.total() < accounts or len(place.provider.refreshes) < accounts:
            assert await place.ask("acme/m") == 200
            await asyncio.sleep(0.02)
    await asyncio.sleep(2)  # those that are late
    assert set(place.provider.refreshes.values()) == {1}, place.provider.refreshes
    answers = await asyncio.gather(*(place.ask("acme/m", url) for _ in range(20) for url in place.behind))
    assert set(answers) == {200}
    return f"{accounts} accounts were refreshed once each"


async def redis_may_go(place: Place, seconds: float) -> str:
    place.redis.stop()
    end, said, longest = time.monotonic() + seconds, Counter[int](), 0.0
    while time.monotonic() < end:
        began = time.monotonic()
        said.update(await asyncio.gather(*(place.ask(model) for model in ("plain/m", "cooling/m") for _ in range(4))))
        longest = max(longest, time.monotonic() - began)
    assert said.keys() == {200}, said
    place.redis.start()
    said.update(await asyncio.gather(*(place.ask(model) for model in ("plain/m", "cooling/m") for _ in range(4))))
    assert said.keys() == {200}, said
    return f"{said[200]} calls while Redis was away for {seconds:g} s, all answered, at most {longest:.2f} s long"


async def a_machine_may_go(place: Place, calls: int) -> str:
    """A host that is stopped under load."""
    found = subprocess.run(["ip", "netns", "pids", "jf-1"], capture_output=True, text=True, check=True).stdout.split()
    stopped = min(map(int, found))  # the one that watches over the workers
    said, stop = Counter[int](), asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            said[await place.ask("plain/m")] += 1

    clients = [asyncio.ensure_future(client()) for _ in range(8)]
    while said[200] < calls:
        await asyncio.sleep(0.01)
    os.kill(stopped, signal.SIGTERM)
    before = said[200]
    while said[200] < before + calls:
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*clients)
    assert said.keys() == {200}, said
    return f"{said[200]} calls while a machine was stopped, none failed"


async def all_of_it(folder: Path, workers: int, calls: int, accounts: int, away: float, expire: float = 40) -> AsyncIterator[str]:
    async with placed(folder, workers, accounts, expire) as place:
        yield await streams_pass(place)
        yield await large_bodies_pass(place)
        yield await cooldowns_are_seen(place)
        yield await limits_hold(place, calls)
        yield await refreshed_once(place, accounts, 120)
        yield await redis_may_go(place, away)
        yield await a_machine_may_go(place, 100)


@pytest.mark.skipif((why := _lacks()) is not None, reason=str(why))
@pytest.mark.timeout(240)
async def test_two_machines_behind_the_guides_nginx_with_redis_between(tmp_path: Path) -> None:
    async for _ in all_of_it(tmp_path, workers=2, calls=150, accounts=5, away=1, expire=20):
        pass


def main() -> None:
    """Run all of it with the figures of the command line, and say what came of it."""
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("workers", 4), ("calls", 500), ("accounts", 50), ("away", 10)):
        said.add_argument(f"--{name}", type=int, default=usual)
    given = said.parse_args()

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                async for line in all_of_it(Path(folder), **vars(given)):
                    print(line, flush=True)
            except BaseException:
                for log in Path(folder).glob("*.log"):
                    print(log.name, re.sub(r"^", "  ", "\n".join(log.read_text().splitlines()[-30:]), flags=re.MULTILINE))
                raise

    asyncio.run(run())


if __name__ == "__main__":
    main()
