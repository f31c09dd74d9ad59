"""What isolated plugins see and change of calls: each program here does in a process of its own what it does in process."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from jackfield.api.testing import Answer, Harness
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.kernel.pipeline_kit import Observer, ask
from tests.kernel.toy import check_stream, read_stream

Said = tuple[int, str, list[str]]


async def run(folder: Path, text: str, *, isolate: bool, calls: Any, **more: Any) -> tuple[list[Answer], list[Any]]:
    """Make calls of a host with a plugin of one file; return the answers, and what the provider was sent."""
    (folder / "apart.py").write_text(text)
    provider, observer = ToyProvider(blocks=(["one ", "two ", "three ", "four"],)), Observer()
    section = {"path": str(folder / "apart.py"), "isolate": isolate}
    async with Harness([Toy(provider), observer], {"plugins": {"apart": section}, **more}, bare=True) as host:
        assert not host.host.problems
        return [await calls(host)], provider.attempts


STREAMS = {
    "it_upper_cases": ("""
def intercept_stream(call, head):
    assert (head.status, call.model, call.stream) == (200, "m", True)
    return lambda event: event.with_text(event.text.upper()) if event.text else None
""", "ONE TWO THREE FOUR"),
    "it_holds_events_back": ("""
class Handler:
    def __init__(self):
        self.held = []
    def __call__(self, event):
        if event.text:
            self.held.append(event)
            return []
        if self.held:
            held, self.held = self.held, []
            return [*held[:-1], held[-1].with_text("[" + held[-1].text + "]"), event]
def intercept_stream(call, head):
    return Handler()
""", "one two three [four]"),
    "it_adds_and_drops": ("""
def intercept_stream(call, head):
    def step(event):
        if event.text == "two ":
            return []
        if event.text == "three ":
            return [event, event.with_text("and "), event.with_changes({("text",): "a half "})]
    return step
""", "one three and a half four"),
    "it_builds_new_ones": ("""
def intercept_stream(call, head):
    def step(event):
        if event.text == "four":
            made = type(event).build({**event.json, "text": "five"}, event.name)
            return [event.with_data(b'{"seq":1,"id":"t-1","block":0,"text":"4 "}'), made]
    return step
""", "one two three 4 five"),
    "it_ends_the_stream": ("""
from jackfield.api import End
def intercept_stream(call, head):
    def step(event):
        if event.text == "two ":
            return End([event.with_text("cut")], finish="length")
    return step
""", "one cut"),
    "it_closes": ("""
class Handler:
    def __init__(self):
        self.last = None
    async def __call__(self, event):
        if event.text:
            self.last = event
    async def close(self, outcome):
        return [self.last.with_text(f" ({outcome.status})")]
def intercept_stream(call, head):
    return Handler()
""", "one two three four (succeeded)"),
    "it_takes_all_at_once": ("""
class Handler:
    def each(self, events):
        return [event.with_text("*") if event.text else None for event in events]
    def __call__(self, event):
        raise AssertionError
def intercept_stream(call, head):
    return Handler()
""", "****"),
    "it_fails_at_one": ("""
def intercept_stream(call, head):
    def step(event):
        if event.text == "two ":
            raise RuntimeError("boom")
        return event.with_text("*") if event.text else None
    return step
""", "*two **"),
    "it_normalizes": ("""
def normalize_response(attempt, reply):
    assert (reply.stream is not None, reply.status, attempt.model, attempt.dialect.name) == (True, 200, "m", "toy.talk")
    assert attempt.provider.key == attempt.candidate.provider == "toy"
    return lambda event: event.with_text(str(len(event.deltas))) if event.text else None
""", "1111"),
}  # fmt: skip


@pytest.mark.parametrize("isolate", [False, True], ids=["in_process", "isolated"])
@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_becomes_what_its_handler_says(tmp_path: Path, name: str, isolate: bool) -> None:
    text, says = STREAMS[name]
    [answer], _ = await run(tmp_path, text, isolate=isolate, calls=lambda host: ask(host, stream=True))
    assert check_stream(answer.body) == says
    assert read_stream(answer.body)[-1][1]["stop"] == ("length" if name == "it_ends_the_stream" else "stop")


CHANGES = {
    "paths": """
