"""Find plugins, load each in its own try, build it, and list what came of it.

A plugin that cannot be loaded is a listed problem, never the end of the host. What the plugins'
hooks do is the business of `dispatch`; what their objects mean, of `generation`.
"""

import difflib
import importlib.metadata
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import msgspec
import pluggy

from jackfield.api import HOOKS, Host, hooks
from jackfield.api.hooks import GROUP, HookOptions, options_of
from jackfield.config import Loaded, Reader
from jackfield.settings import PluginSettings

State = Literal["active", "disabled", "failed"]

_GUARDED: Final = frozenset({"authenticate", "register_credential_sources", "register_routes"})
"""Hooks that could open the house: they act only for plugins that the configuration names."""
_NEAR: Final = 0.82
"""How alike a name must be to a hook's to be taken for a misspelling of it."""


class Implementation(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin's function for one hook."""

    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    """The hook's arguments that the function takes."""
    options: HookOptions
    priority: int


class Plugin(msgspec.Struct, kw_only=True, eq=False):
    """One plugin that was found, and what became of it."""

    id: str
    origin: str
    """Where it was found: `entry point acme = acme_plugin (acme 1.0)`, `file ./x.py`, `object`."""
    distribution: str | None = None
    version: str | None = None
    state: State = "active"
    settings: PluginSettings = PluginSettings()
    named: bool = False
    """The configuration names it, or the embedder handed it over."""
    by_operator: bool = False
    """The operator's own configuration does, not the defaults alone."""
    config_path: str = ""
    config_type: type[msgspec.Struct] | None = None
    problems: list[str] = []
    implementations: dict[str, Implementation] = {}
    object: Any = None

    @property
    def priority(self) -> int:
        """Its place in the order: the operator's word, else its own, else 0."""
        own = getattr(self.object, "priority", 0)
        return self.settings.priority if self.settings.priority is not None else own if isinstance(own, int) else 0

    @property
    def grants(self) -> tuple[str, ...]:
        """The guarded hooks that it has and may use."""
        return tuple(h for h in self.implementations if h in _GUARDED) if self.named else ()

    def fail(self, problem: str) -> None:
        """Take the plugin out of use and say why."""
        self.state = "failed"
        self.problems.append(problem)
        self.implementations = {}


class PluginLoadError(Exception):
    """A plugin that is `required` cannot be used."""


HostFor = Callable[[Plugin], Host]
"""Makes the host that a plugin is handed: as that plugin sees it."""


class Given(msgspec.Struct, frozen=True):
    """A plugin object that an embedder hands over, under the id it is to have."""

    id: str
    object: Any


class _Specs(pluggy.PluginManager):
    """pluggy, told that a function named like a hook is an implementation of it."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if name not in HOOKS or not callable(getattr(plugin, name, None)):
            return None
        return {
            "wrapper": False, "hookwrapper": False, "optionalhook": False, "tryfirst": False, "trylast": False, "specname": None,
        }  # fmt: skip


def find(loaded: Loaded, given: Sequence[Given] = ()) -> list[Plugin]:
    """Find all plugins, without importing any: entry points, files, objects handed over. Sorted by id."""
    found: dict[str, Plugin] = {}
    for plugin, target in [*_from_entry_points(loaded), *_from_files(loaded), *((_from_object(g), g.object) for g in given)]:
        plugin.settings = loaded.plugins.get(plugin.id, PluginSettings())
        plugin.named = plugin.named or plugin.id in loaded.plugins
        plugin.by_operator = plugin.by_operator or plugin.id in loaded.named
        plugin.config_path = f"{loaded.source}: plugins.{plugin.id}"
        plugin.object = target
        if plugin.state == "active" and not plugin.settings.enabled:
            plugin.state = "disabled"
        found[plugin.id] = plugin
    for missing in loaded.plugins.keys() - found.keys():
        found[missing] = _missing(missing, loaded, list(found))
    return [found[name] for name in sorted(found)]


def _missing(name: str, loaded: Loaded, known: Iterable[str]) -> Plugin:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else "install it, or name a file with `path`"
    settings = loaded.plugins[name]
    plugin = Plugin(id=name, origin="configuration", settings=settings, named=True, config_path=f"{loaded.source}: plugins.{name}")
    if settings.enabled:
        plugin.fail(f"{plugin.config_path}: no plugin of that name is installed; {hint}")
    else:
        plugin.state = "disabled"
    return plugin


def _from_entry_points(loaded: Loaded) -> Iterable[tuple[Plugin, Any]]:
    by_id: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        by_id.setdefault(point.name, []).append(point)
    for name, points in by_id.items():
        settings = loaded.plugins.get(name)
        if settings is not None and settings.path:
            continue
        wanted = settings.distribution if settings else None
        fitting = [p for p in points if wanted is None or (p.dist is not None and p.dist.name == wanted)]
        first = (fitting or points)[0]
        plugin = Plugin(
            id=name,
            origin=f"entry point {name} = {first.value}",
            distribution=first.dist.name if first.dist else None,
            version=first.dist.version if first.dist else None,
        )
        if len(fitting) != 1:
            holders = ", ".join(sorted({p.dist.name if p.dist else "?" for p in points}))
            plugin.fail(f"plugins.{name}: several distributions have it ({holders}); name one with `distribution`")
        elif settings is None and not loaded.autoload:
            plugin.state = "disabled"
        yield plugin, first


def _from_files(loaded: Loaded) -> Iterable[tuple[Plugin, Any]]:
    for name, settings in loaded.plugins.items():
        if settings.path:
            yield Plugin(id=name, origin=f"file {settings.path}"), (loaded.folder / settings.path).expanduser()


def _from_object(given: Given) -> Plugin:
    return Plugin(id=given.id, origin="object", named=True, by_operator=True, version=_version_of(given.object))


def identify(thing: object) -> str:
    """Return the id of a plugin object that was handed over without one: its `id`, or the name of its module, class or type."""
    explicit = getattr(thing, "id", None)
    if isinstance(explicit, str) and explicit:
        return explicit
    if isinstance(thing, ModuleType):
        return thing.__name__.rpartition(".")[2]
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__name__.lower()


def _version_of(thing: object) -> str | None:
    version = getattr(thing, "__version__", None)
    return version if isinstance(version, str) else None


def load(plugins: Sequence[Plugin], loaded: Loaded, host_for: HostFor) -> None:
    """Import, check and build each active plugin, each in its own try.

    Raises `ConfigError` never and `PluginLoadError` when a required plugin fails.
    """
    specs = _Specs("jackfield")
    specs.add_hookspecs(hooks)
    for plugin in plugins:
        if plugin.state == "active":
            try:
                _load_one(plugin, loaded, host_for)
                if plugin.state == "active":
                    _register(plugin, specs)
            except BaseException as fault:  # noqa: BLE001 (a plugin may raise anything at all, `SystemExit` included)
                if isinstance(fault, KeyboardInterrupt):
                    raise
                plugin.fail(f"plugin {plugin.id!r}: {type(fault).__name__}: {_one_line(fault)}")
    lost = [p.problems[-1] for p in plugins if p.settings.required and p.settings.enabled and p.state == "failed"]
    if lost:
        raise PluginLoadError("\n".join(lost))


def _load_one(plugin: Plugin, loaded: Loaded, host_for: HostFor) -> None:
    target = plugin.object
    if isinstance(target, importlib.metadata.EntryPoint):
        target = target.load()
    elif isinstance(target, Path):
        target = _import_file(plugin.id, target)
    plugin.version = plugin.version or _version_of(target)
    factory = getattr(target, "Plugin", None) if isinstance(target, ModuleType) else target
    section = loaded.sections.get(plugin.id, {})
    if not isinstance(factory, type):
        plugin.object = target
        plugin.config_type = None
        if section:
            near = ", ".join(sorted(section))
            plugin.problems.append(f"{plugin.config_path}: the plugin takes no settings, but there are some: {near}")
        return
    plugin.object = None
    plugin.config_type = config_type_of(factory, target)
    problems: list[str] = []
    config = Reader(loaded.source, problems).read(plugin.config_type or dict[str, Any], section, f"plugins.{plugin.id}")
    if problems:
        plugin.fail("\n".join(problems))
        return
    plugin.object = _build(factory, config, host_for(plugin))
    told = getattr(plugin.object, "problems", ())
    plugin.problems.extend(f"{plugin.config_path}: {problem}" for problem in told if isinstance(problem, str))


def _import_file(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"jackfield_file_{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


def config_type_of(factory: type[Any], home: object) -> type[msgspec.Struct] | None:
    """Return the struct that a plugin class takes as its configuration: the type of `config`, else its module's `Config`."""
    hint: Any = None
    try:
        hint = typing.get_type_hints(factory.__init__).get("config")
    except (NameError, TypeError, AttributeError):
        hint = None
    if hint is None:
        hint = getattr(home, "Config", None) or getattr(factory, "Config", None)
    return hint if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else None


def _build(factory: type[Any], config: Any, host: Host) -> Any:
    """Call `Plugin(config, host)`, or with as many of the two as it takes."""
    parameters = inspect.signature(factory).parameters
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    if takes_any or len(parameters) >= 2:  # noqa: PLR2004
        return factory(config, host)
    if not parameters:
        return factory()
    return factory(host if "host" in parameters else config)


def _register(plugin: Plugin, specs: pluggy.PluginManager) -> None:
    """Check a plugin's hooks against the contract and note its implementations."""
    try:
        specs.register(plugin.object, plugin.id)
    except pluggy.PluginValidationError as fault:
        plugin.fail(f"plugin {plugin.id!r}: {_one_line(fault)}")
        return
    except ValueError:
        plugin.fail(f"plugin {plugin.id!r}: the same object is a plugin already, under another id")
        return
    found: dict[str, Implementation] = {}
    for caller in specs.get_hookcallers(plugin.object) or ():
        impl = next(i for i in caller.get_hookimpls() if i.plugin is plugin.object)
        function = getattr(plugin.object, caller.name)
        options = options_of(function)
        said = plugin.settings.hooks.get(caller.name)
        if said is not None and not said.enabled:
            continue
        priority = said.priority if said is not None and said.priority is not None else options.priority
        found[caller.name] = Implementation(
            hook=caller.name,
            function=function,
            arguments=tuple(impl.argnames),
            options=options,
            priority=plugin.priority if priority is None else priority,
        )
    plugin.implementations = {name: found[name] for name in HOOKS if name in found}
    plugin.problems.extend(_near_misses(plugin))
    plugin.problems.extend(_ungranted(plugin))


def _near_misses(plugin: Plugin) -> Iterable[str]:
    for name in dir(plugin.object):
        if name.startswith("_") or name in HOOKS or not inspect.isroutine(inspect.getattr_static(plugin.object, name, None)):
            continue
        if isinstance(plugin.object, ModuleType) and getattr(getattr(plugin.object, name), "__module__", None) != plugin.object.__name__:
            continue
        near = difflib.get_close_matches(name, HOOKS, 1, _NEAR)
        if near:
            yield f"plugin {plugin.id!r}: {name!r} is no hook; did you mean {near[0]!r}?"


def _ungranted(plugin: Plugin) -> Iterable[str]:
    if not plugin.named:
        for name in [h for h in plugin.implementations if h in _GUARDED]:
            del plugin.implementations[name]
            yield f"plugin {plugin.id!r}: {name} needs a grant: name the plugin in the configuration (plugins.{plugin.id}: {{}})"


def _one_line(fault: BaseException) -> str:
    return " ".join(str(fault).split()) or "no message"
