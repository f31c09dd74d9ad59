"""A generation: one immutable state of the host. A call holds the one that it began with.

Building one turns configuration and plugins into what the pipeline walks: chains, routes, dialects,
providers, models. What must outlive it (accounts, pools of connections, breakers) is handed in.
"""

import asyncio
import difflib
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

import msgspec

from jackfield.addresses import origin_of
from jackfield.api import (
    HOOKS,
    Command,
    Credential,
    Dialect,
    Headers,
    ModelInfo,
    PluginRoute,
    Provider,
    StateStore,
    Translator,
    matches,
    matches_any,
)
from jackfield.api.canonical import parse_suffix
from jackfield.building import config_type_of
from jackfield.canonical_dialect import CanonicalDialect
from jackfield.config import Loaded
from jackfield.credentials import Account, Source, accounts, from_config, from_environment
from jackfield.dispatch import Breaker, Chain, Hook, chain_of
from jackfield.health import Health, RetryBudget
from jackfield.models import Lists, Registry
from jackfield.plugins import Plugin, PluginLoadError
from jackfield.reading import Reader
from jackfield.routes import Routes
from jackfield.settings import Config, HeaderRule, Schedulers

NEVER_SENT: Final = frozenset({
    "authorization", "proxy-authorization", "cookie", "set-cookie", "host", "content-length", "content-type", "content-encoding",
    "accept-encoding", "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "trailers",
    "transfer-encoding", "upgrade", "expect", "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-port", "x-real-ip", "x-api-key", "api-key", "origin", "referer",
})  # fmt: skip
"""Headers that no policy lets through, either way: keys, cookies, hop-by-hop and forwarding headers, and those of the body."""

UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
"""Finds in a header's value what may not be sent (RFC 9110, section 5.5)."""


class Policy:
    """Which headers of one dialect pass, in one direction."""

    def __init__(self, names: frozenset[str], rule: HeaderRule, keys: Sequence[str]) -> None:
        self._allow, self._deny = [name.lower() for name in rule.allow], [name.lower() for name in rule.deny]
        self._never = NEVER_SENT.union(keys)
        self._names = frozenset(name for name in names - self._never if not matches_any(name, self._deny))

    def passed(self, headers: Headers) -> Headers:
        """Return the headers that pass."""
        names: Container[str] = self if self._allow else self._names
        return Headers([pair for pair in headers if pair[0].lower() in names and UNSENDABLE(pair[1]) is None])

    def __contains__(self, name: object) -> bool:
        """Tell whether a header passes, given its name in lower case."""
        return name in self._names or (
            isinstance(name, str) and name not in self._never and matches_any(name, self._allow) and not matches_any(name, self._deny)
        )


class Lasting(msgspec.Struct, kw_only=True):
    """What outlives generations, by id."""

    accounts: dict[str, Account] = {}
    lists: Lists = {}
    state: StateStore | None = None
    """The store that plugins use now."""
    stores: dict[str, Plugin] = {}
    """Every store that was made, as a part of its plugin, by what the configuration said of it."""
    health: Health = msgspec.field(default_factory=Health)
    retries: RetryBudget = msgspec.field(default_factory=RetryBudget)


