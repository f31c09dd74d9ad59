"""What a client can get wrong, row by row, and what it is told. Nothing of it may be a 500, a hang or a traceback."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from typing import Any

import pytest

from jackfield.api.testing import json_answer
from tests.e2e.conftest import MakeHouse
from tests.e2e.server.raw import ANSWER, CHAT, QUESTION, chunk, connect, exchange, get, head, request


@pytest.fixture(autouse=True)
def _no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> Any:
    """A client's mistake is nobody else's: it leaves no error in the host's log."""
    yield
    loud = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not loud, [record.getMessage() for record in loud]


def _row(body: object, status: int, code: str, param: str | None, *words: str) -> tuple[Any, ...]:
    return body, status, code, param, words


def _asking(**changes: Any) -> dict[str, Any]:
    return {**QUESTION, **changes}


_MODEL_IN_ESCAPES = b'{"mod\\u0065l": "m", "messages": []}'
_DEEP = b'{"model": "m", "messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
_DEEP_WITH_TWO_MODELS = b'{"model": "m", "model": "m", "messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"

ROWS: dict[str, tuple[Any, ...]] = {
    "no JSON": _row(b"hello", 400, "invalid_json", None, "not valid JSON"),
    "cut short": _row(b'{"model": "m", "messa', 400, "invalid_json", None, "ends too early"),
    "two values": _row(b'{"model": "m"}{"model": "m"}', 400, "invalid_json", None, "not valid JSON"),
    "single quotes": _row(b"{'model': 'm'}", 400, "invalid_json", None, "not valid JSON"),
    "trailing comma": _row(b'{"model": "m",}', 400, "invalid_json", None, "not valid JSON"),
    "byte order mark": _row(b"\xef\xbb\xbf" + json.dumps(QUESTION).encode(), 400, "invalid_json", None, "not valid JSON"),
    "NaN": _row(b'{"model": "m", "temperature": NaN}', 400, "invalid_json", None, "not valid JSON"),
    "empty": _row(b"", 400, "invalid_json", None, "empty"),
    "white space": _row(b" \r\n ", 400, "invalid_json", None, "empty"),
    "a list": _row([QUESTION], 400, "invalid_json", None, "object"),
    "a text": _row("hello", 400, "invalid_json", None, "object"),
    "null": _row(b"null", 400, "invalid_json", None, "object"),
    "UTF-16": _row(json.dumps(QUESTION).encode("utf-16"), 400, "invalid_json", None, "not valid JSON"),
    "Latin-1": _row('{"model": "é", "messages": []}'.encode("latin-1"), 400, "invalid_json", None, "UTF-8"),
    "NUL bytes": _row(b"\0" * 8, 400, "invalid_json", None, "not valid JSON"),
    "a raw NUL in a text": _row(b'{"model": "m\0", "messages": []}', 400, "invalid_json", None, "not valid JSON"),
    "10,000 deep": _row(_DEEP, 400, "invalid_json", None, "nested"),
    "10,000 deep with a doubled key": _row(_DEEP_WITH_TWO_MODELS, 400, "invalid_json", None, "nested"),
    "no model": _row({"messages": []}, 400, "missing_model", "model", "model"),
    "an empty model": _row(_asking(model=""), 400, "missing_model", "model", "model"),
    "model null": _row(_asking(model=None), 400, "missing_model", "model", "model"),
    "model a number": _row(_asking(model=5), 400, "invalid_type", "model", "'model' must be a text", "number"),
    "model a list": _row(_asking(model=["m"]), 400, "invalid_type", "model", "'model' must be a text", "list"),
    "model an object": _row(_asking(model={"id": "m"}), 400, "invalid_type", "model", "'model' must be a text", "object"),
    "model true": _row(_asking(model=True), 400, "invalid_type", "model", "'model' must be a text"),
    "a long model": _row(_asking(model="m" * 5000), 400, "invalid_model", "model", "512"),
    "an unknown model": _row(_asking(model="simecho"), 404, "model_not_found", "model", "'simecho'", "did you mean 'sim/echo'"),
    "a NUL in the model": _row(_asking(model="m\0"), 404, "model_not_found", "model", "does not exist"),
    "a lone surrogate in the model": _row(b'{"model": "m\\ud800", "messages": []}', 400, "invalid_json", None, "surrogate"),
    "a lone surrogate in a message": _row(b'{"model": "m", "messages": ["\\ud800"]}', 400, "invalid_json", None, "surrogate"),
    "half a pair before another escape": _row(b'{"model": "m\\ud800\\u0041"}', 400, "invalid_json", None, "surrogate"),
    "a line break in the model": _row(_asking(model="m\r\nX-Evil: 1"), 404, "model_not_found", "model", "does not exist"),
    "stream a text": _row(_asking(stream="true"), 400, "invalid_type", "stream", "'stream' must be true or false", "text"),
    "stream a number": _row(_asking(stream=1), 400, "invalid_type", "stream", "'stream' must be true or false", "number"),
    "doubled model": _row(b'{"model": "m", "model": "n", "messages": []}', 400, "doubled_key", "model", "twice"),
    "doubled stream": _row(b'{"stream": true, "model": "m", "stream": false}', 400, "doubled_key", "stream", "twice"),
    "an escaped key": _row(_MODEL_IN_ESCAPES, 400, "escaped_key", "model", "escapes"),
    "an escaped double": _row(b'{"model": "m", "mod\\u0065l": "n"}', 400, "doubled_key", "model", "twice"),
}


