"""Floods its stdout with nothing."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
while True:
    sys.stdout.write("\n" * 65536)
