"""The dialect `openai.completions`, read and written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types import Completion

from jackfield.api import BadRequest, Error, Event, Headers, ModelInfo, Request, Response, Usage
from jackfield.api.canonical import (
    Assembler,
    Begin,
    Choice,
    Delta,
    Done,
    Finish,
    Image,
    Logprobs,
    Message,
    OpaqueDelta,
    Output,
    PartEnd,
    PartStart,
    Sampling,
    Source,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingConfig,
    TokenChance,
    TokenLogprob,
    Tool,
    ToolCall,
    play,
)
from jackfield_openai.completions import CompletionsDialect

DIALECT = CompletionsDialect()


def read_request(body: Any) -> Request:
    return DIALECT.decode_request(json.dumps(body).encode(), "generate")


def write_request(request: Request) -> tuple[Any, list[Any]]:
    losses: list[Any] = []
    return json.loads(DIALECT.encode_request(request, "generate", losses)), losses


def write_answer(response: Response) -> tuple[Any, list[Any]]:
    losses: list[Any] = []
    return json.loads(DIALECT.encode_response(response, losses)), losses


def chunk_event(value: Any) -> Event:
    return DIALECT.event(json.dumps(value).encode())


def encoded(*deltas: Delta, usage: bool = True, losses: list[Any] | None = None) -> list[Event]:
    encoder = DIALECT.encode_stream(Request(stream=True, stream_usage=usage, model="m"), [] if losses is None else losses)
    return [event for delta in deltas for event in encoder.feed([delta])]


def assembled(events: list[Event]) -> Response:
    decoder, assembler = DIALECT.decode_stream(), Assembler()
    for event in events:
        assembler.feed(decoder.feed(event))
    assembler.feed(decoder.close())
    return assembler.response()


def check(events: list[Event]) -> None:
    """Read a stream as its clients do: chunks of OpenAI's type, one ending for each choice, the end marker last."""
    *chunks, done = events
    assert DIALECT.terminal(done)
    ends: list[int] = []
    for chunk in chunks:
        said = chunk.json
        assert said["object"] == "text_completion"
        assert {"id", "created", "model"} <= said.keys()
        assert said["id"] == chunks[0].json["id"]
        for choice in said["choices"]:
            assert choice["index"] not in ends, "words after the end"
            assert isinstance(choice["text"], str)
            ends += [choice["index"]] if choice["finish_reason"] else []
            assert choice["finish_reason"] in (None, "stop", "length", "content_filter")
    assert len(set(ends)) == len(ends)


# ------------------------------------------------------------------------------------------------ requests

BODIES = [
    {"model": "m", "prompt": "Hello"},
    {"model": "m", "prompt": ""},
    {"model": "m", "prompt": ["Hello"]},
    {"model": "m", "prompt": ["Hello", "Goodbye"]},
    {"model": "m", "prompt": [1, 2, 3]},
    {"model": "m", "prompt": [[1, 2], [3]]},
    {"model": "m", "prompt": "a", "suffix": "z", "echo": True, "best_of": 2, "n": 1, "logprobs": 3, "stop": "x", "seed": 1, "user": "u"},
    {"model": "m", "prompt": "a", "stop": ["x", "y"], "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "logit_bias": {"1": -1}},
    {"model": "m", "prompt": "a", "stream": True, "stream_options": {"include_usage": True, "x": 1}, "presence_penalty": 1},
    {"model": "m", "prompt": "a", "stream": False, "min_tokens": 3},
]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_request_comes_back_as_it_was(body: Any) -> None:
    written, losses = write_request(read_request(body))
    assert written == body
    assert not losses


def test_a_prompt_is_a_users_message() -> None:
    request = read_request({"model": "m", "prompt": "Hello", "logprobs": 2, "max_tokens": 5})
    assert request.messages == (Message(role="user", parts=(Text(text="Hello"),)),)
    assert request.sampling == Sampling(max_tokens=5, logprobs=True, top_logprobs=2)


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2], [3]], []], ids=str)
def test_several_prompts_and_numbers_of_tokens_say_nothing_to_other_dialects(prompt: Any) -> None:
    request = read_request({"model": "m", "prompt": prompt, "suffix": "z", "echo": True, "best_of": 2})
    assert request.messages == ()
    assert request.extensions == {"openai.completions": {"prompt": prompt, "suffix": "z", "echo": True, "best_of": 2}}


