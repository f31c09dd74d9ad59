"""The configuration file: read strictly, merged over the defaults, every problem named at once in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jackfield import config
from jackfield.api import Secret
from jackfield.config import ConfigError, Loaded
from jackfield.credentials import from_config
from jackfield.settings import Config

Read = Callable[[str | bytes], Loaded]
Problems = Callable[[str | bytes], list[str]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads a file of the given text."""
    monkeypatch.chdir(tmp_path)

    def _read(text: str | bytes) -> Loaded:
        Path("my.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load("my.yaml")

    return _read


@pytest.fixture
def problems(read: Read) -> Problems:
    """Reads a file of the given text and returns what is wrong with it."""

    def _problems(text: str | bytes) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            read(text)
        assert str(raised.value) == "\n".join(raised.value.problems)
        assert all("\n" not in problem for problem in raised.value.problems)
        return raised.value.problems

    return _problems


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}", "---\n", "plugins:\n", "plugins: {}", "plugins: {simulator: }"])
def test_a_file_that_says_nothing_leaves_the_defaults(read: Read, text: str) -> None:
    assert read(text).config == config.load({}).config
    assert read(text).plugins["api_keys"].required


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {prot: 1}", "server.prot: unknown; did you mean 'port'?"),
        (
            "timeouts: {qqq: 1}",
            "timeouts.qqq: unknown; known here: client_body, connect, first_byte, idle, models, providers, thinking, total",
        ),
        ("servers: {}", "servers: unknown; did you mean 'server'?"),
        ("server: {port: many}", "server.port: expected a whole number, got 'many'"),
        ("server: {port: 70000}", "server.port: expected a whole number <= 65535, got 70000"),
        ("server: {port: -1}", "server.port: expected a whole number >= 0, got -1"),
        ("server: {port: '80'}", "server.port: expected a whole number, got '80'"),
        ("server: {port: 8.5}", "server.port: expected a whole number, got 8.5"),
        ("server: {port: true}", "server.port: expected a whole number, got True"),
        ("server: {port: }", "server.port: expected a whole number, got nothing"),
        ("server: {port: [1]}", "server.port: expected a whole number, got a list"),
        ("server: {host: no}", "server.host: expected a text, got False"),
        ("server: []", "server: expected a mapping, got a list"),
        ("server: fast", "server: expected a mapping, got a text"),
        ("server:", "server: expected a mapping, got nothing"),
        ("server: {grace: 5 parsecs}", "server.grace: expected a number of seconds, got '5 parsecs'"),
        ("server: {grace: -1s}", "server.grace: expected a number of seconds of at least 0, got '-1s'"),
        ("server: {grace: on}", "server.grace: expected a number of seconds, got True"),
        ("limits: {body: 1 XB}", "limits.body: expected a number of bytes, got '1 XB'"),
        ("limits: {body: .nan}", "limits.body: expected a number of bytes, got nan"),
        ("limits: {body: .inf}", "limits.body: expected a number of bytes, got inf"),
        ("limits: {body: 1.5}", "limits.body: expected a number of bytes, got 1.5"),
        (
            "failures: {a: [{status: 429}]}",
            "failures.a[0].cause: missing; expected one of "
            "'caller', 'credential', 'account_action', 'quota', 'rate', 'overload', 'upstream', 'network', 'content', 'unsupported', "
            "'plugin', 'unknown'",
        ),
        ("failures: {a: [{cause: quota, untl_header: x}]}", "failures.a[0].untl_header: unknown; did you mean 'until_header'?"),
        (
            "failures: {a: [{cause: quota, match: '('}]}",
            "failures.a[0]: match: '(' is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            "failures: {a: [{cause: quota, until_match: soon}]}",
            "failures.a[0]: until_match: 'soon' needs one group, in parentheses, around what is to be read",
        ),
        (
            "failures: {a: [{cause: quota, resets: daily}]}",
            "failures.a[0]: 'daily' is no turn of the calendar such as 'daily 00:00 America/Los_Angeles' or 'monthly 00:00 UTC'",
        ),
        ("failures: {a: [{cause: quota, retry_after: soon}]}", "failures.a[0].retry_after: expected a number of seconds, got 'soon'"),
        ("failures: {a: {cause: quota}}", "failures.a: expected a list, got a mapping"),
        ("hooks: {failures: 0}", "hooks.failures: expected a whole number >= 1, got 0"),
        ("scheduler: {defalt: a}", "scheduler.defalt: unknown; did you mean 'default'?"),
        ("scheduler: [a]", "scheduler: expected a text or a mapping, got a list"),
        ("headers: {request: {allow: x-a}}", "headers.request.allow: expected a list, got a text"),
        ("models: {aliases: {a: 1}}", "models.aliases.a: expected a text, got 1"),
        ("models: {aliases: {a: [b, 2]}}", "models.aliases.a[1]: expected a text, got 2"),
        ("plugins: []", "plugins: expected a mapping, got a list"),
        ("plugins: false", "plugins: expected a mapping, got False"),
        ("plugins: {simulator: false}", "plugins.simulator: expected a mapping, got False"),
        ("plugins: {autoload: never}", "plugins.autoload: expected true or false, got 'never'"),
        ("plugins: {a: {enabled: maybe}}", "plugins.a.enabled: expected true or false, got 'maybe'"),
        ("plugins: {a: {path: 3}}", "plugins.a.path: expected a text, got 3"),
        ("plugins: {a: {deadline: soon}}", "plugins.a.deadline: expected a number of seconds, got 'soon'"),
        (
            "plugins: {a: {hooks: {route_model: {on_error: never}}}}",
            "plugins.a.hooks.route_model.on_error: expected one of 'open', 'closed', got 'never'",
        ),
        ("credentials: {provider: a}", "credentials: expected a list, got a mapping"),
        ("credentials: [{key: k}]", "credentials[0].provider: missing; expected a text"),
        ("credentials: [{provider: a, weight: 0}]", "credentials[0].weight: expected a number > 0.0, got 0"),
        ("credentials: [{provider: a, priority: high}]", "credentials[0].priority: expected a whole number, got 'high'"),
        ("credentials: [{provider: a, models: m}]", "credentials[0].models: expected a list, got 'm'"),
        ("credentials: [{provider: a, headers: [x]}]", "credentials[0].headers: expected a mapping, got a list"),
        ("credentials: [{provider: a, key: 12345}]", "credentials[0].key: expected a text, got something else"),
        ("credentials: [{provider: a, kye: k}]", "credentials[0].kye: unknown; did you mean 'key'?"),
        (
            "1: 2",
            f"1: unknown; known here: {', '.join(sorted(Config.__struct_fields__))}",
        ),
        ("[]", "expected a mapping at the top, got a list"),
        ("hello", "expected a mapping at the top, got a text"),
        ("7", "expected a mapping at the top, got 7"),
    ],
)
def test_a_problem_is_one_line_with_file_path_what_was_expected_and_what_came(problems: Problems, text: str, problem: str) -> None:
    assert problems(text) == [f"my.yaml: {problem}"]


