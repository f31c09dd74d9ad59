"""What the Gemini API refuses beyond wrong members and types.

Sources, below https://ai.google.dev/gemini-api/docs: function-calling (calls come behind a user's turn or results, as many
results as calls, directly behind them; names); thought-signatures (third generation: the first call of each step of the
current turn carries the signature that it came with, a text may stand for it that switches the check off; older turns and
models are not checked for its presence); thinking (level or budget, not both); structured-output; the wording as users report
it, for instance in google-gemini/gemini-cli#3814, #17208, #26486.
"""

from __future__ import annotations

import base64
from typing import Any

from tests.upstreams.gemini_fields import PAYLOADS
from tests.upstreams.mint import Mint
from tests.upstreams.provider import Json
from tests.upstreams.refusal import Path, Refused

TOOL_NAME = r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}"
SKIPPED = {base64.b64encode(text).decode() for text in (b"skip_thought_signature_validator", b"context_engineering_is_the_way_to_go")}
"""Signatures that the API takes in place of one that is lost."""
FORMATS = {
    "STRING": ("enum", "date-time"),
    "NUMBER": ("float", "double"),
    "INTEGER": ("int32", "int64"),
}


def check(body: Json, model: str, mint: Mint) -> None:
    """Refuse a request that breaks a rule."""
    contents = body.get("contents")
    if not contents:
        raise Refused(("contents", ""), "contents is not specified", "missing")
    _check_config(body.get("generationConfig") or {}, model)
    _check_tools(body, model)
    for part in (body.get("systemInstruction") or {}).get("parts", ()):
        if "text" not in part:
            raise Refused(("systemInstruction", ""), "only text is allowed in the system instruction")
    for number, content in enumerate(contents):
        _check_content(content, ("contents", number), mint)
    _check_turns(contents)
    if _new(model):
        _check_signatures(contents)


def _new(model: str) -> bool:
    from tests.upstreams.gemini import new

    return new(model)


