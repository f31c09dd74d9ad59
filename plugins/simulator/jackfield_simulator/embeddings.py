"""Vectors that depend on a text alone.

The canonical model has no words for embeddings yet, so this one scenario speaks a wire form: that of OpenAI's
`POST /v1/embeddings` (https://platform.openai.com/docs/api-reference/embeddings), in the dialect `openai.chat`.
"""

from __future__ import annotations

import array
import base64
import math
import sys
from hashlib import shake_128
from typing import Final, Literal

import msgspec

from jackfield.api import Reply
from jackfield_simulator.answers import refused
from jackfield_simulator.tokens import count

DIMENSIONS: Final = 64
"""Numbers of a vector where the request does not say how many."""
MOST_DIMENSIONS: Final = 4096
MOST_INPUTS: Final = 2048


class _Request(msgspec.Struct):
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


class _Vector(msgspec.Struct, kw_only=True):
    object: str = "embedding"
    index: int
    embedding: list[float] | str


class _Answer(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[_Vector]
    model: str
    usage: dict[str, int]


_request = msgspec.json.Decoder(_Request)


def embed(raw: bytes, model: str) -> Reply:
    """Answer a request for embeddings. Raises `CallError` (400) for a body that is none."""
    asked = _read(raw)
    texts = _texts(asked.input)
    size = asked.dimensions or DIMENSIONS
    if not 0 < size <= MOST_DIMENSIONS:
        raise refused(f"dimensions is {size}; the simulator makes vectors of 1 to {MOST_DIMENSIONS}", param="dimensions")
    if len(texts) > MOST_INPUTS:
        raise refused(f"input holds {len(texts)} texts; at most {MOST_INPUTS} are taken", param="input")
    vectors = [_Vector(index=i, embedding=_written(vector(text, size), asked.encoding_format)) for i, text in enumerate(texts)]
    tokens = sum(map(count, texts))
    answer = _Answer(data=vectors, model=model, usage={"prompt_tokens": tokens, "total_tokens": tokens})
    return Reply(body=msgspec.json.encode(answer))


def _read(raw: bytes) -> _Request:
    try:
        return _request.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise refused(f"the body asks for no embeddings: {fault}", param="input") from None


def _texts(given: str | list[str | int | list[int]]) -> list[str]:
    """Return the texts of an input: one, several, or those that token numbers stand for."""
    if isinstance(given, str):
        return [given]
    numbers = [item for item in given if isinstance(item, int)]
    if numbers:
        return [_spelled(numbers)]
    return [item if isinstance(item, str) else _spelled(item) for item in given if not isinstance(item, int)]


def _spelled(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def vector(text: str, size: int) -> array.array[float]:
    """Return the vector of a text: 32-bit numbers, of length 1; equal texts have equal vectors."""
    drawn = array.array("H", shake_128(text.encode(errors="replace")).digest(2 * size))
    if sys.byteorder == "big":
        drawn.byteswap()
    centred = [number - 32767.5 for number in drawn]
    length = math.sqrt(sum(number * number for number in centred))
    return array.array("f", (number / length for number in centred))


def _written(numbers: array.array[float], form: str | None) -> list[float] | str:
    """Return a vector as JSON has it: numbers, or the base64 of their little-endian bytes."""
    if form != "base64":
        return numbers.tolist()
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
