"""A plugin of the standard library alone that shows each part of the protocol once: which part, its settings say (`part`)."""

import inspect
import itertools
import json
import sys

waiting, ids = [], itertools.count(1)


def send(**said):
    send_all(said)


def send_all(*all_said):
    """Send messages at once, so that none of the host's stands between them."""
    sys.stdout.write("".join(json.dumps({"jsonrpc": "2.0", **said}) + "\n" for said in all_said))
    sys.stdout.flush()


def read():
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    return json.loads(line)


def ask(method, **params):
    """Ask the host, and put aside what else it says meanwhile."""
    send(id=(number := f"p{next(ids)}"), method=method, params=params)
    while True:
        said = read()
        if said.get("id") == number and "method" not in said:
            return said
        waiting.append(said)


def stream(method, **params):
    """Ask the host for a stream, and read all of it."""
    ask(method, stream="mine", credit=2, **params)
    items = 0
    while True:
        said = waiting.pop(0) if waiting else read()
        if said.get("method") == "stream.item":
            items += len(said["params"]["items"])
            if items % 2 == 0:
                send(method="stream.credit", params={"stream": "mine", "credit": 2})
        elif said.get("method") == "stream.end":
            return items


class Refused(Exception):
    """Answer with this error."""


# ------------------------------------------------------------------------------------------------------- the parts


def route(id, call):
    return {"model": "sim/text", "reason": "has tools"} if call["body"].get("tools") else None


def authenticate(id, call):
    headers = {name.lower(): value for name, value in call["headers"]}
    key = headers.get("authorization", "").removeprefix("Bearer ")
    if not key.startswith("shop-"):
        return None
    allow = {"models": ["sim/*"]}
    return {"principal": {"name": "shop", "allow": allow}} if key == "shop-1" else {"reject": "this key has expired"}


def intercept(id, call):
    if not call["body"].keys() >= {"messages", "metadata"}:
        return None
    if call["body"]["messages"][-1]["content"] == "ping":
        message = {"role": "assistant", "parts": [{"type": "text", "text": "pong"}]}
        return {"respond": {"response": {"choices": [{"message": message, "finish": "stop"}]}}}
    return {"set": {"/temperature": 0.2, "/metadata/team": "search"}, "remove": ["/user"], "headers": {"x-team": "search"}}


def footer(id, call, reply):
    if call["dialect"] != "openai.chat" or reply.get("status", 200) != 200:
        return None
    text = reply["body"]["choices"][0]["message"]["content"]
    return {"set": {"/choices/0/message/content": text + "\n-- checked"}}


def note(id):
    return None


def opening(id, head):
    return {"handle": True} if head["status"] == 200 else None


def events(id, stream, events):
    answers = []
    for event in events:
        words = event.get("text", "").strip()
        if words.startswith("one"):
            answers.append({"text": "ONE"})
        elif words.startswith("two"):
            answers.append({"events": []})
        elif words.startswith("three"):
            answers.append({"events": [{"same": True}, {"text": "and a half "}]})
        elif words.startswith("five"):
            answers.append({"events": [{"text": "[cut]"}], "end": "length"})
        else:
            answers.append(None)
    return {"answers": answers} if any(answers) else None


def close(id, stream, outcome):
    chunk = {"id": "r1", "object": "chat.completion.chunk", "created": 1, "model": "sim/echo"}
    return {"events": [{"data": {**chunk, "choices": [{"index": 0, "delta": {"content": " (the end)"}}]}}]}


def pick(id, call, pool):
    if call["model"] == "sim/blank":
        return {"deny": "not today", "retry_after": 60}
    rows = pool.get("eligible") or pool["live"]
    return {"candidate": min(rows, key=lambda row: row["in_flight"])["id"]}


def register_models(id):
    provider = {
        "key": "acme",
        "dialects": ["canonical"],
        "models": ["large", {"id": "small", "context": 8000}],
        "failures": [{"status": 429, "match": "monthly", "cause": "quota", "retry_after": 3600}],
    }
    return {"providers": [provider]}


