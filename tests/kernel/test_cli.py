"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import jsonschema
import pytest

from jackfield import __version__, config
from jackfield.api import HOOKS
from jackfield.cli.main import main
from jackfield.config import ConfigError
from tests.kernel.distributions import Distributions, distributions

__all__ = ["distributions"]

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in an empty folder with these files; an exception that nobody caught fails the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("JACKFIELD_CONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def _run(*words: str, **files: str) -> click.testing.Result:
        for name, text in files.items():
            Path(name.replace("_", ".")).write_text(text)
        result = click.testing.CliRunner().invoke(main, list(words))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert "Traceback" not in result.output
        return result

    return _run


ROUTER = "__version__ = '2.0'\ndef route_model(call): pass\ndef rout_models(call): pass\n"


# ---------------------------------------------------------------------------------------------------- in general


def test_help_names_every_command_with_a_sentence(run: Run) -> None:
    for flag in ("--help", "-h"):
        result = run(flag)
        assert result.exit_code == 0
        for command in ("serve", "plugins", "models", "check", "schema"):
            (line,) = (line for line in result.output.splitlines() if line.strip().startswith(command + " "))
            assert line.split(None, 1)[1][0].isupper()


@pytest.mark.parametrize("command", ["serve", "plugins", "models", "check", "schema"])
def test_every_command_has_help_of_its_own(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.output


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").output.strip() == f"jackfield, version {__version__}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["severe"], "No such command 'severe'"),
        (["serve", "--prot", "1"], "No such option"),
        (["serve", "--port", "many"], "'many' is not a valid integer"),
        (["plugins", "extra"], "unexpected extra argument"),
        (["schema", "nothing"], "No such command 'nothing'"),
        (["--nothing"], "No such option"),
    ],
)
def test_a_wrong_command_line_is_told_with_exit_code_2(run: Run, words: list[str], says: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize("command", [["plugins"], ["models"], ["check"], ["serve", "--port", "0"]])
def test_a_configuration_that_cannot_be_used_ends_a_command_with_its_problems(run: Run, command: list[str]) -> None:
    result = run(*command, "-c", "my.yaml", my_yaml="server: {prot: 1}\nlimit: {}")
    assert result.exit_code == 1
    assert "my.yaml: server.prot: unknown; did you mean 'port'?" in result.output
    assert "my.yaml: limit: unknown; did you mean 'limits'?" in result.output
    result = run(*command, "-c", "absent.yaml")
    assert result.exit_code == 1
    assert result.output.strip().endswith("absent.yaml: cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("server: {port: 99999}", "server.port: expected a whole number <= 65535"),
        ("server: {host: 0.0.0.0, port: 0}", "nothing asks who calls"),
        ("server: {host: 203.0.113.7, port: 0}\nplugins: {api_keys: {keys: [jf-1a2b3c4d5e]}}", "cannot listen on 203.0.113.7:0"),
        ("plugins: {gone: {required: true}}", "plugins.gone: no plugin of that name is installed"),
        ("access: {only: gone}", "access.only: no plugin 'gone' that authenticates is active"),
    ],
)
def test_serve_says_in_one_line_why_it_does_not_start(run: Run, text: str, says: str) -> None:
    result = run("serve", "-c", "my.yaml", my_yaml=text)
    assert result.exit_code == 1
    assert says in result.output.splitlines()[-1]


# --------------------------------------------------------------------------------------------------------- check


def test_check_is_quiet_about_a_good_file(run: Run) -> None:
    result = run("check", "-c", "my.yaml", my_yaml="server: {port: 1}\nplugins: {simulator: {pace: 20ms}}")
    assert (result.exit_code, result.output) == (0, "the configuration is fine\n")


def test_check_without_a_file_checks_the_one_of_the_folder_or_the_defaults(run: Run) -> None:
    assert run("check").exit_code == 0
    assert run("check", jackfield_yaml="server: {port: x}").exit_code == 1


