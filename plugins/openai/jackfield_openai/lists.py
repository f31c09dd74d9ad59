"""Lists of models.

Source: OpenAI's API reference, "Models"; OpenRouter's guide "Models" for names, context and modalities. Read besides: bare
lists (Together), `models` (Ollama, Google), and what Groq, Mistral, vLLM and Anthropic call the same things.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from jackfield.api import ModelInfo
from jackfield.api.canonical.codec import to_json

_NAMES: Final = ("display_name", "displayName", "name")
_OWNERS: Final = ("owned_by", "organization", "publisher")
_CREATED: Final = ("created", "created_at", "modified_at")
_CONTEXTS: Final = ("context_length", "context_window", "max_model_len", "max_context_length", "inputTokenLimit")
_OUTPUTS: Final = ("max_completion_tokens", "max_output_tokens", "outputTokenLimit")


def encode_models(models: Sequence[ModelInfo]) -> bytes:
    """Write the list of models."""
    return to_json({"object": "list", "data": [_entry(model) for model in models]})


def encode_model(model: ModelInfo) -> bytes:
    """Write what is said of one model."""
    return to_json(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    """Write one model: OpenAI's four members, which its clients require, and what else is known as OpenRouter names it."""
    wire: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created if model.created is not None else 0,
        "owned_by": model.owner or "unknown",
    }
    if model.display_name is not None:
        wire["name"] = model.display_name
    if model.context is not None:
        wire["context_length"] = model.context
    if model.max_output is not None:
        wire["top_provider"] = {"max_completion_tokens": model.max_output}
    kinds = {"input_modalities": list(model.input_modalities), "output_modalities": list(model.output_modalities)}
    shown = {key: value for key, value in kinds.items() if value}
    if shown:
        wire["architecture"] = shown
    return wire


def decode_models(raw: bytes) -> list[ModelInfo]:
    """Read an upstream's list of models. Entries without a name are left out; raises `ValueError` for what is no list."""
    value = msgspec.json.decode(raw)
    if isinstance(value, dict):
        value = next((value[key] for key in ("data", "models") if isinstance(value.get(key), list)), None)
    if not isinstance(value, list):
        raise ValueError("the answer is no list of models")  # noqa: TRY004 (the contract of decoders)
    found = (_decode_entry(entry) for entry in value)
    return [model for model in found if model is not None]


def _decode_entry(entry: Any) -> ModelInfo | None:
    if isinstance(entry, str):
        return ModelInfo(id=entry) if entry else None
    if not isinstance(entry, dict):
        return None
    model_id = _first_text(entry, ("id", "name", "model")).removeprefix("models/")
    if not model_id:
        return None
    name, shown = _first_text(entry, _NAMES), entry.get("architecture")
    kinds = shown if isinstance(shown, dict) else {}
    best = entry.get("top_provider")
    return ModelInfo(
        id=model_id,
        display_name=name if name and name.removeprefix("models/") != model_id else None,
        owner=_first_text(entry, _OWNERS) or None,
        created=_time(next((entry[key] for key in _CREATED if entry.get(key)), None)),
        context=_first_count(entry, _CONTEXTS),
        max_output=_first_count(entry, _OUTPUTS) or (_first_count(best, _OUTPUTS) if isinstance(best, dict) else None),
        input_modalities=_texts(kinds.get("input_modalities")),
        output_modalities=_texts(kinds.get("output_modalities")),
    )


def _first_text(entry: dict[str, Any], keys: Sequence[str]) -> str:
    return next((entry[key] for key in keys if isinstance(entry.get(key), str) and entry[key]), "")


def _first_count(entry: dict[str, Any], keys: Sequence[str]) -> int | None:
    values = (entry.get(key) for key in keys)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool) and value > 0), None)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _time(value: Any) -> int | None:
    """Read a time: seconds since 1970, or a date in words."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if abs(value) < 1e15 else None
    if not isinstance(value, str):
        return None
    try:
        return int(msgspec.convert(value, datetime, strict=False).timestamp())
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None
