"""Answers the registration with what is no message."""

import sys

for _ in sys.stdin:
    print("{jsonrpc: 2.0, hooks: all of them", flush=True)
