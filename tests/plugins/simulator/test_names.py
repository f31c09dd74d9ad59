"""What models there are, by which names they go, and what the configuration changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import jackfield_simulator
from jackfield.api import CallError, ModelInfo, Request
from jackfield.api.units import read_unit
from jackfield_simulator import Config, Plugin
from jackfield_simulator.provider import Simulator
from jackfield_simulator.scenarios import SCENARIOS, find


def models(simulator: Simulator) -> dict[str, ModelInfo]:
    return {model.id: model for model in simulator.models}


def configured(**settings: Any) -> Simulator:
    plugin = Plugin(msgspec.convert(settings, Config, dec_hook=read_unit))
    (provider,) = plugin.register_providers()
    assert isinstance(provider, Simulator)
    return provider


def test_the_plugin_registers_one_provider_without_keys() -> None:
    provider = configured()
    assert (provider.key, provider.auth, tuple(provider.dialects)) == ("sim", None, ("canonical",))


@pytest.mark.parametrize(
    "name",
    [
        "echo",
        "tools",
        "parallel-tools",
        "reasoning",
        "json",
        "describe",
        "error-429",
        "error-429-after-7",
        "error-529",
        "cut",
        "stall",
        "embed",
    ],
)
def test_the_models_are_listed_by_their_names(sim: Any, name: str) -> None:
    info = models(sim.simulator)[f"sim/{name}"]
    assert info.display_name == f"Simulator: {name}"
    assert info.created is None  # so that the newest model of a host is another's, where there is another
    assert info.context == 200_000
    assert "text" in info.input_modalities


def test_every_listed_model_is_one_that_can_be_called(sim: Any) -> None:
    listed = models(sim.simulator)
    assert len(listed) == len(sim.simulator.models)
    assert all(find(name) is not None for name in listed)


def test_no_name_fits_two_scenarios() -> None:
    for scenario in SCENARIOS:
        for name in scenario.names:
            assert [s.name for s in SCENARIOS if s.pattern.fullmatch(name)] == [scenario.name]


@pytest.mark.parametrize("name", ["echo", "sim/echo"])
async def test_a_model_answers_under_the_name_that_the_host_calls_it_by(sim: Any, name: str) -> None:
    response = await sim.whole(name)
    assert response.text == "Hello, big world"
    assert response.model == name


@pytest.mark.parametrize(
    ("name", "near"),
    [("sim/ehco", "'sim/echo'"), ("tool", "'sim/tools'"), ("sim/error-200", "'sim/error-500'"), ("sim/long-x", "'sim/long-1000'")],
)
async def test_an_unknown_model_is_not_found_and_the_nearest_is_named(sim: Any, name: str, near: str) -> None:
    with pytest.raises(CallError) as fault:
        await sim.reply(name)
    failure = fault.value.failure
    assert (failure.shown_status, failure.code, failure.param) == (404, "model_not_found", "model")
    assert near in failure.message


async def test_a_name_like_no_other_is_not_found_either(sim: Any) -> None:
    with pytest.raises(CallError, match="see the list of models"):
        await sim.reply("qqqq")


@pytest.mark.parametrize("operation", ["embed", "count"])
async def test_a_model_refuses_an_operation_that_it_does_not_serve(sim: Any, operation: str) -> None:
    with pytest.raises(CallError) as fault:
        await sim.simulator.execute(sim.attempt("sim/echo", Request(), operation=operation))
    assert (fault.value.failure.cause, fault.value.failure.shown_status) == ("unsupported", 400)


async def test_configured_texts_are_listed_and_said() -> None:
    simulator = configured(texts={"greeting": "Good morning."})
    assert "sim/text-greeting" in models(simulator)
    assert "sim/text-other" not in models(simulator)


async def test_the_configured_pace_is_that_of_every_model(sim: Any, no_waiting: list[float]) -> None:
    sim.simulator = configured(pace="30ms")
    await sim.whole("sim/echo")
    await sim.whole("sim/echo-slow-5")
    assert no_waiting == [0.03, 0.005]


@pytest.mark.parametrize("settings", [{"speed": 1}, {"texts": {"a": ""}}, {"texts": {"": "a"}}, {"texts": {"a": []}}, {"pace": "soon"}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        configured(**settings)


async def test_text_without_any_text_says_what_is_missing(sim: Any) -> None:
    sim.simulator = configured()
    with pytest.raises(CallError) as fault:
        await sim.whole("sim/text")
    assert fault.value.failure.status == 400
    assert "system message" in fault.value.failure.message


def test_the_plugin_says_what_it_is() -> None:
    assert "sim/echo" in (jackfield_simulator.__doc__ or "")
