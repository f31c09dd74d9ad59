"""What stands on the wire after a translation, place by place. The numbers are those of the table of behaviours."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from jackfield.api import Loss, Request
from jackfield.cli.translate import translated_request, translated_response, translated_stream
from tests.translation.asked import ASKED
from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES, SHORT, spoken
from tests.translation.matrix import STREAMING
from tests.translation.players import PLAYERS, sse
from tests.translation.said import ANSWER, SEALED, SIGNED, THOUGHT, reasoning, text_a
from tests.translation.wires import (
    PDF,
    PIXEL,
    QUESTION,
    SCHEMA,
    call_a,
    call_c,
    call_g,
    call_r,
    candidate,
    chat,
    completion,
    generate,
    message,
    messages,
    response,
    responses,
    result_a,
    result_c,
    result_r,
    said_r,
    tool_a,
    tool_c,
    tool_g,
    tool_r,
    user_a,
    user_c,
    user_r,
)

ABSENT: Final = "(absent)"
NAMED: Final = {feature.title: feature for feature in ASKED}


def at(value: Any, path: str) -> Any:
    """Return what stands at a path such as `messages.0.content`; `#` is the length of a list, `*` all of its items."""
    for at_, key in enumerate(steps := path.split(".") if path else []):
        if key == "*":
            return [at(item, ".".join(steps[at_ + 1 :])) for item in value]
        if key == "#":
            return len(value)
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return value


def native(title: str, dialect: str) -> Any:
    """Return a request of the matrix."""
    return NAMED[title].wires[dialect]


def budget(tokens: int) -> Any:
    return messages(max_tokens=40000, thinking={"type": "enabled", "budget_tokens": tokens})


def said_c(text: str, **more: Any) -> Any:
    return {"role": "assistant", "content": text, **more}


def said_a(*blocks: Any) -> Any:
    return {"role": "assistant", "content": list(blocks)}


def said_g(*parts: Any) -> Any:
    return {"role": "model", "parts": list(parts)}


THINKS: Final = {"type": "thinking", "thinking": "Let me look.", "signature": SIGNED}
SYSTEM_C: Final = [{"role": "system", "content": "A."}, {"role": "developer", "content": "B."}]
PATCH: Final = {"type": "custom", "name": "patch", "description": "Patches."}
PICTURES: Final = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
]

REQUESTS: Final[list[tuple[str, str, str, Any, str, Any]]] = [
    # ---- thinking
    ("5 budget", MESSAGES, CHAT, budget(2000), "reasoning_effort", "medium"),
    ("5 budget", MESSAGES, RESPONSES, budget(2000), "reasoning.effort", "medium"),
    ("5 disabled", MESSAGES, CHAT, messages(thinking={"type": "disabled"}), "reasoning_effort", "none"),
    ("6 adaptive with effort", MESSAGES, CHAT, native("Thinking: a level", MESSAGES), "reasoning_effort", "high"),
    ("6 adaptive with effort", MESSAGES, RESPONSES, native("Thinking: a level", MESSAGES), "reasoning.effort", "high"),
    ("6 adaptive without effort", MESSAGES, CHAT, messages(thinking={"type": "adaptive"}), "reasoning_effort", ABSENT),
    ("7 off", CHAT, MESSAGES, chat(reasoning_effort="none"), "thinking.type", "disabled"),
    ("7 effort", CHAT, MESSAGES, chat(reasoning_effort="high"), "output_config.effort", "high"),
    ("8 effort", CHAT, GENERATE, chat(reasoning_effort="low"), "generationConfig.thinkingConfig.thinkingLevel", "LOW"),
    (
        "9 snake case",
        GENERATE,
        CHAT,
        generate(generationConfig={"thinking_config": {"thinking_level": "high", "thinking_budget": 100}}),
        "reasoning_effort",
        "high",
    ),
    ("9 budget", GENERATE, CHAT, native("Thinking: a budget", GENERATE), "reasoning_effort", "medium"),
    ("9 budget", GENERATE, MESSAGES, native("Thinking: a budget", GENERATE), "thinking.budget_tokens", 8192),
    ("10 nothing said", CHAT, RESPONSES, chat(), "reasoning", ABSENT),
    ("10 nothing said", MESSAGES, RESPONSES, messages(), "reasoning.effort", ABSENT),
    (
        "19 unsigned thoughts of this kind",
        CHAT,
        CHAT,
        chat(user_c(), said_c("A.", reasoning_content="Hm."), user_c()),
        "messages.1.reasoning_content",
        "Hm.",
    ),
    (
        "19 signed thoughts of others",
        MESSAGES,
        CHAT,
        messages(user_a(), said_a(THINKS, {"type": "text", "text": "A."}), user_a()),
        "messages.1.content",
        "A.",
    ),
    (
        "20 unreadable thoughts have no words",
        RESPONSES,
        CHAT,
        responses(user_r(), reasoning(encrypted_content=SEALED), said_r("A."), user_r()),
        "messages.1",
        {"role": "assistant", "content": "A."},
    ),
    (
        "24 foreign signature",
        GENERATE,
        MESSAGES,
        native("Thoughts with signatures, over several turns", GENERATE),
        "messages.1.content.*.type",
        ["tool_use"],
    ),
    (
        "25 signature on a call",
        CHAT,
        GENERATE,
        chat(
            user_c(),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**call_c(), "extra_content": {"google": {"thought_signature": SIGNED}}}],
            },
            result_c(),
            tools=[tool_c()],
        ),
        "contents.1.parts.0.thoughtSignature",
        SIGNED,
    ),
    (
        "28 signature of a Gemini model",
        MESSAGES,
        GENERATE,
        messages(
            user_a(),
            said_a({"type": "thinking", "thinking": "", "signature": f"jf1.gemini.{SIGNED}"}, call_a()),
            user_a([result_a()]),
            tools=[tool_a()],
        ),
        "contents.1.parts.*.functionCall.name",
        None,
    ),
    # ---- roles and system text
    ("33 system", CHAT, MESSAGES, chat(*SYSTEM_C, user_c()), "messages.#", 1),
    ("34 system", CHAT, GENERATE, chat(*SYSTEM_C, user_c()), "contents.#", 1),
    ("34 system", CHAT, GENERATE, chat(*SYSTEM_C, user_c()), "systemInstruction.parts.*.text", ["A.", "B."]),
    ("35 system", CHAT, RESPONSES, chat({"role": "developer", "content": "B."}, user_c()), "input.0.role", "developer"),
    ("37 instructions", RESPONSES, CHAT, responses(user_r(), instructions="A."), "messages.0", {"role": "system", "content": "A."}),
    ("37 developer", RESPONSES, CHAT, native("Developer text", RESPONSES), "messages.0.role", "developer"),
    (
        "38 instructions first",
        RESPONSES,
        MESSAGES,
        responses({"role": "developer", "content": "B."}, user_r(), instructions="A."),
        "messages.#",
        1,
    ),
    ("39 system", MESSAGES, CHAT, messages(system="A."), "messages.0", {"role": "system", "content": "A."}),
    ("39 system", MESSAGES, GENERATE, messages(system="A."), "systemInstruction.parts.*.text", ["A."]),
    ("40 in the middle", MESSAGES, CHAT, native("System text inside the conversation", MESSAGES), "messages.2.role", "system"),
    ("40 in the middle", MESSAGES, GENERATE, native("System text inside the conversation", MESSAGES), "contents.2.role", "user"),
    (
        "41 billing",
        MESSAGES,
        CHAT,
        messages(system=[{"type": "text", "text": "x-anthropic-billing-header: cc_version=2"}, {"type": "text", "text": "A."}]),
        "messages.0.content.*.text",
        ["A."],
    ),
    ("43 roles", GENERATE, CHAT, native("Several turns", GENERATE), "messages.*.role", ["user", "assistant", "user"]),
    ("43 roles", CHAT, GENERATE, native("Several turns", CHAT), "contents.*.role", ["user", "model", "user"]),
    ("43 no role", GENERATE, CHAT, {"contents": [{"parts": [{"text": QUESTION}]}]}, "messages.0.role", "user"),
    ("44 same speaker", CHAT, MESSAGES, chat(user_c("a"), user_c("b")), "messages.#", 1),
    (
        "44 words after a call stay there",
        RESPONSES,
        MESSAGES,
        responses(user_r(), call_r(), said_r("Wait."), result_r(), tools=[tool_r()]),
        "messages.1.content.*.type",
        ["tool_use", "text"],
    ),
    # ---- sampling and limits
    ("47 max tokens", CHAT, MESSAGES, chat(max_tokens=77), "max_tokens", 77),
    ("47 max tokens", CHAT, MESSAGES, chat(max_completion_tokens=77), "max_tokens", 77),
    ("47 max tokens", RESPONSES, MESSAGES, responses(max_output_tokens=77), "max_tokens", 77),
    ("47 max tokens", GENERATE, MESSAGES, generate(generationConfig={"maxOutputTokens": 77}), "max_tokens", 77),
    ("48 temperature", CHAT, MESSAGES, chat(temperature=0.5), "temperature", 0.5),
    ("48 temperature and top_p", MESSAGES, CHAT, messages(temperature=0.5, top_p=0.9), "top_p", 0.9),
    ("51 stop", CHAT, MESSAGES, chat(stop="END"), "stop_sequences", ["END"]),
    ("51 stop", CHAT, GENERATE, chat(stop=["END"]), "generationConfig.stopSequences", ["END"]),
    ("51 stop", MESSAGES, CHAT, messages(stop_sequences=["END"]), "stop", ["END"]),
    ("51 stop", MESSAGES, GENERATE, messages(stop_sequences=["END"]), "generationConfig.stopSequences", ["END"]),
    ("51 stop", GENERATE, MESSAGES, generate(generationConfig={"stopSequences": ["END"]}), "stop_sequences", ["END"]),
    ("52 n", CHAT, GENERATE, chat(n=2), "generationConfig.candidateCount", 2),
    ("53 modalities", CHAT, GENERATE, chat(modalities=["text", "image"]), "generationConfig.responseModalities", ["TEXT", "IMAGE"]),
    (
        "53 modalities",
        GENERATE,
        CHAT,
        generate(generationConfig={"responseModalities": ["TEXT", "IMAGE"]}),
        "modalities",
        ["text", "image"],
    ),
    ("55 safety settings", CHAT, GENERATE, chat(), "safetySettings", ABSENT),
    ("56 json", CHAT, GENERATE, native("Any JSON", CHAT), "generationConfig.responseMimeType", "application/json"),
    ("56 json schema", CHAT, GENERATE, native("Structured output", CHAT), "generationConfig.responseMimeType", "application/json"),
    ("57 json schema", CHAT, RESPONSES, native("Structured output", CHAT), "text.format.name", "place"),
    ("57 json schema", RESPONSES, CHAT, native("Structured output", RESPONSES), "response_format.json_schema.strict", True),
    ("57 no format", CHAT, RESPONSES, chat(), "text", ABSENT),
    ("57 verbosity", CHAT, RESPONSES, chat(verbosity="low"), "text.verbosity", "low"),
    ("58 user", CHAT, MESSAGES, chat(user="ann"), "metadata.user_id", "ann"),
    ("58 no user", CHAT, MESSAGES, chat(), "metadata", ABSENT),
    ("59 cache marker", CHAT, MESSAGES, native("Cache markers", CHAT), "messages.0.content.0.cache_control.type", "ephemeral"),
    ("59 cache marker", CHAT, MESSAGES, native("Cache markers", CHAT), "tools.0.cache_control.type", "ephemeral"),
    # ---- tools
    (
        "60 no parameters",
        CHAT,
        MESSAGES,
        chat(tools=[{"type": "function", "function": {"name": "f"}}]),
        "tools.0.input_schema.type",
        "object",
    ),
    ("70 schema", MESSAGES, CHAT, messages(tools=[tool_a()]), "tools.0.function.parameters", SCHEMA),
    ("72 names", GENERATE, CHAT, generate(tools=[tool_g("files.read")]), "tools.0.function.name", None),
    (
        "78 results twice",
        CHAT,
        MESSAGES,
        chat(
            user_c(),
            {"role": "assistant", "content": None, "tool_calls": [call_c()]},
            result_c(),
            result_c(content="rainy"),
            tools=[tool_c()],
        ),
        "messages.2.content.#",
        1,
    ),
    (
        "80 arguments that are no object",
        CHAT,
        MESSAGES,
        chat(user_c(), {"role": "assistant", "content": None, "tool_calls": [call_c(arguments="")]}, result_c(), tools=[tool_c()]),
        "messages.1.content.0.input",
        {},
    ),
    ("81 free text", RESPONSES, MESSAGES, responses(tools=[PATCH]), "tools.0.input_schema.required", ["input"]),
    ("81 free text", RESPONSES, GENERATE, responses(tools=[PATCH]), "tools.0.functionDeclarations.0.name", "patch"),
    ("82 namespace", RESPONSES, CHAT, native("Tools in namespaces", RESPONSES), "tools.0.function.name", "crm__weather"),
    ("82 namespace", RESPONSES, MESSAGES, native("Tools in namespaces", RESPONSES), "messages.1.content.0.name", "crm__weather"),
    ("83 tools as items", RESPONSES, MESSAGES, native("Tools delivered as items of the input", RESPONSES), "tools.0.name", "weather"),
    ("83 tools as items", RESPONSES, CHAT, native("Tools delivered as items of the input", RESPONSES), "messages.#", 1),
    ("84 hosted", RESPONSES, CHAT, responses(tools=[{"type": "file_search", "vector_store_ids": ["v"]}]), "tools", ABSENT),
    (
        "85 no tools left",
        RESPONSES,
        CHAT,
        responses(tools=[{"type": "file_search", "vector_store_ids": ["v"]}], tool_choice="auto", parallel_tool_calls=True),
        "tool_choice",
        ABSENT,
    ),
    ("86 required", CHAT, MESSAGES, native("Tool choice: some tool", CHAT), "tool_choice.type", "any"),
    ("86 by name", CHAT, MESSAGES, native("Tool choice: one tool by name", CHAT), "tool_choice", {"type": "tool", "name": "time"}),
    ("86 none", CHAT, MESSAGES, native("Tool choice: none", CHAT), "tool_choice.type", "none"),
    ("87 any", MESSAGES, CHAT, native("Tool choice: some tool", MESSAGES), "tool_choice", "required"),
    ("87 any", MESSAGES, RESPONSES, native("Tool choice: some tool", MESSAGES), "tool_choice", "required"),
    ("87 by name", MESSAGES, CHAT, native("Tool choice: one tool by name", MESSAGES), "tool_choice.function.name", "time"),
    ("87 absent", MESSAGES, RESPONSES, messages(tools=[tool_a()]), "tool_choice", ABSENT),
    ("88 any", GENERATE, CHAT, native("Tool choice: some tool", GENERATE), "tool_choice", "required"),
    ("88 by name", GENERATE, CHAT, native("Tool choice: one tool by name", GENERATE), "tool_choice.function.name", "time"),
    ("88 required", CHAT, GENERATE, native("Tool choice: some tool", CHAT), "toolConfig.functionCallingConfig.mode", "ANY"),
    (
        "88 by name",
        CHAT,
        GENERATE,
        native("Tool choice: one tool by name", CHAT),
        "toolConfig.functionCallingConfig.allowedFunctionNames",
        ["time"],
    ),
    ("89 one at a time", MESSAGES, RESPONSES, native("One tool at a time", MESSAGES), "parallel_tool_calls", False),
    ("89 one at a time", CHAT, MESSAGES, native("One tool at a time", CHAT), "tool_choice.disable_parallel_tool_use", True),
    (
        "91 parallel results",
        CHAT,
        MESSAGES,
        native("Parallel calls and their results", CHAT),
        "messages.2.content.*.tool_use_id",
        ["call_1", "call_2"],
    ),
    ("91 parallel results", CHAT, GENERATE, native("Parallel calls and their results", CHAT), "contents.2.parts.#", 2),
    (
        "91 results in another order",
        CHAT,
        MESSAGES,
        chat(
            user_c(),
            {"role": "assistant", "content": None, "tool_calls": [call_c(), call_c("call_2", "time")]},
            result_c("call_2", "noon"),
            result_c(),
            tools=[tool_c(), tool_c("time")],
        ),
        "messages.2.content.#",
        2,
    ),
    (
        "92 calls",
        RESPONSES,
        CHAT,
        native("Parallel calls and their results", RESPONSES),
        "messages.1.tool_calls.*.id",
        ["call_1", "call_2"],
    ),
    ("92 calls", RESPONSES, CHAT, native("Parallel calls and their results", RESPONSES), "messages.1.content", "Both."),
    (
        "92 a word between call and result",
        RESPONSES,
        CHAT,
        responses(user_r(), call_r(), user_r("Quick!"), result_r(), tools=[tool_r()]),
        "messages.*.role",
        ["user", "assistant", "tool", "user"],
    ),
    # ---- media
    (
        "93 picture as data",
        CHAT,
        MESSAGES,
        chat(user_c(PICTURES)),
        "messages.0.content.0.source",
        {"type": "base64", "media_type": "image/png", "data": PIXEL},
    ),
    (
        "93 picture by address",
        CHAT,
        MESSAGES,
        chat(user_c(PICTURES)),
        "messages.0.content.1.source",
        {"type": "url", "url": "https://example.com/a.png"},
    ),
    (
        "93 picture as data",
        CHAT,
        GENERATE,
        chat(user_c(PICTURES)),
        "contents.0.parts.0.inlineData",
        {"mimeType": "image/png", "data": PIXEL},
    ),
    ("93 picture by address", CHAT, GENERATE, chat(user_c(PICTURES)), "contents.0.parts.1.fileData.fileUri", "https://example.com/a.png"),
    ("93 picture as data", CHAT, RESPONSES, chat(user_c(PICTURES)), "input.0.content.0.image_url", f"data:image/png;base64,{PIXEL}"),
    (
        "94 picture",
        MESSAGES,
        CHAT,
        native("Images as data", MESSAGES),
        "messages.0.content.0.image_url.url",
        f"data:image/png;base64,{PIXEL}",
    ),
    ("95 PDF", MESSAGES, RESPONSES, native("PDF as data", MESSAGES), "input.0.content.0.file_data", f"data:application/pdf;base64,{PDF}"),
    ("95 PDF", CHAT, MESSAGES, native("PDF as data", CHAT), "messages.0.content.0.source.media_type", "application/pdf"),
    ("95 PDF", CHAT, GENERATE, native("PDF as data", CHAT), "contents.0.parts.0.inlineData.mimeType", "application/pdf"),
    ("96 audio", CHAT, GENERATE, native("Audio", CHAT), "contents.0.parts.1.inlineData.mimeType", "audio/wav"),
    ("96 audio", GENERATE, CHAT, native("Audio", GENERATE), "messages.0.content.1.input_audio.format", "wav"),
    ("97 picture in a result", MESSAGES, RESPONSES, native("Results with images", MESSAGES), "input.2.output.1.type", "input_image"),
    (
        "97 picture in a result",
        RESPONSES,
        MESSAGES,
        native("Results with images", RESPONSES),
        "messages.2.content.0.content.1.type",
        "image",
    ),
    ("98 detail", CHAT, RESPONSES, native("How closely an image is looked at", CHAT), "input.0.content.0.detail", "low"),
    # ---- empty content
    ("128 empty text", CHAT, GENERATE, chat(user_c(), said_c(""), user_c("And?")), "contents.*.parts.*.text", None),
    ("129 calls alone", MESSAGES, CHAT, native("Calls and results", MESSAGES), "messages.1.tool_calls.#", 1),
    (
        "129 calls alone",
        CHAT,
        RESPONSES,
        native("Calls and results", CHAT),
        "input.#",
        3,
    ),
    ("130 name of a result", CHAT, GENERATE, native("Calls and results", CHAT), "contents.2.parts.0.functionResponse.name", "weather"),
    # ---- what a codec must not forget
    ("168 stop", CHAT, GENERATE, chat(stop=["END"], tools=[tool_c()], tool_choice="required"), "generationConfig.stopSequences", ["END"]),
    ("168 tool choice", CHAT, GENERATE, native("Tool choice: some tool", CHAT), "toolConfig.functionCallingConfig.mode", "ANY"),
    ("169 max tokens", MESSAGES, GENERATE, messages(), "generationConfig.maxOutputTokens", 1000),
    ("169 stop", MESSAGES, GENERATE, messages(stop_sequences=["END"]), "generationConfig.stopSequences", ["END"]),
    ("179 result without its call", CHAT, GENERATE, chat(user_c(), result_c(), tools=[tool_c()]), "contents.#", None),
    ("181 input as a text", RESPONSES, MESSAGES, responses(), "messages.#", 1),
    ("181 input as a text", RESPONSES, GENERATE, responses(), "contents.0.parts.0.text", QUESTION),
    ("181 input as a text", RESPONSES, CHAT, responses(), "messages.0.content", QUESTION),
]
"""Number and note, client, upstream, the client's request, a place in the upstream's, and what stands there; None: anything."""


def name_of(case: Any) -> str:
    return f"{case[0]}-{SHORT[case[1]]}-{SHORT[case[2]]}-{case[4]}"


@pytest.mark.parametrize("case", REQUESTS, ids=name_of)
def test_a_request_stands_on_the_wire_like_this(case: tuple[str, str, str, Any, str, Any]) -> None:
    _, client, upstream, body, path, wanted = case
    source, target = both(client, upstream)
    said = json.loads(translated_request(source, target, json.dumps(body).encode(), []))
    assert wanted is None or at(said, path) == wanted, said


def both(client: str, upstream: str) -> Any:
    if not {client, upstream} <= spoken().keys():
        pytest.skip("no plugin has registered one of the dialects")
    return spoken()[client], spoken()[upstream]


@pytest.mark.parametrize(
    ("client", "upstream"),
    [
        (CHAT, MESSAGES),
        (CHAT, GENERATE),
        (RESPONSES, MESSAGES),
        (RESPONSES, GENERATE),
        (MESSAGES, CHAT),
        (MESSAGES, RESPONSES),
        (MESSAGES, GENERATE),
    ],
)
def test_a_file_that_lies_with_one_provider_is_not_asked_of_another(client: str, upstream: str) -> None:
    source, target = both(client, upstream)
    losses: list[Loss] = []
    wire = translated_request(source, target, json.dumps(native("Files by id", client)).encode(), losses)
    assert b"file-1" not in wire
    assert b"file_011" not in wire
    assert [loss.what for loss in losses if loss.path.startswith("messages[0].parts[0]")] == ["dropped"]


TWO_SUMMARIES: Final = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    "encrypted_content": SIGNED,
}
CACHED_A: Final = {"input_tokens": 40, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 10, "output_tokens": 7}
CACHED_C: Final = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, "prompt_tokens_details": {"cached_tokens": 60}}
COUNTED_G: Final = {"promptTokenCount": 11, "candidatesTokenCount": 7, "thoughtsTokenCount": 5, "totalTokenCount": 23}

ANSWERS: Final[list[tuple[str, str, str, Any, str, Any]]] = [
    ("11 thoughts", CHAT, RESPONSES, response(reasoning(THOUGHT), said_r(ANSWER)), "choices.0.message.reasoning_content", THOUGHT),
    ("11 thoughts", MESSAGES, CHAT, completion({"content": ANSWER, "reasoning_content": THOUGHT}), "content.0.thinking", THOUGHT),
    (
        "11 thoughts",
        GENERATE,
        CHAT,
        completion({"content": ANSWER, "reasoning_content": THOUGHT}),
        "candidates.0.content.parts.0.thought",
        True,
    ),
    (
        "11 thoughts",
        RESPONSES,
        MESSAGES,
        message({"type": "thinking", "thinking": THOUGHT, "signature": SIGNED}, text_a()),
        "output.0.type",
        "reasoning",
    ),
    (
        "12 thoughts under another name",
        MESSAGES,
        CHAT,
        completion({"content": ANSWER, "reasoning": THOUGHT}),
        "content.0.thinking",
        THOUGHT,
    ),
    (
        "13 thoughts first",
        MESSAGES,
        CHAT,
        completion({"content": ANSWER, "reasoning_content": THOUGHT}),
        "content.*.type",
        ["thinking", "text"],
    ),
    (
        "13 thoughts first",
        GENERATE,
        CHAT,
        completion({"content": ANSWER, "reasoning_content": THOUGHT}),
        "candidates.0.content.parts.1.text",
        ANSWER,
    ),
    ("14 paragraphs", MESSAGES, RESPONSES, response(TWO_SUMMARIES, said_r(ANSWER)), "content.0.thinking", "One.\n\nTwo."),
    ("14 paragraphs", MESSAGES, RESPONSES, response(TWO_SUMMARIES, said_r(ANSWER)), "content.#", 2),
    (
        "15 paragraphs",
        CHAT,
        RESPONSES,
        response({key: value for key, value in TWO_SUMMARIES.items() if key != "encrypted_content"}, said_r(ANSWER)),
        "choices.0.message.reasoning_content",
        "One.\n\nTwo.",
    ),
    (
        "16 nothing but a signature",
        MESSAGES,
        RESPONSES,
        response(reasoning(encrypted_content=SEALED), said_r(ANSWER)),
        "content.0.thinking",
        "",
    ),
    (
        "18 encrypted thoughts",
        RESPONSES,
        MESSAGES,
        message({"type": "redacted_thinking", "data": SEALED}, text_a()),
        "output.0.encrypted_content",
        f"jf1.anthropic/redacted.{SEALED}",
    ),
    (
        "21 thinking tokens",
        GENERATE,
        CHAT,
        completion(
            {"content": "x"},
            usage={"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 4}},
        ),
        "usageMetadata.thoughtsTokenCount",
        4,
    ),
    (
        "21 thinking tokens",
        CHAT,
        GENERATE,
        candidate({"text": "x"}, usage=COUNTED_G),
        "usage.completion_tokens_details.reasoning_tokens",
        5,
    ),
    (
        "28 signature of a Gemini model",
        MESSAGES,
        GENERATE,
        candidate({"text": THOUGHT, "thought": True, "thoughtSignature": SIGNED}, {"text": ANSWER}),
        "content.0.signature",
        f"jf1.gemini.{SIGNED}",
    ),
    (
        "32 signature",
        RESPONSES,
        MESSAGES,
        message({"type": "thinking", "thinking": THOUGHT, "signature": SIGNED}, text_a()),
        "output.0.encrypted_content",
        f"jf1.anthropic.{SIGNED}",
    ),
    (
        "91 parallel calls",
        CHAT,
        MESSAGES,
        message(call_a(), call_a("call_2", "time"), stop="tool_use"),
        "choices.0.message.tool_calls.*.id",
        ["call_1", "call_2"],
    ),
    (
        "99 pictures",
        CHAT,
        GENERATE,
        candidate({"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}),
        "choices.0.message.images.0.image_url.url",
        f"data:image/png;base64,{PIXEL}",
    ),
    ("100 cached tokens", CHAT, MESSAGES, message(text_a(), usage=CACHED_A), "usage.prompt_tokens", 100),
    ("100 cached tokens", CHAT, MESSAGES, message(text_a(), usage=CACHED_A), "usage.prompt_tokens_details.cached_tokens", 50),
    ("101 cached tokens", MESSAGES, CHAT, completion({"content": "x"}, usage=CACHED_C), "usage.input_tokens", 40),
    ("101 cached tokens", MESSAGES, CHAT, completion({"content": "x"}, usage=CACHED_C), "usage.cache_read_input_tokens", 60),
    (
        "102 cached tokens",
        MESSAGES,
        RESPONSES,
        response(
            said_r("x"),
            usage={
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 107,
            },
        ),
        "usage.input_tokens",
        40,
    ),
    ("103 cached tokens", RESPONSES, MESSAGES, message(text_a(), usage=CACHED_A), "usage.input_tokens", 100),
    ("103 cached tokens", RESPONSES, MESSAGES, message(text_a(), usage=CACHED_A), "usage.input_tokens_details.cached_tokens", 50),
    ("104 tokens", CHAT, GENERATE, candidate({"text": "x"}, usage=COUNTED_G), "usage.completion_tokens", 12),
    ("104 tokens", MESSAGES, GENERATE, candidate({"text": "x"}, usage=COUNTED_G), "usage.output_tokens", 12),
    ("105 tokens", GENERATE, CHAT, completion({"content": "x"}), "usageMetadata.totalTokenCount", 18),
    ("107 end", CHAT, MESSAGES, message(text_a(), stop="end_turn"), "choices.0.finish_reason", "stop"),
    ("107 stop sequence", CHAT, MESSAGES, message(text_a(), stop="stop_sequence", stop_sequence="END"), "choices.0.finish_reason", "stop"),
    ("107 tools", CHAT, MESSAGES, message(call_a(), stop="tool_use"), "choices.0.finish_reason", "tool_calls"),
    ("107 length", CHAT, MESSAGES, message(text_a(), stop="max_tokens"), "choices.0.finish_reason", "length"),
    ("107 refusal", CHAT, MESSAGES, message(text_a(), stop="refusal"), "choices.0.finish_reason", "content_filter"),
    ("108 stop", MESSAGES, CHAT, completion({"content": "x"}), "stop_reason", "end_turn"),
    ("108 length", MESSAGES, CHAT, completion({"content": "x"}, "length"), "stop_reason", "max_tokens"),
    ("108 tools", MESSAGES, CHAT, completion({"content": None, "tool_calls": [call_c()]}, "tool_calls"), "stop_reason", "tool_use"),
    (
        "108 tools although it says stop",
        MESSAGES,
        CHAT,
        completion({"content": None, "tool_calls": [call_c()]}, "stop"),
        "stop_reason",
        "tool_use",
    ),
    ("108 filtered", MESSAGES, CHAT, completion({"content": "x"}, "content_filter"), "stop_reason", "refusal"),
    ("109 stop", GENERATE, CHAT, completion({"content": "x"}), "candidates.0.finishReason", "STOP"),
    (
        "109 tools",
        GENERATE,
        CHAT,
        completion({"content": None, "tool_calls": [call_c()]}, "tool_calls"),
        "candidates.0.finishReason",
        "STOP",
    ),
    ("109 length", GENERATE, CHAT, completion({"content": "x"}, "length"), "candidates.0.finishReason", "MAX_TOKENS"),
    ("109 filtered", GENERATE, CHAT, completion({"content": "x"}, "content_filter"), "candidates.0.finishReason", "SAFETY"),
    ("110 tools", CHAT, GENERATE, candidate(call_g()), "choices.0.finish_reason", "tool_calls"),
    (
        "111 length",
        CHAT,
        RESPONSES,
        response(said_r("x"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "choices.0.finish_reason",
        "length",
    ),
    ("111 tools", CHAT, RESPONSES, response(call_r()), "choices.0.finish_reason", "tool_calls"),
    (
        "112 length",
        MESSAGES,
        RESPONSES,
        response(said_r("x"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "stop_reason",
        "max_tokens",
    ),
    (
        "112 filtered",
        MESSAGES,
        RESPONSES,
        response(said_r("x"), status="incomplete", incomplete_details={"reason": "content_filter"}),
        "stop_reason",
        "refusal",
    ),
    ("113 length", RESPONSES, CHAT, completion({"content": "x"}, "length"), "status", "incomplete"),
    ("113 length", RESPONSES, CHAT, completion({"content": "x"}, "length"), "incomplete_details.reason", "max_output_tokens"),
    ("113 filtered", RESPONSES, CHAT, completion({"content": "x"}, "content_filter"), "incomplete_details.reason", "content_filter"),
    (
        "122 no arguments",
        CHAT,
        MESSAGES,
        message(call_a(arguments="{}"), stop="tool_use"),
        "choices.0.message.tool_calls.0.function.arguments",
        "{}",
    ),
    ("130 empty answer", CHAT, GENERATE, candidate({"text": ""}), "error.type", "server_error"),
    ("171 length", CHAT, GENERATE, candidate({"text": "x"}, finish="MAX_TOKENS"), "choices.0.finish_reason", "length"),
    ("171 filtered", CHAT, GENERATE, candidate({"text": "x"}, finish="SAFETY"), "choices.0.finish_reason", "content_filter"),
    ("170 length", GENERATE, MESSAGES, message(text_a(), stop="max_tokens"), "candidates.0.finishReason", "MAX_TOKENS"),
    ("170 cached tokens", GENERATE, MESSAGES, message(text_a(), usage=CACHED_A), "usageMetadata.promptTokenCount", 100),
    ("172 length", RESPONSES, MESSAGES, message(text_a(), stop="max_tokens"), "status", "incomplete"),
    ("172 length", RESPONSES, GENERATE, candidate({"text": "x"}, finish="MAX_TOKENS"), "status", "incomplete"),
    (
        "173 cached tokens",
        MESSAGES,
        GENERATE,
        candidate({"text": "x"}, usage={**COUNTED_G, "cachedContentTokenCount": 6}),
        "usage.cache_read_input_tokens",
        6,
    ),
    ("174 signed words", MESSAGES, GENERATE, candidate({"text": ANSWER, "thoughtSignature": SIGNED}), "content.-1.text", ANSWER),
    (
        "178 order of calls",
        GENERATE,
        CHAT,
        completion({"content": None, "tool_calls": [call_c(f"call_{n}", f"t{n}") for n in range(5)]}, "tool_calls"),
        "candidates.0.content.parts.*.functionCall.name",
        [f"t{n}" for n in range(5)],
    ),
    (
        "180 all paragraphs",
        CHAT,
        RESPONSES,
        response(said_r("One."), {**said_r("Two."), "id": "msg_2"}),
        "choices.0.message.content",
        "One.Two.",
    ),
]
"""Number and note, client, upstream, the upstream's answer, a place in the client's, and what stands there."""


@pytest.mark.parametrize("case", ANSWERS, ids=name_of)
def test_an_answer_stands_on_the_wire_like_this(case: tuple[str, str, str, Any, str, Any]) -> None:
    _, client, upstream, body, path, wanted = case
    target, source = both(client, upstream)
    said = json.loads(translated_response(source, target, json.dumps(body).encode(), Request(), []))
    assert wanted is None or at(said, path) == wanted, said


# -------------------------------------------------------------------------------------------------- streams


def events(client: str, upstream: str, raw: bytes, losses: list[Loss] | None = None) -> list[tuple[str, Any]]:
    """Return names and data of a client's events."""
    target, source = both(client, upstream)
    wire = translated_stream(source, target, raw, STREAMING, losses if losses is not None else [])
    found = []
    for block in wire.decode().replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in lines:
            found.append((lines.get("event", ""), json.loads(lines["data"]) if lines["data"] != "[DONE]" else None))
    return found