def test_check_names_the_problems_of_the_host_and_of_every_plugin_at_once(run: Run) -> None:
    text = """
    server: {prot: 1}
    credentials: [{provider: nobody, key: sk-1f}, {kye: x}]
    plugins:
      simulator: {pase: 3s}
      api_keys: {keys: [{nme: a}]}
      mine: {path: mine.py, required: true}
      gone: {}
    """
    result = run("check", "-c", "my.yaml", my_yaml=text, mine_py="def route_model(c): pass")
    assert result.exit_code == 1
    for says in (
        "my.yaml: server.prot: unknown; did you mean 'port'?",
        "my.yaml: credentials[1].kye: unknown; did you mean 'key'?",
        "my.yaml: plugins.simulator.pase: unknown; did you mean 'pace'?",
        "my.yaml: plugins.api_keys.keys[0].nme: unknown; did you mean 'name'?",
        "my.yaml: plugins.gone: no plugin of that name is installed",
        "plugin 'mine': ",
    ):
        assert says in result.output


def test_check_names_what_is_wrong_beyond_the_files_form(run: Run) -> None:
    text = "credentials: [{provider: simm, key: sk-1f}, {provider: sim, key: your-key}]\nscheduler: nobody\n"
    result = run("check", "-c", "my.yaml", my_yaml=text)
    assert result.exit_code == 1
    assert "credentials[0]: there is no provider 'simm'" in result.output
    assert "credentials[1].key: a placeholder stands where a key should" in result.output
    assert "scheduler: no plugin 'nobody' picks credentials" in result.output
    assert "sk-1f" not in result.output


def test_check_names_a_credential_without_a_key_where_its_provider_needs_one(run: Run) -> None:
    text = """
plugins: {openai: {providers: {acme: {base_url: "http://127.0.0.1:9/v1", models: [m]}}}}
credentials:
  - {provider: openai, label: bare}
  - {provider: acme}
  - {provider: openai, headers: {Authorization: Bearer sk-1f2e}}
  - {provider: openai, label: own, base_url: "http://127.0.0.1:9/v1"}
"""
    result = run("check", "-c", "my.yaml", my_yaml=text)
    assert result.exit_code == 1
    assert result.stderr == "my.yaml: credentials[0]: the key is missing, and provider 'openai' needs one; it is not used\n"


def test_check_names_what_stands_for_nobody(run: Run) -> None:
    text = """
plugins: {sticky: {over: rond_robin}, round_robin: {}}
cooldown: {rate: 5, providers: {opnai: {rate: 1}}}
scheduler: {default: round_robin, providers: {openai: stiky, opnai: sticky}}
models: {aliases: {none: [], best: sm/echo, good: sim/echo, a: b, b: a}}
"""
    result = run("check", "-c", "my.yaml", my_yaml=text)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "my.yaml: cooldown.providers.opnai: there is no provider 'opnai'; did you mean 'openai'?",
        "my.yaml: scheduler.providers.openai: no plugin 'stiky' picks credentials; did you mean 'sticky'? Until then 'round_robin' does",
        "my.yaml: scheduler.providers.opnai: there is no provider 'opnai'; did you mean 'openai'?",
        "my.yaml: plugins.sticky.over: no plugin 'rond_robin' picks credentials; did you mean 'round_robin'?",
        "my.yaml: models.aliases.none: leads to no model; name one or leave it out",
        "my.yaml: models.aliases.best: nobody serves 'sm/echo'; did you mean 'sim/echo'?",
        "my.yaml: models.aliases.a: leads back to itself (a > b > a); let one of them name a model",
    ]


def test_a_variable_that_is_not_set_is_one_problem(run: Run) -> None:
    result = run("check", "-c", "my.yaml", my_yaml='credentials: [{provider: openai, key: "${NOPE}"}]')
    assert result.stderr == ("my.yaml: credentials[0].key: the environment variable NOPE is not set (or write ${NOPE:-default})\n")


# -------------------------------------------------------------------------------------------------------- plugins


