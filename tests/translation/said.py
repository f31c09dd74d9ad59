"""The features of answers, and errors."""

from __future__ import annotations

from typing import Any, Final

from tests.translation import meanings as m
from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES
from tests.translation.feature import Failed, Said
from tests.translation.players import sse
from tests.translation.wires import (
    MODEL,
    PIXEL,
    SOUND,
    call_a,
    call_c,
    call_g,
    call_r,
    candidate,
    completion,
    message,
    response,
    said_r,
)

ANSWER: Final = "Paris has a tower."
THOUGHT: Final = "Think of Paris."
SIGNED: Final = "c2lnbmVk"
SEALED: Final = "c2VhbGVk"
PAGE: Final = "https://example.com/tower"

PARTS: Final = r"parts\[\d+\]"
"""Losses of this form name a part of the answer."""


def text_a(text: str = ANSWER, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None, **more}


def reasoning(summary: str = "", **more: Any) -> dict[str, Any]:
    paragraphs = [{"type": "summary_text", "text": summary}] if summary else []
    return {"type": "reasoning", "id": "rs_1", "summary": paragraphs, **more}


def counted(**more: Any) -> dict[str, Any]:
    """Usage of a response."""
    return {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 150,
        **more,
    }


def tokens_c() -> dict[str, Any]:
    said = [
        {"token": "Paris", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "Paris", "logprob": -0.5, "bytes": None}]},
        {"token": ".", "logprob": -0.25, "bytes": None, "top_logprobs": []},
    ]
    return {"content": said, "refusal": None}


def tokens_r() -> list[dict[str, Any]]:
    said = tokens_c()["content"]
    return [{**one, "bytes": [], "top_logprobs": [{**top, "bytes": []} for top in one["top_logprobs"]]} for one in said]


