"""Looking at one event or one answer without knowing what came before, and without decoding all of it.

Parts are told apart by where they stand in the output: the number of an item, and of a part within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from jackfield.api import Event, Glance, Repeat
from jackfield.api.canonical import ArgumentsDelta, Delta, PartEnd, PartStart, TextDelta, ThinkingDelta, ToolCall, Usage
from jackfield_openai.errors import read_error, with_status
from jackfield_openai.responses import calls, events
from jackfield_openai.responses.responses import decode_failure
from jackfield_openai.responses.streams import ResponsesStreamDecoder, data_of
from jackfield_openai.responses.usage import count, decode_usage
from jackfield_openai.responses.wire import Answer, Counts, InputDetails, OutputDetails, answer, lifecycle, seen

_WITHIN: Final = 16
"""Bits that an item's number may have."""
_THOUGHTS: Final = 1 << (_WITHIN - 1)
"""What tells the thoughts of an item from the paragraphs of their summary."""

_Of = Literal["text", "thinking", "arguments"]


def part_key(item: int, within: int = 0, *, thoughts: bool = False) -> int:
    """Return the number of a part for an eye that sees one event alone."""
    return item + (within << _WITHIN) + (_THOUGHTS if thoughts else 0)


def type_of(event: Event) -> str:
    """Return an event's type: its name, or what its data says where it has none."""
    if event.name:
        return event.name
    try:
        return seen(event.data).type
    except ValueError:
        return ""


def read(event: Event) -> Sequence[Delta]:
    """Return what an event says."""
    name = event.name
    if not name or name in events.DELTAS:
        try:
            said = seen(data_of(event))
        except ValueError:
            return _read_slowly(event)
        if said.type in events.DELTAS:
            return (_delta(said.type, said),) if isinstance(said.delta, str) else ()
        name = name or said.type
    if name == events.ITEM_ADDED:
        return _added(event.json)
    if name in events.BEGINNINGS[1:] or not (name in events.ENDINGS or name in (events.CREATED, events.ERROR) or not name):
        return ()
    return _read_slowly(event)


def _delta(type_: str, said: Any) -> Delta:
    match type_:
        case events.TEXT_DELTA | events.REFUSAL_DELTA:
            return TextDelta(index=part_key(said.output_index, said.content_index), text=said.delta)
        case events.SUMMARY_DELTA:
            return ThinkingDelta(index=part_key(said.output_index, said.summary_index), text=said.delta, summary=said.summary_index)
        case events.THOUGHT_DELTA:
            return ThinkingDelta(index=part_key(said.output_index, said.content_index, thoughts=True), text=said.delta)
    return ArgumentsDelta(index=part_key(said.output_index), text=said.delta)


def _added(value: Any) -> Sequence[Delta]:
    """Return the beginning of a call, and what of its arguments came with it."""
    item = value.get("item") if isinstance(value, dict) else None
    kind = calls.kind_of(item)
    if kind is None or not isinstance(item, dict):
        return ()
    at, text = value.get("output_index"), item.get(calls.WORDS[kind])
    index = part_key(at if isinstance(at, int) else 0)
    said = [str(item.get(key) or "") for key in ("call_id", "name")]
    start = PartStart(index=index, part=ToolCall(id=said[0], name=said[1], kind=kind))
    return (start, ArgumentsDelta(index=index, text=text)) if isinstance(text, str) and text else (start,)


def _read_slowly(event: Event) -> Sequence[Delta]:
    """Read an event by the whole decoder, without what it takes from events that repeat others."""
    value = event.json
    if not isinstance(value, dict):
        return ()
    response = value.get("response")
    if isinstance(response, dict) and isinstance(response.get("output"), list) and value.get("type") in events.ENDINGS:
        return _ending(event, value, response)
    return [delta for delta in ResponsesStreamDecoder().feed(event) if not isinstance(delta, PartEnd | PartStart)]


def _ending(event: Event, value: dict[str, Any], response: dict[str, Any]) -> Sequence[Delta]:
    # Of the items only the kinds matter here: whether there are calls tells why the answer ended.
    kinds = [{"type": item["type"], "call_id": "c", "name": "n"} for item in response["output"] if calls.kind_of(item) is not None]
    bare = {**value, "response": {**response, "output": kinds}}
    shell = event.build(bare, event.name)
    said = ResponsesStreamDecoder().feed(shell)
    unwanted = (PartEnd, PartStart, ArgumentsDelta)
    found = [delta for delta in said if not isinstance(delta, unwanted)]
    return found[1:] if found and type(found[0]).__name__ == "Begin" else found


# ---------------------------------------------------------------------------------------------- repeats


