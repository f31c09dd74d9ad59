"""What is known of the models of Google's Gemini API, from `catalogue.json`, which says of what day it is and where from.

Models that it does not name can be called all the same; the configuration's `models.catalogue` overrides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from typing import Any, Final, overload

import msgspec

from jackfield.api import ModelInfo

OWNER: Final = "google"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    as_of: str
    sources: tuple[str, ...]
    note: str
    models: list[dict[str, Any]]


class Catalogue(Sequence[ModelInfo]):
    """The models, those of special names first. The file is read at the first question."""

    @cached_property
    def _file(self) -> _File:
        raw = resources.files(__package__).joinpath("catalogue.json").read_bytes()
        return msgspec.json.decode(raw, type=_File)

    @cached_property
    def _models(self) -> tuple[ModelInfo, ...]:
        said = ({"owner": OWNER, **facts} for facts in self._file.models)
        return tuple(msgspec.convert({**facts, "id": name}, ModelInfo) for facts in said for name in facts.pop("ids"))

    @property
    def as_of(self) -> str:
        """The day of the facts, as `2026-11-29`."""
        return self._file.as_of

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the facts are from."""
        return self._file.sources

    def __len__(self) -> int:
        return len(self._models)

    @overload
    def __getitem__(self, index: int) -> ModelInfo: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ModelInfo]: ...
    def __getitem__(self, index: int | slice) -> ModelInfo | Sequence[ModelInfo]:
        return self._models[index]


CATALOGUE: Final = Catalogue()
