"""What the peers share: requests answered each in a thread of its own, without anything but the standard library."""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Params = dict[str, Any]
_writing = threading.Lock()
_running: dict[Any, threading.Event] = {}
running: list[Any] = []
"""The methods of requests that are being answered, or their streams."""
cancelled: list[Any] = []
"""The methods of requests that the host has cancelled."""


class Fault(Exception):
    """Answer with this error."""

    def __init__(self, message: str, code: int = -32000, **data: Any) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message, **({"data": data} if data else {})}


class Stream:
    """The stream that a request has opened, as far as there is credit for it."""

    def __init__(self, params: Params) -> None:
        self.name, self.credit, self.index = params["stream"], threading.Semaphore(params["credit"]), 0
        streams[self.name] = self

    def send(self, *items: Any) -> None:
        for item in items:
            self.credit.acquire()
            send({"method": "stream.item", "params": {"stream": self.name, "index": self.index, "items": [item]}})
            self.index += 1

    def end(self, error: Any = None) -> None:
        streams.pop(self.name, None)
        send({"method": "stream.end", "params": {"stream": self.name, **({"error": error} if error else {})}})


streams: dict[str, Stream] = {}


def body_of(said: Params) -> Any:
    """Return a JSON body, which lies in a file where it is large."""
    return json.loads(Path(said["body_file"]).read_bytes()) if "body_file" in said else said["body"]


def send(message: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def write(text: str) -> None:
    """Write what need not be a message."""
    with _writing:
        sys.stdout.write(text)
        sys.stdout.flush()


def _answer(id: Any, method: str, handler: Callable[..., Any], params: Params, left: threading.Event) -> None:
    running.append(method)
    try:
        made = handler(params, left)
        then = made[1] if isinstance(made, tuple) else None
        send({"id": id, "result": made[0] if isinstance(made, tuple) else made})
        if then is not None:
            then()
    except Fault as fault:
        send({"id": id, "error": fault.error})
    except Exception as fault:
        send({"id": id, "error": {"code": -32603, "message": repr(fault)}})
    finally:
        _running.pop(id, None)
        running.remove(method)
        if left.is_set():
            cancelled.append(method)


def serve(on: dict[str, Callable[[Params, threading.Event], Any]]) -> None:
    """Answer requests until the host closes the connection. A handler is given the params, and an event that is set when the host
    cancels; it answers a result, or a result and what is to be done once that is sent."""
    for line in sys.stdin:
        said = json.loads(line)
        method, params = said.get("method"), said.get("params") or {}
        if method == "$/cancel":
            if (left := _running.get(params["id"])) is not None:
                left.set()
        elif method == "stream.credit" and params["stream"] in streams:
            streams[params["stream"]].credit.release(params["credit"])
        elif "id" in said and method is not None:
            if (handler := on.get(method)) is None:
                send({"id": said["id"], "error": {"code": -32601, "message": method}})
                continue
            _running[said["id"]] = left = threading.Event()
            threading.Thread(target=_answer, args=(said["id"], method, handler, params, left), daemon=True).start()
