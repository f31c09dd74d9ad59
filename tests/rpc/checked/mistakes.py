"""Plugins with one mistake each: `python mistakes.py NAME`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from well import WORDS, Error, Well


class Chunks(Well):
    """Reads as programs do that know of `read` alone."""

    def run(self) -> None:
        rest = b""
        while chunk := os.read(0, 1 << 20):
            rest = self.chunk(rest, chunk)

    def chunk(self, rest: bytes, chunk: bytes) -> bytes:
        *lines, rest = self.fitting(rest, chunk).split(b"\n")
        for line in self.chosen(lines, rest):
            self.take(json.loads(line))
        return rest

    def fitting(self, rest: bytes, chunk: bytes) -> bytes:
        return rest + chunk

    def chosen(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        return lines


class Says(Well):
    """Answers one method in its own way."""

    method, answer_is = "model.route", None

    def result(self, method: str, params: dict[str, Any]) -> Any:
        made = super().result(method, params)
        return self.answer_is if method == self.method else made


def saying(method: str, answer: Any) -> type[Well]:
    return type("Saying", (Says,), {"method": method, "answer_is": answer})


class Refuses(Well):
    def result(self, method: str, params: dict[str, Any]) -> Any:
        raise Error(-32603, "no")


class Dies(Well):
    def result(self, method: str, params: dict[str, Any]) -> Any:
        sys.exit("cannot find my settings")


class Registers(Well):
    """Answers `plugin.register` with other fields."""

    other: dict[str, Any] = {}
    hooks: dict[str, Any] = {}

    def register(self, config: dict[str, Any]) -> dict[str, Any]:
        made = {**super().register(config), **self.other}
        return {**made, "hooks": {**made["hooks"], **self.hooks}}


def registering(**other: Any) -> type[Well]:
    return type("Registering", (Registers,), {"other": other})


def declaring(**hooks: Any) -> type[Well]:
    return type("Declaring", (Registers,), {"hooks": {name.replace("_", "."): said for name, said in hooks.items()}})


class NeedsLimit(Well):
    def register(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**super().register(config), "priority": config["limit"]}


class CrashesAtWrongSettings(Well):
    def register(self, config: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(config.get("limit", 1), int)
        return super().register(config)


class TakesAnySettings(Well):
    def register(self, config: dict[str, Any]) -> dict[str, Any]:
        return super().register({})


class NoJsonSchema(Well):
    limit_type = "whole number"


class KnowsAllMethods(Well):
    def result(self, method: str, params: dict[str, Any]) -> Any:
        try:
            return super().result(method, params)
        except Error as fault:
            if fault.code == -32601 and not method.startswith("response."):
                return None
            raise


class AnswersNotifications(Well):
    def note(self, method: str, params: dict[str, Any]) -> None:
        if method.startswith("check."):
            self.send({"id": None, "error": {"code": -32601, "message": method}})
        super().note(method, params)


class RefusesNewFields(Well):
    def result(self, method: str, params: dict[str, Any]) -> Any:
        if params.keys() - {"call", "attempt", "reply", "deadline", "outcome", "usage", "stream", "pool"} and "check_new_field" in params:
            raise Error(-32602, "an unknown field")
        return super().result(method, params)


class NumbersOnly(Well):
    def take(self, said: dict[str, Any]) -> None:
        if not isinstance(said.get("id"), str):
            super().take(said)


class LosesSingleBytes(Chunks):
    def fitting(self, rest: bytes, chunk: bytes) -> bytes:
        return rest + chunk if len(chunk) > 1 else b""


class LosesAllButTheFirst(Chunks):
    def chosen(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        return lines[:1] if len(lines) > 2 and rest and all(b"authenticate" in line for line in lines) else lines


class LosesWhatIsTooMuch(Chunks):
    def chosen(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        return lines[:8] if all(b"authenticate" in line for line in lines) else lines


class LosesCancelled(Chunks):
    def chosen(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        said = [json.loads(line) for line in lines]
        cancelled = [one["params"]["id"] for one in said if one.get("method") == "$/cancel"]
        return [line for line, one in zip(lines, said, strict=True) if one.get("id") not in cancelled or "method" not in one]


class NoText(Well):
    def body(self, params: dict[str, Any]) -> Any:
        about = params.get("reply") or params.get("attempt") or params.get("call") or {}
        if "body_text" in about:
            raise Error(-32603, "'body'")
        return super().body(params)


class OnlyOnce(Well):
    seen: set[str] = set()

    def hook(self, method: str, params: dict[str, Any]) -> Any:
        if method == "model.route":
            if params["call"]["id"] in self.seen:
                raise Error(-32603, "it was asked before")
            self.seen.add(params["call"]["id"])
        return None


class ClosesWithAnError(Well):
    def result(self, method: str, params: dict[str, Any]) -> Any:
        if method.endswith(".close"):
            raise Error(-32603, "no stream")
        return super().result(method, params)


class CountsFromOne(Well):
    def send(self, message: dict[str, Any]) -> None:
        if message.get("method") == "stream.item":
            message["params"]["index"] += 1
        super().send(message)


class NeedsNoCredit(Well):
    def pump(self, name: str) -> None:
        self.streams[name][2] = len(WORDS)
        super().pump(name)

    def note(self, method: str, params: dict[str, Any]) -> None:
        return


class NeverCancels(Well):
    def note(self, method: str, params: dict[str, Any]) -> None:
        if method != "$/cancel":
            super().note(method, params)


class CancelsNumbers(Well):
    def note(self, method: str, params: dict[str, Any]) -> None:
        if method == "$/cancel":
            params = {"id": int(params["id"])}
        super().note(method, params)


class KeepsFilesOpen(Well):
    files: list[Any] = []

    def hook(self, method: str, params: dict[str, Any]) -> Any:
        self.files.append(open(os.devnull))  # noqa: PTH123, SIM115


class KeepsMemory(Well):
    bodies: list[bytes] = []

    def hook(self, method: str, params: dict[str, Any]) -> Any:
        self.bodies.append(b"x" * 100_000)


class Asks(Well):
    """Asks the host something when it is asked about a route."""

    question: dict[str, Any] = {}

    def hook(self, method: str, params: dict[str, Any]) -> Any:
        if method == "model.route":
            self.send({"id": f"own-{os.urandom(4).hex()}", **self.question})


def asking(method: str, **params: Any) -> type[Well]:
    return type("Asking", (Asks,), {"question": {"method": method, "params": params}})


class EndsWithThree(Well):
    def run(self) -> None:
        super().run()
        sys.exit(3)


class OutlivesItsHost(Well):
    told = False

    def run(self) -> None:
        super().run()
        if not self.told:
            time.sleep(60)

    def result(self, method: str, params: dict[str, Any]) -> Any:
        self.told = self.told or method == "plugin.shutdown"
        return super().result(method, params)


class NeverEnds(OutlivesItsHost):
    def run(self) -> None:
        Well.run(self)
        if self.told:
            time.sleep(60)


class IgnoresSigterm(Well):
    def run(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().run()


class LeavesAChild(Well):
    def hook(self, method: str, params: dict[str, Any]) -> Any:
        if method == "plugin.shutdown":
            subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Greets(Well):
    def run(self) -> None:
        self.write("hello\n")
        super().run()


class SaysNoVersion(Well):
    def send(self, message: dict[str, Any]) -> None:
        self.write(json.dumps(message) + "\n")


class AnswersTwice(Well):
    def send(self, message: dict[str, Any]) -> None:
        super().send(message)
        if "result" in message and message["result"] is None:
            super().send(message)


OTHERS: dict[str, type[Well]] = {
    "text-version": registering(schema_version="1"),
    "no-turns": registering(max_in_flight=0),
    "new-version": registering(schema_version=2),
    "misspelt-hook": declaring(model_rout={}),
    "misspelt-need": declaring(model_route={"needs": ["hedaers"]}),
    "empty-route": saying("model.route", {"reason": "why not"}),
    "misspelt-field": saying("model.route", {"modle": "strong"}),
    "no-route": saying("model.route", "strong"),
    "not-eligible": saying("scheduler.pick", {"candidate": "another"}),
    "two-changes": saying("request.intercept_before", {"set": {"/a": 1}, "respond": {"body": {}}}),
    "no-pointer": saying("request.normalize", {"set": {"model": 1}}),
    "no-answer": saying("executor.execute", {"status": 7}),
    "strange-model": saying("model.register", {"providers": [{"key": "well", "models": [{"name": "words"}]}]}),
    "no-null": saying("request.complete", {}),
    "nobody": saying("frontend_auth.authenticate", {"principal": {"name": ""}}),
    "too-many-answers": saying("response.intercept_stream_chunk.event", {"answers": [None] * 99}),
    "no-event": saying("response.intercept_stream_chunk.event", {"answers": [{"events": [{"name": "x"}]}]}),
    "shutdown-answer": saying("plugin.shutdown", "bye"),
    "unknown-question": asking("host.weather"),
    "wrong-question": asking("host.state.get", name="x"),
    "question-within-nothing": asking("host.info", **{"for": 123456}),
}

if __name__ == "__main__":
    found = OTHERS.get(sys.argv[1]) or globals()[sys.argv[1]]
    found().run()
