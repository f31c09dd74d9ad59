"""A plugin, of the standard library alone, that asks the host what a call's body tells it to and answers with what it got.

`{"ask": [[method, params], ...]}` asks one after the other; params with `stream` open one, which is read to its end. Each answer is
`{"result": ...}` or `{"error": ...}`, with `items` and `end` of a stream. `{"leave": true}` beside it: answers the hook at once.
With `idle` in its params a stream is given no more credit than it began with; with `cancel` it is given up after so many items.

With the setting `upstream` it is a provider, too, that passes its upstream's answers on.
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
    number, answer = begin(method, params)
    said = {name: value for name, value in answer.get().items() if name in ("result", "error")}
    if "stream" in params and "error" not in said:
        said["items"] = []
        while (got := streams[params["stream"]].get()) is not None and "items" in got:
            said["items"] += got["items"]
            note(f"items {len(said['items'])}")
            if params.get("cancel") == len(said["items"]):
                write(method="$/cancel", params={"id": number})
            elif not params.get("idle"):
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
    hooks = {"request.intercept_before": {"needs": needs, "deadline": config.get("deadline", 20)}}
    if "upstream" in config:
        provider.update({"key": "fwd", "dialects": ["toy.talk"], "models": ["f"], "base_url": config["upstream"], "auth": {}})
        provider.update({"execute": True, "asks": config.get("asks", config["upstream"])})
        hooks |= {"model.register": {}, "executor.execute": {"needs": ["body"]}, "executor.execute_stream": {"needs": ["body"]}}
    return {"schema_version": 1, "hooks": hooks}


provider: dict = {}


def execute(number: int, params: dict) -> object:
    """Ask the upstream as the attempt, and pass on what it answers."""
    got = ask("host.http.request", {"for": number, "attempt": True, "url": provider["asks"] + "/talk", "body": params["attempt"]["body"]})
    if "error" in got:
        note(f"refused {got['error']['message']}")
        raise Failed(got["error"])
    return got["result"]


def execute_stream(number: int, params: dict) -> None:
    """Answer by itself: pass on the head, then each item as it comes and as there is credit for it, then the end."""
    name, credits = params["stream"], granted.setdefault(params["stream"], queue.Queue())
    for _ in range(params["credit"]):
        credits.put(1)
    asked = {"for": number, "attempt": True, "url": provider["asks"] + "/talk", "body": params["attempt"]["body"]}
    inner, answer = begin("host.http.stream", {**asked, "stream": f"up-{name}", "credit": params["credit"]})
    if "error" in (got := answer.get()):
        raise Failed(got["error"])
    write(id=number, result={**got["result"], "stream": True})
    while "items" in (got := streams[f"up-{name}"].get()):
        write(method="stream.item", params={"stream": name, "items": got["items"]})
        for _ in got["items"]:
            write(method="stream.credit", params={"stream": f"up-{name}", "credit": credits.get()})
    note(f"passed on, {inner}")
    write(method="stream.end", params={"stream": name, **({"error": got["error"]} if "error" in got else {})})


class Failed(Exception):
    """What the host answered an error to."""


granted: dict = {}


HOOKS = {
    "model.register": lambda number, params: {"providers": [{k: v for k, v in provider.items() if k != "asks"}]},
    "executor.execute": execute,
    "executor.execute_stream": execute_stream,
    "plugin.register": register,
    "request.intercept_before": intercept,
    "plugin.shutdown": lambda number, params: None,
}


def serve(number: int, method: str, params: dict) -> None:
    if method not in HOOKS:
        write(id=number, error={"code": -32601, "message": method})
    else:
        try:
            result = HOOKS[method](number, params)
        except Failed as fault:
            write(id=number, error=fault.args[0])
        else:
            if method != "executor.execute_stream":
                write(id=number, result=result)
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
        elif said["method"] == "stream.credit":
            for _ in range(said["params"]["credit"]):
                granted.setdefault(said["params"]["stream"], queue.Queue()).put(1)
        elif said["method"] == "$/cancel":
            note(f"cancelled {said['params']['id']}")
