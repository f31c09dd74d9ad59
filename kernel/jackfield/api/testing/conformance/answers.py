"""Checks of what a plugin answers when it is asked about calls, attempts and answers."""

import asyncio
import difflib
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Usage
from jackfield.api.testing.conformance import subjects as of
from jackfield.api.testing.conformance.peer import said_of, shown
from jackfield.api.testing.conformance.report import NotAsked, Wrong
from jackfield.api.testing.conformance.schemas import misfit
from jackfield.api.testing.conformance.subjects import Subject
from jackfield.api.testing.conformance.suite import Run, check
from jackfield.rpc import forms, wire, wire_objects
from jackfield.rpc.errors import BAD_PARAMS, NO_METHOD, RpcFault
from jackfield.rpc.methods import BY_NAME

_OWN_FAULT: Final = ("plugin", "unknown")
_AT_ONCE: Final = 64
_REPEATED: Final = 20


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One question."""

    about: str
    params: Any
    body: bytes = b""
    """What a change is applied to."""


# ------------------------------------------------------------------------------------------- the questions


def _on_call(run: Run, needs: of.Needs, subject: Subject, deadline: float) -> Case:
    call = of.call_of(subject, needs)
    return Case(about=subject.about, params=wire.OnCall(call=call, deadline=deadline), body=subject.raw)


def _on_attempt(run: Run, needs: of.Needs, subject: Subject, deadline: float) -> Case:
    attempt = of.attempt_of(subject, needs)
    return Case(about=f"an attempt of {subject.about}", params=wire.OnAttempt(attempt=attempt, deadline=deadline), body=subject.raw)


def _on_reply(run: Run, needs: of.Needs, subject: Subject, deadline: float) -> Case:
    call, reply = of.call_of(subject, needs, body=False), of.reply_of(subject, needs)
    params = wire.OnCallReply(call=call, reply=reply, deadline=deadline)
    return Case(about=f"the answer to {subject.about}", params=params, body=subject.answer)


def _on_attempt_reply(run: Run, needs: of.Needs, subject: Subject, deadline: float) -> Case:
    attempt = of.attempt_of(subject, needs, body=False)
    stream = of.fresh("stream") if subject.events and subject.request.stream else None
    reply = of.reply_of(subject, needs, stream=stream is not None)
    params = wire.OnAttemptReply(attempt=attempt, reply=reply, stream=stream, deadline=deadline)
    return Case(about=f"the answer to an attempt of {subject.about}", params=params, body=subject.answer)


def _on_usage(run: Run, needs: of.Needs, subject: Subject, deadline: float) -> Case:
    params = wire.OnUsage(attempt=of.attempt_of(subject, needs), usage=Usage(input=10, output=5), deadline=deadline)
    return Case(about=f"the usage of {subject.about}", params=params)


_OF_SUBJECTS: Final[dict[str, Callable[[Run, of.Needs, Subject, float], Case]]] = {
    "frontend_auth.authenticate": _on_call,
    "model.route": _on_call,
    "request.intercept_before": _on_call,
    "request.intercept_after": _on_attempt,
    "request.normalize": _on_attempt,
    "response.normalize": _on_attempt_reply,
    "response.intercept_after": _on_reply,
    "usage.handle": _on_usage,
}
OF_CALLS: Final = (*_OF_SUBJECTS, "scheduler.pick", "request.complete")
"""The methods that are asked during calls."""
_REGISTER: Final = ("model.register", "auth.register", "translate.register", "management.register", "command_line.register")
_EXECUTE: Final = ("executor.execute", "executor.count_tokens")
ANSWERED: Final = (
    *OF_CALLS,
    *_REGISTER,
    *_EXECUTE,
    "auth.load",
    "auth.parse",
    "auth.refresh",
    "auth.quota",
)
"""The methods that are asked about in turn."""


async def cases(run: Run, method: str) -> list[Case]:
    """Return what a method is asked. Raises `NotAsked` where that cannot be known."""
    needs, deadline = run.needs(method), run.limit(method)
    if method in _OF_SUBJECTS:
        return [_OF_SUBJECTS[method](run, needs, subject, deadline) for subject in run.subjects]
    if method in _REGISTER:
        return [Case(about="no params", params=wire.Nothing())]
    if method in _EXECUTE:
        attempts = [(about, attempt) for about, attempt in await attempts_of(run, method) if not attempt.stream]
        return [Case(about=about, params=wire_objects.Execute(attempt=attempt, deadline=deadline)) for about, attempt in attempts]
    first = run.subjects[0]
    if method == "scheduler.pick":
        declared = run.declared(method)
        pools = of.pools(table=declared is not None and declared.table)
        return [Case(about=a, params=wire.OnPick(call=of.call_of(first, needs), pool=p, deadline=deadline)) for a, p in pools]
    if method == "request.complete":
        told = [(f"a call that {o.status}", o) for o in of.outcomes()]
        return [Case(about=a, params=wire.OnComplete(call=of.call_of(first, needs), outcome=o, deadline=deadline)) for a, o in told]
    return await _of_sources(run, method, deadline)


async def _of_sources(run: Run, method: str, deadline: float) -> list[Case]:
    made, said = list[Case](), await _registered(run, "auth.register", wire_objects.Sources)
    if said is not None and not said.sources:
        raise NotAsked("it has no source of credentials")
    for source in said.sources if said is not None else [run.plugin]:
        about = f"the source {source!r}"
        if method == "auth.load":
            made.append(Case(about=about, params=wire_objects.OnSource(source=source, deadline=deadline)))
        elif method == "auth.parse":
            for name, data in (("strange.json", {"type": "nobody's"}), ("empty.json", {})):
                params: Any = wire_objects.Parse(source=source, name=name, data=data, deadline=deadline)
                made.append(Case(about=f"the file {name}", params=params))
        else:
            params = wire_objects.OnCredential(source=source, credential=of.credential(), deadline=deadline)
            made.append(Case(about=f"a credential of {about}", params=params))
    return made


async def _registered(run: Run, method: str, kind: type[Any]) -> Any:
    """Return what the plugin registers by some method; None where it does not have that."""
    if not run.has(method):
        return None
    try:
        return msgspec.json.decode(await run.ask(method, wire.Nothing(), "no params"), type=kind)
    except (RpcFault, msgspec.ValidationError):
        raise NotAsked(f"{method} is not answered as it should be") from None


async def attempts_of(run: Run, method: str) -> list[tuple[str, wire.Attempt]]:
    """Return attempts that a provider of the plugin's own is to answer."""
    said = await _registered(run, "model.register", wire_objects.Providers)
    own = [one for one in said.providers if one.execute or (one.execute is None and one.base_url is None)] if said is not None else []
    providers = own or [wire_objects.ProviderDeclared(key=run.plugin)]
    made, needs = list[tuple[str, wire.Attempt]](), run.needs(method) | {"body"}
    for provider in providers[:2]:
        models = provider.models if provider.models != "discover" else []
        model = next((m if isinstance(m, str) else str(m.get("id")) for m in models if isinstance(m, str | dict)), "model")
        named: dict[str, Any] = {"provider": provider.key, "model": model, "candidate": f"check-1/{model}"}
        fitting = (one for one in run.subjects if one.dialect in provider.dialects and one.raw and one.status == 200)
        made += [(f"an attempt of {one.about}", of.attempt_of(one, needs, **named)) for one in fitting]
    if not made:
        raise NotAsked(f"none of its providers' dialects is plugged in: {', '.join(d for p in providers for d in p.dialects)}")
    return made


