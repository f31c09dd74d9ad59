"""Lists of models, and counts of tokens.

Source: Gemini API reference, `models.list` and `models.countTokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import ModelInfo, ThinkingSupport
from jackfield.api.canonical import Usage
from jackfield.api.canonical.codec import to_json
from jackfield_gemini.generate.names import spelled
from jackfield_gemini.generate.usage import count

PREFIX: Final = "models/"
"""What stands before a model's id in its name."""
_METHODS: Final = {"generateContent": "generate", "countTokens": "count", "embedContent": "embed"}


def _loads(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def encode_models(models: Sequence[ModelInfo]) -> bytes:
    """Write the list of models: all of them, on one page."""
    return to_json({"models": [_entry(model) for model in models]})


def encode_model(model: ModelInfo) -> bytes:
    """Write what is said of one model."""
    return to_json(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    said = {
        "displayName": model.display_name or model.id,
        "inputTokenLimit": model.context,
        "outputTokenLimit": model.max_output,
        "thinking": True if model.thinking is not None and (model.thinking.levels or model.thinking.max) else None,
    }
    done = model.operations or ("generate", "count")
    methods = [method for method, operation in _METHODS.items() if operation in done]
    if "generate" in done:
        methods.insert(1, "streamGenerateContent")
    kept = {key: value for key, value in said.items() if value is not None}
    return {"name": PREFIX + model.id, **kept, "supportedGenerationMethods": methods}


def decode_models(raw: bytes) -> list[ModelInfo]:
    """Read an upstream's list of models; those that do nothing we know are left out. Raises `ValueError` for what is no list."""
    value = _loads(raw)
    entries = value.get("models") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the answer is no list of models")  # noqa: TRY004 (the contract of decoders)
    found = (_decode_entry(spelled(entry)) for entry in entries if isinstance(entry, dict))
    return [model for model in found if model is not None]


def _decode_entry(entry: dict[str, Any]) -> ModelInfo | None:
    name, methods, shown = entry.get("name"), entry.get("supportedGenerationMethods"), entry.get("displayName")
    if not isinstance(name, str) or not name.removeprefix(PREFIX):
        return None
    operations: tuple[str, ...] = ()
    if isinstance(methods, list):
        operations = tuple(dict.fromkeys(_METHODS[m] for m in methods if isinstance(m, str) and m in _METHODS))
        if methods and not operations:
            return None
    return ModelInfo(
        id=name.removeprefix(PREFIX),
        display_name=shown if isinstance(shown, str) and shown else None,
        operations=operations,
        context=count(entry.get("inputTokenLimit")) or None,
        max_output=count(entry.get("outputTokenLimit")) or None,
        thinking=ThinkingSupport() if entry.get("thinking") is False else None,
    )


def encode_count(usage: Usage) -> bytes:
    """Write a count of tokens."""
    wire: dict[str, Any] = {"totalTokens": usage.input}
    if usage.cache_read:
        wire["cachedContentTokenCount"] = usage.cache_read
    return to_json(wire)


def decode_count(raw: bytes) -> Usage:
    """Read an upstream's count of tokens. Raises `ValueError`."""
    value = _loads(raw)
    if not isinstance(value, dict) or "totalTokens" not in spelled(value):
        raise ValueError("the answer is no count of tokens")
    said = spelled(value)
    return Usage(input=count(said["totalTokens"]), cache_read=count(said.get("cachedContentTokenCount")))
