"""Read configuration: a YAML file or a mapping, merged over the distribution's defaults, decoded strictly.

Every problem is found at once and told in one line that says what, where and what to do. This module
knows files and values; what the values mean is the business of `settings` and of the plugins.
"""

import difflib
import os
import re
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar, Union

import msgspec
import yaml

from jackfield.addresses import origin_of
from jackfield.api import Secret
from jackfield.api.units import Seconds, Size, read_unit
from jackfield.settings import Config, PluginSettings, Server

Struct = TypeVar("Struct", bound=msgspec.Struct)

DEFAULT_FILE: Final = "jackfield.yaml"
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(\w+)(?::-((?:[^}\\]|\\.)*))?\}")


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has one line for each thing that is wrong; `loaded` is what is left without it."""

    def __init__(self, problems: list[str], loaded: "Loaded | None" = None) -> None:
        super().__init__("\n".join(problems))
        self.problems, self.loaded = problems, loaded


class _FromEnvironment(str):  # noqa: SLOT000 (few are made)
    """A text that came from an environment variable: it may stand for a number or a truth value."""


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
        text = path.read_text(encoding="utf-8")
        try:
            document = yaml.load(text, _QuickLoader)  # noqa: S506 (a safe loader)
        except (yaml.YAMLError, RecursionError):
            document = yaml.load(text, _Loader)  # noqa: S506 (likewise)
        if isinstance(document, dict | None):
            return _expand(document or {}, "", problems, source)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError([f"{source}: cannot be read: {getattr(fault, 'strerror', fault)}"]) from None
    except yaml.MarkedYAMLError as fault:
        line = f" line {at.line + 1}, column {at.column + 1}:" if (at := fault.problem_mark) else ""
        raise ConfigError([f"{source}:{line} not valid YAML: {fault.problem or fault.context}"]) from None
    except RecursionError:
        raise ConfigError([f"{source}: not valid: something in it is nested too deep, or holds itself"]) from None
    except (yaml.YAMLError, ValueError) as fault:
        raise ConfigError([f"{source}: not valid YAML: {str(fault).splitlines()[0]}"]) from None
    raise ConfigError([f"{source}: expected a mapping at the top, got {_shown(document)}"])


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

    return _FromEnvironment(_VARIABLE.sub(put, value))


def _merge(below: Any, above: Any) -> Any:
    """Return `below` with what `above` says; a section in which nothing stands takes nothing away."""
    both = isinstance(below, Mapping) and isinstance(above, Mapping | None)
    return {**below, **{key: _merge(below.get(key), value) for key, value in (above or {}).items()}} if both else above


def _decode(merged: dict[str, Any], own: dict[str, Any], reader: "Reader", folder: Path) -> Loaded:
    said = {key: value for key, value in merged.items() if key != "plugins"}
    config: Config = reader.read(Config, said, "") or Config(server=_reached_at(said.get("server", {})))
    given = _merge({"plugins": {"autoload": True}}, merged)["plugins"]
    autoload = reader.read(bool, given.pop("autoload"), "plugins.autoload") if isinstance(given, dict) else True
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
        source=reader.source,
        folder=folder,
        origins=frozenset(_origins(merged)),
    )


def _reached_at(said: Any) -> Server:
    """Return by which port and socket a host is reached whose configuration is wrong; port 0 where that cannot be told."""
    told, quiet = said if isinstance(said, dict) else {"port": said}, Reader("", [])
    return quiet.read(Server, {name: told[name] for name in ("port", "control") if name in told}, "") or Server(port=0)


def _origins(value: Any) -> typing.Iterator[str]:
    if isinstance(value, str) and "://" in value and (found := origin_of(value)):
        yield found
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _origins(item)


_WORDS: Final[dict[Any, str]] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing",
    Seconds: "a number of seconds", Size: "a number of bytes", Secret: "a text", dict: "a mapping", list: "a list",
}  # fmt: skip


def _in_words(kind: Any) -> str:
    """Say in words what a configuration value should be."""
    base, parts = typing.get_origin(kind), typing.get_args(kind)
    if base is typing.Annotated:
        return _in_words(parts[0])
    if base in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(part) for part in parts if part is not type(None)))
    if base is typing.Literal:
        return "one of " + ", ".join(map(repr, parts))
    return _WORDS.get(kind) or ("a list" if base in (list, tuple) else "a mapping")


def _shown(value: Any, kind: Any = dict) -> str:
    """Say what stands in place of a `kind`. Nothing is shown that may be a secret: only what was meant as a plain value."""
    hidden = isinstance(value, _FromEnvironment) or Secret in (kind, *typing.get_args(kind))
    other = "a text" if isinstance(value, str) and _shape(kind) is not str else "something else" if hidden else repr(value)
    text = _WORDS[type(value)] if isinstance(value, dict | list | None) else other
    return text if len(text) <= 60 else text[:57] + "..."


def _shape(kind: Any) -> type:
    """Return what kind of YAML value a type is written as: a mapping, a list, or a plain one."""
    base = typing.get_origin(kind) or kind
    if isinstance(base, type) and issubclass(base, msgspec.Struct | dict):
        return dict
    return list if base in (list, tuple) else str


@lru_cache
def _fields(kind: type[Struct]) -> tuple[dict[str, Any], dict[str, msgspec.structs.FieldInfo]]:
    """Return the types of a struct's fields, and the fields by the names that configuration has for them."""
    return typing.get_type_hints(kind, include_extras=True), {field.encode_name: field for field in msgspec.structs.fields(kind)}


