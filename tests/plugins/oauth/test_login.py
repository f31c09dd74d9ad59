"""`jackfield login` against an authorization server: each flow, what may go wrong on the way, and the account that comes of it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from tests.plugins.oauth.server import OAuthServer

ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
]}  # fmt: skip
JACKFIELD = str(Path(sys.executable).with_name("jackfield"))
PATIENCE = 20.0


def configured(folder: Path, server: OAuthServer, base: str = "http://127.0.0.1:9", **said: Any) -> dict[str, Any]:
    served = {"base_url": f"{base}/v1", "dialects": ["openai.chat"], "models": ["m"]}
    account = {"issuer": server.url, "client_id": server.client_id, "scopes": ["models"], "provider": served, **said}
    return {"plugins": {"credential_files": {"folder": str(folder / "kept")}, "oauth": {"providers": {"acme": account}}}}


class Command:
    """`jackfield login` as it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.said = process, ""

    async def until(self, pattern: str) -> re.Match[str]:
        """Read what it prints until something is there."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while (found := re.search(pattern, self.said)) is None:
                line = await self.process.stdout.readline()
                assert line, f"it ended: {self.said}"
                self.said += line.decode()
        return found

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    async def end(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and all that it printed."""
        async with asyncio.timeout(PATIENCE):
            out, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, self.said + out.decode()


@asynccontextmanager
async def login(folder: Path, config: Mapping[str, Any], *options: str) -> AsyncIterator[Command]:
    file = folder / "jackfield.yaml"
    file.write_text(yaml.safe_dump(dict(config)))
    command = (JACKFIELD, "login", "acme", "-c", str(file), "--no-browser", *options)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def visit(url: str, *, follow: bool = True) -> tuple[str, str]:
    """Open an address as a browser does; return the page, and where it leads."""
    async with aiohttp.ClientSession() as client, client.get(url, allow_redirects=follow) as response:
        return await response.text(), response.headers.get("Location", "")


def kept(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "kept").glob("*.json"))
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    return [json.loads(file.read_text()) for file in files]


# ------------------------------------------------------------------------------------------------- flows


@pytest.mark.parametrize("secret", [{}, {"client_secret": "s3cret"}, {"client_secret": "s3cret", "basic": True}])
async def test_a_browser_comes_back_to_a_port_of_this_machine(tmp_path: Path, secret: dict[str, Any]) -> None:
    async with (
        OAuthServer(secret=secret.get("client_secret", "")) as server,
        login(tmp_path, configured(tmp_path, server, **secret)) as command,
    ):
        page, _ = await visit((await command.until(r"open (http\S+)"))[1])
        code, said = await command.end()
    assert "You are logged in" in page
    assert (code, said.splitlines()[-1]) == (0, "logged in: acme:u-1 (one@example.com)")
    (account,) = kept(tmp_path)
    assert {name: account[name] for name in ("provider", "subject", "key", "refresh_token", "kind")} == {
        "provider": "acme", "subject": "u-1", "key": "key-1", "refresh_token": "again-1", "kind": "oauth",
    }  # fmt: skip


async def test_of_several_ports_the_next_is_taken_and_without_any_the_address_is_pasted(tmp_path: Path) -> None:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    free = socket.create_server(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in (*taken, free)]
    free.close()
    try:
        async with OAuthServer() as server:
            async with login(tmp_path, configured(tmp_path, server, ports=ports)) as command:
                url = (await command.until(r"open (http\S+)"))[1]
                assert f"%3A{ports[2]}%2F" in url
                await visit(url)
                assert (await command.end())[0] == 0
            async with login(tmp_path, configured(tmp_path, server, ports=ports[:2])) as command:
                url = (await command.until(r"open (http\S+)"))[1]
                assert f"no port can be listened on ({ports[0]}, {ports[1]}): log in, then paste the address" in command.said
                _, address = await visit(url, follow=False)
                command.type(address)
                assert (await command.end())[0] == 0
    finally:
        for one in taken:
            one.close()


@pytest.mark.parametrize("form", ["address", "code and state", "code"])
async def test_what_is_pasted_may_be_the_address_or_the_code(tmp_path: Path, form: str) -> None:
    async with OAuthServer() as server, login(tmp_path, configured(tmp_path, server), "--paste") as command:
        _, address = await visit((await command.until(r"open (http\S+)"))[1], follow=False)
        code, state = (re.search(rf"{name}=([^&]+)", address)[1] for name in ("code", "state"))  # type: ignore[index]
        command.type(address.replace(state, "another"))
        await command.until("it belongs to another login: its state differs; begin again; once more:")
        command.type({"address": address, "code and state": f"{code}#{state}", "code": code}[form])
        ended = await command.end()
    assert ended[0] == 0
    assert kept(tmp_path)[0]["key"] == "key-1"


