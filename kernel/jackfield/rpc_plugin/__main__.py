"""Runs a Python plugin as a program of its own: `python -m jackfield.rpc_plugin acme_plugin` speaks the out-of-process protocol.

The target is what an entry point names: a module, or a class or object in it (`acme_plugin:Plugin`). With `--file` it is a single
file, whose text is that of `--code` where that is given. Standard output belongs to the protocol: what the plugin prints goes to
standard error.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from jackfield.rpc.channel import Channel
from jackfield.rpc_plugin.child import Child
from jackfield.rpc_plugin.loading import Loader

_LAST_MOMENT: Final = 5.0
"""Seconds that the plugin gets to close when the host is gone."""


class _Line(asyncio.Protocol):
    """The connection: what is read goes to the channel."""

    def __init__(self, child: Child) -> None:
        self._child, self.lost = child, asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._child.channel.feed(data)

    def connection_lost(self, fault: Exception | None) -> None:
        self.lost.set()

    def pause_writing(self) -> None:
        self._child.channel.pause()

    def resume_writing(self) -> None:
        self._child.channel.resume()


async def _run(given: argparse.Namespace, source: int, target: int) -> None:
    loop, child = asyncio.get_running_loop(), Child(Loader(given.target, given.file, given.code, given.at))
    writing, reading, stop = _Line(child), _Line(child), asyncio.Event()
    out, _ = await loop.connect_write_pipe(lambda: writing, os.fdopen(target, "wb", 0))
    child.channel = Channel(out.write, child.serve, broken=lambda reason: _give_up(f"the host {reason}", stop), prefix="p")
    await loop.connect_read_pipe(lambda: reading, os.fdopen(source, "rb", 0))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ends = [loop.create_task(event.wait()) for event in (child.ended, reading.lost, writing.lost, stop)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not child.ended.is_set():
        with contextlib.suppress(Exception):
            child.channel.lose("the host is gone" if not stop.is_set() else "the plugin was told to end")
            async with asyncio.timeout(_LAST_MOMENT):
                await child.close()
    else:
        await child.channel.settle()
        out.close()
        await writing.lost.wait()


def _give_up(reason: str, stop: asyncio.Event) -> None:
    sys.stderr.write(f"{reason}\n")
    stop.set()


def main() -> NoReturn:
    """Run a plugin until the host says goodbye, closes standard input, or sends SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m jackfield.rpc_plugin", description="Run a Python plugin out of process.")
    parser.add_argument("target", nargs="?", help="a module, or a class or object in it: acme_plugin:Plugin")
    parser.add_argument("--file", type=Path, help="a single file that is the plugin")
    parser.add_argument("--code", type=Path, help="the file that holds its text")
    parser.add_argument("--at", help="a folder in which modules are looked for, after all others")
    given = parser.parse_args()
    if (given.target is None) == (given.file is None):
        parser.error("name a module, or a file with --file")
    source, target = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 (what the plugin starts must hold neither end of the connection)
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(_run(given, source, target))
    sys.stderr.flush()
    os._exit(0)  # threads in which a hook is stuck are nobody's any more


if __name__ == "__main__":
    main()
