"""Routes of plugins' own: pages, webhooks, what a plugin's users reach over HTTP beside the dialects."""

import asyncio
from typing import Final

from jackfield.access import authenticate, check_allowed
from jackfield.api import Body, CallError, Headers, PluginRoute, Reply, failure
from jackfield.dispatch import as_coroutine, as_plugin, of_a_plugin
from jackfield.exchange import Exchange, Refused
from jackfield.generation import NEVER_SENT, UNSENDABLE
from jackfield.plugins import Plugin
from jackfield.trace import log

_PATIENCE: Final = 30.0
"""Seconds until an answer must have begun, where the configuration says nothing: a page may have to ask a service."""
_PASS: Final = NEVER_SENT - {"content-type", "content-encoding", "set-cookie"}
"""What an answer of a plugin's own may not set."""


async def answer(exchange: Exchange, plugin: Plugin, route: PluginRoute) -> None:
    """Have a plugin answer a request of its route, and send what it says. Raises `Refused` for who may not, `CallError` where it fails."""
    call, downstream = exchange.call, exchange.downstream
    if route.access != "public":
        call.principal = await authenticate(exchange)
        check_allowed(call, model=False)
    if route.access == "admin" and exchange.doorkeepers and "admin" not in call.principal.tags:
        raise Refused(403, f"{call.principal.name!r} is no administrator: its tags do not name `admin`", code="not_allowed")
    call.hide_keys()
    call.params = exchange.params
    call.body = Body(await downstream.read(), media_type=call.headers.get("content-type") or "application/octet-stream")
    reply = await _asked(plugin, route, exchange)
    exchange.http_status = reply.status
    headers = [(name, value) for name, value in reply.headers if name.lower() not in _PASS and UNSENDABLE(value) is None]
    if "content-type" not in reply.headers:
        headers.append(("Content-Type", "application/json"))
    if reply.stream is None:
        body = reply.body.raw if isinstance(reply.body, Body) else reply.body or b""
        await downstream.send(reply.status, headers, body)
        return
    await downstream.start(reply.status, headers)
    try:
        async for piece in reply.stream:
            if not isinstance(piece, bytes):
                raise TypeError(f"plugin {plugin.id!r}: a stream of {route.path} gave {type(piece).__name__}, not bytes")
            await downstream.write(piece)
    finally:
        if (aclose := getattr(reply.stream, "aclose", None)) is not None:
            await aclose()
    await downstream.finish()


async def _asked(plugin: Plugin, route: PluginRoute, exchange: Exchange) -> Reply:
    """Return what the plugin answers. Raises `CallError`, 502, where that is nothing that can be sent."""
    said = plugin.settings.hooks.get("register_routes")
    limit = float((said and said.deadline) or plugin.settings.deadline or _PATIENCE)
    try:
        async with asyncio.timeout(limit) as timer:
            reply = await as_plugin(plugin.id, as_coroutine(route.handle(exchange.call)))
        if not (isinstance(reply, Reply) and isinstance(reply.headers, Headers) and 200 <= reply.status < 600):
            raise TypeError(f"answered {reply!r:.200}, not a Reply with Headers and a status from 200 to 599")
    except BaseException as fault:
        if isinstance(fault, CallError) or not of_a_plugin(fault):
            raise
        what = f"took longer than {limit:g} s" if timer.expired() else f"{type(fault).__name__}: {fault}"
        log.warning("plugin %r: %s %s: %s", plugin.id, route.method, route.path, what)
        says = f"plugin {plugin.id!r} failed ({route.method} {route.path})"
        raise CallError(failure("plugin", says, code="plugin_failed", detail=what, shown=502)) from fault
    return reply
