"""One request and its answer, as the kernel sees them: the call, the client's side of it, and what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from jackfield.api import (
    Attempt,
    Call,
    CallError,
    Cause,
    Error,
    Failure,
    Headers,
    Loss,
    Outcome,
    Pairs,
    Reply,
    Route,
    Spooled,
    Timeouts,
    Usage,
    failure,
)
from jackfield.credentials import Account
from jackfield.dispatch import Chain
from jackfield.generation import Generation
from jackfield.routes import Match
from jackfield.settings import Limit
from jackfield.trace import Trace

if TYPE_CHECKING:
    from jackfield.streams import Relay
    from jackfield.sweeper import Watch


class Downstream(Protocol):
    """The client's side: where a request comes from and its answer goes. HTTP, or the memory of a plugin or embedder."""

    method: str
    path: str
    headers: Headers
    query: Pairs
    peer: str | None
    begun: bool
    """Part of the answer has been sent."""

    async def read(self) -> bytes | Spooled:
        """Return the request's body. Raises `CallError`, cause `caller`, for one that is too large, broken or too slow."""

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer. Raises `ConnectionError` when the client has left."""

    async def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Begin a streamed answer."""

    async def write(self, data: bytes, /) -> None:
        """Send whole events; waits while the client reads slowly."""

    def write_now(self, data: bytes) -> bool | None:
        """Send what keeps the connection alive, without waiting.

        Before an answer has begun, tell whether the status 200 is out with it, whatever will come.
        """

    async def finish(self) -> None:
        """End a streamed answer."""


OWN_FAULT: Final[frozenset[Cause]] = frozenset({"caller", "content", "unsupported"})
"""Causes that lie with the request itself: the client is shown what the upstream said."""
LAST: Final = (1 << 62, "")
"""A rank after that of every plugin: the answer passes all response interceptors."""


class Tried(msgspec.Struct, kw_only=True):
    """One attempt that was made, and what came of it."""

    attempt: Attempt
    account: Account
    failure: Failure | None = None
    reply: Reply | None = None
    """The upstream's own error answer, where there was one."""
    relay: Relay | None = None
    """The stream, where the answer is one."""
    watch: Watch | None = None
    """Limits how long its provider may take, where the transport does not."""
    usage: Usage | None = None
    serving: bool = True
    """The account counts the attempt among those that it serves."""

    def explain(self) -> dict[str, object]:
        """Return the attempt, and how it failed if it did, as plain data."""
        failed, shown = self.failure, ("cause", "status", "message", "detail", "link")
        why = {} if failed is None else {name: said for name in shown if (said := getattr(failed, name)) is not None}
        return {"candidate": self.attempt.candidate.id, "model": self.attempt.model, **why}

    def fail(self, told: Failure) -> None:
        """Take note of why the attempt failed; what is at fault rests."""
        self.failure = told
        self.account.health.failed(self.account, self.attempt.candidate.model, told)

    def release(self) -> None:
        """Count the attempt out: it is over, or its stream is."""
        if self.watch is not None:
            self.watch.close()
        if self.serving:
            self.serving = False
            self.account.in_flight -= 1
            if self.account.credential.limits is not None and self.usage is not None:
                spent = self.usage.input + self.usage.output
                self.account.spend(tpm=spent, tpd=spent)


