"""Recorded traffic, asked for through the host and without it: the SDK must not be able to tell the difference.

The upstream plays what a provider once answered. The same call goes to it directly and through the host; what the SDK
makes of both, and what the upstream receives, is compared. Answers are compared byte for byte besides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import openai

from jackfield.api import Call, Event, Reply, StreamHead
from jackfield.api.testing import Received, Script, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import ACME_KEY, MakeHouse, Sdk

EVERY_NAME = {"models": [], "patterns": ["*"]}


class Exchange(msgspec.Struct, kw_only=True):
    """One recorded exchange."""

    id: str
    asked: dict[str, Any]
    status: int
    body: Any = None
    sse: str | None = None

    @property
    def sent(self) -> bytes:
        """The answer's body as the upstream sends it."""
        return self.sse.encode() if self.sse is not None else json.dumps(self.body, indent=1).encode()

    @property
    def to_be_heard(self) -> bytes:
        """The same as a client is to get it."""
        if self.sse is None or self.sent.rstrip().endswith(b"data: [DONE]"):
            return self.sent
        return self.sent + b"data: [DONE]\n\n"  # every client waits for it

    def script(self) -> Script:
        if self.sse is None:
            return json_answer(self.sent, status=self.status, headers={"X-Request-Id": self.id})
        pieces = [self.sent[at : at + 997] for at in range(0, len(self.sent), 997)]
        return sse_answer(pieces, headers={"X-Request-Id": self.id})


def exchanges(folder: Path) -> list[Exchange]:
    found = []
    for path in sorted((folder / "openai.chat").glob("*.json")):
        record = json.loads(path.read_bytes())
        request, response = record["request"], record["response"]
        if request["body"] is not None:
            told = {key: response.get(key) for key in ("status", "body", "sse")}
            found.append(Exchange(id=record["id"], asked=request["body"], **told))
    assert len(found) > 300
    return found


class Player:
    """Answers with the exchange that is being played."""

    def __init__(self) -> None:
        self.playing: Exchange | None = None

    async def __call__(self, received: Received, wire: Wire) -> None:
        assert self.playing is not None
        await self.playing.script()(received, wire)


async def heard(sdk: Sdk, asked: dict[str, Any]) -> Any:
    """Return what the SDK makes of a call: the answer, the chunks, or the error."""
    rest = dict(asked)
    said = {name: rest.pop(name) for name in ("model", "messages")}
    stream = bool(rest.pop("stream", False))
    try:
        if stream:
            return [chunk.model_dump(warnings=False) for chunk in await sdk.chunks(**said, extra_body=rest)]
        return (await sdk.ask("chat.completions.create", **said, extra_body=rest)).model_dump(warnings=False)
    except openai.APIStatusError as error:
        return type(error).__name__, error.status_code, error.body, error.request_id
    except openai.APIError as error:
        return type(error).__name__, error.message, error.body
    except json.JSONDecodeError as error:
        return type(error).__name__


async def test_the_sdk_hears_through_the_host_what_it_hears_without_it(house: MakeHouse, recordings: Path) -> None:
    player = Player()
    async with house(player, server=EVERY_NAME) as h:
        through, direct = h.sdk(), h.sdk(base_url=f"{h.upstream.url}/v1")
        for player.playing in exchanges(recordings):
            expected = await heard(direct, player.playing.asked)
            said = await heard(through, player.playing.asked)
            if player.playing.status < 400 or player.playing.status in (400, 404, 422):
                assert said == expected, player.playing.id
            else:
                assert said[1] in (429, 503), player.playing.id
            sent, received = [one for one in h.upstream.requests if one.method == "POST"][-2:]  # the host asks for the list too
            assert received.body == sent.body, player.playing.id
            assert (received.method, received.target) == (sent.method, sent.target)
            assert received.headers["authorization"] == f"Bearer {ACME_KEY}"
            h.upstream.requests.clear()


async def test_answers_leave_byte_for_byte_as_they_came(house: MakeHouse, recordings: Path) -> None:
    player = Player()
    async with house(player, server=EVERY_NAME) as h:
        for player.playing in exchanges(recordings):
            if player.playing.status < 400:
                answer = await h.host.post("/v1/chat/completions", player.playing.asked)
                assert answer.body == player.playing.to_be_heard, player.playing.id


class Watching:
    """A plugin that reads everything and changes nothing."""

    id = "watching"

    def intercept_request(self, call: Call) -> None:
        assert call.request.messages or call.request.model

    def intercept_response(self, call: Call, reply: Reply) -> None:
        assert reply.canonical is not None or reply.failure is not None

    def intercept_stream(self, call: Call, head: StreamHead) -> Callable[[Event], None]:
        def watch(event: Event) -> None:
            assert isinstance(event.text + event.thinking + event.arguments, str)

        return watch


async def test_plugins_that_only_look_change_no_byte(house: MakeHouse, recordings: Path) -> None:
    player = Player()
    async with house(player, server=EVERY_NAME, plugins=[Watching()]) as h:
        for player.playing in exchanges(recordings):
            if player.playing.status < 400:
                answer = await h.host.post("/v1/chat/completions", player.playing.asked)
                assert answer.body == player.playing.to_be_heard, player.playing.id
                assert h.upstream.requests.pop().json == player.playing.asked
                explained = (await h.outcome()).explain()
                assert explained["fidelity"] == "bytes"


class Repeating:
    """A plugin that puts the same words in the place of every event's words."""

    id = "repeating"

    def intercept_stream(self, call: Call, head: StreamHead) -> Callable[[Event], Event | None]:
        return lambda event: event.with_text(event.text) if event.text else None


async def test_words_that_a_plugin_repeats_are_heard_as_before(house: MakeHouse, recordings: Path) -> None:
    player = Player()
    async with house(player, server=EVERY_NAME, plugins=[Repeating()]) as h:
        through, direct = h.sdk(), h.sdk(base_url=f"{h.upstream.url}/v1")
        for player.playing in exchanges(recordings):
            if player.playing.sse is not None:
                asked = player.playing.asked
                assert await heard(through, asked) == await heard(direct, asked), player.playing.id


def named(said: Any, model: str) -> Any:
    """Return what the SDK heard with the model's name put in where one is."""
    if isinstance(said, list):
        return [named(chunk, model) for chunk in said]
    return {**said, "model": model} if isinstance(said, dict) and said.get("model") is not None else said


async def test_a_renamed_model_changes_its_name_and_nothing_else(house: MakeHouse, recordings: Path) -> None:
    player = Player()
    played = [exchange for exchange in exchanges(recordings) if exchange.status < 400]
    aliases = {f"other {exchange.asked['model']}": f"acme://{exchange.asked['model']}" for exchange in played}
    async with house(player, server=EVERY_NAME, config={"models": {"aliases": aliases}}) as h:
        through, direct = h.sdk(), h.sdk(base_url=f"{h.upstream.url}/v1")
        for player.playing in played:
            asked = player.playing.asked
            expected = await heard(direct, asked)
            said = await heard(through, {**asked, "model": f"other {asked['model']}"})
            assert said == named(expected, f"other {asked['model']}"), player.playing.id
            sent, received = [one for one in h.upstream.requests if one.method == "POST"][-2:]  # the host asks for the list too
            assert received.body == sent.body, player.playing.id
            h.upstream.requests.clear()
