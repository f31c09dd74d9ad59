"""Streams of the dialect `openai.chat`: what an encoder writes for deltas of any dialect, and how a decoder goes along."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from jackfield.api import Error, Request, Response, Usage
from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Begin,
    Choice,
    Citation,
    CitationDelta,
    Delta,
    Done,
    Finish,
    Image,
    Logprobs,
    LogprobsDelta,
    Message,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Refusal,
    ServerToolCall,
    Signature,
    SignatureDelta,
    Source,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    UsageDelta,
    play,
)
from tests.plugins.openai.chat_wire import CHAT, assembled, chunk, chunk_event, decoded, encoded, stream

BEGIN = Begin(id="r-1", model="m", created=7)


def deltas_of(chunks: list[Any]) -> list[Any]:
    return [one["choices"][0]["delta"] for one in chunks if one is not None and one["choices"]]


def words(*texts: str) -> list[Delta]:
    return [PartStart(index=0, part=Text(text="")), *(TextDelta(index=0, text=text) for text in texts), PartEnd(index=0)]


def test_a_text_of_another_dialect_becomes_the_stream_that_openai_would_send() -> None:
    chunks = encoded([BEGIN, *words("Hel", "lo"), Finish(reason="stop"), UsageDelta(usage=Usage(input=3, output=2)), Done()])
    assert [(c["choices"][0]["delta"], c["choices"][0]["finish_reason"]) for c in chunks[:4]] == [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "Hel"}, None),
        ({"content": "lo"}, None),
        ({}, "stop"),
    ]
    assert chunks[4]["choices"] == []
    assert chunks[4]["usage"]["total_tokens"] == 5
    assert chunks[5] is None
    assert len(chunks) == 6
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks[:5]} == {("r-1", "chat.completion.chunk", 7, "m")}


def test_token_counts_are_sent_only_to_those_who_asked() -> None:
    deltas = [BEGIN, *words("a"), Finish(reason="stop"), UsageDelta(usage=Usage(input=3, output=2)), Done()]
    for request in (Request(stream=True), Request(stream=True, stream_usage=False)):
        assert not any(one and one.get("usage") for one in encoded(deltas, request))
    assert encoded(deltas)[-2]["usage"]["prompt_tokens"] == 3


def test_token_counts_that_an_upstream_sent_alone_do_not_reach_a_client_that_did_not_ask() -> None:
    alone = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [], "obfuscation": "x"}
    alone["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    events = stream(chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk(finish="stop"), alone)
    for asked in (True, False):
        decoder, encoder = CHAT.decode_stream(), CHAT.encode_stream(Request(stream=True, stream_usage=asked), [])
        sent = [made for event in events for made in encoder.feed(decoder.feed(event))]
        assert any(event.usage is not None for event in sent) is asked


def test_token_counts_that_come_early_are_sent_once_and_last() -> None:
    early = [
        BEGIN,
        UsageDelta(usage=Usage(input=3)),
        *words("a"),
        UsageDelta(usage=Usage(input=3, output=2)),
        Finish(reason="stop"),
        Done(),
    ]
    chunks = encoded(early)
    assert [one["usage"]["completion_tokens"] for one in chunks if one and one.get("usage")] == [2]
    assert chunks[-2]["usage"]["completion_tokens"] == 2


def test_a_stream_that_names_nothing_gets_an_id_and_a_time() -> None:
    chunks = encoded([Begin(), *words("a"), Finish(reason="stop"), Done()])
    assert len({one["id"] for one in chunks[:-1]}) == 1
    assert chunks[0]["id"].startswith("chatcmpl-")
    assert chunks[0]["created"] > 1_700_000_000


def test_tool_calls_are_numbered_among_themselves() -> None:
    deltas: list[Delta] = [
        BEGIN,
        *words("a"),
        PartStart(index=1, part=ToolCall(id="c1", name="f")),
        ArgumentsDelta(index=1, text='{"a"'),
        ArgumentsDelta(index=1, text=":1}"),
        PartEnd(index=1),
        PartStart(index=2, part=ToolCall(id="c2", name="g")),
        ArgumentsDelta(index=2, text="{}"),
        PartEnd(index=2),
        Finish(reason="tool_calls"),
        Done(),
    ]
    pieces = [piece for delta in deltas_of(encoded(deltas)) for piece in delta.get("tool_calls", ())]
    assert pieces == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_a_custom_tools_call_has_input() -> None:
    deltas: list[Delta] = [
        BEGIN,
        PartStart(index=0, part=ToolCall(id="c", name="f", kind="custom")),
        ArgumentsDelta(index=0, text="free"),
        Finish(reason="tool_calls"),
        Done(),
    ]
    assert deltas_of(encoded(deltas))[1:3] == [
        {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "free"}}]},
    ]


def test_thoughts_and_what_seals_them() -> None:
    deltas: list[Delta] = [
        BEGIN,
        PartStart(index=0, part=Thinking()),
        ThinkingDelta(index=0, text="hm"),
        SignatureDelta(index=0, signature=Signature(value="sig", family="anthropic")),
        PartEnd(index=0),
        *words("a"),
        Done(),
    ]
    found = deltas_of(encoded(deltas))
    assert found[1] == {"reasoning_content": "hm"}
    assert found[2] == {
        "reasoning_details": [{"type": "reasoning.text", "signature": "jf1.anthropic.sig", "format": "anthropic-claude-v1", "index": 0}]
    }


def test_everything_else_that_a_delta_can_say() -> None:
    token = TokenLogprob(token="a", logprob=-0.5)
    deltas: list[Delta] = [
        BEGIN,
        PartStart(index=0, part=Refusal(text="")),
        TextDelta(index=0, text="no"),
        PartEnd(index=0),
        PartStart(index=1, part=Audio(id="audio_1")),
        AudioDelta(index=1, data="SUQz", transcript="beep"),
        PartEnd(index=1),
        PartStart(index=2, part=Image(source=Source(data="iVBORw0K", media_type="image/png"))),
        PartEnd(index=2),
        PartStart(index=3, part=Text(text="")),
        TextDelta(index=3, text="a"),
        CitationDelta(index=3, citation=Citation(url="u")),
        PartEnd(index=3),
        LogprobsDelta(logprobs=Logprobs(content=(token,))),
        Finish(reason="stop"),
        Done(),
    ]
    chunks = encoded(deltas)
    assert deltas_of(chunks)[1:] == [
        {"refusal": "no"},
        {"audio": {"id": "audio_1"}},
        {"audio": {"data": "SUQz", "transcript": "beep"}},
        {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}]},
        {"content": "a"},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "", "start_index": 0, "end_index": 1}}]},
        {},
        {},
    ]
    assert chunks[-3]["choices"][0]["logprobs"]["content"][0]["token"] == "a"


def test_every_chunk_is_one_that_openais_client_accepts() -> None:
    response = Response(
        model="m",
        choices=tuple(
            Choice(
                index=at,
                finish="tool_calls",
                message=Message(
                    role="assistant",
                    parts=(
                        Thinking(text="hm", signature=Signature(value="s", family="gemini")),
                        Text(text="a", citations=(Citation(url="u"),)),
                        Refusal(text="no"),
                        ToolCall(id="c", name="f", arguments="{}", signature=Signature(value="s", family="gemini")),
                        ToolCall(id="d", name="g", arguments="{}"),
                    ),
                ),
            )
            for at in range(2)
        ),
        usage=Usage(input=1, output=2),
    )
    encoder = CHAT.encode_stream(Request(stream=True, stream_usage=True), [])
    events = encoder.feed(list(play(response)))
    assert CHAT.terminal(events[-1])
    for event in events[:-1]:
        ChatCompletionChunk.model_validate_json(event.data, strict=True)
    roles = [
        one["choices"][0]["index"]
        for one in (event.json for event in events[:-1])
        if one["choices"] and "role" in one["choices"][0]["delta"]
    ]
    assert roles == [0, 1]


def test_an_error_is_told_and_ends_the_stream() -> None:
    encoder = CHAT.encode_stream(Request(stream=True), [])
    encoder.feed([BEGIN, *words("a")])
    events = encoder.feed([StreamError(error=Error(status=503, message="busy"))])
    assert events[0].json == {
        "error": {"message": "busy", "type": "service_unavailable_error", "param": None, "code": "server_is_overloaded"}
    }
    assert CHAT.terminal(events[1])
    assert list(encoder.feed([TextDelta(index=0, text="late"), Done()])) == []


def test_nothing_follows_the_end() -> None:
    encoder = CHAT.encode_stream(Request(stream=True), [])
    assert CHAT.terminal(encoder.feed([BEGIN, Done()])[-1])
    assert list(encoder.feed([Done()])) == []
    decoder = CHAT.decode_stream()
    for event in stream(chunk({"role": "assistant", "content": "a"}), chunk(finish="stop")):
        decoder.feed(event)
    assert list(decoder.feed(chunk_event(chunk({"content": "late"})))) == []
    assert list(decoder.close()) == []


def test_what_a_stream_cannot_say_is_listed() -> None:
    losses: list[Any] = []
    encoder = CHAT.encode_stream(Request(stream=True), losses)
    encoder.feed(
        [
            BEGIN,
            PartStart(index=0, part=ServerToolCall(name="web")),
            PartEnd(index=0),
            OpaqueDelta(dialect="other.talk", value="{}"),
            Finish(reason="pause"),
        ]
    )
    assert [loss.path for loss in losses] == ["choices[0].parts[0]", "stream", "choices[0].finish"]


def test_parts_open_and_close_in_the_order_of_the_stream() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    deltas = decoded(
        stream(
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "a"}),
            chunk({"content": "b"}),
            chunk({"tool_calls": [call]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            chunk(finish="tool_calls"),
        )
    )
    assert deltas == [
        Begin(id="c-1", model="m", created=7),
        PartStart(index=0, part=Thinking()),
        ThinkingDelta(index=0, text="hm"),
        PartEnd(index=0),
        PartStart(index=1, part=Text(text="")),
        TextDelta(index=1, text="a"),
        TextDelta(index=1, text="b"),
        PartEnd(index=1),
        PartStart(index=2, part=ToolCall(id="c", name="f")),
        ArgumentsDelta(index=2, text="{}"),
        PartEnd(index=2),
        Finish(reason="tool_calls"),
        Done(),
    ]


def test_an_answer_that_broke_off_is_not_said_to_be_complete() -> None:
    deltas = decoded(stream(chunk({"role": "assistant", "content": "a"}), done=False))
    assert deltas[-1] == PartEnd(index=0)
    assert not any(isinstance(delta, Done | Finish) for delta in deltas)


def test_words_after_the_end_of_a_choice_are_kept_for_this_dialect_alone() -> None:
    events = stream(chunk({"role": "assistant", "content": "a"}), chunk(finish="stop"), chunk({"content": "late"}))
    assert assembled(events).text == "a"
    assert any(isinstance(delta, OpaqueDelta) and "late" in delta.value for delta in decoded(events))


def test_pieces_of_calls_that_take_turns_reach_their_own_call() -> None:
    def piece(index: int, text: str, **start: Any) -> Any:
        return chunk({"tool_calls": [{"index": index, **start, "function": {"arguments": text, **({"name": "f"} if start else {})}}]})

    events = stream(piece(0, "a", id="c0"), piece(1, "x", id="c1"), piece(0, "b"), piece(1, "y"), chunk(finish="tool_calls"))
    assert [(call.id, call.arguments) for call in assembled(events).tool_calls] == [("c0", "ab"), ("c1", "xy")]


@pytest.mark.parametrize("data", [b"", b"null", b"[1]", b"nonsense", b'{"a":', b"5"])
def test_data_that_is_no_chunk_says_nothing(data: bytes) -> None:
    decoder = CHAT.decode_stream()
    assert list(decoder.feed(CHAT.event(data))) == []
    assert list(CHAT.event(data).deltas) == []


def test_line_separators_that_break_naive_clients_are_escaped_in_events() -> None:
    encoder = CHAT.encode_stream(Request(stream=True), [])
    encoder.feed([BEGIN, PartStart(index=0, part=Text(text=""))])
    (event,) = encoder.feed([TextDelta(index=0, text="a\u2028b\u0085")])
    assert event.raw.decode().splitlines() == [event.frame.decode(), ""]
    assert event.text == "a\u2028b\u0085"


@pytest.mark.parametrize("together", [True, False])
def test_paragraphs_of_a_summary_stand_apart(together: bool) -> None:
    thought = [ThinkingDelta(index=0, text=text, summary=at) for at, text in ((0, "On"), (0, "e."), (1, "Two"), (1, "."), (2, "Three."))]
    deltas: list[Delta] = [BEGIN, PartStart(index=0, part=Thinking()), *thought, PartEnd(index=0), Finish(reason="stop"), Done()]
    encoder = CHAT.encode_stream(Request(stream=True), [])
    events = encoder.feed(deltas) if together else [event for delta in deltas for event in encoder.feed([delta])]
    said = [event.json["choices"][0]["delta"].get("reasoning_content", "") for event in events[:-1]]
    assert "".join(said) == "One.\n\nTwo.\n\nThree."
