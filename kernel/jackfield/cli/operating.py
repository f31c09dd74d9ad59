"""What an operator may ask of a host that runs, whoever carries the word: a signal, a changed file, the control socket."""

import asyncio
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from jackfield import __version__
from jackfield.cli.names import listed, near
from jackfield.host import Jackfield, NotReloaded
from jackfield.plugins import Plugin

log = logging.getLogger("jackfield")

_SUCCESSOR = 120.0
"""Seconds in which a new process must serve."""
_NEED_RESTART = ("host", "port", "control", "tls")
"""Settings of `server` that hold as long as the process runs."""


class Refusal(Exception):
    """What was asked cannot be done; the message says why."""


class Operator:
    """Does what operators ask of one host. Made on the event loop, when the host has started."""

    def __init__(self, host: Jackfield) -> None:
        self.host, self.since = host, time.time()
        self.noticed: Callable[[], Awaitable[None]] = _nothing
        """Called before the files are read, so that nobody else finds them changed."""
        self.saved: Callable[[], Awaitable[bool]] = _not_kept
        """Keeps what was switched; tells whether it will be remembered."""
        self.left: Callable[[], None] = lambda: None
        """Called when another process takes the calls: this one finishes its own and ends."""
        self._server, self._turn = host.config.server, asyncio.Lock()
        self._next: asyncio.Task[dict[str, Any]] | None = None
        """The reload that waits for its turn: whoever asks for one meanwhile is answered by it."""
        self._tasks = set[asyncio.Task[Any]]()

    def spawn(self, work: Any) -> "asyncio.Task[Any]":
        """Run something beside the host until the operator's work ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End what was spawned."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ changing

    async def reload(self) -> dict[str, Any]:
        """Use the configuration as it is now. Raises `Refusal` when that cannot be done."""
        if self._next is None:
            self._next = self.spawn(self._change(self.host.reload))
        return await self._answer(self._next)

    async def rollback(self, number: int | None = None) -> dict[str, Any]:
        """Go back to a configuration that is kept. Raises `Refusal` when that cannot be done."""
        return await self._answer(self.spawn(self._change(lambda: self.host.rollback(number))))

    async def upgrade(self) -> dict[str, Any]:
        """Let a new process take the calls, with the code that is installed now. Raises `Refusal` where it does not serve."""
        from jackfield.cli.inheritance import SUPPORTED, Started  # noqa: PLC0415 (for upgrades alone)

        if not SUPPORTED:
            raise Refusal("this system does not let a process inherit sockets: stop the host and start it")
        async with self._turn:
            held = [os.dup(one.fileno()) for one in self.host.listening]
            try:
                started = Started(held, worker=None, succeeds=True)
            finally:
                for number in held:
                    os.close(number)
            try:
                async with asyncio.timeout(_SUCCESSOR):
                    serves = await started.ready()
            except TimeoutError:
                serves = False
                started.process.kill()
            if not serves:
                await asyncio.to_thread(started.process.wait)
                raise Refusal("the new process does not serve, see the log; this one goes on")
            log.info("process %d takes the calls; this one finishes its own", started.process.pid)
            self.left()
            return {"started": [started.process.pid], "leaving": [os.getpid()]}

    async def drain(self) -> dict[str, Any]:
        """Finish the calls in flight, take no others, and end: another process takes them."""
        self.left()
        return {"leaving": [os.getpid()]}

    async def hang_up(self) -> None:
        """Reload; what is wrong stands in the log."""
        try:
            await self.reload()
        except Refusal:
            return
        except Exception:
            log.exception("the host could not reload")

    @staticmethod
    async def _answer(change: "asyncio.Task[dict[str, Any]]") -> dict[str, Any]:
        await asyncio.wait((change,))  # whoever asks may leave: the change goes on
        told = {"error": "the host is stopping"} if change.cancelled() else change.result()
        if "error" in told:
            raise Refusal(told["error"])
        return told

    async def _change(self, ask: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        async with self._turn:
            if asyncio.current_task() is self._next:
                self._next = None
            host, problems, before = self.host, set(self.host.problems), self.host.plugins
            number = host.generation.number
            await self.noticed()
            try:
                await ask()
            except NotReloaded as fault:
                return {"error": str(fault)}
            _tidy()
            told: dict[str, Any] = {"generation": host.generation.number, "before": number, **_changed(before, host.plugins)}
            told |= {"restart": self._in_vain(), "problems": [problem for problem in host.problems if problem not in problems]}
            for line in (*told["restart"], *told["problems"]):
                log.warning("%s", line)
            log.info("%s", in_words(told))
            return told

    def _in_vain(self) -> list[str]:
        """Return what the configuration says that takes effect at the next start only."""
        now, held, source = self.host.config.server, self._server, self.host.loaded.source
        changed = [(name, getattr(held, name)) for name in _NEED_RESTART if getattr(now, name) != getattr(held, name)]
        return [f"{source}: server.{name}: stays {holds!r} until the host is started again" for name, holds in changed]

    # -------------------------------------------------------------------------------------------- telling

    async def status(self) -> dict[str, Any]:
        """Return how the host is."""
        host, generation = self.host, self.host.generation
        states = [plugin.state for plugin in host.plugins]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "since": self.since,
            "address": f"{self._server.host}:{host.port}",
            "config": host.loaded.source,
            "invalid": generation.invalid,
            "generation": generation.number,
            "kept": sorted(host.kept),
            "calls": sum(one.calls for one in host.generations),
            "calls_of_former_generations": sum(one.calls for one in host.generations[:-1]),
            "plugins": {state: states.count(state) for state in ("active", "disabled", "failed")},
            "credentials": len(generation.accounts),
            "off": sorted(host.lasting.health.off),
            "problems": host.problems,
        }

    async def credentials(self) -> list[dict[str, Any]]:
        """Return what there is to know of each credential."""
        return credentials_of(self.host)

    # ------------------------------------------------------------------------------------------ switching

    async def switch(self, name: str, on: bool) -> dict[str, Any]:
        """Switch a credential or a provider on or off, and remember it. Raises `Refusal` for a name that is none."""
        health = self.host.lasting.health
        known = {account.provider.key for account in self.host.generation.accounts} | (health.off if on else set())
        chosen = name if name in known else self._id_of(name, f"no credential and no provider {name!r}", known)
        health.switch(chosen, on)
        log.info("%s was switched %s", chosen, "on" if on else "off")
        return {"name": chosen, "on": on, "remembered": await self.saved()}

    async def reset(self, name: str | None = None) -> dict[str, Any]:
        """Forget why a credential rests, or why all do. Raises `Refusal` for a name that is none."""
        chosen = None if name is None else self._id_of(name, f"no credential {name!r}")
        rested = sum(one["state"] == "resting" for one in credentials_of(self.host) if chosen in (None, one["id"]))
        self.host.lasting.health.reset(chosen)
        if rested:
            log.info("%s", f"{chosen} rests no longer" if chosen else f"all that rested may be used again: {rested}")
        await self.saved()
        return {"reset": rested}

    async def remove(self, name: str) -> dict[str, Any]:
        """Have a credential's source forget it. Raises `Refusal` where there is none, or it can forget nothing."""
        chosen = self._id_of(name, f"no credential {name!r}")
        for source in self.host.generation.sources:
            if chosen in {given.id or given.identity for given in source.credentials}:
                if not callable(remove := getattr(source.object, "remove", None)):
                    raise Refusal(f"{chosen} is from {source.object.name!r} of the plugin {source.plugin!r}, which can forget nothing")
                try:
                    await remove(chosen)
                except Exception as fault:
                    await self.host.refresh(source)
                    if chosen in {given.id or given.identity for given in source.credentials}:  # else another worker was quicker
                        raise Refusal(f"plugin {source.plugin!r}: {source.object.name}: {type(fault).__name__}: {fault}") from fault
                else:
                    await self.host.refresh(source)
                log.info("%s was removed", chosen)
                return {"removed": chosen}
        account = next(account for account in self.host.generation.accounts if account.credential.id == chosen)
        raise Refusal(f"{chosen} is from {account.credential.origin or 'its provider, which needs no key'}: take it out there")

    def _id_of(self, name: str, missing: str, besides: Iterable[str] = ()) -> str:
        """Return the id of the credential that is called so, by its id or a label that is no other's."""
        found = credentials_of(self.host)
        fitting = [one["id"] for one in found if one["id"] == name] or [one["id"] for one in found if one["label"] == name]
        if len(fitting) == 1:
            return str(fitting[0])
        if fitting:
            raise Refusal(f"{len(fitting)} credentials are called {name!r}; say which by its id: {listed(fitting)}")
        raise Refusal(missing + near(name, {*besides, *(one[key] for one in found for key in ("id", "label"))}))

    # -------------------------------------------------------------------------------------------- logging

    async def log_level(self, level: str, name: str = "jackfield") -> dict[str, Any]:
        """Log more, or less, from now on. Raises `Refusal` for what is no level."""
        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            raise Refusal(f"no level {level!r}; there are: debug, info, warning, error")
        logging.getLogger(name).setLevel(number)
        return {"logger": name, "level": level.lower()}

    def asked(self, what: str, said: Mapping[str, Any]) -> Awaitable[Any]:
        """Return the answer to a request by its name. Raises `Refusal` for one that there is not."""
        requests: dict[str, Callable[..., Awaitable[Any]]] = {
            "reload": self.reload, "rollback": self.rollback, "status": self.status, "credentials": self.credentials,
            "switch": self.switch, "reset": self.reset, "remove": self.remove, "log_level": self.log_level,
            "upgrade": self.upgrade, "drain": self.drain,
        }  # fmt: skip
        if what not in requests:
            raise Refusal(f"this host knows no request {what!r}; it knows: {', '.join(requests)}")
        return requests[what](**said)