def test_every_problem_of_a_file_is_named_at_once_in_its_order(problems: Problems) -> None:
    text = """
    limit: {}
    server: {prot: 1, port: x, host: "${NOT_SET_ANYWHERE}"}
    timeouts: {connect: 5 parsecs}
    plugins: {a: {priority: first}}
    credentials: [{key: k}, {provider: 3}]
    """
    found = problems(text)
    assert sorted(found) == [
        "my.yaml: credentials[0].provider: missing; expected a text",
        "my.yaml: credentials[1].provider: expected a text, got 3",
        "my.yaml: limit: unknown; did you mean 'limits'?",
        "my.yaml: plugins.a.priority: expected a whole number, got 'first'",
        "my.yaml: server.host: the environment variable NOT_SET_ANYWHERE is not set (or write ${NOT_SET_ANYWHERE:-default})",
        "my.yaml: server.port: expected a whole number, got 'x'",
        "my.yaml: server.prot: unknown; did you mean 'port'?",
        "my.yaml: timeouts.connect: expected a number of seconds, got '5 parsecs'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {port: 1, port: 2}", "line 1, column 19: not valid YAML: the key 'port' stands twice"),
        ("server: {port: 1}\nlimits: {}\nserver: {}", "line 3, column 1: not valid YAML: the key 'server' stands twice"),
        ("server:\n\tport: 1", "line 2, column 1: not valid YAML: found character '\\t' that cannot start any token"),
        ("? [a]\n: b", "line 1, column 3: not valid YAML: a key must be a plain text"),
        ("? {a: b}\n: c", "line 1, column 3: not valid YAML: a key must be a plain text"),
        ("a: 1\n---\nb: 2", "line 2, column 1: not valid YAML: but found another document"),
        ("server: *nowhere", "line 1, column 9: not valid YAML: found undefined alias 'nowhere'"),
        ("a: &a [*a]", "not valid: something in it is nested too deep, or holds itself"),
        ("models: {aliases: &a {b: *a}}", "not valid: something in it is nested too deep, or holds itself"),
        ("[" * 3000, "not valid: something in it is nested too deep, or holds itself"),
        (b"server: {}\x00", "not valid YAML: unacceptable character #x0000: special characters are not allowed"),
        (b"server: \xff", "cannot be read: 'utf-8' codec can't decode byte 0xff in position 8: invalid start byte"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_yaml_is_told_with_its_place(problems: Problems, text: str | bytes, problem: str) -> None:
    assert problems(text) == [f"my.yaml: {problem}"]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "absent.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as raised:
            config.load(path)
        assert raised.value.problems == [f"{path}: cannot be read: {why}"]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['exit 3']", "!!python/name:os.system", "!!python/tuple [a]", "!mine b"])
def test_yaml_tags_make_no_python_objects(problems: Problems, tag: str) -> None:
    (problem,) = problems(f"server: {tag}")
    assert "could not determine a constructor for the tag" in problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("server: {port: ", "9" * 30),
        ("server: {grace: ", "9" * 400),
        ("server: {grace: ", f"'{'9' * 400}'"),
        ("limits: {body: ", f"'{'9' * 400}'"),
    ],
    ids=["int", "seconds", "seconds as text", "bytes as text"],
)
def test_a_huge_number_is_a_problem_like_any_other(problems: Problems, field: str, value: str) -> None:
    (problem,) = problems(field + value + "}")
    assert "expected a " in problem
    assert len(problem) < 200


