"""The line in which Claude Code names itself and signs its request: it reaches Anthropic as it came, and nobody else."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield_anthropic.provider import ServerSettings, compatible
from tests.kernel.pipeline_kit import Observer
from tests.plugins.anthropic.messages_wire import MESSAGES, answer, read_request, write_request

_counter = itertools.count()


def line() -> str:
    """Return the line, which is another in every request."""
    at = next(_counter)
    return f"x-anthropic-billing-header: cc_version=2.1.280.{at:03x}; cc_entrypoint=cli; cch={at:05x};"


def asked(form: str, model: str = "m") -> dict[str, Any]:
    said = "You are an agent."
    system: Any = {
        "blocks": [{"type": "text", "text": line()}, {"type": "text", "text": said, "cache_control": {"type": "ephemeral"}}],
        "one block": [{"type": "text", "text": f"{line()}\n{said}", "cache_control": {"type": "ephemeral"}}],
        "bare block": [{"type": "text", "text": f"{line()}\n{said}"}],
        "text": f"{line()}\n{said}",
        "alone": line(),
        "alone in a block": [{"type": "text", "text": line()}],
    }[form]
    return {"model": model, "max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "hi"}]}


FORMS = ["blocks", "one block", "bare block", "text", "alone", "alone in a block"]
WORDS = {"type": "output_text", "text": "Hello", "annotations": []}
ANSWERS = {
    "openai.chat": {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    },
    "openai.responses": {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [WORDS]}],
    },
    "messages": answer({"type": "text", "text": "Hello"}),
    "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}]},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_within_the_dialect_it_comes_back_as_it_was(form: str) -> None:
    body = asked(form)
    written, losses = write_request(read_request(body))
    if form == "alone":
        body["system"] = [{"type": "text", "text": body["system"]}]
    assert written == body
    assert losses == []
    assert "billing" not in (read_request(body).system or "")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", list(ANSWERS))
async def test_the_same_conversation_has_the_same_prefix_at_others_servers(form: str, kind: str) -> None:
    observer = Observer()
    async with ScriptedUpstream(*[json_answer(ANSWERS[kind])] * 2) as upstream:
        server: dict[str, Any] = {"base_url": upstream.url, "models": ["m"], "auth": "none"}
        if kind.startswith("openai"):
            server["dialects"] = [kind]
        plugin = {"messages": "anthropic", "gemini": "gemini"}.get(kind, "openai")
        config = {"plugins": {plugin: {"providers": {"acme": server}}}}
        async with Harness([observer], config) as host:
            for _ in range(2):
                said = await host.post("/v1/messages", asked(form, "acme/m"), {"anthropic-version": "2023-06-01"})
                assert said.status == 200
            outcomes = await observer.completed(2)
    first, second = (request.body for request in upstream.requests)
    assert first == second
    assert b"billing" not in first
    assert b"cch=" not in first
    assert (b"You are an agent." in first) == (not form.startswith("alone"))
    assert "system" in str(outcomes[0].explain()) or "parts[0]" in str(outcomes[0].explain()), "it is on the list of losses"


def test_a_way_to_anthropic_gets_it() -> None:
    assert compatible("acme", ServerSettings(base_url="https://api.anthropic.com")).flavours == ()
    assert compatible("acme", ServerSettings(base_url="https://relay.example", attribution=True)).flavours == ()
    assert compatible("acme", ServerSettings(base_url="https://relay.example")).flavours


def test_words_that_only_speak_of_it_stay() -> None:
    said = "Explain:\nx-anthropic-billing-header: what is it?"
    body = {**asked("text"), "system": said, "messages": [{"role": "user", "content": line()}]}
    request = MESSAGES.decode_request(json.dumps(body).encode(), "generate")
    assert request.system == said
    assert write_request(request)[0] == body