UPSTREAMS: Final = (CHAT, RESPONSES, MESSAGES, GENERATE)
TURNS: Final[dict[str, Any]] = {
    CHAT: completion(
        {"content": "Both.", "reasoning_content": THOUGHT, "tool_calls": [call_c(), call_c("call_2", "time", "{}")]}, "tool_calls"
    ),
    RESPONSES: response(reasoning(THOUGHT), said_r("Both."), call_r(), call_r("call_2", "time", "{}")),
    MESSAGES: message(
        {"type": "thinking", "thinking": THOUGHT, "signature": SIGNED},
        text_a("Both."),
        call_a(),
        call_a("call_2", "time", "{}"),
        stop="tool_use",
    ),
    GENERATE: candidate({"text": THOUGHT, "thought": True}, {"text": "Both."}, call_g(), call_g("call_2", "time", "{}")),
}
FROM = pytest.mark.parametrize("upstream", UPSTREAMS, ids=[SHORT[name] for name in UPSTREAMS])


def played(upstream: str) -> bytes:
    return PLAYERS[upstream](TURNS[upstream])


@FROM
def test_a_stream_of_messages_has_its_blocks_in_order_and_one_end(upstream: str) -> None:
    found = [event for event in events(MESSAGES, upstream, played(upstream)) if event[0] != "ping"]
    names = [name for name, _ in found]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert names.count("message_start") == names.count("message_delta") == names.count("message_stop") == 1
    open_block, count = None, 0
    for name, said in found[1:-2]:
        assert name == said["type"]
        if name == "content_block_start":
            assert open_block is None
            assert said["index"] == count
            open_block, count = count, count + 1
        else:
            assert said["index"] == open_block
        if name == "content_block_stop":
            open_block = None
    assert open_block is None
    assert [said["content_block"]["type"] for name, said in found if name == "content_block_start"] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"


