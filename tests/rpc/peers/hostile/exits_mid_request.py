"""Ends when it is asked."""

import json
import os
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
    elif said["method"] == "scheduler.pick":
        os._exit(7)
    elif "id" in said:
        write(id=said["id"], result=None)
