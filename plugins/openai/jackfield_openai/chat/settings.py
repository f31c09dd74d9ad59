"""What a request says beside its messages and tools: sampling, thinking, the form of the answer, housekeeping.

Source: OpenAI's API reference, "Create chat completion". Other speakers' fields: `top_k` and `min_p` (OpenRouter, vLLM),
`reasoning` (OpenRouter), `thinking` (DeepSeek, Z.AI), `enable_thinking` and `thinking_budget` (Qwen). These are written
only where they stood: OpenAI refuses fields that it does not know.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import Output, Request, Sampling, ThinkingConfig
from jackfield.api.canonical.codec import Fields, overlay, wrong_type
from jackfield.api.canonical.schemas import fit_schema
from jackfield_openai.chat.content import Losses, lost
from jackfield_openai.chat.tiers import note_tier, write_tier
from jackfield_openai.responses.schemas import subset

# ---------------------------------------------------------------------------------------------- sampling

_NUMBERS: Final = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_INTEGERS: Final = ("seed", "n", "top_logprobs")
_FOREIGN: Final[dict[str, tuple[type, ...]]] = {"top_k": (int,), "min_p": (int, float)}
LIMITS: Final = ("max_completion_tokens", "max_tokens")
"""Keys of the limit on tokens: the present one, and the older one that most other speakers know alone."""


def decode_sampling(fields: Fields) -> Sampling:
    """Take how the answer is drawn."""
    said: dict[str, Any] = {name: fields.number(name) for name in _NUMBERS}
    said.update({name: fields.integer(name) for name in _INTEGERS})
    said["logprobs"] = fields.flag("logprobs")
    for name, type_ in _FOREIGN.items():
        value = fields.rest.get(name)
        # It remains as well, to tell that whoever is asked knows it.
        said[name] = value if isinstance(value, type_) and not isinstance(value, bool) else None
    limits = {name: value for name in LIMITS if (value := fields.integer(name)) is not None}
    if limits and (LIMITS[0] not in limits or len(limits) == 2):
        fields.rest.update(limits)
    return Sampling(max_tokens=next(iter(limits.values()), None), stop=_take_stop(fields), logit_bias=_take_bias(fields), **said)


def _take_stop(fields: Fields) -> tuple[str, ...]:
    value = fields.rest.get("stop")
    if value is None or isinstance(value, str):
        return (value,) if value is not None else ()
    if not isinstance(value, list):
        raise wrong_type("stop", "a text or a list of texts", value)
    for at, item in enumerate(value):
        if not isinstance(item, str):
            raise wrong_type(f"stop[{at}]", "a text", item)
    if value:
        del fields.rest["stop"]
    return tuple(value)


def _take_bias(fields: Fields) -> dict[str, float] | None:
    value = fields.object("logit_bias")
    for token, bias in (value or {}).items():
        if not isinstance(bias, int | float) or isinstance(bias, bool):
            raise wrong_type(f"logit_bias.{token}", "a number", bias)
    return value


def write_sampling(body: dict[str, Any], sampling: Sampling, rest: dict[str, Any], losses: Losses) -> None:
    """Write how the answer is drawn; what is used of `rest` is taken out of it."""
    for name in (*_NUMBERS, *_INTEGERS, "logprobs", "logit_bias"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    for name in _FOREIGN:
        value, known = getattr(sampling, name), rest.pop(name, None) is not None
        if value is not None and known:
            body[name] = value
        elif value is not None:
            lost(losses, f"sampling.{name}", f"chat completions have no {name}")
    places = [name for name in LIMITS if rest.pop(name, None) is not None]
    if sampling.max_tokens is not None:
        body.update(dict.fromkeys(places or LIMITS[:1], sampling.max_tokens))
    form = rest.pop("stop", None)
    if isinstance(form, str) and len(sampling.stop) == 1:
        body["stop"] = sampling.stop[0]
    elif sampling.stop or form == []:
        body["stop"] = list(sampling.stop)


# ---------------------------------------------------------------------------------------------- thinking

_MODES: Final[dict[Any, Literal["on", "off", "auto"]]] = {"enabled": "on", "disabled": "off", "auto": "auto", "adaptive": "auto"}
_BUDGETS: Final = ((1024, "low"), (8192, "medium"))
"""Thinking tokens up to which an effort reaches, as Google's guide "OpenAI compatibility" equates the two."""


def decode_thinking(fields: Fields) -> ThinkingConfig:
    """Take how much to think. Objects that say it, and flags of other speakers, remain in part, to be written back."""
    reasoning, thinking = _take_object(fields, "reasoning"), _take_object(fields, "thinking")
    effort = fields.text("reasoning_effort")
    if effort is not None and "effort" in reasoning:
        fields.rest["reasoning_effort"] = ""
    flag, budget = fields.rest.get("enable_thinking"), fields.rest.get("thinking_budget")
    level = effort if effort is not None else _text(reasoning.get("effort"))
    modes: list[Literal["on", "off", "auto"] | None] = [_mode(thinking.get("type")), _on_or_off(reasoning.get("enabled")), _on_or_off(flag)]
    modes.append("off" if level == "none" else None)
    budgets = [reasoning.get("max_tokens"), thinking.get("budget_tokens"), budget]
    return ThinkingConfig(
        mode=next((mode for mode in modes if mode is not None), None),
        effort=level,
        budget=next((b for b in budgets if isinstance(b, int) and not isinstance(b, bool)), None),
        summary=_text(reasoning.get("summary")),
    )


