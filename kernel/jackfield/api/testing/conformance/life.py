"""Checks of how a plugin begins: it starts, says what it is, and takes its configuration."""

import difflib
import importlib.util
from typing import Any, Final

import msgspec

from jackfield.api.testing.conformance.peer import HANDSHAKE, said_of, shown
from jackfield.api.testing.conformance.report import NotAsked, Wrong
from jackfield.api.testing.conformance.suite import Run, check
from jackfield.rpc import wire
from jackfield.rpc.errors import BAD_PARAMS, RpcFault
from jackfield.rpc.methods import BY_NAME

_ASKED: Final = [name for name, method in BY_NAME.items() if method.asks == "host" and not name.startswith("plugin.")]
_WRONG_VALUES: Final = {"string": 7, "integer": "seven", "number": "seven", "boolean": "perhaps", "array": 7, "object": 7}


@check("start", "The program can be started.")
async def start(run: Run) -> None:
    """Start it."""
    await run.start()


@check("handshake", "It answers plugin.register within the deadline.")
async def handshake(run: Run) -> None:
    """Have it say what it is."""
    if not (peer := run.peers[-1]).started:
        raise NotAsked("it cannot be started")
    try:
        run.raw = await peer.register(run.plugin, run.config)
    except RpcFault as fault:
        if fault.message.startswith("isolate: "):
            raise NotAsked(fault.message.removeprefix("isolate: ")) from None
        hint = "give it a configuration that it takes, with --config" if fault.code == BAD_PARAMS else "answer with what the plugin is"
        raise Wrong(f"plugin.register was sent with the configuration {shown(run.config)}, and {said_of(fault)} came; {hint}") from None


@check("registration", "What it says of itself is as the schema says.")
async def registration(run: Run) -> None:
    """Read its answer; what it says of hooks is for the next check."""
    if run.raw is None:
        raise NotAsked("it has not answered plugin.register")
    said: Any = msgspec.json.decode(run.raw)
    hooks = said.pop("hooks", {}) if isinstance(said, dict) else {}
    try:
        read = msgspec.convert(said, wire.Registration)
        if not isinstance(hooks, dict):
            raise msgspec.ValidationError(f"Expected `object`, got `{type(hooks).__name__}` - at `$.hooks`")
    except msgspec.ValidationError as fault:
        raise Wrong(f"plugin.register was answered with {shown(run.raw)}, which is not as the schema says: {fault}") from None
    good = {name: _declared(one) for name, one in hooks.items() if name in _ASKED and not isinstance(_declared(one), str)}
    run.said = msgspec.structs.replace(read, hooks=good)
    run.peers[-1].said = run.said


def _declared(said: Any) -> Any:
    """Return a declaration, or as text what is wrong with it."""
    try:
        return msgspec.convert(said, wire.HookDeclared | None)
    except msgspec.ValidationError as fault:
        return str(fault)


@check("version", "It was written for a version of the protocol that there is.")
async def version(run: Run) -> None:
    """Look at its schema_version."""
    if run.said is None:
        raise NotAsked("it has not said what it is")
    if not 1 <= run.said.schema_version <= wire.SCHEMA_VERSION:
        says = f"it answers plugin.register with schema_version {run.said.schema_version}, and hosts speak {wire.SCHEMA_VERSION}"
        raise Wrong(f"{says}; answer the version that it was written for")


@check("hooks", "The methods that it declares exist, and so do the needs that it declares for them.")
async def hooks(run: Run) -> None:
    """Look each method up in the table."""
    if run.said is None:
        raise NotAsked("it has not said what it is")
    for name, said in msgspec.json.decode(run.raw).get("hooks", {}).items():
        if name not in _ASKED:
            near = difflib.get_close_matches(name, _ASKED, 1)
            hint = f"did you mean {near[0]!r}?" if near else "the methods that there are stand in the wire reference"
            raise Wrong(f"it declares the method {name!r}, which no host calls; {hint}")
        if isinstance(told := _declared(said), str):
            raise Wrong(f"what it declares of {name} is {shown(msgspec.json.encode(said))}, which is not as the schema says: {told}")


@check("config", "It takes an empty configuration, or says in an error -32602 what it lacks.")
async def config(run: Run) -> None:
    """Start it once more, with nothing configured."""
    await _configured(run, {})


@check("wrong-config", "A wrong configuration is refused with -32602 or listed as a problem; it is no reason to crash.")
async def wrong_config(run: Run) -> None:
    """Start it once more, with a configuration that is none."""
    schema = run.said.config_schema if run.said is not None else None
    wrong, must = _wrong_config(schema if isinstance(schema, dict) else {})
    accepted = await _configured(run, wrong)
    if must and accepted is not None and not accepted.problems:
        says = f"plugin.register was sent with the configuration {shown(wrong)}, which breaks its config_schema"
        raise Wrong(f"{says}, and was answered as if it were fine; answer with error -32602, or name it in `problems`")


def _wrong_config(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a configuration that breaks a schema, and whether it is certain to."""
    for name, said in (schema.get("properties") or {}).items():
        if isinstance(said, dict) and said.get("type") in _WRONG_VALUES:
            return {name: _WRONG_VALUES[said["type"]]}, True
    return {"no-such-setting": {"at": ["all"]}}, schema.get("additionalProperties") is False


async def _configured(run: Run, section: dict[str, Any]) -> wire.Registration | None:
    """Start it with a configuration; return what it says, or None where it refuses it properly."""
    if run.said is None:
        raise NotAsked("it has not said what it is")
    sent = f"plugin.register was sent with the configuration {shown(section)}"
    peer, kept = await run.start(), False
    try:
        read = msgspec.json.decode(await peer.register(run.plugin, section), type=wire.Registration)
        run.spare.append(peer)
        kept = True
        return read
    except RpcFault as fault:
        if fault.code == BAD_PARAMS:
            return None
        raise Wrong(f"{sent}, and {said_of(fault)} came; answer with error {BAD_PARAMS} and say which setting is wrong") from None
    except msgspec.ValidationError:  # what it says of itself is told of already
        return None
    except Wrong as fault:
        raise Wrong(f"{sent}: {fault}; within {HANDSHAKE:g} s answer with error {BAD_PARAMS} and say which setting is wrong") from None
    finally:
        if not kept:
            await peer.close()


@check("config-schema", "Its config_schema is a JSON Schema, and the configuration fits.")
async def config_schema(run: Run) -> None:
    """Read the schema, and the configuration by it."""
    if run.said is None or run.said.config_schema is None:
        raise NotAsked("it declares no config_schema")
    if importlib.util.find_spec("jsonschema") is None:
        raise NotAsked("jsonschema is not installed (pip install jsonschema)")
    import jsonschema  # type: ignore[import-untyped]  # noqa: PLC0415

    kind = jsonschema.validators.validator_for(run.said.config_schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(run.said.config_schema)
    except jsonschema.SchemaError as fault:
        raise Wrong(f"its config_schema is no JSON Schema: {fault.message} at {fault.json_path}") from None
    for misfit in kind(run.said.config_schema).iter_errors(run.config):
        raise Wrong(f"the configuration {shown(run.config)} does not fit its config_schema: {misfit.message} at {misfit.json_path}")
