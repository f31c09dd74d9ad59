"""Presets in a running host: a key alone brings one to life, requests are fitted, and a refusal names its remedy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from jackfield.api import Call, Outcome, Provider
from jackfield.api.testing import Answer, Harness, Received, Script, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Wire
from jackfield_openai.presets import presets

KEYED = sorted(name for name, preset in presets().items() if not preset.local and name != "openai")
LOCAL = sorted(name for name, preset in presets().items() if preset.local)
KEY = "sk-of-the-preset-0123456789"
HELLO = [{"role": "user", "content": "Hello"}]
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in presets().values():
        for variable in preset.env:
            monkeypatch.delenv(variable, raising=False)


async def serving(received: Received, wire: Wire) -> None:
    """List one model, and answer every chat."""
    body = {"object": "list", "data": [{"id": "listed-model", "object": "model"}]} if received.method == "GET" else ANSWER
    await json_answer(body)(received, wire)


class Outcomes:
    """A plugin that hands over what came of each call."""

    id = "outcomes"

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Outcome] = asyncio.Queue()

    def request_complete(self, call: Call, outcome: Outcome) -> None:
        self.queue.put_nowait(outcome)


class House:
    """A host with an upstream behind it."""

    def __init__(self, host: Harness, upstream: ScriptedUpstream, outcomes: Outcomes) -> None:
        self.host, self.upstream, self._outcomes = host, upstream, outcomes

    async def chat(self, model: str, **body: Any) -> Answer:
        return await self.host.post("/v1/chat/completions", {"model": model, "messages": HELLO, **body})

    async def losses(self) -> Any:
        outcome = await asyncio.wait_for(self._outcomes.queue.get(), 10)
        return outcome.explain()

    @property
    def sent(self) -> Any:
        return [received for received in self.upstream.requests if received.method == "POST"][-1].json


def problems(host: Harness) -> list[str]:
    """Return what is wrong with this plugin or with the credentials."""
    return [problem for problem in host.host.problems if "openai" in problem or "credentials" in problem]


@asynccontextmanager
async def house(
    openai: Mapping[str, Any] | None = None, script: Script = serving, credentials: list[dict[str, Any]] | None = None
) -> AsyncIterator[House]:
    """Run a host whose section `plugins.openai` is given; `{url}` in it stands for the upstream's origin."""
    async with ScriptedUpstream(script) as upstream:
        config = {"plugins": {"openai": dict(openai or {})}, "credentials": credentials or []}
        config = msgspec.json.decode(msgspec.json.encode(config).replace(b"{url}", upstream.url.encode()))
        outcomes = Outcomes()
        async with Harness(plugins=[outcomes], config=config) as host:
            assert problems(host) == []
            yield House(host, upstream, outcomes)


def redirect(monkeypatch: pytest.MonkeyPatch, name: str, upstream: ScriptedUpstream) -> str:
    """Put a preset on this machine, below the same path; return the path."""
    path = urlsplit(presets()[name].base_url).path
    monkeypatch.setitem(presets(), name, msgspec.structs.replace(presets()[name], base_url=upstream.url + path))
    return path


# ------------------------------------------------------------------------------------------- a key is enough


