"""Asks the host thousands of things at once, and answers when it has all the answers."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
    elif said["method"] == "scheduler.pick":
        for number in range(5000):
            write(id=f"p{number}", method="host.info", params={})
        answers = [json.loads(sys.stdin.readline()) for _ in range(5000)]
        write(id=said["id"], result=None)
    elif "id" in said:
        write(id=said["id"], result=None)
