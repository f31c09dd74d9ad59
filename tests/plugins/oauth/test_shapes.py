"""Logins in the shapes that two providers' public documentation gives them: what is asked, what is answered, where things stand.

The device flow is GitHub's ("Authorizing OAuth apps"): errors come with the status 200, and nothing expires or is refreshed. The
other is that of OpenAI's command-line client: a fixed port and path, and the account in a claim whose name is an address.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web

from tests.plugins.oauth.test_login import Command, kept, login, visit


class Endpoints:
    """Answers each path with the next of its answers, the last one for ever, and keeps what was asked."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self._answers, self.asked, self.url = answers, list[tuple[str, dict[str, str]]](), ""

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        said = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append((name, {**said, "accept": request.headers["Accept"]}))
        left = self._answers[name]
        return web.json_response(left.pop(0) if len(left) > 1 else left[0])


@asynccontextmanager
async def serving(endpoints: Endpoints) -> AsyncIterator[Endpoints]:
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoints.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoints.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield endpoints
    finally:
        await runner.cleanup()


def configured(folder: Path, **said: Any) -> dict[str, Any]:
    served = {"base_url": "http://127.0.0.1:9/v1", "dialects": ["openai.chat"], "models": ["m"]}
    oauth = {"providers": {"acme": {"client_id": "client-1", "provider": served, **said}}}
    return {"plugins": {"credential_files": {"folder": str(folder / "kept")}, "oauth": oauth}}


async def test_a_device_flow_whose_errors_come_with_the_status_200(tmp_path: Path) -> None:
    given = {"device_code": "d-1", "user_code": "WDJB-MJHT", "verification_uri": "https://github.com/login/device", "expires_in": 900}
    endpoints = Endpoints(
        code=[{**given, "interval": 0}],
        access_token=[
            {"error": "authorization_pending", "error_description": "The authorization request is still pending."},
            {"access_token": "gho_16C7e42F292c6912E7710c838347Ae178B4a", "token_type": "bearer", "scope": "repo,gist"},
        ],
    )
    async with serving(endpoints):
        urls = {"device_url": f"{endpoints.url}/login/device/code", "token_url": f"{endpoints.url}/login/oauth/access_token"}
        async with login(tmp_path, configured(tmp_path, flow="device", **urls)) as command:
            assert (await command.until(r"open (https\S+)"))[1] == "https://github.com/login/device"
            await command.until("and type in the code WDJB-MJHT")
            code, said = await command.end()
    assert code == 0, said
    (account,) = kept(tmp_path)
    assert account["key"].startswith("gho_")
    assert not account.keys() & {"expires_at", "refresh_token"}
    assert endpoints.asked[-1] == ("access_token", {
        "client_id": "client-1",
        "device_code": "d-1",
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "accept": "application/json",
    })  # fmt: skip


async def test_a_code_flow_with_a_path_of_its_own_and_the_account_in_a_claim_named_by_an_address(tmp_path: Path) -> None:
    claims = {"email": "one@example.com", "sub": "u-1", "https://api.openai.com/auth": {"chatgpt_account_id": "acc-7"}}
    id_token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"{}", msgspec.json.encode(claims), b"x"))
    answer = {"access_token": "at-1", "refresh_token": "rt-1", "id_token": id_token, "expires_in": 864000, "token_type": "Bearer"}
    endpoints = Endpoints(token=[answer])
    async with serving(endpoints):
        config = configured(
            tmp_path,
            authorize_url="https://auth.openai.com/oauth/authorize",
            token_url=f"{endpoints.url}/oauth/token",
            scopes=["openid", "profile", "email", "offline_access"],
            redirect="http://localhost:{port}/auth/callback",
            parameters={"id_token_add_organizations": "true"},
            workspace="https://api.openai.com/auth.chatgpt_account_id",
        )
        async with login(tmp_path, config) as command:
            asked = await _asked(command)
            page, _ = await visit(f"{asked['redirect_uri'].replace('localhost', '127.0.0.1')}?code=c-1&state={asked['state']}")
            code, said = await command.end()
    assert "You are logged in" in page
    assert code == 0, said
    assert urlsplit(asked["redirect_uri"]).path == "/auth/callback"
    assert (asked["code_challenge_method"], asked["id_token_add_organizations"]) == ("S256", "true")
    (account,) = kept(tmp_path)
    assert (account["subject"], account["workspace"], account["label"]) == ("u-1", "acc-7", "one@example.com")
    name, sent = endpoints.asked[-1]
    assert name == "token"
    assert (sent["grant_type"], sent["code"], sent["redirect_uri"]) == ("authorization_code", "c-1", asked["redirect_uri"])
    assert len(sent["code_verifier"]) >= 43


async def _asked(command: Command) -> dict[str, str]:
    url = (await command.until(r"open (https\S+)"))[1]
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
