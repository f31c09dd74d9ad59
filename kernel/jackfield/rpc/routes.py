"""HTTP routes and commands that plugins out of process register."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from jackfield.api import Call, Command, PluginRoute, Reply
from jackfield.rpc import forms
from jackfield.rpc import wire_objects as objects
from jackfield.rpc.errors import RpcFault, fault_of

if TYPE_CHECKING:
    from jackfield.rpc.bridge import Bridge


def routes_of(bridge: "Bridge", said: objects.Routes) -> tuple[list[PluginRoute]]:
    """Return the routes that a plugin names."""
    made = (PluginRoute(method=one.method, path=one.path, access=one.access, handle=partial(_handle, bridge, one)) for one in said.routes)
    return (list(made),)


async def _handle(bridge: "Bridge", route: objects.RouteDeclared, call: Call) -> Reply:
    method = "management.handle"
    needs = bridge.needs(method)

    def params(files: forms.Files) -> objects.OnRoute:
        return objects.OnRoute(route=route, params=dict(call.params), call=forms.call_of(call, needs, files))

    try:
        return forms.reply_from(await bridge.answer(method, params, *([call.body] if needs & {"body", "raw"} else []), subject=call))
    except RpcFault as fault:
        told = fault_of(fault)
        if told.failure.cause != "plugin":
            raise told from None
        raise RuntimeError(told.failure.message) from None  # for the log: what is the plugin's own fault is no answer


def commands_of(bridge: "Bridge", said: objects.Commands) -> tuple[list[Command]]:
    """Return the commands that a plugin names."""
    return ([Command(name=one.name, help=one.help, run=partial(_run, bridge, one.name)) for one in said.commands],)


async def _run(bridge: "Bridge", name: str, arguments: Sequence[str]) -> int:
    asked = objects.RunCommand(command=name, arguments=list(arguments))
    done: objects.CommandDone = await bridge.ask("command_line.execute", lambda _: asked)
    sys.stdout.write(done.output)
    sys.stderr.write(done.errors)
    return done.exit_code
