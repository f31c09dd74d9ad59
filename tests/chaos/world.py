"""The scripted world: providers whose credentials change their behaviour over time, all of it decided by a seed."""

from __future__ import annotations

import asyncio
import random
import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import Any, Final, Self

import msgspec

from jackfield.api.testing import Received, ScriptedUpstream
from jackfield.api.testing.upstream import Wire as Line
from tests.chaos.wires import MODEL, Chat, Messages, Wire

PROVIDERS: Final[dict[str, type[Wire]]] = {"east": Chat, "west": Messages, "north": Chat}
PER_PROVIDER: Final = 4
WAITS: Final = {"connect": "2s", "first_byte": "5s", "idle": "5s"}
GRID: Final = 0.05
"""What takes time takes a multiple of it, in seconds, so that more happens in one moment."""
_NAME: Final = re.compile(rb"call-\d+")


class Window(msgspec.Struct):
    """How a credential behaves for a while."""

    begins: float
    ends: float
    behaviour: str


class Asked(msgspec.Struct):
    """One request as it came in at the upstream, and what became of it."""

    credential: str
    behaviour: str
    at: float
    good: bool = False
    """A whole answer was given."""
    over: float = 0.0
    """When it was over."""

    def __str__(self) -> str:
        return f"{self.credential} at {self.at:.2f} {self.behaviour}"


# ---------------------------------------------------------------------------------------------- behaviours

Play = Callable[["World", Received, Line, "Turn"], Awaitable[bool | None]]
"""Answers one request; tells whether the answer was a good one."""
BEHAVIOURS: Final[dict[str, Play]] = {}
"""How a credential can behave, by name."""


class Turn(msgspec.Struct):
    """What a behaviour needs to know of a request."""

    wire: Wire
    name: str
    stream: bool
    ends: float
    """When the credential's window is over."""
    rng: random.Random

    def moment(self, most: float = 0.4) -> Awaitable[None]:
        """Let a moment pass."""
        return asyncio.sleep(GRID * self.rng.randint(0, round(most / GRID)))


def behaviour(play: Play) -> Play:
    BEHAVIOURS[play.__name__.removeprefix("_").removesuffix("_")] = play
    return play


def answer_to(name: str) -> list[str]:
    """Return the words of the answer to a request: others for each."""
    return ["Answer ", "to ", name, ": ", *(f"w{n} " for n in range(int(name[5:]) % 6)), "end."]


def head(status: int, body: bytes | None, kind: str = "application/json", headers: dict[str, str] | None = None) -> bytes:
    """Return the head of an answer: with a body of this length, or in chunks."""
    named = {"Content-Type": kind, **(headers or {})}
    named |= {"Transfer-Encoding": "chunked"} if body is None else {"Content-Length": str(len(body))}
    return f"HTTP/1.1 {status} Scripted\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in named.items()) + b"\r\n"


async def whole(line: Line, status: int, body: bytes, **more: Any) -> None:
    """Send a whole answer."""
    await line.send(head(status, body, **more) + body)


async def chunks(line: Line, turn: Turn, *events: bytes) -> None:
    """Send events, with a moment between some of them."""
    for event in events:
        if turn.rng.random() < 0.3:
            await turn.moment(0.2)
        await line.send(b"%x\r\n%b\r\n" % (len(event), event))


async def begin(line: Line, turn: Turn, *events: bytes) -> None:
    """Begin a stream."""
    await line.send(head(200, None, "text/event-stream"))
    await chunks(line, turn, *events)


@behaviour
async def _good(world: World, received: Received, line: Line, turn: Turn) -> bool:
    words = answer_to(turn.name)
    if b" mistake" in received.body:
        await whole(line, 400, turn.wire.error(400))
        return False
    if turn.stream:
        await begin(line, turn, *turn.wire.opening(), *turn.wire.spoken(words), *turn.wire.ending())
        await line.send(b"0\r\n\r\n")
    else:
        await whole(line, 200, turn.wire.whole("".join(words)))
    return True


def _refusing(status: int, name: str = "") -> None:
    async def play(world: World, received: Received, line: Line, turn: Turn) -> None:
        await whole(line, status, turn.wire.error(status))

    play.__name__ = name or f"status {status}"
    behaviour(play)


for _status in (401, 402, 403, 404, 429, 500, 502, 503, 504, 529):
    _refusing(_status)


