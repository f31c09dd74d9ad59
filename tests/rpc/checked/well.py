"""A plugin without any library that takes part in everything and makes no mistake. `mistakes` makes plugins of it that do."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

NULLS = (
    "frontend_auth.authenticate", "model.route", "request.intercept_before", "request.intercept_after", "request.normalize",
    "response.normalize", "response.intercept_after", "request.complete", "usage.handle",
)  # fmt: skip
"""The hooks that have nothing to say."""
STREAM = "response.intercept_stream_chunk."
WORDS = [f"word {number}" for number in range(12)]


class Error(Exception):
    """What a request is answered with instead of a result."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Well:
    schema_version: Any = 1
    limit_type = "integer"
    needs: list[str] = ["body", "headers"]

    def __init__(self) -> None:
        self.streams = dict[str, list[Any]]()
        """Of each stream that is sent: the id of its request, the next index, the credit that is left."""

    # ------------------------------------------------------------------------------------------ messages

    def run(self) -> None:
        for line in sys.stdin.buffer:
            self.take(json.loads(line))

    def take(self, said: dict[str, Any]) -> None:
        if "method" not in said:
            return
        if "id" in said:
            self.answer(said["id"], said["method"], said.get("params") or {})
        else:
            self.note(said["method"], said.get("params") or {})

    def send(self, message: dict[str, Any]) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")) + "\n")

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def answer(self, id: Any, method: str, params: dict[str, Any]) -> None:
        try:
            self.send({"id": id, "result": self.result(method, params)})
        except Error as fault:
            self.send({"id": id, "error": {"code": fault.code, "message": str(fault)}})
        if method == "executor.execute_stream":
            self.streams[params["stream"]] = [id, 0, params["credit"]]
            self.pump(params["stream"])

    def note(self, method: str, params: dict[str, Any]) -> None:
        if method == "stream.credit" and params["stream"] in self.streams:
            self.streams[params["stream"]][2] += params["credit"]
            self.pump(params["stream"])
        elif method == "$/cancel":
            for name in [name for name, (id, _, _) in self.streams.items() if id == params["id"]]:
                self.end(name, {"code": -32800, "message": "cancelled"})

    # ------------------------------------------------------------------------------------------ results

    def result(self, method: str, params: dict[str, Any]) -> Any:
        if method in NULLS or method == "plugin.shutdown":
            self.body(params)
            return self.hook(method, params)
        match method:
            case "plugin.register":
                return self.register(params.get("config", {}))
            case "scheduler.pick":
                return self.pick(params["pool"])
            case "response.intercept_stream_chunk.open":
                return {"handle": True}
            case "response.intercept_stream_chunk.event":
                return self.events(params["events"])
            case "response.intercept_stream_chunk.close":
                return {"events": [{"data": {"closing": True}}]}
            case "model.register":
                return {"providers": [{"key": "well", "models": ["well/words"]}]}
            case "executor.execute":
                return {"response": {"choices": [{"message": {"role": "assistant", "parts": [{"type": "text", "text": "words"}]}}]}}
            case "executor.execute_stream":
                return {"stream": True}
        raise Error(-32601, method)

    def register(self, config: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(config.get("limit", 1), int) or config.keys() - {"limit"}:
            raise Error(-32602, "limit: a number, and nothing else")
        asked = {"needs": self.needs}
        hooks = dict.fromkeys((*NULLS, "scheduler.pick", STREAM + "open", "executor.execute", "executor.execute_stream"), asked)
        schema = {"type": "object", "properties": {"limit": {"type": self.limit_type}}, "additionalProperties": False}
        about = {"plugin": {"name": "well", "version": "1.0.0"}, "max_in_flight": 32, "config_schema": schema}
        return {"schema_version": self.schema_version, "hooks": {**hooks, "model.register": None}, **about}

    def hook(self, method: str, params: dict[str, Any]) -> Any:
        return None

    def pick(self, pool: dict[str, Any]) -> Any:
        return {"candidate": pool["eligible"][0]["id"]} if pool["eligible"] else None

    def events(self, events: list[dict[str, Any]]) -> Any:
        return {"answers": [{"events": [{"same": True}, {"data": {"after": event["index"]}}]} for event in events]}

    def body(self, params: dict[str, Any]) -> Any:
        """Read whichever form of body there is."""
        about = params.get("reply") or params.get("attempt") or params.get("call") or {}
        if "body_file" in about:
            return json.loads(Path(about["body_file"]).read_bytes())
        if "body_base64" in about:
            return base64.b64decode(about["body_base64"], validate=True)
        return about.get("body", about.get("body_text"))

    # ------------------------------------------------------------------------------------------ streams

    def pump(self, name: str) -> None:
        stream = self.streams[name]
        while stream[2] > 0 and stream[1] < len(WORDS):
            self.item(name, stream[1])
            stream[1], stream[2] = stream[1] + 1, stream[2] - 1
        if stream[1] == len(WORDS):
            self.end(name)

    def item(self, name: str, index: int) -> None:
        items = [{"delta": {"type": "text", "index": 0, "text": WORDS[index]}}]
        self.send({"method": "stream.item", "params": {"stream": name, "index": index, "items": items}})

    def end(self, name: str, error: dict[str, Any] | None = None) -> None:
        del self.streams[name]
        self.send({"method": "stream.end", "params": {"stream": name, **({"error": error} if error else {})}})


if __name__ == "__main__":
    Well().run()