async def sample(run: Run) -> tuple[str, Case]:
    """Return some question that the plugin has to answer."""
    if run.said is None:
        raise NotAsked("it has not said what it is")
    for method in ANSWERED:
        if run.declared(method) is not None:
            return method, (await cases(run, method))[0]
    return "check.no_such_method", Case(about="no params", params=wire.Nothing())


async def works(run: Run, after: str) -> None:
    """See that the plugin still answers."""
    method, case = await sample(run)
    try:
        await run.ask(method, case.params, f"{case.about}, after {after}")
    except RpcFault:
        return


# --------------------------------------------------------------------------------------------- the answers


async def is_fine(run: Run, method: str, case: Case) -> bool:
    """Tell whether a question is answered as it should be; where it is not, that is told of by another check."""
    try:
        await ask(run, method, case)
    except Wrong:
        return False
    return True


def refuses(fault: RpcFault) -> bool:
    """Tell whether an error says of a call why it fails, rather than that the plugin does."""
    said = fault.data
    return said is not None and (said.cause not in _OWN_FAULT if said.cause is not None else said.status > 0)


async def ask(run: Run, method: str, case: Case) -> Any:
    """Ask, and return the answer once it is found to be as it should; None for null or a fair refusal. Raises `Wrong`."""
    sent = f"{method} was sent with {case.about}"
    try:
        raw = await run.ask(method, case.params, case.about)
    except RpcFault as fault:
        if refuses(fault):
            return None
        if fault.code == NO_METHOD:
            raise Wrong(f"{sent}, and {said_of(fault)} came, although it declares the method; handle it, or do not declare it") from None
        if method.startswith("auth.") and fault.code == BAD_PARAMS:
            return None
        hint = "answer null where there is nothing to do, or say in `data.cause` why the call fails"
        raise Wrong(f"{sent}, and {said_of(fault)} came; {hint}") from None
    return read(method, case, raw)


