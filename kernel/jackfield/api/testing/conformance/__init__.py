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
from jackfield.api.testing.conformance.report import Carrier, Report, Result
from jackfield.api.testing.conformance.suite import CHECKS as OVER_PIPES
from jackfield.api.testing.conformance.suite import DEADLINE, GRACE, ORDER, Run, over_pipes
from jackfield.api.testing.conformance.target import CannotCheck, dialects, target_of
from jackfield.api.testing.conformance.within import CHECKS as WITHIN_HOST
from jackfield.api.testing.conformance.within import Within, within_host

__all__ = ["CannotCheck", "Carrier", "Report", "Result", "check", "listed"]


async def check(
    *words: str,
    config: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    carriers: Sequence[Carrier] = ("host", "rpc", "isolated"),
    deadline: float = DEADLINE,
    grace: float = GRACE,
) -> Report:
    """Check a plugin, and return what came of it. Raises `CannotCheck` where the words name none.

    `config` is its section of the configuration; `only` has names of checks, with `*` for any text; `carriers` says in which ways it
    is checked; `deadline` is how many seconds an answer may take where the plugin says nothing of that, `grace` how many its end may.
    """
    target, section, times, spoken = target_of(words), dict(config or {}), (deadline, grace), await dialects()
    wanted: Callable[[str], bool] = lambda name: not only or any(fnmatch(name, pattern) for pattern in only)  # noqa: E731
    results = list[Result]()
    program = target.isolated() if target.alone else target.program
    over = Run(target.id, program, section, spoken, times) if program is not None and "rpc" in carriers else None
    if over is not None and not target.alone:  # what it says itself tells more than what a host makes of it
        results += await over_pipes(over, wanted)
    if "host" in carriers and _starts(results):
        results += await within_host(Within(target, section, spoken, times), "host", wanted)
    if over is not None and target.alone and _starts(results):
        results += await over_pipes(over, wanted)
    if "isolated" in carriers and target.in_host_alone and _starts(results) and (over is None or over.said is not None):
        results += await within_host(Within(target, section, spoken, times, isolated=True), "isolated", wanted)
    if not results:
        raise CannotCheck(f"no check is called {' or '.join(only)}; --list names those that there are")
    return Report(plugin=target.name, results=results)


def _starts(results: Sequence[Result]) -> bool:
    """Tell whether nothing has shown yet that it does not start."""
    return not any(result.check == "start" and result.state == "failed" for result in results)


def listed() -> list[tuple[str, str, str]]:
    """Return all checks: the name, the carrier, and what is asked of a plugin."""
    return [*((name, "rpc", OVER_PIPES[name].says) for name in ORDER), *((name, "host", says) for name, (says, _) in WITHIN_HOST.items())]
