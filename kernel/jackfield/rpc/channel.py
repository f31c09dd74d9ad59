"""One side of a connection between host and plugin: JSON-RPC 2.0, one object a line, requests both ways, streams with credit.

It is fed what was read and is handed a function that writes; what carries the bytes is not its business. Both the host and
Python plugins use it.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, CallError, NotDecoded, failure
from jackfield.rpc.wire import Credit, EndOfStream, Fault, Item, Items, RpcError

PARSE, INVALID, NO_METHOD, BAD_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
"""Errors of JSON-RPC itself (JSON-RPC 2.0, section 5.1)."""
FAILED, NOT_GRANTED, BUSY, CANCELLED = -32000, -32001, -32003, -32800
"""A call failed, and `data` says how; nobody allowed it; too much at once; the request was cancelled."""

CREDIT: Final = 256
"""Items of a stream that may be under way."""
_MOST_SERVED: Final = 1024
"""Requests of the other side that are answered at once."""
_MOST_BUFFERED: Final = 32 << 20
"""Bytes of one stream that wait for their reader."""
_LAST_MOMENT: Final = 1.0
"""Seconds that the other side gets to end a stream of which nothing more is wanted."""
_LATE: Final = 4096
"""Requests whose answers may come although nobody waits for them any more."""


def _plain(value: Any) -> str:
    """Return a text of a special kind, such as a header's name, as what it says."""
    if isinstance(value, str):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be said in JSON")


encode = msgspec.json.Encoder(enc_hook=_plain).encode
_NULL: Final = msgspec.Raw(b"null")


class Gone(Exception):
    """The other side is not there (any more); the message says why."""


