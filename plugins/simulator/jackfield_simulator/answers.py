"""What the simulator's models say: one pure function a scenario, from a request to the parts of an answer.

How much of that a caller gets (`max_tokens`, stop sequences, several answers) is the business of `composing`, and how
it arrives of `delivery`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from jackfield.api import CallError, Request, failure
from jackfield.api.canonical import (
    Audio,
    Document,
    FinishReason,
    Image,
    Part,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)
from jackfield_simulator.samples import sample
from jackfield_simulator.tokens import count, pieces

LOREM: Final = (
    "The panel stands in the corner of the studio, and every cord that leaves it ends at some machine in the building. "
    "Whoever wants the piano in the second room takes a cord, finds the socket with the right label, and listens. "
    "Nothing about the piano changes, nothing about the room changes, and yet the sound is now here. "
    "In the evening all cords are taken out again, so that the next day may begin with an empty panel."
)
"""The text of `sim/lorem` and of the scenarios that break off."""

Texts = Mapping[str, str | tuple[str, ...]]
"""Scripts by name: one text, or one for each turn of the assistant, of which the last is repeated."""

_MOST_CALLS: Final = 4


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario is asked."""

    request: Request
    model: str
    """The name of the model, as the attempt says it."""
    stream: bool = False
    values: Mapping[str, str] = {}
    """What the model's name says, by the placeholders of the scenario's name."""
    texts: Texts = {}
    pace: float = 0.0
    """Seconds between two events."""

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell this turn from others of a conversation, and are the same at each repetition."""
        messages = self.request.messages
        latest = messages[-1].text if messages else ""
        return blake2b(f"{self.model}\n{len(messages)}\n{latest}".encode(errors="replace"), digest_size=6).hexdigest()

    @property
    def user_text(self) -> str:
        """What the user said last; the latest message of the user that holds words counts."""
        return next((m.text for m in reversed(self.request.messages) if m.role == "user" and m.text), "")

    def results(self) -> list[ToolResult]:
        """Return the results of tools that came since the assistant spoke last."""
        found: list[ToolResult] = []
        for message in reversed(self.request.messages):
            if message.role == "assistant":
                break
            found[:0] = [part for part in message.parts if isinstance(part, ToolResult)]
        return found


class Said(msgspec.Struct, frozen=True):
    """What a scenario says to a request, before the request's limits are applied."""

    parts: tuple[Part, ...]
    finish: FinishReason = "stop"
    numbered: bool = True
    """Further answers to one request (`n`) are told apart by a number at their end."""


def refused(message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None) -> CallError:
    """Return the error for a request that a scenario cannot serve: the caller's own mistake."""
    return CallError(failure("caller", message, status=status, code=code, param=param))


# ------------------------------------------------------------------------------------------------- texts


def echo(ask: Ask) -> Said:
    """Repeat what the user said last."""
    return _text(ask.user_text or "There are no words to repeat.")


def lorem(ask: Ask) -> Said:
    """Say the fixed text."""
    return _text(LOREM)


