"""The conformance check: does a plugin, in any language, do what the contract asks?

    report = await check("node", "router.mjs")
    assert report.passed, report

What is checked is a program with its arguments, a manifest or the folder that holds one, a Python file, a module, `module:Class`,
or the id of an installed plugin. `jackfield plugin check` does the same on the command line.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from jackfield.api.testing.conformance import answers, ending, framing, life, streams  # noqa: F401 (they declare their checks)
from jackfield.api.testing.conformance.report import Report, Result
from jackfield.api.testing.conformance.suite import CHECKS, DEADLINE, GRACE, ORDER, Run, over_pipes
from jackfield.api.testing.conformance.target import CannotCheck, dialects, target_of

__all__ = ["CannotCheck", "Report", "Result", "check", "listed"]


async def check(
    *words: str, config: Mapping[str, Any] | None = None, only: Sequence[str] = (), deadline: float = DEADLINE, grace: float = GRACE
) -> Report:
    """Check a plugin, and return what came of it. Raises `CannotCheck` where the words name none.

    `config` is its section of the configuration; `only` has names of checks, with `*` for any text; `deadline` is how many seconds
    an answer may take where the plugin says nothing of that, `grace` how many its end may take.
    """
    target = target_of(words)
    wanted: Callable[[str], bool] = lambda name: not only or any(fnmatch(name, pattern) for pattern in only)  # noqa: E731
    results = list[Result]()
    if target.program is not None:
        section = dict(config) if config is not None else dict(target.config)
        results += await over_pipes(Run(target.id, target.program, section, await dialects(), (deadline, grace)), wanted)
    return Report(plugin=target.name, results=results)


def listed() -> list[tuple[str, str, str]]:
    """Return all checks: the name, the carrier, and what is asked of a plugin."""
    return [(name, "rpc", CHECKS[name].says) for name in ORDER]
