"""What a caller meets of the registry: lists of what it can really call, errors that name the right place, and the record of a call."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield.api import Allow, Attempt, Dialect, Endpoint, ModelInfo, Principal, Reply
from jackfield.api.canonical import reply_text
from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.pipeline_kit import Made, Observer, ask, toy_host
from tests.kernel.toy import ToyDialect


class Plain(ToyDialect):
    """A dialect that only generates."""

    name = "plain"
    endpoints = (
        Endpoint(path="/plain/v1/talk", operation="generate", upstream="/talk", stream=("stream",)),
        Endpoint(method="GET", path="/plain/v1/models", operation="models", model=None),
    )


class Two(Toy):
    def register_dialects(self) -> list[Dialect]:  # type: ignore[override]
        return [ToyDialect(), Plain()]


def shop(*models: ModelInfo | str) -> ToyProvider:
    provider = ToyProvider()
    provider.models = models  # type: ignore[assignment]
    return provider


VECTORS = ModelInfo(id="vectors", operations=("embed",))
PICTURES = ModelInfo(id="pictures", operations=("image",), output_modalities=("image",))


async def listed(host: Harness, path: str = "/toy/v1/models") -> list[str]:
    return list((await host.get(path)).json["models"])


async def test_a_dialect_lists_models_that_can_be_called_in_it() -> None:
    async with Harness([Two(shop("m", VECTORS, PICTURES))], bare=True) as host:
        assert await listed(host) == ["m", "vectors"]
        assert await listed(host, "/plain/v1/models") == ["m"]


@pytest.mark.parametrize(
    ("allow", "names"),
    [
        (Allow(), ["m", "vectors", "best"]),
        (Allow(operations=("generate", "models")), ["m", "best"]),
        (Allow(operations=("embed", "models")), ["m", "vectors", "best"]),
        (Allow(models=("b*",)), ["best"]),
    ],
)
async def test_a_caller_is_shown_what_it_may_call(allow: Allow, names: list[str]) -> None:
    door = Made("door", authenticate=lambda call: Principal(name="ann", allow=allow))
    config = {"plugins": {"door": {}}, "models": {"aliases": {"best": "m"}}}
    async with Harness([Toy(shop("m", VECTORS)), door], config, bare=True) as host:
        assert await listed(host) == names


async def test_what_is_switched_off_is_not_listed_and_still_named_as_the_reason() -> None:
    config = {"models": {"aliases": {"best": "m"}}}
    async with toy_host(provider=shop("m"), config=config) as host:
        shared = host.host.generation.accounts[0].health
        shared.switch("toy", on=False)
        assert await listed(host) == []
        assert (await ask(host)).status != 404
        shared.switch("toy", on=True)
        assert await listed(host) == ["m", "best"]


@pytest.mark.parametrize(
    ("model", "path", "says"),
    [
        ("vectors", "/toy/v1/talk", "the model 'vectors' is for embed, not for generate: call it at POST /toy/v1/embed"),
        ("vec", "/toy/v1/talk", "the model 'vec' is for embed, not for generate: call it at POST /toy/v1/embed"),
        ("toy://vectors", "/toy/v1/talk", "the model 'toy://vectors' is for embed, not for generate: call it at POST /toy/v1/embed"),
        ("talks", "/toy/v1/embed", "the model 'talks' is for generate, not for embed: call it at POST /toy/v1/talk"),
        ("pictures", "/toy/v1/talk", "the model 'pictures' is for image, not for generate: nothing here serves that"),
    ],
)
async def test_a_model_of_another_kind_is_refused_with_the_place_where_it_is_called(model: str, path: str, says: str) -> None:
    provider = shop("m", VECTORS, PICTURES, ModelInfo(id="talks", operations=("generate",)))
    async with toy_host(provider=provider, config={"models": {"aliases": {"vec": "vectors"}}}) as host:
        answer = await host.post(path, {"model": model, "say": []})
    assert (answer.status, answer.json["oops"], answer.json["code"]) == (400, says, "wrong_endpoint")
    assert provider.attempts == []


@pytest.mark.parametrize(
    ("model", "path"), [("m", "/toy/v1/embed"), ("m", "/toy/v1/talk"), ("talks", "/toy/v1/count"), ("mixed", "/toy/v1/talk")]
)
async def test_a_model_that_may_be_fit_is_asked(model: str, path: str) -> None:
    provider = shop("m", VECTORS, ModelInfo(id="talks", operations=("generate",)))
    async with toy_host(provider=provider, config={"models": {"aliases": {"mixed": ["m", "vectors"]}}}) as host:
        assert (await host.post(path, {"model": model, "say": []})).json.get("code") != "wrong_endpoint"


async def test_auto_is_answered_under_its_own_name_and_the_record_says_what_it_stood_for() -> None:
    observer, provider = Observer(), shop(ModelInfo(id="old", created=1), ModelInfo(id="new", created=2))
    async with toy_host(observer, provider=provider) as host:
        answer = await ask(host, model="auto")
        assert answer.status == 200
        assert answer.json["model"] == "auto"
        explained = await observer.explained()
        assert (await ask(host, model="auto(high)")).status == 200
    assert [attempt.model for attempt in provider.attempts] == ["new", "new"]
    assert "'auto' stands for 'new', the newest model that can be called" in explained
    assert "auto" not in await listed_by(provider)


async def listed_by(provider: ToyProvider) -> list[str]:
    async with toy_host(provider=provider) as host:
        return await listed(host)


async def test_who_may_use_some_models_only_may_not_use_auto_unless_told_so() -> None:
    answers: dict[str, int] = {}
    for name, models in (("some", ("m",)), ("auto too", ("m", "auto"))):
        door = Made("door", authenticate=lambda call, allowed=models: Principal(name="ann", allow=Allow(models=allowed)))
        async with Harness([Toy(shop("m")), door], {"plugins": {"door": {}}}, bare=True) as host:
            answers[name] = (await ask(host, model="auto")).status
    assert answers == {"some": 403, "auto too": 200}


async def test_a_catalogue_may_say_in_which_dialect_a_model_is_called() -> None:
    def answer(attempt: Attempt) -> Reply:
        return Reply(response=reply_text("Hello", model="m")) if attempt.dialect.name == "canonical" else Reply(body=b"{}")

    provider = ToyProvider(answer)
    provider.dialects = ("toy.talk", "canonical")
    provider.models = ("m", "n", ModelInfo(id="o", dialects=("canonical",)))  # type: ignore[assignment]
    config: dict[str, Any] = {"models": {"catalogue": [{"id": "n", "dialects": ["canonical"]}]}}
    async with toy_host(provider=provider, config=config) as host:
        for model in "mno":
            await ask(host, model=model)
    assert [attempt.dialect.name for attempt in provider.attempts] == ["toy.talk", "canonical", "canonical"]


async def test_variants_are_listed_and_can_be_called() -> None:
    provider = shop("m")
    config: dict[str, Any] = {"models": {"list_variants": ["high"], "catalogue": [{"id": "m", "thinking": {"levels": ["low", "high"]}}]}}
    async with toy_host(provider=provider, config=config) as host:
        assert await listed(host) == ["m", "m(high)"]
        assert (await host.get("/toy/v1/models/m(high)")).json == {"model": "m(high)"}
        await ask(host, model="m(high)")
    assert provider.attempts[0].candidate.thinking.effort == "high"  # type: ignore[union-attr]
