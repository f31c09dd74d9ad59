"""The data of the presets: whole, sourced, at odds with none of the others; and what each makes of requests."""

from __future__ import annotations

import itertools
import re
from typing import Any

import msgspec
import pytest

from jackfield.api import Loss, matches_any
from jackfield.api.canonical.flavour import apply_flavour
from jackfield_openai.presets import presets
from jackfield_openai.provider import PATTERNS

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"temperature": {}, "stop": {}}}}}
NAMED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
WORD = 'what /one/ says of "temperature", "reasoning_content" and 1.10'


def said(role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": WORD, **more}


def leaving(preset: str, model: str, body: dict[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
    losses: list[Loss] = []
    whole = {"model": model, "messages": [said()], **body}
    raw = apply_flavour(msgspec.json.encode(whole), presets()[preset].flavours, model, "openai.chat", losses)
    made = msgspec.json.decode(raw)
    assert bool(losses) == (made != whole), "what is changed is a loss, and what is not is none"
    return {key: value for key, value in made.items() if key in body or key not in ("model", "messages")}, losses


# (preset, model, what a client says besides model and messages, what the server is told instead)
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("openai", "gpt-5-mini", {"max_tokens": 9, "temperature": 0.2, "top_p": 0.5}, {"max_completion_tokens": 9}),
    ("openai", "o3", {"presence_penalty": 1, "frequency_penalty": 1, "logprobs": True, "top_logprobs": 2, "logit_bias": {}}, {}),
    ("openai", "o4-mini", {"max_tokens": 9, "max_completion_tokens": 8}, {"max_completion_tokens": 8}),
    ("openai", "gpt-5-chat-latest", {"max_tokens": 9, "temperature": 0.2}, {"max_tokens": 9, "temperature": 0.2}),
    ("openai", "gpt-5.2", {"temperature": 0.2, "max_tokens": 9}, {"temperature": 0.2, "max_completion_tokens": 9}),
    ("openai", "gpt-5.2", {"temperature": 0.2, "reasoning_effort": "none"}, {"temperature": 0.2, "reasoning_effort": "none"}),
    ("openai", "gpt-5.2", {"temperature": 0.2, "top_p": 1, "reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    ("openai", "gpt-4o", {"reasoning_effort": "low", "temperature": 0.2, "max_tokens": 9}, {"temperature": 0.2, "max_tokens": 9}),
    (
        "openai",
        "gpt-4.1",
        {
            "messages": [
                said(cache_control={"type": "ephemeral"}),
                said(content=[{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}]),
                said("assistant", reasoning_content="r", reasoning_details=[], tool_calls=[{"index": 0, **CALL}]),
            ],
            "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
        },
        {
            "messages": [said(), said(content=[{"type": "text", "text": "t"}]), said("assistant", tool_calls=[CALL])],
            "tools": [TOOL],
        },
    ),
    ("deepseek", "deepseek-chat", {"messages": [said("developer"), said()]}, {"messages": [said("system"), said()]}),
    ("deepseek", "deepseek-chat", {"response_format": SCHEMA}, {"response_format": {"type": "json_object"}}),
    ("deepseek", "deepseek-chat", {"tool_choice": "required", "max_completion_tokens": 5}, {"tool_choice": "required", "max_tokens": 5}),
    ("deepseek", "deepseek-v4-pro", {"tool_choice": NAMED, "tools": [TOOL]}, {"tool_choice": "auto", "tools": [TOOL]}),
    (
        "deepseek",
        "deepseek-v4-pro",
        {"tool_choice": "required", "thinking": {"type": "disabled"}},
        {"tool_choice": "required", "thinking": {"type": "disabled"}},
    ),
    ("deepseek", "deepseek-v4-flash", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    ("deepseek", "deepseek-v4-flash", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    (
        "deepseek",
        "deepseek-v4-pro",
        {
            "messages": [
                said("assistant", tool_calls=[CALL]),
                said("assistant"),
                said("assistant", tool_calls=[CALL], reasoning_content="so"),
            ]
        },
        {
            "messages": [
                said("assistant", tool_calls=[CALL], reasoning_content=""),
                said("assistant"),
                said("assistant", tool_calls=[CALL], reasoning_content="so"),
            ]
        },
    ),
    ("deepseek", "deepseek-reasoner", {"logprobs": True, "top_logprobs": 1}, {}),
    (
        "kimi",
        "kimi-k2.6",
        {"temperature": 0.3, "top_p": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0, "stop": "x"},
        {"stop": "x"},
    ),
    ("kimi", "moonshot-v1-8k", {"temperature": 1.5}, {"temperature": 1.0}),
    ("kimi", "kimi-k2-0905-preview", {"temperature": 0.6}, {"temperature": 0.6}),
    ("kimi", "kimi-k2.6", {"tool_choice": "required"}, {"tool_choice": "auto"}),
    ("kimi", "kimi-k3", {"tool_choice": "required"}, {"tool_choice": "required"}),
    ("kimi", "kimi-k3", {"tool_choice": NAMED}, {"tool_choice": "required"}),
    (
        "kimi",
        "kimi-k2.6",
        {"reasoning_effort": "none", "tool_choice": "required"},
        {"thinking": {"type": "disabled"}, "tool_choice": "required"},
    ),
    (
        "kimi",
        "kimi-k2.7-code",
        {"messages": [said("assistant", tool_calls=[CALL], reasoning_content=None)]},
        {"messages": [said("assistant", tool_calls=[CALL], reasoning_content=" ")]},
    ),
    ("glm", "glm-5", {"tool_choice": NAMED, "tools": [TOOL]}, {"tool_choice": "auto", "tools": [TOOL]}),
    ("glm", "glm-5", {"tool_choice": "none", "tools": [TOOL]}, {}),
    ("glm", "glm-4.7", {"temperature": 1.5, "top_p": 0, "max_completion_tokens": 7}, {"temperature": 1.0, "top_p": 0.01, "max_tokens": 7}),
    ("glm", "glm-4.7", {"reasoning_effort": "none", "user": "u"}, {"thinking": {"type": "disabled"}, "user_id": "u"}),
    ("glm", "glm-5.3", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
    (
        "mistral",
        "mistral-large-latest",
        {"max_completion_tokens": 5, "seed": 7, "user": "u", "logprobs": True, "stream_options": {}, "store": True, "top_k": 1},
        {"max_tokens": 5, "random_seed": 7},
    ),
    (
        "mistral",
        "devstral-medium",
        {"messages": [said("developer"), said(name="n"), said("assistant", reasoning_content="r", refusal=None)]},
        {"messages": [said("system"), said(), said("assistant")]},
    ),
    (
        "groq",
        "openai/gpt-oss-120b",
        {
            "logprobs": True,
            "top_logprobs": 2,
            "logit_bias": {},
            "n": 3,
            "messages": [said(name="n"), said("assistant", reasoning_content="r")],
        },
        {"n": 1, "messages": [said(), said("assistant")]},
    ),
    ("xai", "grok-4-0709", {"presence_penalty": 1, "frequency_penalty": 1, "stop": ["x"], "reasoning_effort": "high"}, {}),
    ("xai", "grok-4-fast-non-reasoning", {"stop": ["x"], "presence_penalty": 1}, {"stop": ["x"]}),
    ("xai", "grok-3", {"stop": ["x"], "presence_penalty": 1, "reasoning_effort": "low"}, {"stop": ["x"], "presence_penalty": 1}),
    ("xai", "grok-3-mini", {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}),
    ("xai", "grok-4.3", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
    ("xai", "grok-4.5", {"reasoning_effort": "none"}, {"reasoning_effort": "low"}),
    ("qwen", "qwen3-max", {"messages": [said("developer")]}, {"messages": [said("system")]}),
    (
        "cerebras",
        "gpt-oss-120b",
        {"frequency_penalty": 1, "presence_penalty": 1, "logit_bias": {}, "messages": [said("assistant", reasoning_content="r")]},
        {"messages": [said("assistant")]},
    ),
]


@pytest.mark.parametrize(("preset", "model", "body", "told"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_server_is_told(preset: str, model: str, body: dict[str, Any], told: dict[str, Any]) -> None:
    made, losses = leaving(preset, model, body)
    assert made == told
    for loss in losses:
        assert loss.why
        assert loss.path.split(".")[0].split("[")[0] in body


def test_each_preset_with_a_flavour_is_among_the_cases() -> None:
    assert {name for name, preset in presets().items() if preset.flavours} == {case[0] for case in CASES}


@pytest.mark.parametrize("name", sorted(presets()))
def test_an_ordinary_request_leaves_as_it_came(name: str) -> None:
    model = next((p.replace("*", "9") for p in presets()[name].patterns), "m")
    raw = (
        b'{"model": "%s",  "messages":[{"role":"system","content":"\\u00e9"}, {"role":"user","content":[{"type":"text","text":"hi"}]}],'
        b'"stream":true, "max_tokens":1, "tools":[%s], "tool_choice" : "auto"}'
    ) % (model.encode(), msgspec.json.encode(TOOL))
    losses: list[Loss] = []
    assert apply_flavour(raw, presets()[name].flavours, model, "openai.chat", losses) is raw
    assert losses == []


@pytest.mark.parametrize("name", sorted(presets()))
def test_each_fact_has_its_source(name: str) -> None:
    preset = presets()[name]
    assert re.fullmatch(r"[a-z]+", name)
    assert re.match("https://", preset.source)
    assert all(flavour.why and flavour.source.startswith("https://") for flavour in preset.flavours)
    assert bool(preset.failures) == preset.errors.startswith("https://")
    if preset.local:
        assert preset.base_url.startswith("http://127.0.0.1:")
        assert not preset.env
        assert not preset.patterns, "a server that may not be there claims no names"
    else:
        assert preset.base_url.startswith("https://")
        assert all(re.fullmatch(r"[A-Z]+_API_KEY", variable) for variable in preset.env)
        assert preset.env
    assert not preset.base_url.endswith("/")


def test_no_two_presets_claim_one_variable_or_one_name() -> None:
    variables = [variable for preset in presets().values() for variable in preset.env]
    assert len(variables) == len(set(variables))
    claims = {name: preset.patterns if name != "openai" else PATTERNS for name, preset in presets().items()}
    for (one, its), (other, theirs) in itertools.permutations(claims.items(), 2):
        for pattern in its:
            assert not matches_any(pattern.replace("*", "9"), theirs), f"{one} and {other} both claim {pattern}"
