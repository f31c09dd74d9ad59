"""The conformance check over the examples, and what clients may send that is hard to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jackfield.api.testing import Harness
from jackfield.api.testing.conformance import check
from tests.examples.conftest import EXAMPLES, PROGRAMS, Example

Ready = Callable[[str], Example]
SETTINGS: dict[str, dict[str, Any]] = {
    "auth_go": {"secret": "a secret of some length"},
    "callback_python": {"asks": "small", "models": {"programming": "large"}},
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_an_example_does_what_the_contract_asks(example: Ready, name: str) -> None:
    report = await check(str(example(name).folder), config=SETTINGS.get(name))
    assert report.passed, report


@pytest.mark.parametrize(
    ("path", "settings"), [("router_python/src/jackfield_workload", {}), ("summarizer_python/src/jackfield_summarizer", {"model": "m"})]
)
async def test_a_python_plugin_does_so_in_process_and_isolated(path: str, settings: dict[str, Any]) -> None:
    report = await check(str(EXAMPLES / path / "__init__.py"), config=settings)
    assert report.passed, report
    assert {result.carrier for result in report.results} == {"host", "rpc", "isolated"}


@pytest.mark.parametrize("depth", [200, 900, 2000])
@pytest.mark.parametrize("name", ["router_sh", "router_node", "callback_python", "normalizer_go", "normalizer_rust"])
async def test_a_very_deep_request_harms_nobody(example: Ready, name: str, depth: int, caplog: pytest.LogCaptureFixture) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    tool = b'{"type":"function","function":{"name":"clock","parameters":' + nested + b"}}"
    body = b'{"model":"sim/echo","messages":[{"role":"user","content":"hi"}],"tools":[' + tool + b"]}"
    program = example(name)
    settings = {"asks": "sim/echo", "models": {"a": "sim/echo"}} if name == "callback_python" else {"model": "sim/describe"}
    async with Harness(config=program.config({"models": {"aliases": {"strong": "sim/tools"}}}, **settings)) as host:
        process = program.process()
        for _ in range(6):
            assert (await host.post("/v1/chat/completions", body)).status in (200, 400)
        assert program.process() == process, "it was not started anew"
    assert "is passed over" not in caplog.text
