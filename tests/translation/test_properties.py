"""What holds of every request and answer, in every dialect and between every two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jackfield.api import BadRequest, Event, Loss, Request, Response
from jackfield.api.canonical import Assembler, play
from jackfield.api.canonical.fitting import fit
from jackfield.cli.translate import events_of
from tests.translation import meanings as m
from tests.translation import recorded
from tests.translation.dialects import SHORT, pairs, spoken, there
from tests.translation.strategies import JUNK, mutated, requests, responses

EACH = pytest.mark.parametrize("name", there(), ids=[SHORT[name] for name in there()])
PAIRS = [pytest.param(a, b, id=f"{SHORT[a]}-{SHORT[b]}") for a, b in pairs() if a != b]
FEW = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
ASKING: Final = Request(stream=True, stream_usage=True)

MEANINGS: Final[dict[str, Any]] = {
    "messages": lambda r: (m.conversation(r), m.calls(r), m.results(r), m.images(r), m.documents(r)),
    "tools": m.tools,
    "tool_choice": m.choice,
    "parallel_tools": m.parallel,
    "sampling.temperature": m.sampling("temperature"),
    "sampling.top_p": m.sampling("top_p"),
    "sampling.top_k": m.sampling("top_k"),
    "sampling.seed": m.sampling("seed"),
    "sampling.stop": m.sampling("stop"),
    "sampling.n": m.sampling("n"),
    "user": m.user,
    "metadata": m.metadata,
}
"""What a request means, by the path that its losses begin with."""


def written(name: str, request: Request) -> tuple[bytes, list[Loss]]:
    losses: list[Loss] = []
    return spoken()[name].encode_request(request, "generate", losses), losses


def read(name: str, raw: bytes) -> Request:
    return spoken()[name].decode_request(raw, "generate")


@EACH
@given(request=requests())
@FEW
def test_a_dialect_understands_what_it_writes_or_lists_what_it_could_not(name: str, request: Request) -> None:
    wire, losses = written(name, request)
    again = read(name, wire)
    for path, meaning in MEANINGS.items():
        if meaning(again) != meaning(request):
            assert any(loss.path.startswith(path) for loss in losses), (path, meaning(request), meaning(again), wire)


@EACH
@given(request=requests())
@FEW
def test_what_a_dialect_can_say_it_says_again_in_the_same_way(name: str, request: Request) -> None:
    wire, _ = written(name, request)
    again, losses = written(name, read(name, wire))
    assert json.loads(again) == json.loads(wire)
    assert losses == []


@pytest.mark.parametrize(("near", "far"), PAIRS)
@given(request=requests())
@settings(FEW, max_examples=15)
def test_there_and_back_keeps_the_conversation(near: str, far: str, request: Request) -> None:
    wire, losses = written(near, request)
    there_ = fit(read(near, wire), spoken()[far], losses).request
    over, more = written(far, there_)
    back, rest = written(near, read(far, over))
    again = read(near, back)
    losses += more + rest
    for path in ("messages", "tools"):
        wanted, got = MEANINGS[path](request), MEANINGS[path](again)
        if wanted != got:
            assert any(loss.path.startswith(path) for loss in losses), (wanted, got, back)


@pytest.mark.parametrize(("near", "far"), PAIRS)
@given(response=responses())
@settings(FEW, max_examples=15)
def test_an_answer_keeps_words_calls_and_counts_on_its_way(near: str, far: str, response: Response) -> None:
    """An upstream speaks the far dialect, its client the near one."""
    losses: list[Loss] = []
    told = spoken()[far].decode_response(spoken()[far].encode_response(response, losses))
    heard = spoken()[near].decode_response(spoken()[near].encode_response(told, losses))
    for meaning in (m.words, m.calls_made, m.thought, m.counts, m.cache_counts, m.thinking_counts):
        assert meaning(heard) == meaning(response)
    assert m.finish(heard) == m.finish(response) or any(loss.path.endswith("finish") for loss in losses)


def bare(response: Response) -> Any:
    """Return what an answer says without its ids and what only one dialect knows; thoughts are words, told at length or summed up."""
    said = without(msgspec.json.decode(msgspec.json.encode(response)), ("extensions", "item_id", "id", "created"))
    for choice in said["choices"]:
        for part in choice["message"].get("parts", ()):
            if part["type"] == "tool_call":
                part["arguments"] = m.loaded(part.get("arguments", ""))
            if part["type"] == "thinking":
                part["text"] = part.get("text", "") + "\n\n".join(part.pop("summary", ()))
    return said, [call.id for call in response.tool_calls]


def without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: without(item, keys) for key, item in value.items() if key not in keys}
    return [without(item, keys) for item in value] if isinstance(value, list) else value


def streamed(name: str, response: Response) -> list[Event]:
    encoder = spoken()[name].encode_stream(ASKING, [])
    return [event for delta in play(response) for event in encoder.feed([delta])]


def assembled(name: str, events: list[Event]) -> Response:
    decoder, assembler = spoken()[name].decode_stream(), Assembler()
    for event in events:
        assembler.feed(decoder.feed(event))
    assembler.feed(decoder.close())
    assert assembler.done
    return assembler.response()


@EACH
@given(response=responses())
@FEW
def test_a_stream_and_a_whole_answer_say_the_same(name: str, response: Response) -> None:
    whole = spoken()[name].decode_response(spoken()[name].encode_response(response, []))
    assert bare(assembled(name, streamed(name, response))) == bare(whole)


@EACH
@given(response=responses())
@FEW
def test_an_answer_is_understood_as_it_was_given(name: str, response: Response) -> None:
    losses: list[Loss] = []
    again = spoken()[name].decode_response(spoken()[name].encode_response(response, losses))
    for meaning in (m.words, m.calls_made, m.thought, m.finish, m.counts, m.cache_counts, m.thinking_counts, m.signed):
        assert meaning(again) == meaning(response) or losses, (meaning(response), meaning(again))


@EACH
@given(response=responses(), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=20))
@FEW
def test_a_stream_says_the_same_however_its_bytes_are_cut(name: str, response: Response, sizes: list[int]) -> None:
    raw = b"".join(event.raw for event in streamed(name, response))
    splitter, whole, at, turn = spoken()[name].framing.splitter(), [], 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        whole.append(splitter.feed(raw[at : at + size]))
        at, turn = at + size, turn + 1
    whole.append(splitter.rest())
    pieces = [event for piece in whole if piece for event in events_of(spoken()[name], piece)]
    assert [event.data for event in pieces] == [event.data for event in events_of(spoken()[name], raw)]


@EACH
@given(response=responses())
@FEW
def test_no_line_of_a_stream_has_a_character_at_which_a_client_might_cut_it(name: str, response: Response) -> None:
    raw = b"".join(event.raw for event in streamed(name, response)).decode()
    assert not set(raw) & {"\u2028", "\u2029", "\u0085"}


# ------------------------------------------------------------------------------------------- any input at all

PLACES = st.lists(st.integers(0, 50), min_size=1, max_size=8)
WAYS = st.sampled_from(["replace", "remove", "wrap", "double"])


@EACH
@given(data=st.data())
@settings(FEW, max_examples=150)
def test_no_request_raises_anything_but_that_it_is_bad(name: str, data: st.DataObject, recordings: Path) -> None:
    bodies = [raw for _, raw, _ in recorded.requests(recordings, name) if len(raw) < 20_000]
    body = json.loads(bodies[data.draw(st.integers(0, len(bodies) - 1))])
    for steps, junk, way in data.draw(st.lists(st.tuples(PLACES, JUNK, WAYS), min_size=1, max_size=2)):
        body = mutated(body, steps, junk, way)
    request, fault = attempted(lambda: read(name, json.dumps(body).encode()))
    if fault is not None:
        assert isinstance(fault, BadRequest)
        return
    for other in there():
        losses: list[Loss] = []
        spoken()[other].encode_request(fit(request, spoken()[other], losses).request, "generate", losses)


@EACH
@given(data=st.data())
@settings(FEW, max_examples=100)
def test_no_answer_raises_anything_but_that_it_is_none(name: str, data: st.DataObject, recordings: Path) -> None:
    bodies = [raw for _, raw in recorded.answers(recordings, name) if len(raw) < 20_000]
    body = json.loads(bodies[data.draw(st.integers(0, len(bodies) - 1))])
    for steps, junk, way in data.draw(st.lists(st.tuples(PLACES, JUNK, WAYS), min_size=1, max_size=2)):
        body = mutated(body, steps, junk, way)
    raw = json.dumps(body).encode()
    response, fault = attempted(lambda: (spoken()[name].glance(raw), spoken()[name].decode_response(raw))[1])
    if fault is not None:
        assert not isinstance(fault, BadRequest)
        return
    for other in there():
        spoken()[other].encode_response(response, [])


@EACH
@given(data=st.data())
@settings(FEW, max_examples=60)
def test_no_stream_is_beyond_decoders_and_encoders(name: str, data: st.DataObject, recordings: Path) -> None:
    streams = [raw for _, raw in recorded.streams(recordings, name) if len(raw) < 8_000]
    events = events_of(spoken()[name], streams[data.draw(st.integers(0, len(streams) - 1))])
    at, steps, junk, way = data.draw(st.tuples(st.integers(0, len(events) - 1), PLACES, JUNK, WAYS))
    broken = [
        event.with_data(json.dumps(mutated(event.json, steps, junk, way)).encode()) if index == at and event.json is not None else event
        for index, event in enumerate(events)
    ]
    _, fault = attempted(lambda: recoded(name, broken))
    assert not isinstance(fault, BadRequest)


def recoded(name: str, events: list[Event]) -> None:
    """Read a stream and write it in every dialect."""
    decoder = spoken()[name].decode_stream()
    encoders = [spoken()[other].encode_stream(ASKING, []) for other in there()]
    for event in [*events, None]:
        deltas = decoder.feed(event) if event is not None else decoder.close()
        for encoder in encoders:
            encoder.feed(deltas)


def attempted(work: Callable[[], Any]) -> tuple[Any, ValueError | None]:
    """Return what some work gives, and the fault that it raises instead if that is one that the contract knows."""
    try:
        return work(), None
    except ValueError as fault:
        return None, fault
