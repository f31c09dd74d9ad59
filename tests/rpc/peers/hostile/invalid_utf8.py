"""Answers with bytes that are no UTF-8."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "plugin.register":
        write(id=said["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
    elif said["method"] == "scheduler.pick":
        sys.stdout.buffer.write(b'{"jsonrpc":"2.0","id":%d,"result":{"deny":"\xff\xfe\x80"}}\n' % said["id"])
        sys.stdout.flush()
    elif "id" in said:
        write(id=said["id"], result=None)
