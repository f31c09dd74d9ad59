"""Make a plugin of what its author wrote: a module, a class, or an object. In the host, or in a process of the plugin's own."""

import difflib
import importlib.util
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
import pluggy

from jackfield.api import HOOKS, Host, hooks

_NEAR: Final = 0.82
"""How alike a name must be to a hook's to be taken for a misspelling of it."""


class Unset(Exception):
    """The settings are wrong; the problems have been told."""


def module_of(plugin: str, path: Path, code: bytes | None) -> ModuleType:
    """Return the module that a single file is. `code` is what it says: a compilation on disk may be older."""
    spec = importlib.util.spec_from_file_location(f"jackfield_file_{plugin}", path)
    if spec is None or code is None:
        raise ImportError(f"there is no {'jackfield-plugin.yaml in' if path.is_dir() else 'Python file'} {path} that can be read")
    before, module = sys.modules.get(spec.name), importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        exec(compile(code, path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    except BaseException:
        sys.modules[spec.name] = before or module
        raise
    return module


def build(
    home: object, section: Mapping[str, Any], read: Callable[[Any, Mapping[str, Any]], Any], host: Callable[[], Host]
) -> tuple[Any, type[msgspec.Struct] | None, list[str]]:
    """Return the plugin, the struct of its settings, and what is wrong without keeping it from anything.

    `read` reads the section as a type, and raises `Unset` for one that is wrong.
    """
    factory, kind = getattr(home, "Plugin", None) if isinstance(home, ModuleType) else home, None
    made, takes = home, False
    if isinstance(factory, type):
        kind, takes = config_type_of(factory, home), bool(inspect.signature(factory).parameters.keys() - {"host"})
        made = _made(factory, read(kind or dict[str, Any], section), host())
    idle = [] if takes or not section else [f"the plugin takes no settings, but there are some: {', '.join(sorted(section))}"]
    return made, kind, [*idle, *getattr(made, "problems", ())]


def config_type_of(factory: type[Any], home: object) -> type[msgspec.Struct] | None:
    """Return the struct that a plugin class takes as its configuration: the type of `config`, else its module's `Config`."""
    try:
        said = types.SimpleNamespace(__annotations__={"config": factory.__init__.__annotations__["config"]})
        hint: Any = typing.get_type_hints(said, vars(sys.modules[factory.__module__]))["config"]
    except (NameError, TypeError, AttributeError, KeyError):
        hint = None
    hint = hint or getattr(home, "Config", None) or getattr(factory, "Config", None)
    return hint if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else None


def _made(factory: type[Any], config: Any, host: Host) -> Any:
    """Call `Plugin(config, host)`, or with as many of the two as it takes."""
    parameters = inspect.signature(factory).parameters
    if len(parameters) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return factory(config, host)
    return factory(*[host if "host" in parameters else config][: len(parameters)])


def near_misses(plugin: object) -> Iterable[str]:
    """Yield what is wrong with functions that are named almost like a hook."""
    home = plugin.__name__ if isinstance(plugin, ModuleType) else None
    for name, function in inspect.getmembers_static(plugin, inspect.isroutine):
        near = difflib.get_close_matches(name, HOOKS, 1, _NEAR)
        imported = home is not None and getattr(function, "__module__", None) != home
        if near and name not in HOOKS and not name.startswith("_") and not imported:
            yield f"{name!r} is no hook; did you mean {near[0]!r}?"


class Specs(pluggy.PluginManager):
    """pluggy, told that a function named like a hook is an implementation of it."""

    def __init__(self) -> None:
        super().__init__("jackfield")
        self.add_hookspecs(hooks)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return (
            pluggy.HookimplOpts(wrapper=False, hookwrapper=False, optionalhook=False, tryfirst=False, trylast=False, specname=None)
            if name in HOOKS and callable(getattr(plugin, name, None))
            else None
        )

    def implemented(self, plugin: object, id: str) -> list[str]:
        """Return the hooks that a plugin has, in the contract's order. Raises `pluggy.PluginValidationError` for one that is none."""
        self.register(plugin, id)
        names = {caller.name for caller in self.get_hookcallers(plugin) or ()}
        return [name for name in HOOKS if name in names]


def adapted(function: Callable[..., Any], hook: str) -> Callable[..., Any]:
    """Return a function that takes all of a hook's arguments in order, whichever of them the plugin wants."""
    offered, taken = inspect.signature(getattr(hooks, hook)).parameters, inspect.signature(function).parameters
    plain = [(p.name, p.kind) for p in taken.values()] == [(p.name, p.kind) for p in offered.values()]
    takes_all = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    places = [(name, place) for place, name in enumerate(offered) if takes_all or name in taken]
    return function if plain else lambda *arguments: function(**{name: arguments[place] for name, place in places})