def test_plugins_are_listed_with_everything_there_is_to_know(run: Run, distributions: Distributions) -> None:
    distributions.install("acme-tools", ROUTER, plugins={"acme": "acme_tools"}, version="3.1")
    distributions.install("broken", "import nothing_of_that_name")
    text = "plugins: {mine: {path: mine.py, priority: 4}, simulator: {enabled: false}}"
    result = run("plugins", "-c", "my.yaml", "--json", my_yaml=text, mine_py=ROUTER)
    assert result.exit_code == 0
    rows = {row["id"]: row for row in json.loads(result.output)}
    assert rows["acme"] == {
        "id": "acme", "version": "3.1", "distribution": "acme-tools", "origin": "entry point acme = acme_tools", "state": "active",
        "carried": "in process", "hints": [],
        "hooks": ["route_model"], "priority": 0, "grants": [], "config": "my.yaml: plugins.acme",
        "problems": ["plugin 'acme': 'rout_models' is no hook; did you mean 'route_model'?"],
    }  # fmt: skip
    assert (rows["mine"]["version"], rows["mine"]["priority"], rows["mine"]["origin"]) == ("2.0", 4, "file mine.py")
    assert rows["simulator"]["state"] == "disabled"
    assert rows["broken"]["state"] == "failed"
    assert rows["broken"]["problems"] == ["plugin 'broken': ModuleNotFoundError: No module named 'nothing_of_that_name'"]
    assert rows["api_keys"]["grants"] == ["authenticate"]


def test_the_table_of_plugins_has_one_line_a_plugin_where_nobody_looks_at_a_terminal(run: Run) -> None:
    result = run("plugins", "--plugin", "a-router-with-quite-a-long-name.py", **{"a-router-with-quite-a-long-name.py": ROUTER})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    ids = [line.split()[0] for line in lines if not line.startswith("problem")]
    assert ids == [
        "plugin",
        *(row["id"] for row in json.loads(run("plugins", "--plugin", "a-router-with-quite-a-long-name.py", "--json").output)),
    ]
    (row,) = (line for line in lines if line.startswith("a_router_with_quite_a_long_name"))
    assert "active" in row
    assert "route_model" in row
    assert any(line.startswith("problem: plugin 'a_router_with") for line in lines)
    assert "\x1b" not in result.output


def test_the_order_of_each_hook_is_shown(run: Run) -> None:
    text = "plugins: {autoload: false, a: {path: a.py}, b: {path: a.py, priority: 1}}"
    result = run("plugins", "-c", "my.yaml", "--order", my_yaml=text, a_py="def route_model(call): pass\n")
    assert result.exit_code == 0
    lines = dict(line.split(": ", 1) for line in result.output.splitlines())
    assert lines["route_model"] == "b, a"
    assert lines["pick_credential"] == "round_robin, fastest, fill_first, least_busy, sticky, weighted"
    assert lines["intercept_request"] == "-"
    assert lines.keys() == {name for name in HOOKS if not name.startswith("register_")}
    order = json.loads(run("plugins", "-c", "my.yaml", "--order", "--json").output)
    assert order["route_model"] == ["b", "a"]


def test_models_are_listed_as_a_table_and_as_json(run: Run) -> None:
    result = run("models")
    assert result.exit_code == 0
    heading, *lines = result.output.splitlines()
    assert heading.split() == ["model", "providers", "credentials", "tiers", "context", "output", "modalities", "name"]
    echo = next(line.split() for line in lines if line.startswith("sim/echo "))
    assert echo == ["sim/echo", "sim", "1", "0", "200000", "100000", "text", ">", "text", "Simulator:", "echo"]
    listed = {info["id"]: info for info in json.loads(run("models", "--json").output)}
    assert listed["sim/echo"]["providers"] == ["sim"]
    assert listed["sim/echo"]["credentials"] == {"able": 1, "all": 1}


SHOPS = """
plugins:
  openai:
    providers:
      acme: {base_url: "http://127.0.0.1:9/v1", models: [large, {name: small, upstream: small-2026}]}
      other: {base_url: "http://127.0.0.1:9/v1", models: [large]}
credentials:
  - {provider: acme, key: k-one-1f2e, label: one, priority: 5}
  - {provider: acme, key: k-two-1f2e, label: two, prefix: team, aliases: {own: large}}
  - {provider: acme, key: k-three-1f2e, label: three, excluded: [large]}
  - {provider: acme, key: k-four-1f2e, label: four, models: [small]}
  - {provider: acme, key: k-five-1f2e, label: five, disabled: true}
  - {provider: other, key: k-six-1f2e, label: six}
models:
  aliases: {fast: small, only: {model: small, fork: false}, big: acme/large}
"""


