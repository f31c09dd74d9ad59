"""Direct translators between two dialects that plugins out of process register."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from jackfield.api import Body, CallError, Event, Loss, Translator
from jackfield.rpc import forms, wire
from jackfield.rpc import wire_objects as objects
from jackfield.rpc.errors import Gone

if TYPE_CHECKING:
    from jackfield.rpc.bridge import Bridge

_FIELDS: Final = {"body": "data", "body_text": "raw", "body_base64": "raw_base64"}
"""In what a body's forms stand in an item."""
_OPEN, _EVENT, _CLOSE = (f"response.translate.{part}" for part in ("open", "event", "close"))


def translators_of(bridge: "Bridge", said: objects.Translators) -> tuple[list[Translator]]:
    """Return the translators that a plugin names."""
    return ([Pair(bridge, pair) for pair in said.pairs],)


class Pair(Translator):
    """The translator between two dialects."""

    def __init__(self, bridge: "Bridge", said: objects.Pair) -> None:
        self.bridge, self.source, self.target = bridge, said.source, said.target

    async def translate_request(self, raw: bytes, losses: list[Loss]) -> bytes:
        """Turn a client's body into an upstream's."""
        return await self._whole("request.translate", raw, losses)

    async def translate_response(self, raw: bytes, losses: list[Loss]) -> bytes:
        """Turn an upstream's whole answer into a client's."""
        return await self._whole("response.translate", raw, losses)

    async def _whole(self, method: str, raw: bytes, losses: list[Loss]) -> bytes:
        body = Body[Any](raw)
        needs = self.bridge.needs(method) | {"body"}

        def params(files: forms.Files) -> objects.Translate:
            fields = forms.body_fields(body, needs, files)
            return objects.Translate(source=self.source, target=self.target, deadline=self.bridge.deadline(method), **fields)

        said: objects.Translated = await self.ask(method, params, body)
        losses += said.losses
        if (made := forms.bytes_of(said)) is None:
            raise ValueError(f"{method} was answered without a body")
        return made

    def translate_stream(self, call_id: str, losses: list[Loss]) -> "Turning":
        """Return what turns the events of one stream."""
        return Turning(self, call_id, losses)

    async def ask(self, method: str, params: Callable[[forms.Files], Any], *bodies: Any) -> Any:
        """Ask the plugin within the deadline for it."""
        async with asyncio.timeout(self.bridge.deadline(method)):
            return await self.bridge.ask(method, params, *bodies)


class Turning:
    """One stream on its way through the plugin: all events of a read go at once."""

    def __init__(self, pair: Pair, call_id: str, losses: list[Loss]) -> None:
        self._pair, self._call, self._losses, self._open = pair, call_id, losses, False

    async def __call__(self, event: Event | None) -> Iterable[tuple[str, bytes]]:
        """Return the client's events for one of the upstream's, or for the end."""
        return await self.each([event] if event is not None else [])

    async def each(self, events: Sequence[Event]) -> list[tuple[str, bytes]]:
        """Return the client's events for the upstream's; for none, the last ones."""
        pair, method = self._pair, _EVENT if events else _CLOSE
        if not self._open:
            self._open = True
            opening = objects.TranslateOpen(
                source=pair.source, target=pair.target, call=self._call, stream=self._call, deadline=pair.bridge.deadline(_OPEN)
            )
            await pair.ask(_OPEN, lambda _: opening)
        if not events:
            self._open = False
        params = objects.TranslateEvents(stream=self._call, events=[_item(e) for e in events], deadline=pair.bridge.deadline(method))
        try:
            said: objects.TranslatedEvents | None = await pair.ask(method, lambda _: params)
        except CallError as fault:
            if events or fault.failure.code != "no_method":
                raise
            return []  # it has nothing to add, and has been told
        if said is None:
            return []
        self._losses += said.losses
        return [(item.name, forms.item_bytes(item)) for item in said.events]

    async def aclose(self) -> None:
        """Tell the plugin that the stream is over, if it has not been told."""
        if self._open:
            with contextlib.suppress(CallError, Gone, ValueError, TimeoutError):
                await self.each([])


def _item(event: Event) -> wire.Item:
    fields = forms.plain_fields(event.data)
    return wire.Item(name=event.name, **{_FIELDS[name]: value for name, value in fields.items()})
