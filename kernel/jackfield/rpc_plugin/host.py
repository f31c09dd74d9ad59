"""The host as a Python plugin sees it from a process of its own (`jackfield.api.Host`): what it asks goes over the connection."""

import asyncio
import base64
import contextvars
import logging
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import (
    CallError,
    Credential,
    CredentialState,
    Event,
    Headers,
    HostInfo,
    HttpRequest,
    ModelInfo,
    Nested,
    Reply,
    Request,
    Response,
    Timeouts,
    canonical,
    failure,
)
from jackfield.rpc import forms, wire, wire_host
from jackfield.rpc.channel import Channel, Inlet, serving
from jackfield.rpc.errors import BAD_PARAMS, Gone, RpcFault, fault_of
from jackfield.rpc.methods import BY_NAME
from jackfield.rpc.sources import credential_from, credential_of
from jackfield.rpc.wire_host import AuthChanged
from jackfield.rpc_plugin.forms import SentBody, SentEvent, exact_fields

_DECODERS: Final = {name: msgspec.json.Decoder(m.result).decode for name, m in BY_NAME.items() if m.asks == "plugin" and m.result}
_response = msgspec.json.Decoder(Response).decode

_OLD: Final = 1.0
"""Seconds after which a list is asked for anew when somebody looks at it."""


