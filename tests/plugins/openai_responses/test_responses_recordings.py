"""Everything that was recorded of Responses goes through the codec and comes back as it was."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Headers, Loss, Request, Response
from jackfield.api.canonical import Assembler, StreamError, Text, Thinking, ToolCall
from tests.plugins.openai_responses.responses_wire import (
    RESPONSES,
    answers_of,
    decoded,
    differences,
    events_of,
    exchanges,
    extension_bytes,
    normal,
    plain,
    read_answer,
    read_request,
    requests_of,
    streams_of,
    types_of,
    write_answer,
    write_request,
)

SHORTENED = "openai-responses-ai-7906c5409bb6"
"""A fixture whose project took deltas out of it: its texts repeat more than was said."""
CHANGING_IDS = "openai-responses-ai-caaaba66c103"
"""GitHub's stream, in which every event has another id."""
INTERLEAVED = "openai-responses-pydantic-ai-1cbfb6b17e24"
"""OpenRouter's stream, in which the text begins before the thoughts have ended; ids differ in its last event."""
NEVER_DONE = "openai-responses-pydantic-ai-3305ba4e4db9"
"""A stream in which two items are announced, and are never said to be done but in the last event."""
REFUSED = "openai-responses-ai-be68d68e60da"
"""A stream that fails for want of credit."""


