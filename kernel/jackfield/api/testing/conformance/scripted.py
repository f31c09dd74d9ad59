"""A host that answers a plugin's questions from a script, and notes what is wrong with them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from jackfield import __version__
from jackfield.api import CredentialState, Usage
from jackfield.api.canonical import Choice, Message, Response, Text, play
from jackfield.rpc import wire, wire_host, wire_objects
from jackfield.rpc.channel import Asked, Streamed
from jackfield.rpc.errors import NO_METHOD, RpcFault
from jackfield.rpc.methods import BY_NAME

CREDENTIAL: Final = wire_objects.CredentialAbout(id="check-1", provider="check", label="the check's", key="check-key")
ANSWER: Final = Response(
    id="check",
    model="check/model",
    choices=(Choice(message=Message(role="assistant", parts=(Text(text="Hello there"),)), finish="stop"),),
    usage=Usage(input=3, output=2),
)


class ScriptedHost:
    """Answers `host.*`: HTTP with a short JSON body, calls of models with a greeting, state from memory, one credential."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The methods that were asked, in order."""
        self.problems: list[str] = []
        """What was wrong with them, one sentence each."""
        self._state: dict[str, wire_host.StateValue] = {}

    async def serve(self, method: str, params: msgspec.Raw, asked: Asked | None) -> Any:
        """Answer one request or notification."""
        self.asked.append(method)
        known = BY_NAME.get(method)
        if known is None or known.asks != "plugin":
            self.problems.append(f"it asked {method!r}, which no host answers; the methods that there are stand in the wire reference")
            raise RpcFault(NO_METHOD, method)
        raw = b"{}" if params == b"null" else bytes(params)
        try:
            said = msgspec.json.decode(raw, type=known.params)
        except msgspec.ValidationError as fault:
            self.problems.append(f"it asked {method} with {raw[:160].decode(errors='replace')}, which is not as the schema says: {fault}")
            raise
        return self._answer(method, said)

    def _answer(self, method: str, said: Any) -> Any:
        match method:
            case "host.info":
                return wire_host.HostInfo(version=__version__, plugin="check", capabilities=["streams", "tables", "body_file"])
            case "host.http.request":
                return wire_host.HttpAnswer(status=200, body=msgspec.Raw(b'{"ok":true}'))
            case "host.http.stream":
                pieces = [wire.Item(raw='{"ok":'), wire.Item(raw="true}")]
                return Streamed(wire_host.HttpAnswer(status=200), said.stream, said.credit, _each(pieces))
            case "host.model.execute":
                return wire.Reply(response=msgspec.Raw(msgspec.json.encode(ANSWER)))
            case "host.model.execute_stream":
                return Streamed(None, said.stream, said.credit, _each([wire.Item(delta=delta) for delta in play(ANSWER)]))
            case "host.models.list":
                return wire_objects.Models(models=["check/model"])
            case "host.log":
                return None
        return self._of_state(method, said) if method.startswith("host.state.") else self._of_credentials(method, said)

    def _of_state(self, method: str, said: Any) -> Any:
        match method:
            case "host.state.get":
                return self._state.get(said.key, wire_host.StateValue())
            case "host.state.set":
                if said.if_absent and said.key in self._state:
                    return wire_host.StateWasSet(set=False)
                self._state[said.key] = wire_host.StateValue(value=said.value, value_base64=said.value_base64)
                return wire_host.StateWasSet(set=True)
            case "host.state.add":
                before = self._state.get(said.key, wire_host.StateValue()).value or "0"
                value = (int(before) if before.lstrip("-").isdigit() else 0) + said.n
                if said.maximum is not None and value > said.maximum:
                    return wire_host.StateSum(value=None)
                self._state[said.key] = wire_host.StateValue(value=str(value))
                return wire_host.StateSum(value=value)
        self._state.pop(said.key, None)
        return None

    def _of_credentials(self, method: str, said: Any) -> Any:
        masked = msgspec.structs.replace(CREDENTIAL, key=None)
        match method:
            case "host.auth.list":
                return wire_objects.Credentials(credentials=[masked])
            case "host.auth.get":
                return masked
            case "host.auth.get_runtime":
                return CredentialState(id=CREDENTIAL.id)
        return None


async def _each(items: Sequence[wire.Item]) -> AsyncIterator[Sequence[wire.Item]]:
    for item in items:
        yield [item]
