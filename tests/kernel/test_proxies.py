"""Every byte for a credential goes through its proxy, and what may not leave without one does not leave."""

from __future__ import annotations

import asyncio
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp.connector
import pytest

from jackfield.api import Bearer, CallError, Credential, Host, HttpRequest, Secret
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer, sse_answer
from jackfield.config import ConfigError
from tests.kernel.certificates import Pair, needs_openssl
from tests.kernel.conftest import WHOLE, http_toy
from tests.kernel.pipeline_kit import PATIENCE, Observer, ask, toy_host
from tests.kernel.proxy import HttpProxy, Proxy, SilentProxy, SocksProxy
from tests.kernel.toy import check_stream, stream_of

NAME = "api.acme.invalid"
"""A host that no resolver knows: only a test's own proxy does."""
KEY = "sk-acme-0123456789"


@pytest.fixture(params=[HttpProxy, SocksProxy], ids=["http", "socks"])
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    """Both kinds of proxies, where the library for SOCKS is there."""
    if request.param is SocksProxy:
        pytest.importorskip("aiohttp_socks")
    return request.param  # type: ignore[no-any-return]


def house(
    url: str, *plugins: object, credential: Mapping[str, Any] | None = None, proxy: object = None, discover: bool = False, **config: Any
) -> Harness:
    """Return a host with a provider at `url` and one credential for it."""
    provider = http_toy(url, auth=Bearer(), models="discover" if discover else ("m",))
    given = {"credentials": [{"provider": "toy", "key": KEY, **(credential or {})}], "proxy": proxy, **config}
    return toy_host(*plugins, provider=[provider], config=given)


async def told(host: Harness) -> tuple[int, str, str]:
    """Make a call; return status, code and message of the error that it ends in."""
    answer = await asyncio.wait_for(ask(host), PATIENCE)
    return answer.status, answer.json["code"], answer.json["oops"]


# ------------------------------------------------------------------------------------------- through the proxy


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_calls_go_through_a_credentials_proxy_which_resolves_the_name(kind: type[Proxy], stream: bool) -> None:
    script = sse_answer([stream_of(["Hello"])]) if stream else json_answer(WHOLE)
    async with (
        ScriptedUpstream(script) as upstream,
        kind({NAME: upstream.url}) as proxy,
        house(f"http://{NAME}:80", credential={"proxy": proxy.url}) as host,
    ):
        for _ in range(3):
            answer = await ask(host, stream=stream)
            assert answer.status == 200
            assert check_stream(answer.body) == "Hello" if stream else answer.json == WHOLE
        assert set(proxy.targets) == {f"{NAME}:80"}
        assert proxy.opened == upstream.connections
        assert {said.headers["authorization"] for said in upstream.requests} == {f"Bearer {KEY}"}
        assert not [name for said in upstream.requests for name, _ in said.headers if name.lower().startswith("proxy-")]


