"""From what carries a plugin to the plugin object: reach it, learn what it is, and build the bridge to it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from jackfield import __version__
from jackfield.api import Host
from jackfield.rpc import wire
from jackfield.rpc.bridge import Bridge
from jackfield.rpc.callbacks import Callbacks
from jackfield.rpc.forms import BODY_FILE
from jackfield.rpc.providers import providers_of
from jackfield.rpc.routes import commands_of, routes_of
from jackfield.rpc.sources import sources_of
from jackfield.rpc.supervisor import HANDSHAKE, Carrier, Supervisor
from jackfield.rpc.translators import translators_of

FRAME = 16 << 20
"""Most bytes of one message."""
CAPABILITIES = ("streams", "tables", "body_file")
"""What this host can do beside what every host of version 1 can."""


async def connect(
    carrier: Carrier,
    config: Mapping[str, Any],
    host: Host,
    deadline: Callable[[str, float | None], float | None],
    granted: bool = True,
    *,
    handshake: float = HANDSHAKE,
    given_up: Callable[[str], object] = lambda why: None,
) -> tuple[Bridge, Supervisor]:
    """Reach a plugin and return the plugin object and what keeps it running.

    `deadline` says how long the host waits for an answer to a method, given what the plugin declared; `granted` that the configuration
    names the plugin; `handshake` how long it waits for the program to register. `given_up` is told when it will not be started any
    more. Raises `Refused`.
    """
    plugin = host.info.plugin
    register = wire.Register(
        schema_version=wire.SCHEMA_VERSION,
        host=wire.HostAbout(version=__version__, capabilities=list(CAPABILITIES)),
        plugin=plugin,
        config=config,
        from_environment=list(_from_environment(config, "")),
        limits=wire.Bounds(frame=FRAME, body_file=BODY_FILE),
    )
    callbacks = Callbacks(host, FRAME, CAPABILITIES)
    supervisor = Supervisor(carrier, register, callbacks.serve, host.log, handshake=handshake, given_up=given_up)
    said = await supervisor.start()
    callbacks.reveals = any("secret" in declared.needs for declared in said.hooks.values() if declared is not None)
    bridge = Bridge(plugin, said, supervisor.channel, deadline, granted)
    callbacks.changed = bridge.changed
    if "start" in said.capabilities:
        bridge.start = supervisor.begin
    said_problems = tuple(bridge.problems)

    async def reconfigure(config: Mapping[str, Any]) -> None:
        await supervisor.reconfigure(wire.Reconfigure(config=config, from_environment=list(_from_environment(config, ""))))
        bridge.problems = list(said_problems)
        await register_objects(bridge)

    if "reconfigure" in said.capabilities:
        bridge.reconfigure = reconfigure
    try:
        await register_objects(bridge)
    except BaseException:
        await supervisor.close()
        raise
    return bridge, supervisor


def _from_environment(said: Any, pointer: str) -> Iterator[str]:
    """Yield where texts of a special kind stand: those that came from the environment."""
    if isinstance(said, str) and type(said) is not str:
        yield pointer
    for key, value in said.items() if isinstance(said, Mapping) else enumerate(said) if isinstance(said, list | tuple) else ():
        yield from _from_environment(value, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


_OBJECTS: Final[Mapping[str, tuple[Callable[[Bridge, Any], Sequence[Any]], tuple[str, ...]]]] = {
    "model.register": (providers_of, ("register_providers", "register_models")),
    "auth.register": (sources_of, ("register_credential_sources",)),
    "translate.register": (translators_of, ("register_translators",)),
    "management.register": (routes_of, ("register_routes",)),
    "command_line.register": (commands_of, ("register_commands",)),
}
"""The methods by which a plugin names its objects: what makes a list of objects for each of the hooks that it stands for."""


async def register_objects(bridge: Bridge) -> None:
    """Have a plugin name its objects, which its hooks then give. What goes wrong is a problem of the plugin's."""
    for method, (made_of, hooks) in _OBJECTS.items():
        if not bridge.declares(method):
            continue
        try:
            async with asyncio.timeout(HANDSHAKE):
                made = made_of(bridge, await bridge.ask(method, lambda _: wire.Nothing()))
        except Exception as fault:  # noqa: BLE001 (whatever is wrong with its objects, the plugin may have more)
            late = isinstance(fault, TimeoutError)
            bridge.problems.append(f"{method}: {f'it was not answered within {HANDSHAKE:g} s' if late else fault}")
            continue
        for hook, objects in zip(hooks, made, strict=True):
            setattr(bridge, hook, _giving(objects))


def _giving(objects: Any) -> Callable[[], Any]:
    return lambda: objects
