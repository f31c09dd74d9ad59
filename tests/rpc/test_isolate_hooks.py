"""Every hook fires for plugins in processes of their own, exactly as it does in process: once, in order, reversed for answers."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Nested
from jackfield.api.testing import Harness
from tests.conformance.test_every_hook_fires import DIALECTS, SAID, WORDS, Foreign, Native, World, _request, _said, expected

WITNESS = """
from jackfield.api import Principal, hook

class Plugin:
    def __init__(self, config: dict, host):
        self.me, self.config, self.priority = host.info.plugin, config, config["place"]

    def note(self, call, hook, more=""):
        with open(self.config["log"], "a") as file:
            file.write(f"{call.id} {hook} {self.me} {more}\\n")

    @hook(needs=["headers", "secret"])
    def authenticate(self, call):
        self.note(call, "authenticate")
        return Principal(name="somebody", tags=("x",)) if self.config["admits"] else None

    def route_model(self, call):
        self.note(call, "route_model")

    async def intercept_request(self, call):
        self.note(call, "intercept_request")

    def pick_credential(self, call, pool):
        self.note(call, "pick_credential")

    async def intercept_attempt(self, attempt):
        self.note(attempt.call, "intercept_attempt")

    def normalize_request(self, attempt):
        self.note(attempt.call, "normalize_request")

    def normalize_response(self, attempt, reply):
        self.note(attempt.call, "normalize_response")

    async def intercept_response(self, call, reply):
        self.note(call, "intercept_response", reply.canonical.text if hasattr(reply.canonical, "text") else "")

    def intercept_stream(self, call, head):
        self.note(call, "intercept_stream")

        def handler(event):
            if event.text:
                self.note(call, "words", event.text)

        return handler

    def handle_usage(self, attempt, usage):
        self.note(attempt.call, "handle_usage", usage.output)

    def request_complete(self, call, outcome):
        self.note(call, "request_complete", outcome.status)
"""


class Witnesses:
    """Two witnesses in processes of their own, and what they saw."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "seen"
        (folder / "witness.py").write_text(WITNESS)
        about = {"path": str(folder / "witness.py"), "isolate": True, "log": str(self._log)}
        places = {"first": {"place": 10, "admits": False}, "second": {"place": 0, "admits": True}}
        self.config: dict[str, Any] = {"plugins": {"simulator": {"enabled": False}}, "scheduler": "first"}
        self.config["plugins"] |= {name: {**about, **place} for name, place in places.items()}

    def seen(self) -> tuple[list[list[tuple[str, str]]], dict[str, str]]:
        """Return the hooks that each call met, in order, and the words of streams by who saw them."""
        hooks, words = defaultdict[str, list[tuple[str, str]]](list), defaultdict[str, str](str)
        for line in self._log.read_text().splitlines():
            call, hook, who, more = line.split(" ", 3)
            if hook == "words":
                words[who] += more
            else:
                hooks[call].append((hook, who))
        self._log.unlink()
        return list(hooks.values()), words


@pytest.mark.parametrize("kind", [Native, Foreign], ids=["same_dialect", "translated"])
@pytest.mark.parametrize("name", sorted(DIALECTS))
async def test_every_hook_fires_once_and_in_order_for_plugins_apart(name: str, kind: Any, tmp_path: Path) -> None:
    dialect, witnesses = DIALECTS[name], Witnesses(tmp_path)
    provider = Native(dialect) if kind is Native else Foreign()
    for stream in (False, True):
        endpoint, body = _request(dialect, stream)
        async with Harness([World(dialect, provider)], witnesses.config) as host:
            assert not host.host.problems
            assert (await host.request(endpoint.method, endpoint.path.replace("{model}", "m"), body)).status == 200
            assert await _said(host.host, Nested(request=SAID), stream) == WORDS
        [by_client, embedded], words = witnesses.seen()
        assert by_client == expected(stream, from_client=True)
        assert embedded == expected(stream, from_client=False)
        assert words == ({"first": WORDS * 2, "second": WORDS * 2} if stream else {})