class Generation:
    """Everything that one configuration and one set of plugins amount to. Once it is filled, only its credentials change."""

    number = 0
    """Which configuration it is, in the order in which they came."""
    calls = 0
    """Calls that hold it, until their observers have been told."""
    invalid = ""
    """Why a later configuration could not take its place; empty where none was refused."""

    def __init__(self, loaded: Loaded, found: Sequence[Plugin], lasting: Lasting, store: tuple[StateStore | None, list[str]]) -> None:
        self.loaded, self.config, self.plugins, self._lasting = loaded, loaded.config, found, lasting
        self.state, self.problems = store
        self.providers: dict[str, Provider] = {}
        self.translators: dict[tuple[str, str], Translator] = {}
        """Direct translators, by the client's dialect and the upstream's."""
        self.dialects: dict[str, Dialect] = {"canonical": CanonicalDialect()}
        self.owned_routes: dict[tuple[str, str], tuple[Plugin, PluginRoute]] = {}
        """Routes of plugins' own, by method and path."""
        self.commands: dict[str, Command] = {}
        self.owner: dict[str, Plugin] = {}
        """Each provider's plugin, by the provider's key."""
        self.sources, self.extra_models = list[Source](), list[tuple[str, ModelInfo]]()
        self.accounts: list[Account] = []
        self._take_objects()
        named = {f"{name}.providers": getattr(self.config, name).providers for name in ("timeouts", "cooldown")}
        named |= {"proxy.providers": self.config.proxies.providers, "failures": self.config.failures}
        places = ((f"{section}.{key}", key) for section, keys in named.items() for key in keys)
        self._must_name("there is no provider {!r}", self.providers, places)
        asked = [(p, i) for p in found for i in p.implementations.values() if HOOKS[i.hook].shape != "objects"]
        hooks = [Hook(p, i, self.config.hooks, p.memory.setdefault(i.hook, Breaker())) for p, i in asked]
        self.schedulers = {hook.plugin: hook for hook in chain_of(hooks, "pick_credential")}
        self._scheduler = chosen = self._chosen_scheduler()
        selected = {chosen.default, *chosen.providers.values(), *chosen.models.values()}
        hooks = [hook for hook in hooks if hook.plugin in selected or not hook.selected]
        self.chains = {name: chain_of(hooks, name) for name, info in HOOKS.items() if info.shape != "objects"}
        """The hooks of every stage, by name, in the order in which they are called."""
        if (only := self.config.access.only) is not None:
            self.chains["authenticate"] = tuple(hook for hook in self.chains["authenticate"] if hook.plugin == only)
            if not self.chains["authenticate"]:
                raise PluginLoadError(f"{loaded.source}: access.only: no plugin {only!r} that authenticates is active")
        self._doorkeepers = [(hook, plugin.object) for hook in self.chains["authenticate"] for plugin in found if plugin.id == hook.plugin]
        self.routes = Routes(self.dialects.values(), self.owned_routes.values(), self.dialects["canonical"])
        rules, spoken = self.config.headers, self.dialects.items()
        self.request_policy = {name: Policy(d.request_headers, rules.request, d.key_headers) for name, d in spoken}
        self.response_policy = {name: Policy(d.response_headers, rules.response, d.key_headers) for name, d in spoken}
        self.models = Registry(self.config.models, self.extra_models, lasting.lists)
        empty = (name for name, alias in self.models.aliases.items() if not alias.models)
        self.problems += [f"{loaded.source}: models.aliases.{name}: leads to no model; name one or leave it out" for name in empty]

    # --------------------------------------------------------------------------------------------- asked

    def doorkeepers(self) -> Chain:
        """Return the hooks that are asked who calls: those of plugins that have rules. Asked anew each time: keys may come and go."""
        return tuple(
            [
                hook
                for hook, plugin in self._doorkeepers
                if (rules := getattr(plugin, "has_rules", True)) is True or (rules() if callable(rules) else rules)
            ]
        )

    def scheduler_for(self, model: str, provider: str) -> Hook | None:
        """Return the scheduler that the configuration selects: by model, by provider, in general."""
        chosen, name = self._scheduler, self._scheduler.default
        if chosen.models or chosen.providers:
            plain = parse_suffix(model)[0]
            by_model = (who for pattern, who in chosen.models.items() if matches(plain, pattern))
            name = next(by_model, None) or chosen.providers.get(provider) or name
        return self.schedulers.get(name or "")

    def private_origins(self) -> frozenset[str]:
        """Return the origins that may be private addresses: those that the configuration spells out, and those of plugins that it names."""
        bases = [getattr(provider, "base_url", None) for key, provider in self.providers.items() if self.owner[key].named]
        bases += [account.credential.base_url for account in self.accounts]
        return self.loaded.origins.union(origin for base in bases if isinstance(base, str) and (origin := origin_of(base)))

    # --------------------------------------------------------------------------------------------- built

    def _take_objects(self) -> None:
        for hook, put in (
            ("register_dialects", self._put_dialect),
            ("register_providers", self._put_provider),
            ("register_models", lambda _, pair: self.extra_models.append((str(pair[0]), msgspec.convert(pair[1], ModelInfo)))),
            ("register_translators", lambda p, one: _put(self.translators, (one.source, one.target), one, p, self.problems)),
            ("register_credential_sources", self._put_source),
            ("register_routes", self._put_route),
            ("register_commands", lambda p, one: _put(self.commands, one.name, one, p, self.problems)),
        ):
            _hand_over(self.plugins, hook, put, self.problems)

    def _put_dialect(self, plugin: Plugin, dialect: Any) -> None:
        if not isinstance(dialect, Dialect):
            raise TypeError(f"{dialect!r} is no dialect")
        _put(self.dialects, dialect.name, dialect, plugin, self.problems)

    def _put_provider(self, plugin: Plugin, provider: Any) -> None:
        key, spoken = getattr(provider, "key", None), list(getattr(provider, "dialects", ()))
        if not isinstance(key, str) or not key or not callable(getattr(provider, "execute", None)):
            raise TypeError(f"{provider!r} is no provider: it needs a `key` and an `execute`")
        if not self.dialects.keys() & set(spoken):
            raise ValueError(f"provider {key!r}: no plugin has its dialect {', '.join(spoken)}; known: {', '.join(sorted(self.dialects))}")
        before = self.providers.get(key)
        if before is not None and self.owner[key] is not plugin:
            weaker = (before.fallback, before.configured > "") > (provider.fallback, provider.configured > "")
            gives_way, other = (before, plugin) if weaker else (provider, self.owner[key])
            if place := gives_way.configured:
                self.problems.append(f"{self.loaded.source}: {place}: the key {key!r} belongs to plugin {other.id!r}; give yours another")
            if weaker:
                del self.providers[key]
            elif provider.fallback or provider.configured:
                return
        if _put(self.providers, key, provider, plugin, self.problems):
            self.owner[key] = plugin

    def _must_name(self, says: str, known: Iterable[str], places: Iterable[tuple[str, str]], instead: str = "") -> None:
        """Make a problem of every place in the configuration at which a name stands that is not known."""
        for place, name in ((place, name) for place, name in places if name not in known):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
            then = f"{' ' if near else '. '}{instead}" if instead else ""
            self.problems.append(f"{self.loaded.source}: {place}: {says.format(name)}; {hint}{then}")

    def _put_route(self, plugin: Plugin, route: Any) -> None:
        if not (isinstance(route, PluginRoute) and route.path.startswith("/") and callable(route.handle)):
            raise TypeError(f"{route!r} is no PluginRoute whose path begins with a slash")
        if route.access != "client" and not plugin.named:
            says = f"{route.access} routes need a grant: name the plugin in the configuration (plugins.{plugin.id}: {{}})"
            raise PermissionError(f"{route.path}: {says}")
        key = (route.method.upper(), route.path)
        if any((e.method, e.path) == key for dialect in self.dialects.values() for e in dialect.endpoints):
            raise ValueError(f"{route.method} {route.path} is a dialect's")
        _put(self.owned_routes, key, (plugin, route), plugin, self.problems)

    def _put_source(self, plugin: Plugin, source: Any) -> None:
        self.sources.append(plugin.memory.setdefault(id(source), Source(plugin=plugin.id, object=source)))

    def _chosen_scheduler(self) -> Schedulers:
        said, by_id = self.config.scheduler, {plugin.id: plugin for plugin in self.plugins}
        # A file or object of the operator's own goes before what is installed, and what nobody named comes last.
        rank = {name: 2 if plugin.named is None else plugin.distribution is not None for name, plugin in by_id.items()}
        ranked = sorted(self.schedulers, key=lambda name: (rank[name], -by_id[name].priority, name))
        told, place = (said, "scheduler.default") if isinstance(said, Schedulers) else (Schedulers(default=said), "scheduler")
        default = told.default if told.default in self.schedulers else next(iter(ranked), None)
        unknown, instead = "no plugin {!r} picks credentials", f"Until then {default!r} does" if default else ""
        ways = {"providers": told.providers, "models": told.models}
        places = [(f"scheduler.{kind}.{key}", name) for kind, by in ways.items() for key, name in by.items()]
        places += [(place, told.default)] if told.default else []
        self._must_name(unknown, self.schedulers, places, instead)
        self._must_name("there is no provider {!r}", self.providers, ((f"scheduler.providers.{key}", key) for key in told.providers))
        for plugin in (by_id[name] for name in self.schedulers):
            over = getattr(plugin.object, "delegates", {})
            self._must_name(unknown, self.schedulers, ((f"plugins.{plugin.id}.{setting}", name) for setting, name in over.items()))
        served = {kind: {key: name for key, name in by.items() if name in self.schedulers} for kind, by in ways.items()}
        return Schedulers(default, **served)

    def from_environment(self) -> Iterator[Provider]:
        """Yield the providers that may take a key from the environment: a variable belongs to the first that the configuration names."""
        holders: dict[str, Plugin] = {}
        for key, provider in self.providers.items():  # in the order in which plugins come first
            plugin, env = self.owner[key], provider.auth.env if provider.auth else ()
            taken = next((name for name in env if holders.setdefault(name, plugin) is not plugin and not plugin.named), None)
            if taken is None:
                yield provider
            else:
                whose = holders[taken].id
                self.problems.append(f"plugin {plugin.id!r}: ${taken} belongs to {whose!r}; name the plugin in the configuration")

    async def fill(self) -> None:
        """Ask for credentials, and make accounts and models of them. What is wrong becomes a listed problem."""
        await asyncio.gather(*(source.load() for source in self.sources if source.problems or not source.watched))
        self._configured = list(from_config(self.loaded, self.problems))
        keyless = [Credential(provider=p.key, label="none needed") for p in self.providers.values() if p.auth is None or p.key_optional]
        self._implied = [*from_environment(self.from_environment()), *keyless]
        self._lasting_problems = tuple(self.problems)
        self.take()

    def take(self) -> None:
        """Make accounts and models of what the sources of credentials gave last."""
        lasting, self.problems = self._lasting, [*self._lasting_problems, *chain.from_iterable(s.problems for s in self.sources)]
        given = [*self._configured, *chain.from_iterable(source.credentials for source in self.sources), *self._implied]
        self.accounts = accounts(given, self.providers, lasting.accounts, self.problems, lasting.health)
        lasting.accounts.update({account.credential.id: account for account in self.accounts})
        self.copied = {a.credential.id: names for a in self.accounts if (names := self._copied(a.credential))}
        """By credential: the client's headers that its requests copy, by the names that they have there."""
        self.models.update(self.accounts)

    def _copied(self, credential: Credential) -> dict[str, str]:
        said = {name: value[1:] for name, value in credential.headers.items() if value.startswith("$")}
        never = NEVER_SENT.union(*(dialect.key_headers for dialect in self.dialects.values())) if said else NEVER_SENT
        wrong = [name for name, client in said.items() if {name.lower(), client.lower()} & never]
        says = "{}: headers.{}: ${} is not copied: keys, cookies and what concerns a connection never are; it is left out"
        self.problems += [says.format(credential.origin, name, said.pop(name)) for name in wrong]
        return said


