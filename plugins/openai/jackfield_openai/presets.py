"""Providers that are known by name: where they are, which variable holds their key, and how their requests differ.

All of it is data, in `presets.json` beside this file; each fact has the page on which its provider states it.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources

import msgspec

from jackfield.api import Continuity, Flavour, QuotaHeaders, Rule, Seconds, Timeouts


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one provider or kind of server."""

    title: str
    """What it calls itself."""
    source: str
    """The page that states address, key and protocol."""
    base_url: str
    env: tuple[str, ...] = ()
    """Environment variables that hold a key, in order."""
    local: bool = False
    """A server that its user runs: it needs no key, and is there only when the configuration names it."""
    dialects: tuple[str, ...] = ("openai.chat",)
    models: tuple[str, ...] = ()
    """What there is, where it has no list that could be asked."""
    patterns: tuple[str, ...] = ()
    """How it names its models: such names reach it although no list has them."""
    headers: dict[str, str] = {}
    forward: tuple[str, ...] = ()
    """Headers of clients that mean something to it."""
    timeouts: Timeouts | None = None
    failures: tuple[Rule, ...] = ()
    """What its errors mean; they stand before those of the protocol."""
    quota: tuple[QuotaHeaders, ...] = ()
    """Which headers tell what is left of an account's limits, before those of the protocol."""
    errors: str = ""
    """The page that states these."""
    flavours: tuple[Flavour, ...] = ()
    continuity: tuple[Continuity, ...] = ()
    """Where it is told which requests continue one another."""


@cache
def presets() -> dict[str, Preset]:
    """Return all presets, by name."""
    raw = resources.files(__package__).joinpath("presets.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, Preset], dec_hook=lambda kind, value: Seconds(value) if kind is Seconds else value)


def preset_named(name: str) -> Preset:
    """Return a preset. Raises `ValueError` where there is none of that name."""
    known = presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
        raise ValueError(f"there is no preset {name!r}; {hint}")
    return known[name]
