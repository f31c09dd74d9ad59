"""A host that runs as a process, and its operator: changed files, signals, the control socket and the commands that use it."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jackfield.cli.running import _rest
from tests.kernel.served import Served, serve

__all__ = ["serve"]

Serve = Callable[..., Served]

ALIAS = "models: {aliases: {NAME: sim/echo}}\n"


def alias(name: str) -> str:
    return ALIAS.replace("NAME", name)


def started(serve: Serve, *words: str, **environment: str) -> Served:
    served = serve(*words, **environment)
    served.announced()
    return served


# --------------------------------------------------------------------------------------------------- files


def _written(file: Path, text: str) -> None:
    file.write_text(text)


def _replaced(file: Path, text: str) -> None:
    other = file.with_suffix(".new")
    other.write_text(text)
    other.replace(file)


def _written_slowly(file: Path, text: str) -> None:
    with file.open("w") as writing:  # empty now
        writing.flush()
        for letter in text:
            writing.write(letter)
            writing.flush()


@pytest.mark.parametrize("write", [_written, _replaced, _written_slowly])
def test_a_changed_configuration_is_used_and_a_broken_one_is_not(serve: Serve, tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    file = tmp_path / "jackfield.yaml"
    file.write_text(alias("best"))
    served = started(serve)
    assert served.ready() == {"status": "ok", "generation": 1}
    write(file, alias("good"))
    served.until(lambda told: told["generation"] == 2)
    write(file, "server: {prot: 1}")
    told = served.until(lambda told: "config" in told)
    assert told == {"status": "ok", "generation": 2, "config": "invalid: jackfield.yaml: server.prot: unknown; did you mean 'port'?"}
    write(file, alias("better"))
    assert served.until(lambda told: "config" not in told) == {"status": "ok", "generation": 3}
    log = served.stop()
    assert log.count("jackfield.yaml has changed") == 3
    assert "Traceback" not in log


def test_a_configuration_that_comes_to_be_is_used(serve: Serve, tmp_path: Path) -> None:
    served = started(serve)
    (tmp_path / "jackfield.yaml").write_text(alias("best"))
    served.until(lambda told: told["generation"] == 2)


def test_a_volume_of_kubernetes_changes_by_a_link(serve: Serve, tmp_path: Path) -> None:
    volume = tmp_path / "etc"
    for name, text in (("..one", alias("best")), ("..two", alias("good"))):
        (volume / name).mkdir(parents=True)
        (volume / name / "jackfield.yaml").write_text(text)
    (volume / "..data").symlink_to("..one")
    (volume / "jackfield.yaml").symlink_to("..data/jackfield.yaml")
    served = started(serve, "-c", "etc/jackfield.yaml")
    (volume / "..data_tmp").symlink_to("..two")
    (volume / "..data_tmp").rename(volume / "..data")
    served.until(lambda told: told["generation"] == 2)


def test_what_says_the_same_is_no_change_and_neither_is_a_file_that_says_nothing_yet(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "jackfield.yaml"
    file.write_text(alias("best"))
    served = started(serve)
    for text in (alias("best"), "", alias("best")):
        file.write_text(text)
    file.write_text(alias("good"))
    served.until(lambda told: told["generation"] == 2)
    log = served.stop()
    assert log.count("has changed") == log.count("serves") == 1


def test_who_saves_and_asks_for_a_reload_gets_one(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "jackfield.yaml"
    file.write_text(alias("best"))
    served = started(serve)
    file.write_text(alias("good"))
    assert served.run("reload")[0] == 0
    file.write_text(alias("better"))
    served.until(lambda told: told["generation"] == 3)
    log = served.stop()
    assert [log.count(f"generation {number} serves") for number in (1, 2, 3)] == [0, 1, 1]


def test_without_watching_a_change_waits_to_be_asked_for(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "jackfield.yaml"
    file.write_text(alias("best"))
    served = started(serve, "--no-watch")
    file.write_text(alias("good"))
    served.process.send_signal(signal.SIGHUP)
    served.until(lambda told: told["generation"] == 2)
    file.write_text(alias("better"))
    assert served.run("reload") == (0, "generation 3 serves\n")
    assert "has changed" not in served.stop()


def test_a_plugin_that_is_one_file_is_made_anew_when_it_is_saved(serve: Serve, tmp_path: Path) -> None:
    plugin = tmp_path / "router.py"
    plugin.write_text("def route_model(call): return None\n")
    served = started(serve, "--plugin", "router.py")
    plugin.write_text("def route_model(call: return None\n")
    assert "SyntaxError" in served.until(lambda told: "config" in told)["config"]
    plugin.write_text("def route_model(call): return  # mended\n")
    assert served.until(lambda told: told["generation"] == 2) == {"status": "ok", "generation": 2}
    assert "generation 2 serves (plugins made anew: router)" in served.stop()


def test_a_plugin_is_watched_whose_first_version_cannot_be_used(serve: Serve, tmp_path: Path) -> None:
    served = started(serve)
    (tmp_path / "router.py").write_text("def route_model(call: return None\n")
    (tmp_path / "jackfield.yaml").write_text("plugins: {router: {path: router.py}}")
    served.until(lambda told: "config" in told)
    (tmp_path / "router.py").write_text("def route_model(call): return None\n")
    served.until(lambda told: told["generation"] == 2)


# -------------------------------------------------------------------------------------------------- signals


def test_a_host_survives_being_told_to_hang_up_and_reloads(serve: Serve, tmp_path: Path) -> None:
    served = started(serve, "--no-watch")
    (tmp_path / "jackfield.yaml").write_text("server: {prot: 1}")
    served.process.send_signal(signal.SIGHUP)
    served.until(lambda told: "config" in told)
    (tmp_path / "jackfield.yaml").write_text(alias("best"))
    served.process.send_signal(signal.SIGHUP)
    assert served.until(lambda told: told["generation"] == 2) == {"status": "ok", "generation": 2}


def test_a_host_stops_when_its_terminal_is_closed(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    code = "import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); from jackfield.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, "serve", "--port", "0"],
        cwd=tmp_path, stdin=its, stdout=its, stderr=its, start_new_session=True,
    )  # fmt: skip
    os.close(its)
    said = b""
    while b"curl" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    try:
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------------------------------------------- commands


def test_one_goes_back_and_sees_how_the_host_is(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "jackfield.yaml"
    served = started(serve, "--no-watch")
    assert served.run("reload") == (0, "generation 1 goes on, nothing has changed\n")
    assert served.run("rollback") == (1, "there is no generation before this one to go back to; kept: none\n")
    file.write_text(alias("best"))
    served.run("reload")
    file.write_text("server: {prot: 1}")
    assert served.run("reload") == (1, "jackfield.yaml: server.prot: unknown; did you mean 'port'?\n")
    told = json.loads(served.run("status", "--json")[1])
    assert (told["generation"], told["kept"], told["pid"], told["calls"]) == (2, [1, 2], served.process.pid, 0)
    shown = served.run("status")[1]
    assert "did you mean 'port'?" in shown
    assert "generation 2" in shown
    assert served.run("rollback", "1") == (0, "generation 1 serves\n")
    assert json.loads(served.run("status", "--json")[1])["generation"] == 1


def test_what_needs_a_new_start_is_said(serve: Serve, tmp_path: Path) -> None:
    served = started(serve, "--no-watch")
    (tmp_path / "jackfield.yaml").write_text("server: {host: '::1'}")
    status, said = served.run("reload")
    assert (status, said.splitlines()[1:]) == (0, ["jackfield.yaml: server.host: stays '127.0.0.1' until the host is started again"])


def test_without_a_host_commands_say_so_in_one_line(serve: Serve, tmp_path: Path) -> None:
    nobody = Served.__new__(Served)
    nobody._folder, nobody._environment, nobody.port = tmp_path, dict(os.environ), 1
    socket_ = Path(os.environ["XDG_RUNTIME_DIR"]) / "jackfield" / "1.sock"
    for words in (["reload"], ["rollback"], ["status"], ["credentials", "disable", "x"], ["log", "level", "debug"]):
        assert nobody.run(*words) == (1, f"no host is running (no control socket at {socket_})\n")
    status, said = nobody.run("credentials")
    assert status == 0
    assert said.splitlines()[0] == f"no host is running (no control socket at {socket_}): this is what the configuration says"
    assert "none needed" in said
    served = started(serve)
    assert nobody.run("reload")[1].endswith(f"; there is one on port {served.port} (--port)\n")


def test_a_configuration_may_say_where_the_control_socket_is_or_that_there_is_none(serve: Serve, tmp_path: Path) -> None:
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "mine.sock"
    (tmp_path / "jackfield.yaml").write_text(f"server: {{control: {path}}}")
    served = started(serve)
    served.port = 0
    assert served.run("reload")[0] == 0
    served.stop()
    assert not path.exists()
    (tmp_path / "jackfield.yaml").write_text("server: {control: ''}")
    served = started(serve)
    assert served.run("reload") == (1, "the host has no control socket (server.control is empty)\n")


def test_a_host_is_found_by_what_can_be_read_of_a_broken_configuration(serve: Serve, tmp_path: Path) -> None:
    file, path = tmp_path / "jackfield.yaml", Path(os.environ["XDG_RUNTIME_DIR"]) / "mine.sock"
    file.write_text(f"server: {{control: {path}}}")
    served = started(serve, "--no-watch")
    served.port = 0
    file.write_text(f"server: {{control: {path}, prot: 1}}\nmodels: {{alias: {{}}}}")
    problems = (
        "jackfield.yaml: server.prot: unknown; did you mean 'port'?\njackfield.yaml: models.alias: unknown; did you mean 'aliases'?\n"
    )
    assert served.run("reload") == (1, problems)
    assert served.run("status")[0] == 0
    served.stop()
    file.unlink()
    other = started(serve, "--no-watch")
    number, other.port = other.port, 0
    file.write_text(f"server: {{port: {number}}}\nnonsense: 1")
    assert other.run("status")[0] == 0
    for text, why in (
        ("server: {port: [", "jackfield.yaml: line 1, column 17: not valid YAML: expected the node content, but found '<stream end>'"),
        ("nonsense: 1\nserver: {port: none}", "jackfield.yaml: server.port: expected a whole number, got 'none'"),
    ):
        file.write_text(text)
        assert other.run("status") == (1, f"{why}; say --port\n")
        assert other.run("status", "--port", str(number))[0] == 0


def test_only_the_owner_may_open_a_control_socket_and_one_that_is_left_is_taken_over_and_another_hosts_is_not(
    serve: Serve, tmp_path: Path
) -> None:
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "jackfield"
    path = folder / "mine.sock"
    folder.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    (tmp_path / "jackfield.yaml").write_text(f"server: {{control: {path}}}")
    served = started(serve)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = started(serve)
    assert f"no control socket at {path}: another host's is there" in other.stop()
    served.port = 0
    assert served.run("status")[0] == 0, "it is still the first one's"


def test_a_request_that_is_none_is_answered_and_the_connection_goes_on(serve: Serve, tmp_path: Path) -> None:
    served = started(serve)
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(Path(os.environ["XDG_RUNTIME_DIR"]) / "jackfield" / f"{served.port}.sock"))
        lines = asked.makefile("rb")
        for line, says in (
            (b"nonsense", "not a request"),
            (b"[1]", "not a request"),
            (b'{"do": "explode"}', "this host knows no request 'explode'; it knows: reload, rollback, status"),
            (b'{"do": "switch"}', "not a request: TypeError"),
            (b'{"do": "log_level", "level": "loud"}', "no level 'loud'; there are: debug, info, warning, error"),
        ):
            asked.sendall(line + b"\n")
            assert says in json.loads(lines.readline())["error"]
        asked.sendall(b'{"do": "status"}\n')
        assert json.loads(lines.readline())["result"]["generation"] == 1


# ---------------------------------------------------------------------------------------------- credentials

KEYS = """
credentials:
  - {provider: openai, key: k-one, label: first}
  - {provider: openai, key: k-two, label: second}
  - {provider: anthropic, key: k-three, label: second}