class RpcFault(Exception):
    """The other side answered with an error, or is to be answered with one."""

    def __init__(self, code: int, message: str, data: Fault | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


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


class _Stream(msgspec.Struct, gc=False):
    """Which stream items are of that are none."""

    stream: str


_frame = msgspec.json.Decoder(_Frame).decode
_within = msgspec.json.Decoder(_Within).decode
_items = msgspec.json.Decoder(Items).decode
_stream = msgspec.json.Decoder(_Stream).decode
_end = msgspec.json.Decoder(EndOfStream).decode
_credit = msgspec.json.Decoder(Credit).decode


class Asked:
    """A request of ours, until it is answered and the stream that it opened is over."""

    __slots__ = ("answer", "context", "id", "inlet", "inner", "subject")

    def __init__(self, id: int, answer: "asyncio.Future[msgspec.Raw]", subject: Any) -> None:
        self.id, self.answer, self.subject = id, answer, subject
        self.context = contextvars.copy_context()
        """That in which it was made: what the other side asks within it runs there, as part of the same call."""
        self.inner: set[asyncio.Task[None]] = set()
        """What the other side asks within it."""
        self.inlet: Inlet | None = None

    def close(self) -> None:
        """It is over, and with it what was asked within it."""
        for task in self.inner:
            task.cancel()


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
        self._queue, self._size, self._left, self._taken = deque[tuple[list[Item], int]](), 0, CREDIT, 0
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
            self._queue.append((items, size))
            self._wake.set()

    def end(self, fault: BaseException | None = None) -> None:
        """Nothing more comes; a fault is raised once what came before was taken."""
        if not self._over:
            self._over, self._fault = True, fault
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
        while not self._queue:
            if self._over:
                if self._fault is not None:
                    raise self._fault
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        items, size = self._queue.popleft()
        self._size -= size
        self._taken += len(items)
        if self._taken >= CREDIT // 2 and not self._over:
            self._channel.notify("stream.credit", Credit(stream=self.name, credit=self._taken))
            self._left, self._taken = self._left + self._taken, 0
        return items

    async def aclose(self) -> None:
        """Want nothing more of it."""
        self._give_up()

    def finish(self) -> None:
        """Want nothing more of it, but give the other side a moment to end it by itself."""
        self._queue, self._unread = deque(), True
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
    connection cannot go on. `late` counts requests that were given up and are not answered yet.
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
        self._part, self._part_size = list[bytes](), 0
        self._ids, self.asked = count(1), dict[int, Asked]()
        self._inlets, self._outlets = dict[str, Inlet](), dict[str, _Outlet]()
        self._serving = dict[int | str, asyncio.Task[None]]()
        self.late, self._gone = dict[int, float](), ""
        """When each request was given up whose answer has not come yet."""
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
        asked = Asked(next(self._ids), asyncio.get_running_loop().create_future(), subject)
        line = encode(params)
        if len(line) > self._limit:
            raise RpcFault(BAD_PARAMS, f"a message of {len(line)} bytes is over the limit of {self._limit}")
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
        """Tell the other side that nobody waits any more; what it has not answered is counted as late."""
        if not self._gone:
            self.notify("$/cancel", {"id": asked.id})
            if len(self.late) < _LATE and not (asked.answer.done() and not asked.answer.cancelled()):
                self.late[asked.id] = asyncio.get_running_loop().time()

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        if not self._gone:
            self._write(b'{"jsonrpc":"2.0","method":"%b","params":%b}\n' % (method.encode(), encode(params)))

    # ------------------------------------------------------------------------------------------ reading

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        lines = data.split(b"\n")
        if self._part:
            self._part.append(lines[0])
            if len(lines) > 1:
                lines[0] = b"".join(self._part)
                self._part, self._part_size = [], 0
            else:
                lines = []
                self._part_size += len(data)
        if lines and (rest := lines.pop()):
            self._part, self._part_size = [rest], len(rest)
        for line in lines:
            if line and not self._gone:
                self._take(line)
        if self._part_size > self._limit:
            self._part, self._part_size = [], 0
            self._broken(f"sent a line of over {self._limit} bytes")

    def _take(self, line: bytes) -> None:
        try:
            frame = _frame(line)
            if frame.method is None:
                if not self._take_answer(frame):
                    self._noise(line)
            elif frame.id is msgspec.UNSET:
                self._take_notification(frame, len(line))
            elif isinstance(frame.id, int | str):
                self._take_request(frame.id, frame.method, frame.params)
        except ValueError:  # no message, or not the params that it should have
            self._noise(line)

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

    def _take_notification(self, frame: _Frame, size: int) -> None:
        method, params = frame.method, frame.params
        if method == "stream.item":
            try:
                said = _items(params)
            except ValueError as fault:
                if (inlet := self._inlets.get(_stream(params).stream)) is not None:
                    inlet.spoil(f"what is no item ({fault})")
                raise
            if (inlet := self._inlets.get(said.stream)) is not None:  # else it was given up
                inlet.put(said.items, size)
        elif method == "stream.end":
            end = _end(params)
            if (inlet := self._inlets.get(end.stream)) is not None:
                inlet.end(RpcFault(end.error.code, end.error.message, end.error.data) if end.error is not None else None)
        elif method == "stream.credit":
            credit = _credit(params)
            if (outlet := self._outlets.get(credit.stream)) is not None:
                outlet.credit += credit.credit
                outlet.more.set()
        elif method == "$/cancel":
            if (task := self._serving.get(msgspec.json.decode(params)["id"])) is not None:
                task.cancel()
        elif method is not None:
            self._start(self._serve_notification(method, params), None, None)

    # --------------------------------------------------------------------------------------- answering

    def _take_request(self, id: int | str, method: str, params: msgspec.Raw) -> None:
        within = _within(params).within if params[:1] == b"{" else None
        asked = self.asked.get(within) if isinstance(within, int) else None
        if within is not None and asked is None:
            self._reply_error(id, RpcError(code=BAD_PARAMS, message=f"for: there is no request {within!r} any more"))
        elif len(self._serving) >= _MOST_SERVED or id in self._serving:
            self._reply_error(id, RpcError(code=BUSY, message="too many requests at once, or an id that is in use"))
        else:
            self._start(self._serve_request(id, method, params, asked), id, asked)

    def _start(self, work: Any, id: int | str | None, asked: Asked | None) -> None:
        context = asked.context if asked is not None else contextvars.Context()
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, context=context)
        key = id if id is not None else f"\0{next(self._ids)}"
        self._serving[key] = task
        if asked is not None:
            asked.inner.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._serving.pop(key, None)
            if asked is not None:
                asked.inner.discard(task)

        task.add_done_callback(ended)

    async def _serve_request(self, id: int | str, method: str, params: msgspec.Raw, asked: Asked | None) -> None:
        try:
            made = await self._serve(method, params, asked)
            if isinstance(made, Streamed):
                await self._pump(id, made)
            else:
                self._reply(id, made)
        except asyncio.CancelledError:
            self._reply_error(id, RpcError(code=CANCELLED, message="cancelled"))
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
            raise RpcFault(INTERNAL, f"an answer of {len(line)} bytes is over the limit of {self._limit}")
        if not self._gone:
            self._write(b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (encode(id), line))

    def _reply_error(self, id: int | str, error: RpcError) -> None:
        if not self._gone:
            self._write(b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (encode(id), encode(error)))

    async def _pump(self, id: int | str, made: Streamed) -> None:
        """Answer with a stream's head, then send its items as there is credit, then its end."""
        self._reply(id, made.head)
        outlet, index, error = _Outlet(made.credit), 0, None
        self._outlets[made.stream] = outlet
        try:
            async for items in made.items:
                while items:
                    while outlet.credit <= 0 or not self._writable.is_set():
                        outlet.more.clear()
                        await (outlet.more if outlet.credit <= 0 else self._writable).wait()
                    now, items = items[: outlet.credit], items[outlet.credit :]  # noqa: PLW2901 (what is left of them)
                    outlet.credit -= len(now)
                    self.notify("stream.item", Items(stream=made.stream, index=index, items=list(now)))
                    index += len(now)
        except asyncio.CancelledError:
            error = RpcError(code=CANCELLED, message="cancelled")
        except Exception as fault:  # noqa: BLE001 (likewise)
            error = error_of(fault)
        finally:
            del self._outlets[made.stream]
            if (aclose := getattr(made.items, "aclose", None)) is not None:
                await aclose()
        self.notify("stream.end", EndOfStream(stream=made.stream, error=error))

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
                task.cancel()

    async def settle(self) -> None:
        """Wait for what was still being served when the connection was lost."""
        while self._serving:
            await asyncio.wait(list(self._serving.values()))
            await asyncio.sleep(0)


