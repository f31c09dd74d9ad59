"""What an upstream can get wrong, row by row, and what the client is told: never a 500, a hang or a traceback."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jackfield.api.testing import Received, Script, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import MakeHouse
from tests.e2e.server.raw import ANSWER, CHAT, QUESTION, RawAnswer, chunk, connect, exchange, request
from tests.e2e.server.streams import DONE, EVENTS, FINISH, OPENING, SPOKEN, STREAM, WORDS, chunk_of, event, said_in, words_in

_RAW = msgspec.json.encode(ANSWER)
_JSON = b"Content-Type: application/json\r\n"
_HTML = b"<html><body>It works!</body></html>"
_SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    loud = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not loud, [record.getMessage() for record in loud]


def _saying(data: bytes, *, then: str = "abort") -> Script:
    """Return a script that writes bytes as they are and breaks the connection, or leaves it open."""

    async def script(received: Received, wire: Wire) -> None:
        await wire.send(data)
        if then == "abort":
            wire._writer.close()  # in good order: what was written arrives
            await wire.gone.wait()

    return script


def _whole(body: bytes, *headers: bytes, status: bytes = b"200 OK", length: int | None = None, then: str = "") -> Script:
    size = b"Content-Length: %d\r\n" % (len(body) if length is None else length)
    return _saying(b"HTTP/1.1 " + status + b"\r\n" + (b"".join(headers) or _JSON) + size + b"\r\n" + body, then=then)


async def _ask(url: str, stream: bool, model: str = "m") -> RawAnswer:
    return await exchange(url, request({**QUESTION, "model": model, "stream": stream}))


PLAIN: dict[str, tuple[Script, str, str]] = {
    "a web page": (_whole(_HTML, b"Content-Type: text/html\r\n"), "bad_answer", "text/html"),
    "a web page as JSON": (_whole(_HTML), "bad_answer", "no answer"),
    "broken JSON": (_whole(_RAW[:-5]), "bad_answer", "no answer"),
    "JSON that is no answer": (_whole(b'{"hello": "world"}'), "bad_answer", "no answer"),
    "a list": (_whole(b"[]"), "bad_answer", "no answer"),
    "null": (_whole(b"null"), "bad_answer", "no answer"),
    "nothing": (_whole(b""), "bad_answer", "nothing"),
    "204": (_saying(b"HTTP/1.1 204 No Content\r\n\r\n", then=""), "bad_answer", "nothing"),
    "10,000 deep": (_whole(b'{"choices": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "bad_answer", "no answer"),
    "the connection closes": (_saying(b""), "no_answer", "without an answer"),
    "half a head": (_saying(b"HTTP/1.1 200 OK\r\nContent-Ty"), "no_answer", "without an answer"),
    "half a body": (_whole(_RAW, length=len(_RAW) + 10, then="abort"), "broken_off", "broke off"),
    "half a chunked body": (
        _saying(b"HTTP/1.1 200 OK\r\n" + _JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(_RAW[:40])), "broken_off", "broke off",
    ),
    "a chunk of no size": (
        _saying(b"HTTP/1.1 200 OK\r\n" + _JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + _RAW), "not_http", "in HTTP",
    ),
    "a length that cuts the body": (_whole(_RAW, length=len(_RAW) - 10, then="abort"), "not_http", "does not answer in HTTP"),
    "no HTTP": (_saying(b"220 smtp.example.com ESMTP\r\n"), "not_http", "does not answer in HTTP"),
    "a length that is no number": (_saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "not_http", "does not answer in HTTP"),
    "a header of 100,000 bytes": (_whole(_RAW, b"X-Long: " + b"x" * 100_000 + b"\r\n"), "not_http", ""),
    "302": (_whole(b"", b"Location: http://127.0.0.1:1/elsewhere\r\n", status=b"302 Found"), "", "302"),
    "307": (_whole(b"", b"Location: /v1/elsewhere\r\n", status=b"307 Temporary Redirect"), "", "307"),
    "304": (_saying(b"HTTP/1.1 304 Not Modified\r\n\r\n", then=""), "", "304"),
}  # fmt: skip


@pytest.mark.parametrize(("script", "code", "word"), PLAIN.values(), ids=PLAIN)
async def test_what_is_no_answer_becomes_502_in_the_clients_shape(house: MakeHouse, script: Script, code: str, word: str) -> None:
    async with house(script) as h:
        told = await _ask(h.host.url, stream=False)
        assert (told.status, told.error["type"]) == (502, "server_error")
        assert (told.error["code"] or "") == code
        assert word in told.error["message"]
        assert "It works" not in told.error["message"]
        assert len({received.target for received in h.upstream.requests}) == 1  # no redirect was followed
        outcome = await h.outcome()
        assert (outcome.status, outcome.http_status) == ("failed", 502)


STREAMED: dict[str, tuple[Script, str, str]] = {
    "a web page": (_whole(_HTML, b"Content-Type: text/html\r\n"), "bad_answer", "text/html"),
    "a web page as a stream": (_whole(_HTML, b"Content-Type: text/event-stream\r\n"), "empty_stream", "empty"),
    "nothing": (sse_answer([]), "empty_stream", "empty"),
    "comments alone": (sse_answer([b": hello\n\n", b":\n\n"]), "empty_stream", "empty"),
    "empty data alone": (sse_answer([b"data:\n\n", b"data: \n\n"]), "empty_stream", "empty"),
    "the connection closes": (_saying(b""), "no_answer", "without an answer"),
    "the connection closes after the head": (_saying(_SSE_HEAD), "broken_off", "broke off"),
    "half an event": (_saying(_SSE_HEAD + chunk(OPENING[:30])), "broken_off", "broke off"),
    "half an event and a good end": (sse_answer([OPENING[:30]]), "empty_stream", "empty"),
    "302": (_whole(b"", b"Location: /v1/elsewhere\r\n", status=b"302 Found"), "", "302"),
}


@pytest.mark.parametrize(("script", "code", "word"), STREAMED.values(), ids=STREAMED)
async def test_what_is_no_stream_becomes_502_before_anything_was_sent(house: MakeHouse, script: Script, code: str, word: str) -> None:
    async with house(script) as h:
        told = await _ask(h.host.url, stream=True)
        assert (told.status, told.error["type"]) == (502, "server_error")
        assert (told.error["code"] or "") == code
        assert word in told.error["message"]


ERRORS_IN_200: dict[str, tuple[object, int, str | None]] = {
    "OpenAI's shape": ({"error": {"message": "secret", "type": "server_error", "code": None}}, 502, None),
    "with a status": ({"error": {"message": "secret", "code": 429}}, 429, None),
    "a text": ({"error": "secret"}, 502, None),
}


@pytest.mark.parametrize(("body", "status", "code"), ERRORS_IN_200.values(), ids=ERRORS_IN_200)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_an_error_with_status_200_is_an_error(house: MakeHouse, body: object, status: int, code: str | None, stream: bool) -> None:
    script = sse_answer([event(body), DONE]) if stream else json_answer(body)
    async with house(script) as h:
        told = await _ask(h.host.url, stream)
        assert told.status == status
        assert "secret" not in told.body.decode()


# ------------------------------------------------------------------------------------------------------- errors

_UPSTREAM = {"error": {"message": "upstream's own words", "type": "some_type", "param": "some_param", "code": "some_code", "odd": 1.10}}
_OWN = b'{ "error":{"message":"upstream\'s own words","type":"some_type" ,"param":"p","code":"c","odd":1.10}}'


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_the_callers_own_error_passes_as_the_upstream_wrote_it(house: MakeHouse, status: int, stream: bool) -> None:
    async with house(json_answer(_OWN, status=status, headers={"X-Request-Id": "r-1", "Set-Cookie": "a=b"})) as h:
        told = await _ask(h.host.url, stream)
        assert (told.status, told.body) == (status, _OWN)
        assert told.headers["x-request-id"] == "r-1"
        assert "set-cookie" not in told.headers
        assert len(h.upstream.requests) == 1


OTHERS: dict[int, tuple[int, str]] = {
    401: (503, "service_unavailable_error"),
    402: (429, "rate_limit_error"),
    403: (503, "service_unavailable_error"),
    408: (502, "server_error"),
    429: (429, "rate_limit_error"),
    500: (502, "server_error"),
    502: (502, "server_error"),
    503: (503, "service_unavailable_error"),
    504: (502, "server_error"),
    529: (503, "service_unavailable_error"),
    599: (502, "server_error"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("status", "shown", "type_"), [(k, *v) for k, v in OTHERS.items()], ids=map(str, OTHERS))
async def test_others_errors_are_told_in_the_hosts_words(house: MakeHouse, status: int, shown: int, type_: str, stream: bool) -> None:
    waits = {None: None, "7": "7", "0.2": "1", "soon": None}
    answers = [json_answer(_UPSTREAM, status=status, headers={"Retry-After": after} if after else {}) for after in waits]
    async with house(*answers) as h:
        for wait in waits.values():
            told = await _ask(h.host.url, stream)
            assert (told.status, told.error["type"]) == (shown, type_)
            assert "own words" not in told.body.decode()
            assert str(status) in told.error["message"]
            assert told.headers.get("retry-after") == wait
            assert "own words" in json.dumps((await h.outcome()).explain())  # the operator can read them


_SHAPELESS = [b"", _HTML, b"\xff\xfe", b"[" * 10_000, b'{"error": null}', b'{"error": {}}', b"null"]


@pytest.mark.parametrize(("status", "shown"), [(400, 400), (429, 429), (500, 502)])
async def test_an_error_without_a_shape_is_an_error_too(house: MakeHouse, status: int, shown: int) -> None:
    async with house(*(_whole(body, b"Content-Type: text/html\r\n", status=b"%d Oh" % status) for body in _SHAPELESS)) as h:
        for body in _SHAPELESS:
            told = await _ask(h.host.url, stream=False)
            assert told.status == shown
            assert told.body == body if status == 400 else told.error["message"]


# ------------------------------------------------------------------------------------------- the way to it


async def _refused(house: MakeHouse, base_url: str, **server: Any) -> Any:
    async with house(server={"base_url": base_url, **server}) as h:
        told = await _ask(h.host.url, stream=False)
        assert (told.status, told.error["type"]) == (502, "server_error")
        return told.error


async def test_a_refused_connection_is_named(house: MakeHouse) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    error = await _refused(house, f"http://127.0.0.1:{port}/v1")
    assert error["code"] == "no_connection"
    assert f"no connection to http://127.0.0.1:{port}" in error["message"]


async def test_an_unknown_host_is_named(house: MakeHouse) -> None:
    error = await _refused(house, "http://no-such-host.invalid/v1")
    assert error["code"] == "unknown_host"
    assert "http://no-such-host.invalid:80" in error["message"]


async def test_https_where_http_is_spoken_is_named(house: MakeHouse) -> None:
    async with house() as other:
        url = other.host.url.replace("http://", "https://")
        error = await _refused(house, url + "/v1")
    assert error["code"] == "tls_failed"
    assert error["message"] == f"base_url says https, but {url} speaks plain http"


@asynccontextmanager
async def _tls_server(folder: Path) -> AsyncIterator[int]:
    """Serve TLS with a certificate that nobody knows."""
    pem = folder / "own.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout"
    await asyncio.to_thread(subprocess.run, [*command.split(), str(pem), "-out", str(folder / "cert.pem")], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", pem)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_http_where_tls_is_spoken_is_named(house: MakeHouse) -> None:
    async with house(_saying(b"\x15\x03\x01\x00\x02\x02\x46")) as h:  # TLS's alert "protocol version"
        told = await _ask(h.host.url, stream=False)
        assert (told.status, told.error["code"]) == (502, "not_http")
        assert told.error["message"] == f"base_url says http, but {h.upstream.url} speaks https"


async def test_a_certificate_that_nobody_vouches_for_is_named(house: MakeHouse, tmp_path: Path) -> None:
    async with _tls_server(tmp_path) as port:
        error = await _refused(house, f"https://127.0.0.1:{port}/v1")
    assert error["code"] == "bad_certificate"
    assert f"https://127.0.0.1:{port}" in error["message"]


# -------------------------------------------------------------------------------------------------- odd streams


def _one_by_one(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


_CRLF = STREAM.replace(b"\n", b"\r\n")
_CR = STREAM.replace(b"\n", b"\r")

ODD: dict[str, list[bytes]] = {
    "as one piece": [STREAM],
    "an event a piece": EVENTS,
    "a byte a piece": _one_by_one(STREAM),
    "CRLF": [_CRLF],
    "CRLF, a byte a piece": _one_by_one(_CRLF),
    "CR": [_CR],
    "CR, a byte a piece": _one_by_one(_CR),
    "mixed line ends": [OPENING.replace(b"\n", b"\r\n"), *SPOKEN[:2], *(e.replace(b"\n", b"\r") for e in SPOKEN[2:]), FINISH, DONE],
    "no space after the colon": [STREAM.replace(b"data: ", b"data:")],
    "comments": [b": hello\n\n", OPENING, b": still here\n\n", *SPOKEN, b":\n\n", FINISH, DONE],
    "comments without an end of their own": [b": hello\n", OPENING, *SPOKEN, b": more\n" + FINISH, DONE],
    "an event name": [b"event: message\n" + OPENING, *SPOKEN, FINISH, DONE],
    "id and retry": [b"id: 1\nretry: 1000\n" + OPENING, *SPOKEN, FINISH, DONE],
    "a byte order mark": [b"\xef\xbb\xbf" + STREAM],
    "empty data lines": [OPENING, b"data:\n\n", *SPOKEN, b"data: \n\n", FINISH, DONE],
    "blank lines": [b"\n\n", OPENING, b"\n\n\n", *SPOKEN, FINISH, b"\n", DONE],
    "data in two lines": [OPENING, *(e.replace(b',"choices"', b'\ndata: ,"choices"') for e in SPOKEN), FINISH, DONE],
    "no terminal event": [OPENING, *SPOKEN, FINISH],
    "no blank line at the end": [OPENING, *SPOKEN, FINISH, DONE.rstrip(b"\n")],
    "no blank line and no terminal event": [OPENING, *SPOKEN, FINISH.rstrip(b"\n")],
    "bytes after the terminal event": [*EVENTS, OPENING, b"data: {}\n\n", b"garbage"],
    "bytes after the terminal event in one piece": [STREAM + OPENING + b"garbage"],
    "the terminal event twice": [*EVENTS, DONE],
    "null characters in comments": [b":\0\n\n" + STREAM],
}


@pytest.mark.parametrize("pieces", ODD.values(), ids=ODD)
@pytest.mark.parametrize("watched", [False, True], ids=["untouched", "watched"])
async def test_an_odd_stream_reaches_the_client_as_a_sound_one(house: MakeHouse, pieces: list[bytes], watched: bool) -> None:
    async with house(sse_answer(pieces), plugins=[_Watcher()] if watched else ()) as h:
        told = await _ask(h.host.url, stream=True)
        assert (told.status, told.whole) == (200, True)
        assert told.headers["content-type"].startswith("text/event-stream")
        said = _lenient(told.body)
        assert [s for s in said if s != "[DONE]"] == [json.loads(e[6:]) for e in (OPENING, *SPOKEN, FINISH)]
        assert said[-1] == "[DONE]"
        assert said.count("[DONE]") == 1
        assert b"data:\n\n" not in told.body
        assert b"data: \n\n" not in told.body
        outcome = await h.outcome()
        assert outcome.status == "succeeded"


class _Watcher:
    id = "watcher"

    def intercept_stream(self, call: Any, head: Any) -> Any:
        return lambda event: None


def _lenient(body: bytes) -> list[Any]:
    """Read a stream as the standard says, with any line ends and comments; events without data are left out."""
    found = []
    text = body.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for frame in text.split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in frame.split("\n") if line.startswith("data:"))
        if data:
            found.append(data if data == "[DONE]" else json.loads(data))
    return found


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
async def test_a_stream_may_be_cut_into_pieces_at_every_byte(house: MakeHouse, end: bytes) -> None:
    raw = (SPOKEN[0] + SPOKEN[2] + FINISH + DONE).replace(b"\n", end)
    cuts = range(1, len(raw))
    async with house(*(sse_answer([raw[:at], raw[at:]]) for at in cuts)) as h, connect(h.host.url) as client:
        for at in cuts:
            told = await client.exchange(request({**QUESTION, "stream": True}))
            assert told.body == raw, at


async def test_a_stream_whose_first_event_is_no_json_is_no_answer(house: MakeHouse) -> None:
    async with house(sse_answer([event(b"hello"), DONE])) as h:
        assert (await _ask(h.host.url, stream=True)).status == 502


async def test_every_piece_of_a_cut_stream_is_whole_events(house: MakeHouse) -> None:
    async with house(sse_answer([STREAM[at : at + 37] for at in range(0, len(STREAM), 37)])) as h:
        told = await _ask(h.host.url, stream=True)
        assert told.body == STREAM


CUT: dict[str, tuple[Script, int]] = {
    "in an event": (sse_answer([OPENING, SPOKEN[0], SPOKEN[1][:20]], end=False), 2),
    "between two events": (sse_answer([OPENING, SPOKEN[0]], end=False), 2),
    "in good order, in an event": (sse_answer([OPENING, SPOKEN[0], SPOKEN[1][:20]]), 2),
    "in good order, between two events": (sse_answer([OPENING, SPOKEN[0]]), 2),
    "in a character": (sse_answer([OPENING, SPOKEN[0], SPOKEN[0][: SPOKEN[0].index(b"\xbc")]]), 2),
}


@pytest.mark.parametrize(("script", "kept"), CUT.values(), ids=CUT)
async def test_a_stream_that_is_cut_ends_with_an_error(house: MakeHouse, script: Script, kept: int) -> None:
    async with house(script) as h:
        told = await _ask(h.host.url, stream=True)
        assert told.whole
        *before, last, done = said_in(told.body)
        assert before == [json.loads(e[6:]) for e in (OPENING, *SPOKEN)][:kept]
        assert (last["error"]["type"], last["error"]["code"], done) == ("server_error", "broken_off", "[DONE]")
        outcome = await h.outcome()
        assert (outcome.status, outcome.cause) == ("failed", "network")


async def test_an_error_in_the_middle_of_a_stream_reaches_the_client(house: MakeHouse) -> None:
    error = event({"error": {"message": "overloaded", "type": "server_error", "code": None, "param": None}})
    async with house(sse_answer([OPENING, SPOKEN[0], error])) as h:
        told = await _ask(h.host.url, stream=True)
        said = said_in(told.body)
        assert said[-1] == "[DONE]"
        assert sum("error" in s for s in said if s != "[DONE]") == 1
        assert (await h.outcome()).status == "failed"


async def test_a_whole_answer_to_a_client_that_asked_for_a_stream_is_played_as_one(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER)) as h:
        told = await _ask(h.host.url, stream=True)
        assert told.headers["content-type"].startswith("text/event-stream")
        assert words_in(told.body) == "Hello"
        assert said_in(told.body)[-1] == "[DONE]"


async def test_a_stream_to_a_client_that_asked_for_none_is_put_together(house: MakeHouse) -> None:
    async with house(sse_answer(EVENTS), sse_answer(EVENTS[:3])) as h:
        told = await _ask(h.host.url, stream=False)
        assert told.headers["content-type"].startswith("application/json")
        assert told.json["choices"][0]["message"]["content"] == "".join(WORDS)
        assert (await _ask(h.host.url, stream=False)).status == 502


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_packed_answer_is_unpacked(house: MakeHouse, stream: bool, encoding: str) -> None:
    raw = STREAM if stream else _RAW
    packed = gzip.compress(raw) if encoding == "gzip" else zlib.compress(raw)
    kind = b"Content-Type: %b\r\n" % (b"text/event-stream" if stream else b"application/json")
    async with house(_whole(packed, kind, b"Content-Encoding: " + encoding.encode() + b"\r\n")) as h:
        told = await _ask(h.host.url, stream)
        assert told.body == raw
        assert "content-encoding" not in told.headers


async def test_an_answer_packed_in_an_unknown_way_is_no_answer(house: MakeHouse) -> None:
    async with house(_whole(b"\x8b\x02\x80", _JSON, b"Content-Encoding: unheard-of\r\n")) as h:
        assert (await _ask(h.host.url, stream=False)).status == 502


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_early_words_of_an_upstream_are_passed_over(house: MakeHouse, stream: bool) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    plain = b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: %d\r\n\r\n" % len(_RAW) + _RAW
    end = _SSE_HEAD + chunk(STREAM) + chunk(b"") if stream else plain
    async with house(_saying(early + end, then="")) as h:
        told = await _ask(h.host.url, stream)
        assert (told.status, told.body) == (200, STREAM if stream else _RAW)
        assert "link" not in told.headers


async def test_an_answer_over_the_limit_is_named(house: MakeHouse) -> None:
    async with house(json_answer(ANSWER), config={"limits": {"answer": 100}}) as h:
        told = await _ask(h.host.url, stream=False)
        assert (told.status, told.error["code"]) == (502, "answer_too_large")
        assert "100 bytes (limits.answer)" in told.error["message"]


async def test_an_event_over_the_limit_ends_the_stream(house: MakeHouse) -> None:
    endless = event(chunk_of({"content": "x" * 5_000_000}))
    pieces = [
        OPENING,
        event(chunk_of({"content": "Hi"})),
        *(endless[at : at + 10_000] for at in range(0, len(endless), 10_000)),
        FINISH,
        DONE,
    ]
    async with house(sse_answer(pieces), config={"limits": {"event": 100_000}}) as h:
        told = await _ask(h.host.url, stream=True)
        error = said_in(told.body)[-2]["error"]
        assert error["code"] == "event_too_large"
        assert "100000 bytes (limits.event)" in error["message"]


def test_the_words_of_these_tests_need_more_than_a_byte() -> None:
    assert {len(char.encode()) for word in WORDS for char in word} == {1, 2, 3, 4}
    assert CHAT.startswith("/v1/")
