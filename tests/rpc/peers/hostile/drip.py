"""Answers one byte at a time."""

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
        for letter in json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": None}) + "\n":
            sys.stdout.write(letter)
            sys.stdout.flush()
            time.sleep(0.001)
    elif "id" in said:
        write(id=said["id"], result=None)
