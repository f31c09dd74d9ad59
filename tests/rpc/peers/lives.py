"""A plugin whose hooks and manners its configuration says; it notes its lives in a file, one JSON object a line."""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

config: dict = {}


def note(**said) -> None:
    with Path("lives").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), **said}) + "\n")


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


def register(params: dict) -> dict:
    config.update(params.get("config", {}))
    note(did="register", env=dict(os.environ), cwd=str(Path.cwd()), session=os.getsid(0), argv=sys.argv)
    note(did="limits", files=resource.getrlimit(resource.RLIMIT_NOFILE))
    if config.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if config.get("forks") and os.fork() == 0:
        note(did="forked")
        time.sleep(600)
    return {"schema_version": 1, "plugin": {"name": "lives", "version": "1"}, "hooks": config.get("takes", {"model.route": {}})}


def answer(method: str, params: dict) -> object:
    if method == "plugin.register":
        return register(params)
    if method == "frontend_auth.authenticate":
        return {"principal": {"name": "somebody"}}
    if method == "response.intercept_stream_chunk.open":
        return {"handle": True}
    if method == "response.intercept_stream_chunk.event":
        return {"answers": [None for _ in params["events"]]}
    if method == "model.register":
        return {"providers": [{"key": "lives", "dialects": ["toy.talk"], "models": ["lived"]}]}
    if method == "executor.execute":
        body = {"id": "t-1", "model": "m", "blocks": [{"text": "Hello"}], "stop": "stop", "cost": {"in": 3, "out": 5}}
        return {"status": 200, "headers": [["content-type", "application/json"]], "body": body}
    if method == "model.route":
        if config.get("eats") == "memory":
            config["eaten"] = b"x" * (100 << 20)
        while config.get("holds") and not Path("go").exists():
            time.sleep(0.005)
        return {"model": config["to"]} if "to" in config else None
    return None


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "$/ping":
        note(did="ping")
    if "id" in said:
        write(id=said["id"], result=answer(said["method"], said.get("params", {})))
    if said["method"] == "plugin.shutdown":
        note(did="shutdown")
        if not config.get("deaf"):
            sys.exit(0)
    while config.get("eats") == "cpu" and said["method"] == "model.route":
        pass
note(did="end of stdin")
while config.get("deaf"):
    time.sleep(600)
