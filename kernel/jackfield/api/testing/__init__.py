"""A kit for the tests of plugins: a running host, an upstream that does as it is told, and a client.

    async with ScriptedUpstream(json_answer({"ok": True})) as upstream, Harness(plugins=[my_plugin]) as host:
        answer = await host.post("/v1/...", {"model": "m"})

Nothing here reaches further than this machine. Import it in tests only: it loads a whole server.
"""

from jackfield.api.testing.harness import Answer, Harness
from jackfield.api.testing.upstream import Received, Script, ScriptedUpstream, json_answer, sse_answer

__all__ = ["Answer", "Harness", "Received", "Script", "ScriptedUpstream", "json_answer", "sse_answer"]