@pytest.mark.parametrize(("body", "status", "code", "param", "words"), ROWS.values(), ids=ROWS)
async def test_a_bad_body_is_told_in_the_clients_shape(
    house: MakeHouse, body: object, status: int, code: str, param: str | None, words: tuple[str, ...]
) -> None:
    async with house(json_answer(ANSWER)) as h, connect(h.host.url) as client:
        told = await client.exchange(request(body))
        assert (told.status, told.error["code"], told.error["type"]) == (status, code, "invalid_request_error")
        assert told.error["param"] == param
        assert told.headers["content-type"].startswith("application/json")
        for word in words:
            assert word in told.error["message"]
        assert not h.upstream.requests
        assert (await client.exchange(request())).status == 200  # the connection can still be used


async def test_a_large_bad_body_is_told_the_same(house: MakeHouse) -> None:
    padding = b" " * (1 << 20)  # lies in a file, not in memory
    async with house(json_answer(ANSWER), config={"limits": {"json": 100_000}}) as h, connect(h.host.url) as client:
        for name, (body, status, code, param, _) in ROWS.items():
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            told = await client.exchange(request(raw + padding))
            assert (name, told.status, told.error["code"], told.error["param"]) == (name, status, code, param)
        assert (await client.exchange(request(json.dumps(QUESTION).encode() + padding))).status == 200


# What the kernel does not read it does not judge: the upstream does.
UNREAD: dict[str, object] = {
    "messages a text": _asking(messages="Hi"),
    "no messages": {"model": "m"},
    "a NUL in a message": _asking(messages=[{"role": "user", "content": "a\0b"}]),
    "Latin-1 in a message": '{"model": "m", "messages": [{"role": "user", "content": "é"}]}'.encode("latin-1"),
    "doubled keys within a message": b'{"model": "m", "messages": [{"role": "user", "role": "user", "content": "Hi"}]}',
    "a doubled key that nobody peeks at": b'{"model": "m", "n": 1, "n": 2, "messages": []}',
    "odd numbers and spacing": b'{ "model" :"m" ,"temperature":1.10,"seed":123456789012345678901234567890 , "messages":[ ] }',
    "a member called __proto__": b'{"__proto__": {}, "model": "m", "messages": []}',
    "white space around": b' \r\n{"model": "m", "messages": []}\n ',
}


@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD)
async def test_what_the_host_does_not_read_reaches_the_upstream_as_it_came(house: MakeHouse, body: object) -> None:
    async with house(json_answer(ANSWER)) as h:
        told = await exchange(h.host.url, sent := request(body))
        assert told.status == 200
        assert h.upstream.requests[0].body == sent.partition(b"\r\n\r\n")[2]


UNTRANSLATABLE: dict[str, tuple[object, str]] = {
    "messages a text": ("Hi", "messages"),
    "no messages": (None, "messages"),
    "a message that is a text": (["Hi"], "messages[0]"),
    "no role": ([{"content": "Hi"}], "messages[0].role"),
    "a role that is a number": ([{"role": 1, "content": "Hi"}], "messages[0].role"),
    "content that is a number": ([{"role": "user", "content": 1}], "messages[0].content"),
}


@pytest.mark.parametrize(("messages", "param"), UNTRANSLATABLE.values(), ids=UNTRANSLATABLE)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_what_cannot_be_translated_is_the_callers_mistake(house: MakeHouse, messages: object, param: str, stream: bool) -> None:
    async with house() as h:
        told = await exchange(h.host.url, request({"model": "sim/echo", "messages": messages, "stream": stream}))
        assert (told.status, told.error["type"]) == (400, "invalid_request_error")
        assert told.error["param"] == param


