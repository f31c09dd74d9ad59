"""What tells that requests belong to one session: which signal counts, and what is none."""

from __future__ import annotations

import mmap
from typing import Any

import pytest

from jackfield.api import Body, Call, Headers, Pairs, SessionSignals
from jackfield.api.canonical.sessions import LONGEST, text_at
from tests.kernel.toy import ToyDialect

SIGNALS = SessionSignals(
    headers=("x-first", "x-second"),
    body=(("talk", "id"), ("talk",)),
    part=r"(?:who=\w+;)?talk=(\w+)",
    cache=(("cache_key",),),
)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, "{}", None),
        ({"X-Second": "2", "x-first": "1"}, '{"talk":"talk=3","cache_key":"4"}', "1"),
        ({"x-second": "2"}, '{"talk":"talk=3","cache_key":"4"}', "2"),
        ({}, '{"cache_key":"4", "talk":"talk=3"}', "3"),
        ({}, '{"talk":{"id":"who=me;talk=5"},"cache_key":"4"}', "5"),
        ({}, '{"talk":"somebody","cache_key":"4"}', "4"),
        ({}, '{ "cache_key" : "4" }', "4"),
        ({}, '{"cache_key":"ä\\u00f6"}', "äö"),
        ({}, '{"cache_key":"1","cache_key":"2"}', "2"),
        ({"x-first": "", "x-second": " "}, '{"cache_key":"4"}', "4"),
        ({"x-first": "x" * (LONGEST + 1)}, '{"cache_key":"4"}', "4"),
        ({}, '{"cache_key":"' + "x" * (LONGEST + 1) + '"}', None),
        ({}, '{"cache_key":""}', None),
        ({}, '{"cache_key":"a\\nb"}', None),
        ({}, '{"cache_key":null}', None),
        ({}, '{"cache_key":4}', None),
        ({}, '{"cache_key":["4"]}', None),
        ({}, '{"say":[{"cache_key":"4"}]}', None),
        ({}, '{"say":"\\"cache_key\\":\\"4\\""}', None),
        ({}, '["cache_key"]', None),
        ({}, '{"cache_key":"4"', None),
        ({}, "", None),
    ],
)
def test_the_first_signal_that_names_a_session_counts(headers: dict[str, str], body: str, expected: str | None) -> None:
    assert SIGNALS.find(Headers(headers.items()), body.encode()) == expected


def test_a_text_is_found_however_deep_and_nothing_else_is() -> None:
    raw = b'{"a":{"b":[{"c":"deep"}]}}'
    assert text_at(raw, ("a", "b", 0, "c")) == "deep"
    assert text_at(raw, ("a", "b", 1, "c")) is text_at(raw, ("a", "b")) is text_at(raw, ("x",)) is None


def called(body: Any, headers: dict[str, str] | None = None) -> Call:
    class Named(ToyDialect):
        session = SessionSignals(headers=("toy-session", "toy-key"), cache=(("cache_key",),))

    dialect = Named()
    call = Call("1", dialect, dialect.endpoints[0], Headers((headers or {}).items()), Pairs())
    call.hide_keys()
    call.body = Body(body, codec=(unread, lambda said, losses: b""))
    return call


def unread(raw: bytes) -> Any:
    raise AssertionError("the body was decoded")


def test_a_call_tells_its_session_without_decoding_the_body() -> None:
    assert called(b'{"cache_key":"k"}').session == "k"
    assert called(b'{"cache_key":"k"}', {"Toy-Session": "s"}).session == "s"
    assert called(b"{}").session is None


def test_a_call_never_takes_a_key_for_a_session() -> None:
    assert called(b"{}", {"toy-key": "secret"}).session is None


def test_a_call_looks_once() -> None:
    call = called(b'{"cache_key":"k"}')
    assert call.session == "k"
    call.body = call.body.with_raw(b"{}")
    assert call.session == "k"


def test_the_session_is_found_in_a_body_that_lies_in_a_file(tmp_path: Any) -> None:
    raw = b'{"say":"' + b"x" * 5000 + b'","cache_key":"k"}'
    (tmp_path / "body").write_bytes(raw)

    class Spooled:
        def __len__(self) -> int:
            return len(raw)

        def read(self) -> bytes:
            raise AssertionError("the file was read into memory")

        def view(self) -> Any:
            with (tmp_path / "body").open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    assert called(Spooled()).session == "k"