def _take_object(fields: Fields, key: str) -> dict[str, Any]:
    value = fields.rest.get(key)
    return value if isinstance(value, dict) else {}


def _mode(value: Any) -> Literal["on", "off", "auto"] | None:
    return _MODES.get(value) if isinstance(value, str) else None


def _on_or_off(value: Any) -> Literal["on", "off"] | None:
    return ("on" if value else "off") if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def write_thinking(body: dict[str, Any], said: ThinkingConfig, rest: dict[str, Any], losses: Losses) -> None:
    """Write how much to think: in the places that `rest` names, else as `reasoning_effort`."""
    old = {key: rest.pop(key) for key in ("reasoning", "thinking", "enable_thinking", "thinking_budget") if key in rest}
    before = decode_thinking(Fields({**old, "reasoning_effort": None}, ""))
    beside = rest.pop("reasoning_effort", None) == ""
    for key, value in old.items():
        body[key] = _rewritten(key, value, said)
    _write_effort(body, said, before, beside, losses)
    if said.mode == "on" and said.effort is None and said.budget is None and before.mode is None:
        lost(losses, "thinking.mode", "chat completions say how much to think, not whether")
    if said.summary is not None and before.summary is None:
        lost(losses, "thinking.summary", "chat completions show no thoughts")


def _write_effort(body: dict[str, Any], said: ThinkingConfig, before: ThinkingConfig, beside: bool, losses: Losses) -> None:
    """Write the effort, and what can only be said as one. `before` is what stands in other places, `beside` that both were used."""
    untold = said.budget if before.budget is None else None
    if said.effort is not None:
        if before.effort is None or beside:
            body["reasoning_effort"] = said.effort
        if untold is not None:
            lost(losses, "thinking.budget", "chat completions have no budget of thought beside the effort")
    elif said.mode == "off" and before.mode is None:
        body["reasoning_effort"] = "none"
    elif untold is not None:
        effort = next((name for most, name in _BUDGETS if untold <= most), "high")
        body["reasoning_effort"] = effort
        losses.append(Loss("thinking.budget", "changed", f"chat completions have no budget of thought; it becomes the effort {effort!r}"))


def _rewritten(key: str, value: Any, said: ThinkingConfig) -> Any:
    """Return a member as it came, with what a canonical setting now says in its places."""
    if key == "enable_thinking":
        return said.mode != "off" if isinstance(value, bool) and said.mode is not None else value
    if key == "thinking_budget":
        return said.budget if isinstance(value, int) and not isinstance(value, bool) and said.budget is not None else value
    if not isinstance(value, dict):
        return value
    new = dict(value)
    places: dict[str, Any] = {"budget_tokens": said.budget}
    if key == "reasoning":
        places = {"effort": said.effort, "max_tokens": said.budget, "summary": said.summary}
    for place, now in places.items():
        if isinstance(new.get(place), str | int):
            overlay(new, {place: now})
    if isinstance(new.get("enabled"), bool) and said.mode is not None and key == "reasoning":
        new["enabled"] = said.mode != "off"
    if key == "thinking" and said.mode is not None and _mode(new.get("type")) not in (None, said.mode):
        new["type"] = {"on": "enabled", "off": "disabled", "auto": "auto"}[said.mode]
    return new


# ---------------------------------------------------------------------------------------------- the answer's form


def decode_output(fields: Fields) -> Output:
    """Take the form of the answer. A `response_format` of a type that is not OpenAI's remains."""
    said: dict[str, Any] = {}
    form = fields.object("response_format")
    if form is not None:
        said = _decode_format(Fields(form, "response_format"), fields)
    audio = fields.object("audio")
    if audio is not None:
        inner = Fields(audio, "audio")
        said["voice"], said["audio_format"] = inner.take_if("voice", str), inner.text("format")
        if said["audio_format"] is None:
            inner.rest["format"] = ""
        if inner.rest:
            fields.rest["audio"] = inner.rest
    modalities = fields.items("modalities") or []
    for at, item in enumerate(modalities):
        if not isinstance(item, str):
            raise wrong_type(f"modalities[{at}]", "a text", item)
    return Output(verbosity=fields.text("verbosity"), modalities=tuple(modalities), **said)


def _decode_format(form: Fields, fields: Fields) -> dict[str, Any]:
    type_ = form.needed_text("type")
    said: dict[str, Any] = {}
    match type_:
        case "text":
            said["format"] = "text"
        case "json_object":
            said["format"] = "json"
        case "json_schema":
            inner = form.inner("json_schema")
            said = {
                "format": "json_schema",
                "name": inner.text("name"),
                "description": inner.text("description"),
                "schema": inner.object("schema"),
                "strict": inner.flag("strict"),
            }
            if inner.rest:
                form.rest["json_schema"] = inner.rest
        case _:
            said["format"] = "grammar" if type_ in ("grammar", "regex") else None
            form.rest["type"] = type_
    if form.rest:
        fields.rest["response_format"] = form.rest
    return said


