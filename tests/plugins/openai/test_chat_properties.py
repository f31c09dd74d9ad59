"""What holds of the dialect `openai.chat` for any input."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from jackfield.api import BadRequest, Headers, Request, Response, Usage
from jackfield.api.canonical import (
    Assembler,
    Audio,
    Choice,
    Citation,
    Delta,
    Document,
    Image,
    Logprobs,
    Message,
    OpaqueDelta,
    Output,
    Refusal,
    Sampling,
    Signature,
    Source,
    Text,
    Thinking,
    ThinkingConfig,
    TokenChance,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
    play,
)
from tests.plugins.openai.chat_wire import CHAT, chunk, chunk_event, decoded, events_of, plain

COUNT = st.integers(0, 2**40)
NUMBER = st.floats(-1e6, 1e6, allow_nan=False)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
BASE64 = st.binary(min_size=1, max_size=20).map(lambda raw: base64.b64encode(raw).decode())
URL = st.just("https://a.example/") | WORDS.map(lambda text: "https://a.example/" + text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBER | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
SCHEMA = st.dictionaries(NAME, st.sampled_from([{"type": "string"}, {"type": ["integer", "null"]}]), max_size=3).map(
    lambda members: {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


# ------------------------------------------------------------------------------- what chat completions can say

IMAGES = st.builds(
    Image,
    source=st.builds(Source, url=URL) | st.builds(Source, data=BASE64, media_type=st.sampled_from(["image/png", "image/svg+xml"])),
    detail=maybe(st.sampled_from(["low", "high", "auto"])),
)
SOUNDS = st.sampled_from([("wav", "audio/wav"), ("mp3", "audio/mpeg")]).flatmap(
    lambda kind: st.builds(Audio, source=st.builds(Source, data=BASE64, media_type=st.just(kind[1])), format=st.just(kind[0]))
)
DOCUMENTS = st.builds(Document, source=st.builds(Source, data=BASE64, media_type=st.just("application/pdf")), title=WORDS) | st.builds(
    Document, source=st.builds(Source, file_id=WORDS)
)
TEXTS = st.builds(Text, text=WORDS)
CALLS = st.builds(ToolCall, id=NAME, name=NAME, arguments=WORDS | st.just(""), kind=st.sampled_from(["function", "custom"]))
ASKED = st.builds(
    Message,
    role=st.sampled_from(["system", "developer", "user"]),
    parts=st.lists(TEXTS | IMAGES | SOUNDS | DOCUMENTS | st.builds(Video, source=st.builds(Source, url=URL)), min_size=1, max_size=3).map(
        tuple
    ),
    name=maybe(NAME),
)


@st.composite
def answers(draw: st.DrawFn) -> Message:
    parts: list[Any] = draw(st.lists(st.builds(Thinking, text=WORDS), max_size=1))
    parts += draw(st.lists(TEXTS, max_size=2))
    parts += draw(st.lists(st.builds(Refusal, text=WORDS), max_size=1))
    parts += draw(st.lists(CALLS, max_size=2))
    return Message(role="assistant", parts=tuple(parts), name=draw(maybe(NAME)))


RESULTS = st.builds(
    lambda result: Message(role="tool", parts=(result,)),
    st.builds(ToolResult, call_id=NAME, name=maybe(NAME), parts=st.lists(TEXTS, max_size=2).map(tuple)),
)
TOOLS = st.builds(Tool, name=NAME, description=maybe(WORDS), parameters=maybe(SCHEMA), strict=maybe(st.booleans())) | st.builds(
    Tool, name=NAME, kind=st.just("custom"), description=maybe(WORDS), grammar=WORDS, grammar_syntax=st.sampled_from(["lark", "regex"])
)
CHOICES = (
    st.builds(ToolChoice, mode=st.sampled_from(["auto", "none", "required"]))
    | st.builds(ToolChoice, mode=st.just("named"), names=NAME.map(lambda name: (name,)), kind=st.sampled_from(["function", "custom"]))
    | st.builds(ToolChoice, mode=st.just("allowed"), names=st.lists(NAME, min_size=1, max_size=2).map(tuple), required=st.booleans())
)
SAMPLING = st.builds(
    Sampling,
    temperature=maybe(NUMBER),
    top_p=maybe(NUMBER),
    frequency_penalty=maybe(NUMBER),
    presence_penalty=maybe(NUMBER),
    seed=maybe(COUNT),
    max_tokens=maybe(COUNT),
    stop=st.lists(WORDS, max_size=2).map(tuple),
    n=maybe(st.integers(1, 5)),
    logprobs=maybe(st.booleans()),
    top_logprobs=maybe(COUNT),
    logit_bias=maybe(st.dictionaries(WORDS, st.integers(-100, 100), max_size=2)),
)
VOICES: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {"voice": "alloy", "audio_format": "wav"}])
FORMS: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {"format": "text"}, {"format": "json"}]) | st.fixed_dictionaries(
    {"format": st.just("json_schema"), "name": NAME, "schema": SCHEMA, "strict": maybe(st.booleans()), "description": maybe(WORDS)}
)


@st.composite
def outputs(draw: st.DrawFn) -> Output:
    return Output(
        **draw(FORMS),
        **draw(VOICES),
        verbosity=draw(maybe(st.sampled_from(["low", "medium", "high"]))),
        modalities=draw(st.sampled_from([(), ("text",), ("text", "audio")])),
    )


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """An answer and a result for each of its calls, or one other message."""
    message = draw(ASKED | answers() | RESULTS)
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    return [message, *(draw(RESULTS) for _ in calls)]


def conversation(turns: list[list[Message]]) -> tuple[Message, ...]:
    """Join turns; calls and results get ids, the same for a call and its result."""
    said: list[Message] = []
    for number, (message, *results) in enumerate(turns):
        ids = iter([f"call_{number}_{at}" for at in range(len(results))])
        parts = tuple(msgspec.structs.replace(part, id=next(ids)) if isinstance(part, ToolCall) else part for part in message.parts)
        said.append(msgspec.structs.replace(message, parts=parts))
        for at, result in enumerate(results):
            given = msgspec.structs.replace(result.parts[0], call_id=f"call_{number}_{at}")
            said.append(msgspec.structs.replace(result, parts=(given,)))
    return tuple(said)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    stream = draw(st.booleans())
    return Request(
        model=draw(WORDS),
        messages=conversation(draw(st.lists(turns(), min_size=1, max_size=4))),
        tools=tuple(draw(st.lists(TOOLS, max_size=2))),
        tool_choice=draw(maybe(CHOICES)),
        parallel_tools=draw(maybe(st.booleans())),
        sampling=draw(SAMPLING),
        thinking=draw(st.builds(ThinkingConfig, effort=maybe(st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])))),
        output=draw(outputs()),
        stream=stream,
        stream_usage=draw(maybe(st.booleans())) if stream else None,
        user=draw(maybe(WORDS)),
        metadata=draw(st.dictionaries(WORDS, WORDS, max_size=2)),
        service_tier=draw(maybe(st.sampled_from(["auto", "flex", "priority"]))),
        store=draw(maybe(st.booleans())),
        cache_key=draw(maybe(WORDS)),
        cache_retention=draw(maybe(st.sampled_from(["in_memory", "24h"]))),
    )


@given(requests())
@settings(deadline=None, max_examples=200)
def test_a_request_that_can_be_said_is_understood_again(request: Request) -> None:
    losses: list[Any] = []
    again = CHAT.decode_request(CHAT.encode_request(request, "generate", losses), "generate")
    assert plain(again) == plain(request)
    assert losses == []


def exhaust(value: Any) -> None:
    """Go through everything that pydantic checks only when it is looked at."""
    if isinstance(value, dict):
        for item in value.values():
            exhaust(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            exhaust(item)


STREAMED = TypeAdapter(CompletionCreateParamsStreaming)
WHOLE = TypeAdapter(CompletionCreateParamsNonStreaming)


@given(requests())
@settings(deadline=None, max_examples=60)
def test_a_request_is_one_that_openais_client_could_have_sent(request: Request) -> None:
    body = json.loads(CHAT.encode_request(request, "generate", []))
    for message in body["messages"]:
        message.pop("reasoning_content", None)  # OpenAI's own types know no thoughts
        media = {part["type"] for part in message.get("content", ()) if isinstance(part, dict)} - {"text"}
        if "video_url" in media or (media and message["role"] != "user"):
            return  # others take these, and a caller may ask for them
    exhaust((STREAMED if request.stream else WHOLE).validate_python(body))


# ---------------------------------------------------------------------------------------------------- answers

CITED = st.builds(
    Text,
    text=WORDS,
    signature=maybe(st.builds(Signature, value=WORDS, family=st.sampled_from(["gemini", "other"]))),
    citations=st.lists(st.builds(Citation, url=URL, title=WORDS, quote=maybe(WORDS), start=COUNT, end=COUNT), max_size=2).map(tuple),
)
CHANCES = st.builds(TokenChance, token=WORDS, logprob=NUMBER, bytes=maybe(st.lists(st.integers(0, 255), max_size=3).map(tuple)))
TOKENS = st.builds(TokenLogprob, token=WORDS, logprob=NUMBER, bytes=maybe(st.just((1, 2))), top=st.lists(CHANCES, max_size=2).map(tuple))
LOGPROBS = st.builds(
    Logprobs, content=maybe(st.lists(TOKENS, max_size=2).map(tuple)), refusal=maybe(st.lists(TOKENS, max_size=1).map(tuple))
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    counts: dict[str, Any] = {
        name: draw(COUNT)
        for name in ("input", "output", "thinking", "cache_read", "cache_write", "audio_input", "audio_output", "accepted_prediction")
    }
    for part, whole in (("thinking", "output"), ("cache_read", "input")):
        counts[part] = min(counts[part], counts[whole])
    # A total that is the sum with the thoughts, or the like, would tell of parts counted beside.
    total = draw(maybe(COUNT.map(lambda more: 2**42 + more)))
    return Usage(**counts, total=total)


@st.composite
def choices(draw: st.DrawFn, index: int) -> Choice:
    signature = st.builds(Signature, value=WORDS, family=st.sampled_from(["anthropic", "gemini"]))
    parts: list[Any] = draw(st.lists(st.builds(Thinking, text=WORDS, signature=maybe(signature)), max_size=1))
    parts += draw(st.lists(CITED, max_size=1))
    parts += draw(st.lists(st.builds(Refusal, text=WORDS), max_size=1))
    parts += draw(
        st.lists(st.builds(Audio, source=st.builds(Source, data=BASE64), transcript=maybe(WORDS), id=NAME, expires_at=COUNT), max_size=1)
    )
    parts += draw(st.lists(IMAGES, max_size=1))
    parts += draw(
        st.lists(
            st.builds(
                ToolCall, id=NAME, name=NAME, arguments=WORDS, signature=maybe(st.builds(Signature, value=WORDS, family=st.just("gemini")))
            ),
            max_size=3,
        )
    )
    finish: Any = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
    return Choice(message=Message(role="assistant", parts=tuple(parts)), index=index, finish=finish, logprobs=draw(maybe(LOGPROBS)))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    count = draw(st.integers(1, 3))
    return Response(
        id=draw(NAME),
        model=draw(WORDS),
        created=draw(COUNT),
        choices=tuple(draw(choices(at)) for at in range(count)),
        usage=draw(maybe(usages())),
        service_tier=draw(maybe(st.sampled_from(["default", "flex"]))),
    )


@given(responses())
@settings(deadline=None, max_examples=200)
def test_an_answer_that_can_be_said_is_understood_again_and_accepted_by_openais_client(response: Response) -> None:
    losses: list[Any] = []
    raw = CHAT.encode_response(response, losses)
    assert plain(CHAT.decode_response(raw)) == plain(response)
    assert losses == []
    ChatCompletion.model_validate_json(raw, strict=True)
    assert CHAT.glance(raw).usage == response.usage


def assembled(events: list[Any]) -> Response:
    assembler = Assembler()
    assembler.feed(decoded(events))
    assert assembler.done
    return assembler.response()


@given(responses(), st.booleans())
@settings(deadline=None, max_examples=200)
def test_an_answer_that_is_played_as_a_stream_assembles_to_itself(response: Response, together: bool) -> None:
    losses: list[Any] = []
    encoder = CHAT.encode_stream(Request(stream=True, stream_usage=True), losses)
    deltas = list(play(response))
    events = list(encoder.feed(deltas)) if together else [event for delta in deltas for event in encoder.feed([delta])]
    assert plain(assembled(events)) == plain(response)
    assert losses == []
    for event in events[:-1]:
        ChatCompletionChunk.model_validate_json(event.data, strict=True)
    assert CHAT.terminal(events[-1])
    follower = CHAT.follow()
    for event in events[:-1]:
        follower.feed(event)
    assert follower.complete


@given(responses(), st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(deadline=None, max_examples=80)
def test_a_stream_says_the_same_however_its_bytes_are_cut(response: Response, sizes: list[int]) -> None:
    raw = b"".join(event.raw for event in CHAT.encode_stream(Request(stream=True, stream_usage=True), []).feed(list(play(response))))
    splitter, events, at, turn = CHAT.framing.splitter(), [], 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        whole = splitter.feed(raw[at : at + size])
        events += events_of(whole) if whole else []
        at, turn = at + size, turn + 1
    assert splitter.rest() == b""
    assert [event.raw for event in events] == [event.raw for event in events_of(raw)]
    assert plain(assembled(events)) == plain(response)


GROWING = st.sampled_from(["content", "reasoning_content", "reasoning", "refusal", "arguments"])
PIECES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(['"', "\\", '\\"},"x":"', '"content":"', "\u2028"])
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "obfuscation": PIECES | st.just("x1"),
        "p": st.just("abc"),
        "service_tier": st.sampled_from(["default", "standard"]),
        "usage": st.none(),
    },
)


def adding(place: str, text: str, index: int, form: dict[str, Any]) -> dict[str, Any]:
    """Return a chunk that adds to a choice."""
    call = {"index": 0, "function": {"arguments": text}}
    delta = {"tool_calls": [call]} if place == "arguments" else {place: text}
    return {**chunk(delta, index=index), **form}


@given(
    st.lists(st.tuples(GROWING, st.lists(PIECES, min_size=1, max_size=4), st.integers(0, 1), CHUNKS), min_size=1, max_size=6), st.booleans()
)
@settings(deadline=None, max_examples=300)
def test_chunks_say_the_same_whether_their_form_is_known_by_then_or_not(turns: list[Any], spaced: bool) -> None:
    begin = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    chunks = [chunk({"role": "assistant", "content": ""}), chunk({"tool_calls": [begin]})]
    chunks += [adding(place, text, index, form) for place, texts, index, form in turns for text in texts]
    chunks.append(chunk(finish="stop"))
    separators = (", ", ": ") if spaced else (",", ":")
    usual = [CHAT.event(json.dumps(one, ensure_ascii=False, separators=separators).encode()) for one in chunks]
    # A member that nobody knows sends a chunk the long way; null says nothing.
    odd = [CHAT.event(json.dumps({**one, "unheard_of": None}).encode()) for one in chunks]
    decoder, other = CHAT.decode_stream(), CHAT.decode_stream()
    for event, strange in zip(usual, odd, strict=True):
        assert list(map(comparable, decoder.feed(event))) == list(map(comparable, other.feed(strange)))
    assert list(decoder.close()) == list(other.close())


def comparable(delta: Delta) -> Any:
    """Return a delta; of one that is passed on as it came, what its JSON says."""
    if not isinstance(delta, OpaqueDelta):
        return delta
    return {key: value for key, value in json.loads(delta.value).items() if value is not None}


# --------------------------------------------------------------------------------------------- any input at all

KEYS = [
    "annotations",
    "arguments",
    "audio",
    "cache_control",
    "choices",
    "code",
    "content",
    "created",
    "custom",
    "data",
    "delta",
    "detail",
    "effort",
    "enable_thinking",
    "enabled",
    "error",
    "extra_content",
    "file",
    "finish_reason",
    "format",
    "function",
    "function_call",
    "functions",
    "grammar",
    "id",
    "image_url",
    "images",
    "index",
    "input_audio",
    "json_schema",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "message",
    "messages",
    "metadata",
    "modalities",
    "model",
    "name",
    "object",
    "parameters",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "refusal",
    "response_format",
    "role",
    "schema",
    "service_tier",
    "signature",
    "stop",
    "stream",
    "stream_options",
    "summary",
    "text",
    "thinking",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tools",
    "top_k",
    "type",
    "url",
    "url_citation",
    "usage",
    "x_groq",
]
SAID = [
    "",
    "[DONE]",
    "a",
    "allowed_tools",
    "any",
    "assistant",
    "auto",
    "custom",
    "data:image/png;base64,aa",
    "enabled",
    "error",
    "file",
    "function",
    "image_url",
    "input_audio",
    "json_schema",
    "none",
    "reasoning.encrypted",
    "reasoning.text",
    "refusal",
    "stop",
    "system",
    "text",
    "thinking",
    "tool",
    "tool_calls",
    "url_citation",
    "user",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(SAID),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=30,
)


def refusal(raw: bytes, decode: Callable[[bytes], Any] = lambda raw: CHAT.decode_request(raw, "generate")) -> ValueError | None:
    try:
        decode(raw)
    except ValueError as fault:
        return fault
    return None


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6), st.lists(ANYTHING, min_size=1, max_size=3))
@settings(deadline=None, max_examples=200)
def test_no_request_raises_anything_but_that_it_is_bad(body: dict[str, Any], messages: list[Any]) -> None:
    for whole in (body, {"model": "m", "messages": messages}, {**body, "messages": [{"role": "user", "content": "x"}]}):
        raw = json.dumps(whole).encode()
        fault = refusal(raw)
        assert isinstance(fault, BadRequest | None)
        if fault is None:
            written = CHAT.encode_request(CHAT.decode_request(raw, "generate"), "generate", [])
            assert refusal(written) is None


@given(st.sampled_from(["system", "user", "assistant", "tool", "function"]), st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6))
@settings(deadline=None, max_examples=200)
def test_no_message_raises_anything_but_that_it_is_bad(role: str, members: dict[str, Any]) -> None:
    message = {"content": "x", "tool_call_id": "c", **members, "role": role}
    raw = json.dumps({"model": "m", "messages": [message]}).encode()
    fault = refusal(raw)
    if fault is not None:
        assert isinstance(fault, BadRequest)
        assert (fault.param or "").startswith("messages[0]")
        return
    written = CHAT.encode_request(CHAT.decode_request(raw, "generate"), "generate", [])
    assert refusal(written) is None


@given(st.binary(max_size=60) | ANYTHING.map(lambda value: json.dumps(value).encode()))
@settings(deadline=None, max_examples=150)
def test_no_bytes_raise_anything_but_what_the_contract_says(raw: bytes) -> None:
    for decode in (CHAT.decode_response, CHAT.glance, CHAT.decode_models):
        assert not isinstance(refusal(raw, decode), BadRequest)
    CHAT.encode_error(CHAT.decode_error(500, Headers(), raw))
    assert isinstance(refusal(raw), BadRequest | None)


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6))
@settings(deadline=None, max_examples=150)
def test_no_answer_that_has_choices_is_beyond_the_codec(message: dict[str, Any]) -> None:
    body = {"id": "c", "choices": [{"message": message, **message}], "usage": message}
    raw = CHAT.encode_response(CHAT.decode_response(json.dumps(body).encode()), [])
    CHAT.decode_response(raw)
    CHAT.glance(raw)


@given(
    st.lists(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6), max_size=5), st.sampled_from(["admit", "add", "drop", "feed"])
)
@settings(deadline=None, max_examples=200)
def test_no_chunk_is_beyond_decoder_encoder_and_follower(deltas: list[dict[str, Any]], way: str) -> None:
    decoder, encoder, follower = CHAT.decode_stream(), CHAT.encode_stream(Request(stream=True, stream_usage=True), []), CHAT.follow()
    assembler = Assembler()
    for delta in deltas:
        for whole in ({"id": "c", "choices": [{"index": 0, "delta": delta}]}, {"id": "c", "choices": [delta]}, delta):
            event = chunk_event(whole)
            said = decoder.feed(event)
            encoder.feed(said)
            assembler.feed(said)
            assert isinstance(event.text, str)
            assert event.with_text("x").frame.startswith(b"data:")
            CHAT.ends(event)
            CHAT.commits(event)
            CHAT.lifecycle(event)
            if way == "feed":
                follower.feed(event)
            elif way == "drop":
                follower.drop(event)
            else:
                follower.admit(event, way == "add")
    encoder.feed(decoder.close())
    ending = follower.finish("stop", None)
    assert not ending or CHAT.terminal(ending[-1])
    CHAT.encode_response(assembler.response(), [])
