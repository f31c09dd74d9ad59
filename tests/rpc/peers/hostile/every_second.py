"""Ends at every second start, before it has registered."""

import json
import os
import pathlib
import sys

starts = pathlib.Path("every_second.starts")
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
if len(starts.read_text()) % 2 == 0:
    sys.exit("not this time")
for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "scheduler.pick":
        os._exit(1)
    result = {"schema_version": 1, "hooks": {"scheduler.pick": {}}} if said["method"] == "plugin.register" else None
    if "id" in said:
        print(json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": result}), flush=True)
