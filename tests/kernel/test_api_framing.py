"""Server-sent events: the same events come out, however the network cut their bytes and whatever ends their lines."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.api import SSE

Events = list[tuple[str, bytes]]

LINE_ENDS = ["\n", "\r\n", "\r"]


def reference(raw: bytes) -> Events:
    """Read a whole stream line by line, as the specification says; an unfinished event at its end is dropped."""
    text = raw.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: Events = []
    name, data = "", list[str]()
    for line in text.split("\n")[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if payload := "\n".join(data):
                found.append((name, payload.encode()))
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return found


def events_of(pieces: list[bytes]) -> Events:
    """Read a stream that comes in pieces, the way the kernel does."""
    splitter, found = SSE.splitter(), Events()
    for piece in pieces:
        whole = splitter.feed(piece)
        if whole:
            found += [(name, SSE.payload(frame)) for frame, name, _ in SSE.frames(whole)]
    return found


STREAM = (
    'event: open\ndata: {"a": 1}\n\n'
    ": a comment\n\n"
    "data:no space\n\n"
    "data:  two spaces\n\n"
    "id: 7\nretry: 10\nevent: named\ndata: one\ndata: two\n\n"
    "data: \u00e4\u20ac\U0001f600\n\n"
    "unknown: field\ndata: known\n\n"
    "event: without data\n\n"
    "data: a: b: c\n\n"
    "\n\n"
    "data: [end]\n\n"
)


@pytest.mark.parametrize("end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
def test_events_are_the_same_wherever_the_bytes_are_cut(end: str) -> None:
    raw = STREAM.replace("\n", end).encode()
    expected = reference(raw)
    assert len(expected) == 8
    assert events_of([raw]) == expected
    assert events_of([raw[at : at + 1] for at in range(len(raw))]) == expected
    for at in range(1, len(raw)):
        assert events_of([raw[:at], raw[at:]]) == expected, at


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["data", "event", "id", ":", "retry"]),
            st.text("ab: {}\u00e4", max_size=6),
            st.sampled_from(LINE_ENDS),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_mixed_line_ends_and_any_cuts_change_nothing(lines: list[tuple[str, str, str, bool]], cuts: list[int]) -> None:
    raw = "".join(f"{field}: {value}{end}{end if last else ''}" for field, value, end, last in lines).encode() + b"\n\n"
    places = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(places)]
    assert events_of(pieces) == reference(raw)


@pytest.mark.parametrize("end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
def test_what_was_fed_is_what_came_out_and_what_is_kept(end: str) -> None:
    raw = (STREAM + "data: unfinished").replace("\n", end).encode()
    for size in (1, 2, 3, 7, 64):
        splitter = SSE.splitter()
        out = b"".join(splitter.feed(raw[at : at + size]) for at in range(0, len(raw), size))
        assert out + splitter.rest() == raw
        assert b"unfinished" in splitter.rest()


def test_a_byte_order_mark_hides_no_event() -> None:
    assert events_of([b"\xef\xbb\xbfdata: first\n\ndata: second\n\n"]) == [("", b"first"), ("", b"second")]


@pytest.mark.parametrize("payload", [b"{}", b"", b"two\nlines", b" leading space", b"\xc3\xa4", b"ends with\n", b"a:b"])
@pytest.mark.parametrize("name", ["", "open"])
def test_what_is_built_is_read_again(payload: bytes, name: str) -> None:
    frame, end = SSE.build(payload, name)
    assert SSE.payload(frame) == payload
    found = SSE.frames(frame + end)
    assert [(n, SSE.payload(f)) for f, n, _ in found] == ([(name, payload)] if payload else [])


@pytest.mark.parametrize("end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
def test_the_event_around_a_byte_is_found_with_its_ending(end: str) -> None:
    parts = [part.replace("\n", end).encode() for part in ("data: one\n\n", "event: x\ndata: two\n\n", "data: three\n\n")]
    raw = b"".join(parts)
    start = 0
    for part in parts:
        for at in range(start, start + len(part) - 2 * len(end)):
            assert SSE.around(raw, at) == (start, start + len(part)), at
        start += len(part)


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_events_with_empty_data_are_taken_out_and_comments_kept_apart(end: str) -> None:
    def raw(*parts: str) -> bytes:
        return "".join(parts).replace("\n", end).encode()

    assert SSE.clean(raw("data: a\n\n", "data: \n\n", "data:\n\n", "data: b\n\n")) == raw("data: a\n\n", "data: b\n\n")
    untouched = raw("data: a\n\n", ": comment\n\n", "data: b\n\n")
    assert SSE.clean(untouched) is untouched


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"data: a", b"data: {}", b"event: x", b"data: ", b": c", b"", b"data:b"]), max_size=8))
def test_the_short_way_through_simple_streams_finds_what_the_long_one_finds(lines: list[bytes]) -> None:
    raw = b"".join(line + b"\n\n" for line in lines)
    plain = SSE.plain_frames(raw)
    if plain is not None:
        assert plain == [frame for frame, _, _ in SSE.frames(raw)]
