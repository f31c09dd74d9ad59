"""Everything that was recorded of chat completions goes through the codec and comes back as it was."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Event, Headers, Request, Response
from jackfield.api.canonical import Assembler, StreamError, Text, ToolCall
from tests.plugins.openai.chat_wire import (
    CHAT,
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
    write_answer,
    write_request,
)

NEVER_SAID_WHY = "openai-chat-pydantic-ai-67d2895498fe"
"""Snowflake's stream without any finish reason: the one that is written at its end is an addition."""


def test_every_recorded_request_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in requests_of(recordings):
        written, losses = write_request(read_request(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 400


def test_every_recorded_answer_comes_back_as_it_was(recordings: Path) -> None:
    wrong, count = [], 0
    for name, body in answers_of(recordings):
        written, losses = write_answer(read_answer(body))
        wrong += [f"{name} {line}" for line in differences(normal(body), normal(written))] + [f"{name} {loss}" for loss in losses]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 300


def rewritten(events: list[Event]) -> list[Any]:
    """Return the chunks of a stream that was read and written event by event."""
    decoder, encoder = CHAT.decode_stream(), CHAT.encode_stream(Request(stream=True, stream_usage=True), [])
    leaving = [made for event in events for made in encoder.feed(decoder.feed(event))]
    leaving += encoder.feed(decoder.close())
    return [event.json for event in leaving if not CHAT.terminal(event)]


def test_every_recorded_stream_comes_back_chunk_by_chunk(recordings: Path) -> None:
    wrong, count = [], 0
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        chunks = rewritten(events)
        if name == NEVER_SAID_WHY:
            assert chunks.pop(-2)["choices"][0]["finish_reason"] == "stop"
        before = [event.json for event in events if not CHAT.terminal(event)]
        wrong += [f"{name} {line}" for line in differences(normal(before), normal(chunks))]
        count += 1
    assert not wrong, "\n".join(wrong)
    assert count > 80


def accumulated(chunks: list[Any]) -> dict[str, Any]:
    """Add chunks up to a whole answer, as a client without a codec would."""
    whole: dict[str, Any] = {"object": "chat.completion", "choices": []}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        if not chunk.get("id") and not chunk["choices"] and not chunk.get("usage"):
            continue
        for key in ("id", "model", "created", "service_tier"):
            whole.setdefault(key, chunk.get(key))
        usage = chunk.get("usage") or chunk.get("x_groq", {}).get("usage")
        whole["usage"] = usage or whole.get("usage")
        for choice in chunk["choices"]:
            one = choices.setdefault(choice["index"], {"index": choice["index"], "message": {"role": "assistant"}})
            one["finish_reason"] = one.get("finish_reason") or choice.get("finish_reason")
            one["logprobs"] = one.get("logprobs") or choice.get("logprobs")
            add(one["message"], choice["delta"])
    whole["choices"] = list(choices.values())
    return whole


def add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("reasoning", "reasoning_content", "refusal"):
        if delta.get(key):
            message[key] = message.get(key, "") + delta[key]
    if isinstance(delta.get("content"), str):
        if message.get("parts"):
            message["parts"][1]["text"] += delta["content"]
        else:
            message["content"] = message.get("content", "") + delta["content"]
    for item in delta["content"] if isinstance(delta.get("content"), list) else ():
        empty = [{"type": "thinking", "thinking": [{"type": "text", "text": ""}]}, {"type": "text", "text": ""}]
        parts = message.setdefault("parts", empty)
        message["content"] = parts
        for thought in item["thinking"]:
            parts[0]["thinking"][0]["text"] += thought["text"]
    for detail in delta.get("reasoning_details") or ():
        found = message.setdefault("reasoning_details", [])
        if found and found[-1]["index"] == detail["index"] and found[-1]["type"] == detail["type"]:
            found[-1]["text"] = found[-1].get("text", "") + detail.pop("text", "")
            found[-1].update({key: value for key, value in detail.items() if key == "signature"})
        else:
            found.append(dict(detail))
    for at, piece in enumerate(delta.get("tool_calls") or ()):
        calls = message.setdefault("tool_calls", [])
        index = piece.get("index", at)
        if index == len(calls):
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        calls[index]["id"] = calls[index]["id"] or piece.get("id") or ""
        calls[index]["function"]["name"] += piece["function"].get("name") or ""
        calls[index]["function"]["arguments"] += piece["function"].get("arguments") or ""


def test_every_recorded_stream_assembles_to_what_its_chunks_add_up_to(recordings: Path) -> None:
    wrong = []
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        assembler = Assembler()
        assembler.feed(decoded(events))
        if assembler.error is not None:
            continue
        expected = plain(read_answer(accumulated([json.loads(event.data) for event in events if not CHAT.terminal(event)])))
        if name == NEVER_SAID_WHY:
            expected["choices"][0]["finish"] = "stop"
        assert assembler.done, name
        wrong += [f"{name} {line}" for line in differences(expected, plain(assembler.response()))]
    assert not wrong, "\n".join(wrong)


def test_every_recorded_stream_says_the_same_however_its_bytes_are_cut(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        if len(raw) > 40_000:
            continue
        whole = decoded(events_of(raw))
        splitter, events = CHAT.framing.splitter(), []
        for at in range(0, len(raw), 7):
            events += events_of(done) if (done := splitter.feed(raw[at : at + 7])) else []
        if splitter.rest():
            events += events_of(splitter.rest())
        assert decoded(events) == whole, name


def test_what_one_event_says_agrees_with_the_whole_stream(recordings: Path) -> None:
    for name, raw in streams_of(recordings):
        events = events_of(raw)
        whole = Assembler()
        whole.feed(decoded(events))
        response = whole.response()
        assert "".join(event.text for event in events) == response.text, name
        thoughts = "".join(event.thinking for event in events)
        assert thoughts == response.thinking, name
        arguments = "".join(event.arguments for event in events)
        assert arguments == "".join(call.arguments for call in response.tool_calls), name


def test_the_needles_find_every_event_that_matters(recordings: Path) -> None:
    needles = CHAT.needles
    for name, raw in streams_of(recordings):
        for event in events_of(raw):
            found = {kind: any(needle in event.raw for needle in getattr(needles, kind)) for kind in ("terminal", "usage", "error")}
            assert found["usage"] or event.usage is None, name
            assert found["error"] or event.error is None, name
            assert found["terminal"] or not CHAT.terminal(event), name


def test_a_glance_at_every_recorded_answer_shows_what_decoding_it_shows(recordings: Path) -> None:
    for name, body in answers_of(recordings):
        seen = CHAT.glance(json.dumps(body).encode())
        usage = read_answer(body).usage
        assert usage is not None
        assert seen.error is None
        assert seen.usage == msgspec.structs.replace(usage, extensions={}), name


def test_extensions_stay_small(recordings: Path) -> None:
    requests = [share(read_request(body), body) for _, body in requests_of(recordings)]
    answers = [share(read_answer(body), body) for _, body in answers_of(recordings)]
    assert statistics.median(requests) <= 0.20
    assert statistics.median(answers) <= 0.20


def share(struct: msgspec.Struct, body: Any) -> float:
    return extension_bytes(msgspec.json.decode(msgspec.json.encode(struct))) / len(msgspec.json.encode(body))


ONLY_SAID_BY_OTHERS = ("sampling.top_k", ".cache", "thinking.budget", "thinking.mode", "service_tier")
"""Paths of what OpenAI itself cannot be told, so that it is lost when the places are forgotten in which it stood."""


def test_without_extensions_all_canonical_still_stands_or_is_listed_as_lost(recordings: Path) -> None:
    wrong, schemas = [], 0
    for name, body in requests_of(recordings):
        before = plain(read_request(body))
        written, losses = write_request(msgspec.convert(before, Request))
        after = plain(read_request(written))
        thinking = before.get("thinking", {})
        if thinking.get("mode") == "off":
            before["thinking"] = {**thinking, "effort": "none"}
        elif thinking.get("mode") == "on" and "effort" in thinking:
            before["thinking"] = {"effort": thinking["effort"]}
        if losses:
            told = [
                loss
                for loss in losses
                if loss.path.endswith(ONLY_SAID_BY_OTHERS) or "signed" in loss.why or loss.path.startswith("messages")
            ]
            fitted = [loss for loss in losses if ".parameters" in loss.path or loss.path.startswith("output.schema")]
            assert [loss for loss in losses if loss in told or loss in fitted] == losses, name
            schemas += bool(fitted)
        else:
            wrong += [f"{name} {line}" for line in differences(normal(before), normal(after))]
    assert not wrong, "\n".join(wrong)
    assert schemas < 20  # those of which OpenAI takes less than others do


def test_without_extensions_all_of_an_answer_still_stands(recordings: Path) -> None:
    wrong = []
    for name, body in answers_of(recordings):
        before = plain(read_answer(body))
        written, losses = write_answer(msgspec.convert(before, Response))
        after = plain(read_answer(written))
        if not before.get("id"):
            after.pop("id")
            for choice in before["choices"]:
                tools = any(part["type"] == "tool_call" for part in choice["message"]["parts"])
                choice.setdefault("finish", "tool_calls" if tools else "stop")
        for part in before["choices"][0]["message"].get("parts", ()):
            if {"kind": "other"} in part.get("citations", ()):
                del part["citations"]
        told = [loss for loss in losses if loss.path.endswith(("service_tier", ".citations"))]
        if any(loss.path == "service_tier" for loss in told):
            del before["service_tier"]
        assert told == losses, name
        wrong += [f"{name} {line}" for line in differences(before, after)]
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
    assert changed > 200
    assert renamed > 150


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
            written, _ = write_answer(msgspec.structs.replace(response, choices=(choice, *response.choices[1:])))
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
        error = CHAT.decode_error(status, Headers(), json.dumps(body).encode())
        said = body.get("error") or {"message": body["detail"]}
        assert error.status == status
        assert error.message == said["message"]
        written = json.loads(CHAT.encode_error(error))["error"]
        assert {"message", "type", "param", "code"} <= written.keys()
        added = {} if "type" in said else {"type": written["type"], "code": written["code"]}
        assert not differences({**normal(said), **added}, normal(written))
        count += 1
    assert count > 15


def test_recorded_errors_in_streams_are_the_last_word(recordings: Path) -> None:
    found = 0
    for name, raw in streams_of(recordings):
        deltas = decoded(events_of(raw))
        if isinstance(deltas[-1], StreamError):
            assert deltas[-1].error.code == "tool_use_failed", name
            assert deltas[-1].error.status == 400
            found += 1
    assert found == 2
