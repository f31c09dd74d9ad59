"""One side of a connection between host and plugin: JSON-RPC 2.0, one object a line, requests both ways, streams with credit.

It is fed what was read and is handed a function that writes; what carries the bytes is not its business. Both the host and
Python plugins use it.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from jackfield.rpc.errors import BAD_PARAMS, BUSY, CANCELLED, INVALID, Gone, RpcFault, error_of
from jackfield.rpc.wire import Cancel, Credit, EndOfStream, Fault, Item, Items, RpcError

CREDIT: Final = 256
"""Items of a stream that may be under way."""
_MOST_SERVED: Final = 1024
"""Requests of the other side that are answered at once."""
_MOST_SERVED_BYTES: Final = 64 << 20
"""Their bytes."""
_MOST_BUFFERED: Final = 32 << 20
"""Bytes of one stream that wait for their reader."""
_LAST_MOMENT: Final = 1.0
"""Seconds that the other side gets to end a stream of which nothing more is wanted."""
_NOTIFIED: Final = ("host.log", "host.auth.changed")
"""What is asked as notifications, too, or alone."""
_LATE: Final = 4096
"""Requests whose answers may come although nobody waits for them any more."""
UNASKED: Final = 100
"""What a line that nobody asked for costs beside its bytes."""


def _plain(value: Any) -> Any:
    """Return a text or number of a special kind, such as a header's name or seconds, as what it says."""
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be said in JSON")


encode = msgspec.json.Encoder(enc_hook=_plain).encode
serving: Final[contextvars.ContextVar[int | str | None]] = contextvars.ContextVar("serving", default=None)
"""The id of the other side's request that is being answered: what is asked meanwhile is asked within it."""
_NULL: Final = msgspec.Raw(b"null")
_CANCELLED: Final = RpcError(code=CANCELLED, message="cancelled")


class _Frame(msgspec.Struct, gc=False):
    """A request, notification or response."""

    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    method: str | None = None
    params: msgspec.Raw = _NULL
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: RpcError | None = None


class _Within(msgspec.Struct, gc=False):
    """The part of a request's params that says within which request of ours it is made."""

    within: int | str | None = msgspec.field(default=None, name="for")


class _Answer(msgspec.Struct, gc=False):
    """Which request an answer is meant for that is none."""

    id: int
    method: str | None = None


_frame = msgspec.json.Decoder(_Frame).decode
_within = msgspec.json.Decoder(_Within).decode
_items = msgspec.json.Decoder(Items).decode
_answer = msgspec.json.Decoder(_Answer).decode
_end = msgspec.json.Decoder(EndOfStream).decode
_credit = msgspec.json.Decoder(Credit).decode
_cancelled = msgspec.json.Decoder(Cancel).decode


class Asked:
    """A request of ours, until it is answered and the stream that it opened is over."""

    __slots__ = ("answer", "context", "id", "inlet", "inner", "method", "subject")

    def __init__(self, id: int, method: str, answer: "asyncio.Future[msgspec.Raw]", subject: Any) -> None:
        self.id, self.method, self.answer, self.subject = id, method, answer, subject
        self.context = contextvars.copy_context()
        """That in which it was made: what the other side asks within it runs there, as part of the same call."""
        self.inner: set[asyncio.Task[None]] = set()
        """What the other side asks within it."""
        self.inlet: Inlet | None = None

    def close(self) -> None:
        """It is over, and with it what was asked within it."""
        for task in self.inner:
            _cancel(task)


class Streamed(msgspec.Struct, frozen=True):
    """An answer that opens a stream: what is answered at once, and what comes then. `items` is closed in every case."""

    head: Any
    stream: str
    credit: int
    items: AsyncIterator[Sequence[Item]]


Serve = Callable[[str, msgspec.Raw, Asked | None], Awaitable[Any]]
"""Answers a request of the other side: its method, its params, and within which of ours it is made."""


