"""Errors and lists of models, as OpenAI and those who speak its protocol write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Model

from jackfield.api import Error, Headers, ModelInfo
from tests.plugins.openai.chat_wire import CHAT


@pytest.mark.parametrize(
    ("error", "type_", "code"),
    [
        (Error(status=400, message="x"), "invalid_request_error", None),
        (Error(status=401, message="x"), "invalid_request_error", "invalid_api_key"),
        (Error(status=403, message="x"), "invalid_request_error", None),
        (Error(status=404, message="x", code="model_not_found"), "invalid_request_error", "model_not_found"),
        (Error(status=405, message="x"), "invalid_request_error", None),
        (Error(status=409, message="x"), "invalid_request_error", None),
        (Error(status=413, message="x"), "invalid_request_error", None),
        (Error(status=415, message="x"), "invalid_request_error", None),
        (Error(status=422, message="x"), "invalid_request_error", None),
        (Error(status=429, message="x"), "rate_limit_error", "rate_limit_exceeded"),
        (Error(status=429, message="x", code="insufficient_quota"), "insufficient_quota", "insufficient_quota"),
        (Error(status=500, message="x"), "server_error", None),
        (Error(status=502, message="x"), "server_error", None),
        (Error(status=503, message="x"), "service_unavailable_error", "server_is_overloaded"),
        (Error(status=418, message="x", type="teapot_error", code="short"), "teapot_error", "short"),
    ],
)
def test_errors_are_written_with_openais_own_types(error: Error, type_: str, code: str | None) -> None:
    assert json.loads(CHAT.encode_error(error)) == {"error": {"message": "x", "type": type_, "param": None, "code": code}}


def test_an_error_names_the_field_at_fault() -> None:
    written = json.loads(CHAT.encode_error(Error(status=400, message="x", param="messages[0].role")))
    assert written["error"]["param"] == "messages[0].role"


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        (b'{"error":{"message":"m","type":"t","param":"p","code":"c"}}', "m", "c"),
        (b'{"error":{"message":"m","code":429,"metadata":{"raw":"r"}}}', "m", "429"),
        (b'{"error":"m","code":"c"}', "m", "c"),
        (b'{"code":"c","error":"m"}', "m", "c"),
        (b'{"detail":"m"}', "m", None),
        (b'{"detail":[{"loc":["body","messages",0],"msg":"field required","type":"missing"}]}', "body.messages.0: field required", None),
        (b'{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}', "m", "400"),
        (b'{"message":"m"}', "m", None),
        (b'[{"error":{"message":"m","status":"UNAVAILABLE","code":503}}]', "m", "503"),
        (b'{"error":{"type":"t"}}', '{"type":"t"}', None),
        (b'"m"', "m", None),
        (b"<html><h1>502 Bad Gateway</h1></html>", "<html><h1>502 Bad Gateway</h1></html>", None),
        (b"", "the provider answered 418 without a word", None),
        (b"{}", "{}", None),
        (b"\xff\xfe", "\ufffd\ufffd", None),
        (b"[" * 5000, "[" * 500, None),
    ],
)
def test_errors_are_read_in_every_shape(raw: bytes, message: str, code: str | None) -> None:
    error = CHAT.decode_error(418, Headers(), raw)
    assert (error.status, error.message, error.code) == (418, message, code)
    assert json.loads(CHAT.encode_error(error))["error"]["message"] == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "7"}, 7.0), ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5), ({"retry-after": "soon"}, None), ({}, None)],
)
def test_an_error_says_when_to_try_again(headers: dict[str, str], seconds: float | None) -> None:
    assert CHAT.decode_error(429, Headers(headers), b"{}").retry_after == seconds


def test_an_upstreams_error_comes_back_as_it_was() -> None:
    body = {"error": {"message": "m", "type": "t", "param": None, "code": "c", "failed_generation": "x"}, "user_id": "u"}
    assert json.loads(CHAT.encode_error(CHAT.decode_error(400, Headers(), json.dumps(body).encode()))) == body


def test_lists_of_models_are_what_openais_client_reads() -> None:
    written = json.loads(
        CHAT.encode_models(
            [
                ModelInfo(id="a"),
                ModelInfo(id="b", owner="o", created=5, display_name="B", context=100, max_output=10, input_modalities=("text",)),
            ]
        )
    )
    assert written["object"] == "list"
    for entry in written["data"]:
        Model.model_validate_json(json.dumps(entry), strict=True)
    assert written["data"][0] == {"id": "a", "object": "model", "created": 0, "owned_by": "unknown"}
    assert written["data"][1] == {
        "id": "b",
        "object": "model",
        "created": 5,
        "owned_by": "o",
        "name": "B",
        "context_length": 100,
        "top_provider": {"max_completion_tokens": 10},
        "architecture": {"input_modalities": ["text"]},
    }
    assert json.loads(CHAT.encode_model(ModelInfo(id="a"))) == written["data"][0]


def test_a_list_that_was_written_is_read_again() -> None:
    models = [
        ModelInfo(id="a", owner="o", created=5),
        ModelInfo(id="b", owner="o", created=6, display_name="B", context=9, max_output=3, output_modalities=("text", "image")),
    ]
    assert CHAT.decode_models(CHAT.encode_models(models)) == models


@pytest.mark.parametrize(
    ("body", "models"),
    [
        (
            {"object": "list", "data": [{"id": "a", "object": "model", "created": 5, "owned_by": "o"}]},
            [ModelInfo(id="a", created=5, owner="o")],
        ),
        ({"data": [{"id": "a"}, {"object": "model"}, None, 5, {"id": ""}]}, [ModelInfo(id="a")]),
        (
            [{"id": "a", "display_name": "A", "organization": "o", "context_length": 9}],
            [ModelInfo(id="a", display_name="A", owner="o", context=9)],
        ),
        (
            {"models": [{"name": "llama3:latest", "model": "llama3:latest", "modified_at": "2025-01-01T00:00:00Z"}]},
            [ModelInfo(id="llama3:latest", created=1735689600)],
        ),
        (
            {"models": [{"name": "models/g", "displayName": "G", "inputTokenLimit": 9, "outputTokenLimit": 3}]},
            [ModelInfo(id="g", display_name="G", context=9, max_output=3)],
        ),
        ({"data": ["a", "b"]}, [ModelInfo(id="a"), ModelInfo(id="b")]),
        (
            {"data": [{"id": "a", "created": None, "context_window": 9, "max_completion_tokens": 3}]},
            [ModelInfo(id="a", context=9, max_output=3)],
        ),
        ({"data": [{"id": "a", "created": 5.5, "max_model_len": 9}]}, [ModelInfo(id="a", created=5, context=9)]),
        (
            {"data": [{"type": "model", "id": "a", "display_name": "A", "created_at": "2025-01-01T00:00:00Z"}]},
            [ModelInfo(id="a", display_name="A", created=1735689600)],
        ),
        (
            {
                "data": [
                    {
                        "id": "a",
                        "name": "A",
                        "top_provider": {"max_completion_tokens": 3},
                        "architecture": {"input_modalities": ["text", 5]},
                    }
                ]
            },
            [ModelInfo(id="a", display_name="A", max_output=3, input_modalities=("text",))],
        ),
        ({"data": []}, []),
    ],
)
def test_lists_of_other_speakers_are_read(body: Any, models: list[ModelInfo]) -> None:
    assert CHAT.decode_models(json.dumps(body).encode()) == models


@pytest.mark.parametrize("raw", [b"", b"<html>", b"{}", b'{"data":{}}', b"5", b'{"error":{"message":"x"}}'])
def test_what_is_no_list_raises_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        CHAT.decode_models(raw)
