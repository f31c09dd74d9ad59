"""Stages 1 and 2: who calls, what the body is about, and whether that caller may ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield.api import Allow, Call, Principal, Reject, Route
from jackfield.plugins import PluginLoadError
from tests.kernel.conftest import ToyProvider, talk
from tests.kernel.pipeline_kit import Made, Observer, ask, toy_host

GUEST = Principal(name="guest")


def boom(*_: Any) -> Any:
    raise RuntimeError("boom")


def door(name: str, answer: Any, priority: int = 0, **more: Any) -> Made:
    made = Made(name, priority=priority, authenticate=answer if callable(answer) else lambda call: answer)
    vars(made).update(more)
    return made


async def let_in(*doors: Made, config: dict[str, Any] | None = None) -> tuple[int, str | None]:
    """Return the status of a call that meets these doors, and as whom it was let in or why not."""
    observer = Observer()
    async with toy_host(*doors, observer, config=config) as host:
        answer = await ask(host)
        await observer.completed()
    return answer.status, observer.calls[0].principal.name if answer.status == 200 else answer.json["code"]


DOORS: list[tuple[str, list[Made], tuple[int, str]]] = [
    ("the first answer wins", [door("a", Principal(name="one"), 2), door("b", Principal(name="two"), 1)], (200, "one")),
    ("None asks the next", [door("a", None, 2), door("b", GUEST, 1)], (200, "guest")),
    ("a rejection is remembered and the next asked", [door("a", Reject(), 2), door("b", GUEST, 1)], (200, "guest")),
    ("nobody knows the caller", [door("a", None), door("b", None)], (401, "missing_api_key")),
    ("somebody rejects", [door("a", Reject(message="revoked"), 2), door("b", None, 1)], (401, "invalid_api_key")),
    ("a broken one", [door("a", boom)], (503, "access_unavailable")),
    ("a broken one and a rejection", [door("a", boom, 2), door("b", Reject(), 1)], (503, "access_unavailable")),
    ("a rejection and a broken one", [door("a", Reject(), 2), door("b", boom, 1)], (503, "access_unavailable")),
    ("a broken one and one that knows", [door("a", boom, 2), door("b", GUEST, 1)], (200, "guest")),
    ("an answer of the wrong kind", [door("a", "guest")], (503, "access_unavailable")),
    ("one without rules is not asked", [door("a", Principal(name="ghost"), 2, has_rules=False), door("b", GUEST)], (200, "guest")),
    ("one without rules, by method", [door("a", boom, 2, has_rules=lambda: False), door("b", Reject())], (401, "invalid_api_key")),
    ("nobody has rules", [door("a", boom, has_rules=False)], (200, "local")),
]


@pytest.mark.parametrize(("doors", "outcome"), [row[1:] for row in DOORS], ids=[row[0] for row in DOORS])
async def test_who_is_let_in(doors: list[Made], outcome: tuple[int, str]) -> None:
    assert await let_in(*doors) == outcome


@pytest.mark.parametrize(("only", "outcome"), [("a", (401, "missing_api_key")), ("b", (200, "guest"))])
async def test_one_plugin_may_decide_alone(only: str, outcome: tuple[int, str]) -> None:
    assert await let_in(door("a", None, 2), door("b", GUEST, 1), config={"access": {"only": only}}) == outcome


async def test_a_plugin_that_decides_alone_and_has_no_rules_lets_local_programs_in() -> None:
    doors = [door("a", boom, has_rules=False), door("b", GUEST)]
    assert await let_in(*doors, config={"access": {"only": "a"}}) == (200, "local")


async def test_the_host_does_not_start_when_the_one_that_decides_is_not_there() -> None:
    with pytest.raises(PluginLoadError, match=r"access\.only.*nobody"):
        async with toy_host(door("a", GUEST), config={"access": {"only": "nobody"}}):
            pass


async def test_the_message_of_a_rejection_is_what_the_client_reads() -> None:
    async with toy_host(door("a", Reject(message="this key was revoked"))) as host:
        answer = await ask(host)
    assert (answer.status, answer.json["oops"]) == (401, "this key was revoked")


async def test_keys_are_seen_by_authentication_alone() -> None:
    sent = {"Authorization": "Bearer secret", "Toy-Key": "secret", "Cookie": "secret", "Toy-Feature": "on"}
    seen: dict[str, Any] = {}

    def look(where: str) -> Any:
        def note(call: Call) -> Any:
            seen[where] = ({name for name in sent if name in call.headers}, call.query.get("key"), call.query.get("beta"))
            return GUEST if where == "door" else None

        return note

    hooks = {"authenticate": look("door"), "route_model": look("router"), "intercept_request": look("interceptor")}
    provider = ToyProvider()
    async with toy_host(Made("look", **hooks), provider=provider) as host:
        answer = await host.post("/toy/v1/talk?key=secret&beta=1", talk(), sent)
        assert answer.status == 200
    assert seen["door"] == (set(sent), "secret", "1")
    assert seen["router"] == seen["interceptor"] == ({"Toy-Feature"}, None, "1")
    [attempt] = provider.attempts
    assert dict(attempt.headers) == {"Toy-Feature": "on"}
    assert dict(attempt.query) == {"beta": "1"}


async def test_the_body_is_not_read_for_a_caller_that_is_not_let_in() -> None:
    async with toy_host(door("a", None)) as host:
        answer = await host.post("/toy/v1/talk", b"{not JSON")
    assert answer.status == 401


# -------------------------------------------------------------------------------------------------- allow


ALLOWED: list[tuple[str, Allow, str, bool]] = [
    ("everything", Allow(), "m", True),
    ("by name", Allow(models=("m",)), "m", True),
    ("another name", Allow(models=("n",)), "m", False),
    ("by pattern", Allow(models=("toy://*",)), "toy://m", True),
    ("a whole name does not allow the one with its provider", Allow(models=("m",)), "toy://m", False),
    ("a name with its provider does not allow the whole one", Allow(models=("toy://m",)), "m", False),
    ("the alias", Allow(models=("best",)), "best", True),
    ("what the alias stands for does not allow the alias", Allow(models=("m",)), "best", False),
    ("the alias does not allow what it stands for", Allow(models=("best",)), "m", False),
    ("nothing", Allow(models=()), "m", False),
    ("the dialect", Allow(dialects=("toy.*",)), "m", True),
    ("another dialect", Allow(dialects=("other.*",)), "m", False),
    ("the operation", Allow(operations=("generate",)), "m", True),
    ("another operation", Allow(operations=("embed",)), "m", False),
]


@pytest.mark.parametrize(("allow", "model", "allowed"), [row[1:] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
async def test_what_a_caller_may_ask_for(allow: Allow, model: str, allowed: bool) -> None:
    provider, seen = ToyProvider(), []
    plugins = [door("a", Principal(name="guest", allow=allow)), Made("look", route_model=lambda call: seen.append(call.model))]
    async with toy_host(*plugins, provider=provider, config={"models": {"aliases": {"best": "m"}}}) as host:
        answer = await ask(host, model=model)
    assert answer.status == (200 if allowed else 403)
    assert (len(provider.attempts), seen) == ((1, [model]) if allowed else (0, []))


async def test_a_router_may_send_a_call_where_its_caller_may_not_ask_to_go() -> None:
    plugins = [door("a", Principal(name="guest", allow=Allow(models=("m",)))), Made("router", route_model=lambda: Route(model="n"))]
    provider = ToyProvider()
    async with toy_host(*plugins, provider=provider) as host:
        assert (await ask(host)).status == 200
    assert provider.attempts[0].model == "n"


async def test_listings_and_near_names_show_what_a_caller_may_ask_for() -> None:
    config = {"models": {"aliases": {"best": "m", "beast": "n"}}}
    async with toy_host(door("a", Principal(name="guest", allow=Allow(models=("m", "be?t*", "best")))), config=config) as host:
        assert (await host.get("/toy/v1/models")).json == {"models": ["m", "best"]}
        assert [(await host.get(f"/toy/v1/models/{name}")).status for name in ("m", "best", "n", "beast")] == [200, 200, 404, 404]
        told = (await host.get("/toy/v1/models/besst")).json["oops"]
    assert "'best'" in told
    assert "beast" not in told


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"model":"m","model":"n","say":[]}', "doubled_key"),
        (b'{"model":"m","mod\\u0065l":"n","say":[]}', "doubled_key"),
        (b'{"mod\\u0065l":"m","say":[]}', "escaped_key"),
        (b'{"model":"m","stream":true,"stream":false,"say":[]}', "doubled_key"),
        (b'{"model":"m","str\\u0065am":true,"say":[]}', "escaped_key"),
        (b'{"model":["m"],"say":[]}', "invalid_type"),
        (b'{"model":"m","stream":"yes","say":[]}', "invalid_type"),
        (b'{"model":"","say":[]}', "missing_model"),
        (b'{"model":null,"say":[]}', "missing_model"),
    ],
)
async def test_what_the_kernel_and_an_upstream_could_read_differently_is_refused(body: bytes, code: str) -> None:
    provider = ToyProvider()
    async with toy_host(provider=provider) as host:
        answer = await host.post("/toy/v1/talk", body)
    assert (answer.status, answer.json["code"], provider.attempts) == (400, code, [])


async def test_doubled_keys_that_nobody_peeks_at_pass() -> None:
    provider, body = ToyProvider(), b'{"model":"m","say":[],"x":{"model":"n"},"y":1,"y":2}'
    async with toy_host(provider=provider) as host:
        assert (await host.post("/toy/v1/talk", body)).status == 200
    assert provider.attempts[0].body.raw == body
