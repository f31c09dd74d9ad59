"""Codex, headless, before providers of all dialects.

By the name of the model it brings its tools as functions, or as free text tools within a namespace that are part of the input.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clis.conftest import DIRECT, WAYS, Behind, Cli, Done
from tests.clis.tools import calling
from tests.upstreams.scenario import Failure, Scenario, Usage
from tests.upstreams.server import Script, Upstream

OWN = "openai.responses"
SCRIPTED = 'const found = await tools.exec_command({cmd: "cat note.txt"}); text(found.output);'
TOOLS: dict[str, tuple[Any, ...]] = {
    "gpt-6.1-sol": (("exec", SCRIPTED),),
    "gpt-5.5": (("exec_command", {"cmd": "cat note.txt"}), ("exec_command", {"cmd": "cat other.txt"})),
}
"""By model: the calls that read the files."""

MakeCli = Callable[[str], Cli]


@pytest.fixture
def codex(cli: MakeCli) -> Cli:
    client = cli("codex")
    (client.work / "note.txt").write_text("The secret word is plum.\n")
    (client.work / "other.txt").write_text("The other word is pear.\n")
    return client


def _configure(client: Cli, url: str, model: str, built_in: bool = False) -> dict[str, str]:
    """Write Codex's configuration, and return what its environment needs."""
    lines = [f'model = "{model}"', 'approval_policy = "never"', 'sandbox_mode = "danger-full-access"']
    if built_in:
        lines.append(f'openai_base_url = "{url}/v1"')
        _file(client.home / "auth.json", json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": "unused"}))
    else:
        lines += ['model_provider = "host"', "[model_providers.host]", 'name = "host"', f'base_url = "{url}/v1"', 'env_key = "HOST_KEY"']
        lines += ['wire_api = "responses"', "request_max_retries = 0", "stream_max_retries = 0"]
    _file(client.home / "config.toml", "\n".join([*lines, "[analytics]", "enabled = false", ""]))
    return {"CODEX_HOME": str(client.home), "HOST_KEY": "unused"}


def _file(path: Path, text: str) -> None:
    path.write_text(text)


async def _ask(client: Cli, url: str, model: str, built_in: bool = False) -> tuple[Done, list[dict[str, Any]]]:
    environment = _configure(client, url, model, built_in)
    done = await client.run("exec", "--skip-git-repo-check", "--json", "What do the files say?", **environment)
    return done, [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]


def _said(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the finished items of a kind."""
    return [event["item"] for event in events if event["type"] == "item.completed" and event["item"]["type"] == kind]


def _script(model: str) -> list[Script]:
    return [
        calling(*TOOLS[model], thinking="The files, then.", text="I read them."),
        calling(TOOLS[model][0], thinking="Once more."),
        Scenario(thinking="Now I know.", text="Plum and pear.", usage=Usage(input=70, output=9, cached=30)),
    ]


@pytest.mark.parametrize("model", TOOLS)
@pytest.mark.parametrize("way", WAYS)
async def test_thoughts_and_tools_over_three_turns(codex: Cli, behind: Behind, way: str, model: str) -> None:
    async with behind(way, model, *_script(model), own=OWN) as (url, provider):
        done, events = await _ask(codex, url, model)
        assert provider.refusals == []
        assert done.code == 0, str(done)
        assert [item["text"] for item in _said(events, "agent_message")] == ["I read them.", "Plum and pear."]
        ran = _said(events, "command_execution")
        assert len(ran) == len(TOOLS[model]) + 1
        assert all(item["exit_code"] == 0 for item in ran)
        _came_back(provider, way, model)
        used = next(event for event in events if event["type"] == "turn.completed")["usage"]
        assert (used["input_tokens"], used["cached_input_tokens"], used["output_tokens"]) == (110, 30, 29)


@pytest.mark.parametrize("served", ["claude-sonnet-4-5", "gemini-2.5-flash"])
async def test_thoughts_and_tools_with_an_older_model(codex: Cli, behind: Behind, served: str) -> None:
    way = "anthropic.messages" if served.startswith("claude") else "gemini.generate"
    async with behind(way, "gpt-5.5", *_script("gpt-5.5"), served=served) as (url, provider):
        done, events = await _ask(codex, url, "gpt-5.5")
        assert provider.refusals == []
        assert [item["text"] for item in _said(events, "agent_message")] == ["I read them.", "Plum and pear."], str(done)
        _came_back(provider, way, "gpt-5.5")


def _came_back(provider: Upstream, way: str, model: str) -> None:
    """The provider was asked three times, and saw what the tools found and, where it can, its own thoughts."""
    assert len(provider.generated) == 3
    second, third = (request.raw.decode() for request in provider.generated[1:])
    assert second.count("secret word is plum") == 1
    assert second.count("other word is pear") == len(TOOLS[model]) - 1
    assert third.count("secret word is plum") == 2
    if way != "openai.chat":
        assert len([signature for signature in provider.mint.known if signature in third]) == 2, "the thoughts did not come back"


@pytest.mark.parametrize("way", WAYS)
async def test_an_abort_reaches_the_provider(codex: Cli, behind: Behind, way: str) -> None:
    async with behind(way, "gpt-5.5", Scenario(text="One two three four five", stall_after=4), own=OWN) as (url, provider):
        environment = _configure(codex, url, "gpt-5.5")
        async with codex.running("exec", "--skip-git-repo-check", "--json", "Count", **environment) as running:
            await provider.until(lambda: provider.stalled == 1)
            running.kill()
            await provider.until(lambda: provider.aborted == 1)
        assert len(provider.generated) == 1


@pytest.mark.parametrize("way", [way for way in WAYS if way != DIRECT])
async def test_the_built_in_provider_gives_up_its_web_socket_at_once(codex: Cli, behind: Behind, way: str) -> None:
    async with behind(way, "gpt-5.5", Scenario(text="Hello there.")) as (url, provider):
        done, events = await _ask(codex, url, "gpt-5.5", built_in=True)
        assert provider.refusals == []
        assert [item["text"] for item in _said(events, "agent_message")] == ["Hello there."], str(done)
        assert len(provider.generated) == 1
        assert "Reconnecting" not in done.out


@pytest.mark.parametrize("way", WAYS)
async def test_an_error_of_the_provider_is_told(codex: Cli, behind: Behind, way: str) -> None:
    async with behind(way, "gpt-5.5", Scenario(error=Failure(status=400, message="It wants something else")), own=OWN) as (url, provider):
        done, events = await _ask(codex, url, "gpt-5.5")
        assert done.code == 1, str(done)
        failed = next(event for event in events if event["type"] == "turn.failed")
        assert "It wants something else" in failed["error"]["message"]
        assert len(provider.generated) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_an_error_in_the_stream_is_told(codex: Cli, behind: Behind, way: str) -> None:
    broken = Scenario(text="One two three four five", error_in_stream=Failure(message="It broke halfway"), after=4)
    async with behind(way, "gpt-5.5", broken, own=OWN) as (url, provider):
        done, events = await _ask(codex, url, "gpt-5.5")
        assert done.code == 1, str(done)
        failed = next(event for event in events if event["type"] == "turn.failed")
        words = "It broke halfway" if way == "direct" else "the provider's stream ended with an error (upstream)"
        assert words in failed["error"]["message"]
        assert len(provider.generated) == 1
