"""Stage 0: find dialect and operation for a method, a path and deciding headers."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

import msgspec

from jackfield.api import Dialect, Endpoint, Headers, Pairs, PluginRoute
from jackfield.plugins import Plugin

Owned = tuple[Plugin, PluginRoute]
"""A route of a plugin's own."""


class Match(msgspec.Struct, frozen=True, gc=False):
    """The route that a request takes."""

    dialect: Dialect
    endpoint: Endpoint
    params: Mapping[str, str] = {}
    owned: Owned | None = None
    """The plugin's own route, where it is no dialect's."""


class Routes:
    """All routes of a generation: those of its dialects, and those of plugins, whose errors are told in the dialect that is `plain`."""

    def __init__(self, dialects: Iterable[Dialect], owned: Iterable[Owned], plain: Dialect) -> None:
        self._exact, self._paths = dict[tuple[str, str], list[Match]](), dict[str, Dialect]()
        self._templates: list[tuple[str, re.Pattern[str], Dialect, Endpoint]] = []
        rows = [(dialect, endpoint) for dialect in dialects for endpoint in dialect.endpoints]
        for spoken, endpoint in sorted(rows, key=lambda row: (row[1].when_header or row[1].when_query) is None):  # the special ones first
            dialect = spoken.framed(endpoint.framing) if endpoint.framing is not None else spoken
            self._paths[endpoint.path] = dialect  # of several, that of the plain route: what is wrong there is told in its words
            if "{" in endpoint.path:
                self._templates.append((endpoint.method, _template(endpoint.path), dialect, endpoint))
            else:
                self._exact.setdefault((endpoint.method, endpoint.path), []).append(Match(dialect, endpoint))
        self._roots = sorted({path.split("/")[1] for path in self._paths})
        rows_owned = [(Endpoint(method=r.method.upper(), path=r.path, operation="route"), (p, r)) for p, r in owned]
        self._owned = [Match(plain, endpoint, owned=row) for endpoint, row in rows_owned]
        self._owned_paths = [_template(match.endpoint.path) for match in self._owned]

    def match(self, method: str, path: str, headers: Headers, query: Pairs) -> Match | None:
        """Return the route, also for the common wrong spellings of its path."""
        others = (self._lookup(method, variant, headers, query) for variant in self._variants(path))
        found = self._lookup(method, path, headers, query) or self._lookup_owned(method, path)
        return found or next(filter(None, others), None)

    def _lookup_owned(self, method: str, path: str) -> Match | None:
        for match, pattern in zip(self._owned, self._owned_paths, strict=True):
            if match.endpoint.method == method and (found := pattern.fullmatch(path)):
                return msgspec.structs.replace(match, params={name: unquote(value) for name, value in found.groupdict().items()})
        return None

    def _lookup(self, method: str, path: str, headers: Headers, query: Pairs) -> Match | None:
        for match in self._exact.get((method, path)) or self._patterned(method, path):
            header, pair = match.endpoint.when_header, match.endpoint.when_query
            if (header is None or header in headers) and (pair is None or query.get(pair[0]) == pair[1]):
                return match
        return None

    def _patterned(self, method: str, path: str) -> Iterator[Match]:
        for verb, pattern, dialect, endpoint in self._templates:
            if verb == method and (found := pattern.fullmatch(path)):
                yield Match(dialect, endpoint, {name: unquote(value) for name, value in found.groupdict().items()})

    def _variants(self, path: str) -> Iterator[str]:
        """Yield what may have been meant: without doubled or trailing slashes, without `/api`, with the first segment once."""
        clean = re.sub("/{2,}", "/", path).rstrip("/") or "/"
        for base in dict.fromkeys((clean, clean.removeprefix("/api"))):
            if base != path:
                yield base
            for root in self._roots:
                if base.startswith(f"/{root}/{root}/"):
                    yield base[len(root) + 1 :]
                yield f"/{root}{base}"

    def methods(self, path: str, headers: Headers, query: Pairs) -> list[str]:
        """Return the methods that the path has, under any of its spellings."""
        verbs = {verb for verb, _ in self._exact} | {row[0] for row in self._templates} | {m.endpoint.method for m in self._owned}
        return sorted(verb for verb in verbs if self.match(verb, path, headers, query) is not None)

    def nearest(self, path: str) -> tuple[str, Dialect] | None:
        """Return the path of the route that comes nearest to one that leads nowhere, and its dialect."""
        near = difflib.get_close_matches(path[:200], self._paths, 1, 0.3)
        return (near[0], self._paths[near[0]]) if near else next(iter(self._paths.items()), None)


def _template(path: str) -> re.Pattern[str]:
    """Turn a path with `{name}` into a pattern. A model's name may hold slashes, as those of some providers do; so may a `path`."""
    pieces = re.split(r"\{(\w+)\}", path)
    named = ("", *(f"(?P<{name}>{'.+' if name in ('model', 'path') else '[^/]+'})" for name in pieces[1::2]))
    return re.compile("".join(name + re.escape(text) for name, text in zip(named, pieces[::2], strict=True)))