def test_a_number_with_thousands_of_digits_is_told(problems: Problems) -> None:
    assert "not valid YAML: Exceeds the limit" in problems(f"server: {{port: {'9' * 5000}}}")[0]


def test_a_byte_order_mark_and_anchors_and_merged_keys_are_read(read: Read) -> None:
    text = "timeouts: {connect: &short 3s, idle: *short}\nserver: {<<: {port: 1, grace: 2}, port: 5}\n"
    loaded = read(b"\xef\xbb\xbf" + text.encode()).config
    assert (loaded.timeouts.connect, loaded.timeouts.idle, loaded.server.port, loaded.server.grace) == (3, 3, 5, 2)


def test_keys_are_taken_as_they_are_written(read: Read) -> None:
    aliases = read("models: {aliases: {4.10: a, on: b, null: c, 010: d, 1_0: e, 2024-01-01: f}}").config.models.aliases
    assert list(aliases) == ["4.10", "on", "null", "010", "1_0", "2024-01-01"]


def test_a_date_is_a_text(read: Read) -> None:
    assert read("models: {aliases: {latest: 2024-01-01}}").config.models.aliases == {"latest": "2024-01-01"}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("1.5", 1.5),
        ("30s", 30),
        ("1.5m", 90),
        ("250ms", 0.25),
        ("2h", 7200),
        ("1d", 86400),
        ("' 30 S '", 30),
        ("'7'", 7),
    ],
)
def test_times_have_units(read: Read, said: str, seconds: float) -> None:
    assert read(f"server: {{grace: {said}}}").config.server.grace == seconds


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("65536", 65536),
        ("0", 0),
        ("64KiB", 65536),
        ("16 MiB", 16 << 20),
        ("1g", 10**9),
        ("1GiB", 1 << 30),
        ("2kb", 2000),
        ("1.5k", 1500),
        ("9b", 9),
    ],
)
def test_sizes_have_units(read: Read, said: str, size: int) -> None:
    assert read(f"limits: {{body: {said}}}").config.limits.body == size


