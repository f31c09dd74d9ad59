"""Credentials, where they come from, and secrets: values that never show themselves by accident.

A `Secret` is masked in `repr`, `str`, formatting and logs, and is not encoded as JSON. Only code that was handed one and
calls `reveal` sees the text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, NoReturn, Protocol

import msgspec

from jackfield.api.canonical.hints import QuotaWindow
from jackfield.api.canonical.names import Alias
from jackfield.api.failure import Cause
from jackfield.api.units import Seconds

_PLACEHOLDER: Final = re.compile(
    r"(?<![a-z0-9])(?:your|my|the)[-_ ]?(?:[a-z0-9]+[-_ ])*(?:key|token|secret)|change[-_ ]?me|replace[-_ ]?me|placeholder|insert[-_ ]"
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
    said = text.strip()  # what is long was minted: random letters of a token may spell anything somewhere
    return len(said) <= 64 and bool(_PLACEHOLDER.search(said))


def fault_of_key(text: str) -> str:
    """Say why a text can be no key; `''` where it may be one. The text is not shown."""
    if not (said := text.strip()):
        return "the key is empty"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in said):
        return "a line break or another control character stands in the key"
    return "a placeholder stands where a key should" if is_placeholder(said) else ""


_PROXY: Final = re.compile(r"(?:https?|socks5h?)://(?:[^@/?#\s]*@)?(?:\[[\da-f:.]+\]|[\w.-]+):\d{1,5}/?", re.IGNORECASE)


def check_proxy(url: str, where: str) -> None:
    """Raise `ValueError` for what is neither the URL of a proxy nor `direct` nor nothing. It may hold a password, so it is not shown."""
    if url not in ("", "direct") and _PROXY.fullmatch(url) is None:
        raise ValueError(f"{where} is no URL of a proxy: write http://, https:// or socks5:// with a host and a port, or direct")


class Cooldown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long who failed is passed over, in seconds, by cause; doubled with each failure in a row, 32 times at most.

    It holds where the upstream does not say how long. 0 for not at all, also where it does; None leaves it to what is
    more general.
    """

    transient: Seconds | None = None
    """An overloaded, failing or unreachable upstream. Default: 1 s."""
    rate: Seconds | None = None
    """A rate limit. Default: 1 s."""
    quota: Seconds | None = None
    """A quota that is used up. Default: 60 s."""
    credential: Seconds | None = None
    """A key that was refused. Default: 5 min."""
    account_action: Seconds | None = None
    """An account whose owner must act. Default: 30 min."""
    refused: Seconds | None = None
    """A model that this account may not call. Default: 30 min."""


class CredentialLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a credential may be used for at most; once it is reached others are asked until the minute or day (UTC) is over."""

    rpm: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Requests a minute."""
    tpm: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Tokens a minute, in and out. What a call costs is known when it is over."""
    rpd: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Requests a day."""
    tpd: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Tokens a day."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key or account at a provider; also one entry of `credentials` in the configuration."""

    provider: str
    id: str = ""
    """Stable, and never the key itself. Where it is empty it is `identity`."""
    subject: str = ""
    """What stays the same of the account at its provider, whoever logs in and whenever: an account's id, not a token."""
    workspace: str = ""
    """Which of the subject's workspaces, organisations or projects it acts in. One subject has a credential for each."""
    key: Secret | None = None
    """The key or access token; None where none is needed."""
    expires_at: float | None = None
    """Unix time from which on `key` is not accepted any more; None where that is not known, or never."""
    refresh_at: float | None = None
    """Unix time at which its source wants to refresh it; None leaves that to the host, some time before it expires."""
    refresh_token: Secret | None = None
    """With what a fresh `key` is asked for."""
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
    proxy_strict: bool = False
    """Nothing is sent where its proxy cannot be used: it never goes past it."""
    headers: dict[str, str] = {}
    """Headers for each of its requests. The value `$X` copies the client's header `X`, but none that holds a key or a cookie."""
    models: tuple[str, ...] | None = None
    """Patterns of the models that it may serve; None for all of its provider's."""
    excluded: tuple[str, ...] = ()
    """Patterns of those that it may not."""
    aliases: dict[str, str | tuple[str, ...] | Alias] = {}
    """Further names: what callers say, and the model or models meant, by the names in the list or those of the upstream."""
    limits: CredentialLimits | None = None
    """Requests and tokens that it may be used for."""
    cooldown: Cooldown | None = None
    """For how long it is passed over after a failure, where that differs from `cooldown` of the configuration."""
    disabled: bool = False
    notes: str = ""
    kind: Literal["key", "oauth"] = "key"
    origin: str = ""
    """Where it was read: `jackfield.yaml: credentials[2]`, `$ACME_API_KEY`."""
    storage: dict[str, Any] = {}
    """What its source keeps with it. Provisional."""

    def __post_init__(self) -> None:
        """Refuse what would later be a surprise."""
        check_proxy(self.proxy or "", "proxy")

    def without_secrets(self) -> "Credential":
        """Return it without what may hold a secret: keys, headers, what its source keeps, the user and password of its proxy."""
        proxy = self.proxy and re.sub("//[^/]*@", "//", self.proxy)
        return msgspec.structs.replace(self, key=None, refresh_token=None, headers={}, storage={}, proxy=proxy)

    @property
    def identity(self) -> str:
        """Who it is: provider, subject and workspace, joined by colons. An edit or another login leaves it as it is.

        Without a subject, a key is who its fingerprint says, and an account, whose token changes, who its label says; then
        a base URL of its own belongs to it, too.
        """
        proof = self.key.fingerprint if self.key else ""
        subject = self.subject or (proof if self.kind == "key" else "") or self.label or proof
        parts = [self.provider, *(part.replace("%", "%25").replace(":", "%3A") for part in (subject, self.workspace))]
        return ":".join(filter(None, [*parts, None if self.subject else self.base_url]))


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Why a credential is passed over for a while, and how long."""

    model: str = ""
    """The upstream's name of the model that it is passed over for; `''` for all, `*` for all by a limit of the operator's."""
    cause: Cause
    until: float
    """Unix time; `since` likewise."""
    since: float
    times: int = 1
    """Failures in a row."""
    told: bool = False
    """The upstream, or a limit, said how long; else it is a guess."""
    message: str = ""


class CredentialState(msgspec.Struct, frozen=True, kw_only=True):
    """How a credential is, in this process."""

    id: str
    state: Literal["ok", "resting", "off"] = "ok"
    """`resting` for a model at least; `off`: it was switched off, or its provider was."""
    resting: tuple[Rest, ...] = ()
    quota: tuple[QuotaWindow, ...] = ()
    """As the latest answer told."""
    in_flight: int = 0
    """Attempts under way."""
    last_used: float = 0.0
    """Unix time; 0 for never."""
    latency: float | None = None
    """Seconds to the first byte, a decaying mean; None before the first answer."""


class LoginStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a login needs next from the person who logs in."""

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

    `name` and `load` are required. What `StoredSource` and `RefreshingSource` have besides is looked for by its name and
    used where it is there, each for itself. None of it runs in a call's task.
    """

    name: str

    async def load(self) -> Sequence[Credential]:
        """Return all credentials of the source, each with where it was read as its `origin`.

        Called at the start and after each change. One that has not changed is best the same object as before. Raises where
        the source cannot be asked: the host then keeps what it had, and lists a problem.
        """


class StoredSource(CredentialSource, Protocol):
    """What a source may have whose credentials lie somewhere, change there, and can be changed. Each is optional."""

    problems: Sequence[str]
    """What is wrong with single credentials, a line each: where, what, what to do. Read after each `load`, which still
    returns the others."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` from now on whenever `load` would answer otherwise than it did, or `problems` would.

        Called once, on the event loop, after the first `load`; not called where nothing is to be watched. `changed` is
        called on the event loop as well: once for a burst of changes, when it is over, and not for what `save` and
        `remove` did. It asks for a `load` and returns at once. Watching ends with the plugin, best in a task of
        `host.spawn`.
        """

    async def save(self, credentials: Sequence[Credential]) -> None:
        """Keep credentials that belong together (one file's): all of them or, with an error raised, none.

        Each takes the place of the one with its id, else of the one with its identity; what is new is added. Others that
        are kept with them stay. `load` then returns them, and `changed` is not called: who saves, loads.
        """

    async def remove(self, id: str) -> None:
        """Forget a credential, and nothing else. Raises `KeyError` where there is none of that id. Else as with `save`."""


class RefreshingSource(CredentialSource, Protocol):
    """What a source may have whose credentials are accounts that log in and expire. Each is optional."""

    providers: Sequence[str]
    """Keys of the providers whose accounts it logs in and refreshes, also those that another source keeps."""

    def parse(self, name: str, data: Mapping[str, Any]) -> Sequence[Credential] | None:
        """Turn one stored file into credentials; None when it is not this source's."""

    async def login(self, options: Mapping[str, Any]) -> LoginStep:
        """Start a login: `provider` is whose account it is; `flow` (`browser`, `device`, `paste`) and `port` are there where somebody asks
        for them. Raises `CallError` where it cannot be started.
        """

    async def poll(self, step: LoginStep) -> LoginStep:
        """Tell whether a login is done; its credentials are then kept by whoever asks.

        `step.state` is what the last step had, and under `pasted` what the person pasted, where it had asked for that (`paste`).
        """

    async def cancel(self, step: LoginStep) -> None:
        """Forget a login: nobody goes on with it."""

    async def refresh(self, credential: Credential) -> Credential:
        """Return the credential with a fresh `key`, `expires_at` and, where it changes, `refresh_token`.

        The host decides when: in time before it expires, or when the key was refused; never twice at once for one credential.
        Raises `CallError`, cause `account_action`, when it is refused for good: then somebody has to log in again. After anything
        else it is tried again later, and the old key is used as long as it lasts.
        """

    async def quota(self, credential: Credential) -> Sequence[QuotaWindow]:
        """Return the account's quota windows."""
