"""What Messages refuses beyond wrong members and types.

Sources, all below https://platform.claude.com/docs/en: api/messages (`max_tokens`, roles, 4 breakpoints of a cache);
agents-and-tools/tool-use (`implement-tool-use`: results directly behind their calls and first in their message; names and
ids); build-with-claude/extended-thinking (budget of at least 1,024 and below `max_tokens` but for interleaved thinking; no
temperature, `top_k`, forced tool or begun answer with it; a thought before the last calls; thoughts come back unchanged, with
their signature); build-with-claude/vision (kinds of images); build-with-claude/structured-outputs. The messages are worded
after the API's own, as they are quoted in many reports of users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.upstreams.mint import Mint
from tests.upstreams.provider import Json, check_base64, fits, unique
from tests.upstreams.refusal import Path, Refused
from tests.upstreams.schema_rules import check_claude_input, check_claude_output

TOOL_NAME = r"[a-zA-Z0-9_-]{1,128}"
TOOL_ID = r"[a-zA-Z0-9_-]+"
SERVER_ID = r"srvtoolu_[a-zA-Z0-9_]+"
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def check(body: Json, headers: Mapping[str, str], mint: Mint) -> None:
    """Refuse a request that breaks a rule."""
    if body["max_tokens"] < 1:
        raise Refused(("max_tokens",), "Input should be greater than or equal to 1", "value")
    _check_options(body)
    _check_model(body)
    _check_tools(body)
    _check_thinking(body, "interleaved-thinking" in headers.get("anthropic-beta", ""))
    check_dialogue(body, mint)
    if (found := sum(1 for _ in _breakpoints(body))) > 4:
        raise Refused((), f"A maximum of 4 blocks with cache_control may be provided. Found {found}.")


def _check_options(body: Json) -> None:
    for name, high in (("temperature", 1), ("top_p", 1)):
        if body.get(name) is not None and not 0 <= body[name] <= high:
            raise Refused((name,), f"Input should be between 0 and {high}", "value")
    for number, stop in enumerate(body.get("stop_sequences") or ()):
        if not stop.strip():
            raise Refused(("stop_sequences", number), "each stop sequence must contain non-whitespace", "value")
    form = (body.get("output_config") or {}).get("format")
    if form:
        check_claude_output(form["schema"], ("output_config", "format", "schema"))
    user = (body.get("metadata") or {}).get("user_id")
    if user is not None and len(user) > 512:
        raise Refused(("metadata", "user_id"), "String should have at most 512 characters", "value")
    system = body.get("system")
    for number, block in enumerate(system if isinstance(system, list) else ()):
        if not block["text"].strip():
            raise Refused(("system", number), "text content blocks must be non-empty")


def _check_model(body: Json) -> None:
    """Refuse what a model is too old or too new for (guides `adaptive-thinking`, `effort` and those on migration).

    Before 4.6 there are budgets alone, from 4.7 on no sampling, with 4.7, 4.8 and 5.5 no budgets; Opus 4.5 has efforts already.
    """
    version, kind = _version(body["model"]), (body.get("thinking") or {}).get("type")
    if version is None:
        return
    if version < (4, 6) and kind == "adaptive":
        raise Refused((), "adaptive thinking is not supported on this model")
    if version < (4, 6) and (body.get("output_config") or {}).get("effort") and "opus-4-5" not in body["model"]:
        raise Refused((), "This model does not support the effort parameter.")
    if version in ((4, 7), (4, 8), (5, 5)) and kind in ("enabled", "disabled"):
        raise Refused(
            (), f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort".'
        )
    if version >= (4, 7) and (
        body.get("temperature") not in (None, 1) or body.get("top_p") not in (None, 1) or body.get("top_k") is not None
    ):
        raise Refused((), "temperature, top_p and top_k are not supported on this model")
    if version >= (4, 6) and body["messages"] and body["messages"][-1]["role"] == "assistant":
        raise Refused((), "This model does not support assistant message prefill. The conversation must end with a user message.")


def _version(model: str) -> tuple[int, int] | None:
    found = re.match(r"claude-[a-z]+-(\d)(?:-(\d))?(?:-\d{8})?$", model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _check_tools(body: Json) -> None:
    names = []
    for number, tool in enumerate(body.get("tools") or ()):
        path: Path = ("tools", number)
        if tool.get("type") in (None, "custom"):
            fits(tool["name"], TOOL_NAME, (*path, "custom", "name"))
            check_claude_input(tool["input_schema"], bool(tool.get("strict")), (*path, "custom", "input_schema"))
        names.append(tool.get("name") or f"({tool['type']} {number})")
    unique(names, ("tools",), "tool names")
    choice = body.get("tool_choice") or {}
    if choice and not names:
        raise Refused(("tool_choice",), "tool_choice may only be specified while providing tools")
    if choice.get("type") == "tool" and choice["name"] not in names:
        raise Refused(("tool_choice",), f"Tool '{choice['name']}' not found in provided tools")


def _check_thinking(body: Json, interleaved: bool) -> None:
    config = body.get("thinking") or {}
    if config.get("type") not in ("enabled", "adaptive"):
        return
    budget = config.get("budget_tokens")
    if budget is not None and budget < 1024:
        raise Refused(("thinking", "enabled", "budget_tokens"), "Input should be greater than or equal to 1024", "value")
    if budget is not None and budget >= body["max_tokens"] and not interleaved:
        raise Refused((), "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature") not in (None, 1):
        raise Refused((), "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
    if body.get("top_k") is not None:
        raise Refused((), "`top_k` must be unset when thinking is enabled or in adaptive mode.")
    if body.get("top_p") is not None and body["top_p"] < 0.95:
        raise Refused((), "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode.")
    if config["type"] == "enabled" and (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refused((), "Thinking may not be enabled when tool_choice forces tool use.")
    _check_last_thought(body, config["type"])


def _check_last_thought(body: Json, kind: str) -> None:
    """With a budget, the turn of the last calls begins with a thought; with or without one, nobody begins the answer."""
    said = [(n, m) for n, m in enumerate(body["messages"]) if m["role"] == "assistant"]
    if said and said[-1][0] == len(body["messages"]) - 1:
        raise Refused(("messages", said[-1][0]), "the answer may not be begun while thinking is enabled")
    if not said or kind != "enabled":
        return
    number, message = said[-1]
    blocks = message["content"] if isinstance(message["content"], list) else []
    if any(b["type"] == "tool_use" for b in blocks) and blocks[0]["type"] not in ("thinking", "redacted_thinking"):
        found = f"Expected `thinking` or `redacted_thinking`, but found `{blocks[0]['type']}`."
        text = "When `thinking` is enabled, a final `assistant` message must start with a thinking block."
        raise Refused(("messages", number, "content", 0, "type"), f"{found} {text}")


# ------------------------------------------------------------------------------------------------ the dialogue


def check_dialogue(body: Json, mint: Mint) -> None:
    """Refuse messages that do not fit together, or blocks that may not stand where they do."""
    messages = body["messages"]
    if not messages:
        raise Refused(("messages",), "at least one message is required")
    for number, message in enumerate(messages):
        _check_message(message, number == len(messages) - 1, ("messages", number), mint)
    _check_calls(messages)


def _check_message(message: Json, last: bool, path: Path, mint: Mint) -> None:
    content = message["content"]
    if not content and not (last and message["role"] == "assistant"):
        raise Refused(path, "all messages must have non-empty content except for the optional final assistant message")
    if last and message["role"] == "assistant" and (text := _last_text(content)) != text.rstrip():
        raise Refused(path, "final assistant content cannot end with trailing whitespace")
    for number, block in enumerate(content if isinstance(content, list) else ()):
        _check_block(block, (*path, "content", number), mint)


def _last_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return str(content[-1].get("text", "")) if content else ""


def _check_block(block: Json, path: Path, mint: Mint) -> None:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        what = "contain non-whitespace text" if block["text"] else "be non-empty"
        raise Refused((path[0], path[1]), f"text content blocks must {what}")
    if kind == "text" and not block["text"] and block.get("cache_control"):
        raise Refused(path, "cache_control cannot be set for empty text blocks")
    if kind == "image" and block["source"]["type"] == "base64":
        if block["source"]["media_type"] not in IMAGES:
            raise Refused((*path, "image", "source", "media_type"), f"Input should be one of {IMAGES}", "value")
        check_base64(block["source"]["data"], (*path, "image", "source", "data"))
    if kind == "document" and block["source"]["type"] == "base64":
        check_base64(block["source"]["data"], (*path, "document", "source", "data"))
    if kind in ("thinking", "redacted_thinking"):
        _check_signature(block, path, mint)
    if kind == "tool_use":
        fits(block["id"], TOOL_ID, (*path, "tool_use", "id"))
        fits(block["name"], TOOL_NAME, (*path, "tool_use", "name"))
    if kind == "server_tool_use":
        fits(block["id"], SERVER_ID, (*path, "server_tool_use", "id"))
    if kind == "tool_result":
        fits(block["tool_use_id"], TOOL_ID, (*path, "tool_result", "tool_use_id"))
        for number, part in enumerate(block["content"] if isinstance(block.get("content"), list) else ()):
            _check_block(part, (*path, "tool_result", "content", number), mint)


def _check_signature(block: Json, path: Path, mint: Mint) -> None:
    if block["type"] == "redacted_thinking":
        if block["data"] not in mint.known:
            raise Refused(path, "Invalid `data` in `redacted_thinking` block")
    elif block["signature"] not in mint.known:
        raise Refused(path, "Invalid `signature` in `thinking` block")
    elif mint.known[block["signature"]] != block["thinking"]:
        raise Refused(path, "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.")


def _check_calls(messages: list[Json]) -> None:
    """Each call is answered in the next message that is not the system's, and results stand before all else in it."""
    dialogue = [(number, message) for number, message in enumerate(messages) if message["role"] != "system"]
    asked: set[str] = set()
    used: list[str] = []
    for number, message in dialogue:
        blocks = message["content"] if isinstance(message["content"], list) else []
        answered = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        for index, block in enumerate(blocks):
            if block["type"] == "tool_result" and block["tool_use_id"] not in asked:
                text = f"unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. Each `tool_result` block must have"
                raise Refused(("messages", number, "content", index), f"{text} a corresponding `tool_use` block in the previous message.")
        unique(answered, ("messages", number), "each tool_use must have a single result: ids")
        _all_answered(asked - set(answered), number - 1, [b["type"] for b in blocks])
        asked = {b["id"] for b in blocks if b["type"] == "tool_use"} if message["role"] == "assistant" else set()
        used += [b["id"] for b in blocks if b["type"] == "tool_use"]
        unique(used, ("messages", number), "`tool_use` ids")
    _all_answered(asked, len(messages) - 1, [])


def _all_answered(left: set[str], number: int, kinds: list[str]) -> None:
    if left:
        text = f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(sorted(left))}."
        raise Refused(
            ("messages", number), f"{text} Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )
    results = [index for index, kind in enumerate(kinds) if kind == "tool_result"]
    if results and results != list(range(len(results))):
        raise Refused(("messages", number + 1), "`tool_result` blocks must come before all other content of their message")


def _breakpoints(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if isinstance(value.get("cache_control"), dict):
            yield value
        for name, member in value.items():
            if name not in ("input", "input_schema", "cache_control"):
                yield from _breakpoints(member)
    elif isinstance(value, list):
        for member in value:
            yield from _breakpoints(member)