@behaviour
async def _limited(world: World, received: Received, line: Line, turn: Turn) -> None:
    """Say 429, and truly for how long, as far as whole seconds allow."""
    left = max(0, int(turn.ends - world.time()))
    said = str(left) if turn.rng.random() < 0.7 else formatdate(int(time.time()) + max(0, left - 1), usegmt=True)
    await whole(line, 429, turn.wire.error(429), headers={"Retry-After": said})


@behaviour
async def _page(world: World, received: Received, line: Line, turn: Turn) -> None:
    await whole(line, 502, b"<html><body>Bad gateway</body></html>", kind="text/html")


@behaviour
async def _reset(world: World, received: Received, line: Line, turn: Turn) -> None:
    line.abort()


@behaviour
async def _reset_after_head(world: World, received: Received, line: Line, turn: Turn) -> None:
    await line.send(head(200, None, "text/event-stream") if turn.stream else head(200, b"x" * 500))
    await turn.moment()
    line.abort()


@behaviour
async def _stall(world: World, received: Received, line: Line, turn: Turn) -> None:
    await line.gone.wait()


@behaviour
async def _stall_after_head(world: World, received: Received, line: Line, turn: Turn) -> None:
    await line.send(head(200, None, "text/event-stream") if turn.stream else head(200, b"x" * 500))
    await line.gone.wait()


@behaviour
async def _no_http(world: World, received: Received, line: Line, turn: Turn) -> None:
    await line.send(turn.rng.randbytes(60) + b"\r\n\r\n")
    line.abort()


@behaviour
async def _garbage(world: World, received: Received, line: Line, turn: Turn) -> None:
    kind = "text/event-stream" if turn.stream and turn.rng.random() < 0.5 else "application/json"
    await whole(line, 200, turn.rng.choice([b"<html>It works!</html>", b'{"hello": 1}', turn.rng.randbytes(80), b"[]"]), kind=kind)


@behaviour
async def _empty(world: World, received: Received, line: Line, turn: Turn) -> None:
    await whole(line, 200, b"", kind="text/event-stream" if turn.stream else "application/json")


@behaviour
async def _overload_inside_200(world: World, received: Received, line: Line, turn: Turn) -> None:
    body = turn.wire.error(503, overloaded=True)
    await whole(
        line, 200, turn.wire.error_event() if turn.stream else body, kind="text/event-stream" if turn.stream else "application/json"
    )


@behaviour
async def _error_after_opening(world: World, received: Received, line: Line, turn: Turn) -> None:
    if turn.stream:
        await begin(line, turn, *turn.wire.opening(), turn.wire.error_event())
        await line.send(b"0\r\n\r\n")
    else:
        await whole(line, 200, turn.wire.error(503, overloaded=True))


@behaviour
async def _opening_alone(world: World, received: Received, line: Line, turn: Turn) -> None:
    if turn.stream:
        await begin(line, turn, *turn.wire.opening())
        await line.send(b"0\r\n\r\n")
    else:
        await whole(line, 200, b"{}")


