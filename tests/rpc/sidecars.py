"""Plugins that run by themselves: they listen on a unix socket, answer what they are told to, and note what they were sent."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

Answer = Any | Callable[[Any], Any]


class Sidecar:
    """A plugin behind a socket. An answer may be a function of the params; a mapping with a `code` is an error."""

    def __init__(self, path: Path, answers: Mapping[str, Answer] | None = None, *, secret: str = "", **registration: Any) -> None:
        self.path, self.secret, self.sent = path, secret, list[tuple[str, Any]]()
        self.answers: dict[str, Answer] = {"plugin.register": {"schema_version": 1, **registration}, **(answers or {})}
        self.greeting = b""
        """What it writes before it is asked anything."""
        self.connections = list[asyncio.StreamWriter]()
        self.accepted, self._server = asyncio.Event(), None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def listen(self, mode: int = 0o600) -> None:
        """Begin to listen."""
        self._server: asyncio.Server | None = await asyncio.start_unix_server(self._serve, self.path)
        self.path.chmod(mode)

    async def stop(self) -> None:
        """Stop, and cut all connections."""
        if self._server is not None:
            self._server.close()
            for connection in self.connections:
                connection.close()
            await asyncio.gather(*(connection.wait_closed() for connection in self.connections), return_exceptions=True)
            await self._server.wait_closed()
            self.path.unlink(missing_ok=True)
            self._server = None

    def asked(self, method: str) -> list[Any]:
        """The params of all that it was asked by a method."""
        return [params for name, params in self.sent if name == method]

    def proof(self, who: str, challenge: str) -> str:
        return hmac.new(self.secret.encode(), f"{who}:{challenge}".encode(), hashlib.sha256).hexdigest()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        writer.write(self.greeting)
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                self.sent.append((asked.get("method", "answer"), asked.get("params", asked.get("result", asked.get("error")))))
                if asked.get("method") == "plugin.register":
                    self.accepted.set()
                if "method" in asked and "id" in asked:
                    answer = self._answer(asked["method"], asked["params"])
                    kind = "error" if isinstance(answer, dict) and "code" in answer else "result"
                    writer.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], kind: answer}).encode() + b"\n")
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _answer(self, method: str, params: Any) -> Any:
        if method == "plugin.challenge" and method not in self.answers:
            return {"proof": self.proof("plugin", params["challenge"]), "challenge": "5" * 64}
        answer = self.answers.get(method)
        return answer(params) if callable(answer) else answer
