"""Providers whose models each show one way of answering."""

import json
import os
import signal
import threading
from typing import Any

from answering import Fault, Params, Stream, cancelled, running, serve, write

BY_HOOK = {
    "model.register": {},
    "executor.execute": {"needs": ["body", "request", "headers", "secret"]},
    "executor.execute_stream": {"needs": ["body", "request"]},
    "executor.count_tokens": {"needs": ["request"]},
    "executor.http_request": {"needs": ["headers"]},
    "model.for_auth": {"needs": ["secret"]},
    "model.route": {},
}
MODELS = [
    "whole", "stream", "text", "raw", "limited", "typed", "told", "untyped", "garbage", "nonsense", "hang", "still", "broken", "dies",
    "unended", "secret", "flood", "shouted", "no answer", "seen", "caller", "by key",
]  # fmt: skip
_config: dict[str, Any] = {}


def register(params: Params, left: threading.Event) -> Any:
    _config.update(params.get("config", {}))
    hooks = {name: BY_HOOK[name] for name in _config.get("methods", set(BY_HOOK) - {"model.route"})}
    return {"schema_version": 1, "plugin": {"name": "peer", "version": "1.2.3"}, "hooks": hooks, "max_in_flight": _config.get("turns", 256)}


def models(params: Params, left: threading.Event) -> Any:
    rules = [{"status": 429, "match": "monthly", "cause": "quota", "retry_after": 30}]
    peer = {"key": "peer", "dialects": ["canonical"], "models": MODELS}
    chat = {
        "key": "chat",
        "dialects": ["openai.chat"],
        "models": MODELS,
        "failures": rules,
        "execute": True,
        "base_url": "http://127.0.0.1:9",
    }
    chat |= {"auth": {"env": []}} if _config.get("keyed") else {}
    return {"providers": [*_config.get("providers", [peer, chat])], "models": _config.get("models", [])}


def chat(text: str, model: str = "m") -> Any:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": choices, "usage": usage}


def chunk(text: str | None, finish: str | None = None) -> Any:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def deltas(*texts: str, finish: str | None = "stop") -> list[Any]:
    begin = [{"type": "begin", "id": "c1", "model": "m"}, {"type": "part_start", "index": 0, "part": {"type": "text", "text": ""}}]
    said = [{"type": "text", "index": 0, "text": text} for text in texts]
    end = [{"type": "part_end", "index": 0}, {"type": "finish", "reason": finish}, {"type": "usage", "usage": {"input": 3, "output": 2}}]
    return [{"delta": delta} for delta in (*begin, *said, *([*end, {"type": "done"}] if finish else []))]


def items(attempt: Any, *texts: str, finish: str | None = "stop") -> list[Any]:
    if attempt["dialect"] == "canonical":
        return deltas(*texts, finish=finish)
    said = [{"data": chunk(text)} for text in texts]
    return [*said, *([{"data": chunk(None, finish)}, {"raw": "data: [DONE]\n\n"}] if finish else [])]


def fail(model: str) -> Any:
    if model == "typed":
        fault = Fault("come back later", cause="rate", retry_after=7.0, status=429)
        fault.error["data"]["code"] = "slow_down"
        raise fault
    if model == "no answer":
        fault = Fault("come back later")
        fault.error["code"] = "slow_down"
        raise fault
    if model == "told":
        body = json.dumps({"error": {"message": "monthly limit", "type": "x"}})
        raise Fault("refused", status=429, body=body, headers={"retry-after": "9"})
    if model == "caller":
        raise Fault("no such voice", cause="caller", status=404, param="voice")
    if model == "untyped":
        raise Fault("something broke")
    if model == "nonsense":
        return {"status": "two hundred"}
    if model == "garbage":
        write("{{{ no message\n")
        return {"status": 99}
    return None


def whole(params: Params, left: threading.Event) -> Any:
    attempt = params["attempt"]
    model, canonical = attempt["model"], attempt["dialect"] == "canonical"
    if (failed := fail(model)) is not None:
        return failed
    if model == "hang":
        left.wait()
        raise Fault("cancelled", -32800)
    if model == "by key" and attempt["secret"] != "key-2":
        raise Fault("who is that?", status=401)
    if model == "limited":
        body = {"error": {"message": "the monthly limit is reached", "type": "limit"}}
        return {"status": 429, "headers": {"x-one": "1"}, "body": body}
    said = {"secret": attempt.get("secret"), "stream": attempt["stream"], "asked": attempt.get("body")}
    tells = {"secret": said, "by key": attempt.get("secret"), "seen": {"cancelled": cancelled, "running": running[:-1], "pid": os.getpid()}}
    text = json.dumps(tells.get(model, "whole answer"))
    if canonical:
        choice = {"message": {"role": "assistant", "parts": [{"type": "text", "text": text}]}, "finish": "stop"}
        return {"response": {"id": "c1", "model": "m", "choices": [choice], "usage": {"input": 3, "output": 2}}}
    if model == "text":
        return {"body_text": json.dumps(chat(text), indent=1)}
    return {"body": chat(text)}


def stream(params: Params, left: threading.Event) -> Any:
    attempt = params["attempt"]
    model = attempt["model"]
    if (failed := fail(model)) is not None:
        return failed
    if model in ("hang", "caller", "limited", "whole", "seen", "secret"):
        return whole(params, left)
    opened = Stream(params)

    def flow() -> None:
        if model == "raw":
            opened.send(*[{"raw": f"data: {json.dumps(chunk(t))}\r\n\r\n"} for t in "ab"], {"raw": "data: [DONE]\r\n\r\n"})
        elif model in ("still", "broken", "dies", "unended", "shouted", "flood"):
            opened.send(*items(attempt, "one ", "two", finish="stop" if model == "unended" else None)[: -1 if model == "unended" else None])
            if model == "still":
                left.wait()
            if model == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if model == "flood":
                opened.credit = threading.Semaphore(10_000_000)
                opened.send(*[{"raw": ": nothing\n\n"}] * 2000)
            if model == "shouted":
                opened.send({"delta": {"type": "no such delta"}})
                left.wait()
        else:
            opened.send(*items(attempt, "one ", "two"))
        opened.end({"code": -32000, "message": "broke off", "data": {"cause": "overload"}} if model == "broken" else None)

    return {"status": 200, "stream": True}, flow


def count(params: Params, left: threading.Event) -> Any:
    return {"response": {"usage": {"input": 42}}}


def resource(params: Params, left: threading.Event) -> Any:
    attempt = params["attempt"]
    return {"body": {"id": attempt["params"]["id"], "object": "response", "method": attempt["call"]["method"]}}


def for_auth(params: Params, left: threading.Event) -> Any:
    return {"models": [params["credential"]["key"], {"id": "shared", "context": 1000}]}


serve(
    {
        "plugin.register": register,
        "plugin.shutdown": lambda params, left: None,
        "model.register": models,
        "model.for_auth": for_auth,
        "model.route": lambda params, left: {"executor": "self", "reason": "mine"},
        "executor.execute": whole,
        "executor.execute_stream": stream,
        "executor.count_tokens": count,
        "executor.http_request": resource,
    }
)