class Inlet:
    """A stream that the other side sends; iterating over it gives lists of items and grants credit for what was taken."""

    def __init__(self, channel: "Channel", name: str, asked: Asked) -> None:
        self.name, self._channel, self._asked = name, channel, asked
        self._come, self._size, self._left, self._taken = list[Item](), 0, CREDIT, 0
        self._over, self._unread, self._wake = False, False, asyncio.Event()
        self._fault: BaseException | None = None

    def put(self, items: list[Item], size: int) -> None:
        """Take what came."""
        if self._unread:
            return
        self._left, self._size = self._left - len(items), self._size + size
        if self._left < 0 or self._size > _MOST_BUFFERED:
            self.spoil("more than it had credit for" if self._left < 0 else f"more than {_MOST_BUFFERED} bytes that nobody has taken yet")
        else:
            self._come += items
            self._wake.set()

    def end(self, fault: BaseException | None = None) -> None:
        """Nothing more comes; a fault is raised once what came before was taken."""
        if not self._over:
            self._over, self._fault = True, fault
            if not self._asked.answer.done():
                self._asked.answer.set_exception(fault or RpcFault(INVALID, "ended a stream before it answered the request for it"))
            self._channel.finish(self._asked)
            self._wake.set()

    def spoil(self, what: str) -> None:
        """Take nothing more: the other side does not keep to the protocol."""
        if not self._over:
            self._channel.abandon(self._asked)
            self.end(RpcFault(INVALID, f"sent {what} on a stream"))

    def __aiter__(self) -> AsyncIterator[list[Item]]:
        return self

    async def __anext__(self) -> list[Item]:
        while not self._come:
            if self._over:
                if self._fault is not None:
                    raise self._fault
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        items, self._come, self._size = self._come, [], 0  # all at once: each step from here on is made once for all of them
        self._taken += len(items)
        if self._taken >= CREDIT // 2 and not self._over:
            self._channel.notify("stream.credit", Credit(stream=self.name, credit=self._taken))
            self._left, self._taken = self._left + self._taken, 0
        return items

    def never(self) -> None:
        """There is none: what was answered does not say that one follows. Should it do so all the same, nothing of it is wanted."""
        self._channel.notify("$/cancel", Cancel(id=self._asked.id))
        self.end()

    async def aclose(self) -> None:
        """Want nothing more of it."""
        if not self._unread:
            self._give_up()

    def finish(self) -> None:
        """Want nothing more of it, but give the other side a moment to end it by itself."""
        self._come, self._unread = [], True
        if not self._over:
            asyncio.get_running_loop().call_later(_LAST_MOMENT, self._give_up, context=contextvars.Context())

    def _give_up(self) -> None:
        if not self._over:
            self._channel.abandon(self._asked)
            self.end()


class _Outlet:
    """The credit of a stream that we send."""

    def __init__(self, credit: int) -> None:
        self.credit, self.more = credit, asyncio.Event()