def long(ask: Ask) -> Said:
    """Say as many tokens as the name asks for."""
    wanted, words = int(ask.values["tokens"]), pieces(" " + LOREM)
    return _text("".join((words * (wanted // len(words) + 1))[:wanted]).lstrip())


def scripted(ask: Ask) -> Said:
    """Say the text that the name names, or what the system message holds, or the text `default`."""
    name = ask.values.get("name")
    if name is None and ask.request.system:
        return _text(ask.request.system)
    script = ask.texts.get(name or "default")
    if script is None and name is None:
        raise refused("sim/text says what the system message holds, and there is none; nor does the configuration have a text 'default'")
    if script is None:
        near = difflib.get_close_matches(name or "", ask.texts, 1) or list(ask.texts)[:1]
        hint = f"did you mean 'sim/text-{near[0]}'?" if near else "add it to `texts` in the plugin's configuration"
        raise refused(f"there is no text {name!r}; {hint}", status=404, code="model_not_found", param="model")
    if isinstance(script, str):
        return _text(script)
    turn = sum(message.role == "assistant" for message in ask.request.messages)
    return _text(script[min(turn, len(script) - 1)])


def filtered(ask: Ask) -> Said:
    """Say half of the fixed text, then be stopped by a filter."""
    return _text(_half(), "content_filter")


def unfinished(ask: Ask) -> Said:
    """Say half of the fixed text, then be out of tokens."""
    return _text(_half(), "length")


def _half() -> str:
    words = pieces(LOREM)
    return "".join(words[: len(words) // 2])


def refusal(ask: Ask) -> Said:
    """Decline."""
    return Said((Refusal(text="I cannot help with that."),), "refusal")


def blank(ask: Ask) -> Said:
    """Say nothing, and be done."""
    return Said(())


def _text(text: str, finish: FinishReason = "stop") -> Said:
    return Said((Text(text=text),), finish)


# ---------------------------------------------------------------------------------------------- thoughts


def reasoning(ask: Ask) -> Said:
    """Think about what the user said, unless thinking is off, then repeat it.

    The thoughts are signed, in a family of the simulator's own, so that what a signature goes through can be watched.
    """
    config, answer = ask.request.thinking, echo(ask)
    if config.mode == "off" or config.effort == "none":
        return answer
    thoughts = f"The user wrote {count(ask.user_text)} words. I am to repeat them. I need not do more than that."
    if config.budget is not None:
        thoughts = "".join(pieces(thoughts)[: max(1, config.budget)])
    signature = Signature(value=f"c2lt{ask.digest}", family="sim")
    return Said((Thinking(text=thoughts, signature=signature), *answer.parts))


# ------------------------------------------------------------------------------------------------- tools


def tools(ask: Ask) -> Said:
    """Call the tool that the request names, else the first one; after its result say what it was."""
    offered = _callable_tools(ask.request)
    if ask.results() or not offered:
        return _about_tools(ask)
    return Said((_call(ask, offered[0], 0),), "tool_calls")


def parallel_tools(ask: Ask) -> Said:
    """Call several tools at once: each that is offered, up to four, or a single one twice."""
    offered = _callable_tools(ask.request)
    if ask.results() or not offered:
        return _about_tools(ask)
    wanted = (offered if len(offered) > 1 else offered * 2)[:_MOST_CALLS]
    if ask.request.parallel_tools is False:
        wanted = wanted[:1]
    calls = [_call(ask, tool, index) for index, tool in enumerate(wanted)]
    preface = Text(text=f"I shall use {' and '.join(dict.fromkeys(tool.name for tool in wanted))}.")
    return Said((preface, *calls), "tool_calls")


def _callable_tools(request: Request) -> list[Tool]:
    """Return the caller's own tools that the request lets the model use, in their order."""
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        return []
    own = [tool for tool in request.tools if tool.kind != "hosted"]
    if choice is not None and choice.mode in ("named", "allowed"):
        return [tool for tool in own if tool.name in choice.names]
    return own


def _call(ask: Ask, tool: Tool, index: int) -> ToolCall:
    given = f"call_{ask.digest}_{index}"
    if tool.kind == "custom":
        return ToolCall(id=given, name=tool.name, kind="custom", arguments=ask.user_text or "text", namespace=tool.namespace)
    arguments = sample({"type": "object", **(tool.parameters or {})})
    return ToolCall(id=given, name=tool.name, arguments=json_text(arguments), namespace=tool.namespace)


def _about_tools(ask: Ask) -> Said:
    results = ask.results()
    if not results:
        return _text("No tool was offered that I could call.")
    names = {p.id: p.name for m in ask.request.messages for p in m.parts if isinstance(p, ToolCall)}
    return _text("\n".join(_about(result, names) for result in results))


def _about(result: ToolResult, names: Mapping[str, str]) -> str:
    name = result.name or names.get(result.call_id, "the tool")
    text = "".join(part.text for part in result.parts if isinstance(part, Text))
    return f"{name} {'failed' if result.is_error else 'said'}: {text or 'nothing in words'}"


# --------------------------------------------------------------------------------------- forms and media


def structured(ask: Ask) -> Said:
    """Answer JSON: a value that fits the request's schema, or an object that holds what the user said."""
    schema = ask.request.output.schema
    value = {"echo": ask.user_text} if schema is None else sample(schema)
    return Said((Text(text=json_text(value)),), numbered=False)


def json_text(value: Any) -> str:
    """Return a value as JSON text with a space after commas and colons, so that it streams in several pieces."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def describe(ask: Ask) -> Said:
    """Say how many images, documents, sounds and videos came, of which type and from where."""
    kinds: dict[str, list[str]] = {"image": [], "document": [], "audio": [], "video": []}
    for part in _media(ask.request):
        kinds[type(part).__name__.lower()].append(_about_medium(part))
    lines = [f"{len(found)} {kind}{'s' if len(found) > 1 else ''}: {', '.join(found)}" for kind, found in kinds.items() if found]
    return _text("\n".join(lines) or "No image, document, audio or video came.")


def _media(request: Request) -> list[Image | Document | Audio | Video]:
    parts = [part for message in request.messages for part in message.parts]
    inside = [inner for part in parts if isinstance(part, ToolResult) for inner in part.parts]
    return [part for part in (*parts, *inside) if isinstance(part, Image | Document | Audio | Video)]


def _about_medium(part: Image | Document | Audio | Video) -> str:
    if isinstance(part, Document) and part.text is not None:
        return f"text, {count(part.text)} words"
    source = part.source or Source()
    kind = source.media_type or (part.format if isinstance(part, Audio) else None) or "unknown type"
    if source.data is not None:
        return f"{kind}, {len(source.data) * 3 // 4 - source.data[-2:].count('=')} bytes"
    return f"{kind}, by {'URL' if source.url is not None else 'file id'}"
