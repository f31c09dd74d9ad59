"""Access by tickets: what a client is answered that shows one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from jackfield.api.testing import Answer, Harness
from tests.examples.conftest import Example

Ready = Callable[[str], Example]
SECRET = "a secret of some length"


def ticket(example: Example, lasts: str = "1h", name: str = "alice", secret: str = SECRET) -> str:
    """Return what the example's own command gives out."""
    command = [example.folder / "tickets", "sign", name, lasts]
    done = subprocess.run(command, env={**os.environ, "TICKETS_SECRET": secret}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def ask(host: Harness, key: str | None, model: str = "sim/echo", header: str = "Authorization") -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    value = f"Bearer {key}" if header == "Authorization" else str(key)
    return await host.post("/v1/chat/completions", body, {} if key is None else {header: value})


async def test_who_shows_a_ticket_may_call_and_nobody_else(example: Ready) -> None:
    auth = example("auth_go")
    good = ticket(auth)
    shown = {
        "none": None,
        "somebody else's key": "sk-1234",
        "expired": ticket(auth, "-1s"),
        "signed with another secret": ticket(auth, secret="another secret as long"),
        "with another name": good.replace("alice", "mallory"),
        "with more time": good.replace("ticket.", "ticket.9"),
        "torn": good[:40],
    }
    async with Harness(config=auth.config(secret=SECRET)) as host:
        assert [(await ask(host, good, header=header)).status for header in ("Authorization", "X-Api-Key")] == [200, 200]
        refused = {what: await ask(host, key) for what, key in shown.items()}
    assert {what: answer.status for what, answer in refused.items()} == dict.fromkeys(shown, 401)
    said = {what: answer.json["error"]["message"] for what, answer in refused.items()}
    assert "expired" in said["expired"]
    assert "not genuine" in said["with another name"]
    assert not [message for message in said.values() if good[10:] in message]


async def test_other_keys_are_left_to_other_plugins(example: Ready) -> None:
    auth = example("auth_go")
    keys = {"plugins": {"api_keys": {"keys": [{"name": "bob", "key": "sk-bob-and-nobody-else"}]}}}
    async with Harness(config=auth.config(keys, secret=SECRET)) as host:
        answers = [await ask(host, key) for key in ("sk-bob-and-nobody-else", ticket(auth), "sk-eve")]
    assert [answer.status for answer in answers] == [200, 200, 401]


async def test_a_ticket_is_good_for_the_models_that_are_set(example: Ready) -> None:
    auth = example("auth_go")
    async with Harness(config=auth.config(secret=SECRET, models=["sim/echo"])) as host:
        answers = [await ask(host, ticket(auth), model) for model in ("sim/echo", "sim/lorem")]
    assert answers[0].status == 200
    assert answers[1].status in (403, 404)


@pytest.mark.parametrize("secret", [None, "short"])
async def test_without_a_good_secret_the_plugin_says_so(example: Ready, secret: str | None) -> None:
    settings = {} if secret is None else {"secret": secret}
    async with Harness(config=example("auth_go").config(**settings, required=False)) as host:
        assert [problem for problem in host.host.problems if "secret: must have at least 16 characters" in problem]


async def test_while_the_plugin_is_away_nobody_is_let_in_and_then_it_is_back(example: Ready) -> None:
    auth = example("auth_go")
    key = ticket(auth)
    async with Harness(config=auth.config(secret=SECRET)) as host:
        assert (await ask(host, key)).status == 200
        auth.kill()
        answers = [await ask(host, key)]
        while answers[-1].status != 200:
            answers.append(await ask(host, key))
        assert (await ask(host, "ticket.1.00.eve")).status == 401
    assert {answer.status for answer in answers} <= {200, 503}
    assert answers[0].status == 503
