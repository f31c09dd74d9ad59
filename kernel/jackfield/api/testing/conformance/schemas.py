"""The protocol's JSON Schemas, as far as they can be applied here: that takes the package jsonschema, which the host does not need."""

import importlib.util
from functools import cache
from typing import Any

import msgspec

from jackfield.cli.rpc_schemas.definitions import method_schemas

INSTALLED = importlib.util.find_spec("jsonschema") is not None


@cache
def _schemas() -> dict[str, Any]:
    return {name: result for name, (_, result) in method_schemas().items()}


@cache
def _validator(method: str) -> Any:
    import jsonschema  # type: ignore[import-untyped]  # noqa: PLC0415

    return jsonschema.Draft202012Validator(_schemas()[method])


def misfit(method: str, raw: bytes | msgspec.Raw) -> str | None:
    """Return in what an answer does not fit its method's schema, and where; None where it fits, or nobody can say."""
    if not INSTALLED or _schemas().get(method) is None:
        return None
    fault = next(iter(_validator(method).iter_errors(msgspec.json.decode(raw))), None)
    return None if fault is None else f"{fault.message} at {fault.json_path}"