def test_every_recorded_request_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in requests_of(recordings):
        written, losses = write_request(read_request(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 320


def test_every_recorded_answer_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in answers_of(recordings):
        written, losses = write_answer(read_answer(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 270


def comparable(value: Any, name: str) -> Any:
    """Return an event without what no client reads: numbers, which are written anew, and first forms of what the last one repeats.

    What is encrypted is encrypted anew in every event of OpenAI's.
    """
    said = {key: item for key, item in normal(value).items() if key != "sequence_number"}
    if said["type"] == "error":
        return {key: item for key, item in said.items() if key in ("type", "error")}
    item = said.get("item")
    if isinstance(item, dict):
        said["item"] = {key: part for key, part in item.items() if key != "encrypted_content"}
        if said["type"] == "response.output_item.added":
            said["item"].pop("status", None)
    if isinstance(said.get("response"), dict):
        output = [{key: part for key, part in item.items() if key != "encrypted_content"} for item in said["response"]["output"]]
        said["response"] = {**said["response"], "output": without_fingerprints(output)}
    return without_ids({key: part for key, part in said.items() if key != "copilot_usage"}) if name == CHANGING_IDS else said


def without_fingerprints(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: item for key, item in one.items() if key != "fingerprint"} for one in output]


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_ids(item) for key, item in value.items() if key not in ("id", "item_id")}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


def test_every_recorded_stream_comes_back_event_by_event(recordings: Path) -> None:
    wrong, count = [], 0
    for name, raw in streams_of(recordings):
        if name in (SHORTENED, INTERLEAVED):
            continue
        events = [event for event in events_of(raw) if event.json is not None]
        losses: list[Loss] = []
        decoder, encoder = RESPONSES.decode_stream(), RESPONSES.encode_stream(Request(stream=True), losses)
        leaving = [made for event in events for made in encoder.feed(decoder.feed(event))]
        leaving += encoder.feed(decoder.close())
        if name == NEVER_DONE:
            assert types_of(leaving[-3:-1]) == ["response.output_item.done"] * 2
            del leaving[-3:-1]
            events.pop()
            leaving.pop()
        before, after = ([comparable(event.json, name) for event in some] for some in (events, leaving))
        wrong += [f"{name} {line}" for line in differences(before, after)] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong[:40])
    assert count > 90


def test_every_recorded_stream_assembles_to_the_answer_in_its_last_event(recordings: Path) -> None:
    wrong, count = [], 0
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        last = [event.json["response"] for event in events if RESPONSES.terminal(event)][-1]
        assembler = Assembler()
        assembler.feed(decoded(events))
        if assembler.error is not None or name in (SHORTENED, NEVER_DONE):
            continue
        assert assembler.done, name
        expected, found = plain(read_answer(last)), plain(assembler.response())
        for one in (expected, found):
            # The tier is known only at the end, and what is encrypted is encrypted anew in every event.
            one.pop("service_tier", None)
            if name == CHANGING_IDS:
                one.pop("id")
            # Whole answers name the message by its item's id, which a stream tells with its part.
            one["choices"][0]["message"].pop("id", None)
            for part in one["choices"][0]["message"].get("parts", ()):
                part.pop("signature", None)
                if part["type"] == "opaque":
                    part["value"] = json.dumps(without_encryption(json.loads(part["value"])))
                if name in (CHANGING_IDS, INTERLEAVED):
                    part.pop("id", None)
        wrong += [f"{name} {line}" for line in differences(expected, found)]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 90


def without_encryption(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("encrypted_content", "fingerprint")}


def test_every_recorded_stream_says_the_same_however_its_bytes_are_cut(recordings: Path) -> None:
    for _, raw in streams_of(recordings):
        if len(raw) > 40_000:
            continue
        whole = decoded(events_of(raw))
        splitter, events = RESPONSES.framing.splitter(), []
        for at in range(0, len(raw), 7):
            events += events_of(done) if (done := splitter.feed(raw[at : at + 7])) else []
        if splitter.rest():
            events += events_of(splitter.rest())
        assert decoded(events) == whole


def test_what_one_event_says_agrees_with_the_whole_stream(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        whole = Assembler()
        whole.feed(decoded(events))
        response = whole.response()
        assert "".join(event.text for event in events) == response.text, name
        assert "".join(event.arguments for event in events) == "".join(call.arguments for call in response.tool_calls), name
        thoughts = [part for choice in response.choices for part in choice.message.parts if isinstance(part, Thinking)]
        said = "".join("".join([part.text, *part.summary]) for part in thoughts)
        assert "".join(event.thinking for event in events) == said, name
        assert [event.finish for event in events if event.finish] == ([response.finish] if whole.done else []), name


def test_the_needles_find_every_event_that_matters(recordings: Path) -> None:
    needles = RESPONSES.needles
    for name, raw in streams_of(recordings):
        for event in events_of(raw):
            found = {kind: any(needle in event.raw for needle in getattr(needles, kind)) for kind in ("terminal", "usage", "error")}
            assert found["usage"] or event.usage is None, name
            assert found["error"] or event.error is None, name
            assert found["terminal"] or not RESPONSES.terminal(event), name


def test_every_recorded_stream_has_one_last_event_and_nothing_after_it_but_end_markers(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        ends = [RESPONSES.terminal(event) for event in events_of(raw) if event.json is not None]
        assert ends.count(True) == 1, name
        assert ends[-1], name


def test_a_glance_at_every_recorded_answer_shows_what_decoding_it_shows(recordings: Path) -> None:
    for name, body in answers_of(recordings):
        seen = RESPONSES.glance(json.dumps(body).encode())
        usage = read_answer(body).usage
        assert seen.error is None, name
        assert seen.usage == (msgspec.structs.replace(usage, extensions={}) if usage is not None else None), name


def test_extensions_stay_small(recordings: Path) -> None:
    requests = [share(read_request(body), body) for _, body in requests_of(recordings)]
    answers = [share(read_answer(body), body) for _, body in answers_of(recordings)]
    assert statistics.median(requests) <= 0.20
    assert statistics.median([*requests, *answers]) <= 0.20
    # Answers repeat their request's tools and settings, for which answers have no words.
    assert statistics.median([share(read_answer(bare), bare) for bare in map(without_echo, (b for _, b in answers_of(recordings)))]) <= 0.20


def without_echo(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("tools", "instructions")}


def share(struct: msgspec.Struct, body: Any) -> float:
    return extension_bytes(msgspec.json.decode(msgspec.json.encode(struct))) / len(msgspec.json.encode(body))


def test_without_extensions_all_canonical_still_stands_or_is_listed_as_lost(recordings: Path) -> None:
    wrong = []
    for name, body in requests_of(recordings):
        before = plain(read_request(body))
        written, losses = write_request(msgspec.convert(before, Request))
        after = plain(read_request(written))
        told = [
            loss
            for loss in losses
            if "encrypted form" in loss.why or "have no place" in loss.why or loss.path.endswith(".cache") or loss.what == "changed"
        ]
        assert told == losses, (name, losses)
        if not losses:
            wrong += [f"{name} {line}" for line in differences(normal(settled(before)), normal(settled(after)))]
    assert not wrong, "\n".join(wrong)


def settled(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request without what a request of unknown origin is given: OpenAI's defaults are not everybody's."""
    request = {**request, "store": request.get("store", False)}
    for tool in request.get("tools", ()):
        if tool.get("kind", "function") == "function":
            tool.setdefault("strict", False)
    for message in request["messages"]:
        for part in message.get("parts", ()):
            if part["type"] == "thinking":
                part.pop("id", None)
            if part["type"] == "image":
                part.setdefault("detail", "auto")
    return request


def test_without_extensions_all_of_an_answer_still_stands(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in answers_of(recordings):
        before = plain(read_answer(body))
        written, losses = write_answer(msgspec.convert(before, Response))
        after = plain(read_answer(written))
        parts = before["choices"][0]["message"].get("parts", [])
        if losses or any(part["type"].startswith("server_tool") or part["type"] == "image" for part in parts):
            # Tools that OpenAI ran cannot be told from those of others without the form in which they came.
            assert all("place" in loss.why or "cite" in loss.why for loss in losses), (name, losses)
            continue
        if "finish" not in before["choices"][0]:
            continue
        count += 1
        wrong += [f"{name} {line}" for line in differences(before, after) if "{'kind': 'other'}" not in line]
    assert not wrong, "\n".join(wrong)
    assert count > 180


def test_one_change_to_a_request_changes_that_and_nothing_else(recordings: Path) -> None:
    changed = renamed = 0
    for name, body in requests_of(recordings):
        before = normal(body)
        request = read_request(body)
        last = request.messages[-1]
        if len(last.parts) == 1 and isinstance(last.parts[0], Text):
            part = msgspec.structs.replace(last.parts[0], text="something else")
            message = msgspec.structs.replace(last, parts=(part,))
            written, _ = write_request(msgspec.structs.replace(request, messages=(*request.messages[:-1], message)))
            lines = differences(before, normal(written))
            assert len(lines) == 1, f"{name} {lines}"
            assert "became something else" in lines[0]
            changed += 1
        if request.tools and request.tools[0].kind == "function":
            tool = msgspec.structs.replace(request.tools[0], name="renamed")
            written, _ = write_request(msgspec.structs.replace(request, tools=(tool, *request.tools[1:])))
            lines = differences(before, normal(written))
            assert len(lines) == 1, f"{name} {lines}"
            assert lines[0].endswith("became renamed")
            renamed += 1
    assert changed > 150
    assert renamed > 100


def test_one_change_to_an_answer_changes_that_and_nothing_else(recordings: Path) -> None:
    changed = 0
    for name, body in answers_of(recordings):
        response = read_answer(body)
        parts = response.choices[0].message.parts
        for at, part in enumerate(parts):
            if isinstance(part, Text) and part.text:
                new: Any = msgspec.structs.replace(part, text="something else")
            elif isinstance(part, ToolCall):
                new = msgspec.structs.replace(part, name="something else")
            else:
                continue
            message = msgspec.structs.replace(response.choices[0].message, parts=(*parts[:at], new, *parts[at + 1 :]))
            choice = msgspec.structs.replace(response.choices[0], message=message)
            written, _ = write_answer(msgspec.structs.replace(response, choices=(choice, *response.choices[1:])))
            lines = differences(normal(body), normal(written))
            assert len(lines) == 1, f"{name} {lines}"
            assert "became something else" in lines[0]
            changed += 1
    assert changed > 250


def test_every_recorded_error_is_understood(recordings: Path) -> None:
    count = 0
    for one in exchanges(recordings):
        status, body = one["response"]["status"], one["response"].get("body")
        if status < 400:
            continue
        error = RESPONSES.decode_error(status, Headers(), json.dumps(body).encode())
        said = body.get("error")
        said = said if isinstance(said, dict) else {"message": said or body.get("detail")}
        assert (error.status, error.message) == (status, said["message"])
        assert {"message", "type", "param", "code"} <= json.loads(RESPONSES.encode_error(error))["error"].keys()
        count += 1
    assert count >= 12


def test_the_recorded_error_in_a_stream_is_the_last_word(recordings: Path) -> None:
    (raw,) = [raw for name, raw in streams_of(recordings) if name == REFUSED]
    last = decoded(events_of(raw))[-1]
    assert isinstance(last, StreamError)
    assert (last.error.code, last.error.status) == ("insufficient_quota", 429)
