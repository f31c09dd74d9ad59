"""The plugins of the guide that call models do what it says, in every form that it names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Harness
from tests.docs.markdown import document

PLUGIN, PROGRAM = (block.text for block in document("docs/how-to/call-models-from-a-plugin.md").blocks if block.language == "python")


@pytest.mark.parametrize("form", ["in process", "isolated", "program"])
async def test_a_router_asks_a_model_first(form: str, tmp_path: Path) -> None:
    file = tmp_path / "essays.py"
    file.write_text(PROGRAM if form == "program" else PLUGIN)
    section: dict[str, Any] = {"command": [sys.executable, str(file)]} if form == "program" else {"path": str(file)}
    if form == "isolated":
        section["isolate"] = True
    async with Harness(config={"plugins": {"essays": section}}) as host:
        assert host.host.problems == []
        said = []
        for words in ("hello there", "write an essay"):
            answer = await host.post("/v1/chat/completions", {"model": "sim/echo", "messages": [{"role": "user", "content": words}]})
            said.append(answer.json["choices"][0]["message"]["content"])
    assert said[0] == "hello there"
    assert "essay" not in said[1]


async def test_without_an_answer_the_call_goes_where_it_would_have_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "essays.py"
    file.write_text(PROGRAM.replace("sim/echo", "sim/error-429"))
    async with Harness(config={"plugins": {"essays": {"command": [sys.executable, str(file)]}}, "attempts": {"wait": 0}}) as host:
        answer = await host.post("/v1/chat/completions", {"model": "sim/echo", "messages": [{"role": "user", "content": "one"}]})
    assert answer.json["choices"][0]["message"]["content"] == "one"
    assert "nobody says how long" in caplog.text
