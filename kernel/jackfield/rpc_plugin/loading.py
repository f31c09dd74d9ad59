"""Builds the plugin in its process as the host builds those in its own, with the same sentences for what is wrong."""

import importlib
import sys
from pathlib import Path
from typing import Any, Final

import pluggy

from jackfield.api import HookOptions, Program
from jackfield.api.program import MANIFEST
from jackfield.building import Specs, adapted, build, module_of, near_misses
from jackfield.reading import FromEnvironment, Reader
from jackfield.rpc import wire
from jackfield.rpc.errors import BAD_PARAMS, RpcFault
from jackfield.rpc_plugin.child import Made
from jackfield.rpc_plugin.host import ChildHost

_IN_PROCESS: Final = {"register_dialects": "dialects", "register_state_stores": "state stores"}
"""Hooks that have no methods, and what they register."""


class _PairReader(Reader):
    """Keeps problems as pairs: where, and what."""

    def __init__(self) -> None:
        super().__init__("", [])
        self.pairs: list[tuple[str, str]] = []

    def complain(self, where: str, what: str) -> None:
        self.pairs.append((where, what))
        super().complain(where, what)


class Loader:
    """Builds one plugin: the module or object that `target` names, or the single `file`, whose text is that of `code` where it is given.

    Modules are looked for in the folder `at`, too, after all others.
    """

    def __init__(self, target: str | None, file: Path | None, code: Path | None, at: str | None) -> None:
        self._target, self._file, self._code, self._at = target, file, code, at

    def __call__(self, said: wire.Register, host: ChildHost) -> Made:
        """Return the plugin. Raises `RpcFault` where it cannot be used."""
        try:
            return self._made(said, host)
        except RpcFault:
            raise
        except BaseException as fault:  # a plugin may raise anything at all, `SystemExit` included
            kind = "" if isinstance(fault, pluggy.PluginValidationError) else f"{type(fault).__name__}: "
            raise RpcFault(BAD_PARAMS, f"{kind}{' '.join(str(fault).split()) or 'no message'}") from fault

    def _made(self, said: wire.Register, host: ChildHost) -> Made:
        home, reader = self._home(said.plugin), _PairReader()
        if isinstance(home, Program) or any(Path(folder, MANIFEST).is_file() for folder in getattr(home, "__path__", ())):
            raise RpcFault(BAD_PARAMS, "isolate: it is a process of its own already")
        section = _marked(said.config, said.from_environment)

        def read(kind: Any, value: Any) -> Any:
            config = reader.read(kind, value, "")
            if reader.pairs:
                raise RpcFault(BAD_PARAMS, "its settings are wrong", wire.Fault(problems=reader.pairs))
            return config

        made, _, problems = build(home, section, read, lambda: host)
        names, version = Specs().implemented(made, said.plugin), getattr(home, "__version__", "")
        if only := [what for name, what in _IN_PROCESS.items() if name in names]:
            raise RpcFault(BAD_PARAMS, f"isolate: it registers {' and '.join(only)}, which exist in process only")
        if why := getattr(made, "in_process_only", ""):
            raise RpcFault(BAD_PARAMS, f"isolate: it {why}, which exist in process only")
        functions = {name: getattr(made, name) for name in names}
        return Made(
            object=made,
            hooks={name: adapted(function, name) for name, function in functions.items()},
            options={name: getattr(function, "jackfield_hook", HookOptions()) for name, function in functions.items()},
            problems=[*problems, *near_misses(made)],
            version=version if isinstance(version, str) else "",
        )

    def _home(self, plugin: str) -> Any:
        if self._file is not None:
            return module_of(plugin, self._file, (self._code or self._file).read_bytes())
        if self._at and self._at not in sys.path:
            sys.path.append(self._at)
        name, _, attribute = (self._target or "").partition(":")
        home: Any = importlib.import_module(name)
        for part in filter(None, attribute.split(".")):
            home = getattr(home, part)
        return home


def _marked(config: Any, pointers: list[str]) -> Any:
    """Return a configuration in which texts that came from the environment are known as such."""
    for pointer in pointers:
        *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        place = config
        for step in steps:
            place = place[int(step) if isinstance(place, list) else step]
        key: Any = int(last) if isinstance(place, list) else last
        place[key] = FromEnvironment(place[key])
    return config