@pytest.mark.parametrize("name", KEYED)
async def test_a_variable_alone_brings_a_provider_to_life(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream(serving) as upstream:
        path = redirect(monkeypatch, name, upstream)
        monkeypatch.setenv(presets()[name].env[0], KEY)
        async with Harness() as host:
            assert problems(host) == []
            listed = {model["id"] for model in (await host.get("/v1/models")).json["data"] if not model["id"].startswith("sim/")}
            assert listed == (set(presets()[name].models) or {"listed-model"})
            for model in (f"{name}/launched-today", f"{name}://launched-today"):
                assert (await host.post("/v1/chat/completions", {"model": model, "messages": HELLO})).status == 200
        asked = [(one.method, one.target) for one in upstream.requests]
        assert asked[-2:] == [("POST", f"{path}/chat/completions")] * 2
        assert asked[:-2] == ([] if presets()[name].models else [("GET", f"{path}/models")])
        assert {one.headers["authorization"] for one in upstream.requests} == {f"Bearer {KEY}"}
        assert upstream.requests[-1].json["model"] == "launched-today"


@pytest.mark.parametrize("name", KEYED)
async def test_a_credential_alone_brings_a_provider_to_life(name: str) -> None:
    async with ScriptedUpstream(serving) as upstream:
        credential = {"provider": name, "key": KEY, "base_url": f"{upstream.url}/there"}
        async with Harness(config={"credentials": [credential]}) as host:
            assert problems(host) == []
            model = next((pattern.replace("*", "9") for pattern in presets()[name].patterns), f"{name}/m")
            assert (await host.post("/v1/chat/completions", {"model": model, "messages": HELLO})).status == 200
        assert upstream.requests[-1].target == "/there/chat/completions"
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_without_keys_presets_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "jackfield"):
        async with house() as h:
            listed = {model["id"] for model in (await h.host.get("/v1/models")).json["data"]}
            assert {name.partition("/")[0] for name in listed} == {"sim"}
    assert [record for record in caplog.records if any(name in record.getMessage() for name in (*KEYED, *LOCAL))] == []


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("deepseek-chat", "set $DEEPSEEK_API_KEY or `credentials`"),
        ("kimi-k2.6", "set $MOONSHOT_API_KEY"),
        ("grok-4", "set $XAI_API_KEY"),
        ("groq/llama-3.3-70b-versatile", "set $GROQ_API_KEY"),
        ("openrouter://anthropic/claude", "set $OPENROUTER_API_KEY"),
        ("together/x", "set $TOGETHER_API_KEY"),
    ],
)
async def test_the_answer_to_a_model_without_a_key_names_the_variable(model: str, hint: str) -> None:
    async with house() as h:
        answer = await h.chat(model)
        assert answer.status == 404
        assert hint in answer.json["error"]["message"]


@pytest.mark.parametrize("name", LOCAL)
async def test_a_server_of_ones_own_is_there_when_it_is_named(name: str) -> None:
    async with house() as h:
        assert (await h.chat(f"{name}/m")).status == 404
    named = {"providers": {name: {"preset": name, "base_url": "{url}/v1"}}}
    async with house(named) as h:
        assert "listed-model" in {model["id"] for model in (await h.host.get("/v1/models")).json["data"]}
        assert (await h.chat(f"{name}/m")).status == 200
        assert "authorization" not in h.upstream.requests[-1].headers


# -------------------------------------------------------------------------------------------- configuration


async def test_a_provider_of_the_users_own_replaces_a_preset() -> None:
    own = {"providers": {"deepseek": {"base_url": "{url}/mine"}}}
    async with house(own) as h:
        body = {"messages": [{"role": "developer", "content": "x"}], "response_format": {"type": "json_schema"}}
        assert (await h.chat("deepseek/m", **body)).status == 200
        assert h.upstream.requests[-1].target == "/mine/chat/completions"
        assert h.sent == {"model": "m", **body}


async def test_a_preset_may_stand_under_other_keys_and_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOONSHOT_API_KEY", KEY)
    server = {
        "preset": "kimi",
        "base_url": "{url}/cn",
        "models": [{"name": "k", "upstream": "kimi-k2.6"}],
        "headers": {"X-Team": "red"},
        "patterns": [],
    }
    async with house({"providers": {"china": server}}) as h:
        assert (await h.chat("k", temperature=0.5)).status == 200
        (received,) = h.upstream.requests
        assert (received.target, received.headers["x-team"]) == ("/cn/chat/completions", "red")
        assert received.headers["authorization"] == f"Bearer {KEY}"
        assert h.sent == {"model": "kimi-k2.6", "messages": HELLO}
        # The variable has one holder: nothing asks the provider itself.
        assert "set $" not in (await h.chat("kimi-k2.6")).json["error"]["message"]


