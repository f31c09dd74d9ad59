"""Signatures of thoughts: each provider refuses one that it did not make, or that stands by another thought."""

from __future__ import annotations

import base64
import hashlib


class Mint:
    """Makes signatures, the same ones in the same order, and remembers them with what they were made for."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.known: dict[str, str] = {}

    def make(self, thought: str, *, size: int = 96, urlsafe: bool = False, prefix: str = "") -> str:
        """Return a new signature of a thought: base64 of so many bytes, behind a prefix."""
        seed = f"{self._owner}:{len(self.known)}:{thought}".encode()
        raw = b"".join(hashlib.sha256(seed + bytes([part])).digest() for part in range(size // 32 + 1))[:size]
        signature = prefix + (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(raw).decode()
        self.known[signature] = thought
        return signature
