"""Gemini CLI, headless, before providers of all dialects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.clis.conftest import WAYS, Behind, Cli, Done
from tests.upstreams.scenario import Scenario, ToolCall, Usage

MODEL = "gemini-3.8-flash"
OWN = "gemini.generate"
SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "telemetry": {"enabled": False},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


@pytest.fixture
def gemini(cli: Callable[[str], Cli]) -> Cli:
    client = cli("gemini")
    (client.work / "note.txt").write_text("The secret word is plum.\n")
    (client.work / "other.txt").write_text("The other word is pear.\n")
    (client.home / ".gemini").mkdir()
    (client.home / ".gemini" / "settings.json").write_text(json.dumps(SETTINGS))
    return client


def _reads(client: Cli, name: str) -> ToolCall:
    return ToolCall(name="read_file", arguments={"file_path": str(client.work / name)})


def _environment(url: str) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "unused", "GEMINI_CLI_TRUST_WORKSPACE": "true"}


async def _ask(client: Cli, url: str) -> tuple[Done, dict[str, Any]]:
    done = await client.run("-m", MODEL, "-o", "json", "-p", "What do the files say?", **_environment(url))
    try:
        return done, json.loads(done.out)
    except ValueError:
        raise AssertionError(str(done)) from None


@pytest.mark.parametrize("way", WAYS)
async def test_thoughts_and_parallel_tools_over_three_turns(gemini: Cli, behind: Behind, way: str) -> None:
    script = [
        Scenario(thinking="Both files, then.", text="I read both.", tool_calls=[_reads(gemini, "note.txt"), _reads(gemini, "other.txt")]),
        Scenario(thinking="Once more.", tool_calls=[_reads(gemini, "note.txt")]),
        Scenario(thinking="Now I know.", text="Plum and pear.", usage=Usage(input=70, output=9, cached=30)),
    ]
    async with behind(way, MODEL, *script, own=OWN) as (url, provider):
        done, said = await _ask(gemini, url)
        assert provider.refusals == []
        assert (done.code, said["response"]) == (0, "Plum and pear."), str(done)
        assert [request.stream for request in provider.generated] == [True, True, True]
        second, third = (request.raw.decode() for request in provider.generated[1:])
        assert second.count("secret word is plum") == second.count("other word is pear") == 1
        assert third.count("secret word is plum") == 2
        tokens = said["stats"]["models"][MODEL]["tokens"]
        assert (tokens["prompt"], tokens["cached"], tokens["candidates"]) == (110, 30, 29)
        if way not in (
            "openai.chat",
            "anthropic.messages",
        ):  # the client keeps no text of a thought, and Anthropic's signature goes with it
            assert len([signature for signature in provider.mint.known if signature in third]) == 2, "the thoughts did not come back"


@pytest.mark.parametrize("way", ["anthropic.messages"])
async def test_tools_with_a_model_that_has_a_budget_for_thoughts(gemini: Cli, behind: Behind, way: str) -> None:
    """The client drops the thoughts, and the provider wants one before the last calls while it is to think."""
    script = [Scenario(thinking="The file.", tool_calls=[_reads(gemini, "note.txt")]), Scenario(text="Plum.")]
    async with behind(way, MODEL, *script, served="claude-sonnet-4-5") as (url, provider):
        done, said = await _ask(gemini, url)
        assert provider.refusals == []
        assert (done.code, said["response"]) == (0, "Plum."), str(done)
        assert len(provider.generated) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_an_abort_reaches_the_provider(gemini: Cli, behind: Behind, way: str) -> None:
    async with behind(way, MODEL, Scenario(text="One two three four five", stall_after=4), own=OWN) as (url, provider):
        async with gemini.running("-m", MODEL, "-o", "json", "-p", "Count", **_environment(url)) as running:
            await provider.until(lambda: provider.stalled == 1)
            running.kill()
            await provider.until(lambda: provider.aborted == 1)
        assert len(provider.generated) == 1