class ChildHost:
    """The host, as far as it can be asked from here."""

    def __init__(self, channel: Channel, about: HostInfo) -> None:
        self._channel, self.info, self.loop = channel, about, asyncio.get_running_loop()
        self.http, self.state, self.credentials = _Http(self), _State(self), _Credentials(self)
        self.log = logging.getLogger(f"jackfield.plugins.{about.plugin}")
        self.log.addHandler(_ToHost(channel, self.loop))
        self.log.propagate = False
        self.log.setLevel(logging.DEBUG)
        self._tasks = set[asyncio.Task[None]]()
        self._models = _List(self, "host.models.list")

    async def ask(self, method: str, params: Any) -> Any:
        """Ask the host. Raises `CallError` for what a call may meet, else what it raises in process."""
        try:
            result = await self._channel.request(method, params)
        except (RpcFault, Gone) as fault:
            raise raised(fault) from None
        return _DECODERS[method](result) if method in _DECODERS else None

    async def open(self, method: str, params: Any) -> tuple[Any, Inlet]:
        """Ask likewise for what opens a stream; `params` makes the params of the stream's name and credit."""
        try:
            result, inlet = await self._channel.open(method, params)
        except (RpcFault, Gone) as fault:
            raise raised(fault) from None
        return (_DECODERS[method](result) if method in _DECODERS else None), inlet

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call and return its answer: canonical to a canonical request, else in the dialect. Raises `CallError`."""
        said: wire.Reply = await self.ask("host.model.execute", wire_host.ModelAsk(**_nested(call), read=True))
        if not isinstance(said.response, msgspec.UnsetType) and (isinstance(call, Request) or call.request is not None):
            return _response(said.response)
        body = SentBody(said, said.response, _response)
        return Reply(status=said.status, headers=Headers(forms.pairs_of(said.headers)), body=body)

    async def stream(self, call: Request | Nested) -> AsyncIterator[canonical.Delta | Event]:
        """Make a call and iterate over its answer: canonical deltas to a canonical request, else events. Raises `CallError`."""
        fields = _nested(call)
        _, inlet = await self.open(
            "host.model.execute_stream", lambda name, credit: wire_host.ModelStream(**fields, stream=name, credit=credit)
        )
        async for item in _items(inlet):
            if item.delta is not None:
                yield item.delta
            else:
                raw = b"" if isinstance(item.data, msgspec.UnsetType) else bytes(item.data)
                yield SentEvent.build(raw or forms.item_bytes(item), item.name)

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that could be called when that was asked last: at the start, and whenever somebody looked a second later."""
        said = self._models.latest()
        return [] if said is None else [ModelInfo(id=m) if isinstance(m, str) else msgspec.convert(m, ModelInfo) for m in said.models]

    def spawn(self, work: Coroutine[Any, Any, object], name: str = "") -> None:
        """Run a task that belongs to the plugin. What it asks of the host is on the plugin's own account."""
        task = asyncio.get_running_loop().create_task(self._own(work, name), name=name, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _own(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except (Exception, SystemExit):
            self.log.exception("a task of its own failed: %s", name)

    clock = staticmethod(time.monotonic)
    """Returns the time in seconds; it never goes back."""

    def changed(self, source: AuthChanged) -> None:
        """Tell the host that a source of the plugin's has other credentials now."""
        self._channel.notify("host.auth.changed", source)

    def refresh(self) -> None:
        """Ask for the lists that plugins look at without waiting."""
        for known in (self._models, self.credentials.known):
            known.latest()

    async def close(self) -> None:
        """Cancel the plugin's tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def raised(fault: RpcFault | Gone) -> Exception:
    """Return what the host's error raises here."""
    if isinstance(fault, Gone):
        return CallError(failure("plugin", f"the host is gone: {fault}"))
    if fault.code == BAD_PARAMS:
        return ValueError(fault.message)
    return OSError(fault.message) if fault.data is not None and fault.data.code == "state_away" else fault_of(fault)


def within() -> int | str | None:
    """Return in which request of the host's the code runs."""
    return serving.get()


async def _items(inlet: Inlet) -> AsyncIterator[wire.Item]:
    try:
        async for items in inlet:
            for item in items:
                yield item
    except (RpcFault, Gone) as fault:
        raise raised(fault) from None
    finally:
        await inlet.aclose()


def _nested(call: Request | Nested) -> dict[str, Any]:
    said = Nested(request=call) if isinstance(call, Request) else call
    about: dict[str, Any] = {"within": within(), "detached": said.detached, "timeouts": _times(said.timeouts), "operation": said.operation}
    if said.request is not None:
        return {**about, "request": msgspec.Raw(msgspec.json.encode(said.request))}
    raw = said.body if isinstance(said.body, bytes) else msgspec.json.encode(said.body or {})
    return {**about, "dialect": said.dialect, "model": said.model, **exact_fields(raw)}


def _times(said: Timeouts | None) -> wire_host.Times | None:
    return None if said is None else wire_host.Times(**msgspec.structs.asdict(said))


class _Response:
    """An upstream's answer (`jackfield.api.HttpResponse`)."""

    def __init__(self, said: wire_host.HttpAnswer, inlet: Inlet) -> None:
        self.status, self.headers = said.status, Headers(forms.pairs_of(said.headers))
        self._inlet, self._pieces = inlet, _items(inlet)

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for item in self._pieces:
            yield forms.item_bytes(item)

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._inlet.aclose()


class _Http:
    """Requests through the host's connections."""

    def __init__(self, host: ChildHost) -> None:
        self._host = host

    async def request(self, request: HttpRequest, *, attempt: bool = False) -> _Response:
        """Send a request; the answer is read whole or iterated over. Raises `CallError` when there is none."""
        behalf = request.credential.id if isinstance(request.credential, Credential) else request.credential
        body = request.body if isinstance(request.body, bytes | None) else request.body.read()
        fields: dict[str, Any] = {} if body is None else exact_fields(body)

        def params(name: str, credit: int) -> wire_host.HttpStream:
            return wire_host.HttpStream(
                within=within(),
                url=request.url,
                method=request.method,
                headers=list(request.headers),
                timeouts=_times(request.timeouts),
                credential=behalf,
                attempt=attempt,
                stream=name,
                credit=credit,
                **fields,
            )

        return _Response(*await self._host.open("host.http.stream", params))


class _State:
    """The shared store, under names of the plugin's own (`jackfield.api.StateStore`)."""

    def __init__(self, host: ChildHost) -> None:
        self._host = host

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""
        said: wire_host.StateValue = await self._host.ask("host.state.get", wire_host.StateKey(within=within(), key=key))
        if said.value_base64 is not None:
            return base64.b64decode(said.value_base64)
        return None if said.value is None else said.value.encode()

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value. With `if_absent`, return False where there is one already."""
        fields = {"within": within(), "key": key, "ttl": ttl, "if_absent": if_absent}
        said = wire_host.StateSet(value_base64=base64.b64encode(value).decode(), **fields)  # type: ignore[arg-type]
        return (await self._host.ask("host.state.set", said)).set  # type: ignore[no-any-return]

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter; return the new value, or None, changing nothing, where it would pass `maximum`."""
        said = wire_host.StateAdd(within=within(), key=key, n=n, maximum=maximum, ttl=ttl)
        return (await self._host.ask("host.state.add", said)).value  # type: ignore[no-any-return]

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._host.ask("host.state.delete", wire_host.StateKey(within=within(), key=key))


class _Credentials:
    """What a plugin may know of credentials."""

    def __init__(self, host: ChildHost) -> None:
        self._host, self.known = host, _List(host, "host.auth.list")

    def list(self) -> Sequence[str]:
        """Return the ids of all credentials, as of the latest time that they were asked for."""
        said = self.known.latest()
        return [] if said is None else [credential.id for credential in said.credentials]

    async def get(self, id: str) -> Credential:
        """Return a credential, with its secrets where the plugin may have them."""
        return credential_from(await self._host.ask("host.auth.get", wire_host.AuthGet(within=within(), id=id)))

    async def runtime(self, id: str) -> CredentialState:
        """Return how a credential is."""
        state: CredentialState = await self._host.ask("host.auth.get_runtime", wire_host.AuthGet(within=within(), id=id))
        return state

    async def save(self, credentials: Sequence[Credential], source: str | None = None) -> None:
        """Keep credentials, and use them."""
        told = [credential_of(credential, secret=True) for credential in credentials]
        await self._host.ask("host.auth.save", wire_host.AuthSave(within=within(), credentials=told, source=source))


class _List:
    """A list that is looked at without waiting: it is asked for at the start, and anew whenever a look finds it old."""

    def __init__(self, host: ChildHost, method: str) -> None:
        self._host, self._method, self._asked = host, method, 0.0
        self._said: Any = None

    def latest(self) -> Any:
        """Return what was answered last; None before that."""
        if (now := time.monotonic()) - self._asked > _OLD:
            self._asked = now
            self._host.loop.call_soon_threadsafe(lambda: self._host.spawn(self.ask(), self._method))
        return self._said

    async def ask(self) -> None:
        """Ask for it."""
        try:
            self._said = await self._host.ask(self._method, wire_host.Within())
        except CallError as fault:  # the host may not have started yet: then what is known stays
            self._host.log.debug("%s: %s", self._method, fault)


class _ToHost(logging.Handler):
    """Hands what the plugin logs to the host's log."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._channel, self._loop, self._thread = channel, loop, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        levels = {"debug": logging.INFO, "info": logging.WARNING, "warning": logging.ERROR}
        level: Any = next((name for name, above in levels.items() if record.levelno < above), "error")
        said = "host.log", wire_host.Log(message=self.format(record), level=level)
        if threading.get_ident() == self._thread:
            self._channel.notify(*said)
        else:  # a hook in a thread: two of them must not write at the same time
            self._loop.call_soon_threadsafe(self._channel.notify, *said)