def write_output(body: dict[str, Any], output: Output, rest: dict[str, Any], losses: Losses, *, own: bool) -> None:
    """Write the form of the answer; what is used of `rest` is taken out of it.

    A schema that came in this dialect is `own` and left as it is, others are fitted to what OpenAI accepts.
    """
    if output.schema is not None and not own:
        fitted = fit_schema(output.schema, subset(output.strict), losses, "output.schema")
        output = msgspec.structs.replace(output, schema=fitted)
    form = _encode_format(output, rest.pop("response_format", None), losses)
    if form is not None:
        body["response_format"] = form
    if output.verbosity is not None:
        body["verbosity"] = output.verbosity
    if output.modalities:
        body["modalities"] = list(output.modalities)
    _write_audio(body, output, rest, losses)


def _write_audio(body: dict[str, Any], output: Output, rest: dict[str, Any], losses: Losses) -> None:
    own = rest.pop("audio", None)
    audio = {key: value for key, value in (("voice", output.voice), ("format", output.audio_format)) if value is not None}
    if own is not None:
        audio = {**audio, **{key: value for key, value in own.items() if (key, value) != ("format", "")}}
    elif audio and output.audio_format is None:
        audio["format"] = "wav"
        losses.append(Loss("output.audio_format", "invented", "chat completions want a format for sound"))
    if audio or own is not None:
        body["audio"] = audio


def _encode_format(output: Output, rest: dict[str, Any] | None, losses: Losses) -> dict[str, Any] | None:
    wire: dict[str, Any]
    match output.format:
        case "text":
            wire = {"type": "text"}
        case "json":
            wire = {"type": "json_object"}
        case "json_schema":
            inner = {"name": output.name, "description": output.description, "schema": output.schema, "strict": output.strict}
            if output.name is None:
                inner["name"] = "answer"
                losses.append(Loss("output.name", "invented", "chat completions want a name for a schema"))
            wire = {"type": "json_schema", "json_schema": {key: value for key, value in inner.items() if value is not None}}
        case "grammar" if rest is None or "type" not in rest:
            lost(losses, "output.format", "chat completions bind tools to grammars, not the answer")
            return None
        case _:
            return rest if rest is not None and "type" in rest else None
    return overlay(wire, rest) if rest is not None and "type" not in rest else wire


# ---------------------------------------------------------------------------------------------- housekeeping


class Housekeeping(msgspec.Struct, frozen=True):
    """The remaining settings of a request that have canonical words."""

    stream: bool
    stream_usage: bool | None
    user: str | None
    metadata: dict[str, str]
    service_tier: str | None
    store: bool | None
    cache_key: str | None
    cache_retention: str | None


def decode_housekeeping(fields: Fields) -> Housekeeping:
    """Take the stream flag and its options, metadata, tier, storage and caching."""
    stream = fields.flag("stream")
    if stream is False:
        fields.rest["stream"] = False
    tier = note_tier(fields.text("service_tier"), fields.rest)
    usage = None
    options = fields.object("stream_options")
    if options is not None:
        inner = Fields(options, "stream_options")
        usage = inner.flag("include_usage")
        if inner.rest or usage is None:
            fields.rest["stream_options"] = inner.rest
    return Housekeeping(
        stream=bool(stream),
        stream_usage=usage,
        user=fields.text("user"),
        metadata=_take_metadata(fields),
        service_tier=tier,
        store=fields.flag("store"),
        cache_key=fields.text("prompt_cache_key"),
        cache_retention=fields.text("prompt_cache_retention"),
    )


def _take_metadata(fields: Fields) -> dict[str, str]:
    value = fields.object("metadata") or {}
    for key, item in value.items():
        if not isinstance(item, str):
            raise wrong_type(f"metadata.{key}", "a text", item)
    return value


def write_housekeeping(body: dict[str, Any], request: Request, rest: dict[str, Any], losses: Losses) -> None:
    """Write the remaining settings; what is used of `rest` is taken out of it."""
    said = {
        "user": request.user,
        "metadata": request.metadata or None,
        "store": request.store,
        "prompt_cache_key": request.cache_key,
        "prompt_cache_retention": request.cache_retention,
    }
    body.update({key: value for key, value in said.items() if value is not None})
    write_tier(body, request.service_tier, rest, losses)
    if request.previous is not None:
        lost(losses, "previous", "chat completions do not go on from stored answers")
    was_said = rest.pop("stream", None) is False
    if request.stream or was_said:
        body["stream"] = request.stream
    options = rest.pop("stream_options", None)
    if request.stream and (request.stream_usage is not None or options is not None):
        asked = {"include_usage": request.stream_usage} if request.stream_usage is not None else {}
        body["stream_options"] = {**asked, **(options or {})}
