"""The official SDKs for Node with their stream helpers, each before providers of all dialects: a round with thoughts and parallel tools."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.clis.conftest import UPSTREAMS, WAYS, Behind, Cli, installed, node
from tests.upstreams.scenario import Scenario, ToolCall, Usage

SCRIPTS = Path(__file__).parent / "scripts"
CITIES = ({"city": "Zürich"}, {"city": "Oslo"})
CLIENTS = {
    "openai.chat": ("openai", "chat"),
    "openai.responses": ("openai", "responses"),
    "anthropic.messages": ("anthropic", ""),
    "gemini.generate": ("gemini", ""),
}
"""By the client's dialect: its script, and which part of it."""
PACKAGES = {"openai": "openai", "anthropic": "@anthropic-ai/sdk", "gemini": "@google/genai"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_round_with_tools(tmp_path: Path, behind: Behind, client: str, way: str) -> None:
    name, part = CLIENTS[client]
    program = Cli(node(), tmp_path)
    packages = installed() / "node_modules"
    if not (packages / PACKAGES[name]).is_dir():
        pytest.skip(f"the SDK {PACKAGES[name]} is not installed (tests/clis/install does it)")
    (program.work / "node_modules").symlink_to(packages.resolve())
    shutil.copy(SCRIPTS / f"{name}.mjs", program.work)
    calls = [ToolCall(name="get_weather", arguments=city) for city in CITIES]
    script = [Scenario(thinking="Both, then.", text="Let me see.", tool_calls=calls), Scenario(text="Rain.", usage=Usage(output=7))]
    async with behind(way, UPSTREAMS[client], *script, own=client) as (url, provider):
        done = await program.run(f"{name}.mjs", url, part, UPSTREAMS[client])
        assert provider.refusals == []
        assert done.code == 0, str(done)
        assert json.loads(done.out) == {"calls": list(CITIES), "text": "Rain.", "output": 7}
        assert len(provider.generated) == 2
