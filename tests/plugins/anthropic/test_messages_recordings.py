"""Everything that was recorded of Anthropic's Messages API goes through the codec and comes back as it was."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Event, Headers, Request, Response
from jackfield.api.canonical import Message, Text, ToolCall, play
from tests.plugins.anthropic.messages_wire import (
    MESSAGES,
    answers_of,
    assembled,
    decoded,
    differences,
    events_of,
    exchanges,
    extension_bytes,
    is_valid,
    normal,
    plain,
    read_answer,
    read_request,
    requests_of,
    streams_of,
    strictly,
    write_answer,
    write_request,
)

BEGAN_WITH_A_CALL = "anthropic-messages-ai-23f899113b8a"
"""Its `message_start` holds the whole answer; it comes back as a stream of blocks."""


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
        assert is_valid(written) or not is_valid(body), name
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 230


def rewritten(events: list[Event]) -> list[Event]:
    """Return a stream that was read and written event by event."""
    decoder, encoder = MESSAGES.decode_stream(), MESSAGES.encode_stream(Request(stream=True), [])
    leaving = [made for event in events for made in encoder.feed(decoder.feed(event))]
    return [*leaving, *encoder.feed(decoder.close())]


def told(events: list[Event]) -> list[Any]:
    """Return a stream's JSON without pings; arguments of a server's tool, and those in a block's beginning, are one delta."""
    found: list[Any] = []
    server = False
    for event in events:
        said = json.loads(event.data)
        if said["type"] == "ping":
            continue
        if said["type"] == "content_block_start":
            server = said["content_block"]["type"] in ("server_tool_use", "mcp_tool_use")
        if server and said["type"] == "content_block_delta":
            if not said["delta"]["partial_json"]:
                continue
            if found[-1]["type"] == "content_block_delta":
                found[-1]["delta"]["partial_json"] += said["delta"]["partial_json"]
                continue
        found.append(said)
        if said["type"] == "content_block_start" and said["content_block"]["type"] == "tool_use" and said["content_block"]["input"]:
            written = json.dumps(said["content_block"]["input"], separators=(",", ":"))
            delta = {"type": "input_json_delta", "partial_json": written}
            found.append({"type": "content_block_delta", "index": said["index"], "delta": delta})
            said["content_block"]["input"] = {}
    return found


def test_every_recorded_stream_comes_back_event_by_event(recordings: Path) -> None:
    wrong, count = [], 0
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        again = rewritten(events)
        if name == BEGAN_WITH_A_CALL:
            assert strictly(again, typed=False).content[0]["name"] == "rollDie"
            continue
        before, after = normal(told(events)), normal(told(again))
        if len(before) != len(after):
            wrong.append(f"{name} {len(before)} events became {len(after)}")
        wrong += [f"{name} {line}" for line in differences(before, after)]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 80


