"""What holds of the dialect `gemini.generate` for any input."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any

from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.api import BadRequest, Headers, Response, Usage
from jackfield.api.canonical import Choice, Citation, Image, Message, Signature, Source, Text, Thinking, ToolCall, play
from tests.plugins.gemini.gemini_wire import (
    ARRAY,
    GEMINI,
    array_events,
    assembled,
    chunk,
    decoded,
    differences,
    events_of,
    normal,
    plain,
    read_request,
    stream,
    whole,
    write_answer,
    write_request,
)

COUNT = st.integers(0, 2**40)
NUMBER = st.floats(-1e6, 1e6, allow_nan=False)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
BASE64 = st.binary(min_size=4, max_size=20).map(lambda raw: base64.b64encode(b"\x00" + raw).decode())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBER | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(WORDS, JSON.filter(lambda value: value is not None), max_size=3)
SCHEMA = st.dictionaries(
    NAME, st.sampled_from([{"type": "string"}, {"type": "array", "items": {"type": "integer"}}, {"anyOf": [{"type": "null"}]}]), max_size=3
).map(lambda properties: {"type": "object", "properties": properties})


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects with some of the members."""
    return st.fixed_dictionaries({}, optional=members)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


# ------------------------------------------------------------------------------------------ wire requests

SIGNED = some(thoughtSignature=BASE64)
TEXT_PARTS = st.builds(lambda text, rest: {"text": text, **rest}, WORDS, SIGNED)
MEDIA = st.builds(
    lambda mime, data, rest: {"inlineData": {"mimeType": mime, "data": data}, **rest},
    st.sampled_from(["image/png", "application/pdf", "audio/wav", "video/mp4", "audio/L16;codec=pcm;rate=24000", "text/plain"]),
    BASE64,
    some(videoMetadata=some(fps=st.integers(1, 9)), mediaResolution=st.just({"level": "MEDIA_RESOLUTION_HIGH"})),
)
FILES = st.builds(
    lambda uri, rest: {"fileData": {"fileUri": uri, **rest}},
    st.sampled_from(
        ["https://a.example/a.png", "gs://b/c", "https://generativelanguage.googleapis.com/v1beta/files/x", "https://youtu.be/x"]
    ),
    some(mimeType=st.sampled_from(["image/png", "video/mp4"])),
)
THOUGHTS = st.builds(lambda part: {**part, "thought": True}, TEXT_PARTS)
CALLS = st.builds(lambda name, rest, signed: {"functionCall": {"name": name, **rest}, **signed}, NAME, some(id=NAME, args=OBJECT), SIGNED)
RESULTS = st.builds(
    lambda name, response, rest: {"functionResponse": {"name": name, "response": response, **rest}},
    NAME,
    OBJECT | st.builds(lambda key, value: {key: value}, st.sampled_from(["output", "result", "error"]), WORDS | OBJECT),
    some(id=NAME, parts=st.lists(MEDIA, min_size=1, max_size=2), willContinue=st.booleans()),
)
SERVED = st.sampled_from(
    [
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"id": "a", "outcome": "OUTCOME_OK", "output": "1"}, "thoughtSignature": "c2ln"},
        {"toolCall": {"id": "b", "toolType": "URL_CONTEXT", "args": {"u": ["x"]}}},
        {"toolResponse": {"id": "b", "toolType": "SOMETHING_NEW", "response": {}}},
        {"somethingNew": {"a": 1}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thought": True},
        {"thoughtSignature": "c2ln"},
    ]
)
USER = st.builds(lambda parts: {"role": "user", "parts": parts}, st.lists(TEXT_PARTS | MEDIA | FILES | RESULTS, min_size=1, max_size=3))
MODEL = st.builds(lambda parts: {"role": "model", "parts": parts}, st.lists(TEXT_PARTS | THOUGHTS | CALLS | SERVED, min_size=1, max_size=3))
FUNCTIONS = st.builds(
    lambda name, rest: {"name": name, **rest},
    NAME,
    some(description=WORDS, behavior=st.just("BLOCKING"))
    | st.builds(lambda s: {"parameters": s}, SCHEMA)
    | st.builds(lambda s: {"parametersJsonSchema": s}, SCHEMA),
)
TOOLS = st.lists(
    st.builds(lambda functions: {"functionDeclarations": functions}, st.lists(FUNCTIONS, min_size=1, max_size=2))
    | st.sampled_from([{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}, {"fileSearch": {"fileSearchStoreNames": ["a"]}}]),
    max_size=3,
)
MODES = some(
    functionCallingConfig=st.sampled_from(
        [
            {"mode": "AUTO"},
            {"mode": "ANY"},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
            {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            {"mode": "none"},
            {"mode": "NONE", "allowedFunctionNames": ["f"]},
            {"mode": "VALIDATED"},
            {"allowedFunctionNames": ["f", "g"]},
            {},
        ]
    ),
    includeServerSideToolInvocations=st.booleans(),
)
CONFIG = some(
    temperature=NUMBER,
    topP=NUMBER,
    topK=COUNT,
    candidateCount=st.integers(1, 8),
    maxOutputTokens=COUNT,
    stopSequences=st.lists(WORDS, min_size=1, max_size=5),
    seed=COUNT,
    presencePenalty=NUMBER,
    frequencyPenalty=NUMBER,
    responseLogprobs=st.booleans(),
    logprobs=st.integers(0, 20),
    responseMimeType=st.sampled_from(["application/json", "text/plain", "text/x.enum"]),
    responseSchema=SCHEMA,
    responseJsonSchema=SCHEMA,
    responseModalities=st.lists(st.sampled_from(["TEXT", "AUDIO", "Image"]), min_size=1, max_size=2),
    speechConfig=st.sampled_from(
        [
            {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}, "languageCode": "de"},
            {"multiSpeakerVoiceConfig": {"speakerVoiceConfigs": []}},
            {},
        ]
    ),
    thinkingConfig=st.sampled_from(
        [
            *({"thinkingBudget": n} for n in (-1, 0, 512)),
            {"thinkingLevel": "HIGH"},
            {"thinkingLevel": "low", "includeThoughts": False},
            {"includeThoughts": True, "new": 1},
            {},
        ]
    ),
    mediaResolution=st.just("MEDIA_RESOLUTION_LOW"),
)


