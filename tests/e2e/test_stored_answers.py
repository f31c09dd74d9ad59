"""OpenAI's SDK and several accounts: each knows its own answers and items alone, and reads its own thoughts alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import openai
import pytest

from jackfield.api.canonical import (
    Begin,
    Delta,
    Done,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    Text,
    TextDelta,
    Thinking,
    UsageDelta,
)
from jackfield.api.testing import Received, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import House, MakeHouse, Sdk
from tests.e2e.test_openai_responses_sdk import OWN, USAGE, message
from tests.plugins.openai_responses.responses_wire import answer, encoded

KEYS = ("sk-one-0123456789", "sk-two-0123456789")
CREDENTIALS = [{"provider": "acme", "key": key, "label": key[3:6]} for key in KEYS]


class Accounts:
    """An upstream with accounts, by the names in their keys."""

    def __init__(self) -> None:
        self.kept: dict[str, set[str]] = {}
        self.asked: list[str] = []
        """Whose key each request had."""

    async def __call__(self, received: Received, wire: Wire) -> None:
        who = (received.headers.get("authorization") or "").removeprefix("Bearer sk-")[:3]
        self.asked.append(who)
        mine, said = self.kept.setdefault(who, set()), received.json if received.body else {}
        items = said["input"] if isinstance(said.get("input"), list) else []
        named = {said.get("previous_response_id"), *(item["id"] for item in items if item["type"] == "item_reference")} - {None}
        named |= {received.target.split("/")[3].split("?")[0]} if received.target.count("/") > 2 else set()
        thoughts = [item["encrypted_content"] for item in items if item["type"] == "reasoning"]
        if missing := named - mine:
            code = "previous_response_not_found" if said.get("previous_response_id") in missing else None
            error = {"message": f"{missing.pop()} not found.", "type": "invalid_request_error", "param": None, "code": code}
            await json_answer({"error": error}, status=400 if code else 404)(received, wire)
        elif any(not thought.startswith(f"gAAA-{who}-") for thought in thoughts):
            error = {"message": "The encrypted content could not be verified.", "code": "invalid_encrypted_content", "param": None}
            await json_answer({"error": error}, status=400)(received, wire)
        elif received.method == "DELETE":
            mine.difference_update(named)
            await json_answer({"id": named.pop(), "object": "response.deleted", "deleted": True})(received, wire)
        elif received.target.endswith("/input_items"):
            await json_answer({"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False})(received, wire)
        elif named and not said:
            await json_answer({**answer(message("Hi")), "id": named.pop()})(received, wire)
        else:
            await self._answer(who, said)(received, wire)

    def _answer(self, who: str, said: dict[str, Any]) -> Callable[[Received, Wire], Any]:
        n = len(self.asked)
        response, item, sealed = f"resp_{who}_{n}", f"msg_{who}_{n}", f"gAAA-{who}-{n}"
        self.kept[who] |= {response, item}
        if said.get("stream"):
            thought = Thinking(id=f"rs_{who}_{n}", signature=Signature(value=sealed, family="openai"))
            deltas: list[Delta] = [Begin(id=response, model="m", created=7), PartStart(index=0, part=thought), PartEnd(index=0)]
            deltas += [PartStart(index=1, part=Text(text="")), TextDelta(index=1, text="Hi"), PartEnd(index=1)]
            deltas += [Finish(reason="stop"), UsageDelta(usage=USAGE), Done()]
            kept = b'"store":true' if said.get("store", True) else b'"store":false'
            return sse_answer([event.raw.replace(b'"store":false', kept) for event in encoded(deltas)])
        thought = {"type": "reasoning", "id": f"rs_{who}_{n}", "summary": [], "encrypted_content": sealed}
        return json_answer({**answer(thought, message("Hi", item)), "id": response, "store": said.get("store", True)})


async def create(sdk: Sdk, stream: bool, **asked: Any) -> Any:
    """Ask for an answer and return it, also when it comes as a stream."""
    given = {"model": "m", "input": "Hello", **asked}
    if not stream:
        return await sdk.ask("responses.create", **given)
    events = await sdk.ask("responses.create", **given, stream=True)
    said = [event async for event in events] if isinstance(sdk.client, openai.AsyncOpenAI) else await asyncio.to_thread(list, events)
    return said[-1].response


def two(house: MakeHouse, accounts: Accounts, **config: Any) -> AbstractAsyncContextManager[House]:
    return house(accounts, server=OWN, config={"credentials": CREDENTIALS, **config})


both = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@both
async def test_a_conversation_goes_on_with_the_account_that_stores_it(house: MakeHouse, manner: str, stream: bool) -> None:
    async with two(house, accounts := Accounts()) as h:
        sdk = h.sdk(manner)
        for _ in range(2):
            latest = first = await create(sdk, stream)
            for _ in range(3):
                latest = await create(sdk, stream, previous_response_id=latest.id)
                assert latest.id.split("_")[1] == first.id.split("_")[1]
        assert sorted(accounts.asked) == ["one"] * 4 + ["two"] * 4


@both
async def test_a_stored_answer_is_read_and_deleted_where_it_is(house: MakeHouse, manner: str, stream: bool) -> None:
    async with two(house, accounts := Accounts()) as h:
        sdk = h.sdk(manner)
        for made in [await create(sdk, stream) for _ in range(2)]:
            accounts.asked.clear()
            assert (await sdk.ask("responses.retrieve", made.id)).id == made.id
            await sdk.ask("responses.input_items.list", made.id)
            await sdk.ask("responses.cancel", made.id)
            await sdk.ask("responses.delete", made.id)
            assert set(accounts.asked) == {made.id.split("_")[1]}
            with pytest.raises(openai.NotFoundError):
                await sdk.ask("responses.retrieve", made.id)
        assert set(accounts.asked) == {"one", "two"}  # by now it is nobody's


async def test_items_are_referred_to_where_they_are(house: MakeHouse, manner: str) -> None:
    async with two(house, accounts := Accounts()) as h:
        sdk = h.sdk(manner)
        made = await create(sdk, stream=False)
        for _ in range(3):
            items = [{"type": "item_reference", "id": made.output[1].id}, {"type": "message", "role": "user", "content": "And?"}]
            assert (await create(sdk, stream=False, input=items)).output_text == "Hi"
        assert len(set(accounts.asked)) == 1


@both
async def test_encrypted_thoughts_go_to_the_account_that_can_read_them(house: MakeHouse, manner: str, stream: bool) -> None:
    async with two(house, accounts := Accounts()) as h:
        sdk, given = h.sdk(manner), [{"type": "message", "role": "user", "content": "Hello"}]
        for _ in range(4):
            made = await create(sdk, stream, input=given, store=False)
            thought = next(item for item in made.output if item.type == "reasoning")
            given = [*given, thought.model_dump(exclude_none=True), {"type": "message", "role": "user", "content": "And?"}]
        assert len(set(accounts.asked)) == 1


async def test_thoughts_that_nobody_else_can_read_are_left_out_when_their_account_rests(house: MakeHouse) -> None:
    async with two(house, accounts := Accounts()) as h:
        made = await create(h.sdk(), stream=False, store=False)
        h.host.host.generation.accounts[0].health.switch(next(iter(_ids(h, accounts.asked[0]))), on=False)
        given = [made.output[0].model_dump(exclude_none=True), {"type": "message", "role": "user", "content": "And?"}]
        assert (await create(h.sdk(), stream=False, input=given)).output_text == "Hi"
        other = "two" if accounts.asked[0] == "one" else "one"
        assert accounts.asked[1:] == [other, other]  # with the thoughts, and once more without


def _ids(h: House, label: str) -> list[str]:
    return [account.credential.id for account in h.host.host.generation.accounts if account.credential.label == label]


async def test_an_account_that_is_gone_is_told_in_the_sdks_terms(house: MakeHouse, manner: str, tmp_path: Path) -> None:
    state, accounts = {"kind": "sqlite", "path": str(tmp_path / "state.db")}, Accounts()
    async with two(house, accounts, state=state) as h:
        made = await create(h.sdk(manner), stream=False)
    (owner,) = accounts.asked
    left = [one for one in CREDENTIALS if one["label"] != owner]
    async with house(accounts, server=OWN, config={"credentials": left, "state": state}) as h:
        with pytest.raises(openai.BadRequestError, match=f"'{made.id}' is stored with an account that is gone") as told:
            await create(h.sdk(manner), stream=False, previous_response_id=made.id)
        assert told.value.code == "owner_gone"
        with pytest.raises(openai.NotFoundError, match="an account that is gone"):
            await h.sdk(manner).ask("responses.retrieve", made.id)
        assert accounts.asked == [owner]


@both
async def test_two_workers_with_one_store_know_of_each_others_answers(house: MakeHouse, manner: str, stream: bool, tmp_path: Path) -> None:
    accounts = Accounts()
    state = {"kind": "sqlite", "path": str(tmp_path / "state.db")}
    async with two(house, accounts, state=state) as one, two(house, accounts, state=state) as other:
        made = await create(one.sdk(manner), stream)
        await one.outcome()
        for _ in range(3):
            made = await create(other.sdk(manner), stream, previous_response_id=made.id)
            await other.outcome()
            made = await create(one.sdk(manner), stream, previous_response_id=made.id)
            await one.outcome()
    assert len(set(accounts.asked)) == 1


async def test_an_answer_that_nobody_knows_is_the_callers_mistake(house: MakeHouse, manner: str) -> None:
    async with two(house, accounts := Accounts(), cooldown={}) as h:
        for _ in range(4):
            with pytest.raises(openai.BadRequestError, match="resp_0 not found"):
                await create(h.sdk(manner), stream=False, previous_response_id="resp_0")
        assert sorted(accounts.asked) == ["one"] * 4 + ["two"] * 4  # the other one might have had it
        assert not any(account.resting for account in h.host.host.generation.accounts)