def choose_store(loaded: Loaded, found: Sequence[Plugin], lasting: Lasting) -> tuple[StateStore | None, list[str]]:
    """Return the state store that the configuration asks for, made now where there is none yet; and what is wrong."""
    said, problems, kinds = loaded.config.state, list[str](), dict[str, tuple[Plugin, Any]]()
    _hand_over(found, "register_state_stores", lambda plugin, pair: _put(kinds, pair[0], (plugin, pair[1]), plugin, problems), problems)
    settings = {"kind": said} if isinstance(said, str) else dict(said)
    if (kind := str(settings.pop("kind", ""))) not in kinds:
        unmet = f"{loaded.source}: state: no plugin has a store of the kind {kind!r}; known: {', '.join(sorted(kinds)) or 'none'}"
        return None, [*problems, unmet] if said != Config().state else problems
    plugin, factory = kinds[kind]
    key = repr((plugin.id, kind, sorted(settings.items())))
    own = Reader(loaded.source, problems).read(config_type_of(factory, factory) or dict[str, Any], settings, "state")
    with _blaming(plugin, "state", problems):
        if key not in lasting.stores and own is not None:
            lasting.stores[key] = Plugin(id=plugin.id, origin=f"state: {kind}", object=factory(own))
    return (lasting.stores[key].object if key in lasting.stores else None), problems


