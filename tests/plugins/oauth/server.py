"""An authorization server for tests: Authlib's grants behind a small HTTP server, and a person who does as a test says."""

from __future__ import annotations

import base64
import os
import time
from collections import Counter
from typing import Any, ClassVar, Self

import msgspec
from aiohttp import web
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, JsonRequest, OAuth2Request, TokenMixin, grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # on loopback

Account = dict[str, Any]


class _Client(ClientMixin):
    def __init__(self, client_id: str, secret: str, redirects: tuple[str, ...]) -> None:
        self._id, self._secret, self._redirects = client_id, secret, redirects

    def get_client_id(self) -> str:
        return self._id

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return any(redirect_uri.startswith(allowed) for allowed in self._redirects)

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self._secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in (("none",) if not self._secret else ("client_secret_post", "client_secret_basic"))

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class _Code(AuthorizationCodeMixin):
    def __init__(self, request: OAuth2Request) -> None:
        said = request.payload.data
        self.user, self.scope, self.redirect_uri = request.user, said.get("scope", ""), said["redirect_uri"]
        self.code_challenge, self.code_challenge_method = said.get("code_challenge"), said.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope)


class _Token(TokenMixin):
    def __init__(self, said: dict[str, Any], user: Account, client_id: str, lasts: float) -> None:
        self.said, self.user, self.client_id, self.until, self.revoked = said, user, client_id, time.time() + lasts, False

    def check_client(self, client: ClientMixin) -> bool:
        return bool(client.get_client_id() == self.client_id)

    def get_scope(self) -> str:
        return str(self.said.get("scope", ""))

    def get_expires_in(self) -> float:
        return self.until - time.time()

    def is_revoked(self) -> bool:
        return self.revoked

    def is_expired(self) -> bool:
        return time.time() > self.until


class OAuthServer:
    """Serves authorization, tokens, device codes and metadata on a port of this machine.

    `account` is who logs in; `consents` whether they agree, None while they have not decided; `codes` what they were shown.
    """

    client_id: ClassVar = "jackfield-tests"

    def __init__(
        self, *, secret: str = "", rotates: bool = True, lasts: float = 3600.0, redirects: tuple[str, ...] = ("http://127.0.0.1:",)
    ) -> None:
        self.account: Account = {"sub": "u-1", "email": "one@example.com"}
        self.consents: bool | None = True
        self.lasts, self.rotates, self.interval, self.ahead = lasts, rotates, 1, 0.0
        """How long keys last; whether refresh tokens change; seconds between polls; by how much its clock is ahead."""
        self.asked = Counter[str]()
        """How often each grant was asked for."""
        self.forms: list[dict[str, str]] = []
        self.failing: list[int] = []
        """Statuses with which the token endpoint answers first."""
        self.tokens: list[_Token] = []
        self.slow_down = False
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, DeviceCredentialDict] = {}
        self._client = _Client(self.client_id, secret, redirects)
        self._made = 0
        self._server = _server(self)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_post("/device", self._device)
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"):
            app.router.add_get(path, self._metadata)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def valid(self, key: str) -> bool:
        """Tell whether a key is accepted now."""
        return any(t.said["access_token"] == key and not t.is_revoked() and not t.is_expired() for t in self.tokens)

    def revoke(self) -> None:
        """Revoke all that was given."""
        for token in self.tokens:
            token.revoked = True

    # ---------------------------------------------------------------------------------------- endpoints

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = _Request("GET", str(request.url), dict(request.query))
        grant = self._server.get_consent_grant(asked, self.account)
        return self._server.create_authorization_response(asked, self.account if self.consents else None, grant=grant)  # type: ignore[no-any-return]

    async def _token(self, request: web.Request) -> web.Response:
        raw = await request.read()
        said: dict[str, str] = msgspec.json.decode(raw) if request.content_type == "application/json" else dict(await request.post())  # type: ignore[arg-type]
        self.forms.append(said)
        self.asked[said.get("grant_type", "").rpartition(":")[2]] += 1
        if self.failing:
            return web.json_response({"error": "temporarily_unavailable"}, status=self.failing.pop(0))
        return self._server.create_token_response(_Request("POST", str(request.url), said, dict(request.headers)))  # type: ignore[no-any-return]

    async def _device(self, request: web.Request) -> web.Response:
        said = dict(await request.post())
        return self._server.create_endpoint_response("device_authorization", _Request("POST", str(request.url), said))  # type: ignore[no-any-return,arg-type]

    async def _metadata(self, request: web.Request) -> web.Response:
        told = {"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
        return web.json_response(told | {"device_authorization_endpoint": f"{self.url}/device"})

    # ------------------------------------------------------------------------------------- what it gives

    def generate(self, user: Account | None = None, scope: str = "", include_refresh_token: bool = True, **_: Any) -> dict[str, Any]:
        """Return new tokens."""
        self._made += 1
        claims = msgspec.json.encode(
            {**(user or {}), "iat": int(time.time() + self.ahead), "exp": int(time.time() + self.ahead + self.lasts)}
        )
        id_token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"none"}', claims, b""))
        said = {
            "token_type": "Bearer",
            "access_token": f"key-{self._made}",
            "expires_in": int(self.lasts),
            "scope": scope,
            "id_token": id_token,
        }
        return said | ({"refresh_token": f"again-{self._made}"} if include_refresh_token else {})


