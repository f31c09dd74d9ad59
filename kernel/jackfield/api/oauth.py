"""OAuth 2.0 for plugins whose accounts log in: the flows, the calls of a token endpoint, and what its errors mean.

    client = OAuthClient(client_id="acme-cli", token_url=..., authorize_url=..., ports=(1455, 1457))
    login = await Login.begin(host, client)
    # show login.step to the person; then, until it is done:
    tokens = await login.poll()

Sources: RFC 6749 (the framework), RFC 7636 (PKCE), RFC 8252 (native apps: loopback redirects), RFC 8628 (device codes), RFC 8414 and
OpenID Connect Discovery 1.0 (metadata).
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from jackfield.api.credential import LoginStep, Secret
from jackfield.api.failure import CallError, Cause, Failure, failure
from jackfield.api.host import Host, HttpRequest, Timeouts

Flow = Literal["browser", "device", "paste"]
"""How a person logs in: in a browser on this machine, which is sent back to a port of it; with a code that is typed in on any
device; in a browser anywhere, whose last address is pasted."""

_PATIENCE: Final = 600.0
"""Seconds that a person has to log in, where the server does not say."""
_LIMIT: Final = Timeouts(total=20.0)
_LAST_PORT: Final = 65535
_HERE: Final = ("127.0.0.1", "localhost")
_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_FOR_GOOD: Final[Mapping[str, Cause]] = {
    "invalid_grant": "account_action", "access_denied": "account_action", "expired_token": "account_action",
    "invalid_client": "account_action", "unauthorized_client": "account_action", "invalid_scope": "account_action",
    "unsupported_grant_type": "unsupported", "invalid_request": "unsupported", "slow_down": "rate", "authorization_pending": "rate",
}  # fmt: skip
"""Errors of a token endpoint that no repetition helps (RFC 6749, section 5.2; RFC 8628, section 3.5)."""
_PAGE: Final = (
    b"HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n"
    b"Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\r\n%b"
)


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client as its authorization server knows it, and where that is."""

    client_id: str
    client_secret: Secret | None = None
    token_url: str = ""
    authorize_url: str = ""
    device_url: str = ""
    """Where device codes are had."""
    scopes: tuple[str, ...] = ()
    ports: tuple[int, ...] = (0,)
    """Ports of this machine that the server lets a browser be sent back to, in order of preference; 0 for any."""
    redirect: str = "http://127.0.0.1:{port}/callback"
    """The address to which a browser is sent back. Without `{port}` it is its own port that counts; one that does not mean this machine,
    or is not `http`, makes a `browser` flow a `paste` flow."""
    parameters: Mapping[str, str] = {}
    """Further parameters of the authorization request."""
    token_parameters: Mapping[str, str] = {}
    """Further parameters of every request to the token endpoint."""
    encoding: Literal["form", "json"] = "form"
    """How requests to the token endpoint are written; the standard is `form`."""
    basic: bool = False
    """The client's secret stands in a header, not in the body (RFC 6749, section 2.3.1)."""

    def __post_init__(self) -> None:
        if not self.ports or any(not 0 <= port <= _LAST_PORT for port in self.ports):
            raise ValueError(f"ports are numbers from 0 to {_LAST_PORT}, one at least, not {list(self.ports)}")
        address = self.redirect.replace("{port}", "1")
        if {"{", "}"} & set(address) or not urlsplit(address).scheme or urlsplit(address).port == 0:
            raise ValueError(f"redirect is an address in which nothing but {{port}} stands in braces, not {self.redirect!r}")

    @property
    def returns(self) -> tuple[int, ...]:
        """Ports of this machine that a browser may be sent back to; none where it is sent elsewhere."""
        parts = urlsplit(self.redirect.replace("{port}", "1"))
        if parts.scheme != "http" or parts.hostname not in _HERE:
            return ()
        return self.ports if "{port}" in self.redirect else (parts.port or 80,)


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint gave."""

    access_token: Secret
    refresh_token: Secret | None = None
    expires_at: float | None = None
    """Unix time."""
    claims: Mapping[str, Any] = {}
    """What the id token says, where one came. Its signature is not checked: it came over TLS from the server itself (OpenID
    Connect Core 1.0, section 3.1.3.7)."""
    other: Mapping[str, Any] = {}
    """All else that stood in the answer."""


def pkce() -> tuple[str, str]:
    """Return a new verifier, and the challenge that shows it (RFC 7636, method S256)."""
    verifier = secrets.token_urlsafe(64)
    return verifier, _plain(hashlib.sha256(verifier.encode()).digest())


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def discover(host: Host, issuer: str, client: OAuthClient) -> OAuthClient:
    """Return a client with those addresses that the issuer's metadata names and the client lacks. Raises `CallError`."""
    base = urlsplit(issuer)
    if base.scheme not in ("http", "https") or not base.hostname:
        raise CallError(failure("unsupported", f"the issuer is no URL: {issuer!r}", code="no_metadata"))
    said: dict[str, Any] = {}
    for path in (
        f"/.well-known/oauth-authorization-server{base.path.rstrip('/')}",
        f"{base.path.rstrip('/')}/.well-known/openid-configuration",
    ):
        response = await host.http.request(HttpRequest(method="GET", url=base._replace(path=path).geturl(), timeouts=_LIMIT))
        raw = await response.read()
        if response.status == 200:
            with contextlib.suppress(ValueError):
                said = msgspec.json.decode(raw, type=dict[str, Any])
                break
    if str(said.get("issuer")).rstrip("/") != issuer.rstrip("/"):
        raise CallError(failure("upstream", f"{issuer} has no metadata of an authorization server", code="no_metadata", status=502))
    names = {"token_url": "token_endpoint", "authorize_url": "authorization_endpoint", "device_url": "device_authorization_endpoint"}
    return msgspec.structs.replace(client, **{ours: getattr(client, ours) or str(said.get(theirs) or "") for ours, theirs in names.items()})


