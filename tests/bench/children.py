"""Child processes of the benchmark: started with a log each, waited for until they answer, stopped in every case."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]
"""The project's root folder, from which the benchmark's own programs are run."""
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
_STOPPED: Final = (0, -signal.SIGTERM, -signal.SIGKILL)


class ChildFailed(Exception):
    """A child process ended by itself, or did not become ready; the message holds what it wrote last."""


class Child:
    """A process in a group of its own. As a context manager it is stopped at the end, with all that it started."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        self.began = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=partial(_die_with, os.getpid()),
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def wait_ready(self, port: int, path: str = "/readyz", seconds: float = 20.0, interval: float = 0.005) -> float:
        """Wait until a GET of `path` on a port of the loopback is answered with 200; return the seconds since the start.

        Raises `ChildFailed` when that takes too long or the process ends.
        """
        while time.perf_counter() - self.began < seconds:
            if answers(port, path):
                return time.perf_counter() - self.began
            self.check()
            time.sleep(interval)
        raise ChildFailed(f"{self.name} was not ready after {seconds:g} s:\n{self.said()}")

    def check(self) -> None:
        """Raise `ChildFailed` when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise ChildFailed(f"{self.name} ended with code {code}:\n{self.said()}")

    def said(self, size: int = 4000) -> str:
        """Return the end of what the process wrote."""
        return self._log.read_text(errors="replace")[-size:].strip() or "(it wrote nothing)"

    def stop(self, seconds: float = 5.0) -> None:
        """Ask the process to end, then make it; show what it wrote when it ended badly or in an error."""
        ended_by_itself = self._process.poll() is not None
        if not ended_by_itself:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                print(f"{self.name} did not stop within {seconds:g} s and was killed", file=sys.stderr)
        self._signal(signal.SIGKILL)  # whatever is left of the group
        code = self._process.wait()
        if ended_by_itself or code not in _STOPPED or "Traceback" in self._log.read_text(errors="replace"):
            print(f"{self.name} ended with code {code} and wrote:\n{self.said()}", file=sys.stderr)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent is gone (prctl(2)): also where the parent could not stop it any more."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before it was asked for the signal
            os.kill(os.getpid(), signal.SIGKILL)


def answers(port: int, path: str) -> bool:
    """Tell whether a GET on a port of the loopback is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Return a port of the loopback on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
