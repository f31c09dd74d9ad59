"""JSON Schemas fitted to what a provider accepts. Pure functions: a schema goes in, another comes out, with what was lost."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from jackfield.api.canonical.schemas_fit import Fitter
from jackfield.api.canonical.schemas_subset import SchemaSubset
from jackfield.api.dialect import Loss

__all__ = ["SchemaSubset", "fit_schema"]

_MOST_REMEMBERED: Final = 32_768
_encode: Final = msgspec.json.Encoder().encode
Fitted = tuple[dict[str, Any] | None, tuple[Loss, ...]]


def fit_schema(schema: dict[str, Any], subset: SchemaSubset, losses: list[Loss], path: str) -> dict[str, Any]:
    """Return `schema` as `subset` accepts it; the same object where nothing has to change. `path` names it in the losses.

    Nothing is changed in place, and the answer is not to be: equal schemas are fitted once. Names of properties are never
    taken for keywords. No schema makes it fail: what is deeper than 64 schemas, larger than 20,000, or none at all, is
    replaced by any value.
    """
    known = _Known(schema)
    fitted, lost = _fitted_once(known, subset) if known.raw else _fitted(known, subset)
    losses.extend(Loss(path + loss.path, loss.what, loss.why) for loss in lost)
    return schema if fitted is None else fitted


class _Known:
    """A schema, known by its bytes: clients send the same tools with each request."""

    __slots__ = ("raw", "schema")

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        try:
            self.raw = _encode(schema)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self.raw = b""
        if len(self.raw) > _MOST_REMEMBERED:
            self.raw = b""

    def __hash__(self) -> int:
        return hash(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self.raw == other.raw


def _fitted(known: _Known, subset: SchemaSubset) -> Fitted:
    """Return the schema as fitted, or None where it is the same, and the losses by their paths below it."""
    fitter = Fitter(known.schema, subset)
    fitted = fitter.root()
    return None if fitted is known.schema else fitted, tuple(dict.fromkeys(fitter.losses))


_fitted_once: Final = lru_cache(maxsize=256)(_fitted)