async def refresh(host: Host, client: OAuthClient, token: Secret | None, *, credential: str | None = None) -> Tokens:
    """Return fresh tokens (RFC 6749, section 6); the old refresh token stays where no new one came.

    `credential` is on whose behalf it is, by id, so that it goes through that credential's proxy. Raises `CallError`: with the cause
    `account_action` where somebody has to log in again.
    """
    if token is None:
        raise CallError(failure("account_action", "there is no refresh token", code="no_refresh_token"))
    scopes = {"scope": " ".join(client.scopes)} if client.scopes else {}
    asked = {"grant_type": "refresh_token", "refresh_token": token.reveal(), **scopes}
    made = await _ask(host, client, asked, credential)
    return made if made.refresh_token is not None else msgspec.structs.replace(made, refresh_token=token)


async def _ask(host: Host, client: OAuthClient, asked: Mapping[str, str], credential: str | None = None) -> Tokens:
    """Ask the token endpoint. Raises `CallError`."""
    began, said = time.time(), await _post(host, client, "token_url", asked, credential)
    if not isinstance(token := said.pop("access_token", None), str) or not token:
        raise CallError(failure("upstream", f"{client.token_url} answered without an access_token", code="bad_answer"))
    lasts, again, id_token = said.pop("expires_in", None), said.pop("refresh_token", None), said.pop("id_token", None)
    with contextlib.suppress(ValueError, TypeError):  # some write it as a text
        lasts = float(lasts) if lasts is not None else None
    return Tokens(
        access_token=Secret(token),
        refresh_token=Secret(again) if isinstance(again, str) and again else None,
        expires_at=began + lasts
        if isinstance(lasts, float) and math.isfinite(lasts)
        else None,  # by this machine's clock, whatever the server's shows
        claims=claims_of(id_token) if isinstance(id_token, str) else {},
        other=said,
    )


def claims_of(token: str) -> Mapping[str, Any]:
    """Return what a JSON Web Token says; empty for what is none (RFC 7519). Nothing is checked."""
    with contextlib.suppress(ValueError, IndexError):
        part = token.split(".")[1]
        return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, Any])
    return {}


async def _post(host: Host, client: OAuthClient, name: str, asked: Mapping[str, str], credential: str | None) -> dict[str, Any]:
    """Return what an endpoint answers. Raises `CallError` with the error's own code."""
    if not (url := getattr(client, name)):
        raise CallError(_no_endpoint(client, name))
    body: dict[str, str] = {"client_id": client.client_id, **client.token_parameters, **asked}
    headers = [("Accept", "application/json")]
    if client.client_secret is not None and client.basic:
        pair = f"{client.client_id}:{client.client_secret.reveal()}".encode()
        headers.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
    elif client.client_secret is not None:
        body["client_secret"] = client.client_secret.reveal()
    form = client.encoding == "form"
    headers.append(("Content-Type", "application/x-www-form-urlencoded" if form else "application/json"))
    raw = urlencode(body).encode() if form else msgspec.json.encode(body)
    response = await host.http.request(HttpRequest(url=url, headers=tuple(headers), body=raw, timeouts=_LIMIT, credential=credential))
    answer = await response.read()
    try:
        said = msgspec.json.decode(answer, type=dict[str, Any])
    except ValueError:
        said = {}
    if response.status == 200 and "error" not in said:
        return said
    raise CallError(_refused(url, response.status, said, response.headers.get("retry-after")))


