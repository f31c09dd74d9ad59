"""What must hold of any request, answer and stream of the dialect `anthropic.messages`, and of any input at all."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from jackfield.api import BadRequest, Event, Headers, Request, Response, Usage
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Cache,
    Choice,
    Citation,
    Delta,
    Document,
    Done,
    Finish,
    Image,
    Message,
    Output,
    PartEnd,
    PartStart,
    Refusal,
    Sampling,
    Signature,
    SignatureDelta,
    Source,
    Text,
    TextDelta,
    Thinking,
    ThinkingConfig,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    UsageDelta,
    play,
)
from tests.plugins.anthropic.messages_wire import MESSAGES, assembled, decoded, encoded, event, events_of, plain, strictly, valid


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def several(strategy: st.SearchStrategy[Any], *, least: int = 0, most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
CLEAN = WORDS.map(lambda text: f"{text}.")
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
COUNT = st.integers(0, 10_000)
CACHE = maybe(st.builds(Cache, ttl=maybe(st.sampled_from(["5m", "1h"]))))
OBJECT = st.dictionaries(NAME, st.integers(-5, 5) | WORDS | st.booleans() | st.none(), max_size=3)
ARGUMENTS = OBJECT.map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")))
URL = NAME.map(lambda name: f"https://{name}.example/a")
IMAGES = st.builds(
    Image,
    source=st.builds(Source, data=st.just("AAAA"), media_type=st.just("image/png")) | st.builds(Source, url=URL),
    cache=CACHE,
)
DOCUMENTS = st.builds(
    Document,
    source=st.builds(Source, data=st.just("AAAA"), media_type=st.just("application/pdf")) | st.builds(Source, url=URL),
    title=maybe(WORDS),
    context=maybe(WORDS),
    citations=maybe(st.booleans()),
    cache=CACHE,
) | st.builds(Document, text=WORDS, title=maybe(WORDS))
TEXTS = st.builds(Text, text=CLEAN, cache=CACHE)
OWN = st.builds(Signature, value=NAME, family=st.just("anthropic"))
THOUGHTS = st.builds(Thinking, text=st.just("") | WORDS, signature=OWN) | st.builds(Thinking, redacted=OWN)
SCHEMA = st.dictionaries(NAME, st.sampled_from([{"type": "string"}, {"type": "integer"}]), max_size=2).map(
    lambda properties: {"type": "object", "properties": properties, "additionalProperties": False}
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns in the form in which the dialect itself reads them: results at the head, speakers in turn."""
    found: list[Message] = []
    if draw(st.booleans()):
        found.append(Message(role="system", parts=draw(several(TEXTS, least=1))))
    calls: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        results = tuple(
            ToolResult(call_id=call, parts=draw(several(TEXTS | IMAGES, most=2)), is_error=draw(st.booleans())) for call in calls
        )
        more = draw(several(TEXTS | IMAGES | DOCUMENTS, least=0 if results else 1, most=2))
        found.append(Message(role="tool" if results and not more else "user", parts=(*results, *more)))
        calls = [f"toolu_{len(found)}_{at}" for at in range(draw(st.integers(0, 2)))]
        asked = tuple(ToolCall(id=call, name=draw(NAME), arguments=draw(ARGUMENTS), cache=draw(CACHE)) for call in calls)
        said = (*draw(several(THOUGHTS, most=1)), *draw(several(TEXTS, most=2)), *asked)
        if not said:
            break
        found.append(Message(role="assistant", parts=said))
    return tuple(found)


