"""Answers with brackets within brackets."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
    elif said["method"] == "scheduler.pick":
        deep = "[" * 100_000 + "]" * 100_000
        sys.stdout.write(f'{{"jsonrpc":"2.0","id":{said["id"]},"result":{deep}}}\n')
        sys.stdout.flush()
    elif "id" in said:
        write(id=said["id"], result=None)
