"""Accounts of providers that log people in by OAuth 2.0, made by configuration alone: login, refresh, and whose they are.

Keeps no accounts itself: a source that keeps credentials does, such as `credential_files`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from jackfield.api import (
    Bearer,
    CallError,
    Credential,
    CredentialSource,
    Host,
    HttpProvider,
    LoginStep,
    ModelInfo,
    Provider,
    Secret,
    Serves,
    failure,
)
from jackfield.api.oauth import Flow, Login, OAuthClient, Tokens, discover, refresh


class Served(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider that no other plugin has: where it is, and how the token is sent there."""

    base_url: str
    dialects: tuple[str, ...]
    models: tuple[ModelInfo | str, ...] | Literal["discover"] = "discover"
    header: str = "Authorization"
    scheme: str = "Bearer"
    """Stands before the token in the header; '' for the token alone."""
    serves: Serves = "any"
    """Whom the provider lets its accounts serve."""


class Provided(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How accounts of one provider log in."""

    issuer: str | None = None
    """The authorization server, whose metadata names the addresses; or the addresses themselves:"""
    authorize_url: str = ""
    token_url: str = ""
    device_url: str = ""
    client_id: str
    client_secret: Secret | None = None
    basic: bool = False
    """The client's secret stands in a header, not in the body."""
    encoding: Literal["form", "json"] = "form"
    scopes: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    """Further parameters of the authorization request."""
    token_parameters: dict[str, str] = {}
    """Further parameters of requests for tokens."""
    flow: Flow = "browser"
    ports: tuple[int, ...] = (0,)
    """Ports of this machine that the server lets a browser be sent back to, in order; 0 for any."""
    redirect: str = "http://127.0.0.1:{port}/callback"
    subject: str = "sub"
    """The claim of the id token, or the field of the answer, that says who it is; dots lead into objects."""
    workspace: str = ""
    """Likewise, in which workspace, organisation or project."""
    label: str = "email"
    """Likewise, what it is called."""
    provider: Served | None = None
    """The provider, where no other plugin has it."""

    def __post_init__(self) -> None:
        self.client  # noqa: B018 (raises what is wrong with it)

    @property
    def client(self) -> OAuthClient:
        """Return the client that the authorization server knows."""
        return OAuthClient(**{name: getattr(self, name) for name in OAuthClient.__struct_fields__})


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the plugin."""

    providers: dict[str, Provided] = {}
    """How accounts log in, by the key of their provider."""


class Plugin:
    """A source of credentials that logs in and refreshes, and the providers that the configuration makes up."""

    name = "oauth"

    def __init__(self, config: Config, host: Host) -> None:
        self.providers: Sequence[str] = tuple(config.providers)
        self._host, self._config = host, config
        self._clients: dict[str, OAuthClient] = {}
        self._logins: dict[str, tuple[str, Login]] = {}
        """Those that are going on, by a name of their own, and of which provider."""

    async def close(self) -> None:
        """End the logins that are going on."""
        for _, login in self._logins.values():
            await login.close()

    def register_credential_sources(self) -> list[CredentialSource]:
        """Return the source, where anything is configured."""
        return [self] if self.providers else []

    def register_providers(self) -> list[Provider]:
        """Return the providers that are configured here."""
        return [
            HttpProvider(
                key=key,
                dialects=served.dialects,
                base_url=served.base_url,
                auth=Bearer(header=served.header, scheme=served.scheme),
                models=served.models,
                serves=served.serves,
            )
            for key, said in self._config.providers.items()
            if (served := said.provider) is not None
        ]

    async def load(self) -> list[Credential]:
        """Return nothing: others keep what logins bring."""
        return []

    async def _client(self, provider: str, *needed: str) -> OAuthClient:
        """Return the client of a provider, with the addresses that are needed, as far as they are known."""
        said = self._config.providers[provider]
        client = self._clients.get(provider) or said.client
        if said.issuer and provider not in self._clients and not all(getattr(client, name) for name in ("token_url", *needed)):
            client = self._clients[provider] = await discover(self._host, said.issuer, client)
        return client

    async def login(self, options: Mapping[str, Any]) -> LoginStep:
        """Start a login."""
        provider = str(options["provider"])
        said = self._config.providers[provider]
        flow = options.get("flow") or said.flow
        client = await self._client(provider, "device_url" if flow == "device" else "authorize_url")
        login = await Login.begin(self._host, client, flow, port=options.get("port"))
        name = secrets.token_hex(8)
        self._logins[name] = provider, login
        return msgspec.structs.replace(login.step, state={**login.step.state, "login": name})

    async def poll(self, step: LoginStep) -> LoginStep:
        """Tell whether a login is done."""
        name = str(step.state.get("login"))
        if name not in self._logins:
            raise CallError(failure("caller", "there is no such login any more: begin again", code="no_login"))
        provider, login = self._logins[name]
        try:
            if pasted := step.state.get("pasted"):
                login.paste(str(pasted))
            tokens = await login.poll()
        except ValueError as fault:
            state = {key: value for key, value in step.state.items() if key != "pasted"}
            return msgspec.structs.replace(step, message=str(fault), state=state)
        except CallError as fault:
            await self.cancel(step)
            return LoginStep(status="failed", message=fault.failure.message)
        if tokens is None:
            return step
        await self.cancel(step)
        credential = self._credential(provider, tokens)
        where = f"plugins.oauth.providers.{provider}.subject"
        nameless = f"{provider} does not say whose account it is: the next login takes its place ({where})"
        return LoginStep(status="done", credentials=(credential,), message="" if credential.subject else nameless)

    async def cancel(self, step: LoginStep) -> None:
        """Forget a login."""
        if (found := self._logins.pop(str(step.state.get("login")), None)) is not None:
            await found[1].close()

    async def refresh(self, credential: Credential) -> Credential:
        """Return the credential with a fresh token."""
        client = await self._client(credential.provider)
        tokens = await refresh(self._host, client, credential.refresh_token, credential=credential.id)
        given = {"key": tokens.access_token, "refresh_token": tokens.refresh_token, "expires_at": tokens.expires_at}
        return msgspec.structs.replace(credential, **given)

    def _credential(self, provider: str, tokens: Tokens) -> Credential:
        said = self._config.providers[provider]
        subject, workspace, label = (_found(tokens, path) for path in (said.subject, said.workspace, said.label))
        return Credential(
            provider=provider,
            kind="oauth",
            key=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_at=tokens.expires_at,
            subject=subject,
            workspace=workspace,
            label=label or subject or provider,
        )


def _found(tokens: Tokens, path: str) -> str:
    """Return what stands at a path of the claims, or else of the answer; `''` for nothing."""
    for start in (tokens.claims, tokens.other):
        here = _at(start, path) if path else None
        if isinstance(here, str | int) and not isinstance(here, bool):
            return str(here)
    return ""


def _at(here: Any, path: str) -> Any:
    """Return what stands at a path. Names may hold dots themselves, as the addresses do that some servers name their claims by."""
    if not isinstance(here, Mapping):
        return None
    if path in here:
        return here[path]
    inner = (name for name in here if path.startswith(f"{name}."))
    return next((found for name in inner if (found := _at(here[name], path[len(name) + 1 :])) is not None), None)
