"""JSON Schemas fitted to what a provider accepts. Pure functions: a schema goes in, another comes out, with what was lost."""

from __future__ import annotations

from typing import Any

import msgspec

from jackfield.api.dialect import Loss


class SchemaSubset(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider accepts of JSON Schema."""


def fit_schema(schema: dict[str, Any], subset: SchemaSubset, losses: list[Loss], path: str) -> dict[str, Any]:
    """Return `schema` as `subset` accepts it; the same object where nothing has to change. `path` names it in the losses."""
    return schema
