"""The conformance check: it passes plugins that do as the contract asks, and of each mistake it says what is wrong, and nothing else."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jackfield.api.testing.conformance import CannotCheck, check, listed
from jackfield.cli.main import main

EXAMPLES = Path(__file__).resolve().parents[2] / "plugin_examples"
CHECKED = Path(__file__).parent / "checked"
PYTHON = (sys.executable, "-S")


def tool(name: str) -> str:
    return name if shutil.which(name) else pytest.skip(f"{name} is not installed")


# ------------------------------------------------------------------------------------------------- who passes


async def test_a_plugin_that_takes_part_in_everything_passes_every_check() -> None:
    report = await check(*PYTHON, str(CHECKED / "well.py"))
    assert report.passed, report
    assert {result.check for result in report.results if result.state == "skipped"} == {"callbacks"}


async def test_the_router_of_the_documents_passes_as_it_is_printed() -> None:
    report = await check(tool("node"), str(EXAMPLES / "router_node" / "router.mjs"))
    assert report.passed, report
    asked = [(result.check, result.carrier) for result in report.results if result.check.startswith("answers")]
    assert asked == [("answers model.route", "rpc"), ("answers route_model", "host")]


async def test_a_router_in_posix_shell_passes() -> None:
    tool("jq")
    report = await check("sh", str(CHECKED / "router.sh"), carriers=["rpc"])
    assert report.passed, report


FIRST_PARTY = sorted(point.name for point in entry_points(group="jackfield.plugins") if point.dist and point.dist.name == "jackfield")
SETTINGS: dict[str, dict[str, Any]] = {"api_keys": {"keys": [{"name": "alice", "key": "check-key"}]}}


@pytest.mark.parametrize("name", FIRST_PARTY)
async def test_a_first_party_plugin_passes_in_process_and_where_it_can_be_isolated_so(name: str) -> None:
    report = await check(name, config=SETTINGS.get(name), carriers=["host", "rpc", "isolated"])
    assert report.passed, report
    carriers = {result.carrier for result in report.results if result.state == "ok"}
    kept = [result.message for result in report.results if (result.check, result.state) == ("handshake", "skipped")]
    assert carriers == ({"host", "rpc"} if kept else {"host", "rpc", "isolated"})
    assert all(message.endswith("which exist in process only") for message in kept)


async def test_the_example_in_python_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "router_python" / "src"))
    report = await check("jackfield_workload", carriers=["host"])
    assert report.passed, report


async def test_a_single_file_is_checked_in_process_and_out_of_it(tmp_path: Path) -> None:
    router = tmp_path / "my-router.py"
    router.write_text("def route_model(call):\n    return 1 / bool(call.request.tools) and None\n")
    report = await check(str(router))
    assert [(failure.check, failure.carrier) for failure in report.failures] == [
        ("answers route_model", "host"),
        ("answers model.route", "rpc"),
        ("answers route_model", "isolated"),
    ]
    assert all("ZeroDivisionError: division by zero" in failure.message for failure in report.failures)


# ------------------------------------------------------------------------------------------------ who does not

MISTAKES = {
    "Dies": ("handshake", "plugin.register was sent, and its process ended with status 1 (cannot find my settings)"),
    "Refuses": ("handshake", "and error -32603 (no) came; answer with what the plugin is"),
    "text-version": ("registration", "Expected `int`, got `str` - at `$.schema_version`"),
    "no-turns": ("registration", "Expected `int` >= 1 - at `$.max_in_flight`"),
    "new-version": ("version", "with schema_version 2, and hosts speak 1"),
    "misspelt-hook": ("hooks", "it declares the method 'model.rout', which no host calls; did you mean 'model.route'?"),
    "misspelt-need": ("hooks", "what it declares of model.route is"),
    "NeedsLimit": ("config", "with the configuration {}: plugin.register was sent, and its process ended with status 1"),
    "CrashesAtWrongSettings": ("wrong-config", "answer with error -32602 and say which setting is wrong"),
    "TakesAnySettings": ("wrong-config", "which breaks its config_schema, and was answered as if it were fine"),
    "NoJsonSchema": ("config-schema", "its config_schema is no JSON Schema"),
    "KnowsAllMethods": ("unknown-method", "the result null came; answer methods that you do not know with error -32601"),
    "AnswersNotifications": ("unknown-notification", "what has no id is never answered"),
    "RefusesNewFields": ("unknown-fields", "error -32602 (an unknown field) came; ignore fields that you do not know"),
    "NumbersOnly": ("ids", "repeat the id exactly as it is"),
    "LosesSingleBytes": ("split", "was sent byte by byte, and 1 of 1 requests were not answered"),
    "LosesAllButTheFirst": ("glued", "was sent as 4 messages in two writes, and 2 of 4 requests were not answered"),
    "empty-route": ("answers model.route", "a route names a model, a provider or an executor; answer null for no opinion"),
    "misspelt-field": ("answers model.route", "there is no field 'modle' in that answer; did you mean 'model'?"),
    "no-route": ("answers model.route", 'and "strong" came, which is not as the schema says'),
    "not-eligible": ("answers scheduler.pick", "'another' is not eligible; pick one of check-0/model, check-1/model, check-2/model"),
    "two-changes": ("answers request.intercept_before", "a change is one of its forms, and this has set or remove and respond"),
    "no-pointer": ("answers request.normalize", "a JSON Pointer begins with a slash: 'model'"),
    "no-answer": ("answers executor.execute", "7 is no HTTP status"),
    "strange-model": ("answers model.register", "came, which is not as the schema says: "),
    "no-null": ("answers request.complete", "and {} came, which is not as the schema says"),
    "nobody": ("answers frontend_auth.authenticate", "a principal has a name"),
    "NoText": ("bodies", "was sent with a body that is not JSON, and error -32603 ('body') came"),
    "OnlyOnce": ("repeated", "once more, and error -32603 (it was asked before) came"),
    "LosesWhatIsTooMuch": ("concurrent", "32 requests frontend_auth.authenticate were sent at once"),
    "too-many-answers": ("stream-events", "99 answers for 1 events; give one for each, in their order"),
    "no-event": ("stream-events", "an event has `same`"),
    "ClosesWithAnError": ("stream-events", "error -32603 (no stream) came; answer null, or error -32601"),
    "CountsFromOne": ("stream", "the item 1 came where 0 was next; count items from 0, without gaps"),
    "NeedsNoCredit": ("credit", "items came where 2 were allowed; wait for stream.credit"),
    "LosesCancelled": ("cancel-early", "was sent and cancelled ($/cancel), and it was not answered within"),
    "NeverCancels": ("cancel-stream", "a stream was cancelled after 1 items, and no stream.end came within"),
    "CancelsNumbers": ("cancel-late", "its process ended with status 1 (ValueError"),
    "KeepsFilesOpen": ("leaks", "files open more than before; close what you open"),
    "KeepsMemory": ("leaks", "MiB; keep nothing of a call that is over"),
    "unknown-question": ("callbacks", "it asked 'host.weather', which no host answers"),
    "wrong-question": ("callbacks", "missing required field `key`"),
    "question-within-nothing": ("callbacks", "it asked host.info with `for` 123456, which is the id of none of the host's requests"),
    "shutdown-answer": ("shutdown", 'plugin.shutdown was sent, and "bye" came; answer with null'),
    "EndsWithThree": ("shutdown", "after plugin.shutdown its process ended with status 3; end with status 0"),
    "NeverEnds": ("shutdown", "plugin.shutdown was answered and stdin closed, and it did not end within"),
    "OutlivesItsHost": ("end-of-file", "end at the end of the file, else it outlives its host"),
    "IgnoresSigterm": ("sigterm", "do not ignore that signal"),
    "LeavesAChild": ("children", "it has ended, and 1 processes that it started have not"),
    "Greets": ("stdout", "'hello' came on stdout, which is no JSON object; write what is not a message to stderr"),
    "SaysNoVersion": ("envelope", 'a message has "jsonrpc":"2.0"'),
    "AnswersTwice": ("envelope", "and that request had been answered; answer once"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_fails_the_check_that_is_about_it_and_no_other(mistake: str) -> None:
    expected, sentence = MISTAKES[mistake]
    report = await check(*PYTHON, str(CHECKED / "mistakes.py"), mistake, config={"limit": 1}, carriers=["rpc"], deadline=2.0, grace=1.0)
    assert [result.check for result in report.failures] == [expected], report
    assert sentence in report.failures[0].message


IN_PROCESS = {
    "FailsToStart": ("start", "it does not start: plugin 'failstostart': start: OSError: there is no database"),
    "Misspells": ("registration", "did you mean 'intercept_request'?"),
    "HasNoHook": ("registration", "it does nothing: it has no hook"),
    "TripsOverSettings": ("wrong-config", "TypeError: unhashable type: 'dict'; declare a Config struct, or name the setting"),
    "NeedsMessages": ("answers intercept_request", "a call in gemini.generate was made, and intercept_request raised KeyError: 'messages'"),
    "TakesItsTime": ("answers route_model", "with tools was made, and route_model took longer than 0.2 s"),
    "WorksAlone": ("concurrent", "32 calls were made at once, and route_model raised RuntimeError: somebody else is here"),
    "TripsOverLeaving": ("cancel-early", "a client left in the middle of a call, and request_complete raised KeyError: 'usage'"),
    "TripsOverLeavingStreams": ("cancel-stream", "a client left in the middle of a call, and request_complete raised KeyError: 'usage'"),
    "NeverRecovers": (
        "cancel-late",
        "a call was made after others whose clients left, and request_complete raised RuntimeError: it is closed",
    ),
    "HasAnUnfinishedProvider": ("models", "unfinished://m was asked, and it failed"),
    "FailsToClose": ("shutdown", "the host was stopped, and close: OSError: the disk is full"),
}


@pytest.mark.parametrize("mistake", IN_PROCESS)
async def test_so_does_a_mistake_in_process(mistake: str) -> None:
    expected, sentence = IN_PROCESS[mistake]
    report = await check(
        f"{__package__}.checked.in_process:{mistake}", carriers=["host"], deadline=0.2 if mistake == "TakesItsTime" else 5.0
    )
    failures = report.failures
    assert [failure.check for failure in failures] == [expected], report
    assert sentence in failures[0].message


def test_every_check_within_a_host_is_failed_by_some_mistake() -> None:
    assert {name for name, carrier, _ in listed() if carrier == "host"} == {name.split()[0] for name, _ in IN_PROCESS.values()}


async def test_a_program_that_cannot_be_started_is_said_to_be_so(tmp_path: Path) -> None:
    program = tmp_path / "plugin"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    report = await check(str(program))
    assert [result.check for result in report.failures] == ["start"]
    assert "cannot be started: No such file or directory; see that it is built, and may be executed" in report.failures[0].message


async def test_a_program_that_writes_without_end_is_ended() -> None:
    report = await check(tool("yes"), carriers=["rpc"], only=["handshake"])
    assert "lines, far more than was asked for, and was ended" in report.failures[0].message


def test_every_check_over_pipes_is_failed_by_some_mistake() -> None:
    assert {name for name, carrier, _ in listed() if carrier == "rpc"} == {name.split()[0] for name, _ in MISTAKES.values()} | {"start"}


# -------------------------------------------------------------------------------------------- what is checked


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name a program and its arguments"),
        (("no-such-program", "x"), "the program 'no-such-program' is not there"),
        (("no-such-thing",), "'no-such-thing' is no program"),
    ],
)
async def test_what_is_nothing_is_refused_in_one_line(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(CannotCheck) as refusal:
        await check(*words)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plugin", "check", *arguments])


def test_the_command_prints_a_table_and_a_sentence_for_each_failure() -> None:
    done = run("--carrier", "rpc", "--config", str(CHECKED / "limit.yaml"), *PYTHON, str(CHECKED / "mistakes.py"), "Greets")
    assert done.exit_code == 1
    assert "answers model.route" in done.output
    assert "stdout: 'hello' came on stdout, which is no JSON object" in done.output
    assert done.output.strip().endswith("1 failed, 1 skipped")


def test_the_command_prints_json_and_makes_the_checks_that_are_named_alone() -> None:
    done = run("--json", "--only", "answers model.*", "--only", "st*out", *PYTHON, str(CHECKED / "well.py"))
    assert done.exit_code == 0
    said = json.loads(done.output)
    assert said["passed"]
    assert [(one["check"], one["state"]) for one in said["results"]] == [
        ("answers model.route", "ok"),
        ("answers model.register", "ok"),
        ("stdout", "ok"),
    ]


def test_what_a_plugin_prints_is_no_part_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text("print('loading')\n\ndef route_model(call):\n    print('routing')\n")
    done = run("--json", "--carrier", "host", "--only", "start", "--only", "answers *", str(tmp_path / "chatty.py"))
    assert json.loads(done.stdout)["passed"]
    assert "loading" in done.stderr


def test_a_check_that_there_is_not_is_no_success() -> None:
    done = run("--only", "handshakes", *PYTHON, str(CHECKED / "well.py"))
    assert (done.exit_code, "no check is called handshakes" in done.output) == (2, True)


def test_the_command_lists_the_checks() -> None:
    done = run("--list")
    assert done.exit_code == 0
    assert "credit (rpc): It sends no more items of a stream than it has credit for, and goes on when more comes." in done.output


@pytest.mark.parametrize("arguments", [(), ("no-such-thing",), ("--config", "no-such-file", "true"), ("--deadline", "0", "true")])
def test_what_the_command_cannot_do_is_told_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Error: " in done.output
    assert "Traceback" not in done.output
