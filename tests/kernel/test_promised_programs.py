"""The programs that a plugin's author is promised: each runs as it stands here, as a plugin of one file, and does what it says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Attempt, Reply
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from tests.kernel.conftest import Toy, ToyProvider, pieces, talk
from tests.kernel.pipeline_kit import ask
from tests.kernel.toy import check_stream, read_stream, stream_of

ROUTER = '''\
"""A router: send requests that carry tools to the strong model."""
from jackfield.api import Route

def route_model(call):
    if call.request.tools:
        return Route(model="strong", reason="has tools")
'''

SCHEDULER = '''\
"""A scheduler."""
def pick_credential(call, pool):
    return min(pool.eligible, key=lambda c: c.in_flight, default=None)
'''

SHOUTER = '''\
"""A stream interceptor."""
def intercept_stream(call, head):
    if head.status == 200:
        return shout

def shout(event):
    if event.text:
        return event.with_text(event.text.upper())
'''

CUTTER = '''\
"""A stream interceptor with config, state and an early end."""
import msgspec
from jackfield.api import End, Host

class Config(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 4000

class Plugin:
    def __init__(self, config: Config, host: Host) -> None:
        self.limit = config.limit

    def intercept_stream(self, call, head):
        left = self.limit
        def step(event):
            nonlocal left
            left -= len(event.text)
            if left < 0:
                return End([event.with_text(" [cut]")], finish="length")
        return step
'''

PROVIDER = '''\
"""A provider that speaks an existing dialect."""
from jackfield.api import Bearer, HttpProvider, Rule

acme = HttpProvider(
    key="acme", dialects=["openai.chat"], base_url="https://api.acme.example/v1",
    auth=Bearer(env="ACME_API_KEY"), models="discover",
    failures=[Rule(status=429, match="monthly", cause="quota", until_header="x-quota-reset")],
)

def register_providers():
    return [acme]
'''


class Programs:
    """Starts hosts with a program in a file beside the toy."""

    def __init__(self, folder: Path, isolate: bool = False) -> None:
        self._folder, self._isolate = folder, isolate

    def host(self, text: str, *plugins: object, bare: bool = True, config: dict[str, Any] | None = None, **settings: Any) -> Harness:
        path = self._folder / "program.py"
        path.write_text(text)
        section = {"path": str(path), "isolate": self._isolate, **settings}
        return Harness(plugins, {"plugins": {"program": section}, **(config or {})}, bare=bare)


@pytest.fixture(params=[False, True], ids=["in_process", "isolated"])
def programs(tmp_path: Path, request: pytest.FixtureRequest) -> Programs:
    return Programs(tmp_path, request.param)


async def test_the_router_sends_requests_with_tools_to_the_strong_model(programs: Programs) -> None:
    provider = ToyProvider()
    provider.models = ("m", "strong")
    async with programs.host(ROUTER, Toy(provider)) as host:
        with_tools, without = await ask(host, tools=["hammer"]), await ask(host)
        assert not host.host.problems
    assert [attempt.model for attempt in provider.attempts] == ["strong", "m"]
    assert provider.attempts[0].call.route.reason == "has tools"
    assert (with_tools.status, without.status) == (200, 200)
    assert with_tools.json["model"] == "m", "the client is answered under the name that it asked for"


async def test_the_scheduler_picks_the_credential_that_is_least_busy(programs: Programs) -> None:
    picked: list[str] = []
    free = asyncio.Event()

    async def slowly(raw: bytes) -> Any:
        yield raw
        await free.wait()

    def answer(attempt: Attempt) -> Reply:
        picked.append(attempt.candidate.label)
        held = stream_of(["a", "b"])
        return Reply(stream=slowly(held[: held.index(b"event: close")]) if len(picked) == 1 else pieces(held, 40))

    keys = [{"provider": "toy", "key": f"{name}-key", "label": name} for name in ("first", "second")]
    async with (
        programs.host(SCHEDULER, Toy(ToyProvider(answer)), config={"credentials": keys}) as host,
        host.open("POST", "/toy/v1/talk", talk(stream=True)) as held,
    ):
        await held.content.readany()
        for _ in range(3):
            assert check_stream((await ask(host, stream=True)).body) == "ab"
        free.set()
        await held.read()
    assert picked == ["first", "second", "second", "second"]


async def test_the_stream_interceptor_shouts(programs: Programs) -> None:
    async with programs.host(SHOUTER, Toy(ToyProvider(blocks=(["Hello", ", you"],)))) as host:
        assert check_stream((await ask(host, stream=True)).body) == "HELLO, YOU"


@pytest.mark.parametrize(("limit", "text", "finish"), [(7, "12345 [cut]", "length"), (None, "1234567890", "stop")])
async def test_the_stream_interceptor_with_a_limit_cuts_there(programs: Programs, limit: int | None, text: str, finish: str) -> None:
    settings = {} if limit is None else {"limit": limit}
    async with programs.host(CUTTER, Toy(ToyProvider(blocks=(["12345", "67890"],))), **settings) as host:
        raw = [(await ask(host, stream=True)).body for _ in range(2)]
    assert [check_stream(one) for one in raw] == [text, text], "each stream counts for itself"
    assert read_stream(raw[0])[-1][1]["stop"] == finish


CHAT = {
    "id": "c-1", "object": "chat.completion", "created": 1, "model": "large",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}  # fmt: skip


async def test_the_provider_discovers_answers_and_says_until_when_a_quota_is_spent(programs: Programs) -> None:
    listing = json_answer({"object": "list", "data": [{"id": "large", "object": "model"}]})
    spent = json_answer({"error": {"message": "monthly limit reached"}}, status=429, headers={"X-Quota-Reset": "90"})
    async with ScriptedUpstream(listing, json_answer(CHAT), spent) as upstream:
        credentials = [{"provider": "acme", "key": "acme-key-1", "base_url": f"{upstream.url}/v1"}]
        async with programs.host(PROVIDER, bare=False, config={"credentials": credentials}) as host:
            await host.host.models()  # waits for the list
            body = {"model": "large", "messages": [{"role": "user", "content": "hi"}]}
            answered, refused = [await host.post("/v1/chat/completions", body) for _ in range(2)]
    assert [request.target for request in upstream.requests] == ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"]
    assert {request.headers["authorization"] for request in upstream.requests} == {"Bearer acme-key-1"}
    assert answered.json["choices"][0]["message"]["content"] == "Hello"
    assert (refused.status, refused.headers["retry-after"]) == (429, "90")


async def test_the_provider_takes_its_key_from_the_environment(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "acme-key-2")
    async with programs.host(PROVIDER.replace('models="discover"', 'models=["large"]'), bare=False) as host:
        [held] = [account for account in host.host.generation.accounts if account.provider.key == "acme"]
    assert held.credential.label == "$ACME_API_KEY"
    assert held.credential.key is not None
    assert held.credential.key.reveal() == "acme-key-2"
