"""Vectors, in the wire form of the one dialect that has them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest

from jackfield.api import CallError, Request


async def embedded(sim: Any, **body: Any) -> dict[str, Any]:
    attempt = sim.attempt("sim/embed", Request(), operation="embed", body=msgspec.json.encode({"model": "sim/embed", **body}))
    answer: dict[str, Any] = msgspec.json.decode((await sim.simulator.execute(attempt)).body)
    return answer


async def test_each_text_has_a_vector_of_length_one(sim: Any) -> None:
    answer = await embedded(sim, input=["one text", "another"])
    assert (answer["object"], answer["model"]) == ("list", "sim/embed")
    assert [(row["object"], row["index"]) for row in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    for row in answer["data"]:
        assert len(row["embedding"]) == 64
        assert sum(x * x for x in row["embedding"]) == pytest.approx(1, abs=1e-5)
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


async def test_equal_texts_have_equal_vectors_and_others_do_not(sim: Any) -> None:
    first, second, other = (row["embedding"] for row in (await embedded(sim, input=["same", "same", "other"]))["data"])
    assert first == second
    assert first != other


async def test_base64_holds_the_same_numbers(sim: Any) -> None:
    (plain,) = (await embedded(sim, input="text", dimensions=8))["data"]
    (packed,) = (await embedded(sim, input="text", dimensions=8, encoding_format="base64"))["data"]
    assert list(struct.unpack("<8f", base64.b64decode(packed["embedding"]))) == plain["embedding"]


async def test_token_numbers_are_taken_for_texts(sim: Any) -> None:
    assert len((await embedded(sim, input=[1, 2, 3]))["data"]) == 1
    assert len((await embedded(sim, input=[[1, 2], [3]]))["data"]) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [({"input": 5}, "input"), ({}, "input"), ({"input": "a", "dimensions": 10**9}, "dimensions"), ({"input": ["a"] * 3000}, "input")],
)
async def test_a_body_that_asks_for_no_vectors_is_refused(sim: Any, body: dict[str, Any], param: str) -> None:
    with pytest.raises(CallError) as fault:
        await embedded(sim, **body)
    assert (fault.value.failure.shown_status, fault.value.failure.param) == (400, param)


def test_only_embeddings_are_taken_in_a_wire_form(sim: Any) -> None:
    assert tuple(sim.simulator.dialects_of("sim/embed")) == ("openai.chat",)
    assert tuple(sim.simulator.dialects_of("sim/echo")) == ("canonical",)


async def test_the_model_for_vectors_does_not_talk(sim: Any) -> None:
    with pytest.raises(CallError, match="serves 'embed'"):
        await sim.reply("sim/embed")
