"""Names with `*` in them: how models, dialects and providers are named in lists."""

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def matches(name: str, pattern: str) -> bool:
    """Tell whether `name` fits `pattern`, in which `*` stands for any text, also none."""
    return name == pattern if "*" not in pattern else _compiled(pattern).fullmatch(name) is not None


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether `name` fits one of the patterns."""
    return any(matches(name, pattern) for pattern in patterns)