@pytest.mark.parametrize(("said", "there"), [(False, []), (["groq"], ["groq"]), (True, KEYED)])
async def test_presets_can_be_narrowed(said: Any, there: list[str]) -> None:
    async with house({"presets": said}) as h:
        for name in ("groq", "deepseek"):
            message = (await h.chat(f"{name}/m")).json["error"]["message"]
            assert ("has no key" in message) == (name in there)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"providers": {"x": {"preset": "deepsek"}}}, "there is no preset 'deepsek'; did you mean 'deepseek'?"),
        ({"providers": {"x": {"preset": "zzz"}}}, "known: cerebras, "),
        ({"presets": ["grok"]}, "did you mean 'groq'?"),
        ({"providers": {"x": {}}}, "base_url: missing"),
        ({"flavour": {"drop": ["a..b"]}}, "names no field"),
        ({"flavour": {"dropp": []}}, "did you mean 'drop'"),
        ({"flavour": "all"}, "flavour"),
    ],
    ids=str,
)
async def test_settings_that_cannot_work_are_told(section: dict[str, Any], says: str) -> None:
    async with Harness(config={"plugins": {"openai": section}}) as host:
        assert says in "\n".join(host.host.problems)


async def test_a_plugin_with_a_provider_of_the_same_key_goes_before_a_preset() -> None:
    class Own(Provider):
        key, dialects, models = "groq", ("openai.chat",), ("mine",)

    class Plugin:
        id = "zz"

        def register_providers(self) -> list[Provider]:
            return [Own()]

    async with Harness(plugins=[Plugin()]) as host:
        assert problems(host) == []
        assert "mine" in {model["id"] for model in (await host.get("/v1/models")).json["data"]}


# ------------------------------------------------------------------------------------------------- flavours


async def test_a_request_is_fitted_and_the_losses_are_listed() -> None:
    async with house(
        {"providers": {"groq": {"preset": "groq", "base_url": "{url}/v1"}}}, credentials=[{"provider": "groq", "key": KEY}]
    ) as h:
        raw = b'{"model":"groq/m",  "messages":[{"role":"user","name":"n","content":"1.10"}], "logprobs":true, "temperature":1.0}'
        assert (await h.host.post("/v1/chat/completions", raw)).status == 200
        assert h.upstream.requests[-1].body == b'{"model":"m",  "messages":[{"role":"user","content":"1.10"}], "temperature":1.0}'
        record = await h.losses()
        assert record["fidelity"] == "edited"
        assert {(loss["path"], loss["what"], loss["why"]) for loss in record["losses"]} == {
            ("messages[0].name", "dropped", "not taken by Groq"),
            ("logprobs", "dropped", "not taken by Groq"),
        }
        plain = b'{"model":"groq://m", "messages":[{"role":"user","content":"logprobs"}], "temperature":1.0}'
        assert (await h.host.post("/v1/chat/completions", plain)).status == 200
        assert h.upstream.requests[-1].body == plain.replace(b"groq://m", b"m")
        assert (await h.losses())["losses"] is None