async def test_a_code_is_typed_in_on_another_device(tmp_path: Path) -> None:
    async with OAuthServer() as server, login(tmp_path, configured(tmp_path, server), "--device") as command:
        server.consents = None
        await command.until(r"and type in the code [A-Z]{4}-[A-Z]{4}")
        async with asyncio.timeout(PATIENCE):
            while not server.asked["device_code"]:
                await asyncio.sleep(0.05)  # the server has no other way to tell
        server.consents = True
        assert (await command.end())[0] == 0
    assert kept(tmp_path)[0]["subject"] == "u-1"


@pytest.mark.parametrize("option", [(), ("--device",), ("--paste",)])
async def test_who_does_not_consent_is_not_logged_in(tmp_path: Path, option: tuple[str, ...]) -> None:
    async with OAuthServer() as server:
        server.consents = False
        async with login(tmp_path, configured(tmp_path, server), *option) as command:
            url = (await command.until(r"open (http\S+)"))[1]
            if "--device" not in option:
                page, address = await visit(url, follow=not option)
                command.type(address) if option else None
                assert option or "The login was refused" in page
            code, said = await command.end()
    assert code == 1
    assert "the login failed:" in said.splitlines()[-1]
    assert "access_denied" in said
    assert not (tmp_path / "kept").exists() or not kept(tmp_path)


async def test_strangers_at_the_port_do_no_harm(tmp_path: Path) -> None:
    async with OAuthServer() as server, login(tmp_path, configured(tmp_path, server)) as command:
        url = (await command.until(r"open (http\S+)"))[1]
        port = int(re.search(r"127.0.0.1%3A(\d+)%2Fcallback", url)[1])  # type: ignore[index]
        for said in (b"", b"GET", b"\x00\xff\r\n\r\n", b"GET /callback?code=x&state=y HTTP/1.1\r\n\r\n", b"GET /other HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            writer.write_eof()
            answer = await reader.read()
            assert b"logged in" not in answer
            writer.close()
        await visit(url)
        assert (await command.end())[0] == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("acne", "no plugin logs in to 'acne'; did you mean 'acme'?"),
        ("zzz", "no plugin logs in to 'zzz'; known: acme"),
    ],
)
async def test_a_name_that_nobody_knows(tmp_path: Path, name: str, says: str) -> None:
    async with OAuthServer() as server:
        (tmp_path / "jackfield.yaml").write_text(yaml.safe_dump(configured(tmp_path, server)))
    command = (JACKFIELD, "login", name, "-c", str(tmp_path / "jackfield.yaml"))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    out, _ = await process.communicate()
    assert (process.returncode, out.decode().strip()) == (1, says)


async def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    async with OAuthServer() as server:
        config = configured(tmp_path, server)
    async with login(tmp_path, config) as command:
        code, said = await command.end()
    assert code == 1
    assert said.startswith("acme: ")
    assert len(said.splitlines()) == 1


# ---------------------------------------------------------------------------------------------- accounts


async def test_the_account_is_found_by_a_running_host_used_refreshed_and_renewed(tmp_path: Path) -> None:
    async with OAuthServer() as server, ScriptedUpstream(json_answer(ANSWER)) as upstream:
        config = configured(tmp_path, server, upstream.url)
        async with Harness(config=config) as host:
            async with login(tmp_path, config) as command:
                await visit((await command.until(r"open (http\S+)"))[1])
                assert (await command.end())[0] == 0
            async with asyncio.timeout(PATIENCE):
                while not host.host.generation.accounts or host.host.generation.accounts[0].provider.key != "acme":
                    await asyncio.sleep(0.05)  # the folder is watched by the system
            call = {"model": "acme/m", "messages": [{"role": "user", "content": "hi"}]}
            assert (await host.post("/v1/chat/completions", call | {"model": "m"})).status == 200
            assert upstream.requests[-1].headers["authorization"] == "Bearer key-1"
            (account,) = [one for one in host.host.generation.accounts if one.provider.key == "acme"]
            used = account.credential
            assert await host.host._running()[0].refreshing.after_refusal(account, used)
            assert (await host.post("/v1/chat/completions", call | {"model": "m"})).status == 200
            assert upstream.requests[-1].headers["authorization"] == "Bearer key-2"
        assert (kept(tmp_path)[0]["key"], kept(tmp_path)[0]["refresh_token"]) == ("key-2", "again-2")
        file = next((tmp_path / "kept").glob("*.json"))
        file.write_text(json.dumps(json.loads(file.read_text()) | {"priority": 7, "label": "mine"}))
        file.chmod(0o600)
        async with login(tmp_path, config) as command:
            await visit((await command.until(r"open (http\S+)"))[1])
            assert "logged in again: acme:u-1" in (await command.end())[1]
        (account_file,) = kept(tmp_path)
        assert (account_file["key"], account_file["priority"], account_file["label"]) == ("key-3", 7, "mine")
        shown = await asyncio.create_subprocess_exec(
            JACKFIELD, "credentials", "show", "acme:u-1", "-c", str(tmp_path / "jackfield.yaml"), stdout=asyncio.subprocess.PIPE
        )
        said = (await shown.communicate())[0].decode()
        assert re.search(r"expires: \S+( \S+)?, and is refreshed before\n", said)
        assert "key-3" not in said


