"""A Python plugin in a process of its own: it answers the host's requests by the plugin's functions, as the host calls them in process."""

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from jackfield.api import (
    HOOKS,
    BadRequest,
    CallError,
    Candidate,
    Change,
    Delegate,
    Deny,
    HookOptions,
    HostInfo,
    NotDecoded,
    Principal,
    Reject,
    Route,
)
from jackfield.rpc import wire
from jackfield.rpc.channel import Asked, Channel
from jackfield.rpc.errors import BAD_PARAMS, INVALID, NO_METHOD, RpcFault
from jackfield.rpc.methods import BY_NAME
from jackfield.rpc_plugin import forms
from jackfield.rpc_plugin.host import ChildHost
from jackfield.rpc_plugin.objects import NEEDS, Objects
from jackfield.rpc_plugin.pools import Pools, pick_said

_DECODERS: Final = {name: msgspec.json.Decoder(m.params).decode for name, m in BY_NAME.items() if m.asks == "host"}
_OF_STREAMS: Final = ("normalize_response", "intercept_stream")
_THREADS: Final = 4
_MOST_STREAMS: Final = 4096
_OPEN, _NORMALIZE = "response.intercept_stream_chunk.open", "response.normalize"
_EXPECTED: Final[Mapping[str, tuple[Any, ...]]] = {
    "authenticate": (Principal, Reject),
    "route_model": (Route,),
    "pick_credential": (Candidate, Delegate, Deny),
    "normalize_response": (Change, Callable),
    "intercept_stream": (Callable,),
    **dict.fromkeys(("intercept_request", "intercept_attempt", "normalize_request", "intercept_response"), (Change,)),
}


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was built."""

    object: Any
    hooks: Mapping[str, Callable[..., Any]]
    """Its functions by the names of the hooks; each takes all of its hook's arguments, in order."""
    options: Mapping[str, HookOptions]
    problems: Sequence[str] = ()
    version: str = ""


