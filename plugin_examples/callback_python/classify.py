"""A router that asks a model which model should answer: a program of its own, with nothing but Python's standard library.

It asks the host (`host.model.execute`) within the request that it is answering (`for`): the host cancels its question with the call,
and does not ask this router about it again. Answers may come in any order; what waits for one stands in `waiting`.
"""

import json
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

Json = dict[str, Any]

PROMPT = "Which of these describes the request best: {kinds}? Answer with that word alone.\n\nThe request: {words}"

config: Json = {}
ids = count(1)
waiting: dict[int, Callable[[Json], None]] = {}


def write(**message: Any) -> None:
    """Send a message, at once and in one piece."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def ask(method: str, params: Json, then: Callable[[Json], None]) -> None:
    """Ask the host; `then` is called with its answer, which has a `result` or an `error`."""
    number = next(ids)
    waiting[number] = then
    write(id=number, method=method, params=params)


def register(id: Any, params: Json) -> None:
    """Say what the plugin is."""
    config.update(params.get("config") or {})
    if not isinstance(config.get("asks"), str) or not isinstance(config.get("models"), dict):
        write(id=id, error={"code": -32602, "message": "asks and models: say which model is asked, and which models there are"})
        return
    hooks = {"model.route": {"needs": ["request"], "deadline": 20}}
    write(id=id, result={"schema_version": 1, "plugin": {"name": "classify", "version": "1.0.0"}, "hooks": hooks})


def route(id: Any, params: Json) -> None:
    """Have the model say of which kind a request is, and route it to that kind's model."""
    models: dict[str, str] = config["models"]
    said = [part.get("text", "") for message in params["call"]["request"].get("messages", ()) for part in message.get("parts", ())]

    def answered(answer: Json) -> None:
        choices = answer.get("result", {}).get("response", {}).get("choices", ())
        parts = [part for choice in choices for part in choice.get("message", {}).get("parts", ())]
        word = "".join(part.get("text", "") for part in parts).strip(" .\n").lower()
        write(id=id, result={"model": models[word], "reason": f"is {word}"} if word in models else None)

    if not said:
        write(id=id, result=None)
        return
    prompt = PROMPT.format(kinds=", ".join(models), words=said[-1][:2000])
    message = {"role": "user", "parts": [{"type": "text", "text": prompt}]}
    ask("host.model.execute", {"for": id, "request": {"model": config["asks"], "messages": [message]}}, answered)


def shut_down(id: Any, params: Json) -> None:
    """Nothing is to be finished."""
    write(id=id, result=None)


METHODS: dict[str, Callable[[Any, Json], None]] = {"plugin.register": register, "model.route": route, "plugin.shutdown": shut_down}

sys.setrecursionlimit(10_000)  # a request may be nested as deep as the host reads
for line in sys.stdin:
    received = json.loads(line)
    if "method" not in received:
        waiting.pop(received["id"])(received)
    elif "id" in received:
        if received["method"] in METHODS:
            METHODS[received["method"]](received["id"], received.get("params") or {})
        else:
            write(id=received["id"], error={"code": -32601, "message": received["method"]})