class Reader:
    """Decodes plain values into structs, and goes on after a problem to find the next."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source, self._problems = source, problems

    def read(self, kind: Any, value: Any, where: str) -> Any:
        """Return `value` as a `kind`; None, with problems added, where it is not one."""
        if kind is Any:
            kind = dict[str, Any] if isinstance(value, dict) else list[Any] if isinstance(value, list) else Any
        if typing.get_origin(kind) in (Union, types.UnionType) and value is not None:
            shape = type(value) if isinstance(value, dict | list) else str
            fitting = [part for part in typing.get_args(kind) if _shape(part) is shape and part is not type(None)]
            kind = fitting[0] if len(fitting) == 1 or (fitting and shape is not str) else kind
        base, parts = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
            return self._struct(kind, value, where)
        if base is dict and isinstance(value, dict):
            return {key: self.read(parts[1], item, f"{where}.{key}" if where else key) for key, item in value.items()}
        if base in (list, tuple) and isinstance(value, list):
            return base(self.read(parts[0], item, f"{where}[{index}]") for index, item in enumerate(value))
        return self._plain(kind, value, where)

    def _struct(self, kind: type[Struct], value: dict[str, Any], where: str) -> Struct | None:
        before, prefix = len(self._problems), f"{where}." if where else ""
        hints, known = _fields(kind)
        for name in (name for name in value if name not in known and kind.__struct_config__.forbid_unknown_fields):
            near = difflib.get_close_matches(name, known, 1)
            self._complain(
                prefix + name,
                f"unknown; did you mean {near[0]!r}?" if near else f"unknown; known here: {', '.join(sorted(known)) or 'nothing'}",
            )
        for name, field in known.items():
            if field.required and name not in value:
                self._complain(prefix + name, f"missing; expected {_in_words(hints[field.name])}")
        fields = {f.name: self.read(hints[f.name], value[name], prefix + name) for name, f in known.items() if name in value}
        try:
            return kind(**fields) if len(self._problems) == before else None
        except ValueError as fault:  # a struct's own check (`__post_init__`)
            self._complain(where, str(fault))
            return None

    def _plain(self, kind: Any, value: Any, where: str) -> Any:
        from_environment = isinstance(value, _FromEnvironment)
        try:
            return msgspec.convert(str(value) if from_environment else value, kind, strict=not from_environment, dec_hook=_from_config)
        except (msgspec.ValidationError, NotImplementedError, TypeError) as fault:  # those that `convert` cannot tell apart, too
            bound = re.match(r"Expected `\w+` ([<>].*)$", str(fault))
            least = " of at least 0" if kind in (Seconds, Size) and str(value).strip().startswith("-") else ""
            self._complain(where, f"expected {_in_words(kind)}{' ' + bound[1] if bound else least}, got {_shown(value, kind)}")

    def _complain(self, where: str, what: str) -> None:
        self._problems.append(f"{self.source}: {where}: {what}" if where else f"{self.source}: {what}")


def _from_config(kind: type[Any], value: object) -> Any:
    return Secret(value) if kind is Secret and isinstance(value, str) else value if isinstance(value, Secret) else read_unit(kind, value)
