"""Find plugins, load each in its own try, build it, and list what came of it.

A plugin that cannot be loaded is a listed problem, never the end of the host. What the plugins'
hooks do is the business of `dispatch`; what their objects mean, of `generation`.
"""

import asyncio
import contextlib
import difflib
import importlib.metadata
import inspect
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import msgspec
import pluggy

from jackfield.api import HOOKS, Host, Program
from jackfield.api.hooks import GROUP, HookOptions
from jackfield.api.program import MANIFEST
from jackfield.building import Specs, Unset, build, module_of, near_misses
from jackfield.config import ConfigError, Loaded, read_as
from jackfield.reading import Reader
from jackfield.rpc.bridge import LIMITED
from jackfield.rpc.connect import connect
from jackfield.rpc.programs import Manifest, described, manifests_in, packaged, runner
from jackfield.rpc.socket import Socket, SocketCarrier, socket_of
from jackfield.rpc.supervisor import Refused
from jackfield.settings import HookSettings, PluginSettings

_GUARDED: Final = frozenset({"authenticate", "register_credential_sources"})
"""Hooks that could open the house: they act only for plugins that the configuration names."""


class Implementation(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin's function for one hook."""

    hook: str
    function: Callable[..., Any]
    options: HookOptions
    priority: int


class Plugin(msgspec.Struct, kw_only=True, eq=False):
    """One plugin that was found, and what became of it."""

    id: str
    origin: str
    """Where it was found: `entry point acme = acme_plugin (acme 1.0)`, `file ./x.py`, `object`."""
    distribution: str | None = None
    version: str | None = None
    state: Literal["active", "disabled", "failed"] = "active"
    settings: PluginSettings = PluginSettings()
    named: Literal["operator", "defaults"] | None = None
    """Who names it: the operator's own configuration or the embedder, or the defaults alone; None: it is merely installed."""
    config_path: str = ""
    config_type: type[msgspec.Struct] | None = None
    problems: list[str] = []
    implementations: dict[str, Implementation] = {}
    object: Any = None
    program: Program | None = None
    """The program that it is, where it is one."""
    section: dict[str, Any] = {}
    """Its own settings: its section without what the kernel reads."""
    code: bytes | None = None
    """What its single file or its manifest says."""
    parts: AsyncExitStack = msgspec.field(default_factory=AsyncExitStack)
    """What has to be closed when it is closed, and its own `close`."""
    memory: dict[Any, Any] = {}
    """What generations keep of it as long as it runs: what its `register_` hooks gave, and how its other hooks fail."""

    @property
    def configured(self) -> tuple[Any, ...]:
        """All that makes it what it is. As long as that stays the same it goes on as it is."""
        return self.origin, self.distribution, self.settings, self.named, self.code, self.section

    @property
    def priority(self) -> int:
        """Its place in the order: the operator's word, else its own, else 0."""
        own = getattr(self.object, "priority", 0)
        return self.settings.priority if self.settings.priority is not None else own if isinstance(own, int) else 0

    @property
    def grants(self) -> tuple[str, ...]:
        """What it has and may use that could open the house; of `register_routes` that is admin and public routes."""
        return tuple(h for h in self.implementations if h in (*_GUARDED, "register_routes")) if self.named else ()

    def fail(self, problem: str) -> None:
        """Take the plugin out of use and say why."""
        self.state = "failed"
        self.problems.append(problem)
        self.implementations = {}


class PluginLoadError(Exception):
    """A plugin that is `required` cannot be used."""


def find(loaded: Loaded, given: Sequence[object] = (), codes: Mapping[str, bytes] | None = None) -> list[Plugin]:
    """Find all plugins, without importing any: entry points, files, objects handed over. Sorted by id.

    `codes` stand in for what the files of some plugins say now.
    """
    found: dict[str, Plugin] = {}
    paths = {name: loaded.folder / Path(said.path).expanduser() for name, said in loaded.plugins.items() if said.path}
    files = [_from_path(name, path, loaded, codes or {}) for name, path in paths.items()]
    commands = {name: Program(command=said.command, folder=loaded.folder) for name, said in loaded.plugins.items() if said.command}
    programs = [Plugin(id=n, origin=f"command {shlex.join(p.command)}", object=p, program=p) for n, p in commands.items()]
    sockets = {name: socket_of(said.socket, loaded.folder) for name, said in loaded.plugins.items() if said.socket is not None}
    programs += [Plugin(id=name, origin=f"socket {where.path}", object=where) for name, where in sockets.items()]
    objects = [Plugin(id=identify(thing), origin="object", named="operator", object=thing) for thing in given]
    for plugin in (*_from_entry_points(loaded), *files, *programs, *objects):
        if plugin.origin == getattr(found.get(plugin.id), "origin", None):
            plugin.fail(f"{plugin.id!r} is the id of two plugin objects; give each an `id` of its own")
        found[plugin.id] = plugin
    for path in manifests_in(loaded.plugin_folder):
        plugin = _from_manifest(path, codes or {})
        if (other := found.setdefault(plugin.id, plugin)) is plugin:
            plugin.state = plugin.state if plugin.id in loaded.named else "disabled"
        elif path.parent not in paths.values():
            other.problems.append(f"plugin {plugin.id!r}: {path} has the same name and is not used")
    missing = [Plugin(id=name, origin="configuration") for name in loaded.plugins if name not in found]
    for plugin in (*found.values(), *missing):
        plugin.settings, plugin.config_path = loaded.plugins.get(plugin.id, plugin.settings), f"{loaded.source}: plugins.{plugin.id}"
        plugin.section = loaded.sections.get(plugin.id, {})
        plugin.named = plugin.named or ("operator" if plugin.id in loaded.named else "defaults" if plugin.id in loaded.plugins else None)
        if plugin.state == "active" and not plugin.settings.enabled:
            plugin.state = "disabled"
        elif plugin in missing:
            near = difflib.get_close_matches(plugin.id, found, 1)
            hint = f"did you mean {near[0]!r}?" if near else "install it, or say where it is (`path`, `command` or `socket`)"
            plugin.fail(f"{plugin.config_path}: no plugin of that name is installed; {hint}")
    return sorted((*found.values(), *missing), key=lambda plugin: plugin.id)


def _from_path(name: str, path: Path, loaded: Loaded, codes: Mapping[str, bytes]) -> Plugin:
    if (manifest := path / MANIFEST).is_file():
        return _from_manifest(manifest, codes, name)
    text = path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else None
    return Plugin(id=name, origin=f"file {loaded.plugins[name].path}", object=path, code=codes.get(name, text))


def _from_manifest(path: Path, codes: Mapping[str, bytes], name: str = "") -> Plugin:
    """Return the plugin that a manifest describes; `name` is what the configuration calls it."""
    origin = f"manifest {path}"
    try:
        name, code, program = described(path, name, codes, partial(read_as, Manifest))
    except (Refused, ConfigError) as fault:
        return Plugin(id=name or path.parent.name, origin=origin, state="failed", problems=[str(fault)])
    return Plugin(id=name, origin=origin, object=program, program=program, version=program.version or None, code=code)


def _from_entry_points(loaded: Loaded) -> Iterable[Plugin]:
    installed = importlib.metadata.entry_points(group=GROUP)
    for name in installed.names:
        points, settings = list(installed.select(name=name)), loaded.plugins.get(name, PluginSettings())
        if settings.path or settings.command or settings.socket is not None:
            continue
        fitting = [p for p in points if settings.distribution in (None, _holder(p))]
        first = (fitting or points)[0]
        plugin = Plugin(
            id=name,
            origin=f"entry point {name} = {first.value}",
            distribution=_holder(first),
            version=first.dist.version if first.dist else None,
            object=first,
        )
        if name not in loaded.plugins and not loaded.autoload:
            plugin.state = "disabled"
        elif len(fitting) != 1:
            plugin.fail(f"plugins.{name}: several have it ({', '.join(sorted(map(_holder, points)))}); name one with `distribution`")
        yield plugin


def _holder(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def identify(thing: object) -> str:
    """Return the id of a plugin object that was handed over without one: its `id`, or the name of its module, class or type."""
    own, named = getattr(thing, "id", None), thing if isinstance(thing, ModuleType | type) else type(thing)
    return own if isinstance(own, str) and own else named.__name__.rpartition(".")[2].lower()


async def load(plugins: Sequence[Plugin], loaded: Loaded, host_for: Callable[[Plugin], Host], needed: Container[str] = ()) -> None:
    """Import, or start, check and build each active plugin, each in its own try. Raises `PluginLoadError` when a required one fails.

    `host_for` makes the host that a plugin is handed: as that plugin sees it. Those whose ids are `needed` are required, too.
    """
    specs = Specs()
    await asyncio.gather(*(_try_to_load(plugin, loaded, host_for, specs) for plugin in plugins if plugin.state == "active"))
    required = (p for p in plugins if p.settings.enabled and (p.settings.required or p.id in needed))
    if lost := [p.problems[-1] for p in required if p.state == "failed"]:
        raise PluginLoadError("\n".join(lost))


def may_take_over(plugin: Plugin, former: Plugin) -> bool:
    """Tell whether a plugin is a former one with other settings of its own, which that can take where it runs."""
    return (
        former.state == "active"
        and former.settings.socket is not None
        and former.object.reconfigure is not None
        and plugin.configured[:-1] == former.configured[:-1]
    )


async def take_over(plugin: Plugin, former: Plugin) -> None:
    """Have a former plugin go on with other settings. Raises `PluginLoadError`."""
    try:
        await former.object.reconfigure(plugin.section)
    except Refused as fault:
        raise PluginLoadError(fault.told(plugin.config_path) or f"plugin {plugin.id!r}: {fault}") from None
    plugin.object, plugin.version = former.object, former.version
    plugin.problems = [f"{plugin.config_path}: {problem}" for problem in plugin.object.problems]
    _register(plugin, Specs())
    plugin.memory = {hook: former.memory[hook] for hook in plugin.implementations if HOOKS[hook].shape != "objects"}


async def take_back(former: Plugin) -> None:
    """Have a plugin go on with the settings that it had."""
    with contextlib.suppress(Refused):
        await former.object.reconfigure(former.section)


async def _try_to_load(plugin: Plugin, loaded: Loaded, host_for: Callable[[Plugin], Host], specs: Specs) -> None:
    try:
        await _load_one(plugin, loaded, host_for, specs)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except Refused as fault:
        plugin.fail(fault.told(plugin.config_path) or f"plugin {plugin.id!r}: {fault}")
    except BaseException as fault:  # noqa: BLE001 (a plugin may raise anything at all, `SystemExit` included)
        kind = "" if isinstance(fault, pluggy.PluginValidationError | ConfigError) else f"{type(fault).__name__}: "
        plugin.fail(f"plugin {plugin.id!r}: {kind}{' '.join(str(fault).split()) or 'no message'}")


async def _load_one(plugin: Plugin, loaded: Loaded, host_for: Callable[[Plugin], Host], specs: Specs) -> None:
    home, problems = _isolated(plugin) if plugin.settings.isolate else _imported(plugin), list[str]()

    def read(kind: Any, section: Any) -> Any:
        config = Reader(loaded.source, problems).read(kind, section, f"plugins.{plugin.id}")
        if problems:
            raise Unset
        return config

    if isinstance(home, Program | Socket):
        said = await _reach(plugin, home, loaded, host_for(plugin))
    else:
        version = getattr(home, "__version__", None)
        plugin.version = plugin.version or (version if isinstance(version, str) else None)
        try:
            plugin.object, plugin.config_type, said = build(home, plugin.section, read, lambda: host_for(plugin))
        except Unset:
            plugin.fail("\n".join(problems))
            return
    plugin.problems += [f"{plugin.config_path}: {problem}" for problem in said]
    _register(plugin, specs)


async def _reach(plugin: Plugin, home: Program | Socket, loaded: Loaded, host: Host) -> Sequence[str]:
    """Start the program that a plugin is, or connect to it, and return what it says is wrong. Raises `Refused`."""
    run, deadline, granted = plugin.settings.process, partial(_deadline, plugin, loaded), plugin.named is not None
    if isinstance(home, Program):
        plugin.program, plugin.version = home, plugin.version or home.version or None
    carrier = runner(home, loaded.folder, run) if isinstance(home, Program) else SocketCarrier(plugin.id, home, run.start)

    def given_up(why: str) -> None:
        plugin.fail(f"plugin {plugin.id!r}: {why}")

    plugin.object, kept = await connect(carrier, plugin.section, host, deadline, granted, handshake=run.start, given_up=given_up)
    plugin.parts.push_async_callback(kept.close)
    plugin.version = plugin.object.__version__ or plugin.version
    return tuple(plugin.object.problems)


def _deadline(plugin: Plugin, loaded: Loaded, method: str, declared: float | None) -> float | None:
    """Return in how many seconds a program must answer a method; the dispatcher goes by the same."""
    if (hook := LIMITED.get(method)) is None:
        return None
    said = plugin.settings.hooks.get(hook)
    return float((said and said.deadline) or plugin.settings.deadline or declared or loaded.config.hooks.deadline)


def _isolated(plugin: Plugin) -> Program:
    """Return the program that runs a Python plugin in a process of its own; nothing of it is imported here. Raises `Refused`."""
    target: Any = plugin.object
    if isinstance(target, Program):
        raise Refused("isolate: it is a process of its own already")
    if isinstance(target, importlib.metadata.EntryPoint):
        home = str(target.dist.locate_file("")) if target.dist is not None else ""
        what: tuple[str, ...] = ("--at", home, target.value.partition("[")[0].strip())
    elif isinstance(target, Path) and plugin.code is not None:
        handle, copy = tempfile.mkstemp(prefix="jackfield-plugin-", suffix=".py")  # the file may say something else by now, or later
        plugin.parts.callback(Path(copy).unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as file:
            file.write(plugin.code)
        what = ("--file", str(target.absolute()), "--code", copy)
    else:
        raise Refused("isolate: it is an object of the program that hosts it" if not isinstance(target, Path) else f"cannot read {target}")
    return Program(command=(sys.executable, "-P", "-m", "jackfield.rpc_plugin", *what))


def _imported(plugin: Plugin) -> object:
    """Return the object or module that a plugin is."""
    target: Any = plugin.object
    if isinstance(target, importlib.metadata.EntryPoint):
        return packaged(thing := target.load(), partial(read_as, Manifest)) or thing
    if not isinstance(target, Path):
        return target
    return module_of(plugin.id, target, plugin.code)


def _register(plugin: Plugin, specs: Specs) -> None:
    """Check a plugin's hooks against the contract and note its implementations."""
    callers = specs.implemented(plugin.object, plugin.id)
    for name in callers:
        function, said = getattr(plugin.object, name), plugin.settings.hooks.get(name, HookSettings())
        if not said.enabled:
            continue
        if (refusal := _refusal(plugin, name, function)) is not None:
            plugin.problems.append(f"plugin {plugin.id!r}: {name} {refusal}")
            continue
        said_of_hooks: Mapping[str, HookOptions] = getattr(plugin.object, "hook_options", {})
        options = said_of_hooks[name] if name in said_of_hooks else getattr(function, "jackfield_hook", HookOptions())
        plugin.implementations[name] = Implementation(
            hook=name,
            function=function,
            options=options,
            priority=next(p for p in (said.priority, options.priority, plugin.priority) if p is not None),
        )
    plugin.problems += [
        f"{plugin.config_path}.hooks.{name}: it has no such hook; it has: {', '.join(callers) or 'none'}"
        for name in plugin.settings.hooks
        if name not in callers
    ]
    plugin.problems += [f"plugin {plugin.id!r}: {problem}" for problem in near_misses(plugin.object)]
    if not (callers or plugin.problems or any(callable(getattr(plugin.object, part, None)) for part in ("start", "close"))):
        plugin.problems.append(f"plugin {plugin.id!r}: it does nothing: it has no hook, and neither `start` nor `close`")


def _refusal(plugin: Plugin, hook: str, function: Callable[..., Any]) -> str | None:
    """Say why a plugin's function for a hook may not be called; None when it may."""
    if hook in _GUARDED and plugin.named is None:
        return f"needs a grant: name the plugin in the configuration (plugins.{plugin.id}: {{}})"
    return "must be `def`" if HOOKS[hook].shape == "objects" and inspect.iscoroutinefunction(function) else None
