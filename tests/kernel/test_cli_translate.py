"""`jackfield translate`: a translation and its losses, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import msgspec
import pytest

from jackfield.api import Request
from jackfield.api.canonical import Begin, Error, Message, PartStart, Sampling, StreamError, Text, TextDelta
from jackfield.cli.main import main
from tests.kernel.conftest import WHOLE, talk
from tests.kernel.toy import check_stream, stream_of

Translate = Callable[..., click.testing.Result]

TOY = "from tests.kernel.toy import ToyDialect\n\ndef register_dialects():\n    return [ToyDialect()]\n"
WARM = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),), sampling=Sampling(temperature=0.5))


@pytest.fixture
def translate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Translate:
    """Runs the command in an empty folder, with a plugin that brings a toy dialect."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JACKFIELD_CONFIG", raising=False)
    Path("toy.py").write_text(TOY)

    def _translate(source: str, target: str, body: Any, *options: str) -> click.testing.Result:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        words = ["translate", "--from", source, "--to", target, "--plugin", "toy.py", *options]
        result = click.testing.CliRunner().invoke(main, words, input=raw)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return _translate


def test_a_request_is_printed_as_the_provider_would_get_it(translate: Translate) -> None:
    result = translate("toy.talk", "canonical", talk(words="hi"))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "model": "m",
        "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}],
    }
    assert result.stdout.endswith("\n")
    assert result.stderr == ""


def test_a_request_can_be_made_to_ask_for_a_stream(translate: Translate) -> None:
    assert json.loads(translate("toy.talk", "canonical", talk(), "--stream").stdout)["stream"] is True
    assert json.loads(translate("canonical", "toy.talk", WARM).stdout)["stream"] is False
    assert json.loads(translate("canonical", "toy.talk", WARM, "--stream").stdout)["stream"] is True


def test_a_request_can_be_made_to_ask_for_another_model(translate: Translate) -> None:
    assert json.loads(translate("toy.talk", "canonical", talk(), "--model", "n").stdout)["model"] == "n"


def test_losses_are_listed_apart_from_the_body(translate: Translate) -> None:
    result = translate("canonical", "toy.talk", WARM)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["say"] == [{"who": "user", "words": "hi"}]
    assert result.stderr == "dropped sampling.temperature: the toy knows no temperature\n"


def test_body_and_losses_can_be_had_as_one_object(translate: Translate) -> None:
    said = json.loads(translate("canonical", "toy.talk", WARM, "--json").stdout)
    assert said["body"]["say"] == [{"who": "user", "words": "hi"}]
    assert said["losses"] == [{"path": "sampling.temperature", "what": "dropped", "why": "the toy knows no temperature"}]


def test_an_answer_is_printed_as_the_client_would_get_it(translate: Translate) -> None:
    result = translate("toy.talk", "canonical", WHOLE, "--response")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["choices"][0]["message"]["parts"] == [{"type": "text", "text": "Hello"}]
    assert said["usage"] == {"input": 3, "output": 5}
    again = translate("canonical", "toy.talk", said, "--response")
    assert json.loads(again.stdout) == WHOLE


def test_an_error_is_an_answer_too(translate: Translate) -> None:
    result = translate("toy.talk", "canonical", {"oops": "out of order", "code": "broken"}, "--response")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["message"] == "out of order"
    assert "code" not in said  # the word of one dialect says nothing in another


def deltas(raw: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in raw.splitlines() if line]


def test_a_stream_becomes_a_stream(translate: Translate) -> None:
    result = translate("toy.talk", "canonical", stream_of(["Hel", "lo"]), "--response", "--stream")
    assert result.exit_code == 0
    said = deltas(result.stdout)
    assert [one["type"] for one in said] == ["begin", "part_start", "text", "text", "part_end", "finish", "usage", "done"]
    assert [one["text"] for one in said if one["type"] == "text"] == ["Hel", "lo"]
    again = translate("canonical", "toy.talk", result.stdout.encode(), "--response", "--stream")
    assert check_stream(again.stdout.encode()) == "Hello"