def test_the_table_of_models_counts_credentials_by_tier(run: Run) -> None:
    rows = {line.split()[0]: line for line in run("models", "-c", "my.yaml", my_yaml=SHOPS).output.splitlines()}
    assert rows["large"].split(None, 1)[1].startswith("acme, other  3            5: 1, 0: 2")
    assert rows["own"].split()[:4] == ["own", "acme", "1", "0"]
    assert "team/large" in rows
    assert "small" not in rows


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "large",
            [
                "acme (one) as large, in openai.chat, tier 5",
                "acme (two) as large, in openai.chat",
                "other (six) as large, in openai.chat",
                "not acme (three): it is among what the credential is excluded from",
                "not acme (four): it is not among the credential's `models`",
                "not acme (five): it is disabled",
            ],
        ),
        ("acme://large", ["not other (six): the name is of another provider"]),
        ("own", ["acme (two) as large, in openai.chat", "not acme (one): the provider lists no such model for it"]),
        ("big", ["not acme (three): acme/large: it is among what the credential is excluded from"]),
    ],
)
def test_who_serves_a_model_is_shown_and_why_the_others_do_not(run: Run, name: str, lines: list[str]) -> None:
    shown = run("models", "show", name, "-c", "my.yaml", my_yaml=SHOPS).output.splitlines()
    assert [line for line in lines if line not in shown] == []


def test_prefixes_that_are_forced_and_replaced_names_are_shown_as_reasons(run: Run) -> None:
    forced = run("models", "show", "large", "-c", "my.yaml", my_yaml=SHOPS + "  force_prefix: true\n").output
    assert "not acme (two): it serves team/large: models.force_prefix" in forced
    result = run("models", "show", "small", "-c", "my.yaml", my_yaml=SHOPS)
    assert result.exit_code == 1
    assert "not acme (one): an alias of models.aliases replaces the name" in result.output + result.stderr


def test_what_auto_stands_for_is_shown(run: Run) -> None:
    result = run("models", "show", "auto")
    assert result.output.startswith("auto stands for sim/")


def test_check_names_what_is_said_of_names_that_cannot_all_be_meant(run: Run) -> None:
    said = """
plugins: {openai: {providers: {acme: {base_url: "http://127.0.0.1:9/v1", models: [m, n]}}}}
credentials:
  - {provider: acme, key: k-one-1f2e, aliases: {fast: m, same: n}}
  - {provider: acme, key: k-two-1f2e, prefix: acme}
models:
  aliases: {fast: n, same: n, a: b, b: [m, a], n: [n, m], "acme://x": m}
"""
    result = run("check", "-c", "my.yaml", my_yaml=said)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "my.yaml: credentials[0]: aliases.fast: means n in models.aliases and m here, which goes first for this credential; "
        "choose another name for one",
        "my.yaml: models.aliases.a: leads back to itself (a > b > a); let one of them name a model",
        "my.yaml: models.aliases.acme://x: never found, as '://' stands after a provider's key; choose another name",
        "my.yaml: credentials[1]: prefix: 'acme' is the key of a provider, which goes first; choose another",
    ]


def test_check_names_a_provider_whose_key_another_plugin_has(run: Run) -> None:
    said = "plugins: {openai: {providers: {sim: {base_url: 'http://127.0.0.1:9/v1', models: [m]}, anthropic: {base_url: 'http://127.0.0.1:9/v1'}}}}"
    result = run("check", "-c", "my.yaml", my_yaml=said)
    assert result.stderr.splitlines() == [
        "my.yaml: plugins.openai.providers.anthropic: the key 'anthropic' belongs to plugin 'anthropic'; give yours another",
        "my.yaml: plugins.openai.providers.sim: the key 'sim' belongs to plugin 'simulator'; give yours another",
    ]
    assert run("models", "show", "sim/echo", "-c", "my.yaml", my_yaml=said).exit_code == 0


