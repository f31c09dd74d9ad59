"""Requests to upstreams, in the kernel's pools and without any HTTP library in sight."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from jackfield.api.body import Spooled
from jackfield.api.headers import Headers


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on waiting, in seconds; None leaves one to the host's configuration (`timeouts`)."""

    connect: float | None = None
    first_byte: float | None = None
    """From the request's last byte to the answer's first."""
    idle: float | None = None
    """Between two reads of an answer."""
    total: float | None = None


class HttpRequest(msgspec.Struct, kw_only=True, gc=False):
    """One request to an upstream."""

    method: str = "POST"
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Spooled | None = None
    timeouts: Timeouts | None = None


class HttpResponse(Protocol):
    """An upstream's answer. Whoever gets one reads it to its end or closes it."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """Return the whole body. Raises `CallError` when it breaks off or takes too long."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the body's bytes as they come, in pieces of any size."""

    async def aclose(self) -> None:
        """Let go of the connection; one whose answer was not read to its end is closed."""
