"""What OpenAI mints and later requests name is found in answers, in streams and in requests, recorded ones among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Ids
from jackfield.api.canonical.looking import minted
from tests.plugins.openai_responses.responses_wire import RESPONSES, answers_of, events_of, requests_of, streams_of

SPELLINGS = [(",", ":"), (", ", ": ")]


def reasoning(item_id: str, sealed: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": item_id, "summary": [], "encrypted_content": sealed, **more}


def reference(item_id: str) -> dict[str, Any]:
    return {"type": "item_reference", "id": item_id}


def named(body: dict[str, Any], separators: tuple[str, str] = (",", ":")) -> Ids:
    return RESPONSES.named(json.dumps({"model": "m", "input": "hi", **body}, separators=separators).encode(), {})


@pytest.mark.parametrize("separators", SPELLINGS, ids=["tight", "loose"])
@pytest.mark.parametrize(
    ("body", "stored", "sealed"),
    [
        ({}, (), ()),
        ({"previous_response_id": "resp_1"}, ("resp_1",), ()),
        ({"previous_response_id": None, "conversation": None}, (), ()),
        ({"conversation": "conv_1"}, ("conv_1",), ()),
        ({"conversation": {"id": "conv_1"}, "reasoning": {"effort": "low"}}, ("conv_1",), ()),
        ({"input": [reference("msg_1"), {"role": "user", "content": "item_reference"}, reference("msg_2")]}, ("msg_2", "msg_1"), ()),
        # What is only an id stands for all of the item.
        ({"input": [{"id": "msg_1"}, reference("msg_2")]}, ("msg_2", "msg_1"), ()),
        # Reasoning that is sent without a word of it is read from what is kept; with its words or encrypted it needs nothing.
        ({"input": [reasoning("rs_1"), {"type": "message", "id": "msg_1", "role": "assistant", "content": []}]}, ("rs_1",), ()),
        ({"input": [reasoning("rs_1", content=[{"type": "reasoning_text", "text": "Hm."}])]}, (), ()),
        ({"input": [reasoning("rs_1", content=None)]}, ("rs_1",), ()),
        ({"input": [reasoning("rs_1", "AAA"), reasoning("rs_2", "BBB")], "store": False}, (), ("BBB",)),
        ({"input": [reasoning("rs_1", "AAA"), reasoning("rs_2"), reference("msg_1")]}, ("msg_1", "rs_2"), ("AAA",)),
        ({"input": [reasoning("rs_1", "AAA"), reasoning("rs_2", "jf1.other.BBB")]}, (), ("AAA",)),
        ({"input": [{"type": "compaction", "id": "cmp_1", "encrypted_content": "CCC"}]}, (), ("CCC",)),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}, {"type": "web_search"}]}, ("cntr_1",), ()),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, (), ()),
        # What is wrong in one place is for others to judge, and hides nothing else.
        ({"previous_response_id": "resp_1", "input": [reference("msg_1"), {"id": 5}], "conversation": 7}, ("resp_1",), ()),
        ({"previous_response_id": "resp_1", "input": [{"encrypted_content": 'A"B', "type": "reasoning"}]}, ("resp_1",), ("A\\",)),
    ],
)
def test_a_request_names(body: dict[str, Any], stored: tuple[str, ...], sealed: tuple[str, ...], separators: tuple[str, str]) -> None:
    assert named(body, separators) == Ids(stored=stored, sealed=sealed)


def test_words_about_ids_name_none() -> None:
    words = json.dumps({"previous_response_id": "resp_1", "encrypted_content": "AAA", "type": "item_reference"})
    assert named({"input": words, "instructions": words}) == Ids()
    assert named({"input": [{"role": "user", "content": words}]}) == Ids()


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"input":' + b"[" * 5000])
def test_what_is_no_request_names_nothing(raw: bytes) -> None:
    assert RESPONSES.named(raw, {}) == Ids()


def test_a_path_names_an_answer() -> None:
    assert RESPONSES.named(b"", {"id": "resp_1"}) == Ids(stored=("resp_1",))


def test_of_a_long_past_the_latest_are_named() -> None:
    found = named({"previous_response_id": "resp_1", "input": [reference(f"msg_{n}") for n in range(500)]})
    assert found.stored[:3] == ("resp_1", "msg_499", "msg_498")
    assert len(found.stored) == 16


ITEMS = [
    reasoning("rs_1", "AAA"),
    {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
    {"type": "message", "id": "msg_1", "content": []},
]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"id": "resp_1", "store": True, "output": ITEMS, "conversation": {"id": "conv_1"}},
            Ids(stored=("resp_1", "rs_1", "ci_1", "msg_1", "conv_1", "cntr_1"), sealed=("AAA",)),
        ),
        ({"id": "resp_1", "store": False, "output": ITEMS}, Ids(stored=("cntr_1",), sealed=("AAA",))),
        ({"object": "list", "data": [{"id": "msg_0", "type": "message"}]}, Ids(stored=("msg_0",))),
        ({"type": "response.created", "response": {"id": "resp_1", "output": []}}, Ids(stored=("resp_1",))),
        ({"type": "response.output_item.done", "item": ITEMS[0]}, Ids(sealed=("AAA",))),
        ({"id": "resp_1", "object": "response.deleted", "deleted": True}, Ids(stored=("resp_1",))),
        ({"id": 5}, Ids()),
    ],
)
def test_an_answer_or_an_event_mints(answer: dict[str, Any], expected: Ids) -> None:
    assert RESPONSES.minted(json.dumps(answer).encode()) == expected


def test_all_that_recorded_answers_mint_is_found(recordings: Path) -> None:
    count = 0
    for name, body in answers_of(recordings):
        if body.get("object") == "response" and body.get("store") is not False:
            found = RESPONSES.minted(json.dumps(body).encode()).stored
            assert set(found) >= {body["id"], *(item["id"] for item in body["output"] if item.get("id"))}, name
            count += 1
    assert count > 150


def test_all_that_recorded_streams_mint_is_found_in_a_few_of_their_events(recordings: Path) -> None:
    count = 0
    for name, raw in streams_of(recordings):
        said = [event.json for event in events_of(raw)]
        whole = raw if raw.endswith(b"\n\n") else raw + b"\n\n"
        last = [name for event in events_of(raw)[-2:] for name in minted(RESPONSES, event.raw, edge=True)]
        found = {*minted(RESPONSES, whole, edge=True), *last}
        done = [one["item"] for one in said if one and one.get("type") == "response.output_item.done"]
        assert found >= {item["encrypted_content"] for item in done if item.get("encrypted_content")}, name
        ended = next((one["response"] for one in said if one and one.get("type") == "response.completed"), None)
        if ended is not None and ended.get("store") is not False:
            assert ended["id"] in found, name
            assert found >= {item["id"] for item in ended["output"] if item.get("id")}, name
            count += 1
    assert count > 50


def test_recorded_requests_name_what_they_go_on_from(recordings: Path) -> None:
    found = {name: RESPONSES.named(json.dumps(body).encode(), {}) for name, body in requests_of(recordings)}
    bodies = dict(requests_of(recordings))
    assert {n for n, ids in found.items() if any(i.startswith("resp_") for i in ids.stored)} == {
        n for n, body in bodies.items() if body.get("previous_response_id")
    }
    assert sum(bool(ids.sealed) for ids in found.values()) > 20
