"""A request made sayable in another dialect, and its answer put back into the words of the one who asked.

Names and ids of tools that a dialect does not take are replaced, namespaces become part of the name, and a tool that takes
free text becomes a function that takes one text. Which of these a dialect needs is said by its traits (`Dialect.tool_name`
and those beside it). The answer's tool calls are turned back: whole, or delta by delta.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from jackfield.api.canonical.memo import Memo, Runs, measured
from jackfield.api.canonical.parts import Message, Part, ToolCall, ToolResult
from jackfield.api.canonical.request import Request, Tool, ToolChoice
from jackfield.api.canonical.response import Choice, Response
from jackfield.api.canonical.stream import ArgumentsDelta, Delta, PartEnd, PartStart
from jackfield.api.dialect import Dialect, Loss

ARGUMENT: Final = "input"
"""The one argument of a function that stands for a tool which takes free text."""

_FREE_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {ARGUMENT: {"type": "string"}},
    "required": [ARGUMENT],
    "additionalProperties": False,
}
_FOREIGN: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_TEXT_BEGINS: Final = re.compile(r'\s*\{\s*"' + ARGUMENT + r'"\s*:\s*"')
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}

_HIGH_SURROGATES: Final = ("d8", "d9", "da", "db")
"""How the first halves of escaped pairs begin (RFC 8259, section 7)."""

_Name = tuple[str | None, str]
"""A tool's namespace and name."""

_Plain = frozenset[str] | None
"""The tools that messages name, if they say nothing that a dialect may have to be spared, save perhaps those names; else None."""

_Match = Callable[[str], re.Match[str] | None]

Restore = Callable[[Sequence[Delta]], list[Delta]]
"""Turns the deltas of one stream back, those that came together at a time."""


