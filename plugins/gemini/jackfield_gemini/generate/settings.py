"""The settings of a request: `generationConfig`, and what stands beside it.

Sources: Gemini API reference, `GenerationConfig`, `ThinkingConfig` and `GenerateContentRequest`; guide "Thinking".
"""

from __future__ import annotations

from typing import Any, Final, Literal

from jackfield.api import Loss, Request
from jackfield.api.canonical import Output, Sampling, ThinkingConfig, budget_of
from jackfield.api.canonical.codec import Fields, wrong_type
from jackfield.api.canonical.schemas import fit_schema
from jackfield_gemini.generate.media import lost
from jackfield_gemini.generate.models import Manners
from jackfield_gemini.generate.names import fields, texts
from jackfield_gemini.generate.schemas import SUBSET, is_upper, to_json_schema, to_open_api

CONFIG: Final = "generationConfig"
MOST_STOPS: Final = 5
"""Stop sequences that a request may name."""
_NUMBERS: Final = {
    "temperature": "temperature", "topP": "top_p", "frequencyPenalty": "frequency_penalty", "presencePenalty": "presence_penalty",
}  # fmt: skip
_INTEGERS: Final = {"topK": "top_k", "seed": "seed", "maxOutputTokens": "max_tokens", "candidateCount": "n", "logprobs": "top_logprobs"}

# ---------------------------------------------------------------------------------------------- sampling


def decode_sampling(config: Fields) -> Sampling:
    """Take how the answer is drawn."""
    said: dict[str, Any] = {name: config.number(key) for key, name in _NUMBERS.items()}
    said.update({name: config.integer(key) for key, name in _INTEGERS.items()})
    stop = config.rest.get("stopSequences")
    if isinstance(stop, str):
        raise wrong_type(config.at("stopSequences"), "a list", stop)
    return Sampling(logprobs=config.flag("responseLogprobs"), stop=texts(config, "stopSequences"), **said)


def write_sampling(wire: dict[str, Any], sampling: Sampling, losses: list[Loss]) -> None:
    """Write how the answer is drawn."""
    for key, name in (*_NUMBERS.items(), *_INTEGERS.items()):
        value = getattr(sampling, name)
        if value is not None:
            wire[key] = value
    if sampling.logprobs is not None:
        wire["responseLogprobs"] = sampling.logprobs
    if sampling.stop:
        wire["stopSequences"] = list(sampling.stop[:MOST_STOPS])
    if len(sampling.stop) > MOST_STOPS:
        losses.append(Loss("sampling.stop", "changed", f"there may be {MOST_STOPS} stop sequences; the others are left out"))
    for name in ("min_p", "logit_bias"):
        if getattr(sampling, name):
            lost(losses, f"sampling.{name}", "Google's models take no such setting")


# ---------------------------------------------------------------------------------------------- thinking

_THINKING: Final = "thinkingConfig"


def decode_thinking(config: Fields) -> ThinkingConfig:
    """Take how much to think; what has no canonical words remains."""
    value = config.object(_THINKING)
    if value is None:
        return ThinkingConfig()
    inner = fields(value, config.at(_THINKING))
    shown, budget, level = inner.flag("includeThoughts"), inner.integer("thinkingBudget"), inner.text("thinkingLevel")
    mode: Literal["on", "off", "auto"] | None = None
    if level is not None:
        mode = "on"
        if level != level.upper():
            inner.rest["thinkingLevel"] = level
    elif budget is not None:
        mode = "auto" if budget < 0 else "on" if budget else "off"
    if inner.rest or not value:
        config.rest[_THINKING] = inner.rest
    return ThinkingConfig(
        mode=mode,
        effort=level.lower() if level is not None else None,
        budget=budget if budget is not None and budget > 0 else None,
        summary=None if shown is None else "auto" if shown else "none",
    )


