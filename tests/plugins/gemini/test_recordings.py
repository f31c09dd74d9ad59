"""Everything that was recorded of Gemini's protocol goes through the codec and comes back as it was."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import BadRequest, Headers, Request, Response
from jackfield.api.canonical import Text, ToolCall
from tests.plugins.gemini.gemini_wire import (
    GEMINI,
    REFUSED,
    answers_of,
    assembled,
    decoded,
    differences,
    encoded,
    exchanges,
    extension_bytes,
    normal,
    plain,
    read_answer,
    read_request,
    requests_of,
    streams_of,
    write_answer,
    write_request,
)


def test_every_recorded_request_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in requests_of(recordings):
        written, losses = write_request(read_request(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 280


def test_every_recorded_answer_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in answers_of(recordings):
        written, losses = write_answer(read_answer(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 200
