"""What holds of the dialect `openai.responses` for any input."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import msgspec
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from jackfield.api import BadRequest, Headers, Request, Response, Usage
from jackfield.api.canonical import (
    Choice,
    Citation,
    Document,
    Image,
    Logprobs,
    Message,
    Output,
    Refusal,
    Sampling,
    ServerToolCall,
    ServerToolResult,
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
)
from tests.plugins.openai_responses.responses_wire import (
    RESPONSES,
    assembled,
    check_answer,
    check_stream,
    decoded,
    event_of,
    events_of,
    plain,
    played,
    write_answer,
    write_request,
)

EACH = settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))

COUNT = st.integers(0, 2**40)
NUMBER = st.floats(-1e6, 1e6, allow_nan=False)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
BASE64 = st.binary(min_size=1, max_size=20).map(lambda raw: base64.b64encode(raw).decode())
URL = st.just("https://a.example/") | WORDS.map(lambda text: "https://a.example/" + text)
SCALAR = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBER | WORDS
JSON = SCALAR | st.lists(SCALAR | st.dictionaries(WORDS, SCALAR, max_size=2), max_size=2) | st.dictionaries(WORDS, SCALAR, max_size=2)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


# ------------------------------------------------------------------------------------------------ requests

SOURCE = st.builds(Source, url=URL) | st.builds(Source, data=BASE64, media_type=st.just("image/png")) | st.builds(Source, file_id=NAME)
DETAIL = st.sampled_from(["low", "high", "auto"])
SAID_TEXT = st.builds(Text, text=WORDS)
IMAGE = st.builds(Image, source=SOURCE, detail=DETAIL)
DOCUMENT = st.builds(Document, source=SOURCE, title=WORDS)
SEALED = st.builds(
    Thinking, summary=st.lists(WORDS, max_size=2).map(tuple), signature=st.builds(Signature, value=NAME, family=st.just("openai"))
)
CALL = st.builds(ToolCall, id=NAME, name=NAME, arguments=WORDS, kind=st.sampled_from(["function", "custom"]), namespace=maybe(NAME))
RESULT = st.builds(
    ToolResult,
    call_id=NAME,
    parts=st.lists(SAID_TEXT | IMAGE, min_size=1, max_size=2).map(tuple),
    kind=st.sampled_from(["function", "custom"]),
)
GIVEN = st.lists(SAID_TEXT | IMAGE | DOCUMENT, min_size=1, max_size=3).map(tuple)
MESSAGE = (
    st.builds(Message, role=st.sampled_from(["developer", "user"]), parts=GIVEN)
    | st.builds(
        lambda thought, text, calls: Message(role="assistant", parts=(*thought, text, *calls)),
        st.lists(SEALED, max_size=1), SAID_TEXT, st.lists(CALL, max_size=2),
    )
    | st.builds(lambda results: Message(role="tool", parts=tuple(results)), st.lists(RESULT, min_size=1, max_size=2))
)  # fmt: skip
TOOL = st.builds(
    Tool,
    name=NAME,
    description=maybe(WORDS),
    parameters=st.just({"type": "object", "properties": {}, "required": [], "additionalProperties": False}),
    strict=st.booleans(),
) | st.builds(Tool, name=NAME, kind=st.just("custom"), description=maybe(WORDS))
CHOICE = st.builds(ToolChoice, mode=st.sampled_from(["auto", "none", "required"])) | st.builds(
    ToolChoice, mode=st.just("named"), names=NAME.map(lambda name: (name,)), kind=st.sampled_from(["function", "custom"])
)
REQUEST = st.builds(
    Request,
    model=WORDS,
    messages=st.lists(MESSAGE, min_size=1, max_size=5).map(tuple),
    tools=st.lists(TOOL, max_size=3).map(tuple),
    tool_choice=maybe(CHOICE),
    parallel_tools=maybe(st.booleans()),
    sampling=st.builds(Sampling, temperature=maybe(NUMBER), top_p=maybe(NUMBER), max_tokens=maybe(st.integers(16, 2**31))),
    thinking=st.builds(ThinkingConfig, effort=maybe(st.sampled_from(["low", "medium", "high"])), summary=maybe(st.just("auto"))),
    output=st.builds(Output, format=maybe(st.sampled_from(["text", "json"])), verbosity=maybe(st.just("low"))),
    stream=st.booleans(),
    user=maybe(WORDS),
    metadata=st.dictionaries(WORDS, WORDS, max_size=2),
    service_tier=maybe(st.sampled_from(["auto", "flex"])),
    store=st.booleans(),
    cache_key=maybe(WORDS),
)


def merged(request: Request) -> Request:
    """Return a request without extensions, turns of one side in a row taken together, as the dialect reads them."""
    said = plain(request)
    for message in said["messages"]:
        for part in message["parts"]:
            if part["type"] == "thinking":
                part.pop("id", None)  # they get one from what they say
    turns: list[Any] = []
    for message in said["messages"]:
        if turns and message["role"] == turns[-1]["role"] and message["role"] in ("assistant", "tool"):
            turns[-1] = {**turns[-1], "parts": [*turns[-1]["parts"], *message["parts"]]}
        else:
            turns.append(message)
    return msgspec.convert({**said, "messages": turns, **({"stream_usage": True} if said.get("stream") else {})}, Request)


@EACH
@given(REQUEST)
def test_what_a_request_says_stands_on_the_wire_and_comes_back(request: Request) -> None:
    losses: list[Any] = []
    raw = RESPONSES.encode_request(request, "generate", losses)
    assert not losses
    assert merged(RESPONSES.decode_request(raw, "generate")) == merged(request)


_PARAMS: dict[bool, TypeAdapter[Any]] = {
    False: TypeAdapter(ResponseCreateParamsNonStreaming),
    True: TypeAdapter(ResponseCreateParamsStreaming),
}


@EACH
@given(REQUEST)
def test_every_request_that_is_written_is_one_of_openais(request: Request) -> None:
    body, _ = write_request(request)
    # Reading what an iterable holds is what makes pydantic check it.
    read = _PARAMS[request.stream].validate_python(body)
    for key in ("tools", "input"):
        if not isinstance(read.get(key), str):
            list(read.get(key) or ())


@EACH
@given(
    st.dictionaries(
        st.sampled_from(["model", "input", "instructions", "tools", "tool_choice", "reasoning", "text", "include", "user"]), JSON
    )
)
def test_no_body_makes_the_reading_of_a_request_crash(body: Any) -> None:
    try:
        request = RESPONSES.decode_request(json.dumps(body).encode(), "generate")
    except BadRequest:
        return
    write_request(request)


ITEM_TYPES = ["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", "function_call_output", "what"]
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(ITEM_TYPES)},
    optional={
        "role": JSON | st.sampled_from(["user", "assistant"]), "content": JSON, "id": JSON, "call_id": JSON, "name": JSON,
        "arguments": JSON, "input": JSON, "output": JSON, "summary": JSON, "encrypted_content": JSON, "status": JSON, "action": JSON,
    },
)  # fmt: skip


@EACH
@given(st.lists(ITEMS, max_size=4))
def test_no_item_makes_reading_crash(items: Any) -> None:
    with contextlib.suppress(BadRequest):  # which field is at fault is told elsewhere
        write_request(RESPONSES.decode_request(json.dumps({"model": "m", "input": items}).encode(), "generate"))
    response = RESPONSES.decode_response(json.dumps({"id": "r", "output": items}).encode())
    write_answer(response)


# ------------------------------------------------------------------------------------------------- answers

CITATION = st.builds(Citation, url=URL, title=WORDS, start=COUNT, end=COUNT)
ANSWER_TEXT = st.builds(Text, text=WORDS, citations=st.lists(CITATION, max_size=2).map(tuple))
FAMILY = st.sampled_from(["anthropic", "gemini", "openai"])
SIGNATURE = st.builds(Signature, value=NAME, family=FAMILY)
THOUGHT = (
    st.builds(Thinking, text=WORDS)
    | st.builds(Thinking, text=WORDS, signature=st.builds(Signature, value=NAME, family=st.sampled_from(["anthropic", "gemini"])))
    | st.builds(Thinking, summary=st.lists(WORDS, min_size=1, max_size=3).map(tuple), signature=maybe(SIGNATURE))
    | st.builds(Thinking, redacted=st.builds(Signature, value=NAME, family=st.just("anthropic")))
)
SIGNED_CALL = st.builds(
    ToolCall, id=NAME, name=NAME, arguments=st.just('{"a":1}') | st.just("{}"), namespace=maybe(NAME),
    signature=maybe(st.builds(Signature, value=NAME, family=st.just("gemini"))),
)  # fmt: skip
FREE_CALL = st.builds(ToolCall, id=NAME, name=NAME, arguments=WORDS, kind=st.just("custom"))
SIGNED_TEXT = st.builds(Text, text=WORDS, signature=st.builds(Signature, value=NAME, family=st.just("gemini")))
PICTURE = st.builds(Image, source=st.builds(Source, data=BASE64, media_type=st.just("image/png")))
PART = ANSWER_TEXT | SIGNED_TEXT | THOUGHT | SIGNED_CALL | FREE_CALL | PICTURE | st.builds(Refusal, text=WORDS)
USAGE = st.builds(Usage, input=COUNT, output=COUNT, thinking=COUNT, cache_read=COUNT, cache_write=COUNT)
TOKEN = st.builds(
    TokenLogprob, token=WORDS, logprob=NUMBER, bytes=st.just((1, 2)),
    top=st.lists(st.builds(TokenChance, token=WORDS, logprob=NUMBER, bytes=st.just((3,))), max_size=1).map(tuple),
)  # fmt: skip
RESPONSE = st.builds(
    lambda parts, usage, finish, tokens: Response(
        id="resp_1", model="m", created=7, usage=usage,
        choices=(
            Choice(
                message=Message(role="assistant", parts=tuple(parts)),
                finish="tool_calls" if any(isinstance(part, ToolCall) for part in parts) and finish == "stop" else finish,
                logprobs=Logprobs(content=tuple(tokens)) if tokens and any(isinstance(part, Text) for part in parts) else None,
            ),
        ),
    ),
    st.lists(PART, max_size=5), USAGE, st.sampled_from(["stop", "length", "content_filter"]), st.lists(TOKEN, max_size=2),
)  # fmt: skip


def meaning(response: Response, *, streamed: bool) -> Any:
    """Return what an answer says: without ids that the dialect makes, and in a stream without what it has no place for."""
    said = plain(response)
    for choice in said["choices"]:
        if streamed:
            choice.pop("logprobs", None)
        choice["message"].pop("id", None)
        for part in choice["message"].get("parts", []):
            part.pop("item_id", None)
            if part["type"] == "thinking" and part.get("signature", {}).get("family") in (None, "openai"):
                part.pop("id", None)
    return said


@EACH
@given(RESPONSE)
def test_what_an_answer_says_stands_in_a_valid_one_and_comes_back(response: Response) -> None:
    body, losses = write_answer(response)
    assert not losses
    check_answer(body)
    assert meaning(RESPONSES.decode_response(json.dumps(body).encode()), streamed=False) == meaning(response, streamed=False)


@EACH
@given(RESPONSE)
def test_what_an_answer_says_stands_in_a_valid_stream_and_comes_back(response: Response) -> None:
    losses: list[Any] = []
    events = played(response, losses=losses)
    assert not losses
    check_stream(events)
    assert meaning(assembled(events), streamed=True) == meaning(response, streamed=True)


@EACH
@given(RESPONSE)
def test_the_whole_answer_and_the_streams_last_event_say_the_same(response: Response) -> None:
    whole, _ = write_answer(response)
    last = played(response)[-1].json["response"]

    def comparable(body: Any) -> Any:
        said = msgspec.json.decode(msgspec.json.encode({key: value for key, value in body.items() if key != "id"}))
        for item in said["output"]:
            item.pop("id")
            for part in item.get("content") or ():
                part.pop("logprobs", None)
        return said

    assert comparable(whole) == comparable(last)


@EACH
@given(RESPONSE, st.integers(1, 40))
def test_any_cut_of_the_bytes_gives_the_same_answer(response: Response, size: int) -> None:
    raw = b"".join(event.raw for event in played(response))
    splitter, events = RESPONSES.framing.splitter(), []
    for at in range(0, len(raw), size):
        events += events_of(done) if (done := splitter.feed(raw[at : at + size])) else []
    assert plain(assembled(events)) == plain(assembled(events_of(raw)))


SEARCHED = st.builds(lambda name, query: (
    ServerToolCall(id=name, name="web_search", arguments=json.dumps({"query": query})),
    ServerToolResult(call_id=name, name="web_search", content=json.dumps([{"url": "https://a.example", "title": "A"}])),
), NAME, WORDS)  # fmt: skip


@EACH
@given(SEARCHED)
def test_another_providers_search_of_the_web_becomes_openais(parts: Any) -> None:
    response = Response(id="resp_1", model="m", created=7, choices=(Choice(message=Message(role="assistant", parts=parts), finish="stop"),))
    body, losses = write_answer(response)
    check_answer(body)
    assert not losses
    (item,) = body["output"]
    assert item["action"] == {
        "type": "search",
        "query": json.loads(parts[0].arguments)["query"],
        "sources": [{"type": "url", "url": "https://a.example"}],
    }
    last = check_stream(played(response))
    assert last["output"][0]["action"] == item["action"]


# ----------------------------------------------------------------------------------------------- no crashes

EVENT_TYPES = [
    "response.created", "response.output_item.added", "response.output_item.done", "response.content_part.added", "response.completed",
    "response.output_text.delta", "response.output_text.done", "response.function_call_arguments.delta", "response.failed", "error",
    "response.reasoning_summary_text.delta", "response.content_part.done", "response.what", "ping", "response.incomplete",
]  # fmt: skip
ANY_RESPONSE = st.fixed_dictionaries({}, optional={"output": st.lists(ITEMS, max_size=2), "usage": JSON, "status": JSON, "error": JSON})
EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(EVENT_TYPES)},
    optional={
        "response": JSON | ANY_RESPONSE,
        "item": JSON | ITEMS, "part": JSON, "delta": JSON | WORDS, "output_index": JSON | st.integers(0, 2), "content_index": JSON,
        "text": JSON, "error": JSON, "summary_index": JSON, "sequence_number": JSON,
    },
)  # fmt: skip


@EACH
@example(values=[{"type": "response.created"}, {"type": "response.output_item.added", "output_index": []}])
@given(st.lists(EVENT | JSON, max_size=8))
def test_no_event_makes_reading_following_or_writing_crash(values: Any) -> None:
    events = [event_of(value) for value in values]
    encoder, follower = RESPONSES.encode_stream(Request(), []), RESPONSES.follow()
    for event in events:
        RESPONSES.repeats(event)
        RESPONSES.ends(event)
        RESPONSES.lifecycle(event)
        RESPONSES.usage_of(event)
        RESPONSES.with_text(event, "x")
    encoder.feed(decoded(events))
    for at, event in enumerate(events):
        follower.feed(event) if at % 3 == 0 else follower.admit(event, at % 2 == 0) if at % 3 == 1 else follower.drop(event)
    follower.finish("stop", None)


@EACH
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), st.integers(400, 599))
def test_no_error_body_is_beyond_reading(raw: bytes, status: int) -> None:
    error = RESPONSES.decode_error(status, Headers(), raw)
    assert error.message
    assert json.loads(RESPONSES.encode_error(error))["error"]["message"]


@EACH
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_answer_is_refused_by_value_error_alone(raw: bytes) -> None:
    for read in (RESPONSES.decode_response, RESPONSES.glance, RESPONSES.decode_count):
        try:
            read(raw)
        except ValueError:
            continue
