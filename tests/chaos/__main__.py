"""The long form of the chaos test: `python -m tests.chaos` from the project's root folder."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence

from tests.chaos.run import MOST, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs that were asked for; return 1 where something did not hold."""
    own = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    own.add_argument("--calls", type=int, default=20_000, help="of each run (default: %(default)s)")
    own.add_argument("--seed", type=int, help="of the first run (default: by lot); each further one has the next")
    own.add_argument("--runs", type=int, default=2, help="(default: %(default)s)")
    said = own.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of what lies in sets is part of a run
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.chaos", *(arguments or sys.argv[1:])], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    first = said.seed if said.seed is not None else random.SystemRandom().randrange(1_000_000)
    failed = False
    for seed in range(first, first + said.runs):
        print(f"seed {seed}: {said.calls} calls ...", flush=True)
        started = time.time()
        report = run(seed, said.calls, budget=MOST)
        print(f"{report}\n{time.time() - started:.0f} s", flush=True)
        failed = failed or bool(report.violations)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
