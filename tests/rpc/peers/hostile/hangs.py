"""Hangs when it is asked, and reads nothing any more."""

import json
import sys
import time


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
    elif said["method"] == "scheduler.pick":
        while True:
            time.sleep(60)
    elif "id" in said:
        write(id=said["id"], result=None)