WORDS: Final = [
    Said(
        title="Text",
        wires={
            CHAT: completion({"content": ANSWER}),
            RESPONSES: response(said_r(ANSWER)),
            MESSAGES: message(text_a()),
            GENERATE: candidate({"text": ANSWER}),
        },
        meaning=lambda response: (m.words(response), m.finish(response), m.counts(response)),
        expected=(ANSWER, "stop", (11, 7)),
        named=PARTS,
    ),
    Said(
        title="A call",
        wires={
            CHAT: completion({"content": None, "tool_calls": [call_c()]}, "tool_calls"),
            RESPONSES: response(call_r()),
            MESSAGES: message(call_a(), stop="tool_use"),
            GENERATE: candidate(call_g()),
        },
        meaning=lambda response: (m.calls_made(response), m.finish(response)),
        expected=([("function", None, "weather", "call_1", {"city": "Paris"})], "tool_calls"),
        named=PARTS,
    ),
    Said(
        title="Words and parallel calls",
        wires={
            CHAT: completion({"content": "Both.", "tool_calls": [call_c(), call_c("call_2", "time", "{}")]}, "tool_calls"),
            RESPONSES: response(said_r("Both."), call_r(), call_r("call_2", "time", "{}")),
            MESSAGES: message(text_a("Both."), call_a(), call_a("call_2", "time", "{}"), stop="tool_use"),
            GENERATE: candidate({"text": "Both."}, call_g(), call_g("call_2", "time", "{}")),
        },
        meaning=lambda response: (m.words(response), m.calls_made(response), m.finish(response)),
        expected=(
            "Both.",
            [("function", None, "weather", "call_1", {"city": "Paris"}), ("function", None, "time", "call_2", {})],
            "tool_calls",
        ),
        named=PARTS,
    ),
    Said(
        title="A call with free text",
        wires={
            CHAT: completion(
                {"content": None, "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "+ a line"}}]},
                "tool_calls",
            ),
            RESPONSES: response({"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "patch", "input": "+ a line"}),
        },
        meaning=lambda response: [(name, call_id, said) for _, _, name, call_id, said in m.calls_made(response)],
        expected=[("patch", "call_1", "+ a line")],
        named=PARTS,
    ),
    Said(
        title="A call in a namespace",
        wires={RESPONSES: response(call_r(namespace="crm"))},
        meaning=m.calls_made,
        expected=[("function", "crm", "weather", "call_1", {"city": "Paris"})],
        named=PARTS,
    ),
    Said(
        title="Several answers",
        wires={
            CHAT: completion(
                [
                    {"index": 0, "message": {"content": "One."}, "finish_reason": "stop", "logprobs": None},
                    {"index": 1, "message": {"content": "Two."}, "finish_reason": "length", "logprobs": None},
                ]
            ),
            GENERATE: {
                **candidate(),
                "candidates": [
                    candidate({"text": "One."})["candidates"][0],
                    candidate({"text": "Two."}, index=1, finish="MAX_TOKENS")["candidates"][0],
                ],
            },
        },
        meaning=m.every_choice,
        expected=[(0, "One.", "stop"), (1, "Two.", "length")],
        named=r"choices\[1\]|choices",
    ),
]

THINKING: Final = [
    Said(
        title="Thoughts",
        wires={
            CHAT: completion({"content": ANSWER, "reasoning_content": THOUGHT}),
            RESPONSES: response(reasoning(THOUGHT), said_r(ANSWER)),
            MESSAGES: message({"type": "thinking", "thinking": THOUGHT, "signature": SIGNED}, text_a()),
            GENERATE: candidate({"text": THOUGHT, "thought": True}, {"text": ANSWER}),
        },
        meaning=lambda response: (m.thought(response), m.words(response)),
        expected=(THOUGHT, ANSWER),
        named=PARTS,
    ),
    Said(
        title="Signatures of thoughts",
        wires={
            CHAT: completion(
                {
                    "content": ANSWER,
                    "reasoning": THOUGHT,
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": THOUGHT, "signature": SIGNED, "format": "anthropic-claude-v1", "index": 0}
                    ],
                }
            ),
            RESPONSES: response(reasoning(THOUGHT, encrypted_content=SIGNED), said_r(ANSWER)),
            MESSAGES: message({"type": "thinking", "thinking": THOUGHT, "signature": SIGNED}, text_a()),
            GENERATE: candidate({"text": THOUGHT, "thought": True}, {"text": ANSWER, "thoughtSignature": SIGNED}),
        },
        meaning=lambda response: [pair for _, *pair in m.signed(response)],
        expected=[["anthropic", SIGNED]],
        expected_of={RESPONSES: [["openai", SIGNED]], GENERATE: [["gemini", SIGNED]]},
        named=PARTS,
    ),
    Said(
        title="Signatures of calls",
        wires={
            CHAT: completion(
                {"content": None, "tool_calls": [{**call_c(), "extra_content": {"google": {"thought_signature": SIGNED}}}]}, "tool_calls"
            ),
            GENERATE: candidate({**call_g(), "thoughtSignature": SIGNED}),
        },
        meaning=lambda response: ([pair for _, *pair in m.signed(response)], m.calls_made(response)),
        expected=([["gemini", SIGNED]], [("function", None, "weather", "call_1", {"city": "Paris"})]),
        named=PARTS,
    ),
    Said(
        title="Encrypted thoughts",
        wires={
            CHAT: completion(
                {
                    "content": ANSWER,
                    "reasoning_details": [
                        {"type": "reasoning.encrypted", "data": SEALED, "format": "openai-responses-v1", "id": "rs_1", "index": 0}
                    ],
                }
            ),
            RESPONSES: response(reasoning(encrypted_content=SEALED), said_r(ANSWER)),
            MESSAGES: message({"type": "redacted_thinking", "data": SEALED}, text_a()),
        },
        meaning=lambda response: ([pair for _, *pair in m.signed(response)], m.words(response)),
        expected=([["openai", SEALED]], ANSWER),
        expected_of={MESSAGES: ([["anthropic", SEALED]], ANSWER)},
        named=PARTS,
    ),
]

CITED_A: Final = {
    "type": "web_search_result_location",
    "url": PAGE,
    "title": "The tower",
    "encrypted_index": "aW5kZXg=",
    "cited_text": "There is a tower.",
}
CITED: Final = [
    Said(
        title="Citations of web pages",
        wires={
            CHAT: completion(
                {
                    "content": ANSWER,
                    "annotations": [
                        {"type": "url_citation", "url_citation": {"url": PAGE, "title": "The tower", "start_index": 0, "end_index": 18}}
                    ],
                }
            ),
            RESPONSES: response(
                said_r(ANSWER, [{"type": "url_citation", "url": PAGE, "title": "The tower", "start_index": 0, "end_index": 18}])
            ),
            MESSAGES: message(text_a(citations=[CITED_A])),
            GENERATE: candidate(
                {"text": ANSWER},
                groundingMetadata={
                    "webSearchQueries": ["tower"],
                    "groundingChunks": [{"web": {"uri": PAGE, "title": "The tower"}}],
                    "groundingSupports": [
                        {
                            "segment": {"startIndex": 0, "endIndex": 18, "text": ANSWER},
                            "groundingChunkIndices": [0],
                            "confidenceScores": [0.9],
                        }
                    ],
                },
            ),
        },
        meaning=lambda response: (m.words(response), m.citations(response)),
        expected=(ANSWER, [(PAGE, "The tower")]),
        named=r"citations|parts\[\d+\]",
    ),
    Said(
        title="Citations of documents",
        wires={
            MESSAGES: message(
                text_a(
                    citations=[
                        {
                            "type": "char_location",
                            "cited_text": "There is a tower.",
                            "document_index": 0,
                            "document_title": "Guide",
                            "start_char_index": 0,
                            "end_char_index": 17,
                            "file_id": None,
                        }
                    ]
                )
            ),
            RESPONSES: response(said_r(ANSWER, [{"type": "file_citation", "file_id": "file_1", "filename": "Guide", "index": 0}])),
        },
        meaning=lambda response: [title for _, title in m.citations(response)],
        expected=["Guide"],
        named=r"citations|parts\[\d+\]",
    ),
    Said(
        title="A hosted web search that ran",
        wires={
            RESPONSES: response(
                {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "tower"}},
                said_r(ANSWER),
            ),
            MESSAGES: message(
                {
                    "type": "server_tool_use",
                    "id": "srvtoolu_1",
                    "name": "web_search",
                    "input": {"query": "tower"},
                    "caller": {"type": "direct"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_1",
                    "caller": {"type": "direct"},
                    "content": [
                        {"type": "web_search_result", "url": PAGE, "title": "The tower", "encrypted_content": "ZW5j", "page_age": None}
                    ],
                },
                text_a(),
            ),
        },
        meaning=lambda response: (m.searches(response), m.words(response)),
        expected=(["web_search"], ANSWER),
        named=PARTS,
    ),
    Said(
        title="Log probabilities",
        wires={
            CHAT: completion([{"index": 0, "message": {"content": "Paris."}, "finish_reason": "stop", "logprobs": tokens_c()}]),
            RESPONSES: response(said_r("Paris.", logprobs=tokens_r())),
            GENERATE: candidate(
                {"text": "Paris."},
                logprobsResult={
                    "chosenCandidates": [{"token": "Paris", "logProbability": -0.5}, {"token": ".", "logProbability": -0.25}],
                    "topCandidates": [{"candidates": [{"token": "Paris", "logProbability": -0.5}]}, {"candidates": []}],
                },
            ),
        },
        meaning=m.logprobs,
        expected=[("Paris", -0.5), (".", -0.25)],
        named=r"logprobs",
    ),
    Said(
        title="Pictures",
        wires={
            CHAT: completion(
                {"content": "Here.", "images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}, "index": 0}]}
            ),
            RESPONSES: response(
                said_r("Here."),
                {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PIXEL, "output_format": "png"},
            ),
            GENERATE: candidate({"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}),
        },
        meaning=lambda response: (m.words(response), m.pictures(response)),
        expected=("Here.", [PIXEL]),
        named=PARTS,
    ),
    Said(
        title="Sound",
        wires={
            CHAT: completion({"content": None, "audio": {"id": "audio_1", "expires_at": 1800000000, "data": SOUND, "transcript": "Here."}}),
            GENERATE: candidate({"inlineData": {"mimeType": "audio/wav", "data": SOUND}}),
        },
        meaning=m.sound,
        expected=[SOUND],
        named=PARTS,
    ),
    Said(
        title="Refusals",
        wires={
            CHAT: completion({"content": None, "refusal": "I would rather not."}),
            RESPONSES: response(
                {
                    "type": "message",
                    "id": "msg_1",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "refusal", "refusal": "I would rather not."}],
                }
            ),
        },
        meaning=m.refusal,
        expected=["I would rather not."],
        named=PARTS,
    ),
]

COUNTS: Final = [
    Said(
        title="Cached tokens",
        wires={
            CHAT: completion(
                {"content": ANSWER},
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "total_tokens": 150,
                    "prompt_tokens_details": {"cached_tokens": 60},
                },
            ),
            RESPONSES: response(said_r(ANSWER), usage=counted(input_tokens_details={"cached_tokens": 60, "cache_write_tokens": 0})),
            MESSAGES: message(text_a(), usage={"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 50}),
            GENERATE: candidate(
                {"text": ANSWER},
                usage={"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 50, "totalTokenCount": 150},
            ),
        },
        meaning=m.cache_counts,
        expected=(100, 60),
        named=r"usage",
    ),
    Said(
        title="Tokens written to a cache",
        wires={
            CHAT: completion(
                {"content": ANSWER},
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "total_tokens": 150,
                    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 60},
                },
            ),
            RESPONSES: response(said_r(ANSWER), usage=counted(input_tokens_details={"cached_tokens": 0, "cache_write_tokens": 60})),
            MESSAGES: message(text_a(), usage={"input_tokens": 40, "cache_creation_input_tokens": 60, "output_tokens": 50}),
        },
        meaning=m.cache_writes,
        expected=(100, 60),
        named=r"usage",
    ),
    Said(
        title="Tokens of thought",
        wires={
            CHAT: completion(
                {"content": ANSWER},
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "total_tokens": 150,
                    "completion_tokens_details": {"reasoning_tokens": 30},
                },
            ),
            RESPONSES: response(said_r(ANSWER), usage=counted(output_tokens_details={"reasoning_tokens": 30})),
            MESSAGES: message(text_a(), usage={"input_tokens": 100, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}}),
            GENERATE: candidate(
                {"text": ANSWER},
                usage={"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 30, "totalTokenCount": 150},
            ),
        },
        meaning=m.thinking_counts,
        expected=(50, 30),
        named=r"usage",
    ),
    Said(
        title="Service tier",
        wires={
            CHAT: completion({"content": ANSWER}, service_tier="priority"),
            RESPONSES: response(said_r(ANSWER), service_tier="priority"),
            MESSAGES: message(text_a(), usage={"service_tier": "priority"}),
        },
        meaning=m.answered_tier,
        expected="priority",
        named=r"service_tier",
    ),
]


def cut(reason: str) -> dict[str, Any]:
    """A response that was cut short."""
    return response(said_r(ANSWER), status="incomplete", incomplete_details={"reason": reason})


ENDS: Final = [
    Said(
        title="Finish: most tokens reached",
        wires={
            CHAT: completion({"content": ANSWER}, "length"),
            RESPONSES: cut("max_output_tokens"),
            MESSAGES: message(text_a(), stop="max_tokens"),
            GENERATE: candidate({"text": ANSWER}, finish="MAX_TOKENS"),
        },
        meaning=m.finish,
        expected="length",
        named=r"finish",
    ),
    Said(
        title="Finish: filtered",
        wires={
            CHAT: completion({"content": ANSWER}, "content_filter"),
            RESPONSES: cut("content_filter"),
            GENERATE: candidate({"text": ANSWER}, finish="SAFETY"),
        },
        meaning=m.finish,
        expected="content_filter",
        named=r"finish",
    ),
    Said(
        title="Finish: declined",
        wires={MESSAGES: message(text_a(), stop="refusal")},
        meaning=m.finish,
        expected="refusal",
        named=r"finish",
    ),
    Said(
        title="Finish: a stop sequence",
        wires={MESSAGES: message(text_a(), stop="stop_sequence", stop_sequence="END")},
        meaning=m.stop_sequence,
        expected=("stop_sequence", "END"),
        named=r"finish|stop_sequence",
    ),
    Said(
        title="Finish: paused",
        wires={MESSAGES: message(text_a(), stop="pause_turn")},
        meaning=m.finish,
        expected="pause",
        named=r"finish",
    ),
    Said(
        title="Finish: context full",
        wires={MESSAGES: message(text_a(), stop="model_context_window_exceeded")},
        meaning=m.finish,
        expected="context_length",
        named=r"finish",
    ),
]

SAID: Final = [*WORDS, *THINKING, *CITED, *COUNTS, *ENDS]

# --------------------------------------------------------------------------------------------------- errors

TYPES_A: Final = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error", 503: "overloaded_error",
}  # fmt: skip
STATUS_G: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 529: "UNAVAILABLE",
}  # fmt: skip
TYPES_O: Final = {
    400: "invalid_request_error", 401: "invalid_request_error", 403: "invalid_request_error", 404: "invalid_request_error",
    413: "invalid_request_error", 429: "rate_limit_error", 500: "server_error", 503: "service_unavailable_error", 529: "server_error",
}  # fmt: skip