from jackfield.api import Change
def intercept_request(call):
    assert call.body.json["say"][0]["words"] == "hi" and call.headers["content-type"] == "application/json"
    return Change(set={("say", 0, "words"): "ho", ("a/b~c",): [1, {"x": None}]}, remove=[("tools",)])
""",
    "canonical": """
import msgspec
from jackfield.api import Change
from jackfield.api.canonical import Message, Text
def intercept_request(call):
    said = call.request
    return Change(request=msgspec.structs.replace(said, messages=(*said.messages, Message(role="assistant", parts=(Text(text="so"),)))))
""",
    "body": """
from jackfield.api import Change
def intercept_attempt(attempt):
    assert attempt.call.body.json == attempt.body.json and attempt.number == 1
    return Change(body=b'{"model": "m",\\n "say": [], "x": 1.10}', headers={"toy-feature": "on"})
""",
    "normalized": """
from jackfield.api import Change
def normalize_request(attempt):
    assert attempt.call.request.messages[0].text == attempt.request.messages[0].text == attempt.call.body.json["say"][0]["words"] == "hi"
    return Change(set={("extra",): attempt.call.state.get("x", "none")})
def route_model(call):
    call.state["x"] = call.session or call.peer
""",
    "answer": """
from jackfield.api import Change
def intercept_response(call, reply):
    assert reply.canonical.text == "Hello" and reply.body.json["id"] == "t-1" and call.request.messages[0].text == "hi"
    return Change(set={("blocks", 0, "text"): "Bye"}, headers={"toy-request-id": str(reply.status)})
""",
    "answer_canonical": """
import msgspec
from jackfield.api import Change, reply_text
async def normalize_response(attempt, reply):
    return Change(response=msgspec.structs.replace(reply_text("Canonical"), id="1", model="m"))
""",
    "respond": """
from jackfield.api import Change, reply_text
def intercept_request(call):
    return Change(respond=reply_text("At once"))
""",
    "wrong_caller": """
from jackfield.api import BadRequest
def intercept_request(call):
    raise BadRequest("no such words", "say[0].words", "no_words")
""",
    "closed_failure": """
def intercept_request(call):
    raise RuntimeError("boom")
""",
    "wrong_answer": """
def intercept_request(call):
    return "a text"
""",
    "open_failure": """
from jackfield.api import hook
@hook(on_error="open")
def intercept_request(call):
    raise RuntimeError("boom")
""",
    "blocking": """
import threading
from jackfield.api import Change, hook
@hook(blocking=True)
def intercept_response(call, reply):
    return Change(headers={"toy-request-id": str(threading.current_thread() is not threading.main_thread())})
""",
    "deny": """
from jackfield.api import Deny
def pick_credential(call, pool):
    return Deny(reason=f"nobody of {len(pool.all)}: {pool.why('x')}", retry_after=5)
""",
}


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_changed_is_what_would_be_changed_in_process(tmp_path: Path, name: str) -> None:
    made = []
    for isolate in (False, True):
        [answer], attempts = await run(tmp_path, CHANGES[name], isolate=isolate, calls=lambda host: ask(host, tools=["x"]))
        sent = [(attempt.body.raw, sorted(attempt.headers), attempt.fidelity) for attempt in attempts]
        made.append((answer.status, answer.body, answer.headers.get("toy-request-id"), answer.headers.get("retry-after"), sent))
    assert made[0] == made[1]


UNDECODED = """
from jackfield.api import Change
def intercept_request(call):
    return Change(headers={"toy-feature": "seen"})
"""
READING = """
def intercept_request(call):
    call.request