async def test_who_looks_alike_is_told_apart(tmp_path: Path) -> None:
    people = [
        {"sub": "u-1", "email": "one@example.com", "org": "a"},
        {"sub": "u-1", "email": "one@example.com", "org": "b"},
        {"sub": "u-2", "email": "one@example.com", "org": "a"},
        {"sub": "u-3", "org": "a"},
        {"sub": "u-1", "email": "new@example.com", "org": "a"},
    ]
    async with OAuthServer() as server:
        for person in people:
            server.account = person
            async with login(tmp_path, configured(tmp_path, server, workspace="org")) as command:
                await visit((await command.until(r"open (http\S+)"))[1])
                assert (await command.end())[0] == 0
    assert sorted((one["subject"], one["workspace"]) for one in kept(tmp_path)) == [("u-1", "a"), ("u-1", "b"), ("u-2", "a"), ("u-3", "a")]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"ports": []}, "acme: ports are numbers from 0 to 65535, one at least, not []"),
        ({"ports": [70000]}, "acme: ports are numbers from 0 to 65535, one at least, not [70000]"),
        ({"redirect": "http://127.0.0.1:{prt}/"}, "redirect is an address in which nothing but {port} stands in braces"),
        ({"redirect": "nothing"}, "redirect is an address in which nothing but {port} stands in braces"),
        ({"clientid": "x"}, "acme.clientid: unknown; did you mean 'client_id'?"),
        ({"issuer": "login.acme.example"}, "acme: the issuer is no URL: 'login.acme.example'"),
        ({"issuer": None}, "acme: no authorize_url is known of the client 'jackfield-tests'"),
        ({"provider": None}, "no plugin has a provider 'acme': nothing could use the account"),
    ],
)
async def test_a_configuration_that_is_wrong_is_told_before_anybody_logs_in(tmp_path: Path, said: dict[str, Any], says: str) -> None:
    async with OAuthServer() as server, login(tmp_path, configured(tmp_path, server, **said)) as command:
        code, told = await command.end()
    assert (code, says in told, "Traceback" in told, "open " in told) == (1, True, False, False)


async def test_a_redirect_may_name_its_own_port_and_no_path(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with OAuthServer() as server, login(tmp_path, configured(tmp_path, server, redirect=f"http://127.0.0.1:{port}")) as command:
        page, _ = await visit((await command.until(r"open (http\S+)"))[1])
        assert (await command.end())[0] == 0
    assert "You are logged in" in page


async def test_a_redirect_to_elsewhere_is_pasted(tmp_path: Path) -> None:
    elsewhere = "https://acme.example/callback"
    async with (
        OAuthServer(redirects=(elsewhere,)) as server,
        login(tmp_path, configured(tmp_path, server, redirect=elsewhere)) as command,
    ):
        url = (await command.until(r"open (http\S+)"))[1]
        assert "the browser is not sent back to this machine: log in, then paste the address" in command.said
        _, address = await visit(url, follow=False)
        command.type(address)
        assert (await command.end())[0] == 0


async def test_who_is_not_named_is_told_that_the_next_one_takes_its_place(tmp_path: Path) -> None:
    async with OAuthServer() as server, login(tmp_path, configured(tmp_path, server, subject="nothing")) as command:
        await visit((await command.until(r"open (http\S+)"))[1])
        code, said = await command.end()
    assert code == 0
    assert "acme does not say whose account it is: the next login takes its place (plugins.oauth.providers.acme.subject)" in said
