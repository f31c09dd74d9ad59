"""What one process of a host leaves to the next: the sockets that it listens on, and a word when it is ready.

A process is started as the one before it was, with the same Python and the same arguments, so that it runs the code that is
installed now.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

_VARIABLE: Final = "JACKFIELD_INHERITED"
SUPPORTED: Final = os.name == "posix"
"""Whether the system lets processes inherit sockets."""


class Inheritance(msgspec.Struct, frozen=True):
    """What a process is told by the one that started it."""

    sockets: tuple[int, ...] = ()
    """File descriptors of the sockets to listen on."""
    others: tuple[int, ...] = ()
    """Those of others' sockets: whom nobody lets in there is let in here."""
    ready: int | None = None
    """One to which a byte is written once it serves."""
    lives: int | None = None
    """One that can be read when the process that watches over this one has ended."""
    worker: int | None = None
    """Its number among several that share the port; None for one that is alone."""
    announces: bool = False
    """It tells how to try the host."""
    succeeds: bool = False
    """It takes the place of one that still runs, its control socket too."""


def inherited() -> Inheritance | None:
    """Return what this process was told, once: its own children are not."""
    said = os.environ.pop(_VARIABLE, None)
    return None if said is None else msgspec.json.decode(said, type=Inheritance)


def sockets_of(numbers: Sequence[int]) -> list[socket.socket]:
    """Return the sockets to listen on."""
    held = [socket.socket(fileno=number) for number in numbers]
    for one in held:
        one.set_inheritable(False)
        one.setblocking(False)
    return held


def tell_ready(said: Inheritance) -> None:
    """Tell whoever started this process that it serves."""
    if said.ready is not None:
        with contextlib.suppress(OSError):
            os.write(said.ready, b"1")
            os.close(said.ready)


class Started:
    """A process that was started to serve."""

    place = 0
    """Whose sockets it has, of several workers."""

    def __init__(
        self,
        sockets: Sequence[int],
        others: Sequence[int] = (),
        *,
        worker: int | None,
        announces: bool = False,
        succeeds: bool = False,
    ) -> None:
        self.worker = worker
        self._ready, write = os.pipe()
        os.set_blocking(self._ready, False)
        lives: int | None = None
        self._life: int | None = None
        if worker is not None:
            lives, self._life = os.pipe()
        told = Inheritance(tuple(sockets), tuple(others), write, lives, worker, announces, succeeds)
        # WATCHDOG_PID is this process: the successor gives the signs of life that the service manager waits for.
        said = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        try:
            self.process = subprocess.Popen(  # noqa: S603 (our own command line)
                [sys.executable, "-m", "jackfield", *sys.argv[1:]],
                env={**said, _VARIABLE: msgspec.json.encode(told).decode()},
                pass_fds=(*sockets, *others, write, *([lives] if lives is not None else [])),
                stdin=subprocess.DEVNULL if worker is not None else None,
            )
        except BaseException:
            os.close(self._ready)
            self.forget()
            raise
        finally:
            os.close(write)
            if lives is not None:
                os.close(lives)

    def forget(self) -> None:
        """Let go of a process that has ended."""
        if self._life is not None:
            os.close(self._life)
            self._life = None

    async def ready(self) -> bool:
        """Wait until it serves; False when it has ended before."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ready, told.set)
        try:
            await told.wait()
            return os.read(self._ready, 1) == b"1"
        finally:
            loop.remove_reader(self._ready)
            os.close(self._ready)
