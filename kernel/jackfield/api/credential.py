"""Credentials, and where they come from."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec

from jackfield.api.pool import QuotaWindow
from jackfield.api.secret import Secret


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key or account at a provider; also one entry of `credentials` in the configuration."""

    provider: str
    id: str = ""
    """Stable: the provider and what identifies the account or key there, never the key itself. The host makes one of the
    key's fingerprint where it is empty."""
    key: Secret | None = None
    """The key or access token; None where none is needed."""
    label: str = ""
    """What the operator calls it."""
    base_url: str | None = None
    """Stands in for the provider's, taken literally."""
    prefix: str | None = None
    """Its models are also called `prefix/model`."""
    priority: int = 0
    """The tier: higher first."""
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    proxy: str | None = None
    """The URL of the proxy for all of its traffic; `direct` for none."""
    headers: dict[str, str] = {}
    """Headers for each of its requests."""
    models: tuple[str, ...] | None = None
    """Patterns of the models that it may serve; None for all of its provider's."""
    excluded: tuple[str, ...] = ()
    """Patterns of those that it may not."""
    aliases: dict[str, str | tuple[str, ...]] = {}
    """Further names: what callers say, and the upstream model or models meant."""
    disabled: bool = False
    notes: str = ""
    kind: Literal["key", "oauth"] = "key"
    origin: str = ""
    """Where it was read: `jackfield.yaml: credentials[2]`, `$ACME_API_KEY`."""
    storage: dict[str, Any] = {}
    """What its source keeps with it. Provisional."""


class LoginStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a login needs next from the person who logs in. Provisional."""

    status: Literal["pending", "done", "failed"] = "pending"
    url: str | None = None
    code: str | None = None
    message: str = ""
    state: Mapping[str, Any] = {}
    """Handed back at the next poll."""
    credentials: tuple[Credential, ...] = ()
    expires_in: float | None = None


class CredentialSource(Protocol):
    """A place that credentials come from. Registered by `register_credential_sources`; needs a grant.

    `load` is required. The others are looked for and used where they are there; all of them are
    provisional. None of them runs in a call's task.
    """

    name: str

    async def load(self) -> Sequence[Credential]:
        """Return all credentials of the source."""


class RefreshingSource(CredentialSource, Protocol):
    """A source whose credentials are accounts that log in and expire. Provisional."""

    def parse(self, name: str, data: Mapping[str, Any]) -> Sequence[Credential] | None:
        """Turn one stored file into credentials; None when it is not this source's."""

    async def login(self, options: Mapping[str, Any]) -> LoginStep:
        """Start a login."""

    async def poll(self, step: LoginStep) -> LoginStep:
        """Tell whether a login is done."""

    async def refresh(self, credential: Credential) -> Credential:
        """Return the credential with a fresh secret. Raises `CallError`, cause `account_action`, when that is refused for good."""

    async def quota(self, credential: Credential) -> Sequence[QuotaWindow]:
        """Return the account's quota windows."""
