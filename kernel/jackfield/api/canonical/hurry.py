"""What a client says of how long its call may take."""

import math
from typing import Final

from jackfield.api.body import BadRequest
from jackfield.api.units import Seconds, read_unit

TIMEOUT: Final = "x-jackfield-timeout"
"""A header with which a client says how long its call may take in all: `30s`. It cannot lengthen what the configuration says."""


def time_limit(said: str) -> tuple[float, str]:
    """Return the seconds that the header's value stands for, 0 for no limit, with what messages call it. Raises `BadRequest`."""
    try:
        return read_unit(Seconds, said) or math.inf, f"the header {TIMEOUT}"
    except ValueError as fault:
        raise BadRequest(f"{TIMEOUT}: {fault}", TIMEOUT, code="invalid_timeout") from None
