"""Containers in which Anthropic ran code are found in answers and in streams, and requests that name one name it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Ids
from jackfield.api.canonical.looking import minted
from jackfield_anthropic.messages import MessagesDialect

MESSAGES = MessagesDialect()
BOX = {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"type": "message", "id": "msg_1", "container": BOX}, ("container_1",)),
        ({"type": "message", "id": "msg_1", "container": None}, ()),
        ({"type": "message_start", "message": {"id": "msg_1", "container": BOX}}, ("container_1",)),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": BOX}, "usage": {}}, ("container_1",)),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"container":{'}}, ()),
        ({"type": "message", "content": [{"type": "tool_use", "input": {"container": {"id": "mine"}}}]}, ()),
        ({"container": 5}, ()),
    ],
)
def test_an_answer_mints(said: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert MESSAGES.minted(json.dumps(said).encode()) == Ids(stored=expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("container_1", ("container_1",)),
        ({"id": "container_1", "skills": []}, ("container_1",)),
        ({"skills": [{"type": "anthropic", "skill_id": "pptx"}]}, ()),
        (None, ()),
        (7, ()),
    ],
)
def test_a_request_names(said: Any, expected: tuple[str, ...]) -> None:
    assert MESSAGES.named(json.dumps({"model": "m", "messages": [], "container": said}).encode(), {}) == Ids(stored=expected)


def test_other_requests_name_nothing() -> None:
    assert MESSAGES.named(b'{"model":"m","messages":[]}', {}) == MESSAGES.named(b"no body", {}) == Ids()


def test_recorded_containers_are_found(recordings: Path) -> None:
    found = 0
    for path in sorted((recordings / "anthropic.messages").glob("*.json")):
        said = json.loads(path.read_bytes())["response"]
        body, sse = said.get("body"), said.get("sse")
        if isinstance(body, dict) and body.get("container"):
            assert MESSAGES.minted(json.dumps(body).encode()).stored == (body["container"]["id"],)
            found += 1
        elif sse and '"container":{' in sse:
            assert set(minted(MESSAGES, sse.encode() + b"\n\n")) == {sse.split('"container":{"id":"')[1].split('"')[0]}
            found += 1
    assert found > 5
