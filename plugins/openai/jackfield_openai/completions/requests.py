"""Requests: a client's body to the canonical form, and the canonical form to an upstream's body.

Source: OpenAI's API reference, "Create completion". A prompt is a user's message. Several prompts, and prompts of token numbers,
mean something to this dialect alone, and so does a `suffix`: they are kept as they are, and say nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jackfield.api import BadRequest, Loss, Operation, Request
from jackfield.api.canonical import Message, Part, Sampling, Text
from jackfield.api.canonical.codec import Fields, load, missing, overlay, to_json, wrong_type
from jackfield_openai.completions.extras import Losses, extra, kept, lost

_NUMBERS: Final = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_INTEGERS: Final = ("seed", "n", "max_tokens")
_LISTED: Final = "=prompt"
"""The key under which a request keeps that its one text stood in a list."""
_WHOLE: Final = "=stream"
"""The key under which it keeps that it said to want no stream."""
_UNSAID: Final = ("top_k", "min_p")
_SPEAKERS: Final = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


# ---------------------------------------------------------------------------------------------- reading


def decode_request(raw: bytes, operation: Operation) -> Request:
    """Read a client's body. Raises `BadRequest` with the path of what is wrong."""
    if operation != "generate":
        return Request()
    try:
        return _decode(Fields(load(raw), ""))
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def _decode(fields: Fields) -> Request:
    if "prompt" not in fields.rest:
        raise missing("prompt")
    stream, options = fields.flag("stream"), fields.object("stream_options")
    if stream is False:
        fields.rest[_WHOLE] = True
    usage = None
    if options is not None:
        inner = Fields(options, "stream_options")
        usage = inner.flag("include_usage")
        if inner.rest or usage is None:
            fields.rest["stream_options"] = inner.rest
    return Request(
        model=fields.text("model") or "",
        messages=_take_prompt(fields),
        sampling=_take_sampling(fields),
        stream=bool(stream),
        stream_usage=usage,
        user=fields.text("user"),
        extensions=kept(fields.rest),
    )


def _take_prompt(fields: Fields) -> tuple[Message, ...]:
    """Take a prompt of one text; others remain."""
    value = fields.rest["prompt"]
    if not isinstance(fields.rest.get("suffix"), str | None):
        raise wrong_type("suffix", "a text", fields.rest["suffix"])
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value, fields.rest[_LISTED] = value[0], True
    if isinstance(value, str):
        del fields.rest["prompt"]
        return (Message(role="user", parts=(Text(text=value),)),)
    if not isinstance(value, list | None):
        raise wrong_type("prompt", "a text or a list", value)
    for at, item in enumerate(value or ()):
        if not isinstance(item, str | int | list) or isinstance(item, bool):
            raise wrong_type(f"prompt[{at}]", "a text or numbers of tokens", item)
    return ()


def _take_sampling(fields: Fields) -> Sampling:
    said: dict[str, Any] = {name: fields.number(name) for name in _NUMBERS}
    said.update({name: fields.integer(name) for name in _INTEGERS})
    chances = fields.integer("logprobs")
    bias = fields.object("logit_bias")
    for token, weight in (bias or {}).items():
        if not isinstance(weight, int | float) or isinstance(weight, bool):
            raise wrong_type(f"logit_bias.{token}", "a number", weight)
    said |= {"logprobs": None if chances is None else True, "top_logprobs": chances, "logit_bias": bias}
    return Sampling(stop=_take_stop(fields), **said)


def _take_stop(fields: Fields) -> tuple[str, ...]:
    value = fields.take("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        fields.rest["stop"] = ""
        return (value,)
    if not isinstance(value, list):
        raise wrong_type("stop", "a text or a list of texts", value)
    for at, item in enumerate(value):
        if not isinstance(item, str):
            raise wrong_type(f"stop[{at}]", "a text", item)
    return tuple(value)


# ---------------------------------------------------------------------------------------------- writing


def encode_request(request: Request, operation: Operation, losses: list[Loss]) -> bytes:
    """Write a body for an upstream; what completions cannot say is added to `losses`."""
    rest = dict(extra(request.extensions))
    body: dict[str, Any] = {"model": request.model}
    _write_prompt(body, request.messages, rest, losses)
    _write_sampling(body, request.sampling, rest, losses)
    _note_unsaid(request, losses)
    if request.user is not None:
        body["user"] = request.user
    whole = rest.pop(_WHOLE, False)
    if request.stream or whole:
        body["stream"] = request.stream
    options = rest.pop("stream_options", None)
    if request.stream and (request.stream_usage is not None or options is not None):
        asked = {"include_usage": request.stream_usage} if request.stream_usage is not None else {}
        body["stream_options"] = {**asked, **(options or {})}
    return to_json(overlay(body, rest))


def _write_prompt(body: dict[str, Any], messages: Sequence[Message], rest: dict[str, Any], losses: Losses) -> None:
    """Write the prompt; what is used of `rest` is taken out of it."""
    listed, kept_prompt = rest.pop(_LISTED, False), rest.pop("prompt", None)
    if kept_prompt is not None and not messages:
        body["prompt"] = kept_prompt
        return
    alone = len(messages) == 1 and messages[0].role == "user"
    said = _spoken(messages[0].parts, "messages[0]", losses) if alone else _script(messages, losses)
    body["prompt"] = [said] if listed else said


def _spoken(parts: Sequence[Part], path: str, losses: Losses) -> str:
    """Return the words among parts; what is none is lost."""
    words = []
    for at, part in enumerate(parts):
        if isinstance(part, Text):
            words.append(part.text)
            if part.cache is not None:
                lost(losses, f"{path}.parts[{at}].cache", "completions have no cache markers")
        else:
            lost(losses, f"{path}.parts[{at}]", f"{type(part).__name__} has no place in a prompt")
    return "".join(words)


def _script(messages: Sequence[Message], losses: Losses) -> str:
    """Write a conversation as one text, to be gone on with by the assistant."""
    if not messages:
        return ""
    losses.append(Loss("messages", "changed", "completions take one text: the conversation is written down as one"))
    lines = [f"{_SPEAKERS[message.role]}: {_spoken(message.parts, f'messages[{at}]', losses)}" for at, message in enumerate(messages)]
    return "\n\n".join([*lines, "Assistant:"])


def _write_sampling(body: dict[str, Any], sampling: Sampling, rest: dict[str, Any], losses: Losses) -> None:
    for name in (*_NUMBERS, *_INTEGERS, "logit_bias"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    for name in _UNSAID:
        if getattr(sampling, name) is not None:
            lost(losses, f"sampling.{name}", f"completions have no {name}")
    if sampling.logprobs or (sampling.logprobs is None and sampling.top_logprobs is not None):
        body["logprobs"] = sampling.top_logprobs or 0
    form = rest.pop("stop", None)
    if sampling.stop:
        body["stop"] = sampling.stop[0] if form == "" and len(sampling.stop) == 1 else list(sampling.stop)


def _note_unsaid(request: Request, losses: Losses) -> None:
    for at, tool in enumerate(request.tools):
        lost(losses, f"tools[{at}]", f"completions know no tools: {tool.name}")
    said = {
        "tool_choice": request.tool_choice,
        "output.format": request.output.format if request.output.format != "text" else None,
        "output.verbosity": request.output.verbosity,
        "thinking.effort": request.thinking.effort,
        "thinking.budget": request.thinking.budget,
        "service_tier": request.service_tier,
        "previous": request.previous,
        "metadata": request.metadata or None,
    }
    for path, value in said.items():
        if value is not None:
            lost(losses, path, f"completions have no {path}")