def write_thinking(wire: dict[str, Any], said: ThinkingConfig, manners: Manners, rest: dict[str, Any], losses: list[Loss]) -> None:
    """Write how much to think: by level or by budget, as the model takes it; what is used of `rest` is taken out of it."""
    kept = rest.pop(_THINKING, None)
    inner: dict[str, Any] = {}
    if said.summary is not None:
        inner["includeThoughts"] = said.summary != "none"
        if said.summary not in ("auto", "none"):
            losses.append(Loss("thinking.summary", "changed", "thoughts are shown or not, in one form"))
    _write_amount(inner, said, manners, losses)
    if isinstance(kept, dict):
        spelled = kept.get("thinkingLevel")
        same = isinstance(spelled, str) and spelled.upper() == inner.get("thinkingLevel")
        inner.update({key: value for key, value in kept.items() if key != "thinkingLevel" or same})
    if inner or isinstance(kept, dict):
        wire[_THINKING] = inner


def _write_amount(inner: dict[str, Any], said: ThinkingConfig, manners: Manners, losses: list[Loss]) -> None:
    if said.mode == "off" or said.effort == "none":
        inner["thinkingBudget"] = 0
    elif said.effort is not None and (manners.takes_levels or budget_of(said.effort) is None) and said.effort != "auto":
        _write_level(inner, said.effort, losses)
        if said.budget is not None:
            lost(losses, "thinking.budget", "a budget of thought cannot stand beside a level")
    elif said.budget is not None:
        inner["thinkingBudget"] = said.budget
    elif said.effort is not None and said.effort != "auto":
        inner["thinkingBudget"] = budget_of(said.effort)
        losses.append(Loss("thinking.effort", "changed", f"this model takes a budget: {inner['thinkingBudget']} tokens"))
    elif said.mode == "auto" or said.effort == "auto":
        inner["thinkingBudget"] = -1


def _write_level(inner: dict[str, Any], effort: str, losses: list[Loss]) -> None:
    level = "high" if effort in ("xhigh", "max") else effort
    if level != effort:
        losses.append(Loss("thinking.effort", "changed", f"the highest level is {level!r}"))
    inner["thinkingLevel"] = level.upper()


# ---------------------------------------------------------------------------------------------- the answer's form

_SCHEMAS: Final = ("responseJsonSchema", "responseSchema")
_FORM: Final = "=schema"
"""The key under which the config keeps how the schema was spelled, as for functions."""


def decode_output(config: Fields) -> Output:
    """Take the form of the answer; a type or a schema that has no canonical words remains."""
    said: dict[str, Any] = {}
    schema, older = config.object(_SCHEMAS[0]), config.object(_SCHEMAS[1])
    if older is not None and schema is None:
        config.rest[_FORM] = "SCHEMA" if is_upper(older) else "schema"
        schema = to_json_schema(older)
    elif schema is not None:
        if older is not None:
            config.rest[_SCHEMAS[1]] = older
        if is_upper(schema):
            config.rest[_FORM], schema = "JSON", to_json_schema(schema)
    kind = config.text("responseMimeType")
    if kind == "application/json":
        said["format"] = "json" if schema is None else "json_schema"
    elif schema is not None:
        said["format"] = "json_schema"
        config.rest["responseMimeType"] = kind or ""
    elif kind == "text/plain":
        said["format"] = "text"
    elif kind is not None:
        config.rest["responseMimeType"] = kind
    return Output(schema=schema, modalities=_decode_modalities(config), voice=_decode_voice(config), **said)


def _decode_modalities(config: Fields) -> tuple[str, ...]:
    words = texts(config, "responseModalities")
    if any(word != word.upper() for word in words):
        config.rest["responseModalities"] = list(words)
    return tuple(word.lower() for word in words)


def _decode_voice(config: Fields) -> str | None:
    """Take the one voice of the answer; everything else of `speechConfig` remains."""
    value = config.object("speechConfig")
    if value is None:
        return None
    speech = fields(value, config.at("speechConfig"))
    voice, prebuilt = speech.rest.get("voiceConfig"), None
    if isinstance(voice, dict):
        outer = fields(voice, speech.at("voiceConfig"))
        prebuilt = outer.object("prebuiltVoiceConfig")
        speech.rest["voiceConfig"] = outer.rest
    name = None
    if prebuilt is not None:
        inner = fields(prebuilt, config.at("prebuiltVoiceConfig"))
        name = inner.text("voiceName")
        if inner.rest:
            speech.rest["voiceConfig"]["prebuiltVoiceConfig"] = inner.rest
    if not speech.rest.get("voiceConfig", True):
        del speech.rest["voiceConfig"]
    if speech.rest or not value:
        config.rest["speechConfig"] = speech.rest
    return name


