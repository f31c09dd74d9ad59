"""The objects that a Python plugin registers from a process of its own, and what they are asked there."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jackfield.api import HOOKS, Bearer, Event, HookOptions, HttpProvider, HttpRequest, HttpResponse, LoginStep, ModelInfo, Provider, Reply
from jackfield.api.canonical import Assembler
from jackfield.rpc import wire
from jackfield.rpc import wire_objects as objects
from jackfield.rpc.channel import Streamed
from jackfield.rpc.errors import BAD_PARAMS, RpcFault
from jackfield.rpc.sources import credential_from, credential_of
from jackfield.rpc.wire_host import AuthChanged
from jackfield.rpc_plugin import forms
from jackfield.rpc_plugin.host import ChildHost
from jackfield.rpc_plugin.services import Services

if TYPE_CHECKING:
    from jackfield.rpc_plugin.child import Made

NEEDS: Final[tuple[wire.Needs, ...]] = ("headers", "body", "client_body", "request", "undecoded")
"""What providers are sent, and hooks that do not say what they need: all but what has to be asked for."""
_OF_EXECUTORS: Final = tuple(need for need in NEEDS if need != "client_body")
_SAYS_NOTHING: Final = HookOptions()
_STEPS: Final = ("execute", "prepare", "url", "join", "reply")
"""The steps of `HttpProvider`: whoever has one of their own answers attempts here, all others the host answers from their data."""
_EXECUTED: Final = ("executor.execute", "executor.execute_stream", "executor.http_request")
_OF_SOURCES: Final = {
    "auth.parse": "parse",
    "auth.login.start": "login",
    "auth.login.poll": "poll",
    "auth.refresh": "refresh",
    "auth.quota": "quota",
    "auth.save": "save",
    "auth.remove": "remove",
}


class Objects:
    """What a plugin has registered: asked for once, when it is registered itself."""

    def __init__(self, made: "Made", host: ChildHost, states: forms.States, problems: list[str]) -> None:
        self._host, self._states = host, states
        self.answers: dict[str, Callable[[Any], Any]] = {}
        """What answers each method that the host may call."""
        self._needs: frozenset[str] = frozenset()
        given: dict[str, Sequence[Any]] = {}
        for hook in made.hooks:
            if HOOKS[hook].shape == "objects":
                try:
                    given[hook] = list(made.hooks[hook]() or ())
                except (Exception, SystemExit) as fault:  # noqa: BLE001 (a plugin may raise anything)
                    problems.append(f"{hook}: {type(fault).__name__}: {fault}")
        self._more: Sequence[Any] = given.get("register_models", ())
        self.providers = {provider.key: provider for provider in given.get("register_providers", ())}
        self._sources = {source.name: source for source in given.get("register_credential_sources", ())}
        self._watched = set[str]()
        if "register_providers" in given or "register_models" in given:
            self._declare_providers(problems)
        if "register_credential_sources" in given:
            self.answers |= {"auth.register": self._name_sources, "auth.load": self._load}
            for method, part in _OF_SOURCES.items():
                if any(callable(getattr(source, part, None)) for source in self._sources.values()):
                    self.answers[method] = getattr(self, f"_{part}")

        self.answers |= Services(given, states).answers

    def needs(self, method: str) -> list[wire.Needs]:
        """Return what a method is to be sent."""
        if method.startswith("executor."):
            return sorted(self._needs)  # type: ignore[arg-type]
        return ["headers", "raw"] if method == "management.handle" else []

    async def start(self) -> None:
        """The host starts, or goes on with this process: it may have to ask the sources anew."""
        for name in self._sources:
            self._host.changed(AuthChanged(source=name))

    # ---------------------------------------------------------------------------------------- providers

    def _declare_providers(self, problems: list[str]) -> None:
        self._declared = list[objects.ProviderDeclared]()
        for provider in self.providers.values():
            try:
                self._declared.append(declared(provider))
            except ValueError as fault:
                problems.append(f"register_providers: provider {provider.key!r}: {fault}; it is not used")
                continue
            if _overrides(provider, "classify"):
                problems.append(f"provider {provider.key!r}: its `classify` is not asked out of process; say it by `failures`")
        self.answers["model.register"] = self._name_providers
        executing = [p for p in self._declared if p.execute]
        if executing:
            self.answers |= dict.fromkeys(_EXECUTED, self._execute)
            said = [getattr(self.providers[p.key].execute, "jackfield_hook", _SAYS_NOTHING).needs for p in executing]
            self._needs = frozenset(need for needs in said for need in (_OF_EXECUTORS if needs is None else needs))
        if any(p.dialects != ("canonical",) for p in executing):
            self.answers["executor.count_tokens"] = self._execute
        if any(_overrides(provider, "discover") for provider in self.providers.values()):
            self.answers["model.for_auth"] = self._discover

    async def _name_providers(self, said: object) -> objects.Providers:
        return objects.Providers(providers=self._declared, models=[(key, msgspec.to_builtins(model)) for key, model in self._more])

    async def _execute(self, said: objects.Execute | objects.ExecuteStream) -> wire.Reply | Streamed:
        provider = self.providers.get(said.attempt.provider)
        if provider is None:
            raise RpcFault(BAD_PARAMS, f"there is no provider {said.attempt.provider!r}")
        attempt = forms.SentAttempt(said.attempt, self._needs, self._states, provider)
        attempt._send = self._send
        reply = await provider.execute(attempt)
        if not isinstance(reply, Reply):
            raise TypeError(f"answered {reply!r:.200}, not a Reply")
        if reply.stream is None:
            return forms.reply_said(reply)
        if not isinstance(said, objects.ExecuteStream):
            return forms.reply_said(Reply(status=reply.status, headers=reply.headers, response=await _assembled(reply.stream)))
        head = wire.Reply(status=reply.status, headers=list(reply.headers), stream=True)
        return Streamed(head, said.stream, said.credit, _items(reply.stream))

    async def _send(self, request: HttpRequest) -> HttpResponse:
        return await self._host.http.request(request, attempt=True)

    async def _discover(self, said: objects.ForAuth) -> objects.Models:
        provider = self.providers[said.provider]
        if not _overrides(provider, "discover"):
            raise RpcFault(BAD_PARAMS, f"the models of provider {said.provider!r} are listed by the host")
        found = await provider.discover(credential_from(said.credential), self._send, {})
        return objects.Models(models=msgspec.to_builtins(list(found)))

    # ------------------------------------------------------------------------------------------ sources

    async def _name_sources(self, said: object) -> objects.Sources:
        having = {part: [n for n, s in self._sources.items() if callable(getattr(s, part, None))] for part in ("watch", "save")}
        refreshed = {name: list(keys) for name, source in self._sources.items() if (keys := getattr(source, "providers", ()))}
        return objects.Sources(sources=list(self._sources), watched=having["watch"], keeps=having["save"], providers=refreshed)

    async def _load(self, said: objects.OnSource) -> objects.Credentials:
        source = self._sources[said.source]
        found = [credential_of(credential, secret=True) for credential in await source.load()]
        if said.source not in self._watched and callable(watch := getattr(source, "watch", None)):
            self._watched.add(said.source)
            watch(lambda: self._host.changed(AuthChanged(source=said.source)))
        return objects.Credentials(credentials=found, problems=list(getattr(source, "problems", ())))

    async def _parse(self, said: objects.Parse) -> objects.Credentials | None:
        found = self._sources[said.source].parse(said.name, said.data)
        return None if found is None else objects.Credentials(credentials=[credential_of(c, secret=True) for c in found])

    async def _login(self, said: objects.LoginStart) -> objects.LoginStep:
        return _step_said(await self._sources[said.source].login(said.options))

    async def _poll(self, said: objects.LoginPoll) -> objects.LoginStep:
        fields = {**msgspec.structs.asdict(said.step), "credentials": tuple(map(credential_from, said.step.credentials))}
        return _step_said(await self._sources[said.source].poll(LoginStep(**fields)))

    async def _refresh(self, said: objects.OnCredential) -> objects.Refreshed:
        fresh = await self._sources[said.source].refresh(credential_from(said.credential))
        return objects.Refreshed(credential=credential_of(fresh, secret=True))

    async def _quota(self, said: objects.OnCredential) -> objects.Quota:
        return objects.Quota(windows=list(await self._sources[said.source].quota(credential_from(said.credential))))

    async def _save(self, said: objects.SaveCredentials) -> None:
        await self._sources[said.source].save([credential_from(credential) for credential in said.credentials])

    async def _remove(self, said: objects.RemoveCredential) -> None:
        try:
            await self._sources[said.source].remove(said.id)
        except KeyError:
            raise RpcFault(BAD_PARAMS, f"there is no credential {said.id!r}") from None


def declared(provider: Provider) -> objects.ProviderDeclared:
    """Return what the host is told of a provider. Raises `ValueError` for what cannot be told."""
    data: dict[str, Any] = {}
    if isinstance(provider, HttpProvider):
        data = {"base_url": provider.base_url, "headers": dict(provider.fixed_headers), "query": provider.fixed_query}
        data |= {"paths": dict(provider.paths), "forward": sorted(provider.forward)}
    if provider.auth is not None:
        data["auth"] = _place(provider.auth)
    for name in ("catalogue", "failures", "quota", "flavours", "continuity"):
        data[name] = msgspec.to_builtins(list(getattr(provider, name)))
    return objects.ProviderDeclared(
        key=provider.key,
        dialects=tuple(provider.dialects),
        models=provider.models if provider.models == "discover" else [_model_said(provider, model) for model in provider.models],
        patterns=list(provider.patterns),
        execute=not isinstance(provider, HttpProvider) or any(_overrides(provider, step) for step in _STEPS),
        key_optional=provider.key_optional,
        streams=provider.streams,
        serves=provider.serves,
        timeouts=provider.timeouts,
        fallback=provider.fallback,
        **data,
    )


def _model_said(provider: Provider, model: ModelInfo | str) -> Any:
    """Return a model, with the dialects in which it can be called where the provider says so of it."""
    about = ModelInfo(id=model) if isinstance(model, str) else model
    if not about.dialects and (spoken := tuple(provider.dialects_of(about.id))) != tuple(provider.dialects):
        about = msgspec.structs.replace(about, dialects=spoken)
    return about.id if about == ModelInfo(id=about.id) else msgspec.to_builtins(about)


def _place(auth: Any) -> objects.AuthPlace:
    if not isinstance(auth, Bearer) or type(auth).headers is not Bearer.headers:
        raise ValueError(
            f"its `auth` is code of its own ({type(auth).__name__}), and out of process only Bearer and KeyHeader can be applied"
        )
    return objects.AuthPlace(env=list(auth.env), header=auth.header, scheme=auth.scheme)


def _overrides(provider: Provider, name: str) -> bool:
    """Tell whether a provider has a method of its own in place of its base's."""
    base = HttpProvider if isinstance(provider, HttpProvider) else Provider
    return inspect.getattr_static(provider, name) is not inspect.getattr_static(base, name)


async def _items(stream: AsyncIterator[Any]) -> AsyncIterator[Sequence[wire.Item]]:
    try:
        async for thing in stream:
            yield [_item(thing)]
    finally:
        if (aclose := getattr(stream, "aclose", None)) is not None:
            await aclose()


def _item(thing: Any) -> wire.Item:
    if isinstance(thing, Event):
        new = forms.new_event(thing, -1)
        return wire.Item(name=new.name, data=new.data) if new.raw is None else wire.Item(raw=thing.raw.decode())
    if not isinstance(thing, bytes):
        return wire.Item(delta=thing)
    fields: Mapping[str, Any] = forms.bytes_fields(thing)
    return wire.Item(**fields)


async def _assembled(stream: AsyncIterator[Any]) -> Any:
    """Return the whole answer that a stream of deltas amounts to."""
    assembler = Assembler()
    async for thing in stream:
        if isinstance(thing, bytes | Event):
            raise TypeError("answered with a stream of bytes or events; say `streams = 'only'` if it always does")
        assembler.feed([thing])
    return assembler.response()


def _step_said(step: LoginStep) -> objects.LoginStep:
    return objects.LoginStep(**{**msgspec.structs.asdict(step), "credentials": [credential_of(c, secret=True) for c in step.credentials]})
