"""Every recorded error answer of a provider, and every recorded stream that held an error: what they mean, pinned."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from jackfield.api import Dialect, Failure, Headers, Provider
from jackfield.api.canonical.looking import events_of
from jackfield_anthropic.messages import MessagesDialect
from jackfield_anthropic.provider import AnthropicSettings, anthropic
from jackfield_gemini.generate import GenerateDialect
from jackfield_gemini.provider import BASE_URL, gemini
from jackfield_openai.chat import ChatDialect
from jackfield_openai.presets import presets
from jackfield_openai.provider import OpenAISettings, ServerSettings, compatible, openai
from jackfield_openai.responses import ResponsesDialect

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (ChatDialect(), ResponsesDialect(), MessagesDialect(), GenerateDialect())
}


def provider_of(dialect: str, name: str) -> Provider:
    if dialect == "anthropic.messages":
        return anthropic(AnthropicSettings())
    if dialect == "gemini.generate":
        return gemini(BASE_URL, None)
    return compatible(name, ServerSettings(preset=name)) if name in presets() and name != "openai" else openai(OpenAISettings())


def meant(found: Failure) -> str:
    return f"{found.cause}, {found.blame}, {found.help}"


def recorded(folder: Path) -> list[dict[str, Any]]:
    rows = json.loads((folder / "index.json").read_bytes())["exchanges"]
    return [json.loads((folder / row["dialect"] / f"{row['id']}.json").read_bytes()) for row in rows]


MEANINGS = {
    "400 caller, request, none": 22,
    "400 credential, credential, another": 1,
    "400 unsupported, credential_model, another": 3,
    "401 credential, credential, another": 11,
    "404 unsupported, credential_model, another": 15,
    "429 rate, credential_model, another": 2,
}


def test_every_recorded_error_answer_means_what_it_should(recordings: Path) -> None:
    counted, said = Counter[str](), dict[str, str]()
    for one in recorded(recordings):
        answer, dialect = one["response"], DIALECTS[one["dialect"]]
        if answer["status"] >= 400:
            found = provider_of(dialect.name, one["source"]["provider"]).classify(
                dialect, answer["status"], Headers(), json.dumps(answer["body"]).encode()
            )
            assert found.detail
            counted[f"{answer['status']} {meant(found)}"] += 1
            said[one["id"]] = f"{meant(found)}, {found.retry_after}"
    assert dict(sorted(counted.items())) == MEANINGS
    assert said["gemini-generate-ruby-llm-345d17dd0f72"].startswith("rate, credential_model, another, 4")


def test_every_recorded_stream_with_an_error_means_what_it_should(recordings: Path) -> None:
    counted = Counter[str]()
    for one in recorded(recordings):
        stream, dialect = one["response"].get("sse"), DIALECTS[one["dialect"]]
        errors = [event for event in events_of(dialect, stream.encode()) if event.error is not None] if stream else []
        for event in errors:
            assert event.error is not None
            found = provider_of(dialect.name, one["source"]["provider"]).classify(dialect, event.error.status, Headers(), event.data)
            counted[f"{one['source']['provider']} {event.error.status} {meant(found)}"] += 1
            assert not dialect.commits(event)
            assert not dialect.lifecycle(event)
    assert dict(counted) == {"groq 400 caller, request, none": 2, "openai 429 quota, credential, another": 2}


def test_no_recorded_stream_is_held_back_longer_than_until_its_first_word(recordings: Path) -> None:
    held, whole = Counter[str](), 0
    for one in recorded(recordings):
        stream, dialect = one["response"].get("sse"), DIALECTS[one["dialect"]]
        events = events_of(dialect, stream.encode()) if stream else []
        if not events or one["response"]["status"] >= 400 or any(event.error is not None for event in events):
            continue
        first = next((at for at, event in enumerate(events) if not dialect.lifecycle(event)), len(events))
        assert first < len(events), one["id"]
        assert not any(event.text or event.thinking or event.arguments or event.finish for event in events[:first]), one["id"]
        held[dialect.name], whole = held[dialect.name] + first, whole + 1
    assert whole > 300
    assert all(held[name] > 0 for name in ("openai.chat", "openai.responses", "anthropic.messages"))
