"""Records the conversations that are shown as examples: a real host and a small real plugin, each part of the protocol once.

`python -m tests.rpc.conversations` writes them anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jackfield import __version__
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer, sse_answer
from jackfield.rpc import channel
from tests.rpc.protocol import FOLDER
from tests.rpc.sidecars import Sidecar
from tests.rpc.tap import Tap, tapped

CONVERSATIONS = FOLDER / "conversations"
PEER = Path(__file__).parent / "peers" / "conversing.py"
CHAT = "/v1/chat/completions"
SECRET = "a shared secret"
CREDIT = 4
"""Items that the host lets be under way here, so that a short stream shows how more is granted."""


def said(words: str, model: str = "sim/echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": words}], **more}


def host(part: str, *, options: dict[str, Any] | None = None, plugins: dict[str, Any] | None = None, **more: Any) -> Harness:
    """Return a host with the plugin; `more` is configuration."""
    own = {"command": [sys.executable, str(PEER)], "required": True, "part": part, **({"options": options} if options else {})}
    own |= more.pop("section", {})
    others = {"autoload": False, "openai": {}, "simulator": {"texts": {"default": "strong"}}, **(plugins or {})}
    return Harness(config={"plugins": {"example": own, **others}, "attempts": {"wait": 0}, **more})


async def route(tap: Tap) -> None:
    """A router is started, asked twice, and shut down."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    async with host("route") as jackfield:
        await jackfield.post(CHAT, said("Hello", tools=[tool]))
        await jackfield.post(CHAT, said("Hello"))


async def authenticate(tap: Tap) -> None:
    """An access rule admits one key, refuses another, and passes on a third."""
    async with host("authenticate") as jackfield:
        for key in ("shop-1", "shop-2", "else"):
            await jackfield.post(CHAT, said("Hello"), {"Authorization": f"Bearer {key}", "User-Agent": "client/1.0"})


async def intercept(tap: Tap) -> None:
    """A request is changed, its answer is changed, another is answered at once; what became of both."""
    async with host("intercept") as jackfield:
        for number, words in enumerate(("Hello", "ping"), 1):
            await jackfield.post(CHAT, said(words, user="u-1", metadata={"app": "demo"}))
            await tap.until(lambda number=number: tap.count("request.complete") == number)
            await tap.settled()


async def events(tap: Tap) -> None:
    """Events of a stream are kept, said otherwise, dropped and added; one stream is ended early."""
    async with host("events") as jackfield:
        for words in ("one two three four", "zero five six"):
            await jackfield.post(CHAT, said(words, stream=True))
            await tap.settled()


async def pick(tap: Tap) -> None:
    """A scheduler picks one candidate, and denies another call."""
    async with host("pick", scheduler="example") as jackfield:
        await jackfield.post(CHAT, said("Hello"))
        await jackfield.post(CHAT, said("Hello", "sim/blank"))


async def table(tap: Tap) -> None:
    """A scheduler keeps the pool as a table: rows come once, then figures alone."""
    options = {"scheduler.pick": {"table": True}}
    async with host("table", options=options, scheduler="example") as jackfield:
        await jackfield.post(CHAT, said("Hello"))
        await jackfield.post(CHAT, said("Hello"))


async def execute(tap: Tap) -> None:
    """A provider answers whole, fails, and streams as it is granted credit."""
    async with host("execute") as jackfield:
        await jackfield.post(CHAT, said("Hello", "acme/large"))
        await jackfield.post(CHAT, said("Hello", "acme/small"))
        await jackfield.post(CHAT, said("Hello", "acme/large", stream=True))


async def http(tap: Tap) -> None:
    """A provider asks its upstream through the host, which puts the credential's key on the request."""
    async with ScriptedUpstream(json_answer({"text": "Hello"})) as upstream:
        credentials = [{"provider": "acme", "key": "k-0f1e2d3c4b5a", "label": "one"}]
        async with host("http", section={"url": upstream.url}, credentials=credentials) as jackfield:
            await jackfield.post(CHAT, said("Hello", "acme/large"))


