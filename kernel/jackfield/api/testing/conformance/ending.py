"""Checks of how a plugin ends, what it leaves behind, and of all that it wrote."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from jackfield.api.testing.conformance.answers import sample
from jackfield.api.testing.conformance.peer import Peer, said_of, shown
from jackfield.api.testing.conformance.report import NotAsked, Wrong
from jackfield.api.testing.conformance.suite import Run, check
from jackfield.rpc import wire
from jackfield.rpc.errors import RpcFault
from jackfield.rpc.wire import RpcError

_CALLS, _FEWEST, _SECONDS = 200, 40, 1.0
_GROWTH: Final = 8 << 20
_FILES: Final = 8
_PROC: Final = Path("/proc/self/statm")


@check("leaks", "Its memory and its open files do not grow with the calls that it has answered.")
async def leaks(run: Run) -> None:
    """Ask the same thing 200 times, and look at the process before and after."""
    if not _PROC.exists():
        raise NotAsked("this system does not tell how much memory a process has")
    method, case = await sample(run)
    peer = await run.peer()

    async def _times(many: int) -> int:
        began = time.monotonic()
        for done in range(many):
            with contextlib.suppress(RpcFault):
                await run.ask(method, case.params, f"{case.about}, over and over")
            if done > _FEWEST and time.monotonic() - began > _SECONDS:
                return done
        return many

    await _times(_CALLS // 2)  # what it keeps once is not what grows
    memory, files = _held(peer)
    many = await _times(_CALLS)
    memory_after, files_after = _held(peer)
    asked = f"{many} requests {method} were sent"
    if files_after - files > _FILES:
        raise Wrong(f"{asked}, and it has {files_after - files} files open more than before; close what you open")
    if memory_after - memory > _GROWTH:
        raise Wrong(f"{asked}, and it grew by {(memory_after - memory) >> 20} MiB; keep nothing of a call that is over")


def _held(peer: Peer) -> tuple[int, int]:
    """Return how many bytes of memory and how many files the plugin's processes have."""
    memory = files = 0
    for pid in peer.group():
        with contextlib.suppress(OSError):
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            files += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    return memory, files


@check("callbacks", "What it asks the host is as the schema says, and within a request that is not over.")
async def callbacks(run: Run) -> None:
    """Look at all that it has asked."""
    for problem in run.host.problems:
        raise Wrong(problem)
    for peer in run.peers:
        known = {said.get("id") for said in peer.sent if "method" in said}
        for asked in _asked(peer):
            within = asked["params"].get("for") if isinstance(asked.get("params"), dict) else None
            if within is not None and within not in known:
                raise Wrong(f"it asked {asked['method']} with `for` {within!r}, which is the id of none of the host's requests")
    if not run.host.asked:
        raise NotAsked("it asked the host for nothing")


def _asked(peer: Peer) -> Iterator[dict[str, Any]]:
    return (line.said for line in peer.lines if line.said is not None and "method" in line.said and "id" in line.said)


@check("shutdown", "It answers plugin.shutdown with null, and ends with status 0 once its stdin is closed.")
async def shutdown(run: Run) -> None:
    """Have it end."""
    peer = await run.peer()
    try:
        raw = await peer.ask("plugin.shutdown", wire.Shutdown(grace=run.grace), run.grace, "")
    except RpcFault as fault:
        raise Wrong(f"plugin.shutdown was sent, and {said_of(fault)} came; answer with null, and end") from None
    if bytes(raw) != b"null":
        raise Wrong(f"plugin.shutdown was sent, and {shown(raw)} came; answer with null")
    peer.close_stdin()
    if not await peer.has_ended(run.grace):
        await peer.close()
        raise Wrong(f"plugin.shutdown was answered and stdin closed, and it did not end within {run.grace:g} s; end then")
    if peer.code != 0:
        raise Wrong(f"after plugin.shutdown its process ended {peer.how_it_ended()}; end with status 0")


@check("end-of-file", "It ends when its stdin is closed, without another word.")
async def end_of_file(run: Run) -> None:
    """Close its stdin, as happens when a host dies."""
    peer = await _another(run)
    peer.close_stdin()
    if not await peer.has_ended(run.grace):
        raise Wrong(
            f"its stdin was closed, and it did not end within {run.grace:g} s; end at the end of the file, else it outlives its host"
        )


@check("sigterm", "It ends when it gets SIGTERM.")
async def sigterm(run: Run) -> None:
    """Send it SIGTERM, as a host does to one that does not end."""
    peer = await _another(run)
    peer.signal(signal.SIGTERM)
    if not await peer.has_ended(run.grace):
        raise Wrong(f"SIGTERM was sent, and it did not end within {run.grace:g} s; do not ignore that signal")


async def _another(run: Run) -> Peer:
    """Return one that is not needed any more."""
    while run.spare:
        if (peer := run.spare.pop()).code is None:
            return peer
    peer = await run.peer()
    peer.said = None
    return peer


@check("children", "It leaves no process behind.")
async def children(run: Run) -> None:
    """Look for what is left of those that ended by themselves."""
    if not _PROC.exists():
        raise NotAsked("this system does not tell which processes a program has started")
    for peer in run.peers:
        if peer.code is None or not peer.ended.done() or peer.killed:
            continue
        deadline = time.monotonic() + 1.0
        while left := peer.group():
            if time.monotonic() > deadline:
                raise Wrong(f"it has ended, and {len(left)} processes that it started have not; end them, or let them end with their stdin")
            await asyncio.sleep(0.02)


@check("stdout", "It writes nothing to stdout but messages: one JSON object a line, in UTF-8.")
async def stdout(run: Run) -> None:
    """Look at every line that it wrote."""
    if not any(peer.lines or peer.part for peer in run.peers):
        raise NotAsked("it wrote nothing")
    for peer in run.peers:
        for line in peer.lines:
            if line.said is None:
                raise Wrong(f"{shown(line.raw)!r} came on stdout, which is no JSON object; write what is not a message to stderr")
        if peer.part and peer.code is not None and not peer.killed:
            raise Wrong(f"{shown(peer.part)!r} came last on stdout, without a line end; end each message with one")


@check("envelope", "Each message says jsonrpc 2.0, and each request gets one answer: a result or an error.")
async def envelope(run: Run) -> None:
    """Look at what is around what it said."""
    if not any(peer.lines for peer in run.peers):
        raise NotAsked("it wrote nothing")
    for peer in run.peers:
        asked = [said["id"] for said in peer.sent if "method" in said and "id" in said]
        answered = set[Any]()
        for line in peer.lines:
            if line.said is not None:
                _look(line.said, asked, answered)


def _look(said: dict[str, Any], asked: list[Any], answered: set[Any]) -> None:
    what = f"{shown(msgspec.json.encode(said))} came"
    if said.get("jsonrpc") != "2.0":
        raise Wrong(f'{what}; a message has "jsonrpc":"2.0"')
    if "method" in said:
        if "result" in said or "error" in said:
            raise Wrong(f"{what}; it is either a request or an answer, not both")
        return
    if ("result" in said) is ("error" in said):
        raise Wrong(f"{what}; an answer has exactly one of `result` and `error`")
    if "error" in said:
        try:
            msgspec.convert(said["error"], RpcError)
        except msgspec.ValidationError as fault:
            raise Wrong(f"{what}, whose error is not as the schema says: {fault}") from None
    id = said.get("id")
    if id is None:
        return
    if id not in asked:
        raise Wrong(f"{what}, and nothing was asked under that id; repeat the id of the request")
    if id in answered:
        raise Wrong(f"{what}, and that request had been answered; answer once")
    answered.add(id)
