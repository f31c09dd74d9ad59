"""Checks of streams: those that a plugin takes part in, those that it sends, and what becomes of what is cancelled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from jackfield.api.testing.conformance import subjects as of
from jackfield.api.testing.conformance.answers import Case, ask, attempts_of, read, refuses, sample, works
from jackfield.api.testing.conformance.peer import Peer, said_of, shown
from jackfield.api.testing.conformance.report import NotAsked, Wrong
from jackfield.api.testing.conformance.suite import Run, check
from jackfield.rpc import forms, wire, wire_objects
from jackfield.rpc.errors import NO_METHOD, Gone, RpcFault

_OPEN, _EVENT, _CLOSE = (f"response.intercept_stream_chunk.{part}" for part in ("open", "event", "close"))
_STREAM: Final = "executor.execute_stream"
_QUIET: Final = 0.2
"""Seconds in which a plugin without credit must not send anything."""
_MOST_READ: Final = 5000
"""Items after which a stream is not read on: it may have no end."""
_PATIENT: Final = 40
"""Items that a slow reader takes one by one."""


# -------------------------------------------------------------------------------- streams that it takes part in


@check("stream-events", "A stream that it asks for comes in several reads, beside another one, and each event gets its answer.")
async def stream_events(run: Run) -> None:
    """Open streams, send their events, close them."""
    if not run.has(_OPEN):
        raise NotAsked(f"it does not declare {_OPEN}")
    handled = 0
    for subject in (one for one in run.subjects if one.events and one.status == 200):
        names = [name for name in (of.fresh("stream"), of.fresh("stream")) if await _opened(run, subject, name)]
        handled += len(names)
        await _events(run, subject, names)
        for name, outcome in zip(names, of.outcomes(), strict=False):
            await _closed(run, subject, name, outcome)
    for subject in (one for one in run.subjects if one.status != 200):
        if await _opened(run, subject, name := of.fresh("stream")):  # nothing comes, and then its end
            await _closed(run, subject, name, list(of.outcomes())[1])
    if not handled:
        raise NotAsked("it asks for the events of no stream")


async def _opened(run: Run, subject: of.Subject, name: str) -> bool:
    needs = run.needs(_OPEN)
    call, head = of.call_of(subject, needs, body=False, stream=True), of.head_of(subject, needs)
    params = wire.OpenStream(call=call, head=head, stream=name, deadline=run.limit(_OPEN))
    said: wire.Handle | None = await ask(run, _OPEN, Case(about=f"the stream of {subject.about}", params=params))
    return said is not None and said.handle


async def _events(run: Run, subject: of.Subject, names: Sequence[str]) -> None:
    shown_to_it = [forms.event_of(event, index, run.needs(_OPEN)) for index, event in enumerate(subject.events)]
    for part, whole in (
        (shown_to_it[:1], subject.events[:1]),
        (shown_to_it[1:3], subject.events[1:3]),
        (shown_to_it[3:], subject.events[3:]),
    ):
        for name in names if part else ():
            params = wire.OnEvents(stream=name, events=part, deadline=run.limit(_OPEN))
            case = Case(about=f"{len(part)} events of the stream of {subject.about}", params=params)
            said: wire.EventAnswers | None = await ask(run, _EVENT, case)
            if said is not None:
                _look_at_answers(said, whole, case)


def _look_at_answers(said: wire.EventAnswers, events: Sequence[Any], case: Case) -> None:
    what = f"{_EVENT} was sent with {case.about}, and {shown(msgspec.json.encode(said))} came"
    if len(said.answers) > len(events):
        raise Wrong(f"{what}: {len(said.answers)} answers for {len(events)} events; give one for each, in their order")
    for answer, event in zip(said.answers, events, strict=False):
        for new in (answer.events if answer is not None else None) or ():
            try:
                forms.event_from(new, event)
            except ValueError as fault:
                raise Wrong(f"{what}: {fault}") from None


async def _closed(run: Run, subject: of.Subject, name: str, outcome: wire.Outcome) -> None:
    about = f"the end of the stream of {subject.about}"
    params = wire.CloseStream(stream=name, outcome=outcome, deadline=run.limit(_OPEN))
    try:
        raw = await run.ask(_CLOSE, params, about)
    except RpcFault as fault:
        if fault.code == NO_METHOD:
            return
        raise Wrong(f"{_CLOSE} was sent with {about}, and {said_of(fault)} came; answer null, or error {NO_METHOD}") from None
    said: wire.Closing | None = read(_CLOSE, Case(about=about, params=params), raw)
    if said is not None and subject.events:
        _look_at_answers(
            wire.EventAnswers(answers=[wire.EventAnswer(events=said.events)]), subject.events[-1:], Case(about=about, params=params)
        )


# ------------------------------------------------------------------------------------------- streams that it sends


class _Sent:
    """A stream that the plugin sends."""

    def __init__(self, peer: Peer, name: str, about: str, head: wire.Reply) -> None:
        self.peer, self.name, self.about, self.head = peer, name, about, head

    @property
    def items(self) -> int:
        """How many items came."""
        return sum(len(one.get("items", ())) for one in self.peer.told("stream.item", self.name))

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return bool(self.peer.told("stream.end", self.name))

    async def until(self, items: int, within: float) -> None:
        """Wait for so many items, or for its end."""
        if not await self.peer.until(lambda: self.items >= items or self.ended, within):
            if self.peer.code is not None:
                raise Wrong(f"{self.about}: after {self.items} items its process ended {self.peer.how_it_ended()}")
            says = f"{self.about}: after {self.items} items nothing came within {within:g} s"
            raise Wrong(f"{says}, although there was credit; go on when stream.credit comes, and end with stream.end")

    def grant(self, credit: int) -> None:
        """Allow more items."""
        self.peer.channel.notify("stream.credit", wire.Credit(stream=self.name, credit=credit))

    def look(self) -> None:
        """See that the items are counted from 0 without gaps, and are what they should be."""
        index = 0
        for one in self.peer.told("stream.item", self.name):
            try:
                said = msgspec.convert(one, wire.Items)
            except msgspec.ValidationError as fault:
                raise Wrong(f"{self.about}: stream.item came with {shown(one)}, which is not as the schema says: {fault}") from None
            if said.index != index:
                raise Wrong(f"{self.about}: the item {said.index} came where {index} was next; count items from 0, without gaps")
            for item in said.items:
                if (item.data, item.raw, item.raw_base64, item.delta) == (msgspec.UNSET, None, None, None):
                    raise Wrong(f"{self.about}: stream.item came with {shown(one)}; an item has `data`, `raw`, `raw_base64` or `delta`")
            index += len(said.items)
        ends = self.peer.told("stream.end", self.name)
        if len(ends) > 1:
            raise Wrong(f"{self.about}: stream.end came {len(ends)} times; a stream ends once")
        for end in ends:
            try:
                msgspec.convert(end, wire.EndOfStream)
            except msgspec.ValidationError as fault:
                raise Wrong(f"{self.about}: stream.end came with {shown(end)}, which is not as the schema says: {fault}") from None


@contextlib.asynccontextmanager
async def _sent(run: Run, credit: int) -> AsyncIterator[_Sent]:
    """Have the plugin send a stream."""
    if not run.has(_STREAM):
        raise NotAsked(f"it does not declare {_STREAM}")
    attempts = [(about, attempt) for about, attempt in await attempts_of(run, _STREAM)]
    about, attempt = next((one for one in attempts if one[1].stream), attempts[0])
    attempt = msgspec.structs.replace(attempt, stream=True, call=msgspec.structs.replace(attempt.call, stream=True))
    peer, name, sent = await run.peer(), of.fresh("stream"), f"{_STREAM} was sent with {about} and credit for {credit} items"
    params = wire_objects.ExecuteStream(attempt=attempt, stream=name, credit=credit, deadline=run.limit(_STREAM))
    try:
        async with asyncio.timeout(run.limit(_STREAM)):
            raw, inlet = await peer.channel.open(_STREAM, lambda _name, _credit: params)
    except TimeoutError:
        raise Wrong(f"{sent}, and no answer came within {run.limit(_STREAM):g} s; answer with the head first, then send items") from None
    except Gone as fault:
        raise Wrong(f"{sent}, and {fault}") from None
    except RpcFault as fault:
        if refuses(fault):
            raise NotAsked(f"it refuses: {said_of(fault)}") from None
        raise Wrong(f"{sent}, and {said_of(fault)} came; say in `data.cause` why an attempt fails") from None
    try:
        head: wire.Reply = read(_STREAM, Case(about=about, params=params), raw)
        if not head.stream:
            raise NotAsked("it answers whole where a stream is asked for, which the host plays as one")
        yield _Sent(peer, name, sent, head)
    finally:
        if not inlet._over:
            await inlet.aclose()


@check("stream", "A stream that it sends has a head, items that are counted from 0 without gaps, and an end.")
async def stream(run: Run) -> None:
    """Read a stream to its end."""
    async with _sent(run, 256) as sent:
        while not sent.ended and sent.items < _MOST_READ:
            seen = sent.items
            await sent.until(seen + 1, run.limit(_STREAM))
            if sent.items > seen:
                sent.grant(sent.items - seen)
        sent.look()


@check("credit", "It sends no more items of a stream than it has credit for, and goes on when more comes.")
async def credit(run: Run) -> None:
    """Read slowly."""
    async with _sent(run, 2) as sent:
        for granted in range(2, _PATIENT):
            await sent.until(granted, run.limit(_STREAM))
            if granted == 2:
                await sent.peer.until(lambda: sent.items > 2 or sent.ended, _QUIET)
            if sent.items > granted:
                raise Wrong(f"{sent.about}, and {sent.items} items came where {granted} were allowed; wait for stream.credit")
            if sent.ended:
                return
            sent.grant(1)
        sent.grant(_MOST_READ)
        while not sent.ended and sent.items < _MOST_READ:
            await sent.until(sent.items + 1, run.limit(_STREAM))


# --------------------------------------------------------------------------------------------------- cancelling


@check("cancel-early", "A request that is cancelled before its answer is answered all the same.")
async def cancel_early(run: Run) -> None:
    """Ask, and cancel at once."""
    method, case = await sample(run)
    peer = await run.peer()
    peer.pieces = []
    task = asyncio.ensure_future(peer.channel.request(method, case.params))
    await asyncio.sleep(0)
    id = next(said["id"] for said in reversed(peer.sent) if said.get("method") == method)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    both, peer.pieces = b"".join(peer.pieces), None
    peer.write(both)
    if not await peer.until(lambda: bool(peer.answers(id)), run.grace):
        gone = f"its process ended {peer.how_it_ended()}" if peer.code is not None else f"it was not answered within {run.grace:g} s"
        raise Wrong(f"{method} was sent and cancelled ($/cancel), and {gone}; answer it with its result or with error -32800")
    await works(run, "a cancelled request")


@check("cancel-stream", "A stream that is cancelled in its middle ends.")
async def cancel_stream(run: Run) -> None:
    """Open a stream, and cancel it after its head."""
    async with _sent(run, 1) as sent:
        await sent.until(1, run.limit(_STREAM))
        id = next(said["id"] for said in reversed(sent.peer.sent) if said.get("method") == _STREAM)
        sent.peer.channel.notify("$/cancel", wire.Cancel(id=id))
        if not await sent.peer.until(lambda: sent.ended, run.grace):
            gone = (
                f"its process ended {sent.peer.how_it_ended()}"
                if sent.peer.code is not None
                else f"no stream.end came within {run.grace:g} s"
            )
            raise Wrong(f"a stream was cancelled after {sent.items} items, and {gone}; stop, and send stream.end")
    await works(run, "a cancelled stream")


@check("cancel-late", "A cancellation of what is over, or never was, changes nothing.")
async def cancel_late(run: Run) -> None:
    """Cancel what has been answered."""
    await works(run, "nothing")
    peer = await run.peer()
    method, _ = await sample(run)
    answered = next(said["id"] for said in reversed(peer.sent) if said.get("method") == method)
    peer.channel.notify("$/cancel", wire.Cancel(id=answered))
    peer.channel.notify("$/cancel", wire.Cancel(id="check-never-was"))
    await works(run, "a cancellation of a request that was answered")
