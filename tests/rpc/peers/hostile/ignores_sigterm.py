"""Takes no notice of being asked to end, in any way."""

import json
import signal
import sys
import time


def write(**said) -> None:
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)


write(id=json.loads(sys.stdin.readline())["id"], result={"schema_version": 1, "hooks": {"scheduler.pick": {}}})
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    if (said := json.loads(line))["method"] == "scheduler.pick":
        write(id=said["id"], result=None)
while True:
    time.sleep(60)
