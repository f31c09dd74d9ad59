"""Providers that plugins out of process register: data that the host goes by, or a program that answers attempts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from jackfield.api import (
    Attempt,
    Bearer,
    CallError,
    Continuity,
    Credential,
    Dialect,
    Flavour,
    Headers,
    HttpProvider,
    ModelInfo,
    Provider,
    QuotaHeaders,
    Reply,
    Request,
    Response,
    Rule,
    Sender,
    StreamEncoder,
    failure,
)
from jackfield.api.units import read_unit
from jackfield.rpc import forms, wire
from jackfield.rpc import wire_objects as objects
from jackfield.rpc.channel import Inlet
from jackfield.rpc.errors import BUSY, Gone, RpcFault, fault_of
from jackfield.rpc.sources import credential_of

if TYPE_CHECKING:
    from jackfield.rpc.bridge import Bridge

_WHOLE, _STREAM, _COUNT, _RESOURCE = "executor.execute", "executor.execute_stream", "executor.count_tokens", "executor.http_request"
_FOR_AUTH: Final = "model.for_auth"
_PARTS: Final[Mapping[str, Any]] = {
    "models": tuple[ModelInfo | str, ...] | Literal["discover"],
    "catalogue": tuple[ModelInfo, ...],
    "failures": tuple[Rule, ...],
    "quota": tuple[QuotaHeaders, ...],
    "flavours": tuple[Flavour, ...],
    "continuity": tuple[Continuity, ...],
}
"""What stands as plain JSON in a declared provider, and what it is."""
_response = msgspec.json.Decoder(Response).decode


def providers_of(bridge: "Bridge", said: objects.Providers) -> tuple[list[Provider], list[tuple[str, ModelInfo]]]:
    """Return the providers that a plugin declares, and further models; what is wrong with one becomes a problem of the plugin's."""
    providers, models = list[Provider](), list[tuple[str, ModelInfo]]()
    for declared in said.providers:
        try:
            providers.append(_provider(bridge, declared))
        except ValueError as fault:
            bridge.problems.append(f"model.register: provider {declared.key!r}: {fault}; it is not used")
    for at, (key, model) in enumerate(said.models):
        try:
            models.append((key, _model(_read(f"models[{at}][1]", model, ModelInfo | str))))
        except ValueError as fault:
            bridge.problems.append(f"model.register: {fault}")
    return providers, models


def _read(name: str, said: Any, kind: Any) -> Any:
    """Return JSON as what it stands for. Raises `ValueError` that begins with where it is wrong."""
    try:
        return msgspec.convert(said, kind, dec_hook=read_unit)
    except msgspec.ValidationError as fault:
        what, _, at = str(fault).partition(" - at `$")
        raise ValueError(f"{name}{at.rstrip('`')}: {what}") from None


def _model(said: ModelInfo | str) -> ModelInfo:
    return ModelInfo(id=said) if isinstance(said, str) else said


def _provider(bridge: "Bridge", said: objects.ProviderDeclared) -> Provider:
    parts = {name: _read(name, getattr(said, name), kind) for name, kind in _PARTS.items()}
    auth = None if said.auth is None else Bearer(said.auth.env, header=said.auth.header, scheme=said.auth.scheme)
    same = ("key", "dialects", "patterns", "serves", "timeouts")
    parts |= {"auth": auth, **{name: getattr(said, name) for name in same}}
    made: Provider
    if said.base_url is not None and not said.execute:
        paths: Any = said.paths
        more = {"headers": said.headers, "paths": paths, "query": said.query, "forward": said.forward, "streams": said.streams}
        made = _Declared(bridge, base_url=said.base_url, **parts, **more)
    elif said.execute is False:
        raise ValueError("it has neither a `base_url` nor `execute`")
    else:
        made = Executor(bridge, said, parts)
    made.key_optional, made.fallback = said.key_optional, said.fallback
    return made


class _Discovered(Provider):
    """A provider whose plugin may know which models a credential can call."""

    _bridge: "Bridge"

    async def discover(self, credential: Credential, send: Sender, dialects: Mapping[str, Dialect]) -> Sequence[ModelInfo]:
        """Ask the plugin, where it says that it knows; else as other providers do."""
        if self.models != "discover" or not self._bridge.declares(_FOR_AUTH):
            return await super().discover(credential, send, dialects)
        about = credential_of(credential, secret="secret" in self._bridge.needs(_FOR_AUTH))
        params = objects.ForAuth(provider=self.key, credential=about)
        said: objects.Models = await self._bridge.ask(_FOR_AUTH, lambda _: params, subject=Discovery(credential, send))
        return [_model(model) for model in _read("models", said.models, list[ModelInfo | str])]


class Discovery(msgspec.Struct, frozen=True):
    """What `model.for_auth` is about: a request that the plugin makes within it may be sent as the credential's own."""

    credential: Credential
    send: Sender


class _Declared(_Discovered, HttpProvider):
    """A provider that is data: the host does all of it."""

    def __init__(self, bridge: "Bridge", **data: Any) -> None:
        super().__init__(**data)
        self._bridge = bridge


