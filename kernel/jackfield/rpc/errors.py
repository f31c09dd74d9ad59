"""What goes wrong, as both sides of a connection tell it: nothing of a failure is lost on the way, in either direction."""

import base64
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, CallError, Headers, NotDecoded, failure
from jackfield.rpc.forms import pairs_of, sayable, sayable_pairs
from jackfield.rpc.wire import Fault, RpcError

PARSE, INVALID, NO_METHOD, BAD_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
"""Errors of JSON-RPC itself (JSON-RPC 2.0, section 5.1)."""
FAILED, NOT_GRANTED, BUSY, CANCELLED = -32000, -32001, -32003, -32800
"""A call failed, and `data` says how; nobody allowed it; too much at once; the request was cancelled."""


class Gone(Exception):
    """The other side is not there (any more); the message says why."""


class RpcFault(Exception):
    """The other side answered with an error, or is to be answered with one."""

    def __init__(self, code: int, message: str, data: Fault | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


_OF_A_FAILURE: Final = (
    "cause", "blame", "help", "status", "code", "param", "retry_after", "safe_after_first_byte", "link", "shown", "detail"
)  # fmt: skip
"""What stands in `data` under the name that it has in a `Failure`."""


def error_of(fault: BaseException) -> RpcError:
    """Return what went wrong as the other side is told of it."""
    code, message, data = INTERNAL, f"{type(fault).__name__}: {fault}", None
    if isinstance(fault, RpcFault):
        code, message, data = fault.code, fault.message, fault.data
    elif isinstance(fault, CallError):
        said = fault.failure
        code, message, data = NOT_GRANTED if said.code == "not_granted" else FAILED, said.message, _data(fault)
    elif isinstance(fault, BadRequest):
        code, message, data = FAILED, fault.message, Fault(cause="caller", code=fault.code, param=fault.param, status=400)
    elif isinstance(fault, NotDecoded):
        code, message, data = FAILED, str(fault), Fault(cause="caller", code="not_decoded", status=413)
    elif isinstance(fault, msgspec.ValidationError):
        code, message = BAD_PARAMS, str(fault)
    return RpcError(code=code, message=sayable(message), data=data)


def _data(fault: CallError) -> Fault:
    fields: dict[str, Any] = {name: getattr(fault.failure, name) for name in _OF_A_FAILURE}
    fields |= {name: sayable(value) for name, value in fields.items() if isinstance(value, str)}
    try:
        fields["body"] = fault.body.decode()
    except UnicodeDecodeError:
        fields["body_base64"] = base64.b64encode(fault.body).decode()
    return Fault(headers=sayable_pairs(fault.headers), **fields)


def fault_of(fault: RpcFault) -> CallError:
    """Return an answered error as what a call raises: with all that was told of it."""
    said = fault.data or Fault()
    given = {name: getattr(said, name) for name in _OF_A_FAILURE if name not in ("blame", "help") or getattr(said, name) is not None}
    told = failure(given.pop("cause") or "plugin", fault.message or "the plugin failed", **given)
    body = said.body.encode() if said.body_base64 is None else base64.b64decode(said.body_base64)
    return CallError(told, body=body, headers=Headers(pairs_of(said.headers)))
