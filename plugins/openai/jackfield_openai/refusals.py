"""A server's refusal of a field of the request: found in its error, and told together with the setting that leaves the field out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from jackfield.api import Attempt, BadRequest, Body, HttpProvider, HttpResponse, NotDecoded, Path, Reply, Request, locate, splice

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
        r"not permitted, field: NAME",
    )
)
_NEEDED: Final = frozenset({"model", "messages", "stream", "input"})
"""Without these there is no request."""
_ESSENTIAL: Final = frozenset({"role", "content", "type"})
"""Without these there is no message: it is their value that is refused."""
_DETAILS: Final = (("detail", 0), ("message", "detail", 0), ("message", 0))
"""Where FastAPI, and what is built on it, says of a field that it does not know it: `type`, `loc` and `msg`."""
_PLACES: Final = (("error", "message"), ("message",), ("error",), ("detail",), *((*place, "msg") for place in _DETAILS))
"""Where servers put an error's words."""
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def refused_field(body: bytes, request: Any) -> str | None:
    """Return the field of a request that an error body says is not taken, as flavours write it; None where it names none of its fields."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return next((path for name in _named(said) if (path := _found(name, request)) is not None), None)


def _named(said: Any) -> Iterator[str]:
    """Yield what an error may mean by the field that it speaks of, the surest first."""
    for place in _DETAILS:
        where = _at(said, (*place, "loc"))
        if isinstance(where, list) and "extra" in str(_at(said, (*place, "type"))):
            yield _written(where)
    param, code = _at(said, ("error", "param")), str(_at(said, ("error", "code")))
    if isinstance(param, str) and re.search("unsupported|unknown_parameter|unrecognized", code):
        yield param
    words = next((text for place in _PLACES if isinstance(text := _at(said, place), str)), "")[:2000]
    for pattern in _WORDS:
        yield from (match["name"].rstrip(".") for match in pattern.finditer(words))


def _found(name: str, request: Any) -> str | None:
    """Return the path of a field that a request has, given what an error calls it: a path, a bare name, a name in another case."""
    if not isinstance(request, dict):
        return None
    path = re.sub(r"\[\d+\]|\.\d+(?=\.|$)", "[*]", name)
    plain = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda capital: f"_{capital[1].lower()}", path)
    messages = request.get("messages")
    for candidate in (path, plain):
        head = re.split(r"[.\[]", candidate)[0]
        if candidate.rpartition(".")[2] in _ESSENTIAL:
            continue
        if head in request and (candidate != head or head not in _NEEDED):
            return candidate
        if any(isinstance(message, dict) and candidate in message for message in (messages if isinstance(messages, list) else ())):
            return f"messages[*].{candidate}"
    return None


def _at(said: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        try:
            said = said[step]
        except (LookupError, TypeError):
            return None
    return said


def _written(where: list[Any]) -> str:
    """Return a path as flavours write it: `["body", "messages", 0, "user", "name"]` is `messages[*].name`."""
    steps = where[1:] if where[:1] == ["body"] else where
    parts = [
        "[*]" if isinstance(step, int) else f".{step}"
        for before, step in zip([None, *steps], steps, strict=False)
        if not (isinstance(before, int) and step in _ROLES)  # which kind of message it took it for
    ]
    return "".join(parts).lstrip(".")


class Server(HttpProvider):
    """A server that speaks OpenAI's protocol. Where it refuses a field, its error also names the setting that leaves the field out."""

    section: str
    """Where the configuration speaks of it: `plugins.openai.providers.acme`."""

    async def reply(self, attempt: Attempt, response: HttpResponse) -> Reply:
        """Return the answer; a refusal of a field with a word on what can be done."""
        reply = await super().reply(attempt, response)
        if reply.status in (400, 422) and isinstance(reply.body, bytes):
            reply.body = self.advised(reply.body, attempt.body)
        return reply

    def advised(self, answer: bytes, request: Body[Request]) -> bytes:
        """Return an error body with the advice behind its words; as it is where nothing can be advised."""
        try:
            field = refused_field(answer, request.json)
        except (BadRequest, NotDecoded):
            return answer
        place = next((place for place in _PLACES if _is_text(answer, place)), None) if field else None
        if field is None or place is None:
            return answer
        words = msgspec.json.decode(answer[slice(*(locate(answer, place) or (0, 0)))])
        return splice(answer, {place: f'{words} (to leave it out: {self.section}.flavour: {{drop: ["{field}"]}})'})


def _is_text(raw: bytes, place: Path) -> bool:
    span = locate(raw, place)
    return span is not None and raw[span[0] : span[0] + 1] == b'"'
