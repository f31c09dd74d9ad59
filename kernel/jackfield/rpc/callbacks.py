"""What plugins out of process ask of the host: each request answered by the host as the plugin would see it in process."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from jackfield.api import CallError, CredentialState, Host, failure
from jackfield.rpc import forms, wire_host, wire_objects
from jackfield.rpc.callbacks_http import Http
from jackfield.rpc.callbacks_model import Model
from jackfield.rpc.channel import Asked
from jackfield.rpc.errors import BAD_PARAMS, NO_METHOD, RpcFault
from jackfield.rpc.methods import BY_NAME
from jackfield.rpc.sources import credential_from, credential_of

_DECODERS: Final = {name: msgspec.json.Decoder(m.params).decode for name, m in BY_NAME.items() if m.asks == "plugin"}
_LONGEST_LINE: Final = 8192
"""Characters of a message for the log."""
_MOST_LINES: Final = 100
"""Messages a second for the log."""


class Callbacks:
    """The host's side of one plugin's requests. `frame` is the most bytes of one message; `capabilities` are what was said at register."""

    def __init__(self, host: Host, frame: int, capabilities: Sequence[str]) -> None:
        self._host, self._capabilities, self.reveals = host, capabilities, False
        """Whether the plugin said that it needs secrets; whether it may have them is the host's business."""
        self.changed: Callable[[str], None] = lambda source: None
        """Told that a source of the plugin's has other credentials now."""
        self._second = self._lines = 0
        http, model = Http(host, frame), Model(host)
        self._answers: dict[str, Callable[[Any, Asked | None], Awaitable[Any]]] = {
            "host.info": self._info,
            "host.log": self._log,
            "host.auth.changed": self._auth_changed,
            "host.http.request": http.request,
            "host.http.stream": http.stream,
            "host.model.execute": model.execute,
            "host.model.execute_stream": model.stream,
            "host.models.list": self._models,
            "host.auth.list": self._auth_list,
            "host.auth.get": self._auth_get,
            "host.auth.get_runtime": self._auth_get_runtime,
            "host.auth.save": self._auth_save,
            "host.state.get": self._state_get,
            "host.state.set": self._state_set,
            "host.state.add": self._state_add,
            "host.state.delete": self._state_delete,
        }

    async def serve(self, method: str, params: msgspec.Raw, asked: Asked | None) -> Any:
        """Answer a request. Raises what `channel.error_of` can tell."""
        if (answer := self._answers.get(method)) is None:
            raise RpcFault(NO_METHOD, f"there is no method {method!r}")
        return await answer(_DECODERS[method](b"{}" if params == b"null" else params), asked)

    async def _info(self, said: wire_host.Within, asked: Asked | None) -> wire_host.HostInfo:
        about = self._host.info
        return wire_host.HostInfo(version=about.version, plugin=about.plugin, capabilities=[*about.capabilities, *self._capabilities])

    async def _log(self, said: wire_host.Log, asked: Asked | None) -> None:
        now = int(asyncio.get_running_loop().time())
        self._second, self._lines = now, self._lines + 1 if now == self._second else 1
        if self._lines > _MOST_LINES:
            if self._lines == _MOST_LINES + 1:
                self._host.log.warning("more than %d lines a second are not logged", _MOST_LINES)
            return
        message, over = said.message[:_LONGEST_LINE], len(said.message) - _LONGEST_LINE
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        getattr(self._host.log, said.level)("%s%s", text, f" ... and {over} characters more" if over > 0 else "")

    async def _auth_changed(self, said: wire_host.AuthChanged, asked: Asked | None) -> None:
        self.changed(said.source)

    async def _models(self, said: wire_host.Within, asked: Asked | None) -> wire_objects.Models:
        return wire_objects.Models(models=msgspec.to_builtins(self._host.models()))

    async def _auth_list(self, said: wire_host.Within, asked: Asked | None) -> wire_objects.Credentials:
        held = self._host.credentials
        found = [(await held.get(id)).without_secrets() for id in held.list()]
        return wire_objects.Credentials(credentials=[credential_of(one, secret=False) for one in found])

    async def _auth_get(self, said: wire_host.AuthGet, asked: Asked | None) -> wire_objects.CredentialAbout:
        found = await self._host.credentials.get(said.id)
        return credential_of(found if self.reveals else found.without_secrets(), secret=True)

    async def _auth_get_runtime(self, said: wire_host.AuthGet, asked: Asked | None) -> CredentialState:
        return await self._host.credentials.runtime(said.id)

    async def _auth_save(self, said: wire_host.AuthSave, asked: Asked | None) -> None:
        try:
            credentials = [credential_from(about) for about in said.credentials]
        except ValueError as fault:
            raise RpcFault(BAD_PARAMS, f"credentials: {fault}") from None
        await self._host.credentials.save(credentials, said.source)

    async def _state_get(self, said: wire_host.StateKey, asked: Asked | None) -> wire_host.StateValue:
        with _of_state():
            value = await self._host.state.get(said.key)
        if value is None:
            return wire_host.StateValue()
        try:
            return wire_host.StateValue(value=value.decode())
        except UnicodeDecodeError:
            return wire_host.StateValue(value_base64=base64.b64encode(value).decode())

    async def _state_set(self, said: wire_host.StateSet, asked: Asked | None) -> wire_host.StateWasSet:
        with _of_state():
            value = (said.value or "").encode() if said.value_base64 is None else forms.unbase64(said.value_base64, "value_base64")
            return wire_host.StateWasSet(set=await self._host.state.set(said.key, value, ttl=said.ttl, if_absent=said.if_absent))

    async def _state_add(self, said: wire_host.StateAdd, asked: Asked | None) -> wire_host.StateSum:
        with _of_state():
            return wire_host.StateSum(value=await self._host.state.add(said.key, said.n, maximum=said.maximum, ttl=said.ttl))

    async def _state_delete(self, said: wire_host.StateKey, asked: Asked | None) -> None:
        with _of_state():
            await self._host.state.delete(said.key)


@contextmanager
def _of_state() -> Iterator[None]:
    """Tell what goes wrong with the store: what was asked wrongly, or that it is away."""
    try:
        yield
    except (ValueError, TypeError) as fault:
        raise RpcFault(BAD_PARAMS, str(fault)) from None
    except OSError as fault:
        raise CallError(failure("plugin", str(fault), code="state_away", help="same_later")) from None