# ----------------------------------------------------------------------------------------------------- paths

PATHS: dict[str, tuple[str, int]] = {
    "canonical": ("/v1/chat/completions", 200),
    "trailing slash": ("/v1/chat/completions/", 200),
    "no /v1": ("/chat/completions", 200),
    "doubled /v1": ("/v1/v1/chat/completions", 200),
    "below /api": ("/api/v1/chat/completions", 200),
    "below /api without /v1": ("/api/chat/completions", 200),
    "doubled slash": ("//v1//chat/completions", 200),
    "doubled /v1 and trailing slash": ("/v1/v1/chat/completions/", 200),
    "with a query": ("/v1/chat/completions?beta=true&x=%20", 200),
}


@pytest.mark.parametrize(("target", "status"), PATHS.values(), ids=PATHS)
async def test_common_wrong_paths_are_served(house: MakeHouse, target: str, status: int) -> None:
    async with house(json_answer(ANSWER)) as h:
        assert (await exchange(h.host.url, request(target=target))).status == status
        assert h.upstream.requests[0].target == CHAT


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v1/chat", "/v1/chat/completions"),
        ("/v2/chat/completions", "/v1/chat/completions"),
        ("/v1/embedding", "/v1/embeddings"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/", "/v1/"),
        ("/%2e%2e/etc/passwd", "/v1/"),
        ("/v1/chat/completions/%00", "/v1/chat/completions"),
    ],
)
async def test_another_path_is_told_the_nearest_route(house: MakeHouse, target: str, near: str) -> None:
    async with house() as h:
        told = await exchange(h.host.url, request(target=target))
        assert (told.status, told.error["code"], told.error["type"]) == (404, "unknown_url", "invalid_request_error")
        assert f"did you mean {near}" in told.error["message"]