# ------------------------------------------------------------------------------------------------ added commands


def test_commands_of_distributions_are_listed_without_importing_them_and_run(run: Run, distributions: Distributions) -> None:
    code = """
    import click
    @click.command()
    @click.option("--who", default="you")
    def greet(who):
        "Greet."
        click.echo(f"hello {who}")
    """
    distributions.install("greeter", code, plugins={}, commands={"greet": "greeter:greet", "serve": "greeter:greet"})
    distributions.install("broken", "raise ValueError('imported')", plugins={}, commands={"crash": "broken:run", "odd": "greeter:click"})
    listed = run("--help").output
    assert "greet" in listed
    assert "crash" in listed
    assert run("greet", "--who", "me").output == "hello me\n"
    assert "Start the host" in run("serve", "--help").output


@pytest.mark.parametrize(("command", "says"), [("crash", "ValueError: imported"), ("odd", "is no click command"), ("gone", "absent")])
def test_a_command_that_cannot_be_imported_is_told_in_one_line(run: Run, distributions: Distributions, command: str, says: str) -> None:
    commands = {"crash": "broken:run", "odd": "fine:json", "gone": "absent:run"}
    distributions.install("broken", "raise ValueError('imported')", plugins={}, commands=commands)
    distributions.install("fine", "import json", plugins={})
    result = run(command)
    assert result.exit_code == 1
    assert says in result.output


# -------------------------------------------------------------------------------------------------------- schema

