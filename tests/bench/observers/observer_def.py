"""A plugin on every stage of a call, all `def`: reads what plugins usually read, and changes nothing."""

from __future__ import annotations

from jackfield.api import Attempt, Call, Event, Outcome, Pool, Reply, StreamHandler, StreamHead, Usage


def authenticate(call: Call) -> None:
    """Read the model's name, which is not known yet."""
    call.model  # noqa: B018


def route_model(call: Call) -> None:
    """Read the model's name."""
    call.model  # noqa: B018


def intercept_request(call: Call) -> None:
    """Read the model's name."""
    call.model  # noqa: B018


def pick_credential(call: Call, pool: Pool) -> None:
    """Read the model's name; leave the choice to the kernel."""
    call.model  # noqa: B018


def intercept_attempt(attempt: Attempt) -> None:
    """Read the model's name."""
    attempt.call.model  # noqa: B018


def normalize_request(attempt: Attempt) -> None:
    """Read the model's name."""
    attempt.call.model  # noqa: B018


def normalize_response(attempt: Attempt, reply: Reply) -> None:
    """Read the model's name."""
    attempt.call.model  # noqa: B018


def intercept_response(call: Call, reply: Reply) -> None:
    """Read the model's name."""
    call.model  # noqa: B018


def intercept_stream(call: Call, head: StreamHead) -> StreamHandler:
    """Read the model's name; look at every event."""
    call.model  # noqa: B018
    return _look


def _look(event: Event) -> None:
    event.name  # noqa: B018


def request_complete(call: Call, outcome: Outcome) -> None:
    """Read the model's name."""
    call.model  # noqa: B018


def handle_usage(attempt: Attempt, usage: Usage) -> None:
    """Read the model's name."""
    attempt.call.model  # noqa: B018
