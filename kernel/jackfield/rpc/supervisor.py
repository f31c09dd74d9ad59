"""Keeps a plugin through all its lives: reaches it, shakes hands, reaches it anew when it is lost, lets it go.

What carries a life (a child process, a socket) is a `Carrier`; what a carrier gives for each is a `Link`.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from jackfield.rpc import forms, wire
from jackfield.rpc.channel import Channel, Serve
from jackfield.rpc.errors import Gone, RpcFault

HANDSHAKE: Final = 10.0
"""Seconds in which a plugin must have said who it is."""
GRACE: Final = 5.0
"""Seconds that it gets to end by itself."""
ANSWER: Final = 5.0
"""Seconds in which it must answer a request that was cancelled, or a `$/ping`."""
TICK: Final = 1.0
"""Seconds between two looks at how it does."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_YOUNG: Final = 30.0
"""A life shorter than this counts as a failure; a longer one lets earlier failures be forgotten."""
_QUIET: Final = 15
"""Looks at a plugin of which nothing was heard, and that was asked nothing, before it is sent a `$/ping`."""
_registration = msgspec.json.Decoder(wire.Registration).decode


class Refused(Exception):
    """The plugin cannot be used; the message says why. `problems` are pairs: where in its section something is wrong, and what."""

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(forms.one_line(message))
        self.problems = problems

    def told(self, section: str) -> str:
        """Return the problems, a line each, given what the section is called; nothing where there are none."""
        return "\n".join(forms.one_line(f"{section}{'.' if where else ''}{where}: {what}") for where, what in self.problems)


class Link(Protocol):
    """One life of a plugin."""

    channel: Channel
    proof: str
    """What proves to the plugin that the host knows the secret that both share, where they do."""
    ended: "asyncio.Future[str]"
    """Done when nothing is left of it; the result says why: `its process ended with status 1`."""

    def end(self, why: str) -> None:
        """End it at once, for a reason that `it ...` can be said of; whoever waits for an answer of it is told."""

    async def check(self) -> str | None:
        """Say why it must be ended, if it must: `floods ...`. Asked once a second."""

    async def close(self, grace: float) -> None:
        """End it; it has been told of that, and gets some seconds to do so by itself. Nothing is left of it afterwards."""


class Carrier(Protocol):
    """How a plugin is reached."""

    again: str
    """What is said to happen when it was lost: `it is started again`."""
    most: int | None
    """Failures in a row after which it is given up; None for never."""

    async def open(self, serve: Serve, log: logging.Logger) -> Link:
        """Reach the plugin: from here on it can be asked. Raises `Refused`; leaves nothing behind when it fails or is cancelled."""


