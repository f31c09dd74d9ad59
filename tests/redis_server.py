"""A Redis server of a test's own, where there is one: on a unix socket, and with nothing kept."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
ABSENT = "no redis-server or valkey-server is installed"


class RedisServer:
    """Runs from `start` to `stop`; may be killed, started again, and held."""

    def __init__(self, folder: Path, *, port: int = 0, address: str = "127.0.0.1", password: str = "") -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{f':{password}@' if password else ''}{self.socket}"
        said = [
            "--port",
            str(port),
            "--bind",
            address,
            "--protected-mode",
            "no",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
        ]
        self._said = [*said, "--requirepass", password] if password else said
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert SERVER is not None
        self._process = subprocess.Popen([SERVER, *self._said], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
                self._leave()
                return
            except redis.RedisError:
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.01)

    def stop(self) -> None:
        """End it, and forget everything."""
        if self._process is not None:
            self.hold(held=False)
            self._process.kill()
            self._process.wait()
            self._process = None
        self._leave()

    def empty(self) -> None:
        """Forget everything."""
        self.client.flushall()
        self._leave()

    def _leave(self) -> None:
        """Keep no connection: each would look like a leak of some test's."""
        self.client.close()
        self.client.connection_pool.disconnect()

    def hold(self, *, held: bool = True) -> None:
        """Have it answer nothing for now, as one that is overloaded."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if held else signal.SIGCONT)

    def pass_time(self, seconds: float) -> None:
        """Let everything be so much older."""
        for name in self.client.scan_iter(count=1000):
            left = self.client.pttl(name)
            if left > 0:  # type: ignore[operator]
                now = round(left - seconds * 1000)  # type: ignore[operator]
                self.client.pexpire(name, now) if now > 0 else self.client.delete(name)
        self._leave()