def _check_config(config: Json, model: str) -> None:
    if len(config.get("stopSequences") or ()) > 5:
        raise Refused(("generationConfig", "stopSequences", ""), "at most 5 stop sequences may be set", "value")
    for name, low, high in (
        ("temperature", 0, 2),
        ("topP", 0, 1),
        ("candidateCount", 1, 8),
        ("maxOutputTokens", 1, 10**9),
        ("logprobs", 0, 20),
    ):
        value = config.get(name)
        if value is not None and not low <= float(value) <= high:
            raise Refused(("generationConfig", name, ""), f"must be in the range [{low}, {high}]", "value")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise Refused((), "Logprobs cannot be set when responseLogprobs is false.")
    thinking = config.get("thinkingConfig") or {}
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        raise Refused((), "You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and not _new(model):
        raise Refused((), "Thinking level is not supported for this model.")
    _check_output(config)


def _check_output(config: Json) -> None:
    schema = config.get("responseSchema")
    if schema is not None and "responseJsonSchema" in config:
        raise Refused((), "Only one of response_schema and response_json_schema may be set")
    if (schema is not None or "responseJsonSchema" in config) and config.get("responseMimeType") not in ("application/json", "text/x.enum"):
        raise Refused((), "Response schema requires the response mime type application/json")
    if schema is not None:
        _check_schema(schema, ("generationConfig", "responseSchema"))


def _check_tools(body: Json, model: str) -> None:
    functions, hosted = [], []
    for number, tool in enumerate(body.get("tools") or ()):
        hosted += [name for name in tool if name not in ("functionDeclarations", "mcpServers")]
        for index, function in enumerate(tool.get("functionDeclarations") or ()):
            functions.append(_check_function(function, ("tools", number, "functionDeclarations", index)))
    if len(set(functions)) < len(functions):
        raise Refused((), "Duplicate function declaration found: " + next(name for name in functions if functions.count(name) > 1))
    if functions and hosted and not _new(model):
        raise Refused((), "Tool use with function calling is unsupported by the model.")
    if functions and not _new(model) and (body.get("generationConfig") or {}).get("responseMimeType") == "application/json":
        raise Refused((), "Function calling with a response mime type: 'application/json' is unsupported")
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if allowed := config.get("allowedFunctionNames"):
        if config.get("mode") not in ("ANY", "VALIDATED"):
            raise Refused((), "Please set allowed_function_names only when function calling mode is ANY.")
        if unknown := [name for name in allowed if name not in functions]:
            raise Refused((), f"allowed_function_names contains a function that is not declared: {unknown[0]}")
    if config and not functions:
        raise Refused((), "Function calling config is set without function_declarations.")


def _check_function(function: Json, path: Path) -> str:
    name = str(function.get("name", ""))
    _check_name(name, (*path, "name", ""))
    if "parameters" in function and "parametersJsonSchema" in function:
        raise Refused((*path, ""), "parameters and parameters_json_schema are mutually exclusive", "value")
    if "parameters" in function:
        if function["parameters"].get("type") != "OBJECT":
            raise Refused((*path, "parameters", "type", ""), "must be OBJECT", "value")
        _check_schema(function["parameters"], (*path, "parameters"))
    return name


def _check_name(name: str, path: Path) -> None:
    import re

    if not re.fullmatch(TOOL_NAME, name):
        raise Refused(
            path,
            "Invalid function name. Must start with a letter or an underscore, then letters, digits, and _.:-, at most 128 characters.",
        )


def _check_schema(schema: Json, path: Path) -> None:
    kind = schema.get("type")
    if "enum" in schema and kind not in ("STRING", None):
        raise Refused((*path, "enum", ""), "only allowed for STRING type", "value")
    if any(not value for value in schema.get("enum") or ()):
        raise Refused((*path, "enum", ""), "cannot be empty", "value")
    if kind == "ARRAY" and "items" not in schema:
        raise Refused((*path, "items", ""), "missing field.", "missing")
    if kind is None and "anyOf" not in schema:
        raise Refused((*path, "type", ""), "must be specified", "missing")
    if schema.get("format") is not None and schema["format"] not in FORMATS.get(str(kind), ()):
        raise Refused((*path, "format", ""), f"only {FORMATS.get(str(kind), ())} are supported for {kind} type", "value")
    if kind != "OBJECT" and schema.get("properties"):
        raise Refused((*path, "properties", ""), "only allowed for OBJECT type", "value")
    if unknown := [name for name in schema.get("required") or () if name not in schema.get("properties", {})]:
        raise Refused((*path, "required", ""), f"property is not defined: {unknown[0]}", "value")
    for name, part in (schema.get("properties") or {}).items():
        _check_schema(part, (*path, "properties", name))
    for number, part in enumerate(schema.get("anyOf") or ()):
        _check_schema(part, (*path, "anyOf", number))
    if "items" in schema:
        _check_schema(schema["items"], (*path, "items"))


# ------------------------------------------------------------------------------------------------ the dialogue


def _check_content(content: Json, path: Path, mint: Mint) -> None:
    if content.get("role") not in (None, "", "user", "model", "function"):
        raise Refused((), "Please use a valid role: user, model.")
    if not content.get("parts"):
        raise Refused((*path, "parts", ""), "contents.parts must not be empty.", "missing")
    for number, part in enumerate(content["parts"]):
        where = (*path, "parts", number)
        payloads = [name for name in PAYLOADS if name in part]
        if len(payloads) > 1 or not (payloads or "thoughtSignature" in part):
            raise Refused((*where, "data", ""), f"required oneof field 'data' must have one initialized field, has {payloads}", "value")
        _check_part(part, where, content.get("role"))
        signature = part.get("thoughtSignature")
        if signature and signature not in mint.known and signature not in SKIPPED:
            raise Refused((), "Thought signature is not valid.")


def _check_part(part: Json, path: Path, role: Any) -> None:
    for name in ("inlineData", "fileData"):
        if name in part and not part[name].get("mimeType"):
            raise Refused((*path, name, "mimeType", ""), "must be given", "missing")
    if "inlineData" in part and not part["inlineData"].get("data"):
        raise Refused((*path, "inlineData", "data", ""), "must be given", "missing")
    for name in ("functionCall", "functionResponse"):
        if name in part:
            _check_name(str(part[name].get("name", "")), (*path, name, "name", ""))
    if "functionCall" in part and role != "model":
        raise Refused((*path, "functionCall", ""), "a function call may stand in a model's turn alone")
    if "functionResponse" in part and (role == "model" or "response" not in part["functionResponse"]):
        raise Refused((*path, "functionResponse", "response", ""), "missing field, or in a model's turn", "missing")


def _check_turns(contents: list[Json]) -> None:
    """Calls and results take turns; contents of one role in a row are one turn."""
    turns: list[tuple[str, list[Json]]] = []
    for content in contents:
        role = "model" if content.get("role") == "model" else "user"
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(content["parts"])
        else:
            turns.append((role, list(content["parts"])))
    if turns[0][0] == "model" and any("functionCall" in part for part in turns[0][1]):
        raise Refused((), "Please ensure that function call turn comes immediately after a user turn or after a function response turn.")
    for number, (role, parts) in enumerate(turns):
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        if role == "model" and calls and number == len(turns) - 1:
            raise Refused((), "Please ensure that a function call turn is followed by its function response turn.")
        if role == "user":
            before = [part["functionCall"] for part in turns[number - 1][1] if "functionCall" in part] if number else []
            _check_results(before, [part["functionResponse"] for part in parts if "functionResponse" in part])


def _check_results(calls: list[Json], results: list[Json]) -> None:
    if results and not calls:
        raise Refused((), "Please ensure that function response turn comes immediately after a function call turn.")
    if len(results) != len(calls):
        text = "Please ensure that the number of function response parts is equal to the number of function call parts"
        raise Refused((), f"{text} of the function call turn.")
    if sorted(r["name"] for r in results) != sorted(c["name"] for c in calls):
        raise Refused((), "Please ensure that function responses have the names of the function calls.")
    ids = {call["id"] for call in calls if "id" in call}
    for result in results:
        if "id" in result and ids and result["id"] not in ids:
            raise Refused((), f"function response id {result['id']!r} does not match a function call")


def _check_signatures(contents: list[Json]) -> None:
    """The current turn begins with the last content of the user that holds something else than results."""
    start = max(
        (n for n, c in enumerate(contents) if c.get("role") != "model" and any("functionResponse" not in p for p in c["parts"])), default=0
    )
    for content in contents[start:]:
        for position, part in enumerate(content["parts"]):
            if "functionCall" in part:
                if not part.get("thoughtSignature"):
                    name = part["functionCall"]["name"]
                    text = (
                        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly."
                    )
                    raise Refused((), f"{text} Additional data, function call `default_api:{name}`, position {position + 1}.")
                break
