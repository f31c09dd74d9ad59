"""Which calls belong together, and by which name a provider is told so."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from jackfield.api import Attempt, BadRequest, Call, Change, NotDecoded
from jackfield.api.canonical.sessions import text_at

OPENING: Final = 512
"""Characters of the instructions by which a conversation is told from others. Further down some programs write the time."""
NOBODY: Final = frozenset({"local", "nobody"})
"""Names of principals that stand for anybody."""


def digest(*parts: str) -> str:
    """Return a short text that stands for some texts: it can be sent where these should not be seen."""
    return blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def conversation(call: Call) -> tuple[str | None, bool]:
    """Return what tells a conversation from others by how it begins, and whether it has gone on since.

    None where that cannot be told: a body that nobody can read, or nothing that the user wrote.
    """
    try:
        messages = call.request.messages
    except (BadRequest, NotDecoded):
        return None, False
    first = next((at for at, message in enumerate(messages) if message.role == "user"), None)
    if first is None or not (asked := messages[first].text):
        return None, False
    opening = "\n".join(m.text for m in messages[:first] if m.role in ("system", "developer"))[:OPENING]
    return digest(call.principal.name, call.model, opening, asked), any(m.role == "assistant" for m in messages)


def continued(attempt: Attempt, derived: str | None) -> Change | None:
    """Return what tells the provider that a request continues others; None where there is no place for it, or it has been told."""
    places = [place for place in attempt.provider.continuity if attempt.dialect.name in place.dialects]
    if not places or not isinstance(raw := attempt.body.source, bytes):
        return None
    name = attempt.dialect.session.cached(raw) or _name(attempt, derived)
    fields: dict[Any, Any] = {path: name for place in places for path in place.body if not text_at(raw, path)}
    headers = {header: name for place in places for header in place.headers if attempt.headers.get(header) is None}
    return Change(set=fields or None, headers=headers if name.isascii() else None) if fields or headers else None


def _name(attempt: Attempt, derived: str | None) -> str:
    """Return by which name requests continue one another: what the client says, else how they begin, else who asks or answers."""
    call = attempt.call
    said = call.session or call.headers.get("idempotency-key") or derived
    if said is not None:
        return digest(call.principal.name, said)
    return digest(attempt.candidate.credential if call.principal.name in NOBODY else call.principal.name)
