"""What else a Python plugin registers from a process of its own: translators between two dialects, HTTP routes, commands."""

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from jackfield.api import Command, Event, Loss, PluginRoute, Translator
from jackfield.rpc import wire
from jackfield.rpc import wire_objects as objects
from jackfield.rpc.errors import BAD_PARAMS, RpcFault
from jackfield.rpc.forms import bytes_of, item_bytes, plain_fields
from jackfield.rpc_plugin import forms

_BODY: frozenset[str] = frozenset({"body"})
_WHOLE: frozenset[str] = frozenset({"headers", "raw"})


class Services:
    """The objects, and what answers each method about them."""

    def __init__(self, given: Mapping[str, Sequence[Any]], states: forms.States) -> None:
        """`given` is what each `register_` hook gave."""
        translators: Sequence[Translator] = given.get("register_translators", ())
        routes: Sequence[PluginRoute] = given.get("register_routes", ())
        commands: Sequence[Command] = given.get("register_commands", ())
        self._translators = {(one.source, one.target): one for one in translators}
        self._routes = {(one.method, one.path): one for one in routes}
        self._commands = {one.name: one for one in commands}
        self._states = states
        self._streams = dict[str, tuple[Any, list[Loss]]]()
        self.answers: dict[str, Callable[[Any], Any]] = {}
        if translators:
            self.answers |= {"translate.register": self._pairs, "request.translate": self._request, "response.translate": self._response}
            self.answers |= {f"response.translate.{part}": getattr(self, f"_{part}") for part in ("open", "event", "close")}
        if routes:
            self.answers |= {"management.register": self._name_routes, "management.handle": self._handle}
        if commands:
            self.answers |= {"command_line.register": self._name_commands, "command_line.execute": self._run}

    async def _pairs(self, said: object) -> objects.Translators:
        return objects.Translators(pairs=[objects.Pair(source=source, target=target) for source, target in self._translators])

    async def _request(self, said: objects.Translate) -> objects.Translated:
        return await _translated(self._translators[said.source, said.target].translate_request, said)

    async def _response(self, said: objects.Translate) -> objects.Translated:
        return await _translated(self._translators[said.source, said.target].translate_response, said)

    async def _open(self, said: objects.TranslateOpen) -> None:
        losses: list[Loss] = []
        self._streams[said.stream] = self._translators[said.source, said.target].translate_stream(said.call, losses), losses

    async def _event(self, said: objects.TranslateEvents) -> objects.TranslatedEvents:
        turn, losses = self._stream(said.stream)
        seen = [_event_of(item, at) for at, item in enumerate(said.events)]
        if (each := getattr(turn, "each", None)) is not None:
            return _turned(await _finished(each(seen)), losses)
        return _turned([made for event in seen for made in await _finished(turn(event))], losses)

    async def _close(self, said: objects.TranslateEvents) -> objects.TranslatedEvents:
        turn, losses = self._stream(said.stream)
        del self._streams[said.stream]
        try:
            each = getattr(turn, "each", None)
            return _turned(await _finished(turn(None) if each is None else each([])), losses)
        finally:
            if (aclose := getattr(turn, "aclose", None)) is not None:
                await aclose()

    def _stream(self, name: str) -> tuple[Any, list[Loss]]:
        if name not in self._streams:
            raise RpcFault(BAD_PARAMS, f"there is no stream {name!r}")
        return self._streams[name]

    async def _name_routes(self, said: object) -> objects.Routes:
        routes = self._routes.values()
        return objects.Routes(routes=[objects.RouteDeclared(method=one.method, path=one.path, access=one.access) for one in routes])

    async def _handle(self, said: objects.OnRoute) -> wire.Reply:
        call = forms.SentCall(said.call, _WHOLE, self._states)
        call.params = said.params
        try:
            reply = await _finished(self._routes[said.route.method, said.route.path].handle(call))
            if reply.stream is not None:
                reply = msgspec.structs.replace(reply, stream=None, body=b"".join([piece async for piece in reply.stream]))
            return forms.reply_said(reply)
        finally:
            self._states.forget(call.id)

    async def _name_commands(self, said: object) -> objects.Commands:
        return objects.Commands(commands=[objects.CommandDeclared(name=one.name, help=one.help) for one in self._commands.values()])

    async def _run(self, said: objects.RunCommand) -> objects.CommandDone:
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = await _finished(await asyncio.to_thread(self._commands[said.command].run, said.arguments))
        return objects.CommandDone(exit_code=code or 0, output=out.getvalue(), errors=errors.getvalue())


async def _translated(translate: Callable[[bytes, list[Loss]], Any], said: objects.Translate) -> objects.Translated:
    losses: list[Loss] = []
    made = await _finished(translate(bytes_of(said) or b"", losses))
    return objects.Translated(losses=losses, **forms.exact_fields(made))


def _event_of(item: wire.Item, at: int) -> forms.SentEvent:
    """Return an upstream's event as a translator sees it: its name and what it carries."""
    if isinstance(item.data, msgspec.UnsetType):
        return forms.SentEvent.build(item_bytes(item), item.name)
    return forms.event_seen(wire.Event(index=at, name=item.name, data=item.data), _BODY)


def _turned(made: Iterable[Any], losses: list[Loss]) -> objects.TranslatedEvents:
    told, losses[:] = list(losses), []
    parts = [(one.name, one.data) if isinstance(one, Event) else one for one in made or ()]
    return objects.TranslatedEvents(events=[_item(name, data) for name, data in parts], losses=told)


def _item(name: str, data: bytes) -> wire.Item:
    fields = plain_fields(data)
    return wire.Item(name=name, data=fields.get("body", msgspec.UNSET), raw=fields.get("body_text"), raw_base64=fields.get("body_base64"))


async def _finished(answer: Any) -> Any:
    return await answer if hasattr(answer, "__await__") else answer