class Channel:
    """One side of the connection.

    `write` sends bytes; `serve` answers requests; `noise` is told of lines that are no messages, `broken` once of why the
    connection cannot go on.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        serve: Serve,
        *,
        noise: Callable[[bytes], object] = lambda line: None,
        broken: Callable[[str], object] = lambda reason: None,
        limit: int = 16 << 20,
        prefix: str = "s",
    ) -> None:
        self._write, self._serve, self._noise, self._broken, self._limit, self._prefix = write, serve, noise, broken, limit, prefix
        self._part = bytearray()
        self._ids, self.asked = count(1), dict[int, Asked]()
        self._inlets, self._outlets = dict[str, Inlet](), dict[str, _Outlet]()
        self._serving, self._served_bytes = dict[int | str, asyncio.Task[None]](), 0
        self.late, self._gone = dict[int | str, tuple[float, str]](), ""
        """When each request was given up that has not been answered yet, or whose stream has not ended; and what is waited for."""
        self.received, self.unasked = 0, 0
        """Bytes that were read; and what those of them cost that are no messages, or that nobody asked for."""
        self._writable = asyncio.Event()
        self._writable.set()

    # ------------------------------------------------------------------------------------------- asking

    async def request(self, method: str, params: Any, subject: Any = None) -> msgspec.Raw:
        """Send a request and return its result. `subject` is what it is about, for what is asked within it.

        Raises `Gone` when the other side is not there, `RpcFault` when it answers with an error.
        """
        asked = await self._ask(method, params, subject)
        try:
            return await asked.answer
        except asyncio.CancelledError:
            self.abandon(asked)
            raise
        finally:
            self.finish(asked)

    async def open(self, method: str, params: Callable[[str, int], Any], subject: Any = None) -> tuple[msgspec.Raw, Inlet]:
        """Send a request that opens a stream, and return its result and the stream. `params` makes the params of its name and credit."""
        name = f"{self._prefix}{next(self._ids)}"
        asked = await self._ask(method, params(name, CREDIT), subject, name)
        assert asked.inlet is not None
        try:
            return await asked.answer, asked.inlet
        except BaseException as fault:
            if isinstance(fault, asyncio.CancelledError):
                self.abandon(asked)
            asked.inlet.end()
            raise

    async def _ask(self, method: str, params: Any, subject: Any, stream: str | None = None) -> Asked:
        while not self._writable.is_set() and not self._gone:
            await self._writable.wait()
        if self._gone:
            raise Gone(self._gone)
        asked = Asked(next(self._ids), method, asyncio.get_running_loop().create_future(), subject)
        line = encode(params)
        if len(line) > self._limit:
            raise RpcFault(
                BAD_PARAMS,
                f"a message of {len(line)} bytes to or from a plugin is over the limit of {self._limit}",
                Fault(cause="caller", code="not_decoded", status=413),  # it is no plugin's fault that a client sends so much
            )
        self.asked[asked.id] = asked
        if stream is not None:
            self._inlets[stream] = asked.inlet = Inlet(self, stream, asked)
        self._write(b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}\n' % (asked.id, method.encode(), line))
        return asked

    def finish(self, asked: Asked) -> None:
        """Forget a request: it is over."""
        if self.asked.pop(asked.id, None) is not None:
            asked.close()
            if asked.inlet is not None:
                self._inlets.pop(asked.inlet.name, None)

    def abandon(self, asked: Asked) -> None:
        """Tell the other side that nobody waits any more; what it has not answered is late."""
        if not self._gone:
            self.notify("$/cancel", Cancel(id=asked.id))
            if asked.answer.cancelled() or not asked.answer.done():
                self._is_late(asked.id, f"answered {asked.method}")
            if asked.inlet is not None:
                self._is_late(asked.inlet.name, f"ended the stream of {asked.method}")

    def _is_late(self, id: int | str, what: str) -> None:
        if len(self.late) < _LATE:
            self.late[id] = asyncio.get_running_loop().time(), what

    def ping(self) -> None:
        """Send a request for which nobody waits: as long as it is not answered it is late."""
        if not self._gone:
            self._is_late(id := next(self._ids), "answered $/ping")
            self._write(b'{"jsonrpc":"2.0","id":%d,"method":"$/ping","params":{}}\n' % id)

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        if not self._gone:
            self._write(b'{"jsonrpc":"2.0","method":"%b","params":%b}\n' % (method.encode(), encode(params)))

    # ------------------------------------------------------------------------------------------ reading

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self.received += len(data)
        *lines, rest = data.split(b"\n")
        if lines and self._part:
            self._part += lines[0]
            lines[0], self._part = bytes(self._part), bytearray()
        self._part += rest
        for line in lines:
            if not line:
                self.unasked += UNASKED
            elif not self._gone:
                self._take(line)
        if len(self._part) > self._limit:
            self._part.clear()
            self._broken(f"sent a line of over {self._limit} bytes")

    def _take(self, line: bytes) -> None:
        try:
            frame, size = _frame(line), len(line)
            if frame.method is None:
                understood = self._take_answer(frame)
            elif frame.id is msgspec.UNSET:
                understood = self._take_notification(frame, size)
            else:
                understood = isinstance(frame.id, int | str) and self._take_request(frame.id, frame.method, frame.params, size)
        except (ValueError, RecursionError) as fault:  # no message, or not the params that it should have
            understood = False
            with contextlib.suppress(ValueError, RecursionError):
                self._disappoint(_answer(line), fault)
        if not understood:
            self.unasked += len(line) + UNASKED
            self._noise(line)

    def _disappoint(self, said: "_Answer", fault: ValueError | RecursionError) -> None:
        """Tell who waits for an answer that what came is none."""
        if said.method is None and (asked := self.asked.get(said.id)) is not None and not asked.answer.done():
            asked.answer.set_exception(RpcFault(INVALID, f"what it answered is no answer: {fault}"))

    def _take_answer(self, frame: _Frame) -> bool:
        """Hand an answer to who waits for it; tell whether it answers anything."""
        if not isinstance(frame.id, int):
            return False
        if (asked := self.asked.get(frame.id)) is None or asked.answer.done():
            return self.late.pop(frame.id, None) is not None
        if frame.error is not None:
            asked.answer.set_exception(RpcFault(frame.error.code, frame.error.message, frame.error.data))
        else:
            asked.answer.set_result(_NULL if isinstance(frame.result, msgspec.UnsetType) else frame.result)
        return True

    def _take_notification(self, frame: _Frame, size: int) -> bool:
        """Act on a notification; tell whether anybody takes it."""
        method, params = frame.method, frame.params
        if method == "stream.item":
            try:
                said = _items(params)
            except ValueError as fault:
                if (inlet := self._inlets.get(_end(params).stream)) is not None:  # it names its stream like any other
                    inlet.spoil(f"what is no item ({fault})")
                raise
            if (inlet := self._inlets.get(said.stream)) is None:
                return self._left(size)
            inlet.put(said.items, size)
        elif method == "stream.end":
            end = _end(params)
            if (inlet := self._inlets.get(end.stream)) is None:
                return self.late.pop(end.stream, None) is not None or self._left(size)
            inlet.end(RpcFault(end.error.code, end.error.message, end.error.data) if end.error is not None else None)
        elif method == "stream.credit":
            credit = _credit(params)
            if (outlet := self._outlets.get(credit.stream)) is None:
                return self._left(size)
            outlet.credit += credit.credit
            outlet.more.set()
        elif method == "$/cancel":
            if (task := self._serving.get(_cancelled(params).id)) is None:
                return self._left(size)
            _cancel(task)
        elif method in _NOTIFIED and len(self._serving) < _MOST_SERVED:
            self.unasked += size + UNASKED
            self._start(self._serve_notification(method, params), None, None, size)
        else:
            return False
        return True

    def _left(self, size: int) -> bool:
        """Count what came for something that is not there: it may have crossed its end, and is not worth a line in the log."""
        self.unasked += size + UNASKED
        return True

    # --------------------------------------------------------------------------------------- answering

    def _take_request(self, id: int | str, method: str, params: msgspec.Raw, size: int) -> bool:
        """Begin to answer a request, or refuse it; True."""
        try:
            within = None if params == _NULL else _within(params).within
        except msgspec.ValidationError as fault:
            self._reply_error(id, error_of(fault))
            return True
        asked = self.asked.get(within) if isinstance(within, int) else None
        if within is not None and asked is None:
            self._reply_error(id, RpcError(code=BAD_PARAMS, message=f"for: there is no request {within!r} any more"))
        elif id in self._serving:
            self._reply_error(id, RpcError(code=INVALID, message=f"id: {id!r} is the id of a request that is not answered yet"))
        elif len(self._serving) < _MOST_SERVED and self._served_bytes < _MOST_SERVED_BYTES:
            self._start(self._serve_request(id, method, params, asked), id, asked, size)
        elif self._writable.is_set():
            self._reply_error(
                id, RpcError(code=BUSY, message=f"more than {_MOST_SERVED} requests at once, or {_MOST_SERVED_BYTES} bytes of them")
            )
        else:
            self._broken("asked for more and more without reading the answers")
        return True

    def _start(self, work: Any, id: int | str | None, asked: Asked | None, size: int) -> None:
        context = asked.context if asked is not None else contextvars.Context()
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, context=context)
        key = id if id is not None else f"\0{next(self._ids)}"
        self._serving[key] = task
        self._served_bytes += size
        if asked is not None:
            asked.inner.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._serving.pop(key, None)
            self._served_bytes -= size
            if asked is not None:
                asked.inner.discard(task)
            if task.cancelled() and id is not None:  # before it had begun
                self._reply_error(id, _CANCELLED)

        task.add_done_callback(ended)

    async def _serve_request(self, id: int | str, method: str, params: msgspec.Raw, asked: Asked | None) -> None:
        serving.set(id)
        try:
            made = await self._serve(method, params, asked)
            if isinstance(made, Streamed):
                await self._stream(id, made)
            else:
                await self._writable.wait()
                self._reply(id, made)
        except asyncio.CancelledError:
            self._reply_error(id, _CANCELLED)
        except Exception as fault:  # noqa: BLE001 (whatever fails, a request is answered)
            self._reply_error(id, error_of(fault))

    async def _serve_notification(self, method: str, params: msgspec.Raw) -> None:
        try:
            await self._serve(method, params, None)
        except Exception as fault:  # noqa: BLE001 (nobody waits for an answer)
            self._noise(f"{method}: {fault}".encode())

    def _reply(self, id: int | str, result: Any) -> None:
        line = encode(result)
        if len(line) > self._limit:
            raise RpcFault(BUSY, f"an answer of {len(line)} bytes is over the limit of {self._limit}")
        if not self._gone:
            self._write(b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (encode(id), line))

    def _reply_error(self, id: int | str, error: RpcError) -> None:
        self.unasked += UNASKED  # many of them are a flood
        if not self._gone:
            self._write(b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (encode(id), encode(error)))

    async def _stream(self, id: int | str, made: Streamed) -> None:
        """Answer with a stream's head, then send its items, then its end: once it is answered, what goes wrong stands there."""
        outlet, error, answered = _Outlet(made.credit), None, False
        try:
            if made.stream in self._outlets:
                raise RpcFault(BAD_PARAMS, f"stream: {made.stream!r} is the name of a stream that is not over")
            self._reply(id, made.head)
            self._outlets[made.stream], answered = outlet, True
            await self._pump(made, outlet)
        except asyncio.CancelledError:
            error = _CANCELLED
        except Exception as fault:
            if not answered:
                raise
            error = error_of(fault)
        finally:
            if answered:
                del self._outlets[made.stream]
            if (aclose := getattr(made.items, "aclose", None)) is not None:
                with contextlib.suppress(Exception):  # of what nobody waits for any more
                    await aclose()
        self.notify("stream.end", EndOfStream(stream=made.stream, error=error))

    async def _pump(self, made: Streamed, outlet: _Outlet) -> None:
        """Send a stream's items, as many as there is credit for."""
        index = 0
        async for items in made.items:
            while items:
                while outlet.credit <= 0 or not self._writable.is_set():
                    outlet.more.clear()
                    await (outlet.more if outlet.credit <= 0 else self._writable).wait()
                now, items = items[: outlet.credit], items[outlet.credit :]  # noqa: PLW2901 (what is left of them)
                outlet.credit -= len(now)
                self.notify("stream.item", Items(stream=made.stream, index=index, items=list(now)))
                index += len(now)

    # ------------------------------------------------------------------------------------------ the line

    def pause(self) -> None:
        """The other side does not read: ask it nothing for now."""
        self._writable.clear()

    def resume(self) -> None:
        """It reads again."""
        self._writable.set()

    def lose(self, reason: str) -> None:
        """The connection is over: whoever waits for anything learns why."""
        if not self._gone:
            self._gone = reason
            self._writable.set()
            for asked in list(self.asked.values()):
                if not asked.answer.done():
                    asked.answer.set_exception(Gone(reason))
                if asked.inlet is not None:
                    asked.inlet.end(Gone(reason))
            for task in list(self._serving.values()):
                _cancel(task)

    async def settle(self) -> None:
        """Wait for what was still being served when the connection was lost."""
        while self._serving:
            await asyncio.wait(list(self._serving.values()))
            await asyncio.sleep(0)


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel what is being served, once: what it does then to end in order is not interrupted."""
    if not task.cancelling():
        task.cancel()
