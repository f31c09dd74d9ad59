"""What the models say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jackfield.api import CallError, Request
from jackfield.api.canonical import (
    Audio,
    Document,
    Image,
    Message,
    Output,
    Refusal,
    Source,
    Text,
    Thinking,
    ThinkingConfig,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)

WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
        "required": ["city"],
    },
)
CLOCK = Tool(name="get_time", parameters={"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}})


def said(role: Any, *parts: Any) -> Message:
    return Message(role=role, parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def asking(*tools: Tool, choice: ToolChoice | None = None, **fields: Any) -> Request:
    return Request(messages=(said("user", "What is the weather?"),), tools=tools, tool_choice=choice, **fields)


async def test_echo_repeats_what_the_user_said_last(sim: Any) -> None:
    request = Request(messages=(said("user", "first"), said("assistant", "yes"), said("user", "second"), said("developer", "be brief")))
    response = await sim.whole("sim/echo", request)
    assert response.text == "second"
    assert response.finish == "stop"


async def test_echo_says_so_when_there_are_no_words(sim: Any) -> None:
    image = Image(source=Source(url="https://example.com/a.png"))
    response = await sim.whole("sim/echo", Request(messages=(said("user", image),)))
    assert response.text == "There are no words to repeat."


async def test_long_says_as_many_tokens_as_asked_for(sim: Any) -> None:
    response = await sim.whole("sim/long-250")
    assert len(response.text.split()) == 250
    assert response.usage.output == 250


async def test_text_says_the_system_message(sim: Any) -> None:
    request = Request(messages=(said("system", "Say exactly this."), said("user", "go")))
    assert (await sim.whole("sim/text", request)).text == "Say exactly this."


async def test_text_says_the_configured_default_without_a_system_message(sim: Any) -> None:
    assert (await sim.whole("sim/text")).text == "The default text."


async def test_a_script_of_several_texts_goes_on_with_the_conversation(sim: Any) -> None:
    turns = [said("user", "a")]
    heard = []
    for _ in range(3):
        heard.append((await sim.whole("sim/text-steps", Request(messages=tuple(turns)))).text)
        turns += [said("assistant", heard[-1]), said("user", "next")]
    assert heard == ["one", "two", "two"]


async def test_a_text_that_is_not_configured_is_not_found_and_the_nearest_is_named(sim: Any) -> None:
    with pytest.raises(CallError) as fault:
        await sim.whole("sim/text-step")
    assert fault.value.failure.status == 404
    assert "'sim/text-steps'" in fault.value.failure.message


async def test_reasoning_gives_signed_thoughts_before_the_text_and_counts_them(sim: Any) -> None:
    response = await sim.whole("sim/reasoning", "one two three")
    thought, text = response.choices[0].message.parts
    assert isinstance(thought, Thinking)
    assert "3 words" in thought.text
    assert thought.signature is not None
    assert thought.signature.family == "sim"
    assert text.text == "one two three"
    assert response.usage.thinking == len(thought.text.split())
    assert response.usage.output == response.usage.thinking + 3


@pytest.mark.parametrize("off", [ThinkingConfig(mode="off"), ThinkingConfig(effort="none")])
async def test_reasoning_does_not_think_when_thinking_is_off(sim: Any, off: ThinkingConfig) -> None:
    response = await sim.whole("sim/reasoning", Request(messages=(said("user", "hi"),), thinking=off))
    assert response.thinking == ""
    assert response.usage.thinking == 0


async def test_reasoning_keeps_to_its_budget(sim: Any) -> None:
    response = await sim.whole("sim/reasoning", Request(messages=(said("user", "hi"),), thinking=ThinkingConfig(mode="on", budget=4)))
    assert response.usage.thinking == 4


async def test_tools_calls_the_first_tool_with_arguments_that_fit(sim: Any) -> None:
    response = await sim.whole("sim/tools", asking(WEATHER, CLOCK))
    (call,) = response.tool_calls
    assert call.name == "get_weather"
    assert msgspec.json.decode(call.arguments) == {"city": "city", "days": 3}
    assert response.finish == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        (ToolChoice(mode="named", names=("get_time",)), ["get_time"]),
        (ToolChoice(mode="allowed", names=("get_time",)), ["get_time"]),
        (ToolChoice(mode="required"), ["get_weather"]),
        (ToolChoice(mode="none"), []),
    ],
)
async def test_tools_obeys_the_choice(sim: Any, choice: ToolChoice, called: list[str]) -> None:
    response = await sim.whole("sim/tools", asking(WEATHER, CLOCK, choice=choice))
    assert [call.name for call in response.tool_calls] == called
    assert bool(response.text) is not bool(called)


async def test_tools_gives_a_custom_tool_free_text_and_leaves_hosted_ones_alone(sim: Any) -> None:
    hosted, custom = Tool(name="web_search", kind="hosted"), Tool(name="run", kind="custom")
    (call,) = (await sim.whole("sim/tools", asking(hosted, custom))).tool_calls
    assert (call.name, call.kind, call.arguments) == ("run", "custom", "What is the weather?")


async def test_a_tool_without_a_schema_is_called_with_an_empty_object(sim: Any) -> None:
    (call,) = (await sim.whole("sim/tools", asking(Tool(name="ping")))).tool_calls
    assert call.arguments == "{}"


async def test_tools_says_what_the_result_was(sim: Any) -> None:
    call = (await sim.whole("sim/tools", asking(WEATHER))).tool_calls[0]
    result = ToolResult(call_id=call.id, parts=(Text(text="sunny"),))
    history = (said("user", "What is the weather?"), said("assistant", call), said("tool", result))
    response = await sim.whole("sim/tools", Request(messages=history, tools=(WEATHER,)))
    assert response.text == "get_weather said: sunny"
    assert response.tool_calls == ()
    assert response.finish == "stop"


async def test_tools_tells_a_failed_result_from_a_good_one(sim: Any) -> None:
    result = ToolResult(call_id="c", name="get_time", is_error=True, parts=(Text(text="no such zone"),))
    response = await sim.whole("sim/tools", Request(messages=(said("user", "?"), said("tool", result)), tools=(CLOCK,)))
    assert response.text == "get_time failed: no such zone"


async def test_tools_calls_again_when_the_user_speaks_after_a_result(sim: Any) -> None:
    first = (await sim.whole("sim/tools", asking(WEATHER))).tool_calls[0]
    history = (
        said("user", "What is the weather?"), said("assistant", first), said("tool", ToolResult(call_id=first.id)),
        said("assistant", "sunny"), said("user", "What is the weather?"),
    )  # fmt: skip
    (second,) = (await sim.whole("sim/tools", Request(messages=history, tools=(WEATHER,)))).tool_calls
    assert second.id != first.id


async def test_parallel_tools_calls_each_tool_with_an_id_of_its_own(sim: Any) -> None:
    response = await sim.whole("sim/parallel-tools", asking(WEATHER, CLOCK))
    assert [call.name for call in response.tool_calls] == ["get_weather", "get_time"]
    assert len({call.id for call in response.tool_calls}) == 2
    assert response.text == "I shall use get_weather and get_time."


async def test_parallel_tools_calls_a_single_tool_twice(sim: Any) -> None:
    response = await sim.whole("sim/parallel-tools", asking(WEATHER))
    assert [call.name for call in response.tool_calls] == ["get_weather", "get_weather"]
    assert len({call.id for call in response.tool_calls}) == 2


async def test_parallel_tools_makes_one_call_where_parallel_calls_are_off(sim: Any) -> None:
    response = await sim.whole("sim/parallel-tools", asking(WEATHER, CLOCK, parallel_tools=False))
    assert [call.name for call in response.tool_calls] == ["get_weather"]


async def test_parallel_tools_says_all_results_in_their_order(sim: Any) -> None:
    calls = (await sim.whole("sim/parallel-tools", asking(WEATHER, CLOCK))).tool_calls
    results = [said("tool", ToolResult(call_id=call.id, parts=(Text(text=f"result {n}"),))) for n, call in enumerate(calls)]
    request = Request(messages=(said("user", "?"), said("assistant", *calls), *results), tools=(WEATHER, CLOCK))
    assert (await sim.whole("sim/parallel-tools", request)).text == "get_weather said: result 0\nget_time said: result 1"


async def test_json_fits_the_requested_schema(sim: Any) -> None:
    output = Output(format="json_schema", schema={"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
    response = await sim.whole("sim/json", Request(messages=(said("user", "hi"),), output=output))
    assert msgspec.json.decode(response.text) == {"ok": True}


async def test_json_without_a_schema_is_an_object(sim: Any) -> None:
    assert msgspec.json.decode((await sim.whole("sim/json", 'a "quoted" text')).text) == {"echo": 'a "quoted" text'}


async def test_describe_says_what_came(sim: Any) -> None:
    parts = (
        Image(source=Source(data="aGVsbG8=", media_type="image/png")),
        Image(source=Source(url="https://example.com/a.jpg")),
        Document(source=Source(file_id="f-1", media_type="application/pdf")),
        Document(text="three little words"),
        Audio(source=Source(data="aGk="), format="wav"),
        Video(source=Source(url="https://example.com/a.mp4", media_type="video/mp4")),
    )
    inside = ToolResult(call_id="c", parts=(Image(source=Source(data="aGVs", media_type="image/gif")),))
    response = await sim.whole("sim/describe", Request(messages=(said("user", *parts), said("tool", inside))))
    assert response.text.splitlines() == [
        "3 images: image/png, 5 bytes, unknown type, by URL, image/gif, 3 bytes",
        "2 documents: application/pdf, by file id, text, 3 words",
        "1 audio: wav, 2 bytes",
        "1 video: video/mp4, by URL",
    ]


async def test_describe_says_so_when_nothing_came(sim: Any) -> None:
    assert (await sim.whole("sim/describe")).text == "No image, document, audio or video came."


async def test_refusal_declines(sim: Any) -> None:
    response = await sim.whole("sim/refusal")
    assert isinstance(response.choices[0].message.parts[0], Refusal)
    assert response.finish == "refusal"


@pytest.mark.parametrize(("model", "finish"), [("sim/content-filter", "content_filter"), ("sim/length", "length")])
async def test_an_answer_that_is_stopped_says_half_and_why(sim: Any, model: str, finish: str) -> None:
    whole, half = (await sim.whole("sim/lorem")).text, await sim.whole(model)
    assert half.finish == finish
    assert whole.startswith(half.text)
    assert 0 < len(half.text) < len(whole)


async def test_blank_ends_well_without_a_word(sim: Any) -> None:
    response = await sim.whole("sim/blank")
    assert response.choices[0].message.parts == ()
    assert response.finish == "stop"


async def test_an_id_of_a_tool_call_is_one_that_every_protocol_takes(sim: Any) -> None:
    call: ToolCall = (await sim.whole("sim/tools", asking(WEATHER))).tool_calls[0]
    assert call.id.replace("_", "").isalnum()
    assert len(call.id) <= 40
