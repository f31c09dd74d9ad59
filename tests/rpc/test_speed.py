"""The quick form of `python -m tests.rpc.speed`: bounds that a busy machine keeps, too, and that a mistake of its kind does not."""

from __future__ import annotations

import shutil

import pytest

from tests.rpc.speed import measure


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node, which streams the items")
async def test_streams_and_hooks_are_quick() -> None:
    found = await measure(scale=0.1, rounds=1)
    assert found.into > 8_000
    assert found.into_alone > 8_000
    assert found.through > 4_000
    assert found.beside < 0.2
    assert found.hook < 200
    assert found.hook_body < 10
