"""Asks for what there is not, as fast as it can, and does not read the answers."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
for number in range(1_000_000_000):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": "host.nothing", "params": {}}) + "\n")