TOOLS = st.builds(Tool, name=NAME, description=maybe(WORDS), parameters=SCHEMA, strict=maybe(st.booleans()), cache=CACHE)
CHOICES = st.builds(ToolChoice, mode=st.sampled_from(["auto", "none", "required"])) | st.builds(
    ToolChoice, mode=st.just("named"), names=NAME.map(lambda name: (name,))
)
THINKING = st.sampled_from(
    [
        ThinkingConfig(),
        ThinkingConfig(mode="off"),
        ThinkingConfig(mode="auto", effort="high", summary="none"),
        ThinkingConfig(mode="auto"),
        ThinkingConfig(mode="on", budget=2048, summary="auto"),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    thinking = draw(THINKING)
    tools = draw(several(TOOLS, most=2))
    thinks = thinking.mode in ("on", "auto")
    choice = draw(maybe(CHOICES)) if tools else None
    if thinks and choice is not None and choice.mode in ("required", "named"):
        choice = None
    parallel = draw(maybe(st.booleans())) if choice is not None and choice.mode != "none" else None
    schema = draw(maybe(SCHEMA))
    return Request(
        model=draw(NAME),
        messages=draw(conversations()),
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=Sampling(
            temperature=None if thinks else draw(maybe(st.floats(0, 1))),
            top_p=None if thinks else draw(maybe(st.floats(0, 1))),
            top_k=None if thinks else draw(maybe(COUNT)),
            max_tokens=draw(st.integers(3000, 64000)),
            stop=draw(several(WORDS, most=2)),
        ),
        thinking=thinking,
        output=Output(format="json_schema", schema=schema) if schema is not None else Output(),
        stream=draw(st.booleans()),
        user=draw(maybe(WORDS)),
        service_tier=draw(maybe(st.sampled_from(["auto", "standard_only"]))),
    )


@given(requests())
@settings(deadline=None, max_examples=60)
def test_a_request_that_can_be_said_is_understood_again(request: Request) -> None:
    losses: list[Any] = []
    again = MESSAGES.decode_request(MESSAGES.encode_request(request, "generate", losses), "generate")
    assume(not any("thinking with a budget is refused" in str(loss) for loss in losses))
    assert plain(again) == plain(request)
    assert losses == []


STREAMED: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
WHOLE: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)


def exhaust(value: Any) -> None:
    """Go through everything that pydantic checks only when it is looked at."""
    if isinstance(value, dict):
        for item in value.values():
            exhaust(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            exhaust(item)


@given(requests())
@settings(deadline=None, max_examples=60)
def test_a_request_is_one_that_anthropics_client_could_have_sent(request: Request) -> None:
    body = json.loads(MESSAGES.encode_request(request, "generate", []))
    if request.sampling.temperature is None and request.sampling.top_p is None and request.sampling.top_k is None:
        exhaust((STREAMED if request.stream else WHOLE).validate_python(body))


@given(requests())
@settings(deadline=None, max_examples=60)
def test_a_request_to_count_has_the_same_conversation(request: Request) -> None:
    counted = json.loads(MESSAGES.encode_request(request, "count", []))
    generated = json.loads(MESSAGES.encode_request(request, "generate", []))
    assert counted["messages"] == generated["messages"]
    assert not counted.keys() & {"max_tokens", "stream", "temperature", "metadata", "stop_sequences"}


# ------------------------------------------------------------------------------------------- requests of others

FAMILY = st.sampled_from(["anthropic", "openai", "gemini"])
ANY = (
    st.builds(Text, text=st.text(max_size=6), signature=maybe(st.builds(Signature, value=NAME, family=FAMILY)))
    | st.builds(Thinking, text=st.text(max_size=4), signature=maybe(st.builds(Signature, value=NAME, family=FAMILY)))
    | st.builds(Refusal, text=st.text(max_size=4))
    | st.builds(ToolCall, id=st.sampled_from(["a", "b", "c"]), name=NAME, arguments=st.text(max_size=4) | ARGUMENTS)
    | st.builds(ToolResult, call_id=st.sampled_from(["a", "b", "c"]), parts=several(TEXTS | IMAGES, most=2))
    | IMAGES
    | DOCUMENTS
)
ANYONE = st.builds(Message, role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]), parts=several(ANY))


def follows_the_rules(body: Any) -> None:
    """Check what Anthropic checks of a conversation."""
    called: list[str] = []
    assert body["messages"]
    for message in body["messages"]:
        if message["role"] == "system":
            continue
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        assert blocks
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if message["role"] == "user":
            assert sorted(results) == sorted(called)
            assert all(block["type"] == "tool_result" for block in blocks[: len(results)])
            called = []
        else:
            assert not results
            called = [block["id"] for block in blocks if block["type"] == "tool_use"]
            assert all(block.get("signature") for block in blocks if block["type"] == "thinking")
    speakers = [message["role"] for message in body["messages"] if message["role"] != "system"]
    assert all(first != second for first, second in itertools.pairwise(speakers))


