"""A plugin, of the standard library alone, that asks the host what a call's body tells it to and answers with what it got.

`{"ask": [[method, params], ...]}` asks one after the other; params with `stream` open one, which is read to its end. Each answer is
`{"result": ...}` or `{"error": ...}`, with `items` and `end` of a stream. `{"leave": true}` beside it: answers the hook at once.
"""

import json
import os
import queue
import sys
import threading

writing, ids = threading.Lock(), iter(range(1, 1_000_000))
answers: dict = {}
streams: dict = {}


def write(**said) -> None:
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **said}) + "\n")
        sys.stdout.flush()


def note(what: str) -> None:
    """Tell the test something: a line on stderr is a line of the host's log."""
    sys.stderr.write(what + "\n")
    sys.stderr.flush()


def begin(method: str, params: dict) -> tuple:
    """Send a request; return its id and where its answer comes."""
    number = f"p{next(ids)}"
    answers[number] = queue.Queue()
    if "stream" in params:
        streams[params["stream"]] = queue.Queue()
    write(id=number, method=method, params=params)
    return number, answers[number]


def ask(method: str, params: dict) -> dict:
    _, answer = begin(method, params)
    said = {name: value for name, value in answer.get().items() if name in ("result", "error")}
    if "stream" in params and "error" not in said:
        said["items"] = []
        while (got := streams[params["stream"]].get()) is not None and "items" in got:
            said["items"] += got["items"]
            note(f"items {len(said['items'])}")
            if not params.get("idle"):
                write(method="stream.credit", params={"stream": params["stream"], "credit": len(got["items"])})
        said["end"] = got
    return said


def intercept(number: int, params: dict) -> object:
    body = params["call"]["body"]
    asked = [[method, {"for": number, **more}] for method, more in body.get("ask", ())]
    if body.get("leave"):
        for method, more in asked:
            found = begin(method, more)
            threading.Thread(target=tell, args=(method, found[1]), daemon=True).start()
        return None
    return {"respond": {"body": [ask(method, more) for method, more in asked]}} if asked else None


def tell(method: str, answer: queue.Queue) -> None:
    """Note how what was asked ended after its hook was answered."""
    got = answer.get()
    note(f"{method} {got['error']['code'] if 'error' in got else 'answered'}")


def register(number: int, params: dict) -> dict:
    config = params.get("config", {})
    needs = ["body", *config.get("needs", [])]
    return {"schema_version": 1, "hooks": {"request.intercept_before": {"needs": needs, "deadline": config.get("deadline", 20)}}}


HOOKS = {"plugin.register": register, "request.intercept_before": intercept, "plugin.shutdown": lambda number, params: None}


def serve(number: int, method: str, params: dict) -> None:
    if method not in HOOKS:
        write(id=number, error={"code": -32601, "message": method})
    else:
        write(id=number, result=HOOKS[method](number, params))
    if method == "plugin.shutdown":
        os._exit(0)


if __name__ == "__main__":
    for line in sys.stdin:
        said = json.loads(line)
        if "method" not in said:
            answers[said["id"]].put(said)
        elif "id" in said:
            threading.Thread(target=serve, args=(said["id"], said["method"], said.get("params", {})), daemon=True).start()
        elif said["method"] in ("stream.item", "stream.end"):
            streams[said["params"]["stream"]].put(said["params"])
        elif said["method"] == "$/cancel":
            note(f"cancelled {said['params']['id']}")
