"""Lists of models.

Source: Anthropic's API reference, "List Models": limits and capabilities of each, pages of at most 1,000. Speakers of its protocol
often answer OpenAI's form, which is read too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from jackfield.api import ModelInfo, ThinkingSupport
from jackfield.api.canonical.codec import to_json

_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_LEAST_BUDGET: Final = 1024


# ---------------------------------------------------------------------------------------------- writing


def encode_models(models: Sequence[ModelInfo]) -> bytes:
    """Write the list of models, as one page."""
    entries = [_entry(model) for model in models]
    edges = {"first_id": entries[0]["id"] if entries else None, "last_id": entries[-1]["id"] if entries else None}
    return to_json({"data": entries, "has_more": False, **edges})


def encode_model(model: ModelInfo) -> bytes:
    """Write what is said of one model."""
    return to_json(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    """Write one model with all members that Anthropic's clients require: an unknown time of creation is that of 1970."""
    created = datetime.fromtimestamp(min(max(model.created or 0, 0), 253402300799), UTC)
    wire: dict[str, Any] = {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
    }
    if model.context is not None:
        wire["max_input_tokens"] = model.context
    if model.max_output is not None:
        wire["max_tokens"] = model.max_output
    return wire


# ---------------------------------------------------------------------------------------------- reading


def decode_models(raw: bytes) -> list[ModelInfo]:
    """Read an upstream's list of models. Entries without a name are left out; raises `ValueError` for what is no list."""
    value = msgspec.json.decode(raw)
    if isinstance(value, dict):
        value = next((value[key] for key in ("data", "models") if isinstance(value.get(key), list)), None)
    if not isinstance(value, list):
        raise ValueError("the answer is no list of models")  # noqa: TRY004 (the contract of decoders)
    return [_decode_entry(entry) for entry in value if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]]


def _decode_entry(entry: dict[str, Any]) -> ModelInfo:
    name, able = entry.get("display_name"), entry.get("capabilities")
    return ModelInfo(
        id=entry["id"],
        display_name=name if isinstance(name, str) and name and name != entry["id"] else None,
        owner=entry["owned_by"] if isinstance(entry.get("owned_by"), str) and entry["owned_by"] else None,
        created=_time(entry.get("created_at", entry.get("created"))),
        context=_count(entry.get("max_input_tokens")),
        max_output=_count(entry.get("max_tokens")),
        input_modalities=_inputs(able) if isinstance(able, dict) else (),
        thinking=_thinking(able, _count(entry.get("max_tokens"))) if isinstance(able, dict) else None,
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _time(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value or None
    if not isinstance(value, str):
        return None
    try:
        when = int(msgspec.convert(value, datetime, strict=False).timestamp())
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None
    return when or None


def _has(able: Any, *path: str) -> bool:
    """Tell whether a capability is there: an object whose `supported` is true."""
    for key in path:
        able = able.get(key) if isinstance(able, dict) else None
    return isinstance(able, dict) and able.get("supported") is True


def _inputs(able: dict[str, Any]) -> tuple[str, ...]:
    kinds = (("image", "image_input"), ("pdf", "pdf_input"))
    return ("text", *(kind for kind, key in kinds if _has(able, key)))


def _thinking(able: dict[str, Any], most: int | None) -> ThinkingSupport | None:
    if not isinstance(able.get("thinking"), dict):
        return None
    if not _has(able, "thinking"):
        return ThinkingSupport()
    budget = _has(able, "thinking", "types", "enabled")
    return ThinkingSupport(
        levels=tuple(level for level in _EFFORTS if _has(able, "effort", level)),
        min=_LEAST_BUDGET if budget else None,
        max=most - 1 if budget and most is not None else None,
        off=_has(able, "thinking", "types", "disabled"),
        dynamic=_has(able, "thinking", "types", "adaptive"),
    )
