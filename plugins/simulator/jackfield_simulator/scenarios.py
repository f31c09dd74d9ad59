"""The table of scenarios: what each model of the simulator says, and how that arrives.

A model's name is a scenario's name, with values in the place of its placeholders; any name may end in `-slow-{ms}`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from jackfield.api import ModelInfo, Reply, Response
from jackfield_simulator import answers, delivery
from jackfield_simulator.answers import Ask, Said
from jackfield_simulator.tokens import count

PREFIX: Final = "sim/"
"""What the names of all models begin with where they are listed; a caller that names the provider may leave it out."""

CONTEXT: Final = 200_000
MOST_OUTPUT: Final = 100_000
"""Tokens that the lists of models promise. Nothing enforces them."""

_FORMS: Final = {"status": r"[45][0-9][0-9]", "name": r".+", "tokens": r"[0-9]{1,5}", "ms": r"[0-9]{1,6}", "seconds": r"[0-9]{1,6}"}
"""What may stand in the place of each placeholder."""
_SLOW: Final = re.compile(rf"(.+)-slow-({_FORMS['ms']})")


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    """With placeholders in braces: `long-{tokens}`."""
    does: str
    """What a caller gets, in one sentence."""
    say: Callable[[Ask], Said] = answers.echo
    deliver: Callable[[Ask, Response], Awaitable[Reply]] = delivery.whole
    pace: float = 0.0
    """Seconds before the first event and between two, where the name does not say it."""
    listed: tuple[str, ...] | None = None
    """The names under which lists of models show it; None for its own name."""
    operation: str = "generate"
    dialects: tuple[str, ...] = ("canonical",)
    inputs: tuple[str, ...] = ("text",)
    """What it looks at of a request."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which lists of models show it."""
        return (self.name,) if self.listed is None else self.listed

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the names of its models look like."""
        words = re.split(r"\{(\w+)\}", self.name)
        return re.compile("".join(f"(?P<{w}>{_FORMS[w]})" if i % 2 else re.escape(w) for i, w in enumerate(words)))


class Named(msgspec.Struct, frozen=True):
    """What the name of a model says."""

    scenario: Scenario
    values: Mapping[str, str] = {}
    """By placeholder."""
    pace: float | None = None
    """Seconds; None leaves it to the configuration."""


def _fault(name: str, does: str, deliver: Callable[[Ask, Response], Awaitable[Reply]], *listed: str) -> Scenario:
    return Scenario(name=name, does=does, say=answers.lorem, deliver=deliver, listed=listed or None)


SCENARIOS: Final = (
    Scenario(name="echo", does="Repeats what the user said last."),
    Scenario(name="lorem", does=f"Says a fixed text of {count(answers.LOREM)} words.", say=answers.lorem),
    Scenario(name="long-{tokens}", does="Says as many tokens.", say=answers.long, listed=("long-1000",)),
    Scenario(name="text", does="Says the system message; without one the configured text `default`.", say=answers.scripted),
    Scenario(name="text-{name}", does="Says the configured text of that name.", say=answers.scripted, listed=()),
    Scenario(name="reasoning", does="Thinks, signs its thoughts, then repeats what the user said last.", say=answers.reasoning),
    Scenario(name="tools", does="Calls a tool with arguments that fit its schema; says what the result was.", say=answers.tools),
    Scenario(
        name="parallel-tools",
        does="Says what it will do and calls each tool (at most four), or a single one twice; says what the results were.",
        say=answers.parallel_tools,
    ),
    Scenario(name="json", does="Answers JSON that fits the schema of the requested output format.", say=answers.structured),
    Scenario(
        name="describe",
        does="Says how many images, documents, sounds and videos came, of which type and size.",
        say=answers.describe,
        inputs=("text", "image", "file", "audio", "video"),
    ),
    Scenario(name="refusal", does="Declines: a refusal, finish `refusal`.", say=answers.refusal),
    Scenario(name="content-filter", does="Half a text that a filter stopped, finish `content_filter`.", say=answers.filtered),
    Scenario(name="length", does="Half a text, finish `length`.", say=answers.unfinished),
    Scenario(name="blank", does="Answers without a word, finish `stop`.", say=answers.blank),
    Scenario(name="slow", does="As `sim/echo`, with 100 ms before the first event and between two.", pace=0.1),
    Scenario(name="slow-{ms}", does="The same with as many milliseconds.", listed=("slow-20",)),
    Scenario(name="embed", does="Vectors for embeddings, made of a hash of each text.", operation="embed", dialects=("openai.chat",)),
    _fault("error-{status}", "An HTTP error, any status from 400 to 599.", delivery.error, *map("error-{}".format, delivery.STATUSES)),
    _fault("error-{status}-after-{seconds}", "The same with `Retry-After`.", delivery.error, "error-429-after-7", "error-503-after-7"),
    _fault("error-first", "Status 200, and the stream begins with an error; not streamed: error 529.", delivery.error_first),
    _fault("error-mid-stream", "An error after half of the stream; not streamed: error 529.", delivery.error_mid_stream),
    _fault("cut", "The stream ends after its first half; not streamed: half a body.", delivery.cut),
    _fault("reset", "The connection breaks after half of the stream; not streamed: before an answer.", delivery.reset),
    _fault("stall", "The stream stops after its first half and stays open; not streamed: no answer ever.", delivery.stall),
    _fault("hang", "Nothing ever comes, streamed or not.", delivery.hang),
    _fault("empty", "Status 200 and not a byte.", delivery.nothing),
    _fault("garbage", "Status 200 and a web page.", delivery.garbage),
    _fault("unreachable", "The provider cannot be reached.", delivery.unreachable),
    _fault("crash", "The plugin itself fails at once.", delivery.crash),
    _fault("crash-mid-stream", "The plugin itself fails after half of the stream; not streamed: at once.", delivery.crash_mid_stream),
)
"""All scenarios. A name fits at most one."""

_PATTERNS: Final = [(scenario.pattern, scenario) for scenario in SCENARIOS]


@lru_cache(maxsize=1024)
def find(model: str) -> Named | None:
    """Return what a model's name says; None where there is no such scenario."""
    name = model.removeprefix(PREFIX)
    slowed = _SLOW.fullmatch(name)
    inner = _match(slowed[1]) if slowed is not None else None
    if slowed is None or inner is None:
        return _match(name)
    return msgspec.structs.replace(inner, pace=int(slowed[2]) / 1000)