def _no_endpoint(client: OAuthClient, name: str) -> Failure:
    return failure(
        "unsupported", f"no {name} is known of the client {client.client_id!r}: it is not set, and no issuer names it", code="no_endpoint"
    )


def _refused(url: str, status: int, said: Mapping[str, Any], wait: str | None) -> Failure:
    """Return what an error of an endpoint means."""
    error = said.get("error")
    code = error if isinstance(error, str) else str(error.get("type") or error.get("code") or "") if isinstance(error, Mapping) else ""
    about = said.get("error_description") or (error.get("message") if isinstance(error, Mapping) else "") or ""
    cause: Cause = _FOR_GOOD.get(code) or ("rate" if status == 429 else "overload" if status >= 500 or not code else "upstream")
    says = f"{urlsplit(url).hostname} answered {status}{f' {code}' if code else ''}{f': {about}' if about else ''}"
    return failure(cause, says[:500], code=code or None, status=status, retry_after=float(wait) if wait and wait.isdigit() else None)


# ------------------------------------------------------------------------------------------------- logins


class Login:
    """One login, from its beginning until there are tokens, it failed, or nobody went on with it."""

    def __init__(self, host: Host, client: OAuthClient, patience: float) -> None:
        self._host, self._client, self._until = host, client, time.monotonic() + patience
        self._verifier, self._challenge = pkce()
        self._state = secrets.token_urlsafe(24)
        self._redirect, self._code = "", asyncio.Event()
        self._answered: Mapping[str, str] = {}
        self._server: asyncio.Server | None = None
        self._device, self._apart, self._next = "", 5.0, 0.0
        self.step = LoginStep()
        """What the person is told."""

    @classmethod
    async def begin(
        cls, host: Host, client: OAuthClient, flow: Flow = "browser", *, port: int | None = None, patience: float = _PATIENCE
    ) -> Self:
        """Begin a login. Where no port can be listened on, a `browser` flow becomes a `paste` flow, and `step.message` says so.

        Raises `CallError` where the server has no such flow, or refuses it.
        """
        login = cls(host, client, patience)
        await (login._begin_device() if flow == "device" else login._begin_browser(flow, port))
        return login

    async def poll(self) -> Tokens | None:
        """Return the tokens; None while the person is not done. Asks a server no more often than it allows.

        Raises `CallError`: the person refused (`access_denied`), was too slow (`expired_token`), or something failed.
        """
        if time.monotonic() > self._until:
            raise CallError(failure("account_action", "nobody logged in within the time that there was", code="expired_token"))
        if self._device:
            return await self._poll_device()
        if not self._code.is_set():
            return None
        answered, self._code = self._answered, asyncio.Event()
        if error := answered.get("error"):
            about = answered.get("error_description")
            cause = _FOR_GOOD.get(error, "account_action")
            raise CallError(failure(cause, f"the login was refused: {error}{f': {about}' if about else ''}", code=error))
        asked = {"grant_type": "authorization_code", "code": answered["code"], "redirect_uri": self._redirect}
        return await _ask(self._host, self._client, asked | {"code_verifier": self._verifier})

    def paste(self, text: str) -> None:
        """Take the address at which the person's browser ended, or `code#state`, or the code alone. Raises `ValueError`."""
        said = text.strip()
        parts = urlsplit(said)
        found = {name: values[0] for name, values in parse_qs(parts.query or (parts.fragment if "=" in parts.fragment else "")).items()}
        if not found and said and "://" not in said:
            code, _, state = said.partition("#")
            found = {"code": code, "state": state or self._state}
        self._take(found)

    async def close(self) -> None:
        """End it; the port is free again."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _take(self, found: Mapping[str, str]) -> None:
        if not (found.get("code") or found.get("error")):
            raise ValueError("there is neither a code nor an error in it")
        if not hmac.compare_digest(found.get("state", "").encode(), self._state.encode()):
            raise ValueError("it belongs to another login: its state differs; begin again")
        self._answered = found
        self._code.set()

    # ------------------------------------------------------------------------------------------ browsers

    async def _begin_browser(self, flow: Flow, port: int | None) -> None:
        client, message = self._client, ""
        if not client.authorize_url:
            raise CallError(_no_endpoint(client, "authorize_url"))
        ports = (port,) if port is not None and client.returns else client.returns
        bound = await self._listen(ports) if flow == "browser" else None
        if flow == "browser" and bound is None:
            why = f"no port can be listened on ({', '.join(map(str, ports))})" if ports else "the browser is not sent back to this machine"
            message = f"{why}: log in, then paste the address at which the browser ends"
        self._redirect = client.redirect.replace("{port}", str(bound or port or client.ports[0] or 1))
        asked = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": self._redirect,
            "code_challenge": self._challenge,
            "code_challenge_method": "S256",
            "state": self._state,
            **({"scope": " ".join(client.scopes)} if client.scopes else {}),
            **client.parameters,
        }
        joint = "&" if urlsplit(client.authorize_url).query else "?"
        paste = bound is None
        self.step = LoginStep(
            url=f"{client.authorize_url}{joint}{urlencode(asked)}",
            message=message or ("paste the address at which the browser ends" if paste else ""),
            expires_in=self._until - time.monotonic(),
            state={"paste": True} if paste else {},
        )

    async def _listen(self, ports: Sequence[int]) -> int | None:
        """Listen on the first port that can be had, on this machine alone; return it."""
        for port in ports:
            with contextlib.suppress(OSError, OverflowError):
                self._server = await asyncio.start_server(self._called, "127.0.0.1", port, limit=16 << 10)
                return int(self._server.sockets[0].getsockname()[1])
        return None

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the browser that comes back."""
        status, says = 404, "Nothing is here."
        with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(10):
                method, target, _ = (await reader.readuntil(b"\r\n")).decode("latin-1").split(" ", 2)
                while (await reader.readuntil(b"\r\n")).strip():
                    pass
            parts = urlsplit(target)
            if method == "GET" and parts.path == (urlsplit(self._redirect).path or "/"):
                try:
                    self._take({name: values[0] for name, values in parse_qs(parts.query).items()})
                    refused = "error" in self._answered
                    status, says = 200, "The login was refused." if refused else "You are logged in."
                    says += " This page can be closed."
                except ValueError as fault:
                    status, says = 400, f"This is no answer to the login that is waited for: {fault}."
        body = f"<!doctype html><meta charset=utf-8><title>Login</title><p>{says}</p>".encode()
        with contextlib.suppress(OSError):
            writer.write(_PAGE % (status, b"OK" if status == 200 else b"No", len(body), body))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    # ------------------------------------------------------------------------------------- device codes

    async def _begin_device(self) -> None:
        client = self._client
        scopes = {"scope": " ".join(client.scopes)} if client.scopes else {}
        said = await _post(self._host, client, "device_url", {**scopes, **client.parameters}, None)
        url = said.get("verification_uri_complete") or said.get("verification_uri") or said.get("verification_url")
        self._device = str(said.get("device_code") or "")
        if not self._device or not isinstance(url, str):
            raise CallError(failure("upstream", f"{client.device_url} gave no device code", code="bad_answer"))
        lasts, apart = said.get("expires_in"), said.get("interval")
        self._until = time.monotonic() + float(lasts) if isinstance(lasts, int | float) else self._until
        self._apart = float(apart) if isinstance(apart, int | float) else self._apart
        self._next = time.monotonic() + self._apart
        self.step = LoginStep(url=url, code=str(said.get("user_code") or "") or None, expires_in=self._until - time.monotonic())

    async def _poll_device(self) -> Tokens | None:
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + self._apart
        try:
            return await _ask(self._host, self._client, {"grant_type": _DEVICE, "device_code": self._device})
        except CallError as fault:
            code = fault.failure.code
            if code == "slow_down":  # RFC 8628, section 3.5: five seconds more, from now on
                self._apart += 5
                self._next = time.monotonic() + self._apart
            elif code != "authorization_pending" and fault.failure.cause not in ("network", "overload", "rate"):
                raise
            return None
