"""Checks of how messages are read: cut and glued, large and strange, known and unknown."""

import asyncio
import contextlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from jackfield.api.testing.conformance import subjects as of
from jackfield.api.testing.conformance.answers import OF_CALLS, Case, ask, cases, is_fine, refuses, sample, works
from jackfield.api.testing.conformance.peer import BODY_FILE, Peer, plain, said_of, shown
from jackfield.api.testing.conformance.report import NotAsked, Wrong
from jackfield.api.testing.conformance.suite import Run, check
from jackfield.rpc.errors import NO_METHOD, RpcFault

_IDS: Final = (4_294_967_297, "check-ü-1")
_AT_ONCE: Final = 4
_SINGLE: Final = 40
_BODIED: Final = ("body", "client_body", "raw")


@check("unknown-method", "A method that it does not know is answered with the error -32601.")
async def unknown_method(run: Run) -> None:
    """Ask what nobody knows."""
    method, hint = "check.no_such_method", f"answer methods that you do not know with error {NO_METHOD}"
    try:
        raw = await run.ask(method, {}, "no params")
    except RpcFault as fault:
        if fault.code != NO_METHOD:
            raise Wrong(f"{method} was sent, and {said_of(fault)} came; {hint}") from None
        return
    raise Wrong(f"{method} was sent, and the result {shown(raw)} came; {hint}")


@check("unknown-notification", "A notification that it does not know is ignored.")
async def unknown_notification(run: Run) -> None:
    """Tell what nobody knows."""
    peer = await run.peer()
    before = len(peer.lines)
    peer.channel.notify("$/check", {"of": ["nothing"]})
    peer.channel.notify("check.no_such_notification", {})
    await works(run, "notifications that it does not know")
    for line in peer.lines[before:]:
        if line.said is not None and "method" not in line.said and line.said.get("id") is None:
            raise Wrong(f"a notification was sent, and {shown(line.raw)} came; what has no id is never answered")


@check("unknown-fields", "Params with fields that it does not know are taken all the same.")
async def unknown_fields(run: Run) -> None:
    """Ask with more than it can know."""
    method, case = await sample(run)
    with contextlib.suppress(RpcFault):
        await run.ask(method, case.params, case.about)
        await _asked_with_more(run, method, case)


async def _asked_with_more(run: Run, method: str, case: Case) -> None:
    params: Any = plain(case.params)
    if isinstance(params.get("call"), dict):
        params["call"]["check_new_field"] = {"a": [1]}
    params["check_new_field"] = True
    try:
        await run.ask(method, params, f"{case.about} and a field that is new")
    except RpcFault as fault:
        if method != "check.no_such_method" and not refuses(fault):
            raise Wrong(
                f"{method} was sent with a field that is new, and {said_of(fault)} came; ignore fields that you do not know"
            ) from None


@check("ids", "An answer has the id of its request, be it a large number or a text.")
async def ids(run: Run) -> None:
    """Ask under such ids."""
    method, case = await sample(run)
    for id in _IDS:
        peer = await run.peer()
        peer.send({"jsonrpc": "2.0", "id": id, "method": method, "params": plain(case.params)})
        if not await peer.until(partial(_is_answered, peer, id), run.limit(method)):
            came = f"{shown(peer.lines[-1].raw)} came last" if peer.lines else "nothing came"
            raise Wrong(f"{method} was sent with the id {msgspec.json.encode(id).decode()}, and {came}; repeat the id exactly as it is")


def _is_answered(peer: Peer, id: int | str) -> bool:
    return bool(peer.answers(id))


@check("split", "A message is read whole although its bytes come one at a time.")
async def split(run: Run) -> None:
    """Send a request byte by byte."""
    await _in_pieces(run, 1, _bytes_at_both_ends, "byte by byte")


def _bytes_at_both_ends(data: bytes) -> list[bytes]:
    """Return a message in single bytes, but for its middle: a busy machine would take long for all of them."""
    singles = [data[at : at + 1] for at in range(len(data))]
    return [*singles[:_SINGLE], data[_SINGLE:-_SINGLE], *singles[-_SINGLE:]] if len(data) > 2 * _SINGLE else singles


@check("glued", "Several messages that come in one read are all answered.")
async def glued(run: Run) -> None:
    """Send some requests as one piece, and half of the last one later."""
    await _in_pieces(run, _AT_ONCE, lambda data: [data[:-20], data[-20:]], f"as {_AT_ONCE} messages in two writes")


async def _in_pieces(run: Run, many: int, cut: Any, how: str) -> None:
    method, case = await sample(run)
    peer = await run.peer()
    peer.pieces = []
    tasks = [asyncio.ensure_future(_answered(peer, method, case)) for _ in range(many)]
    await asyncio.sleep(0)
    pieces, peer.pieces = cut(b"".join(peer.pieces)), None
    try:
        for piece in pieces:
            peer.write(piece)
            await peer.drain()
        await asyncio.wait(tasks, timeout=run.limit(method))
        if lost := sum(not task.done() or not task.result() for task in tasks):
            says = f"{method} was sent {how}, and {lost} of {many} requests were not answered"
            raise Wrong(f"{says}; keep what was read until a line is whole, and handle each whole line")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answered(peer: Peer, method: str, case: Case) -> bool:
    try:
        await peer.channel.request(method, case.params)
    except RpcFault:
        return True
    except Exception:  # noqa: BLE001 (it has ended)
        return False
    return True


@check("bodies", "Bodies of every form are taken: large and deep ones, text, bytes, files.")
async def bodies(run: Run) -> None:
    """Ask about bodies that are hard to carry."""
    found = next((method for method in OF_CALLS if run.needs(method) & set(_BODIED)), None)
    if found is None:
        raise NotAsked("none of its hooks needs a body")
    if not await is_fine(run, found, (await cases(run, found))[0]):
        raise NotAsked(f"{found} is not answered as it should be")
    plain = run.subjects[0]
    for about, raw in of.odd_bodies(plain):
        odd = msgspec.structs.replace(plain, about=about, raw=raw, answer=raw)
        for case in (await _about(run, found, odd))[:1]:
            await ask(run, found, msgspec.structs.replace(case, about=about))
    await _in_a_file(run, found)


async def _about(run: Run, method: str, subject: of.Subject) -> list[Case]:
    subjects, run.subjects = run.subjects, [subject]
    try:
        return await cases(run, method)
    finally:
        run.subjects = subjects


async def _in_a_file(run: Run, method: str) -> None:
    """Ask about a body that is too large for a message."""
    case = (await cases(run, method))[0]
    with tempfile.TemporaryDirectory(prefix="jackfield-check-") as folder:
        path = Path(folder) / "body"
        path.write_bytes(msgspec.json.encode({"model": "check/model", "padding": "x" * BODY_FILE}))
        params = plain(case.params)
        for holder in (params.get("call"), params.get("attempt"), params.get("reply")):
            with contextlib.suppress(AttributeError):
                if holder.keys() & {"body", "body_text", "body_base64"}:
                    holder["body_file"] = str(path)
                    for form in ("body", "body_text", "body_base64"):
                        holder.pop(form, None)
        about = "a body in a file (body_file)"
        asked = msgspec.json.decode(msgspec.json.encode(params), type=type(case.params))
        await ask(run, method, Case(about=about, params=asked, body=case.body))
