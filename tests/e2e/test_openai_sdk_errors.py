"""Every error is raised as the SDK's own exception, with what a program needs to know of it."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from jackfield.api.testing import json_answer, sse_answer
from jackfield.api.testing.upstream import Received, Wire
from tests.e2e.conftest import ACME_KEY, HELLO, MakeHouse

CHUNK = b'data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def error(message: str = "upstream words", **rest: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **rest}}


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (400, openai.BadRequestError, error(param="messages[0]", code="invalid_value")),
        (400, openai.BadRequestError, error(code="content_policy_violation", inner={"why": ["hate"]})),
        (400, openai.BadRequestError, {"detail": "not in OpenAI's shape"}),
        (404, openai.NotFoundError, error(param="model", code="model_not_found")),
        (405, openai.APIStatusError, error()),
        (409, openai.ConflictError, error(type="conflict_error")),
        (413, openai.APIStatusError, error(type="request_too_large")),
        (415, openai.APIStatusError, error()),
        (422, openai.UnprocessableEntityError, error(type="unprocessable", param="tools")),
        (451, openai.APIStatusError, error(code="blocked")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_callers_errors_are_raised_as_the_upstream_wrote_them(
    house: MakeHouse, status: int, kind: type[openai.APIStatusError], body: dict[str, Any], stream: bool
) -> None:
    async with house(json_answer(body, status=status, headers={"X-Request-Id": "r-1", "X-Should-Retry": "false"})) as h:
        with pytest.raises(kind) as caught:
            await h.sdk(max_retries=3).chat("m", stream=stream)
        said = caught.value
        assert type(said) is kind
        assert said.status_code == status
        assert said.response.json() == body
        assert said.body == body.get("error", body)
        assert said.request_id == "r-1"
        assert {name: getattr(said, name) for name in ("code", "type", "param")} == {
            name: body.get("error", {}).get(name) for name in ("code", "type", "param")
        }
        assert len(h.upstream.requests) == 1
        assert (await h.outcome()).http_status == status


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown", "code", "type_"),
    [
        (401, error(code="invalid_api_key"), openai.InternalServerError, 503, "server_is_overloaded", "service_unavailable_error"),
        (403, error(code="forbidden"), openai.InternalServerError, 503, "server_is_overloaded", "service_unavailable_error"),
        (402, error(code="payment_required"), openai.RateLimitError, 429, "payment_required", "rate_limit_error"),
        (429, error(code="rate_limit_exceeded"), openai.RateLimitError, 429, "rate_limit_exceeded", "rate_limit_error"),
        (429, error(type="tokens"), openai.RateLimitError, 429, "rate_limit_exceeded", "rate_limit_error"),
        (429, error(code="insufficient_quota"), openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota"),
        (500, error(type="server_error"), openai.InternalServerError, 502, None, "server_error"),
        (502, {}, openai.InternalServerError, 502, None, "server_error"),
        (503, error(), openai.InternalServerError, 503, "server_is_overloaded", "service_unavailable_error"),
        (504, error(), openai.InternalServerError, 502, None, "server_error"),
        (529, error(), openai.InternalServerError, 503, "server_is_overloaded", "service_unavailable_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_other_errors_are_told_in_the_hosts_words(
    house: MakeHouse,
    status: int,
    body: dict[str, Any],
    kind: type[openai.APIStatusError],
    shown: int,
    code: str | None,
    type_: str | None,
    stream: bool,
) -> None:
    async with house(json_answer(body, status=status)) as h:
        with pytest.raises(kind) as caught:
            await h.sdk().chat("m", stream=stream)
        said = caught.value
        assert said.status_code == shown
        assert isinstance(said.body, dict)
        assert said.body.keys() == {"message", "type", "param", "code"}
        assert "upstream words" not in said.response.text
        assert str(status) in said.body["message"]
        assert (said.code, said.type) == (code, type_)
        if status in (401, 403):
            assert "api_key" not in said.response.text, "it reads as if the client's own key were wrong"


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"Retry-After": "7"}, "7"),
        ({"Retry-After-Ms": "2000"}, "2"),
        ({"Retry-After-Ms": "2500"}, "3"),
        ({"Retry-After": "0.2"}, "1"),
        ({}, None),
        ({"Retry-After": "soon"}, None),
    ],
)
async def test_a_rate_limit_says_when_to_come_again(house: MakeHouse, headers: dict[str, str], shown: str | None) -> None:
    async with house(json_answer(error(), status=429, headers=headers)) as h:
        with pytest.raises(openai.RateLimitError) as caught:
            await h.sdk().chat("m")
        assert caught.value.response.headers.get("retry-after") == shown


async def test_the_sdk_waits_as_it_is_told_and_tries_again(house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    async with house(json_answer(error(), status=429, headers={"Retry-After": "3"}), json_answer(answer)) as h:
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        monkeypatch.setattr("anyio.sleep", sleep)
        assert (await h.sdk(max_retries=2).chat("m")).id == "c"
        assert waited == [3]
        assert len(h.upstream.requests) == 2


async def test_the_sdk_tries_again_after_a_fault_of_the_provider(house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(json_answer({}, status=500)) as h:
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        monkeypatch.setattr("anyio.sleep", sleep)
        with pytest.raises(openai.InternalServerError):
            await h.sdk(max_retries=2).chat("m")
        assert len(waited) == 2
        assert len(h.upstream.requests) == 3


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [("sk-other-key-of-somebody", "invalid_api_key", "invalid"), ("", "missing_api_key", "missing")],
    ids=["wrong", "missing"],
)
async def test_a_wrong_key_is_an_authentication_error(house: MakeHouse, manner: str, given: str, code: str, words: str) -> None:
    async with house(config={"plugins": {"api_keys": {"keys": [{"name": "ann", "key": "jf-key-of-ann"}]}}}) as h:
        sdk = h.sdk(manner, api_key=given or "none")
        for method, said in (
            ("chat.completions.create", {"model": "m", "messages": HELLO}),
            ("models.list", {}),
            ("models.retrieve", {"model": "m"}),
            ("embeddings.create", {"model": "m", "input": "x"}),
        ):
            with pytest.raises(openai.AuthenticationError, match=words) as caught:
                await sdk.ask(method, **said, extra_headers={} if given else {"Authorization": openai.Omit()})
            assert caught.value.code == code
            assert caught.value.type == "invalid_request_error"
            assert "somebody" not in caught.value.response.text
        assert h.upstream.requests == []


async def test_a_key_that_may_not_use_a_model_is_a_permission_error(house: MakeHouse, manner: str) -> None:
    keys = [{"name": "ann", "key": "jf-key-of-ann", "allow": {"models": ["sim/*"]}}]
    async with house(config={"plugins": {"api_keys": {"keys": keys}}}) as h:
        sdk = h.sdk(manner, api_key="jf-key-of-ann")
        assert (await sdk.chat("sim/echo")).choices
        with pytest.raises(openai.PermissionDeniedError, match="'m'") as caught:
            await sdk.chat("m")
        assert caught.value.type
        assert caught.value.code
        with pytest.raises(openai.NotFoundError):
            await sdk.ask("models.retrieve", "m")
        assert {model.id.partition("/")[0] for model in (await sdk.ask("models.list")).data} == {"sim"}


async def test_an_unknown_model_is_not_found(house: MakeHouse, manner: str) -> None:
    async with house() as h:
        for stream in (False, True):
            with pytest.raises(openai.NotFoundError, match="does not exist") as caught:
                await h.sdk(manner).chat("no-such-model", stream=stream)
            assert (caught.value.code, caught.value.type, caught.value.param) == ("model_not_found", "invalid_request_error", "model")


@pytest.mark.parametrize(
    ("said", "param"),
    [({"model": ""}, "model"), ({"model": 3}, "model"), ({"stream": "yes"}, "stream")],
)
async def test_a_request_that_makes_no_sense_is_a_bad_request(house: MakeHouse, said: dict[str, Any], param: str) -> None:
    async with house() as h:
        with pytest.raises(openai.BadRequestError) as caught:
            await h.sdk().ask("post", "/chat/completions", cast_to=object, body={"model": "m", "messages": HELLO, **said})
        assert caught.value.param == param
        assert caught.value.type == "invalid_request_error"
        assert caught.value.code
        assert h.upstream.requests == []


async def test_a_body_over_the_limit_is_told_with_its_status(house: MakeHouse) -> None:
    async with house(config={"limits": {"body": "10KiB"}}) as h:
        with pytest.raises(openai.APIStatusError, match="10240") as caught:
            await h.sdk().chat("m", user="x" * 20_000)
        assert caught.value.status_code == 413
        assert caught.value.code == "body_too_large"


async def test_an_unknown_path_is_not_found(house: MakeHouse) -> None:
    async with house() as h:
        with pytest.raises(openai.NotFoundError, match="/v1/chat/completions"):
            await h.sdk().ask("post", "/chat/completion", cast_to=object, body={})


# ------------------------------------------------------------------------------------------- in streams


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"it broke","type":"server_error","param":null,"code":"boom"}}\n\n',
        b'event: error\ndata: {"error":{"message":"it broke","type":"server_error","param":null,"code":"boom"}}\n\n',
        b'data: {"error": {"message": "it broke", "code": "boom"}, "choices": []}\r\n\r\n',
    ],
    ids=["plain", "named", "beside choices"],
)
@pytest.mark.parametrize("end", [DONE, b""], ids=["with an end", "without an end"])
async def test_an_error_in_a_stream_is_raised_after_what_came_before(house: MakeHouse, manner: str, event: bytes, end: bytes) -> None:
    async with house(sse_answer([CHUNK, event + end])) as h:
        with pytest.raises(openai.APIError, match="the provider's stream ended with an error") as caught:
            await h.sdk(manner).chunks(model="m")
        assert type(caught.value) is openai.APIError
        assert caught.value.code == "boom"
        outcome = await h.outcome()
        assert (outcome.status, outcome.http_status, outcome.cause) == ("failed", 200, "upstream")


@pytest.mark.parametrize("end", [True, False], ids=["ends", "breaks"])
async def test_a_stream_that_stops_in_the_middle_is_an_error(house: MakeHouse, manner: str, end: bool) -> None:
    async with house(sse_answer([CHUNK], end=end)) as h:
        with pytest.raises(openai.APIError, match="broke off") as caught:
            await h.sdk(manner).chunks(model="m")
        assert caught.value.code == "broken_off"
        outcome = await h.outcome()
        assert (outcome.status, outcome.cause) == ("failed", "network")


@pytest.mark.parametrize(
    ("event", "kind", "status"),
    [
        (b'data: {"error":{"message":"slow down","code":429}}\n\n', openai.RateLimitError, 429),
        (b'data: {"error":{"message":"it broke","type":"server_error"}}\n\n', openai.InternalServerError, 502),
        (b'data: {"error":{"message":"bad words","code":400}}\n\n', openai.BadRequestError, 400),
        (b"", openai.InternalServerError, 502),
    ],
    ids=["rate", "fault", "caller", "empty"],
)
async def test_a_stream_that_begins_with_an_error_is_no_stream(
    house: MakeHouse, event: bytes, kind: type[openai.APIStatusError], status: int
) -> None:
    async with house(sse_answer([event] if event else [])) as h:
        with pytest.raises(kind) as caught:
            await h.sdk().chunks(model="m")
        assert caught.value.status_code == status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        json_answer(error("slow down", code=429)),
        json_answer(b"<html>hello</html>", headers={"Content-Type": "text/html"}),
        json_answer(b""),
        json_answer(b'{"id": "c", "choi'),
        json_answer(b"[]"),
        json_answer(b"null"),
    ],
    ids=["error", "page", "nothing", "half", "list", "null"],
)
async def test_what_is_no_answer_is_not_passed_off_as_one(house: MakeHouse, answer: Any, stream: bool) -> None:
    async with house(answer) as h:
        with pytest.raises((openai.InternalServerError, openai.RateLimitError)) as caught:
            await h.sdk().chat("m", stream=stream)
        assert caught.value.status_code in (429, 502)
        assert isinstance(caught.value.body, dict)


# ------------------------------------------------------------------------------------------ connections


async def test_an_upstream_that_hangs_up_is_a_fault_of_the_provider(house: MakeHouse) -> None:
    async def hang_up(received: Received, wire: Wire) -> None:
        wire.abort()

    async with house(hang_up) as h:
        with pytest.raises(openai.InternalServerError, match="closed the connection") as caught:
            await h.sdk().chat("m")
        assert caught.value.status_code == 502
        assert caught.value.code == "no_answer"
        assert ACME_KEY not in caught.value.response.text


async def test_an_upstream_that_is_not_there_is_a_fault_of_the_provider(house: MakeHouse, unused_tcp_port: int) -> None:
    async with house(server={"base_url": f"http://127.0.0.1:{unused_tcp_port}/v1"}) as h:
        with pytest.raises(openai.InternalServerError, match=f"no connection to http://127.0.0.1:{unused_tcp_port}") as caught:
            await h.sdk().chat("m")
        assert caught.value.code == "no_connection"


async def test_a_host_that_is_not_there_is_a_connection_error(house: MakeHouse, manner: str, unused_tcp_port: int) -> None:
    async with house() as h:
        with pytest.raises(openai.APIConnectionError):
            await h.sdk(manner, base_url=f"http://127.0.0.1:{unused_tcp_port}/v1").chat("m")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_is_late_is_given_up(house: MakeHouse, stream: bool) -> None:
    async def wait(received: Received, wire: Wire) -> None:
        await wire.gone.wait()

    async with house(wait, server={"timeouts": {"first_byte": 0.2}}) as h:
        with pytest.raises(openai.InternalServerError) as caught:
            await h.sdk().chat("m", stream=stream)
        assert caught.value.status_code == 502
        assert "first byte" in caught.value.body["message"] or "first_byte" in caught.value.body["message"]
        await h.until(lambda: h.upstream.open == 0)
