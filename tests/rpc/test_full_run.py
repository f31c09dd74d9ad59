"""A host under a mixed load: everything that is said between it and its plugins fits the schemas."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.rpc.protocol import Messages
from tests.rpc.tap import Connection, tapped

PEERS = Path(__file__).parent / "peers"
CONVERSING, EXECUTOR, ASKER = (
    [sys.executable, str(path)] for path in (PEERS / "conversing.py", PEERS / "executor.py", PEERS.parent / "asker.py")
)
PATHS = {"/v1/chat/completions": "messages", "/v1/messages": "messages", "/v1/responses": "input"}
MODELS = [
    f"{provider}/{model}" for provider in ("peer", "chat") for model in ("whole", "stream", "raw", "limited", "typed", "told", "broken")
]
PARTS = ("route", "intercept", "events")
SEEN = {
    "plugin.register", "model.register", "model.route", "request.intercept_before", "response.intercept_after",
    "response.intercept_stream_chunk.open", "response.intercept_stream_chunk.event", "response.intercept_stream_chunk.close",
    "request.complete", "usage.handle", "executor.execute", "executor.execute_stream", "stream.item", "stream.end", "$/cancel",
    "host.info", "host.model.execute", "host.state.add", "plugin.shutdown",
}  # fmt: skip


def configuration() -> dict[str, Any]:
    conversing = {part: {"command": CONVERSING, "part": part, "required": True} for part in PARTS}
    others = {"p": {"command": EXECUTOR, "required": True}, "asker": {"command": ASKER, "required": True, "priority": 9}}
    return {"plugins": {**conversing, **others}, "attempts": {"wait": 0, "most": 1}, "hooks": {"failures": 1000}}


def asked(said: str, model: str, **more: Any) -> dict[str, Any]:
    words = "one two three four five six"
    return {
        "model": model,
        said: words if said == "input" else [{"role": "user", "content": words}],
        "max_tokens": 50,
        "metadata": {},
        **more,
    }


async def test_all_that_is_said_fits_the_schemas(caplog: pytest.LogCaptureFixture) -> None:
    ask = [["host.info", {}], ["host.state.add", {"key": "calls"}], ["host.state.get", {"key": "calls"}], ["host.models.list", {}]]
    ask += [["host.model.execute", {"request": {"model": "sim/echo"}}], ["host.http.request", {"url": "http://127.0.0.1:9"}]]
    with tapped() as tap:
        async with Harness(config=configuration()) as host:
            calls = [
                host.post(path, asked(said, model, stream=stream))
                for path, said in PATHS.items()
                for model in (*MODELS, "sim/echo", "sim/error-429")
                for stream in (False, True)
            ]
            nested = [host.post(path, asked(said, "sim/echo", ask=ask)) for path, said in PATHS.items()]
            left = [asyncio.ensure_future(host.post(path, asked(said, "peer/hang"))) for path, said in PATHS.items()]
            answers = await asyncio.gather(*calls, *nested)
            assert {answer.status for answer in answers} >= {200, 429}
            await tap.until(lambda: sum('"model": "hang"' in json.dumps(message) for _, _, message in tap.heard) >= len(left))
            for call in left:
                call.cancel()
            await asyncio.wait(left)
            await tap.settled()
    assert [record.getMessage() for record in caplog.records if " raised " in record.getMessage()] == []
    connections: dict[Connection, Messages] = {}
    problems = []
    for connection, sender, message in tap.heard:
        problem = connections.setdefault(connection, Messages()).problem(message, sender)
        if problem is not None:
            problems.append((problem, sender, str(message)[:300]))
    assert problems == []
    assert {message["method"] for _, _, message in tap.heard if "method" in message} >= SEEN
