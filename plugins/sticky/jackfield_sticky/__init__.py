"""The scheduler that keeps a session with one credential, and tells the provider which requests continue one another.

A provider caches the beginning of a prompt for the account that sent it. A session that moves to another account pays for
all of its history anew, and what the first account encrypted the second cannot read.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec

from jackfield.api import Attempt, Call, Candidate, Change, Delegate, Host, Pool, Seconds, hook
from jackfield.api.canonical import parse_suffix
from jackfield_sticky.bindings import Binding, Bindings
from jackfield_sticky.keys import continued, conversation, digest


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long sessions stay, and who picks for new ones."""

    over: str = "round_robin"
    """The scheduler that picks for a session that is not bound, or whose credential cannot serve."""
    ttl: Seconds = Seconds(3600)
    """How long a session stays bound after its latest call."""
    derive: bool = True
    """Tell sessions apart by how they begin, where the client does not name them. The body has to be decoded for that."""
    continuity: bool = True
    """Tell the provider which requests continue one another, where it has a place for that and the client said nothing."""

    def __post_init__(self) -> None:
        if not self.ttl > 0:
            raise ValueError("ttl: expected a time above 0")


class Plugin:
    """Binds sessions to candidates: a credential and an upstream model."""

    def __init__(self, config: Config, host: Host) -> None:
        if config.over == host.info.plugin:
            raise ValueError(f"over: {config.over!r} is this scheduler itself; name another one, such as round_robin")
        self._config, self._otherwise = config, Delegate(config.over)
        # Where the default one is missing the host goes round by itself.
        self.delegates = {} if config.over == Config().over else {"over": config.over}
        self._bindings = Bindings(host.state, host.clock, float(config.ttl), host.log)

    def pick_credential(self, call: Call, pool: Pool) -> Candidate | Delegate | Coroutine[Any, Any, Candidate | Delegate]:
        """Return the candidate to which the session is bound; let another scheduler pick where there is none that may serve."""
        key = self._key(call, pool) if call.operation != "resource" else None  # what an id names has an owner already
        if key is None:
            return self._otherwise
        binding = self._bindings.held(key)
        if binding is not None and self._bindings.believed(binding) and (candidate := _eligible(pool, binding)) is not None:
            return candidate
        return self._look_up(key, call, pool)

    async def _look_up(self, key: str, call: Call, pool: Pool) -> Candidate | Delegate:
        binding = await self._bindings.look_up(key)
        if binding is not None:
            call.state["instead"] = binding.to
            return _eligible(pool, binding) or self._otherwise
        if call.state["session"] is None:
            return self._otherwise
        # The account that serves the session's other models can read what it has encrypted of its thoughts.
        home = await self._bindings.look_up(_home(call, pool.all[0].provider))
        at_home = (candidate for candidate in pool.eligible if home is not None and candidate.credential == home.to)
        return next(at_home, None) or self._otherwise

    @hook(on_error="open", selected=True)
    def intercept_attempt(self, attempt: Attempt) -> Coroutine[Any, Any, None] | None:
        """Bind the session to who was picked for it."""
        state = attempt.call.state
        if (key := state.get("key")) is None:
            return None
        binding = self._bindings.held(key)
        if binding is not None and binding.to == attempt.candidate.id and not (state["shared"] and self._bindings.stale(binding)):
            return None
        return self._bind(key, attempt)

    async def _bind(self, key: str, attempt: Attempt) -> None:
        state, candidate, bindings = attempt.call.state, attempt.candidate, self._bindings
        binding, shared = bindings.held(key), state["shared"]
        if binding is not None and binding.to == candidate.id:
            await bindings.put(key, candidate.id, shared=shared)
        else:
            await bindings.bind(key, candidate.id, state["instead"], shared=shared)
        bound = bindings.held(key)
        if state["session"] is not None and bound is not None and bound.to == candidate.id:
            await bindings.put(_home(attempt.call, candidate.provider), candidate.credential, shared=shared)

    @hook(selected=True)
    def normalize_request(self, attempt: Attempt) -> Change | None:
        """Tell the provider which requests continue one another."""
        state = attempt.call.state
        if not self._config.continuity or "session" not in state or attempt.call.operation != "generate":
            return None
        return continued(attempt, state["derived"])

    def _key(self, call: Call, pool: Pool) -> str | None:
        """Return the key of the session's binding for a model; None where no session can be told."""
        state = call.state
        if "session" not in state:
            state["session"], state["derived"], state["shared"] = call.session, None, True
            if state["session"] is None and self._config.derive and call.operation != "embed":
                # One that has only begun may never go on: the store is spared most of those.
                state["derived"], state["shared"] = conversation(call)
        session = state["session"] or state["derived"]
        # What is named after a request begins with who sent it, so that nobody can reach another's.
        key = None if session is None else f"{call.principal.name}/{digest(session, parse_suffix(pool.model)[0])}"
        state["key"], state["instead"] = key, None
        return key


def _home(call: Call, provider: str) -> str:
    """Return the key under which it stands which of a provider's credentials a session was bound to last, whatever the model."""
    return f"{call.principal.name}/{digest(call.state['session'], provider, 'home')}"


def _eligible(pool: Pool, binding: Binding) -> Candidate | None:
    """Return the candidate of a binding; None where it may not be picked now."""
    here = pool.eligible
    if binding.place < len(here) and here[binding.place].id == binding.to:
        return here[binding.place]
    if pool.why(binding.to):
        return None
    binding.place = next((at for at, candidate in enumerate(here) if candidate.id == binding.to), len(here))
    return here[binding.place] if binding.place < len(here) else None