def test_a_stream_whose_last_event_is_not_ended_is_read_to_its_end(translate: Translate) -> None:
    result = translate("toy.talk", "canonical", stream_of(["Hello"]).rstrip(), "--response", "--stream")
    assert deltas(result.stdout)[-1]["type"] == "done"


def test_an_error_in_a_stream_ends_it_in_the_other_dialect(translate: Translate) -> None:
    start = [Begin(id="t-1", model="m"), PartStart(index=0, part=Text(text="")), TextDelta(index=0, text="Hel")]
    broken = [*start, StreamError(error=Error(message="out of order"))]
    raw = b"".join(b"data: " + msgspec.json.encode(delta) + b"\n\n" for delta in broken)
    result = translate("canonical", "toy.talk", raw, "--response", "--stream")
    assert result.exit_code == 0
    assert check_stream(result.stdout.encode()) == "Hel"
    assert result.stdout.rstrip().endswith('"why":"out of order"}')


def test_a_stream_in_json_is_a_text(translate: Translate) -> None:
    said = json.loads(translate("toy.talk", "canonical", stream_of(["Hello"]), "--response", "--stream", "--json").stdout)
    assert deltas(said["body"])[-1] == {"type": "done"}
    assert said["losses"] == []


def test_the_request_that_is_answered_must_be_one_of_the_clients_dialect(translate: Translate) -> None:
    Path("asked.json").write_text(json.dumps(talk()))
    assert translate("canonical", "toy.talk", {"choices": [{}]}, "--response", "--request", "asked.json").exit_code == 0
    Path("asked.json").write_bytes(msgspec.json.encode(WARM))
    wrong = translate("canonical", "toy.talk", {"choices": [{}]}, "--response", "--request", "asked.json")
    assert wrong.exit_code == 1
    assert wrong.output == "this is no request of toy.talk: say must be a list\n"


@pytest.mark.parametrize(
    ("source", "target", "body", "options", "says"),
    [
        ("toy.talk", "toy.walk", {}, (), "there is no dialect 'toy.walk'; known: "),
        ("toy.walk", "toy.talk", {}, (), "there is no dialect 'toy.walk'; known: "),
        ("toy.talk", "canonical", b"", (), "this is no request of toy.talk: "),
        ("toy.talk", "canonical", b"{", (), "this is no request of toy.talk: "),
        ("toy.talk", "canonical", {"say": 1}, (), "this is no request of toy.talk: say must be a list"),
        ("canonical", "toy.talk", {"messages": 1}, (), "this is no request of canonical: "),
        ("toy.talk", "canonical", {}, ("--response",), "this is no answer of toy.talk: no answer"),
        ("toy.talk", "canonical", b"<html>", ("--response",), "this is no answer of toy.talk: "),
        ("toy.talk", "canonical", b"", ("--response", "--stream"), "this is no stream of toy.talk: there is no event in it"),
        ("toy.talk", "canonical", WHOLE, ("--response", "--stream"), "this is no stream of toy.talk: there is no event in it"),
        ("toy.talk", "canonical", talk(), ("--request", "toy.py"), "--request says what an answer answers: it goes with --response"),
    ],
)
def test_what_cannot_be_translated_is_said_in_one_line(
    translate: Translate, source: str, target: str, body: Any, options: tuple[str, ...], says: str
) -> None:
    result = translate(source, target, body, *options)
    assert result.exit_code == 1
    assert result.output.startswith(says)
    assert result.output.count("\n") == 1


def test_a_body_may_be_in_a_file(translate: Translate) -> None:
    Path("asked.json").write_bytes(msgspec.json.encode(talk(words="from a file")))
    assert "from a file" in translate("toy.talk", "canonical", b"", "--input", "asked.json").stdout
    missing = translate("toy.talk", "canonical", b"", "--input", "nowhere.json")
    assert missing.exit_code == 1
    assert "nowhere.json" in missing.output


def test_both_dialects_must_be_named(translate: Translate) -> None:
    result = click.testing.CliRunner().invoke(main, ["translate", "--from", "canonical"])
    assert result.exit_code == 2
    assert "Missing option '--to'" in result.stderr
