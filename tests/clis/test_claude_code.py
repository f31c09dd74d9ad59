"""Claude Code, headless, before providers of all dialects.

It repeats a request silently, without a stream, where a stream is not as it should be: so each test counts what the provider was asked.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from jackfield.api.testing import Harness
from tests.clis.conftest import UPSTREAMS, WAYS, Behind, Cli, Done, configured, merged
from tests.upstreams.scenario import Failure, Scenario, ToolCall, Usage
from tests.upstreams.server import Upstream, upstream

MODEL = "claude-opus-5-5"
OWN = "anthropic.messages"
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
}

MakeCli = Callable[[str], Cli]


@pytest.fixture
def claude(cli: MakeCli) -> Cli:
    client = cli("claude")
    (client.work / "note.txt").write_text("The secret word is plum.\n")
    (client.work / "other.txt").write_text("The other word is pear.\n")
    return client


def _reads(client: Cli, name: str) -> ToolCall:
    return ToolCall(name="Read", arguments={"file_path": str(client.work / name)})


async def _ask(client: Cli, url: str, prompt: str, *more: str, model: str = MODEL) -> tuple[Done, dict[str, Any]]:
    arguments = ("-p", prompt, "--output-format", "json", "--allowedTools", "Read", "--model", model, *more)
    done = await client.run(*arguments, ANTHROPIC_BASE_URL=url, ANTHROPIC_AUTH_TOKEN="unused", **QUIET)
    try:
        return done, json.loads(done.out)
    except ValueError:
        raise AssertionError(str(done)) from None


@pytest.mark.parametrize("model", [MODEL, "claude-sonnet-4-5"])
@pytest.mark.parametrize("way", WAYS)
async def test_thoughts_and_parallel_tools_over_three_turns(claude: Cli, behind: Behind, way: str, model: str) -> None:
    script = [
        Scenario(thinking="Both files, then.", text="I read both.", tool_calls=[_reads(claude, "note.txt"), _reads(claude, "other.txt")]),
        Scenario(thinking="Once more.", tool_calls=[_reads(claude, "note.txt")]),
        Scenario(thinking="Now I know.", text="Plum and pear.", usage=Usage(input=70, output=9, cached=30)),
    ]
    async with behind(way, model, *script, own=OWN, served=model if way == OWN else "") as (url, provider):
        done, said = await _ask(claude, url, "What do the files say?", model=model)
        assert provider.refusals == []
        assert (done.code, said["is_error"], said["result"]) == (0, False, "Plum and pear."), str(done)
        assert [request.stream for request in provider.generated] == [True, True, True]
        second, third = (request.raw.decode() for request in provider.generated[1:])
        assert second.count("secret word is plum") == second.count("other word is pear") == 1
        assert third.count("secret word is plum") == 2
        used = said["modelUsage"][model]
        assert (used["outputTokens"], used["cacheReadInputTokens"]) == (29, 30)
        assert used["inputTokens"] == 20 + 20 + 40
        if way != "openai.chat":
            assert len([signature for signature in provider.mint.known if signature in third]) == 2, "the thoughts did not come back"


@pytest.mark.parametrize("way", WAYS)
async def test_an_error_in_the_stream_leads_to_one_more_request(claude: Cli, behind: Behind, way: str) -> None:
    broken = Scenario(text="One two three four five", error_in_stream=Failure(message="It broke halfway"), after=4)
    async with behind(way, MODEL, broken, Scenario(text="Whole."), own=OWN) as (url, provider):
        done, said = await _ask(claude, url, "Count")
        assert (done.code, said["result"]) == (0, "Whole."), str(done)
        assert len(provider.generated) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_an_abort_reaches_the_provider(claude: Cli, behind: Behind, way: str) -> None:
    async with behind(way, MODEL, Scenario(text="One two three four five", stall_after=4), own=OWN) as (url, provider):
        arguments = ("-p", "Count", "--output-format", "stream-json", "--verbose", "--model", MODEL)
        async with claude.running(*arguments, ANTHROPIC_BASE_URL=url, ANTHROPIC_AUTH_TOKEN="unused", **QUIET) as running:
            await provider.until(lambda: provider.stalled == 1)
            running.kill()
            await provider.until(lambda: provider.aborted == 1)
        assert len(provider.generated) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_context_is_counted(claude: Cli, behind: Behind, way: str) -> None:
    async with behind(way, MODEL, own=OWN) as (url, provider):
        done, said = await _ask(claude, url, "/context")
        assert provider.refusals == []
        assert (done.code, said["is_error"]) == (0, False), str(done)
        assert "System tools" in said["result"]
        assert provider.generated == []
        counted = [request for request in provider.requests if request.name == "count"]
        assert bool(counted) == (way != "openai.chat")


@pytest.mark.parametrize(("status", "told"), [(429, "Request rejected (429)"), (500, "API Error: 50")])
@pytest.mark.parametrize("way", WAYS)
async def test_an_error_of_the_provider_is_told(claude: Cli, behind: Behind, way: str, status: int, told: str) -> None:
    async with behind(way, MODEL, Scenario(error=Failure(status=status, message="Slow down")), own=OWN) as (url, provider):
        done, said = await _ask(claude, url, "Hello")
        assert (done.code, said["is_error"]) == (1, True), str(done)
        assert told in said["result"]
        assert len(provider.generated) == 1


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(UPSTREAMS, 2)])
@pytest.mark.usefixtures("behind")
async def test_a_conversation_goes_to_another_provider_and_comes_back(claude: Cli, first: str, second: str) -> None:
    away = "claude-opus-4-6"
    called = Scenario(thinking="The file, then.", text="I read.", tool_calls=[_reads(claude, "note.txt")])
    async with (
        upstream(first, called, Scenario(thinking="Ah.", text="Plum."), Scenario(text="Plum still."), **_options(first)) as home,
        upstream(second, called, Scenario(thinking="Oh.", text="Plum, too."), **_options(second)) as abroad,
        Harness(config=merged(_served(first, home, MODEL), _served(second, abroad, away))) as host,
    ):
        for model, result in ((MODEL, "Plum."), (away, "Plum, too."), (MODEL, "Plum still.")):
            done, said = await _ask(claude, host.url, "What does it say?", *(() if result == "Plum." else ("--continue",)), model=model)
            assert home.refusals == abroad.refusals == []
            assert (done.code, said["result"]) == (0, result), str(done)
        assert (len(home.generated), len(abroad.generated)) == (3, 2)
        last = home.generated[-1].raw.decode()
        assert last.count("secret word is plum") == 2
        assert not [signature for signature in abroad.mint.known if signature in last]
        if first != "openai.chat":
            assert [signature for signature in home.mint.known if signature in last], "its own thoughts did not come back"


def _served(dialect: str, provider: Upstream, name: str) -> dict[str, Any]:
    return configured(dialect, provider.url, name, UPSTREAMS[dialect], OWN)


def _options(dialect: str) -> dict[str, Any]:
    return {"reasoning": "reasoning_content"} if dialect == "openai.chat" else {}


async def test_the_host_says_hello() -> None:
    async with Harness() as host, aiohttp.ClientSession() as session, session.head(f"{host.url}/api/hello") as answer:
        assert answer.status == 200
