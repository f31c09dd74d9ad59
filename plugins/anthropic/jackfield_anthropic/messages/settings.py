"""What a request says beside its messages, tools and thinking: sampling, the form of the answer, housekeeping.

Source: Anthropic's API reference, "Create a Message", and its guide "Structured outputs" (`output_config.format`, before it
`output_format`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Output, Request, Sampling
from jackfield.api.canonical.codec import Fields, wrong_type
from jackfield.api.canonical.schemas import fit_schema
from jackfield_anthropic.messages.abilities import Abilities
from jackfield_anthropic.messages.losses import Losses, changed, dropped, invented
from jackfield_anthropic.messages.tools import STRICT_SCHEMA, forces

# ---------------------------------------------------------------------------------------------- sampling

_UNKNOWN: Final = ("min_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias", "top_logprobs")
_LEAST_TOP_P: Final = 0.95
"""The smallest top_p beside thinking."""


def decode_sampling(fields: Fields) -> Sampling:
    """Take how the answer is drawn."""
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        max_tokens=fields.integer("max_tokens"),
        stop=_take_stop(fields),
    )


def _take_stop(fields: Fields) -> tuple[str, ...]:
    values = fields.items("stop_sequences")
    for at, item in enumerate(values or ()):
        if not isinstance(item, str):
            raise wrong_type(f"stop_sequences[{at}]", "a text", item)
    if values == []:
        fields.rest["stop_sequences"] = []
    return tuple(values or ())


def write_limit(body: dict[str, Any], request: Request, able: Abilities, losses: Losses) -> None:
    """Write the most tokens of the answer, which must be said."""
    limit = request.sampling.max_tokens
    if limit is None:
        limit = able.limit
        if request.thinking.budget is not None and request.thinking.mode != "off":
            limit = max(limit, request.thinking.budget + 4096)
        invented(losses, "sampling.max_tokens", f"the most tokens of the answer must be said: {limit}")
    body["max_tokens"] = limit


def write_sampling(body: dict[str, Any], sampling: Sampling, able: Abilities, losses: Losses) -> None:
    """Write how the answer is drawn, as far as the model takes it. Thinking must be written by then."""
    for name in _UNKNOWN:
        if getattr(sampling, name) is not None:
            dropped(losses, f"sampling.{name}", f"messages have no {name}")
    if sampling.logprobs:
        dropped(losses, "sampling.logprobs", "messages tell no likelihoods")
    if sampling.n is not None and sampling.n > 1:
        dropped(losses, "sampling.n", "there is one answer to a request")
    stop = [text for text in sampling.stop if text.strip()]
    if len(stop) != len(sampling.stop):
        dropped(losses, "sampling.stop", "stop sequences of blanks alone are refused")
    if stop:
        body["stop_sequences"] = stop
    _write_draw(body, sampling, able, losses)


def _write_draw(body: dict[str, Any], sampling: Sampling, able: Abilities, losses: Losses) -> None:
    """Write temperature, top_p and top_k, without those that would have the request refused."""
    said = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
    said = {name: value for name, value in said.items() if value is not None}
    temperature = said.get("temperature", 0.0)
    if temperature > 1:
        changed(losses, "sampling.temperature", "temperatures reach from 0 to 1")
        said["temperature"] = 1
    for name in [name for name in said if why_not(name, said, body, able) is not None]:
        dropped(losses, f"sampling.{name}", why_not(name, said, body, able) or "")
        del said[name]
    body.update(said)


def why_not(name: str, said: dict[str, Any], body: dict[str, Any], able: Abilities) -> str | None:
    """Return why a setting would have the request refused; None where it would not."""
    value = said[name]
    if able.sampling == "none" and not (name != "top_k" and value == 1):
        return "the model takes no such setting"
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if thinks and (name == "top_k" or (name == "temperature" and value != 1) or (name == "top_p" and value < _LEAST_TOP_P)):
        return "it is refused beside thinking"
    if name == "top_p" and "temperature" in said and able.sampling == "one":
        return "the model takes temperature or top_p, not both"
    return None


def settle_conflicts(body: dict[str, Any], losses: Losses) -> None:
    """Take thinking with a budget back where it is refused: where a tool must be used, or the thought before a call is gone."""
    if body.get("thinking", {}).get("type") != "enabled":
        return
    why = "where a tool must be used" if forces(body.get("tool_choice")) else None
    if why is None and _lacks_thought(body["messages"]):
        why = "where the turn that called for tools does not begin with its thought"
    if why is not None:
        changed(losses, "thinking", f"thinking with a budget is refused {why}")
        body["thinking"] = {"type": "disabled"}


def _lacks_thought(messages: Sequence[dict[str, Any]]) -> bool:
    """Tell whether results are sent to a call whose turn does not begin with a thought."""
    spoken = [message for message in messages if message["role"] != "system"]
    if len(spoken) < 2 or not _begins_with(spoken[-1], "tool_result"):
        return False
    return not (_begins_with(spoken[-2], "thinking") or _begins_with(spoken[-2], "redacted_thinking"))


def _begins_with(message: dict[str, Any], kind: str) -> bool:
    content = message.get("content")
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and first["type"] == kind


# ---------------------------------------------------------------------------------------------- the answer's form

_OLD: Final = "output_format"


def decode_output(fields: Fields) -> tuple[Output, str | None]:
    """Take the form of the answer and the effort. A form of an unknown type remains."""
    effort: str | None = None
    form: dict[str, Any] | None = None
    path = "output_config.format"
    config = fields.object("output_config")
    if config is not None:
        inner = Fields(config, "output_config")
        effort, form = inner.text("effort"), inner.object("format")
        if inner.rest or (effort is None and form is None):
            fields.rest["output_config"] = inner.rest
    if form is None and fields.rest.get(_OLD) is not None:
        form, path = fields.object(_OLD), _OLD
        fields.rest[_OLD] = {}
    if form is None:
        return Output(), effort
    inner = Fields(form, path)
    if inner.needed_text("type") != "json_schema":
        fields.rest.setdefault("output_config", {})["format"] = form
        return Output(), effort
    return Output(format="json_schema", schema=inner.object("schema")), effort


def write_output(body: dict[str, Any], output: Output, rest: dict[str, Any], losses: Losses) -> None:
    """Write the form of the answer; what is used of `rest` is taken out of it."""
    old = rest.pop(_OLD, None) is not None
    if output.format == "json_schema" and output.schema is not None:
        form = {"type": "json_schema", "schema": fit_schema(output.schema, STRICT_SCHEMA, losses, "output.schema")}
        if old:
            body[_OLD] = form
        else:
            body.setdefault("output_config", {})["format"] = form
    elif output.format not in (None, "text"):
        dropped(losses, "output.format", "the answer's form is bound by a schema or not at all")
    if output.description is not None:
        dropped(losses, "output.description", "a schema's description stands in the schema")
    for name in ("verbosity", "voice", "audio_format"):
        if getattr(output, name) is not None:
            dropped(losses, f"output.{name}", f"messages have no {name}")
    if any(modality != "text" for modality in output.modalities):
        dropped(losses, "output.modalities", "answers are texts")


# ---------------------------------------------------------------------------------------------- housekeeping

WHOLE: Final = "=stream"
"""The key under which a request keeps that it said to want no stream."""
_TIERS: Final = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}


class Housekeeping(msgspec.Struct, frozen=True):
    """The remaining settings of a request that have canonical words."""

    stream: bool
    user: str | None
    service_tier: str | None


def decode_housekeeping(fields: Fields) -> Housekeeping:
    """Take the stream flag, whom the request is for, and the tier."""
    stream, user = fields.flag("stream"), None
    if stream is False:
        fields.rest[WHOLE] = True
    metadata = fields.object("metadata")
    if metadata is not None:
        inner = Fields(metadata, "metadata")
        user = inner.text("user_id")
        if inner.rest or user is None:
            fields.rest["metadata"] = inner.rest
    return Housekeeping(stream=bool(stream), user=user, service_tier=fields.text("service_tier"))


def write_housekeeping(body: dict[str, Any], request: Request, losses: Losses, *, whole: bool) -> None:
    """Write the remaining settings. Where no stream is wanted, only the `whole` answer of those who said so is asked for by name."""
    if request.stream or whole:
        body["stream"] = request.stream
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    tier = request.service_tier
    if tier is not None and tier in _TIERS:
        body["service_tier"] = _TIERS[tier]
    elif tier is not None:
        dropped(losses, "service_tier", f"there is no tier {tier!r} to ask for")
    for name in ("metadata", "previous", "cache_key", "cache_retention"):
        if getattr(request, name):
            dropped(losses, name, f"messages have no {name}")
    if request.store:
        dropped(losses, "store", "Anthropic keeps no answers")
