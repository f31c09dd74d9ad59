"""The features of requests."""

from __future__ import annotations

from typing import Any, Final

from tests.translation import meanings as m
from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES
from tests.translation.feature import Asked
from tests.translation.wires import (
    PDF,
    PIXEL,
    QUESTION,
    SCHEMA,
    SOUND,
    call_a,
    call_c,
    call_g,
    call_r,
    chat,
    generate,
    messages,
    responses,
    result_a,
    result_c,
    result_g,
    result_r,
    tool_a,
    tool_c,
    tool_g,
    tool_r,
    user_a,
    user_c,
    user_g,
    user_r,
)

PARTS: Final = r"messages\[\d+\]"
"""Losses of this form name a part of the conversation."""

RULES: Final = "Be brief."
LATER: Final = "Now be long."


def said_c(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def said_r(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": content}


def said_a(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": one} if isinstance(one, str) else one for one in blocks]}


def said_g(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [{"text": one} if isinstance(one, str) else one for one in parts]}


def text_g(text: str) -> dict[str, Any]:
    return user_g({"text": text})


WORDS: Final = [
    Asked(
        title="Text",
        wires={CHAT: chat(), RESPONSES: responses(), MESSAGES: messages(), GENERATE: generate()},
        meaning=m.conversation,
        expected=[("user", QUESTION)],
        named=PARTS,
    ),
    Asked(
        title="System text",
        wires={
            CHAT: chat({"role": "system", "content": RULES}, user_c()),
            RESPONSES: responses(user_r(), instructions=RULES),
            MESSAGES: messages(system=RULES),
            GENERATE: generate(systemInstruction={"parts": [{"text": RULES}]}),
        },
        meaning=m.conversation,
        expected=[("instructions", RULES), ("user", QUESTION)],
        named=PARTS,
    ),
    Asked(
        title="Developer text",
        wires={
            CHAT: chat({"role": "developer", "content": RULES}, user_c()),
            RESPONSES: responses({"type": "message", "role": "developer", "content": [{"type": "input_text", "text": RULES}]}, user_r()),
        },
        meaning=m.conversation,
        expected=[("instructions", RULES), ("user", QUESTION)],
        named=PARTS,
    ),
    Asked(
        title="System text inside the conversation",
        wires={
            CHAT: chat(user_c(), said_c("A tower."), {"role": "system", "content": LATER}, user_c("And?")),
            RESPONSES: responses(user_r(), said_r("A tower."), {"type": "message", "role": "system", "content": LATER}, user_r("And?")),
            MESSAGES: messages(user_a(), said_a("A tower."), {"role": "system", "content": LATER}, user_a("And?")),
        },
        meaning=m.conversation,
        expected=[("user", QUESTION), ("assistant", "A tower."), ("instructions", LATER), ("user", "And?")],
        named=PARTS,
    ),
    Asked(
        title="Several turns",
        wires={
            CHAT: chat(user_c(), said_c("A tower."), user_c("And?")),
            RESPONSES: responses(user_r(), said_r("A tower."), user_r("And?")),
            MESSAGES: messages(user_a(), said_a("A tower."), user_a("And?")),
            GENERATE: generate(user_g(), said_g("A tower."), text_g("And?")),
        },
        meaning=m.conversation,
        expected=[("user", QUESTION), ("assistant", "A tower."), ("user", "And?")],
        named=PARTS,
    ),
]

TOLD: Final = [("function", None, "weather", "Tells the weather.", SCHEMA)]

TWO: Final = {
    CHAT: [tool_c(), tool_c("time")],
    RESPONSES: [tool_r(), tool_r("time")],
    MESSAGES: [tool_a(), tool_a("time")],
    GENERATE: [tool_g("weather", "time")],
}


def choosing(c: Any = None, r: Any = None, a: Any = None, g: Any = None) -> dict[str, Any]:
    """Requests with two tools, each with a choice in its dialect's words."""
    made: dict[str, Any] = {}
    if c is not None:
        made[CHAT] = chat(tools=TWO[CHAT], tool_choice=c)
    if r is not None:
        made[RESPONSES] = responses(tools=TWO[RESPONSES], tool_choice=r)
    if a is not None:
        made[MESSAGES] = messages(tools=TWO[MESSAGES], tool_choice=a)
    if g is not None:
        made[GENERATE] = generate(tools=TWO[GENERATE], toolConfig={"functionCallingConfig": g})
    return made


TOOLS: Final = [
    Asked(
        title="Tools",
        wires={
            CHAT: chat(tools=[tool_c()]),
            RESPONSES: responses(tools=[tool_r()]),
            MESSAGES: messages(tools=[tool_a()]),
            GENERATE: generate(tools=[tool_g()]),
        },
        meaning=m.tools,
        expected=TOLD,
        named=r"tools\[0\]",
    ),
    Asked(
        title="Tools with a strict schema",
        wires={
            CHAT: chat(tools=[tool_c(strict=True, parameters={**SCHEMA, "additionalProperties": False})]),
            RESPONSES: responses(tools=[tool_r(strict=True, parameters={**SCHEMA, "additionalProperties": False})]),
            MESSAGES: messages(tools=[tool_a(strict=True, input_schema={**SCHEMA, "additionalProperties": False})]),
        },
        meaning=m.strictness,
        expected=[True],
        named=r"tools\[0\]\.strict",
    ),
    Asked(
        title="Names of tools that not every dialect takes",
        wires={GENERATE: generate(tools=[tool_g("files.read")])},
        meaning=lambda request: [tool.name for tool in request.tools],
        expected=["files.read"],
        named=r"tools\[0\]\.name",
    ),
    Asked(
        title="Tool choice: some tool",
        wires=choosing("required", "required", {"type": "any"}, {"mode": "ANY"}),
        meaning=m.choice,
        expected=("required", ()),
        named="tool_choice",
    ),
    Asked(
        title="Tool choice: one tool by name",
        wires=choosing(
            {"type": "function", "function": {"name": "time"}},
            {"type": "function", "name": "time"},
            {"type": "tool", "name": "time"},
            {"mode": "ANY", "allowedFunctionNames": ["time"]},
        ),
        meaning=m.choice,
        expected=("named", ("time",)),
        named="tool_choice",
    ),
    Asked(
        title="Tool choice: none",
        wires=choosing("none", "none", {"type": "none"}, {"mode": "NONE"}),
        meaning=m.choice,
        expected=("none", ()),
        named="tool_choice",
    ),
    Asked(
        title="Tool choice: as the model likes",
        wires=choosing("auto", "auto", {"type": "auto"}, {"mode": "AUTO"}),
        meaning=m.choice,
        expected=("auto", ()),
        named="tool_choice",
    ),
    Asked(
        title="Tool choice: some of several that are allowed",
        wires=choosing(
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "weather"}}, {"type": "function", "function": {"name": "time"}}],
                },
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "weather"}, {"type": "function", "name": "time"}],
            },
            None,
            {"mode": "ANY", "allowedFunctionNames": ["weather", "time"]},
        ),
        meaning=m.choice,
        expected=("allowed", ("weather", "time")),
        named="tool_choice",
    ),
    Asked(
        title="One tool at a time",
        wires={
            CHAT: chat(tools=[tool_c()], parallel_tool_calls=False),
            RESPONSES: responses(tools=[tool_r()], parallel_tool_calls=False),
            MESSAGES: messages(tools=[tool_a()], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        },
        meaning=m.parallel,
        expected=False,
        named="parallel_tools",
    ),
    Asked(
        title="Calls and results",
        wires={
            CHAT: chat(user_c(), {"role": "assistant", "content": None, "tool_calls": [call_c()]}, result_c(), tools=[tool_c()]),
            RESPONSES: responses(user_r(), call_r(), result_r(), tools=[tool_r()]),
            MESSAGES: messages(user_a(), said_a(call_a()), user_a([result_a()]), tools=[tool_a()]),
            GENERATE: generate(user_g(), said_g(call_g()), user_g(result_g()), tools=[tool_g()]),
        },
        meaning=lambda request: (m.conversation(request), m.calls(request), m.results(request)),
        expected=(
            [("user", QUESTION), ("call", "call_1"), ("result", "call_1")],
            [("function", None, "weather", "call_1", {"city": "Paris"})],
            [("call_1", ["sunny"])],
        ),
        named=PARTS,
    ),
    Asked(
        title="Parallel calls and their results",
        wires={
            CHAT: chat(
                user_c(),
                {"role": "assistant", "content": "Both.", "tool_calls": [call_c(), call_c("call_2", "time")]},
                result_c(),
                result_c("call_2", "noon"),
                tools=TWO[CHAT],
            ),
            RESPONSES: responses(
                user_r(),
                said_r("Both."),
                call_r(),
                call_r("call_2", "time"),
                result_r(),
                result_r("call_2", "noon"),
                tools=TWO[RESPONSES],
            ),
            MESSAGES: messages(
                user_a(),
                said_a("Both.", call_a(), call_a("call_2", "time")),
                user_a([result_a(), result_a("call_2", "noon")]),
                tools=TWO[MESSAGES],
            ),
            GENERATE: generate(
                user_g(),
                said_g("Both.", call_g(), call_g("call_2", "time")),
                user_g(result_g(), result_g("call_2", "time", "noon")),
                tools=TWO[GENERATE],
            ),
        },
        meaning=lambda request: (m.conversation(request), m.results(request)),
        expected=(
            [
                ("user", QUESTION),
                ("assistant", "Both."),
                ("call", "call_1"),
                ("call", "call_2"),
                ("result", "call_1"),
                ("result", "call_2"),
            ],
            [("call_1", ["sunny"]), ("call_2", ["noon"])],
        ),
        named=PARTS,
    ),
    Asked(
        title="Results that are errors",
        wires={
            MESSAGES: messages(user_a(), said_a(call_a()), user_a([result_a(content="no such city", is_error=True)]), tools=[tool_a()]),
            GENERATE: generate(
                user_g(),
                said_g(call_g()),
                user_g({"functionResponse": {"id": "call_1", "name": "weather", "response": {"error": "no such city"}}}),
                tools=[tool_g()],
            ),
        },
        meaning=lambda request: (m.failures(request), m.results(request)),
        expected=([True], [("call_1", ["no such city"])]),
        named=PARTS,
    ),
    Asked(
        title="Results with images",
        wires={
            RESPONSES: responses(
                user_r(),
                call_r(),
                result_r(
                    output=[
                        {"type": "input_text", "text": "see"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
                    ]
                ),
                tools=[tool_r()],
            ),
            MESSAGES: messages(
                user_a(),
                said_a(call_a()),
                user_a(
                    [
                        result_a(
                            content=[
                                {"type": "text", "text": "see"},
                                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                            ]
                        )
                    ]
                ),
                tools=[tool_a()],
            ),
            GENERATE: generate(
                user_g(),
                said_g(call_g()),
                user_g(result_g(output="see", parts=[{"inlineData": {"mimeType": "image/png", "data": PIXEL}}])),
                tools=[tool_g()],
            ),
        },
        meaning=m.results,
        expected=[("call_1", ["see", ("image", "image/png", None, PIXEL)])],
        named=PARTS,
    ),
    Asked(
        title="Tools that take free text",
        wires={
            CHAT: chat(
                tools=[
                    {
                        "type": "custom",
                        "custom": {
                            "name": "patch",
                            "description": "Patches.",
                            "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}},
                        },
                    }
                ]
            ),
            RESPONSES: responses(
                tools=[
                    {
                        "type": "custom",
                        "name": "patch",
                        "description": "Patches.",
                        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
                    }
                ]
            ),
        },
        meaning=m.free_tools,
        expected=[("custom", "patch", "start: /.+/", "lark")],
        named=r"tools\[0\]",
    ),
    Asked(
        title="Calls with free text, and their results",
        wires={
            CHAT: chat(
                user_c(),
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "+ a line"}}],
                },
                result_c(content="done"),
                tools=[{"type": "custom", "custom": {"name": "patch"}}],
            ),
            RESPONSES: responses(
                user_r(),
                {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "patch", "input": "+ a line"},
                {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"},
                tools=[{"type": "custom", "name": "patch"}],
            ),
        },
        meaning=lambda request: (m.calls(request), m.results(request)),
        expected=([("custom", None, "patch", "call_1", "+ a line")], [("call_1", ["done"])]),
        named=r"messages\[\d+\]|tools\[0\]",
    ),
    Asked(
        title="Tools in namespaces",
        wires={
            RESPONSES: responses(
                user_r(),
                call_r(namespace="crm"),
                result_r(),
                tools=[{"type": "namespace", "name": "crm", "description": "Customers.", "tools": [tool_r()]}],
            )
        },
        meaning=lambda request: (m.tools(request), m.calls(request)),
        expected=(
            [("function", "crm", "weather", "Tells the weather.", SCHEMA)],
            [("function", "crm", "weather", "call_1", {"city": "Paris"})],
        ),
        named=r"tools\[0\]|messages\[1\]",
    ),
    Asked(
        title="Tools delivered as items of the input",
        wires={RESPONSES: responses({"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [tool_r()]}, user_r())},
        meaning=m.tools,
        expected=TOLD,
        named=r"tools\[0\]",
    ),
    Asked(
        title="Hosted web search",
        wires={
            CHAT: chat(web_search_options={"search_context_size": "low"}),
            RESPONSES: responses(tools=[{"type": "web_search", "search_context_size": "low"}]),
            MESSAGES: messages(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]),
            GENERATE: generate(tools=[{"googleSearch": {}}]),
        },
        meaning=m.hosted,
        expected=["hosted"],
        named=r"tools\[0\]",
    ),
]

SIGNED: Final = "c2lnbmVk"
SEALED: Final = "c2VhbGVk"


def thinking_turns() -> dict[str, Any]:
    return {
        MESSAGES: messages(
            user_a(),
            said_a({"type": "thinking", "thinking": "Let me look.", "signature": SIGNED}, call_a()),
            user_a([result_a()]),
            said_a({"type": "thinking", "thinking": "So it is.", "signature": SEALED}, "Sunny."),
            user_a("And?"),
            tools=[tool_a()],
            thinking={"type": "enabled", "budget_tokens": 1024},
        ),
        RESPONSES: responses(
            user_r(),
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Let me look."}],
                "encrypted_content": SIGNED,
            },
            call_r(),
            result_r(),
            {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "So it is."}], "encrypted_content": SEALED},
            said_r("Sunny."),
            user_r("And?"),
            tools=[tool_r()],
            include=["reasoning.encrypted_content"],
            store=False,
        ),
        GENERATE: generate(
            user_g(),
            said_g({**call_g(), "thoughtSignature": SIGNED}),
            user_g(result_g()),
            said_g({"text": "Sunny.", "thoughtSignature": SEALED}),
            text_g("And?"),
            tools=[tool_g()],
        ),
        CHAT: chat(
            user_c(),
            {
                "role": "assistant",
                "content": None,
                "reasoning": "Let me look.",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "Let me look.", "signature": SIGNED, "format": "anthropic-claude-v1", "index": 0}
                ],
                "tool_calls": [call_c()],
            },
            result_c(),
            {
                "role": "assistant",
                "content": "Sunny.",
                "reasoning": "So it is.",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "So it is.", "signature": SEALED, "format": "anthropic-claude-v1", "index": 0}
                ],
            },
            user_c("And?"),
            tools=[tool_c()],
        ),
    }


