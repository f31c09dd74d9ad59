"""Answers the registration under another id."""

import json
import sys

for line in sys.stdin:
    answer = {"jsonrpc": "2.0", "id": json.loads(line).get("id", 0) + 1000, "result": {"schema_version": 1}}
    print(json.dumps(answer), flush=True)
