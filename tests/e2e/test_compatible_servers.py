"""Servers that speak OpenAI's protocol, each under a provider key of its own; and OpenAI itself, put on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import openai
import pytest

from jackfield.api.testing import Harness, Received, Script, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import ACME_KEY, HELLO, WAIT, MakeHouse, Sdk

OPENAI_KEY = "sk-of-openai-0123456789"


def serving(*models: str, status: int = 200) -> Script:
    """A server that lists models and answers each chat with the name of the model that it was asked for."""

    async def script(received: Received, wire: Wire) -> None:
        if received.method == "GET":
            listed = [{"id": name, "object": "model", "created": 5, "owned_by": "them"} for name in models]
            await json_answer({"object": "list", "data": listed}, status=status)(received, wire)
            return
        model = received.json["model"]
        message = {"role": "assistant", "content": f"I am {model}"}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": model}
        await json_answer({**answer, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})(received, wire)

    return script


def asked(upstream: ScriptedUpstream) -> list[str]:
    """Return the models that a server was asked for."""
    return [received.json["model"] for received in upstream.requests if received.method == "POST"]


# ------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("path", "server", "target"),
    [
        ("/v1", {}, "/v1/chat/completions"),
        ("/v1/", {}, "/v1/chat/completions"),
        ("", {}, "/chat/completions"),
        ("/", {}, "/chat/completions"),
        ("/api/coding/paas/v4", {}, "/api/coding/paas/v4/chat/completions"),
        ("/v1/v1", {}, "/v1/v1/chat/completions"),
        ("/a%20b/%2F/v1", {}, "/a%20b/%2F/v1/chat/completions"),
        ("/v1?api-version=2024-10-21&x=a%2Fb", {}, "/v1/chat/completions?api-version=2024-10-21&x=a%2Fb"),
        ("/v1", {"query": {"api-version": "2024-10-21", "x": "a b&c"}}, "/v1/chat/completions?api-version=2024-10-21&x=a+b%26c"),
        ("/v1?a=1", {"query": {"b": "2"}}, "/v1/chat/completions?a=1&b=2"),
        ("/v1", {"paths": {"generate": "/text/chat"}}, "/v1/text/chat"),
        ("/openai", {"paths": {"generate": "/deployments/{model}/chat/completions"}}, "/openai/deployments/m/chat/completions"),
    ],
)
async def test_a_base_url_is_taken_literally(house: MakeHouse, path: str, server: dict[str, Any], target: str) -> None:
    async with house(serving(), path=path, server=server) as h:
        await h.sdk().chat("m")
        assert [received.target for received in h.upstream.requests] == [target]


@pytest.mark.parametrize(
    ("path", "server", "target"),
    [
        ("/api/v4", {}, "/api/v4/models"),
        ("/v1?api-version=1", {}, "/v1/models?api-version=1"),
        ("/v1/", {"query": {"q": "1"}, "paths": {"models": "/catalogue"}}, "/v1/catalogue?q=1"),
    ],
)
async def test_models_are_asked_for_below_the_same_base_url(house: MakeHouse, path: str, server: dict[str, Any], target: str) -> None:
    async with house(serving("found"), path=path, server={**server, "models": "discover"}) as h:
        assert "found" in [model.id for model in (await h.sdk().ask("models.list")).data]
        assert (h.upstream.requests[0].method, h.upstream.requests[0].target) == ("GET", target)
        assert h.upstream.requests[0].headers["authorization"] == f"Bearer {ACME_KEY}"


async def test_a_base_url_may_be_a_name_of_this_machine(house: MakeHouse) -> None:
    async with ScriptedUpstream(serving()) as local:
        port = local.url.rpartition(":")[2]
        async with house(server={"base_url": f"http://localhost:{port}/v1"}) as h:
            assert (await h.sdk().chat("m")).choices[0].message.content == "I am m"
            assert local.requests[0].headers["host"] == f"localhost:{port}"


async def test_a_credential_may_have_an_address_of_its_own(house: MakeHouse) -> None:
    async with ScriptedUpstream(serving()) as elsewhere:
        own = {"base_url": f"{elsewhere.url}/other", "headers": {"X-Team": "red"}}
        async with house(serving(), credential=own) as h:
            await h.sdk().chat("m")
            assert [one.target for one in elsewhere.requests] == ["/other/chat/completions"]
            assert elsewhere.requests[0].headers["x-team"] == "red"
            assert h.upstream.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "api.example/v1",
        "ftp://api.example",
        "http://",
        "https:///v1",
        "",
        "http://api.example/v1 ",
        "http://api.example/#x",
        "http://me:pa55word@api.example/v1",
    ],
)
@pytest.mark.parametrize("place", ["base_url", "providers"])
async def test_what_is_no_url_is_a_problem_with_its_place(url: str, place: str) -> None:
    section = {"base_url": url} if place == "base_url" else {"providers": {"acme": {"base_url": url}}}
    async with Harness(config={"plugins": {"openai": section}}) as host:
        (problem,) = [line for line in host.host.problems if "base_url" in line]
        assert "pa55word" not in problem
        assert f"plugins.openai{'.providers.acme' if place == 'providers' else ''}" in problem


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"providers": {"openai": {"base_url": "http://x/v1"}}}, "choose another"),
        ({"providers": {"My/Server": {"base_url": "http://x/v1"}}}, "lower-case"),
        ({"providers": {"acme": {}}}, "base_url: missing"),
        ({"providers": {"acme": {"base_url": "http://x/v1", "model": []}}}, "did you mean 'models'"),
        ({"providers": {"acme": {"base_url": "http://x/v1", "models": "discovered"}}}, "'discover'"),
        ({"providers": {"acme": {"base_url": "http://x/v1", "paths": {"chat": "/chat"}}}}, "known: generate, embed, models"),
        ({"providers": {"acme": {"base_url": "http://x/v1", "auth": "basic"}}}, "'bearer'"),
        ({"providers": {"acme": {"base_url": "http://x/v1", "auth": {"type": "header"}}}}, "name the header"),
        ({"providers": {"acme": {"base_url": "http://x/v1", "auth": {"type": "key"}}}}, "'bearer', 'header', 'none'"),
        ({"base_ulr": "http://x/v1"}, "did you mean 'base_url'"),
    ],
    ids=str,
)
async def test_settings_that_cannot_work_are_told_and_the_rest_runs(section: dict[str, Any], says: str) -> None:
    async with Harness(config={"plugins": {"openai": section}}) as host:
        assert says in "\n".join(host.host.problems)
        assert (await host.get("/healthz")).status == 200


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    ("auth", "key", "sent"),
    [
        (None, ACME_KEY, {"authorization": f"Bearer {ACME_KEY}"}),
        (None, None, {}),
        ("bearer", ACME_KEY, {"authorization": f"Bearer {ACME_KEY}"}),
        ("none", None, {}),
        ({"type": "none"}, None, {}),
        ({"type": "header", "header": "api-key"}, ACME_KEY, {"api-key": ACME_KEY}),
        ({"header": "X-Auth"}, ACME_KEY, {"x-auth": f"Bearer {ACME_KEY}"}),
        ({"env": "KEY_OF_ACME"}, None, {"authorization": "Bearer sk-from-the-environment"}),
        ({"env": ["NOT_SET", "KEY_OF_ACME"]}, None, {"authorization": "Bearer sk-from-the-environment"}),
        ({"type": "header", "header": "api-key", "env": "KEY_OF_ACME"}, None, {"api-key": "sk-from-the-environment"}),
    ],
    ids=str,
)
async def test_a_server_gets_its_key_as_it_wants_it(
    house: MakeHouse, auth: Any, key: str | None, sent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_ACME", "sk-from-the-environment")
    credentials = [{"provider": "acme", "key": key}] if key else []
    async with house(serving(), server={"auth": auth}, config={"credentials": credentials}) as h:
        await h.sdk(api_key="the-client-s").chat("m")
        headers = h.upstream.requests[0].headers
        assert {name: headers[name] for name in ("authorization", "api-key", "x-auth") if name in headers} == sent


@pytest.mark.parametrize("key", ["", " \n", "sk-your-key"])
async def test_a_key_that_is_none_is_a_problem_and_is_not_sent(house: MakeHouse, key: str) -> None:
    async with house(serving(), config={"credentials": [{"provider": "acme", "key": key}]}) as h:
        assert "credentials[0].key" in "\n".join(h.host.host.problems)
        await h.sdk().chat("m")
        assert "authorization" not in h.upstream.requests[0].headers


async def test_white_space_around_a_key_is_not_part_of_it(house: MakeHouse) -> None:
    async with house(serving(), credential={"key": f" {ACME_KEY}\n"}) as h:
        await h.sdk().chat("m")
        assert h.upstream.requests[0].headers["authorization"] == f"Bearer {ACME_KEY}"


async def test_a_server_without_its_key_serves_nothing_and_says_what_is_missing(house: MakeHouse) -> None:
    async with house(server={"auth": {"env": "KEY_OF_ACME"}}, config={"credentials": []}) as h:
        for name in ("acme/m", "acme://m"):
            with pytest.raises(openai.NotFoundError, match=r"no key: set \$KEY_OF_ACME"):
                await h.sdk().chat(name)
        assert "m" not in [model.id for model in (await h.sdk().ask("models.list")).data]


async def test_headers_of_the_server_go_with_each_request(house: MakeHouse) -> None:
    async with house(serving(), server={"headers": {"HTTP-Referer": "https://us.example", "Authorization": "Bearer mine"}}) as h:
        await h.sdk().chat("m")
        headers = h.upstream.requests[0].headers
        assert headers["http-referer"] == "https://us.example"
        assert headers.all("authorization") == (f"Bearer {ACME_KEY}",)


# ---------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("name", "server", "credential", "reached"),
    [
        ("m", {}, {}, "m"),
        ("acme/m", {}, {}, "m"),
        ("acme://m", {}, {}, "m"),
        ("acme/launched-today", {}, {}, "launched-today"),
        ("acme://launched-today", {}, {}, "launched-today"),
        ("acme/them/with-a-slash", {}, {}, "them/with-a-slash"),
        ("them/listed", {"models": ["them/listed"]}, {}, "them/listed"),
        ("new-9", {"patterns": ["new-*"]}, {}, "new-9"),
        ("ours", {"models": [{"name": "ours", "upstream": "theirs"}]}, {}, "theirs"),
        ("team/m", {}, {"prefix": "team"}, "m"),
        ("team/launched-today", {}, {"prefix": "team"}, "launched-today"),
        ("short", {}, {"aliases": {"short": "m"}}, "m"),
        ("global", {}, {}, "m"),
        ("chain", {}, {}, "m"),
    ],
)
async def test_a_name_reaches_its_model_and_comes_back(
    house: MakeHouse, name: str, server: dict[str, Any], credential: dict[str, Any], reached: str
) -> None:
    config = {"models": {"aliases": {"global": "acme/m", "chain": "global"}}}
    async with house(serving(), server=server, credential=credential, config=config) as h:
        said = await h.sdk().chat(name)
        assert asked(h.upstream) == [reached]
        assert (said.model, said.choices[0].message.content) == (name, f"I am {reached}")


@pytest.mark.parametrize(
    ("name", "credential"),
    [
        ("unlisted", {}),
        ("other/m", {}),
        ("acme://", {}),
        ("acme/", {}),
        ("openai/gpt-9", {}),
        ("n", {"models": ["m"]}),
        ("acme/n", {"models": ["m"]}),
        ("acme://n", {"excluded": ["n*"]}),
        ("M", {}),
    ],
)
async def test_a_name_that_nobody_could_serve_is_not_found(house: MakeHouse, name: str, credential: dict[str, Any]) -> None:
    async with house(serving(), credential=credential) as h:
        with pytest.raises(openai.NotFoundError):
            await h.sdk().chat(name)
        assert h.upstream.requests == []


async def listing(sdk: Sdk) -> list[str]:
    return [model.id for model in (await sdk.ask("models.list")).data if not model.id.startswith("sim/")]


async def test_the_lists_of_several_servers_are_merged(house: MakeHouse) -> None:
    async with ScriptedUpstream(serving("shared", "b-only")) as b, ScriptedUpstream(serving(status=500)) as broken:
        providers = {"b": {"base_url": b.url, "models": "discover"}, "broken": {"base_url": broken.url, "models": "discover"}}
        async with _with_acme(house, providers, serving("shared", "a-only", "secret-1")) as (sdk, a):
            assert sorted(await listing(sdk)) == ["a-only", "b-only", "shared"]
            shown = await sdk.ask("models.retrieve", "a-only")
            assert (shown.owned_by, shown.created) == ("them", 5)
            for _ in range(4):
                await sdk.chat("shared")
            assert (len(asked(a)), len(asked(b))) == (2, 2)
            assert (await sdk.chat("broken/anything")).choices[0].message.content == "I am anything"


@contextlib.asynccontextmanager
async def _with_acme(house: MakeHouse, others: Mapping[str, Any], script: Script) -> AsyncIterator[tuple[Sdk, ScriptedUpstream]]:
    async with ScriptedUpstream(script) as acme:
        providers = {"acme": {"base_url": acme.url, "models": "discover"}, **others}
        credential = {"provider": "acme", "key": ACME_KEY, "excluded": ["secret-*"]}
        async with house(config={"plugins": {"openai": {"providers": providers}}, "credentials": [credential]}) as h:
            yield h.sdk(), acme


async def test_a_server_that_is_away_costs_the_others_nothing(house: MakeHouse) -> None:
    async def hang(received: Received, wire: Wire) -> None:
        await wire.gone.wait()

    async with ScriptedUpstream(hang) as away:
        config = {"plugins": {"openai": {"providers": {"away": {"base_url": away.url, "models": "discover"}}}}, "credentials": []}
        async with house(config=config) as h:
            assert (await h.sdk().chat("sim/echo")).choices
            assert "sim/echo" in [model.id for model in (await h.sdk(timeout=WAIT).ask("models.list")).data]


async def test_when_one_server_fails_another_that_has_the_model_answers(house: MakeHouse) -> None:
    async with ScriptedUpstream(json_answer({"error": {"message": "no", "code": "insufficient_quota"}}, status=429)) as poor:
        providers = {"poor": {"base_url": poor.url, "models": ["m"]}}
        async with _with_acme(house, providers, serving("m")) as (sdk, acme):
            await listing(sdk)  # acme has been asked
            for _ in range(4):
                assert (await sdk.chat("m")).model == "m"
            assert len(asked(acme)) == 4


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "invalid_api_key"), (403, None), (402, None), (429, "rate_limit_exceeded"), (429, "insufficient_quota"), (500, None)],
)
async def test_when_one_key_fails_the_next_one_serves(house: MakeHouse, status: int, code: str | None) -> None:
    keys = ["sk-one-0123456789", "sk-two-0123456789", "sk-two-0123456789"]  # one stands twice and counts once
    credentials = [{"provider": "acme", "key": key} for key in keys]
    failing = json_answer({"error": {"message": "no", "code": code}}, status=status)
    async with house(failing, serving(), config={"credentials": credentials}) as h:
        assert (await h.sdk().chat("m")).model == "m"
        assert [sent.headers["authorization"] for sent in h.upstream.requests] == [f"Bearer {key}" for key in keys[:2]]
    async with house(failing, config={"credentials": credentials}) as h:
        with pytest.raises(openai.APIStatusError) as caught:
            await h.sdk().chat("m")
        assert caught.value.status_code in (429, 502, 503)
        assert len(h.upstream.requests) == 2


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_a_mistake_of_the_caller_is_not_tried_with_another_key(house: MakeHouse, status: int) -> None:
    credentials = [{"provider": "acme", "key": key} for key in ("sk-one-0123456789", "sk-two-0123456789")]
    async with house(json_answer({"error": {"message": "no"}}, status=status), config={"credentials": credentials}) as h:
        with pytest.raises(openai.APIStatusError) as caught:
            await h.sdk().chat("m")
        assert caught.value.status_code == status
        assert len(h.upstream.requests) == 1


# ---------------------------------------------------------------------------------------------- openai


async def test_openai_needs_its_key_alone(house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    async with ScriptedUpstream(serving("gpt-9")) as local:
        section = {"base_url": f"{local.url}/v1", "organization": "org-1", "project": "proj-1"}
        async with house(config={"plugins": {"openai": section}, "credentials": []}) as h:
            assert await listing(h.sdk()) == ["gpt-9"]
            for name in ("gpt-9", "gpt-launched-today", "openai/whatever", "o3-tiny"):
                await h.sdk().chat(name)
            assert asked(local) == ["gpt-9", "gpt-launched-today", "whatever", "o3-tiny"]
            for sent in local.requests:
                assert sent.headers["authorization"] == f"Bearer {OPENAI_KEY}"
                assert (sent.headers["openai-organization"], sent.headers["openai-project"]) == ("org-1", "proj-1")


async def test_a_placeholder_in_the_environment_is_no_key(house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-your-key-here")
    async with house(config={"plugins": {"openai": {}}, "credentials": []}) as h:
        with pytest.raises(openai.NotFoundError, match=r"\$OPENAI_API_KEY"):
            await h.sdk().chat("gpt-9")


async def test_without_a_key_a_model_of_openais_names_the_variable(house: MakeHouse) -> None:
    async with house() as h:
        with pytest.raises(openai.NotFoundError, match=r"set \$OPENAI_API_KEY or `credentials`"):
            await h.sdk().chat("gpt-9")


async def test_the_command_serves_openais_models(tmp_path: Path) -> None:
    async with ScriptedUpstream(serving("gpt-9")) as local:
        # The base URL of clients is theirs: it may well be the host's own.
        environment = {**os.environ, "OPENAI_API_KEY": OPENAI_KEY, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "PYTHONUNBUFFERED": "1"}
        (tmp_path / "jackfield.yaml").write_text(f"plugins:\n  openai:\n    base_url: {local.url}/v1\n")
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("jackfield"), "serve", "--port", "0",
            cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            found = None
            while found is None:
                line = await asyncio.wait_for(process.stdout.readline(), 20)
                assert line, "it ended before it listened"
                found = re.search(rb"listens on (http://\S+)", line)
            async with openai.AsyncOpenAI(base_url=f"{found[1].decode()}/v1", api_key="unused", max_retries=0) as client:
                said = await client.chat.completions.create(model="gpt-9", messages=HELLO)  # type: ignore[arg-type]
                assert said.choices[0].message.content == "I am gpt-9"
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
