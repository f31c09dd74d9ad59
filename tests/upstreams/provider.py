"""What the providers have in common: how a request is matched, and the tools for events."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.upstreams.mint import Mint
from tests.upstreams.refusal import Path, Refused
from tests.upstreams.scenario import Failure, Scenario, words

Json = dict[str, Any]

CREATED = 1_790_000_000
"""The time of all answers, in seconds."""


@dataclass
class Asked:
    """A request, as a provider reads it."""

    name: str
    body: Json
    variables: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Their names in lower case."""
    model: str = ""
    stream: bool = False


class Provider:
    """One provider's side of its dialect."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]]
    """Method, pattern of the path, name of what is asked for."""
    models: ClassVar[tuple[str, ...]] = ()

    def __init__(self, mint: Mint) -> None:
        self.mint = mint
        self._made = 0

    def match(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """Return what a request asks for, with the variables of its path."""
        for known, pattern, name in self.routes:
            if known == method and (found := re.fullmatch(pattern, path)):
                return name, found.groupdict()
        return None

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Refuse a request that carries no key where the provider wants it."""
        if not re.fullmatch(r"Bearer \S+", headers.get("authorization", "")):
            raise Refused((), "no API key in the header Authorization", code="invalid_api_key", status=401)

    def read(self, asked: Asked) -> None:
        """Find the model and whether the answer is streamed."""
        if isinstance(asked.body, dict):
            asked.model = asked.body.get("model") or ""
            asked.stream = asked.body.get("stream") is True

    def check(self, asked: Asked) -> None:
        """Refuse a request for an answer that breaks a rule."""
        raise NotImplementedError

    def side(self, asked: Asked) -> Json:
        """Answer everything that is not a request for an answer of the model."""
        raise NotImplementedError

    def plain(self, scenario: Scenario, asked: Asked) -> Json:
        """Return a whole answer."""
        raise NotImplementedError

    def events(self, scenario: Scenario, asked: Asked) -> Iterator[bytes]:
        """Return the events of a stream."""
        raise NotImplementedError

    def refusal(self, refused: Refused) -> Json:
        """Return the body of an error about the request."""
        raise NotImplementedError

    def failure(self, failure: Failure) -> Json:
        """Return the body of an error that a scenario asks for."""
        raise NotImplementedError

    def media(self, asked: Asked) -> str:
        """Return the content type of a stream."""
        return "text/event-stream; charset=utf-8"

    def number(self) -> int:
        """Count what is made, for ids."""
        self._made += 1
        return self._made

    def id(self, prefix: str, size: int = 24) -> str:
        """Return a new id."""
        return prefix + f"{self.number():x}".rjust(size, "0")


def in_stream(events: Iterable[bytes], scenario: Scenario, error: bytes) -> Iterator[bytes]:
    """Return the events with the scenario's error behind as many as it says, and nothing after it."""
    for number, event in enumerate(events):
        if scenario.error_in_stream is not None and number == scenario.after:
            yield error
            return
        yield event
    if scenario.error_in_stream is not None:
        raise AssertionError("the stream was over before its error")


def compact(value: object) -> str:
    """Return JSON as OpenAI and Anthropic write it: no blanks, characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def halves(text: str) -> list[str]:
    """Cut a text (the arguments of a call) into two to four pieces, not at its seams."""
    size = max(len(text) // 3, 1)
    return [text[start : start + size] for start in range(0, len(text), size)]


def thoughts(text: str) -> list[str]:
    """Cut a thought into the pieces in which it is streamed."""
    return list(words(text))


def check_base64(data: object, path: Path) -> None:
    """Refuse what is no base64 in the standard alphabet, padded."""
    try:
        base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(path, "invalid base64 data", "value") from None
    if not data:
        raise Refused(path, "empty base64 data", "value")


def unique(values: Iterable[str], path: Path, what: str) -> None:
    """Refuse values that occur twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise Refused(path, f"{what} must be unique, {value!r} is not")
        seen.add(value)


def fits(value: str, pattern: str, path: Path) -> None:
    """Refuse a name or an id that is not as the provider wants it."""
    if not re.fullmatch(pattern, value):
        raise Refused(path, f"{value[:80]!r} does not match the pattern '^{pattern}$'", "value")
