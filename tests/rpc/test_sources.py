"""Sources of credentials of plugins out of process, in the real host."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jackfield.api import Alias, Cooldown, Credential, CredentialLimits, LoginStep, Seconds, Secret
from jackfield.api.testing import Harness
from jackfield.rpc.sources import credential_from, credential_of
from tests.kernel.pipeline_kit import PATIENCE

PEER = str(Path(__file__).parent / "peers" / "accounts.py")


def host(**settings: Any) -> Harness:
    return Harness(config={"plugins": {"p": {"command": [sys.executable, PEER], **settings}}})


async def key_used(jackfield: Harness) -> str:
    said = {"model": "acme/m", "messages": [{"role": "user", "content": "hi"}]}
    answer = await asyncio.wait_for(jackfield.post("/v1/chat/completions", said), PATIENCE)
    return answer.json["choices"][0]["message"]["content"] if answer.status == 200 else answer.json["error"]["message"]


def source(jackfield: Harness) -> Any:
    [found] = [s.object for s in jackfield.host.generation.sources if s.plugin == "p"]
    return found


async def test_credentials_of_a_plugin_serve_calls_and_their_keys_are_not_shown() -> None:
    async with host() as jackfield:
        assert jackfield.host.problems == []
        assert {await key_used(jackfield) for _ in range(4)} == {"sesame-one-0", "sesame-two-0"}
        accounts = [a.credential for a in jackfield.host.generation.accounts if a.provider.key == "acme"]
        assert [(c.id, c.label, c.limits) for c in accounts] == [(f"acme:{n}", n, CredentialLimits(rpm=1000)) for n in ("one", "two")]
        assert "sesame" not in repr(accounts)


async def test_what_is_wrong_with_one_leaves_the_others() -> None:
    async with host(bad=True, problems=["./keys.txt: line 3: no key"]) as jackfield:
        said = [problem for problem in jackfield.host.problems if "proxy" in problem or "line 3" in problem]
        assert len(said) == 2
        assert "credential source 'accounts': credentials[2]: proxy is no URL of a proxy" in "".join(said)
        assert (await key_used(jackfield)).startswith("sesame-")


async def test_a_source_that_fails_is_a_problem() -> None:
    async with host(fails=["load"]) as jackfield:
        [problem] = jackfield.host.problems
        assert "credential source 'accounts'" in problem
        assert "the cupboard is locked" in problem


@pytest.mark.parametrize("lasts", [-10, 3600])
async def test_a_key_that_has_expired_is_refreshed_by_the_plugin(lasts: float) -> None:
    async with host(accounts=["one"], lasts=lasts, methods=["auth.refresh"]) as jackfield:
        assert await key_used(jackfield) == ("sesame-one-1" if lasts < 0 else "sesame-one-0")


async def test_an_account_that_is_not_refreshed_rests() -> None:
    async with host(accounts=["one"], lasts=-10, methods=["auth.refresh"], fails=["refresh"]) as jackfield:
        await key_used(jackfield)
        [why] = [a.why("m") for a in jackfield.host.generation.accounts if a.provider.key == "acme"]
        assert "account needs its owner" in why


async def test_a_source_has_the_methods_that_the_plugin_says() -> None:
    async with host() as jackfield:
        assert [part for part in ("parse", "login", "poll", "refresh", "quota", "watch", "save") if hasattr(source(jackfield), part)] == []
    methods = ["auth.parse", "auth.login.start", "auth.login.poll", "auth.quota"]
    async with host(methods=methods) as jackfield:
        one = source(jackfield)
        step = await one.login({"way": "device"})
        assert (step.status, step.code) == ("pending", "AB-CD")
        done = await one.poll(step)
        assert (done.status, done.credentials[0].key) == ("done", Secret("sesame-three-0"))
        assert (await one.poll(LoginStep())).status == "failed"
        assert await one.parse("x.json", {"else": 1}) is None
        [read] = await one.parse("x.json", {"who": "four"})
        assert read.id == "acme:four"
        [window] = await one.quota(read)
        assert window.name == "week"


def test_nothing_of_a_credential_is_lost_on_the_way() -> None:
    whole = Credential(
        provider="acme", id="acme:x", subject="s", workspace="w", key=Secret("sesame"), expires_at=5.0, refresh_at=4.0,
        refresh_token=Secret("again"), label="l", base_url="https://a.example", prefix="p", priority=3, weight=0.5,
        proxy="http://proxy.example:1", proxy_strict=True, headers={"a": "b"}, models=("m*",), excluded=("n",),
        aliases={"fast": "m", "both": ("m", "n"), "shown": Alias("m", fork=False)}, limits=CredentialLimits(rpm=3),
        cooldown=Cooldown(rate=Seconds(3)), disabled=True, notes="n", kind="oauth", origin="o", storage={"a": [1]},
    )  # fmt: skip
    assert [f.name for f in msgspec.structs.fields(Credential) if not f.required and getattr(whole, f.name) == f.default] == []
    assert credential_from(credential_of(whole, secret=True)) == whole
    shown = credential_of(whole, secret=False)
    assert (shown.key, shown.refresh_token) == (None, None)
