"""What plugins out of process ask of the host: each request answered by the host as the plugin would see it in process."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from jackfield.api import Host
from jackfield.rpc import wire_host
from jackfield.rpc.channel import NO_METHOD, Asked, RpcFault
from jackfield.rpc.methods import BY_NAME

_DECODERS: Final = {name: msgspec.json.Decoder(m.params).decode for name, m in BY_NAME.items() if m.asks == "plugin"}


class Callbacks:
    """The host's side of one plugin's requests."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._answers: dict[str, Callable[[Any, Asked | None], Awaitable[Any]]] = {
            "host.info": self._info,
            "host.log": self._log,
            "host.state.get": self._state_get,
            "host.state.set": self._state_set,
            "host.state.add": self._state_add,
            "host.state.delete": self._state_delete,
        }

    async def serve(self, method: str, params: msgspec.Raw, asked: Asked | None) -> Any:
        """Answer a request. Raises what `channel.error_of` can tell."""
        if (answer := self._answers.get(method)) is None:
            raise RpcFault(NO_METHOD, f"there is no method {method!r}")
        return await answer(_DECODERS[method](params if params != b"null" else b"{}"), asked)

    async def _info(self, said: wire_host.Within, asked: Asked | None) -> wire_host.HostInfo:
        about = self._host.info
        return wire_host.HostInfo(version=about.version, plugin=about.plugin, capabilities=list(about.capabilities))

    async def _log(self, said: wire_host.Log, asked: Asked | None) -> None:
        getattr(self._host.log, said.level)("%s", said.message)

    async def _state_get(self, said: wire_host.StateKey, asked: Asked | None) -> wire_host.StateValue:
        value = await self._host.state.get(said.key)
        if value is None:
            return wire_host.StateValue()
        try:
            return wire_host.StateValue(value=value.decode())
        except UnicodeDecodeError:
            return wire_host.StateValue(value_base64=base64.b64encode(value).decode())

    async def _state_set(self, said: wire_host.StateSet, asked: Asked | None) -> wire_host.StateWasSet:
        value = base64.b64decode(said.value_base64) if said.value_base64 is not None else (said.value or "").encode()
        return wire_host.StateWasSet(set=await self._host.state.set(said.key, value, ttl=said.ttl, if_absent=said.if_absent))

    async def _state_add(self, said: wire_host.StateAdd, asked: Asked | None) -> wire_host.StateSum:
        return wire_host.StateSum(value=await self._host.state.add(said.key, said.n, maximum=said.maximum, ttl=said.ttl))

    async def _state_delete(self, said: wire_host.StateKey, asked: Asked | None) -> None:
        await self._host.state.delete(said.key)
