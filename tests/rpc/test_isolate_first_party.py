"""The first-party plugins do in processes of their own what their own tests say of them; those that cannot be there are refused.

The tests that are imported are those of the plugins themselves. Here each of their hosts runs the plugin elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from jackfield.api.testing import Answer, Harness
from tests.plugins.api_keys.test_keys import (  # noqa: F401
    test_a_generated_key_is_told_once_and_opens_the_door,
    test_a_key_goes_neither_upstream_nor_to_plugins_nor_to_the_log,
    test_a_key_in_the_query_is_taken_where_the_dialect_has_one,
    test_a_key_may_do_what_it_is_allowed,
    test_a_key_opens_the_door_again_and_again_and_a_wrong_one_never,
    test_bytes_that_are_no_text_are_a_wrong_key_however_often_they_come,
    test_what_cannot_be_read_keeps_the_host_from_starting,
    test_without_keys_nobody_is_asked,
)
from tests.plugins.credential_files.test_in_a_host import (  # noqa: F401
    test_a_file_may_send_its_credential_to_a_server_of_its_own,
    test_a_mistake_made_while_the_host_runs_is_listed_and_its_correction_strikes_it_off,
    test_files_that_come_change_and_go_take_effect_while_the_host_serves,
    test_keys_of_files_serve_beside_those_of_the_configuration,
    test_the_host_lists_what_is_wrong_and_works_with_the_rest,
)
from tests.plugins.fastest.test_speed import test_the_host_prefers_who_answers_sooner  # noqa: F401
from tests.plugins.fill_first.test_filling import test_the_host_fills_the_first_credential_first  # noqa: F401
from tests.plugins.least_busy.test_idle import test_the_host_leaves_the_busy_alone  # noqa: F401
from tests.plugins.round_robin.test_turns import (  # noqa: F401
    test_a_credential_serves_only_the_models_that_it_may,
    test_the_host_spreads_calls_over_the_credentials,
)
from tests.plugins.schedulers.test_selection import test_each_is_selected_by_its_name  # noqa: F401
from tests.plugins.sticky.test_sessions import (  # noqa: F401
    test_a_conversation_stays_with_one_key_although_its_client_names_no_session,
    test_a_session_has_one_name_in_body_and_header,
    test_a_session_moves_when_its_key_is_spent_and_stays_there,
    test_a_store_that_is_away_costs_no_call,
    test_each_session_stays_with_one_key,
    test_else_the_body_that_leaves_is_the_one_that_came,
    test_the_name_comes_from_the_session_before_the_idempotency_key_before_the_opening_before_the_credential,
)
from tests.plugins.weighted.test_weights import test_the_host_obeys_weights  # noqa: F401

SCHEDULERS: Final = ("fastest", "fill_first", "least_busy", "round_robin", "sticky", "weighted")


@pytest.fixture(autouse=True)
def _apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have each host of an imported test run the plugin that the test is about elsewhere."""
    home = request.function.__module__.split(".")
    if home[:2] != ["tests", "plugins"]:
        yield
        return
    names, made, before = SCHEDULERS if home[2] == "schedulers" else (home[2],), list[Harness](), Harness.__init__

    def init(self: Harness, plugins: Any = (), config: Any = None, **options: Any) -> None:
        sections = dict((config or {}).get("plugins", {}))
        sections |= {name: {**(sections.get(name) or {}), "isolate": True} for name in names}
        before(self, plugins, {**(config or {}), "plugins": sections}, **options)
        made.append(self)

    monkeypatch.setattr(Harness, "__init__", init)
    yield
    for host in made:
        for plugin in (plugin for plugin in host.host.plugins if plugin.id in names and plugin.state == "active"):
            assert type(plugin.object).__name__ == "Bridge"


MODELS: Final = [
    "sim/echo", "sim/lorem", "sim/reasoning", "sim/tools", "sim/structured", "sim/refusal", "sim/cut", "sim/reset", "sim/garbage",
    "sim/nothing", "sim/crash", "sim/crash-mid-stream", "sim/error-429-after-7", "sim/error-500", "sim/error-mid-stream", "sim/no-such",
]  # fmt: skip
TOOLS: Final = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}}
]


async def _answers(isolate: bool) -> dict[tuple[str, bool], Answer]:
    config = {"plugins": {"simulator": {"isolate": isolate}}, "attempts": {"wait": 0, "budget": 0}}
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "tools": TOOLS}
    given: dict[tuple[str, bool], Answer] = {}
    async with Harness((), config) as host:
        assert not host.host.problems
        for model in MODELS:
            for stream in (False, True):
                given[model, stream] = await host.post("/v1/chat/completions", {"model": model, "stream": stream, **said})
        given["embed", False] = await host.post("/v1/embeddings", {"model": "sim/embed", "input": "Hello"})
        given["models", False] = await host.get("/v1/models")
    return given


def _plain(answer: Answer) -> tuple[int, Any]:
    """Return an answer without what is another each time."""
    text = re.sub(r'"(created|id)":\s*("[^"]*"|\d+)|[0-9a-f]{8}-\d+|\d\d:\d\d:\d\d', "-", answer.body.decode())
    return answer.status, text


async def test_the_simulator_answers_as_in_process() -> None:
    here, apart = await _answers(isolate=False), await _answers(isolate=True)
    for model in ("sim/cut", "sim/garbage"):  # what a process answers whole and is none is that plugin's fault, not an upstream's
        assert (here.pop((model, False)).status, apart.pop((model, False)).status) == (502, 503)
    assert {key: _plain(answer) for key, answer in apart.items()} == {key: _plain(answer) for key, answer in here.items()}
    assert {answer.status for answer in here.values()} >= {200, 404, 429, 502}


@pytest.mark.parametrize(
    ("plugin", "what"),
    [("anthropic", "dialects"), ("openai", "dialects"), ("gemini", "dialects"), ("memory", "state stores"), ("sqlite", "state stores")],
)
async def test_what_exists_in_process_only_is_refused(plugin: str, what: str) -> None:
    async with Harness((), {"plugins": {plugin: {"isolate": True}}}) as host:
        assert f"plugin {plugin!r}: isolate: it registers {what}, which exist in process only" in host.host.problems
