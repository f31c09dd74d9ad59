"""Read configuration: a YAML file or a mapping, merged over the distribution's defaults, decoded strictly.

Every problem is found at once and told in one line that says what, where and what to do. This module
knows files and values; what the values mean is the business of `settings` and of the plugins.
"""

import os
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from jackfield.addresses import origin_of
from jackfield.reading import FromEnvironment, Reader, Struct, shown
from jackfield.rpc.programs import default_folder
from jackfield.settings import Config, PluginSettings, Server

DEFAULT_FILE: Final = "jackfield.yaml"
_ENDLESS: Final = "not valid: something in it is nested too deep, or holds itself"
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(\w+)(?::-((?:[^}\\]|\\.)*))?\}")


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has one line for each thing that is wrong; `loaded` is what is left without it."""

    def __init__(self, problems: list[str], loaded: "Loaded | None" = None) -> None:
        super().__init__("\n".join(problems))
        self.problems, self.loaded = problems, loaded


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that was read: its typed part, and what the plugins' sections say."""

    config: Config
    sections: dict[str, dict[str, Any]]
    """Each plugin's section, without the keys that the kernel reads."""
    plugins: dict[str, PluginSettings]
    """What the kernel reads of each section."""
    named: frozenset[str]
    """Plugins that the operator's own configuration names, not the defaults alone."""
    autoload: bool = True
    plugin_folder: Path | None = None
    """Where plugins lie that are programs with a manifest."""
    source: str = "config"
    """What messages call the configuration: the file's name."""
    folder: Path = Path()
    """Where relative paths start."""
    origins: frozenset[str] = frozenset()
    """Every `scheme://host:port` that stands anywhere in the configuration: the operator's word for private addresses."""


def load(
    given: str | os.PathLike[str] | Mapping[str, Any] | None, extra: Mapping[str, Any] | None = None, *, defaults: bool = True
) -> Loaded:
    """Read a file, a mapping, or (None) the file `jackfield.yaml` where there is one; `extra` is merged over it.

    All of it is merged over the distribution's defaults, unless `defaults` is false.

    Raises `ConfigError` with every problem.
    """
    problems: list[str] = []
    source, folder = "config", Path.cwd()
    if given is None:
        given = os.environ.get("JACKFIELD_CONFIG") or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else {})
    if isinstance(given, Mapping):
        document = _expand(dict(given), "", problems, source)
    else:
        source, folder = str(given), Path(given).resolve().parent
        document = _read_file(Path(given), source, problems)
    own = _merge(document, extra or {})
    merged = _merge(_expand(_defaults() if defaults else {}, "", problems, "defaults"), own)
    loaded = _decode(merged, own, Reader(source, problems), folder)
    if problems:
        raise ConfigError(problems, loaded)
    return loaded


def _defaults() -> dict[str, Any]:
    try:
        return yaml.safe_load(resources.files("jackfield_defaults").joinpath(DEFAULT_FILE).read_text()) or {}
    except (ModuleNotFoundError, FileNotFoundError):
        return {}


class _Strict:
    """YAML without dates, with keys taken as they are written (`4.10` is no number there), and with doubled keys refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"):
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                what = f"the key {key.value!r} stands twice" if isinstance(key, yaml.ScalarNode) else "a key must be a plain text"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            seen.add(key.value)
        self.flatten_mapping(node)  # type: ignore[attr-defined]
        for key, _ in node.value:
            key.tag = "tag:yaml.org,2002:str"
        made: dict[Any, Any] = super().construct_mapping(node, deep)  # type: ignore[misc]
        return made

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Loader(_Strict, yaml.SafeLoader):
    """Says in good words what is wrong."""


class _QuickLoader(_Strict, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Five times as quick, where PyYAML was built with libyaml: for thousands of credentials."""


def _read_file(path: Path, source: str, problems: list[str]) -> Any:
    try:
        return _expand(_parsed(path.read_text(encoding="utf-8"), source), "", problems, source)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError([f"{source}: cannot be read: {getattr(fault, 'strerror', fault)}"]) from None
    except RecursionError:
        raise ConfigError([f"{source}: {_ENDLESS}"]) from None