def test_a_message_that_was_put_in_is_asked_instead_of_the_prompts() -> None:
    said = Message(role="user", parts=(Text(text="Hello"),))
    written, losses = write_request(replace(read_request({"model": "m", "prompt": [1, 2]}), messages=(said,)))
    assert (written["prompt"], losses) == ("Hello", [])


def test_a_wanted_stream_is_asked_for_though_none_had_been() -> None:
    asked = read_request({"model": "m", "prompt": ["x"], "stream": False})
    written, _ = write_request(replace(asked, stream=True))
    assert written == {"model": "m", "prompt": ["x"], "stream": True}


def test_a_conversation_is_written_down_as_one_text() -> None:
    messages = (
        Message(role="system", parts=(Text(text="Be kind."),)),
        Message(role="user", parts=(Text(text="Hello"), Image(source=Source(url="https://a.example")))),
        Message(role="assistant", parts=(Text(text="Hi."), ToolCall(id="c", name="f"))),
        Message(role="user", parts=(Text(text="And?"),)),
    )
    written, losses = write_request(Request(model="m", messages=messages))
    assert written["prompt"] == "System: Be kind.\n\nUser: Hello\n\nAssistant: Hi.\n\nUser: And?\n\nAssistant:"
    assert [(loss.path, loss.what) for loss in losses] == [
        ("messages", "changed"), ("messages[1].parts[1]", "dropped"), ("messages[2].parts[1]", "dropped"),
    ]  # fmt: skip


