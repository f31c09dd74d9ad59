"""Grants and takes credit for streams that there are not, and dies in the middle of its own."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


REGISTRATION = {"schema_version": 1, "hooks": {"model.register": {}, "executor.execute": {}, "executor.execute_stream": {}}}
PROVIDER = {"key": "credit_from_nowhere", "dialects": ["canonical"], "models": ["credit_from_nowhere-stream"], "streams": "only"}
for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result=REGISTRATION)
    elif said["method"] == "model.register":
        write(id=said["id"], result={"providers": [PROVIDER]})
    elif said["method"] == "executor.execute_stream":
        stream = said["params"]["stream"]
        write(id=said["id"], result={"status": 200, "stream": True})
        for credit in (10**18, -(10**18), 0):
            write(method="stream.credit", params={"stream": stream, "credit": credit})
            write(method="$/cancel", params={"id": credit})
        write(method="stream.item", params={"stream": stream, "index": -5, "items": "all of them"})
    elif "id" in said:
        write(id=said["id"], result=None)
