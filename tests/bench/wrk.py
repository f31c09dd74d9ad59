"""Runs wrk (https://github.com/wg/wrk), the load generator in C, where it is installed: it costs the proxies' cores least."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

from tests.bench import traffic
from tests.bench.generator import Figures
from tests.bench.loads import Load

_SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
local file = assert(io.open("{body}", "rb"))
wrk.body = file:read("*a")
file:close()

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect, e.read, e.write, e.status, e.timeout))
end
"""


def installed() -> bool:
    """Tell whether wrk can be used."""
    return shutil.which("wrk") is not None


def generate(port: int, load: Load, seconds: float, folder: Path) -> Figures:
    """Put a load on a port of the loopback for some seconds, rounded up: wrk knows whole ones alone.

    wrk counts answers by their status; it does not read them.
    """
    body, script = folder / f"{load.name}.json", folder / f"{load.name}.lua"
    body.write_bytes(load.body)
    script.write_text(_SCRIPT.format(key=traffic.API_KEY, body=body))
    url = f"http://127.0.0.1:{port}{load.path}"
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{math.ceil(seconds)}s", "--timeout", "10s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    return read(done.stdout, done.stderr)


def read(output: str, errors: str = "") -> Figures:
    """Read what the script's last line says. Times come in microseconds."""
    line = next((line for line in output.splitlines() if line.startswith("figures ")), None)
    if line is None:
        return Figures(requests=0, seconds=0, rate=0, p50_ms=0, p99_ms=0, failed=1, problems=[f"wrk said: {output}{errors}"], tool="wrk")
    requests, duration, p50, p99, *faults = map(int, line.split()[1:])
    kinds = ("connect", "read", "write", "status", "timeout")
    return Figures(
        requests=requests,
        seconds=duration / 1e6,
        rate=requests / (duration / 1e6),
        p50_ms=p50 / 1000,
        p99_ms=p99 / 1000,
        failed=sum(faults),
        problems=[f"{count} errors of kind {kind!r}" for kind, count in zip(kinds, faults, strict=True) if count],
        tool="wrk",
    )
