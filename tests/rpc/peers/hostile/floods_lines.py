"""Floods its stdout with lines that are no messages."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
while True:
    sys.stdout.write("thinking about it ...\n" * 1000)
