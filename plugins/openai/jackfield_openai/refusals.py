"""A server's refusal of a field of the request: found in its error, and told together with the setting that leaves the field out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Attempt, HttpProvider, HttpResponse, Reply, locate, splice
from jackfield.api.flavour import Flavour

_NAME: Final = r"[`'\"“]?(?P<name>[A-Za-z_][\w.\[\]-]*)[`'\"”]?"
_WORDS: Final = tuple(
    re.compile(pattern.replace("NAME", _NAME), re.IGNORECASE)
    for pattern in (
        # The words of OpenAI itself, then those of servers in other languages and frameworks.
        r"(?:unsupported|unknown|unrecognized|unexpected|invalid|extra)\s+(?:request\s+)?(?:parameter|argument|field|key|property)"
        r"(?:\s+supplied)?(?:\(s\))?\s*[:=]?\s+NAME",
        r"(?:parameter|argument|field|property|option)\s+NAME\s+(?:is|are)\s+(?:not|un)\s?(?:supported|allowed|recognized|permitted|known)",
        r"NAME\s+(?:is|are)\s+(?:not|un)\s?(?:supported|allowed|permitted|available)",
        r"does not support (?:the )?(?:parameter|argument)s?\s*:?\s+NAME",
        r"(?:parameter|argument)s?\s+not\s+supported[^:]*:\s*NAME",
        r"unknown name\s+NAME",
        r"\(?NAME\)? was unexpected",
    )
)
_COMMON: Final = frozenset(
    {"this", "it", "that", "model", "messages", "which", "value", "type", "request", "parameter", "field", "image", "input"}
)
_PLACES: Final = (("error", "message"), ("message",), ("error",), ("detail",), ("detail", 0, "msg"), ("message", "detail", 0, "msg"))
"""Where servers put an error's words."""
_LOCATIONS: Final = (("detail", 0, "loc"), ("message", "detail", 0, "loc"))
"""Where FastAPI, and what is built on it, puts the path of a field that it does not know."""


def refused_field(body: bytes) -> str | None:
    """Return the field of a request that an error body says is not taken; None where it says no such thing."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    for place in _LOCATIONS:
        where, kind = _at(said, place), _at(said, (*place[:-1], "type"))
        if isinstance(where, list) and "extra" in str(kind):
            return _written(where)
    words = next((text for place in _PLACES if isinstance(text := _at(said, place), str)), "")
    param, code = _at(said, ("error", "param")), str(_at(said, ("error", "code")))
    if isinstance(param, str) and param and re.search("unsupported|unknown_parameter|unrecognized", code):
        return param
    found = (match["name"].rstrip(".") for pattern in _WORDS if (match := pattern.search(words)) is not None)
    return next((name for name in found if name.lower() not in _COMMON), None)


def _at(said: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        try:
            said = said[step]
        except (LookupError, TypeError):
            return None
    return said


def _written(where: list[Any]) -> str | None:
    """Return a path as flavours write it: `["body", "messages", 0, "name"]` is `messages[*].name`."""
    steps = [step for step in where if isinstance(step, int) or (isinstance(step, str) and re.fullmatch(r"[a-z_]\w*", step))]
    text = "".join("[*]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    return text.removeprefix("body.") or None


class Server(HttpProvider):
    """A server that speaks OpenAI's protocol. Where it refuses a field, its error also names the setting that leaves the field out."""

    section: str
    """Where the configuration speaks of it: `plugins.openai.providers.acme`."""
    flavours: Sequence[Flavour] = ()
    fallback: bool = False
    """Another plugin's provider of its key goes before it."""

    async def reply(self, attempt: Attempt, response: HttpResponse) -> Reply:
        """Return the answer; a refusal of a field with a word on what can be done."""
        reply = await super().reply(attempt, response)
        if reply.status in (400, 422) and isinstance(reply.body, bytes):
            reply.body = self.advised(reply.body)
        return reply

    def advised(self, body: bytes) -> bytes:
        """Return an error body with the advice behind its words; as it is where nothing can be advised."""
        name = refused_field(body)
        if name is None:
            return body
        field = re.sub(r"\[\d+\]", "[*]", name)
        hint = f" (to leave it out: {self.section}.flavour: {{drop: [{field!r}]}})".replace("'", '"')
        for place in _PLACES:
            span = locate(body, place)
            if span is not None and body[span[0] : span[0] + 1] == b'"':
                return splice(body, {place: msgspec.json.decode(body[slice(*span)]) + hint})
        return body
