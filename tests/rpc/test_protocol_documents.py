"""What is written about the protocol is so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from jackfield.api.testing import Harness
from jackfield.cli.rpc_schemas import markdown
from jackfield.cli.rpc_schemas.definitions import ERRORS
from jackfield.rpc import channel, connect, forms, supervisor
from jackfield.rpc.line import MOST_UNREAD, PATIENCE
from tests.docs.markdown import document
from tests.rpc.protocol import Messages

WIRE, OUT_OF_PROCESS = document("docs/reference/wire.md"), document("docs/explanation/out-of-process.md")


def test_the_reference_is_that_of_the_code() -> None:
    assert WIRE.text == markdown.reference(), "`make schemas` writes it anew"


def test_no_two_headings_of_the_reference_have_one_anchor() -> None:
    assert len(WIRE.anchors) == len(WIRE.headings)


SHOWN = [block.text for block in OUT_OF_PROCESS.blocks if block.language == "text" and "jsonrpc" in block.text]


@pytest.mark.parametrize("shown", SHOWN, ids=range(len(SHOWN)))
def test_the_conversations_that_are_shown_keep_to_the_protocol(shown: str) -> None:
    messages = Messages()
    for line in shown.splitlines():
        if "{...}" in line:
            assert json.loads(line[2:].replace("{...}", "{}"))["method"] == "executor.execute_stream"
            continue
        problem = messages.problem(json.loads(line[2:]), {"> ": "host", "< ": "plugin"}[line[:2]])
        assert problem in (None, "answers nothing that was asked"), line


def test_the_examples_are_messages_or_parts_of_them() -> None:
    for block in (block for block in OUT_OF_PROCESS.blocks if block.language == "json"):
        made = json.loads(block.text)
        assert "jsonrpc" not in made or Messages().problem(made) is None, block.text


def test_the_figures_are_those_of_the_code() -> None:
    rows = dict(OUT_OF_PROCESS.table("Limits"))
    said = {what: re.sub(r"\D+", " ", figure).split() for what, figure in rows.items()}
    assert said["a line"] == [str(connect.FRAME >> 20)]
    assert said["a body within a message"] == [str(forms.BODY_FILE >> 20)]
    assert said["the answer to `plugin.register`"] == [f"{supervisor.HANDSHAKE:g}"]
    assert said["requests of the plugin at once"] == f"{channel._MOST_SERVED:,}".split(",")
    assert said["items of a stream under way"] == [str(channel.CREDIT)]
    assert said["bytes of a stream that nobody has read"] == [str(channel._MOST_BUFFERED >> 20)]
    assert said["bytes that wait for the plugin to read them"] == [str(MOST_UNREAD >> 20), str(PATIENCE)]
    assert f"within {supervisor.ANSWER:g} seconds of it" in OUT_OF_PROCESS.text
    assert f"after {supervisor._QUIET} seconds without a message" in OUT_OF_PROCESS.text


def test_the_codes_of_errors_are_listed() -> None:
    assert {int(row[0]) for row in OUT_OF_PROCESS.table("Errors")} <= ERRORS.keys()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_router_that_is_shown_runs(tmp_path: Path) -> None:
    (program,) = (block for block in OUT_OF_PROCESS.blocks if block.file == "router.mjs")
    (tmp_path / "router.mjs").write_text(program.text)
    settings = {
        "plugins": {"tools_to_strong": {"command": ["node", str(tmp_path / "router.mjs")], "required": True}},
        "models": {"aliases": {"strong": "sim/echo", "weak": "sim/error-429"}},
    }
    asked = {"model": "weak", "messages": [{"role": "user", "content": "hi"}]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with Harness(config=settings) as host:
        assert (await host.post("/v1/chat/completions", {**asked, "tools": [tool]})).status == 200
        assert (await host.post("/v1/chat/completions", asked)).status == 429