@FROM
def test_a_stream_of_responses_has_numbers_without_gaps_and_every_part_ends(upstream: str) -> None:
    found = events(RESPONSES, upstream, played(upstream))
    names = [name for name, _ in found]
    assert [said["sequence_number"] for _, said in found] == list(range(len(found)))
    assert names[0] == "response.created"
    assert names[-1] == "response.completed"
    assert all(name == said["type"] for name, said in found)
    added = [said["output_index"] for name, said in found if name == "response.output_item.added"]
    done = [said["output_index"] for name, said in found if name == "response.output_item.done"]
    assert added == done == list(range(len(added)))
    assert names.count("response.content_part.added") == names.count("response.content_part.done")
    assert len({said["response"]["id"] for name, said in found if "response" in said}) == 1
    items = {said["output_index"]: said["item"] for name, said in found if name == "response.output_item.done"}
    assert [items[at_] for at_ in added] == found[-1][1]["response"]["output"]
    starts = [said["item"]["id"] for name, said in found if name == "response.output_item.added"]
    assert starts == [items[at_]["id"] for at_ in added]
    assert [item["type"] for item in items.values()] == ["reasoning", "message", "function_call", "function_call"]


@FROM
def test_a_stream_of_chat_names_the_speaker_first_and_ends_with_counts_and_marker(upstream: str) -> None:
    found = events(CHAT, upstream, played(upstream))
    chunks = [said for _, said in found if said is not None]
    assert found[-1][1] is None
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 18
    finishes = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"] and c["choices"][0].get("finish_reason")]
    assert finishes == ["tool_calls"]
    indices = [call["index"] for c in chunks if c["choices"] for call in c["choices"][0]["delta"].get("tool_calls") or ()]
    assert sorted(set(indices)) == [0, 1]
    assert indices == sorted(indices)


