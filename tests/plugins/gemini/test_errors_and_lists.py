"""Errors, lists of models and counts of tokens, as Google writes them and as the host does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from jackfield.api import Error, Headers, ModelInfo, ThinkingSupport, Usage
from tests.plugins.gemini.gemini_wire import GEMINI


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (529, "UNAVAILABLE"),
        (599, "INTERNAL"),
    ],
)
def test_an_error_has_googles_word_for_its_status(status: int, word: str) -> None:
    assert json.loads(GEMINI.encode_error(Error(status=status, message="m"))) == {"error": {"code": status, "message": "m", "status": word}}


def test_an_error_tells_field_reason_and_wait_in_its_details() -> None:
    error = Error(status=429, message="slow", param="contents[0].role", code="too_many", retry_after=2.5)
    details = json.loads(GEMINI.encode_error(error))["error"]["details"]
    assert [one["@type"].rpartition(".")[2] for one in details] == ["BadRequest", "ErrorInfo", "RetryInfo"]
    assert details[0]["fieldViolations"] == [{"field": "contents[0].role", "description": "slow"}]
    assert (details[1]["reason"], details[2]["retryDelay"]) == ("TOO_MANY", "2.5s")
    read = GEMINI.decode_error(429, Headers(), GEMINI.encode_error(error))
    assert (read.param, read.code, read.retry_after, read.message) == ("contents[0].role", "TOO_MANY", 2.5, "slow")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"<html><h1>Bad gateway</h1></html>", "<html><h1>Bad gateway</h1></html>"),
        (b"", "the provider answered 502 without a word"),
        (b"[]", "[]"),
        (b"null", "null"),
        (b'{"error":"flat"}', "flat"),
        (b'{"error":{}}', "{}"),
        (b'{"error":{"message":3,"code":"x","status":[],"details":{}}}', '{"message":3,"code":"x","status":[],"details":{}}'),
        (b'{"error":{"message":"m","details":[3,{"@type":7,"fieldViolations":3}]}}', "m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
    ids=str,
)
def test_whatever_an_error_is_it_is_understood(raw: bytes, message: str) -> None:
    error = GEMINI.decode_error(502, Headers(), raw)
    assert (error.status, error.message) == (502, message)
    assert json.loads(GEMINI.encode_error(error))["error"]["code"] == 502


def test_a_header_that_says_how_long_to_wait_counts_too() -> None:
    assert GEMINI.decode_error(503, Headers({"Retry-After": "7"}), b"").retry_after == 7


def test_models_are_listed_as_google_lists_them() -> None:
    models = [
        ModelInfo(id="a", context=1000, max_output=10, display_name="A", thinking=ThinkingSupport(levels=("low",))),
        ModelInfo(id="b/c", operations=("embed",)),
    ]
    listed = json.loads(GEMINI.encode_models(models))
    assert listed["models"] == [
        {
            "name": "models/a",
            "displayName": "A",
            "inputTokenLimit": 1000,
            "outputTokenLimit": 10,
            "thinking": True,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        },
        {"name": "models/b/c", "displayName": "b/c", "supportedGenerationMethods": ["embedContent"]},
    ]
    for entry in listed["models"]:
        types.Model._from_response(response=dict(entry), kwargs={})
    assert json.loads(GEMINI.encode_model(models[0])) == listed["models"][0]


def test_a_list_of_googles_is_read() -> None:
    entries: list[Any] = [
        {"name": "models/gemini-x", "displayName": "X", "inputTokenLimit": 1048576, "outputTokenLimit": 65536, "thinking": True,
         "supportedGenerationMethods": ["generateContent", "countTokens", "createCachedContent"]},
        {"name": "models/embed", "supportedGenerationMethods": ["embedContent"], "thinking": False},
        {"name": "models/imagen", "supportedGenerationMethods": ["predict"]},
        {"name": "models/"},
        {"name": 3},
        "x",
        {"name": "plain"},
    ]  # fmt: skip
    found = GEMINI.decode_models(json.dumps({"models": entries}).encode())
    assert found == [
        ModelInfo(id="gemini-x", display_name="X", context=1048576, max_output=65536, operations=("generate", "count")),
        ModelInfo(id="embed", operations=("embed",), thinking=ThinkingSupport()),
        ModelInfo(id="plain"),
    ]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"models":3}', b"<html>"])
def test_what_is_no_list_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        GEMINI.decode_models(raw)


def test_counts_of_tokens() -> None:
    body = b'{"totalTokens":31,"cachedContentTokenCount":4,"promptTokensDetails":[{"modality":"TEXT","tokenCount":31}]}'
    usage = GEMINI.decode_count(body)
    assert usage == Usage(input=31, cache_read=4)
    assert json.loads(GEMINI.encode_count(usage)) == {"totalTokens": 31, "cachedContentTokenCount": 4}
    for raw in (b"{}", b"[]", b"3", b"x"):
        with pytest.raises(ValueError, match=r"."):
            GEMINI.decode_count(raw)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Thought signature is not valid.", True),
        ("Corrupted thought signature.", True),
        ("Function call is missing a thought_signature in functionCall parts.", False),
        ("temperature is too high", False),
    ],
)
def test_it_is_known_when_a_signature_is_refused(message: str, refused: bool) -> None:
    assert GEMINI.refuses_signature(Error(status=400, message=message)) is refused