@pytest.mark.parametrize("word", ["true", "True", "yes", "on"])
def test_yaml_words_for_true_are_true(read: Read, word: str) -> None:
    assert read(f"plugins: {{a: {{required: {word}}}}}").plugins["a"].required is True


# -------------------------------------------------------------------------------------------- environment


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("${HERE}", "value"),
        ("a-${HERE}-${HERE}-b", "a-value-value-b"),
        ("${HERE:-other}", "value"),
        ("${GONE:-other}", "other"),
        ("${GONE:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${GONE:-http://x:1/?a=b}", "http://x:1/?a=b"),
        (r"${GONE:-a\}b}", "a}b"),
        (r"${GONE:-C:\dir}", r"C:\dir"),
        ("$${HERE}", "${HERE}"),
        ("$HERE", "$HERE"),
        ("${HERE", "${HERE"),
        ("${}", "${}"),
        ("${a-b}", "${a-b}"),
        ("${INNER}", "${HERE}"),
    ],
)
def test_a_text_may_name_the_environment(read: Read, monkeypatch: pytest.MonkeyPatch, said: str, host: str) -> None:
    for name, value in (("HERE", "value"), ("EMPTY", ""), ("INNER", "${HERE}")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GONE", raising=False)
    assert read(f"server: {{host: '{said}'}}").config.server.host == host


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("99", ("server", "port"), 99),
        ("1.5m", ("server", "grace"), 90),
        ("64KiB", ("limits", "body"), 65536),
        ("12", ("server", "host"), "12"),
        ("true", ("server", "host"), "true"),
    ],
)
def test_the_type_counts_after_expansion(
    read: Read, monkeypatch: pytest.MonkeyPatch, value: str, field: tuple[str, str], expected: Any
) -> None:
    monkeypatch.setenv("VALUE", value)
    section, name = field
    assert getattr(getattr(read(f"{section}:\n  {name}: ${{VALUE}}").config, section), name) == expected


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), ("1", True), ("0", False)])
def test_a_truth_value_may_come_from_the_environment(read: Read, monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("VALUE", value)
    assert read("plugins:\n  autoload: ${VALUE}\n  a:\n    required: ${VALUE}").plugins["a"].required is expected
    assert read("plugins:\n  autoload: ${VALUE}").autoload is expected


def test_the_environment_is_not_looked_up_in_keys(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUE", "x")
    assert read("models: {aliases: {'${VALUE}': '${VALUE}'}}").config.models.aliases == {"${VALUE}": "x"}


def test_values_of_the_environment_reach_an_untyped_plugin_as_plain_texts(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUE", "x")
    section = read("plugins: {a: {one: '${VALUE}', more: {two: ['${VALUE}']}}}").sections["a"]
    plain = config.Reader("my.yaml", []).read(dict[str, Any], section, "plugins.a")
    assert msgspec.json.encode(plain) == b'{"one":"x","more":{"two":["x"]}}'


@pytest.mark.parametrize(
    "text",
    [
        "credentials: {provider: a, key: sk-hidden}",
        "credentials: [sk-hidden]",
        "credentials: [{provider: a, key: [sk-hidden]}]",
        "credentials: [{provider: a, key: {value: sk-hidden}}]",
        "credentials: [{provider: a, key: sk-hidden, weight: x}]",
        "credentials: ['${HIDDEN}']",
        "credentials: [{provider: a, weight: '${HIDDEN}'}]",
        "server: {port: '${HIDDEN}'}",
        "server: '${HIDDEN}'",
    ],
)
def test_a_problem_never_shows_a_secret(problems: Problems, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HIDDEN", "sk-hidden")
    assert "hidden" not in "".join(problems(text))


# -------------------------------------------------------------------------------------------------- merging


def test_the_users_file_is_merged_over_the_defaults_key_by_key(read: Read) -> None:
    loaded = read("plugins: {api_keys: {priority: 3}, simulator: {enabled: false}, mine: {path: x.py}}")
    assert (loaded.plugins["api_keys"].priority, loaded.plugins["api_keys"].required) == (3, True)
    assert not loaded.plugins["simulator"].enabled
    assert loaded.plugins["openai"].enabled
    assert loaded.named == {"api_keys", "simulator", "mine"}


def test_without_defaults_only_what_was_given_counts() -> None:
    assert config.load({"plugins": {"a": None}}, defaults=False).plugins.keys() == {"a"}


def test_overrides_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("server: {host: 127.0.0.2, port: 1}\nplugins: {a: {path: a.py, priority: 3}}")
    loaded = config.load(file, {"server": {"port": 2}, "plugins": {"a": {"path": "b.py"}}})
    assert (loaded.config.server.host, loaded.config.server.port) == ("127.0.0.2", 2)
    assert (loaded.plugins["a"].path, loaded.plugins["a"].priority) == ("b.py", 3)


def test_a_plugins_own_settings_are_kept_apart_from_those_of_the_kernel(read: Read) -> None:
    loaded = read("plugins: {a: {enabled: true, priority: 3, limit: 5, hooks: {route_model: {priority: 9}}}}")
    assert loaded.sections["a"] == {"limit": 5}
    assert loaded.plugins["a"].hooks["route_model"].priority == 9


def test_the_file_of_the_working_folder_is_the_default_and_the_environment_may_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JACKFIELD_CONFIG", raising=False)
    assert config.load(None).config.server.port == 8317
    Path("jackfield.yaml").write_text("server: {port: 1}")
    assert config.load(None).config.server.port == 1
    Path("other.yaml").write_text("server: {port: 2}")
    monkeypatch.setenv("JACKFIELD_CONFIG", "other.yaml")
    assert config.load(None).config.server.port == 2


def test_a_mapping_is_read_as_a_file_is_and_may_hold_secrets() -> None:
    loaded = config.load({"credentials": [{"provider": "a", "key": Secret("k")}], "plugins": {"a": {1: "x"}}})
    assert loaded.config.credentials[0].key == Secret("k")
    assert loaded.sections["a"] == {"1": "x"}
    with pytest.raises(ConfigError, match="config: 5: unknown"):
        config.load({5: 1})  # type: ignore[dict-item]


def test_every_field_of_a_credential_is_read(read: Read) -> None:
    text = """
    credentials:
      - provider: acme
        key: sk-1
        base_url: http://127.0.0.1:9/v1
        prefix: team
        priority: 2
        weight: 0.5
        proxy: direct
        headers: {x-team: a}
        models: [m, n-*]
        excluded: [n-old]
        aliases: {fast: m, all: [m, n-1]}
        label: first
        disabled: true
        notes: of the team
    """
    (held,) = read(text).config.credentials
    assert (held.provider, held.key, held.base_url, held.prefix, held.priority, held.weight, held.proxy) == (
        "acme", Secret("sk-1"), "http://127.0.0.1:9/v1", "team", 2, 0.5, "direct",
    )  # fmt: skip
    assert (held.headers, held.models, held.excluded, held.aliases) == (
        {"x-team": "a"}, ("m", "n-*"), ("n-old",), {"fast": "m", "all": ("m", "n-1")},
    )  # fmt: skip
    assert (held.label, held.disabled, held.notes) == ("first", True, "of the team")
    assert "sk-1" not in repr(held)


def test_a_placeholder_is_listed_and_not_used(read: Read) -> None:
    loaded = read("credentials: [{provider: a, key: your-api-key}, {provider: a, key: sk-real-1}]")
    told: list[str] = []
    assert [held.key for held in from_config(loaded, told)] == [Secret("sk-real-1")]
    assert told == ["my.yaml: credentials[0].key: a placeholder stands where a key should; it is not used, put in a real one"]


def test_a_key_with_a_line_break_inside_is_listed_and_not_used(read: Read) -> None:
    loaded = read('credentials: [{provider: a, key: "sk-1f2e\\nx-more: 1"}, {provider: a, key: "sk-real-1\\n"}]')
    told: list[str] = []
    assert [held.key for held in from_config(loaded, told)] == [Secret("sk-real-1")]
    what = "a line break or another control character stands in the key; it is not used, put in a real one"
    assert told == [f"my.yaml: credentials[0].key: {what}"]
