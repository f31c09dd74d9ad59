"""Stage 1: who calls. And, where no rule asks that, the closed door that stands in for rules."""

from typing import Final

from jackfield.addresses import is_loopback
from jackfield.api import Call, Principal
from jackfield.dispatch import HookFailed, ask
from jackfield.exchange import Downstream, Exchange, Refused

LOCAL: Final = Principal(name="local")
"""Who calls when there are no access rules: somebody on this machine."""
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


async def authenticate(exchange: Exchange) -> Principal:
    """Ask who calls: the first plugin that knows decides. Raises `Refused`: 401, or 503 where a plugin was broken."""
    rest = exchange.doorkeepers
    if not rest:
        return LOCAL
    refused: Refused | None = None
    while rest:
        try:
            _, answer, rest = await ask(rest, exchange.trace, exchange.call)
        except HookFailed as fault:
            rest = rest[rest.index(fault.hook) + 1 :]
            refused = Refused(503, f"access cannot be decided: plugin {fault.plugin!r} failed", code="access_unavailable")
            continue
        if isinstance(answer, Principal):
            return answer
        if answer is not None and (refused is None or refused.failure.status == 401):
            refused = Refused(401, answer.message, code="invalid_api_key")
    raise refused or Refused(401, "missing API key: send it as 'Authorization: Bearer <key>'", code="missing_api_key")


def refuse_strangers(downstream: Downstream) -> None:
    """Refuse what does not evidently come from a program on this machine. Raises `Refused`.

    This holds while there are no access rules. A browser's page, a tunnel and a reverse proxy all reach
    a loopback port; what they send shows it.
    """
    if (reason := strangeness(downstream)) is not None:
        raise Refused(
            403, f"without access rules only local programs are served: {reason}; set up keys (plugins.api_keys.keys)", code="forbidden"
        )
    kind = (downstream.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if downstream.method == "POST" and not (kind.startswith("application/") and kind.endswith(("/json", "+json"))):
        raise Refused(415, "without access rules a request body must be sent as application/json", code="unsupported_media_type")


def strangeness(downstream: Downstream) -> str | None:
    """Say what shows that a request does not come from a program on this machine; None when nothing does."""
    peer, headers, host = downstream.peer, downstream.headers, downstream.headers.get("host")
    forwarded = next((name for name in _FORWARDED if name in headers), None)
    signs = (
        (peer is not None and not is_loopback(peer), f"the request comes from {peer}"),
        (host is not None and not is_loopback(_host_name(host)), f"its Host header says {host!r}"),
        ("origin" in headers, "it has an Origin header, as a web page's has"),
        (forwarded is not None, f"it was forwarded ({forwarded})"),
    )
    return next((what for shown, what in signs if shown), None)


def _host_name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def check_allowed(call: Call, *, model: bool) -> None:
    """Check what the principal may call, the model against the name that the client asked for. Raises `Refused` with 403."""
    allow = call.principal.allow
    if allow is not None and (refusal := allow.refusal(call.model if model else None, call.dialect, call.operation)) is not None:
        raise Refused(403, f"{call.principal.name!r} may not use {refusal}", code="not_allowed")