FILES: list[Any] = [
    {},
    {"server": {"port": 1}},
    {"server": {"port": 70000}},
    {"server": {"port": "80"}},
    {"server": {"port": "${PORT:-80}"}},
    {"server": {"port": True}},
    {"server": {"prot": 1}},
    {"server": {"grace": 3}},
    {"server": {"grace": "1.5m"}},
    {"server": {"grace": "soon"}},
    {"server": {"grace": -1}},
    {"server": {"grace": "${GRACE:-3s}"}},
    {"server": None},
    {"server": []},
    {"limits": {"body": "64KiB"}},
    {"limits": {"body": 1.5}},
    {"limits": {"body": "64 XB"}},
    {"hooks": {"failures": 0}},
    {"scheduler": "a"},
    {"scheduler": {"default": "a", "models": {"m*": "b"}}},
    {"scheduler": ["a"]},
    {"models": {"aliases": {"a": "b", "c": ["d", "e"]}}},
    {"models": {"aliases": {"a": 1}}},
    {"credentials": [{"provider": "a", "key": "k", "weight": 0.5, "aliases": {"a": ["b"]}}]},
    {"credentials": [{"provider": "a", "weight": "${WEIGHT:-2}"}]},
    {"credentials": [{"key": "k"}]},
    {"credentials": [{"provider": "a", "weight": 0}]},
    {"credentials": [{"provider": "a", "kye": "k"}]},
    {"credentials": {"provider": "a"}},
    {"plugins": None},
    {"plugins": []},
    {"plugins": {"autoload": False}},
    {"plugins": {"autoload": "${AUTOLOAD:-true}"}},
    {"plugins": {"autoload": "maybe"}},
    {"plugins": {"simulator": None}},
    {"plugins": {"simulator": False}},
    {"plugins": {"simulator": {"pace": "20ms", "enabled": False, "priority": 3}}},
    {"plugins": {"simulator": {"pase": "20ms"}}},
    {"plugins": {"simulator": {"texts": {"default": ["a", "b"]}}}},
    {"plugins": {"simulator": {"hooks": {"route_model": {"on_error": "never"}}}}},
    {"plugins": {"simulator": {"hooks": {"register_providers": {"on_error": "open", "deadline": "3s"}}}}},
    {"plugins": {"api_keys": {"keys": ["k-1f2e3d", {"name": "n", "key": "${KEY:-k-2f3e}", "allow": {"models": ["m"]}}]}}},
    {"plugins": {"api_keys": {"keys": "k"}}},
    {"plugins": {"openai": {"providers": {"acme": {"base_url": "http://127.0.0.1:9/v1"}}}}},
    {"plugins": {"openai": {"providers": {"acme": {"base_ulr": "http://127.0.0.1:9/v1"}}}}},
    {"extra": 1},
]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    result = click.testing.CliRunner().invoke(main, ["schema", "config"])
    assert result.exit_code == 0
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_the_schema_is_a_valid_one_and_describes_every_section(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {"server", "limits", "timeouts", "hooks", "credentials", "plugins"} <= schema["properties"].keys()
    assert {"autoload", "simulator", "api_keys", "openai"} <= schema["properties"]["plugins"]["properties"].keys()
    assert "path" in schema["properties"]["plugins"]["additionalProperties"]["properties"]


@pytest.mark.parametrize("document", FILES, ids=lambda document: json.dumps(document)[:70])
def test_the_schema_takes_what_the_host_takes(
    schema: dict[str, Any], run: Run, monkeypatch: pytest.MonkeyPatch, document: Any, tmp_path: Path
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(json.dumps(document))
    problems: list[str] = []
    try:
        loaded = config.load(file)
    except ConfigError as fault:
        problems = fault.problems
    else:
        problems = [
            line
            for line in run("check", "-c", str(file)).output.splitlines()
            if (": plugins." in line and "unknown" in line) or "expected" in line
        ]
        assert loaded
    accepted = jsonschema.Draft202012Validator(schema).is_valid(document)
    assert accepted == (not problems), problems


def test_the_schema_may_be_written_to_a_file(run: Run, schema: dict[str, Any]) -> None:
    result = run("schema", "config", "--write", "out.json")
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(Path("out.json").read_text()) == schema


# ------------------------------------------------------------------------------------------- as a program of its own


def program(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start `jackfield` with its output going into a pipe."""
    environment = {**os.environ, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        [sys.executable, "-c", "from jackfield.cli.main import main; main()", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **options,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["plugins"], ["plugins", "--json"], ["plugins", "--order"], ["models"], ["schema", "config"]])
def test_output_that_nobody_reads_is_no_traceback(words: list[str], tmp_path: Path) -> None:
    with program(*words, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait(30)
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_listing_leaves_nothing_unclosed(tmp_path: Path) -> None:
    with program("plugins", "--json", cwd=tmp_path) as process:
        out, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"")
    assert json.loads(out)


def test_help_imports_neither_the_server_nor_a_plugin(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom jackfield.cli.main import main\nmain(['--help'], standalone_mode=False)\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('aiohttp', 'uvloop', 'rich', 'yaml') or n.startswith('jackfield_')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.splitlines()[-1] == "[]"


def test_check_says_what_would_keep_a_host_from_serving(run: Run) -> None:
    result = run("check", "-c", "my.yaml", my_yaml="server: {host: 0.0.0.0}\nstate: nowhere")
    assert result.exit_code == 1
    assert "my.yaml: server.host: others can reach '0.0.0.0', but nothing asks who calls" in result.output
    assert "my.yaml: state: no plugin has a store of the kind 'nowhere'" in result.output


def test_what_is_known_of_a_model_is_shown_with_who_says_so(run: Run) -> None:
    catalogue = "models: {catalogue: [{id: 'sim/*', context: 5, max_output: 3}], aliases: {mine: sim/echo}}"
    result = run("models", "show", "mine", "-c", "my.yaml", my_yaml=catalogue)
    assert result.exit_code == 0
    assert "context: 5 (models.catalogue in the configuration)" in result.output
    assert 'owner: "simulator" (the models of sim)' in result.output
    assert json.loads(run("models", "show", "sim/echo", "--json").output)["served"][0]["model"] == "sim/echo"


def test_a_model_that_nobody_could_serve_is_told_in_one_line(run: Run) -> None:
    result = run("models", "show", "nope")
    assert result.exit_code == 1
    assert "the model 'nope' does not exist here" in (result.output + str(result.exception))
