"""Everything that was recorded of Gemini's protocol goes through the codec and comes back as it was."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jackfield.api import BadRequest, Headers, Request, Response
from jackfield.api.canonical import Text, ToolCall
from tests.plugins.gemini.gemini_wire import (
    ARRAY,
    GEMINI,
    REFUSED,
    answers_of,
    array_events,
    assembled,
    decoded,
    differences,
    encoded,
    events_of,
    exchanges,
    extension_bytes,
    normal,
    plain,
    read_answer,
    read_request,
    requests_of,
    streams_of,
    write_answer,
    write_request,
)

ONLY_THERE = ("messages", ".parameters", "output.schema")
"""Paths of what others cannot be told, or is told otherwise when it is forgotten how it was spelled."""


def test_every_recorded_request_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in requests_of(recordings):
        written, losses = write_request(read_request(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 280


def test_every_recorded_answer_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in answers_of(recordings):
        written, losses = write_answer(read_answer(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 200


def added_up(chunks: list[Any]) -> dict[str, Any]:
    """Add chunks up to a whole answer, as a client without a codec would: words that follow each other are one part."""
    total: dict[str, Any] = {"candidates": [{"content": {"parts": [], "role": "model"}}]}
    (candidate,) = total["candidates"]
    parts = candidate["content"]["parts"]
    for one in chunks:
        total |= {key: one[key] for key in ("modelVersion", "responseId", "usageMetadata", "createTime") if key in one}
        for said in one["candidates"]:
            candidate |= {key: value for key, value in said.items() if key not in ("content", "index")}
            for part in said.get("content", {}).get("parts", ()):
                if part == {"text": ""}:
                    continue
                last = parts[-1] if parts else {}
                goes_on = "text" in part and "text" in last and part.get("thought") == last.get("thought")
                if goes_on and not ("thoughtSignature" in part and "thoughtSignature" in last):
                    last["text"] += part["text"]
                    last |= {key: part[key] for key in ("thoughtSignature",) if key in part}
                else:
                    parts.append(dict(part))
    return total


def first_created(events: list[Any]) -> list[Any]:
    """Return chunks that all have the time of the first."""
    chunks = [event.json for event in events]
    created = chunks[0].get("createTime")
    return [{**one, "createTime": created} if created else one for one in chunks]


def test_every_recorded_stream_assembles_to_what_its_chunks_add_up_to(recordings: Path) -> None:
    wrong, count = [], 0
    for name, events in streams_of(recordings):
        expected = plain(read_answer(added_up(first_created(events))))
        wrong += [f"{name} {line}" for line in differences(expected, plain(assembled(events)))]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 60


def test_every_recorded_stream_means_the_same_when_written_again(recordings: Path) -> None:
    wrong = []
    for name, events in streams_of(recordings):
        deltas = decoded(events)
        for together in (True, False):
            chunks = encoded(deltas, together=together)
            again = plain(read_answer(added_up(chunks)))
            wrong += [f"{name} {together} {line}" for line in differences(plain(assembled(events)), again)]
    assert not wrong, "\n".join(wrong)


def test_what_one_event_says_agrees_with_the_whole_stream(recordings: Path) -> None:
    for name, events in streams_of(recordings):
        response = assembled(events)
        assert "".join(event.text for event in events) == response.text, name
        assert "".join(event.thinking for event in events) == response.thinking, name
        assert "".join(event.arguments for event in events) == "".join(call.arguments for call in response.tool_calls), name
        reported = [event.usage for event in events if event.usage is not None]
        assert reported[-1] == response.usage, name
        assert [event.finish for event in events if event.finish][-1] == (
            response.finish if not response.tool_calls or events[-1].arguments else "stop"
        ), name


def test_the_needles_find_every_event_that_matters(recordings: Path) -> None:
    needles = GEMINI.needles
    for name, events in streams_of(recordings):
        for event in events:
            found = {kind: any(needle in event.raw for needle in getattr(needles, kind)) for kind in ("usage", "error")}
            assert found["usage"] or event.usage is None, name
            assert found["error"] or event.error is None, name
        assert GEMINI.commits(events[0]), name


def test_a_glance_at_every_recorded_answer_shows_what_decoding_it_shows(recordings: Path) -> None:
    for name, body in answers_of(recordings):
        seen = GEMINI.glance(json.dumps(body).encode())
        assert seen.usage == read_answer(body).usage, name
        assert seen.error is None, name


def test_extensions_stay_small(recordings: Path) -> None:
    requests = [share(read_request(body), body) for _, body in requests_of(recordings)]
    answers = [share(read_answer(body), body) for _, body in answers_of(recordings)]
    assert statistics.median(requests) <= 0.20
    assert statistics.median(answers) <= 0.20


def share(struct: msgspec.Struct, body: Any) -> float:
    return extension_bytes(msgspec.json.decode(msgspec.json.encode(struct))) / len(msgspec.json.encode(body))


def test_without_extensions_all_canonical_still_stands_or_is_listed_as_lost(recordings: Path) -> None:
    wrong = []
    for name, body in requests_of(recordings):
        before = plain(read_request(body))
        written, losses = write_request(msgspec.convert(before, Request))
        after = plain(read_request(written))
        if losses:
            told = [loss for loss in losses if any(word in loss.path for word in ONLY_THERE)]
            assert told == losses, f"{name} {losses}"
        else:
            before.pop("model", None)  # it stands in the path; some say it in the body as well
            wrong += [f"{name} {line}" for line in differences(joined(before), joined(after)) if "unnamed_" not in line]
    assert not wrong, "\n".join(wrong)


def joined(request: Any) -> Any:
    """Return a request in which what one speaker said in a row is one message, as it is written for strangers."""
    messages: list[Any] = []
    for message in request["messages"]:
        speaker = "assistant" if message["role"] == "assistant" else "system" if message["role"] == "system" else "user"
        last = messages[-1] if messages else {"role": ""}
        if last["role"] == speaker:
            last["parts"] = [*last.get("parts", ()), *message.get("parts", ())]
        else:
            messages.append({**message, "role": speaker})
    return {**request, "messages": messages}


def test_without_extensions_all_of_an_answer_still_stands(recordings: Path) -> None:
    wrong = []
    for name, body in answers_of(recordings):
        before = plain(read_answer(body))
        written, losses = write_answer(msgspec.convert(before, Response))
        after = plain(read_answer(written))
        for choice, again in zip(before.get("choices", ()), after.get("choices", ()), strict=True):
            if choice.get("finish") in ("error", "other") and any("finish" in loss.path for loss in losses):
                again["finish"] = choice["finish"]
            for part in choice["message"].get("parts", ()):
                for one in part.get("citations", ()):  # a source that no words rest on is one of all words
                    one.setdefault("start", 0)
                    one.setdefault("end", len(part["text"]))
        wrong += [f"{name} {line}" for line in differences(before, after)]
        wrong += [f"{name} {loss}" for loss in losses if "finish" not in loss.path]
    assert not wrong, "\n".join(wrong)


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
    assert changed > 100
    assert renamed > 80


def test_one_change_to_an_answer_changes_that_and_nothing_else(recordings: Path) -> None:
    changed = 0
    for name, body in answers_of(recordings):
        response = read_answer(body)
        parts = response.choices[0].message.parts
        for at, part in enumerate(parts):
            if isinstance(part, Text) and not part.citations:
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
    assert changed > 200


def test_every_recorded_stream_says_the_same_however_its_bytes_are_cut(recordings: Path) -> None:
    for one in exchanges(recordings):
        raw = (one["response"].get("sse") or "").encode()
        body = one["response"].get("body")
        dialect, cut = GEMINI, events_of
        if isinstance(body, list):
            raw, dialect, cut = json.dumps(body, indent=2).replace("\n", "\r\n").encode(), ARRAY, array_events
        if not raw or len(raw) > 40_000:
            continue
        splitter, events = dialect.framing.splitter(), []
        for at in range(0, len(raw), 7):
            done = splitter.feed(raw[at : at + 7])
            events += [dialect.event_type(frame, name, end) for frame, name, end in dialect.framing.frames(done)]
        if splitter.rest():
            events += cut(splitter.rest())
        assert decoded(events) == decoded(cut(raw)), one["id"]


def test_every_recorded_error_is_understood(recordings: Path) -> None:
    count = 0
    for one in exchanges(recordings):
        status, body = one["response"]["status"], one["response"].get("body")
        if status < 400:
            continue
        error = GEMINI.decode_error(status, Headers(), json.dumps(body).encode())
        assert (error.status, error.message, error.type) == (status, body["error"]["message"], body["error"]["status"])
        assert not differences(body, json.loads(GEMINI.encode_error(error)))
        count += 1
    assert count > 8


def test_the_one_request_that_google_refused_for_its_form_is_refused(recordings: Path) -> None:
    (body,) = [one["request"]["body"] for one in exchanges(recordings) if one["id"] == REFUSED]
    with pytest.raises(BadRequest) as refused:
        read_request(body)
    assert refused.value.param == "contents[0].role"
