"""The candidates for a model, and what a scheduler may answer."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Candidate(Protocol):
    """One credential together with one upstream model that it may serve.

    Its figures are live: they change between two looks. In-flight counts are those of this worker.
    """

    @property
    def id(self) -> str:
        """Stable: the credential's id and the upstream model, `acme:3f2a/some-model`."""

    @property
    def provider(self) -> str:
        """The provider's key."""

    @property
    def credential(self) -> str:
        """The credential's id."""

    @property
    def label(self) -> str:
        """What the operator calls the credential."""

    @property
    def model(self) -> str:
        """The upstream's name of the model."""

    @property
    def tier(self) -> int:
        """Higher tiers come first; a lower one is eligible only when no higher one is."""

    @property
    def weight(self) -> float:
        """Its share among those of its tier, 1.0 unless set."""

    @property
    def in_flight(self) -> int:
        """Attempts that this candidate's credential is serving now."""

    @property
    def latency(self) -> float | None:
        """Seconds to the first byte: a decaying mean over the latest attempts. None before the first."""

    @property
    def last_used(self) -> float:
        """Unix time; 0.0 before the first use."""

    @property
    def health(self) -> str:
        """`ok`, or why it is passed over."""

    @property
    def quota(self) -> "Sequence[QuotaWindow]":
        """The account's quota windows."""


class QuotaWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One window of an account's quota. Provisional."""

    name: str
    used: float | None = None
    """Share, 0 to 1."""
    resets_at: float | None = None
    """Unix time."""


class Pool(Protocol):
    """The candidates for one resolved model. Persistent: two calls for a model see the same pool."""

    @property
    def model(self) -> str:
        """The name that was resolved."""

    @property
    def eligible(self) -> Sequence[Candidate]:
        """Those that may be picked now: of the best tier, healthy, not yet tried in this round. May be empty."""

    @property
    def all(self) -> Sequence[Candidate]:
        """All candidates."""

    @property
    def revision(self) -> int:
        """Grows when `eligible` changes."""

    def why(self, candidate_id: str) -> str:
        """Return why a candidate is not eligible; `''` when it is."""

    def least_busy(self) -> Candidate | None:
        """Return the eligible candidate with the fewest attempts in flight."""

    def sample(self, n: int) -> Sequence[Candidate]:
        """Return up to `n` eligible candidates drawn at random, without repetition."""


class Delegate(msgspec.Struct, frozen=True):
    """A scheduler's answer: let another scheduler decide this one."""

    scheduler: str
    """The id of a plugin."""


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduler's answer: nothing may serve this call now."""

    reason: str
    retry_after: float | None = None
    """Seconds."""


Pick = Candidate | Delegate | Deny | None
"""What `pick_credential` answers; None leaves the choice to the kernel."""