def _match(name: str) -> Named | None:
    for pattern, scenario in _PATTERNS:
        if found := pattern.fullmatch(name):
            values = found.groupdict()
            return Named(scenario, values, int(values["ms"]) / 1000 if "ms" in values else scenario.pace or None)
    return None


def nearest(model: str) -> list[str]:
    """Return the listed names that a caller may have meant, best first."""
    names = [name for scenario in SCENARIOS for name in scenario.names]
    return [PREFIX + name for name in difflib.get_close_matches(model.removeprefix(PREFIX)[:200], names, 3, 0.5)]


def listing(texts: Iterable[str]) -> tuple[ModelInfo, ...]:
    """Return the models as lists show them, those of configured texts among them."""
    scripted = SCENARIOS[[s.name for s in SCENARIOS].index("text-{name}")]
    rows = [(name, scenario) for scenario in SCENARIOS for name in scenario.names]
    rows += [(f"text-{name}", scripted) for name in texts]
    return tuple(_info(name, scenario) for name, scenario in rows)


def _info(name: str, scenario: Scenario) -> ModelInfo:
    embeds = scenario.operation == "embed"
    return ModelInfo(
        id=PREFIX + name,
        display_name=f"Simulator: {name}",
        owner="simulator",
        dialects=() if scenario.dialects == ("canonical",) else scenario.dialects,
        operations=(scenario.operation,),
        context=CONTEXT,
        max_output=None if embeds else MOST_OUTPUT,
        input_modalities=scenario.inputs,
        output_modalities=("embeddings",) if embeds else ("text",),
    )