def write_output(wire: dict[str, Any], output: Output, rest: dict[str, Any], losses: list[Loss]) -> None:
    """Write the form of the answer; what is used of `rest` is taken out of it."""
    form, kind = rest.pop(_FORM, None), rest.pop("responseMimeType", None)
    match output.format:
        case "text":
            wire["responseMimeType"] = "text/plain"
        case "json":
            wire["responseMimeType"] = "application/json"
        case "json_schema":
            wire["responseMimeType"] = "application/json"
            _write_schema(wire, output.schema, form, losses)
        case "grammar":
            lost(losses, "output.format", "answers cannot be bound to a grammar")
    if kind == "" and output.format == "json_schema":
        del wire["responseMimeType"]
    elif kind and output.format in (None, "json_schema"):
        wire["responseMimeType"] = kind
    for name in ("name", "description", "verbosity", "audio_format"):
        if getattr(output, name) is not None:
            lost(losses, f"output.{name}", "Google's models are not told of it")
    _write_speech(wire, output, rest)


def _write_schema(wire: dict[str, Any], schema: dict[str, Any] | None, form: str | None, losses: list[Loss]) -> None:
    if schema is None:
        return
    if form in ("SCHEMA", "schema"):
        wire[_SCHEMAS[1]] = to_open_api(schema, upper=form == "SCHEMA")
    elif form == "JSON":
        wire[_SCHEMAS[0]] = to_open_api(schema, upper=True)
    else:
        wire[_SCHEMAS[0]] = fit_schema(schema, SUBSET, losses, "output.schema")


def _write_speech(wire: dict[str, Any], output: Output, rest: dict[str, Any]) -> None:
    words = rest.pop("responseModalities", None)
    if output.modalities:
        same = isinstance(words, list) and tuple(word.lower() for word in words) == output.modalities
        wire["responseModalities"] = words if same else [word.upper() for word in output.modalities]
    if output.voice is not None:
        wire["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": output.voice}}}


# ---------------------------------------------------------------------------------------------- housekeeping

_LABELED: Final = "=labeled"
"""The key under which a request keeps that its metadata came as labels of Google's."""
USUAL_TIER: Final = "standard"
TIERS: Final = {"default": USUAL_TIER, "standard": USUAL_TIER, "flex": "flex", "priority": "priority"}
"""Google's service tiers, by the words that several providers share for them."""


def shared_tier(tier: str) -> str:
    """Return the shared word for a tier of Google's."""
    return "default" if tier.lower() == "standard" else tier.lower()


def take_labels(found: Fields) -> dict[str, str]:
    """Take the caller's labels, and note that they are some."""
    value = found.object("labels") or {}
    for key, item in value.items():
        if not isinstance(item, str):
            raise wrong_type(f"labels.{key}", "a text", item)
    if value:
        found.rest[_LABELED] = True
    return value


def write_housekeeping(body: dict[str, Any], request: Request, rest: dict[str, Any], losses: list[Loss]) -> None:
    """Write the remaining settings that have canonical words; what is used of `rest` is taken out of it."""
    labeled = rest.pop(_LABELED, False)
    if request.metadata and labeled:
        body["labels"] = request.metadata
    elif request.metadata:
        lost(losses, "metadata", "the Gemini API refuses labels, which Vertex AI alone takes")
    tier = request.service_tier
    if tier is not None and tier.lower() in TIERS:
        body["serviceTier"] = TIERS[tier.lower()]
    elif tier not in (None, "auto"):
        lost(losses, "service_tier", f"Google has no service tier {tier!r}")
    if request.store is not None:
        body["store"] = request.store
    for name in ("user", "previous", "cache_key", "cache_retention"):
        if getattr(request, name) is not None:
            lost(losses, name, "Google's models are not told of it")
    if request.parallel_tools is False and request.tools:
        lost(losses, "parallel_tools", "the model cannot be told to call one function at a time")
