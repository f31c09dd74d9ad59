"""What a guide says that users see when something is wrong is what they see."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Self

import pytest

from jackfield.api import Call, CallError, Host, HttpRequest
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from tests.docs.markdown import document, plain

GUIDE = document("docs/how-to/use-an-openai-compatible-server.md")
SEEN = {row[1]: plain(row[0]) for row in GUIDE.table("See that it works")}


class WebServer:
    """Answers whatever comes, TLS included, with a page."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        await writer.drain()
        writer.close()


async def message_for(base_url: str) -> str:
    """Return what a client is told of a server with that base URL."""
    config = {"plugins": {"openai": {"providers": {"acme": {"base_url": base_url, "models": ["m"]}}}}}
    async with Harness(config=config) as house:
        return (await house.post("/v1/chat/completions", {"model": "m", "messages": []})).json["error"]["message"]


def shows(said: str, means: str, address: str) -> bool:
    shown = SEEN[means].replace("127.0.0.1:11434", address)
    return re.fullmatch(re.escape(shown).replace(re.escape("..."), ".*"), said) is not None


async def test_a_server_that_is_not_there_is_named() -> None:
    async with WebServer() as server:
        address = server.address
    assert shows(await message_for(f"http://{address}"), "nothing listens there", address)


@pytest.mark.parametrize(("scheme", "means"), [("https", "the scheme is wrong"), ("http", "a web page: `base_url` probably lacks `/v1`")])
async def test_a_server_that_answers_something_else_is_explained(scheme: str, means: str) -> None:
    async with WebServer() as server:
        assert shows(await message_for(f"{scheme}://{server.address}"), means, server.address)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_private_address_that_nobody_named_is_called_so(name: str) -> None:
    told: list[Any] = []

    class Curious:
        def __init__(self, config: dict[str, Any], host: Host) -> None:
            self._host = host

        async def intercept_request(self, call: Call) -> None:
            try:
                await self._host.http.request(HttpRequest(method="GET", url=url))
            except CallError as fault:
                told.append(fault.failure)

    async with ScriptedUpstream(json_answer({})) as upstream, Harness([Curious]) as house:
        url = upstream.url.replace("127.0.0.1", name)
        await house.post("/v1/chat/completions", {"model": "sim/echo", "messages": []})
    assert [(one.code, one.message) for one in told] == [
        ("private_address", f"{url} is a private address; name it in the configuration to allow it")
    ]
    assert upstream.requests == []