async def http_stream(tap: Tap) -> None:
    """The same with a streamed answer, which the provider hands on."""
    chunk = {"id": "r1", "object": "chat.completion.chunk", "created": 1, "model": "large"}
    choices = [[{"index": 0, "delta": {"content": "Hello"}}], [{"index": 0, "delta": {}, "finish_reason": "stop"}]]
    events = [json.dumps({**chunk, "choices": listed}) for listed in choices]
    async with ScriptedUpstream(sse_answer(["".join(f"data: {event}\n\n" for event in (*events, "[DONE]")).encode()])) as upstream:
        credentials = [{"provider": "acme", "key": "k-0f1e2d3c4b5a", "label": "one"}]
        async with host("http_stream", section={"url": upstream.url}, credentials=credentials) as jackfield:
            await jackfield.post(CHAT, said("Hello", "acme/large", stream=True))
            await tap.settled()


async def attempt(tap: Tap) -> None:
    """Hooks that see an attempt: before and after its request is translated, and its answer, whole and streamed."""
    async with host("attempt") as jackfield:
        await jackfield.post(CHAT, said("Hello"), {"User-Agent": "client/1.0"})
        await jackfield.post(CHAT, said("Hello", stream=True), {"User-Agent": "client/1.0"})


async def start(tap: Tap) -> None:
    """The host tells that it starts; once it has, which models there are can be asked."""
    credentials = [{"provider": "acme", "key": "k-0f1e2d3c4b5a", "label": "one"}]
    acme = {"base_url": "http://127.0.0.1:1/v1", "dialects": ["openai.chat"], "models": ["large", "small"]}
    async with host(
        "start", plugins={"simulator": {"enabled": False}, "openai": {"providers": {"acme": acme}}}, credentials=credentials
    ) as jackfield:
        await jackfield.post(CHAT, said("Hello", "large"))


async def sources(tap: Tap) -> None:
    """A source of credentials is asked for them, and for a fresh key in place of one that has expired."""
    async with host("sources") as jackfield, asyncio.timeout(20):
        while (await jackfield.post(CHAT, said("Hello", "acme/large"))).status != 200:
            pass  # the fresh key is on its way


async def accounts(tap: Tap) -> None:
    """Which credentials there are, what is known of one, and how it is; and one that is not there."""
    credentials = [{"provider": "acme", "key": "k-0f1e2d3c4b5a", "label": "one", "priority": 1}]
    acme = {"base_url": "http://127.0.0.1:1/v1", "dialects": ["openai.chat"], "models": ["large"]}
    plugins = {"simulator": {"enabled": False}, "openai": {"providers": {"acme": acme}}}
    async with host("accounts", plugins=plugins, credentials=credentials) as jackfield:
        await jackfield.post(CHAT, said("Hello", "large"))


async def translate(tap: Tap) -> None:
    """A direct translator between two dialects: a whole call, and a streamed one."""
    async with host("translate", plugins={"anthropic": {}}) as jackfield:
        await jackfield.post(CHAT, said("Hello", "acme/large", user="u-1"))
        await jackfield.post(CHAT, said("Hello", "acme/large", stream=True))
        await tap.settled()


async def manage(tap: Tap) -> None:
    """A plugin has routes and a command of its own."""
    async with host("manage") as jackfield:
        await jackfield.get("/pages/first")
        for arguments in (["world"], []):
            answer = jackfield.host.generation.commands["greet"].run(arguments)
            assert not isinstance(answer, int)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                await answer


async def socket(tap: Tap) -> None:
    """A plugin behind a socket: both sides prove that they know the secret, which is `a shared secret`; another configuration follows."""
    answers = {"model.route": None, "plugin.reconfigure": None}
    hooks = {"hooks": {"model.route": {}}, "capabilities": ["reconfigure"]}
    with tempfile.TemporaryDirectory(prefix="jf") as folder, patch("secrets.token_hex", lambda size: ("0123456789abcdef" * 4)[: 2 * size]):
        path = Path(folder) / "s"
        section: dict[str, Any] = {"socket": {"path": str(path), "secret": SECRET}, "required": True, "colour": "red"}
        async with Sidecar(path, answers, secret=SECRET, **hooks):
            given = {"plugins": {"autoload": False, "openai": {}, "simulator": {}, "example": section}}
            async with Harness(config=given) as jackfield:
                await jackfield.post(CHAT, said("Hello"))
                await jackfield.host.reload({"plugins": {**given["plugins"], "example": {**section, "colour": "blue"}}})
                await jackfield.post(CHAT, said("Hello"))