async def test_a_flavour_may_be_configured() -> None:
    flavour = {"drop": ["metadata", "messages[*].name"], "rename": {"max_tokens": "max_length"}}
    async with house({"providers": {"acme": {"base_url": "{url}", "flavour": flavour}}}) as h:
        await h.chat("acme/m", metadata={}, max_tokens=5, messages=[{"role": "user", "name": "n", "content": "x"}])
        assert h.sent == {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_length": 5}
        assert {loss["why"] for loss in (await h.losses())["losses"]} == {
            "the configuration says so",
            "the configuration says so: sent as max_length",
        }


@pytest.mark.parametrize(
    ("flavour", "sent"),
    [
        (None, {"n": 1, "metadata": {}}),
        ("none", {"n": 2, "metadata": {}, "logprobs": True}),
        ([{"drop": ["metadata"]}], {"n": 1}),
        ({"models": "other-*", "drop": ["metadata"]}, {"n": 1, "metadata": {}}),
    ],
)
async def test_a_configured_flavour_goes_with_that_of_the_preset(flavour: Any, sent: dict[str, Any]) -> None:
    server = {"preset": "groq", "base_url": "{url}", "flavour": flavour}
    async with house({"providers": {"groq": server}}, credentials=[{"provider": "groq", "key": KEY}]) as h:
        await h.chat("groq/m", n=2, logprobs=True, metadata={})
        assert h.sent == {"model": "m", "messages": HELLO, **sent}


async def test_openai_itself_has_a_flavour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with house({"base_url": "{url}/v1", "flavour": {"drop": ["store"]}}) as h:
        await h.chat("gpt-5-mini", max_tokens=5, temperature=0.5, store=False)
        assert h.sent == {"model": "gpt-5-mini", "messages": HELLO, "max_completion_tokens": 5}
        await h.chat("gpt-4o", max_tokens=5, temperature=0.5)
        assert h.sent == {"model": "gpt-4o", "messages": HELLO, "max_tokens": 5, "temperature": 0.5}


async def test_embeddings_are_not_touched_by_the_flavour_of_chats() -> None:
    async with house({"providers": {"x": {"preset": "mistral", "base_url": "{url}"}}}, credentials=[{"provider": "x", "key": KEY}]) as h:
        await h.host.post("/v1/embeddings", {"model": "x/mistral-embed", "input": "t", "encoding_format": "float"})
        assert h.sent == {"model": "mistral-embed", "input": "t", "encoding_format": "float"}


# ------------------------------------------------------------------------------------------------- refusals

REFUSALS = [
    (
        {"error": {"message": "Unsupported parameter: 'top_k' is not supported.", "param": "top_k", "code": "unsupported_parameter"}},
        "top_k",
    ),
    ({"error": {"message": "Unrecognized request argument supplied: top_k", "param": None, "code": None}}, "top_k"),
    ({"error": {"message": "property 'top_k' is unsupported", "type": "invalid_request_error"}}, "top_k"),
    ({"code": "invalid-argument", "error": "Argument not supported on this model: presencePenalty"}, "presence_penalty"),
    ({"error": "Model grok-9 does not support parameter presencePenalty."}, "presence_penalty"),
    ({"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]}}, "top_k"),
    (
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "user", "tag"], "msg": "Extra inputs are not permitted"}]},
        "messages[*].tag",
    ),
    ({"error": {"message": "'messages.0' : for 'role:user' (property 'tag' is unsupported)"}}, "messages[*].tag"),
    (
        {"error": {"message": "Unknown parameter: 'messages[0].tag'.", "code": "unknown_parameter", "param": "messages[0].tag"}},
        "messages[*].tag",
    ),
    ({"error": {"message": "Extra inputs are not permitted, field: 'top_k', value: 5"}}, "top_k"),
    ({"error": {"message": 'json: unknown field "top_k"'}}, "top_k"),
]


@pytest.mark.parametrize(("error", "field"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_field_is_told_with_the_setting_that_leaves_it_out(error: dict[str, Any], field: str, status: int) -> None:
    body = {"top_k": 5, "presence_penalty": 1, "messages": [{"role": "user", "content": "x", "tag": "t"}]}
    server = {"base_url": "{url}"}
    async with house({"providers": {"acme": server}}, json_answer(error, status=status)) as h:
        answer = await h.chat("acme/m", **body)
        assert answer.status == status
        advice = f'plugins.openai.providers.acme.flavour: {{drop: ["{field}"]}}'
        assert advice in answer.body.decode().replace(r"\"", '"')
    async with house({"providers": {"acme": {**server, "flavour": {"drop": [field]}}}}) as h:  # as advised
        assert (await h.chat("acme/m", **body)).status == 200
        name = field.rpartition(".")[2]
        assert name not in (h.sent["messages"][0] if field.startswith("messages") else h.sent)


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "This response_format type is unavailable now"}},
        {"error": {"message": "The model `m` does not exist"}},
        {"error": {"message": "Unsupported parameter: 'never_sent'"}},
        {"error": {"message": "Unknown parameter: 'messages'."}},
        {"error": {"message": "top_k must be at most 3", "param": "top_k", "code": "invalid_value"}},
        {"error": {"message": 5}},
        {"detail": []},
        ["no object"],
    ],
    ids=str,
)
async def test_any_other_error_passes_as_it_came(error: Any) -> None:
    raw = msgspec.json.encode(error) + b"  "
    async with house({"providers": {"acme": {"base_url": "{url}"}}}, json_answer(raw, status=400)) as h:
        answer = await h.chat("acme/m", top_k=5)
        assert (answer.status, answer.body) == (400, raw)