class Fitting:
    """One request as a dialect can say it (`request`), and the way back for its answer."""

    def __init__(self, request: Request, dialect: Dialect, losses: list[Loss]) -> None:
        self._dialect, self._losses = dialect, losses
        self._name, self._id, self._looked, self._sayable = _rules(dialect.tool_name, dialect.tool_id)
        self._names: dict[_Name, str] = {}
        self._results: dict[str, str] = {}
        """The fitted name for a tool's own: results do not tell the namespace."""
        self._taken: set[_Name] = set()
        self._same: set[str] = set()
        """Names without a namespace that stay as they are."""
        self._ids: dict[str, str] = {}
        self._tools: dict[_Name, Tool] = {}
        """What a name of the fitted request stands for, where the two differ."""
        tools = self._fitted_tools(request.tools)
        self._same |= {tool.name for tool in tools if self._stays(tool.name)}
        self.request = replace(
            request,
            tools=tools,
            tool_choice=self._choice(request.tool_choice) if request.tool_choice is not None else None,
            messages=self._messages(request.messages),
        )

    def restore(self, response: Response) -> Response:
        """Return an answer with the tool calls that the request's own tools would have been called by."""
        if not self._tools:
            return response
        return replace(response, choices=tuple(map(self._whole_choice, response.choices)))

    def restore_stream(self) -> Restore | None:
        """Return what does the same for one stream; None where there is nothing to be turned back."""
        return _StreamRestorer(self._tools).feed if self._tools else None

    # ------------------------------------------------------------------------------------------- the request

    def _fitted_tools(self, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        known = self._sayable.get(id(tools))
        if known is not None:
            self._results = {name: name for name in known[1]}
            self._names = {(None, name): name for name in known[1]}
            self._taken = set(self._names)
            return tools
        fitted = tuple(self._tool(tool, f"tools[{at}]") for at, tool in enumerate(tools))
        if not all(map(is_, fitted, tools)):
            return fitted
        size = measured(tools)
        if size is not None and all(tool.kind != "custom" and tool.namespace is None for tool in tools):
            self._sayable.put(id(tools), (tools, tuple(self._results)), size)  # whatever else the dialect's traits say
        return tools

    def _tool(self, tool: Tool, path: str) -> Tool:
        if tool.kind == "hosted":
            return tool
        name = self._fitted_name(tool.namespace, tool.name, path)
        fitted = tool
        if tool.kind == "custom" and not self._dialect.custom_tools:
            self._losses.append(Loss(path, "changed", f"{self._dialect.name} has no tools of free text: a function with one text instead"))
            fitted = replace(
                tool, kind="function", parameters=_FREE_TEXT, description=_described(tool), grammar=None, grammar_syntax=None, strict=None
            )
        namespace = tool.namespace if self._dialect.namespaces else None
        if (namespace, name) != (tool.namespace, tool.name):
            fitted = replace(fitted, name=name, namespace=namespace)
        if fitted is not tool:
            self._tools[namespace, name] = tool
        return fitted

    def _fitted_name(self, namespace: str | None, name: str, path: str) -> str:
        known = self._names.get((namespace, name))
        if known is not None:
            return known
        wanted = name if namespace is None or self._dialect.namespaces else f"{namespace}__{name}"
        within = namespace if self._dialect.namespaces else None
        free = self._name(wanted) is not None and (within, wanted) not in self._taken
        fitted = wanted if free else self._made_name(wanted, f"{namespace}\x00{name}")
        if fitted != name:
            self._losses.append(
                Loss(f"{path}.name", "changed", f"{name if namespace is None else f'{namespace}.{name}'!r} is called {fitted!r} upstream")
            )
        self._names[namespace, name] = fitted
        self._results.setdefault(name, fitted)
        self._taken.add((within, fitted))
        return fitted

    def _made_name(self, wanted: str, whole: str) -> str:
        """Return a name that the dialect takes: what is left of the one wanted, with a mark that tells it from others."""
        mark, stem = hashlib.sha256(whole.encode(errors="replace")).hexdigest()[:8], _FOREIGN.sub("_", wanted).strip("-") or "tool"
        stems = (stem, f"t_{stem}", f"t_{stem.lower().replace('-', '_')}")
        made = (f"{said[:length]}_{mark}" for length in (54, 40, 30, 20, 10) for said in stems)
        return next((name for name in made if self._name(name) is not None), f"tool_{mark}")

    def _fitted_id(self, call_id: str, at: int, place: int) -> str:
        fitted = call_id
        if self._id(call_id) is None:
            digest = hashlib.sha256(call_id.encode(errors="replace")).hexdigest()
            fitted = next(made for made in (f"call_{digest[:24]}", digest[:24], digest[:9]) if self._id(made))
            where = f"messages[{at}].parts[{place}].id"
            self._losses.append(Loss(where, "changed", f"{self._dialect.name} does not take the id {call_id[:80]!r}"))
        self._ids[call_id] = fitted
        return fitted

    def _choice(self, choice: ToolChoice) -> ToolChoice:
        declared = {tool.name: tool for tool in self._tools.values()}
        names = tuple(self._names.get((declared[name].namespace if name in declared else None, name), name) for name in choice.names)
        kind = "function" if choice.kind == "custom" and not self._dialect.custom_tools else choice.kind
        return choice if (names, kind) == (choice.names, choice.kind) else replace(choice, names=names, kind=kind)

    def _messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        fitted: list[Message] | None = None
        at = 0
        for run, known in self._looked.of(messages):
            (names,) = known if known is not None else self._looked.keep(run, (self._look(run),))
            if names is None or not names <= self._same:
                for message in run:
                    new = self._message(message, at)
                    if new is not message:
                        fitted = fitted or list(messages)
                        fitted[at] = new
                    at += 1
                self._same |= {name for name in names or () if self._stays(name)}
            else:
                at += len(run)
        return tuple(fitted) if fitted is not None else messages

    def _stays(self, name: str) -> bool:
        return self._names.get((None, name)) == name == self._results.get(name)

    def _look(self, run: Sequence[Message]) -> _Plain:
        """Return which tools messages name; it hangs on nothing else in the conversation."""
        parts = [part for message in run for part in message.parts if isinstance(part, ToolCall | ToolResult)]
        return frozenset(part.name for part in parts if part.name) if all(map(self._is_plain, parts)) else None

    def _is_plain(self, part: ToolCall | ToolResult) -> bool:
        call_id, namespace = (part.call_id, None) if isinstance(part, ToolResult) else (part.id, part.namespace)
        return part.kind == "function" and namespace is None and self._id(call_id) is not None

    def _message(self, message: Message, at: int) -> Message:
        parts: list[Part] | None = None
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolCall | ToolResult) and (new := self._part(part, at, place)) is not part:
                parts = parts or list(message.parts)
                parts[place] = new
        return message if parts is None else replace(message, parts=tuple(parts))

    def _part(self, part: ToolCall | ToolResult, at: int, place: int) -> Part:
        plain = part.kind == "custom" and not self._dialect.custom_tools
        if isinstance(part, ToolResult):
            call_id = self._ids.get(part.call_id) or self._fitted_id(part.call_id, at, place)
            name = part.name and (self._results.get(part.name) or self._fitted_name(None, part.name, f"messages[{at}].parts[{place}]"))
            same = call_id == part.call_id and name == part.name and not plain
            return part if same else replace(part, call_id=call_id, name=name, kind="function" if plain else part.kind)
        known = self._names.get((part.namespace, part.name))
        name = known or self._fitted_name(part.namespace, part.name, f"messages[{at}].parts[{place}]")
        call_id = self._ids.get(part.id) or self._fitted_id(part.id, at, place)
        namespace = part.namespace if self._dialect.namespaces else None
        if name == part.name and call_id == part.id and namespace == part.namespace and not plain:
            return part
        arguments = msgspec.json.encode({ARGUMENT: part.arguments}).decode() if plain else part.arguments
        return replace(part, name=name, id=call_id, namespace=namespace, arguments=arguments, kind="function" if plain else part.kind)

    # -------------------------------------------------------------------------------------------- the answer

    def _whole_choice(self, choice: Choice) -> Choice:
        parts = tuple(self._called(part) if isinstance(part, ToolCall) else part for part in choice.message.parts)
        return replace(choice, message=replace(choice.message, parts=parts))

    def _called(self, part: ToolCall) -> ToolCall:
        tool = self._tools.get((part.namespace, part.name))
        if tool is None:
            return part
        arguments = free_text(part.arguments) if tool.kind == "custom" and part.kind == "function" else part.arguments
        return replace(_renamed(part, tool), arguments=arguments)


