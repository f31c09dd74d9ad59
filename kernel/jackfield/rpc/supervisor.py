"""Keeps a plugin through all its lives: reaches it, shakes hands, reaches it anew when it is lost, lets it go.

What carries a life (a child process, a socket) is a `Carrier`; what a carrier gives for each is a `Link`.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from jackfield.rpc import wire
from jackfield.rpc.channel import Channel, Serve
from jackfield.rpc.errors import Gone, RpcFault

HANDSHAKE: Final = 10.0
"""Seconds in which a plugin must have said who it is."""
GRACE: Final = 5.0
"""Seconds that it gets to end by itself."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_YOUNG: Final = 30.0
"""A life shorter than this counts as a failure; a longer one lets earlier failures be forgotten."""
_registration = msgspec.json.Decoder(wire.Registration).decode


class Refused(Exception):
    """The plugin cannot be used; the message says why. `problems` are pairs: where in its section something is wrong, and what."""

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class Link(Protocol):
    """One life of a plugin."""

    channel: Channel
    ended: "asyncio.Future[str]"
    """Done when nothing is left of it; the result says why: `its process ended with status 1`."""

    def end(self) -> None:
        """End it at once; what waits for it has been told why."""

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
    """One plugin through all its lives."""

    def __init__(
        self, carrier: Carrier, register: wire.Register, serve: Serve, log: logging.Logger, *, handshake: float = HANDSHAKE
    ) -> None:
        self._carrier, self._register, self._serve, self._log, self._handshake = carrier, register, serve, log, handshake
        self._link: Link | None = None
        self._away, self._failures, self._begun = "it has not started", 0, False
        self._keeper: asyncio.Task[None] | None = None

    def channel(self) -> Channel:
        """Return the connection as it is now. Raises `Gone` where there is none."""
        if self._link is None:
            raise Gone(self._away)
        return self._link.channel

    async def start(self) -> wire.Registration:
        """Reach the plugin, have it say what it is, and keep it. Raises `Refused`."""
        said = await self._reach()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())
        return said

    async def begin(self) -> None:
        """Tell it that the host starts; a later life is told as soon as it begins. Raises `RpcFault` for what fails then."""
        self._begun = True
        await self.channel().request("plugin.start", wire.Nothing())

    async def _reach(self) -> wire.Registration:
        link = await self._carrier.open(self._serve, self._log)
        try:
            said = await self._shake_hands(link.channel)
        except BaseException:
            link.channel.lose("it is not used")
            link.end()
            await asyncio.shield(link.ended)
            raise
        self._link = link
        return said

    async def _shake_hands(self, channel: Channel) -> wire.Registration:
        try:
            async with asyncio.timeout(self._handshake):
                said = _registration(await channel.request("plugin.register", self._register))
                if self._begun:
                    await channel.request("plugin.start", wire.Nothing())
        except TimeoutError:
            raise Refused(f"it did not answer plugin.register within {self._handshake:g} s") from None
        except RpcFault as fault:
            raise Refused(str(fault), fault.data.problems if fault.data is not None else ()) from None
        except (Gone, msgspec.ValidationError) as fault:
            raise Refused(str(fault)) from None
        if said.schema_version > wire.SCHEMA_VERSION:
            raise Refused(f"it was written for version {said.schema_version} of the protocol; this host speaks {wire.SCHEMA_VERSION}")
        return said

    async def _keep(self) -> None:
        """Wait until it is lost, and reach it anew, until it is given up."""
        now = asyncio.get_running_loop().time
        while (link := self._link) is not None:
            began = now()
            self._away = await asyncio.shield(link.ended)
            self._link = None
            self._failures = self._failures + 1 if now() - began < _YOUNG else 1
            self._log.error("%s; %s", self._away, self._carrier.again)
            while self._link is None:
                if self._carrier.most is not None and self._failures > self._carrier.most:
                    self._log.error("given up after %d failures in a row: %s", self._failures, self._away)
                    return
                await asyncio.sleep(min(_FIRST_PAUSE * 2 ** (self._failures - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1))  # noqa: S311
                try:
                    await self._reach()
                    self._log.info("it runs again")
                except Refused as fault:
                    self._failures, self._away = self._failures + 1, str(fault)

    async def close(self) -> None:
        """Let it finish, and stop it."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        if (link := self._link) is None:
            return
        try:
            async with asyncio.timeout(GRACE):
                await link.channel.request("plugin.shutdown", wire.Shutdown(grace=GRACE))
        except (TimeoutError, RpcFault, Gone):
            pass
        await link.close(GRACE)
        await link.channel.settle()
