"""A name with its provider works in every dialect, with or without how much the model is to think."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from jackfield.api.testing import Harness

SAID = [{"role": "user", "content": "Hello"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai.chat": ("/v1/chat/completions", {"model": "MODEL", "messages": SAID}),
    "openai.responses": ("/v1/responses", {"model": "MODEL", "input": "Hello"}),
    "openai.completions": ("/v1/completions", {"model": "MODEL", "prompt": "Hello"}),
    "anthropic.messages": ("/v1/messages", {"model": "MODEL", "messages": SAID, "max_tokens": 100}),
    "gemini.generate": ("/v1beta/models/MODEL:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
}
NAMES = ["sim/echo", "sim://sim/echo", "sim://sim/echo(high)", "sim/echo(low)", "mine", "mine(1024)", "auto"]


@pytest.mark.parametrize("dialect", CALLS)
async def test_each_spelling_of_a_name_works_in_each_dialect(dialect: str) -> None:
    path, body = CALLS[dialect]
    async with Harness(config={"models": {"aliases": {"mine": "sim://sim/echo"}}}) as host:
        for name in NAMES:
            for spelled in {name, quote(name, safe="")} if "MODEL" in path else {name}:
                said = {**body, "model": name} if "model" in body else body
                answer = await host.post(path.replace("MODEL", spelled), said, {"anthropic-version": "2023-06-01"})
                assert answer.status == 200, (name, answer.body)
                assert b"Hello" in answer.body
