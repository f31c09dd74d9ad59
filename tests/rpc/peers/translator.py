"""A provider in one dialect, and a direct translator into it from another that shouts."""

import json
import threading
from typing import Any

from answering import Fault, Params, Stream, body_of, serve

_config: dict[str, Any] = {}
told: list[Any] = []
"""What the translator was told of streams."""
begun = threading.Event()
"""The translator has seen the first words."""
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}


def register(params: Params, left: threading.Event) -> Any:
    _config.update(params.get("config", {}))
    hooks = {
        "model.register": {},
        "translate.register": {},
        "executor.execute": {"needs": ["body"]},
        "executor.execute_stream": {"needs": ["body"]},
    }
    return {"schema_version": 1, "hooks": hooks}


def models(params: Params, left: threading.Event) -> Any:
    return {"providers": [{"key": "peer", "dialects": ["anthropic.messages"], "models": ["m", "still", "paced"]}]}


def whole(params: Params, left: threading.Event) -> Any:
    asked = body_of(params["attempt"])
    content = [{"type": "text", "text": json.dumps([asked["messages"], told])}]
    return {"body": {**MESSAGE, "content": content, "stop_reason": "end_turn"}}


def stream(params: Params, left: threading.Event) -> Any:
    opened = Stream(params)
    model = params["attempt"]["model"]
    data: list[Any] = [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "two"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": MESSAGE["usage"]},
        {"type": "message_stop"},
    ]

    def flow() -> None:
        for one in data[:4] if model == "still" else data:
            if one.get("delta") == {"type": "text_delta", "text": "two"} and model == "paced":
                begun.wait()
            opened.send({"name": one["type"], "data": one})
        if model == "still":
            left.wait()
        opened.end()

    return {"stream": True}, flow


def _fail(method: str, left: threading.Event) -> None:
    if method in _config.get("fails", ()):
        raise Fault("no way")
    if method in _config.get("hangs", ()):
        left.wait()


def request(params: Params, left: threading.Event) -> Any:
    _fail("request.translate", left)
    said = body_of(params)
    messages = [{"role": m["role"], "content": m["content"].upper()} for m in said["messages"]]
    losses = [{"path": "messages", "what": "changed", "why": "shouted"}]
    return {"body": {"model": said["model"], "max_tokens": 10, "messages": messages}, "losses": losses}


def response(params: Params, left: threading.Event) -> Any:
    _fail("response.translate", left)
    text = body_of(params)["content"][0]["text"]
    choices = [{"index": 0, "message": {"role": "assistant", "content": f"turned {text}"}, "finish_reason": "stop"}]
    losses = [{"path": "content", "what": "changed", "why": "turned"}]
    return {"body": {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}, "losses": losses}


def opened(params: Params, left: threading.Event) -> Any:
    _fail("response.translate.open", left)
    told.append(["open", params["source"], params["target"]])


def _chunk(delta: Any, finish: str | None = None) -> Any:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"data": {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}}


def events(params: Params, left: threading.Event) -> Any:
    made: list[Any] = []
    for item in params["events"]:
        data = item["data"]
        if data["type"] == "content_block_delta":
            made.append(_chunk({"content": data["delta"]["text"].upper()}))
            begun.set()
            if data["delta"]["text"] == "two":
                _fail("response.translate.event", left)
        if data["type"] == "message_stop":
            made += [_chunk({}, "stop"), {"raw": "[DONE]"}]
    return {"events": made, "losses": [{"path": "content", "what": "changed", "why": "turned"}]}


def closed(params: Params, left: threading.Event) -> Any:
    told.append(["close"])


serve(
    {
        "plugin.register": register,
        "plugin.shutdown": lambda params, left: None,
        "model.register": models,
        "translate.register": lambda params, left: {"pairs": [{"source": "openai.chat", "target": "anthropic.messages"}]},
        "executor.execute": whole,
        "executor.execute_stream": stream,
        "request.translate": request,
        "response.translate": response,
        "response.translate.open": opened,
        "response.translate.event": events,
        "response.translate.close": closed,
    }
)