class Child:
    """The plugin's side of the connection. `load` builds the plugin, and raises `RpcFault` where it cannot be used."""

    def __init__(self, load: Callable[[wire.Register, ChildHost], Made]) -> None:
        self.channel: Channel = None  # type: ignore[assignment]  # whoever connects sets it
        self.ended = asyncio.Event()
        """The host has said goodbye, and the plugin is closed."""
        self._load, self._states, self._pools = load, forms.States(), Pools()
        self._streams = dict[str, tuple[Any, frozenset[str]]]()
        self._needs = dict[str, frozenset[str]]()
        self._plugin: Made | None = None
        self._answers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "plugin.register": self._register,
            "plugin.start": self._start,
            "plugin.shutdown": self._shutdown,
        }

    async def serve(self, method: str, params: msgspec.Raw, asked: Asked | None) -> Any:
        """Answer a request."""
        if (answer := self._answers.get(method)) is None:
            raise RpcFault(NO_METHOD, method)
        said = _DECODERS[method](params if params != b"null" else b"{}")
        try:
            return await answer(said)
        except (CallError, BadRequest, NotDecoded, RpcFault):
            raise
        except Exception:
            traceback.print_exc()
            raise
        except SystemExit as fault:
            raise RuntimeError(f"SystemExit: {fault}") from fault

    # --------------------------------------------------------------------------------- the plugin's life

    async def _register(self, said: wire.Register) -> wire.Registration:
        if self._plugin is not None:
            raise RpcFault(INVALID, "it is registered already")
        capabilities = tuple(said.host.capabilities)
        self._host = ChildHost(self.channel, HostInfo(version=said.host.version, plugin=said.plugin, capabilities=capabilities))
        self._plugin = made = self._load(said, self._host)
        problems, hooks = list(made.problems), dict[str, wire.HookDeclared | None]()
        asked: dict[str, Callable[[Any], Awaitable[Any]]] = {
            info.wire[0]: getattr(self, f"_{name}") for name, info in HOOKS.items() if info.wire and info.shape != "objects"
        }
        for name in made.hooks:
            if HOOKS[name].shape != "objects":
                method, options = HOOKS[name].wire[0], made.options[name]
                needs = self._needs[method] = _needs_of(name, options)
                self._answers[method], hooks[method] = asked[method], _declared(needs, options)
        if "authenticate" in made.hooks and "secret" not in self._needs["frontend_auth.authenticate"]:
            problems.append("authenticate: it sees no client's key here unless it asks for them: @hook(needs=['headers', 'secret'])")
        if "intercept_stream" in made.hooks:
            self._answers[f"{_OPEN[:-4]}close"] = self._close_stream
        self._answers["response.intercept_stream_chunk.event"] = self._events
        self._objects = Objects(made, self._host, self._states, problems)
        self._answers |= self._objects.answers
        hooks |= {name: wire.HookDeclared(needs=self._objects.needs(name)) for name in self._objects.answers}
        lives = any(callable(getattr(made.object, part, None)) for part in ("start", "close"))
        rules = inspect.getattr_static(made.object, "has_rules", True)
        priority = getattr(made.object, "priority", None)
        return wire.Registration(
            schema_version=wire.SCHEMA_VERSION,
            plugin=wire.Identity(name=said.plugin, version=made.version),
            hooks=hooks,
            capabilities=["start"] if lives or "auth.load" in self._answers else [],
            priority=priority if isinstance(priority, int) else None,
            problems=problems,
            # What is found out anew each time counts as true: a door that stays closed is the lesser evil.
            has_rules=bool(rules) if not callable(rules) and not hasattr(rules, "__get__") else True,
            delegates=dict(getattr(made.object, "delegates", {})),
        )

    async def _start(self, said: object) -> None:
        self._host.refresh()
        await self._run_part("start")
        await self._objects.start()

    async def _shutdown(self, said: object) -> None:
        try:
            await self.close()
        finally:
            self.ended.set()

    async def close(self) -> None:
        """Close the plugin, and what it has begun."""
        if self._plugin is not None:
            await self._run_part("close")
            await self._host.close()

    async def _run_part(self, name: str) -> None:
        part = getattr(self._plugin.object, name, None)  # type: ignore[union-attr]
        if callable(part) and hasattr(work := part(), "__await__"):
            await work

    # ------------------------------------------------------------------------------------------ the hooks

    async def _ask(self, hook: str, *arguments: Any) -> Any:
        """Call the plugin's function for a hook."""
        plugin = self._plugin
        assert plugin is not None
        function = plugin.hooks[hook]
        if plugin.options[hook].blocking and not inspect.iscoroutinefunction(function):
            self._threads = getattr(self, "_threads", None) or ThreadPoolExecutor(_THREADS)
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        else:
            answer = await _finished(function(*arguments))
        if answer is not None and not isinstance(answer, _EXPECTED.get(hook, (object,))):
            raise TypeError(f"answered {type(answer).__name__}, which it may not")
        return answer

    def _call(self, method: str, said: wire.Call, own_body: bool = True) -> forms.SentCall:
        return forms.SentCall(said, self._needs[method], self._states, own_body)

    def _attempt(self, method: str, said: wire.Attempt, own_body: bool = True) -> forms.SentAttempt:
        return forms.SentAttempt(said, self._needs[method], self._states, self._objects.providers.get(said.provider), own_body)

    async def _authenticate(self, said: wire.OnCall) -> Any:
        return forms.principal_said(await self._ask("authenticate", self._call("frontend_auth.authenticate", said.call)))

    async def _route_model(self, said: wire.OnCall) -> Any:
        return forms.route_said(await self._ask("route_model", self._call("model.route", said.call)))

    async def _intercept_request(self, said: wire.OnCall) -> Any:
        return forms.change_said(await self._ask("intercept_request", self._call("request.intercept_before", said.call)))

    async def _pick_credential(self, said: wire.OnPick) -> Any:
        pool = self._pools.see(said.pool)  # before anything else: messages have to be seen in their order
        return pick_said(await self._ask("pick_credential", self._call("scheduler.pick", said.call), pool))

    async def _intercept_attempt(self, said: wire.OnAttempt) -> Any:
        return forms.change_said(await self._ask("intercept_attempt", self._attempt("request.intercept_after", said.attempt)))

    async def _normalize_request(self, said: wire.OnAttempt) -> Any:
        return forms.change_said(await self._ask("normalize_request", self._attempt("request.normalize", said.attempt)))

    async def _normalize_response(self, said: wire.OnAttemptReply) -> Any:
        needs, attempt = self._needs[_NORMALIZE], self._attempt(_NORMALIZE, said.attempt, own_body=False)
        answer = await self._ask("normalize_response", attempt, forms.reply_seen(said.reply, needs))
        if answer is None or isinstance(answer, Change):
            return forms.change_said(answer)
        if said.stream is None:
            return None
        self._bind(said.stream, answer, needs)
        return wire.Change(handle=True)

    async def _intercept_response(self, said: wire.OnCallReply) -> Any:
        method = "response.intercept_after"
        call = self._call(method, said.call, own_body=False)
        return forms.change_said(await self._ask("intercept_response", call, forms.reply_seen(said.reply, self._needs[method])))

    async def _intercept_stream(self, said: wire.OpenStream) -> Any:
        needs = self._needs[_OPEN]
        handler = await self._ask("intercept_stream", self._call(_OPEN, said.call, own_body=False), forms.head_seen(said.head, needs))
        if handler is None:
            return None
        self._bind(said.stream, handler, needs)
        return wire.Handle()

    def _bind(self, stream: str, handler: Any, needs: frozenset[str]) -> None:
        """Keep a stream's handler until it is closed; of very many those that were bound last: some end with nobody left to say so."""
        while len(self._streams) >= _MOST_STREAMS:
            del self._streams[next(iter(self._streams))]
        self._streams[stream] = handler, needs

    async def _events(self, said: wire.OnEvents) -> Any:
        if (bound := self._streams.get(said.stream)) is None:
            raise RpcFault(BAD_PARAMS, f"there is no stream {said.stream!r}")
        handler, needs = bound
        seen = [forms.event_seen(event, needs) for event in said.events]
        if (each := getattr(handler, "each", None)) is not None:
            answers = [
                forms.event_answer(answer, event.said.index) for answer, event in zip(await _finished(each(seen)), seen, strict=True)
            ]
        else:
            answers = []
            for event in seen:
                answers.append(answer := await _answered(handler, event))
                if answer is not None and answer.end is not None:
                    break
        while answers and answers[-1] is None:
            answers.pop()
        return wire.EventAnswers(answers=answers) if answers else None

    async def _close_stream(self, said: wire.CloseStream) -> Any:
        handler, needs = self._streams.pop(said.stream, (None, frozenset()))
        if (close := getattr(handler, "close", None)) is None:
            return None
        added = await _finished(close(forms.outcome_seen(said.outcome, needs)))
        return wire.Closing(events=[forms.new_event(event, -2) for event in added or ()])

    async def _request_complete(self, said: wire.OnComplete) -> None:
        needs = self._needs["request.complete"]
        try:
            await self._ask("request_complete", self._call("request.complete", said.call), forms.outcome_seen(said.outcome, needs))
        finally:
            self._states.forget(said.call.id)

    async def _handle_usage(self, said: wire.OnUsage) -> None:
        await self._ask("handle_usage", self._attempt("usage.handle", said.attempt), said.usage)


async def _answered(handler: Callable[..., Any], event: forms.SentEvent) -> wire.EventAnswer | None:
    """Return what a handler answers to one event, or that it failed at it."""
    try:
        return forms.event_answer(await _finished(handler(event)), event.said.index)
    except (Exception, SystemExit) as fault:  # noqa: BLE001 (a plugin may raise anything)
        traceback.print_exc()
        return wire.EventAnswer(failed=f"{type(fault).__name__}: {fault}")


async def _finished(answer: Any) -> Any:
    return await answer if hasattr(answer, "__await__") else answer


def _needs_of(hook: str, options: HookOptions) -> frozenset[str]:
    """Return what a hook is to be sent."""
    if options.needs is None:
        return frozenset((*NEEDS, "deltas") if hook in _OF_STREAMS else NEEDS)
    return frozenset(options.needs) | ({"undecoded"} if "request" in options.needs else set())


def _declared(needs: frozenset[str], options: HookOptions) -> wire.HookDeclared:
    return wire.HookDeclared(
        needs=sorted(needs),  # type: ignore[arg-type]
        on_error=options.on_error,
        priority=options.priority,
        deadline=options.deadline,
        table=True,
        selected=options.selected,
    )
