"""Cache markers: `cache_control` on tools and blocks (Anthropic's guide "Prompt caching")."""

from __future__ import annotations

from typing import Any

from jackfield.api.canonical import Cache
from jackfield.api.canonical.codec import Fields


def take_cache(fields: Fields) -> Cache | None:
    """Take a marker; what it says beside its lifetime remains."""
    marker = fields.object("cache_control")
    if marker is None:
        return None
    ttl = marker.get("ttl")
    if ttl is not None and not isinstance(ttl, str):
        Fields(marker, fields.at("cache_control")).text("ttl")
    beside = {key: value for key, value in marker.items() if key != "ttl" and (key, value) != ("type", "ephemeral")}
    if beside:
        fields.rest["cache_control"] = beside
    return Cache(ttl=ttl)


def write_cache(wire: dict[str, Any], rest: dict[str, Any], cache: Cache | None) -> None:
    """Write a marker; what was kept of it is taken out of `rest`."""
    beside = rest.pop("cache_control", None)
    if cache is not None:
        lifetime = {"ttl": cache.ttl} if cache.ttl is not None else {}
        wire["cache_control"] = {"type": "ephemeral", **lifetime, **(beside or {})}
