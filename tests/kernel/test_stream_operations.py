"""Every operation of a stream handler ends in a stream that the strictest client accepts, in a dialect with numbered blocks,
sequence numbers, ids and events that repeat what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jackfield.api import End, Event, Outcome
from jackfield.api.testing import Harness, ScriptedUpstream, sse_answer
from tests.kernel.conftest import Toy, ToyProvider, http_toy, talk
from tests.kernel.toy import check_stream, read_stream, stream_of

BLOCKS = (["Hello", ", ", "world"], ["Second", " block"])


class Interceptor:
    """A plugin with one stream handler."""

    def __init__(self, handler: Any, id: str = "interceptor", priority: int = 0) -> None:
        self.id = id
        self.priority = priority
        self._handler = handler

    def intercept_stream(self, call: Any, head: Any) -> Any:
        return self._handler


async def streamed(*handlers: Any, blocks: Sequence[Sequence[str]] = BLOCKS) -> bytes:
    """Return the stream that a client gets through these handlers, the first nearest to the upstream."""
    plugins = [Interceptor(handler, f"i{number}") for number, handler in enumerate(reversed(handlers))]
    async with Harness([Toy(ToyProvider(blocks=blocks)), *plugins], bare=True) as host:
        return (await host.post("/toy/v1/talk", talk(stream=True))).body


def only(name: str, answer: Any) -> Any:
    return lambda event: answer(event) if event.name == name else None


async def test_a_stream_that_nobody_changes_leaves_as_it_came() -> None:
    assert await streamed() == stream_of(*BLOCKS)
    assert await streamed(lambda event: None) == stream_of(*BLOCKS)


async def test_replaced_text_is_repeated_in_its_new_form() -> None:
    raw = await streamed(only("words", lambda event: event.with_text(event.text.upper())))
    assert check_stream(raw) == "HELLO, WORLDSECOND BLOCK"


async def test_an_async_handler_does_what_a_plain_one_does() -> None:
    async def shout(event: Event) -> Event | None:
        return event.with_text(event.text.upper()) if event.text else None

    assert check_stream(await streamed(shout)) == "HELLO, WORLDSECOND BLOCK"


async def test_untouched_events_keep_their_bytes_beside_changed_ones() -> None:
    raw = await streamed(lambda event: event.with_text("X") if event.text == "Second" else None)
    assert check_stream(raw) == "Hello, worldX block"
    assert raw.split(b"\n\n")[:6] == stream_of(*BLOCKS).split(b"\n\n")[:6]


async def test_a_dropped_increment_leaves_no_gap() -> None:
    raw = await streamed(lambda event: [] if event.text == ", " else None)
    assert check_stream(raw) == "HelloworldSecond block"


async def test_a_dropped_block_start_takes_the_whole_block_with_it() -> None:
    raw = await streamed(lambda event: [] if event.name == "block_open" and event.json["block"] == 0 else None)
    assert check_stream(raw) == "Second block"


@pytest.mark.parametrize("name", ["open", "close", "block_done"])
async def test_what_no_stream_can_do_without_comes_back_when_it_is_dropped(name: str) -> None:
    assert check_stream(await streamed(only(name, lambda event: []))) == "Hello, worldSecond block"


async def test_an_added_increment_counts_in_the_repeated_text() -> None:
    raw = await streamed(lambda event: [event, event.with_text("!")] if event.text == "world" else None)
    assert check_stream(raw) == "Hello, world!Second block"


async def test_text_added_after_its_block_gets_a_block_of_its_own() -> None:
    words: list[Event] = []

    def handler(event: Event) -> Any:
        if event.text:
            words.append(event)
        return [event, words[-1].with_text("(fin)")] if event.name == "block_done" else None

    raw = await streamed(handler)
    assert check_stream(raw) == "Hello, world(fin)Second block(fin)"


async def test_end_closes_what_is_open_and_says_why() -> None:
    raw = await streamed(lambda event: End([event.with_text("[cut]")], finish="length") if event.text == "world" else None)
    assert check_stream(raw) == "Hello, [cut]"
    assert read_stream(raw)[-1][1]["stop"] == "length"


async def test_end_lets_go_of_the_upstream_at_once() -> None:
    async def endless() -> Any:
        yield stream_of(["one", "two"])[: stream_of(["one", "two"]).index(b"event: block_done")]
        await wire_is_gone.wait()

    import asyncio

    wire_is_gone = asyncio.Event()
    async with ScriptedUpstream(sse_answer(endless())) as upstream:
        plugins = [Toy(http_toy(upstream.url)), Interceptor(lambda event: End() if event.text == "two" else None)]
        async with Harness(plugins, bare=True) as host:
            answer = await host.post("/toy/v1/talk", talk(stream=True))
            assert check_stream(answer.body) == "one"
            wire_is_gone.set()
            await upstream.until(lambda: upstream.open == 0)


class Footer:
    """A handler with a `close` that adds words before the end."""

    def __init__(self) -> None:
        self.words: Event | None = None
        self.outcomes: list[Outcome] = []

    def __call__(self, event: Event) -> None:
        self.words = event if event.text else self.words

    def close(self, outcome: Outcome) -> list[Event]:
        self.outcomes.append(outcome)
        return [self.words.with_text("-- end")] if self.words else []


async def test_close_adds_before_the_terminal_event_and_is_called_once() -> None:
    footer = Footer()
    assert check_stream(await streamed(footer)) == "Hello, worldSecond block-- end"
    assert [outcome.status for outcome in footer.outcomes] == ["succeeded"]


async def test_close_adds_also_to_a_stream_that_another_handler_ends() -> None:
    footer = Footer()
    raw = await streamed(footer, lambda event: End(finish="length") if event.text == "world" else None)
    assert check_stream(raw).startswith("Hello, ")
    assert len(footer.outcomes) == 1


async def test_handlers_run_in_reverse_order_and_each_sees_what_the_one_before_made() -> None:
    raw = await streamed(
        lambda event: event.with_text(event.text + "a") if event.text else None,
        lambda event: event.with_text(event.text + "b") if event.text else None,
        blocks=[["x"]],
    )
    assert check_stream(raw) == "xab"


async def test_an_upstream_that_breaks_off_ends_in_the_dialects_error() -> None:
    whole = stream_of(*BLOCKS)
    cut = whole[: whole.index(b"event: block_done")]
    for handlers in ((), (Interceptor(only("words", lambda event: event.with_text(event.text.upper()))),)):
        async with (
            ScriptedUpstream(sse_answer([cut], end=False)) as upstream,
            Harness([Toy(http_toy(upstream.url)), *handlers], bare=True) as host,
        ):
            raw = (await host.post("/toy/v1/talk", talk(stream=True))).body
        assert check_stream(raw).lower() == "hello, world"
        assert read_stream(raw)[-1][0] == "oops"


async def test_a_stopping_host_ends_streams_in_the_dialects_error() -> None:
    import asyncio

    async def endless() -> Any:
        yield stream_of(["one"])[: stream_of(["one"]).index(b"event: block_done")]
        await asyncio.Event().wait()

    async with ScriptedUpstream(sse_answer(endless())) as upstream:
        harness = Harness([Toy(http_toy(upstream.url))], bare=True)
        async with harness as host, host.open("POST", "/toy/v1/talk", talk(stream=True)) as response:
            first = await response.content.readany()
            await host.host.stop(grace=0)
            raw = first + await response.read()
        assert check_stream(raw) == "one"
        assert read_stream(raw)[-1][1]["why"] == "the host is stopping"
