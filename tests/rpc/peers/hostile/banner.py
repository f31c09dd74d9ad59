"""Prints a banner first, as programs do."""

import json
import sys

print("** scheduler 1.0 **\n\x1b[31mready\x1b[0m\n", flush=True)
for line in sys.stdin:
    said = json.loads(line)
    result = {"schema_version": 1, "hooks": {"scheduler.pick": {}}} if said["method"] == "plugin.register" else None
    if "id" in said:
        print(json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": result}), flush=True)