@st.composite
def wire_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request as a client may write it."""
    body: dict[str, Any] = {"contents": draw(st.lists(USER | MODEL, min_size=1, max_size=5))}
    more = some(
        systemInstruction=st.builds(lambda parts: {"parts": parts}, st.lists(TEXT_PARTS, min_size=1, max_size=2)),
        tools=TOOLS.filter(bool),
        toolConfig=MODES.filter(bool),
        generationConfig=CONFIG,
        safetySettings=st.just([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
        cachedContent=st.just("cachedContents/x"),
        labels=st.dictionaries(
            st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.from_regex(r"[a-z]{0,8}", fullmatch=True), min_size=1, max_size=2
        ),
        serviceTier=st.sampled_from(["flex", "standard", "PRIORITY"]),
        store=st.booleans(),
    )
    return {**body, **draw(more)}


@given(wire_requests())
@settings(deadline=None)
def test_a_request_comes_back_as_it_was(body: dict[str, Any]) -> None:
    written, losses = write_request(read_request(body))
    wrong = differences(normal(body), normal(written))
    # A choice that makes no difference without functions would be refused.
    functions = any("functionDeclarations" in tool for tool in body.get("tools", ()))
    wrong = [line for line in wrong if functions or not line.startswith(".toolConfig")]
    assert not wrong, "\n".join(wrong)
    assert not losses


# ------------------------------------------------------------------------------------- canonical answers

SIGNATURES = st.builds(Signature, value=BASE64, family=st.sampled_from(["gemini", "anthropic"]))
CITATIONS = st.lists(
    st.builds(Citation, url=st.sampled_from(["https://a", "https://b"]), title=WORDS, start=st.just(0), end=st.just(1)), max_size=1
).map(tuple)
PARTS = st.lists(
    st.builds(Text, text=WORDS, signature=maybe(SIGNATURES), citations=CITATIONS)
    | st.builds(Thinking, text=WORDS, signature=maybe(SIGNATURES))
    | st.builds(Thinking, redacted=st.builds(Signature, value=BASE64, family=st.sampled_from(["gemini", "openai"])))
    | st.builds(ToolCall, id=NAME, name=NAME, arguments=OBJECT.map(json.dumps), signature=maybe(SIGNATURES))
    | st.builds(Image, source=st.builds(Source, data=BASE64, media_type=st.just("image/png"))),
    min_size=1,
    max_size=4,
)
USAGE = st.builds(Usage, input=COUNT, output=st.integers(50, 1000), thinking=st.integers(0, 50), cache_read=COUNT)


def apart(parts: list[Any]) -> list[Any]:
    """Return parts of which no two that follow each other could be one."""
    kept: list[Any] = []
    for part in parts:
        alike = kept and type(kept[-1]) is type(part) and isinstance(part, Text | Thinking)
        kept += [] if alike else [part]
    return kept


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """An answer with one or two choices."""
    choices = []
    for index in range(draw(st.integers(1, 2))):
        parts = apart(draw(PARTS))
        cited = [at for at, part in enumerate(parts) if isinstance(part, Text) and part.citations]
        for at in cited:
            if at != len(parts) - 1:  # what is cited is told at the end, of the text that is still open
                parts[at] = Text(text=parts[at].text, signature=parts[at].signature)
        calls = any(isinstance(part, ToolCall) for part in parts)
        finish = draw(st.sampled_from(["length", "content_filter", "tool_calls" if calls else "stop"]))
        choices.append(Choice(index=index, message=Message(role="assistant", parts=tuple(parts)), finish=finish))
    created = draw(maybe(st.integers(0, 2**31)))
    return Response(id=draw(NAME), model=draw(NAME), created=created, choices=tuple(choices), usage=draw(maybe(USAGE)))


@given(responses())
@settings(deadline=None)
def test_a_stream_and_a_whole_answer_say_the_same(response: Response) -> None:
    body, losses = write_answer(response)
    assert not losses
    again = GEMINI.decode_response(json.dumps(body).encode())
    types.GenerateContentResponse.model_validate(body)
    assert said(again) == said(response)
    deltas = list(play(response))
    for dialect in (GEMINI, ARRAY):
        for batches in ([deltas], [[delta] for delta in deltas]):
            encoder = dialect.encode_stream(read_request({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}), [])
            events = [event for batch in batches for event in encoder.feed(batch)]
            for event in events:
                types.GenerateContentResponse.model_validate(event.json)
            assert said(assembled(events)) == said(response)


def said(response: Response) -> Any:
    """Return what an answer says, the arguments of its calls read."""
    found = plain(response)
    for choice in found["choices"]:
        for part in choice["message"]["parts"]:
            if part["type"] == "tool_call":
                part["arguments"] = json.loads(part["arguments"])
    return normal(found)


# --------------------------------------------------------------------------------------------- any split


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(st.integers(0, 400), max_size=6), st.sampled_from(["\n", "\r\n"]))
@settings(deadline=None)
def test_any_split_of_the_bytes_gives_the_same_events(words: list[str], cuts: list[int], end: str) -> None:
    chunks = [*(chunk(one) for one in words), chunk({"text": ""}, finish="STOP")]
    raw = b"".join(f"data: {json.dumps(one)}{end}{end}".encode() for one in chunks)
    array = json.dumps(chunks, indent=1).replace("\n", end).encode()
    expected = decoded(stream(*chunks))
    for dialect, data, cut in ((GEMINI, raw, events_of), (ARRAY, array, array_events)):
        places = sorted({0, len(data), *(at % len(data) for at in cuts)})
        splitter = dialect.framing.splitter()
        done = b"".join(splitter.feed(data[start:stop]) for start, stop in itertools.pairwise(places))
        events = [dialect.event_type(frame, name, end) for frame, name, end in dialect.framing.frames(done)]
        assert decoded(events) == expected
        assert [event.json for event in cut(data)] == chunks


@given(st.lists(JSON, min_size=1, max_size=4), st.integers(1, 7))
def test_a_json_array_of_anything_is_cut_at_its_objects(values: list[Any], size: int) -> None:
    objects = [{"a": value} for value in values]
    raw = json.dumps(objects, indent=2).encode()
    splitter = ARRAY.framing.splitter()
    found = b"".join(splitter.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    assert [json.loads(frame) for frame, _, _ in ARRAY.framing.frames(found)] == objects
    assert splitter.rest() == b""


# --------------------------------------------------------------------------------------------- any input

WHERE = st.lists(st.integers(0, 6), max_size=6)
GARBAGE = JSON | st.sampled_from([[[]], {"": {}}, "\x00", 1e308, -1, True, [None], {"parts": 3}, {"role": ["user"]}])


def damaged(value: Any, where: list[int], garbage: Any) -> Any:
    """Return JSON with something else in one place."""
    if not where:
        return garbage
    if isinstance(value, dict) and value:
        key = sorted(value)[where[0] % len(value)]
        return {**value, key: damaged(value[key], where[1:], garbage)}
    if isinstance(value, list) and value:
        at = where[0] % len(value)
        return [*value[:at], damaged(value[at], where[1:], garbage), *value[at + 1 :]]
    return garbage


def attempted(function: Callable[[], Any], *errors: type[Exception]) -> Any:
    try:
        return function()
    except errors as fault:
        return fault


@given(wire_requests(), WHERE, GARBAGE)
@settings(deadline=None)
def test_no_request_raises_anything_but_that_it_is_bad(body: Any, where: list[int], garbage: Any) -> None:
    raw = json.dumps(damaged(body, where, garbage)).encode()
    for operation in ("generate", "count"):
        request = attempted(lambda op=operation: GEMINI.decode_request(raw, op), BadRequest)
        if not isinstance(request, BadRequest):
            for model in ("", "gemini-2.5-pro", "gemini-3-flash"):
                GEMINI.encode_request(request.__class__(**{**_members(request), "model": model}), operation, [])


def _members(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@given(responses(), WHERE, GARBAGE)
@settings(deadline=None)
def test_no_answer_raises_anything_but_that_it_is_none(response: Response, where: list[int], garbage: Any) -> None:
    value = damaged(write_answer(response)[0], where, garbage)
    raw = json.dumps(value).encode()
    found = attempted(lambda: GEMINI.decode_response(raw), ValueError)
    attempted(lambda: GEMINI.glance(raw), ValueError)
    if isinstance(found, Response):
        GEMINI.encode_response(found, [])
    event = GEMINI.event(raw)
    deltas = attempted(lambda: decoded([event, event]), ValueError)
    if isinstance(deltas, list) and deltas:
        GEMINI.encode_stream(read_request({"contents": [{"parts": [{"text": "x"}]}]}), []).feed(deltas)
    _ = (event.text, event.thinking, event.arguments, event.usage, event.finish, event.error)
    GEMINI.commits(event), GEMINI.lifecycle(event), GEMINI.ends(event), GEMINI.terminal(event), GEMINI.with_text(event, "x")
    follower = GEMINI.follow()
    for step in (lambda: follower.feed(event), lambda: follower.admit(event, True), lambda: follower.drop(event)):
        attempted(step, KeyError)
    follower.finish("stop", None)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 5000))
def test_no_bytes_break_a_reader(raw: bytes) -> None:
    for operation in ("generate", "count", "embed"):
        attempted(lambda op=operation: GEMINI.decode_request(raw, op), BadRequest)
    attempted(lambda: GEMINI.decode_response(raw), ValueError)
    attempted(lambda: GEMINI.decode_models(raw), ValueError)
    attempted(lambda: GEMINI.decode_count(raw), ValueError)
    attempted(lambda: GEMINI.glance(raw), ValueError)
    GEMINI.encode_error(GEMINI.decode_error(500, Headers(), raw))
    splitter = ARRAY.framing.splitter()
    ARRAY.framing.frames(splitter.feed(raw) + splitter.rest())


def test_whole_needs_an_end() -> None:
    assert whole(play(Response(choices=(Choice(finish="stop"),)))).finish == "stop"
