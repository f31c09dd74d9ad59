"""Streams of the dialect `anthropic.messages`, read and written: what others stream is told as the strictest client wants it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jackfield.api import Error, Event, Loss, Request, Usage
from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Begin,
    Citation,
    CitationDelta,
    Delta,
    Done,
    Finish,
    Image,
    Logprobs,
    LogprobsDelta,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Signature,
    SignatureDelta,
    Source,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageDelta,
)
from tests.plugins.anthropic.messages_wire import (
    MESSAGES,
    adds,
    assembled,
    begin,
    block,
    closes,
    decoded,
    encoded,
    ends,
    event,
    events_of,
    opens,
    over,
    strictly,
    words,
)

GEMINI = Signature(value="G==", family="gemini")
OPENAI = Signature(value="O==", family="openai")


def part(index: int, what: Any, *increments: Delta) -> list[Delta]:
    return [PartStart(index=index, part=what), *increments, PartEnd(index=index)]


def whole(*deltas: Delta, finish: Any = "stop") -> list[Delta]:
    return [Begin(id="x", model="m"), *deltas, Finish(reason=finish), UsageDelta(usage=Usage(input=7, output=3, cache_read=2)), Done()]


# ---------------------------------------------------------------------------------------------------- writing


def test_the_order_of_events() -> None:
    events = encoded(whole(*part(0, Text(text=""), TextDelta(index=0, text="Hel"), TextDelta(index=0, text="lo"))))
    assert [one.name for one in events] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    client = strictly(events)
    assert (client.text, client.stop_reason) == ("Hello", "end_turn")
    assert client.message["usage"] == {
        "input_tokens": 5,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 0,
        "output_tokens": 3,
    }


def test_a_stream_of_which_nothing_is_known_begins_all_the_same() -> None:
    client = strictly(encoded([*part(0, Text(text=""), TextDelta(index=0, text="x")), Done()]))
    assert client.message["id"].startswith("msg_")
    assert client.stop_reason == "end_turn"
    assert strictly(encoded([Done()])).content == []


def test_what_was_counted_at_the_start_stands_there() -> None:
    (first, *_) = encoded([Begin(id="x", model="m", usage=Usage(input=42, source="estimated"))])
    assert first.json["message"]["usage"]["input_tokens"] == 42
    assert MESSAGES.usage_at_start


def test_counts_that_come_before_or_after_the_finish_are_told_once() -> None:
    said = [Begin(id="x", model="m"), *part(0, Text(text=""), TextDelta(index=0, text="x"))]
    counted = UsageDelta(usage=Usage(input=7, output=3))
    for deltas in (
        [*said, counted, Finish(reason="stop"), Done()],
        [*said, Finish(reason="stop"), counted, Done()],
        [*said, counted, Done()],
    ):
        assert strictly(encoded(deltas)).message["usage"]["output_tokens"] == 3
    late = [*said, Finish(reason="stop"), counted, UsageDelta(usage=Usage(input=7, output=9)), Done()]
    assert strictly(encoded(late)).message["usage"]["output_tokens"] == 3
    assert strictly(encoded([*said, Finish(reason="stop"), Done()])).message["usage"] == {"output_tokens": 0}


def test_nothing_follows_the_end() -> None:
    encoder = MESSAGES.encode_stream(Request(), [])
    encoder.feed(whole())
    assert list(encoder.feed([TextDelta(index=0, text="late"), Done()])) == []


def test_calls_whose_pieces_are_mixed_are_told_one_after_the_other() -> None:
    mixed: list[Delta] = [
        Begin(id="x", model="m"),
        PartStart(index=0, part=ToolCall(id="a", name="f")),
        ArgumentsDelta(index=0, text='{"x":'),
        PartEnd(index=0),
        PartStart(index=1, part=ToolCall(id="b", name="g")),
        ArgumentsDelta(index=1, text='{"y"'),
        ArgumentsDelta(index=0, text="1}"),
        ArgumentsDelta(index=1, text=":2}"),
        PartEnd(index=1),
        Finish(reason="tool_calls"),
        Done(),
    ]
    for together in (False, True):
        client = strictly(encoded(mixed, together=together))
        assert [(one["name"], one["input"]) for one in client.content] == [("f", {"x": 1}), ("g", {"y": 2})]
        assert client.stop_reason == "tool_use"


def test_calls_that_begin_together_keep_their_arguments() -> None:
    deltas: list[Delta] = [
        PartStart(index=0, part=ToolCall(id="a", name="f")),
        PartStart(index=1, part=ToolCall(id="b", name="g")),
        PartStart(index=2, part=ToolCall(id="c", name="h")),
        ArgumentsDelta(index=2, text="{}"),
        ArgumentsDelta(index=1, text='{"y":2}'),
        ArgumentsDelta(index=0, text='{"x":1}'),
    ]
    client = strictly(encoded(whole(*deltas, finish="stop")))
    assert [(one["id"], one["input"]) for one in client.content] == [("a", {"x": 1}), ("b", {"y": 2}), ("c", {})]
    assert client.stop_reason == "tool_use"


def test_a_call_without_arguments_does_not_hold_up_what_follows_for_ever() -> None:
    deltas = [*part(0, ToolCall(id="a", name="f")), *part(1, Text(text=""), TextDelta(index=1, text="x"))]
    client = strictly(encoded(whole(*deltas)))
    assert [one["type"] for one in client.content] == ["tool_use", "text"]
    assert client.content[0]["input"] == {}


def test_an_answer_that_says_it_called_and_did_not_is_done() -> None:
    assert strictly(encoded(whole(*part(0, Text(text=""), TextDelta(index=0, text="x")), finish="tool_calls"))).stop_reason == "end_turn"


@pytest.mark.parametrize(
    "empty",
    [
        part(0, Text(text="")),
        part(0, Text(text=""), TextDelta(index=0, text="")),
        part(0, Thinking(id="rs_1")),
        part(0, Refusal(text="")),
    ],
    ids=str,
)
def test_a_part_that_says_nothing_is_no_block(empty: list[Delta]) -> None:
    client = strictly(encoded(whole(*empty, *part(1, Text(text=""), TextDelta(index=1, text="x")))))
    assert [one["type"] for one in client.content] == ["text"]


@pytest.mark.parametrize(
    ("what", "increments", "words", "signature"),
    [
        (Thinking(), [ThinkingDelta(index=0, text="hm")], "hm", "jf1.unsigned."),
        (Thinking(), [ThinkingDelta(index=0, text="hm"), SignatureDelta(index=0, signature=OPENAI)], "hm", "jf1.openai.O=="),
        (Thinking(), [SignatureDelta(index=0, signature=Signature(value="S", family="anthropic"))], "", "S"),
        (Thinking(redacted=OPENAI), [], "", "jf1.openai/redacted.O=="),
        (
            Thinking(),
            [
                ThinkingDelta(index=0, text="a", summary=0),
                ThinkingDelta(index=0, text="b", summary=0),
                ThinkingDelta(index=0, text="c", summary=1),
            ],
            "ab\n\nc",
            "jf1.unsigned.",
        ),
        (Thinking(text="start "), [ThinkingDelta(index=0, text="end")], "start end", "jf1.unsigned."),
    ],
    ids=str,
)
def test_every_thought_has_a_signature(what: Thinking, increments: list[Delta], words: str, signature: str) -> None:
    (thought,) = strictly(encoded(whole(*part(0, what, *increments)))).content
    assert (thought["type"], thought["thinking"], thought["signature"]) == ("thinking", words, signature)


def test_encrypted_thoughts_come_whole() -> None:
    (thought,) = strictly(encoded(whole(*part(0, Thinking(redacted=Signature(value="D", family="anthropic")))))).content
    assert thought == {"type": "redacted_thinking", "data": "D"}


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_the_signature_of_a_call_stands_beside_it_and_comes_back(together: bool, first: bool) -> None:
    call = ToolCall(id="a", name="f", signature=GEMINI if first else None)
    signed: list[Delta] = [] if first else [SignatureDelta(index=0, signature=GEMINI)]
    deltas = whole(*part(0, call, ArgumentsDelta(index=0, text="{}"), *signed), *part(1, Text(text=""), TextDelta(index=1, text="x")))
    events = encoded(deltas, together=together)
    client = strictly(events)
    assert [one["type"] for one in client.content].index("tool_use") == (1 if together or first else 0)
    parts = assembled(events).choices[0].message.parts
    assert parts == (ToolCall(id="a", name="f", arguments="{}", signature=GEMINI), Text(text="x"))


def test_a_signature_that_comes_after_the_call_has_ended_is_kept() -> None:
    deltas = whole(*part(0, ToolCall(id="a", name="f"), ArgumentsDelta(index=0, text="{}")), SignatureDelta(index=0, signature=GEMINI))
    events = encoded(deltas)
    strictly(events)
    assert assembled(events).tool_calls[0].signature == GEMINI


def test_citations_are_told_within_their_text() -> None:
    cited = CitationDelta(index=0, citation=Citation(url="https://a", title="t"))
    client = strictly(encoded(whole(*part(0, Text(text=""), TextDelta(index=0, text="x"), cited))))
    assert client.content[0]["citations"][0]["url"] == "https://a"


def test_what_streams_of_messages_have_no_place_for_is_named() -> None:
    losses: list[Loss] = []
    deltas = whole(
        *part(0, Image(source=Source(data="AAAA"))),
        *part(1, Audio(id="a"), AudioDelta(index=1, data="AAAA"), AudioDelta(index=1, transcript="said")),
        *part(2, Refusal(text=""), TextDelta(index=2, text="no")),
        *part(3, Text(text=""), TextDelta(index=3, text="x"), SignatureDelta(index=3, signature=GEMINI)),
        CitationDelta(index=3, citation=Citation(url="https://late")),
        LogprobsDelta(logprobs=Logprobs()),
        LogprobsDelta(logprobs=Logprobs()),
        PartStart(choice=1, index=0, part=Text(text="")),
        TextDelta(choice=1, index=0, text="other"),
        OpaqueDelta(dialect="openai.responses", name="response.x", value="{}"),
    )
    client = strictly(encoded(deltas, losses=losses))
    assert client.text == "saidnox"
    assert client.stop_reason == "refusal"
    assert [loss.path for loss in losses] == [
        "choices[0].message.parts[0]",
        "choices[0].message.parts[1]",
        "choices[0].message.parts[2]",
        "choices[0].message.parts[3].signature",
        "choices[0].message.parts[3]",
        "choices[0].logprobs",
        "choices[1]",
        "stream.response.x",
    ]


def test_sound_without_words_is_lost() -> None:
    losses: list[Loss] = []
    assert strictly(encoded(whole(*part(0, Audio(id="a"), AudioDelta(index=0, data="AAAA"))), losses=losses)).content == []
    assert [loss.what for loss in losses] == ["dropped"]


def test_a_filtered_answer_is_a_refusal_and_said_to_be_a_change() -> None:
    losses: list[Loss] = []
    assert strictly(encoded(whole(finish="content_filter"), losses=losses)).stop_reason == "refusal"
    assert [(loss.path, loss.what) for loss in losses] == [("choices[0].finish", "changed")]


def test_a_search_of_the_web_that_others_made_is_shown() -> None:
    found = ServerToolResult(call_id="ws_1", name="web_search", content='[{"url":"https://a","title":"t"}]')
    deltas = whole(*part(0, ServerToolCall(id="ws_1", name="web_search", arguments='{"query":"q"}')), *part(1, found))
    client = strictly(encoded(deltas))
    assert [one["type"] for one in client.content] == ["server_tool_use", "web_search_tool_result"]
    assert client.content[0]["input"] == {"query": "q"}


def test_a_custom_call_that_the_kernel_left_is_an_object() -> None:
    client = strictly(
        encoded(
            whole(
                *part(
                    0,
                    ToolCall(id="a", name="f", kind="custom"),
                    ArgumentsDelta(index=0, text="free "),
                    ArgumentsDelta(index=0, text="text"),
                )
            )
        )
    )
    assert client.content[0]["input"] == {"input": "free text"}


def test_an_error_is_the_last_word() -> None:
    deltas: list[Delta] = [
        Begin(id="x"),
        PartStart(index=0, part=Text(text="")),
        TextDelta(index=0, text="x"),
        StreamError(error=Error(status=529, message="busy")),
    ]
    client = strictly(encoded([*deltas, Done()]))
    assert client.error == {"type": "overloaded_error", "message": "busy"}


def test_an_error_leaves_the_open_block_open_and_has_a_type_of_anthropics() -> None:
    encoder = MESSAGES.encode_stream(Request(), [])
    encoder.feed([Begin(id="x"), PartStart(index=0, part=Text(text="")), TextDelta(index=0, text="x")])
    error = StreamError(error=Error(status=500, message="broke", type="server_error"))
    (told,) = encoder.feed([PartEnd(index=0), error])
    assert told.json == {"type": "error", "error": {"type": "api_error", "message": "broke"}}


def test_line_ends_of_other_kinds_are_escaped() -> None:
    for text in ("a\u2028b", "a\nb", "\u0085", "\r\n"):
        events = encoded(whole(*part(0, Text(text=""), TextDelta(index=0, text=text), TextDelta(index=0, text=text))))
        raw = b"".join(one.raw for one in events)
        assert len(raw.decode().splitlines()) == raw.count(b"\n")
        assert strictly(events_of(raw)).text == text * 2


# ---------------------------------------------------------------------------------------------------- reading


def tool(index: int, *pieces: str) -> list[Event]:
    return [opens(index, "tool_use"), *(adds(index, "input_json", partial_json=piece) for piece in pieces), closes(index)]


def test_a_stream_in_canonical_words() -> None:
    events = [begin(), event("ping"), *block(0, "Hel", "lo"), *tool(1, "", '{"a"', ":1}"), ends("tool_use"), over()]
    response = assembled(events)
    assert (response.id, response.model, response.text, response.finish) == ("msg_1", "m", "Hello", "tool_calls")
    assert [(call.id, call.arguments) for call in response.tool_calls] == [("toolu_1", '{"a":1}')]
    assert response.usage == Usage(input=3, output=5, extensions=response.usage.extensions if response.usage else {})


@pytest.mark.parametrize("missing", ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop", "ping"])
def test_what_a_careless_server_leaves_out_is_made_good(missing: str) -> None:
    events = [begin(), event("ping"), *block(0, "Hello"), *block(1, "!"), ends(), over()]
    left = [one for one in events if one.name != missing]
    response = assembled(left)
    assert (response.text, response.finish) == ("Hello!", "stop")
    deltas = decoded(left)
    assert [type(delta) for delta in deltas].count(Begin) == 1
    assert isinstance(deltas[-1], Done)
    assert strictly(encoded(deltas)).text == "Hello!"


def test_a_stream_that_breaks_off_has_no_end() -> None:
    deltas = decoded([begin(), opens(0), words(0, "Hel")])
    assert deltas[-1] == PartEnd(index=0)


def test_a_server_without_event_names_is_understood() -> None:
    named = [begin(), *block(0, "x"), ends(), over()]
    bare = [MESSAGES.event(one.data) for one in named]
    assert assembled(bare) == assembled(named)
    assert MESSAGES.terminal(bare[-1])
    assert MESSAGES.commits(bare[0])


def test_the_beginning_of_a_message_and_pings_may_be_held_back() -> None:
    named = [begin(), event("ping"), opens(0), words(0, "x"), closes(0), ends(), over()]
    bare = [MESSAGES.event(one.data) for one in named]
    for stream in (named, bare):
        assert [MESSAGES.lifecycle(one) for one in stream] == [True, True, False, False, False, False, False]
    whole = begin(content=[{"type": "tool_use", "id": "t", "name": "f", "input": {}}], stop_reason="tool_use")
    assert not MESSAGES.lifecycle(whole)
    assert not MESSAGES.lifecycle(MESSAGES.event(b'{"type": "error", "error": {"type": "overloaded_error"}}'))


def test_counts_at_the_end_complete_those_at_the_beginning() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "output_tokens": 3,
        "service_tier": "standard",
    }
    response = assembled([begin(usage=usage), ends(usage={"output_tokens": 40}), over()])
    assert response.usage is not None
    assert (response.usage.input, response.usage.cache_read, response.usage.output) == (15, 5, 40)
    assert response.service_tier == "standard"


def test_an_unknown_event_goes_back_where_it_came_from() -> None:
    odd = event("brand_new", value=1)
    deltas = decoded([begin(), odd, ends(), over()])
    assert OpaqueDelta(dialect="anthropic.messages", name="brand_new", value=odd.data.decode()) in deltas
    assert [one.name for one in encoded(deltas)] == ["message_start", "brand_new", "message_delta", "message_stop"]


def test_an_unknown_delta_of_a_known_block_goes_back_under_the_blocks_number() -> None:
    deltas = decoded([begin(), opens(0), words(0, "x"), adds(0, "sparkle", shine=1), closes(0), ends(), over()])
    assert [one.json["delta"]["type"] for one in encoded(deltas) if one.name == "content_block_delta"] == ["text_delta", "sparkle_delta"]


@pytest.mark.parametrize("name", ["", "error"])
def test_an_error_in_the_stream(name: str) -> None:
    data = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}, "request_id": "r"}).encode()
    bad = MESSAGES.event(data, name)
    deltas = decoded([begin(), opens(0), words(0, "x"), bad, words(0, "y")])
    assert isinstance(deltas[-1], StreamError)
    assert (deltas[-1].error.status, deltas[-1].error.type, deltas[-1].error.message) == (529, "overloaded_error", "busy")
    assert bad.error is not None
    assert MESSAGES.terminal(bad)
    assert MESSAGES.ends(bad)
    assert not MESSAGES.commits(bad)


@pytest.mark.parametrize(
    "raw",
    [b"event: error\ndata: busy\n\n", b'event: error\ndata: "busy"\n\n', b"event: error\ndata: {}\n\n", b"event: error\ndata: null\n\n"],
)
def test_an_error_of_an_odd_form_is_still_one(raw: bytes) -> None:
    (bad,) = events_of(raw)
    assert isinstance(decoded([begin(), bad])[-1], StreamError)
    assert bad.error is not None
    assert not MESSAGES.commits(bad)


@pytest.mark.parametrize("raw", [b"data: <html>\n\n", b'data: {"error": {"message": "x"}}\n\n', b"data: [DONE]\n\n", b"data: 1\n\n"])
def test_what_is_no_event_of_the_dialect_is_no_output(raw: bytes) -> None:
    (odd,) = events_of(raw)
    assert not MESSAGES.commits(odd)


# ------------------------------------------------------------------------------------------------- one event


def test_words_are_replaced_in_place() -> None:
    changed = words(3, "quiet").with_text("LOUD\u2028")
    assert changed.name == "content_block_delta"
    assert (changed.text, changed.json["index"]) == ("LOUD\u2028", 3)
    assert "\u2028".encode() not in changed.raw
    slow = adds(0, "text", text="x", extra=1).with_text("y")
    assert slow.json["delta"] == {"type": "text_delta", "text": "y", "extra": 1}
    for other in (begin(), adds(0, "thinking", thinking="hm"), ends(), over()):
        assert other.with_text("x") is other


def test_one_event_tells_what_it_adds() -> None:
    assert adds(2, "thinking", thinking="hm").thinking == "hm"
    assert adds(2, "input_json", partial_json='{"a"').arguments == '{"a"'
    assert ends("max_tokens").finish == "length"
    assert over().finish is None
    assert over().deltas == [Done()]
    assert begin().usage == Usage(input=3, output=1)
    assert ends(usage={"input_tokens": 4, "output_tokens": 6}).usage == Usage(input=4, output=6)
    assert [MESSAGES.ends(one) for one in (begin(), words(0, "x"), closes(0), ends(), over())] == [False, False, False, True, True]
