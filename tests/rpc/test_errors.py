"""What a failure says survives the way over a connection, in both directions."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.api import BadRequest, Blame, CallError, Cause, Failure, Headers, Help, NotDecoded, failure
from jackfield.rpc.channel import encode
from jackfield.rpc.errors import BAD_PARAMS, FAILED, INTERNAL, NOT_GRANTED, Gone, RpcFault, error_of, fault_of
from jackfield.rpc.wire import RpcError

WORDS = st.text(st.characters(exclude_categories=["Cs"]))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "cause": st.sampled_from(typing.get_args(Cause)),
    "blame": st.sampled_from(typing.get_args(Blame)),
    "help": st.sampled_from(typing.get_args(Help)),
    "message": WORDS.filter(bool),
    "status": st.integers(0, 599),
    "code": st.none() | WORDS,
    "param": st.none() | WORDS,
    "retry_after": st.none() | st.floats(0, 1e9),
    "safe_after_first_byte": st.booleans(),
    "link": st.none() | WORDS,
    "shown": st.none() | st.integers(200, 599),
    "detail": WORDS,
}


def carried(fault: BaseException) -> RpcFault:
    """Return what the other side reads of an error."""
    read = msgspec.json.decode(encode(error_of(fault)), type=RpcError)
    return RpcFault(read.code, read.message, read.data)


@given(st.builds(Failure, **FIELDS), st.binary(), st.lists(st.tuples(WORDS, WORDS)))
@settings(deadline=None, max_examples=200)
def test_a_failure_arrives_as_it_was(told: Failure, body: bytes, headers: list[tuple[str, str]]) -> None:
    again = fault_of(carried(CallError(told, body=body, headers=Headers(headers))))
    assert (again.failure, again.body, list(again.headers)) == (told, body, headers)


@pytest.mark.parametrize(
    ("fault", "code", "data"),
    [
        (BadRequest("n must be a number", "n", "bad_type"), FAILED, {"cause": "caller", "param": "n", "code": "bad_type", "status": 400}),
        (NotDecoded("too large"), FAILED, {"cause": "caller", "code": "not_decoded", "status": 413}),
        (CallError(failure("plugin", "no", code="not_granted")), NOT_GRANTED, {"cause": "plugin", "code": "not_granted"}),
        (ZeroDivisionError("oops"), INTERNAL, None),
        (Gone("its process ended"), INTERNAL, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_else_goes_wrong_has_its_code(fault: Exception, code: int, data: dict[str, Any] | None) -> None:
    read = carried(fault)
    assert read.code == code
    assert data is None or {name: getattr(read.data, name) for name in data} == data


def test_every_field_of_a_failure_is_tried() -> None:
    assert FIELDS.keys() == set(Failure.__struct_fields__)


def test_params_that_are_none_name_the_field() -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(b'{"code":"x"}', type=RpcError)
    assert (carried(raised.value).code, "$.code" in carried(raised.value).message) == (BAD_PARAMS, True)


def test_an_error_without_data_is_the_plugins_fault() -> None:
    told = fault_of(RpcFault(-32000, "no"))
    assert told.failure == failure("plugin", "no")


def test_texts_that_were_no_utf_8_can_be_told() -> None:
    fault = CallError(failure("upstream", "caf\udce9", detail="\udcff"), headers=Headers([("x", "\udce9")]))
    again = fault_of(carried(fault))
    assert (again.failure.message, again.failure.detail, again.headers.get("x")) == ("caf?", "?", "?")
