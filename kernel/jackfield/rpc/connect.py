"""From a program to a plugin object: start it, learn what it is, and build the bridge to it."""

from collections.abc import Callable, Mapping
from typing import Any

from jackfield import __version__
from jackfield.api import Host, Program
from jackfield.rpc import wire
from jackfield.rpc.bridge import Bridge
from jackfield.rpc.callbacks import Callbacks
from jackfield.rpc.forms import BODY_FILE
from jackfield.rpc.process import ChildCarrier
from jackfield.rpc.supervisor import Supervisor

FRAME = 16 << 20
"""Most bytes of one message."""
CAPABILITIES = ("streams", "tables", "body_file")
"""What this host can do beside what every host of version 1 can."""


async def connect(
    program: Program, config: Mapping[str, Any], host: Host, deadline: Callable[[str, float | None], float | None]
) -> tuple[Bridge, Supervisor]:
    """Start a plugin's program and return the plugin object and what keeps it running.

    `deadline` says how long the host waits for an answer to a method, given what the plugin declared. Raises `Refused`.
    """
    plugin = host.info.plugin
    register = wire.Register(
        schema_version=wire.SCHEMA_VERSION,
        host=wire.HostAbout(version=__version__, capabilities=list(CAPABILITIES)),
        plugin=plugin,
        config=config,
        limits=wire.Bounds(frame=FRAME, body_file=BODY_FILE),
    )
    callbacks = Callbacks(host)
    supervisor = Supervisor(ChildCarrier(program), register, callbacks.serve, host.log)
    said = await supervisor.start()
    bridge = Bridge(plugin, said, supervisor.channel, deadline)
    if "start" in said.capabilities:
        bridge.start = supervisor.begin
    return bridge, supervisor
