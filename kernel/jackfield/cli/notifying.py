"""Tell the service manager how the process is (sd_notify(3) of systemd): that it serves, that it lives, that it ends."""

import asyncio
import contextlib
import os
import socket
from typing import Final

_PAUSE_WITHOUT: Final = 3600.0
"""Seconds between two signs of life where nobody waits for any."""


_PATIENCE: Final = 1.0
"""Seconds to wait for a service manager that has not read yet what it was told before."""


def notify(*said: str, patience: float = _PATIENCE) -> None:
    """Tell the service manager something, where there is one that wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.settimeout(patience)
        told.sendto("\n".join(said).encode(), "\0" + address[1:] if address[0] == "@" else address)


async def keep_alive() -> None:
    """Give signs of life as often as the service manager wants them (`WatchdogSec`), until cancelled: from the event loop, so that
    one that hangs gives none.
    """
    said = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    pause = int(said) / 2_000_000 if said.isdigit() and int(said) and mine else _PAUSE_WITHOUT
    while True:
        await asyncio.sleep(pause)
        notify("WATCHDOG=1", patience=0.0)  # one that does not read must not hold up the calls