@pytest.mark.parametrize(
    ("name", "status", "error", "shown", "says"),
    [
        ("deepseek", 402, {"error": {"message": "Insufficient Balance"}}, 429, "quota"),
        ("kimi", 429, {"error": {"message": "x", "type": "exceeded_current_quota_error"}}, 429, "quota"),
        ("kimi", 429, {"error": {"message": "x", "type": "engine_overloaded_error"}}, 503, "overload"),
        ("glm", 429, {"error": {"message": "x", "code": "1113"}}, 429, "quota"),
        ("glm", 429, {"error": {"message": "x", "code": "1302"}}, 429, "rate"),
        ("xai", 400, {"code": "x", "error": "Incorrect API key provided: xa***"}, 503, "credential"),
        ("openrouter", 402, {"error": {"message": "x", "code": 402}}, 429, "quota"),
        ("openrouter", 403, {"error": {"message": "Key limit exceeded (daily limit)", "code": 403}}, 429, "quota"),
        ("openrouter", 404, {"error": {"message": "No endpoints found for m.", "code": 404}}, 404, "unsupported"),
        ("kimi", 403, {"error": {"message": "You've reached your usage limit for this billing cycle"}}, 429, "quota"),
        ("kimi", 404, {"error": {"message": "Not found the model m", "type": "resource_not_found_error"}}, 404, "unsupported"),
        ("glm", 429, {"error": {"message": "x", "code": "1309"}}, 503, "account_action"),
        ("glm", 429, {"error": {"message": "x", "code": "1311"}}, 429, "unsupported"),
        ("mistral", 429, {"object": "error", "message": "Service tier capacity exceeded for this model."}, 503, "overload"),
        ("mistral", 429, {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}, 429, "rate"),
        ("mistral", 400, {"object": "error", "message": "Invalid model: m", "type": "invalid_model"}, 400, "unsupported"),
        ("groq", 498, {"error": {"message": "x"}}, 503, "overload"),
        ("groq", 413, {"error": {"message": "Request too large for model `m` on tokens per minute (TPM)"}}, 413, "unsupported"),
        ("groq", 429, {"error": {"message": "Rate limit reached on tokens per day (TPD). Try again in 7m12s"}}, 429, "quota"),
        (
            "groq",
            400,
            {"error": {"message": "accept the terms", "code": "model_terms_required"}},
            503,
            "account_action",
        ),
        ("xai", 403, {"code": "personal-team-blocked:spending-limit", "error": "You have run out of credits"}, 429, "quota"),
        ("xai", 403, {"code": "x", "error": "could not be validated. [WKE=unauthenticated:bad-credentials]"}, 503, "credential"),
        ("xai", 403, {"code": "x", "error": "Content violates usage guidelines."}, 403, "content"),
        ("xai", 429, {"code": "subscription:free-usage-exhausted", "error": "x"}, 429, "quota"),
        ("qwen", 429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, 429, "rate"),
        ("qwen", 403, {"error": {"message": "x", "code": "AllocationQuota.FreeTierOnly"}}, 429, "quota"),
        ("qwen", 400, {"error": {"message": "x", "code": "Arrearage"}}, 429, "quota"),
        ("cerebras", 429, {"message": "We're experiencing high traffic right now!", "code": "queue_exceeded"}, 503, "overload"),
        ("perplexity", 401, {"error": {"message": "x", "type": "insufficient_quota", "code": 401}}, 429, "quota"),
        ("fireworks", 412, {"error": {"message": "Account suspended"}}, 503, "account_action"),
        ("llamacpp", 500, {"error": {"message": "the request exceeds the available context size"}}, 400, "caller"),
        ("together", 402, {"error": {"message": "x"}}, 429, "quota"),
    ],
)
async def test_what_a_provider_means_by_its_errors(name: str, status: int, error: Any, shown: int, says: str) -> None:
    server = {"preset": name, "base_url": "{url}"}
    async with house({"providers": {name: server}}, json_answer(error, status=status), [{"provider": name, "key": KEY}]) as h:
        assert (await h.chat(f"{name}/m")).status == shown
        assert (await h.losses())["attempts"][0]["cause"] == says
