"""A host for tests, and a client beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Self

import aiohttp
import msgspec

from jackfield.api.headers import Headers
from jackfield.host import Jackfield


class Answer(msgspec.Struct, kw_only=True):
    """What a client got."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


class Harness:
    """Runs a host on a free port, with the given plugins and configuration and nothing of the user's own.

    First-party plugins are there as in any installation, but for the one that would bring the user's own credentials, unless
    `config` names it; the user's folder of plugins is not looked into. `bare=True` leaves all installed plugins out.
    """

    def __init__(
        self,
        plugins: Sequence[object] = (),
        config: Mapping[str, Any] | None = None,
        *,
        bare: bool = False,
        **options: Any,
    ) -> None:
        said, own = (config or {}).get("plugins", {}), dict[str, Any]()
        if "folder" not in said:
            own["folder"] = ""
        if bare:
            own["autoload"] = False
        elif "credential_files" not in said:
            own["credential_files"] = {"enabled": False}
        overrides = {"server": {"port": 0}, "plugins": own}
        self.host = Jackfield(dict(config or {}), plugins=plugins, overrides=overrides, defaults=not bare, **options)
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.host.start()
        self._client = aiohttp.ClientSession(auto_decompress=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await self._client.close()
        await self.host.stop(grace=0)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, or `https` where the configuration says so."""
        return f"http{'s' if self.host.config.server.tls else ''}://127.0.0.1:{self.host.port}"

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and hand over the answer before its body is read."""
        assert self._client is not None
        data = None if body is None else BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))  # of any size
        named = {"Content-Type": "application/json", **(headers or {})} if data is not None else dict(headers or {})
        async with self._client.request(method, self.url + path, data=data, headers=named, allow_redirects=False) as response:
            yield response

    async def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and return the whole answer; a body that is not bytes is sent as JSON."""
        async with self.open(method, path, body, headers) as response:
            return Answer(status=response.status, headers=Headers(response.headers.items()), body=await response.read())

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a body."""
        return await self.request("POST", path, body, headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET a path."""
        return await self.request("GET", path, None, headers)