class Exchange:
    """Everything that the stages of the pipeline share about one call."""

    first_byte: float | None = None
    """Seconds to the first byte of the answer that the client got."""
    task: asyncio.Task[object] | None = None
    doorkeepers: Chain = ()
    """Who decides who calls; without any it must be somebody on this machine."""
    inside = body_touched = rejected = unsigned = unpaid = renewed = False
    """A plugin or the embedding program makes the call, so that nobody needs to be authenticated; a hook changed the
    client's body, so that what it says of model and stream is overwritten; a plugin or a rule refused the call; a provider
    refused the signatures of earlier answers, so that none are sent; there was no budget for another attempt; a refused key
was refreshed."""
    http_status = 0
    """What the client was sent."""
    kept_alive = 0
    """How often white space has gone out while there was no answer."""
    skipped: frozenset[str] = frozenset()
    """Plugins whose routers and interceptors are skipped: they made an ancestor of this call."""
    sees_answer: tuple[int, str] | None = None
    """Response interceptors whose rank is below this one see the answer; None: none does, stage 5 was not reached."""
    attempt: Attempt | None = None
    prefers = ""
    """The credential that is tried first where it is eligible: it alone can read the thoughts that the request carries."""
    usage: Usage | None = None
    failure: Failure | None = None
    _stop: Failure | None = None

    def __init__(self, generation: Generation, call: Call, match: Match, downstream: Downstream) -> None:
        self.generation, self.call, self.downstream = generation, call, downstream
        self.dialect, self.endpoint, self.params, self.owned = match.dialect, match.endpoint, match.params, match.owned
        self.trace, self.started = Trace(), time.perf_counter()
        self.request_headers: dict[str, str | None] = {}
        """Headers that request interceptors set for the upstream."""
        self.tried: list[Tried] = []
        self.timeouts: Timeouts | None = None
        """What the call itself says of how long it may take."""
        self.limits: dict[str, Limit] = {}
        """How long all of it may take, by who says so."""
        self.afterwards: dict[str, Callable[[], Awaitable[Any]]] = {}
        """What is to be done when the call is over, and waits for nobody's answer."""
        self.losses: list[Loss] = []
        """What hooks said in canonical words that the client's dialect cannot say."""

    def seeing(self, chain: Chain) -> Chain:
        """Return the response interceptors of a chain that see this call's answer."""
        limit = self.sees_answer
        if limit is LAST and not self.skipped:
            return chain
        return tuple(hook for hook in chain if limit is not None and hook.rank < limit and hook.plugin not in self.skipped)

    def stop(self, reason: Failure) -> None:
        """End the call in its dialect's error form, from outside."""
        if self._stop is None and self.task is not None:
            self._stop = reason
            self.task.cancel()

    def keep_alive(self, interval: float) -> None:
        """Write white space in place of a whole answer that takes long; called from time to time."""
        whole = self.call.model and not self.call.stream and not self.downstream.begun  # without a model the request is not read yet
        if interval and whole and (time.perf_counter() - self.started) // interval > self.kept_alive:
            self.kept_alive += 1
            self.http_status = 200 if self.downstream.write_now(b" ") else 0

    def stopped(self) -> CallError | None:
        """Return why the running task was cancelled when it was `stop` that did it; None when it was somebody else."""
        return CallError(self._stop) if self._stop is not None and self.task is not None and self.task.uncancel() == 0 else None

    def outcome(self, canceled: bool = False) -> Outcome:
        """Return what came of the call."""
        attempt, failed = self.attempt, self.failure
        return Outcome(
            status="canceled" if canceled else "rejected" if self.rejected else "failed" if failed is not None else "succeeded",
            http_status=self.http_status,
            cause=failed.cause if failed is not None else None,
            message=failed.message if failed is not None else "",
            usage=self.usage,
            attempts=len(self.tried),
            provider=attempt.provider.key if attempt is not None else None,
            credential=attempt.candidate.credential if attempt is not None else None,
            model=attempt.model if attempt is not None else None,
            duration=time.perf_counter() - self.started,
            first_byte=self.first_byte,
            fidelity=attempt.fidelity if attempt is not None else None,
            explain=self.explain,
        )

    def explain(self) -> dict[str, object]:
        """Return the record of the call as plain data."""
        translated = self.attempt.losses if self.attempt else None
        losses = [*self.losses, *(translated or ())] if self.losses or translated is not None else None
        return {
            "id": self.call.id,
            "model": self.call.model,
            "route": msgspec.to_builtins(self.call.route) if isinstance(self.call.route, Route) else None,
            "fidelity": self.attempt.fidelity if self.attempt else None,
            "losses": None if losses is None else [msgspec.to_builtins(loss) for loss in losses],
            "attempts": [tried.explain() for tried in self.tried],
            **self.trace.explain(),
        }


class Refused(CallError):
    """The call is refused by the kernel or by a rule, before or instead of an attempt; `status` is what the client is told."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, headers: Headers | None = None
    ) -> None:
        cause: Cause = "caller" if status < 500 else "plugin"
        super().__init__(failure(cause, message, status=status, code=code, param=param), headers=headers)


def error_of(fault: Failure, status: int | None = None) -> Error:
    """Return a failure as an error that a dialect can write."""
    return Error(
        status=status or (fault.status if 400 <= fault.status < 600 and fault.cause == "caller" else fault.shown_status),
        message=fault.message,
        code=fault.code,
        param=fault.param,
        retry_after=fault.retry_after,
    )
