"""Credentials, where they come from, and secrets: values that never show themselves by accident.

A `Secret` is masked in `repr`, `str`, formatting and logs, and is not encoded as JSON. Only code that was handed one and
calls `reveal` sees the text.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, NoReturn, Protocol

import msgspec

from jackfield.api.pool import QuotaWindow

_PLACEHOLDER: Final = re.compile(
    r"(?:your|my|the)[-_ ]?(?:\w+[-_ ])*(?:key|token|secret)|change[-_ ]?me|replace[-_ ]?me|placeholder|insert[-_ ]"
    r"|^(?:sk-)?(?:x{3,}|\.{3}|…|\*{3,}|1234(?:5(?:6(?:7(?:89?)?)?)?)?|test-?key|dummy|example|todo|none|null"
    r"|api[-_ ]?key|key|token|secret)$"
    r"|^<.*>$|^\[.*\]$|^\{.*\}$|^sk-(?:your|\.{2,}|x{3,})|\.{3}$",
    re.IGNORECASE,
)


class Secret:
    """A text that is masked by type.

    Two secrets are equal when their texts are. The mask shows a short fingerprint, so that two
    secrets can be told apart in a log without either being readable.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Whoever calls this answers for where it goes."""
        return self._text

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that identify the secret without revealing it."""
        return blake2b(self._text.encode(), digest_size=4).hexdigest()

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})" if self._text else "Secret(empty)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def is_placeholder(text: str) -> bool:
    """Tell whether a key was evidently copied from a template and never filled in.

    Such a key is known to everybody, so it must neither open the house nor be sent to a provider.
    """
    return bool(_PLACEHOLDER.search(text.strip()))


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
