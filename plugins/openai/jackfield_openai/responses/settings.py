"""What a request says beside its input and tools: sampling, thinking, the form of the answer, housekeeping.

Source: OpenAI's API reference, "Create a response". Penalties, `seed`, `top_k` and `min_p` are other speakers', and are written only
where they stood: OpenAI refuses fields that it does not know.
"""

from __future__ import annotations

import re
from typing import Any, Final

from jackfield.api import Loss, Request
from jackfield.api.canonical import Output, Sampling, ThinkingConfig
from jackfield.api.canonical.codec import Fields, overlay, wrong_type
from jackfield.api.canonical.schemas import fit_schema
from jackfield.api.canonical.thinking import budget_of, effort_of
from jackfield_openai.responses.extras import Losses, lost
from jackfield_openai.responses.schemas import subset

Body = dict[str, Any]

# ---------------------------------------------------------------------------------------------- sampling

_OWN: Final = {"temperature": "temperature", "top_p": "top_p"}
_FOREIGN: Final = ("top_k", "min_p", "frequency_penalty", "presence_penalty", "seed")
TOKENS: Final = "message.output_text.logprobs"
"""What `include` names to ask how likely the tokens were."""
SEALED: Final = "reasoning.encrypted_content"
"""What `include` names to ask for thoughts that can be sent back."""
_KNOWN: Final = "=known"
"""The key under which a request keeps which settings of other speakers it named: whoever is asked knows them."""
_INCLUDED: Final = "=include"
"""The key under which it keeps an `include` that asks for nothing but what is asked of other dialects in another way, or always given."""
_WHOLE: Final = "=stream"
"""The key under which it keeps that it said to want no stream."""
_UNCUT: Final = "=truncation"
"""The key under which it keeps that it asked for no truncation, which is what goes without saying."""


def decode_sampling(fields: Fields) -> Sampling:
    """Take how the answer is drawn."""
    said: dict[str, Any] = {name: fields.number(key) for key, name in _OWN.items()}
    for name in _FOREIGN:
        value = fields.rest.get(name)
        said[name] = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    known = [name for name in _FOREIGN if said[name] is not None]
    for name in known:
        del fields.rest[name]
    if known:
        fields.rest[_KNOWN] = known
    said["max_tokens"], said["top_logprobs"] = fields.integer("max_output_tokens"), fields.integer("top_logprobs")
    include = fields.rest.get("include")
    if not isinstance(include, list | None):
        raise wrong_type("include", "a list", include)
    said["logprobs"] = True if include and TOKENS in include else None
    if include is not None and all(item in (TOKENS, SEALED) for item in include):
        fields.rest[_INCLUDED] = fields.rest.pop("include")
    return Sampling(**said)


FEWEST: Final = 16
"""OpenAI's least `max_output_tokens` (API reference, "Create a response")."""


def write_sampling(body: Body, sampling: Sampling, rest: Body, losses: Losses, *, own: bool) -> None:
    """Write how the answer is drawn; what is used of `rest` is taken out of it."""
    said = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    said |= {"max_output_tokens": sampling.max_tokens, "top_logprobs": sampling.top_logprobs}
    body.update({key: value for key, value in said.items() if value is not None})
    if not own and sampling.max_tokens is not None and sampling.max_tokens < FEWEST:
        body["max_output_tokens"] = FEWEST
        losses.append(Loss("sampling.max_tokens", "changed", f"Responses take no limit under {FEWEST}"))
    known = rest.pop(_KNOWN, ())
    for name in _FOREIGN:
        value = getattr(sampling, name)
        if value is not None and name in known:
            body[name] = value
        elif value is not None:
            lost(losses, f"sampling.{name}", f"Responses have no {name}")
    if sampling.stop:
        lost(losses, "sampling.stop", "Responses have no stop sequences")
    if sampling.n is not None and sampling.n != 1:
        lost(losses, "sampling.n", "Responses give one answer")
    if sampling.logit_bias:
        lost(losses, "sampling.logit_bias", "Responses have no logit_bias")
    if _INCLUDED in rest:
        rest["include"] = rest.pop(_INCLUDED)
    _include(rest, TOKENS, wanted=bool(sampling.logprobs))


