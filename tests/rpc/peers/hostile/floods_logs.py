"""Floods with messages for the host's log."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
line = json.dumps({"jsonrpc": "2.0", "method": "host.log", "params": {"level": "info", "message": "still alive"}})
while True:
    sys.stdout.write(f"{line}\n" * 1000)
