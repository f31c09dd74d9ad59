"""What a client does with an answer in its next request: it sends it back as it came, with what its tools gave."""

from __future__ import annotations

import json
from typing import Any

from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES
from tests.translation.wires import (
    chat,
    generate,
    messages,
    responses,
    result_a,
    result_c,
    result_r,
    tool_a,
    tool_c,
    tool_g,
    tool_r,
    user_a,
    user_c,
    user_g,
    user_r,
)

Body = dict[str, Any]


def first(dialect: str, **more: Any) -> Body:
    """Return a first request with the tool `weather`."""
    match dialect:
        case "openai.chat":
            return chat(tools=[tool_c()], **more)
        case "openai.responses":
            return responses(user_r(), tools=[tool_r()], store=False, include=["reasoning.encrypted_content"], **more)
        case "anthropic.messages":
            return messages(tools=[tool_a()], **more)
    return generate(tools=[tool_g()], **more)


def calls(dialect: str, answer: Body) -> list[tuple[str, str, Any]]:
    """Return id, name and arguments of the tools that a client is asked to run."""
    match dialect:
        case "openai.chat":
            said = answer["choices"][0]["message"].get("tool_calls") or ()
            return [(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"])) for one in said]
        case "openai.responses":
            called = [item for item in answer["output"] if item["type"] == "function_call"]
            return [(one["call_id"], one["name"], json.loads(one["arguments"])) for one in called]
        case "anthropic.messages":
            return [(one["id"], one["name"], one["input"]) for one in answer["content"] if one["type"] == "tool_use"]
    parts = answer["candidates"][0]["content"]["parts"]
    return [
        (p["functionCall"].get("id", ""), p["functionCall"]["name"], p["functionCall"].get("args", {}))
        for p in parts
        if "functionCall" in p
    ]


def following(dialect: str, answer: Body) -> Body:
    """Return the next request: the answer as it came, and a result for each call; without any call, another question."""
    called = calls(dialect, answer)
    match dialect:
        case "openai.chat":
            said: Any = answer["choices"][0]["message"]
            return chat(user_c(), said, *(result_c(one) for one, _, _ in called) if called else (user_c("And?"),), tools=[tool_c()])
        case "openai.responses":
            told = [result_r(one) for one, _, _ in called] or [user_r("And?")]
            return responses(user_r(), *answer["output"], *told, tools=[tool_r()], store=False, include=["reasoning.encrypted_content"])
        case "anthropic.messages":
            back = [result_a(one) for one, _, _ in called] or "And?"
            return messages(user_a(), {"role": "assistant", "content": answer["content"]}, user_a(back), tools=[tool_a()])
    results = [
        {"functionResponse": {**({"id": one} if one else {}), "name": name, "response": {"output": "sunny"}}} for one, name, _ in called
    ] or [{"text": "And?"}]
    return generate(user_g(), answer["candidates"][0]["content"], user_g(*results), tools=[tool_g()])


PATHS = {
    CHAT: ("/v1/chat/completions", "/v1/chat/completions"),
    RESPONSES: ("/v1/responses", "/v1/responses"),
    MESSAGES: ("/v1/messages", "/v1/messages"),
    GENERATE: ("/v1beta/models/some-model:generateContent", "/v1beta/models/some-model:streamGenerateContent?alt=sse"),
}
"""Where a client asks for a whole answer, and for a stream."""


def asking(dialect: str, body: Body, stream: bool) -> tuple[str, Body]:
    """Return path and body of a request."""
    if not stream or dialect == GENERATE:
        return PATHS[dialect][stream], body
    usage = {"stream_options": {"include_usage": True}} if dialect == CHAT else {}
    return PATHS[dialect][True], {**body, "stream": True, **usage}
