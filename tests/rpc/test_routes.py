"""HTTP routes and commands of plugins out of process, in the real host."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jackfield.api.testing import Harness
from jackfield.cli.main import main

PEER = str(Path(__file__).parent / "peers" / "conversing.py")
SECTION: dict[str, Any] = {"command": [sys.executable, PEER], "part": "manage"}


async def test_a_route_of_a_plugin_answers_with_status_headers_and_body() -> None:
    keys = [{"name": "me", "key": "k-0123456789abcdef"}]
    async with Harness(config={"plugins": {"p": SECTION, "api_keys": {"keys": keys}}}) as host:
        key = {"Authorization": "Bearer k-0123456789abcdef"}
        answer = await host.get("/pages/first", key)
        assert (answer.status, answer.headers["content-type"], answer.headers["x-page"]) == (200, "text/plain", "first")
        assert answer.body == b'first ""'
        assert (await host.get("/pages/first")).status == 401
        assert (await host.post("/pages/first", {"a": 1}, key)).status == 403  # for administrators
        broken = await host.get("/pages/broken", key)
        assert broken.status == 502
        assert b"torn" not in broken.body


async def test_a_route_is_sent_the_body_that_it_needs() -> None:
    async with Harness(config={"plugins": {"p": SECTION}}) as host:
        answer = await host.post("/pages/first", {"a": 1.10})
        assert (answer.status, answer.body) == (201, b'first {"a": 1.1}')


@pytest.mark.parametrize(("arguments", "told"), [(["to", "you"], (0, "Hello, to you\n")), ([], (2, "whom? give a name\n"))])
def test_a_command_of_a_plugin_runs(arguments: list[str], told: tuple[int, str], tmp_path: Path) -> None:
    (tmp_path / "jackfield.yaml").write_text(json.dumps({"plugins": {"p": SECTION}}))
    result = CliRunner().invoke(main, ["run", "-c", str(tmp_path / "jackfield.yaml"), "greet", *arguments])
    assert (result.exit_code, result.output) == told
    listed = CliRunner().invoke(main, ["run", "-c", str(tmp_path / "jackfield.yaml")])
    assert "greet" in listed.output