async def _nothing() -> None:
    """Nobody has to know."""


async def _not_kept() -> bool:
    return False


def _tidy() -> None:
    """Let the garbage collector find what the former generation left, and then pass over all that lasts, as after the start."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _changed(before: list[Plugin], now: list[Plugin]) -> dict[str, list[str]]:
    """Return which plugins came, went, and were made anew."""
    was, are = ({plugin.id: plugin.object for plugin in found if plugin.state == "active"} for found in (before, now))
    anew = [name for name in are if name in was and are[name] is not was[name]]
    return {"anew": anew, "added": sorted(are.keys() - was.keys()), "removed": sorted(was.keys() - are.keys())}


def in_words(told: Mapping[str, Any]) -> str:
    """Say what a reload came to, in one line."""
    parts = (("anew", "made anew"), ("added", "added"), ("removed", "removed"))
    plugins = "; ".join(f"{word}: {', '.join(told[key])}" for key, word in parts if told[key])
    same = told["generation"] == told["before"]
    return f"generation {told['generation']} {'goes on, nothing has changed' if same and not plugins else 'serves'}" + (
        f" (plugins {plugins})" if plugins else ""
    )


def credentials_of(host: Jackfield) -> list[dict[str, Any]]:
    """Return what there is to know of each of a host's credentials, as plain data."""
    health, able = host.lasting.health, host.refreshing.able()
    return [
        msgspec.to_builtins(health.describe(account))
        | {"expires_at": account.credential.expires_at, "refreshed": account.credential.id in able}
        for account in host.generation.accounts
    ]
