"""Which of the installed schedulers picks, and where their other hooks are called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jackfield.api import Attempt, Bearer, Change, HttpProvider, Loss, Reply, apply_flavour, hook
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield_openai.presets import presets
from tests.kernel.conftest import WHOLE, Toy, ToyProvider, talk

FIRST_PARTY = ("fastest", "fill_first", "least_busy", "round_robin", "sticky", "weighted")


async def selected(*plugins: object, model: str = "m", **config: Any) -> str | None:
    async with Harness([Toy(), *plugins], config) as host:
        assert not host.host.problems
        chosen = host.host.generation.scheduler_for(model, "toy")
    return chosen.plugin if chosen is not None else None


class Own:
    """A scheduler that an operator has in a file."""

    id = "own"

    def pick_credential(self) -> None:
        return None


async def test_all_of_them_are_there_and_the_one_that_takes_turns_picks() -> None:
    async with Harness([Toy()]) as host:
        assert sorted(host.host.generation.schedulers) == list(FIRST_PARTY)
    assert await selected() == "round_robin"


async def test_settings_for_another_one_do_not_select_it() -> None:
    assert await selected(plugins={"sticky": {"over": "fastest", "ttl": "2h"}, "fastest": {}, "weighted": {}}) == "round_robin"


@pytest.mark.parametrize("name", FIRST_PARTY)
async def test_each_is_selected_by_its_name(name: str) -> None:
    assert await selected(scheduler=name) == name


async def test_one_of_the_operators_own_picks_unless_another_one_is_named() -> None:
    assert await selected(Own()) == "own"
    assert await selected(Own(), scheduler="weighted") == "weighted"


async def test_a_choice_for_some_models_leaves_the_others_to_the_default() -> None:
    choice = {"models": {"m*": "sticky"}}
    assert [await selected(model=model, scheduler=choice) for model in ("m", "m(high)", "n")] == ["sticky", "sticky", "round_robin"]


async def test_a_pattern_fits_the_name_without_how_much_to_think() -> None:
    assert await selected(model="m(high)", scheduler={"models": {"m": "sticky"}}) == "sticky"


async def test_without_the_default_one_nobody_takes_its_place_by_surprise() -> None:
    assert await selected(plugins={name: {"enabled": False} for name in FIRST_PARTY}) is None


@pytest.mark.parametrize("name", FIRST_PARTY)
async def test_a_model_of_several_providers_is_served_by_the_best_tier_of_all_of_them(name: str) -> None:
    served: list[str] = []
    broken: set[str] = set()

    def answer(attempt: Any) -> Reply:
        served.append(attempt.candidate.label)
        return Reply(status=503 if attempt.candidate.label in broken else 200, body=msgspec.json.encode(WHOLE))

    providers = [ToyProvider(answer), ToyProvider(answer)]
    providers[1].key = "other"
    keys = [
        {"provider": "toy", "label": "key", "key": "key-0123456789"},
        {"provider": "toy", "label": "account", "key": "account-0123456789", "priority": 10, "kind": "oauth"},
        {"provider": "other", "label": "others", "key": "others-0123456789", "priority": 10},
    ]
    async with Harness([Toy(*providers)], {"credentials": keys, "scheduler": name}) as host:
        for _ in range(4):
            assert (await host.post("/toy/v1/talk", talk())).status == 200
        assert set(served) <= {"account", "others"}
        broken.update({"account", "others"})
        assert (await host.post("/toy/v1/talk", talk())).status == 200
        assert sorted(served[4:6]) == ["account", "others"]
        assert served[6:] == ["key"]


@pytest.mark.parametrize("scheduler", ["round_robin", "sticky", {"providers": {"toy": "sticky"}}, {"models": {"x": "sticky"}}])
async def test_hooks_that_go_with_a_scheduler_are_called_where_it_is_selected(scheduler: Any) -> None:
    async with Harness([Toy()], {"scheduler": scheduler}) as host:
        chains = host.host.generation.chains
        called = [name for name in ("intercept_attempt", "normalize_request") for one in chains[name] if one.plugin == "sticky"]
    assert called == ([] if scheduler == "round_robin" else ["intercept_attempt", "normalize_request"])


async def test_a_hook_may_go_with_the_scheduler_of_its_plugin_while_others_do_not() -> None:
    seen: list[str] = []

    @hook(selected=True)
    def intercept_attempt(attempt: Attempt) -> None:
        seen.append("intercept_attempt")

    def route_model() -> None:
        seen.append("route_model")

    both = SimpleNamespace(id="both", pick_credential=lambda call, pool: None, intercept_attempt=intercept_attempt, route_model=route_model)
    for name in ("weighted", "both"):
        async with Harness([Toy(), both], {"scheduler": name}) as host:
            assert (await host.post("/toy/v1/talk", talk())).status == 200
    assert seen == ["route_model", "route_model", "intercept_attempt"]


# ------------------------------------------------------------------------------------- how long caches are kept


@pytest.mark.parametrize(
    ("model", "retention", "kept"),
    [
        ("gpt-5.1", "24h", True),
        ("gpt-4.1", "24h", True),
        ("gpt-4.1-2025-04-14", "24h", True),
        ("gpt-4o", "24h", False),
        ("gpt-4.1-mini", "24h", False),
        ("o3", "24h", False),
        ("gpt-4o", "in_memory", True),
        ("gpt-5.4", "in_memory", True),
        ("gpt-5.5", "24h", True),
        ("gpt-5.5", "in_memory", False),
        ("gpt-5.6-sol", "in-memory", False),
    ],
)
@pytest.mark.parametrize("dialect", ["openai.chat", "openai.responses"])
def test_how_long_a_prompt_stays_cached_is_said_to_models_that_take_it(dialect: str, model: str, retention: str, kept: bool) -> None:
    losses: list[Loss] = []
    raw = msgspec.json.encode({"model": model, "prompt_cache_key": "k", "prompt_cache_retention": retention})
    made = msgspec.json.decode(apply_flavour(raw, presets()["openai"].flavours, model, dialect, losses))
    assert made.get("prompt_cache_retention") == (retention if kept else None)
    assert made["prompt_cache_key"] == "k"
    assert [loss.path for loss in losses] == ([] if kept else ["prompt_cache_retention"])


async def test_it_is_kept_from_chat_completions_to_responses_together_with_the_name_of_the_cache() -> None:
    answer = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": []}
    async with ScriptedUpstream(json_answer(answer)) as upstream:
        made = HttpProvider(
            key="acme",
            dialects=["openai.responses"],
            base_url=upstream.url,
            auth=Bearer(),
            models=["m"],
            continuity=presets()["openai"].continuity,
        )
        acme = SimpleNamespace(id="acme", register_providers=lambda: [made])
        config = {"credentials": [{"provider": "acme", "key": "one"}], "scheduler": "sticky"}
        async with Harness([acme], config) as host:
            for more in ({"prompt_cache_key": "mine"}, {}, {}):
                body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "prompt_cache_retention": "24h", **more}
                assert (await host.post("/v1/chat/completions", body)).status == 200
    told = [(received.json["prompt_cache_key"], received.json["prompt_cache_retention"]) for received in upstream.requests]
    assert told[0] == ("mine", "24h")
    assert told[1] == told[2] != told[0]
    assert told[1][1] == "24h"


@pytest.mark.parametrize(
    ("preset", "dialect", "expected"),
    [
        ("openai", "openai.chat", Change(set={("prompt_cache_key",): "x"})),
        ("openai", "openai.responses", Change(set={("prompt_cache_key",): "x"})),
        ("mistral", "openai.chat", Change(set={("prompt_cache_key",): "x"})),
        ("openrouter", "openai.chat", Change(set={("session_id",): "x"})),
        ("xai", "openai.chat", Change(headers={"x-grok-conv-id": "x"})),
        ("xai", "openai.responses", Change(set={("prompt_cache_key",): "x"})),
        ("fireworks", "openai.chat", Change(headers={"x-session-affinity": "x"})),
        ("groq", "openai.chat", None),
    ],
)
def test_a_known_provider_is_told_where_it_says(preset: str, dialect: str, expected: Change | None) -> None:
    from jackfield.api import Body, Headers
    from jackfield_openai.chat import ChatDialect
    from jackfield_openai.responses import ResponsesDialect
    from jackfield_sticky.keys import continued, digest
    from tests.plugins.pools import call, candidate

    spoken = next(one for one in (ChatDialect(), ResponsesDialect()) if one.name == dialect)
    provider = SimpleNamespace(continuity=presets()[preset].continuity)
    attempt: Any = SimpleNamespace(
        call=call(), provider=provider, dialect=spoken, body=Body(b'{"model":"m"}'), headers=Headers(), candidate=candidate("a")
    )
    made, name = continued(attempt, "opening"), digest("alice", "opening")
    if expected is None:
        assert made is None
        return
    assert made is not None
    assert (made.set or {}) == dict.fromkeys(expected.set or {}, name)
    assert (made.headers or {}) == dict.fromkeys(expected.headers or {}, name)