@given(several(ANYONE, most=6), st.sampled_from(["claude-opus-5-5", "claude-3-haiku"]))
@example(
    (
        Message(role="user", parts=(Text(text="a"),)),
        Message(role="system", parts=(Text(text="b"),)),
        Message(role="assistant"),
        Message(role="user", parts=(Text(text="c"),)),
    ),
    "claude-opus-5-5",
)
@settings(deadline=None, max_examples=120)
def test_any_conversation_becomes_one_that_anthropic_takes(messages: tuple[Message, ...], model: str) -> None:
    seen: set[str] = set()
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                if part.id in seen or message.role != "assistant":
                    return  # the kernel's to mend: ids are unique, and assistants alone call
                seen.add(part.id)
            if isinstance(part, ToolResult) and message.role in ("assistant", "system", "developer"):
                return
    body = json.loads(MESSAGES.encode_request(Request(model=model, messages=messages), "generate", []))
    follows_the_rules(body)


# ----------------------------------------------------------------------------------------------------- answers

CITED = st.builds(Text, text=WORDS, citations=several(st.builds(Citation, url=URL, title=WORDS, quote=WORDS), most=2))
SEALS = st.builds(Signature, value=NAME, family=FAMILY)
SAID_THOUGHTS = (
    st.builds(Thinking, text=WORDS, signature=maybe(SEALS)) | st.builds(Thinking, signature=SEALS) | st.builds(Thinking, redacted=SEALS)
)
CALLS = st.builds(
    ToolCall, id=NAME, name=NAME, arguments=ARGUMENTS, signature=maybe(st.builds(Signature, value=NAME, family=st.just("gemini")))
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    parts = draw(several(SAID_THOUGHTS | CITED | CALLS, most=5))
    calls = any(isinstance(part, ToolCall) for part in parts)
    read, write = draw(COUNT), draw(COUNT)
    usage = Usage(input=read + write + draw(COUNT), output=draw(COUNT), thinking=draw(COUNT), cache_read=read, cache_write=write)
    reasons: list[Any] = ["length", "refusal", "pause", "context_length", "tool_calls" if calls else "stop"]
    return Response(
        id=draw(NAME),
        model=draw(NAME),
        choices=(Choice(message=Message(role="assistant", parts=parts), finish=draw(st.sampled_from(reasons))),),
        usage=usage,
        service_tier=draw(maybe(st.sampled_from(["standard", "priority"]))),
    )


@given(responses())
@settings(deadline=None, max_examples=60)
def test_an_answer_that_can_be_said_is_understood_again_and_accepted_by_anthropics_client(response: Response) -> None:
    losses: list[Any] = []
    raw = MESSAGES.encode_response(response, losses)
    assert plain(MESSAGES.decode_response(raw)) == plain(response)
    assert losses == []
    valid(json.loads(raw))
    seen = MESSAGES.glance(raw).usage
    assert seen is not None
    assert plain(seen) == plain(response)["usage"]


@given(responses(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_an_answer_that_is_played_as_a_stream_assembles_to_itself(response: Response, together: bool) -> None:
    losses: list[Any] = []
    events = encoded(list(play(response)), together=together, losses=losses)
    assert losses == []
    client = strictly(events)
    assert client.text == response.text
    after = plain(assembled(events))
    before = plain(response)
    if not together:
        # The tier stands in the counts at the beginning, which play knows at the end alone.
        before.pop("service_tier", None)
        after.pop("service_tier", None)
    assert after == before
    follower = MESSAGES.follow()
    for one in events[:-1]:
        follower.feed(one)
    assert follower.complete


@given(responses(), st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_a_stream_says_the_same_however_its_bytes_are_cut(response: Response, sizes: list[int]) -> None:
    raw = b"".join(one.raw for one in encoded(list(play(response)), together=True))
    splitter, events, at, turn = MESSAGES.framing.splitter(), [], 0, 0
    while at < len(raw):
        whole = splitter.feed(raw[at : at + sizes[turn % len(sizes)]])
        events += events_of(whole) if whole else []
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    assert splitter.rest() == b""
    assert [one.raw for one in events] == [one.raw for one in events_of(raw)]
    assert plain(assembled(events)) == plain(response)


# --------------------------------------------------------------------------------------------- any deltas, any changes


@st.composite
def mixed_deltas(draw: st.DrawFn) -> list[Delta]:
    """Deltas as a careless upstream's decoder might make them: parts overlap, ends are early, increments are late."""
    parts = draw(st.lists(st.sampled_from(["text", "thinking", "call"]), min_size=1, max_size=4))
    kinds: dict[str, tuple[Any, Any]] = {"text": (Text(text=""), TextDelta), "thinking": (Thinking(), ThinkingDelta), "call": (None, None)}
    pending: list[list[Delta]] = []
    for index, kind in enumerate(parts):
        begun, increment = kinds[kind]
        if kind == "call":
            said = draw(ARGUMENTS)
            at = draw(st.integers(0, len(said)))
            call = ToolCall(id=f"c{index}", name="f")
            steps: list[Delta] = [PartStart(index=index, part=call), ArgumentsDelta(index=index, text=said[:at])]
            steps += [ArgumentsDelta(index=index, text=said[at:]), PartEnd(index=index)]
        else:
            steps = [PartStart(index=index, part=begun), *(increment(index=index, text=text) for text in draw(st.lists(WORDS, max_size=2)))]
            if kind == "thinking" and draw(st.booleans()):
                steps.append(SignatureDelta(index=index, signature=Signature(value="s", family="openai")))
            steps.append(PartEnd(index=index))
        pending.append(steps)
    order: list[Delta] = []
    starts = 0
    while any(pending):
        ready = [at for at, steps in enumerate(pending) if steps and (at < starts or at == starts)]
        at = draw(st.sampled_from(ready))
        starts = max(starts, at + 1)
        order.append(pending[at].pop(0))
    return [Begin(id="x", model="m"), *order, Finish(reason="stop"), UsageDelta(usage=Usage(output=1)), Done()]


@given(mixed_deltas(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_deltas_that_overlap_become_blocks_in_order(deltas: list[Delta], together: bool) -> None:
    client = strictly(encoded(deltas, together=together))
    said = dict.fromkeys(range(9), "")
    for delta in deltas:
        if isinstance(delta, TextDelta):
            said[delta.index] += delta.text
    assert client.text == "".join(said.values())
    calls = [delta for delta in deltas if isinstance(delta, ArgumentsDelta)]
    whole: dict[int, str] = {}
    for delta in calls:
        whole[delta.index] = whole.get(delta.index, "") + delta.text
    assert [one["input"] for one in client.content if one["type"] == "tool_use"] == [json.loads(text) for _, text in sorted(whole.items())]


@given(responses(), st.data())
@settings(deadline=None, max_examples=60)
def test_whatever_a_handler_does_to_a_stream_it_stays_one(response: Response, data: st.DataObject) -> None:
    follower, leaving = MESSAGES.follow(), list[Event]()
    for one in encoded(list(play(response)), together=True):
        match data.draw(st.sampled_from(["keep", "keep", "keep", "drop", "change", "add", "block"])):
            case "drop" if "input_json" not in str(one.json) and "signature" not in str(one.json):
                leaving += follower.drop(one)
            case "change" if one.text:
                leaving += follower.admit(one.with_text("changed"), False)
            case "add":
                added = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "added"})
                leaving += [*follower.admit(one, False), *follower.admit(added, True)]
            case "block":
                for kind, member in (("start", {"content_block": {"type": "text", "text": ""}}), ("stop", {})):
                    leaving += follower.admit(event(f"content_block_{kind}", index=0, **member), True)
                leaving += follower.admit(one, False)
            case _:
                leaving += follower.admit(one, False)
        if data.draw(st.integers(0, 15)) == 0:
            break
    leaving += follower.finish("length", None)
    strictly(without_halves(leaving))


def without_halves(events: list[Event]) -> list[Event]:
    """Leave out what a client forgives: arguments that were cut off, and empty blocks that a handler itself made."""
    found, number, at = [], 0, 0
    while at < len(events):
        one = events[at]
        if (
            one.name == "content_block_start"
            and one.json["content_block"]["type"] == "text"
            and events[at + 1].name == "content_block_stop"
        ):
            at += 2
            continue
        if one.name.startswith("content_block"):
            if one.name == "content_block_start":
                number += 1
            if one.json.get("delta", {}).get("type") != "input_json_delta":
                found.append(one.with_changes({("index",): number - 1}))
        else:
            found.append(one)
        at += 1
    return found


# --------------------------------------------------------------------------------------------- any input at all

KEYS = [
    "budget_tokens", "cache_control", "citation", "citations", "content", "content_block", "data", "delta", "display", "effort", "error",
    "format", "id", "index", "input", "input_schema", "is_error", "max_tokens", "message", "messages", "metadata", "model", "name",
    "output_config", "partial_json", "role", "schema", "signature", "source", "stop_reason", "stop_sequence", "stop_sequences", "system",
    "text", "thinking", "tool_choice", "tool_use_id", "tools", "ttl", "type", "usage", "user_id",
]  # fmt: skip
VALUES = [
    "assistant", "auto", "base64", "content_block_delta", "content_block_start", "content_block_stop", "compaction", "document", "enabled",
    "end_turn", "error", "image", "input_json_delta", "message", "message_delta", "message_start", "message_stop", "ping",
    "redacted_thinking", "server_tool_use", "signature_delta", "system", "text", "text_delta", "thinking", "thinking_delta", "tool",
    "tool_result", "tool_use", "url", "user", "web_search_tool_result", "jf1.openai.x", "jf1.gemini/next.x", "jf1.unsigned.", "",
]  # fmt: skip
NUMBERS = st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
LEAF = st.none() | st.booleans() | NUMBERS | st.sampled_from(VALUES) | st.text(max_size=3)
TREE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4), max_leaves=14
)
BLOCK = st.builds(
    lambda rest, kind: {**rest, "type": kind}, st.dictionaries(st.sampled_from(KEYS), TREE, max_size=4), st.sampled_from(VALUES)
)


SPEAKERS = st.sampled_from(["user", "assistant", "system"])
SPOKEN = st.fixed_dictionaries({"role": SPEAKERS, "content": st.lists(BLOCK, max_size=3) | TREE})
BODY = st.fixed_dictionaries({"messages": st.lists(SPOKEN, max_size=3)}, optional={key: TREE for key in KEYS if key != "messages"})


@given(BODY | TREE)
@settings(deadline=None, max_examples=120)
def test_any_body_is_read_or_refused(body: Any) -> None:
    with suppress(BadRequest):
        request = MESSAGES.decode_request(json.dumps(body).encode(), "generate")
        written = json.loads(MESSAGES.encode_request(request, "generate", []))
        assert isinstance(written["messages"], list)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(BadRequest):
        MESSAGES.decode_request(raw, "generate")
    for read in (MESSAGES.decode_response, MESSAGES.decode_models, MESSAGES.decode_count, MESSAGES.glance):
        with suppress(ValueError):
            read(raw)
    MESSAGES.encode_error(MESSAGES.decode_error(500, Headers(), raw))
    for one in events_of(raw):
        assert list(one.deltas) is not None
        assert MESSAGES.terminal(one) in (True, False)
        assert MESSAGES.lifecycle(one) in (True, False)


BESIDE = ("id", "model", "usage", "stop_reason", "stop_sequence")


@given(st.fixed_dictionaries({"content": st.lists(BLOCK, max_size=4)}, optional=dict.fromkeys(BESIDE, TREE)))
@settings(deadline=None, max_examples=60)
def test_any_answer_is_read_and_written(body: Any) -> None:
    response = MESSAGES.decode_response(json.dumps(body).encode())
    MESSAGES.encode_response(response, [])
    assembled(encoded(list(play(response))))


MEMBERS: dict[Any, Any] = {
    "index": st.integers(0, 2),
    "delta": BLOCK,
    "content_block": BLOCK,
    "message": TREE,
    "usage": TREE,
    "error": TREE,
}


@given(st.lists(st.fixed_dictionaries({"type": st.sampled_from(VALUES)}, optional=MEMBERS), max_size=8))
@settings(deadline=None, max_examples=120)
def test_any_events_are_read_followed_and_ended(said: list[Any]) -> None:
    events = [MESSAGES.event(json.dumps(one).encode(), one["type"]) for one in said]
    deltas = decoded(events)
    starts = [delta.index for delta in deltas if isinstance(delta, PartStart)]
    assert starts == list(range(len(starts)))
    encoded(deltas)
    follower = MESSAGES.follow()
    for one in events:
        follower.admit(one, False)
        assert list(one.deltas) is not None
        assert one.usage is None or one.usage.input >= 0
    ends = follower.finish("stop", None)
    assert not ends or MESSAGES.terminal(ends[-1])


@pytest.mark.parametrize("operation", ["embed", "compact", "models"])
def test_other_operations_have_no_canonical_form(operation: Any) -> None:
    assert MESSAGES.decode_request(b"anything", operation) == Request()
    assert msgspec.json.encode(Request())