@FROM
def test_a_stream_of_generate_says_its_end_and_counts_in_the_last_chunk_alone(upstream: str) -> None:
    found = [said for _, said in events(GENERATE, upstream, played(upstream))]
    finishes = [chunk["candidates"][0].get("finishReason") for chunk in found if chunk.get("candidates")]
    assert finishes[-1] == "STOP"
    assert not any(finishes[:-1])
    assert found[-1]["usageMetadata"]["totalTokenCount"] == 18
    parts = [part for chunk in found for part in chunk["candidates"][0].get("content", {}).get("parts", ())]
    assert [part["functionCall"]["name"] for part in parts if "functionCall" in part] == ["weather", "time"]


def test_a_thinking_block_of_several_paragraphs_is_signed_once() -> None:
    found = events(MESSAGES, RESPONSES, PLAYERS[RESPONSES](response(TWO_SUMMARIES, said_r(ANSWER))))
    deltas = [said["delta"] for name, said in found if name == "content_block_delta"]
    assert [delta["type"] for delta in deltas].count("signature_delta") == 1
    thought = "".join(delta["thinking"] for delta in deltas if delta["type"] == "thinking_delta")
    assert thought == "One.\n\nTwo."


def test_paragraphs_of_thought_are_told_apart_in_streams() -> None:
    unsigned = {key: value for key, value in TWO_SUMMARIES.items() if key != "encrypted_content"}
    found = events(CHAT, RESPONSES, PLAYERS[RESPONSES](response(unsigned, said_r(ANSWER))))
    deltas = [chunk["choices"][0]["delta"] for _, chunk in found if chunk and chunk["choices"]]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "One.\n\nTwo."


