"""The README says what the code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from jackfield.api import Request
from jackfield.api.units import read_unit
from jackfield_simulator import Config
from jackfield_simulator.delivery import STATUSES
from jackfield_simulator.scenarios import SCENARIOS

README = Path(__file__).parents[3] / "plugins" / "simulator" / "README.md"


def table(heading: str) -> list[str]:
    """Return the rows of the first table below a heading, without its head."""
    section = README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def test_the_table_of_models_is_that_of_the_code() -> None:
    assert table("Models") == [f"| `sim/{scenario.name}` | {scenario.does} |" for scenario in SCENARIOS]


async def test_the_table_of_errors_says_what_a_client_is_shown(sim: Any) -> None:
    dialect = sim.attempt("sim/echo", Request()).dialect
    rows = []
    for status in STATUSES:
        reply = await sim.reply(f"sim/error-{status}")
        failure = sim.simulator.classify(dialect, reply.status, reply.headers, reply.body)
        rows.append(f"| `sim/error-{status}` | {failure.cause} | {failure.shown_status} |")
    assert table("Errors") == rows


def test_the_example_of_settings_is_accepted() -> None:
    lines = README.read_text(encoding="utf-8").partition("    plugins:\n      simulator:\n")[2].partition("\n\n")[0]
    config = msgspec.convert(yaml.safe_load(lines), Config, dec_hook=read_unit)
    assert config.pace == 0.02
    assert config.texts["interview"] == ("Who are you?", "And what do you want?", "Thank you.")


@pytest.mark.parametrize("setting", Config.__struct_fields__)
def test_every_setting_is_described(setting: str) -> None:
    assert any(row.startswith(f"| `{setting}` |") for row in table("Settings"))