async def nested(tap: Tap) -> None:
    """Within a call a plugin makes calls of its own: one answered, one refused, one streamed."""
    async with host("nested") as jackfield:
        await jackfield.post(CHAT, said("Hello"))


async def state(tap: Tap) -> None:
    """State, the log, and requests that are none."""
    async with host("state", plugins={"memory": {}}) as jackfield:
        await jackfield.post(CHAT, said("Hello"))


async def cancel(tap: Tap) -> None:
    """A hook is late, is told that nobody waits any more, and answers all the same."""
    async with host("cancel", options={"model.route": {"deadline": 0.2}}) as jackfield:
        await jackfield.post(CHAT, said("Hello"))
        await tap.settled()


async def fail(tap: Tap) -> None:
    """A hook refuses a request, and another time fails."""
    async with host("fail") as jackfield:
        await jackfield.post(CHAT, said("caller"))
        await jackfield.post(CHAT, said("Hello"))


async def reload(tap: Tap) -> None:
    """The configuration changes: a new life begins (2), then the old one is shut down (1)."""
    async with host("route") as jackfield:
        await jackfield.post(CHAT, said("Hello"))
        given = jackfield.host.origin
        assert isinstance(given, dict)
        example = {**given["plugins"]["example"], "strong": "sim/text"}
        await jackfield.host.reload({**given, "plugins": {**given["plugins"], "example": example}})
        await tap.until(lambda: tap.count("plugin.shutdown") == 1)
        await tap.settled()
        await jackfield.post(CHAT, said("Hello"))


PARTS: dict[str, Callable[[Tap], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        route, authenticate, intercept, events, attempt, pick, table, execute, http, http_stream, sources, accounts, translate, start,
        nested, state, cancel, fail, manage, reload, socket,
    )
}  # fmt: skip


async def record(part: str) -> str:
    """Return one conversation, a message a line: who says it, in which of the plugin's lives where there are several, and what."""
    before, channel.CREDIT = channel.CREDIT, CREDIT  # type: ignore[misc]
    try:
        with tapped() as tap:
            await PARTS[part](tap)
    finally:
        channel.CREDIT = before  # type: ignore[misc]
    several, plain = len(tap.connections) > 1, Plain()
    lines = []
    for connection, sender, message in tap.heard:
        life = {"life": connection.number} if several else {}
        lines.append(json.dumps({"from": sender, **life, "message": plain.of(message)}, ensure_ascii=False) + "\n")
    return "".join(lines)


class Plain:
    """Writes what is another in each run as if it were not."""

    def __init__(self) -> None:
        self._ids, self._revisions = dict[str, str](), dict[int, int]()

    def of(self, value: Any, key: str = "") -> Any:
        if key == "explanation" and isinstance(value, dict):
            return {}
        if isinstance(value, dict):
            return {name: self.of(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.of(inner, key) for inner in value]
        if isinstance(value, float) and key in ("duration", "first_byte", "latency", "last_used") and value:
            return {"last_used": 1800000000.0}.get(key, 0.01)
        if key == "revision":
            return self._revisions.setdefault(value, len(self._revisions) + 1)
        if key == "created" and isinstance(value, int):
            return 1800000000
        return self._text(value, key) if isinstance(value, str) else value

    def _text(self, value: str, key: str) -> str:
        value = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8400", value)
        if key == "version" and value == __version__:
            return "0.1.0"
        return re.sub(r"\b[0-9a-f]{8}-\d+\b", self._id, value)

    def _id(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"c{len(self._ids) + 1}")


async def recorded() -> dict[str, str]:
    """Return all conversations, by the names of their files."""
    return {f"{part}.jsonl": await record(part) for part in PARTS}


def written() -> Iterator[tuple[str, str]]:
    """Yield the committed conversations."""
    for path in sorted(CONVERSATIONS.glob("*.jsonl")):
        yield path.name, path.read_text(encoding="utf-8")


if __name__ == "__main__":
    logging.disable() if len(sys.argv) < 2 else None
    made = asyncio.run(recorded())
    CONVERSATIONS.mkdir(exist_ok=True)
    for stale in CONVERSATIONS.iterdir():
        if stale.name not in made:
            stale.unlink()
    for name, text in made.items():
        (CONVERSATIONS / name).write_text(text, encoding="utf-8")
