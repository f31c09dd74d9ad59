"""Stages 10 and 11 for streams: an upstream's answer on its way to the client.

Bytes go through as they are as long as nobody wants to see an event: then a read costs a search for
the end of the last whole event and for the terminal one. Every write is whole events, so that a
comment or an error can always follow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from jackfield.api import CallError, Dialect, Event, Failure, Reply, Response, StreamHead, failure, members
from jackfield.api.canonical import Assembler, Begin, Delta, Done, StreamError
from jackfield.dispatch import HookFailed, ask
from jackfield.exchange import Exchange, Gone, Tried, error_of
from jackfield.interception import Handler, Interception
from jackfield.source import Source, events_of, sound
from jackfield.sweeper import Sweeper


class Relay:
    """One streamed answer, from the upstream's events to the client's. `made` is None for an answer that no attempt gave."""

    def __init__(self, exchange: Exchange, reply: Reply, source: Source, made: Tried | None = None) -> None:
        self._exchange = exchange
        self._reply = reply
        self._made = made
        self._source = source
        self._up = source.dialect
        self._down = exchange.dialect
        self._terminal = self._up.needles.terminal
        self._over = False
        """The terminal event has passed."""
        self._written = 0.0
        self._writing = False
        self._normalizer: Interception | None = None
        self._crossing: _Crossing | None = None
        self._interception: Interception | None = None
        self._old_name: bytes | None = None
        self._new_name = b""

    async def prime(self) -> Failure | None:
        """Wait for the first event. Returns why this is no answer: it is empty, or begins with an error."""
        try:
            first = await self._source.first_event()
        except BaseException:
            await self.close()
            raise
        if first is None:
            await self.close()
            return failure("upstream", "the provider sent an empty stream", code="empty_stream")
        if self._made is None or self._up.commits(first):
            return None
        await self.close()
        error = first.error
        status = error.status if error is not None and error.status >= 400 else 502
        return self._made.attempt.provider.classify(self._up, status, self._reply.headers, first.data)

    async def close(self) -> None:
        """Let go of the upstream, in every case; the credential no longer serves this call."""
        await self._source.close()
        if self._made is not None:
            self._made.release()

    # -------------------------------------------------------------------------------------- to the client

    async def pump(self, headers: Sequence[tuple[str, str]], sweeper: Sweeper) -> None:
        """Send the stream to the client, mended where the upstream left something out."""
        exchange, downstream = self._exchange, self._exchange.downstream
        exchange.http_status = self._reply.status
        try:
            await downstream.start(self._reply.status, headers)
            exchange.first_byte = time.perf_counter() - exchange.started
            if self._down.keepalive is not None:
                sweeper.add(self)
            try:
                await self._flow()
            except asyncio.CancelledError:
                exchange.settle()  # raises where the host stops the call, not the client
                raise
        except (CallError, HookFailed) as fault:
            await self._break_off(fault)
        except (Gone, asyncio.CancelledError):
            if self._interception is not None:
                await self._interception.leave(exchange.outcome(canceled=True))
            raise
        finally:
            sweeper.discard(self)
            await self.close()
            if self._made is not None:
                self._made.relay = None  # the exchange, which holds what was tried, is held by this relay
        await self._write(self._down.framing.finish())
        await downstream.finish()

    async def _flow(self) -> None:
        source = self._source
        whole: bytes | None = source.first
        while whole is not None:
            leaving = await self._through(whole)
            if leaving:
                await self._write(leaving)
            if self._over:
                # An upstream that has said all may end by itself; one that a plugin cut short must stop.
                await (source.close() if self._cut_short else source.finish())
                break
            whole = await source.next()
        if not self._over:
            await self._mend()
        self._look_back()

    async def _through(self, whole: bytes) -> bytes:
        """Return the bytes that leave for whole events that came."""
        whole = self._cut(whole)
        if self._old_name is not None:
            whole = whole.replace(self._old_name, self._new_name)
        if self._normalizer is None and self._crossing is None and self._interception is None:
            return self._up.framing.clean(whole)
        events, whole = sound(self._up, whole)
        if self._normalizer is not None:
            whole = await self._normalizer.take(events, whole, self._exchange.outcome)
            events = events_of(self._up, whole)
            self._over = self._over or self._normalizer.ended is not None
        if self._crossing is not None:
            events = self._crossing.over(events)
            whole = b"".join(event.raw for event in events)
        if self._interception is not None:
            whole = await self._interception.take(events, whole, self._exchange.outcome)
            self._over = self._over or self._interception.ended is not None
        return whole

    def _cut(self, whole: bytes) -> bytes:
        """Return what stands up to the terminal event; nothing may follow it."""
        framing = self._up.framing
        for needle in self._terminal:
            end = len(whole)
            while (at := whole.rfind(needle, 0, end)) >= 0:  # from the end: there it stands when it is there
                end, after = framing.around(whole, at)
                if any(self._up.terminal(event) for event in events_of(self._up, whole[end:after])):
                    self._over = True
                    whole = whole[:after]
        return whole

    async def _write(self, data: bytes) -> None:
        if data:
            self._writing = True
            await self._exchange.downstream.write(data)
            self._writing = False
            self._written = time.monotonic()

    def look(self, now: float) -> None:
        """Keep the client's connection alive while the upstream is quiet. Called by the sweeper."""
        quiet = self._exchange.generation.config.server.keepalive
        if quiet and self._written and not self._writing and now - self._written > quiet:
            self._exchange.downstream.write_now(self._down.keepalive or b"")
            self._written = now

    # ----------------------------------------------------------------------------------------- the handlers

    async def bind(self) -> None:
        """Ask the plugins for their handlers, and find out what has to be done to this stream."""
        try:
            await self._bind()
        except BaseException:
            await self.close()
            raise

    @property
    def _cut_short(self) -> bool:
        return any(i is not None and i.ended is not None for i in (self._normalizer, self._interception))

    async def _bind(self) -> None:
        exchange, made = self._exchange, self._made
        renamed = made is not None and made.attempt.model != exchange.call.model
        normalizers = [] if made is None else await self._normalizers(made)
        handlers = await self._interceptors()
        if self._up is not self._down:
            self._crossing = _Crossing(self._source.dialect, exchange, renamed)
            if normalizers:
                self._normalizer = Interception(self._up, normalizers, exchange.trace)
            self._interception = Interception(self._down, handlers, exchange.trace)
            return
        if renamed:
            self._learn_name()
        if normalizers or handlers:
            self._interception = Interception(self._down, normalizers + handlers, exchange.trace)

    async def _normalizers(self, made: Tried) -> list[Handler]:
        found, reply, trace = [], self._reply, self._exchange.trace
        rest = self._exchange.generation.chains.normalize_response
        while rest:
            hook, answer, rest = await ask(rest, trace, made.attempt, reply)
            if hook is not None and callable(answer):
                found.append(Handler(hook, answer))
            elif hook is not None and answer.headers:
                reply.headers = reply.headers.with_changes(answer.headers)
        return found

    async def _interceptors(self) -> list[Handler]:
        exchange, reply, made = self._exchange, self._reply, self._made
        chain = exchange.seeing(exchange.generation.chains.intercept_stream)
        if not chain:
            return []
        model, provider = (made.attempt.model, made.attempt.provider.key) if made is not None else (exchange.call.model, "")
        head = StreamHead(status=reply.status, headers=reply.headers, model=model, provider=provider)
        found = []
        while chain:
            hook, handler, chain = await ask(chain, exchange.trace, exchange.call, head)
            if hook is not None:
                found.append(Handler(hook, handler))
        return found

    def _learn_name(self) -> None:
        """Find how the stream names its model, to put the name in its place that the client asked for."""
        for event in events_of(self._up, self._source.first):
            for path in self._up.needles.model:
                inner, data = event.json, event.data
                for step in path[:-1]:
                    inner = inner.get(step) if isinstance(inner, dict) else None
                said = inner.get(path[-1]) if isinstance(inner, dict) else None
                if isinstance(said, str):
                    self._old_name = _as_written(data, str(path[-1]), said)
                    self._new_name = msgspec.json.encode(path[-1]) + b":" + msgspec.json.encode(self._exchange.call.model)
                    return

    # --------------------------------------------------------------------------------------------- endings

    def _ending(self) -> Interception:
        """Return what knows the client's stream so far; on the byte lane it learns that from what was kept."""
        if self._interception is None:
            self._interception = Interception(self._down, (), self._exchange.trace)
            for whole in dict.fromkeys((self._source.first, *self._source.tail)):
                self._interception.follow(events_of(self._down, whole))
        return self._interception

    async def _mend(self) -> None:
        """End a stream whose upstream stopped without a terminal event: in good order if the answer was complete, else as broken."""
        ending = self._ending()
        if self._crossing is not None:
            await self._write(await ending.take(*self._crossing.close(), self._exchange.outcome))
            if self._crossing.done:
                return
        if not ending.complete():
            raise CallError(failure("network", "the provider's answer broke off before its end", code="broken_off"))
        await self._write(ending.finish(None))

    async def _break_off(self, fault: CallError | HookFailed) -> None:
        """End the client's stream with an error in its dialect."""
        exchange = self._exchange
        told = fault.failure if isinstance(fault, CallError) else failure("plugin", f"plugin {fault.plugin!r} failed ({fault.hook})")
        exchange.failure = told
        if self._made is not None:
            self._made.failure = told
        await self.close()
        await self._write(await self._ending().fail(error_of(told), exchange.outcome()))

    def _look_back(self) -> None:
        """Learn from the stream's end what it cost, and whether it ended with an error."""
        exchange, source = self._exchange, self._source
        if self._made is None:
            return
        edges = source.edges()
        self._made.usage = exchange.usage = source.usage(edges)
        for event in source.found(self._up.needles.error, edges):
            error = event.error
            if error is not None:
                told = failure("upstream", "the provider's stream ended with an error", code=error.code, detail=error.message)
                exchange.failure = self._made.failure = told

    # ------------------------------------------------------------------------------------------- as a whole

    async def assemble(self) -> Response:
        """Read the stream to its end and return the whole answer: for a client that asked for no stream."""
        assembler, decoder = Assembler(), self._up.decode_stream()
        try:
            whole: bytes | None = self._source.first
            while whole is not None and not self._over:
                for event in events_of(self._up, self._cut(whole)):
                    for delta in decoder.feed(event):
                        assembler.feed(delta)
                whole = await self._source.next() if not self._over else None
            for delta in decoder.close():
                assembler.feed(delta)
        except ValueError as fault:
            raise CallError(failure("upstream", "the provider's stream cannot be read", code="bad_answer", detail=str(fault))) from fault
        finally:
            await self.close()
        if assembler.error is not None or not assembler.done:
            detail = assembler.error.message if assembler.error else ""
            raise CallError(failure("upstream", "the provider's answer broke off before its end", code="broken_off", detail=detail))
        if self._made is not None:
            self._made.usage = assembler.response().usage
        return assembler.response()


