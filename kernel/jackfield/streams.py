"""Stages 10 and 11 for streams: an upstream's answer on its way to the client.

Bytes go through as they are as long as nobody wants to see an event: then a read costs a search for
the end of the last whole event and for the terminal one. Every write is whole events, so that a
comment or an error can always follow.
"""

import asyncio
import time
from typing import Final

import msgspec

from jackfield.api import Attempt, CallError, Event, Failure, Reply, Request, Response, StreamHead, failure
from jackfield.api.canonical import Assembler
from jackfield.api.canonical.crossing import DirectWay, StreamWay, named_event, stream_way
from jackfield.api.canonical.incoming import error_within
from jackfield.api.canonical.looking import edges, errors_in, events_of, sound, usage_at
from jackfield.dispatch import Chain, ask
from jackfield.exchange import OWN_FAULT, Exchange, Tried, error_of
from jackfield.interception import Handler, Interception
from jackfield.source import Source
from jackfield.sweeper import Sweeper

_UNCACHED: Final = (("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no"))
"""What keeps reverse proxies from holding a stream back."""


class Relay:
    """One streamed answer, from the upstream's events to the client's. `made` is None for an answer that no attempt gave."""

    def __init__(self, exchange: Exchange, reply: Reply, source: Source, made: Tried | None = None) -> None:
        self._exchange, self._reply, self._source, self._made = exchange, reply, source, made
        self._up, self._down = source.dialect, exchange.dialect
        self._over = False
        """The terminal event has passed."""
        self._quiet: float | None = None
        """Since when nothing is written, by the sweeper's looks: 0.0 until its next one, None while something is being written."""
        self._crossing: StreamWay | None = None
        self._normalizer: Interception | None = None
        self._interception: Interception | None = None
        self._renames = False
        """The client asked for the model under another name."""
        self._join = self._down.framing.join()

    async def prime(self) -> Failure | None:
        """Wait until the answer begins. Returns why this is none: it is empty, or an error comes first."""
        told: Failure | None = failure("upstream", "the provider sent an empty stream", code="empty_stream")
        try:
            if (first := await self._source.opening(self._exchange.generation.config.attempts.hold)) is not None:
                fits, made = self._made is None or self._up.commits(first), self._made
                told = error_within(made.attempt, first.error, self._reply.headers, first.data) if made and not fits else None
            return told
        finally:
            if told is not None:
                await self.close()

    async def close(self) -> None:
        """Let go of the upstream, in every case; the credential no longer serves this call."""
        await self._source.close()
        if self._made is not None:
            self._made.release()
            self._made.relay = None  # the exchange, which holds what was tried, is held by this relay
        if isinstance(self._crossing, DirectWay):
            await self._crossing.aclose()

    # ----------------------------------------------------------------------------------------- the handlers

    async def bind(self) -> None:
        """Ask the plugins for their handlers, and find out what has to be done to this stream."""
        exchange, reply, call = self._exchange, self._reply, self._exchange.call
        chains, attempt = exchange.generation.chains, self._made.attempt if self._made is not None else None
        by = exchange.attempt  # who answered; the stream may be played from what was a whole answer
        model, provider = (by.model, by.provider.key) if by is not None else (call.model, "")
        head = StreamHead(status=reply.status, headers=reply.headers, model=model, provider=provider)
        try:
            normalizers = await self._bound(chains["normalize_response"], attempt, reply) if attempt is not None else []
            handlers = await self._bound(exchange.seeing(chains["intercept_stream"]), call, head)
        except BaseException:
            await self.close()
            raise
        renamed = attempt is not None and attempt.model != call.model
        if self._up is self._down or self._up.name == self._down.name:
            self._renames = renamed
        if attempt is not None and self._up is not self._down:
            self._crossing = self._way(attempt, call.model if renamed else None)
            self._normalizer = Interception(self._up, normalizers, exchange.trace) if normalizers else None
        else:
            handlers = normalizers + handlers
        if handlers or self._crossing is not None:
            self._interception = Interception(self._down, handlers, exchange.trace)

    def _way(self, attempt: Attempt, model: str | None) -> StreamWay:
        call, losses = attempt.call, [] if attempt.losses is None else attempt.losses
        request = Request() if self._up.name == self._down.name else call.request  # which is not read where nobody needs it
        return stream_way(
            self._up,
            self._down,
            request,
            losses,
            call_id=call.id,
            fitting=attempt.fitting,
            translator=attempt.translator,
            model=model,
        )

    async def _bound(self, chain: Chain, *arguments: object) -> list[Handler]:
        found: list[Handler] = []
        while chain:
            hook, answer, chain = await ask(chain, self._exchange.trace, *arguments)
            if hook is not None and callable(answer):
                found.append(Handler(hook, answer, self._exchange.trace))
            elif hook is not None:
                self._reply.headers = self._reply.headers.with_changes(answer.headers or {})
        return found

    # -------------------------------------------------------------------------------------- to the client

    async def pump(self, sweeper: Sweeper) -> None:
        """Send the stream to the client, mended where the upstream left something out."""
        exchange, downstream, reply = self._exchange, self._exchange.downstream, self._reply
        exchange.http_status, kind = reply.status, ("Content-Type", f"{self._down.framing.media_type}; charset=utf-8")
        try:
            await downstream.start(reply.status, [kind, *_UNCACHED, *reply.headers])
            exchange.first_byte = time.perf_counter() - exchange.started
            if self._down.keepalive is not None:
                sweeper.waiting.add(self)
            await self._flow()
        except CallError as fault:
            await self._break_off(fault)
        except (ConnectionError, asyncio.CancelledError):
            if (stopped := exchange.stopped()) is not None:
                await self._break_off(stopped)
            else:  # the client has left
                await self._interception.closings(exchange.outcome(canceled=True)) if self._interception is not None else None
                raise
        except Exception as fault:  # noqa: BLE001 (what a dialect's reading of an upstream's stream may raise)
            told = failure("upstream", "the provider's stream cannot be read", code="bad_answer", detail=f"{type(fault).__name__}: {fault}")
            await self._break_off(CallError(told))
        finally:
            sweeper.waiting.discard(self)
            await self.close()
        if last := self._down.framing.finish():
            await downstream.write(last)
        await downstream.finish()

    async def _flow(self) -> None:
        source, clean = self._source, self._up.framing.clean
        unseen = not self._renames and self._normalizer is None and self._interception is None
        whole: bytes | None = source.first
        while whole is not None:
            whole, fault = self._up_to_error(self._cut(whole))
            if whole:
                await self._write(clean(whole) if unseen else await self._through(whole))
            if fault is not None and not self._ended():
                raise CallError(fault)
            whole = await source.next() if not self._over else None
        if not self._over:
            await self._mend()
        await source.close(let_end=not self._ended())
        self._count()

    async def _through(self, whole: bytes) -> bytes:
        """Return the bytes that leave for whole events that came."""
        if self._renames:
            whole = self._renamed(whole)
        if self._normalizer is None and self._interception is None:
            return self._up.framing.clean(whole)
        events, whole = sound(self._up, whole)
        if self._normalizer is not None:
            whole = await self._normalizer.take(events, whole, self._exchange.outcome)
            events = events_of(self._up, whole)
        if self._crossing is not None:
            events = made if isinstance(made := self._crossing.over(events), list) else await made
            whole = b"".join(event.raw for event in events)
        if self._interception is not None:
            whole = await self._interception.take(events, whole, self._exchange.outcome)
        self._over = self._over or self._ended()
        return whole

    def _renamed(self, whole: bytes) -> bytes:
        """Put the name in place that the client asked for, in every event that names a model where the dialect says.

        What has the same key elsewhere in an event is another matter: tools and checks of content have models too.
        """
        for event in events_of(self._up, whole):
            new = named_event(event, self._up, self._exchange.call.model)
            if new is not event:
                whole = whole.replace(event.frame, new.frame, 1)
        return whole

    def _ended(self) -> bool:
        """Tell whether a handler has ended the stream."""
        return (self._interception is not None and self._interception.ended is not None) or (
            self._normalizer is not None and self._normalizer.ended is not None
        )

    def _cut(self, whole: bytes) -> bytes:
        """Return what stands up to the terminal event; nothing may follow it."""
        for needle in self._up.needles.terminal:
            # To look from the start whether it is there at all is many times faster than from the end.
            start = len(whole) if whole.find(needle) >= 0 else 0
            while start and (at := whole.rfind(needle, 0, start)) >= 0:
                start, end = self._up.framing.around(whole, at)
                if any(map(self._up.terminal, events_of(self._up, whole[start:end]))):
                    self._over, whole = True, whole[:end]
                    if self._source.learn is not None:
                        self._source.learn(whole[start:], edge=True)
        return whole

    def _up_to_error(self, whole: bytes) -> tuple[bytes, Failure | None]:
        """Return what stands before an error that is not the caller's, and what it means; the client is told in the kernel's words."""
        for start, event in errors_in(self._up, whole) if self._made is not None else ():
            meant = self._classified(event)
            meant = msgspec.structs.replace(meant, message=f"the provider's stream ended with an error ({meant.cause})")
            if meant.cause not in OWN_FAULT:
                self._count()
                source, whole = self._source, whole[:start]
                source.first = whole if source.first is source.tail[-1] else source.first
                source.tail[-1] = whole  # the client's stream is ended after what it has seen
                return whole, meant
            if self._made is not None and self._made.failure is None:  # it may be said twice, as an event and as the answer's ending
                self._failed(meant)
        return whole, None

    async def _write(self, data: bytes) -> None:
        if data:
            self._quiet = None
            await self._exchange.downstream.write(self._join(data) if self._join is not None else data)
            self._quiet = 0.0

    def look(self, now: float) -> None:
        """Keep the client's connection alive while the upstream is quiet. Called by the sweeper."""
        limit = self._exchange.generation.config.server.keepalive
        self._quiet = None if self._quiet is None else self._quiet or now
        if limit and self._quiet is not None and now - self._quiet > limit:
            self._exchange.downstream.write_now(self._down.keepalive or b"")
            self._quiet = now

    # --------------------------------------------------------------------------------------------- endings

    def _ending(self) -> Interception:
        """Return what knows the client's stream so far; on the byte lane it learns that from what was kept."""
        if self._interception is None:
            self._interception = Interception(self._down, (), self._exchange.trace)
            # The first read may still be among the latest; two reads of the same bytes are two all the same.
            for whole in {id(read): read for read in (self._source.first, *self._source.tail)}.values():
                self._interception.follow(events_of(self._down, whole))
        return self._interception

    async def _mend(self) -> None:
        """End a stream whose upstream stopped without a terminal event: in good order if the answer was complete, else as broken."""
        ending = self._ending()
        if self._crossing is not None:
            last = made if isinstance(made := self._crossing.over(()), list) else await made
            await self._write(await ending.take(last, b"".join(event.raw for event in last), self._exchange.outcome))
        if self._crossing is None or not self._crossing.done:
            if (missing := ending.finish()) is None:
                raise CallError(failure("network", "the provider's answer broke off before its end", code="broken_off"))
            await self._write(missing)

    async def _break_off(self, fault: CallError) -> None:
        """End the client's stream with an error in its dialect."""
        self._failed(fault.failure)
        await self.close()
        await self._write(await self._ending().fail(error_of(fault.failure), self._exchange.outcome()))

    def _failed(self, told: Failure) -> None:
        self._exchange.failure = told
        if self._made is not None:
            self._made.fail(told)

    def _count(self) -> None:
        """Learn from the stream's end what it cost."""
        if self._made is not None:
            self._made.usage = self._exchange.usage = usage_at(self._up, edges(self._up, self._source.first, self._source.tail))

    def _classified(self, event: Event) -> Failure:
        """Return what an error event means, by its own words."""
        if self._made is None:
            return failure("upstream", "the stream ended with an error", status=502)
        return error_within(self._made.attempt, event.error, self._reply.headers, event.data)

    # ------------------------------------------------------------------------------------------- as a whole

    async def assemble(self) -> Response:
        """Read the stream to its end and return the whole answer: for a client that asked for no stream."""
        assembler, decoder = Assembler(), self._up.decode_stream()
        whole: bytes | None = self._source.first
        try:
            while whole is not None:
                for event in events_of(self._up, self._cut(whole)):
                    assembler.feed(decoder.feed(event))
                    if assembler.error is not None:
                        raise CallError(self._classified(event))
                whole = None if self._over else await self._source.next()
            assembler.feed(decoder.close())
            if not assembler.done:
                raise CallError(failure("network", "the provider's answer broke off before its end", code="broken_off"))
            said = assembler.response()
            await self._source.close(let_end=True)
            if self._made is not None:
                self._made.usage = said.usage  # before the credential is let go: it may be limited to so many tokens
            return said
        except ValueError as fault:
            raise CallError(failure("upstream", "the provider's stream cannot be read", code="bad_answer", detail=str(fault))) from fault
        finally:
            await self.close()