def execute(id, attempt):
    if attempt["model"] == "small":
        raise Refused({"code": -32000, "message": "come back later", "data": {"cause": "rate", "status": 429, "retry_after": 12}})
    message = {"role": "assistant", "parts": [{"type": "text", "text": "Hello"}]}
    usage = {"input": 3, "output": 1}
    return {"response": {"id": "r1", "model": "large", "choices": [{"message": message, "finish": "stop"}], "usage": usage}}


def execute_stream(id, attempt, stream, credit):
    send(id=id, result={"stream": True})
    deltas = [
        {"type": "begin", "id": "r1", "model": "large"},
        {"type": "part_start", "index": 0, "part": {"type": "text", "text": ""}},
        *({"type": "text", "index": 0, "text": word} for word in ("Hello", " to", " you")),
        {"type": "part_end", "index": 0},
        {"type": "finish", "reason": "stop"},
        {"type": "usage", "usage": {"input": 3, "output": 4}},
        {"type": "done"},
    ]
    for index, delta in enumerate(deltas):
        while credit <= 2:  # so that what is sent does not depend on who is faster
            said = read()
            credit += said["params"]["credit"] if said.get("method") == "stream.credit" else 0
        send(method="stream.item", params={"stream": stream, "index": index, "items": [{"delta": delta}]})
        credit -= 1
    send(method="stream.end", params={"stream": stream})
    return ...


def register_http(id):
    provider = {
        "key": "acme",
        "dialects": ["openai.chat"],
        "models": ["large"],
        "base_url": config["url"],
        "execute": True,
        "auth": {"header": "X-Acme-Key", "scheme": ""},
    }
    return {"providers": [provider]}


def execute_http(id, attempt):
    got = ask(
        "host.http.request", **{"for": id}, attempt=True, url=config["url"] + "/complete", body={"prompt": attempt["body"]["messages"]}
    )
    if "error" in got:
        raise Refused(got["error"])
    text = got["result"]["body"]["text"]
    message = {"role": "assistant", "content": text}
    return {
        "body": {"id": "r1", "object": "chat.completion", "created": 1, "model": "large", "choices": [{"index": 0, "message": message}]}
    }


def relay(id, attempt, stream, credit):
    """Hand on a stream of the upstream's. What is said does not depend on who is faster: nothing is granted before the answer."""
    body = {"prompt": attempt["body"]["messages"], "stream": True}
    got = ask("host.http.stream", **{"for": id}, attempt=True, url=config["url"] + "/complete", body=body, stream="mine", credit=0)
    send(id=id, result={"status": got["result"]["status"], "stream": True})
    send(method="stream.credit", params={"stream": "mine", "credit": 8})
    items = []
    while (said := waiting.pop(0) if waiting else read()).get("method") != "stream.end":
        items += said["params"]["items"] if said.get("method") == "stream.item" else []
    send(method="stream.item", params={"stream": stream, "index": 0, "items": items})
    send(method="stream.end", params={"stream": stream})
    return ...


def upstream_header(id, attempt):
    return {"headers": {"x-number": str(attempt["number"])}}


def warmer(id, attempt):
    return {"set": {"/sampling/temperature": 0.9}} if "sampling" in attempt["body"] else None


def normalize(id, attempt, reply):
    if reply.get("stream"):
        return {"handle": True}
    return {"set": {"/service_tier": "standard"}} if "service_tier" in reply.get("body", {}) else None


def started(id):
    return None


def models(id):
    ask("host.models.list", **{"for": id})
    return


def register_sources(id):
    return {"sources": ["accounts"], "providers": {"accounts": ["acme"]}}


def account(key, expires_at):
    about = {"id": "acme:one", "provider": "acme", "kind": "oauth", "label": "one"}
    return {**about, "key": key, "refresh_token": "r-1", "expires_at": expires_at}


def load(id, source):
    return {"credentials": [account("k-of-yesterday", 1000000000.0)], "problems": ["accounts.json: line 3: no key; add one"]}


def refresh(id, source, credential):
    return {"credential": account("k-of-today", 4000000000.0)}


def register_keyed(id):
    return {"providers": [{"key": "acme", "models": ["large"], "auth": {}}]}


def register_translators(id):
    return {"pairs": [{"source": "openai.chat", "target": "anthropic.messages"}]}


def register_translated(id):
    return {"providers": [{"key": "acme", "dialects": ["anthropic.messages"], "models": ["large"]}]}