"""


@pytest.mark.parametrize("isolate", [False, True], ids=["in_process", "isolated"])
@pytest.mark.parametrize(("text", "status"), [(UNDECODED, 200), (READING, 400)], ids=["who_does_not_read", "who_reads"])
async def test_a_body_that_cannot_be_decoded_is_no_concern_of_those_who_do_not_read_it(
    tmp_path: Path, text: str, status: int, isolate: bool
) -> None:
    said = {"model": "m", "say": [{"who": "nobody", "words": "hi"}]}
    [answer], _ = await run(tmp_path, text, isolate=isolate, calls=lambda host: host.post("/toy/v1/talk", said))
    assert answer.status == status
    if status == 400:
        assert answer.json["field"] == "say[0].who"


@pytest.mark.parametrize("isolate", [False, True], ids=["in_process", "isolated"])
@pytest.mark.parametrize(("text", "status"), [(UNDECODED, 200), (READING, 413)], ids=["who_does_not_read", "who_reads"])
async def test_so_is_one_that_is_too_large_to_be_decoded(tmp_path: Path, text: str, status: int, isolate: bool) -> None:
    large = talk(words="x" * 6_000_000)
    calls: Any = lambda host: host.post("/toy/v1/talk", large)  # noqa: E731
    [answer], _ = await run(tmp_path, text, isolate=isolate, calls=calls, limits={"json": 5_000_000})
    assert answer.status == status


async def test_a_large_body_comes_whole(tmp_path: Path) -> None:
    text = """
from jackfield.api import Change
def intercept_attempt(attempt):
    return Change(headers={"toy-feature": f"{len(attempt.body.json['say'][0]['words'])} {len(attempt.request.messages[0].text)}"})
"""
    _, [attempt] = await run(tmp_path, text, isolate=True, calls=lambda host: host.post("/toy/v1/talk", talk(words="x" * 5_000_000)))
    assert attempt.headers["toy-feature"] == "5000000 5000000"


NEEDS = {
    "call.headers.get('x')": "headers and query is not sent to this process; have it sent by @hook(needs=[..., 'headers'])",
    "call.session": "call.session is not sent to this process; have it sent by @hook(needs=[..., 'headers'])",
    "call.body.json": "the body is not sent to this process; have it sent by @hook(needs=[..., 'body'])",
    "call.request": "the canonical form is not sent to this process; have it sent by @hook(needs=[..., 'request'])",
    "call.model + call.principal.name": "",
}


@pytest.mark.parametrize("code", NEEDS)
async def test_what_a_hook_did_not_ask_for_is_not_there_and_one_sentence_says_so(tmp_path: Path, code: str) -> None:
    (tmp_path / "apart.py").write_text(f"from jackfield.api import hook\n@hook(needs=[])\ndef route_model(call):\n    {code}\n")
    observer = Observer()
    async with Harness([Toy(), observer], {"plugins": {"apart": {"path": str(tmp_path / "apart.py"), "isolate": True}}}, bare=True) as host:
        assert (await ask(host)).status == 200
        made = await observer.explained()
    assert NEEDS[code] in made.replace("\\'", "'")
    assert ("NotSent" in made) is bool(NEEDS[code])


async def test_raw_bodies_and_keys_come_to_those_who_ask_for_them(tmp_path: Path) -> None:
    text = """
import base64
from jackfield.api import Change, Principal, hook
@hook(needs=["headers", "secret"])
def authenticate(call):
    return Principal(name=call.headers["authorization"] + call.query["key"] + "".join(call.key_query))
@hook(needs=["raw"])
def intercept_request(call):
    return Change(headers={"toy-feature": base64.b64encode(call.body.raw).decode() + " " + call.principal.name})
"""
    body, headers = b'{ "model": "m",\r\n  "say": [] }', {"Authorization": "Bearer k", "Content-Type": "application/json"}
    calls: Any = lambda host: host.request("POST", "/toy/v1/talk?key=q", body, headers=headers)  # noqa: E731
    [answer], [attempt] = await run(tmp_path, text, isolate=True, calls=calls)
    assert answer.status == 200
    seen, who = attempt.headers["toy-feature"].split(" ", 1)
    assert base64.b64decode(seen) == body
    assert who == "Bearer kqkey"
