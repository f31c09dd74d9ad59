"""Whole answers of the dialect `openai.chat`, and what other dialects' answers become."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from jackfield.api import BadRequest, Loss, Request, Response, Usage, reply_text
from jackfield.api.canonical import (
    Audio,
    Choice,
    Citation,
    FinishReason,
    Image,
    Logprobs,
    Message,
    Opaque,
    Part,
    Refusal,
    ServerToolCall,
    Signature,
    Source,
    Text,
    Thinking,
    TokenChance,
    TokenLogprob,
    ToolCall,
    play,
)
from tests.plugins.openai.chat_wire import (
    CHAT,
    answer,
    assembled,
    chunk,
    chunk_event,
    decoded,
    differences,
    encoded,
    normal,
    read_answer,
    read_request,
    stream,
    write_answer,
    write_request,
)


def answered(*parts: Part, finish: FinishReason | None = "stop", **more: Any) -> Response:
    return Response(id="r", model="m", created=7, choices=(Choice(message=Message(role="assistant", parts=parts), finish=finish),), **more)


def test_the_plainest_answer_has_all_that_openais_client_requires() -> None:
    raw = CHAT.encode_response(reply_text("Hello"), [])
    parsed = ChatCompletion.model_validate_json(raw, strict=True)
    assert parsed.id.startswith("chatcmpl-")
    assert parsed.created > 1_700_000_000
    assert parsed.object == "chat.completion"
    assert parsed.choices[0].message.content == "Hello"
    assert parsed.choices[0].finish_reason == "stop"
    assert parsed.choices[0].index == 0


def test_answers_without_an_id_get_different_ones() -> None:
    ids = {json.loads(CHAT.encode_response(reply_text("Hello"), []))["id"] for _ in range(3)}
    assert len(ids) == 3


def test_several_choices_keep_their_numbers() -> None:
    body = answer({"content": "a"})
    body["choices"].append({"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "length"})
    response = read_answer(body)
    assert [(c.index, c.message.text, c.finish) for c in response.choices] == [(0, "a", "stop"), (1, "b", "length")]
    assert differences(normal(body), normal(write_answer(response)[0])) == []


def test_usage_with_all_details() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 3, "cache_write_tokens": 5},
        "completion_tokens_details": {
            "reasoning_tokens": 20,
            "audio_tokens": 2,
            "accepted_prediction_tokens": 4,
            "rejected_prediction_tokens": 6,
        },
    }
    response = read_answer(answer({"content": "a"}, usage=usage))
    assert response.usage == Usage(
        input=100,
        output=50,
        thinking=20,
        cache_read=40,
        cache_write=5,
        audio_input=3,
        audio_output=2,
        accepted_prediction=4,
        rejected_prediction=6,
    )
    assert write_answer(response)[0]["usage"] == usage


def test_a_count_that_was_changed_is_written_whatever_form_the_usage_had() -> None:
    for usage in (
        {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
        {"prompt_tokens": 9, "completion_tokens": 1, "num_cached_tokens": 4},
    ):
        response = read_answer(answer({"content": "a"}, usage=usage))
        assert response.usage is not None
        changed = Usage(input=9, output=1, thinking=1, cache_read=8, extensions=response.usage.extensions)
        written = write_answer(Response(choices=response.choices, usage=changed))[0]
        again = read_answer(written).usage
        assert again is not None
        assert (again.cache_read, again.thinking) == (8, 1)


def test_nobodys_count_is_no_count() -> None:
    assert "usage" not in write_answer(answered(Text(text="a"), usage=Usage(source="absent")))[0]


def test_likelihoods_of_tokens() -> None:
    logprobs = {
        "content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": None}]}],
        "refusal": None,
    }
    body = answer({"content": "a"})
    body["choices"][0]["logprobs"] = logprobs
    response = read_answer(body)
    assert response.choices[0].logprobs == Logprobs(
        content=(TokenLogprob(token="a", logprob=-0.5, bytes=(97,), top=(TokenChance(token="b", logprob=-1.5),)),)
    )
    assert write_answer(response)[0]["choices"][0]["logprobs"] == logprobs


def test_likelihoods_in_another_form_are_kept_as_they_are() -> None:
    body = answer({"content": "a"})
    body["choices"][0]["logprobs"] = {"tokens": ["a"], "token_logprobs": [-0.5]}
    said = read_answer(body).choices[0].logprobs
    assert said is None or said.content is None
    assert write_answer(read_answer(body))[0]["choices"][0]["logprobs"]["tokens"] == ["a"]


def test_a_refusal_sound_pictures_and_citations() -> None:
    citation = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 3}}
    sound = {"id": "audio_1", "data": "SUQz", "expires_at": 9, "transcript": "beep"}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
    body = answer({"content": "abc", "annotations": [citation], "refusal": "no", "audio": sound, "images": [picture]})
    response = read_answer(body)
    assert response.choices[0].message.parts == (
        Text(text="abc", citations=(Citation(url="https://a.example", title="A", start=0, end=3),)),
        Refusal(text="no"),
        Audio(source=Source(data="SUQz"), transcript="beep", id="audio_1", expires_at=9),
        Image(source=Source(data="iVBORw0K", media_type="image/png")),
    )
    assert differences(normal(body), normal(write_answer(response)[0])) == []


def test_sound_of_another_dialect_has_all_that_openais_client_requires() -> None:
    raw = CHAT.encode_response(answered(Audio(source=Source(data="SUQz"), transcript="beep")), [])
    assert ChatCompletion.model_validate_json(raw, strict=True).choices[0].message.audio is not None


def test_texts_of_several_parts_become_one_and_their_citations_move_along() -> None:
    first = Text(text="abc", citations=(Citation(url="u1", start=0, end=3),))
    second = Text(text="defg", citations=(Citation(url="u2", start=1, end=2),))
    message = write_answer(answered(first, second))[0]["choices"][0]["message"]
    assert message["content"] == "abcdefg"
    assert [a["url_citation"]["start_index"] for a in message["annotations"]] == [0, 4]


@pytest.mark.parametrize(
    ("finish", "word", "noted"),
    [
        ("stop", "stop", False),
        ("length", "length", False),
        ("tool_calls", "tool_calls", False),
        ("content_filter", "content_filter", False),
        ("refusal", "content_filter", True),
        ("context_length", "length", True),
        ("stop_sequence", "stop", True),
        ("pause", "stop", True),
        ("error", "stop", True),
        ("other", "stop", True),
    ],
)
def test_ends_of_other_dialects_get_a_word_that_clients_accept(finish: FinishReason, word: str, noted: bool) -> None:
    written, losses = write_answer(answered(Text(text="a"), finish=finish))
    assert written["choices"][0]["finish_reason"] == word
    assert [(loss.path, loss.what) for loss in losses] == ([("choices[0].finish", "changed")] if noted else [])
    streamed: list[Loss] = []
    encoder = CHAT.encode_stream(Request(stream=True), streamed)
    events = encoder.feed(list(play(answered(Text(text="a"), finish=finish))))
    assert events[-2].json["choices"][0]["finish_reason"] == word
    assert streamed == losses
    ChatCompletion.model_validate_json(json.dumps(written), strict=True)


def test_a_refusal_in_words_ends_as_openais_own_do() -> None:
    # The helpers of OpenAI's client raise at `content_filter`, and then nobody reads the words.
    assert write_answer(answered(Refusal(text="no"), finish="refusal"))[0]["choices"][0]["finish_reason"] == "stop"
    assert write_answer(answered(Text(text="a"), finish="refusal"))[0]["choices"][0]["finish_reason"] == "content_filter"


def test_an_answer_without_anything_is_an_empty_text() -> None:
    assert write_answer(answered())[0]["choices"][0]["message"]["content"] == ""
    assert write_answer(answered(ToolCall(id="c", name="f")))[0]["choices"][0]["message"]["content"] is None


def test_an_answer_that_nobody_ended_gets_the_end_that_its_parts_suggest() -> None:
    assert write_answer(answered(Text(text="a"), finish=None))[0]["choices"][0]["finish_reason"] == "stop"
    assert write_answer(answered(ToolCall(id="c", name="f"), finish=None))[0]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "thought",
    [
        Thinking(text="hm", signature=Signature(value="sig", family="anthropic")),
        Thinking(text="hm", signature=Signature(value="sig", family="gemini")),
        Thinking(summary=("first",), id="rs_1", signature=Signature(value="enc", family="openai")),
        Thinking(id="rs_1", signature=Signature(value="enc", family="openai")),
        Thinking(redacted=Signature(value="sealed", family="anthropic")),
        Thinking(text="hm"),
    ],
)
def test_signed_thoughts_of_other_dialects_survive_the_way_through_a_client(thought: Thinking) -> None:
    message = write_answer(answered(thought, Text(text="a")))[0]["choices"][0]["message"]
    request = read_request({"model": "m", "messages": [message]})
    back = request.messages[0].parts[0]
    assert isinstance(back, Thinking)
    assert (back.text, back.summary, back.signature, back.redacted, back.id) == (
        thought.text,
        thought.summary,
        thought.signature,
        thought.redacted,
        thought.id,
    )
    sealed = thought.signature is not None or thought.redacted is not None
    assert ("jf1." in json.dumps(message)) == sealed
    again, losses = write_request(request)
    assert again["messages"][0] == {"role": "assistant", "content": "a", **({} if sealed else {"reasoning_content": "hm"})}
    assert [(loss.path, loss.what) for loss in losses] == ([("messages[0].parts[0]", "dropped")] if sealed else [])


SIGNED = Signature(value="c2ln", family="gemini")
FOREIGN = [
    (Thinking(text="hm", signature=Signature(value="a", family="anthropic")), Thinking(redacted=Signature(value="b", family="anthropic"))),
    (
        Thinking(text="hm", signature=Signature(value="a", family="anthropic")),
        Thinking(text="so", signature=Signature(value="b", family="anthropic")),
    ),
    (Thinking(redacted=Signature(value="b", family="xai")), Text(text="a", signature=SIGNED)),
    (Thinking(text="hm"), ToolCall(id="c", name="f", signature=SIGNED), ToolCall(id="d", name="f")),
    (ToolCall(id="c", name="f", signature=Signature(value="s", family="openai")),),
]


@pytest.mark.parametrize("parts", FOREIGN)
def test_what_other_upstreams_signed_is_tagged_whole_and_streamed_and_read_again(parts: tuple[Part, ...]) -> None:
    given = answered(*parts)
    written, losses = write_answer(given)
    assert losses == []
    assert read_answer(written).choices[0].message.parts == parts
    streamed = encoded(list(play(given)))
    assert "jf1." in json.dumps(streamed)
    signatures = [
        msgspec.structs.replace(part, extensions={}) for part in assembled(stream(*filter(None, streamed))).choices[0].message.parts
    ]
    assert tuple(signatures) == parts
    request = read_request({"model": "m", "messages": [written["choices"][0]["message"]]})
    assert request.messages[0].parts == parts
    again, losses = write_request(request)
    assert "jf1." not in json.dumps(again)
    assert "reasoning_details" not in again["messages"][0]
    assert {loss.what for loss in losses} == {"dropped"}
    assert len(losses) == sum(getattr(part, "signature", None) is not None or getattr(part, "redacted", None) is not None for part in parts)


def test_what_openais_client_joins_of_a_stream_has_each_signature_apart() -> None:
    parts = FOREIGN[1][0], FOREIGN[1][1], Text(text="a", signature=SIGNED)
    state = ChatCompletionStreamState(input_tools=[])
    for one in encoded(list(play(answered(*parts)))):
        if one is not None:
            state.handle_chunk(ChatCompletionChunk.model_validate(one))
    message = state.get_final_completion().choices[0].message.model_dump(exclude_none=True)
    back = read_request({"model": "m", "messages": [message]}).messages[0].parts
    assert [getattr(part, "signature", None) for part in back if not isinstance(part, Thinking) or not part.text] == [
        part.signature for part in parts
    ]


@pytest.mark.parametrize("late", [False, True])
def test_the_signature_of_a_call_that_came_in_this_dialect_stays_as_it_is(late: bool) -> None:
    signed = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    call: dict[str, Any] = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    pieces = [call, {"index": 0, "function": {"arguments": ""}, **signed}] if late else [{**call, **signed}]
    found = encoded(decoded(stream(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk(finish="tool_calls"))))
    assert "jf1." not in json.dumps(found)
    assert '"thought_signature": "c2ln"' in json.dumps(found)


@pytest.mark.parametrize("parts", [(Thinking(text="hm"), Text(text="a")), (Text(text="a"), ToolCall(id="c", name="f")), ()])
def test_what_signs_words_survives_the_way_through_a_client(parts: tuple[Part, ...]) -> None:
    signature = Signature(value="c2ln", family="gemini")
    texts = [part for part in parts if isinstance(part, Text)] or [Text(text="")]
    signed = msgspec.structs.replace(texts[-1], signature=signature)
    written, losses = write_answer(answered(*(signed if part is texts[-1] else part for part in parts or (signed,))))
    assert losses == []
    ChatCompletion.model_validate(written, strict=True)
    request = read_request({"model": "m", "messages": [written["choices"][0]["message"]]})
    back = [part for part in request.messages[0].parts if isinstance(part, Text)]
    assert [(part.text, part.signature) for part in back] == [(texts[-1].text, signature)]
    assert [type(part) for part in request.messages[0].parts] == [type(part) for part in parts or (signed,)]
    again, losses = write_request(request)
    assert "reasoning_details" not in again["messages"][0]
    assert [loss.path[-10:] for loss in losses] == [".signature"]


def test_of_several_signed_texts_the_last_keeps_its_signature() -> None:
    texts = [Text(text=word, signature=Signature(value=word, family="gemini")) for word in "ab"]
    written, losses = write_answer(answered(*texts))
    assert [loss.path for loss in losses] == ["choices[0].message.parts[0].signature"]
    assert read_answer(written).choices[0].message.parts == (Text(text="ab", signature=Signature(value="b", family="gemini")),)


def test_citations_of_what_is_no_page_of_the_web_are_listed_once_a_text() -> None:
    cited = (Citation(kind="document", title="Guide"), Citation(kind="file", title="Plan"), Citation(url="https://a.example/"))
    response = answered(Text(text="a", citations=cited))
    written, losses = write_answer(response)
    assert [one["url_citation"]["url"] for one in written["choices"][0]["message"]["annotations"]] == ["https://a.example/"]
    assert [(loss.path, loss.what) for loss in losses] == [("choices[0].message.parts[0].citations", "dropped")]
    streamed: list[Loss] = []
    CHAT.encode_stream(Request(stream=True), streamed).feed(list(play(response)))
    assert [(loss.path, loss.what) for loss in streamed] == [("choices[0].parts[0].citations", "dropped")]


def test_a_service_tier_that_openais_client_does_not_know_goes_to_nobody_but_speakers_of_the_dialect() -> None:
    response = msgspec.structs.replace(answered(Text(text="a")), service_tier="standard")
    written, losses = write_answer(response)
    assert "service_tier" not in written
    assert [(loss.path, loss.what) for loss in losses] == [("service_tier", "dropped")]
    streamed: list[Loss] = []
    events = CHAT.encode_stream(Request(stream=True), streamed).feed(list(play(response)))
    assert not any("service_tier" in event.json for event in events[:-1])
    assert streamed == losses
    own = read_answer({**written, "service_tier": "standard"})
    assert own.service_tier == "standard"
    assert write_answer(own) == ({**written, "service_tier": "standard"}, [])


@pytest.mark.parametrize(
    ("counts", "meant"),
    [
        ((26, 291, 506, 189, 244), (291, 215, 506)),  # xAI: thoughts beside the completion, but in the total
        ((300, 10, 360, 50, 0), (10, 350, 360)),  # the same where they are fewer than the words
        ((37, 392, 429, 0, 461), (853, 37, 890)),  # xAI's models on Azure: cached tokens beside the prompt and the total
        ((37, 392, 429, 20, 300), (392, 37, 429)),  # OpenAI: all of them are included
        ((37, 392, 500, 20, 300), (392, 37, 500)),  # a total of the provider's own
    ],
)
def test_token_counts_include_their_parts_however_an_upstream_counts(counts: tuple[int, ...], meant: tuple[int, int, int]) -> None:
    output, prompt, total, thinking, cached = counts
    wire = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thinking},
    }
    body = {"id": "c", "model": "m", "created": 1, "object": "chat.completion", "choices": [], "usage": wire}
    response = read_answer(body)
    usage = response.usage
    assert usage is not None
    assert (usage.input, usage.output, usage.tokens) == meant
    assert (usage.thinking, usage.cache_read) == (thinking, cached)
    seen = CHAT.glance(json.dumps(body).encode()).usage
    assert seen == msgspec.structs.replace(usage, extensions={})
    assert CHAT.usage_of(chunk_event({**body, "object": "chat.completion.chunk"})) == seen
    written, _ = write_answer(response)
    assert written["usage"] == wire


def test_signed_thoughts_keep_their_order_among_open_ones() -> None:
    thoughts = (Thinking(text="a"), Thinking(text="b", signature=Signature(value="s", family="anthropic")), Thinking(text="c"))
    message = write_answer(answered(*thoughts, Text(text="x")))[0]["choices"][0]["message"]
    assert message["reasoning_content"] == "abc"
    back = read_request({"model": "m", "messages": [message]}).messages[0].parts[:-1]
    assert [(part.text, part.signature is not None) for part in back] == [("a", False), ("b", True), ("c", False)]  # type: ignore[union-attr]


def test_what_an_answer_cannot_say_is_listed() -> None:
    parts = (
        ServerToolCall(name="web"),
        Opaque(dialect="other.talk", kind="k", value="{}"),
        Text(text="a"),
    )
    written, losses = write_answer(answered(*parts))
    assert written["choices"][0]["message"]["content"] == "a"
    assert [loss.path for loss in losses] == [
        "choices[0].message.parts[0]",
        "choices[0].message.parts[1]",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>busy</html>",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"object":"list"}',
        b'{"error":{"message":"x"}}',
        b'{"choices":null}',
        b"\xff",
        b"[" * 9000,
    ],
)
def test_what_is_no_answer_raises_a_value_error_that_blames_no_client(raw: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        CHAT.decode_response(raw)
    assert not isinstance(caught.value, BadRequest)


def test_embeddings_have_counts_and_come_back_whole() -> None:
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.25]}],
        "model": "e",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    response = read_answer(body)
    assert response.usage is not None
    assert (response.usage.input, response.model, response.choices) == (3, "e", ())
    written = write_answer(response)[0]
    assert written == body
    CreateEmbeddingResponse.model_validate_json(json.dumps(written), strict=True)