class Supervisor:
    """One plugin through all its lives. `given_up` is told when there will be no other, and why."""

    def __init__(
        self,
        carrier: Carrier,
        register: wire.Register,
        serve: Serve,
        log: logging.Logger,
        *,
        handshake: float = HANDSHAKE,
        given_up: Callable[[str], object] = lambda why: None,
    ) -> None:
        self._carrier, self._register, self._serve, self._log = carrier, register, serve, log
        self._handshake, self._given_up = handshake, given_up
        self._link: Link | None = None
        self._ready, self._begun, self._away, self._failures = False, False, "it has not started", 0
        self._tasks, self._hooks = list[asyncio.Task[None]](), frozenset[str]()

    def channel(self) -> Channel:
        """Return the connection as it is now. Raises `Gone` where there is none."""
        if self._link is None or not self._ready:
            raise Gone(self._away)
        return self._link.channel

    async def start(self) -> wire.Registration:
        """Reach the plugin, have it say what it is, and keep it. Raises `Refused`."""
        watch = asyncio.create_task(self._watch())
        try:
            said = await self._reach()
        except BaseException:
            watch.cancel()
            raise
        self._hooks = frozenset(said.hooks)
        self._tasks += asyncio.create_task(self._keep()), watch
        return said

    async def begin(self) -> None:
        """Tell it that the host starts; a later life is told as soon as it begins. Raises `RpcFault` for what fails then."""
        self._begun = True
        await self.channel().request("plugin.start", wire.Nothing())

    async def reconfigure(self, said: wire.Reconfigure) -> None:
        """Have it take another configuration, which its later lives begin with. Raises `Refused`."""
        try:
            async with asyncio.timeout(self._handshake):
                await self.channel().request("plugin.reconfigure", said)
        except TimeoutError:
            raise Refused(f"it did not answer plugin.reconfigure within {self._handshake:g} s") from None
        except RpcFault as fault:
            raise Refused(str(fault), fault.data.problems if fault.data is not None else ()) from None
        except Gone as fault:
            raise Refused(str(fault)) from None
        self._register = msgspec.structs.replace(self._register, config=said.config, from_environment=said.from_environment)
        self._log.info("it was reconfigured")

    async def _reach(self) -> wire.Registration:
        link = self._link = await self._carrier.open(self._serve, self._log)
        try:
            said = await self._shake_hands(link)
        except BaseException:
            link.end("is not used")
            await asyncio.shield(link.ended)
            self._link = None
            raise
        self._ready = True
        return said

    async def _shake_hands(self, link: Link) -> wire.Registration:
        try:
            async with asyncio.timeout(self._handshake):
                register = msgspec.structs.replace(self._register, proof=link.proof)
                said = _registration(await link.channel.request("plugin.register", register))
                if self._begun:
                    await link.channel.request("plugin.start", wire.Nothing())
        except TimeoutError:
            raise Refused(f"it did not answer plugin.register within {self._handshake:g} s") from None
        except RpcFault as fault:
            raise Refused(str(fault), fault.data.problems if fault.data is not None else ()) from None
        except Gone as fault:
            raise Refused(f"{fault}, before it had answered plugin.register") from None
        except (ValueError, RecursionError) as fault:
            raise Refused(f"its answer to plugin.register is none: {fault}") from None
        if said.schema_version > wire.SCHEMA_VERSION:
            raise Refused(f"it was written for version {said.schema_version} of the protocol; this host speaks {wire.SCHEMA_VERSION}")
        return said

    # --------------------------------------------------------------------------------------------- its lives

    async def _keep(self) -> None:
        """Wait until it is lost, and reach it anew, until it is given up."""
        now = asyncio.get_running_loop().time
        while (link := self._link) is not None:
            began = now()
            self._away = await asyncio.shield(link.ended)
            self._link, self._ready = None, False
            self._failures = self._failures + 1 if now() - began < _YOUNG else 1
            self._log.error("%s; %s", self._away, self._carrier.again)
            await self._return()

    async def _return(self) -> None:
        """Reach it anew, or give it up."""
        while self._carrier.most is None or self._failures <= self._carrier.most:
            await asyncio.sleep(min(_FIRST_PAUSE * 2 ** min(self._failures - 1, 16), _LONGEST_PAUSE) * random.uniform(0.5, 1))  # noqa: S311
            try:
                said = await self._reach()
            except Exception as fault:  # noqa: BLE001 (whatever it is, the next attempt may not meet it)
                if str(fault) != self._away:
                    self._log.warning("%s; it is tried again", fault)
                self._failures, self._away = self._failures + 1, str(fault)
            else:
                self._log.info("it runs again")
                if frozenset(said.hooks) != self._hooks:
                    self._log.warning("it has other hooks than before: those are used once the host is started anew")
                return
        why = f"given up after {self._failures} failures in a row: {self._away}; correct it, and reload"
        self._log.error("%s", why)
        self._given_up(why)

    async def _watch(self) -> None:
        """Look once a second how it does."""
        quiet, heard = 0, 0
        while True:
            await asyncio.sleep(TICK)
            if (link := self._link) is None or link.ended.done():
                continue
            channel, now = link.channel, asyncio.get_running_loop().time()
            if (why := await link.check() or _unanswered(channel, now)) is not None:
                link.end(why)
            quiet, heard = 0 if channel.asked or channel.late or channel.received != heard else quiet + 1, channel.received
            if quiet >= _QUIET and self._ready:
                quiet = 0
                channel.ping()

    async def close(self) -> None:
        """Let it finish, and stop it."""
        keeper, watch = self._tasks
        keeper.cancel()
        await asyncio.wait((keeper,))
        try:
            if (link := self._link) is not None:
                await self._let_go(link)
        finally:
            watch.cancel()
            await asyncio.wait((watch,))

    async def _let_go(self, link: Link) -> None:
        self._away = "it was stopped"
        now = asyncio.get_running_loop().time
        ends = now() + GRACE
        with contextlib.suppress(TimeoutError, RpcFault, Gone):
            async with asyncio.timeout(GRACE):
                await link.channel.request("plugin.shutdown", wire.Shutdown(grace=GRACE))
        await link.close(max(ends - now(), 0))
        await link.channel.settle()


def _unanswered(channel: Channel, now: float) -> str | None:
    """Say what it has left unanswered for too long."""
    since, what = next(iter(channel.late.values()), (now, ""))
    if now - since < ANSWER:
        return None
    return f"has not {what} within {ANSWER:g} s" + (" of its cancellation" if not what.endswith("$/ping") else "")
