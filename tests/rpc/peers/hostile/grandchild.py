"""Starts a child that keeps its pipes, and ends."""

import json
import os
import sys
import time


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
if os.fork() == 0:
    while True:
        time.sleep(60)
os._exit(0)
