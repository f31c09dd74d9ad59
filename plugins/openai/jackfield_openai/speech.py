"""In which dialects a model is called, best first.

Source: OpenAI's pages of its models (the endpoints that each lists), and its guide "Migrate to the Responses API": models that
think keep their thoughts between turns in Responses alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from jackfield.api import matches_any
from jackfield_openai.refusals import Server

CHAT: Final = "openai.chat"
RESPONSES: Final = "openai.responses"
COMPLETIONS: Final = "openai.completions"

DIALECTS: Final = (CHAT, RESPONSES, COMPLETIONS)
"""All that OpenAI speaks."""

_COMPLETIONS_ONLY: Final = ("gpt-3.5-turbo-instruct*", "babbage-002", "davinci-002")
_RESPONSES_ONLY: Final = ("*codex*", "gpt-*-pro", "gpt-*-pro-2*", "*deep-research*", "computer-use-*")
_PRO: Final = re.compile(r"o\d+-pro")
_CHAT_ONLY: Final = ("gpt-3.5*", "gpt-audio*", "gpt-4o*-audio*", "gpt-4o*-search*", "gpt-5-search*", "text-embedding-*")
_THINKERS: Final = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)(?!.*-chat)")
"""Names of models that think."""


def dialects_of_openai(model: str) -> Sequence[str]:
    """Return the dialects of one of OpenAI's own models, also of one that was fine-tuned (`ft:gpt-4o:...`)."""
    name = model.removeprefix("ft:").partition(":")[0] if model.startswith("ft:") else model
    if matches_any(name, _COMPLETIONS_ONLY):
        return (COMPLETIONS,)
    if matches_any(name, _RESPONSES_ONLY) or _PRO.match(name):
        return (RESPONSES,)
    if matches_any(name, _CHAT_ONLY):
        return (CHAT,)
    return (RESPONSES, CHAT) if _THINKERS.match(name) else (CHAT, RESPONSES)


class Speaker(Server):
    """A server whose models are not all called in the same dialects."""

    choose: Callable[[str], Sequence[str]] | None = None

    def dialects_of(self, model: str) -> Sequence[str]:
        """Return the dialects in which a model can be called, best first."""
        return self.choose(model) if self.choose is not None else self.dialects


def by_name(dialects: Sequence[str], named: Mapping[str, str]) -> Callable[[str], Sequence[str]]:
    """Return a choice by names: `named` has the one dialect of some models, the others are called in `dialects`."""
    return lambda model: (named[model],) if model in named else dialects
