"""Header values that may not be sent never reach a client, and cost no client its answer."""

from __future__ import annotations

import msgspec
import pytest

from jackfield.api import Attempt, Change, Headers, Reply
from tests.kernel.conftest import WHOLE, ToyProvider, pieces
from tests.kernel.pipeline_kit import Made, Observer, ask, toy_host
from tests.kernel.toy import stream_of

BAD = ("a\x01b", "a\x7fb", "a\r\nSet-Cookie: b", "a\x00")


@pytest.mark.parametrize("value", BAD, ids=repr)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_upstreams_header_with_control_characters_is_left_out(value: str, stream: bool) -> None:
    def answer(attempt: Attempt) -> Reply:
        headers = Headers([("Toy-Request-Id", value)])
        if stream:
            return Reply(headers=headers, stream=pieces(stream_of(["Hi"]), 23))
        return Reply(headers=headers, body=msgspec.json.encode(WHOLE))

    observer = Observer()
    async with toy_host(observer, provider=ToyProvider(answer)) as host:
        told = await ask(host, stream=stream)
        assert told.status == 200
        assert "toy-request-id" not in told.headers
        assert [outcome.status for outcome in await observer.completed()] == ["succeeded"]


@pytest.mark.parametrize("value", BAD, ids=repr)
async def test_a_plugins_own_answer_leaves_without_the_header(value: str) -> None:
    given = Reply(headers=Headers([("X-Mine", value), ("X-Fine", "1")]), body=msgspec.json.encode(WHOLE))
    async with toy_host(Made("given", intercept_request=lambda: Change(respond=given))) as host:
        told = await ask(host)
        assert (told.status, told.headers.get("x-fine"), told.headers.get("x-mine")) == (200, "1", None)


@pytest.mark.parametrize("reply", [{"headers": {"x-a": "b"}}, {"status": 99}, {"status": 700}], ids=["a dict", "99", "700"])
async def test_what_a_provider_may_not_answer_is_its_plugins_failure(reply: dict[str, object]) -> None:
    def answer(attempt: Attempt) -> Reply:
        return Reply(body=msgspec.json.encode(WHOLE), **reply)  # type: ignore[arg-type]

    observer = Observer()
    async with toy_host(observer, provider=ToyProvider(answer)) as host:
        assert (await ask(host)).status in (502, 503)
        [outcome] = await observer.completed()
    assert (outcome.status, outcome.cause) == ("failed", "plugin")
    assert "'toy'" in outcome.message
