"""Asks for methods and sends notifications that nobody knows."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
    elif said["method"] == "scheduler.pick":
        write(id="a", method="host.launch", params={"code": "0000"})
        write(method="host.applaud", params=[1, 2, 3])
        write(id=said["id"], result={"deny": json.loads(sys.stdin.readline())["error"]["message"]})
    elif "id" in said:
        write(id=said["id"], result=None)