@needs_openssl
@pytest.mark.parametrize(("kind", "over_tls"), [(HttpProxy, False), (HttpProxy, True), (SocksProxy, False)], indirect=["kind"])
async def test_https_goes_through_a_tunnel(kind: type[Proxy], over_tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(tmp_path, NAME)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", pair.trusting)
    async with (
        ScriptedUpstream(json_answer(WHOLE), tls=pair.serving) as upstream,
        kind({NAME: upstream.url}, login="me:pass word", tls=pair.serving if over_tls else None) as proxy,
        house(f"https://{NAME}:443", credential={"proxy": proxy.url.replace("://", "://me:pass%20word@")}) as host,
    ):
        assert [(await ask(host)).status for _ in range(2)] == [200, 200]
        assert (proxy.targets, proxy.opened, upstream.connections) == ([f"{NAME}:443"], 1, 1)
        assert set(proxy.logins) == {"me:pass word"}


async def test_discovery_goes_through_the_credentials_proxy(kind: type[Proxy]) -> None:
    async with (
        ScriptedUpstream(json_answer({"models": ["far"]})) as upstream,
        kind({NAME: upstream.url}) as proxy,
        house(f"http://{NAME}:80", credential={"proxy": proxy.url}, discover=True) as host,
    ):
        assert (await host.get("/toy/v1/models")).json == {"models": ["far"]}
        assert proxy.opened == upstream.connections == 1


class Fetching:
    """A plugin that asks what it likes."""

    id = "fetching"

    def __init__(self, config: None, host: Host) -> None:
        Fetching.http = host.http


Fetching.__init__.__annotations__.clear()


async def fetch(url: str, credential: Credential | str | None = None) -> int:
    """Have the plugin send a request, for itself or on a credential's behalf."""
    response = await Fetching.http.request(HttpRequest(method="GET", url=url, credential=credential))  # type: ignore[attr-defined]
    await response.read()
    return int(response.status)


async def test_a_plugins_requests_on_a_credentials_behalf_take_its_proxy_and_not_its_key() -> None:
    async with (
        ScriptedUpstream(json_answer(WHOLE)) as upstream,
        HttpProxy({NAME: upstream.url}) as proxy,
        HttpProxy({NAME: upstream.url}) as general,
        house(f"http://{NAME}:80", Fetching, credential={"proxy": proxy.url, "id": "first"}, proxy=general.url),
    ):
        held = Credential(provider="toy", key=Secret(KEY), proxy=proxy.url)
        for credential in ("first", held):
            assert await fetch(f"http://{NAME}/login", credential) == 200
            assert (proxy.opened, general.opened) == (1, 0)
        assert await fetch(f"http://{NAME}/news") == 200
        assert (proxy.opened, general.opened, upstream.connections) == (1, 1, 2)
        assert not [said for said in upstream.requests if "authorization" in said.headers]
        with pytest.raises(CallError, match="no credential 'nobody'"):
            await fetch(f"http://{NAME}/login", "nobody")


async def test_who_has_no_proxy_of_its_own_takes_its_providers_then_the_general_one() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, HttpProxy() as own, HttpProxy() as providers, HttpProxy() as general:
        both = {"url": general.url, "providers": {"toy": providers.url}}
        for credential, said, taken in (
            ({"proxy": own.url}, both, own),
            ({}, both, providers),
            ({}, {**both, "providers": {}}, general),
            ({"proxy": ""}, general.url, general),
            ({"proxy": "direct"}, both, None),
            ({}, {**both, "providers": {"toy": "direct"}}, None),
            ({}, {"url": "direct", "strict": False}, None),
            ({}, None, None),
        ):
            before = [proxy.opened for proxy in (own, providers, general)]
            async with house(upstream.url, credential=credential, proxy=said) as host:
                assert (await ask(host)).status == 200
            after = [proxy.opened for proxy in (own, providers, general)]
            assert [b - a for a, b in zip(before, after, strict=True)] == [int(proxy is taken) for proxy in (own, providers, general)]


async def test_two_credentials_of_one_provider_each_keep_to_their_own_proxy() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, HttpProxy() as one, HttpProxy() as other:
        given = [{"provider": "toy", "key": f"{KEY}{n}", "proxy": proxy.url} for n, proxy in enumerate((one, other))]
        async with toy_host(provider=[http_toy(upstream.url, auth=Bearer())], config={"credentials": given}) as host:
            for _ in range(6):
                assert (await ask(host)).status == 200
        keys = {said.connection: said.headers["authorization"] for said in upstream.requests}
        assert one.opened + other.opened == upstream.connections == len(keys) == 2
        assert len(set(keys.values())) == 2


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, house(upstream.url) as host:
        assert (await ask(host)).status == 200


# ------------------------------------------------------------------------------------------------ failing closed

STRICT: dict[str, tuple[dict[str, Any], object, str]] = {
    "the credential, and nothing is set": ({"proxy_strict": True}, None, "proxy_strict"),
    "the credential, and direct stands in general": ({"proxy_strict": True}, "direct", "proxy_strict"),
    "the credential, and direct stands for itself": ({"proxy_strict": True, "proxy": "direct"}, "http://127.0.0.1:1", "proxy_strict"),
    "the configuration, and nothing is set": ({}, {"strict": True}, "proxy.strict"),
    "the configuration, and direct stands in general": ({}, {"strict": True, "url": "direct"}, "proxy.strict"),
}


@pytest.mark.parametrize(("credential", "said", "setting"), STRICT.values(), ids=STRICT)
async def test_what_is_strict_sends_nothing_without_a_proxy(credential: dict[str, Any], said: object, setting: str) -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, house(upstream.url, credential=credential, proxy=said) as host:
        status, code, message = await told(host)
        assert (status, code) == (502, "proxy_failed")
        assert "no proxy" in message
        assert f"({setting})" in message
        assert not upstream.connections


async def test_direct_by_name_is_the_operators_exception_from_a_strict_configuration() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream:
        for credential, said in (({"proxy": "direct"}, {"strict": True}), ({}, {"strict": True, "providers": {"toy": "direct"}})):
            async with house(upstream.url, Fetching, credential=credential, proxy=said) as host:
                assert (await ask(host)).status == 200
                with pytest.raises(CallError, match="no proxy"):  # what no credential speaks for
                    await fetch(upstream.url)


@pytest.mark.parametrize("strict", [False, True])
async def test_a_dead_proxy_is_named_and_nothing_goes_past_it(kind: type[Proxy], strict: bool) -> None:
    async with kind() as proxy:
        gone = proxy.url
    observer, credential = Observer(), {"proxy": gone.replace("://", "://me:secret@"), "proxy_strict": strict}
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, house(upstream.url, observer, credential=credential) as host:
        status, code, message = await told(host)
        assert (status, code) == (502, "proxy_failed")
        assert f"the proxy {gone} " in message
        assert (await observer.completed())[0].cause == "network"
        assert not upstream.connections
        assert "secret" not in message + await observer.explained()


async def test_a_proxy_that_does_not_answer_ends_in_time(kind: type[Proxy]) -> None:
    """Of whichever kind: what it is asked for first is never answered."""
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, SilentProxy() as proxy:
        url = proxy.url.replace("http", kind.scheme)
        async with house(f"https://{NAME}:443", credential={"proxy": url}, timeouts={"connect": "200ms"}) as host:
            status, code, message = await told(host)
            assert (status, code) == (502, "proxy_failed")
            assert f"the proxy {url} made no connection to https://{NAME} in time (timeouts.connect)" in message
        assert proxy.targets
        assert not upstream.connections


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_asks_who_we_are_is_named_and_no_password_shown(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, HttpProxy({NAME: upstream.url}, login="me:right") as proxy:
        credential = {"proxy": proxy.url.replace("://", "://me:wrong-password@")}
        async with house(f"{scheme}://{NAME}:80", observer, credential=credential) as host:
            status, code, message = await told(host)
            assert (status, code) == (502, "proxy_failed")
            assert f"the proxy {proxy.url} " in message
            assert "answered 407 " in message
            for secret in ("wrong-password", b64encode(b"me:wrong-password").decode()):
                assert secret not in message + await observer.explained() + caplog.text
        assert proxy.logins == ["me:wrong-password"]


async def test_a_proxy_of_socks_that_refuses_the_password_is_named() -> None:
    pytest.importorskip("aiohttp_socks")
    async with SocksProxy(login="me:right") as proxy:
        async with house(f"http://{NAME}:80", credential={"proxy": proxy.url.replace("://", "://me:wrong@")}) as host:
            status, code, message = await told(host)
            assert (status, code) == (502, "proxy_failed")
            assert f"the proxy {proxy.url} made no connection" in message
            assert "wrong" not in message
        assert not proxy.targets


async def test_a_server_that_the_proxy_cannot_reach_is_told_apart(kind: type[Proxy]) -> None:
    async with kind({NAME: "http://127.0.0.1:1"}) as proxy, house(f"https://{NAME}:443", credential={"proxy": proxy.url}) as host:
        status, code, message = await told(host)
        assert (status, code) == (502, "proxy_failed")
        assert f"the proxy {proxy.url} made no connection to https://{NAME}" in message


@needs_openssl
async def test_a_bad_certificate_behind_a_proxy_is_the_servers(kind: type[Proxy], tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(json_answer(WHOLE), tls=Pair(tmp_path, NAME).serving) as upstream,
        kind({NAME: upstream.url}) as proxy,
        house(f"https://{NAME}:443", credential={"proxy": proxy.url}) as host,
    ):
        assert (await told(host))[1] == "bad_certificate"


async def test_another_credential_is_tried_when_ones_proxy_is_dead() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, HttpProxy() as proxy:
        first = {"provider": "toy", "key": f"{KEY}1", "proxy": "http://127.0.0.1:1", "priority": 1}
        given = [first, {"provider": "toy", "key": f"{KEY}2", "proxy": proxy.url}]
        async with toy_host(provider=[http_toy(upstream.url, auth=Bearer())], config={"credentials": given}) as host:
            assert (await ask(host)).status == 200
        assert proxy.opened == upstream.connections == 1


async def test_an_address_that_the_configuration_does_not_name_stays_private_behind_a_proxy(kind: type[Proxy]) -> None:
    async with kind() as proxy, house(f"http://{NAME}:80", Fetching, credential={"proxy": proxy.url, "id": "first"}, proxy=proxy.url):
        for credential in (None, "first"):
            with pytest.raises(CallError, match="private address"):
                await fetch("http://169.254.169.254/latest", credential)
        assert not proxy.targets


async def test_a_proxy_may_have_a_name_that_leads_to_a_private_address() -> None:
    """The operator named it, in whichever place the credential was kept."""

    class Source:
        name = "shelf"

        async def load(self) -> Sequence[Credential]:
            return [Credential(provider="toy", key=Secret(KEY), proxy=proxy.url.replace("127.0.0.1", "localhost"), origin="shelf")]

    class Shelf:
        id = "shelf"

        def register_credential_sources(self) -> list[Source]:
            return [Source()]

    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, HttpProxy() as proxy:
        config = {"plugins": {"shelf": {}}}
        async with toy_host(Shelf(), provider=[http_toy(upstream.url, auth=Bearer())], config=config) as host:
            assert (await ask(host)).status == 200
        assert proxy.opened == 1


# ------------------------------------------------------------------------------------------------- what is written

NO_PROXIES = [
    "127.0.0.1:3128",
    "http://proxy",
    "http://:3128",
    "ftp://proxy:21",
    "socks://proxy:1080",
    "http://me:se/cret@proxy:3128",
    "none",
    "http://proxy:3128/path",
]


@pytest.mark.parametrize("text", NO_PROXIES)
@pytest.mark.parametrize(
    ("given", "where"),
    [
        (lambda text: {"proxy": text}, "config: proxy.url is no URL of a proxy"),
        (lambda text: {"proxy": {"url": text}}, "config: proxy.url is no URL of a proxy"),
        (lambda text: {"proxy": {"providers": {"toy": text}}}, "config: proxy.providers.toy is no URL of a proxy"),
        (lambda text: {"credentials": [{"provider": "toy", "proxy": text}]}, "config: credentials[0]: proxy is no URL of a proxy"),
    ],
)
def test_what_is_no_proxy_is_a_mistake_of_one_line(text: str, given: Callable[[str], Any], where: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        Harness(config=given(text), bare=True)
    [problem] = wrong.value.problems
    assert problem.startswith(where)
    assert "se/cret" not in problem


async def test_a_provider_that_is_not_there_is_a_problem() -> None:
    async with house("http://127.0.0.1:1", proxy={"providers": {"toi": "direct"}}) as host:
        assert [p for p in host.host.problems if "proxy.providers.toi: there is no provider 'toi'; did you mean 'toy'?" in p]


async def test_a_proxy_of_socks_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream:
        async with house(upstream.url, credential={"proxy": "socks5://127.0.0.1:1"}) as host:
            status, code, message = await told(host)
            assert (status, code) == (502, "proxy_failed")
            assert "pip install 'jackfield[socks]'" in message
        assert not upstream.connections


async def test_another_proxy_is_taken_once_the_configuration_says_so() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, HttpProxy() as one, HttpProxy() as other:
        given = {"credentials": [{"provider": "toy", "key": KEY}], "proxy": one.url}
        async with toy_host(provider=[http_toy(upstream.url, auth=Bearer())], config=given) as host:
            assert (await ask(host)).status == 200
            await host.host.reload({**given, "proxy": other.url})
            assert (await ask(host)).status == 200
            assert (one.opened, other.opened) == (1, 1)
            await host.host.reload({**given, "proxy": {"strict": True}})
            assert (await told(host))[1] == "proxy_failed"
            assert len(upstream.requests) == 2