def repeats(event: Event) -> Sequence[Repeat]:
    """Return the places in an event that repeat what increments said."""
    name = type_of(event)
    if not name.endswith(".done") and name not in events.ENDINGS:
        return ()
    value = event.json
    if not isinstance(value, dict):
        return ()
    if name in events.ENDINGS:
        return _repeated_output(value.get("response"))
    at, content, paragraph = (_int(value.get(key)) for key in ("output_index", "content_index", "summary_index"))
    match name:
        case events.TEXT_DONE | events.REFUSAL_DONE:
            return (Repeat(("text" if name == events.TEXT_DONE else "refusal",), "text", 0, part_key(at, content)),)
        case events.PART_DONE:
            return _repeated_part(value.get("part"), ("part",), at, content)
        case events.ARGUMENTS_DONE | events.INPUT_DONE:
            return (Repeat(("arguments" if name == events.ARGUMENTS_DONE else "input",), "arguments", 0, part_key(at)),)
        case events.SUMMARY_TEXT_DONE:
            return (Repeat(("text",), "thinking", 0, part_key(at, paragraph)),)
        case events.SUMMARY_DONE:
            return (Repeat(("part", "text"), "thinking", 0, part_key(at, paragraph)),)
        case events.THOUGHT_DONE:
            return (Repeat(("text",), "thinking", 0, part_key(at, content, thoughts=True)),)
        case events.ITEM_DONE:
            return repeated_item(value.get("item"), ("item",), at)
    return ()


def _repeated_output(response: Any) -> list[Repeat]:
    output = response.get("output") if isinstance(response, dict) else None
    items = output if isinstance(output, list) else []
    return [place for at, item in enumerate(items) for place in repeated_item(item, ("response", "output", at), at)]


def repeated_item(item: Any, path: tuple[str | int, ...], at: int) -> list[Repeat]:
    """Return the places in an item that repeat increments; `at` is its number in the output."""
    if not isinstance(item, dict):
        return []
    found: list[Repeat] = []
    kind = calls.kind_of(item)
    if kind is not None and isinstance(item.get(calls.WORDS[kind]), str):
        found.append(Repeat((*path, calls.WORDS[kind]), "arguments", 0, part_key(at)))
    for number, part in enumerate(_list(item.get("content"))):
        found += _repeated_part(part, (*path, "content", number), at, number)
    for number, part in enumerate(_list(item.get("summary"))):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            found.append(Repeat((*path, "summary", number, "text"), "thinking", 0, part_key(at, number)))
    return found


def _repeated_part(part: Any, path: tuple[str | int, ...], at: int, content: int) -> list[Repeat]:
    if not isinstance(part, dict):
        return []
    key = "refusal" if part.get("type") == "refusal" else "text"
    if not isinstance(part.get(key), str):
        return []
    thoughts = part.get("type") == "reasoning_text"
    of: _Of = "thinking" if thoughts else "text"
    return [Repeat((*path, key), of, 0, part_key(at, content, thoughts=thoughts))]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _int(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


# ------------------------------------------------------------------------------------------ whole answers


def glance(raw: bytes) -> Glance:
    """Look at a whole answer: its token counts, and whether it is an error. Raises `ValueError` when it is none."""
    try:
        said = answer(raw)
    except msgspec.ValidationError:
        return _glance_slowly(raw)
    if bytes(memoryview(said.output)[:1]) != b"[" or said.status == "failed":
        return _glance_slowly(raw)
    return Glance(usage=_usage(said))


_NO_INPUT: Final = InputDetails()
_NO_OUTPUT: Final = OutputDetails()


def _usage(said: Answer | None) -> Usage | None:
    if said is None or said.usage is None:
        return None
    counts: Counts = said.usage
    read_, wrote = counts.input_tokens_details or _NO_INPUT, counts.output_tokens_details or _NO_OUTPUT
    total = counts.total_tokens
    return Usage(
        input=counts.input_tokens,
        output=counts.output_tokens,
        thinking=wrote.reasoning_tokens or 0,
        cache_read=read_.cached_tokens or 0,
        cache_write=read_.cache_write_tokens or 0,
        total=total if total is not None and total != counts.input_tokens + counts.output_tokens else None,
    )


def _glance_slowly(raw: bytes) -> Glance:
    """Look at what is no usual answer: one that failed, a count, a list, an error that came with status 200."""
    value = msgspec.json.decode(raw)
    if not isinstance(value, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 (the contract of decoders)
    usage = value.get("usage")
    counted = decode_usage(usage) if isinstance(usage, dict) else None
    # One that was made in the background failed some time ago: to be told so is the answer.
    if value.get("status") == "failed" and not value.get("background"):
        return Glance(usage=counted, error=decode_failure(value))
    if isinstance(value.get("output"), list) or (isinstance(value.get("object"), str) and value["object"] != "error"):
        return Glance(usage=counted)
    error = read_error(value)
    if error is None:
        raise ValueError("the answer has no output")
    return Glance(error=with_status(error))


def usage_of(event: Event) -> Usage | None:
    """Return the token counts that an event reports."""
    if b'"usage"' not in event.frame:
        return None
    try:
        return _usage(lifecycle(event.data).response)
    except ValueError:  # counts of an unusual form, or no JSON
        response = event.json.get("response") if isinstance(event.json, dict) else None
        usage = response.get("usage") if isinstance(response, dict) else None
        return decode_usage(usage) if isinstance(usage, dict) else None


def decode_count(raw: bytes) -> Usage:
    """Read a count of tokens. Raises `ValueError`."""
    value = msgspec.json.decode(raw)
    said = value.get("input_tokens") if isinstance(value, dict) else None
    if not isinstance(said, int) or isinstance(said, bool):
        raise ValueError("the answer counts no tokens")  # noqa: TRY004 (the contract of decoders)
    return Usage(input=count(said))
