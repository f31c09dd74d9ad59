"""Begins a stream, and says nothing more, also when it is cancelled."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


REGISTRATION = {"schema_version": 1, "hooks": {"model.register": {}, "executor.execute": {}, "executor.execute_stream": {}}}
PROVIDER = {"key": "never_ends_stream", "dialects": ["toy.talk"], "models": ["never_ends_stream-stream"], "streams": "only"}
for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result=REGISTRATION)
    elif said["method"] == "model.register":
        write(id=said["id"], result={"providers": [PROVIDER]})
    elif said["method"] == "executor.execute_stream":
        stream = said["params"]["stream"]
        write(id=said["id"], result={"status": 200, "stream": True})
    elif "id" in said:
        write(id=said["id"], result=None)