def error_wires(status: int, says: str) -> dict[str, Any]:
    """The same error as each provider's reference writes it."""
    openai = {"error": {"message": says, "type": TYPES_O[status], "param": None, "code": None}}
    return {
        CHAT: openai,
        RESPONSES: openai,
        MESSAGES: {"type": "error", "error": {"type": TYPES_A[status], "message": says}, "request_id": "req_1"},
        GENERATE: {"error": {"code": status, "message": says, "status": STATUS_G[status]}},
    }


def broken_streams(says: str) -> dict[str, bytes]:
    """Streams that say half an answer and then break off with an error."""
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": MODEL}
    begun = response(status="in_progress", usage=None)
    place = {"item_id": "msg_1", "output_index": 0}
    item = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    failed = {**begun, "status": "failed", "error": {"code": "server_error", "message": says}}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "content_index": 0, "part": empty},
        {"type": "response.output_text.delta", **place, "content_index": 0, "delta": "Half", "logprobs": []},
        {"type": "response.failed", "response": failed},
    ]
    started = message(stop=None, usage={"output_tokens": 1})  # type: ignore[arg-type]
    blocks: list[dict[str, Any]] = [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Half"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": says}},
    ]
    half = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Half"}]}, "index": 0}], "modelVersion": MODEL}
    return {
        CHAT: sse({**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Half"}, "finish_reason": None}]})
        + sse({"error": {"message": says, "type": "server_error", "param": None, "code": None}}),
        RESPONSES: b"".join(sse({**event, "sequence_number": at}, event["type"]) for at, event in enumerate(events)),
        MESSAGES: b"".join(sse(block, block["type"]) for block in blocks),
        GENERATE: sse(half, end="\r\n\r\n") + sse({"error": {"code": 503, "message": says, "status": "UNAVAILABLE"}}, end="\r\n\r\n"),
    }


OVERLOADED: Final = "The model is overloaded."
FAILED: Final = [
    *(
        Failed(title=f"An error {status} instead of an answer", status=status, wires=error_wires(status, f"It went wrong: {status}."))
        for status in (400, 401, 403, 404, 413, 429, 500, 503, 529)
    ),
    Failed(title="An error inside the stream", status=503, wires=error_wires(503, OVERLOADED), streams=broken_streams(OVERLOADED)),
]