def _include(rest: Body, name: str, *, wanted: bool) -> None:
    """Ask in `include` for something, or no more."""
    before = rest.get("include")
    listed = before if isinstance(before, list) else []
    if wanted and name not in listed:
        rest["include"] = [*listed, name]
    elif not wanted and name in listed:
        rest["include"] = [item for item in listed if item != name]


# ---------------------------------------------------------------------------------------------- thinking

CONFIGURED: Final = "=configured"
"""The key under which a request keeps the effort that it said itself, where an input item said another."""

_THINKERS: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d)|gpt-oss|codex)(?!.*-chat)")
"""Names of OpenAI's models that think without being asked."""


def decode_thinking(fields: Fields, later: str | None) -> ThinkingConfig:
    """Take how much to think. `later` is the effort that an item of the input said, which counts from there on."""
    value = fields.rest.get("reasoning")
    inner = Fields(value, "reasoning") if value is not None else Fields({}, "reasoning")
    effort, summary = inner.text("effort"), inner.text("summary")
    if value is not None:
        fields.rest["reasoning"] = inner.rest
        if not inner.rest and (effort is not None or summary is not None):
            del fields.rest["reasoning"]
    if later is not None and later != effort:
        fields.rest[CONFIGURED] = {"was": effort, "now": later}
        effort = later
    return ThinkingConfig(mode="off" if effort == "none" else None, effort=effort, summary=summary)


def write_thinking(body: Body, said: ThinkingConfig, rest: Body, losses: Losses) -> None:
    """Write how much to think; what is used of `rest` is taken out of it."""
    form = rest.pop("reasoning", None)
    effort = _effort(said, losses)
    configured = rest.pop(CONFIGURED, None)
    if isinstance(configured, dict) and configured.get("now") == effort:
        effort = configured.get("was")
    wire: Body = {} if effort is None else {"effort": effort}
    if said.summary is not None and said.summary != "none":
        wire["summary"] = said.summary
    if isinstance(form, dict):
        overlay(wire, {key: value for key, value in form.items() if value is not None})
    if wire or form == {}:
        body["reasoning"] = wire


def _effort(said: ThinkingConfig, losses: Losses) -> str | None:
    if said.effort is not None:
        if said.budget is not None and budget_of(said.effort) != said.budget:
            lost(losses, "thinking.budget", "Responses have no budget of thought beside the effort")
        return said.effort
    if said.mode == "off":
        return "none"
    if said.budget is not None:
        effort = effort_of(said.budget)
        losses.append(Loss("thinking.budget", "changed", f"Responses have no budget of thought; it becomes the effort {effort!r}"))
        return effort
    return None


def keep_thoughts(request: Request, body: Body, rest: Body) -> None:
    """For a request of another dialect: store nothing, as there, and ask for thoughts in the form in which they can be sent back.

    OpenAI refuses to be asked so for models that do not think.
    """
    if request.store is None:
        body["store"] = False
    thinks = request.thinking
    asked = thinks.mode in ("on", "auto") or thinks.budget is not None or thinks.effort is not None
    if thinks.mode != "off" and (asked or _THINKERS.match(request.model)):
        _include(rest, SEALED, wanted=True)


# ---------------------------------------------------------------------------------------------- the answer's form


def decode_output(fields: Fields) -> Output:
    """Take the form of the answer. A format of a type that is not OpenAI's remains."""
    value = fields.rest.get("text")
    if value is None:
        return Output()
    inner = Fields(value, "text")
    said: dict[str, Any] = {"verbosity": inner.text("verbosity")}
    if inner.rest.get("format") is not None:
        form = Fields(inner.rest["format"], "text.format")
        said |= _decode_format(form)
        if said.get("format") is not None:
            del inner.rest["format"]
            if form.rest:
                inner.rest["format"] = form.rest
    fields.rest["text"] = {key: item for key, item in inner.rest.items() if item is not None}
    if not fields.rest["text"] and any(item is not None for item in said.values()):
        del fields.rest["text"]
    return Output(**said)


def _decode_format(form: Fields) -> dict[str, Any]:
    type_ = form.needed_text("type")
    match type_:
        case "text":
            return {"format": "text"}
        case "json_object":
            return {"format": "json"}
        case "json_schema":
            return {
                "format": "json_schema",
                "name": form.text("name"),
                "description": form.text("description"),
                "schema": form.object("schema"),
                "strict": form.flag("strict"),
            }
    return {}


