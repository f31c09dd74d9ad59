"""Stage 1: who calls. And, where no rule asks that, the closed door that stands in for rules."""

from typing import Final

from jackfield.addresses import is_loopback
from jackfield.api import Call, Headers, Principal, Reject
from jackfield.dispatch import HookFailed, ask
from jackfield.exchange import Downstream, Exchange, Refused

LOCAL: Final = Principal(name="local")
"""Who calls when there are no access rules: somebody on this machine."""

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


async def authenticate(exchange: Exchange) -> Principal:
    """Ask who calls: the first plugin that knows decides. Raises `Refused`: 401, or 503 where a plugin was broken."""
    generation, call = exchange.generation, exchange.call
    if not generation.has_access_rules():
        return LOCAL
    rejected: Reject | None = None
    broken: HookFailed | None = None
    rest = generation.chains.authenticate
    while rest:
        try:
            _, answer, rest = await ask(rest, exchange.trace, call)
        except HookFailed as fault:
            broken, rest = fault, rest[rest.index(fault.who) + 1 :]
            continue
        if isinstance(answer, Principal):
            return answer
        rejected = answer or rejected
    exchange.rejected = True
    if broken is not None:
        raise Refused(503, f"access cannot be decided: plugin {broken.plugin!r} failed", code="access_unavailable")
    if rejected is not None:
        raise Refused(401, rejected.message, code="invalid_api_key")
    raise Refused(401, "missing API key: send it as 'Authorization: Bearer <key>'", code="missing_api_key")


def refuse_strangers(downstream: Downstream) -> None:
    """Refuse what does not evidently come from a program on this machine. Raises `Refused`.

    This holds while there are no access rules. A browser's page, a tunnel and a reverse proxy all reach
    a loopback port; what they send shows it.
    """
    headers = downstream.headers
    reason = _strange(downstream.peer, headers)
    if reason is None and downstream.method == "POST" and not _is_json(headers):
        raise Refused(415, "without access rules a request body must be sent as application/json", code="unsupported_media_type")
    if reason is not None:
        raise Refused(403, f"without access rules only local programs are served: {reason}; set up keys (plugins.api_keys.keys)", code="forbidden")


def _strange(peer: str | None, headers: Headers) -> str | None:
    if peer is not None and not is_loopback(peer):
        return f"the request comes from {peer}"
    host = headers.get("host")
    if host is not None and not is_loopback(host_name(host)):
        return f"its Host header says {host!r}"
    if "origin" in headers:
        return "it has an Origin header, as a web page's has"
    forwarded = next((name for name in _FORWARDED if name in headers), None)
    return f"it was forwarded ({forwarded})" if forwarded else None


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_json(headers: Headers) -> bool:
    media_type = (headers.get("content-type") or "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def check_allowed(call: Call) -> None:
    """Check what the principal may call, against the name that the client asked for. Raises `Refused` with 403."""
    allow = call.principal.allow
    if allow is not None:
        refusal = allow.refusal(call.model, call.dialect, call.operation)
        if refusal is not None:
            raise Refused(403, f"{call.principal.name!r} may not use {refusal}", code="not_allowed")
