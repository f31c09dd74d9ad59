"""The scripted providers refuse nothing that their originals took: the recorded requests that OpenAI, Anthropic and Google answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.upstreams.mint import Mint
from tests.upstreams.provider import Asked
from tests.upstreams.refusal import Refused
from tests.upstreams.responses import Responses
from tests.upstreams.server import PROVIDERS

OWNERS = {"openai.chat": "openai", "openai.responses": "openai", "anthropic.messages": "anthropic", "gemini.generate": "google"}
STRICTER = "tools[0].function.requires_confirmation: unknown member"
"""OpenAI overlooks this member of a client's own; a host should not send what nobody reads."""


class _Equal:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


class _Everything(dict[str, Any]):
    """Knows every signature and every item: those in the recordings are not of our making."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return _Equal()


class _Trusting(Responses):
    def history(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        return []

    def stored_items(self) -> Any:
        return _Everything()


def _asked(dialect: str, request: dict[str, Any]) -> tuple[Any, Asked | None]:
    mint = Mint(dialect)
    mint.known = _Everything()
    provider = (_Trusting if dialect == "openai.responses" else PROVIDERS[dialect])(mint)
    parts = urlsplit(request["path"])
    match = provider.match("POST", parts.path)
    if match is None or match[0] != "generate":
        return provider, None
    beta = {"anthropic-beta": "interleaved-thinking-2025-05-14"}
    asked = Asked(match[0], request["body"], match[1], dict(parse_qsl(parts.query)), beta)
    provider.read(asked)
    return provider, asked


@pytest.mark.parametrize("dialect", OWNERS)
def test_what_the_original_took_is_taken(recordings: Path, dialect: str) -> None:
    taken, refused = 0, []
    for entry in json.loads((recordings / "index.json").read_text())["exchanges"]:
        if entry["dialect"] != dialect:
            continue
        exchange = json.loads((recordings / dialect / f"{entry['id']}.json").read_text())
        request, body = exchange["request"], exchange["request"]["body"]
        if not body or exchange["source"]["provider"] != OWNERS[dialect] or exchange["response"]["status"] != 200:
            continue
        if body.get("previous_response_id") or body.get("conversation"):  # their beginnings are elsewhere
            continue
        provider, asked = _asked(dialect, request)
        if asked is None:
            continue
        try:
            provider.check(asked)
            taken += 1
        except Refused as refusal:
            if str(refusal) != STRICTER:
                refused.append(f"{entry['id']}: {refusal}")
    assert refused == []
    assert taken > 100
