"""Small values, the log and what is known of the host, as plugins out of process see them."""

from __future__ import annotations

import base64
import logging
import sys
from typing import Any

import pytest

from jackfield import __version__
from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy
from tests.rpc.asking import ASKER, ask, asking_host, asks


def storing(**more: Any) -> Harness:
    """Return a host with a state store."""
    asker = {"command": [sys.executable, str(ASKER)]}
    return Harness([Toy()], {"plugins": {"asker": asker, "memory": {}, "autoload": False}, **more}, bare=True)


def raw(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def test_values_are_kept_as_text_or_bytes() -> None:
    async with storing() as host:
        got = await asks(
            host,
            ("host.state.get", {"key": "k"}),
            ("host.state.set", {"key": "k", "value": "grün\n"}),
            ("host.state.get", {"key": "k"}),
            ("host.state.set", {"key": "k", "value_base64": raw(b"\xff\x00")}),
            ("host.state.get", {"key": "k"}),
            ("host.state.set", {"key": "k", "value": ""}),
            ("host.state.get", {"key": "k"}),
            ("host.state.delete", {"key": "k"}),
            ("host.state.get", {"key": "k"}),
        )
    said = [answer["result"] for answer in got]
    assert said == [
        {},
        {"set": True},
        {"value": "grün\n"},
        {"set": True},
        {"value_base64": raw(b"\xff\x00")},
        {"set": True},
        {"value": ""},
        None,
        {},
    ]


async def test_a_value_may_be_set_where_there_is_none_and_for_a_while() -> None:
    async with storing() as host:
        got = await asks(
            host,
            ("host.state.set", {"key": "k", "value": "1", "if_absent": True}),
            ("host.state.set", {"key": "k", "value": "2", "if_absent": True}),
            ("host.state.get", {"key": "k"}),
            ("host.state.set", {"key": "short", "value": "1", "ttl": 1e-9}),
            ("host.state.get", {"key": "short"}),
        )
    assert [answer["result"] for answer in got] == [{"set": True}, {"set": False}, {"value": "1"}, {"set": True}, {}]


async def test_a_counter_never_passes_its_maximum() -> None:
    async with storing() as host:
        got = await asks(host, *[("host.state.add", {"key": "n", "n": 2, "maximum": 5})] * 3, ("host.state.get", {"key": "n"}))
    assert [answer["result"] for answer in got] == [{"value": 2}, {"value": 4}, {"value": None}, {"value": "4"}]


async def test_what_is_asked_wrongly_and_a_store_that_is_away_are_told_apart() -> None:
    async with storing() as host:
        got = await asks(
            host,
            ("host.state.set", {"key": "k", "value": "no number"}),
            ("host.state.add", {"key": "k"}),
            ("host.state.set", {"key": "k", "value_base64": "%"}),
        )
    assert [answer["error"]["code"] for answer in got[1:]] == [-32602, -32602]
    assert "value_base64" in got[2]["error"]["message"]
    async with asking_host() as host:
        error = (await ask(host, "host.state.get", key="k"))["error"]
    assert (error["code"], error["data"]["code"], error["data"]["help"]) == (-32000, "state_away", "same_later")
    assert "there is no state store" in error["message"]


async def test_the_host_says_what_it_is() -> None:
    async with asking_host() as host:
        got = await ask(host, "host.info")
    assert (got["result"]["version"], got["result"]["plugin"]) == (__version__, "asker")
    assert {"streams", "tables", "body_file"} <= set(got["result"]["capabilities"])


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_a_message_stands_in_the_log_under_the_plugins_name(level: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "jackfield.plugins.asker")
    async with asking_host() as host:
        assert await ask(host, "host.log", message="hello %s", level=level) == {"result": None}
    (line,) = [record for record in caplog.records if record.getMessage() == "hello %s"]
    assert (line.levelname, line.name) == (level.upper(), "jackfield.plugins.asker")


async def test_a_message_is_one_line_of_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jackfield.plugins.asker")
    async with asking_host() as host:
        await asks(
            host,
            ("host.log", {"message": "one\ntwo\r\x1b[31m \u2028 grün"}),
            ("host.log", {"message": "x" * (1 << 20)}),
        )
    lines = [record.getMessage() for record in caplog.records if record.name == "jackfield.plugins.asker"]
    assert "one\\ntwo\\r\\x1b[31m \\u2028 grün" in lines
    (long,) = [line for line in lines if line.startswith("xxx")]
    assert (len(long) < 9000, "characters more" in long) == (True, True)


async def test_a_level_that_is_none_is_told() -> None:
    async with asking_host() as host:
        error = (await ask(host, "host.log", message="x", level="loud"))["error"]
    assert (error["code"], "$.level" in error["message"]) == (-32602, True)
