"""Answers the registration with something else."""

import json
import sys

for line in sys.stdin:
    print(json.dumps({"jsonrpc": "2.0", "id": json.loads(line).get("id"), "result": ["scheduler.pick"]}), flush=True)
