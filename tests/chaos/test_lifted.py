"""A quota that the provider gives back before it said it would is noticed within the interval of probes, at no call's cost."""

from __future__ import annotations

import asyncio

import pytest

from jackfield.api.testing import Harness, Received, ScriptedUpstream
from jackfield.api.testing.upstream import Wire as Line
from tests.chaos.wires import MODEL, REQUESTS, Chat
from tests.chaos.world import whole
from tests.virtual_time import Clock, in_virtual_time

HINT, INTERVAL = 600.0, 60.0


@pytest.mark.parametrize("lifted", [5, 59, 61, 100, 333, 595])
@pytest.mark.parametrize("others", [0, 2])
@in_virtual_time
async def test_a_quota_of_ten_minutes_that_is_lifted_early(clock: Clock, others: int, lifted: float) -> None:
    began, served = clock.steady, list[float]()

    async def upstream_of_all(received: Received, line: Line) -> None:
        mine, now = (received.headers.get("authorization") or "").endswith("key of 0"), clock.steady - began
        if mine and now < lifted:
            error = b'{"error": {"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"}}'
            await whole(line, 429, error, headers={"Retry-After": str(int(HINT - now))})
        else:
            served.extend([now] * mine)
            await whole(line, 200, Chat().whole("Hello"))

    async with ScriptedUpstream(upstream_of_all) as upstream:
        server = {"base_url": upstream.url, "models": [MODEL]}
        keys = [{"provider": "acme", "key": f"key of {n}", "id": str(n)} for n in range(1 + others)]
        config = {"plugins": {"openai": {"providers": {"acme": server}}}, "credentials": keys, "attempts": {"wait": 0}}
        async with Harness(config=config) as host:
            statuses = []
            while clock.steady - began < lifted + INTERVAL + 2:
                path, body = REQUESTS["openai.chat"]("call-1", False)
                statuses.append((await host.post(path, body)).status)
                await asyncio.sleep(0.5)
    assert 0 <= served[0] - lifted <= INTERVAL
    assert len(served) > 1  # and it stays noticed
    refused = sum((request.headers.get("authorization") or "").endswith("key of 0") for request in upstream.requests) - len(served)
    assert refused <= 2 + lifted / INTERVAL  # the first, and one an interval
    if others:
        assert set(statuses) == {200}