def test_late_counts_are_said_before_the_end() -> None:
    """The upstream's counts come in a chunk of their own, after the finish reason."""
    (said,) = [said for name, said in events(MESSAGES, CHAT, PLAYERS[CHAT](completion({"content": "x"}))) if name == "message_delta"]
    assert (said["usage"]["input_tokens"], said["usage"]["output_tokens"]) == (11, 7)


def test_a_stream_whose_upstream_forgot_the_end_marker_ends_all_the_same() -> None:
    raw = PLAYERS[CHAT](completion({"content": "x"})).replace(b"data: [DONE]\n\n", b"")
    assert events(MESSAGES, CHAT, raw)[-1][0] == "message_stop"
    assert events(RESPONSES, CHAT, raw)[-1][0] == "response.completed"


def test_pings_and_events_that_nobody_knows_are_swallowed() -> None:
    raw = PLAYERS[MESSAGES](message(text_a()))
    raw = raw.replace(
        b"event: message_delta", sse({"type": "novelty"}, "novelty") + sse({"type": "ping"}, "ping") + b"event: message_delta"
    )
    for client in (CHAT, RESPONSES, GENERATE):
        assert b"novelty" not in json.dumps(events(client, MESSAGES, raw)).encode()


def test_items_that_stand_in_the_last_event_alone_are_said_before_the_end() -> None:
    """Some servers send nothing but the whole response."""
    whole = response(said_r(ANSWER), call_r())
    raw = sse(
        {"type": "response.created", "response": {**whole, "output": [], "status": "in_progress"}, "sequence_number": 0}, "response.created"
    )
    raw += sse({"type": "response.completed", "response": whole, "sequence_number": 1}, "response.completed")
    found = events(CHAT, RESPONSES, raw)
    words = "".join(c["choices"][0]["delta"].get("content") or "" for _, c in found if c and c["choices"])
    names = [
        call["function"]["name"]
        for _, c in found
        if c and c["choices"]
        for call in c["choices"][0]["delta"].get("tool_calls") or ()
        if call["function"].get("name")
    ]
    assert words == ANSWER
    assert names == ["weather"]


@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GENERATE], ids=["responses", "messages", "generate"])
def test_a_time_in_milliseconds_is_no_reason_to_fail(client: str) -> None:
    """A server of chat completions was recorded with one."""
    body = {**completion({"content": ANSWER}), "created": 1754002466123}
    target, source = both(client, CHAT)
    assert ANSWER in translated_response(source, target, json.dumps(body).encode(), Request(), []).decode()
    assert events(client, CHAT, PLAYERS[CHAT](body))


def test_nothing_but_an_error_follows_half_a_response() -> None:
    """A stream that stops without an end is not complete."""
    whole = PLAYERS[RESPONSES](response(said_r(ANSWER)))
    half = whole[: whole.index(b"event: response.output_text.done")]
    for client in (CHAT, MESSAGES, GENERATE):
        found = events(client, RESPONSES, half)
        assert not any(name in ("message_stop", "response.completed") or said is None for name, said in found)