def test_what_completions_cannot_say_is_listed() -> None:
    request = Request(
        model="m", messages=(Message(role="user", parts=(Text(text="x"),)),), tools=(Tool(name="f"),), sampling=Sampling(top_k=3),
        output=Output(format="json"), thinking=ThinkingConfig(effort="high"), service_tier="flex", previous="resp_1", metadata={"a": "b"},
    )  # fmt: skip
    _, losses = write_request(request)
    assert sorted(loss.path for loss in losses) == [
        "metadata", "output.format", "previous", "sampling.top_k", "service_tier", "thinking.effort", "tools[0]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"), ({"prompt": 5}, "prompt"), ({"prompt": [None]}, "prompt[0]"), ({"prompt": "x", "stop": 5}, "stop"),
        ({"prompt": "x", "stop": [5]}, "stop[0]"), ({"prompt": "x", "logprobs": True}, "logprobs"),
        ({"prompt": "x", "suffix": 5}, "suffix"),
        ({"prompt": "x", "logit_bias": {"1": "a"}}, "logit_bias.1"), ({"prompt": "x", "stream": 1}, "stream"),
        ({"prompt": "x", "stream_options": []}, "stream_options"), ({"prompt": "x", "temperature": "a"}, "temperature"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as fault:
        read_request(body)
    assert fault.value.param == param


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"prompt":' + b"[" * 100_000])
def test_what_is_no_request(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        DIALECT.decode_request(raw, "generate")
    assert DIALECT.decode_request(raw, "resource") == Request()


# ------------------------------------------------------------------------------------------------- answers

LOGPROBS = {
    "tokens": ["a", "b"],
    "token_logprobs": [-0.1, -0.2],
    "top_logprobs": [{"a": -0.1}, {"b": -0.2, "c": -1.0}],
    "text_offset": [0, 1],
}


def answer(**choice: Any) -> dict[str, Any]:
    said = {"text": "ab", "index": 0, "logprobs": None, "finish_reason": "stop", **choice}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m", "choices": [said], "usage": usage}


@pytest.mark.parametrize(
    "body",
    [
        answer(),
        answer(text="", finish_reason="length"),
        answer(logprobs=LOGPROBS),
        answer(logprobs={"odd": 1}),
        {**answer(), "system_fingerprint": "fp", "kv": 1},
        answer(finish_reason="eos", stop_reason=5),
    ],
    ids=str,
)
def test_an_answer_comes_back_as_it_was(body: Any) -> None:
    written, losses = write_answer(DIALECT.decode_response(json.dumps(body).encode()))
    assert written == body
    assert not losses


def test_an_answer_of_another_dialect_is_valid_and_its_losses_are_listed() -> None:
    parts = (Thinking(text="Hm."), Text(text="Hi"), ToolCall(id="c", name="f"))
    logprobs = Logprobs(content=(TokenLogprob(token="Hi", logprob=-0.5, top=(TokenChance(token="Ho", logprob=-1.0),)),))
    choice = Choice(message=Message(role="assistant", parts=parts), finish="tool_calls", logprobs=logprobs)
    body, losses = write_answer(Response(choices=(choice,), usage=Usage(input=1, output=2)))
    Completion.model_validate_json(json.dumps(body), strict=True)
    assert body["choices"][0]["text"] == "Hi"
    assert body["choices"][0]["logprobs"]["top_logprobs"] == [{"Ho": -1.0}]
    assert [loss.path for loss in losses] == ["choices[0].parts[0]", "choices[0].parts[2]", "choices[0].finish"]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"choices":5}', b'{"choices":' + b"[" * 100_000])
def test_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        DIALECT.decode_response(raw)


def test_a_glance() -> None:
    usage = DIALECT.glance(json.dumps(answer()).encode()).usage
    assert usage is not None
    assert usage.tokens == 3
    error = DIALECT.glance(b'{"error":{"message":"m"}}').error
    assert error is not None
    assert error.message == "m"
    with pytest.raises(ValueError, match="no choices"):
        DIALECT.glance(b"{}")


# --------------------------------------------------------------------------------------------------- streams


def test_a_stream_is_written_and_read() -> None:
    response = Response(
        id="cmpl-1", model="m", created=7, usage=Usage(input=1, output=2),
        choices=tuple(Choice(index=n, message=Message(role="assistant", parts=(Text(text=f"{n}"),)), finish="length") for n in (0, 1)),
    )  # fmt: skip
    events = encoded(*play(response))
    check(events)
    back = assembled(events)
    assert [choice.message.text for choice in back.choices] == ["0", "1"]
    assert [choice.finish for choice in back.choices] == ["length", "length"]
    assert back.usage is not None
    assert back.usage.tokens == 3
    assert all("usage" not in event.json for event in encoded(*play(response), usage=False)[:-1])


def test_errors_and_foreign_events_in_a_stream() -> None:
    losses: list[Any] = []
    deltas: list[Delta] = [Begin(id="x"), OpaqueDelta(dialect="acme", value="{}"), PartStart(index=0, part=Text(text="a")),
                           PartEnd(index=0), StreamError(error=Error(status=500, message="broken")), Done()]  # fmt: skip
    events = encoded(*deltas, losses=losses)
    assert events[-2].json["error"]["message"] == "broken"
    assert DIALECT.terminal(events[-1])
    assert [loss.path for loss in losses] == ["stream"]
    error = events[-2].error
    assert error is not None
    assert error.message == "broken"
    assembler, decoder = Assembler(), DIALECT.decode_stream()
    assembler.feed(delta for event in events for delta in decoder.feed(event))
    assert assembler.error is not None


def test_a_stream_without_an_end_marker_is_over_when_its_choices_are() -> None:
    events = encoded(Begin(id="x", model="m"), TextDelta(index=0, text="a"), Finish(reason="stop"))
    decoder = DIALECT.decode_stream()
    for event in events:
        decoder.feed(event)
    assert list(decoder.close()) == [Done()]
    broken = DIALECT.decode_stream()
    broken.feed(events[0])
    assert list(broken.close()) == [PartEnd(index=0)]


def test_one_event_alone() -> None:
    event, end, _ = encoded(Begin(id="x", model="m"), TextDelta(index=0, text="a"), Finish(reason="length"), Done())
    assert (event.text, event.finish, end.finish) == ("a", None, "length")
    assert event.with_text("b").text == "b"
    assert DIALECT.ends(end)
    assert not DIALECT.ends(event)
    assert not DIALECT.lifecycle(event)
    assert not DIALECT.lifecycle(end)
    assert DIALECT.lifecycle(event.with_text(""))
    assert end.with_text("b") is end


def test_a_follower_ends_what_it_followed() -> None:
    words, end, done = encoded(Begin(id="x", model="m"), TextDelta(index=0, text="a"), Finish(reason="stop"), Done())
    follower = DIALECT.follow()
    follower.feed(words)
    assert DIALECT.terminal(list(follower.fail(Error(message="m")))[-1])
    assert list(follower.fail(Error(message="again"))) == []
    follower = DIALECT.follow()
    follower.feed(words)
    check([words, *follower.finish("length", Usage(input=1))])
    assert list(follower.finish("length", None)) == []
    check(list(DIALECT.follow().finish("stop", None)))
    follower = DIALECT.follow()
    assert list(follower.drop(words)) == []
    (ended,) = follower.drop(end)
    assert ended.json["choices"][0]["finish_reason"] == "stop"
    assert follower.complete
    assert list(follower.admit(words, True)) == []
    assert list(follower.drop(done)) == [done]
    assert list(follower.admit(words, False)) == []


def test_words_that_a_handler_adds_get_the_streams_names() -> None:
    words, *_ = encoded(Begin(id="x", model="m", created=7), TextDelta(index=0, text="a"))
    follower = DIALECT.follow()
    follower.feed(words)
    other = chunk_event({"id": "other", "choices": [{"text": "b", "index": 0, "finish_reason": None}]})
    (event,) = follower.admit(other, True)
    assert (event.json["id"], event.text) == ("x", "b")


def test_error_bodies_and_lists_are_those_of_chat() -> None:
    error = DIALECT.decode_error(400, Headers(), b'{"error":{"message":"m","code":"c"}}')
    assert json.loads(DIALECT.encode_error(error))["error"]["code"] == "c"
    assert [model.id for model in DIALECT.decode_models(DIALECT.encode_models([ModelInfo(id="m")]))] == ["m"]
    assert json.loads(DIALECT.encode_model(ModelInfo(id="m")))["id"] == "m"


JSON = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers() | st.text(max_size=3) | st.none(), max_size=3)
)
CHOICES = st.lists(
    st.fixed_dictionaries({}, optional={"text": JSON, "index": JSON, "finish_reason": JSON | st.just("stop"), "logprobs": JSON}), max_size=2
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({}, optional={"choices": CHOICES | JSON, "usage": JSON, "id": JSON, "error": JSON}) | JSON, max_size=5)
)
def test_no_chunk_makes_reading_following_or_writing_crash(values: Any) -> None:
    events = [chunk_event(value) for value in values]
    follower, encoder, decoder = DIALECT.follow(), DIALECT.encode_stream(Request(), []), DIALECT.decode_stream()
    for at, event in enumerate(events):
        encoder.feed(decoder.feed(event))
        DIALECT.ends(event)
        DIALECT.lifecycle(event)
        follower.feed(event) if at % 3 == 0 else follower.admit(event, at % 2 == 0) if at % 3 == 1 else follower.drop(event)
    follower.finish("stop", None)