WHOLE = {"id": "m1", "type": "message", "role": "assistant", "model": "large", "usage": {"input_tokens": 3, "output_tokens": 1}}


def execute_translated(id, attempt):
    return {"body": {**WHOLE, "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}}


def stream_translated(id, attempt, stream, credit):
    events = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_stop"},
    ]
    items = [{"name": event["type"], "data": event} for event in events]
    send_all(
        {"id": id, "result": {"stream": True}},
        {"method": "stream.item", "params": {"stream": stream, "items": items}},
        {"method": "stream.end", "params": {"stream": stream}},
    )
    return ...


def translate(id, body):
    losses = [{"path": "user", "what": "dropped", "why": "there is no such field"}] if "user" in body else []
    asked = {"model": body["model"], "max_tokens": 100, "messages": body["messages"], "stream": body.get("stream", False)}
    return {"body": asked, **({"losses": losses} if losses else {})}


def translate_back(id, body):
    choices = [{"index": 0, "message": {"role": "assistant", "content": body["content"][0]["text"]}, "finish_reason": "stop"}]
    return {"body": {"id": body["id"], "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices}}


def translate_events(id, events):
    made = []
    for event in events:
        delta = event["data"].get("delta")
        choice = {"index": 0, "delta": {"content": delta["text"]} if delta else {}, "finish_reason": None if delta else "stop"}
        made.append({"data": {"id": "m1", "object": "chat.completion.chunk", "created": 1, "model": "large", "choices": [choice]}})
    return {"events": made}


def translate_end(id):
    return {"events": [{"raw": "[DONE]"}]}


def accounts(id, call):
    listed = ask("host.auth.list", **{"for": id})["result"]["credentials"]
    for credential in listed:
        ask("host.auth.get", **{"for": id}, id=credential["id"])
        ask("host.auth.get_runtime", **{"for": id}, id=credential["id"])
    ask("host.auth.get", **{"for": id}, id="acme:nobody")


def register_routes(id):
    return {"routes": [{"path": "/pages/{name}"}, {"method": "POST", "path": "/pages/{name}", "access": "admin"}]}


def page(id, call, route, params):
    if params["name"] == "broken":
        raise Refused({"code": -32603, "message": "the page is torn"})
    headers = {"Content-Type": "text/plain", "X-Page": params["name"]}
    body = call.get("body") or call.get("body_text") or ""
    return {
        "status": 201 if route.get("method") == "POST" else 200,
        "headers": headers,
        "body_text": f"{params['name']} {json.dumps(body)}",
    }


def register_commands(id):
    return {"commands": [{"name": "greet", "help": "Greet somebody."}]}


def run(id, command, arguments=()):
    if not arguments:
        return {"exit_code": 2, "errors": "whom? give a name\n"}
    return {"output": f"Hello, {' '.join(arguments)}\n"}


def nested(id, call):
    words = [{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]
    whole = ask("host.model.execute", **{"for": id}, request={"model": "sim/echo", "messages": words})
    refused = ask("host.model.execute", **{"for": id}, request={"model": "sim/error-429-after-30", "messages": words})
    items = stream("host.model.execute_stream", **{"for": id}, request={"model": "sim/echo", "messages": words, "stream": True})
    text = whole["result"]["response"]["choices"][0]["message"]["parts"][0]["text"]
    message = f"{text}, {refused['error']['data']['retry_after']}, {items}"
    return {"respond": {"response": {"choices": [{"message": {"role": "assistant", "parts": [{"type": "text", "text": message}]}}]}}}


def state(id, call):
    ask("host.info")
    ask("host.state.set", key="greeting", value="hello", ttl=60.0)
    ask("host.state.get", key="greeting")
    ask("host.state.set", key="greeting", value="good day", if_absent=True)
    ask("host.state.add", key="calls", maximum=10)
    ask("host.state.add", key="calls", n=100, maximum=10)
    ask("host.state.delete", key="greeting")
    ask("host.state.get", key="greeting")
    send(method="host.log", params={"message": "counted", "level": "debug"})
    ask("host.state.get")
    ask("host.state.forget", key="greeting")
    return


def wait(id, call):
    while read().get("method") != "$/cancel":
        pass
    raise Refused({"code": -32800, "message": "cancelled"})


def fail(id, call):
    word = call["body"]["messages"][-1]["content"]
    if word == "caller":
        data = {"cause": "caller", "param": "messages", "code": "unwanted"}
        raise Refused({"code": -32000, "message": "nothing is said", "data": data})
    raise Refused({"code": -32603, "message": "division by zero"})


PARTS = {
    "route": {"model.route": (["body"], route)},
    "authenticate": {"frontend_auth.authenticate": (["headers", "secret"], authenticate)},
    "intercept": {
        "request.intercept_before": (["body"], intercept),
        "response.intercept_after": (["body"], footer),
        "usage.handle": ([], note),
        "request.complete": ([], note),
    },
    "events": {
        "response.intercept_stream_chunk.open": (["request"], opening),
        "response.intercept_stream_chunk.event": ([], events),
        "response.intercept_stream_chunk.close": ([], close),
    },
    "pick": {"scheduler.pick": ([], pick)},
    "table": {"scheduler.pick": ([], pick)},
    "execute": {
        "model.register": ([], register_models),
        "executor.execute": (["request"], execute),
        "executor.execute_stream": (["request"], execute_stream),
    },
    "http": {"model.register": ([], register_http), "executor.execute": (["body"], execute_http)},
    "http_stream": {
        "model.register": ([], register_http),
        "executor.execute": (["body"], execute_http),
        "executor.execute_stream": (["body"], relay),
    },
    "attempt": {
        "request.intercept_after": (["headers"], upstream_header),
        "request.normalize": (["body"], warmer),
        "response.normalize": (["body", "headers"], normalize),
        "response.intercept_stream_chunk.event": ([], note),
    },
    "start": {"plugin.start": ([], started), "model.route": ([], models)},
    "sources": {
        "auth.register": ([], register_sources),
        "auth.load": ([], load),
        "auth.refresh": ([], refresh),
        "model.register": ([], register_keyed),
        "executor.execute": (["secret"], execute),
    },
    "translate": {
        "model.register": ([], register_translated),
        "translate.register": ([], register_translators),
        "executor.execute": (["body"], execute_translated),
        "executor.execute_stream": (["body"], stream_translated),
        "request.translate": ([], translate),
        "response.translate": ([], translate_back),
        "response.translate.open": ([], note),
        "response.translate.event": ([], translate_events),
        "response.translate.close": ([], translate_end),
    },
    "accounts": {"model.route": ([], accounts)},
    "manage": {
        "management.register": ([], register_routes),
        "management.handle": (["body"], page),
        "command_line.register": ([], register_commands),
        "command_line.execute": ([], run),
    },
    "nested": {"request.intercept_before": ([], nested)},
    "state": {"request.intercept_before": ([], state)},
    "cancel": {"model.route": ([], wait)},
    "fail": {"request.intercept_before": (["body"], fail)},
}
config = {}


def answer(id, method, params):
    if method == "plugin.register":
        config.update(params["config"])
        on.update({name: function for name, (_, function) in PARTS[config["part"]].items()})
        needs = {name: needs for name, (needs, _) in PARTS[config["part"]].items()}
        more = config.get("options", {})
        hooks = {name: {**({"needs": listed} if listed else {}), **more.get(name, {})} for name, listed in needs.items()}
        starts = {"capabilities": ["start"]} if hooks.pop("plugin.start", None) is not None else {}
        return {"schema_version": 1, "plugin": {"name": "example", "version": "1.0.0"}, "hooks": hooks, **starts}
    if method == "plugin.shutdown":
        return None
    if method not in on:
        raise Refused({"code": -32601, "message": f"no method {method}"})
    function = on[method]
    return function(id, **{name: value for name, value in params.items() if name in inspect.signature(function).parameters})


on = {}

if __name__ == "__main__":
    while True:
        said = waiting.pop(0) if waiting else read()
        if "method" not in said or "id" not in said:
            continue
        try:
            result = answer(said["id"], said["method"], said.get("params", {}))
        except Refused as fault:
            send(id=said["id"], error=fault.args[0])
        else:
            if result is not ...:
                send(id=said["id"], result=result)
        if said["method"] == "plugin.shutdown":
            sys.exit()
