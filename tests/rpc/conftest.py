"""Whatever a test has a host say to a plugin out of process, it keeps to the schemas."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rpc.protocol import Checked
from tests.rpc.tap import Connection, Message, listening


@pytest.fixture(autouse=True)
def _hosts_keep_to_the_schemas() -> Iterator[None]:
    checked: dict[Connection, Checked] = {}
    wrong: list[str] = []

    def hear(connection: Connection, sender: str, message: Message) -> None:
        problem = checked.setdefault(connection, Checked()).problem(message, sender)
        if problem is not None and sender == "host":
            wrong.append(f"{problem} in {str(message)[:500]}")

    with listening(hear):
        yield
    assert wrong == []