class _Request(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib sees it, with all that was said in one place."""

    def __init__(self, method: str, uri: str, said: dict[str, str], headers: dict[str, str] | None = None) -> None:
        super().__init__(method, uri, headers=headers or {})
        self.payload = BasicOAuth2Payload(said)
        self.said = said

    @property
    def args(self) -> dict[str, str]:
        return self.said

    form = args


def _server(house: OAuthServer) -> AuthorizationServer:
    class Server(AuthorizationServer):  # type: ignore[misc]
        def query_client(self, client_id: str) -> _Client | None:
            return house._client if client_id == house.client_id else None

        def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
            house.tokens.append(_Token(token, request.user, request.client.get_client_id(), house.lasts))

        def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
            pass

        def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
            return request

        def create_json_request(self, request: OAuth2Request) -> JsonRequest:
            raise NotImplementedError

        def handle_response(self, status: int, body: Any, headers: Any) -> web.Response:
            raw = msgspec.json.encode(body) if isinstance(body, dict) else str(body or "").encode()
            return web.Response(status=status, body=raw, headers=dict(headers))

    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["none", "client_secret_post", "client_secret_basic"]

        def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
            house._codes[code] = _Code(request)

        def query_authorization_code(self, code: str, client: Any) -> _Code | None:
            return house._codes.get(code)

        def delete_authorization_code(self, authorization_code: _Code) -> None:
            house._codes = {code: kept for code, kept in house._codes.items() if kept is not authorization_code}

        def authenticate_user(self, authorization_code: _Code) -> Account:
            return authorization_code.user  # type: ignore[no-any-return]

    class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["none", "client_secret_post", "client_secret_basic"]

        @property
        def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:
            return house.rotates

        def authenticate_refresh_token(self, refresh_token: str) -> _Token | None:
            return next((t for t in house.tokens if t.said.get("refresh_token") == refresh_token and not t.revoked), None)

        def authenticate_user(self, refresh_token: _Token) -> Account:
            return refresh_token.user

        def revoke_old_credential(self, refresh_token: _Token) -> None:
            refresh_token.revoked = house.rotates

    class DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]
        @property
        def INTERVAL(self) -> int:
            return house.interval

        def get_verification_uri(self) -> str:
            return f"{house.url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            made = {**data, "client_id": client_id, "scope": scope, "expires_at": time.time() + data["expires_in"]}
            house._devices[data["device_code"]] = DeviceCredentialDict(made)

    class DeviceGrant(DeviceCodeGrant):  # type: ignore[misc]
        def query_device_credential(self, device_code: str) -> Any:
            return house._devices.get(device_code)

        def query_user_grant(self, user_code: str) -> tuple[Account, bool] | None:
            return None if house.consents is None else (house.account, house.consents)

        def should_slow_down(self, credential: Any) -> bool:
            return house.slow_down

    made = Server()
    made.register_token_generator("default", house.generate)
    made.register_grant(CodeGrant, [CodeChallenge(required=True)])
    made.register_grant(RefreshGrant)
    made.register_grant(DeviceGrant)
    made.register_endpoint(DeviceEndpoint)
    return made
