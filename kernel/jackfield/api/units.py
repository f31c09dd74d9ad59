"""Kinds of values in configuration that read better with a unit: seconds and bytes.

Configuration may say `30`, `30s`, `1.5m` or `250ms` for a time, and `65536`, `64KiB` or `16 MiB` for a size.
"""

import math
import re
from typing import Any


class Seconds(float):
    """A length of time in seconds. In configuration a number, or a text with a unit: `90`, `90s`, `1.5m`."""


class Size(int):
    """A number of bytes. In configuration a number, or a text with a unit: `65536`, `64KiB`."""


_UNITS: dict[type[Any], dict[str, float]] = {
    Seconds: {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86400.0},
    Size: {
        "": 1,
        "b": 1,
        "k": 1000,
        "kb": 1000,
        "kib": 1024,
        "m": 10**6,
        "mb": 10**6,
        "mib": 2**20,
        "g": 10**9,
        "gb": 10**9,
        "gib": 2**30,
    },
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def read_unit(kind: type[Any], value: Any) -> Any:
    """Turn what configuration says into a `Seconds` or a `Size`; other types raise `NotImplementedError`.

    Raises `ValueError` with the sentence that a user is to read. Meant as msgspec's `dec_hook`.
    """
    if kind not in _UNITS:
        raise NotImplementedError(kind)
    found = _NUMBER.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    number = float(found[1]) * _UNITS[kind].get(found[2], math.nan) if found else value
    whole = kind is Seconds or not isinstance(value, float) or value.is_integer()
    # Figures that a float does not hold exactly are mistakes.
    if isinstance(number, bool) or not isinstance(number, int | float) or not whole or not 0 <= number <= 2**53:
        raise ValueError(f"expected a number of {'seconds' if kind is Seconds else 'bytes'}, got {value!r}")
    return kind(number)
