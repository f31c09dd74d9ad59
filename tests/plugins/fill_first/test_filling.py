"""Who is picked until they cannot be picked any more."""

from __future__ import annotations

from typing import Any

import jackfield_fill_first as plugin
from jackfield.api import Reply
from jackfield.api.testing import Harness
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.plugins.pools import picks, pool


def test_the_first_one_is_picked_until_it_is_not_eligible() -> None:
    some = pool("a", "b", "c")
    assert picks(plugin, 3, some) == "a a a"
    assert picks(plugin, 2, some.cool("a")) == "b b"
    assert picks(plugin, 1, some.without("b")) == "c"
    assert picks(plugin, 2, some.only()) == "a a"


def test_nobody_is_picked_where_nobody_is_eligible() -> None:
    assert picks(plugin, 1, pool()) == "-"


async def test_the_host_fills_the_first_credential_first() -> None:
    served: list[str] = []

    def answer(attempt: Any) -> Reply:
        served.append(attempt.candidate.label)
        full = attempt.candidate.label == "one" and len(served) > 2
        return Reply(status=429 if full else 200, body=b'{"id":"t","model":"m","blocks":[],"stop":"stop"}')

    keys = [{"provider": "toy", "label": label, "key": f"key-{label}-0123"} for label in ("one", "two")]
    async with Harness([Toy(ToyProvider(answer))], {"credentials": keys, "scheduler": "fill_first"}) as host:
        for _ in range(3):
            assert (await host.post("/toy/v1/talk", talk())).status == 200
    assert served == ["one", "one", "one", "two"]
