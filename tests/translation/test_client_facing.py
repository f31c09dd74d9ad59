"""Everything that the matrix sends to a client or an upstream is in that dialect's own form: the SDKs' types take it, no field
is unknown to them, and nothing says through whom it came.
"""

from __future__ import annotations

from typing import Any

import pytest

from jackfield.cli.translate import events_of
from tests.translation import matrix, official
from tests.translation.asked import ASKED
from tests.translation.dialects import CHAT, SHORT, pairs, spoken
from tests.translation.said import FAILED, SAID

WAYS = [pytest.param(client, upstream, id=f"{SHORT[client]}-{SHORT[upstream]}") for client, upstream in pairs() if client != upstream]
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
NO_TYPE_FOR_STREAMED_FREE_TEXT = "choices.0.delta.tool_calls.0.type: Input should be 'function'"
"""OpenAI's SDK has no type for the pieces of a call with free text in chat completions."""

NO_TYPE = {("Films as data", CHAT): "OpenRouter and others take `video_url`, OpenAI does not"}
"""Requests for which the SDK has no type, by title and upstream."""


def unknown(dialect: str, paths: list[str]) -> list[str]:
    """Return those of the fields that no speaker of a dialect is known to have."""
    allowed = {*official.SAID_BY_OTHERS[dialect], *({"custom"} if dialect == CHAT else ())}
    return [path for path in paths if path.rpartition(".")[2] not in allowed]


def wires(judge: Any, features: Any, client: str, upstream: str, stream: bool) -> list[tuple[str, bytes]]:
    """Return title and bytes of every cell between two dialects that has any."""
    found = []
    for feature in features:
        try:
            cell = judge(feature, client, upstream, stream)
        except matrix.Fault:
            continue  # the matrix's own test tells
        if cell.wire:
            found.append((feature.title, cell.wire))
    return found


@STREAMED
@pytest.mark.parametrize(("client", "upstream"), WAYS)
def test_every_request_is_one_that_the_upstreams_sdk_could_send(client: str, upstream: str, stream: bool) -> None:
    for title, wire in wires(matrix.asked, ASKED, client, upstream, stream):
        wrong, extra = official.request(upstream, wire)
        assert bool(wrong) == ((title, upstream) in NO_TYPE), (title, wire)
        assert not unknown(upstream, extra), (title, wire)
        assert b"jackfield" not in wire.lower(), title


@pytest.mark.parametrize(("client", "upstream"), WAYS)
def test_every_answer_is_one_that_the_clients_sdk_reads(client: str, upstream: str) -> None:
    for title, wire in wires(matrix.said, SAID, client, upstream, stream=False):
        wrong, extra = official.answer(client, wire)
        assert not wrong, (title, wire)
        assert not unknown(client, extra), (title, wire)
        assert b"jackfield" not in wire.lower(), title


@pytest.mark.parametrize(("client", "upstream"), WAYS)
def test_every_event_is_one_that_the_clients_sdk_reads(client: str, upstream: str) -> None:
    for title, wire in wires(matrix.said, SAID, client, upstream, stream=True):
        assert b"jackfield" not in wire.lower(), title
        for event in events_of(spoken()[client], wire):
            wrong, extra = official.event(client, event)
            assert not wrong or wrong == [NO_TYPE_FOR_STREAMED_FREE_TEXT], (title, event.data)
            assert not unknown(client, extra), (title, event.data)


@STREAMED
@pytest.mark.parametrize(("client", "upstream"), WAYS)
def test_no_error_says_through_whom_it_came(client: str, upstream: str, stream: bool) -> None:
    for title, wire in wires(matrix.failed, FAILED, client, upstream, stream):
        assert b"jackfield" not in wire.lower(), title
        assert b"req_1" not in wire, title  # the upstream's own id of the request
