"""The provider: it reads the name of the model and lets the scenario of that name answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jackfield.api import Attempt, CallError, Provider, Reply, failure
from jackfield_simulator.answers import Ask, Texts, refused
from jackfield_simulator.composing import compose
from jackfield_simulator.embeddings import embed
from jackfield_simulator.scenarios import Named, find, listing, nearest


class Simulator(Provider):
    """Answers every call by itself. Needs no key, sends nothing, keeps nothing between two calls.

    `texts` are the scripts of `sim/text`; `pace` is the time in seconds before the first event and between two, where
    the model's name does not say another.
    """

    key = "sim"
    dialects = ("canonical",)

    def __init__(self, texts: Texts | None = None, pace: float = 0.0) -> None:
        self._texts = texts or {}
        self._pace = pace
        self.models = listing(self._texts)

    def dialects_of(self, model: str) -> Sequence[str]:
        """Return the canonical model, but for embeddings, for which it has no words."""
        named = find(model)
        return self.dialects if named is None else named.scenario.dialects

    async def execute(self, attempt: Attempt) -> Reply:
        """Answer as the scenario does that the model's name names.

        Raises `CallError`: 404 for a name that no scenario has, 400 for an operation that it does not serve.
        """
        named = self._named(attempt)
        pace = self._pace if named.pace is None else named.pace
        if pace:
            await asyncio.sleep(pace)
        if named.scenario.operation == "embed":
            return embed(attempt.body.raw, attempt.model)
        ask = Ask(request=attempt.request, model=attempt.model, stream=attempt.stream, values=named.values, texts=self._texts, pace=pace)
        return await named.scenario.deliver(ask, compose(ask, named.scenario.say(ask)))

    def _named(self, attempt: Attempt) -> Named:
        named = find(attempt.model)
        if named is None:
            near = nearest(attempt.model)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "see the list of models"
            raise refused(f"the simulator has no scenario {attempt.model!r}; {hint}", status=404, code="model_not_found", param="model")
        served, asked = named.scenario.operation, attempt.call.operation
        if served != asked:
            message = f"the model {attempt.model!r} serves {served!r}, not {asked!r}"
            raise CallError(failure("unsupported", message, status=400, code="unsupported_operation", param="model"))
        return named
