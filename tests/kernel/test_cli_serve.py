"""`jackfield serve` as a process: what it prints when it is ready, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path

import pytest
import yaml

from tests.kernel.served import do, serve
from tests.rpc.programs import Written

__all__ = ["serve"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_how_to_try_it_and_stops_on_a_signal(serve: object, number: int, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def route_model(call): pass\ndef rout_model(call): pass\n")
    served = serve("--plugin", "mine.py")  # type: ignore[operator]
    said = served.announced()
    url = re.search(r"jackfield listens on (http://127\.0\.0\.1:\d+)", said)
    assert url is not None
    assert re.search(r"^plugins: .*\bmine\b.*\bsimulator\b", said, re.MULTILINE)
    line = next(line.strip() for line in said.splitlines() if line.strip().startswith("curl"))
    assert line.startswith(f"curl {url[1]}/")
    assert "Hello" in do(line)
    with urllib.request.urlopen(f"{url[1]}/healthz") as health:
        assert health.status == 200
    log = served.stop(number)
    assert served.process.returncode == 0
    assert "did you mean 'route_model'" in log
    assert "Traceback" not in log


def test_what_a_program_prints_stands_in_the_log_under_its_name(serve: object, tmp_path: Path) -> None:
    talker = Written(tmp_path / "talker.py", before="print('a word', file=sys.stderr, flush=True)", hooks={"model.route": {}})
    (tmp_path / "my.yaml").write_text(json.dumps({"plugins": {"talker": {"command": talker.command}}}))
    served = serve("-c", "my.yaml")  # type: ignore[operator]
    served.announced()
    assert re.search(r"^[\d-]+ [\d:,]+ INFO plugin 'talker': a word$", served.stop(), re.MULTILINE)


def test_nobody_writes_lines_of_the_log_that_look_like_anothers(serve: object, tmp_path: Path) -> None:
    forged = "no\n2026-01-01 00:00:00,000 INFO plugin 'bank': all is well\x1b[2J"
    refusing = Written(tmp_path / "r.py", {"model.route": {"code": -32603, "message": forged + "m" * 10_000}}, hooks={"model.route": {}})
    (tmp_path / "my.yaml").write_text(json.dumps({"plugins": {"refusing": {"command": refusing.command}}}))
    served = serve("-c", "my.yaml", "-v")  # type: ignore[operator]
    url = re.search(r"http://127\.0\.0\.1:\d+", served.announced())
    assert url is not None
    body = json.dumps({"model": forged, "messages": []}).encode()
    asked = urllib.request.Request(f"{url[0]}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(asked)
    log = served.stop()
    assert log.count("\n  2026-01-01 00:00:00,000 INFO plugin 'bank': all is well\\x1b[2J") >= 2
    assert not re.search("^2026-01-01|\x1b", log, re.MULTILINE)
    assert len(max(log.splitlines(), key=len)) < 10_000


@pytest.mark.parametrize("said", [False, True])
def test_a_proxy_of_the_environment_is_said_not_to_be_used_unless_the_configuration_says_something(
    serve: object, said: bool, tmp_path: Path
) -> None:
    (tmp_path / "my.yaml").write_text(f"proxy: {'direct' if said else ''}\n")
    served = serve("-c", "my.yaml", HTTPS_PROXY="http://me:secret@127.0.0.1:1")  # type: ignore[operator]
    served.announced()
    log = served.stop()
    assert ("$HTTPS_PROXY is not used: to go through that proxy, write `proxy: ${HTTPS_PROXY}`" in log) is not said
    assert "secret" not in log


def test_with_nothing_plugged_in_it_says_so_and_still_answers_the_health_check(serve: object, tmp_path: Path) -> None:
    names = yaml.safe_load(resources.files("jackfield_defaults").joinpath("jackfield.yaml").read_text())["plugins"]
    off = ", ".join(f"{name}: {{enabled: false, required: false}}" for name in names)
    (tmp_path / "my.yaml").write_text(f"plugins: {{autoload: false, {off}}}")
    served = serve("-c", "my.yaml")  # type: ignore[operator]
    said = served.announced()
    assert "plugins: none: nothing is plugged in, so nothing but /healthz is served" in said
    with urllib.request.urlopen(re.search(r"http://\S+", said)[0] + "/healthz") as health:  # type: ignore[index]
        assert health.status == 200
    served.stop()
    assert served.process.returncode == 0


def test_a_thread_of_a_plugin_that_never_ends_does_not_keep_the_process(serve: object, tmp_path: Path) -> None:
    code = """
    import threading
    from jackfield.api import hook
    @hook(blocking=True, deadline=0.1)
    def route_model(call):
        threading.Event().wait()
    """
    (tmp_path / "stuck.py").write_text("\n".join(line[4:] for line in code.splitlines()))
    served = serve("--plugin", "stuck.py")  # type: ignore[operator]
    line = next(line.strip() for line in served.announced().splitlines() if line.strip().startswith("curl"))
    do(line)
    assert "threads that do not end are left: jackfield-stuck" in served.stop()
    assert served.process.returncode == 0


HANGS = """
import asyncio, sys

class Plugin:
    async def start(self):
        print("curl: starting", flush=True)
        await asyncio.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_a_plugin_is_still_starting(serve: object, number: int, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    served = serve("--plugin", "hangs.py")  # type: ignore[operator]
    served.announced()
    served.process.send_signal(number)
    assert served.process.wait(timeout=5) == 0
