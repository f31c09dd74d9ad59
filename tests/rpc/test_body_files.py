"""Large bodies go to plugins as files, of which none is left behind, whatever comes between; what is too large for a message is
the client's affair."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Body
from jackfield.api.testing import Harness
from jackfield.rpc import connect, forms
from jackfield.rpc.bridge import Bridge
from jackfield.rpc.wire import Registration
from tests.kernel.pipeline_kit import PATIENCE
from tests.rpc.programs import Written


def large() -> Body[Any]:
    return Body(b"1" * forms.BODY_FILE)


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Bridge("p", Registration(schema_version=1), NotImplemented, lambda method, declared: None)


async def test_a_large_body_lies_in_a_file_until_it_is_answered(bridge: Bridge, tmp_path: Path) -> None:
    body = large()
    async with bridge._turn([body, Body(b"1")]) as files:
        assert [Path(files[id(body)])] == list(tmp_path.iterdir())
        assert Path(files[id(body)]).read_bytes() == body.raw
    assert not list(tmp_path.iterdir())


async def test_nothing_is_left_of_bodies_that_cannot_be_written(bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = large(), large()

    def fill(name: str, body: Body[Any]) -> None:
        if body is second:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(name, body)

    written = forms.fill_file
    monkeypatch.setattr(forms, "fill_file", fill)
    with pytest.raises(OSError, match="No space left"):
        async with bridge._turn([first, second]):
            pass
    assert not list(tmp_path.iterdir())


async def test_nothing_is_left_of_bodies_whose_client_leaves_while_they_are_written(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, done = asyncio.Event(), threading.Event(), asyncio.Event()
    loop, written = asyncio.get_running_loop(), forms.fill_file

    def fill(name: str, body: Body[Any]) -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(PATIENCE)
        with contextlib.suppress(FileNotFoundError):
            written(name, body)
        loop.call_soon_threadsafe(done.set)

    async def turn() -> None:
        async with bridge._turn([large()]):
            pass

    monkeypatch.setattr(forms, "fill_file", fill)
    taking = asyncio.create_task(turn())
    await asyncio.wait_for(begun.wait(), PATIENCE)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    go.set()
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert not list(tmp_path.iterdir())


async def test_a_request_whose_canonical_form_no_message_holds_is_refused_and_no_failure_of_the_plugins(tmp_path: Path) -> None:
    plugin = Written(tmp_path / "one.py", {"request.intercept_before": None}, hooks={"request.intercept_before": {"needs": ["request"]}})
    asked: dict[str, Any] = {"model": "sim/echo", "messages": [{"role": "user", "content": "a" * connect.FRAME}]}
    async with Harness(
        config={"plugins": {"p": {"command": plugin.command}}, "hooks": {"failures": 1}, "limits": {"json": "64MiB"}}
    ) as jackfield:
        answer = await jackfield.post("/v1/chat/completions", asked)
        assert (answer.status, "over the limit" in answer.json["error"]["message"]) == (413, True)
        assert not plugin.sent("request.intercept_before")
        asked["messages"][0]["content"] = "a"
        assert (await jackfield.post("/v1/chat/completions", asked)).status == 200
