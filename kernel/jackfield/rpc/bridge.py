"""An out-of-process plugin as an ordinary plugin object: its hooks are functions that ask the process.

The kernel orders, guards and times them as it does those of any plugin. What a hook is sent is what it declared that it needs.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from jackfield.api import (
    HOOKS,
    Attempt,
    BadRequest,
    Call,
    CallError,
    Change,
    Delegate,
    Deny,
    End,
    Event,
    HookOptions,
    NotDecoded,
    Outcome,
    Pick,
    Pool,
    Principal,
    Reject,
    Reply,
    Route,
    StreamAnswer,
    StreamHandler,
    StreamHead,
    Usage,
    failure,
)
from jackfield.rpc import forms, wire
from jackfield.rpc.channel import Channel, Inlet
from jackfield.rpc.errors import NO_METHOD, RpcFault, fault_of
from jackfield.rpc.methods import BY_NAME
from jackfield.rpc.pools import Table

_DECODERS: Final = {name: msgspec.json.Decoder(m.result).decode for name, m in BY_NAME.items() if m.result is not None}
_REMEMBERED: Final = 256
"""Events of a stream that a handler may name later on."""


class Bridge:
    """The plugin object.

    `channel` gives the connection as it is now, and raises `Gone` where there is none. The hooks that the plugin declared are
    attributes, as with any plugin. `granted` says that the configuration names the plugin: others are told no secrets.
    """

    def __init__(
        self,
        plugin: str,
        said: wire.Registration,
        channel: Callable[[], Channel],
        deadline: Callable[[str, float | None], float | None],
        granted: bool = True,
    ) -> None:
        self.id, self._channel, self._limit, self.elsewhere = plugin, channel, deadline, True
        """`elsewhere`: its code does not run in this process."""
        self._declared = {name: declared or wire.HookDeclared() for name, declared in said.hooks.items()}
        never = frozenset() if granted else frozenset({"secret"})
        self._needs: dict[str, forms.Needs] = {name: frozenset(declared.needs) - never for name, declared in self._declared.items()}
        self._turns = asyncio.Semaphore(said.max_in_flight or 256)
        self._table = Table()
        secretive = () if granted else (name for name, declared in self._declared.items() if "secret" in declared.needs)
        untold = "is not sent the secrets that it needs: that takes a grant; name the plugin in the configuration"
        unknown = (
            f"hooks: there is no method {name!r}; the nearest is {get_close_matches(name, BY_NAME, 1, 0)[0]!r}"
            for name in said.hooks
            if name not in BY_NAME
        )
        self.problems = [*map(forms.one_line, said.problems), *unknown, *(f"{name} {untold}" for name in secretive)]
        self.has_rules, self.delegates, self.__version__ = said.has_rules, said.delegates, forms.one_line(said.plugin.version)
        self.config_schema = said.config_schema
        if said.priority is not None:
            self.priority = said.priority
        self.hook_options = dict[str, HookOptions]()
        """What the plugin says of its hooks, by their names."""
        self.start: Callable[[], Awaitable[None]] | None = None
        """Where the plugin wants to be told that the host starts."""
        self.watching = dict[str, Callable[[], None]]()
        """What is called when a source of credentials has changed, by its name."""
        self.reconfigure: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None
        """Where the plugin takes other settings as it runs. Raises `Refused`."""
        for method, declared in self._declared.items():
            if (hook := HOOK_OF.get(method)) is not None:
                setattr(self, hook, getattr(self, f"_{hook}"))
                self.hook_options[hook] = HookOptions(
                    on_error=declared.on_error, priority=declared.priority, deadline=declared.deadline, selected=declared.selected
                )

    # ---------------------------------------------------------------------------------------------- asking

    async def ask(self, method: str, params: Callable[[forms.Files], Any], *bodies: Any, subject: Any = None) -> Any:
        """Ask the plugin and return the decoded result; None for null. `params` is given the files of `bodies` that are large.

        Raises `CallError` with what the plugin says went wrong, `Gone` where it is not there, `ValueError` for an answer that is none.
        """
        try:
            return await self.answer(method, params, *bodies, subject=subject)
        except RpcFault as fault:
            raise _raised(fault) from None

    async def answer(self, method: str, params: Callable[[forms.Files], Any], *bodies: Any, subject: Any = None) -> Any:
        """Do the same, and raise `RpcFault` as the plugin answered it."""
        async with self._turn(bodies) as files:
            result = await self._channel().request(method, params(files), subject)
        return _decoded(method, result)

    async def open(
        self, method: str, params: Callable[[forms.Files, str, int], Any], *bodies: Any, subject: Any = None
    ) -> tuple[Any, Inlet]:
        """Ask likewise for what opens a stream; `params` is given the stream's name and credit, too. The stream takes no turn."""
        async with self._turn(bodies) as files:
            result, inlet = await self._channel().open(method, lambda stream, credit: params(files, stream, credit), subject)
        try:
            return _decoded(method, result), inlet
        except ValueError:
            inlet.never()
            raise

    @asynccontextmanager
    async def _turn(self, bodies: Sequence[Any]) -> AsyncIterator[forms.Files]:
        """Wait until the plugin may be asked one thing more, with files for those of the bodies that are large."""
        files: forms.Files = {}
        async with self._turns:
            try:
                for body in filter(forms.is_large, bodies):
                    name = files[id(body)] = forms.new_file()
                    await asyncio.to_thread(forms.fill_file, name, body)
                yield files
            finally:
                forms.remove_files(files)

    def changed(self, source: str) -> None:
        """The plugin says that a source of credentials has changed."""
        self.watching.get(source, lambda: None)()

    def declares(self, method: str) -> bool:
        """Tell whether the plugin said that it answers a method."""
        return method in self._declared

    def needs(self, method: str) -> forms.Needs:
        """Return what a method is to be sent."""
        return self._needs.get(method) or frozenset()

    def deadline(self, method: str) -> float | None:
        """Return in how many seconds a method must be answered."""
        declared = self._declared.get(method)
        return self._limit(method, declared.deadline if declared is not None else None)

    def _bodies(self, method: str, *bodies: Any) -> Sequence[Any]:
        return bodies if self.needs(method) & {"body", "client_body", "raw"} else ()

    # ----------------------------------------------------------------------------------------- the request

    async def _authenticate(self, call: Call) -> Principal | Reject | None:
        method = "frontend_auth.authenticate"
        return forms.principal_of(await self.ask(method, lambda files: self._on_call(method, call, files), subject=call))

    async def _route_model(self, call: Call) -> Route | None:
        method = "model.route"
        bodies = self._bodies(method, call.body)
        return forms.route_of(await self.ask(method, lambda files: self._on_call(method, call, files), *bodies, subject=call))

    async def _intercept_request(self, call: Call) -> Change | None:
        method = "request.intercept_before"
        bodies = self._bodies(method, call.body)
        said = await self.ask(method, lambda files: self._on_call(method, call, files), *bodies, subject=call)
        return forms.change_of(said, call.body)

    def _on_call(self, method: str, call: Call, files: forms.Files) -> wire.OnCall:
        return wire.OnCall(call=forms.call_of(call, self.needs(method), files), deadline=self.deadline(method))

    async def _pick_credential(self, call: Call, pool: Pool) -> Pick:
        method = "scheduler.pick"
        needs, table = self.needs(method), self._declared[method].table

        def params(files: forms.Files) -> wire.OnPick:
            shown = self._table.changes(self._channel(), pool) if table else self._table.rows(pool)
            return wire.OnPick(call=forms.call_of(call, needs, files), deadline=self.deadline(method), pool=shown)

        try:
            said: wire.Pick | None = await self.ask(method, params, *self._bodies(method, call.body), subject=call)
        except BaseException:
            self._table.forget(pool)
            raise
        if said is None:
            return None
        if said.deny is not None:
            return Deny(reason=said.deny, retry_after=said.retry_after)
        if said.delegate is not None:
            return Delegate(said.delegate)
        found = next((candidate for candidate in pool.eligible if candidate.id == said.candidate), None)
        if found is None:
            raise ValueError(f"picked {said.candidate!r}, which is not eligible")
        return found

    async def _intercept_attempt(self, attempt: Attempt) -> Change | None:
        return await self._on_attempt("request.intercept_after", attempt)

    async def _normalize_request(self, attempt: Attempt) -> Change | None:
        return await self._on_attempt("request.normalize", attempt)

    async def _on_attempt(self, method: str, attempt: Attempt) -> Change | None:
        needs = self.needs(method)

        def params(files: forms.Files) -> wire.OnAttempt:
            return wire.OnAttempt(attempt=forms.attempt_of(attempt, needs, files), deadline=self.deadline(method))

        bodies = self._bodies(method, attempt.body, attempt.call.body)
        return forms.change_of(await self.ask(method, params, *bodies, subject=attempt), attempt.body)

    # ------------------------------------------------------------------------------------------ the answer

    async def _normalize_response(self, attempt: Attempt, reply: Reply) -> Change | StreamHandler | None:
        method = "response.normalize"
        needs, stream = self.needs(method), None if reply.stream is None else f"{attempt.call.id}/{attempt.number}"

        def params(files: forms.Files) -> wire.OnAttemptReply:
            seen = forms.attempt_of(attempt, needs, files, body=False)
            return wire.OnAttemptReply(
                attempt=seen, reply=forms.reply_of(reply, needs, files), stream=stream, deadline=self.deadline(method)
            )

        said = await self.ask(method, params, *self._bodies(method, reply.body, attempt.call.body), subject=attempt)
        if said is not None and said.handle and stream is not None:
            return Handler(self, stream, needs, attempt)
        return forms.change_of(said, reply.body)

    async def _intercept_response(self, call: Call, reply: Reply) -> Change | None:
        method = "response.intercept_after"
        needs = self.needs(method)

        def params(files: forms.Files) -> wire.OnCallReply:
            seen = forms.call_of(call, needs, files, body=False)
            return wire.OnCallReply(call=seen, reply=forms.reply_of(reply, needs, files), deadline=self.deadline(method))

        said = await self.ask(method, params, *self._bodies(method, reply.body, call.body), subject=call)
        return forms.change_of(said, reply.body)

    async def _intercept_stream(self, call: Call, head: StreamHead) -> StreamHandler | None:
        method = "response.intercept_stream_chunk.open"
        needs = self.needs(method)

        def params(files: forms.Files) -> wire.OpenStream:
            seen, deadline = forms.call_of(call, needs, files, body=False), self.deadline(method)
            return wire.OpenStream(call=seen, head=forms.head_of(head, needs), stream=call.id, deadline=deadline)

        said: wire.Handle | None = await self.ask(method, params, *self._bodies(method, call.body), subject=call)
        return Handler(self, call.id, needs, call) if said is not None and said.handle else None

    # ------------------------------------------------------------------------------------------ afterwards

    async def _request_complete(self, call: Call, outcome: Outcome) -> None:
        method = "request.complete"
        needs = self.needs(method)

        def params(files: forms.Files) -> wire.OnComplete:
            seen, told = forms.call_of(call, needs, files), forms.outcome_of(outcome, needs)
            return wire.OnComplete(call=seen, outcome=told, deadline=self.deadline(method))

        await self.ask(method, params, *self._bodies(method, call.body), subject=call)

    async def _handle_usage(self, attempt: Attempt, usage: Usage) -> None:
        method = "usage.handle"
        needs = self.needs(method)

        def params(files: forms.Files) -> wire.OnUsage:
            return wire.OnUsage(attempt=forms.attempt_of(attempt, needs, files), usage=usage, deadline=self.deadline(method))

        await self.ask(method, params, *self._bodies(method, attempt.body, attempt.call.body), subject=attempt)