def _hand_over(found: Sequence[Plugin], hook: str, put: Callable[[Plugin, Any], Any], problems: list[str]) -> None:
    """Give each object that plugins register to what puts it in its place."""
    # Named plugins go first: one that is merely installed takes no key that another holds, whatever its priority.
    for plugin in sorted((p for p in found if hook in p.implementations), key=lambda p: (not p.named, -p.priority, p.id)):
        with _blaming(plugin, hook, problems):
            if hook not in plugin.memory:
                plugin.memory[hook] = list(plugin.implementations[hook].function() or ())
        for thing in plugin.memory.get(hook, ()):
            with _blaming(plugin, hook, problems):
                put(plugin, thing)


@contextmanager
def _blaming(plugin: Plugin, hook: str, problems: list[str]) -> Iterator[None]:
    """Make a problem of what goes wrong, in the plugin's name."""
    try:
        yield
    except (Exception, SystemExit) as fault:  # noqa: BLE001 (a plugin may raise anything)
        problems.append(f"plugin {plugin.id!r}: {hook}: {type(fault).__name__}: {fault}")


def _put(table: dict[Any, Any], key: object, thing: object, plugin: Plugin, problems: list[str]) -> bool:
    if key in table:
        problems.append(f"plugin {plugin.id!r}: {key!r} is shadowed: a plugin of higher priority has one")
    return table.setdefault(key, thing) is thing