def error_of(fault: BaseException) -> RpcError:
    """Return what went wrong as the other side is told of it."""
    if isinstance(fault, CallError):
        said = fault.failure
        data = Fault(
            cause=said.cause,
            blame=said.blame,
            help=said.help,
            status=said.status,
            code=said.code,
            param=said.param,
            retry_after=said.retry_after,
            headers=list(fault.headers),
            body=fault.body.decode(errors="replace"),
            detail=said.detail,
            link=said.link,
        )
        return RpcError(code=FAILED, message=said.message, data=data)
    if isinstance(fault, RpcFault):
        return RpcError(code=fault.code, message=fault.message, data=fault.data)
    if isinstance(fault, BadRequest):
        return RpcError(code=FAILED, message=fault.message, data=Fault(cause="caller", code=fault.code, param=fault.param, status=400))
    if isinstance(fault, NotDecoded):
        return RpcError(code=FAILED, message=str(fault), data=Fault(cause="caller", code="not_decoded", status=413))
    code = BAD_PARAMS if isinstance(fault, msgspec.ValidationError) else INTERNAL
    return RpcError(code=code, message=str(fault) if code == BAD_PARAMS else f"{type(fault).__name__}: {fault}")


def fault_of(fault: RpcFault) -> CallError:
    """Return an answered error as what a call raises: with status, code, retry_after and headers as they were told."""
    from jackfield.api import Headers  # noqa: PLC0415

    said = fault.data or Fault()
    given = {"blame": said.blame, "help": said.help}
    told = failure(
        said.cause or "plugin",
        fault.message or "the plugin failed",
        **{name: value for name, value in given.items() if value is not None},
        status=said.status,
        code=said.code,
        param=said.param,
        retry_after=said.retry_after,
        detail=said.detail,
        link=said.link,
    )
    pairs = said.headers.items() if isinstance(said.headers, dict) else said.headers
    return CallError(told, body=said.body.encode(), headers=Headers((k, v) for k, v in pairs if v is not None))
