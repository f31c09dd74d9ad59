"""Errors and lists of models of the dialect `anthropic.messages`, and its data."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from anthropic.types import ModelInfo as SdkModel

from jackfield.api import Error, Headers, ModelInfo, ThinkingSupport
from tests.plugins.anthropic.messages_wire import MESSAGES


def read(status: int, raw: bytes, headers: dict[str, str] | None = None) -> Error:
    return MESSAGES.decode_error(status, Headers(headers or {}), raw)


@pytest.mark.parametrize(
    ("raw", "message", "type_", "code"),
    [
        (b'{"type":"error","error":{"type":"not_found_error","message":"model: x"},"request_id":"r"}', "model: x", "not_found_error", None),
        (b'{"type":"error","error":{"type":"billing_error","message":"m","details":{"error_code":"c"}}}', "m", "billing_error", "c"),
        (b'{"error":{"message":"m","code":"bad_key","type":"invalid"}}', "m", "invalid", "bad_key"),
        (b'{"error":{"message":"m","code":17,"param":"p"}}', "m", None, "17"),
        (b'{"error":"just words"}', "just words", None, None),
        (b'{"message":"m","type":"error"}', "m", None, None),
        (b'{"detail":"m"}', "m", None, None),
        (b'{"detail":[{"loc":["a"]}]}', '[{"loc":["a"]}]', None, None),
        (b'{"error":{"odd":1}}', '{"odd":1}', None, None),
        (b"<html>busy</html>", "<html>busy</html>", None, None),
        (b"", "the provider answered 500 without a word", None, None),
        (b"[]", "[]", None, None),
        (b'"words"', "words", None, None),
        (b"[" * 10_000, "[" * 500, None, None),
        (b"\xff\xfe", "\ufffd\ufffd", None, None),
    ],
)
def test_any_error_answer_is_read(raw: bytes, message: str, type_: str | None, code: str | None) -> None:
    error = read(500, raw)
    assert (error.status, error.message, error.type, error.code) == (500, message, type_, code)
    again = json.loads(MESSAGES.encode_error(error))
    assert again["type"] == "error"
    assert again["error"]["message"]
    assert again["error"]["type"]


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"retry-after": "7"}, 7), ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5), ({}, None)]
)
def test_an_error_says_when_to_come_again(headers: dict[str, str], seconds: float | None) -> None:
    assert read(429, b"{}", headers).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"), (403, "permission_error"),
        (404, "not_found_error"), (405, "invalid_request_error"), (408, "timeout_error"), (409, "conflict_error"),
        (413, "request_too_large"), (422, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error"), (502, "api_error"),
        (503, "overloaded_error"), (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_a_status_has_its_type(status: int, type_: str) -> None:
    assert json.loads(MESSAGES.encode_error(Error(status=status, message="m")))["error"] == {"type": type_, "message": "m"}


def test_the_field_at_fault_stands_in_the_message() -> None:
    said = json.loads(MESSAGES.encode_error(Error(status=400, message="must be a text", param="messages[0].role")))
    assert said["error"]["message"] == "messages[0].role: must be a text"
    said = json.loads(MESSAGES.encode_error(Error(status=400, message="'model' is missing", param="model")))
    assert said["error"]["message"] == "'model' is missing"


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("messages.1.content.0: Invalid `signature` in `thinking` block", True),
        ("***.content.0: Invalid signature in thinking block", True),
        ("messages.1.content.0: Invalid `data` in `redacted_thinking` block", True),
        (
            "messages.3.content.8: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
            "These blocks must remain as they were in the original response.",
            True,
        ),
        ("messages.1.content.0.thinking.signature: Field required", True),
        ("messages.2: thinking block failed the conversation check", True),
        ("prompt is too long: 210000 tokens > 200000 maximum", False),
        ("`temperature` may only be set to 1 when thinking is enabled", False),
        ("max_tokens must be greater than thinking.budget_tokens", False),
    ],
)
def test_errors_that_refuse_a_signature_are_told_from_others(message: str, refused: bool) -> None:
    assert MESSAGES.refuses_signature(Error(status=400, message=message)) is refused
    assert not MESSAGES.refuses_signature(Error(status=500, message=message))


# ------------------------------------------------------------------------------------------------------- models


def test_a_list_of_models_is_one_that_anthropics_client_reads() -> None:
    models = [ModelInfo(id="a/b", display_name="A B", created=1_700_000_000, context=200_000, max_output=64_000), ModelInfo(id="c")]
    said = json.loads(MESSAGES.encode_models(models))
    first, second = [SdkModel.model_validate_json(json.dumps(entry), strict=True) for entry in said["data"]]
    assert (first.id, first.display_name, first.max_input_tokens, first.max_tokens) == ("a/b", "A B", 200_000, 64_000)
    assert first.created_at.year == 2023
    assert (second.display_name, second.created_at.year) == ("c", 1970)
    assert (said["has_more"], said["first_id"], said["last_id"]) == (False, "a/b", "c")
    assert json.loads(MESSAGES.encode_model(models[0])) == said["data"][0]
    assert json.loads(MESSAGES.encode_models([])) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert MESSAGES.decode_models(MESSAGES.encode_models(models)) == models


def able(*names: str) -> dict[str, Any]:
    return {name: {"supported": True} for name in names}


def test_what_a_list_says_of_a_model_is_understood() -> None:
    entry = {
        "type": "model",
        "id": "claude-x",
        "display_name": "Claude X",
        "created_at": "2026-01-02T00:00:00Z",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "capabilities": {
            **able("image_input", "pdf_input"),
            "effort": {"supported": True, **able("low", "medium", "high"), "max": {"supported": False}},
            "thinking": {"supported": True, "types": able("adaptive", "enabled", "disabled")},
        },
    }
    (model,) = MESSAGES.decode_models(json.dumps({"data": [entry, {"id": ""}, 3]}).encode())
    assert (model.id, model.display_name, model.context, model.max_output) == ("claude-x", "Claude X", 1_000_000, 128_000)
    assert model.created == 1_767_312_000
    assert model.input_modalities == ("text", "image", "pdf")
    assert model.thinking == ThinkingSupport(levels=("low", "medium", "high"), min=1024, max=127_999, off=True, dynamic=True)
    entry["capabilities"]["thinking"] = {"supported": False}
    (model,) = MESSAGES.decode_models(json.dumps([entry]).encode())
    assert model.thinking == ThinkingSupport()


def test_lists_of_openais_form_are_read_too() -> None:
    raw = b'{"object":"list","data":[{"id":"glm-5","object":"model","created":5,"owned_by":"z"}]}'
    assert MESSAGES.decode_models(raw) == [ModelInfo(id="glm-5", created=5, owner="z")]


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"data": 3}', b"<html>"])
def test_what_is_no_list_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        MESSAGES.decode_models(raw)


# --------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("name", ["a", "mcp__server__tool-1", "x" * 128])
def test_names_that_anthropic_takes(name: str) -> None:
    assert re.fullmatch(MESSAGES.tool_name, name)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "ä", "x" * 129])
def test_names_that_it_does_not_take(name: str) -> None:
    assert not re.fullmatch(MESSAGES.tool_name, name)


def test_no_key_is_among_the_headers_that_pass() -> None:
    assert not {"x-api-key", "authorization", "cookie"} & MESSAGES.request_headers
    assert "anthropic-ratelimit-input-tokens-remaining" in MESSAGES.response_headers


def test_what_keeps_a_connection_alive_is_an_event_that_says_nothing() -> None:
    assert MESSAGES.keepalive is not None
    ((frame, name, end),) = MESSAGES.framing.frames(MESSAGES.keepalive)
    ping = MESSAGES.event_type(frame, name, end)
    assert (ping.name, ping.json) == ("ping", {"type": "ping"})
    assert not ping.deltas