def _broken(name: str, break_: Callable[[Line, Turn], Awaitable[None]]) -> None:
    """Add a behaviour that breaks an answer which has begun."""

    async def play(world: World, received: Received, line: Line, turn: Turn) -> None:
        words = answer_to(turn.name)
        if turn.stream:
            spoken = turn.wire.spoken(words)
            await begin(line, turn, *turn.wire.opening(), *spoken[: turn.rng.randint(2, len(spoken))])
        else:
            body = turn.wire.whole("".join(words))
            await line.send(head(200, body) + body[: len(body) // 2])
        await turn.moment()
        await break_(line, turn)

    play.__name__ = name
    behaviour(play)


async def _abort(line: Line, turn: Turn) -> None:
    line.abort()


async def _go_quiet(line: Line, turn: Turn) -> None:
    await line.gone.wait()


async def _end_early(line: Line, turn: Turn) -> None:
    if turn.stream:
        await line.send(b"0\r\n\r\n")
    else:
        line.abort()


async def _fail_late(line: Line, turn: Turn) -> None:
    if turn.stream:
        await chunks(line, turn, turn.wire.error_event())
        await line.send(b"0\r\n\r\n")
    else:
        line.abort()


_broken("cut", _abort)
_broken("quiet in the middle", _go_quiet)
_broken("ends early", _end_early)
_broken("error in the middle", _fail_late)

# ----------------------------------------------------------------------------------------------- the world


class World:
    """Three providers with four credentials each. What each does when is decided by the seed."""

    def __init__(self, seed: int, *, good: float = 8.0, bad: float = 12.0) -> None:
        """`good` and `bad` are the mean lengths of windows, in seconds."""
        self.seed, self._good, self._bad = seed, good, bad
        self.credentials = [f"{provider}-{n}" for provider in PROVIDERS for n in range(PER_PROVIDER)]
        self._plans = {name: self._plan(name) for name in [*self.credentials, *PROVIDERS, "everything"]}
        self._windows: dict[str, list[Window]] = {name: [Window(0.0, 0.0, "")] for name in self._plans}
        self.asked: dict[str, list[Asked]] = {}
        """What came in, by the name of the call."""
        self.left: dict[str, float] = {}
        """When the clients of calls left: in that moment a request may be on its way."""
        self.met = Counter[str]()
        """How often each behaviour was met."""
        self.serving = 0
        """Requests that are being answered now."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.upstreams: dict[str, ScriptedUpstream] = {}
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for provider in PROVIDERS:
            self.upstreams[provider] = await self._parts.enter_async_context(ScriptedUpstream(self._play))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._parts.aclose()

    def time(self) -> float:
        """Return the seconds since the world began."""
        return self._loop.time() - self._began

    def config(self) -> dict[str, Any]:
        """Return what a host has to be told of this world."""
        told = {name: {"base_url": self.upstreams[name].url, "models": [MODEL]} for name in PROVIDERS}
        openai = {name: {**told[name], "auth": "bearer"} for name, wire in PROVIDERS.items() if wire is Chat}
        anthropic = {name: told[name] for name, wire in PROVIDERS.items() if wire is Messages}
        keys = [{"provider": name.split("-")[0], "id": name, "label": name, "key": f"key-of-{name}"} for name in self.credentials]
        plugins = {"openai": {"providers": openai}, "anthropic": {"providers": anthropic}}
        return {"plugins": plugins, "credentials": keys, "timeouts": WAITS}

    # ------------------------------------------------------------------------------------------- the script

    def _plan(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def _window(self, name: str, at: float) -> Window:
        """Return how a credential behaves at a time, or a whole provider, or everything."""
        windows, plan = self._windows[name], self._plans[name]
        rarely = 1 if name in self.credentials else 10
        while windows[-1].ends <= at:
            last = windows[-1]
            bad = last.behaviour == "good"
            length = plan.expovariate(1 / self._bad) if bad else plan.expovariate(1 / (self._good * rarely))
            kinds = [kind for kind in BEHAVIOURS if kind != "good"]
            windows.append(Window(last.ends, last.ends + max(GRID, length), plan.choice(kinds) if bad else "good"))
        return windows[bisect_right(windows, at, key=lambda window: window.begins) - 1]

    def _who_decides(self, credential: str) -> list[str]:
        return ["everything", credential.split("-", maxsplit=1)[0], credential]

    def behaviour(self, credential: str, at: float) -> Window:
        """Return how a credential behaves at a time."""
        windows = [self._window(name, at) for name in self._who_decides(credential)]
        return next((window for window in windows if window.behaviour != "good"), windows[-1])

    def was_well(self, credential: str, begins: float, ends: float) -> bool:
        """Tell whether a credential would have given good answers for the whole of a time."""
        windows = [self._window(name, begins) for name in self._who_decides(credential)]
        return all(window.behaviour == "good" and window.ends > ends for window in windows)

    async def _play(self, received: Received, line: Line) -> None:
        key = received.headers.get("x-api-key") or (received.headers.get("authorization") or "").removeprefix("Bearer ")
        found, credential = _NAME.search(received.body), key.removeprefix("key-of-")
        name = found[0].decode() if found else "call-0"
        wire = PROVIDERS[credential.split("-")[0]]()
        window = self.behaviour(credential, self.time())
        asked = Asked(credential, window.behaviour, self.time())
        self.asked.setdefault(name, []).append(asked)
        self.met[window.behaviour] += 1
        turn = Turn(
            wire, name, b'"stream":true' in received.body.replace(b" ", b""), window.ends, self._plan(f"{name} {len(self.asked[name])}")
        )
        self.serving += 1
        try:
            await turn.moment()
            good = await BEHAVIOURS[window.behaviour](self, received, line, turn)
            asked.good = bool(good) and not line.gone.is_set()
        finally:
            self.serving -= 1
            asked.over = self.time()
