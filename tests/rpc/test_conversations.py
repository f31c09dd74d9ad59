"""The recorded conversations are what a host and a plugin say to each other now, and keep to the schemas."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from tests.rpc.conversations import CONVERSATIONS, PARTS, SECRET, record
from tests.rpc.protocol import Messages


@pytest.mark.parametrize("part", PARTS)
async def test_a_recorded_conversation_is_had_again(part: str) -> None:
    assert await record(part) == (CONVERSATIONS / f"{part}.jsonl").read_text(encoding="utf-8"), "`make schemas` records it anew"


def test_no_other_conversation_is_there() -> None:
    assert {path.name for path in CONVERSATIONS.iterdir()} == {f"{part}.jsonl" for part in PARTS}


def test_the_proofs_are_what_the_documents_say() -> None:
    lines = (CONVERSATIONS / "socket.jsonl").read_text(encoding="utf-8").splitlines()
    challenge, proof, register = (json.loads(line)["message"] for line in lines[:3])
    for who, challenged, proved in (
        ("plugin", challenge["params"]["challenge"], proof["result"]["proof"]),
        ("host", proof["result"]["challenge"], register["params"]["proof"]),
    ):
        assert proved == hmac.new(SECRET.encode(), f"{who}:{challenged}".encode(), hashlib.sha256).hexdigest()


WRONG = {  # which messages of which conversation are wrong on purpose
    ("state", "host.state.get", "$.params: 'key' is a required property"),
    ("state", "host.state.forget", "'host.state.forget' is not one of"),
}


@pytest.mark.parametrize("part", PARTS)
def test_all_that_is_said_fits_the_schemas(part: str) -> None:
    lives: dict[int, Messages] = {}
    wrong = []
    for line in (CONVERSATIONS / f"{part}.jsonl").read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        problem = lives.setdefault(said.get("life", 1), Messages()).problem(said["message"], said["from"])
        if problem is not None and problem != "answers nothing that was asked":
            wrong.append((said["message"].get("method"), problem))
    expected = [(method, start) for where, method, start in WRONG if where == part]
    assert len(wrong) == len(expected), wrong
    assert all(any(method == m and start in problem for method, problem in wrong) for m, start in expected), wrong
