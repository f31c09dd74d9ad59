"""How much of an answer a request gets, what it costs, and that a stream says the same as a whole answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackfield.api import CallError, Request
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Delta,
    Document,
    Done,
    Finish,
    Image,
    LogprobsDelta,
    Message,
    Output,
    PartEnd,
    PartStart,
    Sampling,
    Source,
    Text,
    TextDelta,
    ThinkingDelta,
    Tool,
    UsageDelta,
    assemble,
)
from jackfield_simulator.delivery import whole
from jackfield_simulator.scenarios import SCENARIOS
from jackfield_simulator.tokens import MEDIUM, count, pieces

ANSWERING = sorted({name for s in SCENARIOS if s.deliver is whole and s.operation == "generate" for name in s.names} | {"text-steps"})
TOOL = Tool(name="look_up", description="Looks a word up.", parameters={"type": "object", "properties": {"word": {"type": "string"}}})


def asking(text: str, **sampling: Any) -> Request:
    return Request(messages=(Message(role="user", parts=(Text(text=text),)),), tools=(TOOL, TOOL), sampling=Sampling(**sampling))


def check_order(deltas: list[Delta]) -> None:
    """Fail unless the deltas stand in the order that the canonical model promises."""
    assert isinstance(deltas[0], Begin)
    assert isinstance(deltas[-1], Done)
    assert isinstance(deltas[-2], UsageDelta)
    open_part: tuple[int, int] | None = None
    next_index: dict[int, int] = {}
    finished: list[int] = []
    for delta in deltas[1:-2]:
        match delta:
            case PartStart(choice=choice, index=index):
                assert open_part is None
                assert index == next_index.get(choice, 0)
                open_part, next_index[choice] = (choice, index), index + 1
            case TextDelta() | ThinkingDelta() | ArgumentsDelta():
                assert (delta.choice, delta.index) == open_part
                assert delta.text
            case PartEnd(choice=choice, index=index):
                assert (choice, index) == open_part
                open_part = None
            case Finish(choice=choice):
                assert open_part is None
                finished.append(choice)
    assert finished == list(range(len(finished)))


LIMITS = {
    "plain": {}, "short": {"max_tokens": 3}, "none": {"max_tokens": 0}, "stopped": {"stop": ("e", "big")}, "several": {"n": 3},
    "likely": {"logprobs": True, "top_logprobs": 2, "n": 2}, "all": {"n": 2, "logprobs": True, "stop": ("world",), "max_tokens": 4},
}  # fmt: skip


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("name", ANSWERING)
async def test_a_stream_says_the_same_as_the_whole_answer(sim: Any, name: str, limits: dict[str, Any]) -> None:
    request = asking("Hello, big world", **limits)
    deltas = await sim.stream(f"sim/{name}", request)
    check_order(deltas)
    assert assemble(deltas) == await sim.whole(f"sim/{name}", request)


@given(
    text=st.text(),
    most=st.none() | st.integers(0, 12),
    stops=st.lists(st.text(max_size=2), max_size=2),
    n=st.integers(1, 3),
    likely=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_whatever_is_asked_stream_and_whole_agree_and_limits_hold(
    sim: Any, text: str, most: int | None, stops: list[str], n: int, likely: bool
) -> None:
    request = asking(text, max_tokens=most, stop=tuple(stops), n=n, logprobs=likely)
    response = await sim.whole("sim/reasoning", request)
    assert assemble(await sim.stream("sim/reasoning", request)) == response
    assert len(response.choices) == n
    assert most is None or response.usage.output <= most * n
    assert not any(stop and stop in choice.message.text for stop in stops for choice in response.choices)


@given(st.text())
def test_a_text_is_cut_into_as_many_pieces_as_are_counted_and_nothing_is_lost(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert len(pieces(text)) == count(text)


async def test_equal_requests_get_equal_answers(sim: Any) -> None:
    request = asking("Hello", logprobs=True, n=2)
    assert await sim.whole("sim/tools", request) == await sim.whole("sim/tools", request)


async def test_echo_streams_word_by_word(sim: Any) -> None:
    deltas = await sim.stream("sim/echo", "Hello,  big\nworld ")
    assert [d.text for d in deltas if isinstance(d, TextDelta)] == ["Hello,", "  big", "\nworld "]


async def test_arguments_of_a_tool_call_stream_in_pieces(sim: Any) -> None:
    deltas = await sim.stream("sim/tools", asking("x"))
    assert [d.text for d in deltas if isinstance(d, ArgumentsDelta)] == ['{"word":', ' "word"}']


async def test_max_tokens_cuts_the_answer_and_says_length(sim: Any) -> None:
    response = await sim.whole("sim/echo", asking("one two three four", max_tokens=2))
    assert response.text == "one two"
    assert response.finish == "length"
    assert response.usage.output == 2


async def test_an_answer_of_just_max_tokens_is_complete(sim: Any) -> None:
    assert (await sim.whole("sim/echo", asking("one two", max_tokens=2))).finish == "stop"


async def test_max_tokens_counts_thoughts_too(sim: Any) -> None:
    response = await sim.whole("sim/reasoning", asking("hello", max_tokens=5))
    assert response.usage.thinking == 5
    assert response.text == ""
    assert response.finish == "length"
    assert response.choices[0].message.parts[0].signature is None


async def test_max_tokens_cuts_the_arguments_of_a_tool_call(sim: Any) -> None:
    response = await sim.whole("sim/tools", asking("x", max_tokens=1))
    assert response.tool_calls[0].arguments == '{"word":'
    assert response.finish == "length"


async def test_a_stop_sequence_ends_the_answer_before_it_and_is_named(sim: Any) -> None:
    response = await sim.whole("sim/echo", asking("one two three", stop=("three", "two")))
    assert response.text == "one "
    assert (response.finish, response.choices[0].stop_sequence) == ("stop_sequence", "two")


async def test_a_stop_sequence_that_max_tokens_does_not_reach_is_not_named(sim: Any) -> None:
    response = await sim.whole("sim/echo", asking("one two three four", stop=("four",), max_tokens=1))
    assert (response.finish, response.choices[0].stop_sequence) == ("length", None)


async def test_several_answers_are_told_apart_and_all_counted(sim: Any) -> None:
    response = await sim.whole("sim/echo", asking("hello", n=3))
    assert [choice.message.text for choice in response.choices] == ["hello", "hello [2]", "hello [3]"]
    assert [choice.index for choice in response.choices] == [0, 1, 2]
    assert response.usage.output == 5


async def test_several_answers_in_json_are_each_json(sim: Any) -> None:
    request = Request(messages=asking("x").messages, output=Output(format="json"), sampling=Sampling(n=2))
    assert [c.message.text for c in (await sim.whole("sim/json", request)).choices] == ['{"echo": "x"}'] * 2


async def test_the_calls_of_several_answers_have_ids_of_their_own(sim: Any) -> None:
    response = await sim.whole("sim/parallel-tools", asking("x", n=2))
    ids = [part.id for choice in response.choices for part in choice.message.parts[1:]]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("n", [17, 10**9, -1])
async def test_too_many_answers_are_refused(sim: Any, n: int) -> None:
    with pytest.raises(CallError) as fault:
        await sim.whole("sim/echo", asking("x", n=n))
    assert (fault.value.failure.status, fault.value.failure.param) == (400, "n")


async def test_logprobs_stand_for_each_token_with_the_likeliest_first(sim: Any) -> None:
    response = await sim.whole("sim/echo", asking("one two", logprobs=True, top_logprobs=3))
    tokens = response.choices[0].logprobs.content
    assert [token.token for token in tokens] == ["one", " two"]
    assert bytes(tokens[1].bytes) == b" two"
    for token in tokens:
        chances = [chance.logprob for chance in token.top]
        assert token.top[0].token == token.token
        assert len(chances) == 3
        assert chances == sorted(chances, reverse=True)
        assert chances[0] <= 0


async def test_logprobs_stream_beside_their_tokens(sim: Any) -> None:
    deltas = [d for d in await sim.stream("sim/echo", asking("one two", logprobs=True)) if isinstance(d, TextDelta | LogprobsDelta)]
    assert [type(d) for d in deltas] == [TextDelta, LogprobsDelta] * 2
    assert [d.logprobs.content[0].token for d in deltas[1::2]] == [d.text for d in deltas[::2]]


async def test_without_being_asked_there_are_no_logprobs(sim: Any) -> None:
    assert (await sim.whole("sim/echo")).choices[0].logprobs is None


async def test_usage_counts_words_media_and_tools(sim: Any) -> None:
    parts = (Text(text="two words"), Image(source=Source(url="u")), Document(text="a b c"))
    request = Request(messages=(Message(role="user", parts=parts),), tools=(TOOL,))
    usage = (await sim.whole("sim/echo", request)).usage
    assert usage.input == 2 + MEDIUM + 3 + 1 + 4
    assert (usage.output, usage.cache_read) == (2, 0)


async def test_what_was_sent_with_an_earlier_turn_counts_as_cached(sim: Any) -> None:
    def turn(role: Any, text: str) -> Message:
        return Message(role=role, parts=(Text(text=text),))

    request = Request(messages=(turn("system", "be brief now"), turn("user", "one two"), turn("assistant", "one"), turn("user", "three")))
    usage = (await sim.whole("sim/echo", request)).usage
    assert (usage.input, usage.cache_read) == (7, 5)


async def test_a_stream_begins_with_what_the_request_cost(sim: Any) -> None:
    begin = (await sim.stream("sim/echo", "one two three"))[0]
    assert (begin.usage.input, begin.usage.output) == (3, 0)
    assert begin.model == "sim/echo"
