"""Floods with items for streams that nobody opened."""

import json
import sys


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
item = json.dumps({"jsonrpc": "2.0", "method": "stream.item", "params": {"stream": "s1", "items": [{"raw": "x"}]}})
while True:
    sys.stdout.write(f"{item}\n" * 1000)