THINKING: Final = [
    Asked(
        title="Thinking: a level",
        wires={
            CHAT: chat(reasoning_effort="high"),
            RESPONSES: responses(reasoning={"effort": "high"}),
            MESSAGES: messages(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
            GENERATE: generate(generationConfig={"thinkingConfig": {"thinkingLevel": "HIGH"}}),
        },
        meaning=m.level,
        expected="high",
        named=r"thinking",
    ),
    Asked(
        title="Thinking: a budget",
        wires={
            MESSAGES: messages(max_tokens=20000, thinking={"type": "enabled", "budget_tokens": 8192}),
            GENERATE: generate(generationConfig={"thinkingConfig": {"thinkingBudget": 8192}}),
        },
        meaning=m.budget,
        expected=8192,
        named=r"thinking",
    ),
    Asked(
        title="Thinking: off",
        wires={
            CHAT: chat(reasoning_effort="none"),
            RESPONSES: responses(reasoning={"effort": "none"}),
            MESSAGES: messages(thinking={"type": "disabled"}),
            GENERATE: generate(generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
        },
        meaning=m.no_thinking,
        expected="off",
        named=r"thinking",
    ),
    Asked(
        title="Thinking: shown",
        wires={
            RESPONSES: responses(reasoning={"effort": "high", "summary": "auto"}),
            MESSAGES: messages(thinking={"type": "adaptive", "display": "summarized"}),
            GENERATE: generate(generationConfig={"thinkingConfig": {"includeThoughts": True}}),
        },
        meaning=m.shown,
        expected="auto",
        named=r"thinking",
    ),
    Asked(
        title="Thoughts with signatures, over several turns",
        wires=thinking_turns(),
        meaning=m.signatures,
        expected=[],
        expected_of={
            CHAT: [("anthropic", SIGNED), ("anthropic", SEALED)],
            RESPONSES: [("openai", SIGNED), ("openai", SEALED)],
            MESSAGES: [("anthropic", SIGNED), ("anthropic", SEALED)],
            GENERATE: [("gemini", SIGNED), ("gemini", SEALED)],
        },
        named=PARTS,
    ),
    Asked(
        title="Encrypted thoughts",
        wires={
            CHAT: chat(
                user_c(),
                said_c(
                    "Sunny.",
                    reasoning_details=[
                        {"type": "reasoning.encrypted", "data": SEALED, "format": "openai-responses-v1", "id": "rs_1", "index": 0}
                    ],
                ),
                user_c("And?"),
            ),
            RESPONSES: responses(
                user_r(),
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
                said_r("Sunny."),
                user_r("And?"),
                store=False,
            ),
            MESSAGES: messages(user_a(), said_a({"type": "redacted_thinking", "data": SEALED}, "Sunny."), user_a("And?")),
        },
        meaning=m.signatures,
        expected=[("openai", SEALED)],
        expected_of={MESSAGES: [("anthropic", SEALED)]},
        named=PARTS,
    ),
]

PICTURE: Final = "https://example.com/cat.png"
MEDIA: list[Asked] = [
    Asked(
        title="Images by address",
        wires={
            CHAT: chat(user_c([{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE}}])),
            RESPONSES: responses(
                user_r([{"type": "input_text", "text": QUESTION}, {"type": "input_image", "image_url": PICTURE, "detail": "auto"}])
            ),
            MESSAGES: messages(user_a([{"type": "text", "text": QUESTION}, {"type": "image", "source": {"type": "url", "url": PICTURE}}])),
            GENERATE: generate(user_g({"text": QUESTION}, {"fileData": {"mimeType": "image/png", "fileUri": PICTURE}})),
        },
        meaning=m.images,
        expected=[(PICTURE, None)],
        named=PARTS,
    ),
    Asked(
        title="Images as data",
        wires={
            CHAT: chat(
                user_c([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}, {"type": "text", "text": QUESTION}])
            ),
            RESPONSES: responses(
                user_r(
                    [
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
                        {"type": "input_text", "text": QUESTION},
                    ]
                )
            ),
            MESSAGES: messages(
                user_a(
                    [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                        {"type": "text", "text": QUESTION},
                    ]
                )
            ),
            GENERATE: generate(user_g({"inlineData": {"mimeType": "image/png", "data": PIXEL}}, {"text": QUESTION})),
        },
        meaning=m.images,
        expected=[(None, PIXEL)],
        named=PARTS,
    ),
    Asked(
        title="How closely an image is looked at",
        wires={
            CHAT: chat(user_c([{"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}])),
            RESPONSES: responses(user_r([{"type": "input_image", "image_url": PICTURE, "detail": "low"}])),
        },
        meaning=m.details,
        expected=["low"],
        named=PARTS,
    ),
    Asked(
        title="PDF as data",
        wires={
            CHAT: chat(user_c([{"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}])),
            RESPONSES: responses(user_r([{"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}])),
            MESSAGES: messages(
                user_a(
                    [
                        {
                            "type": "document",
                            "title": "a.pdf",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        }
                    ]
                )
            ),
            GENERATE: generate(user_g({"inlineData": {"mimeType": "application/pdf", "data": PDF}})),
        },
        meaning=m.documents,
        expected=[(None, PDF)],
        named=PARTS,
    ),
    Asked(
        title="PDF by address",
        wires={
            RESPONSES: responses(user_r([{"type": "input_file", "file_url": "https://example.com/a.pdf"}])),
            MESSAGES: messages(user_a([{"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}])),
            GENERATE: generate(user_g({"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}})),
        },
        meaning=m.documents,
        expected=[("https://example.com/a.pdf", None)],
        named=PARTS,
    ),
    Asked(
        title="Audio",
        wires={
            CHAT: chat(
                user_c([{"type": "text", "text": QUESTION}, {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}])
            ),
            GENERATE: generate(user_g({"text": QUESTION}, {"inlineData": {"mimeType": "audio/wav", "data": SOUND}})),
        },
        meaning=lambda request: [data for _, data in m.sounds(request)],
        expected=[SOUND],
        named=PARTS,
    ),
]

FILM: Final = "AAAAIGZ0eXBpc29t"
MEDIA += [
    Asked(
        title="Films as data",
        wires={GENERATE: generate(user_g({"inlineData": {"mimeType": "video/mp4", "data": FILM}}, {"text": QUESTION}))},
        meaning=m.films,
        expected=[FILM],
        named=PARTS,
    ),
    Asked(
        title="Documents given as text",
        wires={
            MESSAGES: messages(
                user_a(
                    [
                        {
                            "type": "document",
                            "title": "Guide",
                            "source": {"type": "text", "media_type": "text/plain", "data": "There is a tower."},
                            "citations": {"enabled": True},
                        },
                        {"type": "text", "text": QUESTION},
                    ]
                )
            )
        },
        meaning=m.document_texts,
        expected=[("There is a tower.", True)],
        named=PARTS,
    ),
    Asked(
        title="Files by id",
        wires={
            CHAT: chat(user_c([{"type": "file", "file": {"file_id": "file-1"}}, {"type": "text", "text": QUESTION}])),
            RESPONSES: responses(user_r([{"type": "input_file", "file_id": "file-1"}, {"type": "input_text", "text": QUESTION}])),
            MESSAGES: messages(
                user_a([{"type": "document", "source": {"type": "file", "file_id": "file_011"}}, {"type": "text", "text": QUESTION}])
            ),
        },
        meaning=m.file_ids,
        expected=["file-1"],
        expected_of={MESSAGES: ["file_011"]},
        named=PARTS,
    ),
]

CLOSED: Final = {**SCHEMA, "additionalProperties": False}


def drawn(c: Any = None, r: Any = None, a: Any = None, g: Any = None) -> dict[str, Any]:
    """Plain requests with settings in each dialect's words."""
    made: dict[str, Any] = {}
    if c is not None:
        made[CHAT] = chat(**c)
    if r is not None:
        made[RESPONSES] = responses(**r)
    if a is not None:
        made[MESSAGES] = messages(**a)
    if g is not None:
        made[GENERATE] = generate(generationConfig=g)
    return made


SETTINGS: Final = [
    Asked(
        title="Structured output",
        wires=drawn(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": CLOSED, "strict": True}}},
            {"text": {"format": {"type": "json_schema", "name": "place", "schema": CLOSED, "strict": True}}},
            {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
            {"responseMimeType": "application/json", "responseJsonSchema": CLOSED},
        ),
        meaning=m.output,
        expected=("json_schema", CLOSED),
        named=r"output",
    ),
    Asked(
        title="Any JSON",
        wires=drawn(
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
            None,
            {"responseMimeType": "application/json"},
        ),
        meaning=m.output,
        expected=("json", None),
        named=r"output",
    ),
    Asked(
        title="Verbosity",
        wires=drawn({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        meaning=m.verbosity,
        expected="low",
        named=r"output\.verbosity",
    ),
    Asked(
        title="Answers in pictures or sound",
        wires=drawn(
            {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
            None,
            None,
            {"responseModalities": ["TEXT", "AUDIO"]},
        ),
        meaning=m.modalities,
        expected=("text", "audio"),
        named=r"output\.modalities",
    ),
    Asked(
        title="Stop sequences",
        wires=drawn({"stop": ["END", "FIN"]}, None, {"stop_sequences": ["END", "FIN"]}, {"stopSequences": ["END", "FIN"]}),
        meaning=m.sampling("stop"),
        expected=(("END", "FIN"),),
        named=r"sampling\.stop",
    ),
    Asked(
        title="Most tokens",
        wires=drawn({"max_completion_tokens": 1000}, {"max_output_tokens": 1000}, {}, {"maxOutputTokens": 1000}),
        meaning=m.sampling("max_tokens"),
        expected=(1000,),
        named=r"sampling\.max_tokens",
    ),
    Asked(
        title="Temperature and top_p",
        wires=drawn(
            {"temperature": 0.5, "top_p": 0.9},
            {"temperature": 0.5, "top_p": 0.9},
            {"temperature": 0.5, "top_p": 0.9},
            {"temperature": 0.5, "topP": 0.9},
        ),
        meaning=m.sampling("temperature", "top_p"),
        expected=(0.5, 0.9),
        named=r"sampling\.(temperature|top_p)",
    ),
    Asked(
        title="top_k",
        wires=drawn(None, None, {"top_k": 40}, {"topK": 40}),
        meaning=m.sampling("top_k"),
        expected=(40,),
        named=r"sampling\.top_k",
    ),
    Asked(
        title="Penalties and seed",
        wires=drawn(
            {"frequency_penalty": 0.5, "presence_penalty": 0.25, "seed": 7},
            None,
            None,
            {"frequencyPenalty": 0.5, "presencePenalty": 0.25, "seed": 7},
        ),
        meaning=m.sampling("frequency_penalty", "presence_penalty", "seed"),
        expected=(0.5, 0.25, 7),
        named=r"sampling\.(frequency_penalty|presence_penalty|seed)",
    ),
    Asked(
        title="Biases of tokens",
        wires=drawn({"logit_bias": {"50256": -100}}),
        meaning=m.sampling("logit_bias"),
        expected=({"50256": -100},),
        named=r"sampling\.logit_bias",
    ),
    Asked(
        title="Log probabilities asked for",
        wires=drawn(
            {"logprobs": True, "top_logprobs": 3},
            {"top_logprobs": 3, "include": ["message.output_text.logprobs"]},
            None,
            {"responseLogprobs": True, "logprobs": 3},
        ),
        meaning=m.sampling("logprobs", "top_logprobs"),
        expected=(True, 3),
        named=r"logprobs",
    ),
    Asked(
        title="Several answers asked for",
        wires=drawn({"n": 2}, None, None, {"candidateCount": 2}),
        meaning=m.sampling("n"),
        expected=(2,),
        named=r"sampling\.n\b",
    ),
    Asked(
        title="Cache markers",
        wires={
            MESSAGES: messages(
                user_a([{"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}]),
                system=[{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
                tools=[tool_a(cache_control={"type": "ephemeral"})],
            ),
            CHAT: chat(
                {"role": "system", "content": [{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
                user_c([{"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}]),
                tools=[{**tool_c(), "cache_control": {"type": "ephemeral"}}],
            ),
        },
        meaning=m.cached,
        expected=([(RULES, "1h"), (QUESTION, None)], [("weather", None)]),
        named=r"cache",
    ),
    Asked(
        title="Cache key",
        wires=drawn({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        meaning=m.cache_key,
        expected="k",
        named=r"cache_key",
    ),
    Asked(
        title="Service tier",
        wires={
            CHAT: chat(service_tier="flex"),
            RESPONSES: responses(service_tier="flex"),
            MESSAGES: messages(service_tier="standard_only"),
            GENERATE: generate(serviceTier="flex"),
        },
        meaning=m.tier,
        expected="flex",
        expected_of={MESSAGES: "standard_only"},
        named=r"service_tier",
    ),
    Asked(
        title="Metadata",
        wires=drawn({"metadata": {"team": "a"}, "store": True}, {"metadata": {"team": "a"}}),
        meaning=m.metadata,
        expected={"team": "a"},
        named=r"metadata",
    ),
    Asked(
        title="User",
        wires=drawn({"user": "ann"}, {"user": "ann"}, {"metadata": {"user_id": "ann"}}),
        meaning=m.user,
        expected="ann",
        named=r"user",
    ),
    Asked(
        title="Storing",
        wires=drawn({"store": True}, {"store": True}),
        meaning=m.store,
        expected=True,
        named=r"store",
    ),
]

ASKED: Final = [*WORDS, *TOOLS, *THINKING, *MEDIA, *SETTINGS]