class _Crossing:
    """A stream on its way from one dialect to another, through the canonical model."""

    def __init__(self, source: Dialect, exchange: Exchange, renamed: bool) -> None:
        losses = exchange.attempt.losses if exchange.attempt is not None else None
        self._decoder = source.decode_stream()
        self._encoder = exchange.dialect.encode_stream(exchange.call.request, losses if losses is not None else [])
        self._name = exchange.call.model if renamed else None
        self.done = False

    def over(self, events: Sequence[Event]) -> list[Event]:
        """Return the client's events for the upstream's."""
        made: list[Event] = []
        for event in events:
            made += self._encoded(self._decoder.feed(event))
        return made

    def close(self) -> tuple[list[Event], bytes]:
        """Return the client's events for what the upstream left unsaid, and their bytes."""
        events = self._encoded(self._decoder.close())
        return events, b"".join(event.raw for event in events)

    def _encoded(self, deltas: Sequence[Delta]) -> list[Event]:
        if self._name is not None:
            deltas = [msgspec.structs.replace(d, model=self._name) if isinstance(d, Begin) else d for d in deltas]
        self.done = self.done or any(isinstance(d, StreamError) or isinstance(d, Done) for d in deltas)
        return list(self._encoder.feed(deltas)) if deltas else []


def _as_written(data: bytes, key: str, said: str) -> bytes:
    """Return a member of an event as its bytes spell it, so that it can be found again."""
    encoded = msgspec.json.encode(said)
    for member in members(data):
        if member.key == key and data[slice(*member.value)] == encoded:
            return data[member.start : member.value[1]]
    return msgspec.json.encode(key) + b":" + encoded