"""


def test_credentials_are_listed_shown_switched_and_reset(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "jackfield.yaml").write_text(KEYS)
    served = started(serve)

    def states() -> dict[str, str]:
        return {row["label"]: row["state"] for row in json.loads(served.run("credentials", "--json")[1]) if row["provider"] == "openai"}

    assert states() == {"first": "ok", "second": "ok"}
    status, said = served.run("credentials", "disable", "first")
    name = said.split()[0]
    assert (status, said) == (0, f"{name} is switched off, until the host is started again (state: sqlite would remember it)\n")
    assert states() == {"first": "off", "second": "ok"}
    assert "  state: off" in served.run("credentials", "show", "first")[1]
    assert served.run("credentials", "disable", "openai")[0] == 0
    assert states() == {"first": "off", "second": "off"}
    assert "switched off" in served.run("status")[1]
    (tmp_path / "jackfield.yaml").write_text(f"server: {{port: {served.port}}}" + KEYS)
    served.port, port = 0, served.port
    assert served.run("check") == (0, f"the configuration is fine\nswitched off in the host that runs: openai, {name}\n")
    served.port = port
    assert served.run("credentials", "enable", "openai")[0] == 0
    assert states() == {"first": "off", "second": "ok"}
    assert served.run("credentials", "enable", name)[0] == 0
    assert states() == {"first": "ok", "second": "ok"}
    assert served.run("credentials", "show", "frist") == (1, "no credential 'frist'; did you mean 'first'?\n")
    assert served.run("credentials", "disable", "frist") == (1, "no credential and no provider 'frist'; did you mean 'first'?\n")
    assert served.run("credentials", "disable", "second")[1].startswith(
        "2 credentials are called 'second'; say which by its id: anthropic:"
    )
    assert served.run("credentials", "reset") == (0, "no credential rested\n")
    assert served.run("credentials", "reset", "nobody")[0] == 1
    assert served.run("credentials", "remove", "first") == (1, f"{name} is from jackfield.yaml: credentials[0]: take it out there\n")
    assert "k-one" not in served.run("credentials", "show", "first", "--json")[1]
    assert " rest" not in served.stop()


def test_the_rest_of_a_refused_model_is_called_what_its_setting_is_called() -> None:
    assert _rest({"cause": "unsupported", "model": "m", "until": 0.0}).startswith("refused for m until ")
    assert _rest({"cause": "rate", "model": "", "until": 0.0}).startswith("rate until ")


def test_what_is_switched_off_is_remembered_where_the_state_is_kept(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "jackfield.yaml").write_text(KEYS + f"state: {{kind: sqlite, path: {tmp_path / 'state.db'}}}\n")
    served = started(serve)
    status, said = served.run("credentials", "disable", "first")
    assert (status, said.endswith(" is switched off\n")) == (0, True)
    served.process.kill()
    served.process.communicate()
    served = started(serve)
    assert json.loads(served.run("status", "--json")[1])["off"] == [said.split()[0]]
    assert "first" in json.loads(served.run("credentials", "show", "first", "--json")[1])[0]["label"]
    assert served.run("credentials", "enable", "first")[0] == 0
    assert "switched off, as an operator said" in served.stop()
    assert json.loads(started(serve).run("status", "--json")[1])["off"] == []


def test_a_credential_in_a_file_is_removed(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    folder.mkdir(mode=0o700)
    (folder / "one.json").write_text(json.dumps({"provider": "openai", "key": "k-one", "label": "filed"}))
    (folder / "one.json").chmod(0o600)
    (tmp_path / "jackfield.yaml").write_text("plugins: {credential_files: {folder: accounts}}")
    served = started(serve)
    assert [row["label"] for row in json.loads(served.run("credentials", "--json")[1]) if row["provider"] == "openai"] == ["filed"]
    assert served.run("credentials", "remove", "filed")[0] == 0
    assert "filed" not in served.run("credentials")[1]
    assert not (folder / "one.json").exists()


# ------------------------------------------------------------------------------------------------- the log


def test_the_log_goes_to_a_file_and_to_a_new_one_when_that_is_moved_away(serve: Serve, tmp_path: Path) -> None:
    served = started(serve, "--log-file", "jackfield.log", "--no-watch")
    served.run("reload")
    (tmp_path / "jackfield.log").rename(tmp_path / "jackfield.log.1")
    served.run("reload")
    assert served.stop() == ""
    assert "goes on, nothing has changed" in (tmp_path / "jackfield.log.1").read_text()
    assert "goes on, nothing has changed" in (tmp_path / "jackfield.log").read_text()


def test_more_is_logged_from_now_on(serve: Serve) -> None:
    served = started(serve)
    assert served.run("log", "level", "warning") == (0, "jackfield logs warning\n")
    served.run("reload")
    assert served.run("log", "level", "info", "jackfield") == (0, "jackfield logs info\n")
    served.run("reload")
    assert served.stop().count("goes on, nothing has changed") == 1


@pytest.mark.parametrize(
    ("cause", "days", "says"), [("account_action", 31, "somebody renews it"), ("credential", 1, ":"), ("quota", 31, ":")]
)
def test_a_rest_that_nobody_has_set_an_end_to_shows_none(cause: str, days: int, says: str) -> None:
    shown = _rest({"model": "", "cause": cause, "until": time.time() + days * 86400 - 60})
    assert shown.startswith(f"{cause} until ")
    assert says in shown
