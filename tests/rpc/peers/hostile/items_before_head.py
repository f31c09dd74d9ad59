"""Sends a stream's items and its end before it answers the request for it."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


REGISTRATION = {"schema_version": 1, "hooks": {"model.register": {}, "executor.execute": {}, "executor.execute_stream": {}}}
PROVIDER = {"key": "items_before_head", "dialects": ["canonical"], "models": ["items_before_head-stream"], "streams": "only"}
TEXT = {"delta": {"type": "text", "index": 0, "text": "x"}}
for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result=REGISTRATION)
    elif said["method"] == "model.register":
        write(id=said["id"], result={"providers": [PROVIDER]})
    elif said["method"] == "executor.execute_stream":
        stream = said["params"]["stream"]
        write(method="stream.item", params={"stream": stream, "index": 0, "items": [TEXT]})
        write(method="stream.end", params={"stream": stream})
        write(id=said["id"], result={"status": 200, "stream": True})
    elif "id" in said:
        write(id=said["id"], result=None)