def read(method: str, case: Case, raw: msgspec.Raw) -> Any:
    """Return an answer once it is found to be as it should. Raises `Wrong`."""
    sent, kind = f"{method} was sent with {case.about}, and {shown(raw)} came", BY_NAME[method].result
    try:
        said = msgspec.json.decode(raw, type=kind if kind is not None else type(None))
    except msgspec.ValidationError as fault:
        raise Wrong(f"{sent}, which is not as the schema says: {fault}") from None
    if (why := misfit(method, raw)) is not None:
        raise Wrong(f"{sent}, which is not as the schema says: {why}")
    if (stranger := _misspelt(raw, kind)) is not None:
        raise Wrong(f"{sent}: there is no field {stranger[0]!r} in that answer; did you mean {stranger[1]!r}?")
    try:
        if said is not None and (look := _LOOKS.get(method)) is not None:
            look(said, case)
    except ValueError as fault:
        raise Wrong(f"{sent}: {fault}") from None
    return said


def _misspelt(raw: msgspec.Raw, kind: Any) -> tuple[str, str] | None:
    """Return an unknown field that looks like a known one, and that one."""
    said = msgspec.json.decode(raw)
    struct = next((one for one in (kind, *typing.get_args(kind)) if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)
    if struct is None or not isinstance(said, dict):
        return None
    known = [field.encode_name for field in msgspec.structs.fields(struct)]
    for name in said.keys() - set(known):
        if near := difflib.get_close_matches(name, [one for one in known if one not in said], 1, 0.8):
            return name, near[0]
    return None


def _route(said: wire.Route, case: Case) -> None:
    if not (said.model or said.provider or said.executor):
        raise ValueError("a route names a model, a provider or an executor; answer null for no opinion")


def _pick(said: wire.Pick, case: Case) -> None:
    if sum(one is not None for one in (said.candidate, said.delegate, said.deny)) != 1:
        raise ValueError("a pick is one of `candidate`, `delegate` and `deny`; answer null to leave it to the host")
    pool = case.params.pool
    eligible = [row.id for row in (*pool.eligible, *pool.live)]
    if said.candidate is not None and said.candidate not in eligible:
        raise ValueError(f"{said.candidate!r} is not eligible; pick one of {', '.join(eligible) or 'none: answer null'}")


def look_at_change(said: wire.Change, case: Case) -> None:
    """See that a change can be made. Raises `ValueError`."""
    forms_of_it = {
        "set or remove": said.set or said.remove,
        "request": said.request is not msgspec.UNSET,
        "response": said.response is not msgspec.UNSET,
        "a body": forms.bytes_of(said) is not None,
        "respond": said.respond is not None,
        "handle": said.handle,
    }
    if len(given := [name for name, there in forms_of_it.items() if there]) > 1:
        raise ValueError(f"a change is one of its forms, and this has {' and '.join(given)}")
    if said.remove or said.set:
        for pointer in (*said.set, *said.remove):
            forms.path_of(pointer, case.body)
        return
    forms.change_of(said, case.body)
    if said.respond is not None:
        _reply(said.respond, case)


def _reply(said: wire.Reply, case: Case) -> None:
    if not 100 <= said.status <= 599:
        raise ValueError(f"{said.status} is no HTTP status")
    made = forms.reply_from(said)
    if not said.stream and made.body is None and made.response is None and said.status == 200:
        raise ValueError("an answer has a body or a canonical `response`")


def _authenticated(said: wire.Authenticated, case: Case) -> None:
    if (said.principal is None) is (said.reject is None):
        raise ValueError("it is one of `principal` and `reject`; answer null for what is not yours")
    if said.principal is not None and not said.principal.name:
        raise ValueError("a principal has a name")


def _providers(said: wire_objects.Providers, case: Case) -> None:
    for one in said.providers:
        if not one.key:
            raise ValueError("a provider has a key")


def _routes(said: wire_objects.Routes, case: Case) -> None:
    for one in said.routes:
        if not one.path.startswith("/"):
            raise ValueError(f"the path {one.path!r} does not begin with a slash")


def _commands(said: wire_objects.Commands, case: Case) -> None:
    if not all(one.name for one in said.commands):
        raise ValueError("a command has a name")


_LOOKS: Final[dict[str, Callable[[Any, Case], None]]] = {
    "frontend_auth.authenticate": _authenticated,
    "model.route": _route,
    "scheduler.pick": _pick,
    **dict.fromkeys(("request.intercept_before", "request.intercept_after", "request.normalize"), look_at_change),
    **dict.fromkeys(("response.normalize", "response.intercept_after"), look_at_change),
    **dict.fromkeys((*_EXECUTE, "executor.execute_stream"), _reply),
    "model.register": _providers,
    "management.register": _routes,
    "command_line.register": _commands,
}


# ---------------------------------------------------------------------------------------------- the checks


@check("answers", "Each hook answers realistic questions in time, as the schema says, and names what exists.", *ANSWERED)
async def answers(run: Run, method: str) -> None:
    """Ask one method about everything."""
    for case in await cases(run, method):
        await ask(run, method, case)


@check("repeated", "The same question, asked again, is answered again.")
async def repeated(run: Run) -> None:
    """Ask one thing often."""
    if (await sample(run))[0] not in BY_NAME:
        raise NotAsked("it has no hook that is called during calls")
    for method in run.has(*OF_CALLS):
        case = (await cases(run, method))[0]
        if not await is_fine(run, method, case):
            continue
        again = msgspec.structs.replace(case, about=f"{case.about}, once more")
        for _ in range(_REPEATED if method != "scheduler.pick" else 1):
            await ask(run, method, again)


@check("concurrent", "As many requests at once as it allows are all answered, in any order.")
async def concurrent(run: Run) -> None:
    """Ask many things at once."""
    method, case = await sample(run)
    assert run.said is not None
    many, peer = min(run.said.max_in_flight or _AT_ONCE, _AT_ONCE), await run.peer()
    peer.pieces = []
    tasks = [asyncio.ensure_future(peer.channel.request(method, case.params)) for _ in range(many)]
    await asyncio.sleep(0)
    all_of_them, peer.pieces = b"".join(peer.pieces), None
    peer.write(all_of_them)
    try:
        left: Sequence[asyncio.Future[Any]] = tasks
        while left:
            done, still = await asyncio.wait(left, timeout=run.limit(method), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                says = f"{many} requests {method} were sent at once, and {len(still)} of them were not answered"
                raise Wrong(f"{says}; answer all, or declare a lower max_in_flight")
            left = list(still)
        if peer.code is not None:
            raise Wrong(f"{many} requests {method} were sent at once, and its process ended {peer.how_it_ended()}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
