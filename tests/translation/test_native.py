"""What the matrix says in each dialect's own words is what the providers' own SDKs take, so that its cells prove something."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translation import official
from tests.translation.asked import ASKED
from tests.translation.dialects import CHAT, MESSAGES, SHORT, spoken
from tests.translation.feature import Asked, Said
from tests.translation.players import PLAYERS
from tests.translation.said import SAID

OTHERS_WORDS = {
    CHAT: ("reasoning", "reasoning_details", "reasoning_content", "cache_control", "extra_content", "images", "annotations", "custom"),
    MESSAGES: ("temperature", "top_p", "top_k"),
}
"""Fields that a dialect's speakers say although its inventor's SDK has no type for them: those of OpenRouter, DeepSeek and Google
in chat completions, and the settings of older models in messages."""

NO_TYPE_FOR_STREAMED_FREE_TEXT = "choices.0.delta.tool_calls.0.type: Input should be 'function'"


def known(dialect: str, unknown: list[str]) -> bool:
    return all(path.rpartition(".")[2] in OTHERS_WORDS.get(dialect, ()) for path in unknown)


@pytest.mark.parametrize(("feature", "dialect"), [pytest.param(f, d, id=f"{f.title}-{SHORT[d]}") for f in ASKED for d in f.wires])
def test_a_native_request_is_one_that_the_sdk_could_send(feature: Asked, dialect: str) -> None:
    wrong, unknown = official.request(dialect, json.dumps(feature.wires[dialect]).encode())
    assert not wrong
    assert known(dialect, unknown), unknown


ANSWERS = [pytest.param(f, d, id=f"{f.title}-{SHORT[d]}") for f in SAID for d in f.wires]


@pytest.mark.parametrize(("feature", "dialect"), ANSWERS)
def test_a_native_answer_is_one_that_the_sdk_reads(feature: Said, dialect: str) -> None:
    wrong, unknown = official.answer(dialect, json.dumps(feature.wires[dialect]).encode())
    assert not wrong
    assert known(dialect, unknown), unknown


@pytest.mark.parametrize(("feature", "dialect"), ANSWERS)
def test_a_native_stream_is_one_that_the_sdk_reads(feature: Said, dialect: str) -> None:
    for event in events(dialect, PLAYERS[dialect](feature.wires[dialect])):
        wrong, unknown = official.event(dialect, event)
        assert not wrong or wrong == [NO_TYPE_FOR_STREAMED_FREE_TEXT]
        assert known(dialect, unknown), unknown


def events(dialect: str, raw: bytes) -> list[Any]:
    from jackfield.cli.translate import events_of

    if dialect not in spoken():
        pytest.skip(f"no plugin has registered {dialect}")
    return events_of(spoken()[dialect], raw)