class Handler:
    """A stream's handler that lives in the plugin. All events of a read are sent at once."""

    def __init__(self, bridge: Bridge, stream: str, needs: forms.Needs, subject: Any) -> None:
        self._bridge, self._stream, self._needs, self._subject, self._index = bridge, stream, needs, subject, 0
        self._latest: Event | None = None
        """What events that are added at the end are made like."""
        self._seen = deque[tuple[int, Event]](maxlen=_REMEMBERED)
        """What answers may still name."""

    async def __call__(self, event: Event) -> StreamAnswer:
        """Return what becomes of one event."""
        [answer] = await self.each([event])
        if isinstance(answer, CallError):
            raise answer
        return answer

    async def each(self, events: Sequence[Event]) -> Sequence[StreamAnswer | CallError]:
        """Return what becomes of several events, in order; those that no answer is given for are kept."""
        if not events:
            return []
        method = "response.intercept_stream_chunk.event"
        shown = [forms.event_of(event, self._index + at, self._needs) for at, event in enumerate(events)]
        self._index, self._latest = self._index + len(events), events[-1]
        self._seen.extend(enumerate(events, self._index - len(events)))
        deadline = self._bridge.deadline(method)
        params = wire.OnEvents(stream=self._stream, events=shown, deadline=deadline)
        said: wire.EventAnswers | None = await self._bridge.ask(method, lambda _: params, subject=self._subject)
        answers = [] if said is None else said.answers
        made = [self._answer(answer, event) for answer, event in zip(answers, events, strict=False)]
        return [*made, *[None] * (len(events) - len(made))]

    async def close(self, outcome: Outcome) -> Sequence[Event]:
        """Return what is added before the end."""
        method = "response.intercept_stream_chunk.close"
        told, deadline = forms.outcome_of(outcome, self._needs), self._bridge.deadline(method)
        params = wire.CloseStream(stream=self._stream, outcome=told, deadline=deadline)
        try:
            said: wire.Closing | None = await self._bridge.ask(method, lambda _: params, subject=self._subject)
        except CallError as fault:
            if fault.failure.code == "no_method":  # it has nothing to add, and has been told
                return []
            raise
        latest = self._latest
        return [self._made(new, latest) for new in said.events] if said is not None and latest is not None else []

    def _answer(self, said: wire.EventAnswer | None, event: Event) -> StreamAnswer | CallError:
        if said is None:
            return None
        if said.failed is not None:
            return CallError(failure("plugin", said.failed))
        made = None if said.events is None else [self._made(new, event) for new in said.events]
        if said.text is not None:
            made = [event.with_text(said.text), *(made or ())]
        return made if said.end is None else End(made or (), finish=said.end)

    def _made(self, said: wire.NewEvent, event: Event) -> Event:
        """Return an event that is given in answer to another. Raises `ValueError` for what is none."""
        if said.of is not None:
            named = [seen for index, seen in self._seen if index == said.of]
            if not named:
                raise ValueError(f"of: the event {said.of} is not among the latest {_REMEMBERED}")
            event = named[0]
        return forms.event_from(said, event)


HOOK_OF: Final[Mapping[str, str]] = {info.wire[0]: name for name, info in HOOKS.items() if info.wire and info.shape != "objects"}
"""The hooks that are asked during calls, by the first of their methods."""

LIMITED: Final[Mapping[str, str]] = {**HOOK_OF, **dict.fromkeys(HOOKS["register_translators"].wire, "register_translators")}
"""The methods that have to be answered within a deadline, and the hooks in whose settings it stands."""


def _decoded(method: str, result: msgspec.Raw) -> Any:
    """Return what was answered. Raises `ValueError` for what is no answer."""
    try:
        return _DECODERS[method](result) if method in _DECODERS else None
    except ValueError as fault:
        raise ValueError(f"what it answered to {method} is no answer: {fault}") from None


def _raised(fault: RpcFault) -> Exception:
    """Return what an answered error raises: for a caller's mistake `BadRequest`, as in process."""
    said = fault.data
    if fault.code == NO_METHOD:
        return CallError(failure("plugin", f"the plugin has no method {fault.message}", code="no_method"))
    if said is not None and said.code == "not_decoded":
        return NotDecoded(fault.message)
    if said is not None and said.cause == "caller":
        return BadRequest(fault.message, said.param, said.code)
    return fault_of(fault)
