"""The committed schemas are those of the code, and the schema of the configuration takes what the host takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from jackfield import ConfigError, Jackfield
from jackfield.cli.schema import config_schema
from tests.packaging.conftest import ROOT

COMMITTED = ROOT / "schemas" / "config.json"


async def schema_of(*plugins: object, given: Any = None, distribution: str | None = None) -> Any:
    """Return the schema for a host with these plugins beside the installed ones, or with those of one distribution."""
    host = Jackfield(given or {}, plugins=plugins)
    try:
        await host.load()
        return config_schema([p for p in host.plugins if distribution in (None, p.distribution)])
    finally:
        await host.stop(grace=0)


@pytest.fixture(scope="module")
def fits() -> Callable[[Any], bool]:
    """Tells whether a document fits the committed schema."""
    return jsonschema.Draft202012Validator(json.loads(COMMITTED.read_text())).is_valid


async def taken(document: Any, folder: Path) -> bool:
    """Tell whether the host takes a document as its configuration file without a problem."""
    path = folder / "jackfield.yaml"
    path.write_text(json.dumps(document))
    try:
        host = Jackfield(path)
    except ConfigError:
        return False
    try:
        await host.load()
        return not host.problems
    finally:
        await host.stop(grace=0)


async def test_the_committed_schema_is_what_the_command_prints() -> None:
    current = json.dumps(await schema_of(distribution="jackfield"), indent=2) + "\n"
    assert COMMITTED.read_text() == current, "`make schemas` writes it anew"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(COMMITTED.read_text()))


@pytest.mark.parametrize("path", [*ROOT.glob("*.yaml"), *ROOT.glob("defaults/*/*.yaml")], ids=lambda path: path.name)
def test_files_that_come_with_the_host_fit(path: Path, fits: Callable[[Any], bool]) -> None:
    assert fits(yaml.safe_load(path.read_text()))


GOOD: dict[str, Any] = {
    "nothing": {},
    "each section": {
        "server": {"host": "::1", "port": 0, "keepalive": "15s", "grace": 0.5},
        "limits": {"body": "64 MiB", "headers": 65536, "json": "16mib", "in_flight": "1GiB"},
        "timeouts": {"connect": "1.5m", "first_byte": 300, "idle": "250ms", "client_body": "1 H"},
        "hooks": {"deadline": 5, "failures": 1, "pause": "30s", "blocked": "1s"},
        "access": {"only": None},
        "headers": {"request": {"allow": ["X-*"], "deny": []}},
        "models": {"aliases": {"one": "sim/echo", "many": ["sim/echo", "sim/tools"]}},
        "scheduler": {"default": "round_robin", "models": {"sim/*": "round_robin"}},
        "state": "memory",
    },
    "a scheduler by name": {"scheduler": "round_robin"},
    "a credential": {
        "credentials": [{"provider": "openai", "key": "sk-0f9e8d7c6b5a", "weight": 0.5, "models": ["a*"], "aliases": {"x": "y"}}],
    },
    "values of the environment": {
        "server": {"port": "${PORT:-9000}", "grace": "${GRACE:-3s}"},
        "limits": {"body": "${BODY:-1MiB}"},
        "plugins": {"autoload": "${AUTOLOAD:-true}", "api_keys": {"generate": "${GENERATE:-false}"}},
    },
    "a key": {"plugins": {"api_keys": {"keys": ["k-0123456789abcdef"]}}},
    "a key with a name": {"plugins": {"api_keys": {"keys": [{"name": "me", "key": "k-fedcba9876543210", "allow": {"models": ["sim/*"]}}]}}},
    "a server": {
        "plugins": {"openai": {"providers": {"acme": {"base_url": "https://acme.example/v1", "models": ["m"], "auth": "none"}}}},
    },
    "a plugin switched off": {"plugins": {"simulator": {"enabled": False}, "memory": None}},
    "what the host reads of every plugin": {
        "plugins": {"simulator": {"priority": -3, "deadline": "2s", "hooks": {"register_providers": {"on_error": "open"}}}},
    },
    "settings of a plugin": {"plugins": {"simulator": {"pace": "20ms", "texts": {"default": "Hi.", "talk": ["a", "b"]}}}},
}

BAD: dict[str, Any] = {
    "no mapping": ["server"],
    "an unknown section": {"sever": {}},
    "an unknown setting": {"server": {"prot": 1}},
    "an empty section": {"server": None},
    "a port out of range": {"server": {"port": 65536}},
    "a port in words": {"server": {"port": "eighty"}},
    "a time of no unit": {"timeouts": {"idle": "3 parsecs"}},
    "a time before now": {"timeouts": {"idle": -1}},
    "a size of half a byte": {"limits": {"body": 1.5}},
    "a size as a truth": {"limits": {"body": True}},
    "no failures at all": {"hooks": {"failures": 0}},
    "a credential of nobody": {"credentials": [{"key": "sk-0f9e8d7c6b5a"}]},
    "a credential of no weight": {"credentials": [{"provider": "openai", "weight": 0}]},
    "credentials by name": {"credentials": {"openai": {}}},
    "an alias of a number": {"models": {"aliases": {"x": 1}}},
    "a truth for a plugin": {"plugins": {"simulator": False}},
    "a plugin's setting misspelt": {"plugins": {"simulator": {"paces": 1}}},
    "a plugin's setting mistyped": {"plugins": {"simulator": {"texts": ["a"]}}},
    "an answer to failure of its own": {"plugins": {"simulator": {"hooks": {"register_providers": {"on_error": "ajar"}}}}},
    "a dialect that no server speaks": {"plugins": {"openai": {"providers": {"a": {"base_url": "https://a.example", "dialects": ["x"]}}}}},
    "a manner of its own": {"plugins": {"openai": {"providers": {"acme": {"base_url": "https://a.example", "auth": "basic"}}}}},
    "a setting of a module, which takes none": {"plugins": {"memory": {"size": 3}}},
    "a setting of a class that takes none": {"plugins": {"round_robin": {"size": 3}}},
}


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
async def test_what_the_host_takes_fits_the_schema(document: Any, fits: Callable[[Any], bool], tmp_path: Path) -> None:
    assert (await taken(document, tmp_path), fits(document)) == (True, True)


@pytest.mark.parametrize("document", BAD.values(), ids=BAD)
async def test_what_the_host_refuses_does_not_fit_the_schema(document: Any, fits: Callable[[Any], bool], tmp_path: Path) -> None:
    assert (await taken(document, tmp_path), fits(document)) == (False, False)


async def test_an_unknown_plugin_of_the_users_may_say_what_it_likes(fits: Callable[[Any], bool]) -> None:
    assert fits({"plugins": {"of_their_own": {"path": "./x.py", "priority": 3, "anything": {"at": ["all"]}}}})
    assert not fits({"plugins": {"of_their_own": {"priority": "high"}}})


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    further: tuple[Inner, ...] = ()


class Theirs(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What a third party's plugin may be told."""

    most_words: int = 3
    """How many."""
    tree: Inner | None = None


class Theirown:
    def __init__(self, config: Theirs) -> None:
        self.config = config


async def test_a_third_partys_settings_are_in_the_schema_with_what_is_said_of_them() -> None:
    schema = await schema_of(Theirown)
    section = schema["properties"]["plugins"]["properties"]["theirown"]
    assert section["description"] == "What a third party's plugin may be told."
    assert section["properties"]["mostWords"]["description"] == "How many."
    assert section["properties"]["mostWords"]["default"] == 3
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid({"plugins": {"theirown": {"mostWords": 1, "tree": {"name": "a", "further": [{"name": "b"}]}}}})
    assert not valid({"plugins": {"theirown": {"tree": {"name": "a", "further": [{"nam": "b"}]}}}})
    assert not valid({"plugins": {"theirown": {"most_words": 1}}})


async def test_plugins_that_could_not_be_loaded_may_say_what_they_like() -> None:
    schema = await schema_of(given={"plugins": {"lost": {}, "broken": {"path": "/no/such/file.py"}, "simulator": {"enabled": False}}})
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid({"plugins": {"lost": {"size": 3}, "broken": {"size": 3}, "simulator": {"size": 3}}})
