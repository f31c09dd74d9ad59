"""Bodies of requests and answers as the providers' references write them, with the members that every one must have."""

from __future__ import annotations

import json
from typing import Any, Final

MODEL: Final = "some-model"
QUESTION: Final = "What is in Paris?"
PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF: Final = "JVBERi0xLjQKJSVFT0YK"
SOUND: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ARGUMENTS: Final = '{"city":"Paris"}'

# ------------------------------------------------------------------------------------------------ requests


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    """OpenAI's API reference, "Create chat completion"."""
    return {"model": MODEL, "messages": list(messages) or [user_c()], **more}


def responses(*items: Any, **more: Any) -> dict[str, Any]:
    """OpenAI's API reference, "Create a model response"."""
    return {"model": MODEL, "input": list(items) or QUESTION, **more}


def messages(*turns: Any, **more: Any) -> dict[str, Any]:
    """Anthropic's API reference, "Create a Message"."""
    return {"model": MODEL, "max_tokens": 1000, "messages": list(turns) or [user_a()], **more}


def generate(*contents: Any, **more: Any) -> dict[str, Any]:
    """Google's API reference, "models.generateContent"; the model stands in the path."""
    return {"contents": list(contents) or [user_g()], **more}


def user_c(content: Any = QUESTION) -> dict[str, Any]:
    return {"role": "user", "content": content}


def user_r(content: Any = QUESTION) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": content}


def user_a(content: Any = QUESTION) -> dict[str, Any]:
    return {"role": "user", "content": content}


def user_g(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts) or [{"text": QUESTION}]}


def tool_c(name: str = "weather", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Tells the weather.", "parameters": SCHEMA, **more}}


def tool_r(name: str = "weather", **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, "description": "Tells the weather.", "parameters": SCHEMA, "strict": False, **more}


def tool_a(name: str = "weather", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "Tells the weather.", "input_schema": SCHEMA, **more}


def tool_g(*names: str) -> dict[str, Any]:
    declared = [{"name": n, "description": "Tells the weather.", "parametersJsonSchema": SCHEMA} for n in names or ("weather",)]
    return {"functionDeclarations": declared}


def call_c(call_id: str = "call_1", name: str = "weather", arguments: str = ARGUMENTS) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def call_r(call_id: str = "call_1", name: str = "weather", arguments: str = ARGUMENTS, **more: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
        **more,
    }


def call_a(call_id: str = "call_1", name: str = "weather", arguments: str = ARGUMENTS) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}


def call_g(call_id: str = "call_1", name: str = "weather", arguments: str = ARGUMENTS) -> dict[str, Any]:
    return {"functionCall": {"id": call_id, "name": name, "args": json.loads(arguments)}}


def result_c(call_id: str = "call_1", content: Any = "sunny") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def result_r(call_id: str = "call_1", output: Any = "sunny") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def result_a(call_id: str = "call_1", content: Any = "sunny", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def result_g(call_id: str = "call_1", name: str = "weather", output: str = "sunny", **more: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": call_id, "name": name, "response": {"output": output}, **more}}


# -------------------------------------------------------------------------------------------------- answers


def completion(message: Any, finish: str = "stop", usage: Any = None, **more: Any) -> dict[str, Any]:
    """OpenAI's API reference, "The chat completion object"; `message` is one message or a list of choices."""
    said = message if isinstance(message, list) else [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}]
    for choice in said:
        choice["message"] = {"role": "assistant", "content": None, "refusal": None, **choice["message"]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": said,
        "usage": usage or {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        **more,
    }


def response(*output: Any, status: str = "completed", usage: Any = None, **more: Any) -> dict[str, Any]:
    """OpenAI's API reference, "The response object"."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage
        or {
            "input_tokens": 11,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 18,
        },
        **more,
    }


def said_r(text: str, annotations: Any = (), **more: Any) -> dict[str, Any]:
    """A message item of a response."""
    content = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": [], **more}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [content]}


def message(*content: Any, stop: str = "end_turn", usage: Any = None, **more: Any) -> dict[str, Any]:
    """Anthropic's API reference, "Message"."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7, **(usage or {})},
        **more,
    }


def candidate(*parts: Any, finish: str = "STOP", usage: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """Google's API reference, "GenerateContentResponse", with one candidate."""
    one = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": index, **more}
    counts = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18, **(usage or {})}
    return {"candidates": [one], "usageMetadata": counts, "modelVersion": MODEL, "responseId": "resp-1"}
