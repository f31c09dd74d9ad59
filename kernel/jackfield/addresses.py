"""Where a URL leads, and whether an address is private."""

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def origin_of(url: str) -> str | None:
    """Return `scheme://host:port` of a URL, in lower case and with the port spelled out; None where it has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" if host and port else None


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as, of IPv4 where it is one mapped into IPv6; None for a name."""
    try:
        ip = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the public internet: not private, loopback, link-local, or reserved."""
    ip = ip_of(address)
    return ip is not None and ip.is_global and not ip.is_multicast


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    ip, name = ip_of(host), host.lower()
    return ip.is_loopback if ip is not None else name == "localhost" or name.endswith(".localhost")