def write_output(body: Body, output: Output, rest: Body, losses: Losses, *, own: bool) -> None:
    """Write the form of the answer; what is used of `rest` is taken out of it."""
    said = rest.pop("text", None)
    wire: Body = {}
    form = encode_format(output, losses, fit=not own)
    if form is not None:
        wire["format"] = form
    if output.verbosity is not None:
        wire["verbosity"] = output.verbosity
    if isinstance(said, dict):
        overlay(wire, said)
    if wire or said == {}:
        body["text"] = wire
    for kind in output.modalities:
        if kind != "text":
            lost(losses, "output.modalities", f"Responses answer no {kind} on demand")


def encode_format(output: Output, losses: Losses, *, fit: bool) -> Body | None:
    """Write the form of the answer's words; None where nothing is asked."""
    match output.format:
        case "text":
            return {"type": "text"}
        case "json":
            return {"type": "json_object"}
        case "json_schema":
            wire: Body = {"type": "json_schema", "name": output.name, "description": output.description, "strict": output.strict}
            if output.name is None:
                wire["name"] = "answer"
                losses.append(Loss("output.name", "invented", "Responses want a name for a schema"))
            schema = output.schema or {}
            wire["schema"] = fit_schema(schema, subset(output.strict), losses, "output.schema") if fit else schema
            return {key: value for key, value in wire.items() if value is not None}
        case "grammar":
            lost(losses, "output.format", "Responses bind tools to grammars, not the answer")
    return None


# ---------------------------------------------------------------------------------------------- housekeeping

TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""OpenAI's service tiers."""


def decode_housekeeping(fields: Fields) -> dict[str, Any]:
    """Take the stream flag, metadata, tier, storage and caching, as members of a `Request`."""
    stream = fields.flag("stream")
    if stream is False:
        fields.rest[_WHOLE] = True
    if fields.rest.get("truncation") == "disabled":
        fields.rest[_UNCUT] = fields.rest.pop("truncation")
    tier = fields.text("service_tier")
    if tier is not None and tier not in TIERS:
        fields.rest["service_tier"] = ""
    user, safety = fields.text("user"), fields.rest.get("safety_identifier")
    if user is None and isinstance(safety, str):
        user, fields.rest["safety_identifier"] = safety, ""
    metadata = fields.object("metadata") or {}
    for key, item in metadata.items():
        if not isinstance(item, str):
            raise wrong_type(f"metadata.{key}", "a text", item)
    return {
        "stream": bool(stream),
        "stream_usage": True if stream else None,
        "user": user,
        "metadata": metadata,
        "service_tier": tier,
        "store": fields.flag("store"),
        "previous": fields.text("previous_response_id"),
        "cache_key": fields.text("prompt_cache_key"),
        "cache_retention": fields.text("prompt_cache_retention"),
        "parallel_tools": fields.flag("parallel_tool_calls"),
    }


def write_housekeeping(body: Body, request: Request, rest: Body, losses: Losses) -> None:
    """Write the remaining settings; what is used of `rest` is taken out of it."""
    if rest.get("safety_identifier") == "" and request.user is not None:
        rest["safety_identifier"] = request.user
    elif request.user is not None:
        body["user"] = request.user
    if rest.get("safety_identifier") == "":
        del rest["safety_identifier"]
    said = {
        "metadata": request.metadata or None,
        "store": request.store,
        "previous_response_id": request.previous,
        "prompt_cache_key": request.cache_key,
        "prompt_cache_retention": request.cache_retention,
        "parallel_tool_calls": request.parallel_tools,
    }
    body.update({key: value for key, value in said.items() if value is not None})
    known = rest.pop("service_tier", None) == ""
    if request.service_tier is not None and (known or request.service_tier in TIERS):
        body["service_tier"] = request.service_tier
    elif request.service_tier is not None:
        lost(losses, "service_tier", f"Responses have no service tier {request.service_tier!r}")
    if _UNCUT in rest:
        body["truncation"] = rest.pop(_UNCUT)
    was_said = rest.pop(_WHOLE, False)
    if request.stream or was_said:
        body["stream"] = request.stream
