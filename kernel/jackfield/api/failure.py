"""What went wrong with an attempt, whose fault it is, and what may help.

Executors fill one taxonomy from their providers' errors, as data: a list of `Rule`. The kernel
decides from the resulting `Failure` alone whether another credential is tried, what cools and what
the client is told.
"""

from typing import Literal

import msgspec

from jackfield.api.headers import Headers

Cause = Literal[
    "caller", "credential", "account_action", "quota", "rate", "overload",
    "upstream", "network", "content", "unsupported", "plugin", "unknown",
]  # fmt: skip
"""Why an attempt failed: the caller's own mistake; a refused credential; an account whose owner must act (verify,
pay); a spent quota; a rate limit; an overloaded provider; a fault of the provider; of the way to it; content that it
refuses; something that it cannot do; a plugin's fault; unknown."""

Blame = Literal["request", "credential", "credential_model", "provider", "plugin"]
"""What is at fault and may cool: the request (nothing cools), the credential, the credential for this model, the
whole provider, or a plugin."""

Help = Literal["another", "same_later", "none"]
"""What may help: another credential, the same one later, or nothing (the request itself must change)."""

BLAME: dict[Cause, Blame] = {
    "caller": "request", "content": "request", "unsupported": "request", "credential": "credential",
    "account_action": "credential", "quota": "credential_model", "rate": "credential_model", "overload": "credential_model",
    "upstream": "provider", "network": "provider", "plugin": "plugin", "unknown": "credential_model",
}  # fmt: skip
"""What each cause blames."""
HELP: dict[Cause, Help] = {"caller": "none", "content": "none", "plugin": "none"}
"""What may help for the causes for which that is not another credential."""
_SHOWN: dict[Cause, int] = {
    "caller": 400, "content": 400, "unsupported": 400, "quota": 429, "rate": 429,
    "credential": 503, "account_action": 503, "overload": 503, "plugin": 503,
}  # fmt: skip


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt, or the reason why a call got no answer."""

    cause: Cause
    blame: Blame
    help: Help = "another"
    message: str
    """One line for the client. Never holds upstream text unless the caller caused the failure."""
    status: int = 0
    """The upstream's HTTP status, 0 when there was none."""
    code: str | None = None
    """A short machine-readable code; the provider's own where it gave one."""
    param: str | None = None
    """The field of the request at fault, where known."""
    retry_after: float | None = None
    """Seconds until it is worth trying again, where the provider said so."""
    safe_after_first_byte: bool = False
    """The failure may be retried even after part of the answer was sent."""
    link: str | None = None
    """Where the account's owner must go, where the provider said so (`account_action`). For the operator, not for the client."""
    shown: int | None = None
    """The HTTP status that a client is answered with, where the cause does not decide it."""
    detail: str = ""
    """What the upstream said, for the log and the explanation, not for the client."""

    @property
    def shown_status(self) -> int:
        """The HTTP status that a client is answered with.

        Failures of the caller keep the upstream's status. 401 and 403 are never shown for a provider's
        credential: to a client they would mean its own key.
        """
        own_fault = self.cause in ("caller", "content", "unsupported") and 400 <= self.status < 500
        return self.shown or (self.status if own_fault else _SHOWN.get(self.cause, 502))


def failure(cause: Cause, message: str, **fields: object) -> Failure:
    """Make a `Failure` whose blame and help follow from its cause unless they are given."""
    follows = {"blame": BLAME[cause], "help": HELP.get(cause, "another")}
    return Failure(cause=cause, message=message, **(follows | fields))  # type: ignore[arg-type]


class CallError(Exception):
    """Raised by an executor, an auth method or the host's own calls: the attempt or call failed, and `failure` says how.

    `status`, `body` and `headers` hold what the upstream or a nested call answered, where there was
    an answer.
    """

    def __init__(self, failure: Failure, *, body: bytes = b"", headers: Headers | None = None) -> None:
        super().__init__(failure.message)
        self.failure, self.body, self.headers = failure, body, headers if headers is not None else Headers()


class NotDecoded(Exception):
    """The body is over the limit up to which JSON is parsed (`limits.json`), so it has no decoded form."""