def test_every_recorded_stream_is_written_as_the_strictest_client_wants_it(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        response = assembled(events_of(raw))
        client = strictly(rewritten(events_of(raw)), typed=False)
        assert client.text == response.text, name
        assert [one["id"] for one in client.content if one["type"] == "tool_use"] == [call.id for call in response.tool_calls], name


def accumulated(events: list[Event]) -> dict[str, Any]:
    """Add events up to a whole answer, as a client without a codec would."""
    whole: dict[str, Any] = {}
    pieces: dict[int, str] = {}
    for event in events:
        match json.loads(event.data):
            case {"type": "message_start", "message": message}:
                whole = message
            case {"type": "content_block_start", "content_block": block}:
                whole["content"].append(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                add(whole["content"][index], delta, pieces, index)
            case {"type": "content_block_stop", "index": index} if pieces.get(index):
                whole["content"][index]["input"] = json.loads(pieces[index])
            case {"type": "message_delta", "delta": delta, "usage": usage} as said:
                whole |= delta
                whole["usage"] |= usage
                whole |= {key: item for key, item in said.items() if key not in ("type", "delta", "usage")}
    return whole


def add(block: dict[str, Any], delta: dict[str, Any], pieces: dict[int, str], index: int) -> None:
    match delta:
        case {"type": "text_delta", "text": text}:
            block["text"] += text
        case {"type": "thinking_delta", "thinking": text}:
            block["thinking"] += text
        case {"type": "signature_delta", "signature": signature}:
            block["signature"] = signature
        case {"type": "input_json_delta", "partial_json": text}:
            pieces[index] = pieces.get(index, "") + text
        case {"type": "citations_delta", "citation": citation}:
            block.setdefault("citations", []).append(citation)
        case {"type": "compaction_delta", "content": content}:
            block["content"] = content


def in_one_form(answer: Any) -> Any:
    """Return an answer with the texts of JSON in it decoded: a stream keeps their blanks and their order."""
    for part in answer["choices"][0]["message"].get("parts", ()):
        for key in ("arguments", "value"):
            if key in part:
                part[key] = json.loads(part[key])
    return answer


def test_every_recorded_stream_assembles_to_what_its_events_add_up_to(recordings: Path) -> None:
    wrong = []
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        expected = in_one_form(plain(read_answer(accumulated(events))))
        wrong += [f"{name} {line}" for line in differences(expected, in_one_form(plain(assembled(events))))]
    assert not wrong, "\n".join(wrong)


def test_every_recorded_stream_says_the_same_however_its_bytes_are_cut(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        whole = decoded(events_of(raw))
        splitter, events = MESSAGES.framing.splitter(), []
        for at in range(0, len(raw), 7):
            events += events_of(done) if (done := splitter.feed(raw[at : at + 7])) else []
        if splitter.rest():
            events += events_of(splitter.rest())
        assert decoded(events) == whole, name


def test_what_one_event_says_agrees_with_the_whole_stream(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        if name == BEGAN_WITH_A_CALL:
            continue
        events, response = events_of(raw), assembled(events_of(raw))
        assert "".join(event.text for event in events) == response.text, name
        assert "".join(event.thinking for event in events) == response.thinking, name
        assert [event.finish for event in events if event.finish] == [response.finish], name
        assert events[0].usage is not None, name


def test_the_needles_find_every_event_that_matters(recordings: Path) -> None:
    needles = MESSAGES.needles
    for name, raw in streams_of(recordings):
        for event in events_of(raw):
            found = {kind: any(needle in event.raw for needle in getattr(needles, kind)) for kind in ("terminal", "usage", "error")}
            assert found["usage"] or event.usage is None, name
            assert found["error"] or event.error is None, name
            assert found["terminal"] or not MESSAGES.terminal(event), name
        assert MESSAGES.terminal(events_of(raw)[-1]), name


def test_a_glance_at_every_recorded_answer_shows_what_decoding_it_shows(recordings: Path) -> None:
    for name, body in answers_of(recordings):
        raw = json.dumps(body).encode()
        seen = MESSAGES.glance(raw)
        usage = MESSAGES.decode_response(raw).usage
        assert seen.usage is not None, name
        assert usage is not None, name
        assert plain(seen.usage) == plain(usage), name
        assert seen.error is None, name


def test_what_travels_beside_the_canonical_form_is_little(recordings: Path) -> None:
    def share(struct: msgspec.Struct, body: Any) -> float:
        return extension_bytes(msgspec.json.decode(msgspec.json.encode(struct))) / len(json.dumps(body))

    asked = [share(read_request(body), body) for _, body in requests_of(recordings)]
    answered = [share(read_answer(body), body) for _, body in answers_of(recordings)]
    assert statistics.median(asked) <= 0.20
    assert statistics.median(answered) <= 0.20


def merged(request: Any) -> Any:
    """Return a request's messages with those of one speaker in a row made one, and forms that mean the same made equal."""
    found: list[Any] = []
    for message in request["messages"]:
        user = message["role"] in ("user", "tool")
        if found and message["role"] != "system" and found[-1]["user"] == user and found[-1]["role"] != "system":
            found[-1]["parts"] += message["parts"]
        else:
            found.append({**message, "user": user})
    return found


def test_without_extensions_all_of_a_request_still_stands(recordings: Path) -> None:
    wrong = []
    for name, body in requests_of(recordings):
        before = plain(read_request(body))
        written, losses = write_request(msgspec.convert(before, Request))
        after = plain(read_request(written))
        reminded = [loss for loss in losses if loss.what == "changed" and "reminder" in loss.why]
        unsaid = [loss for loss in losses if loss.path.endswith(".citations")]
        assert losses == [loss for loss in losses if loss in reminded or loss in unsaid], f"{name} {losses}"
        if reminded or unsaid:
            continue
        if "effort" in before.get("thinking", {}) and "mode" not in before["thinking"]:
            assert after["thinking"].pop("mode") == "auto", name
        before["messages"], after["messages"] = merged(before), merged(after)
        wrong += [f"{name} {line}" for line in differences(before, after)]
    assert not wrong, "\n".join(wrong)


def test_without_extensions_all_of_an_answer_still_stands(recordings: Path) -> None:
    wrong = []
    for name, body in answers_of(recordings):
        before = plain(read_answer(body))
        written, losses = write_answer(msgspec.convert(before, Response))
        after = plain(read_answer(written))
        cited = [part for part in before["choices"][0]["message"].get("parts", ()) if part.get("citations")]
        for part in cited:
            part["citations"] = [one for one in part["citations"] if one.get("kind", "url") == "url"]
            if not part["citations"]:
                del part["citations"]
        assert all(loss.path.endswith(".citations") for loss in losses), f"{name} {losses}"
        if name == "anthropic-messages-ai-3316cbaa1b13":
            assert (before["choices"][0].pop("finish"), after["choices"][0].pop("finish")) == ("stop", "tool_calls")
        wrong += [f"{name} {line}" for line in differences(before, after)]
    assert not wrong, "\n".join(wrong)


def test_one_change_to_a_request_changes_that_and_nothing_else(recordings: Path) -> None:
    changed = renamed = 0
    for name, body in requests_of(recordings):
        before, request = normal(body), read_request(body)
        last = request.messages[-1]
        if len(last.parts) == 1 and isinstance(last.parts[0], Text):
            part = msgspec.structs.replace(last.parts[0], text="something else")
            message: Message = msgspec.structs.replace(last, parts=(part,))
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
            if isinstance(part, Text):
                new: Any = msgspec.structs.replace(part, text="something else")
            elif isinstance(part, ToolCall):
                new = msgspec.structs.replace(part, name="something else")
            else:
                continue
            message = msgspec.structs.replace(response.choices[0].message, parts=(*parts[:at], new, *parts[at + 1 :]))
            choice = msgspec.structs.replace(response.choices[0], message=message)
            written, _ = write_answer(msgspec.structs.replace(response, choices=(choice,)))
            lines = differences(normal(body), normal(written))
            assert len(lines) == 1, f"{name} {lines}"
            assert "became something else" in lines[0]
            changed += 1
    assert changed > 300


def test_every_recorded_error_is_understood(recordings: Path) -> None:
    count = 0
    for one in exchanges(recordings):
        status, body = one["response"]["status"], one["response"].get("body")
        if status < 400:
            continue
        error = MESSAGES.decode_error(status, Headers(), json.dumps(body).encode())
        assert (error.status, error.message, error.type) == (status, body["error"]["message"], body["error"]["type"])
        assert not differences(normal(body), normal(json.loads(MESSAGES.encode_error(error))))
        count += 1
    assert count >= 9


def test_a_followed_stream_is_complete_when_its_answer_is(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        follower, events = MESSAGES.follow(), events_of(raw)
        for event in events[:-1]:
            follower.feed(event)
        assert follower.complete, name
        assert [event.name for event in follower.finish("stop", None)] == ["message_stop"], name


def test_the_whole_answer_and_its_stream_are_one(recordings: Path) -> None:
    for name, body in answers_of(recordings):
        before = read_answer(body)
        events = list(MESSAGES.encode_stream(Request(stream=True), []).feed(list(play(before))))
        after = assembled(events)
        assert in_one_form(plain(after)) == in_one_form(plain(before)), name
        assert strictly(events, typed=False).text == before.text, name