@lru_cache
def _rules(name: str, call_id: str) -> tuple[_Match, _Match, Runs[tuple[_Plain]], Memo[tuple[tuple[Tool, ...], tuple[str, ...]]]]:
    """Return how names and ids of tools are judged, what is known of messages that were, and of lists of tools with all their names."""
    return re.compile(name).fullmatch, re.compile(call_id).fullmatch, Runs(), Memo()


def fit(request: Request, dialect: Dialect, losses: list[Loss]) -> Fitting:
    """Return a request as `dialect` can say it; what had to change is added to `losses`."""
    return Fitting(request, dialect, losses)


def free_text(arguments: str) -> str:
    """Return the text in the arguments of a function that stands for a tool of free text."""
    try:
        said = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return arguments
    return said[ARGUMENT] if isinstance(said, dict) and isinstance(said.get(ARGUMENT), str) else arguments


def _described(tool: Tool) -> str:
    lines = [tool.description or "", f"Put the tool's whole input, as plain text, into {ARGUMENT!r}."]
    if tool.grammar:
        lines.append(f"It must follow this {tool.grammar_syntax or ''} grammar:\n{tool.grammar}")
    return "\n\n".join(filter(None, lines))


def _renamed(part: ToolCall, tool: Tool) -> ToolCall:
    return replace(part, name=tool.name, namespace=tool.namespace, kind="custom" if tool.kind == "custom" else part.kind)


class _StreamRestorer:
    """Turns the tool calls of one stream back."""

    def __init__(self, tools: dict[_Name, Tool]) -> None:
        self._tools = tools
        self._texts: dict[tuple[int, int], _FreeText] = {}

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """Return deltas that came together, turned back."""
        return [new for delta in deltas for new in self._one(delta)]

    def _one(self, delta: Delta) -> Sequence[Delta]:
        match delta:
            case PartStart(part=ToolCall() as part) if (tool := self._tools.get((part.namespace, part.name))) is not None:
                return self._start(delta, part, tool)
            case ArgumentsDelta() if (text := self._texts.get((delta.choice, delta.index))) is not None:
                words = text.feed(delta.text)
                return (replace(delta, text=words),) if words else ()
            case PartEnd() if (text := self._texts.pop((delta.choice, delta.index), None)) is not None:
                words = text.rest()
                return (ArgumentsDelta(choice=delta.choice, index=delta.index, text=words), delta) if words else (delta,)
        return (delta,)

    def _start(self, delta: PartStart, part: ToolCall, tool: Tool) -> Sequence[Delta]:
        called = _renamed(part, tool)
        if tool.kind != "custom" or part.kind == "custom":
            return (replace(delta, part=called),)
        self._texts[delta.choice, delta.index] = text = _FreeText()
        return (replace(delta, part=replace(called, arguments=text.feed(part.arguments))),)


class _FreeText:
    """Takes the one text out of a function's arguments while these come in."""

    def __init__(self) -> None:
        self._all = ""
        self._at: int | None = None
        """Where the text goes on that was not given out yet; None before its opening quote."""
        self._said = False
        self._over = False

    def feed(self, piece: str) -> str:
        """Take more of the arguments; return what of the text can be told by now."""
        self._all += piece
        if self._at is None and (begins := _TEXT_BEGINS.match(self._all)) is not None:
            self._at = begins.end()
        words: list[str] = []
        while self._at is not None and not self._over and (step := self._next(self._at)) is not None:
            text, self._at = step
            words.append(text)
        self._said = self._said or bool(words)
        return "".join(words)

    def _next(self, at: int) -> tuple[str, int] | None:
        """Return the next words of the text and where they end; None when more has to come."""
        if at >= len(self._all):
            return None
        if self._all[at] == '"':
            self._over = True
            return None
        if self._all[at] != "\\":
            ends = min((found for mark in '"\\' if (found := self._all.find(mark, at)) >= 0), default=len(self._all))
            return self._all[at:ends], ends
        return self._escaped(at)

    def _escaped(self, at: int) -> tuple[str, int] | None:
        kind = self._all[at + 1 : at + 2]
        if kind != "u":
            return (_ESCAPES.get(kind, kind), at + 2) if kind else None
        high, low = self._all[at : at + 6], self._all[at + 6 : at + 12]
        paired = high[2:4].lower() in _HIGH_SURROGATES
        if len(high) < 6 or (paired and len(low) < 6):
            return None
        whole = high + low if paired and low.startswith("\\u") else high
        try:
            return msgspec.json.decode(f'"{whole}"'), at + len(whole)
        except ValueError:
            return "\ufffd", at + len(whole)

    def rest(self) -> str:
        """Return what was not given out, when the arguments are whole."""
        return "" if self._said or self._over else free_text(self._all)
