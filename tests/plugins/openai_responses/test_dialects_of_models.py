"""In which dialects a model is called."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from jackfield_openai import Config
from jackfield_openai.provider import ModelSettings, OpenAISettings, ServerSettings, compatible, openai

CHAT: Final = "openai.chat"
RESPONSES: Final = "openai.responses"
COMPLETIONS: Final = "openai.completions"


@pytest.mark.parametrize(
    ("models", "dialects"),
    [
        (
            ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "chatgpt-4o-latest", "gpt-5-chat-latest", "gpt-4-turbo", "ft:gpt-4o-mini:org::id"),
            (CHAT, RESPONSES),
        ),
        (("gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-6.1-sol", "o1", "o3-mini", "o4-mini", "gpt-10", "ft:o4-mini:org"), (RESPONSES, CHAT)),
        (
            ("gpt-5-codex", "gpt-5.1-codex-max", "codex-mini-latest", "o1-pro", "o3-pro-2025-06-10", "gpt-5-pro", "gpt-5-pro-2025-10-06",
             "o3-deep-research", "o4-mini-deep-research-2025-06-26", "computer-use-preview"),
            (RESPONSES,),
        ),
        (("gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct-0914", "babbage-002", "davinci-002", "ft:davinci-002:org::id"), (COMPLETIONS,)),
        (
            ("gpt-3.5-turbo", "gpt-4o-audio-preview", "gpt-4o-mini-audio-preview", "gpt-audio", "gpt-4o-search-preview",
             "gpt-4o-mini-search-preview", "text-embedding-3-small"),
            (CHAT,),
        ),
    ],
    ids=["words", "thinkers", "responses alone", "completions alone", "chat alone"],
)  # fmt: skip
def test_openais_own_models(models: tuple[str, ...], dialects: tuple[str, ...]) -> None:
    provider = openai(OpenAISettings())
    assert {model: tuple(provider.dialects_of(model)) for model in models} == dict.fromkeys(models, dialects)
    assert set(dialects) <= set(provider.dialects)


def test_a_server_speaks_chat_unless_it_says_otherwise() -> None:
    assert compatible("acme", ServerSettings(base_url="https://a.example")).dialects_of("m") == (CHAT,)
    both = compatible("acme", ServerSettings(base_url="https://a.example", dialects=(RESPONSES, CHAT)))
    assert both.dialects_of("m") == (RESPONSES, CHAT)


def test_one_model_of_a_server_may_have_a_dialect_of_its_own() -> None:
    models = ("m", ModelSettings(name="n", upstream="real-n", dialect=RESPONSES), ModelSettings(name="o"))
    server = compatible("acme", ServerSettings(base_url="https://a.example", models=models))
    assert tuple(server.dialects_of("m")) == (CHAT,)
    assert tuple(server.dialects_of("o")) == (CHAT,)
    assert tuple(server.dialects_of("real-n")) == (RESPONSES,)
    assert set(server.dialects) == {CHAT, RESPONSES}


def test_a_dialect_that_is_none_is_refused_in_the_configuration() -> None:
    good = {
        "providers": {
            "acme": {"base_url": "https://a.example", "dialects": ["openai.responses"], "models": [{"name": "n", "dialect": "openai.chat"}]}
        }
    }
    assert msgspec.convert(good, Config).providers["acme"].dialects == (RESPONSES,)
    with pytest.raises(msgspec.ValidationError, match="dialects"):
        msgspec.convert({"providers": {"acme": {"base_url": "https://a.example", "dialects": ["openai.response"]}}}, Config)
