"""Where the clients of each dialect say which session they are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jackfield.api import Dialect, Headers
from jackfield_anthropic.messages import MessagesDialect
from jackfield_gemini.generate import GenerateDialect
from jackfield_openai.chat import ChatDialect
from jackfield_openai.completions import CompletionsDialect
from jackfield_openai.responses import ResponsesDialect

CLAUDE, CHAT, COMPLETIONS, RESPONSES, GEMINI = MessagesDialect(), ChatDialect(), CompletionsDialect(), ResponsesDialect(), GenerateDialect()
NEWER = '{"device_id":"0c","account_uuid":"","session_id":"5f0c8a1e-0000-4000-8000-000000000001"}'


@pytest.mark.parametrize(
    ("dialect", "headers", "body", "expected"),
    [
        # Claude Code: its header, and its user's id of both kinds; a person is no session.
        (CLAUDE, {"X-Claude-Code-Session-Id": "s"}, {"metadata": {"user_id": NEWER}}, "s"),
        (CLAUDE, {}, {"metadata": {"user_id": NEWER}}, "5f0c8a1e-0000-4000-8000-000000000001"),
        (CLAUDE, {}, {"metadata": {"user_id": "user_0123abc_account__session_ac980658-63bd"}}, "ac980658-63bd"),
        (CLAUDE, {}, {"metadata": {"user_id": "somebody@example.com"}}, None),
        # Codex, new and old: all three are the same there, the header counts.
        (RESPONSES, {"session-id": "s", "thread-id": "t"}, {"prompt_cache_key": "t"}, "s"),
        (RESPONSES, {"session_id": "s", "conversation_id": "s"}, {}, "s"),
        (RESPONSES, {}, {"prompt_cache_key": "k", "conversation": "conv_1"}, "conv_1"),
        (RESPONSES, {}, {"prompt_cache_key": "k", "conversation": {"id": "conv_1"}}, "conv_1"),
        (RESPONSES, {}, {"prompt_cache_key": "k"}, "k"),
        (RESPONSES, {}, {"previous_response_id": "resp_1", "user": "u", "safety_identifier": "u"}, None),
        # Agents that speak chat completions, and OpenRouter's field.
        (CHAT, {"x-session-affinity": "a"}, {"session_id": "s"}, "a"),
        (CHAT, {}, {"prompt_cache_key": "k", "session_id": "s"}, "s"),
        (CHAT, {}, {"prompt_cache_key": "k", "user": "u"}, "k"),
        (CHAT, {}, {"user": "u"}, None),
        (COMPLETIONS, {"x-session-id": "s"}, {}, "s"),
        # Google's own command line says nothing.
        (GEMINI, {"x-goog-api-client": "gl-node/24", "x-gemini-api-privileged-user-id": "u"}, {}, None),
        (GEMINI, {"x-session-id": "s"}, {"cachedContent": "cachedContents/1"}, "s"),
        (GEMINI, {}, {"cachedContent": "cachedContents/1"}, "cachedContents/1"),
    ],
)
def test_a_session_is_known_by_what_its_client_sends(
    dialect: Dialect, headers: dict[str, str], body: dict[str, Any], expected: str
) -> None:
    assert dialect.session.find(Headers(headers.items()), msgspec.json.encode(body)) == expected
