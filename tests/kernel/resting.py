"""What the tests of health share: a host in virtual time whose provider does as it is told, credential by credential."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import msgspec

from jackfield.api import Attempt, Headers, QuotaHeaders, Reply, Rule
from jackfield.api.testing import Answer, Harness
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.pipeline_kit import ask
from tests.virtual_time import NOON, Clock

Order = int | tuple[int, Mapping[str, str]] | Callable[[Attempt], Awaitable[Any]]
"""What a credential answers: a status, one with headers, or what comes of waiting for something."""

FAILURES = (
    Rule(status=404, match="no model", cause="unsupported", blame="credential_model"),
    Rule(status=403, match="verify", cause="account_action"),
    Rule(status=451, cause="quota", blame="credential"),
)
WORDS = {403: "verify your account", 404: "no model for you"}
QUOTA = (QuotaHeaders(prefix="toy-", limit="limit", remaining="left", reset="reset", name="day"),)


class Acme(ToyProvider):
    """Answers as is ordered for the credential: with the first of its orders until there is one left, which stays."""

    failures, quota = FAILURES, QUOTA

    def __init__(self, clock: Clock, key: str = "toy", models: Sequence[str] = ("m", "n")) -> None:
        super().__init__()
        self.key, self.models, self._clock = key, models, clock
        self.orders: dict[str, list[Order]] = {}
        self.asked: list[str] = []
        """The labels of the credentials that were asked, in order, and when that was."""
        self.times: list[float] = []

    async def execute(self, attempt: Attempt) -> Reply:
        label = attempt.candidate.label
        self.asked.append(label)
        self.times.append(self._clock.steady)
        left = self.orders.get(label) or [200]
        order = left.pop(0) if len(left) > 1 else left[0]
        if callable(order):
            order = await order(attempt)
        if isinstance(order, Reply):
            return order
        status, headers = order if isinstance(order, tuple) else (order, {})
        if status == 200:
            reply = await super().execute(attempt)
            return msgspec.structs.replace(reply, headers=Headers(headers.items()))
        said = {"oops": WORDS.get(status, f"error {status}"), "code": f"c{status}"}
        return Reply(status=status, headers=Headers(headers.items()), body=msgspec.json.encode(said))

    def seen(self) -> list[str]:
        """Return who was asked since the last look."""
        asked, self.asked, self.times = self.asked, [], []
        return asked


class Town:
    """A host with credentials, and its provider."""

    def __init__(
        self, clock: Clock, credentials: str | Sequence[Mapping[str, Any]], *plugins: object, config: Mapping[str, Any] | None = None
    ) -> None:
        """`credentials` are labels in one text, or what the configuration says of each. By themselves calls do not wait."""
        held = [{"label": label} for label in credentials.split()] if isinstance(credentials, str) else credentials
        self.clock, self.acme = clock, Acme(clock)
        listed = [{"provider": "toy", "id": one["label"], "key": f"key of {one['label']}", **one} for one in held]
        given = {"credentials": listed, "attempts": {"wait": 0}, **(config or {})}
        self.host = Harness([Toy(self.acme), *plugins], given, bare=True)

    async def __aenter__(self) -> Self:
        await self.host.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.host.__aexit__(*exc)

    def order(self, **orders: Order | list[Order]) -> None:
        """Say what each credential answers from now on."""
        self.acme.orders |= {label: list(said) if isinstance(said, list) else [said] for label, said in orders.items()}
        self.acme.seen()

    async def ask(self, **said: Any) -> Answer:
        """Make one call."""
        return await ask(self.host, **said)

    async def asked(self, **said: Any) -> str:
        """Make one call and return who was asked for it, and what came of it: `a b 200`."""
        self.acme.seen()
        answer = await self.ask(**said)
        return " ".join([*self.acme.seen(), str(answer.status)])

    async def asking(self, seconds: float, every: float, **said: Any) -> list[Answer]:
        """Make calls for a while."""
        end, answers = self.clock.steady + seconds, list[Answer]()
        while self.clock.steady < end:
            answers.append(await self.ask(**said))
            await asyncio.sleep(every)
        return answers

    def times_of(self, label: str) -> list[float]:
        """Return when a credential was asked since the last look."""
        return [at for at, asked in zip(self.acme.times, self.acme.asked, strict=True) if asked == label]

    @property
    def health(self) -> Any:
        """What keeps who rests."""
        return self.host.host._shared.lasting.health  # type: ignore[union-attr]

    def account(self, label: str) -> Any:
        """Return the account of a credential."""
        return next(account for account in self.host.host.generation.accounts if account.credential.label == label)

    def state(self, label: str) -> dict[str, Any]:
        """Return what there is to know of a credential."""
        found: dict[str, Any] = self.health.describe(self.account(label))
        return found


def at(seconds: float) -> str:
    """Return the time of day so long after the beginning, as an operator reads it."""
    return time.strftime("%H:%M:%S", time.localtime(NOON + seconds))


class Held:
    """An order that waits until it is told what to answer."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def __call__(self, attempt: Attempt) -> Any:
        self.begun.set()
        return await self._answer

    def answer(self, said: Any) -> None:
        """Let it answer."""
        self._answer.set_result(said)