async def test_a_path_without_v1_is_told_how_a_base_url_should_end(house: MakeHouse) -> None:
    async with house() as h:
        told = await exchange(h.host.url, request(target="/chat/completion"))
        assert "base url should end in /v1" in told.error["message"].lower()


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", CHAT, "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("HEAD", CHAT, "POST"),
        ("GET", "/chat/completions/", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/m", "GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_one(house: MakeHouse, method: str, target: str, allow: str) -> None:
    async with house() as h:
        told = await h.host.request(method, target, b"{}" if method == "POST" else None)
        assert told.status == 405
        assert told.headers["allow"] == allow
        if method != "HEAD":
            assert told.json["error"]["code"] == "method_not_allowed"
            assert allow in told.json["error"]["message"]


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/v1/models"])
async def test_head_is_answered_like_get_without_a_body(house: MakeHouse, target: str) -> None:
    async with house() as h:
        told = await h.host.request("HEAD", target)
        assert (told.status, told.body) == (200, b"")


# --------------------------------------------------------------------------------------------------- encodings


_PLAIN = json.dumps(QUESTION).encode()

PACKED: dict[str, tuple[str, bytes]] = {
    "identity": ("identity", _PLAIN),
    "gzip": ("gzip", gzip.compress(_PLAIN)),
    "GZIP": ("GZIP", gzip.compress(_PLAIN)),
    "x-gzip": ("x-gzip", gzip.compress(_PLAIN)),
    "deflate": ("deflate", zlib.compress(_PLAIN)),
}


@pytest.mark.parametrize(("encoding", "packed"), PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_packed_body_is_unpacked(house: MakeHouse, encoding: str, packed: bytes, chunked: bool) -> None:
    async with house(json_answer(ANSWER)) as h:
        if chunked:
            pieces = b"".join(chunk(packed[at : at + 5]) for at in range(0, len(packed), 5)) + chunk(b"")
            sent = head(headers={"Content-Encoding": encoding, "Transfer-Encoding": "chunked"}) + pieces
        else:
            sent = request(packed, headers={"Content-Encoding": encoding})
        assert (await exchange(h.host.url, sent)).status == 200
        assert h.upstream.requests[0].body == _PLAIN
        assert "content-encoding" not in h.upstream.requests[0].headers


BADLY_PACKED: dict[str, tuple[str, bytes, int, str, str]] = {
    "br": ("br", b"\x8b\x02\x80", 415, "unsupported_encoding", "'br'"),
    "zstd": ("zstd", b"\x28\xb5\x2f\xfd", 415, "unsupported_encoding", "'zstd'"),
    "two layers": ("gzip, gzip", gzip.compress(gzip.compress(_PLAIN)), 415, "unsupported_encoding", "gzip, deflate or none"),
    "no gzip": ("gzip", _PLAIN, 400, "bad_encoding", "not valid gzip"),
    "cut gzip": ("gzip", gzip.compress(_PLAIN)[:-9], 400, "bad_encoding", "too early"),
    "gzip with a wrong sum": ("gzip", gzip.compress(_PLAIN)[:-8] + b"\0" * 8, 400, "bad_encoding", "not valid gzip"),
    "nothing as gzip": ("gzip", b"", 400, "bad_encoding", "too early"),
    "junk after gzip": ("gzip", gzip.compress(_PLAIN) + b"junk", 400, "bad_encoding", "after its end"),
    "gzip in two members": ("gzip", gzip.compress(_PLAIN[:9]) + gzip.compress(_PLAIN[9:]), 400, "bad_encoding", "after its end"),
    "deflate without its envelope": ("deflate", zlib.compress(_PLAIN)[2:-4], 400, "bad_encoding", "not valid deflate"),
    "no deflate": ("deflate", b"\xff" * 20, 400, "bad_encoding", "not valid deflate"),
}


@pytest.mark.parametrize(("encoding", "packed", "status", "code", "word"), BADLY_PACKED.values(), ids=BADLY_PACKED)
async def test_a_badly_packed_body_is_refused(house: MakeHouse, encoding: str, packed: bytes, status: int, code: str, word: str) -> None:
    async with house(json_answer(ANSWER)) as h:
        told = await exchange(h.host.url, request(packed, headers={"Content-Encoding": encoding}))
        assert (told.status, told.error["code"]) == (status, code)
        assert word in told.error["message"]
        assert not h.upstream.requests


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_decompression_bomb_ends_at_the_limit(house: MakeHouse, encoding: str) -> None:
    bomb = (gzip.compress if encoding == "gzip" else zlib.compress)(b" " * (32 << 20))
    async with house(json_answer(ANSWER), config={"limits": {"body": 100_000}}) as h:
        told = await exchange(h.host.url, request(bomb, headers={"Content-Encoding": encoding}))
        assert (told.status, told.error["code"]) == (413, "body_too_large")
        assert "100000 bytes (limits.body)" in told.error["message"]


# ------------------------------------------------------------------------------------------------- other kinds


@pytest.mark.parametrize("query", ["api-version=2024-10-21", "key=%zz", "a=1&a=2", "%00", "x" * 3000])
async def test_a_query_does_no_harm(house: MakeHouse, query: str) -> None:
    async with house(json_answer(ANSWER)) as h:
        assert (await exchange(h.host.url, request(target=f"{CHAT}?{query}"))).status == 200


@pytest.mark.parametrize("name", ["nope", "no%2Fsuch", "%ff", "%00", "a%0d%0aX:%201"])
async def test_an_unknown_model_is_not_shown(house: MakeHouse, name: str) -> None:
    async with house() as h:
        told = await exchange(h.host.url, get(f"/v1/models/{name}"))
        assert (told.status, told.error["code"], told.error["param"]) == (404, "model_not_found", "model")


async def test_a_websocket_is_asked_for_in_vain(house: MakeHouse) -> None:
    key = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", **key}
    async with house() as h:
        told = await exchange(h.host.url, get("/v1/realtime", upgrade))
        assert told.status in (404, 426)
        assert told.error["message"]


@pytest.mark.parametrize("target", ["/v1/models/", "/models", "/v1/v1/models", "/api/models", "//v1/models", "/v1/models?limit=1"])
async def test_the_list_of_models_is_found_by_common_wrong_paths(house: MakeHouse, target: str) -> None:
    async with house() as h:
        told = await exchange(h.host.url, get(target))
        assert told.status == 200
        assert "m" in [model["id"] for model in told.json["data"]]


@pytest.mark.parametrize("name", ["sim/echo", "sim%2Fecho", "acme://m", "acme%3A%2F%2Fm"])
async def test_a_model_is_found_by_a_name_with_slashes(house: MakeHouse, name: str) -> None:
    async with house() as h:
        told = await exchange(h.host.url, get(f"/v1/models/{name}"))
        assert (told.status, told.json["id"]) == (200, name.replace("%2F", "/").replace("%3A", ":"))
