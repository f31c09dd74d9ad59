"""Sends items of a stream without any credit for them, and never ends it."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


REGISTRATION = {"schema_version": 1, "hooks": {"model.register": {}, "executor.execute": {}, "executor.execute_stream": {}}}
PROVIDER = {"key": "beyond_credit", "dialects": ["canonical"], "models": ["beyond_credit-stream"], "streams": "only"}
BEGIN = [{"type": "begin", "id": "c1", "model": "m"}, {"type": "part_start", "index": 0, "part": {"type": "text", "text": ""}}]
TEXT = [{"type": "text", "index": 0, "text": "x"}]
for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result=REGISTRATION)
    elif said["method"] == "model.register":
        write(id=said["id"], result={"providers": [PROVIDER]})
    elif said["method"] == "executor.execute_stream":
        stream = said["params"]["stream"]
        write(id=said["id"], result={"status": 200, "stream": True})
        items = [{"delta": delta} for delta in BEGIN + TEXT * 1000]
        write(method="stream.item", params={"stream": stream, "index": 0, "items": items})
    elif "id" in said:
        write(id=said["id"], result=None)
