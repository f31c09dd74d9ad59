"""An error in the middle of a provider's stream: its words reach the client only where the caller is at fault."""

from __future__ import annotations

import pytest

from jackfield.api.testing import Harness, ScriptedUpstream, sse_answer
from tests.e2e.test_resting_in_dialects import CALLS, GOOD, KEYS, Acme, event, messages, responses, shown
from tests.kernel.pipeline_kit import Observer

SECRET = "sk-secret-1 at https://acme.internal/keys"


def gemini(text: str) -> bytes:
    return event("", {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}], "modelVersion": "m"})


BEGUN: dict[str, list[bytes]] = {
    "openai.chat": GOOD["openai.chat"][:2],
    "anthropic.messages": GOOD["anthropic.messages"][:4],
    "openai.responses": GOOD["openai.responses"][:5],
    "gemini.generate": [gemini("Hi")],
}


def broken(dialect: str, *, caller: bool) -> list[bytes]:
    """Return how a provider of a dialect says that the request was wrong, or that its own key was."""
    kind, code = ("invalid_request_error", "context_length_exceeded" if caller else "invalid_api_key")
    if dialect == "openai.chat":
        return [event("", {"error": {"message": SECRET, "type": kind, "param": None, "code": code}}), event("", b"[DONE]")]
    if dialect == "anthropic.messages":
        kind = kind if caller else "authentication_error"
        return [messages("error", error={"type": kind, "message": SECRET})]
    if dialect == "openai.responses":
        failed = responses("response.failed", 6, response=shown("failed", error={"code": code, "message": SECRET}))
        return [responses("error", 5, code=code, message=SECRET, param=None), failed]
    status, word = (400, "INVALID_ARGUMENT") if caller else (401, "UNAUTHENTICATED")
    return [event("", {"error": {"code": status, "message": SECRET, "status": word}})]


async def streamed(client: str, upstream: str, *, caller: bool, together: bool = False) -> bytes:
    """Return what a client of one dialect gets of a broken stream in another."""
    pieces = [*BEGUN[upstream], *broken(upstream, caller=caller)]
    async with ScriptedUpstream(sse_answer([b"".join(pieces)] if together else pieces)) as up:
        path, body = CALLS[client]
        if ":" in path:
            path = path.replace(":generate", ":streamGenerate") + "?alt=sse"
        else:
            body = {**body, "stream": True}
        async with Harness([Acme(up.url, upstream)], {"credentials": KEYS[:1], "attempts": {"wait": 0}}) as host:
            answer = await host.post(path, body)
            assert answer.status == 200, answer.body
            return answer.body


@pytest.mark.parametrize("together", [False, True], ids=["pieces", "at once"])
@pytest.mark.parametrize("upstream", BEGUN)
@pytest.mark.parametrize("client", BEGUN)
async def test_what_a_provider_says_of_its_key_is_not_told(client: str, upstream: str, together: bool) -> None:
    raw = await streamed(client, upstream, caller=False, together=together)
    assert b"Hi" in raw
    assert b"secret" not in raw
    assert b"internal/keys" not in raw
    assert b"invalid_api_key" not in raw
    assert b"the provider's stream ended with an error (credential)" in raw


@pytest.mark.parametrize("together", [False, True], ids=["pieces", "at once"])
@pytest.mark.parametrize("dialect", BEGUN)
async def test_what_the_caller_did_is_told_as_the_provider_wrote_it(dialect: str, together: bool) -> None:
    raw = await streamed(dialect, dialect, caller=True, together=together)
    assert raw.endswith(b"".join(broken(dialect, caller=True)))


@pytest.mark.parametrize("together", [False, True], ids=["pieces", "at once"])
async def test_what_was_spent_before_the_error_is_counted(together: bool) -> None:
    observer, pieces = Observer(), [*BEGUN["anthropic.messages"], *broken("anthropic.messages", caller=False)]
    script, config = sse_answer([b"".join(pieces)] if together else pieces), {"credentials": KEYS[:1], "attempts": {"wait": 0}}
    async with ScriptedUpstream(script) as up, Harness([Acme(up.url, "anthropic.messages"), observer], config) as host:
        path, body = CALLS["anthropic.messages"]
        await host.post(path, {**body, "stream": True})
        [said] = await observer.completed()
    assert said.usage is not None
    assert said.usage.input == 1
    assert "internal/keys" in str(said.explain()["attempts"])
