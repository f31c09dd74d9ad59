"""Calls of a client's tools by the names that they have where they arrive: a host may have had to rename them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.upstreams.scenario import Scenario, ToolCall
from tests.upstreams.server import Received

Declared = tuple[str, str, Any]
"""A tool's namespace ('' for none), its name, and the schema of its arguments (None for a free text tool)."""


def declared(body: dict[str, Any]) -> Iterator[Declared]:
    """Return the tools of a request in any of the four dialects."""
    for item in body.get("input") if isinstance(body.get("input"), list) else ():
        if item.get("type") == "additional_tools":
            yield from _listed(item["tools"], "")
    yield from _listed(body.get("tools") or (), "")


def _listed(tools: Any, space: str) -> Iterator[Declared]:
    for tool in tools:
        if tool.get("type") == "namespace":
            yield from _listed(tool["tools"], tool["name"])
        elif "functionDeclarations" in tool:
            for function in tool["functionDeclarations"]:
                yield space, function["name"], function.get("parametersJsonSchema") or function.get("parameters")
        elif tool.get("type") == "custom" and "input_schema" not in tool:
            yield space, tool.get("name") or tool["custom"]["name"], None
        else:
            said = tool.get("function", tool)
            if "name" in said:
                yield space, said["name"], said.get("parameters") or said.get("input_schema")


def call(received: Received, name: str, arguments: dict[str, Any] | str) -> ToolCall:
    """Return a call of the tool that a client knows by a name; a free text goes into the one text that a function takes in its place."""
    found = [tool for tool in declared(received.body) if tool[1] == name] or [
        tool for tool in declared(received.body) if tool[1].endswith(name)
    ]
    assert len(found) == 1, f"{name}: {[tool[:2] for tool in declared(received.body)]}"
    space, named, schema = found[0]
    if isinstance(arguments, str) and schema is not None:
        properties = schema["properties"]
        assert len(properties) == 1, "a free text tool became a function with one text"
        arguments = {next(iter(properties)): arguments}
    return ToolCall(name=named, namespace=space, arguments=arguments)


def calling(*calls: tuple[str, dict[str, Any] | str], **said: Any) -> Callable[[Received], Scenario]:
    """Return a script that calls tools by the client's names for them."""
    return lambda received: Scenario(tool_calls=[call(received, *each) for each in calls], **said)
