"""The routers: who serves a call is told by what the simulator's models answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jackfield.api.testing import Answer, Harness
from tests.docs.markdown import document
from tests.examples.conftest import EXAMPLES, Example

Ready = Callable[[str], Example]
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
STRONG = {"models": {"aliases": {"strong": "sim/tools"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


async def ask(host: Harness, content: Any = "hello", **more: Any) -> Answer:
    return await host.post("/v1/chat/completions", {"model": "sim/echo", "messages": [{"role": "user", "content": content}], **more})


def said(answer: Answer) -> Any:
    return answer.json["choices"][0]["message"]["content"]


async def test_requests_with_tools_go_to_the_strong_model(example: Ready) -> None:
    async with Harness(config=example("router_node").config(STRONG)) as host:
        plain, with_tools = await ask(host), await ask(host, tools=[TOOL])
    assert [answer.json["choices"][0]["finish_reason"] for answer in (plain, with_tools)] == ["stop", "tool_calls"]
    assert with_tools.json["model"] == "sim/echo", "the client is answered under the name that it asked for"


def test_the_router_in_node_is_the_one_that_the_tutorial_prints() -> None:
    shown = [block.text for block in document("docs/tutorial/first-plugin-in-any-language.md").blocks if block.language == "js"]
    assert (EXAMPLES / "router_node" / "router.mjs").read_text() in shown


async def test_requests_with_pictures_go_to_the_model_that_sees(example: Ready) -> None:
    async with Harness(config=example("router_sh").config(model="sim/describe")) as host:
        words = await ask(host, [{"type": "text", "text": 'an image_url, \u00e9, "type":"image"'}])
        picture = await ask(host, [{"type": "text", "text": "What is it?"}, PICTURE])
        large = await ask(host, [{"type": "text", "text": "\u00e9" * 300_000}, PICTURE])
    assert said(words) == 'an image_url, \u00e9, "type":"image"'
    assert "image/png" in said(picture)
    assert "image/png" in said(large)


async def test_without_a_setting_pictures_go_where_their_client_said(example: Ready) -> None:
    async with Harness(config=example("router_sh").config()) as host:
        assert said(await ask(host, [{"type": "text", "text": "What is it?"}, PICTURE])) == "What is it?"


@pytest.mark.parametrize("name", ["router_node", "router_sh"])
async def test_a_router_that_dies_loses_no_call_and_comes_back(example: Ready, name: str) -> None:
    router = example(name)
    settings = {"model": "sim/length"} if name == "router_sh" else {}
    wanted: dict[str, Any] = {"content": [PICTURE], "tools": [TOOL]}
    async with Harness(config=router.config({"models": {"aliases": {"strong": "sim/length"}}}, **settings)) as host:
        assert (await ask(host, **wanted)).json["choices"][0]["finish_reason"] == "length"
        router.kill()
        answers = [await ask(host, **wanted)]
        while answers[-1].json["choices"][0]["finish_reason"] != "length":
            answers.append(await ask(host, **wanted))
    assert {answer.status for answer in answers} == {200}