def read_as(kind: type[Struct], text: str, source: str) -> Struct:
    """Return what a YAML text says, as a struct. Raises `ConfigError` with every problem."""
    problems: list[str] = []
    try:
        made: Struct = Reader(source, problems).read(kind, _parsed(text, source), "")
    except RecursionError:
        raise ConfigError([f"{source}: {_ENDLESS}"]) from None
    if problems:
        raise ConfigError(problems)
    return made


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        try:
            document = yaml.load(text, _QuickLoader)  # noqa: S506 (a safe loader)
        except (yaml.YAMLError, RecursionError):
            document = yaml.load(text, _Loader)  # noqa: S506 (likewise)
    except yaml.MarkedYAMLError as fault:
        line = f" line {at.line + 1}, column {at.column + 1}:" if (at := fault.problem_mark) else ""
        raise ConfigError([f"{source}:{line} not valid YAML: {fault.problem or fault.context}"]) from None
    except (yaml.YAMLError, ValueError) as fault:
        raise ConfigError([f"{source}: not valid YAML: {str(fault).splitlines()[0]}"]) from None
    if not isinstance(document, dict | None):
        raise ConfigError([f"{source}: expected a mapping at the top, got {shown(document)}"])
    return document or {}


def _expand(value: Any, where: str, problems: list[str], source: str) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` in every text."""
    if isinstance(value, dict):
        return {str(key): _expand(item, f"{where}.{key}" if where else str(key), problems, source) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_expand(item, f"{where}[{index}]", problems, source) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def put(found: re.Match[str]) -> str:
        name = found[1]
        text = "${" if name is None else os.environ.get(name) or (found[2] and found[2].replace("\\}", "}"))
        if text is None:
            problems.append(f"{source}: {where}: the environment variable {name} is not set (or write ${{{name}:-default}})")
        return text or ""

    return FromEnvironment(_VARIABLE.sub(put, value))


def _merge(below: Any, above: Any) -> Any:
    """Return `below` with what `above` says; a section in which nothing stands takes nothing away."""
    both = isinstance(below, Mapping) and isinstance(above, Mapping | None)
    return {**below, **{key: _merge(below.get(key), value) for key, value in (above or {}).items()}} if both else above


def _decode(merged: dict[str, Any], own: dict[str, Any], reader: Reader, folder: Path) -> Loaded:
    said = {key: value for key, value in merged.items() if key != "plugins"}
    config: Config = reader.read(Config, said, "") or Config(server=_reached_at(said.get("server", {})))
    given = _merge({"plugins": {"autoload": True, "folder": None}}, merged)["plugins"]
    autoload = reader.read(bool, given.pop("autoload"), "plugins.autoload") if isinstance(given, dict) else True
    where = reader.read(str | None, given.pop("folder"), "plugins.folder") if isinstance(given, dict) else ""
    sections: dict[str, Any] = reader.read(dict[str, dict | None], given, "plugins") or {}  # type: ignore[type-arg]  # a section is left as it is
    kernel = {field.encode_name for field in msgspec.structs.fields(PluginSettings)}
    told = {name: section or {} for name, section in sections.items()}
    mine = own.get("plugins")
    return Loaded(
        config=config,
        sections={name: {k: v for k, v in section.items() if k not in kernel} for name, section in told.items()},
        plugins={
            name: reader.read(PluginSettings, {k: v for k, v in section.items() if k in kernel}, f"plugins.{name}") or PluginSettings()
            for name, section in told.items()
        },
        named=frozenset(mine if isinstance(mine, dict) else ()),
        autoload=bool(autoload),
        plugin_folder=default_folder() if where is None else folder / Path(where).expanduser() if where else None,
        source=reader.source,
        folder=folder,
        origins=frozenset(_origins(merged)),
    )


def _reached_at(said: Any) -> Server:
    """Return by which port and socket a host is reached whose configuration is wrong; port 0 where that cannot be told."""
    told, quiet = said if isinstance(said, dict) else {"port": said}, Reader("", [])
    return quiet.read(Server, {name: told[name] for name in ("port", "control") if name in told}, "") or Server(port=0)


def _origins(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "://" in value and (found := origin_of(value)):
        yield found
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _origins(item)