class Executor(_Discovered):
    """A provider whose attempts the plugin answers.

    One that declares no streaming is asked for whole answers alone, one that declares nothing else for streams alone; one that
    declares neither is taken at its provider's word.
    """

    def __init__(self, bridge: "Bridge", said: objects.ProviderDeclared, parts: Mapping[str, Any]) -> None:
        self._bridge, self.base_url, self.streams = bridge, said.base_url, said.streams
        for name, value in parts.items():
            setattr(self, name, value)
        if bridge.declares(_WHOLE) is not bridge.declares(_STREAM):
            self.streams = "never" if bridge.declares(_WHOLE) else "only"
        self.counts = bridge.declares(_COUNT)

    async def execute(self, attempt: Attempt) -> Reply:
        """Ask the plugin. Raises `CallError` for what it says went wrong, and where it is not there or makes no sense."""
        operation = attempt.call.operation
        streamed = attempt.stream if self.streams == "both" or operation != "generate" else self.streams == "only"
        method = {"count": _COUNT, "resource": _RESOURCE}.get(operation, _STREAM if streamed else _WHOLE)
        if operation == "resource" and not self._bridge.declares(_RESOURCE):
            raise CallError(failure("unsupported", f"provider {self.key!r} does not serve {operation!r}", code="unsupported_operation"))
        try:
            return await self._ask(method, attempt, streamed)
        except (RpcFault, Gone, ValueError) as fault:
            raise self.fault(attempt, fault, f"provider {self.key!r} failed") from None

    async def _ask(self, method: str, attempt: Attempt, streamed: bool) -> Reply:
        bridge = self._bridge
        needs = bridge.needs(method if bridge.declares(method) else _WHOLE)
        bodies = (attempt.body, attempt.call.body) if needs & {"body", "client_body", "raw"} else ()

        def whole(files: forms.Files) -> objects.Execute:
            return objects.Execute(attempt=forms.attempt_of(attempt, needs, files, stream=streamed))

        def stream(files: forms.Files, stream: str, credit: int) -> objects.ExecuteStream:
            return objects.ExecuteStream(attempt=whole(files).attempt, stream=stream, credit=credit)

        if method != _STREAM:
            return self._reply(attempt, await bridge.answer(method, whole, *bodies, subject=attempt))
        said, inlet = await bridge.open(method, stream, *bodies, subject=attempt)
        if said.stream and said.status < 300:
            return Reply(status=said.status, headers=Headers(forms.pairs_of(said.headers)), stream=Items(self, attempt, inlet))
        (inlet.never if said.stream else inlet.end)()
        return self._reply(attempt, msgspec.structs.replace(said, stream=False))

    @staticmethod
    def _reply(attempt: Attempt, said: wire.Reply) -> Reply:
        if said.stream:
            raise ValueError("answered with a stream, which nobody asked for")
        if not 200 <= said.status < 600:
            raise ValueError(f"answered with the status {said.status}")
        reply = forms.reply_from(said)
        if attempt.dialect.name == "canonical" and reply.status < 300 and reply.response is None:
            reply.response = _response(reply.body or b"")  # type: ignore[arg-type]
        if reply.response is not None and not reply.response.choices and attempt.call.operation == "generate":
            raise ValueError("its answer has no `choices`")
        return reply

    def fault(self, attempt: Attempt, fault: Exception, says: str) -> CallError:
        """Return what went wrong as a call's failure: as the plugin tells it, else by the status that it tells, else as its own."""
        told, said = fault.data if isinstance(fault, RpcFault) else None, str(fault) or type(fault).__name__
        if told is None or (told.cause is None and told.status < 400):
            busy = isinstance(fault, RpcFault) and fault.code == BUSY
            detail = f"plugin {self._bridge.id!r}: {said}"
            return CallError(failure("overload" if busy else "plugin", says, code="provider_failed", detail=detail, help="another"))
        if isinstance(fault, RpcFault) and told.cause is not None:
            return fault_of(fault)
        body, headers = (told.body or said).encode(), Headers(forms.pairs_of(told.headers))
        meant, given = attempt.classify(told.status, headers, body), {"code": told.code, "retry_after": told.retry_after}
        given = {name: value for name, value in given.items() if value is not None}
        return CallError(msgspec.structs.replace(meant, **given), body=body, headers=headers)


class Items:
    """The answer's stream, as bytes in the upstream's dialect: all that has come, at each read."""

    def __init__(self, provider: Executor, attempt: Attempt, inlet: Inlet) -> None:
        self._provider, self._attempt, self._inlet = provider, attempt, inlet
        self.finish, self.aclose, self._framed = inlet.finish, inlet.aclose, attempt.dialect.framing.build
        self._encoder: StreamEncoder | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return b"".join(map(self._bytes, await anext(self._inlet)))
        except (RpcFault, Gone, ValueError) as fault:
            raise self._provider.fault(self._attempt, fault, "the provider failed in the middle of its answer") from None

    def _bytes(self, item: wire.Item) -> bytes:
        if not isinstance(item.data, msgspec.UnsetType):
            return b"".join(self._framed(bytes(item.data), item.name))
        if item.delta is not None:
            self._encoder = self._encoder or self._attempt.dialect.encode_stream(Request(stream=True, stream_usage=True), [])
            return b"".join(event.raw for event in self._encoder.feed([item.delta]))
        return forms.item_bytes(item)
